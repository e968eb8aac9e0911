# SPDX-License-Identifier: Apache-2.0
"""critest against the host handler on this machine, without Xen (e2e/native.py)."""

import os
import subprocess
import sys
import time

from images import critest as images
from images.serve import Registries
from native import Native, alone, build_directory, difference, picture, use_machine_cgroups

from . import OUTPUT, report
from .report import Spec
from .skips import Skips, reason

LEAK_SECONDS = 20


def _run(node, options, left_out, directory):
    """One run of critest; gives its report's path."""
    path = f"{directory}/report.json"
    command = ["critest", "--runtime-endpoint", f"unix://{node.socket}", "--config", "/dev/null",
               f"--ginkgo.json-report={path}", "--ginkgo.no-color",
               *[f"--ginkgo.focus={pattern}" for pattern in options.focus],
               *[f"--ginkgo.skip={rule.pattern}" for rule in left_out], *options.more]
    with open(f"{directory}/critest.log", "wb") as log, node.popen(command, stdout=log, stderr=log) as process:
        process.wait()
    if not os.path.exists(path):
        sys.exit(f"critest: it wrote no report; see {directory}/critest.log")
    return path


def _left_out(path, rules, ran):
    """The specs that the rules kept from running, with their reasons."""
    ran = {spec.name for spec in ran}
    for name in report.names(path):
        why = reason(rules, name)
        if why and name not in ran:
            yield Spec(name, "skipped", 0.0, why)


def _leaked(node, before):
    """What is left of the pods; the end of a process may take a moment to be seen everywhere.

    Another clone's tests may run beside this one: a cgroup is of the container whose id it has.
    """
    end = time.monotonic() + LEAK_SECONDS
    while True:
        left = difference(before, picture(node))
        log = node.log_text()
        left["cgroup"] = [path for path in left.get("cgroup", []) if os.path.basename(path) in log]
        left = {kind: things for kind, things in left.items() if things}
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.5)


def _one_run(options, registries, build, directory):
    left_out = [] if options.all else Skips("host").left_out
    os.makedirs(directory, exist_ok=True)
    node = Native(build, registries, images.HOSTS)
    try:
        node.start()
        before = picture(node)
        started = time.monotonic()
        path = _run(node, options, left_out, directory)
        specs = list(report.read(path))
        if not options.focus:
            specs += _left_out(path, left_out, specs)
        for spec in sorted(specs):
            report.show(spec)
        seconds = time.monotonic() - started
        left = _leaked(node, before)
        broken = [line for line in node.log_text().splitlines() if "ERROR: AddressSanitizer" in line or "runtime error:" in line]
        print(f"critest: {report.summary(specs)} in {seconds:.0f} s; logs: {directory}")
        for kind, things in left.items():
            print(f"critest: left behind: {len(things)} {kind}: {', '.join(things[:3])}")
        for line in broken:
            print(f"critest: {line}")
        if not options.focus and not options.all:
            report.keep("host", specs, seconds, not left)
        outcomes = {spec.outcome for spec in specs}
        return not (left or broken) and "failed" not in outcomes and "passed" in outcomes
    finally:
        subprocess.run(["cp", node.log, f"{directory}/zoneletd.log"], check=False)
        node.close()


def run(options):
    """As often as asked; whether all was well each time."""
    build = build_directory()
    if not build:
        sys.exit("critest: zoneletd is not built: run `make test-unit` or `make build` first")
    use_machine_cgroups()
    with alone(), Registries(images=images.made()) as registries:
        results = [_one_run(options, registries, build, f"{OUTPUT}/host-{number}") for number in range(1, options.runs + 1)]
    return all(results)
