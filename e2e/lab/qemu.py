# SPDX-License-Identifier: Apache-2.0
"""The emulated machine: QEMU's command line and its control socket (QMP).

Why each odd option is there: docs/lab.md, "The emulated machine".
"""

import functools
import json
import os
import socket
import subprocess

from . import LabError
from .agent import PORTS, connect_unix

XEN_ARGUMENTS = "console=com1 com1=115200,8n1 dom0_mem={dom0}M,max:{dom0}M bootscrub=0 loglvl=warning guest_loglvl=warning"
# Connections to these addresses go to unix sockets on the host, where the registries of e2e/images listen.
REGISTRY = "10.0.2.100"
REGISTRY_PORTS = {5000: "plain", 5001: "basic", 5002: "token", 5003: "faults", 5004: "tokens"}
# No comma may stand here: it separates multiboot modules.
KERNEL_ARGUMENTS = ("console=hvc0 root=/dev/vda net.ifnames=0 loglevel=4 systemd.show_status=0 "
                    "random.trust_cpu=on mitigations=off audit=0")


@functools.cache
def program():
    """The path of the lab's own QEMU (emulator/build)."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = subprocess.run([f"{here}/emulator/build", "--path"], check=True, capture_output=True, text=True).stdout.strip()
    if not os.path.exists(path):
        raise LabError("the lab's QEMU is missing: run e2e/lab/emulator/build")
    return path


class Shape:
    """What decides how a machine behaves; part of the key of every saved machine."""

    def __init__(self, shift=2, cpus=2, memory=6144, dom0_memory=1536, idle=None):
        self.shift = shift
        self.cpus = cpus
        self.memory = memory
        self.dom0_memory = dom0_memory
        # With `fast` an idle machine's clock jumps to its next timer: right for measuring, wrong where dom0 waits for
        # programs outside, whose answers then come hours late.
        self.idle = idle or ("fast" if shift == 0 else "real")

    def arguments(self, made, root, payload, sockets, console):
        """QEMU's arguments. made: directory of dom0.made(); root, payload: disk files."""
        sleep = "off" if self.idle == "fast" else "on"
        arguments = [
            program(), "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
            "-machine", "q35",
            "-cpu", "EPYC,+svm,-smap,-monitor,-rdtscp,-xsave,-sha-ni",
            "-accel", "tcg,thread=single",
            "-icount", f"shift={self.shift},sleep={sleep}",
            "-smp", str(self.cpus), "-m", f"{self.memory}M",
            "-kernel", f"{made}/xen",
            "-append", XEN_ARGUMENTS.format(dom0=self.dom0_memory),
            "-initrd", f"{made}/vmlinux {KERNEL_ARGUMENTS},{made}/initrd",
            "-chardev", f"file,id=console,path={console},append=on", "-serial", "chardev:console",
            "-drive", f"if=none,id=root,format=qcow2,cache=unsafe,file={root}",
            "-device", "virtio-blk-pci,drive=root,serial=root",
            "-drive", f"if=none,id=payload,format=raw,readonly=on,file={payload}",
            "-device", "virtio-blk-pci,drive=payload,serial=payload",
            "-netdev", ",".join(["user,id=net", *(
                f"guestfwd=tcp:{REGISTRY}:{port}-cmd:socat - UNIX-CONNECT:{sockets}/registry/{name}"
                for port, name in REGISTRY_PORTS.items())]),
            "-device", "virtio-net-pci,netdev=net,romfile=",
            "-device", "virtio-serial-pci,id=serial",
            "-qmp", f"unix:{sockets}/qmp,server=on,wait=off",
        ]
        for number in range(PORTS):
            arguments += ["-chardev", f"socket,id=port{number},path={sockets}/port{number},server=on,wait=off",
                          "-device", f"virtserialport,bus=serial.0,chardev=port{number},name=zonelet.{number}"]
        return arguments

    def key(self):
        """The arguments as text, without the paths that differ from machine to machine. QEMU's own names its build."""
        return " ".join(self.arguments("", "", "", "", ""))


class Qmp:
    """QEMU's control socket."""

    def __init__(self, path):
        self.sock = connect_unix(path)
        self.file = self.sock.makefile("r", encoding="utf-8")
        self._message()
        self.call("qmp_capabilities")

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _message(self):
        line = self.file.readline()
        if not line:
            raise LabError("QEMU ended while it was being told what to do; see the machine's qemu.log")
        return json.loads(line)

    def call(self, command, **arguments):
        self.sock.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = self._message()
            if "error" in message:
                raise LabError(f"QEMU refused {command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]

    def wait_migration(self, timeout=120):
        """Waits for a migration in either direction (events must have been asked for)."""
        self.sock.settimeout(timeout)
        try:
            while True:
                message = self._message()
                if message.get("event") == "MIGRATION":
                    status = message["data"]["status"]
                    if status == "completed":
                        return
                    if status == "failed":
                        reason = self.call("query-migrate").get("error-desc", "no reason given")
                        raise LabError(f"QEMU could not save or restore the machine: {reason}")
        except socket.timeout as error:
            raise LabError(f"QEMU did not save or restore the machine within {timeout} s") from error
        finally:
            self.sock.settimeout(None)
