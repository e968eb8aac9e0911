# SPDX-License-Identifier: Apache-2.0
"""The host's half of the control line into dom0; agent.c describes the protocol.

Every port of the machine is a unix socket here and carries one command at a time. A port is taken by a lock
on a file beside its socket, so commands from different processes run side by side.
"""

import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
import tty
from dataclasses import dataclass

from . import LabError

PORTS = 8
MAGIC = b"zlab/1\r\n"
PAYLOAD_MAX = 65536
HEADER = struct.Struct("<cI")


@dataclass
class Result:
    """What a command in dom0 came to."""

    command: str
    code: int
    stdout: str
    stderr: str
    seconds: float

    def __str__(self):
        parts = [f"`{self.command}` ended with {self.code} after {self.seconds:.1f} s"]
        parts += [text.rstrip() for text in (self.stdout, self.stderr) if text.strip()]
        return "\n".join(parts)


class CommandFailed(LabError):
    """A command in dom0 ended with another code than 0."""

    def __init__(self, result):
        super().__init__(str(result))
        self.result = result


class CommandTimeout(LabError):
    """A command in dom0 took longer than it may; it was killed."""


def connect_unix(path):
    """Connects to a unix socket whose path may be longer than the 107 bytes of a socket address."""
    directory = os.open(os.path.dirname(path), os.O_PATH)
    try:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        except OSError:
            sock.close()
            raise
        return sock
    finally:
        os.close(directory)


@contextlib.contextmanager
def _locked_port(directory):
    """The number of a port that nobody uses, held for the length of the block."""
    try:
        locks = [os.open(f"{directory}/port{n}.lock", os.O_RDWR | os.O_CREAT, 0o600) for n in range(PORTS)]
    except FileNotFoundError as error:
        raise LabError("this machine is not up; `lab list` shows those that are, `lab up` starts one") from error
    try:
        while True:
            for number, lock in enumerate(locks):
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                yield number
                return
            time.sleep(0.05)
    finally:
        for lock in locks:
            os.close(lock)


class Session:
    """One conversation with the agent over one port."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""

    @classmethod
    def open(cls, path, deadline):
        """Connects and finds the agent's greeting; tries again when an interrupted session is in the way."""
        while True:
            try:
                session = cls(connect_unix(path))
            except OSError as error:
                raise LabError(f"no machine answers at {path}: {error.strerror}; is it up? (lab list)") from error
            if session._greet(min(deadline, time.monotonic() + 5)):
                return session
            session.sock.close()
            if time.monotonic() >= deadline:
                raise LabError("dom0's agent does not answer; see the machine's console (lab list shows where)")
            time.sleep(0.1)

    def _greet(self, deadline):
        nonce = os.urandom(8)
        hello = HEADER.pack(b"H", len(nonce)) + nonce
        self.sock.sendall(MAGIC + nonce)
        while True:
            at = self.buffer.find(hello)
            if at >= 0:
                self.buffer = self.buffer[at + len(hello):]
                return True
            if not self._receive(deadline):
                return False

    def _receive(self, deadline):
        wait = None if deadline is None else max(0, deadline - time.monotonic())
        if not select.select([self.sock], [], [], wait)[0]:
            return False
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            raise LabError("the machine ended in the middle of a command (its console has more)")
        self.buffer += data
        return True

    def send(self, kind, payload=b""):
        self.sock.sendall(HEADER.pack(kind, len(payload)) + payload)

    def frames_buffered(self):
        """The whole frames that have arrived."""
        while len(self.buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self.buffer)
            if len(self.buffer) < HEADER.size + length:
                return
            payload = self.buffer[HEADER.size:HEADER.size + length]
            self.buffer = self.buffer[HEADER.size + length:]
            yield kind, payload

    def start(self, argv, cwd, mode="pipe"):
        strings = [mode, cwd, *argv]
        payload = b"".join(os.fsencode(text) + b"\0" for text in strings)
        if len(payload) > PAYLOAD_MAX or len(argv) > 1000:
            raise LabError(f"the command line of {argv[0]} is too long for the control line; put it in a file")
        self.send(b"S", payload)

    def talk(self, source, on_output, on_errors, deadline):
        """Feeds `source` (None, or an object with read()) to the command and passes its output on.

        Returns the exit code, or None when the deadline came first.
        """
        feeding = source
        if feeding is None:
            self.send(b"I")
        while True:
            if feeding is not None and not self.buffer:
                feeding = self._feed(feeding)
            for kind, payload in self.frames_buffered():
                if kind == b"O":
                    on_output(payload)
                elif kind == b"E":
                    on_errors(payload)
                elif kind == b"X":
                    return struct.unpack("<i", payload)[0]
                elif kind == b"F":
                    raise LabError(f"dom0: {payload.decode(errors='replace')}")
            if feeding is not None and not select.select([self.sock], [], [], 0)[0]:
                continue
            if not self._receive(deadline):
                return None

    def _feed(self, source):
        data = source.read(32768)
        self.send(b"I", data)
        return source if data else None


class Agent:
    """Runs commands in a machine's dom0 as root. `directory` holds the sockets port0, port1, ..."""

    def __init__(self, directory):
        self.directory = directory

    @contextlib.contextmanager
    def session(self, patience=60):
        with _locked_port(self.directory) as number:
            session = Session.open(f"{self.directory}/port{number}", time.monotonic() + patience)
            with contextlib.closing(session.sock):
                yield session

    def wait(self, patience):
        """Returns once dom0's agent answers."""
        with self.session(patience):
            pass

    def stream(self, argv, source=None, on_output=None, on_errors=None, timeout=None, cwd="/root"):
        """Runs argv, giving its output to the two functions as it comes. Returns the exit code."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.session() as session:
            session.start(argv, cwd)
            code = session.talk(source, on_output or (lambda data: None), on_errors or (lambda data: None), deadline)
        if code is None:
            raise CommandTimeout(f"`{' '.join(argv)}` did not end within {timeout} s and was killed")
        return code

    def run(self, argv, source=None, timeout=120, check=True, cwd="/root"):
        """Runs argv and returns its Result; raises CommandFailed when check is set and it fails."""
        out, err, start = [], [], time.monotonic()
        try:
            code = self.stream(argv, source, out.append, err.append, timeout, cwd)
        except CommandTimeout as error:
            said = b"".join(out + err).decode(errors="replace").strip()
            raise CommandTimeout(f"{error}\n{said}" if said else str(error)) from None
        name = argv[2] if argv[:2] == ["sh", "-c"] and len(argv) == 3 else " ".join(argv)
        result = Result(name, code, b"".join(out).decode(errors="replace"), b"".join(err).decode(errors="replace"),
                        time.monotonic() - start)
        if check and code != 0:
            raise CommandFailed(result)
        return result

    def set_clock(self, seconds):
        with self.session() as session:
            session.send(b"T", struct.pack("<Q", int(seconds * 1e9)))
            if session.talk(None, lambda data: None, lambda data: None, time.monotonic() + 30) is None:
                raise LabError("dom0's agent did not set the clock within 30 s")

    def shell(self, argv, cwd="/root"):
        """Runs argv on a terminal in dom0, joined to this process's own terminal. Returns the exit code."""
        terminal = sys.stdin.fileno()
        size = os.get_terminal_size(terminal)
        with self.session() as session, _raw_terminal(terminal), _wakeups(signal.SIGWINCH) as resized:
            session.start(argv, cwd, f"pty {size.lines} {size.columns}")
            while True:
                for kind, payload in session.frames_buffered():
                    if kind == b"X":
                        return struct.unpack("<i", payload)[0]
                    if kind == b"F":
                        raise LabError(f"dom0: {payload.decode(errors='replace')}")
                    os.write(sys.stdout.fileno(), payload)
                ready = select.select([session.sock, terminal, resized], [], [])[0]
                if resized in ready:
                    os.read(resized, 64)
                    size = os.get_terminal_size(terminal)
                    session.send(b"W", struct.pack("<HH", size.lines, size.columns))
                if terminal in ready:
                    session.send(b"I", os.read(terminal, 4096))
                if session.sock in ready:
                    session._receive(None)


@contextlib.contextmanager
def _raw_terminal(fd):
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _wakeups(number):
    """A file descriptor that becomes readable when the signal arrives."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before_fd = signal.set_wakeup_fd(writer)
    before = signal.signal(number, lambda *_: None)
    try:
        yield reader
    finally:
        signal.signal(number, before)
        signal.set_wakeup_fd(before_fd)
        os.close(reader)
        os.close(writer)
