# SPDX-License-Identifier: Apache-2.0
"""A machine that is itself a Xen dom0: the operations of machine.Machine, on this machine."""

import contextlib


def is_dom0():
    """Whether this machine is the control domain of a Xen host."""
    with contextlib.suppress(OSError), open("/proc/xen/capabilities", encoding="ascii") as file:
        return "control_d" in file.read()
    return False


class Machine:
    pass
