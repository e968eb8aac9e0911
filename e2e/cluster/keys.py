# SPDX-License-Identifier: Apache-2.0
"""The certificates of a cluster, made by openssl, and the kubeconfigs that hold them.

https://kubernetes.io/docs/setup/best-practices/certificates/ has the names that each component goes by.
"""

import base64
import json
import os

from lab.cache import tool

from . import API_PORT, API_SERVICE, DOMAIN

LOG = "cluster"
DAYS = "3650"
# file: (common name, group)
CLIENTS = {
    "admin": ("kubernetes-admin", "system:masters"),
    "apiserver-kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
}
API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}", "localhost")


class Keys:
    """The files NAME.crt and NAME.key in a directory, and NAME.conf for who speaks to the API server."""

    def __init__(self, directory, api_addresses):
        self.directory = directory
        self.addresses = ["127.0.0.1", API_SERVICE, *api_addresses]
        os.makedirs(directory, mode=0o700, exist_ok=True)
        tool([*self._request("ca", "/CN=kubernetes"), "-x509", "-days", DAYS,
              "-addext", "keyUsage=critical,digitalSignature,keyCertSign"], LOG)
        names = ",".join([*(f"DNS:{name}" for name in API_NAMES), *(f"IP:{address}" for address in self.addresses)])
        self._issue("apiserver", "/CN=kube-apiserver", "serverAuth", [f"subjectAltName={names}"])
        for name, (common, group) in CLIENTS.items():
            self.client(name, common, group)
        tool(["openssl", "genrsa", "-out", self.path("service-accounts.key"), "2048"], LOG)
        tool(["openssl", "rsa", "-in", self.path("service-accounts.key"), "-pubout",
              "-out", self.path("service-accounts.pub")], LOG)

    def path(self, name):
        return f"{self.directory}/{name}"

    def _request(self, name, subject):
        return ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", subject, "-keyout", self.path(f"{name}.key"), "-out", self.path(f"{name}.crt")]

    def _issue(self, name, subject, usage, extensions=()):
        command = [*self._request(name, subject), "-x509", "-days", DAYS, "-CA", self.path("ca.crt"),
                   "-CAkey", self.path("ca.key")]
        for extension in ("basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={usage}", *extensions):
            command += ["-addext", extension]
        tool(command, LOG)

    def client(self, name, common, group=None):
        """A client certificate, and the kubeconfig NAME.conf for this machine."""
        self._issue(name, (f"/O={group}" if group else "") + f"/CN={common}", "clientAuth")
        with open(self.path(f"{name}.conf"), "w", encoding="ascii") as file:
            file.write(self.kubeconfig(name, "127.0.0.1"))

    def kubeconfig(self, name, address, port=API_PORT):
        """A kubeconfig with everything in it, for an API server at the address and port."""
        def data(file):
            with open(self.path(file), "rb") as source:
                return base64.b64encode(source.read()).decode()
        # JSON is YAML.
        return json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "zonelet",
            "clusters": [{"name": "zonelet", "cluster": {
                "server": f"https://{address}:{port}", "certificate-authority-data": data("ca.crt")}}],
            "users": [{"name": name, "user": {
                "client-certificate-data": data(f"{name}.crt"), "client-key-data": data(f"{name}.key")}}],
            "contexts": [{"name": "zonelet", "context": {"cluster": "zonelet", "user": name}}]}, indent=1)
