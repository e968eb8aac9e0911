// SPDX-License-Identifier: Apache-2.0
//
// A private network and a private directory for tests that run plugins: the machine's own links,
// mounts and rules are never touched.
#ifndef ZL_UNIT_CNI_LAB_H
#define ZL_UNIT_CNI_LAB_H

#include <stdbool.h>
#include <stddef.h>

struct lab {
	char dir[64];   // all files of the test, a tmpfs in a mount namespace of its own
	char conf[80];  // dir/net.d
	char bin[80];   // dir/bin
	char cache[80]; // dir/cache
	char netns[80]; // dir/netns
};

// Enters new network and mount namespaces (the calling process stays there) with lo up.
void lab_enter(struct lab *lab);

// Writes text to DIR/name with this mode.
void lab_write(const char *dir, const char *name, unsigned mode, const char *text);
// The file's text, at most 64 KiB; the caller frees it. NULL if it is not there.
char *lab_read(const char *dir, const char *name);

// Runs a shell command, in the namespace at `netns` if not NULL; the test fails if it does.
void lab_shell(const char *netns, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Its stdout, which the caller frees.
char *lab_output(const char *netns, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
