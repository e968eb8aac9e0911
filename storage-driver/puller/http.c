// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/strv.h"

enum { CONNECT_TIMEOUT_S = 15, STALL_TIMEOUT_S = 60, BUFFER_BYTES = 256 * 1024 };

struct zl_http {
	CURL *curl;
	const struct zl_http_request *request;
	struct zl_http_response *response;
	struct zl_error *sink_error; // where a sink's failure goes
	bool sink_failed;
	char failure[CURL_ERROR_SIZE];
};

int zl_http_global_init(struct zl_error *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return zl_error_set(err, ZL_INTERNAL, "libcurl does not start");
	return 0;
}

struct zl_http *zl_http_open(struct zl_error *err)
{
	struct zl_http *http = calloc(1, sizeof(*http));

	if (http != NULL)
		http->curl = curl_easy_init();
	if (http == NULL || http->curl == NULL) {
		zl_error_nomem(err);
		free(http);
		return NULL;
	}
	return http;
}

void zl_http_close(struct zl_http *http)
{
	if (http == NULL)
		return;
	curl_easy_cleanup(http->curl);
	free(http);
}

void zl_http_response_release(struct zl_http_response *response)
{
	zl_buffer_release(&response->body);
}

char *zl_http_escape(const char *text, struct zl_error *err)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = escaped != NULL ? zl_strdup(escaped, err) : NULL;

	if (escaped == NULL)
		zl_error_nomem(err);
	curl_free(escaped);
	return copy;
}

static bool success(long status)
{
	return status >= 200 && status < 300;
}

static size_t take_body(char *bytes, size_t one, size_t length, void *user)
{
	struct zl_http *http = user;
	struct zl_http_response *response = http->response;

	(void)one;
	if (response->status == 0)
		(void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &response->status);
	if (success(response->status)) {
		if (http->request->sink(http->request->user, (const uint8_t *)bytes, length,
		            http->sink_error) == 0)
			return length;
		http->sink_failed = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (response->body.length + length <= ZL_HTTP_BODY_MAX)
		(void)zl_buffer_append(&response->body, bytes, length, NULL);
	return length;
}

// If `line` is the header `name`, copies its value.
static bool take_header(const char *line, size_t length, const char *name, char *out, size_t size)
{
	size_t prefix = strlen(name);

	if (length <= prefix || strncasecmp(line, name, prefix) != 0 || line[prefix] != ':')
		return false;
	line += prefix + 1;
	length -= prefix + 1;
	while (length > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		length--;
	}
	while (length > 0 && strchr("\r\n \t", line[length - 1]) != NULL)
		length--;
	if (length >= size)
		length = size - 1;
	memcpy(out, line, length);
	out[length] = '\0';
	return true;
}

static size_t take_header_line(char *line, size_t one, size_t length, void *user)
{
	struct zl_http *http = user;
	struct zl_http_response *response = http->response;
	char value[4096];

	(void)one;
	if (take_header(line, length, "www-authenticate", value, sizeof(value)))
		zl_challenge_add(&response->challenge, value);
	else if (take_header(line, length, "docker-content-digest", value, sizeof(value)))
		(void)snprintf(response->content_digest, sizeof(response->content_digest), "%.143s",
		        value);
	else if (take_header(line, length, "content-type", value, sizeof(value)))
		(void)snprintf(
		        response->content_type, sizeof(response->content_type), "%.127s", value);
	else if (take_header(line, length, "content-range", value, sizeof(value)) &&
	         strncmp(value, "bytes ", 6) == 0)
		response->range_start = strtoull(value + 6, NULL, 10);
	return length;
}

static void set_blob(CURL *curl, CURLoption option, const struct zl_buffer *pem)
{
	struct curl_blob blob = {pem->data, pem->length, CURL_BLOB_COPY};

	if (pem->length > 0)
		(void)curl_easy_setopt(curl, option, &blob);
}

// `trusted`: still at the origin that the request was for.
static void set_tls(CURL *curl, const struct zl_host *host, bool trusted)
{
	if (host == NULL)
		return;
	// The default directory of CAs stays in force beside these.
	set_blob(curl, CURLOPT_CAINFO_BLOB, &host->ca);
	if (!trusted)
		return;
	if (host->skip_verify) {
		(void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
		(void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	set_blob(curl, CURLOPT_SSLCERT_BLOB, &host->client_cert);
	set_blob(curl, CURLOPT_SSLKEY_BLOB,
	        host->client_key.length > 0 ? &host->client_key : &host->client_cert);
}

static void add_line(struct curl_slist **list, const char *name, const char *value)
{
	char *line = zl_format(NULL, "%s%s", name, value);

	if (line != NULL)
		*list = curl_slist_append(*list, line);
	free(line);
}

static struct curl_slist *make_headers(const struct zl_http_request *request, bool trusted)
{
	struct curl_slist *list = NULL;

	if (request->accept != NULL)
		add_line(&list, "Accept: ", request->accept);
	if (!trusted)
		return list;
	if (request->authorization != NULL)
		add_line(&list, "Authorization: ", request->authorization);
	if (request->host == NULL || request->host->headers == NULL)
		return list;
	for (char **header = request->host->headers; *header != NULL; header++)
		add_line(&list, *header, "");
	return list;
}

static void set_options(struct zl_http *http, const char *url, bool trusted)
{
	CURL *curl = http->curl;
	const struct zl_http_request *request = http->request;

	curl_easy_reset(curl);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	(void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "zonelet");
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->failure);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_TIMEOUT_S);
	(void)curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
	(void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, http);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header_line);
	(void)curl_easy_setopt(curl, CURLOPT_HEADERDATA, http);
	if (request->form != NULL)
		(void)curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, request->form);
	if (request->host != NULL && zl_host_is_loopback(request->host->name))
		(void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	set_tls(curl, request->host, trusted);
}

// One request without redirects. 0 or -1 with the error set.
static int perform_once(struct zl_http *http, const char *url, bool trusted, struct zl_error *err)
{
	struct curl_slist *headers = make_headers(http->request, trusted);
	char range[32];
	CURLcode result;

	set_options(http, url, trusted);
	(void)curl_easy_setopt(http->curl, CURLOPT_HTTPHEADER, headers);
	if (http->request->offset > 0) {
		(void)snprintf(
		        range, sizeof(range), "%llu-", (unsigned long long)http->request->offset);
		(void)curl_easy_setopt(http->curl, CURLOPT_RANGE, range);
	}
	zl_http_response_release(http->response);
	*http->response = (struct zl_http_response)ZL_HTTP_RESPONSE_INIT;
	http->failure[0] = '\0';
	http->sink_failed = false;
	http->sink_error = err;
	result = curl_easy_perform(http->curl);
	(void)curl_easy_getinfo(http->curl, CURLINFO_RESPONSE_CODE, &http->response->status);
	curl_slist_free_all(headers);
	if (result == CURLE_OK)
		return 0;
	if (http->sink_failed)
		return -1;
	http->response->network_failed = true;
	return zl_error_set(err, ZL_UNAVAILABLE, "%s",
	        http->failure[0] != '\0' ? http->failure : curl_easy_strerror(result));
}

static int same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *left = NULL;
	char *right = NULL;
	int same = curl_url_get(a, part, &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	           curl_url_get(b, part, &right, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	           strcasecmp(left, right) == 0;

	curl_free(left);
	curl_free(right);
	return same;
}

static bool same_origin(const char *a, const char *b)
{
	CURLU *left = curl_url();
	CURLU *right = curl_url();
	bool same = left != NULL && right != NULL &&
	            curl_url_set(left, CURLUPART_URL, a, 0) == CURLUE_OK &&
	            curl_url_set(right, CURLUPART_URL, b, 0) == CURLUE_OK &&
	            same_part(left, right, CURLUPART_SCHEME) &&
	            same_part(left, right, CURLUPART_HOST) &&
	            same_part(left, right, CURLUPART_PORT);

	curl_url_cleanup(left);
	curl_url_cleanup(right);
	return same;
}

// Where the answer sends us: a copy, or NULL when nowhere.
static char *redirect_target(struct zl_http *http)
{
	char *target = NULL;

	if (http->response->status < 300 || http->response->status >= 400)
		return NULL;
	(void)curl_easy_getinfo(http->curl, CURLINFO_REDIRECT_URL, &target);
	return target != NULL ? zl_strdup(target, NULL) : NULL;
}

int zl_http_perform(struct zl_http *http, const struct zl_http_request *request,
        struct zl_http_response *response, struct zl_error *err)
{
	zl_auto(free) char *url = zl_strdup(request->url, err);
	bool trusted = true;

	http->request = request;
	http->response = response;
	for (int hops = 0; url != NULL && hops <= ZL_HTTP_REDIRECTS_MAX; hops++) {
		char *next;

		if (perform_once(http, url, trusted, err) < 0)
			return -1;
		next = redirect_target(http);
		if (next == NULL)
			return 0;
		if (strncasecmp(url, "https:", 6) == 0 && strncasecmp(next, "https:", 6) != 0) {
			free(next);
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "the server sends us from https to plain http, which is refused");
		}
		// Once away, never trusted again: the other host chooses where we go.
		trusted = trusted && same_origin(url, next);
		if (!trusted && request->form != NULL) {
			free(next);
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "the token server sends our secret to another host, which is "
			        "refused");
		}
		free(url);
		url = next;
	}
	return zl_error_set(err, ZL_UNAVAILABLE,
	        "more than %d redirects; the registry is set up wrongly", ZL_HTTP_REDIRECTS_MAX);
}
