# SPDX-License-Identifier: Apache-2.0
"""The pods' network with the real daemon, on this machine: what CNI plugins make and fail to make.

Each test writes its own network. The plugin `faulty` is a bridge that fails as it is told, and speaks CNI 1.1,
which Debian's own plugins do not yet.
"""

import json
import os
import time

import pytest

from images import PLAIN
from native import Native, alone, build_directory
from pods import Crictl, CrictlError, run_pod

IMAGE = f"127.0.0.1:{PLAIN}/busybox:1"

# Beside it: COMMAND.fail holds what it then prints, COMMAND.script what it then does; `log` has a line for each call.
FAULTY = """#!/bin/sh
here=$(dirname "$0")
echo "$CNI_COMMAND $CNI_CONTAINERID" >>"$here/log"
[ ! -e "$here/$CNI_COMMAND.script" ] || exec sh "$here/$CNI_COMMAND.script"
request=$(cat)
echo "$request" >"$here/$CNI_COMMAND.in"
if [ -e "$here/$CNI_COMMAND.fail" ]; then
    cat "$here/$CNI_COMMAND.fail"
    exit 1
fi
case $CNI_COMMAND in
ADD | DEL | CHECK)
    echo "$request" | jq -c '.cniVersion = "1.0.0" | .type = "bridge"
        | if .prevResult then .prevResult.cniVersion = "1.0.0" else . end' | /usr/lib/cni/bridge
    ;;
esac
"""


class Node(Native):
    """A Native with networks to choose from."""

    def __init__(self, build, registries):
        super().__init__(build, registries)
        self.plugins = f"{self.directory}/plugins"
        os.makedirs(self.plugins)
        self.put_plugin("faulty", FAULTY)
        path = f"{self.directory}/zoneletd.yaml"
        with open(path, encoding="ascii") as file:
            text = file.read()
        text = text.replace("bin_dirs: [/usr/lib/cni]",
                            f"bin_dirs: [{self.plugins}, /usr/lib/cni]\n  gc_interval: 1h\n  timeout: 30s")
        self.configure(text)
        # Nobody waits for duplicate addresses here.
        self.run("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")

    def configure(self, text):
        self.yaml = text
        with open(f"{self.directory}/zoneletd.yaml", "w", encoding="ascii") as file:
            file.write(text)

    def change(self, before, after):
        """Another value in the configuration, by a restart."""
        assert before in self.yaml
        self.configure(self.yaml.replace(before, after))
        self.stop()
        self.start()

    def put_plugin(self, name, text):
        with open(f"{self.plugins}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{self.plugins}/{name}", 0o755)

    def tell(self, name, text):
        """Puts a file beside `faulty`."""
        with open(f"{self.plugins}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def untell(self, name):
        os.remove(f"{self.plugins}/{name}")

    def calls(self):
        with open(f"{self.plugins}/log", encoding="ascii") as file:
            return file.read().splitlines()

    def network(self, *plugins, version="1.0.0", file="10-zonelet.conflist", **more):
        """Replaces the network as an agent would: a new file in the old one's place."""
        path = f"{self.directory}/net.d/{file}"
        with open(f"{path}.new", "w", encoding="ascii") as new:
            json.dump({"cniVersion": version, "name": "zonelet", "plugins": plugins, **more}, new)
        os.rename(f"{path}.new", path)

    def bridge(self, *subnets, kind="bridge", bridge="cni0", **more):
        ipam = {"type": "host-local", "dataDir": f"{self.directory}/leases",
                "routes": [{"dst": "::/0" if ":" in subnet else "0.0.0.0/0"} for subnet in subnets or ["0"]]}
        if subnets:
            ipam["ranges"] = [[{"subnet": subnet}] for subnet in subnets]
        return {"type": kind, "bridge": bridge, "isGateway": True, "ipMasq": True, "hairpinMode": True,
                "ipam": ipam, **more}

    def condition(self, kind="NetworkReady"):
        conditions = self.crictl.json("info")["status"]["conditions"]
        return next(each for each in conditions if each["type"] == kind)

    def networks(self):
        """What pods' networks have on the node."""
        lines = self.run("ls /run/netns | grep '^zonelet-' | grep -v native; ip -o link | grep -oE '(veth|ifb|bwp)[^@:]*'; "
                         f"ls {self.directory}/leases/zonelet 2>/dev/null | grep -E '^([0-9a-f]+[.:])'; "
                         f"ls {self.directory}/cni 2>/dev/null | grep json; "
                         "{ iptables-save; ip6tables-save; } | grep -E 'DNAT --to|id: '; true").stdout
        return lines.splitlines()

    def left(self):
        """The same, without what was there before: another test may have failed."""
        return [line for line in self.networks() if line not in self.before]


PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


@pytest.fixture
def node(registry):
    with alone():
        node = Node(build_directory(), registry)
        try:
            node.start()
            node.crictl = Crictl(node, node.socket)
            node.before = node.networks()
            yield node
            assert node.left() == [], f"left behind\n{node.log_tail()}"
            assert "ERROR: AddressSanitizer" not in node.log_text() and "runtime error:" not in node.log_text()
        except BaseException:
            print(node.log_tail(60))
            raise
        finally:
            node.close()


def eventually(what, seconds=20):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ips(pod):
    network = pod.status()["status"]["network"]
    return [network["ip"]] + [each["ip"] for each in network.get("additionalIps", [])]


# ---- addresses and ports

SERVER = "mkdir /www; echo hello from $(hostname) >/www/index.html; exec httpd -f -p 80 -h /www"


def test_dual_stack_and_host_ports(node):
    node.crictl("pull", IMAGE)
    node.network(node.bridge("10.88.0.0/16", "fd00:88::/64"), PORTMAP)
    pod = run_pod(node.crictl, "web", port_mappings=[
        {"protocol": 0, "container_port": 80, "host_port": 18080},
        {"protocol": 0, "container_port": 80, "host_port": 18081, "host_ip": "10.88.0.1"},
        {"protocol": 1, "container_port": 53, "host_port": 15353},
        {"protocol": 2, "container_port": 99, "host_port": 19999}])
    assert ips(pod) == ["10.88.0.2", "fd00:88::2"]
    pod.container(IMAGE, SERVER)

    def answer(address):
        return node.run(["curl", "-s", "--max-time", "5", f"http://{address}/"], check=False).stdout
    eventually(lambda: answer("10.88.0.2") != "")
    for address in ["10.88.0.2", "[fd00:88::2]", "127.0.0.1:18080", "10.88.0.1:18080", "[fd00:88::1]:18080",
                    "10.88.0.1:18081"]:
        assert answer(address) == "hello from web\n", address
    assert answer("127.0.0.1:18081") == ""  # mapped on another address
    rules = node.run("iptables-save -t nat").stdout
    assert "--dport 15353 -j DNAT --to-destination 10.88.0.2:53" in rules
    assert "-p sctp -m sctp --dport 19999 -j DNAT --to-destination 10.88.0.2:99" in rules
    node.kill()
    node.start()
    assert ips(pod) == ["10.88.0.2", "fd00:88::2"]
    assert answer("127.0.0.1:18080") == "hello from web\n"
    pod.remove()
    assert answer("127.0.0.1:18080") == ""


@pytest.mark.parametrize("wrong,message", [
    ({"port_mappings": [{"container_port": 80, "host_port": 70000}]}, "host port 70000 to 80: ports are 1 to 65535"),
    ({"port_mappings": [{"container_port": 80, "host_port": 1, "host_ip": "nowhere"}]}, "is no IP address"),
    ({"annotations": {"kubernetes.io/egress-bandwidth": "fast"}}, 'is no quantity of bits a second'),
    ({"annotations": {"zonelet/mac": "01:00:00:00:00:00"}}, "zonelet/mac"),
])
def test_what_a_pod_may_not_ask(node, wrong, message):
    with pytest.raises(CrictlError) as error:
        run_pod(node.crictl, "wrong", **wrong)
    assert error.value.code == "InvalidArgument" and message in error.value.message
    assert "pod default/wrong" in error.value.message


def test_annotations_reach_the_plugins(node):
    node.network(node.bridge("10.88.0.0/16"),
                 {"type": "tuning", "capabilities": {"mac": True}},
                 {"type": "bandwidth", "capabilities": {"bandwidth": True}})
    pod = run_pod(node.crictl, "slow", annotations={"kubernetes.io/ingress-bandwidth": "8M",
                                                    "kubernetes.io/egress-bandwidth": "4M",
                                                    "zonelet/mac": "02:00:00:00:00:77"})
    queues = node.run("tc qdisc show").stdout
    assert "rate 8Mbit" in queues and "rate 4Mbit" in queues
    assert "02:00:00:00:00:77" in node.run(
        ["ip", "netns", "exec", f"zonelet-{pod.id[:12]}", "ip", "link", "show", "eth0"]).stdout
    pod.remove()


def test_pod_cidr_of_the_node(node):
    node.network(node.bridge(capabilities={"ipRanges": True}))
    assert node.condition()["reason"] == "PodCIDRUnknown"
    with pytest.raises(CrictlError, match="nonsense"):
        node.crictl("update-runtime-config", "--pod-cidr", "10.91.0.0/24,nonsense")
    node.crictl("update-runtime-config", "--pod-cidr", "10.91.0.0/24,fd00:91::/64")
    assert node.condition()["status"]
    node.kill()
    node.start()
    assert node.condition()["status"]
    pod = run_pod(node.crictl, "ranged")
    assert ips(pod) == ["10.91.0.2", "fd00:91::2"]
    pod.remove()


# ---- the directory, and whether it is ready

def test_conflist_replaced_while_running(node):
    node.network(node.bridge("10.88.0.0/16"), PORTMAP)
    before = run_pod(node.crictl, "before")
    node.network(node.bridge("10.99.0.0/16", bridge="cni1"))
    after = run_pod(node.crictl, "after")
    assert (ips(before), ips(after)) == (["10.88.0.2"], ["10.99.0.2"])
    assert node.crictl.json("info")["cni"]["plugins"] == ["bridge"]
    os.rename(f"{node.directory}/net.d", f"{node.directory}/away.d")
    condition = node.condition()
    assert not condition["status"] and condition["reason"] == "NoNetworkConfiguration"
    assert f"no network configuration in {node.directory}/net.d; put a .conflist there" in condition["message"]
    with pytest.raises(CrictlError, match="pod default/none.*no network configuration in") as error:
        run_pod(node.crictl, "none")
    assert error.value.code == "Unavailable"
    before.remove()  # by what it was made with
    os.rename(f"{node.directory}/away.d", f"{node.directory}/net.d")
    assert node.condition()["status"]
    node.network({"type": "nowhere"}, file="05-first.conflist")
    condition = node.condition()
    assert condition["reason"] == "NetworkPluginMissing" and '"nowhere" is not in' in condition["message"]
    with open(f"{node.directory}/net.d/05-first.conflist", "w", encoding="ascii") as file:
        file.write("{")
    condition = node.condition()
    assert condition["reason"] == "InvalidNetworkConfiguration" and "05-first.conflist: line" in condition["message"]
    os.remove(f"{node.directory}/net.d/05-first.conflist")
    after.remove()


def test_status_of_the_plugins(node):
    node.network(node.bridge("10.88.0.0/16", kind="faulty"), version="1.1.0")
    node.tell("STATUS.fail", json.dumps({"code": 50, "msg": "no agent on this node", "details": "socket refused"}))
    condition = node.condition()
    assert not condition["status"] and condition["reason"] == "NetworkPluginNotReady"
    assert condition["message"] == ('network "zonelet": plugin faulty STATUS: no agent on this node (code 50): '
                                    "socket refused")
    node.untell("STATUS.fail")
    node.tell("STATUS.script", "printf 'bad \\377 word' >&2; exit 3")
    assert "plugin faulty STATUS: exit status 3: bad" in node.condition()["message"]
    node.change("timeout: 30s", "timeout: 2s")
    node.tell("STATUS.script", "sleep 1000")
    assert "plugin faulty STATUS" in node.condition()["message"]
    node.untell("STATUS.script")
    assert node.condition()["status"]
    pod = run_pod(node.crictl, "ready")
    pod.remove()


# ---- plugins that misbehave

@pytest.mark.parametrize("script,code,message", [
    ("exec sleep 31415", "DeadlineExceeded", "the deadline passed"),
    ("sleep 31415 & exec sleep 31415", "DeadlineExceeded", "the deadline passed"),
    ("kill -9 $$", "Internal", "killed by signal 9"),
    ("echo '{\"ips\":'", "Internal", "its output: line"),
    ("exec head -c 1073741824 /dev/zero", "ResourceExhausted", "faulty"),
    ("exec cat /dev/urandom >&2", "DeadlineExceeded", "the deadline passed"),
    ("echo '{}'", "Unavailable", "gave it no address"),
])
def test_plugin_that_misbehaves(node, script, code, message):
    node.network(node.bridge("10.88.0.0/16", kind="faulty"))
    node.change("timeout: 30s", "timeout: 2s")
    node.tell("ADD.script", script)
    with pytest.raises(CrictlError) as error:
        run_pod(node.crictl, "victim")
    assert error.value.code == code and message in error.value.message, str(error.value)
    assert node.crictl("pods", "-q").strip() == ""
    assert node.run(["pgrep", "-f", f"^sleep 31415|{node.plugins}/ADD.script"], check=False).stdout == ""
    node.untell("ADD.script")
    run_pod(node.crictl, "victim").remove()


# ---- what plugins do not let go of

BUSY = json.dumps({"code": 11, "msg": "the agent is away"})


def stop_fails(pod):
    with pytest.raises(CrictlError, match=f"take down network of pod default/{pod.name}: "
                                          "plugin faulty DEL: the agent is away"):
        pod.stop()
    assert pod.status()["status"]["state"] == "SANDBOX_NOTREADY"


def test_failed_del_is_retried_after_a_restart(node):
    node.network(node.bridge("10.88.0.0/16", kind="faulty"))
    pod = run_pod(node.crictl, "held")
    node.tell("DEL.fail", BUSY)
    stop_fails(pod)
    node.kill()
    node.start()  # tried again, and failed again
    assert node.calls().count(f"DEL {pod.id}") == 2 and node.left() != []
    node.kill()
    node.untell("DEL.fail")
    node.start()
    assert node.left() == []
    assert node.calls().count(f"DEL {pod.id}") == 3
    assert pod.status()["status"]["state"] == "SANDBOX_NOTREADY"
    node.kill()
    node.start()
    pod.remove()
    assert node.calls().count(f"DEL {pod.id}") == 3


def test_failed_del_is_retried_meanwhile(node):
    node.change("gc_interval: 1h", "gc_interval: 1s")
    node.network(node.bridge("10.88.0.0/16", kind="faulty"))
    held = run_pod(node.crictl, "held")
    removed = run_pod(node.crictl, "removed")
    node.tell("DEL.fail", BUSY)
    stop_fails(held)
    with pytest.raises(CrictlError, match="the agent is away"):
        node.crictl("rmp", "-f", removed.id)
    # A pod whose start failed, and whose undoing did.
    node.tell("ADD.script", "exit 1")
    with pytest.raises(CrictlError, match="its clean-up failed too: .*the agent is away"):
        run_pod(node.crictl, "unborn")
    node.untell("ADD.script")
    node.untell("DEL.fail")
    eventually(lambda: node.left() == [])
    eventually(lambda: held.id in node.crictl("pods", "-q") and len(node.crictl("pods", "-q").split()) < 3)
    for each in node.crictl("pods", "-q").split():
        node.crictl("rmp", each)


def test_networks_of_pods_that_nobody_knows(node):
    """As if the database had been lost: the records in the CNI cache are all there is."""
    node.network(node.bridge("10.88.0.0/16", kind="faulty"), version="1.1.0")
    pod = run_pod(node.crictl, "lost")
    stays = run_pod(node.crictl, "stays")
    stays.stop()
    node.stop()
    node.run(["pkill", "-KILL", "-f", f"zonelet-supervisor.*{pod.id}"])
    node.run(["sqlite3", f"{node.disk}/lib/state.db", f"DELETE FROM sandbox WHERE id = '{pod.id}'"])
    node.start()
    eventually(lambda: f"DEL {pod.id}" in node.calls() and node.left() == [])
    eventually(lambda: "GC " in node.calls())
    stays.remove()


def test_lost_record_of_a_pod(node):
    """A power failure may take the record: the network of now is asked to let go of the pod."""
    node.network(node.bridge("10.88.0.0/16", kind="faulty"))
    lost = run_pod(node.crictl, "lost")
    torn = run_pod(node.crictl, "torn")
    node.stop()
    os.remove(f"{node.directory}/cni/{lost.id}.json")
    os.truncate(f"{node.directory}/cni/{torn.id}.json", 0)
    node.start()
    lost.remove()
    torn.remove()
    assert f"DEL {lost.id}" in node.calls() and f"DEL {torn.id}" in node.calls()
