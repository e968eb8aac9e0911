// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "storage-driver/p9/server.h"

enum { TIMEOUT_SECONDS = 10 };

static int make_socket(const char *path, struct sockaddr_un *address, struct zl_error *err)
{
	int fd;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the path of a socket has at most %zu characters: %s",
		        sizeof(address->sun_path) - 1, path);
	memcpy(address->sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return fd < 0 ? zl_error_errno(err, errno, "make a socket") : fd;
}

static void set_timeout(int fd)
{
	struct timeval limit = {.tv_sec = TIMEOUT_SECONDS};

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

// One packet, and the descriptor that came with it (-1: none). The length, or -1.
static ssize_t receive(int fd, void *bytes, size_t room, int *ret_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {.iov_base = bytes, .iov_len = room};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = &control,
	        .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *header = got >= 0 ? CMSG_FIRSTHDR(&message) : NULL;

	*ret_fd = -1;
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	        header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(header), sizeof(int));
	return got;
}

static int send_packet(int fd, const void *bytes, size_t length, int passed)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.space = {0}};
	struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *header;

	if (passed >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &passed, sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

// ---- the server's side

int zl_p9_control_listen(const char *path, struct zl_error *err)
{
	struct sockaddr_un address;
	zl_auto(fd) int fd = make_socket(path, &address, err);
	mode_t mask;
	int result;

	if (fd < 0)
		return -1;
	if (unlink(path) < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "remove %s", path);
	mask = umask(0177);
	result = bind(fd, (struct sockaddr *)&address, sizeof(address));
	(void)umask(mask);
	if (result < 0 || listen(fd, 16) < 0)
		return zl_error_errno(err, errno, "listen at %s", path);
	return zl_take_fd(&fd);
}

static int perform(
        struct zl_p9_server *server, const char *request, int *passed, struct zl_error *err)
{
	if (request[0] == 'a' && *passed >= 0)
		return zl_p9_export_add(&server->exports, request + 1, zl_take_fd(passed), err);
	if (request[0] == 'r') {
		zl_p9_server_remove(server, request + 1);
		return 0;
	}
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "the 9P server knows no such request");
}

static void serve_one(int fd, struct zl_p9_server *server)
{
	struct zl_error err = ZL_ERROR_INIT;
	char request[ZL_P9_CONTROL_REQUEST_MAX + 1];
	char answer[ZL_P9_CONTROL_ANSWER_MAX];
	zl_auto(fd) int passed = -1;
	ssize_t got;
	int length;

	set_timeout(fd);
	got = receive(fd, request, sizeof(request) - 1, &passed);
	if (got <= 0)
		return;
	request[got] = '\0';
	(void)perform(server, request, &passed, &err);
	length = snprintf(answer, sizeof(answer), "%c%s", (char)('A' + err.code), err.message);
	if (length > 0)
		(void)send_packet(fd, answer, (size_t)length, -1);
}

void zl_p9_control_serve(int listener, struct zl_p9_server *server)
{
	for (;;) {
		zl_auto(fd) int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve_one(fd, server);
		else if (errno != EINTR && errno != ECONNABORTED && errno != EMFILE)
			return;
	}
}

// ---- the daemon's side

int zl_p9_control_connect(const char *path, struct zl_error *err)
{
	struct sockaddr_un address;
	zl_auto(fd) int fd = make_socket(path, &address, err);

	if (fd < 0)
		return -1;
	set_timeout(fd);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		zl_error_errno(err, errno, "connect to the 9P server at %s", path);
		if (err != NULL)
			err->code = ZL_UNAVAILABLE;
		return -1;
	}
	return zl_take_fd(&fd);
}

int zl_p9_control_call(
        const char *path, char what, const char *name, int root_fd, struct zl_error *err)
{
	zl_auto(fd) int fd = zl_p9_control_connect(path, err);
	char text[ZL_P9_CONTROL_ANSWER_MAX + 1];
	zl_auto(fd) int passed = -1;
	ssize_t got;
	int length;

	if (fd < 0)
		return -1;
	length = snprintf(text, ZL_P9_CONTROL_REQUEST_MAX, "%c%s", what, name);
	if (length >= ZL_P9_CONTROL_REQUEST_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the name of an export is too long");
	if (send_packet(fd, text, (size_t)length, root_fd) < 0)
		return zl_error_errno(err, errno, "ask the 9P server at %s", path);
	got = receive(fd, text, sizeof(text) - 1, &passed);
	if (got <= 0)
		return zl_error_set(
		        err, ZL_UNAVAILABLE, "the 9P server at %s does not answer", path);
	text[got] = '\0';
	if (text[0] == 'A')
		return 0;
	return zl_error_set(err,
	        text[0] > 'A' && text[0] <= 'A' + ZL_UNAUTHENTICATED ? (enum zl_code)(text[0] - 'A')
	                                                             : ZL_INTERNAL,
	        "9P server: %s", text + 1);
}

int zl_p9_control_pidfd(const char *path, struct zl_error *err)
{
	zl_auto(fd) int fd = zl_p9_control_connect(path, err);
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int pidfd;

	if (fd < 0)
		return -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return zl_error_errno(err, errno, "find the process behind %s", path);
	pidfd = pidfd_open(peer.pid, 0);
	return pidfd < 0 ? zl_error_errno(err, errno, "find the process behind %s", path) : pidfd;
}
