// SPDX-License-Identifier: Apache-2.0
//
// The supervisor's one loop: descriptors by epoll, children by SIGCHLD.
//
// The supervisor is one thread and never blocks in a callback: what takes long is a child process
// (crun) or an event that is waited for (a device, a network interface). One event is taken at a
// time, so that a callback may free any source, its own included.
#ifndef ZL_ZONE_SUPERVISOR_REACTOR_H
#define ZL_ZONE_SUPERVISOR_REACTOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct zl_source {
	int fd; // -1: none
	void (*ready)(struct zl_source *source, uint32_t events);
	bool watched;    // it is in epoll now
	uint32_t events; // what for
};

struct zl_child {
	pid_t pid; // 0: none
	// It ended and was reaped; `status` is as waitpid(2) gives it. May free the child.
	void (*exited)(struct zl_child *child, int status);
	struct zl_child *next;
};

// A process that was reaped before anyone knew its pid.
struct zl_early_exit {
	pid_t pid;
	int status;
};

struct zl_reactor {
	int epoll;
	struct zl_source signals; // signalfd: SIGCHLD and what asks for shutdown
	struct zl_child *children;
	// While crun runs, a container it starts may end before its pid is known: the ends of
	// processes nobody claims are kept until no launch is under way.
	unsigned launches;
	struct zl_early_exit *early;
	size_t early_count;
	size_t early_capacity;
	void (*after)(void *user);    // after each event
	void (*shutdown)(void *user); // SIGTERM, SIGINT or SIGPWR came
	void *user;
	bool stop;
};

int zl_reactor_init(struct zl_reactor *reactor, struct zl_error *err);
void zl_reactor_release(struct zl_reactor *reactor);
// Runs until `stop`.
int zl_reactor_run(struct zl_reactor *reactor, struct zl_error *err);

// Watches source->fd for `events` (none: takes it out of epoll, so that not even a hang-up is
// told).
int zl_source_watch(struct zl_reactor *reactor, struct zl_source *source, uint32_t events,
        struct zl_error *err);
// Stops watching and closes the descriptor. A source without one is fine.
void zl_source_close(struct zl_reactor *reactor, struct zl_source *source);

// Waits for a process that was just started, or whose parent (crun) ended and left it to us. True:
// it has ended already, *ret_status is set, and `exited` will not be called.
bool zl_child_watch(struct zl_reactor *reactor, struct zl_child *child, int *ret_status);
// Its end is of no interest any more.
void zl_child_forget(struct zl_reactor *reactor, struct zl_child *child);
// Bracket what may leave us children whose pids are not known yet.
void zl_launch_begin(struct zl_reactor *reactor);
void zl_launch_end(struct zl_reactor *reactor);

#endif
