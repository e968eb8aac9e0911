# SPDX-License-Identifier: Apache-2.0
"""The cluster's node: zoneletd, and a kubelet that knows no other runtime.

Zones    in the lab's dom0: pods are zones, those that ask for the node's namespaces run under the host handler
Host     on this machine, in the cluster's network namespace: all pods run under the host handler
"""

import json
import os
import shutil
import subprocess
import tempfile

from images import HOST, PLAIN
from lab import LabError, machine
from native import Native
from pods import Crictl

from . import DNS_SERVICE, DOMAIN, KUBELET_PORT
from .network import GATEWAY, LAB_NODE

NAME = "node"
SOCKET = "/run/zonelet/zoneletd.sock"
HOST_NAMESPACES = ["kube-system"]
# Of the node in the lab.
UNIT = """[Service]
ExecStart=/opt/kubernetes/kubelet {}
Restart=always
KillMode=process
"""


def kubelet_config(directory, socket, **more):
    """A KubeletConfiguration; JSON is YAML."""
    return json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": f"unix://{socket}",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                           "x509": {"clientCAFile": f"{directory}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [DNS_SERVICE], "clusterDomain": DOMAIN, "port": KUBELET_PORT,
        "failSwapOn": False, "failCgroupV1": False, "serializeImagePulls": False,
        # A test machine's disk may be nearly full; what is tested is not the disk of this machine.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "featureGates": {"PodAndContainerStatsFromCRI": True},
        **more})


def kubelet_arguments(directory):
    return [f"--config={directory}/config.yaml", f"--kubeconfig={directory}/kubelet.conf", f"--root-dir={directory}",
            f"--cert-dir={directory}/pki", f"--hostname-override={NAME}", f"--node-ip={LAB_NODE}"]


class Zones:
    """A restored lab machine as a node."""

    def __init__(self, network, keys, kubernetes, saved, registries):
        self.network = network
        self.keys = keys
        self.kubernetes = kubernetes
        self.saved = saved
        self.registries = registries
        self.machine = machine.Machine(f"cluster-{os.getpid()}")
        self.crictl = Crictl(self.machine)

    def start(self):
        with tempfile.TemporaryDirectory() as content:
            shutil.copy(f"{self.kubernetes}/kubelet", content)
            with self.network.entered():
                self.machine.start(level=self.saved, payload=content, registry=self.registries.directory, tied=True)
        self.open_port(KUBELET_PORT)
        self._configure()
        self.start_kubelet()

    def open_port(self, port):
        """Makes a port of the node answer at its address in the cluster's network."""
        with self.machine.qmp() as qmp:
            said = qmp.call("human-monitor-command", **{
                "command-line": f"hostfwd_add net tcp:{LAB_NODE}:{port}-:{port}"})
        if said.strip():
            raise LabError(f"QEMU does not open the node's port {port}: {said.strip()}")

    def _configure(self):
        put = self._write
        put("/etc/zonelet/zoneletd.yaml", json.dumps({
            "images": {"insecure_registries": [f"{HOST}:{PLAIN}"]},
            "host_pods": {"namespaces": HOST_NAMESPACES}}))
        directory = "/var/lib/kubelet"
        put(f"{directory}/config.yaml", kubelet_config(directory, SOCKET))
        put(f"{directory}/kubelet.conf", self.keys.kubeconfig("node", GATEWAY))
        with open(self.keys.path("ca.crt"), encoding="ascii") as file:
            put(f"{directory}/ca.crt", file.read())
        put("/run/systemd/system/kubelet.service", UNIT.format(" ".join(kubelet_arguments(directory))))
        self.machine.run("systemctl daemon-reload && systemctl restart zoneletd", timeout=300)
        self.machine.run("blockdev --flushbufs /dev/vdb && mkdir -p /opt/kubernetes && "
                         "mount -t erofs -o ro /dev/vdb /opt/kubernetes")

    def _write(self, path, text):
        self.machine.run(["sh", "-c", 'mkdir -p "$(dirname "$1")" && exec cat >"$1"', "sh", path], input=text)

    def start_kubelet(self):
        self.machine.run("systemctl start kubelet")

    def stop_kubelet(self):
        self.machine.run("systemctl stop kubelet")

    def restart_runtime(self):
        self.machine.run("systemctl restart zoneletd", timeout=300)

    def check(self):
        if not self.machine.running():
            raise LabError(f"the node's QEMU ended: {self.machine.last_words()}")

    def collect(self, directory):
        self.machine.collect(directory)

    def close(self):
        self.machine.remove()


class Host:
    """This machine as a node: zoneletd as e2e/native.py starts it, and a kubelet beside it."""

    def __init__(self, node, keys, kubernetes):
        self.node = node
        self.keys = keys
        self.kubernetes = kubernetes
        self.directory = f"{node.disk}/kubelet"
        self.process = None
        self.crictl = Crictl(node, node.socket)

    def start(self):
        os.makedirs(self.directory)
        _save(f"{self.directory}/config.yaml", kubelet_config(
            self.directory, self.node.socket, podLogsDir=f"{self.node.disk}/pods",
            cgroupRoot="/", resolvConf="/etc/resolv.conf"))
        _save(f"{self.directory}/kubelet.conf", self.keys.kubeconfig("node", "127.0.0.1"))
        with open(self.keys.path("ca.crt"), encoding="ascii") as file:
            _save(f"{self.directory}/ca.crt", file.read())
        self.node.start()
        self.start_kubelet()

    def start_kubelet(self):
        with open(f"{self.directory}/kubelet.log", "ab") as log:
            self.process = self.node.popen(
                ["setpriv", "--pdeathsig", "KILL", f"{self.kubernetes}/kubelet", *kubelet_arguments(self.directory)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop_kubelet(self):
        self.process.terminate()
        self.process.wait()

    def restart_runtime(self):
        self.node.stop()
        self.node.start()

    def check(self):
        if self.process.poll() is not None:
            raise LabError(f"kubelet ended with {self.process.returncode}; log: {self.directory}/kubelet.log")

    def collect(self, directory):
        os.makedirs(directory, exist_ok=True)
        for path in (f"{self.directory}/kubelet.log", self.node.log):
            subprocess.run(["cp", path, directory], check=False)

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()


def _save(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
