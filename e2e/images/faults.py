# SPDX-License-Identifier: Apache-2.0
"""A registry that misbehaves: each repository in its own way, named for what it does.

REPOSITORIES lists them with what a client should notice. `good` is an image without a fault, to show that
the rest fails for its fault alone. Every repository has the tag 1.
"""

import gzip
import hashlib
import io
import json
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
NOISE = hashlib.shake_256(b"noise").digest(1 << 20)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(*members):
    """A tar of (name, content) pairs, or of TarInfo objects."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


class Image:
    """What one repository serves. Methods that a fault needs otherwise are overridden."""

    def __init__(self, layers=None, architecture="amd64", **config):
        tars = layers if layers is not None else [tar_of(("noise", NOISE), ("etc/passwd", b"root:x:0:0::/:/bin/sh\n"))]
        self.layers = [gzip.compress(tar, mtime=0) for tar in tars]
        self.config = {"architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
                       "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]}, **config}
        self.config_bytes = json.dumps(self.config).encode()
        self.requests = {}

    def layer_descriptors(self):
        return [{"mediaType": LAYER, "digest": digest_of(layer), "size": len(layer)} for layer in self.layers]

    def manifest(self):
        """The manifest's media type and bytes."""
        return MANIFEST, json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": self.layer_descriptors(),
            "config": {"mediaType": CONFIG, "digest": digest_of(self.config_bytes), "size": len(self.config_bytes)},
        }).encode()

    def blob(self, digest):
        """A blob's bytes, or None."""
        for data in (*self.layers, self.config_bytes):
            if digest_of(data) == digest:
                return data
        return None

    def send_blob(self, handler, digest):
        data = self.blob(digest)
        if data is None:
            handler.error(404, "BLOB_UNKNOWN", digest)
        elif data in self.layers:
            self.send_layer(handler, data)
        else:
            handler.send(200, "application/octet-stream", data)

    def send_layer(self, handler, data):
        handler.send(200, "application/octet-stream", data)

    def send_manifest(self, handler, reference):
        kind, data = self.manifest()
        if reference not in ("1", digest_of(data)):
            handler.error(404, "MANIFEST_UNKNOWN", f"tag {reference} is not here")
        else:
            handler.send(200, kind, data, {"Docker-Content-Digest": digest_of(data)})


class Drop(Image):
    """Ends the connection in the middle of the layer, the first `times` times."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def send_layer(self, handler, data):
        with handler.server.lock:
            self.times -= 1
            drop = self.times >= 0
        if drop:
            handler.send(200, "application/octet-stream", data, length=len(data) // 2)
            handler.close_connection = True
        else:
            super().send_layer(handler, data)


class Stall(Image):
    """Stops in the middle of the layer and says nothing more until the client goes."""

    def send_layer(self, handler, data):
        handler.send(200, "application/octet-stream", data, length=len(data) // 2)
        handler.wait_for_client_to_go()
        handler.close_connection = True


class OtherBytes(Image):
    """Layer bytes that are not those of the digest."""

    def send_layer(self, handler, data):
        handler.send(200, "application/octet-stream", data[:-1] + bytes([data[-1] ^ 1]))


class Longer(Image):
    """More layer bytes than the manifest says."""

    def send_layer(self, handler, data):
        handler.send(200, "application/octet-stream", data + b"more")


class OtherConfig(Image):
    """Configuration bytes that are not those of the digest."""

    def blob(self, digest):
        data = super().blob(digest)
        return data.replace(b"/bin/sh", b"/bin/ash") if data == self.config_bytes else data


class LayerSize(Image):
    """A layer size in the manifest that is not true."""

    def __init__(self, size):
        super().__init__()
        self.size = size

    def layer_descriptors(self):
        return [dict(entry, size=self.size) for entry in super().layer_descriptors()]


class LayerType(Image):
    """A layer of a media type that nobody knows."""

    def layer_descriptors(self):
        return [dict(entry, mediaType="application/x-unknown") for entry in super().layer_descriptors()]


class RawLayer(Image):
    """A layer whose packed bytes are given, with right digests."""

    def __init__(self, packed, tar=b""):
        super().__init__([tar])
        self.layers = [packed]


class Manifest(Image):
    """Any manifest bytes."""

    def __init__(self, data, kind=MANIFEST):
        super().__init__()
        self.data, self.kind = data, kind

    def manifest(self):
        return self.kind, self.data() if callable(self.data) else self.data


class ManifestDigest(Image):
    """Another manifest than the digest that is asked for."""

    def send_manifest(self, handler, reference):
        kind, data = self.manifest()
        handler.send(200, kind, data + b"\n", {"Docker-Content-Digest": digest_of(data)})


class BadConfig(Image):
    """A configuration that is not JSON, with its right digest."""

    def __init__(self, data):
        super().__init__()
        self.config_bytes = data


class Status(Image):
    """An HTTP status for everything."""

    def __init__(self, code, headers=None):
        super().__init__()
        self.code, self.headers = code, headers or {}

    def send_manifest(self, handler, reference):
        handler.send(self.code, "application/json", b'{"errors":[]}', self.headers)


def _absurd_entry():
    """A tar whose first entry says that it is 2^60 bytes long."""
    info = tarfile.TarInfo("absurd")
    info.size = 1 << 60
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(10240)


def _index(*entries):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}).encode()


def _foreign_index():
    return _index({"mediaType": MANIFEST, "digest": digest_of(b"absent"), "size": 6,
                   "platform": {"architecture": "arm64", "os": "linux"}})


def _nested_index():
    """An index whose only entry is an index, and so on: it names itself by tag, which has no end."""
    return _index({"mediaType": INDEX, "digest": digest_of(b"nested"), "size": 6,
                   "platform": {"architecture": "amd64", "os": "linux"}})


def _bomb():
    """256 MiB of zeros in a quarter of a megabyte."""
    info = tarfile.TarInfo("zeros")
    info.size = 256 << 20
    out, hasher = io.BytesIO(), hashlib.sha256()
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed:
        for block in (info.tobuf(tarfile.GNU_FORMAT), *[bytes(1 << 20)] * 256, bytes(10240)):
            packed.write(block)
            hasher.update(block)
    return out.getvalue(), "sha256:" + hasher.hexdigest()


class Bomb(Image):
    """A layer that unpacks to a thousand times its size."""

    def __init__(self):
        super().__init__([])
        packed, diff_id = _bomb()
        self.layers = [packed]
        self.config["rootfs"]["diff_ids"] = [diff_id]
        self.config_bytes = json.dumps(self.config).encode()


def _other_diff_id():
    image = Image()
    return Image(rootfs={"type": "layers", "diff_ids": [digest_of(b"other")] * len(image.layers)})


# name: (how to make it, what is wrong with it)
REPOSITORIES = {
    "good": (Image, "nothing"),
    "drop-once": (lambda: Drop(1), "the connection ends in the middle of the layer, once"),
    "drop-always": (lambda: Drop(1 << 30), "the connection ends in the middle of the layer, every time"),
    "stall": (Stall, "the layer stops in the middle and the connection stays open"),
    "other-bytes": (OtherBytes, "the layer's bytes do not have the digest"),
    "longer": (Longer, "the layer has more bytes than the manifest says"),
    "other-config": (OtherConfig, "the configuration does not have the digest"),
    "other-manifest": (ManifestDigest, "the manifest does not have the digest that the registry says"),
    "other-diff-id": (_other_diff_id, "the unpacked layer does not have the diffID"),
    "diff-id-count": (lambda: Image(rootfs={"type": "layers", "diff_ids": []}), "there are more layers than diffIDs"),
    "traversal-dots": (lambda: Image([tar_of(("../../../../tmp/zonelet-escape", b"escaped\n"))]),
                       "a layer's entry leads out of the root by .."),
    "traversal-absolute": (lambda: Image([tar_of(("/tmp/zonelet-escape", b"escaped\n"))]),
                           "a layer's entry has an absolute path (which belongs inside the root)"),
    "traversal-symlink": (lambda: Image([tar_of(link("out", "/tmp"), ("out/zonelet-escape", b"escaped\n"))]),
                          "a layer's entry leads through a symbolic link"),
    "traversal-hardlink": (lambda: Image([tar_of(link("shadow", "../../../../etc/shadow", tarfile.LNKTYPE))]),
                           "a hard link leads out of the root"),
    "absurd-size": (lambda: LayerSize(1 << 62), "the manifest says that the layer has 2^62 bytes"),
    "negative-size": (lambda: LayerSize(-1), "the manifest says that the layer has -1 bytes"),
    "absurd-entry": (lambda: Image([_absurd_entry()]), "a tar entry says that it has 2^60 bytes"),
    "bomb": (Bomb, "a layer of 256 KiB unpacks to 256 MiB"),
    "not-gzip": (lambda: RawLayer(NOISE[:4096]), "the layer is not gzip"),
    "cut-gzip": (lambda: RawLayer(gzip.compress(tar_of(("noise", NOISE)))[:-1000]), "the gzip stream ends early"),
    "not-tar": (lambda: Image([NOISE[:10240]]), "the layer is not a tar"),
    "layer-type": (LayerType, "the layer has an unknown media type"),
    "not-json": (lambda: Manifest(b"{"), "the manifest is not JSON"),
    "huge-manifest": (lambda: Manifest(lambda: b"[" + b" " * (64 << 20) + b"]"), "the manifest has 64 MiB"),
    "deep-json": (lambda: Manifest(b"[" * 100000 + b"]" * 100000), "the manifest is nested 100,000 levels deep"),
    "no-platform": (lambda: Manifest(_foreign_index(), INDEX), "the index has no entry for this architecture"),
    "nested-index": (lambda: Manifest(_nested_index(), INDEX), "the index leads to an index that is not there"),
    "other-architecture": (lambda: Image(architecture="arm64"), "the image is for arm64"),
    "config-not-json": (lambda: BadConfig(b"{"), "the configuration is not JSON"),
    "error-500": (lambda: Status(500), "the registry has an internal error"),
    "busy": (lambda: Status(429, {"Retry-After": "1"}), "the registry is busy"),
    "denied": (lambda: Status(403), "access is denied"),
    "unauthorized": (lambda: Status(401), "the registry wants a login but does not say how"),
    "redirects": (lambda: Status(307, {"Location": "/v2/redirects/manifests/1"}), "the registry redirects for ever"),
}


class Faults:
    """The repositories' state: which drop is next, how often what was asked for."""

    def __init__(self):
        self.images = {}
        self.lock = threading.Lock()

    def image(self, name):
        with self.lock:
            if name in REPOSITORIES and name not in self.images:
                self.images[name] = REPOSITORIES[name][0]()
            return self.images.get(name)

    def reset(self):
        """As at the start: dropped connections are dropped anew."""
        with self.lock:
            self.images.clear()


class Handler(BaseHTTPRequestHandler):
    """The part of the distribution API that a pull uses. The server has `faults` and `lock`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["v2"]:
            self.send(200, "application/json", b"{}")
            return
        image = self.server.faults.image("/".join(parts[1:-2])) if len(parts) >= 4 and parts[0] == "v2" else None
        if image is None:
            self.error(404, "NAME_UNKNOWN", self.path)
        elif parts[-2] == "manifests":
            image.send_manifest(self, parts[-1])
        elif parts[-2] == "blobs":
            image.send_blob(self, parts[-1])
        else:
            self.error(404, "UNSUPPORTED", self.path)

    do_HEAD = do_GET

    def send(self, code, kind, data, headers=None, length=None):
        """Answers with data, or with its first `length` bytes while promising all of it."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:length])
            self.wfile.flush()

    def error(self, code, name, detail):
        body = json.dumps({"errors": [{"code": name, "message": name.lower(), "detail": detail}]}).encode()
        self.send(code, "application/json", body)

    def wait_for_client_to_go(self):
        self.connection.settimeout(600)
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            time.sleep(0)

    def address_string(self):
        return "dom0"
