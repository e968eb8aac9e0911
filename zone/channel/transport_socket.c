// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "zone/channel/transport.h"

enum { BACKLOG = 8 };

static int gone(int errnum, struct zl_error *err)
{
	if (errnum == 0)
		return zl_error_set(err, ZL_UNAVAILABLE, "the peer closed the channel");
	return zl_error_set(err, ZL_UNAVAILABLE, "the channel broke: %s", strerrordesc_np(errnum));
}

static ssize_t socket_read(struct zl_transport *t, void *bytes, size_t size, struct zl_error *err)
{
	ssize_t got = recv(t->fd, bytes, size, MSG_DONTWAIT);

	if (got > 0)
		return got;
	if (got == 0)
		return gone(0, err);
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return gone(errno, err);
}

static ssize_t socket_write(
        struct zl_transport *t, const void *bytes, size_t length, struct zl_error *err)
{
	ssize_t done = send(t->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (done >= 0)
		return done;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	return gone(errno, err);
}

static uint32_t socket_events(const struct zl_transport *t, bool want_write)
{
	(void)t;
	return want_write ? EPOLLIN | EPOLLOUT : EPOLLIN;
}

static int socket_acknowledge(struct zl_transport *t, struct zl_error *err)
{
	(void)t;
	(void)err;
	return 0;
}

static void socket_close(struct zl_transport *t)
{
	zl_close(t->fd);
	free(t);
}

static const struct zl_transport_ops socket_ops = {
        .name = "socket",
        .read = socket_read,
        .write = socket_write,
        .events = socket_events,
        .acknowledge = socket_acknowledge,
        .close = socket_close,
};

struct zl_transport *zl_socket_wrap(int fd, struct zl_error *err)
{
	struct zl_transport *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		zl_close(fd);
		zl_error_nomem(err);
		return NULL;
	}
	t->ops = &socket_ops;
	t->fd = fd;
	return t;
}

static int fill_address(struct sockaddr_un *address, const char *path, struct zl_error *err)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the socket path %s is longer than %zu bytes", path,
		        sizeof(address->sun_path) - 1);
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

struct zl_transport *zl_socket_connect(const char *path, struct zl_error *err)
{
	struct sockaddr_un address;
	zl_auto(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		zl_error_errno(err, errno, "make a socket");
		return NULL;
	}
	if (fill_address(&address, path, err) < 0)
		return NULL;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		zl_error_set(err, ZL_UNAVAILABLE, "connect to the supervisor at %s: %s", path,
		        strerrordesc_np(errno));
		return NULL;
	}
	return zl_socket_wrap(zl_take_fd(&fd), err);
}

int zl_socket_listen(const char *path, struct zl_error *err)
{
	struct sockaddr_un address;
	zl_auto(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return zl_error_errno(err, errno, "make a socket");
	if (fill_address(&address, path, err) < 0)
		return -1;
	(void)unlink(path);
	// The mode of the descriptor becomes the mode of the file: no moment when it is open to
	// all.
	if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	        listen(fd, BACKLOG) < 0)
		return zl_error_errno(err, errno, "listen at %s", path);
	return zl_take_fd(&fd);
}
