# SPDX-License-Identifier: Apache-2.0
"""zoneletd with the host handler on this machine: what it does with pods, and what a kill leaves."""

import concurrent.futures
import subprocess
import time

import pytest

from images import PLAIN
from native import Native, alone, build_directory, difference, picture
from pods import Crictl, CrictlError, log_text, run_pod

IMAGE = f"127.0.0.1:{PLAIN}/busybox:1"


@pytest.fixture
def native(registry):
    build = build_directory()
    if not build:
        pytest.fail("zoneletd is not built: run `make test-unit` or `make build` first", pytrace=False)
    with alone():
        yield from start_native(build, registry)


def start_native(build, registry):
    node = Native(build, registry)
    try:
        node.start()
        node.crictl = Crictl(node, node.socket)
        node.crictl("pull", IMAGE)
        before = picture(node)
        yield node
        left = difference(before, picture(node))
        assert not left, f"the test left behind: {left}\n{node.log_tail()}"
        assert "ERROR: AddressSanitizer" not in node.log_text() and "runtime error:" not in node.log_text()
    except BaseException:
        print(node.log_tail(60))
        raise
    finally:
        node.close()


def test_life_of_a_pod(native):
    pod = run_pod(native.crictl, "life")
    container = pod.container(IMAGE, "echo hello; echo wrong >&2; exec sleep 1000")
    assert pod.status()["status"]["state"] == "SANDBOX_READY"
    assert native.crictl("exec", "-s", container, "hostname").strip() == "life"
    native.crictl("stop", "-t", "0", container)
    state = native.crictl.json("inspect", container)["status"]
    assert (state["state"], state["exitCode"]) == ("CONTAINER_EXITED", 137)
    log = pod.log()
    assert log_text(log) == "hello\n" and log_text(log, "stderr") == "wrong\n"
    pod.remove()
    assert native.crictl("pods", "-q").strip() == ""


def test_a_log_in_a_directory_of_the_pods(native):
    """The kubelet makes the directory, somebody with crictl does not."""
    pod = run_pod(native.crictl, "deep")
    container = pod.container(IMAGE, "echo hello; exec sleep 1000", log_path="deeper/0.log")
    native.crictl("exec", "-s", container, "true")
    assert log_text(pod.log("deeper/0")) == "hello\n"
    pod.remove()


def test_exec_tells_output_exit_code_and_timeout(native):
    pod = run_pod(native.crictl, "exec")
    container = pod.container(IMAGE, "exec sleep 1000")
    assert native.crictl("exec", "-s", container, "sh", "-c", "echo out; echo err >&2").startswith("out\n")
    with pytest.raises(CrictlError, match="exited with 7: err"):
        native.crictl("exec", "-s", container, "sh", "-c", "echo out; echo err >&2; exit 7")
    with pytest.raises(CrictlError) as error:
        native.crictl("exec", "-s", "--timeout", "1", container, "sleep", "100")
    assert error.value.code == "DeadlineExceeded"
    # What was too slow is gone.
    assert "sleep 100\n" not in native.crictl("exec", "-s", container, "ps", "-o", "args")
    pod.remove()


def test_command_not_found_names_it(native):
    pod = run_pod(native.crictl, "nocommand")
    container = pod.container(IMAGE, ["/no/such/program"], start=False)
    with pytest.raises(CrictlError, match="/no/such/program"):
        native.crictl("start", container)
    state = native.crictl.json("inspect", container)["status"]
    assert (state["state"], state["exitCode"], state["reason"]) == ("CONTAINER_EXITED", 128, "StartError")
    pod.remove()


@pytest.mark.parametrize("image,code", [(f"127.0.0.1:{PLAIN}/nothing:1", "NotFound"),
                                        (f"127.0.0.1:{PLAIN}/busybox:nothing", "NotFound")])
def test_unknown_image(native, image, code):
    with pytest.raises(CrictlError, match=image.split("/")[-1].split(":")[0]) as error:
        native.crictl("pull", image)
    assert error.value.code == code


def test_unknown_handler(native):
    with pytest.raises(CrictlError, match="no runtime handler .*nothing.*this node offers host") as error:
        run_pod(native.crictl, "handler", handler="nothing")
    assert error.value.code == "InvalidArgument"


COUNT = "i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done; echo end; exec sleep 1000"


def test_kill_of_the_daemon_loses_no_output(native):
    pod = run_pod(native.crictl, "output")
    container = pod.container(IMAGE, COUNT)
    for _ in range(4):
        native.kill()
        native.start()
    deadline = time.monotonic() + 30
    while "F end" not in pod.log():
        assert time.monotonic() < deadline, pod.log()[-300:]
        time.sleep(0.05)
    assert log_text(pod.log()).splitlines() == [f"line {i}" for i in range(4000)] + ["end"]
    assert native.crictl("exec", "-s", container, "echo", "alive").strip() == "alive"
    pod.remove()


def test_exit_while_the_daemon_is_away(native):
    pod = run_pod(native.crictl, "away")
    container = pod.container(IMAGE, "sleep 1; echo last words; exit 3")
    native.kill()
    time.sleep(1.5)
    native.start()
    state = native.crictl.json("inspect", container)["status"]
    assert (state["state"], state["exitCode"]) == ("CONTAINER_EXITED", 3)
    deadline = time.monotonic() + 10
    while "last words" not in pod.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pod.remove()


def test_clean_stop_leaves_pods_running(native):
    pod = run_pod(native.crictl, "stop")
    container = pod.container(IMAGE, "exec sleep 1000")
    assert native.stop() == 0
    native.start()
    assert native.crictl("exec", "-s", container, "echo", "alive").strip() == "alive"
    pod.remove()


@pytest.mark.parametrize("step", ["reserve", "supervisor", "connect", "hello", "cni", "splice", "configure"])
def test_kill_in_each_step_of_a_start(native, step):
    native.stop()
    native.start(ZONELET_FAILPOINTS=f"run.{step}=kill")
    with pytest.raises(CrictlError):
        run_pod(native.crictl, "killed")
    assert native.process.wait(timeout=10) == -9
    native.start()
    assert native.crictl("pods", "-q").strip() == ""
    run_pod(native.crictl, "killed").remove()


def test_dead_supervisor_makes_the_pod_not_ready(native):
    pod = run_pod(native.crictl, "dead")
    container = pod.container(IMAGE, "exec sleep 1000")
    native.run(["pkill", "-KILL", "-f", f"zonelet-supervisor.*{pod.id}"])
    deadline = time.monotonic() + 10
    while pod.status()["status"]["state"] != "SANDBOX_NOTREADY":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert native.crictl.json("inspect", container)["status"]["state"] == "CONTAINER_EXITED"
    pod.remove()


def test_many_pods_at_once(native):
    def life(number):
        pod = run_pod(native.crictl, f"many{number}")
        container = pod.container(IMAGE, "exec sleep 1000")
        assert native.crictl("exec", "-s", container, "hostname").strip() == f"many{number}"
        pod.remove()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(life, range(16)))


def test_events(native):
    events = native.popen(["crictl", "-r", f"unix://{native.socket}", "events"], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(1)
        pod = run_pod(native.crictl, "events")
        container = pod.container(IMAGE, "exit 0")
        text = ""
        while not ("CONTAINER_STOPPED_EVENT" in text and container in text):
            text += events.stdout.readline()
        assert "CONTAINER_CREATED_EVENT" in text and "CONTAINER_STARTED_EVENT" in text
        pod.remove()
    finally:
        events.kill()
        events.wait()


def node_namespaces(**modes):
    return {"security_context": {"namespace_options": {"pid": 1, **modes}}}


def test_the_nodes_network(native):
    native.run(["ip", "link", "add", "node0", "type", "veth", "peer", "name", "node1"])
    native.run(["ip", "address", "add", "192.0.2.8/32", "dev", "node0"])
    native.run(["ip", "link", "set", "node0", "up"])
    pod = run_pod(native.crictl, "network", linux=node_namespaces(network=2))
    container = pod.container(IMAGE, "exec sleep 1000", linux=node_namespaces(network=2))
    assert pod.ip() == "192.0.2.8"
    assert "node0" in native.crictl("exec", "-s", container, "ip", "link")
    assert native.crictl("exec", "-s", container, "hostname").split() == native.run(["hostname"]).stdout.split()
    pod.remove()
    with pytest.raises(CrictlError, match="net.ipv4.ip_forward would change the node") as error:
        run_pod(native.crictl, "sysctl", linux={**node_namespaces(network=2), "sysctls": {"net.ipv4.ip_forward": "1"}})
    assert error.value.code == "InvalidArgument"
    native.run(["ip", "link", "del", "node0"])


def test_sysctls_of_the_node_are_refused(native):
    pod = run_pod(native.crictl, "sysctls", linux={"sysctls": {"net.ipv4.ip_forward": "1"}})
    container = pod.container(IMAGE, "exec sleep 1000")
    assert native.crictl("exec", "-s", container, "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
    pod.remove()
    with pytest.raises(CrictlError, match="kernel.panic would change the node") as error:
        run_pod(native.crictl, "panic", linux={"sysctls": {"kernel.panic": "10"}})
    assert error.value.code == "InvalidArgument"


MAP = [{"host_id": 100000, "container_id": 0, "length": 65536}]


def test_a_user_namespace(native, tmp_path):
    options = {"userns_options": {"mode": 0, "uids": MAP, "gids": MAP}, "pid": 0}
    volume = native.directory + "/volume"
    native.run(["sh", "-c", f"mkdir {volume}; echo mine >{volume}/file; chmod 600 {volume}/file"])
    pod = run_pod(native.crictl, "user", linux={"security_context": {"namespace_options": options},
                                                "sysctls": {"net.ipv4.ip_forward": "1"}})
    mounts = [{"host_path": volume, "container_path": "/volume", "uidMappings": MAP, "gidMappings": MAP}]
    container = pod.container(IMAGE, "id -u; cat /proc/self/uid_map; cat /volume/file; echo >/volume/new; "
                                     "chown app /etc/passwd && stat -c %U /etc/passwd; hostname; exec sleep 1000",
                              mounts=mounts, linux={"security_context": {"namespace_options": options}})
    deadline = time.monotonic() + 10
    while len(pod.log().splitlines()) < 5:
        assert time.monotonic() < deadline, pod.log()
        time.sleep(0.05)
    assert log_text(pod.log()).split() == ["0", "0", "100000", "65536", "mine", "app", "user"]
    # Root of the pod is nobody on the node, and owns there what the mount was mapped for.
    pid = native.crictl.json("inspect", container)["info"]["pid"]
    assert native.run(["stat", "-c", "%u", f"/proc/{pid}/root/etc/passwd"]).stdout == "101000\n"
    assert native.run(["stat", "-c", "%u", f"{volume}/new"]).stdout == "0\n"
    assert native.crictl("exec", "-s", container, "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
    # The daemon finds it again.
    native.kill()
    native.start()
    assert native.crictl("exec", "-s", container, "id", "-u").strip() == "0"
    pod.remove()


def test_pid_of_another_container(native):
    pod = run_pod(native.crictl, "target", linux=node_namespaces())
    target = pod.container(IMAGE, "exec sleep 1234")
    debug = pod.container(IMAGE, "exec sleep 1000", name="debug", linux=node_namespaces(pid=3, target_id=target))
    assert "sleep 1234" in native.crictl("exec", "-s", debug, "ps", "-o", "args")
    native.crictl("stop", "-t", "0", target)
    with pytest.raises(CrictlError, match="is not running") as error:
        pod.container(IMAGE, "exec sleep 1000", name="late", linux=node_namespaces(pid=3, target_id=target))
    assert error.value.code == "FailedPrecondition"
    pod.remove()


def test_an_image_as_a_volume(native):
    other = f"127.0.0.1:{PLAIN}/layers:1"
    native.crictl("pull", other)
    pod = run_pod(native.crictl, "volume")
    mounts = [{"container_path": "/all", "image": {"image": other}},
              {"container_path": "/part", "image": {"image": other}, "image_sub_path": "data/directory"}]
    container = pod.container(IMAGE, "exec sleep 1000", mounts=mounts)
    assert native.crictl("exec", "-s", container, "cat", "/all/data/replaced", "/part/two").split() == ["upper"] * 2
    with pytest.raises(CrictlError, match="in use by a container"):
        native.crictl("rmi", other)
    with pytest.raises(CrictlError, match="Read-only file system"):
        native.crictl("exec", "-s", container, "touch", "/part/new")
    with pytest.raises(CrictlError, match="not executable"):
        native.crictl("exec", "-s", container, "/all/data/program")
    for path in ("nothing", "etc/../../../../etc/shadow"):
        with pytest.raises(CrictlError, match=f"the image has no .*{path}") as error:
            pod.container(IMAGE, name=f"wrong{len(path)}", mounts=[{**mounts[1], "image_sub_path": path}])
        assert error.value.code == "NotFound"
    pod.remove()
    native.crictl("rmi", other)


def test_volumes_of_the_node(native):
    pod = run_pod(native.crictl, "volumes")
    with pytest.raises(CrictlError, match="mount of /no/such/place") as error:
        pod.container(IMAGE, mounts=[{"host_path": "/no/such/place", "container_path": "/x"}])
    assert error.value.code == "NotFound"
    # tools/enter's mounts are private: nothing could go either way.
    with pytest.raises(CrictlError, match="not shared") as error:
        pod.container(IMAGE, name="shared", mounts=[{"host_path": native.directory, "container_path": "/x", "propagation": 2}])
    assert error.value.code == "FailedPrecondition"
    pod.remove()


def test_devices(native):
    pod = run_pod(native.crictl, "devices", linux={"security_context": {"privileged": True}})
    container = pod.container(IMAGE, "exec sleep 1000", name="one",
                              devices=[{"host_path": "/dev/kmsg", "container_path": "/dev/own", "permissions": "r"}])
    assert "1, " in native.crictl("exec", "-s", container, "ls", "-l", "/dev/own")
    with pytest.raises(CrictlError, match="not permitted"):
        native.crictl("exec", "-s", container, "sh", "-c", "echo >/dev/own")
    everything = pod.container(IMAGE, "exec sleep 1000", name="all", linux={"security_context": {"privileged": True}})
    assert "kmsg" in native.crictl("exec", "-s", everything, "ls", "/dev").split()
    assert "kmsg" not in native.crictl("exec", "-s", container, "ls", "/dev").split()
    with pytest.raises(CrictlError, match="/dev/nothing") as error:
        pod.container(IMAGE, name="none", devices=[{"host_path": "/dev/nothing"}])
    assert error.value.code == "NotFound"
    pod.remove()


def test_the_default_filter(native):
    pod = run_pod(native.crictl, "seccomp")
    container = pod.container(IMAGE, "exec sleep 1000", linux={"security_context": {"seccomp": {"profile_type": 0}}})
    run = lambda *words: native.crictl("exec", "-s", container, *words)  # noqa: E731
    assert "2" in run("grep", "Seccomp:", "/proc/self/status")
    for words in (["unshare", "-r", "true"], ["mount", "-t", "tmpfs", "x", "/tmp"], ["hostname", "x"]):
        with pytest.raises(CrictlError, match="not permitted|permission denied"):
            run(*words)
    # What programs need works: processes, pipes, sockets, other users.
    assert run("sh", "-c", "ls / | wc -l; echo x >/tmp/got; httpd -p 1234 -h /tmp; "
                           "wget -qO- http://127.0.0.1:1234/got").split()[-1] == "x"
    pod.remove()


def test_stop_right_after_start(native):
    """The kernel drops a signal that the first process of a pid namespace does not handle yet."""
    pod = run_pod(native.crictl, "early", linux=node_namespaces())
    container = pod.container(IMAGE, "sleep 1; trap 'exit 5' TERM; while :; do sleep 0.1; done", linux=node_namespaces())
    started = time.monotonic()
    native.crictl("stop", "-t", "30", container)
    assert time.monotonic() - started < 20
    assert native.crictl.json("inspect", container)["status"]["exitCode"] == 5
    pod.remove()
