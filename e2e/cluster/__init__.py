# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster of one node, which runs zonelet.

network        a network namespace that the control plane and the node's way in share
keys           the cluster's certificates and kubeconfigs
controlplane   etcd, kube-apiserver, kube-controller-manager, kube-scheduler
node           the node's files and its kubelet: in the lab's dom0 (zones) or on this machine (host)
kubectl        kubectl, and waiting for what it shows
cluster        all of it as one thing

kubernetes/ and etcd/ pin the programs' Go modules; tools/gotools builds them.
"""

import os
import subprocess

from lab import LabError, cache

SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
POD_CIDR = "10.88.0.0/16"
DOMAIN = "cluster.local"
API_PORT = 6443
KUBELET_PORT = 10250


def programs(name):
    """The directory of a set of Go programs ("kubernetes", "etcd") that tools/gotools has built; None if it has not."""
    done = subprocess.run([f"{cache.REPO}/tools/gotools", "--path", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(done.stderr.strip())
    path = done.stdout.strip()
    return path if os.path.isdir(path) else None
