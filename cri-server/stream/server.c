// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "cri-server/stream/session.h"
#include "cri-server/stream/token.h"

enum {
	STACK = 256 * 1024,
	REQUEST_MEMORY = 16 * 1024, // of one HTTP request
	HEADER_TEXT = 1024,
	MANY_SESSIONS = 64,
};

struct zl_stream_server {
	struct MHD_Daemon *http;
	struct zl_token_cache *tokens;
	struct zl_cancel stopping;
	int64_t idle_ns;
	char origin[80]; // "http://127.0.0.1:1234"

	pthread_mutex_t lock; // innermost
	pthread_cond_t changed;
	unsigned sessions;
	unsigned most_sessions; // since there were none
};

// A request whose headers were accepted, until its connection is upgraded. Belongs to the HTTP
// connection (its req_cls).
struct pending {
	struct zl_stream_server *server;
	struct zl_stream_request *request; // NULL before, and once the session has it
	struct zl_stream_protocol protocol;
};

struct client {
	struct zl_stream_server *server;
	struct zl_stream_request *request;
	struct MHD_UpgradeResponseHandle *upgrade;
	struct zl_session session;
};

// ---- sessions

static bool enter(struct zl_stream_server *server)
{
	bool entered = false;

	pthread_mutex_lock(&server->lock);
	if (server->sessions < ZL_STREAM_SESSIONS_MAX &&
	        zl_cancel_check(&server->stopping, NULL) == 0) {
		server->sessions++;
		if (server->sessions > server->most_sessions)
			server->most_sessions = server->sessions;
		entered = true;
	}
	pthread_mutex_unlock(&server->lock);
	return entered;
}

// After many clients the memory of the last goes back to the kernel: malloc(3) would keep what lies
// in pieces.
static void leave(struct zl_stream_server *server)
{
	bool many = false;

	pthread_mutex_lock(&server->lock);
	if (server->sessions == 1) {
		many = server->most_sessions >= MANY_SESSIONS;
		server->most_sessions = 0;
	}
	pthread_mutex_unlock(&server->lock);
	if (many)
		(void)malloc_trim(0);
	// Whoever stops the server waits for this, and then it is gone.
	pthread_mutex_lock(&server->lock);
	server->sessions--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

unsigned zl_stream_server_sessions(struct zl_stream_server *server)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = server->sessions;
	pthread_mutex_unlock(&server->lock);
	return count;
}

static void client_free(struct client *client)
{
	struct zl_stream_server *server = client->server;

	zl_stream_request_free(client->request);
	zl_session_release(&client->session);
	zl_close(client->session.wake);
	zl_cancel_release(&client->session.cancel);
	(void)MHD_upgrade_action(client->upgrade, MHD_UPGRADE_ACTION_CLOSE);
	free(client);
	leave(server);
}

static void *client_main(void *data)
{
	struct client *client = data;
	struct zl_error err = ZL_ERROR_INIT;
	int result = client->request->serve(client->request, &client->session, &err);

	if (result < 0 && err.code != ZL_UNAVAILABLE && err.code != ZL_CANCELLED)
		zl_log_warning("streaming: %s", err.message);
	else if (result < 0)
		zl_log_debug("streaming: %s", err.message);
	zl_stream_request_free(zl_take(client->request));
	if (result == 0)
		zl_session_goodbye(&client->session);
	client_free(client);
	return NULL;
}

static int start_thread(struct client *client)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int failure;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failure = pthread_create(&thread, &attributes, client_main, client);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return failure;
}

static int prepare(
        struct client *client, int fd, const char *early, size_t early_length, struct zl_error *err)
{
	struct zl_session *session = &client->session;
	int one = 1;

	session->fd = fd;
	session->idle_ns = client->server->idle_ns;
	session->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (session->wake < 0)
		return zl_error_errno(err, errno, "make an eventfd");
	if (zl_cancel_init(&session->cancel, INT64_MAX, &client->server->stopping, err) < 0)
		return -1;
	if (early_length > 0) {
		session->early = malloc(early_length);
		if (session->early == NULL)
			return zl_error_nomem(err);
		memcpy(session->early, early, early_length);
		session->early_length = early_length;
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

// On libmicrohttpd's thread, which must not wait: the connection is ours from here on.
static void upgraded(void *closure, struct MHD_Connection *connection, void *request,
        const char *early, size_t early_length, MHD_socket fd,
        struct MHD_UpgradeResponseHandle *upgrade)
{
	struct pending *pending = closure;
	struct client *client;
	struct zl_error err = ZL_ERROR_INIT;

	(void)connection;
	(void)request;
	if (!enter(pending->server)) {
		(void)MHD_upgrade_action(upgrade, MHD_UPGRADE_ACTION_CLOSE);
		return;
	}
	client = calloc(1, sizeof(*client));
	if (client == NULL) {
		(void)MHD_upgrade_action(upgrade, MHD_UPGRADE_ACTION_CLOSE);
		leave(pending->server);
		return;
	}
	client->server = pending->server;
	client->request = zl_take(pending->request);
	client->upgrade = upgrade;
	client->session.wake = -1;
	client->session.cancel = (struct zl_cancel)ZL_CANCEL_INIT;
	client->session.protocol = pending->protocol;
	if (prepare(client, fd, early, early_length, &err) < 0 || start_thread(client) != 0) {
		zl_log_error("no thread for a streaming client: %s", err.message);
		client_free(client);
	}
}

// ---- HTTP

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text)
{
	struct MHD_Response *response = MHD_create_response_from_buffer_copy(strlen(text), text);
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	(void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

// All values of one name, joined with commas. Cut when longer than HEADER_TEXT, which no client of
// ours comes near.
struct gathered {
	const char *name;
	char text[HEADER_TEXT];
	size_t length;
	bool there;
};

static enum MHD_Result gather_one(
        void *closure, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct gathered *into = closure;
	int more;

	(void)kind;
	if (strcasecmp(name, into->name) != 0)
		return MHD_YES;
	more = snprintf(into->text + into->length, sizeof(into->text) - into->length, "%s%s",
	        into->there ? "," : "", value != NULL ? value : "");
	into->there = true;
	into->length += more > 0 ? (size_t)more : 0;
	if (into->length >= sizeof(into->text))
		into->length = sizeof(into->text) - 1;
	return MHD_YES;
}

static const char *gather(
        struct MHD_Connection *connection, enum MHD_ValueKind kind, struct gathered *into)
{
	(void)MHD_get_connection_values(connection, kind, gather_one, into);
	return into->there ? into->text : NULL;
}

static int negotiate(struct MHD_Connection *connection, enum zl_stream_kind kind,
        struct zl_stream_protocol *ret, struct zl_error *err)
{
	struct gathered upgrade = {.name = "Connection"};
	struct gathered to = {.name = "Upgrade"};
	struct gathered spdy = {.name = "X-Stream-Protocol-Version"};
	struct gathered websocket = {.name = "Sec-WebSocket-Protocol"};
	struct gathered ports = {.name = "port"};
	struct zl_stream_offer offer = {
	        .connection = gather(connection, MHD_HEADER_KIND, &upgrade),
	        .upgrade = gather(connection, MHD_HEADER_KIND, &to),
	        .spdy_protocols = gather(connection, MHD_HEADER_KIND, &spdy),
	        .websocket_protocols = gather(connection, MHD_HEADER_KIND, &websocket),
	        .websocket_key = MHD_lookup_connection_value(
	                connection, MHD_HEADER_KIND, "Sec-WebSocket-Key"),
	        .websocket_version = MHD_lookup_connection_value(
	                connection, MHD_HEADER_KIND, "Sec-WebSocket-Version"),
	        .ports = gather(connection, MHD_GET_ARGUMENT_KIND, &ports),
	};

	return zl_negotiate(kind, &offer, ret, err);
}

static enum MHD_Result refuse(
        struct MHD_Connection *connection, enum zl_stream_kind kind, const struct zl_error *why)
{
	struct MHD_Response *response =
	        MHD_create_response_from_buffer_copy(strlen(why->message), why->message);
	bool forbidden = why->code == ZL_PERMISSION_DENIED;
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	if (forbidden)
		(void)MHD_add_response_header(response, "X-Accepted-Stream-Protocol-Versions",
		        zl_negotiate_spdy_names(kind));
	result = MHD_queue_response(
	        connection, forbidden ? MHD_HTTP_FORBIDDEN : MHD_HTTP_BAD_REQUEST, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result switch_protocols(struct MHD_Connection *connection, struct pending *pending)
{
	const struct zl_stream_protocol *protocol = &pending->protocol;
	struct MHD_Response *response = MHD_create_response_for_upgrade(upgraded, pending);
	bool spdy = protocol->transport == ZL_TRANSPORT_SPDY;
	enum MHD_Result result;

	if (response == NULL)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Upgrade", spdy ? "SPDY/3.1" : "websocket");
	if (!spdy)
		(void)MHD_add_response_header(response, "Sec-WebSocket-Accept", protocol->accept);
	if (protocol->name[0] != '\0')
		(void)MHD_add_response_header(response,
		        spdy ? "X-Stream-Protocol-Version" : "Sec-WebSocket-Protocol",
		        protocol->name);
	result = MHD_queue_response(connection, MHD_HTTP_SWITCHING_PROTOCOLS, response);
	MHD_destroy_response(response);
	return result;
}

// The path's first word, and the token after it.
static const char *token_of(const char *url, enum zl_stream_kind *ret_kind)
{
	static const char *const paths[] = {
	        [ZL_STREAM_EXEC] = "/exec/",
	        [ZL_STREAM_ATTACH] = "/attach/",
	        [ZL_STREAM_PORT_FORWARD] = "/portforward/",
	};

	for (size_t i = 0; i < ZL_ARRAY_SIZE(paths); i++) {
		if (strncmp(url, paths[i], strlen(paths[i])) == 0) {
			*ret_kind = (enum zl_stream_kind)i;
			return url + strlen(paths[i]);
		}
	}
	return NULL;
}

static enum MHD_Result serve_request(struct pending *pending, struct MHD_Connection *connection,
        const char *url, const char *method)
{
	struct zl_stream_server *server = pending->server;
	enum zl_stream_kind kind = ZL_STREAM_EXEC;
	const char *token = token_of(url, &kind);
	struct zl_error err = ZL_ERROR_INIT;

	if (strcmp(method, "POST") != 0 && strcmp(method, "GET") != 0)
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "use POST or GET\n");
	if (token != NULL)
		pending->request = zl_token_take(server->tokens, token, zl_clock_monotonic());
	if (pending->request == NULL || pending->request->kind != kind)
		return answer(connection, MHD_HTTP_NOT_FOUND,
		        "there is no such token, or it was used or is too old\n");
	if (zl_stream_server_sessions(server) >= ZL_STREAM_SESSIONS_MAX)
		return answer(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
		        "too many streaming clients are connected\n");
	if (negotiate(connection, kind, &pending->protocol, &err) < 0)
		return refuse(connection, kind, &err);
	return switch_protocols(connection, pending);
}

// Called first with the headers, then for each part of a body, of which we want none, then without.
static enum MHD_Result access_handler(void *closure, struct MHD_Connection *connection,
        const char *url, const char *method, const char *version, const char *body,
        size_t *body_length, void **request)
{
	struct pending *pending = *request;

	(void)version;
	(void)body;
	if (pending == NULL) {
		pending = calloc(1, sizeof(*pending));
		if (pending == NULL)
			return MHD_NO;
		pending->server = closure;
		*request = pending;
		return MHD_YES;
	}
	if (*body_length > 0) {
		*body_length = 0;
		return MHD_YES;
	}
	return serve_request(pending, connection, url, method);
}

static void completed(void *closure, struct MHD_Connection *connection, void **request,
        enum MHD_RequestTerminationCode code)
{
	struct pending *pending = *request;

	(void)closure;
	(void)connection;
	(void)code;
	if (pending == NULL)
		return;
	zl_stream_request_free(pending->request);
	free(pending);
	*request = NULL;
}

// ---- start and stop

static int parse_address(const struct zl_stream_options *options, struct sockaddr_storage *address,
        socklen_t *ret_size, struct zl_error *err)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(options->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(options->port)};

	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, options->address, &v4.sin_addr) == 1 &&
	        ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) {
		memcpy(address, &v4, sizeof(v4));
		*ret_size = sizeof(v4);
		return 0;
	}
	if (inet_pton(AF_INET6, options->address, &v6.sin6_addr) == 1 &&
	        IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr)) {
		memcpy(address, &v6, sizeof(v6));
		*ret_size = sizeof(v6);
		return 0;
	}
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "streaming.address %s is no loopback address: what is served there is protected by "
	        "nothing but a token, so only 127.0.0.1 or ::1 will do",
	        options->address);
}

static int listen_http(struct zl_stream_server *server, const struct zl_stream_options *options,
        struct zl_error *err)
{
	const unsigned flags = MHD_ALLOW_UPGRADE | MHD_USE_EPOLL_INTERNAL_THREAD;
	const union MHD_DaemonInfo *port;
	struct sockaddr_storage address;
	socklen_t size = 0;
	bool v6;

	if (parse_address(options, &address, &size, err) < 0)
		return -1;
	v6 = address.ss_family == AF_INET6;
	errno = 0;
	server->http = MHD_start_daemon(flags | (v6 ? MHD_USE_IPv6 : 0), options->port, NULL, NULL,
	        access_handler, server, MHD_OPTION_SOCK_ADDR_LEN, size, &address,
	        MHD_OPTION_CONNECTION_LIMIT, (unsigned)ZL_STREAM_CONNECTIONS_MAX,
	        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ZL_STREAM_REQUEST_SECONDS,
	        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MEMORY,
	        MHD_OPTION_NOTIFY_COMPLETED, completed, NULL, MHD_OPTION_END);
	if (server->http == NULL)
		return zl_error_errno(err, errno != 0 ? errno : EADDRINUSE,
		        "listen for streaming clients at %s, port %u (streaming.port)",
		        options->address, options->port);
	port = MHD_get_daemon_info(server->http, MHD_DAEMON_INFO_BIND_PORT);
	if (port == NULL)
		return zl_error_set(err, ZL_INTERNAL, "the streaming server has no port");
	(void)snprintf(server->origin, sizeof(server->origin),
	        v6 ? "http://[%s]:%u" : "http://%s:%u", options->address, (unsigned)port->port);
	return 0;
}

struct zl_stream_server *zl_stream_server_start(
        const struct zl_stream_options *options, struct zl_error *err)
{
	struct zl_stream_server *server = calloc(1, sizeof(*server));

	if (server == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	server->stopping = (struct zl_cancel)ZL_CANCEL_INIT;
	server->idle_ns = options->idle_ns;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	server->tokens = zl_token_cache_new(err);
	if (server->tokens == NULL || zl_cancel_init(&server->stopping, INT64_MAX, NULL, err) < 0 ||
	        listen_http(server, options, err) < 0) {
		zl_stream_server_stop(server);
		return NULL;
	}
	zl_log_info("streaming clients are served at %s", server->origin);
	return server;
}

// libmicrohttpd wants all upgraded connections closed before it stops.
void zl_stream_server_stop(struct zl_stream_server *server)
{
	if (server == NULL)
		return;
	if (server->stopping.fd >= 0)
		zl_cancel_fire(&server->stopping);
	pthread_mutex_lock(&server->lock);
	while (server->sessions > 0)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	if (server->http != NULL)
		MHD_stop_daemon(server->http);
	zl_token_cache_free(server->tokens);
	zl_cancel_release(&server->stopping);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int zl_stream_server_offer(struct zl_stream_server *server, struct zl_stream_request *request,
        struct zl_buffer *ret_url, struct zl_error *err)
{
	static const char *const names[] = {
	        [ZL_STREAM_EXEC] = "exec",
	        [ZL_STREAM_ATTACH] = "attach",
	        [ZL_STREAM_PORT_FORWARD] = "portforward",
	};
	enum zl_stream_kind kind = request->kind;
	char token[ZL_TOKEN_SIZE];

	if (zl_token_insert(server->tokens, request, zl_clock_monotonic(), token, err) < 0)
		return -1;
	return zl_buffer_printf(ret_url, err, "%s/%s/%s", server->origin, names[kind], token);
}
