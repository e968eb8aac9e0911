// SPDX-License-Identifier: Apache-2.0
#include "cri-server/container/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/clock.h"

enum { RECORD_VERSION = 1 };

// What the log held after one write.
struct commit {
	uint64_t inode;                  // of the log file the length belongs to
	uint64_t length;                 // of the log file
	uint64_t offset[ZL_LOG_STREAMS]; // consumed of each stream
};

// The commit record, mapped shared: it lives in the page cache and so survives the daemon. A commit
// is written beside the current one, then `current` is switched: a kill at any store leaves one
// whole commit. It comes after the log's write; what a kill in between leaves is cut on resume.
struct record {
	uint64_t version;
	uint64_t current; // index into slots
	struct commit slots[2];
};

struct zl_container_log {
	pthread_mutex_t lock; // guards all below; innermost
	char *path;
	int fd; // -1: nobody wants the log
	struct record *record;
	struct zl_buffer text; // lines of one write, gathered
};

static struct record *map_record(const char *path, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *mapped;

	int failure;

	if (fd < 0) {
		zl_error_errno(err, errno, "open the log record %s", path);
		return NULL;
	}
	// With its block: a store into a mapped hole of a full file system is a SIGBUS.
	failure = posix_fallocate(fd, 0, sizeof(struct record));
	if (failure != 0) {
		zl_error_errno(err, failure, "make the log record %s", path);
		return NULL;
	}
	mapped = mmap(NULL, sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mapped == MAP_FAILED) {
		zl_error_errno(err, errno, "map the log record %s", path);
		return NULL;
	}
	return mapped;
}

static int open_file(const char *path, struct stat *status, struct zl_error *err)
{
	zl_auto(fd) int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0 || fstat(fd, status) < 0)
		return zl_error_errno(err, errno, "open the container's log %s", path);
	return zl_take_fd(&fd);
}

static const struct commit *committed(const struct zl_container_log *log)
{
	return &log->record->slots[log->record->current & 1];
}

static void commit(struct zl_container_log *log, const struct commit *next)
{
	struct record *record = log->record;

	record->slots[(record->current & 1) ^ 1] = *next;
	atomic_signal_fence(memory_order_seq_cst);
	record->current ^= 1;
}

static void commit_file(struct zl_container_log *log, const struct stat *status)
{
	struct commit next = *committed(log);

	next.inode = (uint64_t)status->st_ino;
	next.length = (uint64_t)status->st_size;
	commit(log, &next);
}

// After a restart: cut what was written but not committed. A log that was rotated meanwhile is
// another file: only its length is taken.
static int resume_file(
        struct zl_container_log *log, const struct stat *status, struct zl_error *err)
{
	const struct commit *last = committed(log);

	if (last->inode != (uint64_t)status->st_ino || (uint64_t)status->st_size < last->length) {
		commit_file(log, status);
		return 0;
	}
	if (ftruncate(log->fd, (off_t)last->length) < 0)
		return zl_error_errno(err, errno, "cut %s to its committed length", log->path);
	return 0;
}

static int open_all(
        struct zl_container_log *log, const char *commit_path, bool resume, struct zl_error *err)
{
	struct stat status = {0};

	log->record = map_record(commit_path, err);
	if (log->record == NULL)
		return -1;
	if (log->path[0] != '\0') {
		log->fd = open_file(log->path, &status, err);
		if (log->fd < 0)
			return -1;
	}
	if (resume && log->record->version == RECORD_VERSION)
		return log->fd < 0 ? 0 : resume_file(log, &status, err);
	memset(log->record, 0, sizeof(*log->record));
	commit_file(log, &status);
	log->record->version = RECORD_VERSION;
	return 0;
}

struct zl_container_log *zl_container_log_open(
        const char *path, const char *commit_path, bool resume, struct zl_error *err)
{
	zl_auto(container_log) struct zl_container_log *log = calloc(1, sizeof(*log));

	if (log == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	pthread_mutex_init(&log->lock, NULL);
	log->fd = -1;
	log->path = strdup(path);
	if (log->path == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	if (open_all(log, commit_path, resume, err) < 0)
		return NULL;
	return zl_take(log);
}

void zl_container_log_close(struct zl_container_log *log)
{
	if (log == NULL)
		return;
	if (log->record != NULL)
		(void)munmap(log->record, sizeof(*log->record));
	zl_close(log->fd);
	zl_buffer_release(&log->text);
	pthread_mutex_destroy(&log->lock);
	free(log->path);
	free(log);
}

static int add_line(
        struct zl_buffer *out, const char *head, char tag, const char *text, size_t length)
{
	if (zl_buffer_printf(out, NULL, "%s %c ", head, tag) < 0 ||
	        zl_buffer_append(out, text, length, NULL) < 0)
		return -1;
	return zl_buffer_append(out, "\n", 1, NULL);
}

// How the next line of the bytes goes into the log: its length, what follows it, and its tag.
struct cut {
	size_t text;    // bytes of text
	size_t newline; // 1 if a newline ends it
	char tag;       // 'F' or 'P'; 0: not yet, wait for more
};

static struct cut next_cut(const char *bytes, size_t length, bool eof)
{
	size_t window = length < ZL_LOG_LINE_MAX ? length : ZL_LOG_LINE_MAX;
	const char *newline = memchr(bytes, '\n', window);

	if (newline != NULL)
		return (struct cut){(size_t)(newline - bytes), 1, 'F'};
	if (window == ZL_LOG_LINE_MAX)
		return (struct cut){window, 0, 'P'};
	if (eof)
		return (struct cut){length, 0, 'F'};
	return (struct cut){0, 0, 0};
}

// Formats all lines that are ready into `out` and returns how many bytes they took. A part that is
// exactly full and followed by a newline stays a part: the next line is then empty and full.
static size_t format_lines(
        struct zl_buffer *out, const char *stream, const char *bytes, size_t length, bool eof)
{
	char time[ZL_CLOCK_RFC3339_SIZE];
	char head[64];
	size_t done = 0;

	(void)snprintf(
	        head, sizeof(head), "%s %s", zl_clock_rfc3339(zl_clock_real(), time), stream);
	while (done < length) {
		struct cut cut = next_cut(bytes + done, length - done, eof);

		if (cut.tag == 0 || add_line(out, head, cut.tag, bytes + done, cut.text) < 0)
			break;
		done += cut.text + cut.newline;
	}
	return done;
}

// Writes what it can and returns how much that was.
static size_t write_some(int fd, const uint8_t *bytes, size_t length)
{
	size_t written = 0;

	while (written < length) {
		ssize_t done = write(fd, bytes + written, length - written);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			break;
		written += (size_t)done;
	}
	return written;
}

// Appends the gathered lines and returns the log's length then. It is asked of the file, not
// counted: others may have cut it or written to it. A full disk must not stop the container: lines
// that do not fit are dropped, as if written; half of one is taken back, lest the next line that
// fits be joined to it.
static uint64_t append_text(struct zl_container_log *log)
{
	size_t written;
	const uint8_t *end;
	off_t length;

	if (log->fd < 0 || log->text.length == 0)
		return committed(log)->length;
	written = write_some(log->fd, log->text.data, log->text.length);
	length = lseek(log->fd, 0, written > 0 ? SEEK_CUR : SEEK_END);
	if (length < 0)
		return committed(log)->length;
	if (written > 0 && written < log->text.length) {
		end = memrchr(log->text.data, '\n', written);
		length -= (off_t)(written - (end != NULL ? (size_t)(end - log->text.data) + 1 : 0));
		(void)!ftruncate(log->fd, length);
	}
	return (uint64_t)length;
}

size_t zl_container_log_write(struct zl_container_log *log, enum zl_log_stream stream,
        uint64_t offset, const void *bytes, size_t length, bool eof)
{
	static const char *const names[] = {"stdout", "stderr"};
	struct commit next;
	size_t skip = 0;
	size_t took;

	pthread_mutex_lock(&log->lock);
	next = *committed(log);
	if (offset < next.offset[stream])
		skip = (size_t)(next.offset[stream] - offset);
	if (skip > length)
		skip = length;
	log->text.length = 0;
	took = skip + format_lines(&log->text, names[stream], (const char *)bytes + skip,
	                      length - skip, eof);
	next.length = append_text(log);
	if (offset + took > next.offset[stream])
		next.offset[stream] = offset + took;
	commit(log, &next);
	pthread_mutex_unlock(&log->lock);
	return took;
}

uint64_t zl_container_log_offset(struct zl_container_log *log, enum zl_log_stream stream)
{
	uint64_t offset;

	pthread_mutex_lock(&log->lock);
	offset = committed(log)->offset[stream];
	pthread_mutex_unlock(&log->lock);
	return offset;
}

int zl_container_log_reopen(struct zl_container_log *log, struct zl_error *err)
{
	struct stat status;
	int fd;

	if (log->path[0] == '\0')
		return 0;
	fd = open_file(log->path, &status, err);
	if (fd < 0)
		return -1;
	pthread_mutex_lock(&log->lock);
	zl_close(log->fd);
	log->fd = fd;
	commit_file(log, &status);
	pthread_mutex_unlock(&log->lock);
	return 0;
}
