// SPDX-License-Identifier: Apache-2.0
//
// A pod for tests: the real zonelet-supervisor, a real EROFS image with busybox, and a client that
// keeps all it is told.
//
// Usually the supervisor runs under `host`. In a dom0 the environment can name a zone that is
// running already, and the same tests go over its vchan:
//   ZL_ZONE_DOMID    its domid
//   ZL_ZONE_IMAGE    the image's device in it ("/dev/xvdb"), made by `unit-zone-supervisor --image
//   FILE` ZL_ZONE_SCRATCH  an ext4 device in it for writable layers
#ifndef ZL_UNIT_ZONE_POD_H
#define ZL_UNIT_ZONE_POD_H

#include <pthread.h>

#include "base/buffer.h"
#include "base/spawn.h"
#include "zone/client/client.h"

enum { POD_STREAMS = 16, POD_DIR_SIZE = 64 };

struct pod_stream {
	char container_id[65];
	char exec_id[65];
	enum zl_zone_stream stream;
	struct zl_buffer text;
	bool eof;
};

struct pod_exit {
	char container_id[65];
	char exec_id[65];
	int32_t code;
	bool oom;
};

struct pod {
	char dir[POD_DIR_SIZE]; // socket, scratch, image
	char socket[POD_DIR_SIZE + 16];
	char image[512];
	const char *zone; // its domid, NULL under `host`
	struct zl_process supervisor;
	struct zl_zone_loop *loop;
	struct zl_zone_client *client;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pod_stream streams[POD_STREAMS];
	size_t stream_count;
	struct pod_exit exits[POD_STREAMS];
	size_t exit_count;
	size_t appetite; // output bytes taken from here on; SIZE_MAX: all
	bool closed;
	unsigned inputs; // times that a full stdin was said to have room
};

// Makes the image.
int pod_make_image(const char *path, struct zl_error *err);
// The root of a container.
struct zl_zone_rootfs pod_rootfs(struct pod *pod, const char **space);
// Starts the supervisor, connects and configures. Ends the test on failure.
void pod_start(struct pod *pod);
// Shuts it down, checks that it ended well and left nothing, and frees all.
void pod_end(struct pod *pod);

void pod_connect(struct pod *pod);
// As a daemon that dies: no goodbye.
void pod_disconnect(struct pod *pod);

// A container id that ends in this digit.
const char *pod_id(int number);
// The spec of a container that runs `sh -c script` (script NULL: /nope).
char *pod_spec(const char *id, const char *script);
char *pod_process(const char *script);
// Creates and starts one.
void pod_run(struct pod *pod, const char *id, const char *script, bool stdin_open);
void pod_create(
        struct pod *pod, const char *id, const char *script, bool stdin_open, bool terminal);
void pod_exec(struct pod *pod, const char *id, const char *exec_id, const char *script);

// Wait (with a bound that ends the test) until it exited, and until its stream ended.
struct pod_exit pod_wait_exit(struct pod *pod, const char *id, const char *exec_id);
const struct pod_stream *pod_wait_eof(
        struct pod *pod, const char *id, const char *exec_id, enum zl_zone_stream stream);
// Waits until the stream holds `text`.
void pod_wait_text(struct pod *pod, const char *id, const char *exec_id, const char *text);
// Bytes of the stream so far.
size_t pod_length(struct pod *pod, const char *id, enum zl_zone_stream stream);
// Forgets what was heard of it: its id is used again.
void pod_forget(struct pod *pod, const char *id);
// Whether a full stdin was said to have room since the last call, or is so within this time.
bool pod_wait_input(struct pod *pod, int milliseconds);
void pod_set_appetite(struct pod *pod, size_t bytes);

#endif
