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
    lin = None
    while lin is None or number(lin["process"]["processCount"]) != 1:  # the shell and ping are over
        assert time.monotonic() < deadline
        stats, = native.crictl.json("statsp")["stats"]
        lin = stats["linux"]
    assert number(lin["cpu"]["usageCoreNanoSeconds"]) > 0
    assert stats["attributes"]["id"] == pod.id and stats["attributes"]["metadata"]["name"] == "podusage"
    assert lin["network"]["defaultInterface"]["name"] == "eth0"
    assert number(lin["network"]["defaultInterface"]["txBytes"]) >= 0
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


def call(node, *words):
    """A CRI call that crictl has no command for; gives its output, raises with the status' code."""
    result = node.run([f"{node.build}/unit/cri-services/cri-call", node.socket, *words], check=False)
    if result.code != 0:
        raise CrictlError(words, result.stderr)
    return result.stdout


def cgroup_value(node, container, name):
    return node.run(["cat", f"/sys/fs/cgroup/zonelet/{container}/{name}"]).stdout.strip()


def resources_of(node, container):
    return node.crictl.json("inspect", container)["status"]["resources"]["linux"]


def test_new_limits_for_a_container(native):
    """By hugetlb, the one controller of version 2 that every machine these tests run on has."""
    pod = run_pod(native.crictl, "limits")
    container = pod.container(IMAGE, "exec sleep 1000", linux={
        "resources": {"hugepage_limits": [{"page_size": "2MB", "limit": 4194304}]}})
    assert cgroup_value(native, container, "hugetlb.2MB.max") == "4194304"
    call(native, "update", container, "huge.2MB=8388608")
    assert cgroup_value(native, container, "hugetlb.2MB.max") == "8388608"
    assert resources_of(native, container)["hugepageLimits"] == [{"pageSize": "2MB", "limit": "8388608"}]
    # What crun refuses changes nothing, and says why.
    with pytest.raises(CrictlError, match="limits.*controller `no`"):
        call(native, "update", container, "unified.no.such.file=1")
    assert "unified" not in resources_of(native, container) or not resources_of(native, container)["unified"]
    # A restart keeps the new limits, also those of a container that was not started yet.
    waiting = pod.container(IMAGE, "exec sleep 1000", name="waiting", start=False)
    call(native, "update", waiting, "huge.2MB=2097152")
    native.kill()
    native.start()
    assert resources_of(native, container)["hugepageLimits"] == [{"pageSize": "2MB", "limit": "8388608"}]
    spec = native.crictl.json("inspect", container)["info"]["runtimeSpec"]
    assert spec["linux"]["resources"]["hugepageLimits"] == [{"pageSize": "2MB", "limit": 8388608}]
    native.crictl("start", waiting)
    assert cgroup_value(native, waiting, "hugetlb.2MB.max") == "2097152"
    assert native.crictl("exec", "-s", container, "echo", "alive").strip() == "alive"
    pod.remove()


def test_new_size_for_a_pod(native):
    pod = run_pod(native.crictl, "resize")
    call(native, "resize", pod.id, "memory=268435456", "quota=50000", "period=100000")
    native.kill()
    native.start()
    resources = pod.status()["info"]["config"]["linux"]["resources"]
    assert resources["memory_limit_in_bytes"] == 268435456 and resources["cpu_quota"] == 50000
    with pytest.raises(CrictlError, match="nothing"):
        call(native, "resize", "nothing", "memory=1")
    pod.remove()


def test_streamed_lists(native):
    pods = [run_pod(native.crictl, f"stream{i}") for i in range(2)]
    for pod in pods:
        pod.container(IMAGE, "exec sleep 1000")
    for method, expected in (("StreamPodSandboxes", 2), ("StreamContainers", 2), ("StreamContainerStats", 2),
                             ("StreamPodSandboxStats", 2), ("StreamPodSandboxMetrics", 2), ("StreamImages", 1)):
        assert call(native, "count", method).split() == [str(expected), "1"], method
    for pod in pods:
        pod.remove()
    # Nothing to send is no message at all, and no error.
    assert call(native, "count", "StreamPodSandboxes").split() == ["0", "0"]
    assert call(native, "count", "StreamContainerStats").split() == ["0", "0"]


def test_checkpoint_says_why_not(native):
    pod = run_pod(native.crictl, "checkpoint")
    with pytest.raises(CrictlError, match="CheckpointContainer.*zone"):
        call(native, "checkpoint", pod.container(IMAGE, "exec sleep 1000"))
    pod.remove()


def test_inspect_tells_what_people_look_for(native):
    pod = run_pod(native.crictl, "inspect")
    container = pod.container(IMAGE, "exec sleep 1000", envs=[{"key": "WHO", "value": "me"}])
    info = native.crictl.json("inspect", container)["info"]
    assert info["sandboxID"] == pod.id and info["runtimeType"] == "io.zonelet.host.v1"
    assert native.run(["cat", f"/proc/{info['pid']}/comm"]).stdout.strip() == "sleep"
    assert "WHO=me" in info["runtimeSpec"]["process"]["env"]
    assert info["config"]["envs"] == [{"key": "WHO", "value": "me"}]
    assert info["config"]["metadata"]["name"] == "main" and info["removing"] is False
    assert info["snapshotKey"].startswith("sha256:")
    own = pod.status()["info"]
    assert own["runtimeType"] == "io.zonelet.host.v1" and own["processStatus"] == "running"
    assert own["config"]["metadata"]["name"] == "inspect" and own["pid"] > 0
    pod.remove()


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
