# SPDX-License-Identifier: Apache-2.0
"""Pods in zones: real Xen, real images, by crictl. Every test is followed by the leak check (conftest.py)."""

import json
import re
import time

import pytest

from pods import Crictl, CrictlError, log_text, run_pod

IMAGE = "registry.lab:5000/busybox:1"
MIB = 1 << 20
REGISTRIES = ["registry.lab:5000", "registry.lab:5003"]


@pytest.fixture
def node(dom0):
    """A dom0 with the busybox image, and PV zones: the tests that want PVH ask for it."""
    dom0.crictl = Crictl(dom0, timeout="180s")
    configure(dom0)
    dom0.crictl("pull", IMAGE)
    return dom0


def configure(node, kind="pv", **zone):
    """Restarts zoneletd with these keys below `zone` in its configuration."""
    config = {"images": {"insecure_registries": REGISTRIES}, "zone": {"type": kind, **zone}}
    node.write("/etc/zonelet/zoneletd.yaml", json.dumps(config))
    restart(node)


def restart(node, kill=False, **environment):
    node.write("/etc/default/zoneletd", "".join(f"{name}={value}\n" for name, value in environment.items()))
    if kill:
        node.run("systemctl kill -s KILL zoneletd", check=False)
    node.run("systemctl reset-failed zoneletd; systemctl restart zoneletd", timeout=120)


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.3)


@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_life_of_a_pod(node, kind):
    configure(node, kind)
    pod = run_pod(node.crictl, "life")
    zone = pod.zone()
    assert f"life.default.{pod.id[:12]}" in node.run(["xl", "list"]).stdout
    container = pod.container(IMAGE, "echo hello; uname -r; exec sleep 1000")
    release = node.crictl("exec", "-s", container, "uname", "-r").strip()
    assert release and release != node.run(["uname", "-r"]).stdout.strip()
    wait_for(lambda: release in pod.log())
    assert log_text(pod.log()) == f"hello\n{release}\n"
    zones = json.loads(node.run(["zonectl", "zones", "-o", "json"]).stdout)
    assert str(zone["domid"]) in json.dumps(zones) and "life" in json.dumps(zones)
    wait_for(lambda: f"Linux version {release}" in node.run(["zonectl", "console", "life"]).stdout)
    node.crictl("stop", "-t", "0", container)
    assert node.crictl.json("inspect", container)["status"]["exitCode"] == 137
    pod.remove()
    assert "life.default" not in node.run(["xl", "list"]).stdout


@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_the_zone_has_the_size_of_the_pods_limits(node, kind):
    configure(node, kind)
    resources = {"cpu_period": 100000, "cpu_quota": 200000, "cpu_shares": 2048,
                 "memory_limit_in_bytes": 96 * MIB}
    pod = run_pod(node.crictl, "sized", linux={"resources": resources})
    container = pod.container(IMAGE, "exec sleep 1000")
    assert node.crictl("exec", "-s", container, "nproc").strip() == "2"
    total = int(node.crictl("exec", "-s", container, "awk", "/MemTotal/ {print $2}", "/proc/meminfo")) * 1024
    assert 80 * MIB < total < 128 * MIB
    assert pod.zone()["memoryBytes"] == (96 + 32) * MIB
    weight = node.run(["xl", "sched-credit2", "-d", str(pod.zone()["domid"])], check=False).stdout
    weight += node.run(["xl", "sched-credit", "-d", str(pod.zone()["domid"])], check=False).stdout
    assert "512" in weight
    pod.remove()


@pytest.mark.leaves(r"rule: .*(CNI-HOSTPORT|mark)", "the portmap plugin never removes its base chains")
def test_pods_reach_each_other_and_dom0_reaches_them(node):
    server = run_pod(node.crictl, "server", port_mappings=[{"container_port": 80, "host_port": 8080}])
    server.container(IMAGE, "mkdir /www; echo it works >/www/index.html; exec httpd -f -p 80 -h /www")
    client = run_pod(node.crictl, "client")
    container = client.container(IMAGE, "exec sleep 1000")
    url = f"http://{server.ip()}/index.html"
    wait_for(lambda: node.run(["curl", "-sf", "-m", "10", url], check=False).stdout == "it works\n")
    assert node.crictl("exec", "-s", container, "wget", "-qO-", url).strip() == "it works"
    node.crictl("exec", "-s", container, "ping", "-c", "1", "-W", "5", server.ip())
    # The port of the node, from another pod: through the node's rules.
    node_ip = node.run("ip -4 -o addr show dev cni0 | awk '{print $4}' | cut -d/ -f1").stdout.strip() or "10.88.0.1"
    assert node.crictl("exec", "-s", container, "wget", "-qO-", f"http://{node_ip}:8080/index.html").strip() == "it works"
    server.remove()
    client.remove()


def test_layers_of_an_image_become_one_root(node):
    image = "registry.lab:5000/layers:1"
    node.crictl("pull", image)
    pod = run_pod(node.crictl, "layers")
    container = pod.container(image, "exec sleep 1000")
    assert node.run("dmsetup ls").stdout.count("zonelet-img") == 1
    node.crictl("exec", "-s", container, "sh", "-c", "echo scratch >/written && cat /written")
    pod.remove()
    assert "zonelet-img" not in node.run("dmsetup ls").stdout
    node.crictl("rmi", image)


def test_streams_of_a_zone(node):
    pod = run_pod(node.crictl, "streams")
    container = pod.container(IMAGE, "mkdir /www; echo it works >/www/index.html; exec httpd -f -p 80 -h /www")
    assert node.run(f"echo hello | crictl exec -i {container} cat").stdout == "hello\n"
    node.run("head -c 3000000 /dev/urandom >/tmp/big")
    node.run(f"crictl exec -i {container} cat </tmp/big | cmp - /tmp/big && rm /tmp/big", timeout=300)
    failed = node.run(f"crictl exec -i {container} sh -c 'exit 7'", check=False)
    assert failed.code != 0 and "exit code 7" in failed.stderr
    node.run(f"crictl port-forward {pod.id} 18080:80 >/dev/null 2>&1 & p=$!; "
             "until curl -sf -m 20 http://127.0.0.1:18080/index.html >/tmp/got; do sleep 0.3; done; kill $p")
    assert node.run("cat /tmp/got; rm /tmp/got").stdout == "it works\n"
    pod.remove()


def test_statistics_and_new_limits_of_a_zone(node):
    pod = run_pod(node.crictl, "stats", linux={"resources": {"memory_limit_in_bytes": 128 * MIB}})
    container = pod.container(IMAGE, "exec sleep 1000", linux={"resources": {"memory_limit_in_bytes": 96 * MIB}})
    limit = ("exec", "-s", container, "cat", "/sys/fs/cgroup/memory.max")
    assert int(node.crictl(*limit)) == 96 * MIB
    stats = json.loads(node.run(["crictl", "stats", "-o", "json", container]).stdout)["stats"][0]
    assert 0 < int(stats["memory"]["workingSetBytes"]["value"]) < 96 * MIB
    assert int(stats["cpu"]["usageCoreNanoSeconds"]["value"]) > 0
    pods = json.loads(node.run(["crictl", "statsp", "-o", "json"]).stdout)["stats"]
    assert [each["attributes"]["metadata"]["name"] for each in pods] == ["stats"]
    node.crictl("update", "--memory", str(64 * MIB), container)
    assert int(node.crictl(*limit)) == 64 * MIB
    pod.remove()


COUNT = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo end; exec sleep 1000"


def test_kill_of_the_daemon_loses_no_output(node):
    pod = run_pod(node.crictl, "output")
    container = pod.container(IMAGE, COUNT)
    restart(node, kill=True)
    restart(node, kill=True)
    wait_for(lambda: "F end" in pod.log())
    assert log_text(pod.log()).splitlines() == [f"line {i}" for i in range(2000)] + ["end"]
    assert node.crictl("exec", "-s", container, "echo", "alive").strip() == "alive"
    pod.remove()


@pytest.mark.parametrize("step", ["reserve", "disks", "domain", "unpause", "vif", "connect", "hello", "cni", "splice",
                                  "configure"])
def test_kill_in_each_step_of_a_start(node, step):
    restart(node, ZONELET_FAILPOINTS=f"run.{step}=kill")
    with pytest.raises(CrictlError):
        run_pod(node.crictl, "killed")
    restart(node)
    assert node.crictl("pods", "-q").strip() == ""
    assert "killed.default" not in node.run(["xl", "list"]).stdout


def test_command_not_found(node):
    pod = run_pod(node.crictl, "nocommand")
    container = pod.container(IMAGE, ["/no/such/program"], start=False)
    with pytest.raises(CrictlError, match="pod nocommand.default.[0-9a-f]{12}, container main: .*/no/such/program") as error:
        node.crictl("start", container)
    assert error.value.code == "NotFound", str(error.value)
    status = node.crictl.json("inspect", container)["status"]
    assert (status["state"], status["exitCode"], status["reason"]) == ("CONTAINER_EXITED", 128, "StartError")
    pod.remove()


def fails(node, code, match, **more):
    with pytest.raises(CrictlError, match=match) as error:
        run_pod(node.crictl, "broken", **more)
    assert error.value.code == code, str(error.value)
    assert node.crictl("pods", "-q").strip() == ""
    return str(error.value)


def test_unknown_handler(node):
    fails(node, "InvalidArgument", "no runtime handler .*nothing.*: this node offers zone host; check runtimeClassName",
          handler="nothing")


def test_host_network_needs_the_host_handler(node):
    options = {"security_context": {"namespace_options": {"network": 2}}}
    fails(node, "InvalidArgument", "default/broken.*handler .*host", linux=options)


def test_host_pod_beside_zones(node):
    pod = run_pod(node.crictl, "beside", handler="host")
    container = pod.container(IMAGE, "echo hello; exec sleep 1000")
    second = pod.container(IMAGE, "exec sleep 1000", name="second")
    wait_for(lambda: log_text(pod.log()) == "hello\n")
    assert node.crictl("exec", "-s", container, "uname", "-r") == node.crictl("exec", "-s", second, "uname", "-r")
    assert node.crictl("exec", "-s", container, "uname", "-r").strip() == node.run(["uname", "-r"]).stdout.strip()
    assert node.crictl("exec", "-s", container, "env").count("NOTIFY_SOCKET") == 0
    assert "beside" not in node.run(["xl", "list"]).stdout
    pod.remove()


def test_pod_of_the_node_runs_under_host_where_that_is_allowed(node):
    config = {"images": {"insecure_registries": REGISTRIES}, "zone": {"type": "pv"}, "host_pods": {"namespaces": ["default"]}}
    node.write("/etc/zonelet/zoneletd.yaml", json.dumps(config))
    restart(node)
    pod = run_pod(node.crictl, "agent", linux={"security_context": {"namespace_options": {"network": 2}}})
    container = pod.container(IMAGE, "exec sleep 1000", linux={"security_context": {"namespace_options": {"network": 2}}})
    interfaces = "cut -d: -f1 /proc/net/dev"
    assert node.crictl("exec", "-s", container, "sh", "-c", interfaces).split() == node.run(interfaces).stdout.split()
    assert "audit: pod default/agent" in node.run("journalctl -u zoneletd -o cat --no-pager").stdout
    assert "agent" not in node.run(["xl", "list"]).stdout
    pod.remove()


def test_missing_zone_kernel(node):
    configure(node, kernel="/usr/lib/zonelet/no-such-kernel")
    fails(node, "NotFound", "pod broken.default.[0-9a-f]{12}: .*/usr/lib/zonelet/no-such-kernel.*(zone.kernel|reinstall)")


def test_not_enough_memory(node):
    resources = {"memory_limit_in_bytes": 512 * 1024 * MIB}
    fails(node, "ResourceExhausted", "pod broken.default.[0-9a-f]{12}: .*needs [0-9]+ MiB of Xen's memory and [0-9]+ MiB are free; ",
          linux={"resources": resources})


@pytest.mark.leaves(r"descriptor: (/dev/xen/(hypercall|privcmd)|pipe:\[N\]|socket:\[N\])",
                    "two operations at a time, so zoneletd keeps a second context of libxl")
def test_zone_kernel_panics(node):
    configure(node, cmdline="rdinit=/no/such/init init=/no/such/init")
    message = fails(node, "Unavailable", "pod broken.default.[0-9a-f]{12}: .*the zone .domain [0-9]+, broken.default.* crashed.*zonectl console")
    command = re.search(r"zonectl console [^`]+", message).group()
    assert "Kernel panic" in node.run(command).stdout


def test_supervisor_never_says_hello(node):
    configure(node, cmdline="rdinit=/no/such/init root=/dev/xvdz", hello_timeout="3s")
    fails(node, "DeadlineExceeded", "pod broken.default.[0-9a-f]{12}: .*did not say hello in time .domain [0-9]+.*zonectl console")


def test_destroyed_zone_makes_the_pod_not_ready(node):
    pod = run_pod(node.crictl, "gone")
    container = pod.container(IMAGE, "exec sleep 1000")
    node.run(["xl", "destroy", str(pod.zone()["domid"])])
    wait_for(lambda: pod.status()["status"]["state"] == "SANDBOX_NOTREADY")
    assert node.crictl.json("inspect", container)["status"]["state"] == "CONTAINER_EXITED"
    pod.remove()


CANNOT_BE = [
    ("registry.lab:5000/nothing:1", "NotFound", "pull registry.lab:5000/nothing:1: .*check the image's name and tag"),
    ("registry.lab:5000/busybox:nothing", "NotFound", "pull registry.lab:5000/busybox:nothing: .*check the image's name and tag"),
    ("registry.lab:5000/arm64only:1", "FailedPrecondition", "arm64only:1: .*linux/arm64 and this machine is linux/amd64; use "),
]


def test_pulls_that_cannot_be(dom0):
    configure(dom0)
    crictl = Crictl(dom0)
    for image, code, match in CANNOT_BE:
        with pytest.raises(CrictlError, match=match) as error:
            crictl("pull", image)
        assert error.value.code == code
    assert crictl("images", "-q").strip() == ""
    # One that was never pulled cannot be run either.
    pod = run_pod(crictl, "nothing")
    with pytest.raises(CrictlError, match=r"container main: image registry.lab:5000/busybox:1 .pull it first.") as error:
        pod.container(IMAGE)
    assert error.value.code == "NotFound"
    pod.remove()
