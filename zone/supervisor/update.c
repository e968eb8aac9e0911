// SPDX-License-Identifier: Apache-2.0
//
// New limits for a container: by `crun update` where it runs, in its bundle before that.
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "zone/protocol/enclosing.h"
#include "zone/supervisor/container.h"
#include "zone/supervisor/supervisor.h"

enum { RESOURCES_MAX = 256 * 1024 };

static json_t *parse(const char *text, struct zl_error *err)
{
	json_t *resources = zl_json_parse("resources", text, strlen(text), RESOURCES_MAX, err);

	if (resources != NULL && !json_is_object(resources)) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "the resources are no JSON object");
		json_decref(resources);
		return NULL;
	}
	return resources;
}

static int write_json(const char *path, const json_t *json, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(ZL_SPEC_MAX);

	if (zl_json_print(json, &text, err) < 0)
		return -1;
	return zl_file_write_atomic(path, text.data, text.length, 0600, err);
}

static int update_bundle(
        const struct zl_container *container, json_t *resources, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_LIMIT(ZL_SPEC_MAX);
	zl_auto(json) json_t *spec = NULL;
	char path[ZL_RUNTIME_PATH + 16];
	json_t *parent;
	json_t *before;
	int failed;

	(void)snprintf(path, sizeof(path), "%s/config.json", container->directory);
	if (zl_file_read(path, ZL_SPEC_MAX, &text, err) < 0)
		return -1;
	spec = zl_json_parse("OCI spec", zl_buffer_string(&text), text.length, ZL_SPEC_MAX, err);
	if (spec == NULL)
		return -1;
	parent = json_object_get(spec, "linux");
	before = json_object_get(parent, "resources");
	if (before != NULL)
		failed = json_object_update_recursive(before, resources);
	else
		failed = json_object_set(parent, "resources", resources);
	if (failed != 0)
		return zl_error_nomem(err);
	return write_json(path, spec, err);
}

static void update_done(struct zl_runtime_job *job, const struct zl_error *failure)
{
	struct zl_container *container = ZL_ENCLOSING(job, struct zl_container, update_job);
	struct zl_link *link = &container->process.supervisor->link;

	if (failure != NULL) {
		struct zl_error err = *failure;

		zl_error_wrap(&err, "update container %.12s", container->process.container_id);
		zl_link_reply_failure(link, container->update_reply, &err);
	} else {
		zl_link_reply_done(link, container->update_reply);
	}
	if (container->deleting)
		zl_container_delete(container);
}

static int update_running(struct zl_container *container, const json_t *resources,
        struct zl_reply reply, struct zl_error *err)
{
	char path[ZL_RUNTIME_PATH + 16];

	(void)snprintf(path, sizeof(path), "%s/resources.json", container->directory);
	if (write_json(path, resources, err) < 0)
		return -1;
	container->update_reply = reply;
	container->update_job.done = update_done;
	container->update_job.supervisor = container->process.supervisor;
	return zl_runtime_update(&container->update_job, container->process.container_id,
	        container->directory, path, err);
}

// 1: the answer comes when crun is done.
static int update(struct zl_container *container, const Zl__Zone__ContainerUpdate *request,
        struct zl_reply reply, struct zl_error *err)
{
	zl_auto(json) json_t *resources = parse(request->oci_resources, err);

	if (resources == NULL)
		return -1;
	if (container == NULL)
		return zl_error_set(err, ZL_NOT_FOUND, "it is not there");
	if (container->creating != NULL || container->starting || container->deleting ||
	        zl_runtime_busy(&container->update_job))
		return zl_error_set(err, ZL_ABORTED,
		        "it is being made, started, updated or deleted; try again");
	if (container->state == ZL__ZONE__STATE__EXITED)
		return zl_error_set(err, ZL_FAILED_PRECONDITION, "it has exited");
	if (container->state == ZL__ZONE__STATE__CREATED)
		return update_bundle(container, resources, err);
	return update_running(container, resources, reply, err) < 0 ? -1 : 1;
}

void zl_container_update_request(
        struct zl_supervisor *s, struct zl_reply reply, const Zl__Zone__ToZone *message)
{
	const Zl__Zone__ContainerUpdate *request = message->container_update;
	struct zl_error err = ZL_ERROR_INIT;
	int result = update(zl_container_find(s, request->id), request, reply, &err);

	if (result < 0) {
		zl_error_wrap(&err, "update container %.12s", request->id);
		zl_link_reply_failure(&s->link, reply, &err);
	} else if (result == 0) {
		zl_link_reply_done(&s->link, reply);
	}
}
