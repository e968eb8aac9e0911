# SPDX-License-Identifier: Apache-2.0
"""Runs the registries of one place: a directory with one unix socket for each port that dom0 sees.

The first three are Debian's docker-registry over one read-only storage; the token server and the
misbehaving registry are this process's threads.
"""

import fcntl
import json
import os
import shutil
import signal
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from http.server import HTTPServer

from lab import LabError, cache

from . import BASIC, FAULTS, HOST, PLAIN, SOCKETS, TOKEN, TOKEN_SERVER, build, faults, tokens


class UnixServer(socketserver.ThreadingMixIn, HTTPServer):
    """An HTTP server on a unix socket, a thread for each connection."""

    address_family = socketserver.UnixStreamServer.address_family
    daemon_threads = True

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, 0

    def get_request(self):
        request, _ = super().get_request()
        return request, ("dom0", 0)

    def handle_error(self, request, client_address):
        # A client that goes in the middle of an answer is what some tests are about.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Registries:
    """The running registries. `directory` is what a machine is started with (Machine.start).

    `images` is what they serve: a thing as build.made() makes it, which is the default.
    """

    def __init__(self, directory=None, images=None):
        self.images = images or build.made()
        self.own = directory is None
        # A short path: the address of a unix socket has 107 bytes.
        self.directory = directory or tempfile.mkdtemp(prefix="zonelet-registry-", dir="/tmp")
        self.log = f"{cache.LOGS}/registry.log"
        self.processes = []
        self.faults = faults.Faults()
        self.ca = f"{self.images.path}/ca.crt"
        os.makedirs(self.directory, exist_ok=True)
        os.makedirs(cache.LOGS, exist_ok=True)
        self._start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _start(self):
        keys = self.images.path
        tls = {"certificate": f"{keys}/tls.crt", "key": f"{keys}/tls.key"}
        self._registry(PLAIN, {})
        self._registry(BASIC, {"auth": {"htpasswd": {"realm": "lab", "path": f"{keys}/htpasswd"}}}, tls)
        self._registry(TOKEN, {"auth": {"token": {
            "realm": f"https://{HOST}:{TOKEN_SERVER}/token", "service": tokens.SERVICE, "issuer": tokens.ISSUER,
            "rootcertbundle": f"{keys}/token.crt"}}}, tls)
        signer = tokens.Signer(keys)
        self._threads(TOKEN_SERVER, type("Tokens", (tokens.Handler,), {"signer": signer}), tls)
        self._threads(FAULTS, faults.Handler)
        self._wait()

    def _registry(self, port, more, tls=None):
        path = f"{self.directory}/{SOCKETS[port]}"
        http = {"net": "unix", "addr": path, "secret": "lab"}
        if tls:
            http["tls"] = tls
        # JSON is YAML.
        text = json.dumps({
            "version": "0.1", "log": {"level": "info"}, "http": http,
            "storage": {"filesystem": {"rootdirectory": f"{self.images.path}/storage"},
                        "maintenance": {"readonly": {"enabled": True}}}, **more})
        build.write(f"{path}.yml", text)
        with open(self.log, "ab") as log:
            self.processes.append(subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", f"{path}.yml"], stdout=log, stderr=log))

    def _threads(self, port, handler, tls=None):
        server = UnixServer(f"{self.directory}/{SOCKETS[port]}", handler)
        server.faults, server.lock = self.faults, self.faults.lock
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls["certificate"], tls["key"])
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        handler.log_message = self._log_message
        threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 3600}).start()

    @staticmethod
    def _log_message(handler, form, *words):
        with open(f"{cache.LOGS}/registry.log", "a", encoding="utf-8") as log:
            log.write(f"{type(handler).__module__}: {form % words}\n")

    def _wait(self):
        deadline = time.monotonic() + 20
        while not all(os.path.exists(f"{self.directory}/{name}") for name in SOCKETS.values()):
            if any(process.poll() is not None for process in self.processes) or time.monotonic() > deadline:
                self.stop()
                raise LabError(f"docker-registry does not start; full log: {self.log}")
            time.sleep(0.02)

    def ref(self, name, port=PLAIN, tag="1"):
        """An image's name as dom0 has to say it."""
        return f"{HOST}:{port}/{name}:{tag}"

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait()
        if self.own:
            shutil.rmtree(self.directory, ignore_errors=True)


def main():
    """images.serve DIRECTORY [FILE]: serves until it is ended, or nobody holds a lock on FILE any more."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: images.serve DIRECTORY [LOCK]")
    os.makedirs(sys.argv[1], mode=0o700, exist_ok=True)
    for name in os.listdir(sys.argv[1]):
        os.unlink(f"{sys.argv[1]}/{name}")
    if len(sys.argv) == 3:
        threading.Thread(target=_end_with, args=(sys.argv[2],), daemon=True).start()
    with Registries(sys.argv[1]):
        print("ready", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


def _end_with(path):
    with open(path, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
