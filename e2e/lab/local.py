# SPDX-License-Identifier: Apache-2.0
"""A machine that is itself a Xen dom0: the operations of machine.Machine, on this machine.

Nothing is restored and nothing is thrown away here: what a caller does stays done.
"""

import contextlib
import io
import os
import shutil
import subprocess
import time

from . import LabError
from .agent import CommandFailed, CommandTimeout, Result


def is_dom0():
    """Whether this machine is the control domain of a Xen host."""
    with contextlib.suppress(OSError), open("/proc/xen/capabilities", encoding="ascii") as file:
        return "control_d" in file.read()
    return False


class LocalAgent:
    """agent.Agent on this machine."""

    def stream(self, argv, source=None, on_output=None, on_errors=None, timeout=None, cwd="/root"):
        """Runs argv; its output is given to the two functions when it has ended. Returns the exit code."""
        try:
            done = subprocess.run(argv, input=source.read() if source else b"", capture_output=True, timeout=timeout,
                                  cwd=cwd, start_new_session=True, check=False)
        except FileNotFoundError as error:
            raise LabError(f"this machine: {argv[0]}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise CommandTimeout(f"`{' '.join(argv)}` did not end within {timeout} s and was killed") from error
        for data, function in ((done.stdout, on_output), (done.stderr, on_errors)):
            if function and data:
                function(data)
        return done.returncode if done.returncode >= 0 else 128 - done.returncode

    def shell(self, argv, cwd="/root"):
        return subprocess.run(argv, cwd=cwd, check=False).returncode


class Machine:
    """This machine."""

    kind = "local"
    name = "this machine"
    console = "(this machine's own)"

    def __init__(self):
        self.agent = LocalAgent()

    def running(self):
        return True

    def start(self, **_):
        raise LabError("this machine is a Xen dom0 itself: nothing to start")

    def remove(self):
        """Nothing: the machine stays."""

    down = remove

    def run(self, command, check=True, timeout=120, input=None, cwd="/root"):
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        data = input.encode() if isinstance(input, str) else input
        out, err, start = [], [], time.monotonic()
        code = self.agent.stream(argv, io.BytesIO(data) if data is not None else None, out.append, err.append, timeout,
                                 cwd)
        result = Result(command if isinstance(command, str) else " ".join(argv), code,
                        b"".join(out).decode(errors="replace"), b"".join(err).decode(errors="replace"),
                        time.monotonic() - start)
        if check and code != 0:
            raise CommandFailed(result)
        return result

    def put(self, local, remote):
        _copy(local, remote)

    def get(self, remote, local):
        _copy(remote, local)

    def collect(self, directory):
        os.makedirs(directory, exist_ok=True)
        if os.path.isdir("/var/log/xen"):
            shutil.copytree("/var/log/xen", f"{directory}/xen", dirs_exist_ok=True)


def _copy(source, target):
    try:
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    except OSError as error:
        raise LabError(f"cannot copy {source} to {target}: {error.strerror}") from error
