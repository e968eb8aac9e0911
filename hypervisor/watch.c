// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/watch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/cleanup.h"

struct watch {
	uint32_t domid;
	uint64_t serial;         // tells this watch from an earlier one of the same domid
	enum zl_domain_end last; // what was told
	zl_domain_event *event;
	void *user;
	struct watch *next;
};

struct zl_watches {
	struct zl_watches_source source;
	int wake_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; // delivering, rounds_done
	struct watch *list;
	uint64_t next_serial;
	bool delivering; // an event runs, for this domain:
	uint32_t delivering_domid;
	uint64_t rounds_started; // looks at all domains
	uint64_t rounds_done;
	bool stopping;
};

static struct watch **find(struct zl_watches *watches, uint32_t domid)
{
	struct watch **at = &watches->list;

	while (*at != NULL && (*at)->domid != domid)
		at = &(*at)->next;
	return at;
}

// The watch with the smallest serial above `after`, NULL at the end: a walk that survives changes
// of the list between its steps. New watches are put at the head, so serials fall along the list.
static struct watch *next_after(struct zl_watches *watches, uint64_t after)
{
	struct watch *best = NULL;

	for (struct watch *w = watches->list; w != NULL && w->serial > after; w = w->next)
		best = w;
	return best;
}

static void unlink_watch(struct watch **at)
{
	struct watch *gone = *at;

	*at = gone->next;
	free(gone);
}

// With the lock held, which is let go around the event.
static void deliver(struct zl_watches *watches, uint64_t serial, enum zl_domain_end end)
{
	struct watch *w = next_after(watches, serial - 1);
	zl_domain_event *event;
	void *user;
	uint32_t domid;
	struct watch **at;

	if (w == NULL || w->serial != serial || w->last == end)
		return;
	w->last = end;
	domid = w->domid;
	event = w->event;
	user = w->user;
	watches->delivering = true;
	watches->delivering_domid = domid;
	pthread_mutex_unlock(&watches->lock);
	event(user, domid, end);
	pthread_mutex_lock(&watches->lock);
	watches->delivering = false;
	at = find(watches, domid);
	if (end == ZL_DOMAIN_GONE && *at != NULL && (*at)->serial == serial)
		unlink_watch(at);
	pthread_cond_broadcast(&watches->changed);
}

static void look_at_all(struct zl_watches *watches)
{
	uint64_t serial = 0;
	struct watch *w;

	pthread_mutex_lock(&watches->lock);
	watches->rounds_started++;
	while (!watches->stopping && (w = next_after(watches, serial)) != NULL) {
		uint32_t domid = w->domid;
		enum zl_domain_end end;

		serial = w->serial;
		pthread_mutex_unlock(&watches->lock);
		end = watches->source.look(watches->source.user, domid);
		pthread_mutex_lock(&watches->lock);
		deliver(watches, serial, end);
	}
	watches->rounds_done = watches->rounds_started;
	pthread_cond_broadcast(&watches->changed);
	pthread_mutex_unlock(&watches->lock);
}

static void take_hints(struct zl_watches *watches, const struct pollfd fds[static 2])
{
	uint64_t count;

	if (fds[0].revents != 0)
		(void)!read(watches->wake_fd, &count, sizeof(count));
	if (fds[1].revents != 0 && watches->source.drain(watches->source.user) < 0)
		watches->source.fd = -1;
}

static void *run(void *argument)
{
	struct zl_watches *watches = argument;
	bool stopping = false;

	while (!stopping) {
		struct pollfd fds[] = {
		        {.fd = watches->wake_fd, .events = POLLIN},
		        {.fd = watches->source.fd, .events = POLLIN},
		};

		if (poll(fds, ZL_ARRAY_SIZE(fds), -1) < 0)
			continue; // EINTR: the other errors are programming errors
		take_hints(watches, fds);
		look_at_all(watches);
		pthread_mutex_lock(&watches->lock);
		stopping = watches->stopping;
		pthread_mutex_unlock(&watches->lock);
	}
	return NULL;
}

// The thread takes SIGCHLD, which libxl handles and which some thread must leave unblocked
// (libxl_event.h, "Subprocess handling"); other signals go elsewhere.
static int start_thread(struct zl_watches *watches)
{
	sigset_t others;
	sigset_t saved;
	int rc;

	sigfillset(&others);
	sigdelset(&others, SIGCHLD);
	pthread_sigmask(SIG_SETMASK, &others, &saved);
	rc = pthread_create(&watches->thread, NULL, run, watches);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	return rc;
}

static void free_watches(struct zl_watches *watches)
{
	while (watches->list != NULL)
		unlink_watch(&watches->list);
	(void)zl_close(watches->wake_fd);
	pthread_cond_destroy(&watches->changed);
	pthread_mutex_destroy(&watches->lock);
	free(watches);
}

struct zl_watches *zl_watches_start(const struct zl_watches_source *source, struct zl_error *err)
{
	struct zl_watches *watches = calloc(1, sizeof(*watches));
	int rc;

	if (watches == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	watches->source = *source;
	pthread_mutex_init(&watches->lock, NULL);
	pthread_cond_init(&watches->changed, NULL);
	watches->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = watches->wake_fd < 0 ? errno : start_thread(watches);
	if (rc != 0) {
		zl_error_errno(err, rc, "start the thread that watches domains");
		free_watches(watches);
		return NULL;
	}
	return watches;
}

void zl_watches_stop(struct zl_watches *watches)
{
	if (watches == NULL)
		return;
	pthread_mutex_lock(&watches->lock);
	watches->stopping = true;
	pthread_mutex_unlock(&watches->lock);
	zl_watches_wake(watches);
	pthread_join(watches->thread, NULL);
	free_watches(watches);
}

int zl_watches_add(struct zl_watches *watches, uint32_t domid, zl_domain_event *event, void *user,
        struct zl_error *err)
{
	struct watch *w = calloc(1, sizeof(*w));
	bool taken;

	if (w == NULL)
		return zl_error_nomem(err);
	pthread_mutex_lock(&watches->lock);
	taken = *find(watches, domid) != NULL;
	if (!taken) {
		*w = (struct watch){.domid = domid,
		        .serial = ++watches->next_serial,
		        .last = ZL_DOMAIN_RUNNING,
		        .event = event,
		        .user = user,
		        .next = watches->list};
		watches->list = w;
	}
	pthread_mutex_unlock(&watches->lock);
	if (taken) {
		free(w);
		return zl_error_set(
		        err, ZL_ALREADY_EXISTS, "domain %u is watched already", (unsigned)domid);
	}
	zl_watches_wake(watches);
	return 0;
}

void zl_watches_remove(struct zl_watches *watches, uint32_t domid)
{
	bool inside = pthread_equal(pthread_self(), watches->thread) != 0;
	struct watch **at;

	pthread_mutex_lock(&watches->lock);
	at = find(watches, domid);
	if (*at != NULL)
		unlink_watch(at);
	while (!inside && watches->delivering && watches->delivering_domid == domid)
		pthread_cond_wait(&watches->changed, &watches->lock);
	pthread_mutex_unlock(&watches->lock);
}

void zl_watches_wake(struct zl_watches *watches)
{
	uint64_t one = 1;

	(void)!write(watches->wake_fd, &one, sizeof(one));
}

void zl_watches_settle(struct zl_watches *watches)
{
	uint64_t wanted;

	pthread_mutex_lock(&watches->lock);
	wanted = watches->rounds_started + 1;
	pthread_mutex_unlock(&watches->lock);
	zl_watches_wake(watches);
	pthread_mutex_lock(&watches->lock);
	while (watches->rounds_done < wanted)
		pthread_cond_wait(&watches->changed, &watches->lock);
	pthread_mutex_unlock(&watches->lock);
}
