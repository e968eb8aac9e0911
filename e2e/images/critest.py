# SPDX-License-Identifier: Apache-2.0
"""The images that critest pulls, under the names it has for them, in a registry's storage.

Their upstream bytes are not needed, but their habits are: what each must do was read off critest's specs
(sigs.k8s.io/cri-tools, pkg/validate). All are made of Debian's packages (tools/root.d/critest).

A runtime finds them by a mirror (hosts.toml) for each of HOSTS, at `repository` without the host's name.
"""

import os
import re
import shutil
import subprocess

from lab import cache
from lab.cache import tool

from . import build
from .build import Image, write

HERE = os.path.dirname(os.path.abspath(__file__))
HOSTS = ["registry.k8s.io", "k8s.gcr.io", "gcr.io"]
STAGING, E2E = "k8s-staging-cri-tools", "e2e-test-images"

# image: where it is pushed to
TARGETS = {
    "busybox": [f"{E2E}/busybox:1.29-2"],
    "nginx": [f"{E2E}/nginx:1.14-2"],
    "httpd": [f"{E2E}/httpd:2.4.39-4"],
    "nonewprivs": [f"{E2E}/nonewprivs:1.3"],
    "hostnet-nginx": [f"{STAGING}/hostnet-nginx-amd64:latest"],
    "pause": ["pause:3.9"],
    "test-image-1": [f"{STAGING}/test-image-1:latest"],
    "test-image-2": [f"{STAGING}/test-image-2:latest"],
    "test-image-3": [f"{STAGING}/test-image-3:latest"],
    "test-image-latest": [f"{STAGING}/test-image-latest:latest"],
    "test-image-tags": [f"{STAGING}/test-image-tags:{tag}" for tag in (1, 2, 3)],
    "test-image-tag-test": [f"{STAGING}/test-image-tag:test"],
    "test-image-tag-all": [f"{STAGING}/test-image-tag:all"],
    "test-image-user-uid": [f"{STAGING}/test-image-user-uid:latest"],
    "test-image-user-username": [f"{STAGING}/test-image-user-username:latest"],
    "test-image-user-uid-group": [f"{STAGING}/test-image-user-uid-group:latest"],
    "test-image-user-username-group": [f"{STAGING}/test-image-user-username-group:latest"],
    "test-image-predefined-group": [f"{STAGING}/test-image-predefined-group:latest"],
}
USERS = {"uid": "1002", "username": "www-data", "uid-group": "1003:1004", "username-group": "www-data:1004"}

NGINX = """\
user www-data;
pid /var/run/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log /dev/stdout;
    server {{
        listen {port};
        root /usr/share/nginx/html;
    }}
}}
"""

HTTPD = """\
ServerRoot /usr
PidFile /run/httpd.pid
Listen 80
User www-data
Group www-data
LoadModule mpm_event_module lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module lib/apache2/modules/mod_authz_core.so
LoadModule dir_module lib/apache2/modules/mod_dir.so
DocumentRoot /var/www
ErrorLog /proc/self/fd/2
"""


def made():
    """The directory with storage/ and keys, as build.made() has them."""
    debian = subprocess.run([f"{cache.REPO}/tools/root", "--path", "critest"], check=True, capture_output=True,
                            text=True).stdout.strip()
    sources = [f"@{HERE}/{name}" for name in ("critest.py", "build.py", "nonewprivs.c", "pause.c")]
    key = cache.digest(os.path.basename(debian), *sources)

    def make(directory):
        layout = f"{directory}/oci"
        tool(["umoci", "init", "--layout", layout], build.LOG)
        _make_images(layout, debian)
        build.make_keys(directory)
        build.fill_storage(f"{directory}/storage", lambda url: _push(layout, url))
        shutil.rmtree(layout)

    result = cache.make("critest", key, make, "made critest's images")
    cache.prune("critest", 2)
    return result


def _push(layout, url):
    for name, targets in TARGETS.items():
        for target in targets:
            build.copy_image(f"oci:{layout}:{name}", f"{url}/{target}")


def _libraries(debian, program):
    """The shared libraries of a program of that root, by its own loader."""
    listing = subprocess.run(["chroot", debian, "ldd", program], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(?:=> |^\s*)(/\S+)", listing, re.MULTILINE)


def _install(debian, program, root, target=None):
    """Copies a program and its libraries into a root file system."""
    for source, path in [(program, target or program), *((name, name) for name in _libraries(debian, program))]:
        os.makedirs(os.path.dirname(f"{root}{path}"), exist_ok=True)
        if os.path.lexists(f"{root}{path}"):
            os.unlink(f"{root}{path}")
        shutil.copy(f"{debian}{source}", f"{root}{path}")


def _make_images(layout, debian):
    _make_busybox(layout, debian)
    _make_nginx(layout, debian, "nginx", 80)
    _make_nginx(layout, debian, "hostnet-nginx", 12003)
    _make_httpd(layout, debian)
    _make_nonewprivs(layout)
    _make_pause(layout)
    for name in TARGETS:
        if re.fullmatch(r"test-image-(\d|latest|tags|tag-\w+)", name):
            _make_test_image(layout, name)
    for name, user in USERS.items():
        image = _make_test_image(layout, f"test-image-user-{name}")
        image.config("--config.user", user)
    _make_predefined_group(layout)


def _make_busybox(layout, debian):
    """critest wants more than busybox: pgrep, ipcs; and /bin/ls a file of its own when it is masked."""
    image = Image(layout, "busybox")
    with image.layer() as root:
        build.fill_busybox(root)
        with open(f"{root}/etc/passwd", "a", encoding="ascii") as file:
            file.write("www-data:x:33:33::/var/www:/bin/false\n")
        with open(f"{root}/etc/group", "a", encoding="ascii") as file:
            file.write("www-data:x:33:\n")
        for program in ("/usr/bin/pgrep", "/usr/bin/ipcs"):
            _install(debian, program, root)
        # The static one's shell runs applets by itself, whatever lies at their paths.
        _install(debian, "/bin/busybox", root, "/bin/sh")
    image.config("--config.cmd", "sh", "--config.env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                 "--architecture", "amd64", "--os", "linux")


def _make_nginx(layout, debian, name, port):
    image = Image(layout, name, "busybox")
    with image.layer() as root:
        _install(debian, "/usr/sbin/nginx", root)
        write(f"{root}/etc/nginx/nginx.conf", NGINX.format(port=port))
        write(f"{root}/usr/share/nginx/html/index.html", "hello from nginx\n")
        for directory in ("var/lib/nginx", "var/log/nginx"):
            os.makedirs(f"{root}/{directory}", exist_ok=True)
        os.symlink("../run", f"{root}/var/run")
    image.config("--config.cmd", "nginx", "--config.cmd", "-g", "--config.cmd", "daemon off;",
                 "--config.stopsignal", "SIGQUIT")


def _make_httpd(layout, debian):
    image = Image(layout, "httpd", "busybox")
    with image.layer() as root:
        _install(debian, "/usr/sbin/apache2", root, "/usr/local/bin/httpd")
        for module in ("mpm_event", "authz_core", "dir"):
            _install(debian, f"/usr/lib/apache2/modules/mod_{module}.so", root)
        write(f"{root}/etc/httpd.conf", HTTPD)
        os.unlink(f"{root}/usr/sbin/httpd")
    image.config("--config.cmd", "httpd", "--config.cmd", "-f", "--config.cmd", "/etc/httpd.conf",
                 "--config.cmd", "-DFOREGROUND")


def _make_nonewprivs(layout):
    image = Image(layout, "nonewprivs")
    with image.layer() as root:
        tool(["gcc", "-static", "-Os", "-s", "-o", f"{root}/nnp", f"{HERE}/nonewprivs.c"], build.LOG)
        os.chmod(f"{root}/nnp", 0o4755)
    image.config("--architecture", "amd64", "--os", "linux", "--config.entrypoint", "/nnp")


def _make_pause(layout):
    image = Image(layout, "pause")
    with image.layer() as root:
        tool(["gcc", "-static", "-Os", "-s", "-o", f"{root}/pause", f"{HERE}/pause.c"], build.LOG)
    image.config("--architecture", "amd64", "--os", "linux", "--config.entrypoint", "/pause")


def _make_test_image(layout, name):
    image = Image(layout, name, "busybox")
    with image.layer() as root:
        write(f"{root}/{name}", "")
    return image


def _make_predefined_group(layout):
    image = Image(layout, "test-image-predefined-group", "busybox")
    with image.layer() as root:
        write(f"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"
                                    "default-user:x:1000:1000::/home/default-user:/bin/sh\n")
        write(f"{root}/etc/group", "root:x:0:\ndefault-user:x:1000:\ngroup-defined-in-image:x:50000:default-user\n")
    image.config("--config.user", "1000")


if __name__ == "__main__":
    print(made().path)
