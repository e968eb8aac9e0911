# SPDX-License-Identifier: Apache-2.0
"""What became of specs: from critest's report to lines for a person."""

import collections
import json
import os
import subprocess
import time

from . import OUTPUT, REPO

# outcome is passed, failed or skipped; how: in what way other than usually ("under host"), or "".
Spec = collections.namedtuple("Spec", "name outcome seconds reason how", defaults=("",))


def read(path, how=""):
    """The specs of a report that ran, or that skipped themselves."""
    with open(path, encoding="utf-8") as file:
        suites = json.load(file)
    for spec in suites[0]["SpecReports"] or []:
        failure = spec.get("Failure") or {}
        if spec["LeafNodeType"] != "It" or (spec["State"] == "skipped" and not failure):
            continue  # not in focus, left out, or a benchmark
        message = failure.get("Message", "").strip()
        outcome = spec["State"] if spec["State"] in ("passed", "skipped") else "failed"
        yield Spec(_name(spec), outcome, spec["RunTime"] / 1e9, message, how)


def names(path):
    """The names of all specs of a report but the benchmarks, in its order."""
    with open(path, encoding="utf-8") as file:
        suites = json.load(file)
    found = [_name(spec) for spec in suites[0]["SpecReports"] if spec["LeafNodeType"] == "It"]
    return [name for name in found if "benchmark" not in name]


def _name(spec):
    return " ".join([*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]]).removeprefix("[k8s.io] ")


def show(spec):
    """A line for a spec."""
    reason = spec.reason.splitlines()[0] if spec.reason else ""
    how = f" ({spec.how})" if spec.how else ""
    print(f"  {spec.outcome:7} {spec.seconds:6.1f} s  {spec.name}{how}{': ' if reason else ''}{reason}", flush=True)


def summary(specs):
    """"N passed, N failed, N skipped"."""
    count = collections.Counter(spec.outcome for spec in specs)
    return f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped"


def keep(handler, specs, seconds, clean):
    """Writes a full run down for record.py."""
    commit = subprocess.run(["git", "-C", REPO, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    with open(f"{OUTPUT}/{handler}.json", "w", encoding="utf-8") as file:
        json.dump({"handler": handler, "date": time.strftime("%Y-%m-%d"), "commit": commit, "seconds": round(seconds),
                   "clean": clean, "specs": [spec._asdict() for spec in sorted(specs)]}, file, indent=1)


def kept(handler):
    """What keep() wrote; None if there was no full run."""
    path = f"{OUTPUT}/{handler}.json"
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        run = json.load(file)
    run["specs"] = [Spec(**spec) for spec in run["specs"]]
    return run
