# SPDX-License-Identifier: Apache-2.0
"""The control plane of a cluster: four processes in its network namespace, their data and logs in one directory."""

import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from lab import LabError

from . import API_PORT, DOMAIN, POD_CIDR, SERVICES, keys

PATIENCE = 120


class ControlPlane:
    """Runs from start() to close(). `advertised`: the API server's address as pods are to see it."""

    def __init__(self, directory, network, etcd, kubernetes, advertised):
        self.directory = directory
        self.network = network
        self.programs = {"etcd": f"{etcd}/etcd"} | {
            name: f"{kubernetes}/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")}
        self.advertised = advertised
        self.processes = {}
        os.makedirs(f"{directory}/logs", exist_ok=True)
        self.keys = keys.Keys(f"{directory}/keys", [advertised])

    def start(self):
        self._start("etcd", [
            f"--data-dir={self.directory}/etcd", "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380",
            # The cluster does not outlive a crash of this machine.
            "--unsafe-no-fsync"])
        self._start("kube-apiserver", self._apiserver())
        self._wait_api()
        self._start("kube-controller-manager", self._controller_manager())
        self._start("kube-scheduler", [
            f"--kubeconfig={self.keys.path('scheduler.conf')}", "--leader-elect=false",
            f"--authentication-kubeconfig={self.keys.path('scheduler.conf')}",
            f"--authorization-kubeconfig={self.keys.path('scheduler.conf')}"])

    def _apiserver(self):
        path = self.keys.path
        return [
            "--etcd-servers=http://127.0.0.1:2379", f"--secure-port={API_PORT}", "--bind-address=0.0.0.0",
            f"--advertise-address={self.advertised}", f"--service-cluster-ip-range={SERVICES}",
            f"--client-ca-file={path('ca.crt')}", f"--tls-cert-file={path('apiserver.crt')}",
            f"--tls-private-key-file={path('apiserver.key')}",
            f"--kubelet-client-certificate={path('apiserver-kubelet-client.crt')}",
            f"--kubelet-client-key={path('apiserver-kubelet-client.key')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-account-key-file={path('service-accounts.pub')}",
            f"--service-account-signing-key-file={path('service-accounts.key')}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true"]

    def _controller_manager(self):
        path = self.keys.path
        return [
            f"--kubeconfig={path('controller-manager.conf')}", "--leader-elect=false",
            f"--authentication-kubeconfig={path('controller-manager.conf')}",
            f"--authorization-kubeconfig={path('controller-manager.conf')}",
            f"--root-ca-file={path('ca.crt')}", f"--cluster-signing-cert-file={path('ca.crt')}",
            f"--cluster-signing-key-file={path('ca.key')}",
            f"--service-account-private-key-file={path('service-accounts.key')}", "--use-service-account-credentials=true",
            "--allocate-node-cidrs=true", f"--cluster-cidr={POD_CIDR}", f"--service-cluster-ip-range={SERVICES}",
            # An emulated node's clock runs behind this machine's: its leases come late.
            "--node-monitor-grace-period=180s"]

    def _start(self, name, arguments):
        with open(f"{self.directory}/logs/{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.network.inside([self.programs[name], *arguments])],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _wait_api(self):
        context = ssl.create_default_context(cafile=self.keys.path("ca.crt"))
        context.load_cert_chain(self.keys.path("admin.crt"), self.keys.path("admin.key"))
        deadline = time.monotonic() + PATIENCE
        while True:
            self.check()
            try:
                with self.network.entered(), urllib.request.urlopen(
                        f"https://127.0.0.1:{API_PORT}/readyz", context=context, timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            if time.monotonic() > deadline:
                raise LabError(f"kube-apiserver is not ready after {PATIENCE} s; log: {self.directory}/logs")
            time.sleep(0.2)

    def check(self):
        """Raises LabError when one of the processes has ended."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise LabError(f"{name} ended with {process.returncode}; log: {self.directory}/logs/{name}.log")

    def close(self):
        for process in reversed(self.processes.values()):
            process.kill()
            process.wait()
        self.processes.clear()
