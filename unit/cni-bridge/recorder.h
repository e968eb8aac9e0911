// SPDX-License-Identifier: Apache-2.0
//
// A lab with plugins that write down how they were called: "one" and "two", the chain of the
// network "pods" (0.4.0; two declares portMappings).
#ifndef ZL_UNIT_CNI_RECORDER_H
#define ZL_UNIT_CNI_RECORDER_H

#include "cni-bridge/cni.h"
#include "lab.h"

enum { TIMEOUT_MS = 20000 };

extern struct lab lab;

// The program. It makes eth0 on its first ADD, and notes each call: bin/log, bin/NAME.COMMAND.in
// and .env. It fails with what is in bin/NAME.COMMAND.fail, if that is there.
extern const char recorder[];
extern const char conflist[];

// A fixture for each test: makes the lab, the plugins, the network and lab.netns.
void set_up(void);
struct zl_cni *open_cni(int timeout_ms);
// The pod abc123, default/web, in lab.netns, with port 8080.
struct zl_cni_pod make_pod(void);

// The file has the text, has it not (or is not there).
void has(const char *dir, const char *name, const char *part);
void has_not(const char *dir, const char *name, const char *part);
// All calls so far, "ADD one\nADD two\n"; forget them.
void log_is(const char *expected);
void forget_log(void);
void message_has(const struct zl_error *err, const char *part);
// NULL: ready; else not, with this in the message.
void status_is(struct zl_cni *cni, const char *part);

#endif
