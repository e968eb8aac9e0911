# SPDX-License-Identifier: Apache-2.0
"""Images made in memory, and a registry that serves them as badly as a test asks."""

import base64
import gzip
import hashlib
import http.server
import io
import json
import platform
import socket
import subprocess
import tarfile
import threading
import urllib.parse
import urllib.request

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(entries, fmt=tarfile.PAX_FORMAT):
    """entries: name -> bytes (a file), or a dict of TarInfo's attributes with "data"."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
        for name, value in entries:
            info = tarfile.TarInfo(name)
            info.mtime = 1700000000
            data = b""
            if isinstance(value, bytes):
                data = value
            else:
                value = dict(value)
                data = value.pop("data", b"")
                for key, attribute in value.items():
                    setattr(info, key, attribute)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


DIR = {"type": tarfile.DIRTYPE, "mode": 0o755}


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


def gz(data):
    return gzip.compress(data, 1, mtime=0)


PACK = {"gzip": gz, "zstd": zstd, "": lambda data: data}


class Image:
    """One manifest with its config and layers."""

    def __init__(self, tars, pack="gzip", architecture=ARCH, config=None, diff_ids=None):
        self.blobs = {}
        self.layers = []
        packs = [pack] * len(tars) if isinstance(pack, str) else pack
        for data, how in zip(tars, packs):
            blob = PACK[how](data)
            self.blobs[digest(blob)] = blob
            self.layers.append({
                "mediaType": "application/vnd.oci.image.layer.v1.tar" + ("+" + how if how else ""),
                "digest": digest(blob),
                "size": len(blob),
            })
        self.config = {
            "os": "linux",
            "architecture": architecture,
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(t) for t in tars]},
        }
        self.finish()

    def finish(self):
        config = json.dumps(self.config).encode()
        self.blobs[digest(config)] = config
        self.id = digest(config)
        self.manifest = json.dumps({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
            "layers": self.layers,
        }).encode()
        self.digest = digest(self.manifest)

    def descriptor(self, platform_=None):
        entry = {"mediaType": MANIFEST, "digest": self.digest, "size": len(self.manifest)}
        if platform_:
            entry["platform"] = platform_
        return entry


def index(entries):
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()


class Request:
    def __init__(self, handler):
        self.path, _, query = handler.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        self.method = handler.command
        self.headers = {k.lower(): v for k, v in handler.headers.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args):
        pass

    def reply(self, status, body=b"", headers=(), length=None):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def handle_any(self):
        server = self.server.registry
        request = Request(self)
        length = int(request.headers.get("content-length", 0))
        request.body = self.rfile.read(length) if length else b""
        with server.lock:
            server.requests.append(request)
        if server.fault and server.fault(self, request):
            return
        server.serve(self, request)

    do_GET = do_POST = do_HEAD = handle_any


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # the other side went away: that is what some tests are about


class Registry:
    """Serves manifests and blobs; `fault(handler, request)` may answer first and return True."""

    def __init__(self, tls=None):
        self.manifests = {}
        self.blobs = {}
        self.requests = []
        self.fault = None
        self.ranges = True
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.registry = self
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.host = "127.0.0.1:%d" % self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def add(self, name, image, tag="latest"):
        self.blobs.update(image.blobs)
        self.add_manifest(name, image.manifest, MANIFEST, tag)
        return "%s/%s:%s" % (self.host, name, tag)

    def add_manifest(self, name, body, media_type, tag=None):
        self.manifests[(name, digest(body))] = (body, media_type)
        if tag:
            self.manifests[(name, tag)] = (body, media_type)
        return "%s/%s:%s" % (self.host, name, tag)

    def serve(self, handler, request):
        parts = request.path.split("/")
        name, kind, what = "/".join(parts[2:-2]), parts[-2], parts[-1]
        if kind == "manifests" and (name, what) in self.manifests:
            body, media_type = self.manifests[(name, what)]
            handler.reply(200, body, [("Content-Type", media_type), ("Docker-Content-Digest", digest(body))])
        elif kind == "blobs" and what in self.blobs:
            self.send_blob(handler, request, self.blobs[what])
        else:
            handler.reply(404, json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}).encode())

    def send_blob(self, handler, request, body, limit=None):
        """With `limit`, breaks the connection after that many bytes of this answer."""
        start = 0
        status, headers = 200, []
        if self.ranges and "range" in request.headers:
            start = int(request.headers["range"].removeprefix("bytes=").rstrip("-"))
            status = 206
            headers = [("Content-Range", "bytes %d-%d/%d" % (start, len(body) - 1, len(body)))]
        piece = body[start:]
        cut = piece if limit is None else piece[:limit]
        handler.reply(status, cut, headers, length=len(piece))
        if len(cut) < len(piece):
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True

    def count(self, what):
        with self.lock:
            return sum(1 for request in self.requests if what in request.path)


def push(host, name, image, tag):
    """Pushes an image into a real registry by the distribution API."""
    def call(method, url, data=None, headers=None):
        request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
        return urllib.request.urlopen(request)

    for sum_, blob in image.blobs.items():
        location = call("POST", "http://%s/v2/%s/blobs/uploads/" % (host, name), b"").headers["Location"]
        call("PUT", location + ("&" if "?" in location else "?") + "digest=" + sum_, blob,
             {"Content-Type": "application/octet-stream"})
    call("PUT", "http://%s/v2/%s/manifests/%s" % (host, name, tag), image.manifest, {"Content-Type": MANIFEST})
    return "%s/%s:%s" % (host, name, tag)


def basic(user, password):
    return "Basic " + base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
