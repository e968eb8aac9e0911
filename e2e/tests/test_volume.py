# SPDX-License-Identifier: Apache-2.0
"""Directories and files of the node in zones, by 9P: real Xen. Every test is followed by the leak check."""

import os
import re
import subprocess

import pytest

from pods import CrictlError, run_pod
from test_zone import IMAGE, node, restart, wait_for  # noqa: F401 (fixture)

ROOT = "/var/lib/volumes"
SLEEP = "trap 'exit 0' TERM; sleep 100000 & wait"


def mount(host, container, **more):
    return {"host_path": host, "container_path": container, **more}


@pytest.fixture
def volumes(node):  # noqa: F811
    """A node whose directory ROOT is removed at the end."""
    node.run(["mkdir", "-p", ROOT])
    yield node
    node.run(["rm", "-rf", ROOT])


def inside(node, container, script, check=True):  # noqa: F811
    result = node.crictl.result("exec", "-s", container, "sh", "-c", script)
    assert not check or result.code == 0, result.stderr
    if not check:
        return result
    text = result.stdout.rstrip("\n")  # crictl adds some of its own
    return text + "\n" if text else ""


def config_map(node, directory, generation):  # noqa: F811
    """As the kubelet writes one: a new directory, then the link `..data` renamed over the old."""
    new = f"{directory}/..gen{generation}"
    node.run(f"mkdir -p {new} && echo value-{generation} >{new}/key && ln -sfn ..gen{generation} {directory}/..data_tmp "
             f"&& mv -T {directory}/..data_tmp {directory}/..data && ln -sfn ..data/key {directory}/key")


def servers(node):  # noqa: F811
    return node.run("pidof zonelet-9p", check=False).stdout.split()


def test_directories_files_and_what_is_done_with_them(volumes, tmp_path):
    node = volumes  # noqa: F811
    config_map(node, f"{ROOT}/config", 1)
    node.run(f"mkdir -p {ROOT}/empty {ROOT}/ro; chmod 0777 {ROOT}/empty; echo fixed >{ROOT}/ro/file; "
             f"echo '127.0.0.1 localhost' >{ROOT}/hosts; : >{ROOT}/termination; "
             f"head -c 20000000 /dev/urandom >{ROOT}/empty/large; cd {ROOT}; md5sum empty/large >digest")
    pod = run_pod(node.crictl, "volumes")
    container = pod.container(IMAGE, SLEEP, mounts=[
        mount(f"{ROOT}/config", "/config", readonly=True),
        mount(f"{ROOT}/empty", "/empty"),
        mount(f"{ROOT}/ro", "/ro", readonly=True),
        mount(f"{ROOT}/hosts", "/etc/hosts"),
        mount(f"{ROOT}/termination", "/dev/termination-log"),
        mount(f"{ROOT}/made", "/made"),
    ])
    assert len(servers(node)) == 1

    # A swap on the node is seen inside at once.
    assert inside(node, container, "cat /config/key") == "value-1\n"
    config_map(node, f"{ROOT}/config", 2)
    assert inside(node, container, "cat /config/key; readlink /config/..data") == "value-2\n..gen2\n"

    # Single files, both ways; a directory that was not there.
    assert "localhost" in inside(node, container, "cat /etc/hosts")
    inside(node, container, "echo why >/dev/termination-log; echo new >/made/file")
    assert node.run(["cat", f"{ROOT}/termination", f"{ROOT}/made/file"]).stdout == "why\nnew\n"

    # Read-only is the server's word too.
    result = inside(node, container, "echo x >/ro/file", check=False)
    assert result.code != 0 and "Read-only" in result.stderr
    assert inside(node, container, "mount -o remount,rw /ro 2>/dev/null; rm /ro/file 2>/dev/null; cat /ro/file") == "fixed\n"

    # Large files, both ways. Not by SHA-256: busybox computes it with instructions whose registers the emulator
    # loses when a PV zone's process waits in between.
    digest = node.run(["cat", f"{ROOT}/digest"]).stdout.split()[0]
    assert inside(node, container, "md5sum </empty/large").split()[0] == digest
    inside(node, container, "cp /empty/large /empty/copy && sync")
    assert node.run(["md5sum", f"{ROOT}/empty/copy"]).stdout.split()[0] == digest

    # Rename and unlink while open; links; sizes; owners.
    assert inside(node, container, "cd /empty; echo kept >a; exec 3<a; mv a b; rm b; cat <&3; ls a b 2>&1 | wc -l") \
        == "kept\n2\n"
    assert inside(node, container, "cd /empty; echo 1 >one; ln one two; ln -s one three; echo 2 >>two; cat three; "
                                   "stat -c '%h %s' one; rm one two three") == "1\n2\n2 4\n"
    inside(node, container, "cd /empty; dd if=/dev/zero of=synced bs=64k count=4 conv=fsync 2>/dev/null; "
                            "truncate -s 100 synced; chown 1000:2000 synced; chmod 4711 synced; mkdir -p d/e; touch d/e/f")
    assert node.run(["stat", "-c", "%s %u %g %a", f"{ROOT}/empty/synced"]).stdout == "100 1000 2000 4711\n"
    assert inside(node, container, "mknod /empty/device b 8 0 2>&1; ls /empty/device 2>&1 | tail -n 1").count("No such") == 1

    # A lock of the zone is seen by the node, and one of the node by the zone. The program comes by 9P too.
    program = tmp_path / "lock"
    subprocess.run(["gcc", "-static", "-O", "-o", program, f"{os.path.dirname(__file__)}/../images/lock.c"], check=True)
    node.put(str(program), f"{ROOT}/empty/program")
    node.run(f"chmod 755 {ROOT}/empty/program; touch {ROOT}/empty/a {ROOT}/empty/b")
    pod.container(IMAGE, ["/empty/program", "hold", "/empty/a"], name="holder", mounts=[mount(f"{ROOT}/empty", "/empty")])
    wait_for(lambda: "held" in pod.log("holder"))
    assert node.run([f"{ROOT}/empty/program", "try", f"{ROOT}/empty/a"]).stdout == "locked\n"
    assert node.run([f"{ROOT}/empty/program", "try", f"{ROOT}/empty/b"]).stdout == "free\n"
    node.run(f"setsid {ROOT}/empty/program hold {ROOT}/empty/b >/run/held 2>&1 </dev/null & echo $! >/run/holder; "
             "until grep -q held /run/held; do sleep 0.1; done")
    assert inside(node, container, "/empty/program try /empty/b; /empty/program try /empty/copy") == "locked\nfree\n"
    node.run("kill $(cat /run/holder); rm /run/held /run/holder")

    pod.remove()
    assert servers(node) == []


def test_containers_share_and_the_daemon_may_die(volumes):
    node = volumes  # noqa: F811
    pod = run_pod(node.crictl, "shared")
    one = pod.container(IMAGE, SLEEP, name="one", mounts=[mount(f"{ROOT}/both", "/both")])
    two = pod.container(IMAGE, SLEEP, name="two", mounts=[mount(f"{ROOT}/both", "/here", readonly=True)])
    server = servers(node)
    inside(node, one, "echo hello >/both/file")
    assert inside(node, two, "cat /here/file") == "hello\n"
    restart(node, kill=True)
    assert servers(node) == server and len(server) == 1
    inside(node, one, "echo again >/both/file")
    assert inside(node, two, "cat /here/file") == "again\n"
    three = pod.container(IMAGE, SLEEP, name="three", mounts=[mount(f"{ROOT}/both", "/both")])
    assert inside(node, three, "cat /both/file") == "again\n"
    node.crictl("stop", "-t", "0", one)
    node.crictl("rm", one)
    assert inside(node, three, "cat /both/file") == "again\n"
    pod.remove()
    assert servers(node) == []


def test_the_server_is_killed(volumes):
    node = volumes  # noqa: F811
    pod = run_pod(node.crictl, "orphan")
    container = pod.container(IMAGE, SLEEP, mounts=[mount(f"{ROOT}/data", "/data")])
    inside(node, container, "echo 1 >/data/file")
    old = servers(node)
    node.run(["kill", "-9", *old])
    wait_for(lambda: servers(node) not in ([], old))
    # An error, not a hang; and everything else of the pod works.
    assert inside(node, container, "timeout 60 cat /data/file; code=$?; [ $code != 0 ] && [ $code != 143 ]",
                  check=False).code == 0
    assert inside(node, container, "echo alive") == "alive\n"
    other = pod.container(IMAGE, SLEEP, name="other", mounts=[mount(f"{ROOT}/data", "/data")])
    assert inside(node, other, "cat /data/file") == "1\n"
    node.crictl("stop", "-t", "0", container)
    node.crictl("rm", container)
    pod.remove()
    assert servers(node) == []


def test_what_a_zone_cannot_have(volumes):
    node = volumes  # noqa: F811
    pod = run_pod(node.crictl, "refused")
    for wrong, match in (
            (mount(ROOT, "/x", propagation=2), f"refused.*main.*{ROOT}.*/x.*kernel of its own.*host"),
            (mount("/dev/null", "/x"), "refused.*main.*/dev/null.*device.*host"),
            (mount("/run/zonelet/zoneletd.sock", "/x"), "refused.*socket"),
            (mount("relative", "/x"), "refused.*relative.*not absolute")):
        with pytest.raises(CrictlError) as error:
            pod.container(IMAGE, SLEEP, mounts=[wrong])
        assert re.search(match, str(error.value)), str(error.value)
    assert servers(node) == []
    pod.remove()


def test_an_image_as_a_volume(volumes):
    node = volumes  # noqa: F811
    other = IMAGE.replace("busybox", "layers")
    node.crictl("pull", other)
    node.run(f"mkdir {ROOT}/data; echo node >{ROOT}/data/file")
    pod = run_pod(node.crictl, "images")
    mounts = [{"container_path": "/all", "image": {"image": other}},
              mount(f"{ROOT}/data", "/data"),
              {"container_path": "/part", "image": {"image": other}, "image_sub_path": "data/directory"},
              {"container_path": "/own", "image": {"image": IMAGE}, "image_sub_path": "etc"}]
    one = pod.container(IMAGE, SLEEP, name="one", mounts=mounts)
    two = pod.container(IMAGE, SLEEP, name="two", mounts=mounts[:1])
    look = "cat /all/data/replaced /part/two /data/file; grep -c root /own/passwd"
    assert inside(node, one, look) == "upper\nupper\nnode\n1\n"
    assert "Read-only" in inside(node, one, "touch /part/new", check=False).stderr
    assert inside(node, one, "/all/data/program 2>/dev/null; echo $?") == "126\n"
    for path in ("nothing", "etc/../../../../run/zonelet"):
        with pytest.raises(CrictlError, match=f"the image has no .*{path}") as error:
            pod.container(IMAGE, name=f"wrong{len(path)}", mounts=[{**mounts[2], "image_sub_path": path}])
        assert error.value.code == "NotFound"

    # One disk for an image, for as long as somebody has it, also after a restart of the daemon.
    disks = "grep -c xvd /proc/partitions"
    count = int(inside(node, one, disks))
    restart(node, kill=True)
    assert inside(node, one, look) == "upper\nupper\nnode\n1\n"
    with pytest.raises(CrictlError, match="in use by a container"):
        node.crictl("rmi", other)
    node.crictl("rm", "-f", one)
    assert inside(node, two, f"{disks}; cat /all/data/replaced") == f"{count}\nupper\n"
    node.crictl("rm", "-f", two)
    node.crictl("rmi", other)
    three = pod.container(IMAGE, SLEEP, name="three")
    assert int(inside(node, three, disks)) == count - 1
    pod.remove()
