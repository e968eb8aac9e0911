// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/signal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "zone/protocol/enclosing.h"

// Most programs set their handlers within milliseconds; one that never does is not asked often.
enum { STATUS_MAX = 64 * 1024, FIRST_DELAY_MS = 5, LAST_DELAY_MS = 1000 };

// The value of a line "NAME:\tVALUE" as text; NULL if there is none.
static const char *field(const char *status, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = status; line != NULL && *line != '\0';) {
		const char *next = strchr(line, '\n');

		if (strncmp(line, name, length) == 0 && line[length] == ':')
			return line + length + 1;
		line = next != NULL ? next + 1 : NULL;
	}
	return NULL;
}

static bool in_mask(const char *status, const char *name, int number)
{
	const char *value = field(status, name);

	return value != NULL && (strtoull(value, NULL, 16) >> (number - 1) & 1) != 0;
}

// NSpid lists its pid in each namespace, from ours inwards.
static bool is_first(const char *status)
{
	const char *value = field(status, "NSpid");
	char *end;
	unsigned long pid = 0;
	size_t count = 0;

	while (value != NULL && *value != '\n' && *value != '\0') {
		pid = strtoul(value, &end, 10);
		if (end == value)
			break;
		value = end;
		count++;
	}
	return count > 1 && pid == 1;
}

bool zl_signal_unheard(const char *status, int number)
{
	if (number == SIGKILL || number == SIGSTOP || number < 1 || number > 64)
		return false;
	return is_first(status) && !in_mask(status, "SigCgt", number) &&
	       !in_mask(status, "SigBlk", number);
}

// It is still crun, on its way to become the container's program: what it is sent is lost with its
// own handlers and mask.
static bool is_runtime(pid_t pid)
{
	char path[64];
	char target[256];
	ssize_t length;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return false;
	target[length] = '\0';
	return strstr(target, "crun") != NULL;
}

static bool unheard(pid_t pid, int number)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(STATUS_MAX);
	char path[64];

	if (number != SIGKILL && is_runtime(pid))
		return true;
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return zl_file_read(path, STATUS_MAX, &text, NULL) == 0 &&
	       zl_signal_unheard(zl_buffer_string(&text), number);
}

static int set_timer(struct zl_late_signal *late)
{
	struct itimerspec when = {
	        .it_value = {.tv_sec = late->delay_ms / 1000,
	                .tv_nsec = (long)(late->delay_ms % 1000) * ZL_NS_PER_MS},
	};

	return timerfd_settime(late->timer.fd, 0, &when, NULL);
}

static void look_again(struct zl_source *source, uint32_t events)
{
	struct zl_late_signal *late = ZL_ENCLOSING(source, struct zl_late_signal, timer);
	uint64_t expired;

	(void)events;
	(void)!read(source->fd, &expired, sizeof(expired));
	if (late->number == 0)
		return;
	if (!unheard(late->pid, late->number)) {
		(void)kill(late->pid, late->number);
		late->number = 0;
		return;
	}
	late->delay_ms = late->delay_ms * 2 > LAST_DELAY_MS ? LAST_DELAY_MS : late->delay_ms * 2;
	(void)set_timer(late);
}

int zl_late_signal_send(struct zl_reactor *reactor, struct zl_late_signal *late, pid_t pid,
        int number, struct zl_error *err)
{
	// Sent in any case: it may be heard by now, and what is dropped does no harm.
	bool keep = unheard(pid, number);

	if (kill(pid, number) < 0 && errno != ESRCH)
		return zl_error_errno(err, errno, "send signal %d", number);
	if (!keep)
		return 0;
	if (late->timer.fd <= 0) {
		late->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		late->timer.ready = look_again;
		if (late->timer.fd < 0)
			return zl_error_errno(err, errno, "make a timer");
		if (zl_source_watch(reactor, &late->timer, EPOLLIN, err) < 0)
			return -1;
	}
	late->number = number;
	late->pid = pid;
	late->delay_ms = FIRST_DELAY_MS;
	return set_timer(late) < 0 ? zl_error_errno(err, errno, "set a timer") : 0;
}

void zl_late_signal_cancel(struct zl_reactor *reactor, struct zl_late_signal *late)
{
	late->number = 0;
	if (late->timer.fd > 0)
		zl_source_close(reactor, &late->timer);
	late->timer.fd = 0;
}
