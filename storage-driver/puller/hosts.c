// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/hosts.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/strv.h"
#include "storage-driver/puller/toml.h"

enum { PEM_LIMIT = 1024 * 1024, HOSTS_MAX = 32 };

static void release_host(struct zl_host *host)
{
	free(host->url);
	free(host->name);
	zl_strv_free(host->headers);
	zl_buffer_release(&host->ca);
	zl_buffer_release(&host->client_cert);
	zl_buffer_release(&host->client_key);
}

void zl_hosts_release(struct zl_hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		release_host(&hosts->list[i]);
	free(hosts->list);
	*hosts = (struct zl_hosts)ZL_HOSTS_INIT;
}

bool zl_host_is_loopback(const char *host)
{
	size_t length = strcspn(host, ":");

	if (strncmp(host, "[::1]", 5) == 0)
		return host[5] == '\0' || host[5] == ':';
	if (length == strlen("localhost") && strncmp(host, "localhost", length) == 0)
		return true;
	return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == length;
}

static bool is_plain(const char *host, char *const *insecure)
{
	const char *colon = strrchr(host, ':');

	for (; insecure != NULL && *insecure != NULL; insecure++) {
		if (strcmp(*insecure, host) == 0)
			return true;
	}
	return zl_host_is_loopback(host) && !(colon != NULL && strcmp(colon, ":443") == 0);
}

static struct zl_host *add_host(struct zl_hosts *hosts, struct zl_error *err)
{
	if (hosts->list == NULL) {
		hosts->list = calloc(HOSTS_MAX, sizeof(*hosts->list));
		if (hosts->list == NULL) {
			zl_error_nomem(err);
			return NULL;
		}
	}
	if (hosts->count == HOSTS_MAX) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "more than %d hosts", HOSTS_MAX);
		return NULL;
	}
	return &hosts->list[hosts->count++];
}

// Where the host name of a URL starts: after the scheme, if there is one.
static const char *after_scheme(const char *url, struct zl_error *err)
{
	if (strncasecmp(url, "https://", 8) == 0)
		return url + 8;
	if (strncasecmp(url, "http://", 7) == 0)
		return url + 7;
	if (strstr(url, "://") == NULL)
		return url;
	zl_error_set(
	        err, ZL_INVALID_ARGUMENT, "host '%s': only http:// and https:// are known", url);
	return NULL;
}

// Sets url and name from a URL with or without its scheme and path. The API's "/v2" is added unless
// it is there or the file says that the path is complete.
static int set_url(struct zl_host *host, const char *url, bool override_path, char *const *insecure,
        struct zl_error *err)
{
	const char *rest = after_scheme(url, err);
	const char *scheme = "";
	size_t length = strlen(url);
	bool has_v2;

	if (rest == NULL)
		return -1;
	while (length > 0 && url[length - 1] == '/')
		length--;
	if (strcspn(rest, "/") == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "host '%s' has no name", url);
	host->name = strndup(rest, strcspn(rest, "/"));
	if (host->name == NULL)
		return zl_error_nomem(err);
	if (rest == url)
		scheme = is_plain(host->name, insecure) ? "http://" : "https://";
	has_v2 = length > 3 && strncmp(url + length - 3, "/v2", 3) == 0;
	host->url = zl_format(
	        err, "%s%.*s%s", scheme, (int)length, url, has_v2 || override_path ? "" : "/v2");
	return host->url == NULL ? -1 : 0;
}

static int read_pem(const char *dir, const char *file, struct zl_buffer *to, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s%s%s", file[0] == '/' ? "" : dir,
	        file[0] == '/' ? "" : "/", file);
	if (zl_file_read(path, PEM_LIMIT, &text, err) < 0)
		return zl_error_wrap(err, "certificate named in %s/hosts.toml", dir);
	if (zl_buffer_append(to, text.data, text.length, err) < 0)
		return -1;
	return zl_buffer_append_string(to, "\n", err);
}

// "file" or ["file", …].
static int read_cas(
        const char *dir, const json_t *table, struct zl_host *host, struct zl_error *err)
{
	const json_t *ca = json_object_get(table, "ca");

	if (json_is_string(ca))
		return read_pem(dir, json_string_value(ca), &host->ca, err);
	for (size_t i = 0; i < json_array_size(ca); i++) {
		const char *file = json_string_value(json_array_get(ca, i));

		if (file == NULL)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "%s/hosts.toml: ca must be a file or a list of files", dir);
		if (read_pem(dir, file, &host->ca, err) < 0)
			return -1;
	}
	return 0;
}

// "file" with both, ["file", …] or [["cert", "key"], …]; the first is used.
static int read_client(
        const char *dir, const json_t *table, struct zl_host *host, struct zl_error *err)
{
	const json_t *client = json_object_get(table, "client");

	if (json_is_array(client))
		client = json_array_get(client, 0);
	if (client == NULL)
		return 0;
	if (json_is_string(client))
		return read_pem(dir, json_string_value(client), &host->client_cert, err);
	if (!json_is_string(json_array_get(client, 0)) ||
	        !json_is_string(json_array_get(client, 1)))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s/hosts.toml: client must be a file or a pair of certificate and key",
		        dir);
	if (read_pem(dir, json_string_value(json_array_get(client, 0)), &host->client_cert, err) <
	        0)
		return -1;
	return read_pem(dir, json_string_value(json_array_get(client, 1)), &host->client_key, err);
}

static int add_header(
        struct zl_host *host, const char *name, const char *value, struct zl_error *err)
{
	if (value == NULL || strpbrk(name, "\r\n:") != NULL || strpbrk(value, "\r\n") != NULL)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "hosts.toml: malformed header '%s'", name);
	return zl_strv_append_format(&host->headers, err, "%s: %s", name, value);
}

static int read_headers(json_t *table, struct zl_host *host, struct zl_error *err)
{
	json_t *header = json_object_get(table, "header");
	const char *name;
	json_t *value;

	json_object_foreach(header, name, value)
	{
		if (!json_is_array(value)) {
			if (add_header(host, name, json_string_value(value), err) < 0)
				return -1;
			continue;
		}
		for (size_t i = 0; i < json_array_size(value); i++) {
			if (add_header(host, name, json_string_value(json_array_get(value, i)),
			            err) < 0)
				return -1;
		}
	}
	return 0;
}

// Without a list of capabilities a host has all of them.
static bool has_capability(const json_t *table, const char *wanted)
{
	const json_t *list = json_object_get(table, "capabilities");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = json_string_value(json_array_get(list, i));

		if (name != NULL && strcmp(name, wanted) == 0)
			return true;
	}
	return list == NULL;
}

static int read_host(const char *dir, const char *url, json_t *table, char *const *insecure,
        struct zl_hosts *hosts, struct zl_error *err)
{
	struct zl_host *host;

	if (!has_capability(table, "pull"))
		return 0;
	host = add_host(hosts, err);
	if (host == NULL)
		return -1;
	host->can_resolve = has_capability(table, "resolve");
	host->skip_verify = json_is_true(json_object_get(table, "skip_verify"));
	if (set_url(host, url, json_is_true(json_object_get(table, "override_path")), insecure,
	            err) < 0 ||
	        read_cas(dir, table, host, err) < 0 || read_client(dir, table, host, err) < 0)
		return -1;
	return read_headers(table, host, err);
}

// Docker Hub answers under another name than the one in references.
static const char *default_server(const char *domain)
{
	return strcmp(domain, "docker.io") == 0 ? "registry-1.docker.io" : domain;
}

static struct zl_host *add_upstream(
        struct zl_hosts *hosts, const char *url, char *const *insecure, struct zl_error *err)
{
	struct zl_host *host = add_host(hosts, err);

	if (host == NULL || set_url(host, url, false, insecure, err) < 0)
		return NULL;
	host->upstream = true;
	host->can_resolve = true;
	return host;
}

// The server goes last, with the settings at the top of the file; a [host] of the same URL is it.
static int read_server(const char *dir, json_t *root, const char *domain, char *const *insecure,
        struct zl_hosts *hosts, struct zl_error *err)
{
	const char *server = zl_json_string(root, "server");
	struct zl_host *host;

	host = add_upstream(hosts,
	        server != NULL && *server != '\0' ? server : default_server(domain), insecure, err);
	if (host == NULL)
		return -1;
	for (size_t i = 0; i + 1 < hosts->count; i++) {
		if (strcmp(hosts->list[i].url, host->url) != 0)
			continue;
		hosts->list[i].upstream = true;
		release_host(host);
		memset(host, 0, sizeof(*host));
		hosts->count--;
		return 0;
	}
	host->skip_verify = json_is_true(json_object_get(root, "skip_verify"));
	if (read_cas(dir, root, host, err) < 0 || read_client(dir, root, host, err) < 0)
		return -1;
	return read_headers(root, host, err);
}

int zl_hosts_parse(const char *dir, const char *text, size_t length, const char *domain,
        char *const *insecure, struct zl_hosts *ret, struct zl_error *err)
{
	zl_auto(hosts) struct zl_hosts hosts = ZL_HOSTS_INIT;
	zl_auto(json) json_t *root = NULL;
	char what[PATH_MAX];
	const char *url;
	json_t *table;

	(void)snprintf(what, sizeof(what), "%s/hosts.toml", dir);
	root = zl_toml_parse(what, text, length, err);
	if (root == NULL)
		return -1;
	json_object_foreach(json_object_get(root, "host"), url, table)
	{
		if (read_host(dir, url, table, insecure, &hosts, err) < 0)
			return zl_error_wrap(err, "%s", what);
	}
	if (read_server(dir, root, domain, insecure, &hosts, err) < 0)
		return zl_error_wrap(err, "%s", what);
	*ret = hosts;
	hosts = (struct zl_hosts)ZL_HOSTS_INIT;
	return 0;
}

// Docker's layout: every *.crt of the directory is one more CA.
static int add_crt_files(const char *path, struct zl_host *host, struct zl_error *err)
{
	zl_auto(dir) DIR *dir = opendir(path);
	const struct dirent *entry;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): our own DIR
		size_t length = strlen(entry->d_name);

		if (length > 4 && strcmp(entry->d_name + length - 4, ".crt") == 0 &&
		        read_pem(path, entry->d_name, &host->ca, err) < 0)
			return -1;
	}
	return 0;
}

// 1: loaded, 0: there is no such file, -1.
static int load_file(const char *dir, const char *domain, char *const *insecure,
        struct zl_hosts *ret, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer text = ZL_BUFFER_INIT;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/hosts.toml", dir);
	if (zl_file_read(path, ZL_TOML_LIMIT, &text, err) < 0) {
		if (err->code != ZL_NOT_FOUND)
			return -1;
		zl_error_clear(err);
		return 0;
	}
	if (zl_hosts_parse(dir, zl_buffer_string(&text), text.length, domain, insecure, ret, err) <
	        0)
		return -1;
	return 1;
}

int zl_hosts_load(const char *registry_dir, const char *domain, char *const *insecure,
        struct zl_hosts *ret, struct zl_error *err)
{
	zl_auto(hosts) struct zl_hosts hosts = ZL_HOSTS_INIT;
	const char *names[] = {domain, "_default"};
	char dir[PATH_MAX] = "";
	struct zl_host *host;

	for (size_t i = 0; registry_dir != NULL && i < ZL_ARRAY_SIZE(names); i++) {
		int loaded;

		(void)snprintf(dir, sizeof(dir), "%s/%s", registry_dir, names[i]);
		loaded = load_file(dir, domain, insecure, ret, err);
		if (loaded != 0)
			return loaded < 0 ? -1 : 0;
	}
	host = add_upstream(&hosts, default_server(domain), insecure, err);
	if (host == NULL)
		return -1;
	if (registry_dir != NULL) {
		(void)snprintf(dir, sizeof(dir), "%s/%s", registry_dir, domain);
		if (add_crt_files(dir, host, err) < 0)
			return -1;
	}
	*ret = hosts;
	hosts = (struct zl_hosts)ZL_HOSTS_INIT;
	return 0;
}
