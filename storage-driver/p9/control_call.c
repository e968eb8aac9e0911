// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/control.h"

#include <stdio.h>
#include <sys/pidfd.h>

#include "base/cleanup.h"
#include "storage-driver/p9/packet.h"

int zl_p9_control_connect(const char *path, struct zl_error *err)
{
	struct sockaddr_un address;
	zl_auto(fd) int fd = zl_p9_packet_socket(path, &address, err);

	if (fd < 0)
		return -1;
	zl_p9_packet_timeout(fd);
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
	if (zl_p9_packet_send(fd, text, (size_t)length, root_fd) < 0)
		return zl_error_errno(err, errno, "ask the 9P server at %s", path);
	got = zl_p9_packet_receive(fd, text, sizeof(text) - 1, &passed);
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
