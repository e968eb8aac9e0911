# SPDX-License-Identifier: Apache-2.0
"""Where the lab keeps what it makes, and how a thing is made once.

A made thing is a directory NAME-HASH in the cache. The hash covers everything that decides its content. It is
made under another name and renamed when whole, under a lock, so any number of runs may ask for it at once.
Users of a thing hold a shared lock on NAME-HASH.lock; others of the same NAME are removed when nobody does.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import time
import uuid

from . import LabError

LAB = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(LAB))
LOGS = f"{REPO}/build/logs"


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.environ.get("ZONELET_CACHE") or f"{base}/zonelet"
    os.makedirs(f"{path}/lab", exist_ok=True)
    return path


def say(text):
    """One line for the person who waits."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def digest(*parts):
    """A hash of strings, and of files and trees given as os.PathLike or by names that begin with '@'."""
    state = hashlib.sha256()
    for part in parts:
        if part.startswith("@"):
            for path in _files(part[1:]):
                with open(path, "rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                mode = os.stat(path).st_mode & 0o111
                state.update(f"{os.path.relpath(path, part[1:])} {mode:o} {content}\n".encode())
        else:
            state.update(f"{len(part)} {part}\n".encode())
    return state.hexdigest()[:16]


def _files(path):
    if os.path.isfile(path):
        return [path]
    found = [os.path.join(directory, name) for directory, _, names in os.walk(path) for name in names]
    return sorted(name for name in found if "__pycache__" not in name)


def tool(argv, log, **options):
    """Runs a host program, its output appended to the log file; LabError with its last words if it fails."""
    os.makedirs(LOGS, exist_ok=True)
    path = f"{LOGS}/{log}.log"
    with open(path, "ab") as file:
        file.write(f"$ {' '.join(argv)}\n".encode())
        file.flush()
        code = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False, **options).returncode
    if code != 0:
        with open(path, errors="replace") as file:
            words = (file.read().strip().splitlines() or [""])[-1]
        raise LabError(f"{argv[0]} failed ({code}): {words}; full log: {path}")


class Made:
    """A made thing in use: `path` stays as long as this object (or a process that got `lock`) lives.

    `id` is of this very making. What is laid over a thing, as a disk over a disk, must be keyed by it: made
    anew from the same parts a disk is not the same byte for byte.
    """

    def __init__(self, path, lock):
        self.path = path
        self.lock = lock
        with open(f"{path}/id", encoding="ascii") as file:
            self.id = file.read()


def make(name, key, build, what):
    """The Made thing NAME-KEY; when it is missing, build(directory) fills an empty directory with it."""
    base = f"{cache_directory()}/lab"
    path = f"{base}/{name}-{digest(key, f'@{LAB}/cache.py')}"
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    if os.path.isdir(path):
        return Made(path, lock)
    with _exclusive(f"{base}/{name}.making"):
        if not os.path.isdir(path):
            for rest in glob.glob(f"{base}/{name}-*.tmp"):
                shutil.rmtree(rest)
            start = time.monotonic()
            temporary = f"{path}.tmp"
            os.makedirs(temporary)
            try:
                build(temporary)
                with open(f"{temporary}/id", "w", encoding="ascii") as file:
                    file.write(uuid.uuid4().hex)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise
            os.rename(temporary, path)
            say(f"{what}: {time.monotonic() - start:.0f} s")
    return Made(path, lock)


def prune(name, keep):
    """Removes the things of this name that nobody uses, save the newest `keep`."""
    base = f"{cache_directory()}/lab"
    paths = [path for path in glob.glob(f"{base}/{name}-" + "[0-9a-f]" * 16) if os.path.isdir(path)]
    for path in sorted(paths, key=os.path.getmtime, reverse=True)[keep:]:
        with contextlib.suppress(BlockingIOError), open(f"{path}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)


@contextlib.contextmanager
def _exclusive(path):
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
