// SPDX-License-Identifier: Apache-2.0
#include "zone/supervisor/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "zone/protocol/enclosing.h"

static struct zl_connection *find(struct zl_supervisor *s, const char *id)
{
	for (struct zl_connection *c = s->connections; c != NULL; c = c->next) {
		if (strcmp(c->id, id) == 0)
			return c;
	}
	return NULL;
}

static void connection_free(struct zl_connection *connection)
{
	struct zl_supervisor *s = connection->supervisor;

	for (struct zl_connection **at = &s->connections; *at != NULL; at = &(*at)->next) {
		if (*at == connection) {
			*at = connection->next;
			s->connection_count--;
			break;
		}
	}
	zl_source_close(&s->reactor, &connection->socket);
	zl_output_release(&connection->output);
	zl_input_release(&connection->input);
	free(connection);
}

// ---- connecting

static void fail(struct zl_connection *connection, int failure)
{
	char reason[64];

	(void)snprintf(connection->message, sizeof(connection->message),
	        "connect to port %u of the pod's loopback: %s", connection->port,
	        strerror_r(failure, reason, sizeof(reason)));
	zl_source_close(&connection->supervisor->reactor, &connection->socket);
	zl_output_end(&connection->output);
	zl_input_refuse(&connection->input);
}

// Connected: one descriptor for each direction.
static void begin(struct zl_connection *connection)
{
	struct zl_reactor *reactor = &connection->supervisor->reactor;
	struct zl_error err = ZL_ERROR_INIT;
	int fd = connection->socket.fd;
	int other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	int one = 1;

	if (other < 0) {
		fail(connection, errno);
		return;
	}
	(void)zl_source_watch(reactor, &connection->socket, 0, NULL);
	connection->socket.fd = -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (zl_input_start(&connection->input, other, &err) < 0 ||
	        zl_output_start(&connection->output, fd, &err) < 0)
		fail(connection, ENOMEM);
}

static socklen_t loopback(int family, uint16_t port, struct sockaddr_storage *address)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memset(address, 0, sizeof(*address));
	if (family == AF_INET) {
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(address, &v4, sizeof(v4));
		return sizeof(v4);
	}
	v6.sin6_addr = in6addr_loopback;
	memcpy(address, &v6, sizeof(v6));
	return sizeof(v6);
}

static void connecting(struct zl_source *source, uint32_t events);

// 0: connected or under way; else the errno.
static int attempt(struct zl_connection *connection, int family)
{
	struct zl_reactor *reactor = &connection->supervisor->reactor;
	struct sockaddr_storage address;
	socklen_t size = loopback(family, connection->port, &address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	connection->family = family;
	connection->socket = (struct zl_source){.fd = fd, .ready = connecting};
	if (connect(fd, (struct sockaddr *)&address, size) == 0) {
		begin(connection);
		return 0;
	}
	if (errno == EINPROGRESS &&
	        zl_source_watch(reactor, &connection->socket, EPOLLOUT, NULL) == 0)
		return 0;
	size = (socklen_t)errno;
	zl_source_close(reactor, &connection->socket);
	return (int)size;
}

// The first failure is the one to tell: most pods listen on IPv4 or on both.
static void try_next(struct zl_connection *connection, int failure)
{
	if (connection->family == AF_INET && attempt(connection, AF_INET6) == 0)
		return;
	fail(connection, failure);
}

static void connecting(struct zl_source *source, uint32_t events)
{
	struct zl_connection *connection = ZL_ENCLOSING(source, struct zl_connection, socket);
	int failure = 0;
	socklen_t size = sizeof(failure);

	(void)events;
	if (getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &failure, &size) < 0)
		failure = errno;
	if (failure == 0) {
		begin(connection);
		return;
	}
	zl_source_close(&connection->supervisor->reactor, source);
	try_next(connection, failure);
}

// ---- requests

static void reply_opened(struct zl_connection *connection, struct zl_reply reply)
{
	Zl__Zone__Opened opened = ZL__ZONE__OPENED__INIT;
	Zl__Zone__Stream to = ZL__ZONE__STREAM__INIT;
	Zl__Zone__Stream from = ZL__ZONE__STREAM__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	to.id = connection->input.stream.id;
	from.id = connection->output.stream.id;
	opened.stdin_stream = &to;
	opened.stdout_stream = &from;
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_OPENED;
	message.opened = &opened;
	zl_link_reply(&connection->supervisor->link, reply, &message);
}

static int check(struct zl_supervisor *s, const Zl__Zone__Connect *request, struct zl_error *err)
{
	size_t length = strlen(request->connection_id);

	if (length == 0 || length >= ZL_CONNECTION_ID_SIZE || request->port == 0 ||
	        request->port > UINT16_MAX)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "port %u cannot be connected to", request->port);
	if (find(s, request->connection_id) != NULL)
		return zl_error_set(err, ZL_ALREADY_EXISTS, "connection %s exists already",
		        request->connection_id);
	if (s->connection_count >= ZL_CONNECTIONS_MAX)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "%d connections to the pod's ports are open; close some",
		        ZL_CONNECTIONS_MAX);
	return 0;
}

void zl_connect_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__Connect *request = message->connect;
	struct zl_connection *connection = NULL;
	struct zl_error err = ZL_ERROR_INIT;
	int failure;

	if (check(s, request, &err) == 0 && (connection = calloc(1, sizeof(*connection))) == NULL)
		zl_error_nomem(&err);
	if (connection == NULL) {
		zl_link_reply_failure(&s->link, reply, &err);
		return;
	}
	connection->supervisor = s;
	(void)snprintf(connection->id, sizeof(connection->id), "%s", request->connection_id);
	connection->port = (uint16_t)request->port;
	connection->socket = (struct zl_source){.fd = -1};
	zl_output_init(&connection->output, &s->reactor, s->next_stream++);
	zl_input_init(&connection->input, &s->reactor, s->next_stream++);
	connection->input.half_close = true;
	connection->next = s->connections;
	s->connections = connection;
	s->connection_count++;
	reply_opened(connection, reply);
	failure = attempt(connection, AF_INET);
	if (failure != 0)
		try_next(connection, failure);
}

void zl_connection_hang_up(struct zl_supervisor *s, const char *id)
{
	struct zl_connection *connection = find(s, id);

	if (connection != NULL)
		connection_free(connection);
}

void zl_connection_drop_all(struct zl_supervisor *s)
{
	while (s->connections != NULL)
		connection_free(s->connections);
}

// ---- the channel's side

bool zl_connection_frame(struct zl_supervisor *s, const struct zl_frame *frame, int *ret_result,
        struct zl_error *err)
{
	bool from_reader = frame->kind == ZL_FRAME_ACK || frame->kind == ZL_FRAME_RESET;

	for (struct zl_connection *c = s->connections; c != NULL; c = c->next) {
		if (c->output.stream.id == frame->stream) {
			*ret_result = from_reader ? zl_output_frame(&c->output, frame, err)
			                          : zl_error_set(err, ZL_DATA_LOSS,
			                                    "the daemon wrote to an output stream");
			return true;
		}
		if (c->input.stream.id == frame->stream) {
			*ret_result = zl_input_frame(&c->input, frame, err);
			return true;
		}
	}
	return false;
}

void zl_connection_fill(struct zl_supervisor *s, struct zl_link *link)
{
	for (struct zl_connection *c = s->connections; c != NULL; c = c->next) {
		if (link->flowing)
			zl_output_fill(&c->output, link);
		zl_input_fill(&c->input, link);
	}
}

// Nothing more comes from the port, and nothing more can go there.
static bool is_over(const struct zl_connection *connection)
{
	const struct zl_input *input = &connection->input;

	return connection->output.stream.ended &&
	       (input->refused || (input->stream.ended && input->pending.length == 0));
}

static void tell(struct zl_connection *connection)
{
	Zl__Zone__Exited exited = ZL__ZONE__EXITED__INIT;
	Zl__Zone__FromZone message = ZL__ZONE__FROM_ZONE__INIT;

	exited.exec_id = connection->id;
	exited.exit_code = connection->message[0] != '\0' ? 1 : 0;
	exited.message = connection->message;
	exited.finished_at_ns = zl_clock_real();
	message.body_case = ZL__ZONE__FROM_ZONE__BODY_EXITED;
	message.exited = &exited;
	connection->told = true;
	zl_link_event(&connection->supervisor->link, &message);
}

void zl_connection_settle(struct zl_supervisor *s)
{
	struct zl_connection *next;

	for (struct zl_connection *c = s->connections; c != NULL; c = next) {
		next = c->next;
		if (!c->told && is_over(c))
			tell(c);
		if (c->told && zl_stream_out_complete(&c->output.stream))
			connection_free(c);
	}
}
