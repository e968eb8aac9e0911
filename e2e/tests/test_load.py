# SPDX-License-Identifier: Apache-2.0
"""Many clients, much output, many pods at once: zoneletd's memory, threads and descriptors stay within bounds,
others are served meanwhile, and all of it is given back.

With the host handler on this machine, by the programs of the package where they are built: a sanitizer's memory says
nothing. Each test adds what it measured to build/e2e/load.json.
"""

import concurrent.futures
import contextlib
import json
import os
import re
import resource
import subprocess
import threading
import time

import pytest

from lab import cache
from native import build_directory
from pods import CrictlError, log_text, run_pod
from test_host import IMAGE, alone, start_native
from test_stats import call
from test_stream import converse, stream, until

MIB = 1 << 20
DESCRIPTORS = 16384


@pytest.fixture
def node(registry):
    """A zoneletd of the package, with descriptors enough."""
    build = f"{cache.REPO}/build/release"
    if not os.path.exists(f"{build}/cri-server/zoneletd"):
        build = build_directory()
    if not build:
        pytest.fail("zoneletd is not built: run `make build` first", pytrace=False)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(DESCRIPTORS, before[1])))
    try:
        with alone():
            yield from start_native(build, registry)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def note(**figures):
    """Adds to what was measured."""
    path = f"{cache.REPO}/build/e2e/load.json"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    known = {}
    with contextlib.suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        known = json.load(file)
    known.update(figures)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=1, sort_keys=True)
    print(figures)


class Usage:
    """What a process has, now and at most while `watching`."""

    def __init__(self, pid):
        self.pid = pid
        self.most = 0

    def _status(self, name):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(rf"{name}:\s+(\d+)", file.read()).group(1))

    def rss(self):
        return self._status("VmRSS") * 1024

    def threads(self):
        return self._status("Threads")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @contextlib.contextmanager
    def watching(self):
        """Looks at its memory twenty times a second."""
        over = threading.Event()
        self.most = self.rss()

        def look():
            while not over.wait(0.05):
                self.most = max(self.most, self.rss())
        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield self
        finally:
            over.set()
            watcher.join()


def urls(node, count, *words):
    return node.run([f"{node.build}/unit/stream/stream-url", "-n", str(count), node.socket, *words]).stdout.split()


# ---- streaming clients

ATTACHED, EXECS, FORWARDS, SILENT = 500, 250, 250, 400


def attach_dead(node, pod):
    """Clients that are attached, get output, and never read."""
    from wire import Spdy, WebSocket
    for number, address in enumerate(urls(node, ATTACHED, "attach", pod.noise, "oe")):
        client = (Spdy if number % 2 else WebSocket)(node, address)
        if number % 2:
            client.open_all("error", "stdout", "stderr")
        yield client


def exec_slow(node, pod):
    """Clients of commands that never end to write; they read a little and then stop."""
    from wire import WebSocket
    for address in urls(node, EXECS, "exec", pod.main, "o", "yes"):
        client = WebSocket(node, address)
        assert client.message() is not None
        yield client


def forward_half(node, pod):
    """Clients of port forward with half a request."""
    from wire import Spdy
    for number, address in enumerate(urls(node, FORWARDS, "portforward", pod.id)):
        client = Spdy(node, address, ["portforward.k8s.io"])
        client.open(streamtype="error", port=8000, requestID=number)
        data = client.open(streamtype="data", port=8000, requestID=number)
        client.send(data, b"GET /passwd HTT")
        yield client


def served(node, pod):
    """New clients of every kind have their answer; gives the seconds that took."""
    begin = time.monotonic()
    assert stream(node, "exec", pod.main, "echo", "works")[1] == b"works\n"
    assert stream(node, "exec", "--transport", "websocket", pod.main, "echo", "works")[1] == b"works\n"
    assert node.crictl("exec", "-s", pod.main, "echo", "works").strip() == "works"
    other = run_pod(node.crictl, "other")
    assert node.crictl("exec", "-s", other.container(IMAGE, "exec sleep 1000"), "echo", "works").strip() == "works"
    other.remove()
    return time.monotonic() - begin


def thousand(node, pod):
    clients = []
    for make in (attach_dead, exec_slow, forward_half):
        for client in make(node, pod):
            clients.append(client)
    return clients


def test_a_thousand_slow_and_dead_clients(node):
    pod = run_pod(node.crictl, "thousand")
    pod.main = pod.container(IMAGE, "exec sleep 10000")
    pod.noise = pod.container(IMAGE, "while [ ! -e /go ]; do sleep 0.1; done; exec yes", name="noise")
    pod.container(IMAGE, "exec httpd -f -p 8000 -h /etc", name="web")
    served(node, pod)
    usage = Usage(node.process.pid)
    threads, descriptors, before = usage.threads(), usage.descriptors(), usage.rss()
    rounds = []
    for _ in range(2):
        with usage.watching():
            begin = time.monotonic()
            clients = thousand(node, pod)
            seconds = time.monotonic() - begin
            host, port = urls(node, 1, "attach", pod.main, "o")[0].split("/")[2].rsplit(":", 1)
            silent = [node.connect(host, int(port)) for _ in range(SILENT)]
            node.crictl("exec", "-s", pod.noise, "touch", "/go")
            time.sleep(3)
            answer = served(node, pod)
            most = {"threads": usage.threads() - threads, "descriptors": usage.descriptors() - descriptors}
        assert most["threads"] <= len(clients) + 32 and most["threads"] >= len(clients)
        # A socket, an eventfd and a token each.
        assert most["descriptors"] <= 4 * len(clients) + 2 * SILENT + 64
        for client in (*clients, *silent):
            client.close()
        until(lambda: usage.threads() <= threads + 8, "the end of the sessions", 60)
        until(lambda: usage.descriptors() <= descriptors + 8, "their descriptors", 60)
        with contextlib.suppress(AssertionError):
            until(lambda: usage.rss() < before + 24 * MIB, "its memory", 10)
        rounds.append({"clients": len(clients), "connected in s": round(seconds, 1), "served others in s": round(answer, 2),
                       "RSS before MiB": round(before / MIB, 1), "RSS at most MiB": round(usage.most / MIB, 1),
                       "RSS after MiB": round(usage.rss() / MIB, 1), **most})
    note(**{"1,000 slow and dead streaming clients, twice": rounds})
    for one in rounds:
        assert one["RSS at most MiB"] - one["RSS before MiB"] < 0.3 * 1000, rounds
        assert one["RSS after MiB"] - one["RSS before MiB"] < 24, rounds
    assert rounds[1]["RSS at most MiB"] < rounds[0]["RSS at most MiB"] * 1.15 + 8, rounds
    until(lambda: "yes" not in node.crictl("exec", "-s", pod.main, "ps", "-o", "args").split("\n"), "the commands' end", 30)
    pod.remove()


def test_clients_past_the_limit_are_told(node):
    """1,500 connections are served; the next is told to come later."""
    from wire import Refused, WebSocket
    pod = run_pod(node.crictl, "limit")
    pod.main = pod.container(IMAGE, "exec sleep 10000")
    clients = []
    for count in (900, 600):
        clients += [WebSocket(node, address) for address in urls(node, count, "attach", pod.main, "o")]
    with pytest.raises(Refused) as refused:
        WebSocket(node, urls(node, 1, "attach", pod.main, "o")[0])
    assert refused.value.status == 503
    clients.pop().close()

    def works():
        with contextlib.suppress(Refused):
            clients.append(WebSocket(node, urls(node, 1, "exec", pod.main, "o", "echo", "works")[0]))
            return True
        return False
    until(works, "room for one")
    assert clients[-1].to_end()[1] == b"works\n"
    for client in clients:
        client.close()
    pod.remove()


def test_idle_clients_are_let_go(node):
    path = f"{node.directory}/zoneletd.yaml"
    with open(path, encoding="ascii") as file:
        text = file.read()
    with open(path, "w", encoding="ascii") as file:
        file.write(text + "streaming:\n  idle_timeout: 3s\n")
    node.stop()
    node.start()
    from wire import WebSocket
    pod = run_pod(node.crictl, "idle")
    pod.main = pod.container(IMAGE, "exec sleep 10000")
    clients = [WebSocket(node, address) for address in urls(node, 50, "attach", pod.main, "o")]
    begin = time.monotonic()
    for client in clients:
        client.to_end()
        client.close()
    assert 2 < time.monotonic() - begin < 20
    pod.remove()


def test_few_descriptors_are_survived(node):
    """Out of descriptors, clients are turned away; with some again, all is well."""
    node.stop()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    node.start()
    resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (256, 256))
    from wire import Refused, WebSocket
    pod = run_pod(node.crictl, "few")
    pod.main = pod.container(IMAGE, "exec sleep 10000")
    addresses = urls(node, 200, "attach", pod.main, "o")
    clients = []
    for address in addresses:
        try:
            clients.append(WebSocket(node, address, timeout=2))
        except (Refused, TimeoutError, ConnectionError):
            break
    # A connection that was taken but has nobody to serve it ends without a word.
    greeted = 0
    for client in clients:
        with contextlib.suppress(OSError):
            greeted += client.message() is not None
    assert 20 < greeted < 200
    for client in clients:
        client.close()
    until(lambda: node.crictl.result("exec", "-s", pod.main, "echo", "works").stdout.strip() == "works", "an answer", 40)
    assert stream(node, "exec", pod.main, "echo", "works")[1] == b"works\n"
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    pod.remove()


# ---- output

GIB = 1024 * MIB
# The kubelet takes messages up to 16 MiB.
REPLY_MAX = 16 * MIB


def test_exec_sync_of_a_gibibyte(node):
    """The reply is cut, the command runs to its end as if nobody were reading less, and memory stays bounded."""
    pod = run_pod(node.crictl, "gibibyte")
    container = pod.container(IMAGE, "exec sleep 10000")
    node.crictl("exec", "-s", container, "true")
    usage = Usage(node.process.pid)
    before = usage.rss()
    script = ("yes 0123456789abcde | head -c %d; echo done >/finished; "
              "yes 0123456789abcde | head -c %d >&2; exit 3" % (GIB, 32 * MIB))
    with usage.watching():
        begin = time.monotonic()
        result = node.popen(["crictl", "-r", f"unix://{node.socket}", "-t", "300s", "exec", "-s", container, "sh", "-c", script],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = result.communicate(timeout=300)
        seconds = time.monotonic() - begin
    assert node.crictl("exec", "-s", container, "cat", "/finished").strip() == "done"
    # With an exit code other than zero crictl shows both outputs in its message.
    assert b"exited with 3" in err, err[-300:]
    del out, err
    with usage.watching():
        out = node.run(["crictl", "-r", f"unix://{node.socket}", "-t", "300s", "exec", "-s", container, "sh", "-c",
                        f"yes 0123456789abcde | head -c {GIB}"], timeout=300).stdout
    text = out.rstrip("\n") + "\n"
    assert 4 * MIB <= len(text) <= REPLY_MAX
    assert text == ("0123456789abcde\n" * (REPLY_MAX // 16))[:len(text)]
    until(lambda: usage.rss() < before + 24 * MIB, "the memory to be free again", 30)
    note(**{"ExecSync of 1 GiB": {"reply MiB": round(len(text) / MIB, 2), "seconds": round(seconds, 1),
                                  "RSS before MiB": round(before / MIB, 1), "RSS at most MiB": round(usage.most / MIB, 1),
                                  "RSS after MiB": round(usage.rss() / MIB, 1)}})
    assert usage.most - before < 96 * MIB
    pod.remove()


def test_many_large_exec_syncs_at_once(node):
    """32 commands of 64 MiB each: together they have a bound, too."""
    pod = run_pod(node.crictl, "large")
    container = pod.container(IMAGE, "exec sleep 10000")
    node.crictl("exec", "-s", container, "true")
    usage = Usage(node.process.pid)
    before = usage.rss()

    def one(_):
        done = node.popen(["crictl", "-r", f"unix://{node.socket}", "-t", "300s", "exec", "-s", container, "sh", "-c",
                           f"head -c {64 * MIB} /dev/zero"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = done.communicate(timeout=300)
        return done.returncode, len(out), err
    with usage.watching(), concurrent.futures.ThreadPoolExecutor(32) as pool:
        results = list(pool.map(one, range(32)))
    # They share 128 MiB, and each has 64 KiB in any case.
    assert all(code == 0 and 64 * 1024 <= length <= REPLY_MAX for code, length, _ in results), \
        [(code, length, err[-200:]) for code, length, err in results]
    assert sum(length for _, length, _ in results) <= 32 * 15 * MIB
    until(lambda: usage.rss() < before + 48 * MIB, "the memory to be free again", 30)
    note(**{"32 ExecSyncs of 64 MiB at once": {
        "RSS before MiB": round(before / MIB, 1), "RSS at most MiB": round(usage.most / MIB, 1),
        "RSS after MiB": round(usage.rss() / MIB, 1), "replies MiB": round(sum(each[1] for each in results) / MIB, 1)}})
    # 128 MiB that are kept, the same again on its way to clients, and what is 64 KiB each.
    assert usage.most - before < 288 * MIB
    pod.remove()


# ---- pods

def test_sixty_four_pods_at_once(node):
    usage = Usage(node.process.pid)
    before, threads = usage.rss(), usage.threads()
    begin = time.monotonic()
    with usage.watching():
        lines = call(node, "runp", "at-once", "64").splitlines()
    seconds = time.monotonic() - begin
    assert [line for line in lines if not line.startswith("OK ")] == []
    pods = node.crictl.json("pods")["items"]
    assert len(pods) == 64 and {pod["state"] for pod in pods} == {"SANDBOX_READY"}
    addresses = {node.crictl.json("inspectp", pod["id"])["status"]["network"]["ip"] for pod in pods}
    assert len(addresses) == 64
    note(**{"64 concurrent RunPodSandbox, host": {
        "seconds": round(seconds, 1), "RSS before MiB": round(before / MIB, 1), "RSS at most MiB": round(usage.most / MIB, 1),
        "threads at most above": usage.threads() - threads}})
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda pod: node.crictl("rmp", "-f", pod["id"]), pods))
    assert time.monotonic() - begin < 120
    # Their names are free again.
    assert call(node, "runp", "at-once", "2").count("OK ") == 2
    node.crictl("rmp", "-fa")


# ---- events

def test_reader_of_events_that_stops(node):
    """It is let go once it is too far behind; nobody else notices."""
    import signal
    pod = run_pod(node.crictl, "noise")
    slow, quick = (node.popen(["crictl", "-r", f"unix://{node.socket}", "events"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) for _ in range(2))
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(quick.stdout))
    reader.start()
    try:
        time.sleep(1)
        os.kill(slow.pid, signal.SIGSTOP)
        usage = Usage(node.process.pid)
        before = usage.rss()
        with usage.watching():
            call(node, "churn", pod.id, "1500", IMAGE)
        assert usage.most - before < 48 * MIB
        os.kill(slow.pid, signal.SIGCONT)
        _, err = slow.communicate(timeout=60)
        assert "ResourceExhausted" in err and "behind" in err, err[-500:]
        until(lambda: "".join(seen).count("CONTAINER_DELETED_EVENT") >= 1500, "all events", 30)
        note(**{"a reader of events that stopped, 3,000 events": {
            "RSS before MiB": round(before / MIB, 1), "RSS at most MiB": round(usage.most / MIB, 1)}})
    finally:
        for client in (slow, quick):
            client.kill()
            client.wait()
        reader.join()
    pod.remove()


def test_readers_of_events_leave_room_for_others(node):
    """More of them than may be are refused; calls that take long have their threads all the same."""
    pod = run_pod(node.crictl, "readers")
    container = pod.container(IMAGE, "exec sleep 10000")
    usage = Usage(node.process.pid)
    threads = usage.threads()
    readers = node.popen([f"{node.build}/unit/cri-services/cri-call", node.socket, "events", "300"], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    try:
        first = readers.stdout.readline()
        assert re.match(r"\d+ refused: RESOURCE_EXHAUSTED", first), first
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            for text in pool.map(lambda _: node.crictl("exec", "-s", container, "echo", "works"), range(16)):
                assert text.strip() == "works"
        assert usage.threads() - threads < 120
    finally:
        readers.kill()
        readers.communicate()
    until(lambda: stream(node, "exec", container, "echo", "works")[1] == b"works\n", "an answer")
    pod.remove()
