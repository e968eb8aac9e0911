// SPDX-License-Identifier: Apache-2.0
#include "cni-bridge/attachment.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static bool declared(const struct zl_conflist *list, const char *capability)
{
	for (size_t i = 0; i < list->plugin_count; i++) {
		const json_t *all = json_object_get(list->plugins[i].conf, "capabilities");

		if (json_is_true(json_object_get(all, capability)))
			return true;
	}
	return false;
}

// A pod's annotations may be a quarter of a megabyte; what no plugin wants is not kept.
static void drop_undeclared(json_t *runtime, const struct zl_conflist *list)
{
	const char *capability;
	json_t *value;
	void *next;

	json_object_foreach_safe(runtime, next, capability, value)
	{
		(void)value;
		if (!declared(list, capability))
			(void)json_object_del(runtime, capability);
	}
}

int zl_attachment_make(const struct zl_cni_pod *pod, struct zl_conflist *list, json_t *ranges,
        struct zl_attachment *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment made = ZL_ATTACHMENT_INIT;

	made.id = zl_strdup(pod->sandbox_id, err);
	made.netns = zl_strdup(pod->netns, err);
	made.args = make_args(pod, err);
	made.runtime = zl_conflist_runtime(pod, ranges, err);
	if (made.id == NULL || made.netns == NULL || made.args == NULL || made.runtime == NULL)
		return -1;
	drop_undeclared(made.runtime, list);
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

static int make_temporary(const char *path, char out[static PATH_MAX], struct zl_error *err)
{
	if (snprintf(out, PATH_MAX, "%s.new", path) >= PATH_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "path %.64s… is too long", path);
	return 0;
}

// The second line is what the ADD came to. A kill in the middle of its writing leaves it without an
// end, and then the ADD has not ended.
static int take_outcome(json_t *file, const char *line, size_t length, struct zl_error *err)
{
	zl_auto(json) json_t *outcome = NULL;

	if (length == 0 || line[length - 1] != '\n')
		return 0;
	outcome = zl_json_parse("its second line", line, length, MAX_BYTES, err);
	if (outcome == NULL)
		return -1;
	if (json_object_update(file, outcome) < 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "its lines are no objects");
	return 0;
}

static int read_entry(const char *path, struct zl_attachment *ret, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	zl_auto(json) json_t *file = NULL;
	const char *start;
	size_t first;

	if (zl_file_read(path, MAX_BYTES, &text, err) < 0)
		return -1;
	start = zl_buffer_string(&text);
	first = (size_t)(strchrnul(start, '\n') - start);
	file = zl_json_parse("it", start, first, MAX_BYTES, err);
	if (file == NULL)
		return -1;
	if (first < text.length &&
	        take_outcome(file, start + first + 1, text.length - first - 1, err) < 0)
		return -1;
	return zl_attachment_parse(file, ret, err);
}

int zl_attachment_parse(json_t *file, struct zl_attachment *ret, struct zl_error *err)
{
	zl_auto(attachment) struct zl_attachment read = ZL_ATTACHMENT_INIT;

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
	return zl_error_set(
	        err, ZL_DATA_LOSS, "network record %s cannot be read: %s", path, failure.message);
}

static int open_file(const char *dir, const char *path, int flags, struct zl_error *err)
{
	// 0700, 0600: a configuration may hold a plugin's credentials.
	int fd = open(path, flags | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 && errno == ENOENT) {
		if (zl_dir_make(dir, 0700, err) < 0)
			return -1;
		fd = open(path, flags | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return zl_error_errno(err, errno, "open %s", path);
	return fd;
}

// One write, so that a kill leaves it whole or cut at its end.
static int write_line(int fd, const json_t *line, const char *path, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;

	if (zl_json_print(line, &text, err) < 0 || zl_buffer_append_string(&text, "\n", err) < 0)
		return -1;
	if (zl_file_write_all(fd, text.data, text.length, err) < 0)
		return zl_error_wrap(err, "%s", path);
	return 0;
}

int zl_attachment_store(
        const char *dir, const struct zl_attachment *attachment, struct zl_error *err)
{
	zl_auto(json) json_t *line = NULL;
	zl_auto(fd) int fd = -1;
	char path[PATH_MAX];
	char temporary[PATH_MAX];

	if (make_path(dir, attachment->id, path, err) < 0 ||
	        make_temporary(path, temporary, err) < 0)
		return -1;
	line = json_pack("{si ss ss ss sO sO}", "format", FORMAT, "id", attachment->id, "netns",
	        attachment->netns, "args", attachment->args, "runtime", attachment->runtime,
	        "config", attachment->list.document);
	if (line == NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "network record of sandbox %s: no memory, or text that is not UTF-8",
		        attachment->id);
	// One writer for each pod, so one name will do; a rest of it is written over.
	fd = open_file(dir, temporary, O_CREAT | O_TRUNC, err);
	if (fd < 0)
		return -1;
	if (write_line(fd, line, temporary, err) < 0) {
		(void)unlink(temporary);
		return -1;
	}
	if (rename(temporary, path) < 0)
		return zl_error_errno(err, errno, "rename %s to %s", temporary, path);
	return 0;
}

int zl_attachment_finish(
        const char *dir, const struct zl_attachment *attachment, struct zl_error *err)
{
	zl_auto(json) json_t *line =
	        json_pack("{sO sO*}", "result", attachment->result, "links", attachment->links);
	zl_auto(fd) int fd = -1;
	char path[PATH_MAX];

	if (line == NULL)
		return zl_error_nomem(err);
	if (make_path(dir, attachment->id, path, err) < 0)
		return -1;
	fd = open_file(dir, path, O_APPEND, err);
	return fd >= 0 ? write_line(fd, line, path, err) : -1;
}

int zl_attachment_forget(const char *dir, const char *id, struct zl_error *err)
{
	char path[PATH_MAX];
	char temporary[PATH_MAX];

	if (make_path(dir, id, path, err) < 0)
		return -1;
	if (zl_file_remove(path, err) < 0)
		return -1;
	// What a kill in the middle of a store may have left.
	return make_temporary(path, temporary, NULL) == 0 ? zl_file_remove(temporary, err) : 0;
}

static int is_record(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".json") == 0;
}

int zl_attachment_list(const char *dir, char ***ret, struct zl_error *err)
{
	zl_auto(strv) char **ids = NULL;
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, is_record, NULL);
	int result = 0;

	if (count < 0 && errno != ENOENT)
		return zl_error_errno(err, errno, "read directory %s", dir);
	for (int i = 0; i < count; i++) {
		*strrchr(entries[i]->d_name, '.') = '\0';
		if (result == 0 && zl_attachment_id_valid(entries[i]->d_name))
			result = zl_strv_append(&ids, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (result == 0)
		*ret = zl_take(ids);
	return result;
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
