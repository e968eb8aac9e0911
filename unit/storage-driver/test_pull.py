# SPDX-License-Identifier: Apache-2.0
"""Pulls end to end: real tools and a real registry, and a registry that misbehaves."""

import gzip
import hashlib
import json
import os
import pathlib
import select
import signal
import ssl
import stat
import subprocess
import tarfile
import threading
import time

import pytest

import images
from conftest import PULLER, Failure, free_port
from images import DIR, Image, tar

SMALL = tar([("./", DIR), ("etc/", DIR), ("etc/one", b"1\n")])


def noise(count):
    """Bytes that do not compress."""
    return hashlib.shake_256(b"seed").digest(count)


# ---- what a tree looks like


def describe(root):
    tree = {}
    links = {}
    for path in [pathlib.Path(root), *sorted(pathlib.Path(root).rglob("*"))]:
        status = path.lstat()
        name = str(path.relative_to(root))
        # A symbolic link has no mode of its own: tools differ in what they show.
        mode = 0 if stat.S_ISLNK(status.st_mode) else stat.S_IMODE(status.st_mode)
        what = [stat.S_IFMT(status.st_mode), mode, status.st_uid, status.st_gid]
        if stat.S_ISREG(status.st_mode):
            what += [status.st_size, hashlib.sha256(path.read_bytes()).hexdigest(), int(status.st_mtime)]
            links.setdefault(status.st_ino, []).append(name)
        elif stat.S_ISLNK(status.st_mode):
            what.append(os.readlink(path))
        elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
            what.append(status.st_rdev)
        tree[name] = what
    return tree, sorted(names for names in links.values() if len(names) > 1)


def mounted(store, image_id, tmp_path, mounts):
    point = tmp_path / "mounted"
    point.mkdir(exist_ok=True)
    store("mount", image_id, point)
    mounts(point)
    return point


# ---- a real registry, real tools

FULL = [
    tar([
        ("./", {**DIR, "mode": 0o751}),
        ("bin/", DIR), ("bin/sh", {"mode": 0o755, "data": noise(3_000_000)}),
        ("bin/suid", {"mode": 0o4755, "uid": 12, "gid": 70000, "data": b"s"}),
        ("bin/hard", {"type": tarfile.LNKTYPE, "linkname": "bin/sh"}),
        ("lib", {"type": tarfile.SYMTYPE, "linkname": "usr/lib"}),
        ("usr/", DIR), ("usr/lib/", DIR), ("usr/lib/libc.so", b"c" * 5000),
        ("tmp/", {**DIR, "mode": 0o1777}), ("root/", {**DIR, "mode": 0o700, "uid": 5}),
        ("dev/", DIR), ("dev/null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}),
        ("run/", DIR), ("run/pipe", {"type": tarfile.FIFOTYPE}),
        ("gone/", DIR), ("gone/a", b"a"), ("opaque/", DIR), ("opaque/old", b"old"),
        ("opaque/sub/", DIR), ("opaque/sub/deep", b"deep"),
        ("file-then-dir", b"x"), ("dir-then-file/", DIR), ("dir-then-file/a", b"x"),
        ("empty", b""), ("n" * 200 + "/" + "m" * 200, b"long"), ("umlaut-\u00e4", b"u"),
    ]),
    tar([
        # No entries for the directories on the way: they keep what the layer below says.
        ("bin/new", b"new"), ("root/secret", b"s"), ("tmp/t", b"t"),
        ("gone/.wh.a", b""), ("opaque/", DIR), ("opaque/.wh..wh..opq", b""), ("opaque/new", b"n"),
        (".wh.empty", b""), ("etc/", DIR), ("etc/two", b"2"),
        (".wh.file-then-dir", b""),
    ]),
    tar([
        ("file-then-dir/", DIR), ("file-then-dir/now", b"dir"), (".wh.dir-then-file", b""),
        ("bin/sh", {"mode": 0o700, "data": b"replaced"}), ("etc/two", b"again"),
    ]),
    tar([("dir-then-file", b"now a file"), ("brand/new/path", b"p")]),
]


@pytest.mark.parametrize("pack", ["gzip", "zstd", ""])
def test_a_real_image_is_what_umoci_unpacks(store, real_registry, tmp_path, mounts, pack):
    image = Image(FULL, pack=pack)
    reference = images.push(real_registry, "test/full", image, "pack" + pack)
    pulled = store.pull(reference)
    assert pulled["id"] == image.id
    assert pulled["repo_tags"] == [reference]
    assert pulled["repo_digests"] == ["%s/test/full@%s" % (real_registry, image.digest)]

    # umoci does not know zstd: it gets the same tars packed as it likes them.
    plain = images.push(real_registry, "test/full", Image(FULL), "for-umoci")
    layout = "oci:%s:x" % (tmp_path / "oci")
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", "docker://" + plain, layout], check=True)
    subprocess.run(["umoci", "raw", "unpack", "--image", "%s:x" % (tmp_path / "oci"), tmp_path / "umoci"], check=True)
    want, want_links = describe(tmp_path / "umoci")
    have, have_links = describe(mounted(store, pulled["id"], tmp_path, mounts))
    # umoci makes the root as it likes; the first layer says what it is.
    want["."] = [stat.S_IFDIR, 0o751, 0, 0]
    assert have == want
    # The upper layer's bin/sh parted from its hard link.
    assert have_links == want_links == []


def test_what_umoci_makes_is_pulled(store, real_registry, tmp_path, mounts):
    layout = tmp_path / "oci"
    run = lambda *args: subprocess.run(args, check=True, stdout=subprocess.DEVNULL)
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", "%s:x" % layout)
    for step in range(3):
        run("umoci", "unpack", "--image", "%s:x" % layout, tmp_path / "bundle")
        rootfs = tmp_path / "bundle/rootfs"
        (rootfs / "d").mkdir(exist_ok=True)
        (rootfs / "d" / str(step)).write_text(str(step))
        (rootfs / "d" / str(step - 1)).unlink(missing_ok=True)
        run("umoci", "repack", "--image", "%s:x" % layout, tmp_path / "bundle")
        subprocess.run(["rm", "-rf", tmp_path / "bundle"], check=True)
    run("umoci", "config", "--image", "%s:x" % layout, "--config.cmd", "/bin/sh", "--config.env", "A=b",
        "--config.user", "7:8", "--architecture", images.ARCH, "--os", "linux")
    reference = real_registry + "/test/umoci:1"
    run("skopeo", "copy", "-q", "--dest-tls-verify=false", "oci:%s:x" % layout, "docker://" + reference)
    pulled = store.pull(reference)
    assert (pulled["command"], pulled["env"], pulled["user"]) == (["/bin/sh"], ["A=b"], "7:8")
    point = mounted(store, pulled["id"], tmp_path, mounts)
    assert sorted(os.listdir(point / "d")) == ["2"]


def test_docker_schema2_is_pulled(store, real_registry):
    image = Image([SMALL])
    images.push(real_registry, "test/s2", image, "oci")
    reference = real_registry + "/test/s2:docker"
    subprocess.run(["skopeo", "copy", "-q", "--format", "v2s2", "--src-tls-verify=false", "--dest-tls-verify=false",
                    "docker://%s/test/s2:oci" % real_registry, "docker://" + reference], check=True)
    assert store.pull(reference)["repo_tags"] == [reference]


def test_unknown_image_and_tag_in_a_real_registry(store, real_registry):
    images.push(real_registry, "test/known", Image([SMALL]), "1")
    for reference in ("/test/unknown:1", "/test/known:2"):
        failure = store.fails(real_registry + reference)
        assert failure.code == "NOT_FOUND"
        assert "check the image's name and tag" in failure.message


# ---- layers


def test_many_layers_and_equal_ones(store, registry, tmp_path, mounts):
    tars = [tar([("f%d" % (i % 40), b"%d" % i), ("same", b"%d" % (i % 2))]) for i in range(100)]
    tars += [SMALL, tars[0], SMALL]
    image = store.pull(registry.add("many", Image(tars)))
    point = mounted(store, image["id"], tmp_path, mounts)
    assert (point / "f0").read_bytes() == b"0"  # the first layer came once more
    assert (point / "f1").read_bytes() == b"81"
    assert (point / "etc/one").read_bytes() == b"1\n"
    assert len(store("files", image["id"])) == 1 + 101


def test_gzip_of_many_members(store, registry, tmp_path, mounts):
    data = tar([("./", DIR), ("big", noise(300_000))])
    image = Image([data])
    blob = b"".join(gzip.compress(data[i:i + 50_000]) for i in range(0, len(data), 50_000))
    image.layers[0].update(digest=images.digest(blob), size=len(blob))
    image.blobs[images.digest(blob)] = blob
    image.finish()
    pulled = store.pull(registry.add("members", image))
    assert (mounted(store, pulled["id"], tmp_path, mounts) / "big").read_bytes() == noise(300_000)


def test_an_empty_layer(store, registry, tmp_path, mounts):
    pulled = store.pull(registry.add("empty", Image([SMALL, tar([])])))
    assert os.listdir(mounted(store, pulled["id"], tmp_path, mounts)) == ["etc"]


def test_layers_are_shared_and_go_with_their_last_image(store, registry):
    common = tar([("common", noise(100_000))])
    one = store.pull(registry.add("one", Image([common, tar([("a", b"1")])])))
    fetched = len(registry.requests)
    two = store.pull(registry.add("two", Image([common, tar([("a", b"2")])])))
    layers = [request for request in registry.requests[fetched:] if "/blobs/" in request.path]
    assert len(layers) == 2  # config and its own layer
    assert len(store.blobs()) == 2 + 3
    store("remove", one["id"])
    assert len(store.blobs()) == 1 + 2
    assert store("image", two["id"])["id"] == two["id"]
    store("remove", two["id"])
    assert store.left() == []
    store("remove", two["id"])  # absent is success


def test_the_same_layer_gives_the_same_bytes(make_store, registry, tmp_path):
    reference = registry.add("same", Image(FULL))
    sums = []
    for i in range(2):
        store = make_store()
        store.root = tmp_path / str(i)
        store.pull(reference)
        sums.append([hashlib.sha256(path.read_bytes()).hexdigest()
                     for path in sorted((store.root / "blobs").iterdir())])
    assert sums[0] == sums[1]


# ---- references


def test_tags_ids_and_digests(store, registry):
    image = Image([SMALL])
    one = registry.add("app", image, "one")
    two = registry.add("app", image, "two")
    by_digest = "%s/app@%s" % (registry.host, image.digest)
    store.pull(one)
    store.pull(two)
    pulled = store.pull(by_digest)
    assert pulled["repo_tags"] == [one, two]
    assert pulled["repo_digests"] == [by_digest]
    for reference in (one, by_digest, image.id, image.id[7:], image.id[7:19]):
        assert store("image", reference)["id"] == image.id
    assert len(store("list")) == 1
    store("remove", one)
    assert store("image", two)["repo_tags"] == [two]
    store("remove", image.id)
    assert store("list") == [] and store.left() == []
    with pytest.raises(Failure) as caught:
        store("image", two)
    assert caught.value.code == "NOT_FOUND"


def test_a_moved_tag_leaves_the_old_image_its_digest(store, registry):
    old, new = Image([SMALL]), Image([tar([("other", b"")])])
    reference = registry.add("app", old)
    store.pull(reference)
    registry.add("app", new)
    store.pull(reference)
    assert store("image", reference)["id"] == new.id
    assert store("image", old.id)["repo_tags"] == []
    assert store("image", old.id)["repo_digests"] == ["%s/app@%s" % (registry.host, old.digest)]


def test_a_malformed_reference(store):
    with pytest.raises(Failure) as caught:
        store.pull("Not/A:Reference:")
    assert caught.value.code == "INVALID_ARGUMENT"


# ---- platforms


def test_an_index_gives_our_platform(store, registry):
    ours, other = Image([SMALL]), Image([tar([("x", b"")])], architecture="mips")
    for image in (ours, other):
        registry.add("multi", image, "t-" + image.config["architecture"])
    body = images.index([other.descriptor({"os": "linux", "architecture": "mips"}),
                         ours.descriptor({"os": "linux", "architecture": images.ARCH})])
    reference = registry.add_manifest("multi", body, images.INDEX, "all")
    pulled = store.pull(reference)
    assert pulled["id"] == ours.id
    assert pulled["repo_digests"] == ["%s/multi@%s" % (registry.host, images.digest(body))]
    nested = images.index([{"mediaType": images.INDEX, "digest": images.digest(body), "size": len(body)}])
    assert store.pull(registry.add_manifest("multi", nested, images.INDEX, "nested"))["id"] == ours.id


def test_an_index_for_others(store, registry):
    other = Image([SMALL], architecture="mips")
    registry.add("multi", other)
    body = images.index([other.descriptor({"os": "linux", "architecture": "mips"}),
                         other.descriptor({"os": "unknown", "architecture": "unknown"})])
    failure = store.fails(registry.add_manifest("multi", body, images.INDEX, "all"))
    assert failure.code == "FAILED_PRECONDITION"
    assert "linux/mips" in failure.message and "linux/" + images.ARCH in failure.message


def test_a_manifest_for_others(store, registry):
    failure = store.fails(registry.add("app", Image([SMALL], architecture="mips")))
    assert failure.code == "FAILED_PRECONDITION"
    assert "linux/mips" in failure.message


def test_schema1_and_artifacts_are_refused(store, registry):
    old = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
    reference = registry.add_manifest("old", old, "application/vnd.docker.distribution.manifest.v1+json", "1")
    failure = store.fails(reference)
    assert failure.code == "INVALID_ARGUMENT" and "schema 1" in failure.message
    chart = Image([SMALL])
    chart.layers[0]["mediaType"] = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
    chart.finish()
    failure = store.fails(registry.add("chart", chart))
    assert failure.code == "INVALID_ARGUMENT" and "not a container image" in failure.message


# ---- damage and hostility


def damaged(blob, at=None):
    at = len(blob) // 2 if at is None else at
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1:]


@pytest.mark.parametrize("pack", ["gzip", "zstd", ""])
@pytest.mark.parametrize("at", [0, None, -5])
def test_wrong_layer_digest(store, registry, pack, at):
    image = Image([tar([("big", noise(100_000))])], pack=pack)
    reference = registry.add("app", image)
    layer = image.layers[0]["digest"]
    blob = registry.blobs[layer]
    registry.blobs[layer] = damaged(blob, at if at is None or at >= 0 else len(blob) + at)
    failure = store.fails(reference)
    assert failure.code == "DATA_LOSS"
    assert layer in failure.message and "damaged" in failure.message


@pytest.mark.parametrize("change", [lambda blob: blob + b"more", lambda blob: blob[:-1], lambda blob: b""])
def test_wrong_layer_length(store, registry, change):
    image = Image([tar([("big", noise(100_000))])])
    reference = registry.add("app", image)
    layer = image.layers[0]["digest"]
    registry.blobs[layer] = change(registry.blobs[layer])
    failure = store.fails(reference)
    assert failure.code in ("DATA_LOSS", "UNAVAILABLE")
    assert layer in failure.message


def test_wrong_diff_id(store, registry):
    image = Image([SMALL], diff_ids=["sha256:" + "0" * 64])
    failure = store.fails(registry.add("app", image))
    assert failure.code == "DATA_LOSS"
    assert "sha256:" + "0" * 64 in failure.message and "layer 1 of 1" in failure.message


def test_wrong_config_digest(store, registry):
    image = Image([SMALL])
    reference = registry.add("app", image)
    registry.blobs[image.id] = damaged(registry.blobs[image.id])
    assert store.fails(reference).code == "DATA_LOSS"


def test_wrong_manifest_digest(store, registry):
    image = Image([SMALL])
    registry.add("app", image)
    registry.manifests[("app", image.digest)] = (image.manifest + b" ", images.MANIFEST)
    failure = store.fails("%s/app@%s" % (registry.host, image.digest))
    assert failure.code == "DATA_LOSS" and image.digest in failure.message


def test_manifest_and_config_of_different_length(store, registry):
    image = Image([SMALL, tar([("x", b"")])], diff_ids=[images.digest(SMALL)])
    assert store.fails(registry.add("app", image)).code == "INVALID_ARGUMENT"


HOSTILE = {
    "traversal": ([("../../../../etc/evil", b"x")], "outside the root"),
    "traversal by link": ([("l", {"type": tarfile.LNKTYPE, "linkname": "../../etc/shadow"})], "outside the root"),
    "through a link": ([("s", {"type": tarfile.SYMTYPE, "linkname": "/etc"}), ("s/evil", b"x")], "not a directory"),
    "link to nothing": ([("l", {"type": tarfile.LNKTYPE, "linkname": "etc/shadow"})], "does not have"),
    "overlay attribute": ([("d", {**DIR, "pax_headers": {"SCHILY.xattr.trusted.overlay.redirect": "/x"}})], "overlayfs"),
    "whiteout of nothing": ([(".wh.", b"")], "hides nothing"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_layers(store, registry, what):
    entries, reason = HOSTILE[what]
    image = Image([tar(entries)])
    failure = store.fails(registry.add("app", image))
    assert failure.code == "INVALID_ARGUMENT"
    assert reason in failure.message and image.layers[0]["digest"] in failure.message


def absurd(size):
    info = tarfile.TarInfo("huge")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + b"x" * 1024


@pytest.mark.parametrize("size", [1 << 40, 1 << 62])
def test_absurd_sizes(store, registry, size):
    failure = store.fails(registry.add("app", Image([absurd(size)])))
    assert failure.code == "INVALID_ARGUMENT"
    assert "'huge'" in failure.message and "allowed" in failure.message


def test_a_bomb_is_stopped(make_store, registry):
    store = make_store("--max-layer", "10000000")
    bomb = tar([("zeros", b"\0" * 50_000_000)])
    for pack in ("gzip", "zstd"):
        failure = store.fails(registry.add("bomb", Image([bomb], pack=pack)))
        assert failure.code == "INVALID_ARGUMENT" and "10000000 bytes allowed" in failure.message
    trailing = SMALL + b"\0" * 50_000_000
    assert store.fails(registry.add("trailing", Image([trailing]))).code == "INVALID_ARGUMENT"


def test_no_tar_at_all(store, registry):
    failure = store.fails(registry.add("app", Image([noise(5000)])))
    assert failure.code == "INVALID_ARGUMENT" and "not a tar archive" in failure.message


def test_a_tar_cut_short(store, registry):
    failure = store.fails(registry.add("app", Image([tar([("big", noise(5000))])[:3000]])))
    assert failure.code == "INVALID_ARGUMENT" and "ends inside an entry" in failure.message


def test_malformed_documents(store, registry):
    for body in (b"", b"[]", b"{", b'{"layers":[]}', b'{"schemaVersion":2}' + b" " * 5_000_000):
        failure = store.fails(registry.add_manifest("bad", body, images.MANIFEST, "1"))
        assert failure.code == "INVALID_ARGUMENT"


# ---- the network


def test_nobody_listens(store):
    failure = store.fails("127.0.0.1:%d/app:1" % free_port())
    assert failure.code == "UNAVAILABLE"


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_transfer_is_taken_up(store, registry, tmp_path, mounts, ranges):
    image = Image([tar([("./", DIR), ("big", noise(600_000))])])
    reference = registry.add("app", image)
    layer = image.layers[0]["digest"]
    registry.ranges = ranges
    breaks = [100_000, 200_000, 1, 0] if ranges else [100_000, 300_000]

    def fault(handler, request):
        if layer not in request.path or not breaks:
            return False
        registry.send_blob(handler, request, registry.blobs[layer], breaks.pop(0))
        return True

    registry.fault = fault
    pulled = store.pull(reference)
    assert breaks == []
    assert (mounted(store, pulled["id"], tmp_path, mounts) / "big").read_bytes() == noise(600_000)


def test_registry_down_mid_layer(store, registry):
    image = Image([tar([("big", noise(600_000))])])
    reference = registry.add("app", image)
    layer = image.layers[0]["digest"]

    def fault(handler, request):
        if layer not in request.path:
            return False
        registry.send_blob(handler, request, registry.blobs[layer], 250_000)
        registry.server.socket.close()  # nobody answers any more
        return True

    registry.fault = fault
    failure = store.fails(reference)
    assert failure.code == "UNAVAILABLE"
    assert layer in failure.message and registry.host in failure.message
    assert "after 250000 of %d bytes" % image.layers[0]["size"] in failure.message


def test_a_server_error_mid_layer(store, registry):
    image = Image([tar([("big", noise(600_000))])])
    reference = registry.add("app", image)
    layer = image.layers[0]["digest"]
    answers = iter(["break", 503, 503])

    def fault(handler, request):
        answer = next(answers, None) if layer in request.path else None
        if answer == "break":
            registry.send_blob(handler, request, registry.blobs[layer], 1000)
        elif answer:
            handler.reply(answer)
        return answer is not None

    registry.fault = fault
    store.pull(reference)


@pytest.mark.parametrize("status,code", [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED"),
                                         (429, "UNAVAILABLE"), (500, "UNAVAILABLE"), (302, "UNAVAILABLE")])
def test_statuses(store, registry, status, code):
    registry.fault = lambda handler, request: handler.reply(status, b"not json") or True
    assert store.fails(registry.host + "/app:1").code == code


def test_redirects_without_end(store, registry):
    registry.fault = lambda handler, request: handler.reply(307, b"", [("Location", request.path)]) or True
    failure = store.fails(registry.host + "/app:1")
    assert failure.code == "UNAVAILABLE" and "redirects" in failure.message


def test_a_deadline_ends_a_stalled_pull(store, registry):
    image = Image([tar([("big", noise(600_000))])])
    reference = registry.add("app", image)
    stalled = threading.Event()

    def fault(handler, request):
        if image.layers[0]["digest"] not in request.path:
            return False
        handler.reply(200, b"\x1f\x8b", length=image.layers[0]["size"])
        handler.wfile.flush()
        stalled.wait(20)
        return True

    registry.fault = fault
    failure = store.fails(reference, deadline_ms="1500")
    stalled.set()
    assert failure.code == "DEADLINE_EXCEEDED"


def test_a_killed_daemon_takes_its_puller_along(store, registry, tmp_path):
    image = Image([tar([("big", noise(600_000))])])
    reference = registry.add("app", image)
    started, stalled = threading.Event(), threading.Event()

    def fault(handler, request):
        if image.layers[0]["digest"] not in request.path:
            return False
        handler.reply(200, registry.blobs[image.layers[0]["digest"]][:300_000], length=image.layers[0]["size"])
        handler.wfile.flush()
        started.set()
        stalled.wait(20)
        return True

    registry.fault = fault
    daemon = subprocess.Popen(store.command("pull", reference), stderr=subprocess.DEVNULL)
    assert started.wait(20)
    children = [int(pid) for pid in
                pathlib.Path("/proc/%d/task/%d/children" % (daemon.pid, daemon.pid)).read_text().split()]
    assert len(children) == 1
    watch = os.pidfd_open(children[0])
    daemon.kill()
    daemon.wait()
    assert select.select([watch], [], [], 20)[0], "zonelet-pull outlives its daemon"
    os.close(watch)
    stalled.set()
    assert store("list") == []
    assert store.left() == []


def below(pid):
    """The children of a process, whichever of its threads started them."""
    found = []
    for path in pathlib.Path("/proc/%d/task" % pid).glob("*/children"):
        found += [int(child) for child in path.read_text().split()]
    return found


def test_a_killed_puller_takes_mkfs_along(store, registry, tmp_path):
    image = Image([tar([("big", noise(600_000))])])
    reference = registry.add("app", image)
    started, stalled = threading.Event(), threading.Event()

    def fault(handler, request):
        if image.layers[0]["digest"] not in request.path:
            return False
        handler.reply(200, registry.blobs[image.layers[0]["digest"]][:300_000], length=image.layers[0]["size"])
        handler.wfile.flush()
        started.set()
        stalled.wait(60)
        return True

    registry.fault = fault
    daemon = subprocess.Popen(store.command("pull", reference), stderr=subprocess.DEVNULL)
    try:
        assert started.wait(20)
        puller, = below(daemon.pid)
        mkfs, = below(puller)
        watch = os.pidfd_open(mkfs)
        os.kill(puller, signal.SIGKILL)
        assert select.select([watch], [], [], 20)[0], "mkfs.erofs outlives its puller"
        os.close(watch)
        assert daemon.wait(20) == 1
    finally:
        stalled.set()
        daemon.kill()
        daemon.wait()
    assert store("list") == []
    assert store.left() == []


# ---- credentials


def guard(registry, scheme, accept, realm=None):
    """Answers 401 with a challenge unless the Authorization header is the right one."""
    def fault(handler, request):
        if realm and request.path == "/token":
            return False
        if request.headers.get("authorization") == accept:
            return False
        challenge = scheme + ' realm="%s",service="svc",scope="repository:app:pull"' % (realm or "r")
        handler.reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}',
                      [("WWW-Authenticate", challenge)])
        return True

    return fault


def test_basic_authentication(store, registry):
    reference = registry.add("app", Image([SMALL]))
    registry.fault = guard(registry, "Basic", images.basic("me", "secret"))
    failure = store.fails(reference)
    assert failure.code == "UNAUTHENTICATED" and "imagePullSecret" in failure.message
    assert store.fails(reference, username="me", password="wrong").code == "UNAUTHENTICATED"
    store.pull(reference, username="me", password="secret")
    store.pull(reference, auth=images.basic("me", "secret").split()[1])
    assert store.fails(reference, username="me", password="secret", server_address="other.example").code == "UNAUTHENTICATED"
    store.pull(reference, username="me", password="secret", server_address="http://" + registry.host)


def token_server(registry, check):
    realm = "http://%s/token" % registry.host
    challenge = guard(registry, "Bearer", "Bearer t0k3n", realm)

    def fault(handler, request):
        if request.path == "/token":
            good = check(request)
            handler.reply(200 if good else 401, json.dumps({"token": "t0k3n"}).encode() if good else b"{}")
            return True
        return challenge(handler, request)

    registry.fault = fault


def test_anonymous_tokens(store, registry):
    reference = registry.add("app", Image([SMALL]))
    token_server(registry, lambda request: "authorization" not in request.headers and request.query ==
                 {"service": "svc", "scope": "repository:app:pull"})
    store.pull(reference)
    assert registry.count("/token") == 1


def test_tokens_for_a_password(store, registry):
    reference = registry.add("app", Image([SMALL]))
    token_server(registry, lambda request: request.headers.get("authorization") == images.basic("me", "secret"))
    failure = store.fails(reference)
    assert failure.code == "UNAUTHENTICATED"
    failure = store.fails(reference, username="me", password="wrong")
    assert failure.code == "UNAUTHENTICATED" and "user name and password" in failure.message
    store.pull(reference, username="me", password="secret")


def test_identity_and_registry_tokens(store, registry):
    reference = registry.add("app", Image([SMALL]))
    token_server(registry, lambda request: request.method == "POST" and b"refresh_token=id%2Ftoken" in request.body)
    store.pull(reference, identity_token="id/token")
    token_server(registry, lambda request: False)
    store.pull(reference, registry_token="t0k3n")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token":""}', b'{"token":"a\\r\\nX: y"}', b"x" * 100_000])
def test_bad_token_servers(store, registry, body):
    reference = registry.add("app", Image([SMALL]))
    challenge = guard(registry, "Bearer", "Bearer x", "http://%s/token" % registry.host)
    registry.fault = lambda handler, request: (
        (handler.reply(200, body) or True) if request.path == "/token" else challenge(handler, request))
    assert store.fails(reference).code in ("UNAVAILABLE", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED")


def test_credentials_do_not_follow_redirects(store, make_registry):
    front, back = make_registry(), make_registry()
    image = Image([SMALL])
    reference = front.add("app", image)
    back.blobs = front.blobs
    challenge = guard(front, "Basic", images.basic("me", "secret"))

    def fault(handler, request):
        if challenge(handler, request):
            return True
        if "/blobs/" in request.path:
            handler.reply(307, b"", [("Location", "http://%s%s" % (back.host, request.path))])
            return True
        return False

    front.fault = fault
    store.pull(reference, username="me", password="secret")
    assert len(back.requests) == 2
    assert all("authorization" not in request.headers for request in back.requests)
    assert any("authorization" in request.headers for request in front.requests)


# ---- hosts.toml


def hosts_toml(tmp_path, host, text):
    directory = tmp_path / "certs.d" / host
    directory.mkdir(parents=True)
    (directory / "hosts.toml").write_text(text)
    return "--registry-dir", str(tmp_path / "certs.d")


def test_a_mirror_is_asked_first(make_store, make_registry, tmp_path):
    mirror, upstream = make_registry(), make_registry()
    image = Image([SMALL])
    mirror.add("app", image)
    options = hosts_toml(tmp_path, "example.invalid", 'server = "http://%s"\n[host."http://%s"]\n' % (upstream.host, mirror.host))
    store = make_store(*options)
    pulled = store.pull("example.invalid/app:latest", username="me", password="secret")
    assert pulled["repo_tags"] == ["example.invalid/app:latest"]
    assert upstream.requests == []
    assert all(request.query == {"ns": "example.invalid"} for request in mirror.requests)
    assert all("authorization" not in request.headers for request in mirror.requests)


@pytest.mark.parametrize("trouble", ["empty", "down", "error", "damaged layer missing"])
def test_the_registry_stands_in_for_its_mirror(make_store, make_registry, tmp_path, trouble):
    mirror, upstream = make_registry(), make_registry()
    image = Image([SMALL])
    upstream.add("app", image)
    host = mirror.host
    if trouble == "down":
        host = "127.0.0.1:%d" % free_port()
    elif trouble == "error":
        mirror.fault = lambda handler, request: handler.reply(500) or True
    elif trouble != "empty":
        mirror.add("app", image)
        del mirror.blobs[image.layers[0]["digest"]]
    options = hosts_toml(tmp_path, "example.invalid", 'server = "http://%s"\n[host."http://%s"]\n' % (upstream.host, host))
    assert make_store(*options).pull("example.invalid/app:latest")["id"] == image.id


def test_a_mirror_that_may_not_resolve(make_store, make_registry, tmp_path):
    mirror, upstream = make_registry(), make_registry()
    image = Image([SMALL])
    upstream.add("app", image)
    mirror.add("app", Image([tar([("evil", b"")])]))
    mirror.blobs.update(image.blobs)
    options = hosts_toml(tmp_path, "example.invalid",
                         'server = "http://%s"\n[host."http://%s"]\ncapabilities = ["pull"]\n' % (upstream.host, mirror.host))
    assert make_store(*options).pull("example.invalid/app:latest")["id"] == image.id
    assert mirror.count("/manifests/") == 0 and mirror.count("/blobs/") == 2


def test_a_broken_hosts_toml(make_store, tmp_path):
    store = make_store(*hosts_toml(tmp_path, "example.invalid", "server = \n"))
    failure = store.fails("example.invalid/app:latest")
    assert failure.code == "INVALID_ARGUMENT" and "hosts.toml: line 1" in failure.message


@pytest.fixture
def tls(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", "-days", "2", "-subj", "/CN=r",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    return context


def test_tls_with_a_ca_of_its_own(make_store, make_registry, tls, tmp_path):
    registry = make_registry(tls=tls)
    registry.add("app", Image([SMALL]))
    options = hosts_toml(tmp_path, "example.invalid", 'server = "https://%s"\nca = "%s"\n' % (registry.host, tmp_path / "cert.pem"))
    make_store(*options).pull("example.invalid/app:latest")


def test_tls_that_nobody_vouches_for(make_store, make_registry, tls, tmp_path):
    registry = make_registry(tls=tls)
    registry.add("app", Image([SMALL]))
    options = hosts_toml(tmp_path, "example.invalid", 'server = "https://%s"\n' % registry.host)
    failure = make_store(*options).fails("example.invalid/app:latest")
    assert failure.code == "UNAVAILABLE" and "certificate" in failure.message.lower()
    options = hosts_toml(tmp_path, "skip.invalid", 'server = "https://%s"\nskip_verify = true\n' % registry.host)
    make_store(*options).pull("skip.invalid/app:latest")


def test_https_does_not_become_http(make_store, make_registry, tls, tmp_path):
    registry, plain = make_registry(tls=tls), make_registry()
    plain.add("app", Image([SMALL]))
    registry.fault = lambda handler, request: handler.reply(
        307, b"", [("Location", "http://%s%s" % (plain.host, request.path))]) or True
    options = hosts_toml(tmp_path, "example.invalid", 'server = "https://%s"\nca = "%s"\n' % (registry.host, tmp_path / "cert.pem"))
    failure = make_store(*options).fails("example.invalid/app:latest")
    assert failure.code == "UNAVAILABLE" and plain.requests == []


# ---- the puller's rights


def test_the_puller_is_another_user(make_store, registry, tmp_path):
    os.chmod(tmp_path, 0o711)
    for parent in tmp_path.parents:
        if parent == pathlib.Path("/"):
            break
        os.chmod(parent, os.stat(parent).st_mode | 0o011)
    store = make_store(user="nobody")
    image = Image(FULL)
    reference = registry.add("app", image)
    seen = {}

    def fault(handler, request):
        if "/blobs/" in request.path and not seen:
            for status in pathlib.Path("/proc").glob("[0-9]*/status"):
                try:
                    text = status.read_text()
                except OSError:
                    continue
                if text.startswith("Name:\tzonelet-pull\n"):
                    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
                    seen.update(fields)
        return False

    registry.fault = fault
    store.pull(reference)
    uid = int(subprocess.run(["id", "-u", "nobody"], stdout=subprocess.PIPE, check=True).stdout)
    assert seen["Uid"].split() == [str(uid)] * 4
    assert seen["Groups"].split() == []
    assert (seen["NoNewPrivs"], seen["Seccomp"], seen["CapEff"]) == ("1", "2", "0" * 16)
    for path in (store.root / "blobs").iterdir():
        status = path.stat()
        assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (0, 0o444)


def test_an_unknown_user(make_store):
    with pytest.raises(Failure) as caught:
        make_store(user="no-such-user")("list")
    assert caught.value.code == "FAILED_PRECONDITION" and "useradd" in caught.value.message


# ---- many at once


def test_pulls_of_one_reference_wait_for_each_other(store, registry):
    image = Image(FULL)
    reference = registry.add("app", image)
    store("pull-many", *[reference] * 6)
    for layer in image.layers:
        assert registry.count(layer["digest"]) == 1


def test_pulls_at_once_share_layers(store, registry):
    common = [tar([("common%d" % i, noise(200_000 + i))]) for i in range(4)]
    made = [Image(common + [tar([("own", b"%d" % i)])]) for i in range(8)]
    references = [registry.add("app%d" % i, image) for i, image in enumerate(made)]
    store("pull-many", *references)
    for layer in made[0].layers[:4]:
        assert registry.count(layer["digest"]) == 1
    assert len(store("list")) == 8
    assert len(store.blobs()) == 4 + 8 + 8


def test_who_waits_takes_over_when_the_maker_fails(store, make_registry):
    good, bad = make_registry(), make_registry()
    shared = tar([("shared", noise(300_000))])
    image = Image([shared])
    reference = good.add("app", image)
    broken = bad.add("app", image)
    held = threading.Event()

    def fail_late(handler, request):
        if image.layers[0]["digest"] not in request.path:
            return False
        held.set()
        time.sleep(0.5)  # the other one comes to wait, or not: both must do
        handler.reply(404)
        return True

    bad.fault = fail_late
    good.fault = lambda handler, request: held.wait(10) and False
    with pytest.raises(Failure) as caught:
        store("pull-many", broken, reference)
    assert caught.value.code == "NOT_FOUND"
    assert store("image", reference)["id"] == image.id


# ---- the store itself


def test_what_is_unknown_is_swept(store, registry):
    image = store.pull(registry.add("app", Image(FULL)))
    blobs = store.blobs()
    (store.root / "blobs" / ("sha256-%s.erofs" % ("0" * 64))).write_text("stray")
    (store.root / "ingest" / "left").mkdir()
    (store.root / "ingest" / "left" / "layer-0.erofs").write_text("half")
    assert store("image", image["id"])["id"] == image["id"]
    assert store.blobs() == blobs
    assert list((store.root / "ingest").iterdir()) == []


def test_an_image_without_its_blobs_is_forgotten(store, registry):
    reference = registry.add("app", Image(FULL))
    store.pull(reference)
    (store.root / "blobs" / store.blobs()[-1]).unlink()
    assert store("list") == []
    assert store.left() == []
    store.pull(reference)


def test_one_store_at_a_time(store, registry):
    reference = registry.add("app", Image([SMALL]))
    held = threading.Event()
    release = threading.Event()

    def fault(handler, request):
        held.set()
        release.wait(20)
        return False

    registry.fault = fault
    daemon = subprocess.Popen(store.command("pull", reference), stdout=subprocess.DEVNULL)
    assert held.wait(20)
    with pytest.raises(Failure) as caught:
        store("list")
    release.set()
    assert daemon.wait() == 0
    assert caught.value.code == "UNAVAILABLE" and "in use by another process" in caught.value.message


def test_usage_and_progress(make_store, registry):
    store = make_store("--progress")
    image = Image([tar([("big", noise(600_000))])])
    store.pull(registry.add("app", image))
    lines = [line.split() for line in store.stderr.splitlines()]
    assert ["progress", "resolve", registry.host + "/app:latest", "0", "0"] in lines
    size = str(image.layers[0]["size"])
    assert ["progress", "unpacked", image.layers[0]["digest"], size, size] in lines
    usage = store("usage")
    assert usage["inodes"] == 1 and usage["bytes"] >= 600_000


def test_a_missing_puller(tmp_path, registry):
    from conftest import Store, ZL_STORE
    reference = registry.add("app", Image([SMALL]))
    done = subprocess.run([ZL_STORE, "--root", tmp_path / "store", "--puller", "/nonexistent", "pull", reference],
                          stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "/nonexistent" in done.stderr


def test_a_puller_that_lies(tmp_path, registry):
    """A puller taken over by a registry: what it says and leaves is not believed."""
    from conftest import ZL_STORE
    reference = registry.add("app", Image([SMALL]))
    layer = images.digest(SMALL)
    cases = [
        'echo garbage',
        'echo \'{"event":"layer","layer":"%s","file":"layer-0.erofs"}\'' % layer,
        'echo \'{"event":"claim","layer":"../../etc"}\'',
        'echo \'{"event":"claim","layer":"%s"}\'; echo \'{"event":"claim","layer":"%s"}\'' % (layer, layer),
        'echo \'{"event":"done","documents":1,"merged":false}\'',
        'echo \'{"event":"done","documents":99,"merged":false}\'',
        'head -c 100000 /dev/zero | tr "\\0" a; echo',
        'exit 0', 'exit 3', 'kill -9 $$',
        # A link to a file of the machine in the place of a layer.
        'read job; cd "$(echo "$job" | sed \'s/.*"ingest_dir":"\\([^"]*\\)".*/\\1/\')"; ln -s /etc/passwd layer-0.erofs; '
        'echo \'{"event":"claim","layer":"%s"}\'; echo \'{"event":"layer","layer":"%s","file":"layer-0.erofs"}\'' % (layer, layer),
    ]
    for case in cases:
        puller = tmp_path / "liar"
        puller.write_text("#!/bin/sh\n" + case + "\n")
        puller.chmod(0o755)
        root = tmp_path / "store"
        done = subprocess.run([ZL_STORE, "--root", root, "--puller", puller, "pull", reference],
                              stderr=subprocess.PIPE, text=True, timeout=20)
        assert done.returncode == 1, case
        assert done.stderr.split(":")[0] in ("INVALID_ARGUMENT", "INTERNAL", "NOT_FOUND"), (case, done.stderr)
        assert "AddressSanitizer" not in done.stderr and "runtime error" not in done.stderr
        assert list((root / "blobs").iterdir()) == list((root / "ingest").iterdir()) == [], case
