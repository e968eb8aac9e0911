// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/auth.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/strv.h"

enum { SECRET_MAX = 16 * 1024 };

static const char *const docker_hub[] = {
        "docker.io", "index.docker.io", "registry-1.docker.io", "registry.docker.io"};

static bool is_docker_hub(const char *name)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(docker_hub); i++) {
		if (strcasecmp(name, docker_hub[i]) == 0)
			return true;
	}
	return false;
}

bool zl_auth_is_for(const struct zl_job_auth *auth, const struct zl_host *host)
{
	const char *address = auth->server_address;
	char name[ZL_REFERENCE_NAME_SIZE];
	const char *scheme;

	if (address == NULL || *address == '\0')
		return host->upstream;
	scheme = strstr(address, "://");
	if (scheme != NULL)
		address = scheme + 3;
	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(address, "/"), address);
	if (is_docker_hub(name) && is_docker_hub(host->name))
		return true;
	return strcasecmp(name, host->name) == 0;
}

static char *base64(const char *text, struct zl_error *err)
{
	size_t length = strlen(text);
	char *out;

	if (length > SECRET_MAX) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "the pull secret is longer than 16 KiB");
		return NULL;
	}
	out = malloc(length / 3 * 4 + 5);
	if (out == NULL)
		zl_error_nomem(err);
	else
		(void)EVP_EncodeBlock(
		        (unsigned char *)out, (const unsigned char *)text, (int)length);
	return out;
}

static bool given(const char *text)
{
	return text != NULL && *text != '\0';
}

char *zl_auth_basic(const struct zl_job_auth *auth, struct zl_error *err)
{
	zl_auto(free) char *pair = NULL;
	zl_auto(free) char *encoded = NULL;

	if (given(auth->username)) {
		pair = zl_format(err, "%s:%s", auth->username, auth->password ?: "");
		encoded = pair != NULL ? base64(pair, err) : NULL;
	} else if (given(auth->auth)) {
		if (strspn(auth->auth, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                       "0123456789+/=-_") != strlen(auth->auth)) {
			zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "the pull secret's 'auth' is not base64");
			return NULL;
		}
		encoded = zl_strdup(auth->auth, err);
	} else {
		return NULL;
	}
	return encoded != NULL ? zl_format(err, "Basic %s", encoded) : NULL;
}

static int gather(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	return zl_buffer_append(user, bytes, length, err);
}

// Appends "<separator>name=<escaped value>".
static int add_parameter(struct zl_buffer *to, char separator, const char *name, const char *value,
        struct zl_error *err)
{
	zl_auto(free) char *escaped = zl_http_escape(value, err);

	return escaped == NULL ? -1
	                       : zl_buffer_printf(to, err, "%c%s=%s", separator, name, escaped);
}

// "?" or "&": how a further parameter is appended to this URL.
static int make_query(const struct zl_challenge *challenge, const char *scope,
        struct zl_buffer *url, struct zl_error *err)
{
	char separator = strchr(challenge->realm, '?') != NULL ? '&' : '?';

	if (zl_buffer_append_string(url, challenge->realm, err) < 0)
		return -1;
	if (challenge->service[0] != '\0') {
		if (add_parameter(url, separator, "service", challenge->service, err) < 0)
			return -1;
		separator = '&';
	}
	return add_parameter(url, separator, "scope", scope, err);
}

static int make_form(const struct zl_challenge *challenge, const char *scope,
        const char *identity_token, struct zl_buffer *form, struct zl_error *err)
{
	if (zl_buffer_append_string(form, "grant_type=refresh_token&client_id=zonelet", err) < 0 ||
	        add_parameter(form, '&', "refresh_token", identity_token, err) < 0 ||
	        add_parameter(form, '&', "scope", scope, err) < 0)
		return -1;
	if (challenge->service[0] == '\0')
		return 0;
	return add_parameter(form, '&', "service", challenge->service, err);
}

static char *token_of(const struct zl_buffer *body, const char *realm, struct zl_error *err)
{
	zl_auto(json) json_t *json = zl_json_parse(
	        "token server's answer", body->data, body->length, ZL_HTTP_BODY_MAX, err);
	const char *token = zl_json_string(json, "token");

	if (json == NULL)
		return NULL;
	if (!given(token))
		token = zl_json_string(json, "access_token");
	// A token goes into a header: nothing but visible characters.
	for (const char *c = token; c != NULL && *c != '\0'; c++) {
		if (*c <= ' ' || *c >= 0x7f)
			token = NULL;
		if (token == NULL)
			break;
	}
	if (!given(token)) {
		zl_error_set(err, ZL_UNAVAILABLE, "token server %s gives no token", realm);
		return NULL;
	}
	return zl_format(err, "Bearer %s", token);
}

static char *refused(const struct zl_http_response *response, const char *realm, bool had_secret,
        struct zl_error *err)
{
	if (response->status == 401 || response->status == 403)
		zl_error_set(err, ZL_UNAUTHENTICATED,
		        had_secret
		                ? "token server %s refuses the pull secret (HTTP %ld); correct "
		                  "user name and password"
		                : "token server %s wants credentials (HTTP %ld); give the pod an "
		                  "imagePullSecret",
		        realm, response->status);
	else
		zl_error_set(err, ZL_UNAVAILABLE,
		        "token server %s answers HTTP %ld; try again later", realm,
		        response->status);
	return NULL;
}

static char *fetch_token(struct zl_http *http, const struct zl_host *host,
        const struct zl_job_auth *auth, const struct zl_challenge *challenge, const char *scope,
        struct zl_error *err)
{
	zl_auto(http_response) struct zl_http_response response = ZL_HTTP_RESPONSE_INIT;
	zl_auto(buffer) struct zl_buffer body = ZL_BUFFER_LIMIT(ZL_HTTP_BODY_MAX);
	zl_auto(buffer) struct zl_buffer url = ZL_BUFFER_INIT;
	zl_auto(buffer) struct zl_buffer form = ZL_BUFFER_INIT;
	zl_auto(free) char *basic = NULL;
	struct zl_host tls = {.name = host->name, .ca = host->ca, .skip_verify = host->skip_verify};
	struct zl_http_request request = {.host = &tls, .sink = gather, .user = &body};

	if (given(auth->identity_token)) {
		if (make_form(challenge, scope, auth->identity_token, &form, err) < 0)
			return NULL;
		request.form = zl_buffer_string(&form);
		request.url = challenge->realm;
	} else {
		zl_error_clear(err);
		basic = zl_auth_basic(auth, err);
		if ((basic == NULL && err->code != ZL_OK) ||
		        make_query(challenge, scope, &url, err) < 0)
			return NULL;
		request.authorization = basic;
		request.url = zl_buffer_string(&url);
	}
	if (zl_http_perform(http, &request, &response, err) < 0) {
		zl_error_wrap(err, "token server %s", challenge->realm);
		return NULL;
	}
	if (response.status != 200)
		return refused(
		        &response, challenge->realm, basic != NULL || request.form != NULL, err);
	return token_of(&body, challenge->realm, err);
}

// A realm of plain http behind an https registry would show the secret to the network.
static int check_realm(
        const struct zl_host *host, const struct zl_challenge *challenge, struct zl_error *err)
{
	bool https = strncasecmp(challenge->realm, "https://", 8) == 0;
	bool http = strncasecmp(challenge->realm, "http://", 7) == 0;

	if (https || (http && strncasecmp(host->url, "http://", 7) == 0))
		return 0;
	return zl_error_set(err, ZL_UNAUTHENTICATED,
	        "%s names the token server '%.200s', which is not https", host->name,
	        challenge->realm);
}

char *zl_auth_answer(struct zl_http *http, const struct zl_host *host,
        const struct zl_job_auth *auth, const struct zl_challenge *challenge,
        const char *repository, struct zl_error *err)
{
	static const struct zl_job_auth nothing = {.username = NULL};
	const struct zl_job_auth *usable = zl_auth_is_for(auth, host) ? auth : &nothing;
	zl_auto(free) char *scope = NULL;
	char *basic;

	if (challenge->bearer) {
		if (given(usable->registry_token))
			return zl_format(err, "Bearer %s", usable->registry_token);
		if (check_realm(host, challenge, err) < 0)
			return NULL;
		scope = challenge->scope[0] != '\0'
		                ? zl_strdup(challenge->scope, err)
		                : zl_format(err, "repository:%s:pull", repository);
		if (scope == NULL)
			return NULL;
		return fetch_token(http, host, usable, challenge, scope, err);
	}
	zl_error_clear(err);
	basic = challenge->basic ? zl_auth_basic(usable, err) : NULL;
	if (basic == NULL && err->code == ZL_OK)
		zl_error_set(err, ZL_UNAUTHENTICATED,
		        "%s wants credentials; give the pod an imagePullSecret for it", host->name);
	return basic;
}
