# SPDX-License-Identifier: Apache-2.0
"""Images to run and registries to pull them from, made from Debian's packages.

build      small real images, pushed into the storage of a real registry, once
critest    the images that the CRI's conformance suite asks for by name
serve      the registries: plain, with a password, with tokens; Debian's docker-registry on unix sockets
tokens     the token server of the third
faults     a registry that misbehaves, each repository in its own way

dom0 reaches them all at registry.lab (10.0.2.100), by QEMU's user network: lab/qemu.py, docs/lab.md.
"""

from lab.qemu import REGISTRY_PORTS as SOCKETS

HOST = "registry.lab"
PLAIN, BASIC, TOKEN, FAULTS, TOKEN_SERVER = SOCKETS
USER, PASSWORD = "lab", "secret"
