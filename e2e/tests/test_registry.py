# SPDX-License-Identifier: Apache-2.0
"""Pulls from registries that misbehave, and from those that want TLS, a password or a token: on this machine
and in the lab, where all of them share one dom0. After each failure nothing of the image is left."""

import re

import pytest

from images import BASIC, FAULTS, HOST, PASSWORD, TOKEN, USER
from pods import Crictl, CrictlError, run_pod
from test_host import alone, native  # noqa: F401 (fixtures)
from test_stream import until
from test_zone import configure

# A repository of images/faults.py: the status of its pull and words of the message.
MISBEHAVING = {
    "drop-always": ("Unavailable", r"layer 1 of 1 \(sha256:.*after [0-9]+ of [0-9]+ bytes.*try again later"),
    "other-bytes": ("DataLoss", r"layer 1 of 1 \(sha256:.*a proxy on the way has damaged it.*has digest sha256:.*manifest"),
    "longer": ("DataLoss", r"layer 1 of 1 \(sha256:.*more than the [0-9]+ bytes.*a proxy on the way has damaged it"),
    "other-config": ("DataLoss", "image config sha256:.*a proxy on the way has damaged it"),
    "other-manifest": ("DataLoss", "tag '1'.*its digest is sha256:.*a proxy on the way has damaged it"),
    "other-diff-id": ("DataLoss", r"layer 1 of 1 \(sha256:.*build and push it again.*unpacked layer has digest.*config"),
    "diff-id-count": ("InvalidArgument", "1 layers and the config 0; build and push"),
    "traversal-dots": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*build the image again.*zonelet-escape.*outside the root"),
    "traversal-symlink": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*build the image again.*zonelet-escape.*not a directory"),
    "traversal-hardlink": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*build the image again.*shadow.*outside the root"),
    "absurd-size": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*has 4611686018427387904 bytes.*images.max_layer allows"),
    "negative-size": ("InvalidArgument", "manifest: a descriptor without a size"),
    "absurd-entry": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*'absurd': 1152921504606846976 bytes.*images.max_layer"),
    "not-gzip": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*not a tar archive"),
    "cut-gzip": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*compressed data ends in the middle"),
    "not-tar": ("InvalidArgument", r"layer 1 of 1 \(sha256:.*not a tar archive"),
    "layer-type": ("InvalidArgument", "not a container image.*application/x-unknown"),
    "not-json": ("InvalidArgument", "manifest: line 1"),
    "huge-manifest": ("InvalidArgument", "the manifest is larger than 4 MiB"),
    "deep-json": ("InvalidArgument", "manifest: .*depth"),
    "no-platform": ("FailedPrecondition", "nothing for this machine's.*linux/arm64.*use another tag"),
    "nested-index": ("NotFound", "does not have manifest 'sha256:"),
    "other-architecture": ("FailedPrecondition", "for linux/arm64 and this machine.*use another tag"),
    "config-not-json": ("InvalidArgument", "image config: line 1"),
    "error-500": ("Unavailable", "HTTP 500.*try again later"),
    "busy": ("Unavailable", "HTTP 429.*mirror"),
    "denied": ("PermissionDenied", "HTTP 403.*credentials"),
    "unauthorized": ("Unauthenticated", "imagePullSecret"),
    "redirects": ("Unavailable", "more than 5 redirects"),
}
# What dom0 tries: a pull costs it seconds, and which fault it is makes no difference to where it is found.
IN_DOM0 = ["drop-always", "other-bytes", "other-diff-id", "traversal-dots", "traversal-symlink", "traversal-hardlink",
           "absurd-size", "absurd-entry", "no-platform", "other-architecture"]


def refused(crictl, reference, code, match, *options):
    """A pull that fails so, names the image, and leaves none."""
    with pytest.raises(CrictlError) as error:
        crictl("pull", *options, reference)
    assert error.value.code == code, str(error.value)
    text = error.value.message.rsplit("desc = ", 1)[1]
    print(text)
    assert reference in text and re.search(match, text), text


@pytest.mark.parametrize("repository", MISBEHAVING)
def test_registry_that_misbehaves(native, repository):  # noqa: F811
    before = native.crictl("images", "-q")
    refused(native.crictl, f"127.0.0.1:{FAULTS}/{repository}:1", *MISBEHAVING[repository])
    assert native.crictl("images", "-q") == before
    assert native.run(f"ls {native.disk}/images/ingest; ls /tmp/zonelet-escape", check=False).stdout == ""


def test_registry_that_stalls(native):  # noqa: F811
    """A client that has waited long enough ends its pull, and the puller with it."""
    with pytest.raises(CrictlError) as error:
        native.crictl("pull", "--pull-timeout", "3s", f"127.0.0.1:{FAULTS}/stall:1")
    assert error.value.code == "DeadlineExceeded"
    until(lambda: native.run(f"ls {native.disk}/images/ingest", check=False).stdout == "", "the ingest's end")
    assert native.run(["pgrep", "-f", f"^{native.build}/storage-driver/zonelet-pull"], check=False).stdout == ""


def test_what_a_registry_may_do(native):  # noqa: F811
    """A connection that is lost once is taken up, and an absolute path belongs inside the root."""
    for repository in ("good", "drop-once", "traversal-absolute"):
        native.crictl("pull", f"127.0.0.1:{FAULTS}/{repository}:1")
        native.crictl("rmi", f"127.0.0.1:{FAULTS}/{repository}:1")
    assert native.run("ls /tmp/zonelet-escape", check=False).stdout == ""


def test_dom0_pulls_from_registries_that_misbehave(dom0):
    dom0.crictl = Crictl(dom0, timeout="180s")
    configure(dom0)
    blobs = dom0.run("find /var/lib/zonelet/images -type f | sort").stdout
    for repository in IN_DOM0:
        refused(dom0.crictl, f"{HOST}:{FAULTS}/{repository}:1", *MISBEHAVING[repository])
    assert dom0.crictl("images", "-q").strip() == ""
    assert dom0.run("find /var/lib/zonelet/images -type f | sort").stdout == blobs
    assert dom0.run("ls /var/lib/zonelet/images/ingest; ls /tmp/zonelet-escape", check=False).stdout == ""
    dom0.crictl("pull", f"{HOST}:{FAULTS}/good:1")


def test_dom0_pulls_by_tls_password_and_token(dom0, registry):
    """5001 wants a password, 5002 a token; what is pulled there runs."""
    dom0.crictl = Crictl(dom0, timeout="180s")
    configure(dom0)
    basic, token = f"{HOST}:{BASIC}/busybox:1", f"{HOST}:{TOKEN}/busybox:1"
    refused(dom0.crictl, basic, "Unavailable", "certificate")
    dom0.run(f"mkdir -p /etc/zonelet/certs.d/{HOST}:{BASIC} /etc/zonelet/certs.d/{HOST}:{TOKEN}")
    dom0.put(registry.ca, f"/etc/zonelet/certs.d/{HOST}:{TOKEN}/ca.crt")
    dom0.put(registry.ca, f"/etc/zonelet/certs.d/{HOST}:{BASIC}/lab.pem")
    dom0.write(f"/etc/zonelet/certs.d/{HOST}:{BASIC}/hosts.toml",
               f'server = "https://{HOST}:{BASIC}"\n[host."https://{HOST}:{BASIC}"]\n  ca = "lab.pem"\n')
    refused(dom0.crictl, basic, "Unauthenticated", "imagePullSecret")
    refused(dom0.crictl, basic, "Unauthenticated", "valid imagePullSecret",
            "--creds", f"{USER}:wrong")
    refused(dom0.crictl, token, "Unauthenticated", "token server.*user name and password", "--creds", f"{USER}:wrong")
    assert dom0.crictl("images", "-q").strip() == ""
    dom0.crictl("pull", "--creds", f"{USER}:{PASSWORD}", basic)
    dom0.crictl("pull", "--creds", f"{USER}:{PASSWORD}", token)
    dom0.crictl("pull", token)
    assert len(dom0.crictl("images", "-q").split()) == 1
    pod = run_pod(dom0.crictl, "pulled")
    container = pod.container(token, "exec sleep 1000")
    assert dom0.crictl("exec", "-s", container, "echo", "it runs").strip() == "it runs"
    pod.remove()
