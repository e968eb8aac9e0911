// SPDX-License-Identifier: Apache-2.0
//
// Locks a file, since busybox has no program that does: `lock hold FILE` takes a write lock, says
// so and keeps it; `lock try FILE` says whether it could have one.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = argc == 3 ? open(argv[2], O_RDWR) : -1;

	if (fd < 0)
		return 1;
	if (strcmp(argv[1], "try") == 0)
		return puts(fcntl(fd, F_SETLK, &range) == 0 ? "free" : "locked") < 0;
	if (fcntl(fd, F_SETLKW, &range) < 0 || puts("held") < 0 || fflush(stdout) != 0)
		return 1;
	for (;;)
		(void)pause();
}
