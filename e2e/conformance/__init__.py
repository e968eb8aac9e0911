# SPDX-License-Identifier: Apache-2.0
"""critest, the CRI's conformance suite, against zoneletd; e2e/critest is the command.

skips    which specs are left out, and which run where: critest.skip
report   what became of the specs, from critest's own report
native   a run against the host handler on this machine
zone     a run against the zone handler on lab machines
record   docs/conformance.md, from the last full runs
"""

import os
import subprocess

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUTPUT = f"{REPO}/build/critest"


def program():
    """The path of critest, as tools/gotools builds it."""
    directory = subprocess.run([f"{REPO}/tools/gotools", "--path"], check=True, capture_output=True,
                               text=True).stdout.strip()
    return f"{directory}/critest"
