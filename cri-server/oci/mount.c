// SPDX-License-Identifier: Apache-2.0
#include "cri-server/oci/mount.h"

#include <string.h>

#include "base/json.h"
#include "cri-server/oci/namespace.h"

static const struct {
	const char *destination;
	const char *type;
	const char *source;
	const char *options; // separated by spaces
} base_mounts[] = {
        {"/proc", "proc", "proc", "nosuid noexec nodev"},
        {"/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"},
        {"/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"},
        {"/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"},
        {"/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"},
        {"/sys/fs/cgroup", "cgroup", "cgroup", "nosuid noexec nodev relatime ro"},
};

static json_t *split_options(const char *options, bool writable)
{
	json_t *list = json_array();

	while (list != NULL && *options != '\0') {
		size_t length = strcspn(options, " ");

		if (writable && length == 2 && strncmp(options, "ro", 2) == 0)
			json_array_append_new(list, json_string("rw"));
		else
			json_array_append_new(list, json_stringn(options, length));
		options += length;
		options += strspn(options, " ");
	}
	return list;
}

static void append(json_t *list, const char *word)
{
	json_array_append_new(list, json_string(word));
}

// Later words win: what an image volume is may not be changed by the mount's own.
static void add_options(json_t *options, const Runtime__V1__Mount *m, bool served)
{
	static const char *const propagation[] = {"rprivate", "rslave", "rshared"};
	size_t kind =
	        (size_t)m->propagation < ZL_ARRAY_SIZE(propagation) ? (size_t)m->propagation : 0;

	append(options, "rbind");
	append(options, propagation[kind]);
	if (!m->readonly || served)
		append(options, "rw");
	else
		append(options, m->recursive_read_only ? "rro" : "ro");
}

static json_t *bind_mount(const struct zl_oci_input *in, size_t index, size_t image)
{
	const Runtime__V1__Mount *m = in->container->mounts[index];
	// Where the container's place has it; NULL: it is the node's own path.
	const char *source = in->mount_sources != NULL ? in->mount_sources[index] : NULL;
	json_t *options = json_array();
	json_t *mount = json_pack("{s:s, s:s, s:o}", "destination", m->container_path, "type",
	        "bind", "options", options);

	if (zl_oci_is_image(m)) {
		static const char *const of_image[] = {
		        "rbind", "rprivate", "ro", "nosuid", "nodev", "noexec"};

		for (size_t i = 0; i < ZL_ARRAY_SIZE(of_image); i++)
			append(options, of_image[i]);
		json_object_set_new(
		        mount, "source", json_sprintf(ZL_OCI_IMAGE_VOLUME "%zu", image));
		return mount;
	}
	add_options(options, m, in->mount_served != NULL && in->mount_served[index]);
	json_object_set_new(mount, "source", json_string(source != NULL ? source : m->host_path));
	if (m->n_uidmappings > 0 && m->n_gidmappings > 0) {
		json_object_set_new(
		        mount, "uidMappings", zl_oci_id_mappings(m->uidmappings, m->n_uidmappings));
		json_object_set_new(
		        mount, "gidMappings", zl_oci_id_mappings(m->gidmappings, m->n_gidmappings));
	}
	return mount;
}

bool zl_oci_is_image(const Runtime__V1__Mount *mount)
{
	return mount->image != NULL && mount->image->image[0] != '\0';
}

// CRI, Mount: what excludes what.
static const char *wrong_mount(const Runtime__V1__Mount *m)
{
	bool private = m->propagation == RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE;

	if (m->container_path[0] != '/')
		return "the path in the container is not absolute";
	if (zl_oci_is_image(m))
		return m->host_path[0] == '\0' ? NULL : "an image volume has no path on the node";
	if (m->host_path[0] != '/')
		return "the path on the node is not absolute";
	if (m->recursive_read_only && (!m->readonly || !private))
		return "recursive read-only needs readonly and private propagation";
	return NULL;
}

static int check_mount(const struct zl_oci_input *in, size_t index, struct zl_error *err)
{
	const Runtime__V1__Mount *m = in->container->mounts[index];
	const char *name = in->container->metadata->name;
	const char *wrong = wrong_mount(m);

	if (wrong != NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: mount of \"%s\" at \"%s\": %s", name, m->host_path,
		        m->container_path, wrong);
	if (in->zone && !zl_oci_is_image(m) &&
	        (in->mount_sources == NULL || in->mount_sources[index] == NULL))
		return zl_error_set(err, ZL_INTERNAL,
		        "container %s: mount of %s at %s: the zone was given no place for it", name,
		        m->host_path, m->container_path);
	return 0;
}

const char *zl_oci_root_propagation(const Runtime__V1__ContainerConfig *container)
{
	const char *result = NULL;

	for (size_t i = 0; i < container->n_mounts; i++) {
		switch (container->mounts[i]->propagation) {
		case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL:
			return "rshared";
		case RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER:
			result = "rslave";
			break;
		default:
			break;
		}
	}
	return result;
}

json_t *zl_oci_mounts(const struct zl_oci_input *in, bool privileged, struct zl_error *err)
{
	zl_auto(json) json_t *list = json_array();
	size_t images = 0;

	for (size_t i = 0; i < ZL_ARRAY_SIZE(base_mounts); i++) {
		json_array_append_new(list,
		        json_pack("{s:s, s:s, s:s, s:o}", "destination", base_mounts[i].destination,
		                "type", base_mounts[i].type, "source", base_mounts[i].source,
		                "options", split_options(base_mounts[i].options, privileged)));
	}
	for (size_t i = 0; i < in->container->n_mounts; i++) {
		const Runtime__V1__Mount *m = in->container->mounts[i];

		if (check_mount(in, i, err) < 0)
			return NULL;
		json_array_append_new(list, bind_mount(in, i, images));
		images += zl_oci_is_image(m) ? 1 : 0;
	}
	return zl_take(list);
}
