// SPDX-License-Identifier: Apache-2.0
//
// The AppArmor profile of containers that have no other.
//
// It is the second line behind namespaces, capabilities, seccomp and the masked paths of the OCI
// spec: it holds for root with capabilities, and where a container has unmasked /proc. It includes
// no file of the node, so that it loads wherever there is a parser. Paths are those in the
// container (attach_disconnected: also of files that came by descriptors).
//
// Without an `abi` line the parser takes the distribution's, or the oldest: rules of newer kernels
// (user namespaces, io_uring) are then not held against a container.
#include "cri-server/container/apparmor.h"

const char zl_apparmor_default_text[] =
        "profile " ZL_APPARMOR_DEFAULT " flags=(attach_disconnected, mediate_deleted) {\n"
        "  network,\n"
        "  capability,\n"
        "  file,\n"
        "\n"
        // No `mount` and no `pivot_root`: what a container may mount is in its spec. Taking away
        // what it has shows it nothing that is not its own.
        "  umount,\n"
        "\n"
        // Debian gives crun a profile of its own name, which allows all (apparmor 4).
        "  signal (receive) peer=unconfined,\n"
        "  signal (receive) peer=crun,\n"
        "  signal (send, receive) peer=" ZL_APPARMOR_DEFAULT ",\n"
        "  ptrace (trace, tracedby, read, readby) peer=" ZL_APPARMOR_DEFAULT ",\n"
        "\n"
        // What belongs to the node's kernel and not to one of its processes. /proc/sys/net and
        // the like are of the pod's namespaces, and are set by the pod's sysctls.
        "  deny /proc/{acpi,bus,driver,fs,irq,scsi,tty}/** wlk,\n"
        "  deny /proc/sys/** wlk,\n"
        "  deny /proc/sysrq-trigger rwlk,\n"
        "  deny /proc/{kcore,kmem,mem} rwlk,\n"
        "  deny /proc/{kallsyms,kmsg,kpagecgroup,kpagecount,kpageflags,mtrr} wlk,\n"
        "\n"
        // All of /sys but the control groups, which a container may have as its own.
        "  deny /sys/{block,bus,class,dev,devices,hypervisor,module,power}/** wlk,\n"
        "  deny /sys/fs/{[^c],c[^g]}*/** wlk,\n"
        "  deny /sys/firmware/** rwlk,\n"
        "  deny /sys/kernel/security/** rwlk,\n"
        "  deny /sys/kernel/** wlk,\n"
        "  deny /sys/devices/virtual/powercap/** rwlk,\n"
        "}\n";
