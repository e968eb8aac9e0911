# SPDX-License-Identifier: Apache-2.0
"""Pods by crictl, as a person would make them.

`place` is where commands run: a lab machine (e2e/lab) or this machine (e2e/native.py). It has
run(argv, check=True, timeout=seconds, input=text) and gives a result with code, stdout and stderr.
"""

import json
import shlex
import uuid

LOGS = "/var/log/pods-test"


class CrictlError(Exception):
    """crictl failed; `code` is the gRPC status it named ("NotFound"), `message` what it said."""

    def __init__(self, arguments, message):
        super().__init__(f"crictl {' '.join(arguments)}: {message}")
        self.message = message
        self.code = message.split("code = ", 1)[1].split(" ", 1)[0] if "code = " in message else None


class Crictl:
    """crictl against one runtime."""

    def __init__(self, place, socket="/run/zonelet/zoneletd.sock", timeout="60s"):
        self.place = place
        self.options = ["-r", f"unix://{socket}", "-i", f"unix://{socket}", "-t", timeout]

    def result(self, *arguments, timeout=300):
        return self.place.run(["crictl", *self.options, *arguments], check=False, timeout=timeout)

    def __call__(self, *arguments, timeout=300):
        result = self.result(*arguments, timeout=timeout)
        if result.code != 0:
            raise CrictlError(arguments, (result.stderr + result.stdout).strip())
        return result.stdout

    def json(self, *arguments):
        return json.loads(self(arguments[0], "-o", "json", *arguments[1:]))


class Pod:
    """One pod sandbox and its containers."""

    def __init__(self, crictl, name, identity, config):
        self.crictl = crictl
        self.name = name
        self.id = identity
        self.config = config

    def container(self, image, command=None, name="main", start=True, **more):
        """Creates (and starts) a container; gives its id."""
        config = {"metadata": {"name": name}, "image": {"image": image}, "log_path": f"{name}.log", **more}
        if command is not None:
            config["command"] = ["sh", "-c", command] if isinstance(command, str) else list(command)
        place = self.crictl.place
        pod_path, path = (f"/tmp/{self.name}-{kind}.json" for kind in ("pod", name))
        _write(place, pod_path, self.config)
        _write(place, path, config)
        identity = self.crictl("create", self.id, path, pod_path).strip()
        place.run(["rm", "-f", pod_path, path])
        if start:
            self.crictl("start", identity)
        return identity

    def log(self, name="main"):
        """The container's log file as it is."""
        return self.crictl.place.run(["cat", f"{self.config['log_directory']}/{name}.log"]).stdout

    def status(self):
        return self.crictl.json("inspectp", self.id)

    def zone(self):
        """What zonelet says of the zone behind the pod."""
        return self.status()["zone"]

    def ip(self):
        return self.status()["status"]["network"]["ip"]

    def stop(self):
        self.crictl("stopp", self.id)

    def remove(self):
        self.crictl("stopp", self.id)
        self.crictl("rmp", self.id)


def _write(place, path, value):
    place.run(["sh", "-c", f"cat >{shlex.quote(path)}"], input=json.dumps(value))


def pod_config(name, **more):
    return {"metadata": {"name": name, "namespace": "default", "uid": str(uuid.uuid4()), "attempt": 0},
            "hostname": name, "log_directory": f"{LOGS}/{name}", "linux": {}, **more}


def run_pod(crictl, name, handler=None, timeout="120s", **more):
    """Runs a pod sandbox."""
    config = pod_config(name, **more)
    path = f"/tmp/{name}-pod.json"
    _write(crictl.place, path, config)
    arguments = ["runp", "--cancel-timeout", timeout]
    if handler:
        arguments += ["--runtime", handler]
    try:
        identity = crictl(*arguments, path).strip()
    finally:
        crictl.place.run(["rm", "-f", path])
    return Pod(crictl, name, identity, config)


def log_text(log, stream="stdout"):
    """The container's output that a CRI log holds: lines of a stream, partial ones joined."""
    text = ""
    for line in log.splitlines():
        _time, name, tag, content = (line.split(" ", 3) + [""])[:4]
        if name == stream:
            text += content + ("\n" if tag == "F" else "")
    return text
