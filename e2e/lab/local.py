# SPDX-License-Identifier: Apache-2.0
"""A machine that is itself a Xen dom0: the operations of machine.Machine, on this machine.

Nothing is restored and nothing is thrown away here: what a caller does stays done.
"""

import contextlib
import os
import shutil
import subprocess
import threading

from . import LabError, machine
from .agent import Agent, CommandTimeout

# The lab's own programs run inside the build root; tools/enter leaves an open way to the machine outside of it.
OUTSIDE_PATH = os.environ.get("ZONELET_OUTSIDE")
OUTSIDE = ["nsenter", f"--mount={OUTSIDE_PATH}", "--"] if OUTSIDE_PATH else []


def is_dom0():
    """Whether this machine is the control domain of a Xen host."""
    with contextlib.suppress(OSError), open("/proc/xen/capabilities", encoding="ascii") as file:
        return "control_d" in file.read()
    return False


class LocalAgent(Agent):
    """Runs commands on this machine in place of an emulated one."""

    def __init__(self):
        super().__init__(None)

    def stream(self, argv, source=None, on_output=None, on_errors=None, timeout=None, cwd="/root"):
        process = subprocess.Popen([*OUTSIDE, "env", "-C", cwd, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, start_new_session=True)
        workers = [threading.Thread(target=_pass_on, args=pair) for pair in (
            (process.stdout, on_output), (process.stderr, on_errors))]
        workers.append(threading.Thread(target=_feed, args=(source, process.stdin), daemon=True))
        for worker in workers:
            worker.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            os.killpg(process.pid, 9)
            process.wait()
            raise CommandTimeout(f"`{' '.join(argv)}` did not end within {timeout} s and was killed") from error
        finally:
            for worker in workers[:2]:
                worker.join(1)
        return code if code >= 0 else 128 - code

    def set_clock(self, seconds):
        raise LabError("the clock of this machine is not the lab's to set")

    def shell(self, argv, cwd="/root"):
        return subprocess.run([*OUTSIDE, "env", "-C", cwd, *argv], check=False).returncode


def _pass_on(stream, function):
    while data := stream.read1(65536):
        if function:
            function(data)


def _feed(source, stream):
    with contextlib.suppress(BrokenPipeError):
        if source:
            shutil.copyfileobj(source, stream)
        stream.close()


class Machine(machine.Machine):
    """This machine. It cannot be started, saved or ended."""

    kind = "local"

    def __init__(self):
        super().__init__("this-machine")
        self.agent = LocalAgent()
        self.console = "/var/log/xen/console/hypervisor.log"

    def running(self):
        return True

    def start(self, **_):
        raise LabError("this machine is a Xen dom0 itself: there is nothing to start")

    def save(self, directory):
        raise LabError("this machine is a Xen dom0 itself: it cannot be saved")

    def down(self):
        """Nothing: the machine stays up."""

    remove = down
