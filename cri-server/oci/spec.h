// SPDX-License-Identifier: Apache-2.0
//
// From what CRI and the image say to an OCI runtime-spec (config.md and config-linux.md, 1.1).
//
// Plain data in, plain data out: no file is read and nothing is changed. What differs between a
// zone and the node's own kernel is a parameter, so that both handlers share this code.
//
// Left to the supervisor, which knows the place: root.path, process.user (names are resolved
// against the container's own files), /dev/shm and /etc/resolv.conf of the pod, namespaces whose
// path is ZL_OCI_POD_NAMESPACE, devices (ZL_OCI_DEVICES), and the directories of image volumes
// (ZL_OCI_IMAGE_VOLUME).
#ifndef ZL_CRI_SERVER_OCI_SPEC_H
#define ZL_CRI_SERVER_OCI_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "api.pb-c.h"
#include "base/error.h"
#include "storage-driver/storage.h"

// A namespace path that stands for "the pod's": the supervisor puts the real one, or, in a zone,
// leaves the entry out, since the zone's own namespaces are the pod's.
#define ZL_OCI_POD_NAMESPACE "zonelet:pod"

// A mount's source that stands for an image volume: its number follows, counted from 0 in the order
// of the container's mounts.
#define ZL_OCI_IMAGE_VOLUME "zonelet:image:"

// The key in `linux` of what devices the container shall have:
// {"all": privileged, "list": [{"source": path, "path": path in the container, "access": "rwm"}]}
#define ZL_OCI_DEVICES "zonelet:devices"

struct zl_oci_input {
	const char *sandbox_id;
	const char *container_id;
	const Runtime__V1__PodSandboxConfig *pod;
	const Runtime__V1__ContainerConfig *container;
	const struct zl_image *image;
	const char *hostname;     // of the pod
	const char *cgroups_path; // the container's cgroup, as crun's cgroupfs manager takes it
	bool zone;                // it runs in a zone
	// For each mount of the container, the path where its place has it; NULL: the node's own
	const char *const *mount_sources;
	// In a zone, for each mount: read-only is left to the server of its directory, which keeps
	// what is mounted below writable. NULL: none.
	const bool *mount_served;
	uint64_t capabilities; // that it can have at all, bit by number; 0: all
	// The text of the file that zl_seccomp_profile_path names; NULL if it names none.
	const char *seccomp_profile;
	// The AppArmor profiles of its kernel (oci/apparmor.h); NULL: it has no AppArmor.
	const char *apparmor_profiles;
};

// The spec as JSON; the caller frees it. INVALID_ARGUMENT names what in the request is wrong,
// UNIMPLEMENTED what this version cannot do.
char *zl_oci_spec(const struct zl_oci_input *input, struct zl_error *err);

// The `process` object for an exec in a container with this spec: its user, environment,
// capabilities and directory, with these arguments. user_json replaces process.user where it is
// not NULL (what the supervisor resolved).
char *zl_oci_exec_process(const char *spec, const char *const *argv, size_t argc, bool terminal,
        const char *user_json, struct zl_error *err);

// "user:group" text for the supervisor to resolve, from the security context, else the image.
// The caller frees it.
char *zl_oci_user(const Runtime__V1__ContainerConfig *container, const struct zl_image *image,
        struct zl_error *err);

// The number of the signal that stops the container: from its config, else the image's, else 15.
int zl_oci_stop_signal(const Runtime__V1__ContainerConfig *container, const struct zl_image *image);

#endif
