# SPDX-License-Identifier: Apache-2.0
"""One emulated machine: its directory, its process, and what can be asked of it.

A machine NAME lives in CACHE/lab/machines/NAME: disk.qcow2 (its own changes), console.log (Xen and dom0),
qemu.log, machine.json, and `lock`, which QEMU holds for as long as it runs. Its sockets are in a short
directory under /tmp.
"""

import contextlib
import fcntl
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time

from . import LabError, cache, dom0
from .agent import Agent
from .cache import tool
from .qemu import Qmp, Shape

PAYLOAD_SIZE = 2 << 30


def machines_directory():
    path = f"{cache.cache_directory()}/lab/machines"
    os.makedirs(path, exist_ok=True)
    return path


def names():
    """The machines that have a directory, running or not."""
    return sorted(os.path.basename(path) for path in glob.glob(f"{machines_directory()}/*") if os.path.isdir(path))


class Machine:
    """A machine by name, running or not."""

    kind = "qemu"

    def __init__(self, name):
        self.name = name
        self.directory = f"{machines_directory()}/{name}"
        short = hashlib.sha256(self.directory.encode()).hexdigest()[:12]
        self.sockets = f"/tmp/zonelet-lab-{os.getuid()}/{short}"
        self.console = f"{self.directory}/console.log"
        self.agent = Agent(self.sockets)

    # Life

    def running(self):
        try:
            with open(f"{self.directory}/lock", "w", encoding="ascii") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def facts(self):
        with open(f"{self.directory}/machine.json", encoding="utf-8") as file:
            return json.load(file)

    def start(self, shape=None, level=None, payload=None, registry=None, tied=False):
        """Starts the machine: cold, or from a saved level (level.Level).

        payload: a directory whose content dom0 can mount, see mount_payload.
        registry: the directory of an images.serve.Registries, for dom0's registry.lab.
        tied: QEMU ends with this process.
        """
        shape = level.shape if level else shape or Shape()
        lock = self._claim()
        made = level.made if level else dom0.made()
        base = f"{level.path}/disk.qcow2" if level else f"{made.path}/disk.raw"
        disk = f"{self.directory}/disk.qcow2"
        tool(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2" if level else "raw", disk],
             "lab-machine")
        self.set_registry(registry)
        _make_payload(payload, f"{self.directory}/payload.img")
        arguments = shape.arguments(made.path, disk, f"{self.directory}/payload.img", self.sockets, self.console)
        if level:
            arguments += ["-incoming", "defer"]
        if tied:
            arguments = ["setpriv", "--pdeathsig", "KILL", *arguments]
        locks = [lock, made.lock, *(level.locks if level else [])]
        with open(f"{self.directory}/qemu.log", "ab") as log:
            process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                       start_new_session=True, pass_fds=locks, cwd=self.directory)
        os.close(lock)
        with open(f"{self.directory}/machine.json", "w", encoding="utf-8") as file:
            json.dump({"pid": process.pid, "shift": shape.shift, "level": level.name if level else None,
                       "started": time.time(), "arguments": arguments}, file)
        self._wait_sockets(process)
        if level:
            self._restore(level)

    def _claim(self):
        """Empties the machine's directory and takes its lock."""
        os.makedirs(self.directory, exist_ok=True)
        lock = os.open(f"{self.directory}/lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise LabError(f"the machine \"{self.name}\" is already up; `lab down --name {self.name}` ends it, "
                           "or give another --name") from None
        for path in glob.glob(f"{self.directory}/*"):
            if os.path.basename(path) != "lock":
                os.unlink(path)
        os.makedirs(os.path.dirname(self.sockets), mode=0o700, exist_ok=True)
        shutil.rmtree(self.sockets, ignore_errors=True)
        os.mkdir(self.sockets, 0o700)
        return lock

    def _wait_sockets(self, process):
        deadline = time.monotonic() + 20
        while not os.path.exists(f"{self.sockets}/port7"):
            if process.poll() is not None:
                raise LabError(f"QEMU did not start: {self.last_words()}; full log: {self.directory}/qemu.log")
            if time.monotonic() > deadline:
                raise LabError(f"QEMU opened no control sockets within 20 s; see {self.directory}/qemu.log")
            time.sleep(0.01)

    def _restore(self, level):
        with self.qmp() as qmp:
            qmp.call("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
            qmp.call("migrate-incoming", uri=f"file:{level.path}/state")
            qmp.wait_migration()
            qmp.call("cont")
        self.agent.set_clock(time.time())

    def last_words(self):
        with contextlib.suppress(OSError), open(f"{self.directory}/qemu.log", errors="replace") as file:
            return (file.read().strip().splitlines() or ["it said nothing"])[-1]
        return "it left no log"

    def qmp(self):
        return Qmp(f"{self.sockets}/qmp")

    def save(self, directory):
        """Saves the running machine as directory/disk.qcow2 and directory/state, and ends it."""
        with self.qmp() as qmp:
            qmp.call("stop")
            qmp.call("migrate-set-capabilities", capabilities=[{"capability": "events", "state": True}])
            # No limit on the bandwidth: it goes to a file.
            qmp.call("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            qmp.call("migrate", uri=f"file:{directory}/state")
            qmp.wait_migration()
            qmp.call("quit")
        self._wait_end()
        os.rename(f"{self.directory}/disk.qcow2", f"{directory}/disk.qcow2")
        shutil.copy(self.console, f"{directory}/console.log")

    def _wait_end(self, timeout=20):
        deadline = time.monotonic() + timeout
        while self.running():
            if time.monotonic() > deadline:
                raise LabError(f"QEMU of \"{self.name}\" does not end")
            time.sleep(0.01)
        # It is our own child if we started it: no zombie of it shall stay.
        with contextlib.suppress(ChildProcessError, OSError):
            os.waitpid(self.facts()["pid"], 0)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def down(self):
        """Ends the machine at once, like pulling the plug."""
        if not self.running():
            return
        with contextlib.suppress(LabError, OSError), self.qmp() as qmp:
            qmp.call("quit")
        try:
            self._wait_end(5)
        except LabError:
            os.kill(self.facts()["pid"], signal.SIGKILL)
            self._wait_end()

    def remove(self):
        """Ends the machine and removes its directory."""
        self.down()
        shutil.rmtree(self.directory, ignore_errors=True)

    def set_registry(self, directory):
        """Says where connections to registry.lab go from now on; None: nowhere, they end at once."""
        link = f"{self.sockets}/registry"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        if directory:
            os.symlink(directory, link)

    # Work

    def run(self, command, check=True, timeout=120, input=None, cwd="/root"):
        """Runs a shell command (str) or a program (list) in dom0; returns an agent.Result."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        source = None
        if input is not None:
            source = io.BytesIO(input.encode() if isinstance(input, str) else input)
        return self.agent.run(argv, source, timeout, check, cwd)

    def put(self, local, remote):
        """Copies a file to the path `remote`, or a directory's content into the directory `remote`."""
        if os.path.isdir(local):
            with subprocess.Popen(["tar", "-C", local, "--owner=0", "--group=0", "-cf", "-", "."],
                                  stdout=subprocess.PIPE) as tar:
                self._copy(["sh", "-c", 'mkdir -p "$1" && exec tar -C "$1" -xf -', "sh", remote], tar.stdout)
            return
        mode = os.stat(local).st_mode & 0o777
        with open(local, "rb") as file:
            self._copy(["sh", "-c", f'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod {mode:o} "$1"', "sh", remote],
                       file)

    def _copy(self, argv, source):
        errors = []
        code = self.agent.stream(argv, source, None, errors.append, 600)
        if code != 0:
            raise LabError(f"cannot copy to {argv[-1]} in dom0: {b''.join(errors).decode(errors='replace').strip()}")

    def get(self, remote, local):
        """Copies a file from dom0 to the path `local`, or a directory's content into the directory `local`."""
        directory = self.run(["test", "-d", remote], check=False).code == 0
        argv = ["tar", "-C", remote, "-cf", "-", "."] if directory else ["cat", remote]
        target = f"{local}.part" if not directory else f"{local.rstrip('/')}.tar.part"
        os.makedirs(os.path.dirname(os.path.abspath(local)), exist_ok=True)
        errors = []
        with open(target, "wb") as file:
            code = self.agent.stream(argv, None, file.write, errors.append, 600)
        if code != 0:
            os.unlink(target)
            raise LabError(f"cannot copy {remote} from dom0: {b''.join(errors).decode(errors='replace').strip()}")
        if directory:
            with tarfile.open(target) as tar:
                tar.extractall(local, filter="data")
            os.unlink(target)
        else:
            os.rename(target, local)

    @contextlib.contextmanager
    def payload(self):
        """Mounts the payload disk for the length of the block; gives its path in dom0.

        The disk's content was written after the machine was saved, so what dom0 remembers of it is dropped.
        """
        self.run("blockdev --flushbufs /dev/vdb && mkdir -p /run/payload && mount -t erofs -o ro /dev/vdb /run/payload")
        try:
            yield "/run/payload"
        finally:
            self.run("umount /run/payload && rmdir /run/payload && blockdev --flushbufs /dev/vdb")

    def collect(self, directory):
        """Copies the consoles of Xen, dom0 and all zones, and dom0's journal, into a directory."""
        os.makedirs(directory, exist_ok=True)
        with contextlib.suppress(OSError):
            shutil.copy(self.console, f"{directory}/console.log")
        with contextlib.suppress(LabError):
            self.get("/var/log/xen", f"{directory}/xen")
        for name, command in (("journal", "journalctl -b --no-pager -o short-precise"), ("xl-dmesg", "xl dmesg"),
                              ("xl-list", "xl list"), ("xenstore", "xenstore-ls -f"), ("processes", "ps axf -o pid,stat,wchan:20,args")):
            with contextlib.suppress(LabError):
                result = self.run(command, check=False, timeout=60)
                with open(f"{directory}/{name}.log", "w", encoding="utf-8") as file:
                    file.write(result.stdout + result.stderr)


def _make_payload(content, path):
    """A disk of fixed size: saved machines have one, whatever it holds."""
    with open(path, "wb"):
        pass
    if content:
        tool(["mkfs.erofs", "--quiet", path, content], "lab-machine")
    os.truncate(path, PAYLOAD_SIZE)
