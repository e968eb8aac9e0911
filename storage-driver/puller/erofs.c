// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/erofs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/strv.h"
#include "storage-driver/digest.h"
#include "storage-driver/printable.h"
#include "storage-driver/puller/child.h"
#include "storage-driver/puller/job.h"

// Enough for a million entries, with a reserve; a zone root has some thousands.
static const uint64_t memory_max = UINT64_C(4) << 30;

enum { PIPE_BYTES = 1024 * 1024 };

// "-U" and a UUID in the form RFC 9562 has for one's own bytes (version 8), from the digest.
static int add_uuid(char ***argv, const char *digest, struct zl_error *err)
{
	const char *hex = zl_digest_hex(digest);

	return zl_strv_append_format(argv, err, "-U%.8s-%.4s-8%.3s-8%.3s-%.12s", hex, hex + 8,
	        hex + 13, hex + 17, hex + 20);
}

static int add_all(char ***argv, const char *const *words, size_t count, struct zl_error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (zl_strv_append(argv, words[i], err) < 0)
			return -1;
	}
	return 0;
}

// Its stderr goes to a file in memory: a pipe that nobody empties could stop it.
static int make_diagnostics(struct zl_erofs *erofs, struct zl_error *err)
{
	erofs->diagnostics = memfd_create("mkfs.erofs", MFD_CLOEXEC);
	return erofs->diagnostics < 0 ? zl_error_errno(err, errno, "make a file in memory") : 0;
}

static int spawn(struct zl_erofs *erofs, char **argv, int input, const int *extra, size_t count,
        struct zl_error *err)
{
	struct zl_spawn how = ZL_SPAWN_INIT;

	how.argv = (const char *const *)argv;
	how.stdin_fd = input;
	how.stderr_fd = erofs->diagnostics;
	how.extra_fds = extra;
	how.extra_count = count;
	return zl_child_start(&how, memory_max, &erofs->process, err);
}

int zl_erofs_start(
        struct zl_erofs *erofs, const char *file, const char *diff_id, struct zl_error *err)
{
	static const char *const words[] = {"mkfs.erofs", "--quiet", "--tar=f", "--aufs",
	        "-Enoinline_data", "--sort=none", "-T0", "--mkfs-time"};
	zl_auto(strv) char **argv = NULL;
	zl_auto(fd) int read_end = -1;
	int ends[2];

	if (add_all(&argv, words, ZL_ARRAY_SIZE(words), err) < 0 ||
	        add_uuid(&argv, diff_id, err) < 0 || zl_strv_append(&argv, file, err) < 0 ||
	        make_diagnostics(erofs, err) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return zl_error_errno(err, errno, "make a pipe");
	read_end = ends[0];
	erofs->input = ends[1];
	(void)fcntl(erofs->input, F_SETPIPE_SZ, PIPE_BYTES);
	return spawn(erofs, argv, read_end, NULL, 0, err);
}

// The last line that says something, made printable.
static const char *last_words(int fd, char *out, size_t size)
{
	char text[4096];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
	char *line;

	text[length > 0 ? length : 0] = '\0';
	for (size_t end = strlen(text); end > 0 && strchr(" \t\r\n", text[end - 1]) != NULL; end--)
		text[end - 1] = '\0';
	line = strrchr(text, '\n');
	line = line != NULL ? line + 1 : text;
	return zl_printable(*line != '\0' ? line : "it says nothing", out, size);
}

int zl_erofs_finish(struct zl_erofs *erofs, struct zl_error *err)
{
	char words[ZL_PRINTABLE_SIZE];
	char reason[64];
	int status = 0;

	erofs->input = zl_close(erofs->input);
	if (zl_process_wait(&erofs->process, NULL, -1, &status, err) < 0)
		return -1;
	if (status == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == ZL_CHILD_MISSING)
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "mkfs.erofs is missing; install the package erofs-utils (1.8 or newer)");
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "mkfs.erofs cannot write it (%s): %s",
	        zl_status_describe(status, reason, sizeof(reason)),
	        last_words(erofs->diagnostics, words, sizeof(words)));
}

void zl_erofs_release(struct zl_erofs *erofs)
{
	erofs->input = zl_close(erofs->input);
	zl_process_end(&erofs->process);
	erofs->diagnostics = zl_close(erofs->diagnostics);
}

int zl_erofs_merge(
        const char *file, int blobs_fd, char *const *names, const char *key, struct zl_error *err)
{
	static const char *const words[] = {
	        "mkfs.erofs", "--quiet", "--aufs", "--ovlfs-strip=1", "-T0", "--mkfs-time"};
	zl_auto(erofs) struct zl_erofs erofs = ZL_EROFS_INIT;
	zl_auto(strv) char **argv = NULL;

	if (add_all(&argv, words, ZL_ARRAY_SIZE(words), err) < 0 || add_uuid(&argv, key, err) < 0 ||
	        zl_strv_append(&argv, file, err) < 0 || make_diagnostics(&erofs, err) < 0)
		return -1;
	// The child's descriptor 3 is the directory: its path need not be open to our user.
	for (; *names != NULL; names++) {
		if (zl_strv_append_format(&argv, err, "/proc/self/fd/3/%s", *names) < 0)
			return -1;
	}
	if (spawn(&erofs, argv, -1, &blobs_fd, 1, err) < 0)
		return -1;
	return zl_erofs_finish(&erofs, err);
}
