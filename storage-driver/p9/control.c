// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/control.h"

#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "storage-driver/p9/packet.h"
#include "storage-driver/p9/server.h"

int zl_p9_control_listen(const char *path, struct zl_error *err)
{
	struct sockaddr_un address;
	zl_auto(fd) int fd = zl_p9_packet_socket(path, &address, err);
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

	zl_p9_packet_timeout(fd);
	got = zl_p9_packet_receive(fd, request, sizeof(request) - 1, &passed);
	if (got <= 0)
		return;
	request[got] = '\0';
	(void)perform(server, request, &passed, &err);
	length = snprintf(answer, sizeof(answer), "%c%s", (char)('A' + err.code), err.message);
	if (length > 0)
		(void)zl_p9_packet_send(fd, answer, (size_t)length, -1);
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
