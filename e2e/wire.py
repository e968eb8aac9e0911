# SPDX-License-Identifier: Apache-2.0
"""Streaming clients from bytes: what crictl does not do (old versions, odd orders, windows)."""

import base64
import os
import socket
import struct
import zlib

WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age "
    "allow authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin").split(" ")
TEXT = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    "Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov "
    "Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,"
    "sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.")
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.replace("_", " ").encode() for w in WORDS) + TEXT.encode()

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 9
FIN = 1


class Refused(Exception):
    """The server did not upgrade; `status` is HTTP's."""

    def __init__(self, status, head):
        super().__init__(head)
        self.status = status


class Upgraded:
    """A connection to a streaming URL in a node's network, upgraded."""

    def __init__(self, node, url, headers, method="POST", timeout=60):
        self.pending = b""
        self.ended = False
        host, _, path = url.removeprefix("http://").partition("/")
        address, port = host.rsplit(":", 1)
        self.socket = node.connect(address, int(port))
        self.socket.settimeout(timeout)
        lines = [f"{method} /{path} HTTP/1.1", f"Host: {host}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.socket.recv(4096)
            if not more:
                raise Refused(0, "closed")
            head += more
        self.head, _, self.pending = head.partition(b"\r\n\r\n")
        self.head = self.head.decode()
        status = int(self.head.split(" ")[1])
        if status != 101:
            self.close()
            raise Refused(status, self.head)

    def header(self, name):
        for line in self.head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    def read(self, count):
        """Exactly count bytes; None at the end."""
        while len(self.pending) < count:
            more = self.socket.recv(65536)
            if not more:
                self.ended = True
                return None
            self.pending += more
        taken, self.pending = self.pending[:count], self.pending[count:]
        return taken

    def close(self):
        self.socket.close()


class Spdy(Upgraded):
    """SPDY/3.1. Streams are named by their type."""

    def __init__(self, node, url, protocols=("v4.channel.k8s.io",), window_updates=False):
        headers = ["Connection: Upgrade", "Upgrade: SPDY/3.1", "Content-Length: 0"]
        headers += [f"X-Stream-Protocol-Version: {p}" for p in protocols]
        super().__init__(node, url, headers)
        self.protocol = self.header("X-Stream-Protocol-Version")
        self.compress = zlib.compressobj(zdict=DICTIONARY)
        self.expand = zlib.decompressobj(zdict=DICTIONARY)
        self.streams = {}
        self.data = {}
        self.finished = set()
        self.resets = {}
        self.replied = set()
        self.credits = {}
        self.pongs = []
        self.next = 1
        self.window_updates = window_updates

    def control(self, kind, payload, flags=0):
        self.socket.sendall(struct.pack(">HHI", 0x8003, kind, flags << 24 | len(payload)) + payload)

    def open(self, **headers):
        stream, self.next = self.next, self.next + 2
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower(), str(value)):
                block += struct.pack(">I", len(text)) + text.encode()
        packed = self.compress.compress(block) + self.compress.flush(zlib.Z_SYNC_FLUSH)
        self.control(SYN_STREAM, struct.pack(">IIH", stream, 0, 0) + packed)
        self.streams[headers.get("streamtype", stream)] = stream
        self.data[stream] = b""
        return stream

    def open_all(self, *types):
        return [self.open(streamtype=t) for t in types]

    def send(self, stream, data=b"", fin=False):
        self.socket.sendall(struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(data)) + data)

    def frame(self):
        """Takes one frame; False at the end of the connection."""
        head = self.read(8)
        if head is None:
            return False
        first, second = struct.unpack(">II", head)
        flags, length = second >> 24, second & 0xffffff
        payload = self.read(length)
        if payload is None:
            return False
        if not first & 0x80000000:
            self.data[first] = self.data.get(first, b"") + payload
            if flags & FIN:
                self.finished.add(first)
            if self.window_updates and payload:
                self.control(WINDOW_UPDATE, struct.pack(">II", first, length))
                self.control(WINDOW_UPDATE, struct.pack(">II", 0, length))
            return True
        kind = first & 0xffff
        if kind == SYN_REPLY:
            self.expand.decompress(payload[4:])
            self.replied.add(struct.unpack(">I", payload[:4])[0])
        elif kind == RST_STREAM:
            stream, status = struct.unpack(">II", payload)
            self.resets[stream] = status
        elif kind == PING:
            self.pongs.append(struct.unpack(">I", payload)[0])
        elif kind == WINDOW_UPDATE:
            stream, delta = struct.unpack(">II", payload)
            self.credits[stream] = self.credits.get(stream, 0) + delta
        return True

    def until(self, condition):
        while not condition():
            if not self.frame():
                raise AssertionError(f"the connection ended: {self.data} {self.resets}")

    def until_over(self, *types):
        wanted = {self.streams[t] for t in types}
        self.until(lambda: wanted <= self.finished | set(self.resets))

    def said(self, kind):
        return self.data[self.streams[kind]]


class WebSocket(Upgraded):
    """WebSocket with channels."""

    def __init__(self, node, url, protocols=("v4.channel.k8s.io",), timeout=60):
        headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                   f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}"]
        if protocols:
            headers.append(f"Sec-WebSocket-Protocol: {', '.join(protocols)}")
        super().__init__(node, url, headers, method="GET", timeout=timeout)
        self.protocol = self.header("Sec-WebSocket-Protocol")
        self.data = {}
        self.closed = None

    def send(self, payload, opcode=2, fin=True):
        length = len(payload)
        head = bytes([(0x80 if fin else 0) | opcode])
        if length < 126:
            head += bytes([0x80 | length])
        elif length < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", length)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        body = (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
        self.socket.sendall(head + mask + body)

    def write(self, channel, data):
        self.send(bytes([channel]) + data)

    def message(self):
        head = self.read(2)
        if head is None:
            return None
        length = head[1] & 127
        if length == 126:
            length = struct.unpack(">H", self.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.read(8))[0]
        return head[0] & 15, self.read(length)

    def take(self):
        """Takes one message; False at the end."""
        message = self.message()
        if message is None or message[0] == 8:
            self.closed = struct.unpack(">H", message[1][:2])[0] if message and len(message[1]) > 1 else None
            return False
        if message[0] in (1, 2) and message[1]:
            channel = message[1][0]
            self.data[channel] = self.data.get(channel, b"") + message[1][1:]
        return True

    def to_end(self):
        while self.take():
            pass
        return self.data

    def until(self, condition):
        while not condition():
            if not self.take():
                raise AssertionError(f"the connection ended: {self.data}")
