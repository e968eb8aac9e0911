# SPDX-License-Identifier: Apache-2.0
"""`make cluster`: brings a cluster up, says how to use it, and keeps it until it is interrupted.

python3 -m cluster [zone|host]
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time

from lab import LabError, cache

from . import API_PORT
from .cluster import Cluster


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def api_server_here(cluster):
    """The API server on this machine's loopback; gives a kubeconfig for it."""
    port = free_port()
    inner = " ".join(cluster.network.inside(["socat", "STDIO", f"TCP:127.0.0.1:{API_PORT}"]))
    with subprocess.Popen(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"EXEC:{inner}"]) as forward:
        try:
            path = f"{cache.REPO}/build/cluster/kubeconfig"
            text = cluster.control.keys.kubeconfig("admin", "127.0.0.1", port)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
                file.write(text)
            yield path
        finally:
            forward.terminate()


def main():
    handler = sys.argv[1] if len(sys.argv) > 1 else "zone"
    start = time.monotonic()
    try:
        with Cluster(handler) as cluster, api_server_here(cluster) as kubeconfig:
            print(f"The cluster is up after {time.monotonic() - start:.0f} s; pods run as {handler}s. From another shell:\n\n"
                  f"  export KUBECONFIG={kubeconfig}\n"
                  f"  alias kubectl={cluster.kubectl.command[0]}\n"
                  "  kubectl get nodes -o wide\n"
                  "  kubectl run web --image=registry.lab:5000/busybox:1 -- httpd -f -p 80 -h /var/www\n"
                  "  kubectl logs web; kubectl exec -it web -- sh; kubectl port-forward pod/web 8080:80\n\n"
                  "Ctrl-C here ends it.", flush=True)
            signal.sigwait({signal.SIGINT, signal.SIGTERM})
    except LabError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    sys.exit(main())
