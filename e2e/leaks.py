# SPDX-License-Identifier: Apache-2.0
"""What a pod must not leave behind in dom0: one listing, taken before and after, and their difference.

`take(machine)` is a Picture: for each kind of thing the lines that describe what there is, without what
changes by itself. `difference(before, after)` is text for a person, empty when nothing was left.
"""

import re
import time
from collections import Counter

# Each section's lines name things; a thing that is there twice has two lines.
# A program costs dom0 ten times what a line of the shell does, so there are few of them.
SCRIPT = r"""
shopt -s nullglob
section() { echo "## $1"; }
names() { local each; for each; do echo "${each##*/}"; done; }
contents() { local each line; for each; do read -r line <"$each" && echo "$line"; done; }
section domain; xl list
section xenstore; xenstore-ls -f /
section loop; contents /sys/block/loop*/loop/backing_file
section dm; contents /sys/block/dm-*/dm/name
section mount; while read -r _ _ _ _ point _; do echo "$point"; done </proc/self/mountinfo
section netns; names /run/netns/*
section link; names /sys/class/net/*
section shm; names /dev/shm/*
section rule; nft list ruleset
section process
daemon=
for directory in /proc/[0-9]*; do
    # A process without a command line is the kernel's, and only those of devices come and go with pods.
    line=
    IFS= read -r -d '' line <$directory/cmdline
    if [ -z "$line" ]; then
        read -r line <$directory/comm && echo "[$line]"
    elif [ ${directory#/proc/} != $$ ]; then
        echo "$line"
        [ "${line##*/}" != zoneletd ] || daemon=$directory
    fi
done
section path; find /run/cni /run/zonelet /var/lib/cni /var/lib/zonelet /sys/fs/cgroup \
    -path /var/lib/zonelet/images -prune -o \( -path /sys/fs/cgroup'/*' -type f \) -o -print
section descriptor; [ -z "$daemon" ] || find $daemon/fd -type l -printf '%l\n'
section info; xl info
"""

# What comes and goes by itself, or stays once there by the design of whose it is: section, pattern of a line.
IGNORED = [
    # xenstored keeps the empty directories of device kinds.
    ("xenstore", r"/local/domain/0/backend(/[a-z0-9-]+)?"),
    ("xenstore", r"/local/domain/0/(libxl|memory|control|device-model)(/.*)?"),
    ("xenstore", r"/(local|local/domain|libxl|vm|tool)(/xenstored.*)?"),
    # The bridge plugin never removes its bridge; host-local keeps its last address and its lock.
    ("link", r"(cni0|zonelet0)"),
    ("path", r"/(run|var/lib)/cni(/networks|/results|/networks/[^/]+)?"),
    ("path", r"/var/lib/cni/networks/[^/]+/(last_reserved_ip\.\d+|lock)"),
    ("path", r"/(run|var/lib)/zonelet(/[a-z.-]+)?"),
    # Portmap's base chains, made with the first host port; it never removes them.
    ("rule", r"counter jump CNI-HOSTPORT-MASQ|fib daddr type local counter jump CNI-HOSTPORT-DNAT"),
    ("rule", r"counter meta mark set mark or 0x2000|meta mark & 0x00002000 == 0x00002000 counter masquerade"),
    # Bookkeeping of systemd and the kernel, and this check itself.
    ("path", r"/sys/fs/cgroup/system\.slice(/[^/]+\.(service|mount|socket|swap))?"),
    ("path", r"/sys/fs/cgroup/(init\.scope|user\.slice|machine\.slice)"),
    ("mount", r"/run/(user|credentials)/.*"),
    # `ip netns` makes it a mount of its own, and it stays one.
    ("mount", r"/run/netns"),
    ("process", r"\[(kworker|ksoftirqd|migration|jbd2|scsi|cpuhp|irq|rcu|idle_inject|psimon|card|kcompactd|ext4).*"),
    ("process", r"(bash|\(udev-worker\)|.*systemd-[a-z]+)"),
]
IGNORED = [(section, re.compile(pattern)) for section, pattern in IGNORED]
# Opened with a machine's first zone and kept for all that follow: "section: line" and how many of it.
SHARED = Counter({
    "loop: /usr/lib/zonelet/zone-root.erofs": 1,
    # libxl's, in zoneletd: to wake its event loop.
    "descriptor: pipe:[N]": 4,
})
# Xen's own bookkeeping grows by a few pages at a time.
MEMORY_SLACK_MIB = 2


class Picture:
    """Counted lines by section."""

    def __init__(self, text):
        self.sections = {}
        section = None
        for line in text.splitlines():
            if line.startswith("## "):
                section = self.sections.setdefault(line[3:], Counter())
            elif line.strip():
                section[line.rstrip()] += 1
        self.free = _free_memory(self.sections.pop("info"))
        for name, change in CHANGES.items():
            self.sections[name] = change(self.sections[name])


def _free_memory(info):
    for line in info:
        if line.startswith("free_memory"):
            return int(line.split(":")[1])
    return 0


def _renamed(rename):
    """A change of every line of a section; what becomes equal is added up."""
    def change(lines):
        changed = Counter()
        for line, count in lines.items():
            changed[rename(line)] += count
        return changed
    return change


def _rules(lines):
    """Rules without the counters and the structure around them; empty chains say nothing."""
    rules = Counter()
    for line, count in lines.items():
        text = re.sub(r"counter packets \d+ bytes \d+", "counter", line.strip())
        if text and text != "}" and not re.match(r"(table|chain|type|policy|comment|#)\b", text):
            rules[text] += count
    return rules


CHANGES = {
    "rule": _rules,
    "domain": _renamed(lambda line: line.split()[0]),
    "xenstore": _renamed(lambda line: line.split(" = ")[0]),
    # socket:[12345]
    "descriptor": _renamed(lambda line: re.sub(r"\d+", "N", line)),
}


def _ignored(section, line):
    return any(name == section and pattern.fullmatch(line) for name, pattern in IGNORED)


def take(machine):
    """The Picture of now."""
    return Picture(machine.run(["bash", "-c", SCRIPT], timeout=60).stdout)


def difference(before, after):
    """What is in `after` and was not in `before`, as text."""
    found = []
    for section, lines in after.sections.items():
        for line, count in sorted((lines - before.sections.get(section, Counter())).items()):
            count -= SHARED[f"{section}: {line}"]
            if count > 0 and not _ignored(section, line):
                found.append(f"  {section}: {line}" + (f" (x {count})" if count > 1 else ""))
    less = before.free - after.free
    if less > MEMORY_SLACK_MIB:
        found.append(f"  memory: Xen has {less} MiB less to give")
    return "\n".join(found)


def left(machine, before, patience=15):
    """The difference between `before` and now, once it is empty or `patience` seconds have passed.

    The kernel and Xen take some things down after the call that ended them has returned.
    """
    deadline = time.monotonic() + patience
    while True:
        text = difference(before, take(machine))
        if not text or time.monotonic() > deadline:
            return text
        time.sleep(0.2)
