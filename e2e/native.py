# SPDX-License-Identifier: Apache-2.0
"""zoneletd on this machine, with the host handler alone: no Xen, so fast, and with sanitizers.

It has a network namespace of its own, so the machine's links and rules are never touched, and all its
files in one directory. Run inside the build root (tools/enter), as root.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from lab import cache
from lab.agent import Result

CNI = {
    "cniVersion": "1.0.0",
    "name": "zonelet",
    "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
         "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/16"}]],
                  "routes": [{"dst": "0.0.0.0/0"}]}},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

CONFIG = """
socket: {directory}/zoneletd.sock
root_dir: {disk}/lib
run_dir: {directory}/run
handlers: [host]
default_handler: host
log_level: debug
host:
  supervisor: {build}/zone/zonelet-supervisor
cni:
  conf_dir: {directory}/net.d
  cache_dir: {directory}/cni
  bin_dirs: [/usr/lib/cni]
images:
  dir: {disk}/images
  puller: {build}/storage-driver/zonelet-pull
  puller_user: "{puller}"
  registry_dir: {directory}/certs.d
"""


def _open_to_all(path):
    """Whether another user can get to the path; where not, the puller keeps the daemon's user."""
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 0o001:
            return False
    return True


def build_directory():
    """The programs with sanitizers if they are built, else those of the package; None if neither is."""
    for name in ("test", "release"):
        path = f"{cache.REPO}/build/{name}"
        if os.path.exists(f"{path}/cri-server/zoneletd"):
            return path
    return None


def use_machine_cgroups():
    """For a process with a mount namespace of its own: the machine's cgroups, whichever version they are.

    tools/enter hides version 1 hierarchies behind a plain version 2 tree, which has no controllers then.
    """
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        if sum(line.split()[4] == "/sys/fs/cgroup" for line in file) > 1:
            subprocess.run(["umount", "/sys/fs/cgroup"], check=True)


@contextlib.contextmanager
def alone():
    """One user of a Native at a time, whichever process it is: the leak check looks at the whole machine."""
    with open("/tmp/zonelet-native.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def picture(node):
    """What pods of this node make: namespaces, links, leases, files, processes, cgroups, mounts."""
    def listed(command):
        return set(node.run(["sh", "-c", f"{command} || true"]).stdout.split("\n"))
    return {
        "netns": listed("ls /run/netns | grep ^zonelet- | grep -v native"),
        "link": listed("ip -o link | grep -o 'veth[^@: ]*'"),
        "lease": listed(f"ls {node.directory}/leases/zonelet 2>/dev/null | grep '^[0-9]'"),
        "file": listed(f"find {node.directory}/run {node.disk}/lib {node.directory}/cni -mindepth 1 "
                       "-not -name 'state.db*' 2>/dev/null"),
        "process": listed(f"pgrep -af '^[^ ]*(zonelet-supervisor|zonelet-pull|mkfs.erofs) .*{node.directory}'"),
        "cgroup": listed("find /sys/fs/cgroup -path '*zonelet*' -type d"),
        "mount": listed("cut -d' ' -f5 /proc/self/mountinfo"),
        "rule": listed("nft list ruleset 2>/dev/null | grep -c dnat"),
    }


def difference(before, after):
    return {kind: sorted(after[kind] - before[kind]) for kind in before if after[kind] - before[kind]}


class Native:
    """A zoneletd here, and a place to run commands beside it (see pods.py)."""

    kind = "native"

    def __init__(self, build, registries=None, mirrored=()):
        """`registries` are served on this network's loopback, the plain one as a mirror of the hosts `mirrored`."""
        self.build = build
        self.directory = tempfile.mkdtemp(prefix="zonelet-native-", dir="/run")
        # EROFS mounts files of a real file system only, and /run is a tmpfs.
        os.makedirs(f"{cache.REPO}/build", exist_ok=True)
        self.disk = tempfile.mkdtemp(prefix="native-", dir=f"{cache.REPO}/build")
        os.chmod(self.directory, 0o755)
        os.chmod(self.disk, 0o755)
        self.socket = f"{self.directory}/zoneletd.sock"
        self.log = f"{self.directory}/zoneletd.log"
        self.netns = os.path.basename(self.directory)
        self.process = None
        self.helpers = []
        tools = subprocess.run([f"{cache.REPO}/tools/gotools", "--path"], check=True, capture_output=True,
                               text=True).stdout.strip()
        self.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        self.run(["ip", "link", "set", "lo", "up"])
        os.makedirs(f"{self.directory}/net.d")
        cni = json.loads(json.dumps(CNI))
        cni["plugins"][0]["ipam"]["dataDir"] = f"{self.directory}/leases"
        with open(f"{self.directory}/net.d/10-zonelet.conflist", "w", encoding="ascii") as file:
            json.dump(cni, file)
        with open(f"{self.directory}/zoneletd.yaml", "w", encoding="ascii") as file:
            file.write(CONFIG.format(directory=self.directory, disk=self.disk, build=build,
                                     puller="nobody" if _open_to_all(self.disk) else ""))
        if registries:
            self._forward(registries)
        for host in mirrored:
            self._mirror(host)

    def _mirror(self, host):
        from images import PLAIN
        os.makedirs(f"{self.directory}/certs.d/{host}")
        with open(f"{self.directory}/certs.d/{host}/hosts.toml", "w", encoding="ascii") as file:
            file.write(f'server = "http://127.0.0.1:{PLAIN}"\n')

    def _forward(self, registries):
        """The registries' sockets as ports of this network's loopback."""
        from images import SOCKETS
        for port, name in SOCKETS.items():
            self.helpers.append(self.popen(
                ["socat", f"TCP-LISTEN:{port},fork,reuseaddr,bind=127.0.0.1", f"UNIX:{registries.directory}/{name}"]))

    def inside(self, argv):
        argv = ["sh", "-c", argv] if isinstance(argv, str) else list(argv)
        return ["nsenter", f"--net=/run/netns/{self.netns}", *argv]

    def popen(self, argv, **more):
        return subprocess.Popen(self.inside(argv), **{"env": self.environment, **more})

    def run(self, argv, check=True, timeout=120, input=None):
        done = subprocess.run(self.inside(argv), capture_output=True, timeout=timeout, check=False,
                              env=self.environment, input=input.encode() if isinstance(input, str) else input)
        result = Result(str(argv), done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), 0.0)
        if check and result.code != 0:
            raise RuntimeError(f"{argv}: exit status {result.code}: {result.stderr.strip()}")
        return result

    def connect(self, address, port):
        """A TCP connection inside this network. A socket keeps the namespace that it was made in."""
        made = None

        def inside():
            nonlocal made
            with open(f"/run/netns/{self.netns}", "rb") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            made = socket.create_connection((address, port))
        # A thread has a namespace of its own, and takes it along when it ends.
        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if made is None:
            raise RuntimeError(f"no connection to {address}:{port}")
        return made

    # ---- the daemon

    def start(self, **environment):
        with open(self.log, "ab") as log:
            self.process = self.popen(
                [f"{self.build}/cri-server/zoneletd", "--config", f"{self.directory}/zoneletd.yaml"],
                stdout=log, stderr=log, env={**self.environment, **environment})
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            if os.path.exists(self.socket) and self.answers():
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"zoneletd does not answer within 30 s:\n{self.log_tail()}")
            time.sleep(0.02)
        raise RuntimeError(f"zoneletd ended with {self.process.returncode}:\n{self.log_tail()}")

    def answers(self):
        from pods import Crictl
        return Crictl(self, self.socket, timeout="2s").result("version").code == 0

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_tail(self, lines=40):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        for helper in self.helpers:
            helper.kill()
            helper.wait()
        subprocess.run(["pkill", "-KILL", "-f", self.directory], check=False)
        subprocess.run(["ip", "netns", "del", self.netns], check=False)
        for path in (self.directory, self.disk):
            with contextlib.suppress(OSError):
                shutil.rmtree(path)
