# SPDX-License-Identifier: Apache-2.0
"""AppArmor under the host handler, on dom0's kernel. Its profiles' parser is no part of the lab's dom0: it is brought.

Every test is followed by the leak check.
"""

import json
import os
import subprocess

import pytest

from lab.cache import REPO
from pods import Crictl, CrictlError, run_pod
from test_zone import IMAGE, REGISTRIES, restart

SLEEP = "trap 'exit 0' TERM; sleep 100000 & wait"
DEFAULT = "zonelet-default"
CURRENT = "cat /proc/self/attr/current"
RUNTIME_DEFAULT, UNCONFINED, LOCALHOST = 0, 1, 2
# What the parser is in Debian's package, and the profile that this has for crun.
PARSER = ["usr/sbin/apparmor_parser", "etc/apparmor", "etc/apparmor.d/tunables", "etc/apparmor.d/abstractions",
          "etc/apparmor.d/abi", "etc/apparmor.d/crun", "usr/share/apparmor-features"]
MINE = """
profile mine flags=(attach_disconnected) {
  file,
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  deny /tmp/** w,
}
"""


@pytest.fixture
def node(dom0):
    """A dom0 whose pods run under the host handler."""
    if dom0.run("cat /sys/module/apparmor/parameters/enabled", check=False).stdout.strip() != "Y":
        pytest.skip("this machine's kernel has no AppArmor in use")
    dom0.crictl = Crictl(dom0, timeout="180s")
    config = {"images": {"insecure_registries": REGISTRIES}, "handlers": ["host"], "default_handler": "host"}
    dom0.write("/etc/zonelet/zoneletd.yaml", json.dumps(config))
    restart(dom0)
    dom0.crictl("pull", IMAGE)
    return dom0


@pytest.fixture
def parser(node, tmp_path):
    """The same with apparmor_parser."""
    root = subprocess.run([f"{REPO}/tools/root", "--path", "suites"], check=True, capture_output=True, text=True).stdout.strip()
    if not os.path.isdir(root):
        pytest.fail("the root `suites` is missing: run `tools/setup suites-root` first", pytrace=False)
    archive = tmp_path / "parser.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, *(path for path in PARSER if os.path.exists(f"{root}/{path}"))],
                   check=True)
    node.put(str(archive), "/tmp/parser.tar")
    node.run("tar -C / --no-same-owner -xf /tmp/parser.tar && rm /tmp/parser.tar && apparmor_parser --version >&2")
    return node


def profile(kind, name=None):
    return {"linux": {"security_context": {"apparmor": {"profile_type": kind, **({"localhost_ref": name} if name else {})}}}}


def inside(node, container, script):
    result = node.crictl.result("exec", "-s", container, "sh", "-c", script)
    return result.code, (result.stdout if result.code == 0 else result.stderr).strip()


def profiles(node):
    return node.run("cut -d' ' -f1 /sys/kernel/security/apparmor/profiles").stdout.split()


def test_default_profile(parser):
    node = parser
    node.run("apparmor_parser -r /etc/apparmor.d/crun")  # as Debian loads it at boot
    assert DEFAULT not in profiles(node)
    pod = run_pod(node.crictl, "confined")
    security = {"linux": {"security_context": {"capabilities": {"add_capabilities": ["SYS_ADMIN"]},
                                               "seccomp": {"profile_type": UNCONFINED}}}}
    container = pod.container(IMAGE, f"{CURRENT}; {SLEEP}", **security)
    assert DEFAULT in profiles(node)
    # The container's own process, and an exec in it.
    assert f"{DEFAULT} (enforce)" in pod.log()
    assert inside(node, container, CURRENT) == (0, f"{DEFAULT} (enforce)")
    # Capabilities and seccomp would let it mount, AppArmor does not.
    code, text = inside(node, container, "mkdir -p /mnt; mount -t tmpfs none /mnt")
    assert code != 0 and "ermission denied" in text
    assert inside(node, container, "kill -0 1 && echo yes >/tmp/file && cat /tmp/file") == (0, "yes")
    # Signals from outside reach it: its own end, at a TERM.
    node.crictl("stop", "-t", "60", container)
    assert node.crictl.json("inspect", container)["status"]["exitCode"] == 0

    # /proc unmasked and writable: the kernel of the node is out of reach all the same.
    open_proc = {"linux": {"security_context": {"masked_paths": [], "readonly_paths": []}}}
    opened = pod.container(IMAGE, SLEEP, name="opened", **open_proc)
    code, _ = inside(node, opened, "echo 1 >/proc/sys/kernel/panic")
    assert code != 0
    code, _ = inside(node, opened, "echo h >/proc/sysrq-trigger")
    assert code != 0

    # Somebody removes it: the next container has it again.
    node.crictl("stop", "-t", "0", opened)
    node.run(f"printf {DEFAULT} >/sys/kernel/security/apparmor/.remove")
    assert DEFAULT not in profiles(node)
    again = pod.container(IMAGE, SLEEP, name="again", **profile(RUNTIME_DEFAULT))
    assert inside(node, again, CURRENT) == (0, f"{DEFAULT} (enforce)")
    pod.remove()

    # It goes with the package.
    node.run("dpkg --purge zonelet", timeout=300)
    assert DEFAULT not in profiles(node)


def test_other_profiles(parser):
    node = parser
    node.write("/root/mine", MINE)
    node.run("apparmor_parser -r -K /root/mine")
    pod = run_pod(node.crictl, "profiles", linux={"security_context": {"privileged": True}})
    free = pod.container(IMAGE, SLEEP, name="free", **profile(UNCONFINED))
    assert inside(node, free, CURRENT)[1] in ("unconfined", "crun (unconfined)")
    mine = pod.container(IMAGE, SLEEP, name="mine", **profile(LOCALHOST, "localhost/mine"))
    assert inside(node, mine, CURRENT) == (0, "mine (enforce)")
    assert inside(node, mine, "touch /tmp/file")[0] != 0
    assert inside(node, mine, "touch /file")[0] == 0
    privileged = pod.container(IMAGE, SLEEP, name="privileged", linux={"security_context": {"privileged": True}})
    assert inside(node, privileged, CURRENT)[1] in ("unconfined", "crun (unconfined)")
    with pytest.raises(CrictlError, match="no-such-profile is not loaded on this node: apparmor_parser"):
        pod.container(IMAGE, SLEEP, name="missing", **profile(LOCALHOST, "localhost/no-such-profile"))
    node.run("apparmor_parser -R /root/mine; rm /root/mine")
    pod.remove()


def test_no_parser(node):
    pod = run_pod(node.crictl, "bare")
    container = pod.container(IMAGE, SLEEP)
    assert inside(node, container, CURRENT) == (0, "unconfined")
    with pytest.raises(CrictlError, match=f"{DEFAULT} cannot be loaded.*apt install apparmor"):
        pod.container(IMAGE, SLEEP, name="asks", **profile(RUNTIME_DEFAULT))
    assert node.run("journalctl -u zoneletd -o cat --no-pager").stdout.count("run without AppArmor profile") == 1
    assert "no apparmor_parser" in node.run("zonectl check", check=False).stdout
    pod.remove()


def test_critest(parser, tmp_path):
    """The conformance suite's specs of AppArmor, with an image of the lab and a `sudo` that it calls."""
    node = parser
    tools = subprocess.run([f"{REPO}/tools/gotools", "--path"], check=True, capture_output=True, text=True).stdout.strip()
    node.put(f"{tools}/critest", "/root/critest")
    node.write("/usr/local/bin/sudo", '#!/bin/sh\nexec "$@"\n')
    node.write("/root/images.yaml", f"defaultTestContainerImage: {IMAGE}\n")
    node.run("chmod 755 /root/critest /usr/local/bin/sudo")
    done = node.run(["/root/critest", "--runtime-endpoint", "unix:///run/zonelet/zoneletd.sock", "--config", "/dev/null",
                     "--test-images-file", "/root/images.yaml", "--ginkgo.focus=AppArmor", "--ginkgo.no-color",
                     "--ginkgo.json-report=/root/report.json"], check=False, timeout=900)
    report = json.loads(node.run(["cat", "/root/report.json"]).stdout)
    states = {spec["LeafNodeText"]: spec["State"] for spec in report[0]["SpecReports"] if spec["State"] != "skipped"}
    count = sum(spec["State"] == "passed" for spec in report[0]["SpecReports"] if spec["LeafNodeType"] == "It")
    assert done.code == 0 and count == 9, f"{states}\n{done.stdout[-3000:]}"
