# SPDX-License-Identifier: Apache-2.0
"""What pods use, and new limits for them: zoneletd with the host handler on this machine."""

import json
import time

import pytest

from pods import CrictlError, run_pod
from test_host import IMAGE, alone, native  # noqa: F401


def stats_of(node, container):
    """One container's stats, or None."""
    for entry in node.crictl.json("stats", "-a")["stats"]:
        if entry["attributes"]["id"] == container:
            return entry
    return None


def number(value):
    return int(value["value"])


def test_container_stats(native):
    pod = run_pod(native.crictl, "usage")
    container = pod.container(
        IMAGE, "dd if=/dev/zero of=/written bs=1024 count=512 2>/dev/null; "
               "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo up; exec sleep 1000",
        labels={"kind": "busy"}, annotations={"note": "kept"})
    idle = pod.container(IMAGE, "exec sleep 1000", name="idle", start=False)
    deadline = time.monotonic() + 30
    while "up" not in pod.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stats = stats_of(native, container)
    assert stats["attributes"]["metadata"]["name"] == "main"
    assert stats["attributes"]["labels"]["kind"] == "busy"
    assert stats["attributes"]["annotations"]["note"] == "kept"
    assert int(stats["cpu"]["timestamp"]) > 0 and number(stats["cpu"]["usageCoreNanoSeconds"]) > 1_000_000
    assert int(stats["memory"]["timestamp"]) > 0 and number(stats["memory"]["workingSetBytes"]) > 0
    assert number(stats["memory"]["usageBytes"]) >= number(stats["memory"]["workingSetBytes"])
    # One that was never started uses nothing and is not told of.
    assert stats_of(native, idle) is None
    # The layer is measured beside the answer.
    deadline = time.monotonic() + 10
    while number(stats["writableLayer"]["usedBytes"]) < 512 * 1024:
        assert time.monotonic() < deadline
        stats = stats_of(native, container)
    assert number(stats["writableLayer"]["inodesUsed"]) >= 1
    assert stats["writableLayer"]["fsId"]["mountpoint"].startswith(native.disk)
    # A second look tells the rate since the first.
    time.sleep(0.2)
    assert "usageNanoCores" in stats_of(native, container)["cpu"]
    pod.remove()


def test_stats_filters(native):
    pods = [run_pod(native.crictl, f"filter{i}", labels={"number": str(i)}) for i in range(3)]
    containers = [pod.container(IMAGE, "exec sleep 1000", labels={"number": str(i)}) for i, pod in enumerate(pods)]

    def listed(*options):
        return sorted(entry["attributes"]["id"] for entry in native.crictl.json("stats", "-a", *options)["stats"])

    assert listed() == sorted(containers)
    assert listed("--id", containers[1]) == [containers[1]]
    assert listed("--pod", pods[2].id) == [containers[2]]
    assert listed("--label", "number=0") == [containers[0]]
    assert listed("--label", "number=7") == []

    def listed_pods(*options):
        return sorted(entry["attributes"]["id"] for entry in native.crictl.json("statsp", *options)["stats"])

    assert listed_pods() == sorted(pod.id for pod in pods)
    assert listed_pods("--label", "number=1") == [pods[1].id]
    assert listed_pods("--id", pods[0].id) == [pods[0].id]
    for pod in pods:
        pod.remove()


def test_pod_stats(native):
    pod = run_pod(native.crictl, "podusage")
    container = pod.container(IMAGE, "ping -c 1 127.0.0.1 >/dev/null; exec sleep 1000")
    deadline = time.monotonic() + 10
    while True:
        stats, = native.crictl.json("statsp")["stats"]
        if number(stats["linux"]["cpu"]["usageCoreNanoSeconds"]) > 0:
            break
        assert time.monotonic() < deadline
    lin = stats["linux"]
    assert stats["attributes"]["id"] == pod.id and stats["attributes"]["metadata"]["name"] == "podusage"
    assert lin["network"]["defaultInterface"]["name"] == "eth0"
    assert number(lin["network"]["defaultInterface"]["txBytes"]) >= 0
    assert number(lin["process"]["processCount"]) == 1
    assert number(lin["memory"]["workingSetBytes"]) > 0
    assert [entry["attributes"]["id"] for entry in lin["containers"]] == [container]
    pod.remove()


def test_dead_supervisor_is_left_out(native):
    alive, frozen = run_pod(native.crictl, "alive"), run_pod(native.crictl, "frozen")
    kept = alive.container(IMAGE, "exec sleep 1000")
    frozen.container(IMAGE, "exec sleep 1000")
    native.run(["pkill", "-STOP", "-f", f"zonelet-supervisor.*{frozen.id}"])
    try:
        begin = time.monotonic()
        stats = native.crictl.json("stats", "-a")["stats"]
        assert time.monotonic() - begin < 10
        assert [entry["attributes"]["id"] for entry in stats] == [kept]
        assert "does not tell what it uses" in native.log_text()
    finally:
        native.run(["pkill", "-CONT", "-f", f"zonelet-supervisor.*{frozen.id}"])
    alive.remove()
    frozen.remove()


def test_metrics(native):
    pod = run_pod(native.crictl, "metrics")
    container = pod.container(IMAGE, "exec sleep 1000")
    text = native.crictl("metricsp")
    metrics, = json.loads(text)["podMetrics"]
    assert metrics["podSandboxId"] == pod.id
    names = {metric["name"] for metric in metrics["metrics"]}
    assert "container_network_receive_bytes_total" in names
    own, = metrics["containerMetrics"]
    assert own["containerId"] == container
    values = {metric["name"]: metric for metric in own["metrics"]}
    for name in ("container_cpu_usage_seconds_total", "container_memory_working_set_bytes",
                 "container_start_time_seconds", "container_last_seen", "container_spec_cpu_shares",
                 "container_file_descriptors", "container_oom_events_total", "container_fs_usage_bytes"):
        assert name in values, name
    assert values["container_last_seen"]["labelValues"][:1] == ["main"]
    assert abs(number(values["container_last_seen"]["value"]) - time.time()) < 60
    pod.remove()


def hugepages(limit):
    return {"linux": {"resources": {"hugepage_limits": [{"page_size": "2MB", "limit": limit}]}}}


def cgroup_value(node, container, name):
    return node.run(["cat", f"/sys/fs/cgroup/zonelet/{container}/{name}"]).stdout.strip()


def resources_of(node, container):
    return node.crictl.json("inspect", container)["status"]["resources"]["linux"]


def test_dead_container_has_no_limits_to_change(native):
    pod = run_pod(native.crictl, "limits")
    container = pod.container(IMAGE, "exit 0")
    deadline = time.monotonic() + 10
    while native.crictl.json("inspect", container)["status"]["state"] != "CONTAINER_EXITED":
        assert time.monotonic() < deadline
    with pytest.raises(CrictlError, match="limits") as error:
        native.crictl("update", "--cpu-share", "512", container)
    assert error.value.code == "FailedPrecondition"
    with pytest.raises(CrictlError) as error:
        native.crictl("update", "--cpu-share", "512", "nothing")
    assert error.value.code == "NotFound"
    pod.remove()
