# SPDX-License-Identifier: Apache-2.0
"""Saved machines that others start from, each made once.

booted   dom0 is up, Xen's services run; nothing of the project is there
ready    the project's package and crictl are installed and zoneletd runs
(others)  what their users have prepared over one of these: above()

A level is a disk (an overlay over the disk of the level below) and the state of the stopped machine, as QEMU
migrates it to a file. Starting from it copies nothing: the new machine's disk is an empty overlay.
"""

import contextlib
import glob
import inspect
import os
import shutil
import subprocess
import time

from . import LabError, cache, dom0
from .agent import CommandFailed
from .cache import say
from .machine import Machine

BOOT_PATIENCE = 600


class Level:
    """A saved machine. `locks` keep it, and the levels below it, in the cache."""

    def __init__(self, name, shape, made, saved, below=()):
        self.name = name
        self.shape = shape
        self.made = made
        self.path = saved.path
        self.locks = [saved.lock, *below]
        self.saved = saved


def booted(shape):
    """The level `booted` of a shape."""
    made = dom0.made()
    key = cache.digest(made.id, shape.key(), IDLE, inspect.getsource(_boot))
    saved = cache.make("booted", key, lambda directory: _boot(shape, directory), "booted Xen and dom0, and saved them")
    cache.prune("booted", 4)
    cache.prune("dom0", 2)
    return Level("booted", shape, made, saved)


def _boot(shape, directory):
    with _scratch_machine("making-booted", directory) as machine:
        start = time.monotonic()
        machine.start(shape)
        machine.agent.wait(BOOT_PATIENCE)
        say(f"dom0's userland is up: {time.monotonic() - start:.0f} s")
        state = machine.run("systemctl is-system-running --wait", check=False, timeout=BOOT_PATIENCE).stdout.strip()
        if state != "running":
            failed = machine.run("systemctl --failed --no-legend --plain", check=False).stdout.strip()
            raise LabError(f"dom0 came up {state or 'without an answer'}: {failed}; console: {directory}/console.log")
        machine.run("xl list >/dev/null && xenstore-read /local/domain/0/name")
        _settle(machine)
        machine.save(directory)


def ready(shape, package, crictl_program=None):
    """The level `ready`: `booted` with the package (a .deb file) installed and started."""
    below = booted(shape)
    files = [f"@{path}" for path in (package, crictl_program) if path]
    key = cache.digest(below.saved.id, inspect.getsource(_install), *files)

    def build(directory):
        _install(below, package, crictl_program, directory)

    saved = cache.make("ready", key, build, f"installed {os.path.basename(package)}, and saved the machine")
    cache.prune("ready", 3)
    return Level("ready", shape, below.made, saved, below.locks)


def _install(below, package, crictl_program, directory):
    content = f"{directory}/payload"
    os.mkdir(content)
    shutil.copy(package, f"{content}/package.deb")
    if crictl_program:
        shutil.copy(crictl_program, f"{content}/crictl")
    with _scratch_machine("making-ready", directory) as machine:
        machine.start(level=below, payload=content)
        with machine.payload() as path:
            try:
                # Debian's dpkg syncs every file to the disk; this disk is thrown away.
                machine.run(f"dpkg --force-unsafe-io --force-confold -i {path}/package.deb", timeout=600)
                if crictl_program:
                    machine.run(f"install {path}/crictl /usr/local/bin/crictl")
            except CommandFailed as error:
                raise LabError(f"the package does not install in dom0: {error}") from error
        try:
            machine.run("systemctl start zoneletd.service", timeout=300)
        except CommandFailed as error:
            journal = machine.run("journalctl -u zoneletd --no-pager -n 20 -o cat", check=False).stdout
            raise LabError(f"zoneletd does not start in dom0: {error}\n{journal}") from error
        _settle(machine)
        machine.save(directory)
    shutil.rmtree(content)


def above(below, name, key, prepare, files, registry=None):
    """The level `name`, keyed by `key`: what prepare(machine) makes of the level `below`.

    files: names and paths of files that the machine's payload has while it is prepared.
    registry: as for Machine.start.
    """
    def build(directory):
        content = f"{directory}/payload"
        os.mkdir(content)
        for file, path in files.items():
            shutil.copy(path, f"{content}/{file}")
        with _scratch_machine(f"making-{name}", directory) as machine:
            machine.start(level=below, payload=content, registry=registry)
            prepare(machine)
            _settle(machine)
            machine.save(directory)
        shutil.rmtree(content)

    saved = cache.make(name, key, build, f"prepared the level {name}, and saved the machine")
    cache.prune(name, 2)
    return Level(name, below.shape, below.made, saved, below.locks)


# Ends once dom0's processors were idle for nine tenths of a second in a row of one.
IDLE = """
udevadm settle
sync
read -r x a </proc/uptime
for i in $(seq 120); do
    sleep 1
    read -r y b </proc/uptime
    awk -v x="$x" -v y="$y" -v a="$a" -v b="$b" -v n="$(nproc)" 'BEGIN { exit !(b - a > 0.9 * n * (y - x)) }' && exit 0
    x=$y a=$b
done
echo "dom0 is still busy after two minutes" >&2
exit 1
"""


def _settle(machine):
    """Waits until dom0 has nothing left to do: whoever starts from here would wait for it instead."""
    machine.run(["sh", "-c", IDLE], timeout=600)


@contextlib.contextmanager
def _scratch_machine(name, directory):
    """A machine that is gone afterwards; when it fails, what it said is kept in build/logs."""
    machine = Machine(f"{name}-{os.getpid()}")
    try:
        yield machine
    except LabError as error:
        kept = f"{cache.LOGS}/{name}"
        shutil.rmtree(kept, ignore_errors=True)
        if machine.running():
            machine.collect(kept)
        raise LabError(str(error).replace(directory, kept) + f" (consoles and logs: {kept})") from error
    finally:
        machine.remove()


def newest_package():
    """The project's package as `make deb` leaves it, or None."""
    found = glob.glob(f"{cache.REPO}/build/*.deb")
    return max(found, key=os.path.getmtime) if found else None


def crictl():
    """The crictl that tools/gotools has built, or None."""
    directory = subprocess.run([f"{cache.REPO}/tools/gotools", "--path"], check=True, capture_output=True,
                               text=True).stdout.strip()
    return f"{directory}/crictl" if os.path.exists(f"{directory}/crictl") else None
