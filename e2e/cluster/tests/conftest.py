# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests that want a cluster; e2e/cluster/run runs them.

cluster     the cluster of this session, up (cluster.cluster.Cluster); which one: --handler
namespace   a namespace for this test alone; that nothing of them is left is seen at the session's end
"""

import os
import re
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from cluster.cluster import Cluster  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--handler", choices=("zone", "host"), default="zone", help="what runs the pods")


@pytest.fixture(scope="session")
def cluster(request):
    with Cluster(request.config.getoption("--handler")) as running:
        yield running
        running.empty()


@pytest.fixture
def kubectl(cluster):
    return cluster.kubectl


class Namespace:
    """A namespace, and what tests do with pods in it."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.kubectl = cluster.kubectl
        self.name = name

    def __call__(self, *words, **more):
        return self.kubectl("-n", self.name, *words, **more)

    def get(self, *words):
        return self.kubectl.get("-n", self.name, *words)

    def apply(self, *objects):
        for one in objects:
            one["metadata"].setdefault("namespace", self.name)
        self.kubectl.apply(*objects)

    def wait(self, what, test, patience=180):
        return self.kubectl.wait(what, test, patience)

    def wait_pod(self, name, phase="Running", patience=180):
        """Waits for the pod's phase; Running means that its containers are ready."""
        def there():
            status = self.get("pod", name)["status"]
            if status.get("phase") != phase:
                return None
            if phase == "Running" and not all(one["ready"] for one in status["containerStatuses"]):
                return None
            return status
        return self.wait(f"phase {phase} of pod {name}", there, patience)

    def container(self, pod):
        """The status of the pod's first container; one without anything in it before there is one."""
        return next(iter(self.get("pod", pod)["status"].get("containerStatuses", ())), {})

    def log(self, pod, *words):
        return self("logs", pod, *words)

    def wait_log(self, pod, pattern, *words, patience=60):
        return self.wait(f"/{pattern}/ in the log of {pod}",
                         lambda: re.search(pattern, self.log(pod, *words), re.MULTILINE), patience)


@pytest.fixture
def namespace(request, cluster):
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")[:50]
    cluster.kubectl("create", "namespace", name)
    made = Namespace(cluster, name)
    made.wait("the account default", lambda: made("get", "serviceaccount", "default"), 60)
    yield made
    cluster.kubectl("delete", "namespace", name, "--wait=false")
