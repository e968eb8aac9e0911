# SPDX-License-Identifier: Apache-2.0
"""Block devices of images, and scratch disks. Needs root and loop devices."""

import os
import pathlib
import subprocess

import pytest

from conftest import Failure, loops
from images import DIR, Image, tar

ONE = tar([("./", DIR), ("etc/", DIR), ("etc/one", b"1\n")])
SANDBOX = "a" * 64
OTHER = "b" * 64

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists("/dev/loop-control"),
                                reason="needs root and loop devices")


def test_an_image_of_one_layer_is_a_loop_device(store, registry, tmp_path, mounts):
    image = store.pull(registry.add("app", Image([ONE])))
    device = store("device", image["id"], "container")
    assert loops(store.root) == [device]
    assert store("device", image["id"], "container") == device  # found again after a restart
    assert pathlib.Path("/sys/block/%s/ro" % device[5:]).read_text() == "1\n"
    point = tmp_path / "m"
    point.mkdir()
    subprocess.run(["mount", "-t", "erofs", "-o", "ro", device, point], check=True)
    assert (point / "etc/one").read_text() == "1\n"
    subprocess.run(["umount", point], check=True)
    store("release", image["id"], "container")
    assert loops(store.root) == []


def test_images_of_one_and_the_same_layer_share_the_device(store, registry):
    a = store.pull(registry.add("a", Image([ONE])))
    b = store.pull(registry.add("b", Image([ONE], config={"Cmd": ["other"]})))
    assert a["id"] != b["id"]
    first, second = store("device-pair", a["id"], b["id"])
    assert first == second
    assert loops(store.root) == []


def test_an_unknown_image_has_no_device(store):
    with pytest.raises(Failure) as caught:
        store("device", "sha256:" + "0" * 64, "container")
    assert caught.value.code == "NOT_FOUND"


def test_several_layers_need_device_mapper(store, registry, tmp_path):
    image = store.pull(registry.add("app", Image([ONE, tar([("two", b"2")])])))
    if not os.path.exists("/dev/mapper/control"):
        with pytest.raises(Failure) as caught:
            store("device", image["id"], "container")
        assert caught.value.code == "FAILED_PRECONDITION" and "dm_mod" in caught.value.message
        assert loops(store.root) == []
        return
    device = store("device", image["id"], "container")
    assert device.startswith("/dev/dm-")
    assert store("device", image["id"], "container") == device
    point = tmp_path / "m"
    point.mkdir()
    subprocess.run(["mount", "-t", "erofs", "-o", "ro", device, point], check=True)
    assert (point / "etc/one").read_text() == "1\n" and (point / "two").read_text() == "2"
    subprocess.run(["umount", point], check=True)
    store("release", image["id"], "container")
    assert not os.path.exists(device)
    assert loops(store.root) == []


def test_sweep_removes_what_nobody_holds(store, registry):
    image = store.pull(registry.add("app", Image([ONE])))
    store("device", image["id"], "container")
    store("scratch", SANDBOX, str(64 << 20))
    kept = store("scratch", OTHER, str(64 << 20))
    (store.root / "scratch" / (SANDBOX + ".ext4.abcdef")).write_text("half-made")
    store("sweep", OTHER)
    assert loops(store.root) == [kept]
    store("sweep")
    assert loops(store.root) == []
    assert sorted(os.listdir(store.root / "scratch")) == ["template-%d.ext4" % (64 << 20)]


def test_a_shared_device_is_made_once(store, tmp_path):
    path = tmp_path / "root.erofs"
    path.write_bytes(b"\0" * 8192)
    device = store("shared", path)
    assert store("shared", path) == device
    store("sweep")
    assert loops(tmp_path) == [device]
    subprocess.run(["losetup", "-d", device], check=True)


@pytest.mark.parametrize("mib", [16, 1024, 10240])
def test_a_scratch_disk_is_an_empty_ext4(store, tmp_path, mib):
    device = store("scratch", SANDBOX, str(mib << 20))
    assert store("scratch", SANDBOX, str(mib << 20)) == device
    disk = store.root / "scratch" / (SANDBOX + ".ext4")
    assert disk.stat().st_size == mib << 20
    assert disk.stat().st_blocks * 512 < 2 << 20
    assert subprocess.run(["e2fsck", "-fn", device], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    point = tmp_path / "m"
    point.mkdir()
    subprocess.run(["mount", device, point], check=True)
    try:
        (point / "file").write_text("written")
        space = os.statvfs(point)
        assert space.f_blocks * space.f_frsize > (mib << 20) * 0.9
        # Nothing is kept for root but what ext4 itself keeps (4096 blocks at most).
        assert space.f_bfree - space.f_bavail <= 4096
    finally:
        subprocess.run(["umount", point], check=True)
    store("scratch-remove", SANDBOX)
    store("scratch-remove", SANDBOX)
    assert loops(store.root) == [] and not disk.exists()


@pytest.mark.parametrize("sandbox,size,code", [("../evil", 64 << 20, "INVALID_ARGUMENT"), (SANDBOX, 0, "OUT_OF_RANGE"),
                                               (SANDBOX, 1 << 60, "OUT_OF_RANGE"), ("A" * 64, 64 << 20, "INVALID_ARGUMENT")])
def test_bad_scratch_disks(store, sandbox, size, code):
    with pytest.raises(Failure) as caught:
        store("scratch", sandbox, str(size))
    assert caught.value.code == code
    assert os.listdir(store.root / "scratch") == []
