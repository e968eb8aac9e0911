# SPDX-License-Identifier: Apache-2.0
"""The images, and a registry's storage that holds them.

All are made of busybox from Debian's busybox-static. repositories, each with the tag 1:

busybox         applets as hard links; users root, nobody, app (1000); one gzip layer
busybox-zstd    the same, its layer packed with zstd
busybox-tar     the same, its layer not packed
busybox-docker  the same, as a Docker image (manifest version 2, schema 2)
layers          three layers: files replaced, removed by a whiteout, hidden by an opaque directory
big             8 MiB that do not pack, in a layer of their own
user            its config sets user, directory, environment, entrypoint, stop signal, volume
multiarch       an index: arm64 first, then amd64 (busybox)
arm64only       an image for arm64 alone
pause           a process that waits, for containerd's sandboxes
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time

from lab import LabError, cache
from lab.cache import tool

from . import HOST, PASSWORD, USER

HERE = os.path.dirname(os.path.abspath(__file__))
BUSYBOX = "/bin/busybox"
LOG = "images"
FORMS = {
    "busybox-zstd": ("repacked", ["--dest-compress", "--dest-compress-format", "zstd"]),
    "busybox-tar": ("repacked", ["--dest-decompress"]),
    "busybox-docker": ("direct", ["--format", "v2s2"]),
}
NAMES = ["busybox", "busybox-zstd", "busybox-tar", "busybox-docker", "layers", "big", "user", "multiarch", "arm64only", "pause"]


def made():
    """The directory with storage/ (a registry's), oci/ (the images' layout), and the keys of `make_keys`."""
    versions = subprocess.run([BUSYBOX], capture_output=True, text=True, check=False).stdout.splitlines()[0]
    key = cache.digest(versions, f"@{HERE}/build.py", f"@{HERE}/pause.c", f"@{HERE}/__init__.py")

    def build(directory):
        layout = f"{directory}/oci"
        _make_images(layout)
        make_keys(directory)
        fill_storage(f"{directory}/storage", lambda url: [_push(layout, name, f"{url}/{name}:1") for name in NAMES])

    result = cache.make("images", key, build, "made the test images")
    cache.prune("images", 2)
    return result


class Image:
    """An image under construction in an OCI layout."""

    def __init__(self, layout, name, base=None):
        self.ref = f"{layout}:{name}"
        if base:
            tool(["umoci", "tag", "--image", f"{layout}:{base}", name], LOG)
        else:
            tool(["umoci", "new", "--image", self.ref], LOG)

    @contextlib.contextmanager
    def layer(self):
        """The image's root file system; what is changed in it becomes a layer."""
        with tempfile.TemporaryDirectory() as work:
            tool(["umoci", "unpack", "--image", self.ref, f"{work}/bundle"], LOG)
            yield f"{work}/bundle/rootfs"
            tool(["umoci", "repack", "--image", self.ref, f"{work}/bundle"], LOG)

    def config(self, *options):
        tool(["umoci", "config", "--image", self.ref, *options], LOG)


def _make_images(layout):
    tool(["umoci", "init", "--layout", layout], LOG)
    _make_busybox(layout)
    _make_layers(layout)
    _make_big(layout)
    _make_user(layout)
    _make_arm64(layout)
    _make_pause(layout)
    _make_index(layout, "multiarch", [("arm64", "arm64only"), ("amd64", "busybox")])


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def fill_busybox(root):
    """A root file system of busybox: directories, applets as hard links, users."""
    for name in ("bin", "sbin", "usr/bin", "usr/sbin", "etc", "home/app", "root", "var/www", "run", "proc", "sys", "dev",
                 "tmp"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    os.chmod(f"{root}/tmp", 0o1777)
    shutil.copy(BUSYBOX, f"{root}/bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list-full"], capture_output=True, text=True, check=True).stdout.split()
    for applet in applets:
        if not os.path.exists(f"{root}/{applet}"):
            os.makedirs(os.path.dirname(f"{root}/{applet}"), exist_ok=True)
            os.link(f"{root}/bin/busybox", f"{root}/{applet}")
    write(f"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
                                "app:x:1000:1000::/home/app:/bin/sh\n")
    write(f"{root}/etc/group", "root:x:0:\nnobody:x:65534:\napp:x:1000:\nextra:x:2000:app\n")
    write(f"{root}/var/www/index.html", "hello from a zone\n")
    os.chown(f"{root}/home/app", 1000, 1000)


def _make_busybox(layout):
    image = Image(layout, "busybox")
    with image.layer() as root:
        fill_busybox(root)
    image.config("--config.cmd", "sh", "--config.env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "--architecture", "amd64",
                 "--os", "linux")


def _make_layers(layout):
    image = Image(layout, "layers", "busybox")
    with image.layer() as root:
        write(f"{root}/data/replaced", "lower\n")
        write(f"{root}/data/removed", "lower\n")
        write(f"{root}/data/kept", "lower\n")
        write(f"{root}/data/directory/one", "lower\n")
        write(f"{root}/data/opaque/hidden", "lower\n")
        write(f"{root}/data/to-link", "lower\n")
        write(f"{root}/data/to-directory", "lower\n")
    with image.layer() as root:
        write(f"{root}/data/replaced", "upper\n")
        os.unlink(f"{root}/data/removed")
        os.unlink(f"{root}/data/to-link")
        os.symlink("kept", f"{root}/data/to-link")
        os.unlink(f"{root}/data/to-directory")
        write(f"{root}/data/to-directory/inside", "upper\n")
        write(f"{root}/data/directory/two", "upper\n")
        write(f"{root}/data/program", "#!/bin/sh\necho program\n", 0o4755)
        os.link(f"{root}/data/directory/two", f"{root}/data/hard-link")
    with tempfile.TemporaryDirectory() as opaque:
        write(f"{opaque}/shown", "upper\n")
        tool(["umoci", "insert", "--image", image.ref, "--opaque", opaque, "/data/opaque"], LOG)


def _make_big(layout):
    image = Image(layout, "big", "busybox")
    with image.layer() as root:
        os.makedirs(f"{root}/data")
        with open(f"{root}/data/noise", "wb") as file:
            file.write(random.Random(1).randbytes(8 << 20))


def _make_user(layout):
    image = Image(layout, "user", "busybox")
    image.config("--config.user", "app", "--config.workingdir", "/home/app", "--config.env", "GREETING=hello",
                 "--config.entrypoint", "/bin/sh", "--config.entrypoint", "-c",
                 "--config.cmd", "id; pwd; echo $GREETING; exec sleep 3600",
                 "--config.stopsignal", "SIGUSR1", "--config.volume", "/data", "--config.exposedports", "8080/tcp",
                 "--config.label", "zonelet.test=yes")


def _make_arm64(layout):
    image = Image(layout, "arm64only")
    with image.layer() as root:
        write(f"{root}/architecture", "arm64\n")
    image.config("--architecture", "arm64", "--os", "linux", "--config.cmd", "/bin/sh")


def _make_pause(layout):
    image = Image(layout, "pause")
    with image.layer() as root:
        tool(["gcc", "-static", "-Os", "-s", "-o", f"{root}/pause", f"{HERE}/pause.c"], LOG)
    image.config("--architecture", "amd64", "--os", "linux", "--config.entrypoint", "/pause")


def _read_index(layout):
    with open(f"{layout}/index.json", encoding="utf-8") as file:
        return json.load(file)


def _make_index(layout, name, parts):
    """An image index of images that the layout has; no tool at hand makes one."""
    refs = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry
            for entry in _read_index(layout)["manifests"]}
    manifests = [{"mediaType": refs[part]["mediaType"], "digest": refs[part]["digest"], "size": refs[part]["size"],
                  "platform": {"architecture": architecture, "os": "linux"}} for architecture, part in parts]
    media_type = "application/vnd.oci.image.index.v1+json"
    blob = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}).encode()
    digest = hashlib.sha256(blob).hexdigest()
    with open(f"{layout}/blobs/sha256/{digest}", "wb") as file:
        file.write(blob)
    index = _read_index(layout)
    index["manifests"].append({"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(blob),
                               "annotations": {"org.opencontainers.image.ref.name": name}})
    with open(f"{layout}/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)


def make_keys(directory):
    """ca.crt, a certificate for the registries (tls.crt, tls.key), the tokens' signer (token.*), htpasswd."""
    openssl = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "36500"]
    tool([*openssl, "-subj", "/CN=lab CA", "-keyout", f"{directory}/ca.key", "-out", f"{directory}/ca.crt"], LOG)
    tool([*openssl, "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},DNS:localhost,IP:127.0.0.1",
          "-addext", "basicConstraints=critical,CA:FALSE",
          "-CA", f"{directory}/ca.crt", "-CAkey", f"{directory}/ca.key",
          "-keyout", f"{directory}/tls.key", "-out", f"{directory}/tls.crt"], LOG)
    tool([*openssl, "-subj", "/CN=lab tokens", "-keyout", f"{directory}/token.key", "-out", f"{directory}/token.crt"],
         LOG)
    tool(["htpasswd", "-cbB", f"{directory}/htpasswd", USER, PASSWORD], LOG)


def fill_storage(storage, push):
    """Fills a registry's storage: push(url) pushes through a registry that runs for as long as that takes."""
    with tempfile.TemporaryDirectory() as work, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        write(f"{work}/config.yml", json.dumps({
            "version": "0.1", "log": {"level": "warn"}, "http": {"addr": f"127.0.0.1:{port}"},
            "storage": {"filesystem": {"rootdirectory": storage}}}))
        with open(f"{cache.LOGS}/{LOG}.log", "ab") as log, \
                subprocess.Popen(["docker-registry", "serve", f"{work}/config.yml"], stdout=log, stderr=log) as registry:
            try:
                _wait_port(port, registry)
                push(f"docker://127.0.0.1:{port}")
            finally:
                registry.terminate()


def _wait_port(port, registry):
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        if registry.poll() is not None or time.monotonic() > deadline:
            raise LabError(f"docker-registry does not start; see {cache.LOGS}/{LOG}.log")
        time.sleep(0.02)


def copy_image(source, target, *options):
    """skopeo copy, over plain HTTP to a registry."""
    if target.startswith("docker:"):
        options = ("--dest-tls-verify=false", *options)
    tool(["skopeo", "--insecure-policy", "copy", "--quiet", "--all", *options, source, target], LOG)


def _push(layout, name, target):
    """Pushes one image; three are the busybox image in another form."""
    source = f"oci:{layout}:{'busybox' if name in FORMS else name}"
    how, options = FORMS.get(name, ("direct", []))
    with tempfile.TemporaryDirectory() as work:
        if how == "repacked":
            # Only a copy into a directory packs anew what is packed already.
            copy_image(source, f"dir:{work}/image", *options)
            source, options = f"dir:{work}/image", []
        copy_image(source, target, *options)


if __name__ == "__main__":
    print(made().path)
