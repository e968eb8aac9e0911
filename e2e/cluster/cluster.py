# SPDX-License-Identifier: Apache-2.0
"""A whole cluster: network, control plane, node. Cluster("zone") has its node in the lab, Cluster("host") here."""

import contextlib
import os
import shutil
import subprocess
import tempfile

import native
from images.serve import Registries
from lab import LabError, cache, level
from lab.qemu import Shape

from . import controlplane, kubectl, network, node, programs

READY_PATIENCE = 300
REMOVAL_PATIENCE = 300
KEPT = {f"namespace/{name}" for name in ("default", "kube-system", "kube-public", "kube-node-lease")}


def missing():
    """What has to be built before a cluster can run, as one line for a person; None when all is there."""
    names = [name for name in ("etcd", "kubernetes") if not programs(name)]
    if not names:
        return None
    return f"{' and '.join(names)} not built: `make cluster-tools` builds them (Go modules, some 25 minutes, then cached)"


class Cluster:
    """Up within its `with` block. handler: "zone" or "host"."""

    def __init__(self, handler):
        if why := missing():
            raise LabError(why)
        self.handler = handler
        self.stack = contextlib.ExitStack()
        self.log = f"{cache.REPO}/build/cluster/{handler}"

    def __enter__(self):
        with self.stack:
            self._build()
            kept = self.stack.pop_all()
        self.stack = kept
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _build(self):
        kubernetes = programs("kubernetes")
        self.registries = self.stack.enter_context(Registries())
        directory = tempfile.mkdtemp(prefix="cluster-", dir=f"{cache.REPO}/build")
        self.stack.callback(shutil.rmtree, directory, ignore_errors=True)
        here = self._host_node() if self.handler == "host" else None
        net = network.Network(here.netns if here else f"zonelet-cluster-{os.getpid()}", make=here is None)
        self.network = net
        self.stack.callback(net.close)
        net.address(network.GATEWAY)
        # QEMU passes a client's address on, and a node drops what comes from its own.
        net.address(network.LAB_NODE, source=network.GATEWAY)
        self.stack.callback(self._keep_logs, directory)
        self.control = controlplane.ControlPlane(directory, net, programs("etcd"), kubernetes, network.GATEWAY)
        self.stack.callback(self.control.close)
        self.control.keys.client("node", f"system:node:{node.NAME}", "system:nodes")
        self.kubectl = kubectl.Kubectl(net, kubernetes, self.control.keys.path("admin.conf"))
        self.control.start()
        if here:
            self.node = node.Host(here, self.control.keys, kubernetes)
        else:
            self.node = node.Zones(net, self.control.keys, kubernetes, self._level(), self.registries)
        self.stack.callback(self.node.close)
        self.node.start()
        self.stack.callback(self.node.collect, self.log)
        self.wait_node()

    def _host_node(self):
        build = native.build_directory()
        if not build:
            raise LabError("zoneletd is not built: run `make build` first")
        native.use_machine_cgroups()
        self.stack.enter_context(native.alone())
        here = native.Native(build, self.registries, [f"{node.HOST}:{node.PLAIN}"])
        self.stack.callback(here.close)
        return here

    @staticmethod
    def _level():
        package = level.newest_package()
        if not package:
            raise LabError("there is no package to install in dom0: run `make deb` first")
        return level.ready(Shape(), package, level.crictl())

    def _keep_logs(self, directory):
        os.makedirs(self.log, exist_ok=True)
        subprocess.run(["cp", "-r", f"{directory}/logs/.", self.log], check=False)

    def wait_node(self):
        """Waits until the node is Ready, and its namespace has the account that pods use."""
        def ready():
            self.control.check()
            self.node.check()
            conditions = self.kubectl.get("node", node.NAME)["status"]["conditions"]
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
        self.kubectl.wait("the node's Ready", ready, READY_PATIENCE)
        self.kubectl.wait("the account default", lambda: self.kubectl("get", "serviceaccount", "default"), 60)

    def node_lease(self):
        """When the kubelet renewed its lease last."""
        return self.kubectl.get("-n", "kube-node-lease", "lease", node.NAME)["spec"]["renewTime"]

    def empty(self):
        """Waits until nothing runs but what the cluster began with; raises LabError when something stays.

        The kubelet removes the sandboxes of pods that are gone once a minute.
        """
        def gone():
            return all(name in KEPT for name in self.kubectl("get", "namespaces", "-o", "name").split())

        def no_pods():
            return not self.node.crictl.json("pods")["items"]
        self.kubectl.wait("the end of the tests' namespaces", gone, REMOVAL_PATIENCE)
        self.kubectl.wait("the removal of all pods by the kubelet", no_pods, REMOVAL_PATIENCE)
