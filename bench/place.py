# SPDX-License-Identifier: Apache-2.0
"""Where runtimes are measured side by side: one dom0 of the lab on the instruction clock, with all that they
talk to inside, the registry too, since time outside stands still compared with theirs.

A program that imports this runs in the build root from then on.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(HERE)


def enter():
    """Runs this program in the build root, where QEMU and the lab's tools are."""
    if os.path.exists("/etc/zonelet-root") or os.environ.get("ZL_BENCH_ENTERED"):
        return
    os.environ["ZL_BENCH_ENTERED"] = "1"
    subprocess.run([f"{REPO}/tools/root", "dom0"], check=True, stdout=subprocess.DEVNULL)
    os.execv(f"{REPO}/tools/enter", ["enter", "python3", os.path.abspath(sys.argv[0]), *sys.argv[1:]])


enter()
sys.path.insert(0, f"{REPO}/e2e")
sys.dont_write_bytecode = True

from images import HOST, PLAIN, build  # noqa: E402
from lab.machine import Machine  # noqa: E402

IMAGE = f"{HOST}:{PLAIN}/busybox:1"
PAUSE = f"{HOST}:{PLAIN}/pause:1"
CONTAINERD = "/run/containerd/containerd.sock"
ZONELET = "/run/zonelet/zoneletd.sock"
TITLES = {"containerd": "containerd + runc", "pvh": "zonelet, PVH", "pv": "zonelet, PV", "host": "zonelet, host"}
RESULTS = f"{HERE}/RESULTS.md"

REGISTRY_CONFIG = {
    "version": "0.1", "log": {"level": "warn"}, "http": {"addr": f"127.0.0.1:{PLAIN}", "secret": "bench"},
    "storage": {"filesystem": {"rootdirectory": "/run/payload/storage"},
                "maintenance": {"readonly": {"enabled": True}}}}

ZONELET_CONFIG = """zone:
  type: {type}
images:
  insecure_registries: [{registry}]
"""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


class Place:
    """The machine, prepared: a registry inside dom0, under the name that the lab's has outside; no runtime runs."""

    def __init__(self, machine):
        self.machine = machine
        # As Machine.payload, but for good.
        self.run("blockdev --flushbufs /dev/vdb && mkdir -p /run/payload && mount -t erofs -o ro /dev/vdb /run/payload")
        self.write("/run/bench-registry.yml", json.dumps(REGISTRY_CONFIG))
        self.run(f"sed -i '/{HOST}/d' /etc/hosts && echo '127.0.0.1 {HOST}' >>/etc/hosts")
        self.run("systemd-run --quiet --unit bench-registry /run/payload/docker-registry serve /run/bench-registry.yml")
        self.run(f"for i in $(seq 300); do nc -z 127.0.0.1 {PLAIN} && exit 0; sleep 0.1; done; exit 1")
        self.run("systemctl stop zoneletd.service containerd.service 2>/dev/null; true")

    def run(self, command, timeout=900):
        return self.machine.run(command, timeout=timeout).stdout

    def write(self, path, text):
        self.machine.run(f"cat >{path}", input=text)

    @contextlib.contextmanager
    def containerd(self):
        """Runs it for the length of the block, with the images that pods need."""
        self.run("systemctl start containerd.service")
        for image in (IMAGE, PAUSE):
            self.run(f"ctr -n k8s.io images pull --plain-http {image}")
        yield CONTAINERD
        self.run("systemctl stop containerd.service")

    @contextlib.contextmanager
    def zonelet(self, kind):
        """The same for zoneletd, for pods of one kind: pvh, pv or host. When it fails its logs are kept."""
        self.write("/etc/zonelet/zoneletd.yaml",
                   ZONELET_CONFIG.format(type="auto" if kind == "host" else kind, registry=f"{HOST}:{PLAIN}"))
        self.run("systemctl restart zoneletd.service")
        try:
            yield ZONELET
        except BaseException:
            self.machine.collect(f"{REPO}/build/bench/{kind}")
            say(f"consoles and journal: {REPO}/build/bench/{kind}")
            raise
        self.run("systemctl stop zoneletd.service")

    def versions(self):
        command = ("xl info | sed -n 's/^xen_version *: /Xen /p'; echo \"Linux $(uname -r) in dom0\"; "
                   "containerd --version | awk '{print $1, $3}' | sed 's,.*/,,;s/^v2/containerd/'; "
                   "runc --version | head -n 1 | sed 's/version //'; crun --version | head -n 1 | sed 's/version //'; "
                   "dpkg-query -W -f 'zonelet ${Version}\\n' zonelet 2>/dev/null || true")
        return [line for line in self.run(command).splitlines() if line]


@contextlib.contextmanager
def place(level, programs):
    """A Place in a machine that is thrown away afterwards, with these files in /run/payload."""
    images = build.made()
    machine = Machine(f"bench-{os.getpid()}")
    with tempfile.TemporaryDirectory() as content:
        for path in (*programs, shutil.which("docker-registry")):
            shutil.copy(path, content)
        shutil.copytree(f"{images.path}/storage", f"{content}/storage")
        try:
            machine.start(level=level, payload=content, tied=True)
            yield Place(machine)
        finally:
            machine.remove()


# ---- the report

def row(cells):
    return "| " + " | ".join(cells) + " |"


def milliseconds(ns):
    return f"{ns / 1e6:.1f}"


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", REPO, *words], capture_output=True, text=True, check=True).stdout.strip()
    return git("rev-parse", "--short=12", "HEAD") + (" and uncommitted changes" if git("status", "--porcelain", "-uno") else "")


def write_section(title, text):
    """Puts `text`, which begins with the heading `title`, into the results in place of what was there of it."""
    known = ""
    with contextlib.suppress(FileNotFoundError), open(RESULTS, encoding="utf-8") as file:
        known = file.read()
    sections, current = {}, None
    for line in known.splitlines():
        if line.startswith("# "):
            current = sections.setdefault(line, [])
        if current is not None:
            current.append(line)
    sections[title] = text.splitlines()
    with open(RESULTS, "w", encoding="utf-8") as file:
        file.write("\n\n".join("\n".join(lines).strip() for lines in sections.values()) + "\n")
