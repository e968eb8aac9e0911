// SPDX-License-Identifier: Apache-2.0
#include "unit/cri-services/oci_input.h"

static const json_t *mount_at(const json_t *spec, const char *destination)
{
	const json_t *mounts = oci_at(spec, "mounts");

	for (size_t i = 0; i < json_array_size(mounts); i++) {
		const json_t *each = json_array_get(mounts, i);

		if (strcmp(zl_json_string(each, "destination"), destination) == 0)
			return each;
	}
	return NULL;
}

START_TEST(has_the_kernels_file_systems)
{
	static const char *const wanted[] = {
	        "/proc", "/dev", "/dev/pts", "/dev/mqueue", "/sys", "/sys/fs/cgroup"};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	spec = oci_spec(&input);
	for (size_t i = 0; i < ZL_ARRAY_SIZE(wanted); i++)
		ck_assert_msg(mount_at(spec, wanted[i]) != NULL, "no %s", wanted[i]);
	ck_assert(oci_contains(mount_at(spec, "/sys"), "options", "ro"));
	ck_assert(oci_contains(mount_at(spec, "/sys/fs/cgroup"), "options", "ro"));
	ck_assert(!oci_contains(mount_at(spec, "/proc"), "options", "ro"));
	// /dev/shm and resolv.conf are the pod's: the supervisor's part.
	ck_assert_ptr_null(mount_at(spec, "/dev/shm"));
	ck_assert_ptr_null(mount_at(spec, "/etc/resolv.conf"));
}
END_TEST

START_TEST(is_the_same_in_a_zone)
{
	struct oci_input input;
	zl_auto(json) json_t *host = NULL;
	zl_auto(json) json_t *zone = NULL;

	oci_input_init(&input);
	host = oci_spec(&input);
	input.in.zone = true;
	zone = oci_spec(&input);
	ck_assert(json_equal(host, zone));
}
END_TEST

START_TEST(privileged_may_write_to_them)
{
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	input.context.privileged = true;
	input.pod_context.privileged = true;
	spec = oci_spec(&input);
	ck_assert(oci_contains(mount_at(spec, "/sys"), "options", "rw"));
	ck_assert(!oci_contains(mount_at(spec, "/sys"), "options", "ro"));
	ck_assert(oci_contains(mount_at(spec, "/sys/fs/cgroup"), "options", "rw"));
}
END_TEST

static const struct {
	Runtime__V1__MountPropagation propagation;
	bool readonly, recursive;
	const char *options;
} binds[] = {
        {RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE, false, false,
                "[\"rbind\",\"rprivate\",\"rw\"]"},
        {RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE, true, false,
                "[\"rbind\",\"rprivate\",\"ro\"]"},
        {RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_PRIVATE, true, true,
                "[\"rbind\",\"rprivate\",\"rro\"]"},
        {RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER, false, false,
                "[\"rbind\",\"rslave\",\"rw\"]"},
        {RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL, false, false,
                "[\"rbind\",\"rshared\",\"rw\"]"},
        {(Runtime__V1__MountPropagation)77, true, false, "[\"rbind\",\"rprivate\",\"ro\"]"},
        {(Runtime__V1__MountPropagation)-1, true, false, "[\"rbind\",\"rprivate\",\"ro\"]"},
};

START_TEST(binds_directories_of_the_node)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(binds); i++) {
		Runtime__V1__Mount mount = RUNTIME__V1__MOUNT__INIT;
		Runtime__V1__Mount *mounts[] = {&mount};
		struct oci_input input;
		zl_auto(json) json_t *spec = NULL;

		oci_input_init(&input);
		mount.host_path = "/var/lib/kubelet/x";
		mount.container_path = "/data";
		mount.propagation = binds[i].propagation;
		mount.readonly = binds[i].readonly;
		mount.recursive_read_only = binds[i].recursive;
		input.container.mounts = mounts;
		input.container.n_mounts = 1;
		spec = oci_spec(&input);
		oci_equal(mount_at(spec, "/data"), "options", binds[i].options);
		oci_equal(mount_at(spec, "/data"), "source", "\"/var/lib/kubelet/x\"");
		oci_equal(mount_at(spec, "/data"), "type", "\"bind\"");
	}
}
END_TEST

// In a zone the node's directories are where the zone has mounted them.
START_TEST(binds_what_the_zone_has)
{
	static const char *const sources[] = {"/run/zonelet/share/0/abc-ro"};
	Runtime__V1__Mount mount = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&mount};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	mount.host_path = "/var/lib/kubelet/x";
	mount.container_path = "/data";
	mount.readonly = true;
	input.container.mounts = mounts;
	input.container.n_mounts = 1;
	input.in.zone = true;
	oci_refused(&input, ZL_INTERNAL, "/var/lib/kubelet/x");
	input.in.mount_sources = sources;
	spec = oci_spec(&input);
	oci_equal(mount_at(spec, "/data"), "source", "\"/run/zonelet/share/0/abc-ro\"");
	oci_equal(mount_at(spec, "/data"), "options", "[\"rbind\",\"rprivate\",\"ro\"]");
}
END_TEST

// The kubelet's order holds: a mount over another must come after it.
START_TEST(keeps_the_order)
{
	Runtime__V1__Mount one = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount two = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&one, &two};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;
	size_t count;

	oci_input_init(&input);
	one.host_path = "/a";
	one.container_path = "/data";
	two.host_path = "/b";
	two.container_path = "/data/sub";
	input.container.mounts = mounts;
	input.container.n_mounts = 2;
	spec = oci_spec(&input);
	count = json_array_size(oci_at(spec, "mounts"));
	oci_equal(json_array_get(oci_at(spec, "mounts"), count - 2), "source", "\"/a\"");
	oci_equal(json_array_get(oci_at(spec, "mounts"), count - 1), "source", "\"/b\"");
}
END_TEST

START_TEST(refuses_what_it_cannot_mount)
{
	Runtime__V1__ImageSpec image = RUNTIME__V1__IMAGE_SPEC__INIT;
	Runtime__V1__Mount mount = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&mount};
	struct oci_input input;

	oci_input_init(&input);
	input.container.mounts = mounts;
	input.container.n_mounts = 1;
	mount.host_path = "/a";
	mount.container_path = "relative/path";
	oci_refused(&input, ZL_INVALID_ARGUMENT, "in the container is not absolute");
	mount.container_path = "";
	oci_refused(&input, ZL_INVALID_ARGUMENT, "in the container is not absolute");
	mount.container_path = "/vol";
	mount.host_path = "a";
	oci_refused(&input, ZL_INVALID_ARGUMENT, "on the node is not absolute");
	mount.host_path = "/a";
	mount.image = &image;
	image.image = "registry/volume:1";
	oci_refused(&input, ZL_INVALID_ARGUMENT, "no path on the node");
}
END_TEST

START_TEST(recursive_read_only_is_read_only_and_private)
{
	Runtime__V1__Mount mount = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&mount};
	struct oci_input input;

	oci_input_init(&input);
	input.container.mounts = mounts;
	input.container.n_mounts = 1;
	mount.host_path = "/a";
	mount.container_path = "/b";
	mount.recursive_read_only = true;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "recursive read-only needs readonly");
	mount.readonly = true;
	mount.propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "private propagation");
	mount.propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "private propagation");
}
END_TEST

START_TEST(the_root_propagates_what_a_mount_needs)
{
	Runtime__V1__Mount one = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount two = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&one, &two};
	struct oci_input input;
	zl_auto(json) json_t *private = NULL;
	zl_auto(json) json_t *slave = NULL;
	zl_auto(json) json_t *shared = NULL;

	oci_input_init(&input);
	one.host_path = two.host_path = "/a";
	one.container_path = "/b";
	two.container_path = "/c";
	input.container.mounts = mounts;
	input.container.n_mounts = 2;
	private = oci_spec(&input);
	ck_assert(!oci_has(private, "linux/rootfsPropagation"));
	two.propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
	slave = oci_spec(&input);
	oci_equal(slave, "linux/rootfsPropagation", "\"rslave\"");
	one.propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	shared = oci_spec(&input);
	oci_equal(shared, "linux/rootfsPropagation", "\"rshared\"");
}
END_TEST

START_TEST(counts_image_volumes)
{
	Runtime__V1__ImageSpec image = RUNTIME__V1__IMAGE_SPEC__INIT;
	Runtime__V1__Mount one = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount plain = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount two = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&one, &plain, &two};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	image.image = "sha256:1";
	one.image = two.image = &image;
	one.container_path = "/one";
	two.container_path = "/two";
	plain.host_path = "/a";
	plain.container_path = "/plain";
	input.container.mounts = mounts;
	input.container.n_mounts = 3;
	spec = oci_spec(&input);
	oci_equal(mount_at(spec, "/one"), "source", "\"zonelet:image:0\"");
	oci_equal(mount_at(spec, "/two"), "source", "\"zonelet:image:1\"");
	oci_equal(mount_at(spec, "/two"), "options",
	        "[\"rbind\",\"rprivate\",\"ro\",\"nosuid\",\"nodev\",\"noexec\"]");
}
END_TEST

START_TEST(an_image_is_the_same_volume_in_a_zone)
{
	static const char *const sources[] = {NULL, "/run/zonelet/share/0/directory"};
	static const bool served[] = {false, true};
	Runtime__V1__ImageSpec image = RUNTIME__V1__IMAGE_SPEC__INIT;
	Runtime__V1__Mount one = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount plain = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&one, &plain};
	struct oci_input input;
	zl_auto(json) json_t *alone = NULL;
	zl_auto(json) json_t *beside = NULL;

	oci_input_init(&input);
	image.image = "sha256:1";
	one.image = &image;
	one.container_path = "/one";
	plain.host_path = "/a";
	plain.container_path = "/plain";
	input.in.zone = true;
	input.container.mounts = mounts;
	input.container.n_mounts = 1;
	alone = oci_spec(&input);
	oci_equal(mount_at(alone, "/one"), "source", "\"zonelet:image:0\"");
	input.container.n_mounts = 2;
	oci_refused(&input, ZL_INTERNAL, "/a at /plain");
	input.in.mount_sources = sources;
	input.in.mount_served = served;
	plain.readonly = true;
	beside = oci_spec(&input);
	oci_equal(mount_at(beside, "/plain"), "options", "[\"rbind\",\"rprivate\",\"rw\"]");
	oci_equal(mount_at(beside, "/one"), "source", "\"zonelet:image:0\"");
	oci_equal(mount_at(beside, "/plain"), "source", "\"/run/zonelet/share/0/directory\"");
	mounts[0] = &plain;
	oci_refused(&input, ZL_INTERNAL, "/a at /plain");
}
END_TEST

START_TEST(maps_the_owners_of_a_volume)
{
	Runtime__V1__IDMapping map = RUNTIME__V1__IDMAPPING__INIT;
	Runtime__V1__IDMapping *maps[] = {&map};
	Runtime__V1__Mount mount = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&mount};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	mount.host_path = "/a";
	mount.container_path = "/b";
	mount.uidmappings = mount.gidmappings = maps;
	mount.n_uidmappings = mount.n_gidmappings = 1;
	map.host_id = 7;
	map.length = 9;
	input.container.mounts = mounts;
	input.container.n_mounts = 1;
	spec = oci_spec(&input);
	oci_equal(mount_at(spec, "/b"), "uidMappings",
	        "[{\"containerID\":0,\"hostID\":7,\"size\":9}]");
	oci_equal(mount_at(spec, "/b"), "gidMappings",
	        "[{\"containerID\":0,\"hostID\":7,\"size\":9}]");
}
END_TEST

START_TEST(a_zone_has_no_directories_of_the_node)
{
	Runtime__V1__Mount mount = RUNTIME__V1__MOUNT__INIT;
	Runtime__V1__Mount *mounts[] = {&mount};
	struct oci_input input;

	oci_input_init(&input);
	input.in.zone = true;
	mount.host_path = "/var/secret";
	mount.container_path = "/data";
	input.container.mounts = mounts;
	input.container.n_mounts = 1;
	oci_refused(&input, ZL_INTERNAL, "/var/secret at /data");
}
END_TEST

SUITE(oci_mounts, has_the_kernels_file_systems, is_the_same_in_a_zone, privileged_may_write_to_them,
        binds_directories_of_the_node, binds_what_the_zone_has, keeps_the_order,
        refuses_what_it_cannot_mount, recursive_read_only_is_read_only_and_private,
        the_root_propagates_what_a_mount_needs, counts_image_volumes,
        an_image_is_the_same_volume_in_a_zone, maps_the_owners_of_a_volume,
        a_zone_has_no_directories_of_the_node)
