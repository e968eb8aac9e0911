# SPDX-License-Identifier: Apache-2.0
"""kubectl against a cluster, and waiting for what it shows."""

import json
import subprocess
import time

from lab import LabError


class KubectlError(LabError):
    """kubectl failed; `message` is what it said."""

    def __init__(self, words, message):
        super().__init__(f"kubectl {' '.join(words)}: {message}")
        self.message = message


class Kubectl:
    """kubectl as the cluster's administrator."""

    def __init__(self, network, kubernetes, kubeconfig):
        self.network = network
        self.command = [f"{kubernetes}/kubectl", f"--kubeconfig={kubeconfig}"]

    def argv(self, *words):
        return self.network.inside([*self.command, *words])

    def __call__(self, *words, input=None, timeout=120):
        done = subprocess.run(self.argv(*words), capture_output=True, text=True, check=False, timeout=timeout, input=input)
        if done.returncode != 0:
            raise KubectlError(words, (done.stderr or done.stdout).strip())
        return done.stdout

    def popen(self, *words, **more):
        return subprocess.Popen(self.argv(*words), **more)

    def get(self, *words):
        return json.loads(self("get", *words, "-o", "json"))

    def apply(self, *objects):
        self("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def wait(self, what, test, patience):
        """Waits until test() gives something true, and gives that. `what` names it in the error."""
        deadline = time.monotonic() + patience
        while True:
            try:
                found, why = test(), ""
            except KubectlError as error:
                found, why = None, f": {error.message}"
            if found:
                return found
            if time.monotonic() > deadline:
                raise LabError(f"{what} did not come within {patience} s{why}\n{self.story()}")
            time.sleep(0.3)

    def story(self):
        """Pods and events, for whoever reads a failure."""
        words = (["get", "pods", "-A", "-o", "wide"], ["get", "events", "-A", "--sort-by=.lastTimestamp"])
        return "\n".join(subprocess.run(self.argv(*line), capture_output=True, text=True, check=False).stdout
                         for line in words)
