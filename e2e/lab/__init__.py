# SPDX-License-Identifier: Apache-2.0
"""The lab: a Xen host to try Zonelet on, made from Debian's packages, run by QEMU without hardware help.

cache      where made things are kept, and how they are made once
dom0       dom0's disk, kernel and initial RAM disk
qemu       the emulated machine's command line and its control socket (QMP)
agent      the control line into dom0 (its other half is agent.c)
machine    one running machine: start, restore, run, put, get, stop
level      saved machines that tests start from: booted, ready
local      the same operations on a machine that is itself a Xen dom0
__main__   the command line tool `lab`

docs/lab.md is the manual.
"""


class LabError(Exception):
    """Something that the person in front of the lab must know: one line, with where to look next."""
