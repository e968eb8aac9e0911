// SPDX-License-Identifier: Apache-2.0
//
// /etc/zonelet/zoneletd.yaml.
//
// One table in config.c lists every key with its type, default and help; parsing, `zoneletd config
// default|check|dump` and docs/config.md are all made from it. A key that is absent has its
// default; an unknown or repeated key, or a value of the wrong type, is an error with its line.
//
// Thread rule: a loaded configuration is read-only.
#ifndef ZL_CRI_SERVER_CONFIG_CONFIG_H
#define ZL_CRI_SERVER_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cri-server/message/arena.h"

#define ZL_CONFIG_PATH "/etc/zonelet/zoneletd.yaml"

enum zl_config_cni_check { ZL_CNI_CHECK_NEVER, ZL_CNI_CHECK_RESTART };
enum zl_config_zone_type { ZL_ZONE_TYPE_AUTO, ZL_ZONE_TYPE_PVH, ZL_ZONE_TYPE_PV };

// Strings are never NULL; lists are NULL-terminated and never NULL.
struct zl_config {
	struct zl_arena arena;       // owns all strings
	const char *socket;          // where CRI is served
	const char *socket_group;    // group that may use it; "": root alone
	const char *root_dir;        // state that survives a reboot
	const char *run_dir;         // state that does not
	const char *log_level;       // "error", "warning", "info", "debug"
	const char *const *handlers; // runtime handlers offered: "zone", "host"
	const char *default_handler; // what an empty handler means
	uint64_t workers;            // most CRI calls that run at a time
	struct {
		const char *kernel;          // zone kernel
		const char *ramdisk;         // its initramfs; "": none
		const char *root_image;      // EROFS with the supervisor
		uint64_t type;               // enum zl_config_zone_type
		const char *cmdline;         // added to the kernel command line
		uint64_t memory_bytes;       // of a pod without memory limit
		uint64_t overhead_bytes;     // added to the pod's limit for kernel and supervisor
		uint64_t vcpus;              // of a pod without cpu limit
		uint64_t max_vcpus;          // that a resize may reach; 0: as made
		uint64_t scratch_bytes;      // of a pod without ephemeral-storage limit
		int64_t hello_timeout_ns;    // from domain start to the supervisor's hello
		const char *hotplug;         // helper that libxl runs for each device
		const char *share_server;    // zonelet-9p
		uint64_t share_memory_bytes; // limit of one such process, page cache included
	} zone;
	struct {
		const char *supervisor; // zonelet-supervisor as `host` runs it
	} host;
	struct {
		const char *address;     // loopback, where exec, attach and port forward are served
		uint64_t port;           // 0: any
		int64_t idle_timeout_ns; // of a client's connection
	} streaming;
	struct {
		// Whose pods may leave `zone` for `host`: with a namespace of the node;
		// privileged.
		const char *const *namespaces;
		const char *const *privileged_namespaces;
	} host_pods;
	struct {
		const char *conf_dir;
		const char *const *bin_dirs;
		const char *cache_dir;
		int64_t timeout_ns;     // one plugin's run
		int64_t gc_interval_ns; // between two rounds of the caretaker
		uint64_t check;         // enum zl_config_cni_check
	} cni;
	struct {
		const char *dir;          // content store
		const char *registry_dir; // hosts.toml files per registry
		const char *const *insecure_registries;
		const char *puller;      // zonelet-pull
		const char *puller_user; // "": the daemon's own
		uint64_t parallel_layers;
		uint64_t max_layer_bytes; // of one layer, unpacked
	} images;
};

#define ZL_CONFIG_INIT {.arena = ZL_ARENA_INIT}

void zl_config_release(struct zl_config *config);
ZL_AUTO_DEFINE_VALUE(config, struct zl_config, zl_config_release);

// The defaults alone.
void zl_config_defaults(struct zl_config *ret);

// Defaults, then the file. A missing file is NOT_FOUND. INVALID_ARGUMENT: "zoneletd.yaml:12: …".
int zl_config_load(const char *path, struct zl_config *ret, struct zl_error *err);

// The same from memory; `name` stands for the file in errors.
int zl_config_parse(const char *name, const void *text, size_t length, struct zl_config *ret,
        struct zl_error *err);

// YAML of every key with its value; with_help puts each key's help above it as comments.
int zl_config_print(const struct zl_config *config, bool with_help, struct zl_buffer *out,
        struct zl_error *err);

// The same table as a Markdown page (docs/config.md).
int zl_config_document(struct zl_buffer *out, struct zl_error *err);

#endif
