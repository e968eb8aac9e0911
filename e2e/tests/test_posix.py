# SPDX-License-Identifier: Apache-2.0
"""POSIX file system suites in zones, against a directory of the node by 9P: pjdfstest and fsx, on real Xen.

What is run by default takes about a minute for each kind of zone; ZONELET_POSIX=all (`make posix-zone`) adds the
tests of long paths and lets fsx go on for longer. tools/posix-suites builds the programs. Tests that fail for a known reason are in
posix.known; one that passes in spite of it fails the run, too.
"""

import collections
import os
import re
import subprocess

import pytest

from lab.cache import REPO
from pods import log_text, run_pod
from test_volume import ROOT, mount, volumes  # noqa: F401 (fixture)
from test_zone import IMAGE, configure, node, wait_for  # noqa: F401 (fixture)

ALL = os.environ.get("ZONELET_POSIX") == "all"
KINDS = pytest.mark.parametrize("kind", ["pvh", "pv"])
PATIENCE = 3600 if ALL else 600
FSX_OPERATIONS = 5000 if ALL else 500
FSX_SEEDS = (1, 2, 3) if ALL else (1,)

PJDFSTEST = """
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.02
allow_remount = false
expected_failures = [%s]

[dummy_auth]
entries = [["nobody", "nobody"], ["app", "app"]]
"""

# Parts of the names of the tests that are run: all but link_count_max, which makes 65,000 links, and, by default,
# enametoolong_path, of which each call has one: 32 directories deep, by a path of 4 KiB, each use of which is some
# 100 requests: minutes on the emulated processor.
TESTS = ["_comp", "eexist", "enotdir", "efault", "eisdir", "einval", "ebusy", "enoent", "eloop_final", "exdev", "erofs",
         "etxtbsy", "eperm", "perm", "metadata", "time", "open_", "_symlink", "device_files", "sparse", "isgid",
         "uid_gid", "interact", "expected_mode", "remove_", "fifo_", "socket_error", "multiply", "shrink", "subdir",
         "exists_no_update", "increase_", "updates_link", "affected", "eacces", "enxio", "subsecond"]
if ALL:
    TESTS.append("enametoolong_path")

# 9P has no message for punching holes; all else that fsx can do is in.
FSX = """
[weights]
close_open = 2
invalidate = 2
mapread = 10
mapwrite = 10
read = 10
write = 10
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 1
sendfile = 2
posix_fadvise = 1
copy_file_range = 2
"""


def known():
    """Names of pjdfstest's tests that fail, and why."""
    found = {}
    with open(f"{REPO}/e2e/posix.known", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            name, mark, reason = line.partition("  # ")
            assert mark and reason.strip(), f"posix.known:{number}: a test, two spaces, # and a reason are wanted"
            found[name.strip()] = reason.strip()
    return found


@pytest.fixture
def suites(volumes):  # noqa: F811
    """A node that has the suites in ROOT/suites."""
    path = subprocess.run([f"{REPO}/tools/posix-suites", "--path"], check=True, capture_output=True,
                          text=True).stdout.strip()
    if not os.path.isdir(path):
        (pytest.fail if ALL else pytest.skip)("the suites are not built: `tools/posix-suites` says why")
    volumes.run(["mkdir", "-p", f"{ROOT}/suites"])
    for name in ("pjdfstest", "fsx"):
        volumes.put(f"{path}/{name}", f"{ROOT}/suites/{name}")
    volumes.run(f"chmod 755 {ROOT}/suites/*")
    return volumes


def run(node, kind, command, **more):  # noqa: F811
    """Runs a shell command in a container of a new zone; gives its exit code and its output."""
    configure(node, kind)
    privileged = {"linux": {"security_context": {"privileged": True}}}
    pod = run_pod(node.crictl, "posix", **privileged)
    container = pod.container(IMAGE, f"exec 2>&1; {command}", **privileged, **more, mounts=[
        mount(f"{ROOT}/suites", "/suites", readonly=True), mount(f"{ROOT}/work", "/work")])
    wait_for(lambda: node.crictl.json("inspect", container)["status"]["state"] == "CONTAINER_EXITED", PATIENCE)
    code, text = node.crictl.json("inspect", container)["status"]["exitCode"], log_text(pod.log())
    pod.remove()
    return code, text


def outcomes(text):
    """pjdfstest's lines, by what came of each test; with the lines below those that failed."""
    found = collections.defaultdict(list)
    last = None
    for line in text.splitlines():
        match = re.fullmatch(r"(\S+::\S+)\s+(ok|FAILED|skipped|failed as expected|PASSED UNEXPECTEDLY)", line)
        if match:
            last = match[2]
            found[last].append(match[1])
        elif line.startswith("\t") and last in ("FAILED", "skipped"):
            found[last][-1] += f": {line.strip()}"
    return found


@KINDS
def test_pjdfstest(suites, kind):
    names = ", ".join(f'"{name}"' for name in known())
    suites.write(f"{ROOT}/suites/pjdfstest.toml", PJDFSTEST % names)
    suites.run(f"mkdir -p {ROOT}/work; chmod 755 {ROOT}/work")
    _code, text = run(suites, kind, "/suites/pjdfstest -c /suites/pjdfstest.toml -p /work -s /tmp " + " ".join(TESTS))
    found = outcomes(text)
    print(", ".join(f"{len(names)} {outcome}" for outcome, names in found.items()))
    print("\n".join(found["skipped"]))
    wrong = [*found["FAILED"], *(f"{name}: passes, so posix.known is wrong" for name in found["PASSED UNEXPECTEDLY"])]
    assert not wrong and "Summary" in text, "\n".join(wrong) or text[-2000:]
    assert len(found["failed as expected"]) == len(known()), "posix.known has tests that there are not"
    assert len(found["ok"]) > 200


@KINDS
@pytest.mark.parametrize("seed", FSX_SEEDS)
def test_fsx(suites, kind, seed):
    suites.write(f"{ROOT}/suites/fsx.toml", FSX)
    suites.run(["mkdir", "-p", f"{ROOT}/work"])
    code, text = run(suites, kind, f"/suites/fsx -f /suites/fsx.toml -S {seed} -N {FSX_OPERATIONS} -P /tmp /work/file "
                                   "&& md5sum </work/file")
    assert code == 0, text[-4000:]
    # What the zone wrote is what the node has.
    assert suites.run(f"md5sum <{ROOT}/work/file").stdout == text.splitlines()[-1] + "\n"
