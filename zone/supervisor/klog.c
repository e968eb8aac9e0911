// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/klog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/klog.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

// CONSOLE_EXT_LOG_MAX of the kernel (kernel/printk/internal.h): no record is longer.
#define RECORD_MAX 8192
// syslog(2): sets the severity below which the kernel writes to the console itself.
#define ACTION_CONSOLE_LEVEL 8

size_t zl_klog_line(const char *record, size_t length, char *line, size_t size, int *ret_level)
{
	unsigned prefix;
	uint64_t microseconds;
	char header[64];
	const char *text = memchr(record, ';', length < sizeof(header) ? length : sizeof(header));

	if (text == NULL)
		return 0;
	(void)snprintf(header, sizeof(header), "%.*s", (int)(text - record), record);
	// NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers, checked by count
	if (sscanf(header, "%u,%*u,%" SCNu64, &prefix, &microseconds) != 2)
		return 0;
	text++;
	const char *end = memchr(text, '\n', length - (size_t)(text - record));
	size_t text_length = end != NULL ? (size_t)(end - text) : length - (size_t)(text - record);
	int n = snprintf(line, size, "[%5" PRIu64 ".%06" PRIu64 "] %.*s\n", microseconds / 1000000,
	        microseconds % 1000000, (int)text_length, text);
	*ret_level = (int)(prefix & 7);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

static void write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno != EINTR)
			return;
		data += n > 0 ? n : 0;
		length -= n > 0 ? (size_t)n : 0;
	}
}

// The kernel has written the boot's errors to the console itself; the first pass leaves them out.
static void copy_log(int log, int console, int printed)
{
	static char record[RECORD_MAX];
	static char line[RECORD_MAX + 64];

	for (;;) {
		ssize_t n = read(log, record, sizeof(record));
		int level = 0;

		// EPIPE: records were overwritten before they were read; the next read goes on.
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			return;
		size_t length = zl_klog_line(record, (size_t)n, line, sizeof(line), &level);
		if (level >= printed)
			write_all(console, line, length);
	}
}

static int open_log(int *ret_console)
{
	zl_auto(fd) int log = open("/dev/kmsg", O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*ret_console = open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (log < 0 || *ret_console < 0) {
		zl_log_warning(
		        "the kernel's log does not reach the console: %s", strerrordesc_np(errno));
		return -1;
	}
	return zl_take_fd(&log);
}

static void *klog_main(void *unused)
{
	int console = -1;
	int log = open_log(&console);
	// Before this, the kernel wrote what is more severe than this to the console; from now on
	// only a panic or an oops makes it do so.
	int printed = 4;

	(void)unused;
	(void)sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
	if (log < 0)
		return NULL;
	if (klogctl(ACTION_CONSOLE_LEVEL, NULL, 1) < 0)
		zl_log_warning("set the console's level: %s", strerrordesc_np(errno));
	copy_log(log, console, printed);
	(void)fcntl(log, F_SETFL, O_RDONLY);
	copy_log(log, console, 0);
	(void)close(log);
	(void)close(console);
	return NULL;
}

void zl_klog_start(void)
{
	static bool started;
	pthread_attr_t attributes;
	pthread_t thread;

	if (started)
		return;
	started = true;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, 64 << 10);
	if (pthread_create(&thread, &attributes, klog_main, NULL) != 0)
		zl_log_warning("the kernel's log does not reach the console: no thread");
	pthread_attr_destroy(&attributes);
}
