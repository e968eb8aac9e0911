// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/attachment.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#include "base/file.h"
#include "base/strv.h"
#include "cni-bridge/result.h"

enum {
	FORMAT = 1, // of the file; a later one is not ours to read
	MAX_BYTES = 4 * 1024 * 1024,
	MAX_ID = 128,
};

void zl_attachment_release(struct zl_attachment *attachment)
{
	free(attachment->id);
	free(attachment->netns);
	free(attachment->args);
	json_decref(attachment->runtime);
	zl_conflist_release(&attachment->list);
	json_decref(attachment->result);
	json_decref(attachment->links);
	memset(attachment, 0, sizeof(*attachment));
}

bool zl_attachment_id_valid(const char *id)
{
	if (id == NULL || !isalnum((unsigned char)id[0]) || strlen(id) > MAX_ID)
		return false;
	for (const char *c = id; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && strchr("_.-", *c) == NULL)
			return false;
	}
	return true;
}

// "KEY=value;KEY=value" has no quoting, so a value with ';' would set other keys.
static int check_value(const char *key, const char *value, struct zl_error *err)
{
	for (const char *c = value; c != NULL && *c != '\0'; c++) {
		if (*c == ';' || *c == '=' || iscntrl((unsigned char)*c))
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "%s \"%.128s\" for the network plugins has a character that is not "
			        "allowed",
			        key, value);
	}
	return 0;
}

// The keys that plugins know from the kubelet's first runtimes.
static char *make_args(const struct zl_cni_pod *pod, struct zl_error *err)
{
	const struct {
		const char *key;
		const char *value;
	} pairs[] = {
	        {"K8S_POD_NAMESPACE", pod->namespace_},
	        {"K8S_POD_NAME", pod->name},
	        {"K8S_POD_INFRA_CONTAINER_ID", pod->sandbox_id},
	        {"K8S_POD_UID", pod->uid},
	};
	zl_auto(buffer) struct zl_buffer args = ZL_BUFFER_INIT;

	if (zl_buffer_append_string(&args, "IgnoreUnknown=1", err) < 0)
		return NULL;
	for (size_t i = 0; i < ZL_ARRAY_SIZE(pairs); i++) {
		if (pairs[i].value == NULL)
			continue;
		if (check_value(pairs[i].key, pairs[i].value, err) < 0 ||
		        zl_buffer_printf(&args, err, ";%s=%s", pairs[i].key, pairs[i].value) < 0)
			return NULL;
	}
	return zl_strdup(zl_buffer_string(&args), err);
}

int zl_attachment_make(const struct zl_cni_pod *pod, struct zl_conflist *list,
        struct zl_attachment *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment made = ZL_ATTACHMENT_INIT;

	made.id = zl_strdup(pod->sandbox_id, err);
	made.netns = zl_strdup(pod->netns, err);
	made.args = make_args(pod, err);
	made.runtime = zl_conflist_runtime(pod, err);
	if (made.id == NULL || made.netns == NULL || made.args == NULL || made.runtime == NULL)
		return -1;
	made.list = *list;
	memset(list, 0, sizeof(*list));
	*ret = made;
	memset(&made, 0, sizeof(made));
	return 0;
}

// ---- the cache

static int make_path(
        const char *dir, const char *id, char out[static PATH_MAX], struct zl_error *err)
{
	if (!zl_attachment_id_valid(id))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "sandbox id \"%.64s\" is not fit for network plugins",
		        id != NULL ? id : "");
	if (snprintf(out, PATH_MAX, "%s/%s.json", dir, id) >= PATH_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "path %.64s… is too long", dir);
	return 0;
}

static int take_members(json_t *file, struct zl_attachment *ret, struct zl_error *err)
{
	ret->id = zl_strdup(zl_json_need_string(file, "it", "id", err), err);
	ret->netns = zl_strdup(zl_json_need_string(file, "it", "netns", err), err);
	ret->args = zl_strdup(zl_json_need_string(file, "it", "args", err), err);
	if (ret->id == NULL || ret->netns == NULL || ret->args == NULL)
		return -1;
	ret->runtime = json_incref(json_object_get(file, "runtime"));
	ret->result = json_incref(json_object_get(file, "result"));
	ret->links = json_incref(json_object_get(file, "links"));
	return zl_conflist_from_json(
	        "its configuration", json_object_get(file, "config"), &ret->list, err);
}

static int read_entry(const char *path, struct zl_attachment *ret, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	zl_auto(attachment) struct zl_attachment read = ZL_ATTACHMENT_INIT;
	zl_auto(json) json_t *file = NULL;

	if (zl_file_read(path, MAX_BYTES, &text, err) < 0)
		return -1;
	file = zl_json_parse("it", text.data, text.length, MAX_BYTES, err);
	if (file == NULL)
		return -1;
	if (json_integer_value(json_object_get(file, "format")) != FORMAT)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "it is not of format %d", FORMAT);
	if (take_members(file, &read, err) < 0)
		return -1;
	*ret = read;
	memset(&read, 0, sizeof(read));
	return 0;
}

int zl_attachment_load(
        const char *dir, const char *id, struct zl_attachment *ret, struct zl_error *err)
{
	struct zl_error failure = ZL_ERROR_INIT;
	char path[PATH_MAX];

	if (make_path(dir, id, path, err) < 0)
		return -1;
	if (read_entry(path, ret, &failure) == 0)
		return 0;
	if (failure.code == ZL_NOT_FOUND)
		return zl_error_set(err, ZL_NOT_FOUND, "sandbox %s has no network", id);
	if (failure.errnum != 0)
		return zl_error_errno(err, failure.errnum, "read %s", path);
	return zl_error_set(err, ZL_DATA_LOSS,
	        "network record %s cannot be read: %s; what the pod held must be released by hand, "
	        "then remove the file",
	        path, failure.message);
}

int zl_attachment_store(
        const char *dir, const struct zl_attachment *attachment, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	zl_auto(json) json_t *file = NULL;
	char path[PATH_MAX];

	if (make_path(dir, attachment->id, path, err) < 0)
		return -1;
	file = json_pack("{si ss ss ss sO sO sO* sO*}", "format", FORMAT, "id", attachment->id,
	        "netns", attachment->netns, "args", attachment->args, "runtime",
	        attachment->runtime, "config", attachment->list.document, "result",
	        attachment->result, "links", attachment->links);
	if (file == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "network record of sandbox %s: no memory, or text that is not UTF-8",
		        attachment->id);
	// 0700, 0600: a configuration may hold a plugin's credentials.
	if (zl_json_print(file, &text, err) < 0 || zl_dir_make(dir, 0700, err) < 0)
		return -1;
	return zl_file_write_atomic(path, text.data, text.length, 0600, err);
}

int zl_attachment_forget(const char *dir, const char *id, struct zl_error *err)
{
	char path[PATH_MAX];

	if (make_path(dir, id, path, err) < 0)
		return -1;
	return zl_file_remove(path, err);
}

// ---- the result

static void apply_links(const json_t *links, struct zl_cni_result *result)
{
	for (size_t i = 0; i < result->interface_count; i++) {
		struct zl_cni_interface *interface = &result->interfaces[i];
		const json_t *link = json_object_get(links, interface->name);
		const char *mac = zl_json_string(link, "mac");
		json_int_t mtu = json_integer_value(json_object_get(link, "mtu"));

		if (mac != NULL && *mac != '\0')
			(void)snprintf(interface->mac, sizeof(interface->mac), "%s", mac);
		if (mtu > 0 && mtu <= INT_MAX)
			interface->mtu = (uint32_t)mtu;
	}
}

int zl_attachment_result(const struct zl_attachment *attachment, const char *ifname,
        struct zl_cni_result *ret, struct zl_error *err)
{
	char what[320];

	if (attachment->result == NULL)
		return zl_error_set(err, ZL_NOT_FOUND,
		        "sandbox %s: its network was never set up to the end", attachment->id);
	(void)snprintf(what, sizeof(what), "result of network \"%s\"", attachment->list.name);
	if (zl_cni_result_read(what, attachment->result, ifname, ret, err) < 0)
		return -1;
	apply_links(attachment->links, ret);
	return 0;
}
