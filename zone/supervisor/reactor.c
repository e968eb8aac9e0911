// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/reactor.h"
#include "zone/protocol/enclosing.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

// More processes than this never end between a crun's start and its end; the oldest are dropped.
enum { EARLY_MAX = 65536 };

static struct zl_reactor *reactor_of_signals(struct zl_source *source)
{
	return ZL_ENCLOSING(source, struct zl_reactor, signals);
}

static void keep_early(struct zl_reactor *reactor, pid_t pid, int status)
{
	if (reactor->launches == 0)
		return;
	if (reactor->early_count == reactor->early_capacity) {
		size_t capacity = reactor->early_capacity > 0 ? reactor->early_capacity * 2 : 16;
		void *grown = NULL;

		if (capacity <= EARLY_MAX)
			grown = realloc(reactor->early, capacity * sizeof(*reactor->early));
		if (grown == NULL) {
			reactor->early_count = 0;
			if (reactor->early_capacity == 0)
				return;
		} else {
			reactor->early = grown;
			reactor->early_capacity = capacity;
		}
	}
	reactor->early[reactor->early_count++] = (struct zl_early_exit){pid, status};
}

static bool take_early(struct zl_reactor *reactor, pid_t pid, int *ret_status)
{
	for (size_t i = reactor->early_count; i > 0; i--) {
		struct zl_early_exit *exit = &reactor->early[i - 1];

		if (exit->pid == pid) {
			*ret_status = exit->status;
			*exit = reactor->early[--reactor->early_count];
			return true;
		}
	}
	return false;
}

static void reap(struct zl_reactor *reactor)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct zl_child **at = &reactor->children;
		struct zl_child *child;

		while (*at != NULL && (*at)->pid != pid)
			at = &(*at)->next;
		child = *at;
		if (child == NULL) {
			keep_early(reactor, pid, status);
			continue;
		}
		*at = child->next;
		child->pid = 0;
		child->exited(child, status);
	}
}

static void signals_ready(struct zl_source *source, uint32_t events)
{
	struct zl_reactor *reactor = reactor_of_signals(source);
	struct signalfd_siginfo info;

	(void)events;
	while (read(source->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(reactor);
		else if (reactor->shutdown != NULL)
			reactor->shutdown(reactor->user);
	}
}

int zl_reactor_init(struct zl_reactor *reactor, struct zl_error *err)
{
	sigset_t wanted;

	*reactor = (struct zl_reactor){.epoll = -1, .signals = {.fd = -1}};
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGCHLD);
	sigaddset(&wanted, SIGTERM);
	sigaddset(&wanted, SIGINT);
	sigaddset(&wanted, SIGPWR);
	pthread_sigmask(SIG_BLOCK, &wanted, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	reactor->epoll = epoll_create1(EPOLL_CLOEXEC);
	reactor->signals.fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
	reactor->signals.ready = signals_ready;
	if (reactor->epoll < 0 || reactor->signals.fd < 0)
		return zl_error_errno(err, errno, "make the event loop");
	return zl_source_watch(reactor, &reactor->signals, EPOLLIN, err);
}

void zl_reactor_release(struct zl_reactor *reactor)
{
	zl_source_close(reactor, &reactor->signals);
	reactor->epoll = zl_close(reactor->epoll);
	free(reactor->early);
	reactor->early = NULL;
}

int zl_reactor_run(struct zl_reactor *reactor, struct zl_error *err)
{
	while (!reactor->stop) {
		struct epoll_event event;
		int count;

		if (reactor->after != NULL)
			reactor->after(reactor->user);
		if (reactor->stop)
			break;
		count = epoll_wait(reactor->epoll, &event, 1, -1);
		if (count < 0 && errno != EINTR)
			return zl_error_errno(err, errno, "wait for events");
		if (count > 0) {
			struct zl_source *source = event.data.ptr;

			source->ready(source, event.events);
		}
	}
	return 0;
}

int zl_source_watch(
        struct zl_reactor *reactor, struct zl_source *source, uint32_t events, struct zl_error *err)
{
	struct epoll_event event = {.events = events, .data.ptr = source};
	int operation = EPOLL_CTL_ADD;

	if (source->fd < 0 || (source->watched ? source->events : 0) == events)
		return 0;
	if (source->watched)
		operation = events != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
	if (epoll_ctl(reactor->epoll, operation, source->fd, &event) < 0)
		return zl_error_errno(err, errno, "watch a descriptor");
	source->watched = events != 0;
	source->events = events;
	return 0;
}

void zl_source_close(struct zl_reactor *reactor, struct zl_source *source)
{
	(void)zl_source_watch(reactor, source, 0, NULL);
	source->fd = zl_close(source->fd);
	source->watched = false;
	source->events = 0;
}

bool zl_child_watch(struct zl_reactor *reactor, struct zl_child *child, int *ret_status)
{
	if (take_early(reactor, child->pid, ret_status)) {
		child->pid = 0;
		return true;
	}
	child->next = reactor->children;
	reactor->children = child;
	return false;
}

void zl_child_forget(struct zl_reactor *reactor, struct zl_child *child)
{
	for (struct zl_child **at = &reactor->children; *at != NULL; at = &(*at)->next) {
		if (*at == child) {
			*at = child->next;
			break;
		}
	}
	child->pid = 0;
}

void zl_launch_begin(struct zl_reactor *reactor)
{
	reactor->launches++;
}

void zl_launch_end(struct zl_reactor *reactor)
{
	if (--reactor->launches == 0)
		reactor->early_count = 0;
}
