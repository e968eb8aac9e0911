// SPDX-License-Identifier: Apache-2.0
//
// A process that crun starts for us: a container's own or an exec. Its stdio and its end.
#ifndef ZL_ZONE_SUPERVISOR_PROCESS_H
#define ZL_ZONE_SUPERVISOR_PROCESS_H

#include "base/id.h"
#include "zone/supervisor/console.h"
#include "zone/supervisor/stdio.h"
#include "zone/supervisor/supervisor.h"

enum { ZL_EXEC_ID_SIZE = 65 };

struct zl_process_state {
	struct zl_supervisor *supervisor;
	char container_id[ZL_ID_SIZE];
	char exec_id[ZL_EXEC_ID_SIZE]; // "": a container's own process
	bool terminal;
	struct zl_output outputs[2]; // stdout, stderr
	struct zl_input input;
	int theirs[3]; // the child's ends of stdin, stdout, stderr, until crun has them; -1: none
	int ours[3];   // our ends, until the process runs and they are given to the streams
	struct zl_console console_socket; // where crun sends the terminal
	int console;                      // the terminal, for its size
	struct zl_child child;
	bool exited;
	int32_t exit_code;
	int64_t finished_ns;
	void (*ended)(struct zl_process_state *p); // it exited: the fields above say how
};

// Gives the process its streams. `p` is zeroed before. terminal: one output.
void zl_process_init(struct zl_process_state *p, struct zl_supervisor *s, const char *container_id,
        const char *exec_id, bool terminal, bool stdin_open);
void zl_process_release(struct zl_process_state *p);

// Makes the pipes, or the socket for the terminal; `directory` is where that is bound.
int zl_process_open_stdio(struct zl_process_state *p, const char *directory, struct zl_error *err);
// The path of that socket as crun may use it (a socket's path is at most 107 bytes long).
const char *zl_process_console_path(const struct zl_process_state *p, char *out, size_t size);
// crun has started it as `pid`: lets its streams flow and waits for its end.
int zl_process_started(struct zl_process_state *p, pid_t pid, struct zl_error *err);
// crun has its ends of the pipes now.
void zl_process_close_theirs(struct zl_process_state *p);
// It never ran: its streams end empty.
void zl_process_failed(struct zl_process_state *p);

// Closes our ends of its stdio for good: it sees the end of its input and a broken pipe, or its
// terminal hangs up.
void zl_process_hang_up(struct zl_process_state *p);

int zl_process_resize(
        struct zl_process_state *p, uint32_t columns, uint32_t rows, struct zl_error *err);
// A stream's frame. False: it belongs to another process.
bool zl_process_frame(struct zl_process_state *p, const struct zl_frame *frame, int *ret_result,
        struct zl_error *err);
void zl_process_fill(struct zl_process_state *p, struct zl_link *link);
// After its end: takes what it left in its pipes.
void zl_process_read_rest(struct zl_process_state *p);
// A new daemon is there: streams go back to what the last one acknowledged.
void zl_process_rewind(struct zl_process_state *p);
// What the daemon is told of its streams. `streams` holds the three submessages.
void zl_process_describe(
        struct zl_process_state *p, Zl__Zone__Opened *opened, Zl__Zone__Stream streams[static 3]);
// Both outputs' ends were acknowledged.
bool zl_process_outputs_complete(const struct zl_process_state *p);

#endif
