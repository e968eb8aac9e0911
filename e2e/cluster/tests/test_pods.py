# SPDX-License-Identifier: Apache-2.0
"""What a user of the cluster does with pods."""

import subprocess

from cluster.pod import container, deployment, pod


def test_node_is_what_zonelet_runs(cluster, kubectl):
    info = kubectl.get("node", "node")["status"]["nodeInfo"]
    assert info["containerRuntimeVersion"].startswith("zonelet://")
    assert info["kubeletVersion"].startswith("v1.36.")


def test_pod_runs_logs_and_ends(cluster, namespace):
    namespace.apply(pod("once", container("echo out; echo err >&2; uname -r"), restart="Never"))
    namespace.wait_pod("once", "Succeeded")
    said = namespace.log("once").splitlines()
    assert "out" in said and "err" in said
    kernel = cluster.node.crictl.place.run(["uname", "-r"]).stdout.strip()
    assert (kernel in said) == (cluster.handler == "host"), "a zone has a kernel of its own, a host pod the node's"


def test_exec_with_exit_code_and_input(namespace):
    namespace.apply(pod("shell", container("sleep 1000000")))
    namespace.wait_pod("shell")
    assert namespace("exec", "shell", "--", "echo", "hello") == "hello\n"
    assert namespace("exec", "-i", "shell", "--", "cat", input="by stdin") == "by stdin"
    done = subprocess.run(namespace.kubectl.argv("-n", namespace.name, "exec", "shell", "--", "sh", "-c", "exit 7"),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr


def test_copy_into_and_out_of_a_pod(namespace, tmp_path):
    namespace.apply(pod("copy", container("sleep 1000000")))
    namespace.wait_pod("copy")
    (tmp_path / "in").write_bytes(bytes(range(256)) * 512)
    namespace("cp", str(tmp_path / "in"), "copy:/tmp/there")
    namespace("cp", "copy:/tmp/there", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()


def test_init_containers_run_first(namespace):
    namespace.apply(pod("ordered", container("cat /shared/word", mounts={"shared": "/shared"}), restart="Never",
                        init=[container("echo first >/shared/word", name="first", mounts={"shared": "/shared"})],
                        volumes={"shared": {"emptyDir": {}}}))
    namespace.wait_pod("ordered", "Succeeded")
    assert namespace.log("ordered") == "first\n"


def test_configmap_secret_and_downward_api(namespace):
    namespace("create", "configmap", "settings", "--from-literal=colour=green")
    namespace("create", "secret", "generic", "hidden", "--from-literal=word=xyzzy")
    script = "cat /settings/colour /hidden/word; echo; echo $NAME; ls -l /var/run/secrets/kubernetes.io/serviceaccount/token"
    main = container(script, mounts={"settings": "/settings", "hidden": "/hidden"})
    main["env"] = [{"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    namespace.apply(pod("reader", main, restart="Never", volumes={
        "settings": {"configMap": {"name": "settings"}}, "hidden": {"secret": {"secretName": "hidden"}}}))
    namespace.wait_pod("reader", "Succeeded")
    said = namespace.log("reader")
    assert "greenxyzzy" in said and "\nreader\n" in said


def test_failing_container_backs_off(namespace):
    namespace.apply(pod("broken", container("exit 3")))

    def backing_off():
        status = namespace.container("broken")
        return status if status.get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff" else None
    status = namespace.wait("CrashLoopBackOff", backing_off)
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["restartCount"] >= 1


def test_termination_message(namespace):
    namespace.apply(pod("words", container("echo last words >/dev/termination-log; exit 1"), restart="Never"))
    status = namespace.wait_pod("words", "Failed")
    assert status["containerStatuses"][0]["state"]["terminated"]["message"] == "last words\n"


def test_probes_restart_and_hold_back(namespace):
    main = container("touch /tmp/live; sleep 1000000")
    main["livenessProbe"] = {"exec": {"command": ["test", "-e", "/tmp/live"]}, "periodSeconds": 1, "failureThreshold": 2}
    main["readinessProbe"] = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    namespace.apply(pod("probed", main))
    namespace.wait("the container's start", lambda: namespace.container("probed").get("started"))
    assert not namespace.container("probed")["ready"]
    namespace("exec", "probed", "--", "touch", "/tmp/ready")
    namespace.wait_pod("probed")
    namespace("exec", "probed", "--", "rm", "/tmp/live")
    namespace.wait("a restart by the liveness probe", lambda: namespace.container("probed")["restartCount"])


def test_deployment_rolls(namespace):
    namespace.apply(deployment("web", 2, container("echo one; exec httpd -f -p 80")))
    namespace("rollout", "status", "deployment/web", "--timeout=240s", timeout=260)
    namespace.apply(deployment("web", 2, container("echo two; exec httpd -f -p 80")))
    namespace("rollout", "status", "deployment/web", "--timeout=240s", timeout=260)
    pods = [one for one in namespace.get("pods", "-l", "app=web")["items"] if "deletionTimestamp" not in one["metadata"]]
    assert [namespace.log(one["metadata"]["name"]) for one in pods] == ["two\n"] * 2


def test_port_forward(cluster, namespace):
    namespace.apply(pod("web", container("exec httpd -f -p 80 -h /var/www")))
    namespace.wait_pod("web")
    forward = namespace.kubectl.popen("-n", namespace.name, "port-forward", "pod/web", "18080:80",
                                      stdout=subprocess.PIPE, text=True)
    try:
        assert "Forwarding from" in forward.stdout.readline()
        got = cluster.kubectl.network.run(["curl", "-s", "-m", "20", "http://127.0.0.1:18080/"],
                                          capture_output=True, text=True).stdout
    finally:
        forward.terminate()
        forward.wait()
    assert got == "hello from a zone\n"


def test_restart_of_the_runtime_and_the_kubelet_keeps_pods(cluster, namespace):
    namespace.apply(pod("kept", container("echo begun; sleep 1000000")))
    before = namespace.wait_pod("kept")["containerStatuses"][0]["containerID"]
    cluster.node.restart_runtime()
    cluster.node.stop_kubelet()
    renewed = cluster.node_lease()
    cluster.node.start_kubelet()
    namespace.wait("the new kubelet's lease", lambda: cluster.node_lease() != renewed)
    cluster.wait_node()
    after = namespace.wait_pod("kept")["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before, 0)
    # The new kubelet serves its clients before it has heard of its pods.
    assert namespace.wait("an exec", lambda: namespace("exec", "kept", "--", "echo", "alive")) == "alive\n"
