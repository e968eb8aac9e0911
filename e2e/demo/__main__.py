# SPDX-License-Identifier: Apache-2.0
"""Pulls an image, runs a pod in a zone, looks at it from all sides, removes it, and shows all that."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time

import leaks
from images import PLAIN, serve
from lab import LabError, cache, level, local, machine
from lab.qemu import Shape

POD = {
    "metadata": {"name": "hello", "namespace": "demo", "uid": "demo-hello-1", "attempt": 0},
    "hostname": "hello",
    "log_directory": "/var/log/pods/demo_hello_1",
    "dns_config": {"servers": ["10.0.2.3"]},
    "linux": {},
}
SCRIPT = 'echo "hello, I am $(hostname), on $(uname -sr)"; exec httpd -f -p 80 -h /var/www'
COLUMN = 88


def _shown(word):
    """A word of a command line as a person would type it: quoted where needed, long ids cut as crictl allows."""
    if len(word) == 64 and " " not in word:
        return word[:13]
    return f"'{word}'" if " " in word else word


class Demo:
    """One showing on one machine."""

    def __init__(self, target, image, crictl):
        self.machine = target
        self.image = image
        self.crictl_program = crictl
        self.times = []
        self.colour = sys.stdout.isatty()

    def say(self, text, code="1"):
        print(f"\033[{code}m{text}\033[0m" if self.colour else text, flush=True)

    def step(self, what, command, show=True):
        """Runs a command in dom0, shows it with its output and its time; returns what it said."""
        words = [self.crictl_program if word == "crictl" else word for word in command]
        start = time.monotonic()
        result = self.machine.run(words, timeout=300, check=False)
        seconds = time.monotonic() - start
        self.times.append((what, seconds))
        self.say(f"\n{what}")
        line = "$ " + " ".join(_shown(word) for word in command)
        print(f"  {line:<{COLUMN}} {seconds:6.2f} s")
        said = result.stdout if result.code == 0 else result.stdout + result.stderr
        if show or result.code != 0:
            for text in said.rstrip().splitlines():
                print(f"  | {text}")
        sys.stdout.flush()
        if result.code != 0:
            raise LabError(f"`{line[2:]}` failed in dom0: {(result.stderr.strip() or result.stdout.strip()).splitlines()[-1]}")
        return result.stdout.strip()

    def files(self):
        """The two files that crictl wants."""
        container = {"metadata": {"name": "web", "attempt": 0}, "image": {"image": self.image},
                     "command": ["sh", "-c", SCRIPT], "log_path": "web.log", "linux": {}}
        for name, content in (("pod", POD), ("container", container)):
            self.machine.run(["sh", "-c", f"mkdir -p /root/demo && cat >/root/demo/{name}.json"],
                             input=json.dumps(content, indent=1))

    def show(self):
        self.files()
        before = leaks.take(self.machine)
        self.step("Pull the image from the registry.", ["crictl", "pull", self.image])
        pod = self.step("Start the pod's sandbox: a Xen domain of its own.", ["crictl", "runp", "/root/demo/pod.json"])
        try:
            self.look(pod)
        finally:
            self.step("Stop the pod: the domain ends.", ["crictl", "stopp", pod], show=False)
            self.step("Remove it.", ["crictl", "rmp", pod], show=False)
        self.step("The domains now.", ["xl", "list"])
        self.step("Remove the image.", ["crictl", "rmi", self.image], show=False)
        self.machine.run("rm -rf /root/demo /var/log/pods/demo_hello_1")
        left = leaks.left(self.machine, before)
        if left:
            raise LabError(f"the pod left behind:\n{left}")
        self.say("\nNothing is left: no domain, device, mount, network interface, rule, process or file.", "1;32")

    def look(self, pod):
        container = self.step("Create a container in it.",
                              ["crictl", "create", pod, "/root/demo/container.json", "/root/demo/pod.json"])
        self.step("Start the container.", ["crictl", "start", container], show=False)
        self.step("The domains that Xen runs: dom0 and the pod.", ["xl", "list"])
        self.step("The kernel of the pod ...", ["crictl", "exec", "-s", container, "uname", "-a"])
        self.step("... and the kernel of dom0.", ["uname", "-a"])
        self.step("What the pod has: memory and processors.",
                  ["crictl", "exec", "-s", container, "sh", "-c", "head -n 1 /proc/meminfo; echo processors: $(nproc)"])
        self.step("The container's log.", ["crictl", "logs", container])
        status = json.loads(self.machine.run([self.crictl_program, "inspectp", "-o", "json", pod]).stdout)
        address = status["status"]["network"]["ip"]
        self.step("Its web server, from dom0.", ["curl", "-s", "-m", "30", f"http://{address}/"])
        self.step("The pod as the CRI sees it.", ["crictl", "pods"])

    def summary(self):
        self.say("\nTimes")
        for what, seconds in self.times:
            print(f"  {what:<60} {seconds:6.2f} s")


@contextlib.contextmanager
def registries(directory=None):
    with serve.Registries(directory) as running:
        yield running


@contextlib.contextmanager
def emulated():
    """A fresh machine from the level `ready`, its registry's address, its crictl."""
    package = level.newest_package()
    if not package:
        raise LabError("there is no package to install: run `make deb`")
    with registries() as running:
        target = machine.Machine(f"demo-{os.getpid()}")
        saved = level.ready(Shape(), package, level.crictl())
        start = time.monotonic()
        target.start(level=saved, registry=running.directory, tied=True)
        print(f"  Xen and dom0 are up {time.monotonic() - start:.1f} s after QEMU's start (restored; "
              f"QEMU emulates the processor, so all below is slower than on a real one)")
        try:
            yield target, running.ref("busybox"), "crictl"
        except LabError as error:
            kept = f"{cache.REPO}/build/demo"
            target.collect(kept)
            raise LabError(f"{error}\nconsoles and logs: {kept}") from error
        finally:
            target.remove()


@contextlib.contextmanager
def this_machine():
    """This machine, which is a Xen dom0 itself."""
    target = local.Machine()
    if target.run("systemctl is-active zoneletd", check=False).code != 0:
        package = level.newest_package()
        print(f"  installing {os.path.basename(package)} on this machine (`apt-get purge zonelet` takes it away)")
        target.put(package, "/tmp/zonelet-demo.deb")
        target.run("apt-get install -y /tmp/zonelet-demo.deb; code=$?; rm /tmp/zonelet-demo.deb; exit $code", timeout=600)
        target.run("systemctl start zoneletd", timeout=300)
    with registries() as running, contextlib.ExitStack() as stack:
        forward = subprocess.Popen(["socat", f"TCP-LISTEN:{PLAIN},bind=127.0.0.1,fork,reuseaddr",
                                    f"UNIX-CONNECT:{running.directory}/plain"])
        stack.callback(forward.terminate)
        program = "/tmp/zonelet-demo-crictl"
        target.put(level.crictl(), program)
        stack.callback(target.run, ["rm", "-f", program])
        target.run(["sh", "-c", 'test -e /etc/crictl.yaml || '
                    'echo "runtime-endpoint: unix:///run/zonelet/zoneletd.sock" >/etc/crictl.yaml'])
        yield target, f"127.0.0.1:{PLAIN}/busybox:1", program


def main():
    start = time.monotonic()
    try:
        with this_machine() if local.is_dom0() else emulated() as (target, image, crictl):
            demo = Demo(target, image, crictl)
            demo.show()
            demo.summary()
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    width = shutil.get_terminal_size().columns
    print("-" * min(width, 100))
    print(f"The demonstration took {time.monotonic() - start:.0f} s. Next:\n"
          "  make lab                     the same machine, with a shell: try crictl, xl and zonectl yourself\n"
          "  make test                    unit tests and the end-to-end tests\n"
          "  make bench-start             a pod's start beside containerd's\n"
          "  docs/pod-path.md             what happened in all this")
    return 0


sys.exit(main())
