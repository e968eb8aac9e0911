# SPDX-License-Identifier: Apache-2.0
"""Networks of zones on real Xen: several interfaces, both IP families, MTU, host ports on loopback."""

import json

import pytest

from pods import run_pod
from test_zone import IMAGE, configure, node, wait_for  # noqa: F401

# Runs a plugin for each of its delegates and tells their results as one, as Multus does. DEL in the reverse order.
MANY = r"""#!/bin/sh
request=$(cat)
merged='{"cniVersion": "1.0.0", "interfaces": [], "ips": [], "routes": []}'
count=$(echo "$request" | jq '.delegates | length')
for number in $(seq 0 $((count - 1))); do
    [ "$CNI_COMMAND" != DEL ] || number=$((count - 1 - number))
    name=$([ $number = 0 ] && echo eth0 || echo net$number)
    one=$(echo "$request" | jq -c ".delegates[$number] + {cniVersion: \"1.0.0\", name: (.name + \"-$number\")}")
    if ! result=$(echo "$one" | CNI_IFNAME=$name "/usr/lib/cni/$(echo "$one" | jq -r .type)"); then
        echo "$result"
        exit 1
    fi
    [ "$CNI_COMMAND" != ADD ] || merged=$(printf '%s\n%s\n' "$merged" "$result" | jq -sc '
        (.[0].interfaces | length) as $n
        | .[0] + {interfaces: (.[0].interfaces + .[1].interfaces),
                  ips: (.[0].ips + [.[1].ips[] | .interface += $n]),
                  routes: (.[0].routes + (.[1].routes // []))}')
done
[ "$CNI_COMMAND" != ADD ] || echo "$merged"
"""


def bridge(name, *subnets, routes=(), **more):
    return {"type": "bridge", "bridge": name, "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in subnets],
                     "routes": [dict(zip(("dst", "gw"), route.split())) for route in routes]}, **more}


PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
DEFAULT = {4: "0.0.0.0/0", 6: "::/0"}


def use_network(node, *plugins):  # noqa: F811
    """The pods' network from now on."""
    node.run("rm -f /etc/cni/net.d/*")
    node.write("/etc/cni/net.d/10-test.conflist",
               json.dumps({"cniVersion": "1.0.0", "name": "test", "plugins": plugins}))
    # Nobody waits for duplicate addresses here.
    node.run("echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")


def inside(node, container, command):  # noqa: F811
    return node.crictl("exec", "-s", container, "sh", "-c", command).strip()


def addresses(node, container):  # noqa: F811
    """What the zone's interfaces have: {name: (mtu, [address/prefix])}, without link-local ones."""
    found = {}
    for line in inside(node, container, "ip -o link; ip -o addr").splitlines():
        words = line.split()
        name = words[1].rstrip(":")
        mtu, own = found.get(name, (0, []))
        if "mtu" in words:
            mtu = int(words[words.index("mtu") + 1])
        elif words[2] in ("inet", "inet6") and not words[3].startswith("fe80"):
            own.append(words[3])
        found[name] = (mtu, own)
    return found


SERVER = "mkdir /www; echo it works >/www/index.html; exec httpd -f -p 80 -h /www"


@pytest.mark.leaves(r"link: (cni1|cni2)", "the bridge plugin never removes its bridge")
@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_several_interfaces(node, kind):  # noqa: F811
    configure(node, kind)
    node.write("/usr/lib/cni/many", MANY)
    node.run("chmod 755 /usr/lib/cni/many")
    use_network(node, {"type": "many", "delegates": [
        bridge("cni0", "10.88.0.0/16", routes=["0.0.0.0/0"]),
        bridge("cni1", "10.77.0.0/24", mtu=1400, routes=["10.70.0.0/16 10.77.0.1"]),
        bridge("cni2", "fd00:66::/64")]})
    pods = [run_pod(node.crictl, f"many{number}") for number in range(2)]
    containers = [pod.container(IMAGE, SERVER) for pod in pods]
    for number, (pod, container) in enumerate(zip(pods, containers)):
        own = addresses(node, container)
        assert own["eth0"] == (1500, [f"10.88.0.{number + 2}/16"])
        assert own["net1"] == (1400, [f"10.77.0.{number + 2}/24"])
        assert own["net2"] == (1500, [f"fd00:66::{number + 2}/64"])
        assert pod.ip() == f"10.88.0.{number + 2}"
    routes = inside(node, containers[0], "ip route")
    assert "default via 10.88.0.1 dev eth0" in routes and "10.70.0.0/16 via 10.77.0.1 dev net1" in routes
    # From one zone to the other, and from the node, by each of them.
    for address in ("10.88.0.3", "10.77.0.3", "[fd00:66::3]"):
        url = f"http://{address}/index.html"
        wait_for(lambda: inside(node, containers[0], f"wget -T 10 -qO- '{url}' || true") == "it works")
        assert node.run(["curl", "-sf", "-m", "10", url]).stdout == "it works\n"
    # What does not fit an interface's MTU goes in pieces, or not at all.
    assert "1 packets received" in inside(node, containers[0], "ping -c 1 -W 5 -s 1372 10.77.0.3")
    for pod in pods:
        pod.remove()
    node.run("rm /usr/lib/cni/many")


@pytest.mark.leaves(r"rule: .*(CNI-HOSTPORT|mark|CNI-DN)", "the portmap plugin never removes its base chains")
@pytest.mark.parametrize("kind", ["pvh", "pv"])
def test_dual_stack_mtu_and_host_ports(node, kind):  # noqa: F811
    configure(node, kind)
    use_network(node, bridge("cni0", "10.88.0.0/16", "fd00:88::/64", routes=DEFAULT.values(), mtu=1420, ipMasq=True,
                             hairpinMode=True), PORTMAP)
    pod = run_pod(node.crictl, "web", port_mappings=[
        {"container_port": 80, "host_port": 18080},
        {"container_port": 80, "host_port": 18081, "host_ip": "10.88.0.1"}])
    network = pod.status()["status"]["network"]
    assert [network["ip"]] + [each["ip"] for each in network["additionalIps"]] == ["10.88.0.2", "fd00:88::2"]
    container = pod.container(IMAGE, SERVER)
    assert addresses(node, container)["eth0"] == (1420, ["10.88.0.2/16", "fd00:88::2/64"])

    def answer(address):
        return node.run(["curl", "-s", "-m", "10", f"http://{address}/index.html"], check=False).stdout
    wait_for(lambda: answer("10.88.0.2") == "it works\n")
    for address in ("[fd00:88::2]", "127.0.0.1:18080", "10.88.0.1:18080", "[fd00:88::1]:18080", "10.88.0.1:18081"):
        assert answer(address) == "it works\n", address
    assert answer("127.0.0.1:18081") == ""  # mapped on another address
    assert inside(node, container, "ping -6 -c 1 -W 5 fd00:88::1 >/dev/null && echo yes") == "yes"
    pod.remove()
    assert answer("127.0.0.1:18080") == ""
