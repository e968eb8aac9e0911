# SPDX-License-Identifier: Apache-2.0
"""Running zones get another size, on real Xen: memory, vcpus, and the limits of what is in them."""

import glob

import pytest

from lab.cache import REPO
from pods import CrictlError, run_pod
from test_zone import IMAGE, MIB, configure, node, restart, wait_for  # noqa: F401

# Memory and page tables of a zone's kernel; MemTotal is less than what the zone has by so much.
KERNEL = 40 * MIB


@pytest.fixture
def call(node):  # noqa: F811
    """A CRI call that crictl has no command for; gives its output, raises with the status' code."""
    program = glob.glob(f"{REPO}/build/release/unit/cri-services/cri-call")
    assert program, "there is no cri-call: run tools/deb"
    node.put(program[0], "/root/cri-call")

    def run(*words):
        result = node.run(["/root/cri-call", "/run/zonelet/zoneletd.sock", *words], check=False)
        if result.code != 0:
            raise CrictlError(words, result.stderr)
        return result.stdout
    return run


def inside(node, container, command):  # noqa: F811
    return node.crictl("exec", "-s", container, "sh", "-c", command).strip()


def total(node, container):  # noqa: F811
    """The memory that the zone's kernel has to give."""
    return int(inside(node, container, "awk '/MemTotal/ {print $2}' /proc/meminfo")) * 1024


def xen_memory(node, pod):  # noqa: F811
    """What Xen has given the zone, in MiB."""
    return int(node.run(["xl", "list", str(pod.zone()["domid"])]).stdout.splitlines()[1].split()[2])


@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_memory_down_and_up(node, call, kind):  # noqa: F811
    configure(node, kind)
    pod = run_pod(node.crictl, "memory", linux={"resources": {"memory_limit_in_bytes": 160 * MIB}})
    container = pod.container(IMAGE, "exec sleep 1000", linux={"resources": {"memory_limit_in_bytes": 96 * MIB}})
    begin = xen_memory(node, pod)
    assert begin in range(160 + 32 - 1, 160 + 32 + 2)
    # Down: the zone's kernel gives pages back, and Xen has them.
    call("resize", pod.id, f"memory={64 * MIB}")
    wait_for(lambda: xen_memory(node, pod) <= 64 + 32 + 4)
    assert total(node, container) < (64 + 32) * MIB
    assert pod.zone()["memoryBytes"] == (64 + 32) * MIB
    # Up to what it was made with.
    call("resize", pod.id, f"memory={160 * MIB}")
    wait_for(lambda: xen_memory(node, pod) >= 160 + 32 - 1)
    assert total(node, container) > (160 + 32) * MIB - KERNEL
    # And beyond: memory that it did not have, and that can be used.
    call("resize", pod.id, f"memory={480 * MIB}")
    wait_for(lambda: xen_memory(node, pod) >= 480 + 32 - 1)
    wait_for(lambda: total(node, container) > (480 + 32) * MIB - 2 * KERNEL)
    call("update", container, f"memory={400 * MIB}")
    assert inside(node, container, "cat /sys/fs/cgroup/memory.max") == str(400 * MIB)
    inside(node, container, "dd if=/dev/zero of=/dev/null bs=300M count=1 2>/dev/null && echo done")
    # What Xen does not have is refused, and nothing changes; nor does it by a restart of the daemon.
    with pytest.raises(CrictlError, match="resize pod memory.default.*Xen's memory") as error:
        call("resize", pod.id, f"memory={512 * 1024 * MIB}")
    assert error.value.message.startswith("8 ")  # RESOURCE_EXHAUSTED
    restart(node, kill=True)
    assert pod.zone()["memoryBytes"] == (480 + 32) * MIB and xen_memory(node, pod) >= 480 + 32 - 1
    call("update", container, f"memory={64 * MIB}")
    call("resize", pod.id, f"memory={96 * MIB}")
    wait_for(lambda: xen_memory(node, pod) <= 96 + 32 + 6)
    assert inside(node, container, "echo alive") == "alive"
    pod.remove()


@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_vcpus_up_and_down(node, call, kind):  # noqa: F811
    configure(node, kind, max_vcpus=2)
    pod = run_pod(node.crictl, "vcpus", linux={"resources": {"cpu_period": 100000, "cpu_quota": 100000}})
    container = pod.container(IMAGE, "exec sleep 1000")
    assert inside(node, container, "nproc") == "1"
    for count in (2, 1, 2):
        call("resize", pod.id, "period=100000", f"quota={100000 * count}")
        wait_for(lambda: inside(node, container, "nproc") == str(count))
        assert pod.zone()["vcpus"] == count
    # Share and cap of the cpus.
    call("resize", pod.id, "period=100000", "quota=150000", "shares=2048")
    shown = node.run(f"xl sched-credit2 -d {pod.zone()['domid']} || xl sched-credit -d {pod.zone()['domid']}").stdout
    assert "512" in shown and "150" in shown
    # The limits of what is in it.
    node.crictl("update", "--cpu-period", "100000", "--cpu-quota", "30000", container)
    assert inside(node, container, "cat /sys/fs/cgroup/cpu.max") == "30000 100000"
    pod.remove()


def test_no_more_vcpus_than_it_was_made_for(node, call):  # noqa: F811
    configure(node, max_vcpus=1)
    pod = run_pod(node.crictl, "vcpus")
    with pytest.raises(CrictlError, match="made with at most 1; make the pod anew") as error:
        call("resize", pod.id, "period=100000", "quota=200000")
    assert error.value.message.startswith("11 ")  # OUT_OF_RANGE
    assert pod.zone()["vcpus"] == 1
    pod.remove()
