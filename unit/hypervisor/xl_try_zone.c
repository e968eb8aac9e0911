// SPDX-License-Identifier: Apache-2.0
//
// The init of the zones that xl-try makes: does what `try=` on the kernel command line says.
//
//   idle      waits for ever (the default)
//   exit      ends, which makes the kernel panic
//   poweroff, reboot
//   read      reads the first sector of xvda and powers off if it says "zonelet-try", else panics
//   cpus      powers off if the kernel has as many processors as `cpus=` says, else panics
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_disk(void)
{
	static const char expected[] = "zonelet-try";
	char sector[512] = {0};
	int fd;

	// The front end's probe is not over when init starts.
	do
		fd = open("/dev/xvda", O_RDONLY);
	while (fd < 0 && sched_yield() == 0);
	return fd >= 0 && read(fd, sector, sizeof(sector)) == (ssize_t)sizeof(sector) &&
	       memcmp(sector, expected, sizeof(expected) - 1) == 0;
}

// The kernel hands "name=value" parameters it does not know to init's environment.
static const char *parameter(const char *name)
{
	return getenv(name); // NOLINT(concurrency-mt-unsafe): this program has one thread
}

static int wanted(const char *what)
{
	const char *want = parameter("try");

	return want != NULL && strcmp(want, what) == 0;
}

int main(void)
{
	const char *cpus = parameter("cpus");

	(void)mkdir("/dev", 0755);
	(void)mkdir("/sys", 0755);
	(void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	(void)mount("sysfs", "/sys", "sysfs", 0, NULL);
	if (wanted("exit"))
		return 0;
	if (wanted("read"))
		return read_disk() ? reboot(RB_POWER_OFF) : 1;
	if (wanted("cpus"))
		return cpus != NULL && sysconf(_SC_NPROCESSORS_ONLN) == strtol(cpus, NULL, 10)
		               ? reboot(RB_POWER_OFF)
		               : 1;
	if (wanted("poweroff"))
		return reboot(RB_POWER_OFF);
	if (wanted("reboot"))
		return reboot(RB_AUTOBOOT);
	for (;;)
		(void)pause();
}
