// SPDX-License-Identifier: Apache-2.0
/*
 * The lab's control line into dom0: runs commands for programs on the host, over virtio-serial
 * ports.
 *
 * It does not use dom0's network, which tests take apart, and it is running already in every
 * snapshot, so a restored machine obeys at once. One thread serves one port (zonelet.0 to
 * zonelet.N); a port carries one command at a time. The host's side is agent.py.
 *
 * A session is one command. It starts with 16 bytes from the host, "zlab/1\r\n" and 8 more of its
 * choice, which the agent returns in a HELLO frame: so each side finds the start of a session
 * behind whatever an interrupted one left in the queues. Then both sides send frames: type (1
 * byte), length (4 bytes, little endian), payload.
 *
 *   host to agent   START   NUL-ended strings: "pipe" or "pty ROWS COLS", directory, argv...
 *                   INPUT   bytes for the command's standard input; empty: end of input
 *                   WINDOW  rows, columns (2 bytes each)
 *                   KILL    signal (1 byte), to the command's process group
 *                   CLOCK   nanoseconds since 1970 (8 bytes): set dom0's clock; answered by EXIT
 *   agent to host   HELLO, OUTPUT, ERRORS (bytes), EXIT (4 bytes: exit code, or 128 + signal),
 *                   FAILED (a message: the command could not be started)
 *
 * When the host goes away the command's process group is killed. It ends with EXIT once the command
 * itself has ended and what it wrote has been read; processes it left in the background live on.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HEADER           5
#define PAYLOAD_MAX      65536
#define ARGS_MAX         1024
#define HOST_PATIENCE_MS 1000

static const char magic[8] = "zlab/1\r\n";

enum frame {
	FRAME_START = 'S',
	FRAME_INPUT = 'I',
	FRAME_WINDOW = 'W',
	FRAME_KILL = 'K',
	FRAME_CLOCK = 'T',
	FRAME_HELLO = 'H',
	FRAME_OUTPUT = 'O',
	FRAME_ERRORS = 'E',
	FRAME_EXIT = 'X',
	FRAME_FAILED = 'F',
};

/* One port and the command that it carries. Used by its own thread only. */
struct port {
	int fd;       /* the virtio port, non-blocking */
	int epoll;    /* edge-triggered on fd: a port without a host is always "readable" */
	bool session; /* the preamble has been seen */
	uint8_t in[HEADER + PAYLOAD_MAX + 1];
	size_t in_len; /* bytes in `in` that are not yet used */
	pid_t pid;     /* the command, 0 when there is none */
	int pidfd;     /* readable once the command has ended, -1 when there is none */
	int input;     /* writes to the command, -1 when closed */
	int output;    /* reads from the command, -1 when closed */
	int errors;
	int tty; /* the pty's master, -1 without one; then input and output are copies of it */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Ends the session: kills the command if it still runs. */
static void port_end_session(struct port *port)
{
	if (port->pid > 0) {
		kill(-port->pid, SIGKILL);
		kill(port->pid, SIGKILL);
		waitpid(port->pid, NULL, 0);
	}
	port->pid = 0;
	close_fd(&port->pidfd);
	close_fd(&port->input);
	close_fd(&port->output);
	close_fd(&port->errors);
	close_fd(&port->tty);
	port->session = false;
}

/* Returns once a host is there; -1 when it stays away. The kernel's news of hosts that go and come
 * travel by another queue than their bytes, so the end of the last host may be heard of when the
 * next one has already sent its command. */
static int port_wait_host(struct port *port)
{
	struct pollfd wait = {.fd = port->fd, .events = POLLOUT};

	for (int i = 0; i < HOST_PATIENCE_MS; i++) {
		if (poll(&wait, 1, 0) == 0 || !(wait.revents & POLLHUP))
			return 0;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return -1;
}

/* A port without a host is never writable, and poll does not wait for one. */
static int port_wait_writable(struct port *port)
{
	struct pollfd wait = {.fd = port->fd, .events = POLLOUT};

	return poll(&wait, 1, -1) > 0 && !(wait.revents & POLLHUP) ? 0 : port_wait_host(port);
}

/* Writes all of it. Returns -1 when the host has gone. */
static int port_write(struct port *port, const void *data, size_t len)
{
	const uint8_t *at = data;

	while (len > 0) {
		ssize_t n = write(port->fd, at, len);
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		} else if ((n < 0 && errno != EAGAIN && errno != EINTR) ||
		           port_wait_writable(port)) {
			return -1;
		}
	}
	return 0;
}

static int port_send(struct port *port, enum frame type, const void *payload, size_t len)
{
	uint8_t frame[HEADER + PAYLOAD_MAX];
	uint32_t size = htole32((uint32_t)len);

	frame[0] = (uint8_t)type;
	memcpy(frame + 1, &size, sizeof(size));
	memcpy(frame + HEADER, payload, len);
	return port_write(port, frame, HEADER + len);
}

static int port_send_exit(struct port *port, int code)
{
	uint32_t value = htole32((uint32_t)code);
	return port_send(port, FRAME_EXIT, &value, sizeof(value));
}

static int port_fail(struct port *port, const char *what, int error)
{
	char message[512];
	int len = snprintf(message, sizeof(message), "%s: %s", what, strerrordesc_np(error));
	return port_send(port, FRAME_FAILED, message,
	        (size_t)len < sizeof(message) ? (size_t)len : sizeof(message) - 1);
}

/* The file descriptors that a command will be started with, and our ends of them. */
struct stdio {
	int child[3];
	char tty_path[64];
};

static int stdio_open_pipes(struct port *port, struct stdio *io)
{
	int in[2], out[2], err[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		return -1;
	port->input = in[1];
	port->output = out[0];
	port->errors = err[0];
	io->child[0] = in[0];
	io->child[1] = out[1];
	io->child[2] = err[1];
	return 0;
}

static int stdio_open_tty(
        struct port *port, struct stdio *io, unsigned short rows, unsigned short cols)
{
	struct winsize size = {.ws_row = rows, .ws_col = cols};

	port->tty = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port->tty < 0 || grantpt(port->tty) || unlockpt(port->tty) ||
	        ptsname_r(port->tty, io->tty_path, sizeof(io->tty_path)) ||
	        ioctl(port->tty, TIOCSWINSZ, &size))
		return -1;
	port->input = fcntl(port->tty, F_DUPFD_CLOEXEC, 0);
	port->output = fcntl(port->tty, F_DUPFD_CLOEXEC, 0);
	return port->input < 0 || port->output < 0 ? -1 : 0;
}

static int stdio_spawn(const struct stdio *io, const char *directory, char **argv, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	for (int i = 0; i < 3; i++) {
		/* A session leader that opens a terminal gets it as its controlling terminal. */
		if (io->tty_path[0])
			posix_spawn_file_actions_addopen(&actions, i, io->tty_path, O_RDWR, 0);
		else
			posix_spawn_file_actions_adddup2(&actions, io->child[i], i);
	}
	posix_spawn_file_actions_addchdir_np(&actions, directory);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	sigaddset(&none, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &none);
	posix_spawnattr_setflags(
	        &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	int error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

static int port_start(struct port *port, char *payload, size_t len)
{
	char *strings[ARGS_MAX + 3];
	size_t count = 0;
	struct stdio io = {.child = {-1, -1, -1}};
	unsigned short rows = 0, cols = 0;

	if (port->pid || len == 0 || payload[len - 1] != '\0')
		return port_fail(port, "bad START", EPROTO);
	for (char *at = payload; at < payload + len && count < ARGS_MAX + 2; at += strlen(at) + 1)
		strings[count++] = at;
	strings[count] = NULL;
	if (count < 3)
		return port_fail(port, "START without a command", EPROTO);

	// NOLINTNEXTLINE(cert-err34-c): agent.py wrote it
	bool tty = sscanf(strings[0], "pty %hu %hu", &rows, &cols) == 2;
	int error = (tty ? stdio_open_tty(port, &io, rows, cols) : stdio_open_pipes(port, &io))
	                    ? errno
	                    : 0;
	if (!error)
		error = stdio_spawn(&io, strings[1], strings + 2, &port->pid);
	for (int i = 0; i < 3; i++)
		close_fd(&io.child[i]);
	if (error) {
		port->pid = 0;
		port_end_session(port);
		return port_fail(port, strings[2], error);
	}
	port->pidfd = pidfd_open(port->pid, 0);
	fcntl(port->output, F_SETFL, O_NONBLOCK);
	if (port->errors >= 0)
		fcntl(port->errors, F_SETFL, O_NONBLOCK);
	return 0;
}

/* Passes on what the command has written so far. */
static int port_relay(struct port *port, int *fd, enum frame type)
{
	uint8_t buffer[PAYLOAD_MAX / 2];

	while (*fd >= 0) {
		ssize_t n = read(*fd, buffer, sizeof(buffer));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0) {
			close_fd(fd);
			return 0;
		}
		if (port_send(port, type, buffer, (size_t)n))
			return -1;
	}
	return 0;
}

/* Writes to the command's standard input; meanwhile passes its output on, for a command that writes
 * more than it has read would otherwise wait for us and we for it. */
static int port_input(struct port *port, const uint8_t *data, size_t len)
{
	if (len == 0 && port->tty < 0)
		close_fd(&port->input);
	while (len > 0 && port->input >= 0) {
		struct pollfd wait[] = {
		        {.fd = port->input, .events = POLLOUT},
		        {.fd = port->output, .events = POLLIN},
		        {.fd = port->errors, .events = POLLIN},
		        {.fd = port->pidfd, .events = POLLIN},
		};
		if (poll(wait, 4, -1) < 0)
			continue;
		if (port_relay(port, &port->output, FRAME_OUTPUT) ||
		        port_relay(port, &port->errors, FRAME_ERRORS))
			return -1;
		ssize_t n = 0;
		if (wait[0].revents & POLLOUT)
			n = write(port->input, data, len < PIPE_BUF ? len : PIPE_BUF);
		else if (wait[0].revents || wait[3].revents)
			n = -1;
		if (n < 0) {
			close_fd(&port->input);
			return 0;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int port_set_clock(struct port *port, const uint8_t *payload, size_t len)
{
	uint64_t value;
	if (len != sizeof(value))
		return port_fail(port, "bad CLOCK", EPROTO);
	memcpy(&value, payload, sizeof(value));
	value = le64toh(value);
	struct timespec now = {
	        .tv_sec = (time_t)(value / 1000000000U), .tv_nsec = (long)(value % 1000000000U)};
	if (clock_settime(CLOCK_REALTIME, &now))
		return port_fail(port, "clock_settime", errno);
	return port_send_exit(port, 0);
}

static int port_frame(struct port *port, uint8_t type, uint8_t *payload, size_t len)
{
	switch (type) {
	case FRAME_START:
		return port_start(port, (char *)payload, len);
	case FRAME_INPUT:
		return port_input(port, payload, len);
	case FRAME_CLOCK:
		return port_set_clock(port, payload, len);
	case FRAME_KILL:
		if (len == 1 && port->pid > 0)
			kill(-port->pid, payload[0]);
		return 0;
	case FRAME_WINDOW:
		if (len == 4 && port->tty >= 0) {
			struct winsize size = {
			        .ws_row = (unsigned short)(payload[0] | payload[1] << 8),
			        .ws_col = (unsigned short)(payload[2] | payload[3] << 8)};
			ioctl(port->tty, TIOCSWINSZ, &size);
		}
		return 0;
	default:
		return 0;
	}
}

static void port_drop(struct port *port, size_t len)
{
	port->in_len -= len;
	memmove(port->in, port->in + len, port->in_len);
}

/* Looks for a preamble, answers it. Bytes before it are the rest of an interrupted session. */
static int port_find_session(struct port *port)
{
	uint8_t *at = memmem(port->in, port->in_len, magic, sizeof(magic));

	if (!at) {
		if (port->in_len >= sizeof(magic))
			port_drop(port, port->in_len - sizeof(magic) + 1);
		return 0;
	}
	port_drop(port, (size_t)(at - port->in));
	if (port->in_len < sizeof(magic) + 8)
		return 0;
	uint8_t nonce[8];
	memcpy(nonce, port->in + sizeof(magic), sizeof(nonce));
	port_drop(port, sizeof(magic) + 8);
	port->session = true;
	return port_send(port, FRAME_HELLO, nonce, sizeof(nonce));
}

static int port_parse(struct port *port)
{
	for (;;) {
		if (!port->session) {
			if (port_find_session(port))
				return -1;
			if (!port->session)
				return 0;
		}
		if (port->in_len < HEADER)
			return 0;
		uint32_t len;
		memcpy(&len, port->in + 1, sizeof(len));
		len = le32toh(len);
		// NOLINTNEXTLINE(bugprone-not-null-terminated-result): the letters, not the string
		if (!memchr("SIWKT", port->in[0], 5) || len > PAYLOAD_MAX) {
			/* The host has gone and another has come so fast that we saw neither: its
			 * preamble. */
			port_end_session(port);
			continue;
		}
		if (port->in_len < HEADER + len)
			return 0;
		if (port_frame(port, port->in[0], port->in + HEADER, len))
			return -1;
		port_drop(port, HEADER + len);
	}
}

/* Reads what the host has sent. Returns -1 when the host has gone. */
static int port_receive(struct port *port)
{
	for (;;) {
		ssize_t n = read(
		        port->fd, port->in + port->in_len, HEADER + PAYLOAD_MAX - port->in_len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 || (n == 0 && port_wait_host(port)))
			return -1;
		port->in_len += (size_t)n;
		if (port_parse(port))
			return -1;
	}
}

static int port_ended(struct port *port)
{
	int status;

	if (port_relay(port, &port->output, FRAME_OUTPUT) ||
	        port_relay(port, &port->errors, FRAME_ERRORS))
		return -1;
	waitpid(port->pid, &status, 0);
	port->pid = 0;
	port_end_session(port);
	return port_send_exit(
	        port, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int port_turn(struct port *port)
{
	struct pollfd wait[] = {
	        {.fd = port->epoll, .events = POLLIN},
	        {.fd = port->output, .events = POLLIN},
	        {.fd = port->errors, .events = POLLIN},
	        {.fd = port->pidfd, .events = POLLIN},
	};
	struct epoll_event event;

	if (poll(wait, 4, -1) < 0)
		return 0;
	if (wait[1].revents && port_relay(port, &port->output, FRAME_OUTPUT))
		return -1;
	if (wait[2].revents && port_relay(port, &port->errors, FRAME_ERRORS))
		return -1;
	if (wait[3].revents && port_ended(port))
		return -1;
	if (wait[0].revents && epoll_wait(port->epoll, &event, 1, 0) > 0)
		return port_receive(port);
	return 0;
}

static void *port_serve(void *argument)
{
	struct port *port = argument;

	for (;;) {
		if (port_turn(port)) {
			port_end_session(port);
			port->in_len = 0;
		}
	}
	return NULL;
}

static int port_open(const char *name_file)
{
	char name[64] = "", path[PATH_MAX];
	FILE *file = fopen(name_file, "re");

	if (!file)
		return -1;
	bool ours = fgets(name, sizeof(name), file) && strncmp(name, "zonelet.", 8) == 0;
	fclose(file);
	if (!ours)
		return -1;
	/* /sys/class/virtio-ports/vport1p1/name is /dev/vport1p1's name */
	const char *device = name_file + strlen("/sys/class/virtio-ports/");
	snprintf(path, sizeof(path), "/dev/%.*s", (int)strcspn(device, "/"), device);
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fprintf(stderr, "lab-agent: cannot open %s: %s\n", path, strerrordesc_np(errno));
	return fd;
}

static int port_run(int fd)
{
	struct port *port = calloc(1, sizeof(*port));
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
	pthread_t thread;

	if (!port)
		return -1;
	*port = (struct port){
	        .fd = fd, .pidfd = -1, .input = -1, .output = -1, .errors = -1, .tty = -1};
	port->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (port->epoll < 0 || epoll_ctl(port->epoll, EPOLL_CTL_ADD, fd, &event) ||
	        pthread_create(&thread, NULL, port_serve, port)) {
		free(port);
		return -1;
	}
	return 0;
}

int main(void)
{
	glob_t names = {0};
	int ports = 0;

	signal(SIGPIPE, SIG_IGN);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): no threads yet
	if (glob("/sys/class/virtio-ports/*/name", 0, NULL, &names) == 0) {
		for (size_t i = 0; i < names.gl_pathc; i++) {
			int fd = port_open(names.gl_pathv[i]);
			if (fd >= 0 && port_run(fd) == 0)
				ports++;
		}
	}
	globfree(&names);
	if (ports == 0) {
		fprintf(stderr, "lab-agent: no virtio-serial port named zonelet.*\n");
		return 1;
	}
	for (;;)
		pause();
}
