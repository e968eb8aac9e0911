# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests; docs/lab.md, "Writing a test", shows them in use.

registry   the registries, running for the whole session (images.serve.Registries)
dom0       a machine restored from the level `ready` for this test alone, checked for leaks afterwards
bare       the same from the level `booted`, without the project's package
"""

import json
import os
import re
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import leaks  # noqa: E402
from images.serve import Registries  # noqa: E402
from lab import LabError, cache, level, local, machine  # noqa: E402
from lab.qemu import Shape  # noqa: E402

OUTCOME = pytest.StashKey()


def pytest_configure(config):
    config.addinivalue_line("markers", "shape(**options): the emulated machine's shape, see lab.qemu.Shape")
    config.addinivalue_line("markers", "leaves(pattern, why): lines of the leak check that this test may leave")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash.setdefault(OUTCOME, {})[report.when] = report
    return report


@pytest.fixture(scope="session")
def registry():
    """The registries that dom0 sees as registry.lab."""
    with Registries() as registries:
        yield registries


class Dom0:
    """A machine as tests see it: machine.Machine with what only tests want."""

    def __init__(self, target, registry):
        self.machine = target
        self.registry = registry
        self.run = target.run
        self.put = target.put
        self.get = target.get
        self.payload = target.payload
        self.console = target.console

    def write(self, path, text):
        """Writes a file in dom0."""
        self.run(["sh", "-c", 'mkdir -p "$(dirname "$1")" && exec cat >"$1"', "sh", path], input=text)

    def crictl(self, *words, check=True, timeout=180):
        """Runs crictl; returns its agent.Result."""
        return self.run(["crictl", *words], check=check, timeout=timeout)

    def crictl_json(self, *words):
        """What crictl prints with --output json."""
        return json.loads(self.crictl(*words, "--output", "json").stdout)


class Runner:
    """Starts machines for tests, and remembers what each level looks like before anything happened."""

    def __init__(self, registry):
        self.registry = registry
        self.levels = {}
        self.before = {}
        self.count = 0
        self.lock = threading.Lock()

    def level(self, name, options):
        key = (name, tuple(sorted(options.items())))
        if key not in self.levels:
            shape = Shape(**options)
            if name == "booted":
                self.levels[key] = level.booted(shape)
            else:
                package = level.newest_package()
                if not package:
                    pytest.fail("there is no package to install in dom0: run `make deb` first", pytrace=False)
                self.levels[key] = level.ready(shape, package, level.crictl())
        return key, self.levels[key]

    def start(self, name, options):
        if local.is_dom0():
            return local.Machine(), None
        key, saved = self.level(name, options)
        self.count += 1
        target = machine.Machine(f"test-{os.getpid()}-{self.count}")
        target.start(level=saved, registry=self.registry.directory, tied=True)
        return target, key

    def picture(self, target, key):
        """Every machine of a level starts the same, so one picture does for all."""
        if key is None:
            return leaks.take(target)
        if key not in self.before:
            self.before[key] = leaks.take(target)
        return self.before[key]


@pytest.fixture(scope="session")
def runner(registry):
    return Runner(registry)


def machine_for_test(request, runner, name):
    marker = request.node.get_closest_marker("shape")
    target, key = runner.start(name, marker.kwargs if marker else {})
    try:
        before = runner.picture(target, key)
        yield Dom0(target, runner.registry)
        outcome = request.node.stash.get(OUTCOME, {}).get("call")
        text = allowed(request, leaks.left(target, before)) if outcome and outcome.passed else ""
        if text or not (outcome and outcome.passed):
            directory = keep_logs(request, target)
            if text:
                pytest.fail(f"the test left behind in dom0:\n{text}\nlogs: {directory}", pytrace=False)
    finally:
        target.remove()


def allowed(request, text):
    """The leak check's lines less those that the test's `leaves` markers name."""
    patterns = [marker.args[0] for marker in request.node.iter_markers("leaves")]
    return "\n".join(line for line in text.splitlines()
                     if not any(re.search(pattern, line) for pattern in patterns))


def keep_logs(request, target):
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name)
    directory = f"{cache.REPO}/build/e2e/{name}"
    try:
        target.collect(directory)
    except LabError as error:
        print(f"the machine's logs could not be fetched: {error}")
    print(f"consoles and logs of the machine: {directory}")
    return directory


@pytest.fixture
def dom0(request, runner):
    """A fresh dom0 with zoneletd running; after the test nothing of it may be left."""
    yield from machine_for_test(request, runner, "ready")


@pytest.fixture
def bare(request, runner):
    """A fresh dom0 with Xen running and nothing of the project."""
    yield from machine_for_test(request, runner, "booted")
