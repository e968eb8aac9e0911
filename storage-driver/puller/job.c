// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/job.h"

#include <stdio.h>
#include <string.h>

#include "base/strv.h"

static void read_auth(const json_t *json, struct zl_job_auth *auth)
{
	auth->username = zl_json_string(json, "username");
	auth->password = zl_json_string(json, "password");
	auth->auth = zl_json_string(json, "auth");
	auth->server_address = zl_json_string(json, "server_address");
	auth->identity_token = zl_json_string(json, "identity_token");
	auth->registry_token = zl_json_string(json, "registry_token");
}

static void read_platform(const json_t *json, struct zl_platform *platform)
{
	zl_platform_host(platform);
	if (json == NULL)
		return;
	(void)snprintf(platform->os, ZL_PLATFORM_SIZE, "%s", zl_json_string(json, "os") ?: "");
	(void)snprintf(platform->architecture, ZL_PLATFORM_SIZE, "%s",
	        zl_json_string(json, "architecture") ?: "");
	(void)snprintf(
	        platform->variant, ZL_PLATFORM_SIZE, "%s", zl_json_string(json, "variant") ?: "");
}

static int read_insecure(const json_t *list, struct zl_job *job, struct zl_error *err)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *host = json_string_value(json_array_get(list, i));

		if (host != NULL && zl_strv_append(&job->insecure, host, err) < 0)
			return -1;
	}
	return 0;
}

static int read_job(struct zl_job *job, struct zl_error *err)
{
	const char *reference = zl_json_need_string(job->json, "job", "reference", err);

	if (reference == NULL || zl_reference_parse(reference, &job->reference, err) < 0)
		return -1;
	zl_reference_format(&job->reference, job->name);
	job->ingest_dir = zl_json_need_string(job->json, "job", "ingest_dir", err);
	if (job->ingest_dir == NULL)
		return -1;
	job->blobs_dir = zl_json_need_string(job->json, "job", "blobs_dir", err);
	if (job->blobs_dir == NULL)
		return -1;
	job->registry_dir = zl_json_string(job->json, "registry_dir");
	job->user = zl_json_string(job->json, "user");
	job->max_layer_bytes =
	        (uint64_t)json_integer_value(json_object_get(job->json, "max_layer_bytes"));
	job->parallel = (uint32_t)json_integer_value(json_object_get(job->json, "parallel"));
	if (job->max_layer_bytes == 0 || job->parallel == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "job: a limit is missing");
	read_auth(json_object_get(job->json, "auth"), &job->auth);
	read_platform(json_object_get(job->json, "platform"), &job->platform);
	return read_insecure(json_object_get(job->json, "insecure"), job, err);
}

int zl_job_parse(const char *line, size_t length, struct zl_job *ret, struct zl_error *err)
{
	*ret = (struct zl_job)ZL_JOB_INIT;
	ret->json = zl_json_parse("job", line, length, ZL_JOB_LINE_MAX, err);
	if (ret->json == NULL || read_job(ret, err) < 0) {
		zl_job_release(ret);
		return -1;
	}
	return 0;
}

void zl_job_release(struct zl_job *job)
{
	json_decref(job->json);
	zl_strv_free(job->insecure);
	*job = (struct zl_job)ZL_JOB_INIT;
}

void zl_blob_name(const char *diff_id, char out[static ZL_BLOB_NAME_SIZE])
{
	(void)snprintf(
	        out, ZL_BLOB_NAME_SIZE, "%.6s-%.128s.erofs", diff_id, zl_digest_hex(diff_id));
}

void zl_merged_name(const char *key, char out[static ZL_BLOB_NAME_SIZE])
{
	(void)snprintf(out, ZL_BLOB_NAME_SIZE, "merged-%.128s.erofs", zl_digest_hex(key));
}
