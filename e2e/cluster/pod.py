# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects as dictionaries, with the defaults of these tests."""

from images import HOST, PLAIN

IMAGE = f"{HOST}:{PLAIN}/busybox:1"


def container(script, name="main", image=IMAGE, mounts=None, **more):
    """A container that runs a shell script. mounts: volume's name to path."""
    return {"name": name, "image": image, "command": ["sh", "-c", script],
            "volumeMounts": [{"name": volume, "mountPath": path} for volume, path in (mounts or {}).items()], **more}


def spec(*containers, restart=None, init=(), volumes=None, **more):
    found = {"containers": list(containers), "initContainers": list(init), "terminationGracePeriodSeconds": 1,
             "volumes": [{"name": name, **source} for name, source in (volumes or {}).items()], **more}
    if restart:
        found["restartPolicy"] = restart
    return found


def pod(name, *containers, **more):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec(*containers, **more)}


def deployment(name, replicas, *containers, **more):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                     "template": {"metadata": {"labels": labels}, "spec": spec(*containers, **more)}}}
