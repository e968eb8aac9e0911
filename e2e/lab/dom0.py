# SPDX-License-Identifier: Apache-2.0
"""dom0's disk, kernel and initial RAM disk, made from the dom0 root (tools/root.d/dom0).

The disk is the root with the files of dom0.d laid over it. Nothing on it belongs to the project: its package
is installed in the running machine, as on any node.
"""

import contextlib
import glob
import gzip
import lzma
import os
import shutil
import subprocess

from . import LabError, cache
from .cache import LAB, REPO, tool

DISK_SIZE = "12G"

# What a throw-away machine need not do at boot. The rest of Debian's defaults stay.
MASKED = """
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
    fstrim.timer systemd-tmpfiles-clean.timer getty@tty1.service serial-getty@hvc0.service console-getty.service
    systemd-logind.service systemd-journal-flush.service systemd-journal-catalog-update.service
    systemd-random-seed.service systemd-update-utmp.service systemd-update-utmp-runlevel.service
    systemd-pstore.service systemd-boot-random-seed.service systemd-hwdb-update.service
    systemd-update-done.service systemd-machine-id-commit.service systemd-firstboot.service
    ldconfig.service systemd-binfmt.service systemd-backlight@.service dev-mqueue.mount dev-hugepages.mount
    sys-kernel-debug.mount sys-kernel-tracing.mount remote-fs.target xendomains.service
""".split()
# Installed for the measurements that compare with them; started by whoever measures.
DISABLED = ["multi-user.target.wants/containerd.service"]

# Loaded by the initial RAM disk, with what they depend on, where they are not built in.
INITRD_MODULES = ["virtio_blk", "ext4", "crc32c_generic", "crc32c-intel", "crc32c-cryptoapi", "virtio_console"]

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod /$module; done
/bin/busybox mount -t ext4 -o noatime,noinit_itable /dev/vda /disk || exec /bin/busybox sh
/bin/busybox mount --move /dev /disk/dev
exec /bin/busybox switch_root /disk /sbin/init
"""


def root_directory():
    """The dom0 root; the wrapper `lab` has made it before it entered the build root."""
    path = subprocess.run([f"{REPO}/tools/root", "--path", "dom0"], check=True, capture_output=True,
                          text=True).stdout.strip()
    if not os.path.isdir(path):
        raise LabError("dom0's root is missing: run tools/root dom0")
    return path


def made():
    """The directory with disk.raw, xen, vmlinux and initrd."""
    root = root_directory()
    key = cache.digest(os.path.basename(root), DISK_SIZE, f"@{LAB}/dom0.d", f"@{LAB}/dom0.py", f"@{LAB}/agent.c")

    def build(directory):
        _make_disk(root, directory)
        _make_xen(root, f"{directory}/xen")
        _make_kernel(root, f"{directory}/vmlinux")
        _make_initrd(root, directory)

    return cache.make("dom0", key, build, "made dom0's disk")


@contextlib.contextmanager
def _writable_view(root, directory):
    """The root under an overlay that catches every change."""
    work = f"{directory}/work"
    os.mkdir(work)
    tool(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", work], "lab-disk")
    try:
        for name in ("upper", "overlay", "tree"):
            os.mkdir(f"{work}/{name}")
        tool(["mount", "-t", "overlay", "-o", f"lowerdir={root},upperdir={work}/upper,workdir={work}/overlay",
              "overlay", f"{work}/tree"], "lab-disk")
        try:
            yield f"{work}/tree"
        finally:
            tool(["umount", f"{work}/tree"], "lab-disk")
    finally:
        tool(["umount", work], "lab-disk")
        os.rmdir(work)


def _make_disk(root, directory):
    with _writable_view(root, directory) as tree:
        _configure(tree)
        disk = f"{directory}/disk.raw"
        tool(["mke2fs", "-q", "-t", "ext4", "-L", "dom0", "-m", "0", "-E", "lazy_itable_init=1", "-d", tree, disk,
              DISK_SIZE], "lab-disk")


def _configure(tree):
    shutil.copytree(f"{LAB}/dom0.d", tree, dirs_exist_ok=True, symlinks=True)
    units = f"{tree}/etc/systemd/system"
    for unit in MASKED:
        path = f"{units}/{unit}"
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink("/dev/null", path)
    for link in DISABLED:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{units}/{link}")
    for unit in ("lab-agent.service", "lab-network.service"):
        os.makedirs(f"{units}/sysinit.target.wants", exist_ok=True)
        os.symlink(f"/etc/systemd/system/{unit}", f"{units}/sysinit.target.wants/{unit}")
    # A machine's identity, the same for all: it is one machine, restored again and again.
    with open(f"{tree}/etc/machine-id", "w", encoding="ascii") as file:
        file.write("5a6f6e656c65744c61620000000000d0\n".lower())
    os.makedirs(f"{tree}/usr/local/sbin", exist_ok=True)
    tool(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-pthread", "-o",
          f"{tree}/usr/local/sbin/lab-agent", f"{LAB}/agent.c"], "lab-disk")


def _only(pattern):
    found = glob.glob(pattern)
    if len(found) != 1:
        raise LabError(f"expected one file {pattern}, found {len(found)}")
    return found[0]


def _make_xen(root, path):
    """Xen as a plain ELF file: QEMU's multiboot loader does not unpack it."""
    with gzip.open(_only(f"{root}/boot/xen-4.*-amd64.gz")) as packed, open(path, "wb") as file:
        shutil.copyfileobj(packed, file)


def _make_kernel(root, path):
    """dom0's kernel as a plain ELF file: Xen would unpack it on the emulated processor, in seconds.

    The packed kernel lies in the bzImage at setup_sects * 512 + payload_offset, followed by its unpacked
    size (the x86 boot protocol, Documentation/arch/x86/boot.rst).
    """
    with open(_only(f"{root}/boot/vmlinuz-*-amd64"), "rb") as file:
        image = file.read()
    start = (image[0x1F1] + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    length = int.from_bytes(image[0x24C:0x250], "little")
    payload = image[start:start + length]
    for magic, command in ((b"\x28\xb5\x2f\xfd", ["zstd", "-dcq"]), (b"\xfd7zXZ\0", ["xz", "-dcq", "--single-stream"]),
                           (b"\x1f\x8b", ["gzip", "-dcq"])):
        if payload.startswith(magic):
            # The size after the packed data makes the programs complain at the end.
            kernel = subprocess.run(command, input=payload[:-4], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    check=False).stdout
            break
    else:
        kernel = b""
    if not kernel.startswith(b"\x7fELF"):
        raise LabError("cannot unpack dom0's kernel: its packing is none of zstd, xz, gzip")
    with open(path, "wb") as file:
        file.write(kernel)


def _make_initrd(root, directory):
    tree = f"{directory}/initrd.d"
    for name in ("bin", "dev", "disk"):
        os.makedirs(f"{tree}/{name}")
    shutil.copy(f"{root}/bin/busybox", f"{tree}/bin/busybox")
    modules = _only(f"{root}/lib/modules/*")
    names = []
    for path in _with_dependencies(f"{modules}/modules.dep", INITRD_MODULES):
        name = os.path.basename(path).removesuffix(".xz")
        with open(f"{modules}/{path}", "rb") as source, open(f"{tree}/{name}", "wb") as target:
            data = source.read()
            target.write(lzma.decompress(data) if path.endswith(".xz") else data)
        names.append(name)
    with open(f"{tree}/modules", "w", encoding="ascii") as file:
        file.write("\n".join(names) + "\n")
    with open(f"{tree}/init", "w", encoding="ascii") as file:
        file.write(INIT)
    os.chmod(f"{tree}/init", 0o755)
    tool(["sh", "-c", "cd initrd.d && find . | cpio -o -H newc --quiet >../initrd"], "lab-disk", cwd=directory)
    shutil.rmtree(tree)


def _with_dependencies(dependencies, wanted):
    """Paths of the wanted modules and of all they need, in an order in which they can be loaded."""
    needs = {}
    with open(dependencies, encoding="ascii") as file:
        for line in file:
            path, _, rest = line.partition(":")
            needs[os.path.basename(path).partition(".ko")[0].replace("-", "_")] = [path, rest.split()]
    ordered = []
    for name in wanted:
        path, required = needs.get(name.replace("-", "_"), (None, []))
        # modules.dep lists what a module needs with the deepest need last
        for each in [*reversed(required), path]:
            if each and each not in ordered:
                ordered.append(each)
    return ordered
