# SPDX-License-Identifier: Apache-2.0
"""The command line tool `lab`; docs/lab.md is its manual."""

import argparse
import os
import subprocess
import sys
import time

from . import LabError, cache, level, local, machine
from .agent import CommandTimeout
from .qemu import Shape


def parser():
    top = argparse.ArgumentParser(prog="lab", description="Xen with a dom0, in QEMU or on this machine itself.")
    top.add_argument("--name", default="lab", help="which machine (several can be up at once)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--name", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        return sub

    up = command("up", "start the machine from a saved level")
    up.add_argument("--level", choices=("cold", "booted", "ready"),
                    help="cold: boot it; booted: dom0 is up; ready: the package is installed (default if there is one)")
    _shape_options(up)
    up.add_argument("--deb", help="the package to install for `ready` (default: the newest in build/)")
    up.add_argument("--crictl", help="the crictl to install for `ready` (default: what tools/gotools built)")
    up.add_argument("--no-registry", action="store_true", help="without the registries behind registry.lab")
    run = command("run", "run a command in dom0")
    run.add_argument("--timeout", type=float, help="seconds after which it is killed")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="one word: a shell command line")
    shell = command("shell", "a shell in dom0, on this terminal")
    shell.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="run this in place of the shell")
    for name, text in (("put", "copy a file or directory into dom0"), ("get", "copy a file or directory out of dom0")):
        sub = command(name, text)
        sub.add_argument("source")
        sub.add_argument("target")
    logs = command("logs", "copy all consoles and dom0's journal into a directory")
    logs.add_argument("directory", nargs="?")
    command("console", "show the console of Xen and dom0")
    command("list", "the machines")
    snapshot = command("snapshot", "make a saved level now, start nothing")
    snapshot.add_argument("level", choices=("booted", "ready"))
    _shape_options(snapshot)
    snapshot.add_argument("--deb")
    snapshot.add_argument("--crictl")
    command("down", "end the machine")
    return top


def _shape_options(sub):
    sub.add_argument("--shift", type=int, default=2, help="one instruction takes 2^SHIFT virtual ns (0 to measure)")
    sub.add_argument("--cpus", type=int, default=2)
    sub.add_argument("--memory", type=int, default=6144, help="of the machine, in MiB")
    sub.add_argument("--idle", choices=("fast", "real"), 
                     help="fast: an idle machine's clock jumps to the next timer (default for --shift 0); "
                          "real: it waits for it")


def shape_of(options):
    return Shape(shift=options.shift, cpus=options.cpus, memory=options.memory, idle=options.idle)


def saved_level(options, name):
    shape = shape_of(options)
    if name == "booted":
        return level.booted(shape)
    package = options.deb or level.newest_package()
    if not package:
        raise LabError("there is no package to install: run `make deb`, or give --deb FILE")
    return level.ready(shape, package, options.crictl or level.crictl())


def up(target, options):
    start = time.monotonic()
    name = options.level or ("ready" if options.deb or level.newest_package() else "booted")
    if name == "cold":
        target.start(shape_of(options))
        target.agent.wait(level.BOOT_PATIENCE)
        target.run("systemctl is-system-running --wait", check=False, timeout=level.BOOT_PATIENCE)
    else:
        target.start(level=saved_level(options, name))
    if not options.no_registry:
        serve_registries(target)
    cache.say(f"\"{target.name}\" is up ({name}) after {time.monotonic() - start:.1f} s; console: {target.console}")
    return 0


def serve_registries(target):
    """Starts the registries of e2e/images, which end with the machine."""
    directory = f"{target.sockets}/serve"
    os.makedirs(cache.LOGS, exist_ok=True)
    with open(f"{cache.LOGS}/registry.log", "ab") as log:
        server = subprocess.Popen([sys.executable, "-m", "images.serve", directory, f"{target.directory}/lock"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    if server.stdout.readline() != b"ready\n":
        raise LabError(f"the registries do not start; full log: {cache.LOGS}/registry.log")
    target.set_registry(directory)


def run(target, options):
    words = [word for index, word in enumerate(options.words) if not (index == 0 and word == "--")]
    if not words:
        raise LabError("run what? give a command")
    argv = ["sh", "-c", words[0]] if len(words) == 1 else words
    return target.agent.stream(argv, None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer,
                               _writer(sys.stdout), _writer(sys.stderr), options.timeout)


def _writer(stream):
    def write(data):
        stream.buffer.write(data)
        stream.buffer.flush()
    return write


def shell(target, options):
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LabError("a shell needs a terminal; use `lab run COMMAND`")
    term = os.environ.get("TERM", "xterm")
    return target.agent.shell(["env", f"TERM={term}", *(options.words or ["bash", "-l"])])


def list_machines():
    for name in machine.names():
        one = machine.Machine(name)
        if one.running():
            facts = one.facts()
            print(f"{name}\tup {time.time() - facts['started']:.0f} s\t{facts['level'] or 'cold'}\t"
                  f"shift {facts['shift']}\tpid {facts['pid']}\t{one.console}")
        else:
            print(f"{name}\tdown\t{one.directory}")


def main():
    options = parser().parse_args()
    target = local.Machine() if local.is_dom0() else machine.Machine(options.name)
    try:
        if options.command == "up":
            return up(target, options)
        if options.command == "run":
            return run(target, options)
        if options.command == "shell":
            return shell(target, options)
        if options.command == "put":
            target.put(options.source, options.target)
        elif options.command == "get":
            target.get(options.source, options.target)
        elif options.command == "list":
            list_machines()
        elif options.command == "console":
            with open(target.console, errors="replace") as file:
                print(file.read())
        elif options.command == "logs":
            directory = options.directory or f"{cache.REPO}/build/lab/{target.name}"
            target.collect(directory)
            print(directory)
        elif options.command == "snapshot":
            print(saved_level(options, options.level).path)
        elif options.command == "down":
            target.remove()
        return 0
    except CommandTimeout as error:
        print(f"lab: {error}", file=sys.stderr)
        return 124
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 125
    except KeyboardInterrupt:
        return 130


sys.exit(main())
