# SPDX-License-Identifier: Apache-2.0
"""The lab itself: what all other tests stand on."""

import os

import pytest

import leaks
from lab import LabError
from lab.agent import CommandFailed, CommandTimeout

ZONE_INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc
/bin/busybox mount -t proc proc /proc
/bin/busybox uname -r
echo zone-is-up
while :; do /bin/busybox sleep 3600; done
"""


def test_run_gives_output_and_code(bare):
    result = bare.run("echo out; echo err >&2; exit 3", check=False)
    assert (result.stdout, result.stderr, result.code) == ("out\n", "err\n", 3)
    with pytest.raises(CommandFailed, match="ended with 3"):
        bare.run("exit 3")
    with pytest.raises(LabError, match="no-such-program: No such file"):
        bare.run(["no-such-program"])


def test_run_gives_input(bare):
    text = "line\n" * 100_000
    assert bare.run("cat", input=text).stdout == text
    # A command that ends before it has read everything is no failure.
    assert bare.run("head -n 1", input=text).stdout == "line\n"


def test_run_ends_late_commands(bare):
    with pytest.raises(CommandTimeout):
        bare.run("echo begun; exec sleep 1000", timeout=1)
    assert bare.run("pgrep -x sleep", check=False).stdout == ""
    # The port is of use again, and what the killed command said is not in the way.
    assert bare.run("echo next").stdout == "next\n"


def test_commands_run_side_by_side(bare):
    import threading
    results = []

    def one(number):
        results.append(bare.run(f"sleep 0.3; echo {number}").stdout.strip())

    threads = [threading.Thread(target=one, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=int) == [str(number) for number in range(12)]


def test_background_processes_do_not_hold_a_command(bare):
    assert bare.run("sleep 300 & echo started", timeout=30).stdout == "started\n"
    bare.run("pkill -x sleep")


def test_many_short_commands_all_answer(bare):
    # One port after another is closed and opened again: each time the kernel hears of the last host's end late.
    for number in range(300):
        assert bare.run(["echo", str(number)], timeout=30).stdout == f"{number}\n"


def test_put_and_get(bare, tmp_path):
    source = tmp_path / "source"
    (source / "directory").mkdir(parents=True)
    content = os.urandom(300_000)
    (source / "directory" / "file").write_bytes(content)
    (source / "directory" / "program").write_text("#!/bin/sh\necho ran\n")
    (source / "directory" / "program").chmod(0o755)
    bare.put(str(source), "/root/there")
    assert bare.run("/root/there/directory/program").stdout == "ran\n"
    bare.get("/root/there", str(tmp_path / "back"))
    assert (tmp_path / "back" / "directory" / "file").read_bytes() == content
    bare.put(str(source / "directory" / "file"), "/root/one/file")
    bare.get("/root/one/file", str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == content
    with pytest.raises(LabError, match="/root/nothing"):
        bare.get("/root/nothing", str(tmp_path / "nothing"))


@pytest.fixture(scope="module")
def boot_ids():
    return []


@pytest.mark.parametrize("time", [1, 2])
def test_every_test_gets_the_same_machine(bare, boot_ids, time):
    boot_ids.append(bare.run("cat /proc/sys/kernel/random/boot_id").stdout)
    assert len(set(boot_ids)) == 1
    bare.run("test ! -e /root/from-the-other && touch /root/from-the-other")


def test_clock_is_the_hosts(bare):
    import time
    # The saved machine is older than this; a slow emulation falls behind by seconds.
    assert abs(float(bare.run("date +%s.%N").stdout) - time.time()) < 60


def test_systemd_and_xen_are_content(bare):
    assert bare.run("systemctl is-system-running", check=False).stdout == "running\n"
    assert bare.run("systemctl --failed --no-legend").stdout == ""
    assert bare.run("cat /sys/fs/cgroup/cgroup.controllers").stdout.split() >= ["cpuset", "cpu", "io", "memory"]
    assert "(XEN)" in bare.run("xl dmesg").stdout


def test_registries_answer(bare, registry):
    plain = bare.run("curl -sf http://registry.lab:5000/v2/_catalog").stdout
    assert '"busybox"' in plain and '"multiarch"' in plain
    bare.put(registry.ca, "/root/ca.crt")
    curl = "curl -s --cacert /root/ca.crt -o /dev/null -w '%{http_code}'"
    assert bare.run(f"{curl} https://registry.lab:5001/v2/").stdout == "401"
    assert bare.run(f"{curl} -u lab:secret https://registry.lab:5001/v2/").stdout == "200"
    assert bare.run(f"{curl} https://registry.lab:5002/v2/busybox/manifests/1").stdout == "401"
    assert bare.run("curl -sf http://registry.lab:5003/v2/good/manifests/1 | grep -c layers").stdout == "1\n"


@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_debian_kernel_boots_as_a_zone(bare, tmp_path, kind):
    write_zone(bare, tmp_path, kind)
    bare.run("xl create -q /root/zone.cfg", timeout=120)
    bare.run("until grep -q zone-is-up /var/log/xen/console/guest-z1.log 2>/dev/null; do sleep 1; done", timeout=600)
    assert "z1" in bare.run("xl list").stdout
    release = bare.run("uname -r").stdout.strip()
    assert release in bare.run("cat /var/log/xen/console/guest-z1.log").stdout
    bare.run("xl destroy z1")


def test_leak_check_sees_what_is_left(bare):
    before = leaks.take(bare)
    assert leaks.difference(before, leaks.take(bare)) == ""
    made = {
        "netns: left": ("ip netns add left", "ip netns del left"),
        "link: left": ("ip link add left type dummy", "ip link del left"),
        "mount: /mnt": ("mount -t tmpfs tmpfs /mnt", "umount /mnt"),
        "loop: /root/image": ("truncate -s 1M /root/image; losetup -f /root/image", "losetup -D"),
        "dm: left": ("dmsetup create left --table '0 8 zero'", "dmsetup remove left"),
        "rule: ip saddr 10.9.9.9 drop": (
            "nft add table ip left; nft add chain ip left one; nft add rule ip left one ip saddr 10.9.9.9 drop",
            "nft delete table ip left"),
        "xenstore: /local/domain/77/device": ("xenstore-write /local/domain/77/device x",
                                              "xenstore-rm /local/domain/77"),
        "path: /sys/fs/cgroup/left": ("mkdir /sys/fs/cgroup/left", "rmdir /sys/fs/cgroup/left"),
        "path: /var/lib/cni/networks/lab/10.88.0.9": (
            "mkdir -p /var/lib/cni/networks/lab; touch /var/lib/cni/networks/lab/10.88.0.9", "rm -r /var/lib/cni"),
        "path: /run/zonelet/pods/1": ("mkdir -p /run/zonelet/pods/1", "rm -r /run/zonelet"),
    }
    bare.run("; ".join(make for make, _ in made.values()))
    bare.run("sleep 1000 >/dev/null 2>&1 </dev/null & exec true")
    text = leaks.difference(before, leaks.take(bare))
    for line in made:
        assert line in text
    bare.run("; ".join(undo for _, undo in made.values()) + "; pkill -x sleep")


def write_zone(bare, tmp_path, kind):
    """A zone from Debian's kernel and busybox: /root/zone.cfg in dom0."""
    bare.write("/root/zone/init", ZONE_INIT)
    bare.run("cd /root/zone && mkdir bin dev && cp /bin/busybox bin/ && chmod +x init")
    bare.get("/root/zone", str(tmp_path / "zone"))
    os.chmod(tmp_path / "zone" / "init", 0o755)
    os.system(f"cd {tmp_path}/zone && find . | cpio -o -H newc --quiet >{tmp_path}/initrd")
    bare.put(str(tmp_path / "initrd"), "/root/initrd")
    bare.write("/root/zone.cfg", f"""
name = "z1"
type = "{kind}"
kernel = "KERNEL"
ramdisk = "/root/initrd"
extra = "console=hvc0 quiet"
memory = 192
""")
    bare.run("sed -i s,KERNEL,$(echo /boot/vmlinuz-*), /root/zone.cfg")
