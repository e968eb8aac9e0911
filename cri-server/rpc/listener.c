// SPDX-License-Identifier: Apache-2.0
#include "cri-server/rpc/listener.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strv.h"

struct zl_listener {
	char *path;
	int lock_fd;
	int listen_fd;
	int stop_fd;  // eventfd, readable once stopping
	int spare_fd; // given up for a moment when descriptors run out, see refuse_one
	pthread_t thread;
	zl_listener_accepted *accepted;
	void *user;
};

static void listener_free(struct zl_listener *listener)
{
	if (listener == NULL)
		return;
	(void)zl_close(listener->listen_fd);
	(void)zl_close(listener->stop_fd);
	(void)zl_close(listener->spare_fd);
	// Last: whoever waits for the lock must find all else done. The file stays, or two starters
	// could lock two different files of one name.
	(void)zl_close(listener->lock_fd);
	free(listener->path);
	free(listener);
}

static int take_lock(const char *path, struct zl_error *err)
{
	zl_auto(free) char *lock_path = zl_format(err, "%s.lock", path);
	zl_auto(fd) int fd = -1;

	if (lock_path == NULL)
		return -1;
	fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return zl_error_errno(err, errno, "open the lock file %s", lock_path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return zl_error_set(err, ZL_ALREADY_EXISTS,
			        "another process serves %s (it holds %s); stop it first", path,
			        lock_path);
		return zl_error_errno(err, errno, "lock %s", lock_path);
	}
	return zl_take_fd(&fd);
}

// What an earlier daemon left at the path. The lock is held, so nobody lives behind it.
static int remove_stale(const char *path, struct zl_error *err)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return errno == ENOENT ? 0 : zl_error_errno(err, errno, "look at %s", path);
	if (!S_ISSOCK(status.st_mode))
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "%s is not a socket; move it away or set another `socket`", path);
	if (unlink(path) < 0)
		return zl_error_errno(err, errno, "remove the stale socket %s", path);
	return 0;
}

static int listen_at(const char *path, gid_t group, struct zl_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	zl_auto(fd) int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the socket path %s is longer than %zu bytes", path,
		        sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (remove_stale(path, err) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return zl_error_errno(err, errno, "make a socket");
	// On Linux the file takes the mode of the unbound socket, so it is never wider than this.
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return zl_error_errno(err, errno, "bind %s", path);
	if (group != (gid_t)-1 && chown(path, (uid_t)-1, group) < 0)
		return zl_error_errno(err, errno, "give %s to group %u", path, group);
	if (chmod(path, 0660) < 0)
		return zl_error_errno(err, errno, "set the mode of %s", path);
	if (listen(fd, SOMAXCONN) < 0)
		return zl_error_errno(err, errno, "listen at %s", path);
	return zl_take_fd(&fd);
}

// Out of descriptors: a connection that cannot be accepted would keep poll from ever sleeping.
// Accept it with the spare descriptor and close it, so the client knows.
static void refuse_one(struct zl_listener *listener)
{
	int fd;

	zl_log_error("out of file descriptors: a client of %s is turned away", listener->path);
	listener->spare_fd = zl_close(listener->spare_fd);
	fd = accept4(listener->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	(void)zl_close(fd);
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_all(struct zl_listener *listener)
{
	for (;;) {
		int fd = accept4(listener->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			listener->accepted(listener->user, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EMFILE || errno == ENFILE)
			refuse_one(listener);
		else if (errno != EAGAIN)
			zl_log_error("accept at %s: %m", listener->path);
		return;
	}
}

static void *listener_run(void *user)
{
	struct zl_listener *listener = user;

	for (;;) {
		struct pollfd fds[] = {
		        {.fd = listener->stop_fd, .events = POLLIN},
		        {.fd = listener->listen_fd, .events = POLLIN},
		};

		if (poll(fds, ZL_ARRAY_SIZE(fds), -1) < 0 && errno != EINTR) {
			zl_log_error("poll at %s: %m", listener->path);
			return NULL;
		}
		if (fds[0].revents != 0)
			return NULL;
		if (fds[1].revents != 0)
			accept_all(listener);
	}
}

static int start(struct zl_listener *listener, const char *path, gid_t group, struct zl_error *err)
{
	int failure;

	listener->path = zl_strdup(path, err);
	if (listener->path == NULL)
		return -1;
	listener->lock_fd = take_lock(path, err);
	if (listener->lock_fd < 0)
		return -1;
	listener->listen_fd = listen_at(path, group, err);
	if (listener->listen_fd < 0)
		return -1;
	listener->stop_fd = eventfd(0, EFD_CLOEXEC);
	listener->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (listener->stop_fd < 0 || listener->spare_fd < 0)
		return zl_error_errno(err, errno, "prepare the listener of %s", path);
	failure = pthread_create(&listener->thread, NULL, listener_run, listener);
	if (failure != 0)
		return zl_error_errno(err, failure, "start the listener's thread");
	return 0;
}

struct zl_listener *zl_listener_start(const char *path, gid_t group, zl_listener_accepted *accepted,
        void *user, struct zl_error *err)
{
	struct zl_listener *listener = calloc(1, sizeof(*listener));

	if (listener == NULL) {
		(void)zl_error_nomem(err);
		return NULL;
	}
	listener->lock_fd = listener->listen_fd = listener->stop_fd = listener->spare_fd = -1;
	listener->accepted = accepted;
	listener->user = user;
	if (start(listener, path, group, err) < 0) {
		listener_free(listener);
		return NULL;
	}
	return listener;
}

void zl_listener_stop(struct zl_listener *listener)
{
	uint64_t one = 1;

	if (listener == NULL)
		return;
	(void)!write(listener->stop_fd, &one, sizeof(one));
	(void)pthread_join(listener->thread, NULL);
	(void)unlink(listener->path);
	listener_free(listener);
}
