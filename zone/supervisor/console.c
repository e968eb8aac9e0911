// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"

void zl_console_close(struct zl_console *console)
{
	console->directory = zl_close(console->directory);
	console->listener = zl_close(console->listener);
}

int zl_console_listen(struct zl_console *console, const char *directory, struct zl_error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	console->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	console->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (console->directory < 0 || console->listener < 0)
		return zl_error_errno(err, errno, "make a socket for a terminal");
	(void)unlinkat(console->directory, ZL_CONSOLE_NAME, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path),
	        "/proc/self/fd/%d/" ZL_CONSOLE_NAME, console->directory);
	if (bind(console->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	        listen(console->listener, 1) < 0)
		return zl_error_errno(err, errno, "listen for a terminal in %s", directory);
	return 0;
}

static int receive_descriptor(int socket_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char name[256];
	struct iovec data = {name, sizeof(name)};
	struct msghdr message = {
	        .msg_iov = &data,
	        .msg_iovlen = 1,
	        .msg_control = &control,
	        .msg_controllen = sizeof(control),
	};
	const struct cmsghdr *part;
	int fd = -1;

	if (recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0)
		return -1;
	part = CMSG_FIRSTHDR(&message);
	if (part != NULL && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
	        part->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(part), sizeof(fd));
	return fd;
}

int zl_console_receive(struct zl_console *console, struct zl_error *err)
{
	zl_auto(fd) int peer = accept4(console->listener, NULL, NULL, SOCK_CLOEXEC);
	int terminal = peer >= 0 ? receive_descriptor(peer) : -1;

	if (terminal < 0)
		return zl_error_errno(err, errno, "receive the terminal from crun");
	(void)unlinkat(console->directory, ZL_CONSOLE_NAME, 0);
	zl_console_close(console);
	return terminal;
}
