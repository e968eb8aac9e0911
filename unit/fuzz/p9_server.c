// SPDX-License-Identifier: Apache-2.0
//
// A hostile client: the input is a run of messages, each without its size, which is made right. The
// exported directory has a link that leads out and a file outside that must stay as it is.
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "storage-driver/p9/server.h"

enum { MSIZE = 8192, MESSAGES_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[64];
static int base_fd = -1;
static int proc_fd = -1;

static struct timespec changed[2]; // change times of the two directories, as they were made

static bool is_fresh(void)
{
	struct stat top;
	struct stat below;

	return changed[0].tv_sec != 0 && fstatat(base_fd, "export", &top, 0) == 0 &&
	       fstatat(base_fd, "export/d", &below, 0) == 0 &&
	       memcmp(&top.st_ctim, &changed[0], sizeof(top.st_ctim)) == 0 &&
	       memcmp(&below.st_ctim, &changed[1], sizeof(below.st_ctim)) == 0;
}

static void remove_base(void)
{
	(void)zl_tree_remove(base, NULL);
}

static void make_base(void)
{
	char path[128];

	(void)snprintf(base, sizeof(base), "/tmp/zl-fuzz-p9-XXXXXX");
	if (mkdtemp(base) == NULL)
		abort();
	(void)atexit(remove_base);
	base_fd = open(base, O_PATH | O_CLOEXEC);
	proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "%s/secret", base);
	if (zl_file_write_atomic(path, "secret", 6, 0640, NULL) < 0)
		abort();
}

// Made anew when the last input did something in it.
static void make_tree(void)
{
	struct stat status;
	char path[128];

	if (base_fd < 0)
		make_base();
	if (is_fresh())
		return;
	(void)snprintf(path, sizeof(path), "%s/export", base);
	if (zl_tree_remove(path, NULL) < 0 || mkdirat(base_fd, "export", 0755) < 0 ||
	        symlinkat("../secret", base_fd, "export/l") < 0 ||
	        mkdirat(base_fd, "export/d", 0755) < 0)
		abort();
	if (fstatat(base_fd, "export", &status, 0) < 0)
		abort();
	changed[0] = status.st_ctim;
	if (fstatat(base_fd, "export/d", &status, 0) < 0)
		abort();
	changed[1] = status.st_ctim;
}

static void check_secret(void)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char path[128];
	struct stat status;

	(void)snprintf(path, sizeof(path), "%s/secret", base);
	if (zl_file_read(path, 100, &text, NULL) < 0 || text.length != 6 ||
	        memcmp(text.data, "secret", 6) != 0 || stat(path, &status) < 0 ||
	        (status.st_mode & 07777) != 0640 || status.st_nlink != 1)
		abort();
}

static void ask(struct zl_p9_server *server, struct zl_p9_message *message, uint8_t *reply)
{
	struct zl_p9_message answer;
	size_t length = zl_p9_server_answer(server, message, reply);

	if (length > MSIZE || zl_p9_decode(reply, length, &answer) < 0 ||
	        answer.tag != message->tag ||
	        (answer.type != ZL_P9_RLERROR && answer.type != message->type + 1))
		abort();
}

// Without these a fuzzer takes long to find the way in. No file grows without bound.
static void begin(struct zl_p9_server *server, uint8_t *reply)
{
	struct zl_p9_message attach = {.type = ZL_P9_TATTACH, .fid = 0, .other_fid = ZL_P9_NO_FID};
	struct zl_p9_message walk = {.type = ZL_P9_TWALK,
	        .fid = 0,
	        .other_fid = 1,
	        .name_count = 1,
	        .names = {{"e", 1}}};

	ask(server, &attach, reply);
	ask(server, &walk, reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t reply[MSIZE];
	static uint8_t bytes[MSIZE];
	struct zl_p9_server server;

	make_tree();
	if (zl_p9_server_init(&server, proc_fd, MSIZE, NULL) < 0 ||
	        zl_p9_export_add(&server.exports, "e",
	                openat(base_fd, "export", O_PATH | O_CLOEXEC), NULL) < 0)
		abort();
	begin(&server, reply);
	for (int i = 0; i < MESSAGES_MAX && size >= 2; i++) {
		size_t length = data[0] | (size_t)(data[1] & 0x0f) << 8;
		struct zl_p9_message message;

		data += 2;
		size -= 2;
		length = length < size ? length : size;
		memcpy(bytes + 4, data, length);
		data += length;
		size -= length;
		length += 4;
		for (size_t at = 0; at < 4; at++)
			bytes[at] = (uint8_t)(length >> (8 * at));
		if (zl_p9_decode(bytes, length, &message) < 0 || !zl_p9_is_request(message.type) ||
		        message.type == ZL_P9_TFLUSH)
			continue;
		ask(&server, &message, reply);
	}
	zl_p9_server_release(&server);
	check_secret();
	return 0;
}
