// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/manifest.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/json.h"

#define OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_SCHEMA1  "application/vnd.docker.distribution.manifest.v1+"

const char zl_manifest_accept[] = OCI_INDEX ", " OCI_MANIFEST ", " DOCKER_LIST ", " DOCKER_MANIFEST;

void zl_manifest_release(struct zl_manifest *manifest)
{
	free(manifest->layers);
	free(manifest->entries);
	*manifest = (struct zl_manifest)ZL_MANIFEST_INIT;
}

static int malformed(struct zl_error *err, const char *what, const char *why)
{
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %s", what, why);
}

static int read_descriptor(
        const char *what, const json_t *json, struct zl_descriptor *ret, struct zl_error *err)
{
	const char *digest = zl_json_string(json, "digest");
	const json_t *size = json_object_get(json, "size");

	if (!zl_digest_valid(digest))
		return malformed(err, what, "a descriptor without a sha256 or sha512 digest");
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return malformed(err, what, "a descriptor without a size");
	(void)snprintf(ret->digest, sizeof(ret->digest), "%s", digest);
	ret->size = (uint64_t)json_integer_value(size);
	return 0;
}

// Layers of an image have one of the tar media types; an artifact (a signature, a chart) has not.
static bool layer_type_known(const char *type)
{
	return strstr(type, "image.layer.") != NULL || strstr(type, "image.rootfs.") != NULL;
}

static int read_layers(
        const char *what, const json_t *layers, struct zl_manifest *ret, struct zl_error *err)
{
	size_t count = json_array_size(layers);

	if (!json_is_array(layers) || count == 0)
		return malformed(err, what, "the image has no layers, so there is nothing to run");
	if (count > ZL_MANIFEST_LAYERS_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: %zu layers, at most %d allowed",
		        what, count, ZL_MANIFEST_LAYERS_MAX);
	ret->layers = calloc(count, sizeof(*ret->layers));
	if (ret->layers == NULL)
		return zl_error_nomem(err);
	ret->layer_count = count;
	for (size_t i = 0; i < count; i++) {
		const json_t *layer = json_array_get(layers, i);
		const char *type = zl_json_string(layer, "mediaType");

		if (type != NULL && !layer_type_known(type))
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "%s: not a container image: layer %zu has media type '%.100s'",
			        what, i + 1, type);
		if (read_descriptor(what, layer, &ret->layers[i], err) < 0)
			return -1;
	}
	return 0;
}

static void copy_member(const json_t *object, const char *key, char out[static ZL_PLATFORM_SIZE])
{
	const char *text = zl_json_string(object, key);

	(void)snprintf(out, ZL_PLATFORM_SIZE, "%s", text != NULL ? text : "");
}

static int read_entries(
        const char *what, const json_t *entries, struct zl_manifest *ret, struct zl_error *err)
{
	size_t count = json_array_size(entries);

	if (!json_is_array(entries) || count == 0)
		return malformed(err, what, "an index without manifests");
	if (count > ZL_MANIFEST_ENTRIES_MAX)
		return malformed(err, what, "an index with more than 1024 manifests");
	ret->entries = calloc(count, sizeof(*ret->entries));
	if (ret->entries == NULL)
		return zl_error_nomem(err);
	ret->entry_count = count;
	for (size_t i = 0; i < count; i++) {
		const json_t *entry = json_array_get(entries, i);
		const json_t *platform = json_object_get(entry, "platform");

		if (read_descriptor(what, entry, &ret->entries[i].descriptor, err) < 0)
			return -1;
		copy_member(platform, "os", ret->entries[i].platform.os);
		copy_member(platform, "architecture", ret->entries[i].platform.architecture);
		copy_member(platform, "variant", ret->entries[i].platform.variant);
	}
	return 0;
}

static bool type_is(const char *type, const char *name)
{
	size_t length = strlen(name);

	return type != NULL && strncmp(type, name, length) == 0 &&
	       (type[length] == '\0' || type[length] == ';');
}

static bool is_schema1(const json_t *json, const char *type)
{
	if (type != NULL && strncmp(type, DOCKER_SCHEMA1, strlen(DOCKER_SCHEMA1)) == 0)
		return true;
	return json_integer_value(json_object_get(json, "schemaVersion")) == 1;
}

// A document that is an index to one reader and an image to another is an attack
// (CVE-2021-41190): the members decide, and the media type, if given, must agree.
static int find_kind(const char *what, const json_t *json, const char *content_type,
        enum zl_manifest_kind *ret, struct zl_error *err)
{
	bool has_entries = json_object_get(json, "manifests") != NULL;
	bool has_image =
	        json_object_get(json, "layers") != NULL || json_object_get(json, "config") != NULL;
	const char *type = zl_json_string(json, "mediaType");

	if (type == NULL)
		type = content_type;
	if (is_schema1(json, type))
		return malformed(err, what,
		        "it is a Docker schema 1 manifest, which has no verifiable layers; push "
		        "the "
		        "image again with a current tool");
	if (has_entries == has_image)
		return malformed(err, what,
		        "it must be either an index (manifests) or an image (config and layers)");
	if (has_image && (type_is(type, OCI_INDEX) || type_is(type, DOCKER_LIST)))
		return malformed(err, what, "its media type says index and its content says image");
	if (has_entries && (type_is(type, OCI_MANIFEST) || type_is(type, DOCKER_MANIFEST)))
		return malformed(err, what, "its media type says image and its content says index");
	*ret = has_entries ? ZL_MANIFEST_INDEX : ZL_MANIFEST_IMAGE;
	return 0;
}

int zl_manifest_parse(const char *what, const void *bytes, size_t length, const char *content_type,
        struct zl_manifest *ret, struct zl_error *err)
{
	zl_auto(manifest) struct zl_manifest manifest = ZL_MANIFEST_INIT;
	zl_auto(json) json_t *json = zl_json_parse(what, bytes, length, ZL_MANIFEST_LIMIT, err);

	if (json == NULL)
		return -1;
	if (!json_is_object(json))
		return malformed(err, what, "not a JSON object");
	if (find_kind(what, json, content_type, &manifest.kind, err) < 0)
		return -1;
	if (manifest.kind == ZL_MANIFEST_INDEX) {
		if (read_entries(what, json_object_get(json, "manifests"), &manifest, err) < 0)
			return -1;
	} else if (read_descriptor(what, json_object_get(json, "config"), &manifest.config, err) <
	                   0 ||
	           read_layers(what, json_object_get(json, "layers"), &manifest, err) < 0) {
		return -1;
	}
	*ret = manifest;
	manifest = (struct zl_manifest)ZL_MANIFEST_INIT;
	return 0;
}

static const struct {
	const char *machine;      // as uname(2) has it
	const char *architecture; // as Go has it
	const char *variant;
} machines[] = {
        {"x86_64", "amd64", ""},
        {"aarch64", "arm64", ""},
        {"armv7l", "arm", "v7"},
        {"armv6l", "arm", "v6"},
        {"i686", "386", ""},
        {"ppc64le", "ppc64le", ""},
        {"s390x", "s390x", ""},
        {"riscv64", "riscv64", ""},
};

void zl_platform_host(struct zl_platform *ret)
{
	struct utsname names;

	(void)uname(&names);
	*ret = (struct zl_platform){.os = "linux"};
	(void)snprintf(ret->architecture, sizeof(ret->architecture), "%.31s", names.machine);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(machines); i++) {
		if (strcmp(names.machine, machines[i].machine) != 0)
			continue;
		(void)snprintf(ret->architecture, sizeof(ret->architecture), "%s",
		        machines[i].architecture);
		(void)snprintf(ret->variant, sizeof(ret->variant), "%s", machines[i].variant);
	}
}

// "v7" is 7; what is not said is the architecture's first one. -1: not a number.
static int variant_level(const struct zl_platform *platform)
{
	const char *variant = platform->variant;

	if (variant[0] == '\0') {
		if (strcmp(platform->architecture, "arm64") == 0)
			return 8;
		return strcmp(platform->architecture, "arm") == 0 ? 7 : 1;
	}
	if (variant[0] != 'v' || variant[1] < '0' || variant[1] > '9' || variant[2] != '\0')
		return -1;
	return variant[1] - '0';
}

bool zl_platform_match(const struct zl_platform *want, const struct zl_platform *have)
{
	int level = variant_level(have);

	return strcmp(want->os, have->os) == 0 &&
	       strcmp(want->architecture, have->architecture) == 0 && level >= 0 &&
	       level <= variant_level(want);
}

const char *zl_platform_format(const struct zl_platform *platform, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/%s%s%s", platform->os, platform->architecture,
	        platform->variant[0] != '\0' ? "/" : "", platform->variant);
	return out;
}

static int no_platform(const char *what, const struct zl_manifest *index,
        const struct zl_platform *want, struct zl_error *err)
{
	char wanted[3 * ZL_PLATFORM_SIZE];
	char list[400] = "";

	for (size_t i = 0; i < index->entry_count; i++) {
		char name[3 * ZL_PLATFORM_SIZE];
		size_t used = strlen(list);

		zl_platform_format(&index->entries[i].platform, name, sizeof(name));
		if (strcmp(name, "unknown/unknown") == 0 || strstr(list, name) != NULL)
			continue;
		(void)snprintf(
		        list + used, sizeof(list) - used, "%s%s", used > 0 ? ", " : "", name);
	}
	return zl_error_set(err, ZL_FAILED_PRECONDITION,
	        "%s: nothing for this machine's %s; it is there for: %s; use another tag or build "
	        "the image for this architecture",
	        what, zl_platform_format(want, wanted, sizeof(wanted)), list);
}

const struct zl_descriptor *zl_manifest_choose(const char *what, const struct zl_manifest *index,
        const struct zl_platform *want, struct zl_error *err)
{
	const struct zl_manifest_entry *best = NULL;
	const struct zl_manifest_entry *unsaid = NULL;

	for (size_t i = 0; i < index->entry_count; i++) {
		const struct zl_manifest_entry *entry = &index->entries[i];

		if (entry->platform.os[0] == '\0' && unsaid == NULL)
			unsaid = entry;
		if (!zl_platform_match(want, &entry->platform))
			continue;
		if (best == NULL ||
		        variant_level(&entry->platform) > variant_level(&best->platform))
			best = entry;
	}
	if (best == NULL)
		best = unsaid;
	if (best != NULL)
		return &best->descriptor;
	no_platform(what, index, want, err);
	return NULL;
}
