# SPDX-License-Identifier: Apache-2.0
import json
import os
import pathlib
import socket
import subprocess
import time

import pytest

import images

BUILD = pathlib.Path(os.environ.get("ZL_BUILD", "build")).resolve()
ZL_STORE = BUILD / "unit/storage-driver/zl-store"
PULLER = BUILD / "storage-driver/zonelet-pull"


class Failure(Exception):
    def __init__(self, text):
        super().__init__(text)
        line = next((line for line in text.splitlines() if ": " in line and line.split(":")[0].isupper()), "")
        self.code, _, self.message = line.partition(": ")


class Store:
    def __init__(self, root, *options, user=None):
        self.root = root
        self.options = list(options) + (["--user", user] if user else [])

    def command(self, *args):
        return [ZL_STORE, "--root", self.root, "--puller", PULLER, *self.options, *args]

    def __call__(self, *args, env=None, timeout=90):
        done = subprocess.run(self.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env={**os.environ, **(env or {})}, timeout=timeout)
        self.stderr = done.stderr
        if done.returncode != 0:
            raise Failure(done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def pull(self, reference, **auth):
        return self("pull", reference, env={"ZL_" + key.upper(): value for key, value in auth.items()})

    def fails(self, reference, **auth):
        """A pull that must fail and leave nothing behind. Returns the failure."""
        before = self.left()
        with pytest.raises(Failure) as caught:
            self.pull(reference, **auth)
        assert self.left() == before
        assert reference.split("@")[0].rsplit(":", 1)[0] in caught.value.message
        return caught.value

    def left(self):
        return sorted(str(path.relative_to(self.root)) for below in ("blobs", "ingest")
                      for path in (self.root / below).rglob("*"))

    def blobs(self):
        return sorted(path.name for path in (self.root / "blobs").iterdir())


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def make_store(tmp_path):
    return lambda *options, **kw: Store(tmp_path / "store", *options, **kw)


@pytest.fixture
def registry():
    server = images.Registry()
    yield server
    server.close()


@pytest.fixture
def make_registry():
    servers = []

    def make(**kw):
        servers.append(images.Registry(**kw))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def real_registry(tmp_path_factory):
    """Debian's docker-registry on loopback: its address."""
    base = tmp_path_factory.mktemp("registry")
    host = "127.0.0.1:%d" % free_port()
    (base / "config.yml").write_text(json.dumps({
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(base / "data")}},
        "http": {"addr": host},
    }))
    with open(base / "log", "w") as log:
        process = subprocess.Popen(["docker-registry", "serve", base / "config.yml"], stdout=log, stderr=log)
    address, port = host.split(":")
    while socket.socket().connect_ex((address, int(port))) != 0:
        assert process.poll() is None, (base / "log").read_text()
        time.sleep(0.02)
    yield host
    process.kill()
    process.wait()


@pytest.fixture
def mounts():
    """Mounts that are undone at the end: mounts(path) notes one."""
    noted = []
    yield noted.append
    for path in reversed(noted):
        subprocess.run(["umount", path], check=True)


def loops(below):
    found = []
    for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if path.read_text().startswith(str(below)):
                found.append("/dev/" + path.parts[3])
        except OSError:
            pass  # detached since
    return sorted(found)


@pytest.fixture(autouse=True)
def no_loops_left(tmp_path):
    yield
    left = loops(tmp_path)
    for device in left:
        subprocess.run(["losetup", "-d", device])
    assert left == []
