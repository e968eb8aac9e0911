// SPDX-License-Identifier: Apache-2.0
//
// HTTP requests of the puller, by libcurl.
//
// Redirects are followed here, five at most, never from https to http; another origin (scheme,
// host, port) gets neither Authorization nor the administrator's headers nor the client
// certificate.
//
// A connection attempt ends after 15 s; a transfer ends when nothing comes for 60 s. Nothing else
// limits a transfer's time: a large layer on a slow line is no fault.
//
// Thread rule: one thread at a time per handle; zl_http_global_init once before threads start.
#ifndef ZL_STORAGE_DRIVER_PULLER_HTTP_H
#define ZL_STORAGE_DRIVER_PULLER_HTTP_H

#include "storage-driver/digest.h"
#include "storage-driver/puller/challenge.h"
#include "storage-driver/puller/hosts.h"
#include "storage-driver/puller/inflate.h"

enum { ZL_HTTP_BODY_MAX = 64 * 1024, ZL_HTTP_REDIRECTS_MAX = 5 };

struct zl_http; // keeps connections alive between requests

struct zl_http *zl_http_open(struct zl_error *err);
void zl_http_close(struct zl_http *http);
ZL_AUTO_DEFINE(http, struct zl_http *, zl_http_close);

struct zl_http_request {
	const char *url;
	const struct zl_host *host; // certificates and headers; NULL: none (a token server)
	const char *accept;         // NULL: anything
	const char *authorization;  // "Bearer …", "Basic …"; NULL: none
	const char *form;           // sent by POST as a form; NULL: GET
	uint64_t offset;            // the first byte wanted; 0: all
	zl_byte_sink *sink;         // takes the body of a 2xx answer
	void *user;
};

struct zl_http_response {
	long status;
	char content_type[128];
	char content_digest[ZL_DIGEST_SIZE]; // Docker-Content-Digest; "" if none
	struct zl_challenge challenge;
	uint64_t range_start;  // of a 206
	struct zl_buffer body; // of an answer other than 2xx, cut at ZL_HTTP_BODY_MAX
	bool network_failed;   // -1 came from the network, not from the sink: trying again may help
};

#define ZL_HTTP_RESPONSE_INIT {.status = 0}

void zl_http_response_release(struct zl_http_response *response);
ZL_AUTO_DEFINE_VALUE(http_response, struct zl_http_response, zl_http_response_release);

// 0 when a whole answer came, whatever its status. UNAVAILABLE: no connection, no TLS, broken off
// or stalled; or the sink's error.
int zl_http_perform(struct zl_http *http, const struct zl_http_request *request,
        struct zl_http_response *response, struct zl_error *err);

int zl_http_global_init(struct zl_error *err);

// Percent-encodes for a query or a form. The caller frees.
char *zl_http_escape(const char *text, struct zl_error *err);

#endif
