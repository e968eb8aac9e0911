# SPDX-License-Identifier: Apache-2.0
"""Exec, attach and port forward by real clients: crictl, over SPDY and WebSocket, and bytes of our own."""

import base64
import contextlib
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from pods import run_pod
from test_host import IMAGE, alone, native  # noqa: F401 (fixtures)

TRANSPORTS = ["spdy", "websocket"]
MIB = 1 << 20


class Client:
    """A crictl that streams, beside the daemon."""

    def __init__(self, node, *arguments, **more):
        self.process = node.popen(["crictl", "-r", f"unix://{node.socket}", *arguments],
                                  **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                                     **more})

    def talk(self, data=None, timeout=120):
        out, err = self.process.communicate(data, timeout=timeout)
        return self.process.returncode, out, err

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


def stream(node, *arguments, data=None, timeout=120):
    """Runs a streaming crictl to its end: exit status, stdout, stderr."""
    client = Client(node, *arguments)
    try:
        return client.talk(data, timeout)
    finally:
        client.end()


def until(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@pytest.fixture
def running(native, request):  # noqa: F811
    pod = run_pod(native.crictl, re.sub("[^a-z0-9]", "-", request.node.name.lower())[:40].strip("-"))
    pod.main = pod.container(IMAGE, "exec sleep 10000")
    yield pod
    pod.remove()


# ---- exec

@pytest.mark.parametrize("transport", TRANSPORTS)
def test_exec_output_and_exit_code(native, running, transport):  # noqa: F811
    code, out, err = stream(native, "exec", "--transport", transport, running.main,
                            "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (out, code) == (b"out\n", 1)
    assert b"\nerr\n" in err and b"exit code 7" in err, err
    code, out, err = stream(native, "exec", "--transport", transport, running.main, "echo", "fine")
    assert (code, out) == (0, b"fine\n"), err


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_exec_half_close(native, running, transport):  # noqa: F811
    """The command sees the end of its input while its output still flows."""
    data = os.urandom(3 * MIB + 17)
    code, out, err = stream(native, "exec", "-i", "--transport", transport, running.main,
                            "sh", "-c", "sha256sum; echo after", data=data)
    assert (code, out.decode()) == (0, f"{hashlib.sha256(data).hexdigest()}  -\nafter\n"), err


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_exec_large_stream_both_ways(native, running, transport):  # noqa: F811
    data = os.urandom(MIB) * 100
    code, out, err = stream(native, "exec", "-i", "--transport", transport, running.main, "cat", data=data, timeout=300)
    assert code == 0, err
    assert len(out) == len(data) and hashlib.sha256(out).digest() == hashlib.sha256(data).digest()


def test_exec_command_not_found(native, running):  # noqa: F811
    code, out, err = stream(native, "exec", running.main, "/no/such/program")
    assert (code, out) == (1, b"") and b"/no/such/program" in err


def test_exec_refusals(native, running):  # noqa: F811
    assert "FAILED_PRECONDITION" in url_error(native, "exec", exited(running), "o", "true")
    assert "NOT_FOUND" in url_error(native, "exec", "0" * 64, "o", "true")
    assert "INVALID_ARGUMENT" in url_error(native, "exec", running.main, "oet", "true")
    assert "INVALID_ARGUMENT" in url_error(native, "exec", running.main, "t", "true")
    assert "INVALID_ARGUMENT" in url_error(native, "exec", running.main, "o")
    assert "FAILED_PRECONDITION" in url_error(native, "attach", exited(running), "o")
    assert "NOT_FOUND" in url_error(native, "portforward", "0" * 64)


def exited(pod):
    if not hasattr(pod, "exited"):
        pod.exited = pod.container(IMAGE, "exit 0", name="exited")
        until(lambda: pod.crictl.json("inspect", pod.exited)["status"]["state"] == "CONTAINER_EXITED", "the exit")
    return pod.exited


class Terminal(Client):
    """crictl with a terminal of its own."""

    def __init__(self, node, *arguments, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.size(rows, columns)
        super().__init__(node, *arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True)
        os.close(slave)
        self.text = b""

    def size(self, rows, columns):
        import fcntl
        import termios
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def write(self, text):
        os.write(self.master, text.encode())

    def read_until(self, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while not re.search(pattern.encode(), self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self.master], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.text += os.read(self.master, 65536)
        return self.text.decode(errors="replace")

    def end(self):
        super().end()
        os.close(self.master)


@pytest.fixture
def terminal():
    made = []

    def make(*arguments, **more):
        made.append(Terminal(*arguments, **more))
        return made[-1]
    yield make
    for one in made:
        one.end()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_exec_terminal_and_resize(native, running, terminal, transport):  # noqa: F811
    shell = terminal(native, "exec", "-it", "--transport", transport, running.main, "sh", rows=33, columns=101)
    shell.read_until(r"# ")
    # The first size comes with the first resize message, which may be after the prompt.
    shell.write("until [ \"$(stty size)\" = '33 101' ]; do :; done; echo first $((40 + 2)) $TERM\n")
    shell.read_until(r"first 42 xterm\r\n")
    shell.size(50, 132)
    shell.write("until [ \"$(stty size)\" = '50 132' ]; do :; done; stty size\n")
    shell.read_until(r"\n50 132\r\n")
    shell.write("exit 5\n")
    assert shell.process.wait(timeout=20) == 1
    shell.read_until("exit code 5|exit status 5")


# ---- back-pressure

def memory(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024


def threads(node):
    with open(f"/proc/{node.process.pid}/status", encoding="ascii") as file:
        return int(re.search(r"Threads:\s+(\d+)", file.read()).group(1))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_slow_reader_holds_the_command_back(native, running, transport):  # noqa: F811
    native.stop()
    # Freed memory that the sanitizer keeps is not the daemon's.
    native.start(ASAN_OPTIONS="quarantine_size_mb=1")
    stream(native, "exec", running.main, "true")
    before = memory(native)
    size = 200 * MIB
    client = Client(native, "exec", "--transport", transport, running.main, "sh", "-c",
                    f"dd if=/dev/zero bs=65536 count={size >> 16} 2>/dev/null; echo done >/tmp/done")
    try:
        received = len(client.process.stdout.read(MIB))
        most = 0
        for _ in range(30):
            time.sleep(0.1)
            most = max(most, memory(native))
        assert "/tmp/done" not in native.crictl("exec", "-s", running.main, "sh", "-c", "ls /tmp/* 2>&1 || true")
        while chunk := client.process.stdout.read(MIB):
            received += len(chunk)
            most = max(most, memory(native))
        assert client.process.wait(timeout=30) == 0 and received == size
        assert most - before < 24 * MIB, f"grew by {(most - before) / MIB:.1f} MiB"
    finally:
        client.end()


def test_slow_command_holds_the_client_back(native, running):  # noqa: F811
    """A command that does not read its input: the client's bytes stay with the client."""
    native.stop()
    native.start(ASAN_OPTIONS="quarantine_size_mb=1")
    stream(native, "exec", running.main, "true")
    before = memory(native)
    data = os.urandom(MIB) * 64
    client = Client(native, "exec", "-i", running.main, "sh", "-c", "sleep 3; sha256sum")
    grown = []
    watcher = threading.Thread(target=lambda: [grown.append(memory(native)) or time.sleep(0.1) for _ in range(30)])
    watcher.start()
    try:
        code, out, err = client.talk(data)
        assert code == 0 and out.decode().split()[0] == hashlib.sha256(data).hexdigest(), err
    finally:
        watcher.join()
        client.end()
    assert max(grown) - before < 24 * MIB, f"grew by {(max(grown) - before) / MIB:.1f} MiB"


def test_client_that_is_not_read_from_hears_of_it(native, running):  # noqa: F811
    """Its pings are behind its bytes; without a pong for a minute it would take the connection for dead."""
    from wire import WebSocket
    address = url(native, "exec", running.main, "io", "sh", "-c", "sleep 23; wc -c")
    client = WebSocket(native, address, ["v5.channel.k8s.io"])
    assert client.message() == (2, b"\x01")
    for _ in range(32):
        client.write(0, b"x" * 32767)
    client.send(b"\xff\x00")
    begin = time.monotonic()
    assert client.message() == (10, b"")
    assert 15 < time.monotonic() - begin < 23
    assert client.to_end()[1] == b"%d\n" % (32 * 32767)


# ---- clients that go away

def test_client_killed_in_an_exec(native, running):  # noqa: F811
    base = until(lambda: threads(native), "threads")
    other = Client(native, "exec", "-i", running.main, "cat")
    script = "cat >/dev/null; echo eof >/tmp/eof; exec sleep 12345"
    client = Client(native, "exec", "-i", running.main, "sh", "-c", script)
    try:
        client.process.stdin.write(b"x" * 1000)
        client.process.stdin.flush()
        until(lambda: "cat" in processes(native, running.main).replace("cat >", ""), "the command")
        client.process.kill()
        until(lambda: "eof" in inside(native, running.main, "cat /tmp/eof"), "the end of its input")
        # It goes on, since nobody asked for its end; and so does all else.
        until(lambda: "sleep 12345" in processes(native, running.main), "the command to go on")
        assert native.crictl.json("inspect", running.main)["status"]["state"] == "CONTAINER_RUNNING"
        code, out, _ = other.talk(b"still here")
        assert (code, out) == (0, b"still here")
        inside(native, running.main, "pkill -f 'sleep 12345'")
        until(lambda: threads(native) <= base + 2, f"threads back to {base}")
    finally:
        client.end()
        other.end()


def test_client_killed_while_output_flows(native, running):  # noqa: F811
    """A command without a reader gets a broken pipe, as in a shell."""
    client = Client(native, "exec", running.main, "sh", "-c", "yes; echo $? >/tmp/code")
    client.process.stdout.read(MIB)
    client.end()
    until(lambda: inside(native, running.main, "cat /tmp/code").strip() in ("141", "1"), "the broken pipe")
    assert "yes" not in processes(native, running.main)


def test_client_killed_at_a_terminal(native, running, terminal):  # noqa: F811
    """Its shell gets a hang-up, as when a connection by ssh is lost."""
    shell = terminal(native, "exec", "-it", running.main, "sh", "-c",
                     "trap 'echo hup >/tmp/hup; exit' HUP; echo ready; while :; do sleep 1; done")
    shell.read_until("ready")
    shell.process.kill()
    until(lambda: "hup" in inside(native, running.main, "cat /tmp/hup"), "the hang-up")
    assert native.crictl.json("inspect", running.main)["status"]["state"] == "CONTAINER_RUNNING"


def inside(node, container, script):
    return node.crictl("exec", "-s", container, "sh", "-c", f"{script} 2>/dev/null || true")


def processes(node, container):
    return node.crictl("exec", "-s", container, "ps", "-o", "args")


def test_stop_of_the_pod_ends_sessions(native, running):  # noqa: F811
    client = Client(native, "exec", "-i", running.main, "cat")
    attached = Client(native, "attach", running.main)
    forward = Client(native, "port-forward", running.id, "18080:80")
    try:
        until(lambda: "cat" in processes(native, running.main), "the command")
        forward.process.stdout.readline()
        start = time.monotonic()
        running.stop()
        assert time.monotonic() - start < 4
        assert client.talk()[0] != 0
        attached.talk(timeout=20)
    finally:
        for one in (client, attached, forward):
            one.end()


def test_stop_of_the_daemon_ends_sessions(native, running):  # noqa: F811
    client = Client(native, "exec", "-i", running.main, "sh", "-c", "cat; echo gone >/tmp/gone")
    until(lambda: "cat" in processes(native, running.main), "the command")
    assert native.stop() == 0
    client.end()
    native.start()
    until(lambda: "gone" in inside(native, running.main, "cat /tmp/gone") or
          "cat" not in processes(native, running.main), "the end of the exec")
    assert native.crictl("exec", "-s", running.main, "echo", "alive").strip() == "alive"


# ---- attach

def test_attach_sees_output_and_writes_input(native, running):  # noqa: F811
    """Without stdinOnce the container's stdin outlives the client."""
    shell = running.container(IMAGE, ["sh"], name="shell", stdin=True)
    client = Client(native, "attach", "-i", shell)
    try:
        client.process.stdin.write(b"echo one; echo two >&2\n")
        client.process.stdin.flush()
        assert client.process.stdout.readline() == b"one\n"
        until(lambda: "F two" in running.log("shell"), "the log")
        client.process.kill()
    finally:
        client.end()
    again = Client(native, "attach", "-i", shell)
    try:
        again.process.stdin.write(b"echo three; exit 3\n")
        again.process.stdin.flush()
        # The end of its input would be the end of its visit.
        assert again.process.stdout.read() == b"three\n"
        assert again.process.wait(timeout=20) == 0
    finally:
        again.end()
    until(lambda: native.crictl.json("inspect", shell)["status"]["exitCode"] == 3, "the exit")


def test_attach_stdin_once(native, running):  # noqa: F811
    """With stdinOnce the first client's end is the end of the container's stdin."""
    data = b"x" * (2 * MIB)
    counter = running.container(IMAGE, ["sh", "-c", "wc -c; echo last"], name="counter", stdin=True, stdin_once=True)
    code, out, err = stream(native, "attach", "-i", counter, data=data)
    assert (code, out) == (0, f"{len(data)}\nlast\n".encode()), err
    other = running.container(IMAGE, ["sh", "-c", "wc -c; sleep 1000"], name="other", stdin=True, stdin_once=True)
    client = Client(native, "attach", "-i", other)
    client.process.stdin.write(b"12345")
    client.process.stdin.flush()
    time.sleep(0.5)
    client.end()
    until(lambda: "F 5" in running.log("other"), "the count in the log")


def test_attach_terminal(native, running, terminal):  # noqa: F811
    shell = running.container(IMAGE, ["sh"], name="tty", stdin=True, tty=True)
    client = terminal(native, "attach", "-i", "-t", shell, rows=21, columns=77)
    client.write("echo $((20 + 3))\n")
    client.read_until(r"23\r\n")
    client.write("until [ \"$(stty size)\" = '21 77' ]; do :; done; stty size\n")
    client.read_until(r"\n21 77\r\n")
    client.write("exit\n")
    assert client.process.wait(timeout=20) == 0


def test_attach_two_clients_and_the_log(native, running):  # noqa: F811
    """Each sees all that came since, and the log has everything, with and without clients."""
    script = "echo before; read x; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; read y"
    container = running.container(IMAGE, script, name="both", stdin=True)
    until(lambda: "before" in running.log("both"), "the first line")
    clients = [Client(native, "attach", container) for _ in range(2)]
    wanted = "".join(f"line {i}\n" for i in range(20000)).encode()
    # crictl says nothing when it is attached.
    time.sleep(2)
    outputs = [b"", b""]

    def read(number):
        outputs[number] = clients[number].process.stdout.read(len(wanted))
    readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    for reader in readers:
        reader.start()
    writer = Client(native, "attach", "-i", container)
    try:
        writer.process.stdin.write(b"go\n")
        writer.process.stdin.flush()
        for reader in readers:
            reader.join(timeout=60)
        assert outputs[0] == wanted and outputs[1] == wanted
    finally:
        for client in (*clients, writer):
            client.end()
    from pods import log_text
    until(lambda: log_text(running.log("both")) == "before\n" + wanted.decode(), "the log")


# ---- port forward

SERVER = "while true; do nc -l -p 8000 -e sh -c 'read x; echo got $x; cat'; done"


def forwarded(node, pod, ports, transport="spdy"):
    client = Client(node, "port-forward", "--transport", transport, pod.id, *ports)
    for _ in range(2 * len(ports)):
        line = client.process.stdout.readline()
        assert b"Forwarding from" in line, line
    return client


def converse(connection, data):
    """Sends, half-closes, and gives what comes."""
    def send():
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    connection.settimeout(120)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 18):
            received += chunk
    sender.join()
    connection.close()
    return received


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_port_forward(native, running, transport):  # noqa: F811
    running.container(IMAGE, SERVER, name="server")
    client = forwarded(native, running, ["18000:8000", "18001:9"], transport)
    try:
        until(lambda: "8000" in native.crictl("exec", "-s", running.main, "netstat", "-ltn"), "the server")
        data = b"hello\n" + os.urandom(20 * MIB)
        received = converse(native.connect("127.0.0.1", 18000), data)
        assert received[:10] == b"got hello\n"
        assert hashlib.sha256(received[10:]).digest() == hashlib.sha256(data[6:]).digest(), len(received)
        until(lambda: "8000" in native.crictl("exec", "-s", running.main, "netstat", "-ltn"), "the server again")
        assert converse(native.connect("127.0.0.1", 18000), b"again\n").startswith(b"got again\n")
        # Where nobody listens the client is told why, which this one takes for the end.
        assert converse(native.connect("127.0.0.1", 18001), b"x") == b""
        client.talk(timeout=20)
    finally:
        client.end()


def test_port_forward_to_nobody_says_why(native, running):  # noqa: F811
    from wire import Spdy
    client = Spdy(native, url(native, "portforward", running.id), ["portforward.k8s.io"])
    for number in range(3):
        error = client.open(streamtype="error", port=9, requestID=number)
        client.send(error, fin=True)
        data = client.open(streamtype="data", port=9, requestID=number)
        client.until(lambda e=error, d=data: e in client.finished and (d in client.finished or d in client.resets))
        assert re.match(rb"error forwarding port 9 to pod \S+: connect to port 9 of the pod's loopback: "
                        rb"Connection refused", client.data[error])
    client.close()


def test_port_forward_many_connections(native, running):  # noqa: F811
    running.container(IMAGE, "exec httpd -f -p 8000 -h /etc", name="web")
    client = forwarded(native, running, ["18000:8000"])
    try:
        until(lambda: "8000" in native.crictl("exec", "-s", running.main, "netstat", "-ltn"), "the server")
        text = stream(native, "exec", running.main, "cat", "/etc/passwd")[1]
        assert text.startswith(b"root:")

        def fetch(_number):
            return converse(native.connect("127.0.0.1", 18000), b"GET /passwd HTTP/1.0\r\n\r\n")
        import concurrent.futures
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for reply in pool.map(fetch, range(200)):
                assert reply.endswith(text), reply
    finally:
        client.end()


# ---- tokens

def url(node, *arguments):
    return node.run([f"{node.build}/unit/stream/stream-url", node.socket, *arguments]).stdout.strip()


def url_error(node, *arguments):
    result = node.run([f"{node.build}/unit/stream/stream-url", node.socket, *arguments], check=False)
    assert result.code != 0, result.stdout
    return result.stderr


def test_tokens_are_used_once_and_expire(native, running):  # noqa: F811
    from wire import Refused, Spdy, WebSocket
    first = url(native, "exec", running.main, "o", "echo", "once")
    late = url(native, "exec", running.main, "o", "echo", "late")
    made = time.monotonic()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/exec/[0-9a-f]{32}", first) and first != late
    client = WebSocket(native, first)
    assert client.to_end()[1] == b"once\n"
    for again in (first, first.replace("/exec/", "/attach/"), first[:-32] + "0" * 32, first[:-1], first + "0",
                  first.rsplit("/", 2)[0] + "/"):
        with pytest.raises(Refused) as refused:
            Spdy(native, again)
        assert refused.value.status == 404
    # For an attach what was given for an exec stands for nothing.
    other = url(native, "exec", running.main, "o", "true")
    with pytest.raises(Refused) as refused:
        WebSocket(native, other.replace("/exec/", "/attach/"))
    assert refused.value.status == 404
    time.sleep(max(0, made + 61 - time.monotonic()))
    with pytest.raises(Refused) as refused:
        WebSocket(native, late)
    assert refused.value.status == 404


def test_what_is_no_upgrade_is_refused(native, running):  # noqa: F811
    from wire import Refused, Spdy, Upgraded, WebSocket
    def fresh():
        return url(native, "exec", running.main, "o", "true")
    for make, status in [(lambda u: Upgraded(native, u, []), 400),
                         (lambda u: Upgraded(native, u, ["Connection: Upgrade", "Upgrade: h2c"]), 400),
                         (lambda u: Upgraded(native, u, ["Connection: Upgrade", "Upgrade: websocket"], "GET"), 400),
                         (lambda u: Upgraded(native, u, [], "DELETE"), 405),
                         (lambda u: Spdy(native, u, ["v9.channel.k8s.io"]), 403),
                         (lambda u: WebSocket(native, u, ["v9.channel.k8s.io"]), 403)]:
        with pytest.raises(Refused) as refused:
            make(fresh())
        assert refused.value.status == status, str(refused.value)


# ---- versions

@pytest.mark.parametrize("protocol,version", [("v5.channel.k8s.io", 5), ("v4.channel.k8s.io", 4),
                                              ("v3.channel.k8s.io", 3), ("v2.channel.k8s.io", 2),
                                              ("channel.k8s.io", 1), (None, 1)])
@pytest.mark.parametrize("code", [0, 3])
def test_spdy_versions(native, running, protocol, version, code):  # noqa: F811
    from wire import Spdy
    address = url(native, "exec", running.main, "ioe", "sh", "-c", f"cat; echo err >&2; exit {code}")
    client = Spdy(native, address, [protocol] if protocol else [])
    assert client.protocol == protocol
    client.open_all("error", "stdin", "stdout", "stderr")
    client.until(lambda: len(client.replied) == 4)
    client.control(6, struct.pack(">I", 1))
    client.send(client.streams["stdin"], b"hel")
    client.send(client.streams["stdin"], b"lo", fin=True)
    client.until_over("error", "stdout", "stderr")
    assert client.pongs == [1]
    assert client.said("stdout") == b"hello" and client.said("stderr") == b"err\n"
    if version >= 4:
        status = json.loads(client.said("error"))
        assert status["status"] == ("Success" if code == 0 else "Failure")
        if code:
            assert status["reason"] == "NonZeroExitCode"
            assert status["details"]["causes"] == [{"reason": "ExitCode", "message": str(code)}]
    else:
        assert client.said("error") == (b"" if code == 0 else
                                        b"command terminated with non-zero exit code: exit status 3")
    client.close()


def test_spdy_windows(native, running):  # noqa: F811
    """A client that keeps windows gets no more than they allow, and is given credit for what it sends."""
    from wire import Spdy
    address = url(native, "exec", running.main, "io", "sh", "-c", "cat >/dev/null; dd if=/dev/zero bs=1000 count=1000")
    client = Spdy(native, address)
    client.control(4, struct.pack(">III", 1, 7, 1000))  # SETTINGS: initial window of 1000 bytes
    client.open_all("error", "stdin", "stdout")
    sent = 0
    stdin = client.streams["stdin"]
    while sent < 4 * MIB:
        while 65536 + client.credits.get(stdin, 0) - sent < 32768 or 65536 + client.credits.get(0, 0) - sent < 32768:
            assert client.frame()
        client.send(stdin, b"x" * 32768)
        sent += 32768
    client.send(stdin, fin=True)
    stdout = client.streams["stdout"]
    client.until(lambda: len(client.data[stdout]) == 1000)
    client.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.until(lambda: len(client.data[stdout]) > 1000)
    client.socket.settimeout(60)
    client.control(9, struct.pack(">II", stdout, 2 * MIB))
    client.control(9, struct.pack(">II", 0, 2 * MIB))
    client.until_over("stdout", "error")
    assert client.said("stdout") == b"\0" * 1000000
    client.close()


@pytest.mark.parametrize("protocols,version", [(["v5.channel.k8s.io"], 5), (["v4.channel.k8s.io"], 4),
                                               (["channel.k8s.io"], 1), ([], 1)])
def test_websocket_versions(native, running, protocols, version):  # noqa: F811
    from wire import WebSocket
    address = url(native, "exec", running.main, "ioe", "sh", "-c", "head -c 5; echo err >&2; exit 3")
    client = WebSocket(native, address, protocols)
    assert client.protocol == (protocols[0] if protocols else None)
    assert client.message() == (2, b"\x01")
    client.send(b"", opcode=9)  # ping
    client.write(0, b"hel")
    client.send(b"\0l", fin=False)
    client.send(b"o", opcode=0)
    data = client.to_end()
    assert client.closed == 1000 and data[1] == b"hello" and data[2] == b"err\n"
    if version >= 4:
        assert json.loads(data[3])["details"]["causes"][0]["message"] == "3"
    else:
        assert data[3] == b"command terminated with non-zero exit code: exit status 3"
    client.close()


def test_websocket_half_close_by_version_5(native, running):  # noqa: F811
    from wire import WebSocket
    client = WebSocket(native, url(native, "exec", running.main, "io", "sh", "-c", "cat; echo end"), ["v5.channel.k8s.io"])
    client.write(0, b"text ")
    client.send(b"\xff\x00")
    assert client.to_end()[1] == b"text end\n"


def test_websocket_base64(native, running):  # noqa: F811
    from wire import WebSocket
    client = WebSocket(native, url(native, "exec", running.main, "io", "head", "-c", "5"), ["v4.base64.channel.k8s.io"])
    client.send(b"0" + base64.b64encode(b"hello"), opcode=1)
    data = client.to_end()
    assert base64.b64decode(data[ord("1")]) == b"hello"
    assert json.loads(base64.b64decode(data[ord("3")]))["status"] == "Success"


def test_websocket_port_forward_by_channels(native, running):  # noqa: F811
    from wire import WebSocket
    running.container(IMAGE, SERVER, name="server")
    until(lambda: "8000" in native.crictl("exec", "-s", running.main, "netstat", "-ltn"), "the server")
    client = WebSocket(native, url(native, "portforward", running.id) + "?port=8000,9", ["v4.channel.k8s.io"])
    client.write(0, b"hello\n")
    client.until(lambda: b"got hello\n" in client.data.get(0, b"") and len(client.data.get(3, b"")) > 2)
    assert client.data[0] == struct.pack("<H", 8000) + b"got hello\n"
    assert client.data[3][:2] == struct.pack("<H", 9) and b"refused" in client.data[3]
    client.close()


# ---- many, idle, hostile

def test_two_hundred_idle_clients(native, running):  # noqa: F811
    from wire import Spdy, WebSocket
    native.stop()
    native.start(ASAN_OPTIONS="quarantine_size_mb=1")
    stream(native, "exec", running.main, "true")
    base, before = threads(native), memory(native)
    address = url(native, "exec", running.main, "o", "true")
    host, port = address.split("/")[2].rsplit(":", 1)
    silent = [native.connect(host, int(port)) for _ in range(200)]
    attached = []
    for number in range(200):
        kind = Spdy if number % 2 else WebSocket
        attached.append(kind(native, url(native, "attach", running.main, "oe")))
        if number % 2:
            attached[-1].open_all("error", "stdout", "stderr")
            attached[-1].until(lambda: len(attached[-1].replied) == 3)
    until(lambda: threads(native) >= base + 200, "200 sessions")
    used = memory(native) - before
    assert used < 100 * MIB, f"{used / MIB:.1f} MiB"
    assert stream(native, "exec", running.main, "echo", "works")[1] == b"works\n"
    for one in silent:
        one.close()
    for one in attached:
        one.close()
    until(lambda: threads(native) <= base + 2, "the end of the sessions")


def test_client_without_streams_is_let_go(native, running):  # noqa: F811
    from wire import Spdy
    client = Spdy(native, url(native, "exec", running.main, "o", "true"))
    client.open_all("error")
    start = time.monotonic()
    while client.frame():
        pass
    assert 25 < time.monotonic() - start < 40
    client.close()


def test_rubbish_ends_the_connection_alone(native, running):  # noqa: F811
    from wire import Spdy, WebSocket
    for number in range(20):
        client = (Spdy if number % 2 else WebSocket)(native, url(native, "exec", running.main, "io", "cat"))
        with contextlib.suppress(OSError):
            client.socket.sendall(os.urandom(5000))
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(65536):
                pass
        client.close()
    assert stream(native, "exec", running.main, "echo", "works")[1] == b"works\n"
