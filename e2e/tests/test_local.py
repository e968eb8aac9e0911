# SPDX-License-Identifier: Apache-2.0
"""The lab's back end for a machine that is a Xen host itself, tried on this machine, whatever it is."""

import os

import pytest

from lab import LabError, local
from lab.agent import CommandFailed, CommandTimeout


@pytest.fixture
def this():
    return local.Machine()


def test_run(this):
    result = this.run("echo out; echo err >&2; exit 3", check=False)
    assert (result.stdout, result.stderr, result.code) == ("out\n", "err\n", 3)
    assert this.run(["cat"], input="text").stdout == "text"
    with pytest.raises(CommandFailed, match="ended with 1"):
        this.run("false")
    with pytest.raises(CommandTimeout):
        this.run("sleep 1000", timeout=0.2)


def test_commands_run_outside_the_build_root(this):
    assert this.run("cat /etc/zonelet-root", check=False).code == 1
    if local.OUTSIDE:
        assert this.run("readlink /proc/self/ns/mnt").stdout.strip() != os.readlink("/proc/self/ns/mnt")


def test_put_and_get(this, tmp_path):
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "file").write_bytes(bytes(range(256)) * 1000)
    # pytest's directory is below /tmp, which the build root shares with the machine.
    this.put(str(tmp_path / "directory"), f"{tmp_path}/there")
    this.get(f"{tmp_path}/there/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == bytes(range(256)) * 1000
    with pytest.raises(LabError, match="cannot copy"):
        this.get(f"{tmp_path}/nothing", str(tmp_path / "nothing"))


def test_a_real_machine_is_not_started_or_saved(this):
    for forbidden in (this.start, lambda: this.save("/tmp")):
        with pytest.raises(LabError, match="itself"):
            forbidden()
    assert this.running()
