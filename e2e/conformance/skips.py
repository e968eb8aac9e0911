# SPDX-License-Identifier: Apache-2.0
"""critest.skip: which specs a run leaves out, or runs with other settings, and why.

Lines are `[WHERE: ]PATTERN  # REASON`; PATTERN is a regular expression for a part of the spec's name, and WHERE

host     it is left out with the host handler
zone     it is left out with the zone handler
routed   with the zone handler it runs where the configuration lets pods go to the host handler (host_pods)
(none)   it is left out everywhere
"""

import os
import re
import sys
from collections import namedtuple

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "critest.skip")
WHERE = ("host", "zone", "routed")

Rule = namedtuple("Rule", "pattern reason")


class Skips:
    """The rules for one handler: `left_out` and `routed` are lists of Rules."""

    def __init__(self, handler, path=PATH):
        rules = {where: [] for where in ("", *WHERE)}
        with open(path, encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                line = line.strip()
                if line and not line.startswith("#"):
                    where, rule = _parse(line, f"{os.path.basename(path)}:{number}")
                    rules[where].append(rule)
        self.left_out = rules[""] + rules[handler]
        self.routed = rules["routed"] if handler == "zone" else []


def _parse(line, place):
    text, mark, reason = line.partition("  # ")
    if not mark or not reason.strip():
        sys.exit(f"{place}: a pattern, two spaces, # and a reason are wanted")
    where, colon, pattern = text.partition(": ")
    if not colon or where not in WHERE:
        where, pattern = "", text
    try:
        re.compile(pattern)
    except re.error as error:
        sys.exit(f"{place}: {pattern}: {error}")
    return where, Rule(pattern.strip(), reason.strip())


def reason(rules, name):
    """Why the rules apply to a spec; None if they do not."""
    return next((rule.reason for rule in rules if re.search(rule.pattern, name)), None)
