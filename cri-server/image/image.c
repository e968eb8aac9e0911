// SPDX-License-Identifier: Apache-2.0
#include "cri-server/image/image.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strv.h"
#include "cri-server/rpc/list.h"
#include "cri-server/sandbox/backend.h"
#include "cri-server/sandbox/services.h"

static int need_reference(const char *rpc, const Runtime__V1__ImageSpec *spec, struct zl_error *err)
{
	if (spec != NULL && spec->image[0] != '\0')
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: the request names no image", rpc);
}

static const char **copy_list(struct zl_arena *arena, char *const *strv, size_t *ret_count)
{
	size_t count = zl_strv_length(strv);
	const char **copy = zl_arena_array(arena, count, sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		copy[i] = zl_arena_strdup(arena, strv[i]);
	*ret_count = count;
	return copy;
}

// The image's user as CRI wants it: a number in uid, a name in username; the group is left out.
static void fill_user(const struct zl_image *image, Runtime__V1__Image *out, struct zl_arena *arena)
{
	const char *user = image->user != NULL ? image->user : "";
	size_t length = strcspn(user, ":");
	char *end;
	long long uid = strtoll(user, &end, 10);

	if (length > 0 && (size_t)(end - user) == length) {
		out->uid = ZL_MESSAGE_NEW(arena, Int64Value, int64_value);
		out->uid->value = uid;
	} else if (length > 0) {
		out->username = zl_arena_strndup(arena, user, length);
	} else {
		out->uid = ZL_MESSAGE_NEW(arena, Int64Value, int64_value);
	}
}

static Runtime__V1__Image *to_cri(const struct zl_image *image, struct zl_arena *arena)
{
	Runtime__V1__Image *out = ZL_MESSAGE_NEW(arena, Image, image);

	out->id = zl_arena_strdup(arena, image->id);
	out->repo_tags = copy_list(arena, image->repo_tags, &out->n_repo_tags);
	out->repo_digests = copy_list(arena, image->repo_digests, &out->n_repo_digests);
	out->size = image->size_bytes;
	out->pinned = image->pinned;
	out->spec = ZL_MESSAGE_NEW(arena, ImageSpec, image_spec);
	out->spec->image = zl_arena_strdup(arena, image->id);
	fill_user(image, out, arena);
	return out;
}

// ---- pull

static void log_progress(
        void *user, const char *stage, const char *object, uint64_t done, uint64_t total)
{
	(void)user;
	if (total > 0)
		zl_log_info("pull: %s %s: %" PRIu64 " of %" PRIu64 " bytes", stage, object, done,
		        total);
	else
		zl_log_info("pull: %s %s", stage, object);
}

static const struct zl_image_auth *fill_auth(
        const Runtime__V1__AuthConfig *from, struct zl_image_auth *to)
{
	if (from == NULL)
		return NULL;
	*to = (struct zl_image_auth){
	        .username = from->username,
	        .password = from->password,
	        .auth = from->auth,
	        .server_address = from->server_address,
	        .identity_token = from->identity_token,
	        .registry_token = from->registry_token,
	};
	return to;
}

ZL_RPC_HANDLER(zl_handle_pull_image, struct zl_services, PullImageRequest, PullImageResponse)
{
	zl_auto(image) struct zl_image *image = NULL;
	struct zl_image_auth auth;
	int64_t begin = zl_clock_monotonic();

	if (need_reference("PullImage", request->image, err) < 0)
		return -1;
	// An image is the same for all of them; one that is unknown is to be refused (ImageSpec).
	if (zl_backend_find(service, request->image->runtime_handler, err) == NULL)
		return zl_error_wrap(err, "pull %s", request->image->image);
	ZL_LOG_SCOPE("image", request->image->image);
	image = zl_store_pull(service->store, request->image->image,
	        fill_auth(request->auth, &auth), log_progress, NULL, &call->cancel, err);
	if (image == NULL) {
		zl_log_error("PullImage: %s", err->message);
		return -1;
	}
	zl_log_info("pulled %s in %" PRId64 " ms", image->id,
	        (zl_clock_monotonic() - begin) / ZL_NS_PER_MS);
	response->image_ref = zl_call_strdup(call, image->id);
	return 0;
}

// ---- queries

// What `crictl inspecti` shows besides, under the name that containerd has.
static char *verbose_info(const struct zl_image *image, struct zl_arena *arena)
{
	zl_auto(json) json_t *config =
	        image->config_json != NULL ? json_loads(image->config_json, 0, NULL) : NULL;
	zl_auto(json) json_t *info = json_pack("{s:O?}", "imageSpec", config);
	zl_auto(free) char *text = json_dumps(info, JSON_COMPACT);

	return zl_arena_strdup(arena, text);
}

ZL_RPC_HANDLER(zl_handle_image_status, struct zl_services, ImageStatusRequest, ImageStatusResponse)
{
	zl_auto(image) struct zl_image *image = NULL;
	struct zl_error why = ZL_ERROR_INIT;

	if (need_reference("ImageStatus", request->image, err) < 0)
		return -1;
	image = zl_store_image(service->store, request->image->image, &why);
	if (image == NULL) {
		// CRI: an image that is not there is an empty answer.
		if (why.code == ZL_NOT_FOUND)
			return 0;
		*err = why;
		return -1;
	}
	response->image = to_cri(image, &call->arena);
	if (request->verbose) {
		response->info = zl_call_array(call, 1, sizeof(void *));
		response->info[0] = zl_message_map_entry(&call->arena,
		        &runtime__v1__image_status_response__info_entry__descriptor, "info",
		        verbose_info(image, &call->arena));
		response->n_info = 1;
	}
	return 0;
}

static int list_one(struct zl_services *service, const char *reference, struct zl_call *call,
        Runtime__V1__Image ***ret, size_t *ret_count, struct zl_error *err)
{
	struct zl_error why = ZL_ERROR_INIT;
	zl_auto(image) struct zl_image *image = zl_store_image(service->store, reference, &why);

	if (image == NULL && why.code != ZL_NOT_FOUND) {
		*err = why;
		return -1;
	}
	if (image == NULL)
		return 0;
	*ret = ZL_CALL_NEW_LIST(call, Image, 1);
	(*ret)[0] = to_cri(image, &call->arena);
	*ret_count = 1;
	return 0;
}

static int list_images(struct zl_services *service, struct zl_call *call,
        const Runtime__V1__ImageFilter *filter, Runtime__V1__Image ***ret, size_t *ret_count,
        struct zl_error *err)
{
	struct zl_image **images = NULL;

	*ret_count = 0;
	if (filter != NULL && filter->image != NULL && filter->image->image[0] != '\0')
		return list_one(service, filter->image->image, call, ret, ret_count, err);
	if (zl_store_list(service->store, &images, ret_count, err) < 0)
		return -1;
	*ret = ZL_CALL_NEW_LIST(call, Image, *ret_count);
	for (size_t i = 0; i < *ret_count; i++) {
		(*ret)[i] = to_cri(images[i], &call->arena);
		zl_image_free(images[i]);
	}
	free(images);
	return 0;
}

ZL_RPC_HANDLER(zl_handle_list_images, struct zl_services, ListImagesRequest, ListImagesResponse)
{
	return list_images(
	        service, call, request->filter, &response->images, &response->n_images, err);
}

ZL_RPC_HANDLER(
        zl_handle_stream_images, struct zl_services, StreamImagesRequest, StreamImagesResponse)
{
	Runtime__V1__Image **images = NULL;
	size_t count;

	if (list_images(service, call, request->filter, &images, &count, err) < 0)
		return -1;
	return zl_call_send_list(call, &runtime__v1__stream_images_response__descriptor,
	        (void **)images, count, err);
}

// Whether a container has the image as a volume; the database knows their roots alone.
static bool is_volume(struct zl_services *services, const char *image_id)
{
	size_t count;
	struct zl_container **list = zl_container_list(services, NULL, &count);
	bool found = false;

	for (size_t i = 0; i < count && !found; i++)
		found = zl_container_has_volume(list[i], image_id);
	zl_container_list_free(list, count);
	return found;
}

ZL_RPC_HANDLER(zl_handle_remove_image, struct zl_services, RemoveImageRequest, RemoveImageResponse)
{
	struct zl_error why = ZL_ERROR_INIT;
	zl_auto(image) struct zl_image *image = NULL;
	bool used = false;

	if (need_reference("RemoveImage", request->image, err) < 0)
		return -1;
	image = zl_store_image(service->store, request->image->image, &why);
	if (image == NULL && why.code == ZL_NOT_FOUND)
		return 0;
	if (image == NULL) {
		*err = why;
		return -1;
	}
	if (zl_state_image_used(service->state, image->id, &used, err) < 0)
		return -1;
	if (used || is_volume(service, image->id))
		return zl_error_set(err, ZL_FAILED_PRECONDITION,
		        "image %s (%s) is in use by a container; remove the container first",
		        request->image->image, image->id);
	// CRI removes the image, whichever of its names was given.
	return zl_store_remove(service->store, image->id, err);
}

ZL_RPC_HANDLER(zl_handle_image_fs_info, struct zl_services, ImageFsInfoRequest, ImageFsInfoResponse)
{
	Runtime__V1__FilesystemUsage *usage = ZL_CALL_NEW(call, FilesystemUsage, filesystem_usage);
	uint64_t bytes = 0;
	uint64_t inodes = 0;

	if (zl_store_usage(service->store, &bytes, &inodes, err) < 0)
		return -1;
	usage->timestamp = zl_clock_real();
	usage->fs_id = ZL_CALL_NEW(call, FilesystemIdentifier, filesystem_identifier);
	usage->fs_id->mountpoint = zl_call_strdup(call, service->config->images.dir);
	usage->used_bytes = ZL_CALL_NEW(call, UInt64Value, uint64_value);
	usage->used_bytes->value = bytes;
	usage->inodes_used = ZL_CALL_NEW(call, UInt64Value, uint64_value);
	usage->inodes_used->value = inodes;
	response->image_filesystems = ZL_CALL_NEW_LIST(call, FilesystemUsage, 1);
	response->image_filesystems[0] = usage;
	response->n_image_filesystems = 1;
	response->container_filesystems = ZL_CALL_NEW_LIST(call, FilesystemUsage, 1);
	response->container_filesystems[0] = usage;
	response->n_container_filesystems = 1;
	return 0;
}
