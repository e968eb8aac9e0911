# SPDX-License-Identifier: Apache-2.0
"""critest against the zone handler: inside the dom0 of lab machines.

The specs are dealt out in batches. Each batch has a machine of its own, restored from the level `conformance`
(`ready` with critest, its images and a configuration), so that a batch cannot spoil another, and a machine that
dies takes no other results along. Several machines work side by side. After each batch the leak check looks at dom0.

Seconds of a spec are dom0's, whose clock counts instructions (docs/lab.md); those of the whole run are real.
"""

import inspect
import json
import os
import queue
import re
import sys
import tempfile
import threading
import time

import leaks
from images import HOST, PLAIN
from images import critest as images
from images.serve import Registries
from lab import LabError, cache, level, local, machine
from lab.qemu import Shape

from . import OUTPUT, program, report
from .report import Spec
from .skips import Skips, reason

BATCH = 8
# Of real time: the slowest specs wait half a minute of dom0's clock, which is slower than ours.
SPEC_SECONDS = 240
PULLED = ["registry.k8s.io/e2e-test-images/busybox:1.29-2", "registry.k8s.io/e2e-test-images/nginx:1.14-2"]
CONFIG = "/etc/zonelet/zoneletd.yaml"
REPORT = "/root/critest.json"


def spec_names():
    """What critest has, by a run that does nothing."""
    with tempfile.TemporaryDirectory() as work:
        path = f"{work}/report.json"
        cache.tool([program(), "--config", "/dev/null", "--ginkgo.dry-run", "--ginkgo.seed=1",
                    f"--ginkgo.json-report={path}"], "critest")
        return report.names(path)


def _configure(target, kind, routed):
    """Writes zoneletd's configuration and restarts it."""
    config = {"images": {"insecure_registries": [f"{HOST}:{PLAIN}"]}, "default_handler": "zone", "zone": {"type": kind}}
    if routed:
        config["host_pods"] = {"namespaces": ["*"], "privileged_namespaces": ["*"]}
    target.run(["sh", "-c", f"cat >{CONFIG}"], input=json.dumps(config))
    target.run("systemctl restart zoneletd", timeout=120)


def _prepare(target, kind):
    """What the level has that `ready` has not."""
    with target.payload() as path:
        target.run(f"install {path}/critest /usr/local/bin/critest")
    for host in images.HOSTS:
        target.run(["sh", "-c", f"mkdir -p /etc/zonelet/certs.d/{host} && cat >/etc/zonelet/certs.d/{host}/hosts.toml"],
                   input=f'server = "http://{HOST}:{PLAIN}"\n')
    _configure(target, kind, routed=False)
    for image in PULLED:
        target.run(["crictl", "pull", image], timeout=300)


def conformance_level(kind, registry):
    """The level `conformance` for one type of domain."""
    package = level.newest_package()
    if not package:
        raise LabError("there is no package to install in dom0: run `make deb`")
    below = level.ready(Shape(), package, level.crictl())
    source = "".join(inspect.getsource(each) for each in (_configure, _prepare))
    key = cache.digest(below.saved.id, kind, source, *PULLED, *images.HOSTS, f"@{program()}", images.made().id)
    return level.above(below, "conformance", key, lambda target: _prepare(target, kind), {"critest": program()}, registry)


class Results:
    """What batches came to, written down after each: `--resume` goes on where a run was ended.

    Results are of one level, that is of one package: others are no part of the run.
    """

    def __init__(self, level_id, resume):
        self.path = f"{OUTPUT}/zone-results.json"
        self.data = {"level": level_id, "seconds": 0.0, "left": [], "specs": []}
        if resume and os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                data = json.load(file)
            if data["level"] == level_id:
                self.data = data

    @property
    def specs(self):
        return [Spec(**spec) for spec in self.data["specs"]]

    @property
    def left(self):
        return self.data["left"]

    def add(self, batch):
        """Takes a batch in; what failed is not kept from another try."""
        self.data["seconds"] += batch.seconds
        self.data["specs"] += [spec._asdict() for spec in batch.specs]
        self.data["left"] += [f"batch {batch.number}:\n{batch.left}"] if batch.left else []
        kept = {**self.data, "specs": [spec for spec in self.data["specs"] if spec["outcome"] != "failed"]}
        os.makedirs(OUTPUT, exist_ok=True)
        with open(f"{self.path}.new", "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.rename(f"{self.path}.new", self.path)


class Batch:
    """Specs that run one after the other on one machine."""

    def __init__(self, number, names, routed):
        self.number = number
        self.names = names
        self.routed = routed
        self.specs = []
        self.left = ""
        self.seconds = 0.0

    @property
    def how(self):
        return "under host" if self.routed else ""

    def arguments(self):
        pattern = "|".join(re.escape(name) for name in self.names)
        return ["critest", "--runtime-endpoint", "unix:///run/zonelet/zoneletd.sock", "--config", "/dev/null",
                f"--ginkgo.json-report={REPORT}", "--ginkgo.no-color", "--ginkgo.seed=1", "--ginkgo.timeout=6h",
                f"--ginkgo.focus=({pattern})$"]

    def lost(self, why):
        """Specs of which nothing was heard have failed."""
        heard = {spec.name for spec in self.specs}
        self.specs += [Spec(name, "failed", 0.0, why, self.how) for name in self.names if name not in heard]


def batches(names, skips):
    """The specs dealt out, in critest's order: neighbours have the same images."""
    routed = [name for name in names if reason(skips.routed, name)]
    plain = [name for name in names if name not in routed]
    pieces = [(some[start:start + BATCH], some is routed) for some in (plain, routed) for start in range(0, len(some), BATCH)]
    return [Batch(number, piece, is_routed) for number, (piece, is_routed) in enumerate(pieces, 1)]


class Run:
    """One run of all batches."""

    def __init__(self, saved, registries, kind, directory, results):
        self.saved = saved
        self.results = results
        self.registries = registries
        self.kind = kind
        self.directory = directory
        self.lock = threading.Lock()
        self.before = None

    def work(self, todo):
        """Takes batches until there are none; the machines of a thread end with it."""
        while True:
            try:
                batch = todo.get_nowait()
            except queue.Empty:
                return
            started = time.monotonic()
            try:
                self._machine(batch)
            except (LabError, OSError) as error:
                batch.lost(f"the machine: {error}")
            batch.lost("critest did not run it")
            batch.seconds = time.monotonic() - started
            with self.lock:
                self.results.add(batch)
                self._show(batch)

    def _show(self, batch):
        print(f"batch {batch.number}: {len(batch.names)} specs in {batch.seconds:.0f} s", flush=True)
        for spec in batch.specs:
            report.show(spec)
        if batch.left:
            print(f"left behind in dom0:\n{batch.left}", flush=True)

    def _machine(self, batch):
        directory = f"{self.directory}/{batch.number}"
        os.makedirs(directory, exist_ok=True)
        target = machine.Machine(f"critest-{os.getpid()}-{batch.number}")
        try:
            target.start(level=self.saved, registry=self.registries.directory, tied=True)
            self._batch(batch, target, directory)
            if batch.left or any(spec.outcome == "failed" for spec in batch.specs):
                target.collect(directory)
        except LabError:
            target.collect(directory)
            raise
        finally:
            target.remove()

    def _picture(self, target):
        """Every machine of a level starts the same."""
        with self.lock:
            if self.before is None:
                self.before = leaks.take(target)
            return self.before

    def _batch(self, batch, target, directory):
        before = self._picture(target)
        if batch.routed:
            _configure(target, self.kind, routed=True)
        with open(f"{directory}/critest.log", "wb") as log:
            target.agent.stream(batch.arguments(), None, log.write, log.write, SPEC_SECONDS * len(batch.names))
        target.get(REPORT, f"{directory}/report.json")
        batch.specs = list(report.read(f"{directory}/report.json", batch.how))
        batch.left = leaks.left(target, before)


def _one_run(options, saved, registries, directory):
    skips = Skips("zone")
    names = [name for name in spec_names() if not options.focus or any(re.search(each, name) for each in options.focus)]
    out = [] if options.all else [name for name in names if reason(skips.left_out, name)]
    results = Results(saved.saved.id, options.resume)
    done = {spec.name for spec in results.specs}
    todo = queue.Queue()
    for batch in batches([name for name in names if name not in out and name not in done], skips):
        todo.put(batch)
    run = Run(saved, registries, options.type, directory, results)
    workers = [threading.Thread(target=run.work, args=(todo,)) for _ in range(options.machines)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    specs = [Spec(name, "skipped", 0.0, reason(skips.left_out, name)) for name in out]
    specs += [spec for spec in results.specs if spec.name in names]
    # Of one machine's time: with several the run took as much less.
    seconds = results.data["seconds"]
    print(f"critest on zones: {report.summary(specs)} in {seconds:.0f} s of one machine's time; logs: {directory}")
    for spec in sorted(specs):
        if spec.outcome == "failed":
            report.show(spec)
    for text in results.left:
        print(f"critest: left behind in dom0 by {text}")
    if not options.focus and not options.all:
        report.keep("zone", specs, seconds, not results.left)
    outcomes = {spec.outcome for spec in specs}
    return not results.left and "failed" not in outcomes and "passed" in outcomes


def run(options):
    """As often as asked; whether all was well each time."""
    if local.is_dom0():
        print("critest on zones: not run, since it needs emulated machines and this machine is a dom0 itself")
        return True
    try:
        with Registries(images=images.made()) as registries:
            saved = conformance_level(options.type, registries.directory)
            results = [_one_run(options, saved, registries, f"{OUTPUT}/zone-{number}") for number in range(1, options.runs + 1)]
        return all(results)
    except LabError as error:
        sys.exit(f"critest: {error}")
