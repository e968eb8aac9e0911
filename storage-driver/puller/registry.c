// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/registry.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/strv.h"
#include "storage-driver/printable.h"
#include "storage-driver/puller/auth.h"

// A broken transfer is taken up this often without a single new byte, and this often in all.
enum { RESUME_BARREN_MAX = 5, RESUME_TOTAL_MAX = 50, RESUME_FIRST_DELAY_MS = 200 };

struct zl_registry {
	const struct zl_job *job;
	struct zl_hosts hosts;
	pthread_mutex_t lock;
	char **authorization; // for each host: what it last accepted, NULL if nothing; under the
	                      // lock
};

struct zl_registry *zl_registry_open(const struct zl_job *job, struct zl_error *err)
{
	zl_auto(registry) struct zl_registry *registry = calloc(1, sizeof(*registry));

	if (registry == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	pthread_mutex_init(&registry->lock, NULL);
	registry->job = job;
	if (zl_hosts_load(job->registry_dir, job->reference.domain, job->insecure, &registry->hosts,
	            err) < 0)
		return NULL;
	registry->authorization = calloc(registry->hosts.count, sizeof(*registry->authorization));
	if (registry->authorization == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	return zl_take(registry);
}

void zl_registry_close(struct zl_registry *registry)
{
	if (registry == NULL)
		return;
	for (size_t i = 0; registry->authorization != NULL && i < registry->hosts.count; i++)
		free(registry->authorization[i]);
	free(registry->authorization);
	zl_hosts_release(&registry->hosts);
	pthread_mutex_destroy(&registry->lock);
	free(registry);
}

static char *known_authorization(struct zl_registry *registry, size_t host)
{
	char *copy;

	pthread_mutex_lock(&registry->lock);
	copy = registry->authorization[host] != NULL ? strdup(registry->authorization[host]) : NULL;
	pthread_mutex_unlock(&registry->lock);
	return copy;
}

static void keep_authorization(struct zl_registry *registry, size_t host, const char *value)
{
	char *copy = strdup(value);

	pthread_mutex_lock(&registry->lock);
	free(registry->authorization[host]);
	registry->authorization[host] = copy;
	pthread_mutex_unlock(&registry->lock);
}

// What the registry says of a failure (distribution-spec, "Error Codes"): its first error's
// message.
static const char *complaint(const struct zl_http_response *response, char *out, size_t size)
{
	zl_auto(json) json_t *json =
	        json_loadb(zl_buffer_string(&response->body), response->body.length, 0, NULL);
	const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
	const char *message = zl_json_string(first, "message");

	if (message == NULL || *message == '\0')
		message = zl_json_string(first, "code");
	return zl_printable(
	        message != NULL && *message != '\0' ? message : "nothing more", out, size);
}

static const struct {
	long status;
	enum zl_code code;
	const char *remedy;
} status_codes[] = {
        {401, ZL_UNAUTHENTICATED, "give the pod a valid imagePullSecret, and check the name"},
        {403, ZL_PERMISSION_DENIED, "the credentials do not allow this repository"},
        {404, ZL_NOT_FOUND, "check the image's name and tag"},
        {429, ZL_UNAVAILABLE, "too many requests; wait, use credentials or a mirror"},
};

static int refuse_status(const struct zl_host *host, const struct zl_http_response *response,
        const char *object, struct zl_error *err)
{
	enum zl_code code = ZL_UNAVAILABLE;
	const char *remedy = "try again later";
	char said[ZL_PRINTABLE_SIZE];

	for (size_t i = 0; i < ZL_ARRAY_SIZE(status_codes); i++) {
		if (status_codes[i].status == response->status) {
			code = status_codes[i].code;
			remedy = status_codes[i].remedy;
		}
	}
	return zl_error_set(err, code, "%s %s %s (HTTP %ld, it says: %s); %s", host->name,
	        code == ZL_NOT_FOUND ? "does not have" : "refuses", object, response->status,
	        complaint(response, said, sizeof(said)), remedy);
}

// One request to one host, with authentication where it is asked for. 0 with a 2xx status.
static int ask_host(struct zl_registry *registry, struct zl_http *http, size_t index,
        struct zl_http_request *request, const char *object, struct zl_http_response *response,
        struct zl_error *err)
{
	const struct zl_host *host = &registry->hosts.list[index];
	zl_auto(free) char *authorization = known_authorization(registry, index);
	zl_auto(free) char *fresh = NULL;

	request->host = host;
	request->authorization = authorization;
	if (zl_http_perform(http, request, response, err) < 0)
		return response->network_failed ? zl_error_wrap(err, "%s: %s", host->name, object)
		                                : -1;
	if (response->status == 401) {
		fresh = zl_auth_answer(http, host, &registry->job->auth, &response->challenge,
		        registry->job->reference.path, err);
		if (fresh == NULL)
			return zl_error_wrap(err, "%s", object);
		request->authorization = fresh;
		if (zl_http_perform(http, request, response, err) < 0)
			return response->network_failed
			               ? zl_error_wrap(err, "%s: %s", host->name, object)
			               : -1;
		if (response->status >= 200 && response->status < 300)
			keep_authorization(registry, index, fresh);
	}
	if (response->status >= 200 && response->status < 300)
		return 0;
	return refuse_status(host, response, object, err);
}

// A mirror is told whose content is wanted, as containerd does it.
static char *make_url(const struct zl_registry *registry, size_t index, const char *kind,
        const char *what, struct zl_error *err)
{
	const struct zl_host *host = &registry->hosts.list[index];
	const struct zl_reference *reference = &registry->job->reference;

	return zl_format(err, "%s/%s/%s/%s%s%s", host->url, reference->path, kind, what,
	        host->upstream ? "" : "?ns=", host->upstream ? "" : reference->domain);
}

// ---- manifests

static int gather(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	if (zl_buffer_append(user, bytes, length, err) == 0)
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "the manifest is larger than 4 MiB");
}

static int verify_document(const struct zl_host *host, const char *object, const char *digest,
        const struct zl_http_response *response, struct zl_registry_document *ret,
        struct zl_error *err)
{
	const char *promised = digest;
	zl_auto(free) char *what = zl_format(err, "%s from %s", object, host->name);

	if (what == NULL)
		return -1;
	if (promised == NULL && zl_digest_valid(response->content_digest))
		promised = response->content_digest;
	if (promised != NULL &&
	        zl_digest_check(what, promised, ret->bytes.data, ret->bytes.length, err) < 0)
		return -1;
	if (promised != NULL) {
		(void)snprintf(ret->digest, sizeof(ret->digest), "%s", promised);
		return 0;
	}
	return zl_digest_bytes(NULL, ret->bytes.data, ret->bytes.length, ret->digest, err);
}

static int manifest_from(struct zl_registry *registry, struct zl_http *http, size_t index,
        const char *tag, const char *digest, struct zl_registry_document *ret, struct zl_error *err)
{
	zl_auto(http_response) struct zl_http_response response = ZL_HTTP_RESPONSE_INIT;
	zl_auto(free) char *object =
	        zl_format(err, "%s '%s' of '%s'", digest != NULL ? "manifest" : "tag",
	                digest != NULL ? digest : tag, registry->job->reference.path);
	zl_auto(free) char *url =
	        make_url(registry, index, "manifests", digest != NULL ? digest : tag, err);
	struct zl_http_request request = {
	        .url = url, .accept = zl_manifest_accept, .sink = gather, .user = &ret->bytes};

	zl_buffer_release(&ret->bytes);
	ret->bytes.limit = ZL_MANIFEST_LIMIT;
	if (object == NULL || url == NULL ||
	        ask_host(registry, http, index, &request, object, &response, err) < 0)
		return -1;
	(void)snprintf(ret->content_type, sizeof(ret->content_type), "%s", response.content_type);
	return verify_document(&registry->hosts.list[index], object, digest, &response, ret, err);
}

int zl_registry_manifest(struct zl_registry *registry, struct zl_http *http, const char *tag,
        const char *digest, struct zl_registry_document *ret, struct zl_error *err)
{
	int result = zl_error_set(err, ZL_FAILED_PRECONDITION,
	        "no host for %s may resolve tags; see its hosts.toml",
	        registry->job->reference.domain);

	for (size_t i = 0; i < registry->hosts.count && result < 0; i++) {
		if (digest == NULL && !registry->hosts.list[i].can_resolve)
			continue;
		result = manifest_from(registry, http, i, tag, digest, ret, err);
	}
	if (result == 0)
		zl_error_clear(err);
	return result;
}

// ---- blobs

struct transfer {
	const struct zl_descriptor *blob;
	zl_byte_sink *sink;
	void *user;
	uint64_t received; // bytes given to the sink
	uint64_t skip;    // bytes at the front that the sink has already: the server ignores ranges
	bool sink_failed; // no use in trying again
};

static int take_bytes(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct transfer *transfer = user;
	size_t known = length < transfer->skip ? length : (size_t)transfer->skip;

	transfer->skip -= known;
	bytes += known;
	length -= known;
	if (length > transfer->blob->size - transfer->received) {
		transfer->sink_failed = true;
		return zl_error_set(err, ZL_DATA_LOSS,
		        "more than the %llu bytes that the manifest says; the registry or a proxy "
		        "on "
		        "the way has damaged it",
		        (unsigned long long)transfer->blob->size);
	}
	if (transfer->sink(transfer->user, bytes, length, err) < 0) {
		transfer->sink_failed = true;
		return -1;
	}
	transfer->received += length;
	return 0;
}

// The sink is called before the status is known to us; so what to skip is settled by a first look
// at the answer: a 200 to a request for a range starts from the front again.
struct ranged {
	struct transfer *transfer;
	struct zl_http_response *response;
	uint64_t offset;
	bool settled;
};

static int take_ranged(void *user, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	struct ranged *ranged = user;

	if (!ranged->settled && ranged->offset > 0) {
		if (ranged->response->status != 206)
			ranged->transfer->skip = ranged->offset;
		else if (ranged->response->range_start != ranged->offset)
			return zl_error_set(err, ZL_UNAVAILABLE,
			        "the registry answers with another range than asked for");
	}
	ranged->settled = true;
	return take_bytes(ranged->transfer, bytes, length, err);
}

static int blob_from(struct zl_registry *registry, struct zl_http *http, size_t index,
        struct transfer *transfer, struct zl_error *err)
{
	zl_auto(http_response) struct zl_http_response response = ZL_HTTP_RESPONSE_INIT;
	zl_auto(free) char *url = make_url(registry, index, "blobs", transfer->blob->digest, err);
	struct ranged ranged = {
	        .transfer = transfer, .response = &response, .offset = transfer->received};
	struct zl_http_request request = {
	        .url = url, .offset = transfer->received, .sink = take_ranged, .user = &ranged};

	transfer->skip = 0;
	if (url == NULL || ask_host(registry, http, index, &request, "blob", &response, err) < 0)
		return -1;
	if (transfer->received == transfer->blob->size)
		return 0;
	return zl_error_set(err, ZL_UNAVAILABLE, "%s: blob: the answer is too short",
	        registry->hosts.list[index].name);
}

static void pause_before(int attempt)
{
	int64_t ns = ((int64_t)RESUME_FIRST_DELAY_MS << attempt) * ZL_NS_PER_MS;
	struct timespec delay = {ns / ZL_NS_PER_SECOND, ns % ZL_NS_PER_SECOND};

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &delay, NULL);
}

// One host, taking up what broke. What is worth another try: the network and 5xx answers.
static int blob_with_retries(struct zl_registry *registry, struct zl_http *http, size_t index,
        struct transfer *transfer, struct zl_error *err)
{
	int barren = 0;

	for (int tries = 0;; tries++) {
		uint64_t before = transfer->received;

		if (blob_from(registry, http, index, transfer, err) == 0)
			return 0;
		if (transfer->sink_failed || err->code != ZL_UNAVAILABLE)
			return -1;
		barren = transfer->received > before ? 0 : barren + 1;
		// A host that never sent a byte is given up for the next one at once.
		if (barren >= RESUME_BARREN_MAX || tries >= RESUME_TOTAL_MAX ||
		        (transfer->received == 0 && index + 1 < registry->hosts.count))
			return -1;
		if (barren > 0)
			pause_before(barren - 1);
	}
}

int zl_registry_blob(struct zl_registry *registry, struct zl_http *http,
        const struct zl_descriptor *blob, zl_byte_sink *sink, void *user, struct zl_error *err)
{
	struct transfer transfer = {.blob = blob, .sink = sink, .user = user};
	int result = -1;

	if (blob->size == 0)
		return 0;
	for (size_t i = 0; i < registry->hosts.count && result < 0; i++) {
		result = blob_with_retries(registry, http, i, &transfer, err);
		if (result < 0 && transfer.sink_failed)
			return -1;
	}
	if (result == 0) {
		zl_error_clear(err);
		return 0;
	}
	if (err->code != ZL_UNAVAILABLE)
		return -1;
	return zl_error_wrap(err,
	        "transfer broke after %llu of %llu bytes and could not be resumed; try again later",
	        (unsigned long long)transfer.received, (unsigned long long)blob->size);
}
