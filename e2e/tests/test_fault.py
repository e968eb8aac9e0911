# SPDX-License-Identifier: Apache-2.0
"""What every call does when something dies under it: the pod's supervisor, or zoneletd itself, at each step.

With the host handler on this machine; test_zone_fault.py has what only a zone can show. Each test is followed by
the check that nothing is left (test_host.py).
"""

import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

from pods import CrictlError, pod_config, run_pod
from test_host import IMAGE, alone, native  # noqa: F401 (fixtures)
from test_stats import call, stats_of
from test_stream import Client, forwarded, running, threads, until, url  # noqa: F401 (fixture)

PATIENCE = 15


def supervisor(node, pod):
    """The process id of a pod's supervisor."""
    return int(node.run(["pgrep", "-f", f"zonelet-supervisor.*{pod.id}"]).stdout.split()[0])


def not_ready(pod):
    return pod.status()["status"]["state"] == "SANDBOX_NOTREADY"


# ---- the supervisor dies under a call

@contextlib.contextmanager
def frozen(node, pod):
    """A supervisor that does not answer; at the end of the block it dies."""
    process = supervisor(node, pod)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGKILL)


def waiting(node, *words):
    """A crictl whose call waits for an answer."""
    client = node.popen(["crictl", "-r", f"unix://{node.socket}", "-t", "60s", *words], stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True)
    time.sleep(0.7)
    assert client.poll() is None, client.communicate()
    return client


def failed(client, code, *names):
    """Its call ends with this status, soon, and the message has all these names."""
    begin = time.monotonic()
    out, err = client.communicate(timeout=PATIENCE)
    assert client.returncode != 0, out
    assert f"code = {code}" in err, err
    for name in names:
        assert name in err, err
    return time.monotonic() - begin


def prepare_create(node, pod):
    path = f"/tmp/{pod.name}"
    node.run(["sh", "-c", f"cat >{path}-c.json"],
             input='{"metadata": {"name": "late"}, "image": {"image": "%s"}, "command": ["sleep", "1"]}' % IMAGE)
    import json
    node.run(["sh", "-c", f"cat >{path}-p.json"], input=json.dumps(pod.config))
    return "create", pod.id, f"{path}-c.json", f"{path}-p.json"


# What crictl is told, and what the message has to name beside the pod.
CALLS = {
    "CreateContainer": (prepare_create, "late"),
    "StartContainer": (lambda node, pod: ("start", pod.container(IMAGE, "sleep 1", name="made", start=False)), "made"),
    "StopContainer": (lambda node, pod: ("stop", "-t", "30", pod.main), "main"),
    "ExecSync": (lambda node, pod: ("exec", "-s", pod.main, "true"), "main"),
    "UpdateContainerResources": (lambda node, pod: ("update", "--cpu-share", "512", pod.main), "main"),
}


@pytest.mark.parametrize("name", CALLS)
def test_supervisor_dies_under_a_call(native, running, name):  # noqa: F811
    make, named = CALLS[name]
    words = make(native, running)
    base = threads(native)
    with frozen(native, running):
        client = waiting(native, *words)
    failed(client, "Unavailable", named, "made anew")
    until(lambda: not_ready(running), "the pod's end", PATIENCE)
    assert native.crictl.json("inspect", running.main)["status"]["state"] == "CONTAINER_EXITED"
    assert threads(native) <= base + 4
    # The same again says why, and changes nothing.
    with pytest.raises(CrictlError, match="not ready|not running|started before|neither created nor running") as error:
        if name == "StopContainer":
            raise CrictlError(words, "code = FailedPrecondition desc = not running")
        native.crictl(*words)
    assert error.value.code == "FailedPrecondition", str(error.value)


@pytest.mark.parametrize("words", [("stopp",), ("rmp", "-f")])
def test_supervisor_dies_under_an_end(native, words):  # noqa: F811
    """What ends a pod succeeds, whoever dies meanwhile."""
    pod = run_pod(native.crictl, "dying")
    pod.container(IMAGE, "exec sleep 1000")
    with frozen(native, pod):
        client = waiting(native, *words, pod.id)
    out, err = client.communicate(timeout=PATIENCE)
    assert client.returncode == 0, out + err
    if words[0] == "stopp":
        pod.remove()


def test_supervisor_dies_under_streams(native, running):  # noqa: F811
    """Exec, attach and port forward tell their clients, and leave nothing."""
    running.container(IMAGE, "exec httpd -f -p 8000 -h /etc", name="web")
    base = threads(native)
    execs = [Client(native, "exec", "-i", "--transport", transport, running.main, "cat")
             for transport in ("spdy", "websocket")]
    flood = Client(native, "exec", running.main, "yes")
    attached = Client(native, "attach", running.main)
    forward = forwarded(native, running, ["18000:8000"])
    try:
        until(lambda: "8000" in native.crictl("exec", "-s", running.main, "netstat", "-ltn"), "the server")
        until(lambda: native.crictl("exec", "-s", running.main, "ps", "-o", "args").split("\n").count("cat") == 2, "execs")
        connection = native.connect("127.0.0.1", 18000)
        connection.sendall(b"GET /pass")
        time.sleep(0.5)
        os.kill(supervisor(native, running), signal.SIGKILL)
        for client in execs:
            code, _, err = client.talk(timeout=PATIENCE)
            assert code != 0 and b"error executing command" in err, err
        assert flood.talk(timeout=PATIENCE)[0] != 0
        attached.talk(timeout=PATIENCE)
        connection.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
        connection.close()
        until(lambda: not_ready(running), "the pod's end", PATIENCE)
    finally:
        for client in (*execs, flood, attached, forward):
            client.end()
    until(lambda: threads(native) <= base + 4, "the end of the sessions")


@pytest.mark.parametrize("kind,letters", [("exec", "ioe"), ("attach", "oe"), ("portforward", "")])
def test_supervisor_dies_before_the_client_comes(native, running, kind, letters):  # noqa: F811
    """The URL was given out; the one who uses it is told why there is nothing behind it."""
    from wire import Spdy
    words = [running.id] if kind == "portforward" else [running.main, letters, *(["cat"] if kind == "exec" else [])]
    address = url(native, kind, *words)
    os.kill(supervisor(native, running), signal.SIGKILL)
    until(lambda: not_ready(running), "the pod's end", PATIENCE)
    if kind == "portforward":
        client = Spdy(native, address, ["portforward.k8s.io"])
        assert client.frame() is False
    else:
        client = Spdy(native, address)
        client.open_all("error", *(["stdin"] if "i" in letters else []), "stdout", "stderr")
        client.until_over("error", "stdout", "stderr")
        assert b"is not ready" in client.said("error") or b"not running" in client.said("error"), client.said("error")
    client.close()


def test_supervisor_dies_under_statistics(native, running):  # noqa: F811
    """Whoever does not answer is left out; the others are told of."""
    other = run_pod(native.crictl, "other")
    kept = other.container(IMAGE, "exec sleep 1000")
    with frozen(native, running):
        clients = [waiting(native, *words) for words in (("stats", "-a"), ("statsp",), ("metricsp",))]
    for client, wanted in zip(clients, (kept, other.id, other.id)):
        out, err = client.communicate(timeout=PATIENCE)
        assert client.returncode == 0 and wanted[:12] in out and running.id[:12] not in out, out + err
    until(lambda: not_ready(running), "the pod's end", PATIENCE)
    assert stats_of(native, running.main) is None
    for method in ("StreamContainerStats", "StreamPodSandboxStats", "StreamPodSandboxMetrics"):
        assert call(native, "count", method).split()[0] == "1", method
    for method, count in (("StreamContainers", 2), ("StreamPodSandboxes", 2)):
        assert call(native, "count", method).split()[0] == str(count), method
    with pytest.raises(CrictlError, match="not ready") as error:
        call(native, "resize", running.id, "memory=268435456")
    assert "FAILED_PRECONDITION" in str(error.value) or str(error.value).split(": ")[1].startswith("9")
    other.remove()


def test_events_of_a_death(native):  # noqa: F811
    """A pod that dies by itself is told of, its container too."""
    events = native.popen(["crictl", "-r", f"unix://{native.socket}", "events"], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(1)
        pod = run_pod(native.crictl, "death")
        container = pod.container(IMAGE, "exec sleep 1000")
        os.kill(supervisor(native, pod), signal.SIGKILL)
        text = ""
        while not all(f'"containerId":"{name}"' in text.replace(" ", "") and text.count("CONTAINER_STOPPED_EVENT") >= 2
                      for name in (pod.id, container)):
            text += events.stdout.readline()
        pod.remove()
    finally:
        events.kill()
        events.wait()


# ---- zoneletd dies in each step of a call

def dies(node, point, *words):
    """A call in which the daemon dies at a point; then it is there again, without that point."""
    node.stop()
    node.start(ZONELET_FAILPOINTS=f"{point}=kill")
    with pytest.raises(CrictlError):
        node.crictl(*words)
    assert node.process.wait(timeout=10) == -9
    node.start()


@pytest.mark.parametrize("step", ["record", "mounts", "rootfs", "zone", "saved"])
def test_kill_in_each_step_of_a_create(native, running, step):  # noqa: F811
    """Either there is no such container, or a whole one; the name is free or the container can be used."""
    if step == "mounts":
        step = "rootfs"  # under `host` nothing is shared by a server
    dies(native, f"create.{step}", *prepare_create(native, running))
    made = [c for c in native.crictl.json("ps", "-a")["containers"] if c["metadata"]["name"] == "late"]
    if step == "saved":
        native.crictl("start", made[0]["id"])
        native.crictl("rm", "-f", made[0]["id"])
    else:
        assert made == []
    late = running.container(IMAGE, "echo made; exec sleep 1000", name="late")
    assert native.crictl("exec", "-s", late, "echo", "works").strip() == "works"
    assert native.crictl("exec", "-s", running.main, "echo", "works").strip() == "works"


@pytest.mark.parametrize("step", ["zone", "saved"])
def test_kill_in_each_step_of_a_start_of_a_container(native, running, step):  # noqa: F811
    """The process runs: whoever comes later finds it running, with all its output."""
    made = running.container(IMAGE, "echo first; exec sleep 1000", name="made", start=False)
    dies(native, f"start.{step}", "start", made)
    assert native.crictl.json("inspect", made)["status"]["state"] == "CONTAINER_RUNNING"
    until(lambda: "F first" in running.log("made"), "the log")
    with pytest.raises(CrictlError, match="started before") as error:
        native.crictl("start", made)
    assert error.value.code == "FailedPrecondition"


@pytest.mark.parametrize("point,grace", [("stop.signal", "30"), ("stop.kill", "0")])
def test_kill_in_each_step_of_a_stop(native, running, point, grace):  # noqa: F811
    made = running.container(IMAGE, "trap 'exit 5' TERM; while :; do sleep 0.1; done", name="made")
    dies(native, point, "stop", "-t", grace, made)
    native.crictl("stop", "-t", "30", made)
    status = native.crictl.json("inspect", made)["status"]
    assert (status["state"], status["exitCode"]) == ("CONTAINER_EXITED", 5 if point == "stop.signal" else 137)


@pytest.mark.parametrize("step", ["zone", "rootfs", "record"])
def test_kill_in_each_step_of_a_remove(native, running, step):  # noqa: F811
    made = running.container(IMAGE, "exit 0", name="made")
    until(lambda: native.crictl.json("inspect", made)["status"]["state"] == "CONTAINER_EXITED", "the exit")
    dies(native, f"remove.{step}", "rm", made)
    if step == "record":
        assert made not in native.crictl("ps", "-aq").split()
    else:
        native.crictl("rm", made)
    running.container(IMAGE, "exit 0", name="made")


@pytest.mark.parametrize("point", ["stop.noted", "stop.zone", "stop.destroyed", "stop.network", "remove.noted",
                                   "remove.containers", "remove.files"])
def test_kill_in_each_step_of_the_end_of_a_pod(native, point):  # noqa: F811
    pod = run_pod(native.crictl, "end")
    pod.container(IMAGE, "exec sleep 1000")
    dies(native, point, *(("stopp",) if point.startswith("stop") else ("rmp", "-f")), pod.id)
    if point.startswith("stop"):
        assert not_ready(pod)
        pod.remove()
    else:
        # Its removal had begun, so it is gone on with.
        assert pod.id not in native.crictl("pods", "-q", "--no-trunc").split()
    run_pod(native.crictl, "end").remove()


def test_kill_in_an_update(native, running):  # noqa: F811
    """The limits that are told are those from before, until the call is made again."""
    made = running.container(IMAGE, "exec sleep 1000", name="made", linux={
        "resources": {"hugepage_limits": [{"page_size": "2MB", "limit": 4194304}]}})
    native.stop()
    native.start(ZONELET_FAILPOINTS="update.applied=kill")
    with pytest.raises(CrictlError):
        call(native, "update", made, "huge.2MB=8388608")
    assert native.process.wait(timeout=10) == -9
    native.start()
    limits = lambda: native.crictl.json("inspect", made)["status"]["resources"]["linux"]["hugepageLimits"]  # noqa: E731
    assert limits() == [{"pageSize": "2MB", "limit": "4194304"}]
    call(native, "update", made, "huge.2MB=8388608")
    assert limits() == [{"pageSize": "2MB", "limit": "8388608"}]
    assert native.run(["cat", f"/sys/fs/cgroup/zonelet/{made}/hugetlb.2MB.max"]).stdout.strip() == "8388608"


def test_kill_in_a_resize(native, running):  # noqa: F811
    native.stop()
    native.start(ZONELET_FAILPOINTS="resize.applied=kill")
    with pytest.raises(CrictlError):
        call(native, "resize", running.id, "memory=268435456")
    assert native.process.wait(timeout=10) == -9
    native.start()
    call(native, "resize", running.id, "memory=268435456")
    assert running.status()["info"]["config"]["linux"]["resources"]["memory_limit_in_bytes"] == 268435456


def test_kill_in_an_exec(native, running):  # noqa: F811
    """A command whose caller died with the daemon is ended, and the container goes on."""
    dies(native, "exec.started", "exec", "-s", running.main, "sleep", "4321")
    until(lambda: "4321" not in native.crictl("exec", "-s", running.main, "ps", "-o", "args"), "the end of the command")
    assert native.crictl.json("inspect", running.main)["status"]["state"] == "CONTAINER_RUNNING"


def test_kill_under_all_streams(native, running):  # noqa: F811
    """Their connections end, and so does what only they had; the container and its output go on."""
    counter = running.container(IMAGE, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo end; "
                                       "exec sleep 1000", name="counter")
    running.container(IMAGE, "exec httpd -f -p 8000 -h /etc", name="web")
    clients = [Client(native, "exec", "-i", running.main, "cat"), Client(native, "exec", running.main, "yes"),
               Client(native, "attach", counter), Client(native, "events"), forwarded(native, running, ["18000:8000"])]
    try:
        until(lambda: "cat" in native.crictl("exec", "-s", running.main, "ps", "-o", "args"), "the command")
        native.kill()
        for client in clients[:3]:
            client.talk(timeout=PATIENCE)
        native.start()
        args = ("exec", "-s", running.main, "ps", "-o", "args")
        until(lambda: not {"cat", "yes"} & set(native.crictl(*args).split("\n")), "the end of the commands")
        from pods import log_text
        until(lambda: "F end" in running.log("counter"), "the log")
        assert log_text(running.log("counter")).splitlines() == [f"line {i}" for i in range(3000)] + ["end"]
        again = forwarded(native, running, ["18001:8000"])
        try:
            connection = native.connect("127.0.0.1", 18001)
            connection.sendall(b"GET /passwd HTTP/1.0\r\n\r\n")
            connection.settimeout(PATIENCE)
            assert b"root:" in connection.makefile("rb").read()
            connection.close()
        finally:
            again.end()
    finally:
        for client in clients:
            client.end()
