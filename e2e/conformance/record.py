# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md, from the last full runs that report.keep() wrote down."""

import sys

from . import REPO, report

PATH = f"{REPO}/docs/conformance.md"

HEAD = """\
# Conformance

For who wants to know what Zonelet keeps of the CRI. This page has the last full runs of critest 1.36, the CRI's conformance
suite, of which no line is ours; `e2e/critest --record` writes it after a run. `make critest` runs the suite against the `host`
handler, on the machine itself; `make critest-zone` against the `zone` handler, on real Xen in the lab. How: [lab.md](lab.md).

| handler | date | commit | passed | failed | skipped | machine time | left behind |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""

BODY = """
*passed under host*: the pod asks for what no zone can have, since a zone's kernel is its own. It runs with the `zone` handler
where `host_pods` of the configuration ([config.md](config.md)) lets such pods go to the `host` handler; without that it is
refused. Seconds in zones are the emulated machine's.

| spec | host | zone |
| --- | --- | --- |
"""


def _cell(specs, name):
    spec = next((spec for spec in specs if spec.name == name), None)
    if spec is None:
        return "–"
    text = f"{spec.outcome} {spec.how}".strip()
    if spec.outcome == "passed":
        return f"{text}, {spec.seconds:.1f} s"
    words = spec.reason.splitlines()[0] if spec.reason else "no reason given"
    return f"**{text}**: {words}".replace("|", "\\|")


def write():
    runs = [report.kept(handler) for handler in ("host", "zone")]
    missing = [handler for handler, run in zip(("host", "zone"), runs) if run is None]
    if missing:
        sys.exit(f"critest: there was no full run with the handler {' and '.join(missing)} yet")
    text = HEAD
    for run in runs:
        count = [sum(spec.outcome == outcome for spec in run["specs"]) for outcome in ("passed", "failed", "skipped")]
        text += (f"| `{run['handler']}` | {run['date']} | `{run['commit']}` | {' | '.join(map(str, count))} | "
                 f"{run['seconds']} s | {'nothing' if run['clean'] else 'something'} |\n")
    # Of a run that was put together by hand from runs of parts.
    text += "".join(f"\n{run['note']}\n" for run in runs if run.get("note"))
    text += BODY
    for name in sorted({spec.name for run in runs for spec in run["specs"]}):
        text += f"| {name.replace('|', chr(92) + '|')} | {' | '.join(_cell(run['specs'], name) for run in runs)} |\n"
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(text)
    print(f"critest: wrote {PATH}")
