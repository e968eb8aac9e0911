# SPDX-License-Identifier: Apache-2.0
"""The network namespace of a cluster.

The control plane listens in it. For a node in the lab QEMU runs in it as well, so QEMU's user network ends here: the
node reaches this namespace's loopback at 10.0.2.2, and connections to 10.0.2.15 are carried to the node's ports that
were opened. Nothing listens on the machine's own network, and clusters side by side do not meet.
"""

import contextlib
import os
import subprocess

GATEWAY = "10.0.2.2"
LAB_NODE = "10.0.2.15"


class Network:
    """A network namespace by name: made with loopback up, and removed by close(), or one that somebody has."""

    def __init__(self, name, make=True):
        self.name = name
        self.path = f"/run/netns/{name}"
        self.own = make
        if make:
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.run(["ip", "link", "set", "lo", "up"])

    def address(self, address, source=None):
        """Gives the loopback one more address; who connects to it from here comes from `source`."""
        self.run(["ip", "address", "add", f"{address}/32", "dev", "lo"])
        if source:
            self.run(["ip", "route", "replace", "local", address, "dev", "lo", "table", "local", "proto", "kernel",
                      "scope", "host", "src", source])

    def inside(self, argv):
        return ["nsenter", f"--net={self.path}", "--", *argv]

    def run(self, argv, **more):
        return subprocess.run(self.inside(argv), check=True, **more)

    @contextlib.contextmanager
    def entered(self):
        """This thread, and what it starts, is inside for the length of the block."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(self.path, "rb") as there:
            os.setns(there.fileno(), os.CLONE_NEWNET)
            try:
                yield
            finally:
                os.setns(home.fileno(), os.CLONE_NEWNET)

    def close(self):
        if self.own:
            subprocess.run(["ip", "netns", "del", self.name], check=False)
