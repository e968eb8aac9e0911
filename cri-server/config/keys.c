// SPDX-License-Identifier: Apache-2.0
#include "cri-server/config/keys.h"

#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define AT(field) offsetof(struct zl_config, field)
#define MIB       (UINT64_C(1) << 20)
#define GIB       (UINT64_C(1) << 30)

const struct zl_key zl_keys[] = {
        {"socket", ZL_KEY_PATH, AT(socket), "/run/zonelet/zoneletd.sock",
                .help = "Unix socket where the CRI is served; the kubelet's "
                        "containerRuntimeEndpoint is "
                        "unix:// and this path."},
        {"socket_group", ZL_KEY_TEXT, AT(socket_group), "",
                .help = "Group that may use the socket beside root. Whoever may use it is root on "
                        "this node."},
        {"root_dir", ZL_KEY_PATH, AT(root_dir), "/var/lib/zonelet",
                .help = "State that survives a reboot: the database and images."},
        {"run_dir", ZL_KEY_PATH, AT(run_dir), "/run/zonelet",
                .help = "State that does not survive a reboot."},
        {"log_level", ZL_KEY_WORD, AT(log_level), "info", "error warning info debug",
                .help = "The most detailed records that are logged. SIGHUP reads it again."},
        {"handlers", ZL_KEY_WORDS, AT(handlers), "zone host", "zone host",
                .help = "Runtime handlers offered to RuntimeClasses: zone runs a pod in a Xen "
                        "domain of its own, host in namespaces of the node's kernel. A node "
                        "without "
                        "Xen offers host only."},
        {"default_handler", ZL_KEY_WORD, AT(default_handler), "zone", "zone host",
                .help = "Handler of a pod without runtimeClassName."},
        {"workers", ZL_KEY_COUNT, AT(workers), "256", .least = 4, .most = 4096,
                .help = "Most CRI calls that run at the same time; threads are made as they are "
                        "needed."},

        {"zone.kernel", ZL_KEY_PATH, AT(zone.kernel), "/usr/lib/zonelet/zone-kernel",
                .help = "Kernel of the zones."},
        {"zone.ramdisk", ZL_KEY_PATH, AT(zone.ramdisk), "/usr/lib/zonelet/zone-init.cpio",
                .optional = true,
                .help = "Initial ramdisk for that kernel: the supervisor, which says hello from "
                        "there while the disks still connect; for a distribution's kernel one "
                        "made by debian-initramfs. Empty: none, the kernel mounts the root."},
        {"zone.root_image", ZL_KEY_PATH, AT(zone.root_image), "/usr/lib/zonelet/zone-root.erofs",
                .help = "Root file system of the zones, with the supervisor; shared read-only by "
                        "all."},
        {"zone.type", ZL_KEY_CHOICE, AT(zone.type), "auto", "auto pvh pv",
                .help = "Kind of domain. auto takes pvh where there is hardware virtualisation and "
                        "pv elsewhere."},
        {"zone.cmdline", ZL_KEY_TEXT, AT(zone.cmdline), "",
                .help = "Added to the kernel command line of the zones."},
        {"zone.memory", ZL_KEY_BYTES, AT(zone.memory_bytes), "256MiB", .least = 16 * MIB,
                .most = 65536 * GIB,
                .help = "Memory for the containers of a pod without memory limit."},
        {"zone.overhead", ZL_KEY_BYTES, AT(zone.overhead_bytes), "32MiB", .least = 0,
                .most = 1024 * GIB,
                .help = "Added to a pod's memory for its kernel and supervisor. Tell the scheduler "
                        "by the RuntimeClass's overhead."},
        {"zone.vcpus", ZL_KEY_COUNT, AT(zone.vcpus), "1", .least = 1, .most = 512,
                .help = "Virtual cpus of a pod without cpu limit."},
        {"zone.max_vcpus", ZL_KEY_COUNT, AT(zone.max_vcpus), "0", .least = 0, .most = 512,
                .help = "Virtual cpus that a running pod may be resized to, at most those of the "
                        "machine. 0: as many as it was made with."},
        {"zone.scratch", ZL_KEY_BYTES, AT(zone.scratch_bytes), "10GiB", .least = 16 * MIB,
                .most = 65536 * GIB,
                .help = "Disk for what a pod's containers write, without ephemeral-storage limit. "
                        "It is sparse: only what is written takes room."},
        {"zone.hello_timeout", ZL_KEY_DURATION, AT(zone.hello_timeout_ns), "30s",
                .least = 100 * ZL_NS_PER_MS, .most = 3600 * ZL_NS_PER_SECOND,
                .help = "Longest time from a domain's start to its supervisor's first word."},
        {"zone.hotplug", ZL_KEY_PATH, AT(zone.hotplug), "/usr/libexec/zonelet/zonelet-hotplug",
                .help = "Helper that `xl` runs for a device when it destroys a zone."},

        {"zone.share_server", ZL_KEY_PATH, AT(zone.share_server), "/usr/libexec/zonelet/zonelet-9p",
                .help = "Program that serves a pod's directories to its zone, by 9P."},
        {"zone.share_memory", ZL_KEY_BYTES, AT(zone.share_memory_bytes), "64MiB", .least = 16 * MIB,
                .most = GIB,
                .help = "Memory that this program may use for one pod, with the node's cache of "
                        "the files."},

        {"host.supervisor", ZL_KEY_PATH, AT(host.supervisor),
                "/usr/libexec/zonelet/zonelet-supervisor",
                .help = "Supervisor of the pods under the host handler."},

        {"streaming.address", ZL_KEY_WORD, AT(streaming.address), "127.0.0.1", "127.0.0.1 ::1",
                .help = "Loopback address where the clients of exec, attach and port forward are "
                        "served; the kubelet passes them on."},
        {"streaming.port", ZL_KEY_COUNT, AT(streaming.port), "0", .least = 0, .most = 65535,
                .help = "TCP port of it; 0 takes any that is free."},
        {"streaming.idle_timeout", ZL_KEY_DURATION, AT(streaming.idle_timeout_ns), "4h",
                .least = ZL_NS_PER_SECOND, .most = INT64_C(720) * 3600 * ZL_NS_PER_SECOND,
                .help = "A client's connection ends when no byte went either way for so long."},
        {"host_pods.namespaces", ZL_KEY_TEXTS, AT(host_pods.namespaces), "",
                .help = "Kubernetes namespaces whose pods run under the host handler, with a "
                        "line in the log, when they are for zone and ask for a namespace of the "
                        "node (hostNetwork, hostPID, hostIPC). \"*\" means all. Pods of others "
                        "are refused."},
        {"host_pods.privileged_namespaces", ZL_KEY_TEXTS, AT(host_pods.privileged_namespaces), "",
                .help = "Kubernetes namespaces whose pods run under the host handler, with a "
                        "line in the log, when they are for zone and have a privileged "
                        "container: agents whose mounts or devices must be the node's. \"*\" "
                        "means all. Those of others are privileged in their zone."},

        {"cni.conf_dir", ZL_KEY_PATH, AT(cni.conf_dir), "/etc/cni/net.d",
                .help = "Directory of CNI configurations; the first by name is used."},
        {"cni.bin_dirs", ZL_KEY_PATHS, AT(cni.bin_dirs), "/opt/cni/bin /usr/lib/cni",
                .help = "Directories where CNI plugins are looked for, in this order."},
        {"cni.cache_dir", ZL_KEY_PATH, AT(cni.cache_dir), "/var/lib/zonelet/cni",
                .help = "Results of CNI plugins, needed to take a network down again."},
        {"cni.timeout", ZL_KEY_DURATION, AT(cni.timeout_ns), "60s", .least = ZL_NS_PER_SECOND,
                .most = 3600 * ZL_NS_PER_SECOND,
                .help = "Longest run of one plugin; past it the plugin is killed."},
        {"cni.gc_interval", ZL_KEY_DURATION, AT(cni.gc_interval_ns), "10m",
                .least = ZL_NS_PER_SECOND, .most = INT64_C(86400) * ZL_NS_PER_SECOND,
                .help = "Time between two tries to release what plugins did not: pods whose "
                        "removal failed, networks without a pod, and the plugins' own garbage "
                        "(GC)."},
        {"cni.check", ZL_KEY_CHOICE, AT(cni.check), "never", "never restart",
                .help = "Whether plugins are asked by CHECK, at the daemon's restart, if the "
                        "networks of running pods still are as they were made; what they say is "
                        "logged. Plugins' CHECKs are not all good: that of portmap 1.1, Debian "
                        "13's, is never content."},

        {"images.dir", ZL_KEY_PATH, AT(images.dir), "/var/lib/zonelet/images",
                .help = "Where images are kept."},
        {"images.registry_dir", ZL_KEY_PATH, AT(images.registry_dir), "/etc/zonelet/certs.d",
                .help = "Mirrors and certificates of registries: <host>/hosts.toml, as containerd "
                        "has them."},
        {"images.insecure_registries", ZL_KEY_TEXTS, AT(images.insecure_registries), "",
                .help = "Registries (host or host:port) that are spoken to by plain HTTP. Those on "
                        "loopback always are."},
        {"images.puller", ZL_KEY_PATH, AT(images.puller), "/usr/libexec/zonelet/zonelet-pull",
                .help = "Program that pulls one image."},
        {"images.puller_user", ZL_KEY_TEXT, AT(images.puller_user), "_zonelet",
                .help = "User it runs as, which should own nothing. Empty: the daemon's own."},
        {"images.parallel_layers", ZL_KEY_COUNT, AT(images.parallel_layers), "3", .least = 1,
                .most = 32, .help = "Layers of one image that are pulled at the same time."},
        {"images.max_layer", ZL_KEY_BYTES, AT(images.max_layer_bytes), "64GiB", .least = MIB,
                .most = 65536 * GIB, .help = "Largest size of one layer, unpacked."},
};
const size_t zl_key_count = ZL_ARRAY_SIZE(zl_keys);

const char *zl_key_type_name(const struct zl_key *key)
{
	switch (key->type) {
	case ZL_KEY_TEXT:
		return "text";
	case ZL_KEY_PATH:
		return "absolute path";
	case ZL_KEY_WORD:
	case ZL_KEY_CHOICE:
		return "one of";
	case ZL_KEY_COUNT:
		return "whole number";
	case ZL_KEY_BYTES:
		return "size (bytes, or with KiB, MiB, GiB, TiB)";
	case ZL_KEY_DURATION:
		return "duration (with ms, s, m, h)";
	case ZL_KEY_TEXTS:
		return "list of texts";
	case ZL_KEY_PATHS:
		return "list of absolute paths";
	case ZL_KEY_WORDS:
		return "list of";
	}
	return "";
}

// ---- values from text

struct unit {
	const char *suffix;
	uint64_t factor;
};

static const struct unit byte_units[] = {
        {"TiB", UINT64_C(1) << 40},
        {"GiB", UINT64_C(1) << 30},
        {"MiB", UINT64_C(1) << 20},
        {"KiB", UINT64_C(1) << 10},
        {"", 1},
};

static const struct unit duration_units[] = {
        {"h", UINT64_C(3600) * ZL_NS_PER_SECOND},
        {"m", UINT64_C(60) * ZL_NS_PER_SECOND},
        {"s", ZL_NS_PER_SECOND},
        {"ms", ZL_NS_PER_MS},
};

static const struct unit no_units[] = {{"", 1}};

static int refuse(const struct zl_key *key, const char *text, struct zl_error *err)
{
	bool choice = key->choices != NULL;

	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: \"%.200s\" is not a valid value: %s%s%s",
	        key->name, text, zl_key_type_name(key), choice ? ": " : "",
	        choice ? key->choices : "");
}

static bool parse_number(
        const char *text, const struct unit *units, size_t unit_count, uint64_t *ret)
{
	uint64_t value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		        __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return false;
	}
	if (at == text)
		return false;
	for (size_t i = 0; i < unit_count; i++) {
		if (strcmp(at, units[i].suffix) == 0)
			return !__builtin_mul_overflow(value, units[i].factor, ret);
	}
	return false;
}

static int set_number(const struct zl_key *key, const char *text, const struct unit *units,
        size_t unit_count, uint64_t *place, struct zl_error *err)
{
	uint64_t value;

	if (!parse_number(text, units, unit_count, &value))
		return refuse(key, text, err);
	if (value < key->least || value > key->most)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: %s is out of range (%" PRIu64 " to %" PRIu64 "%s)", key->name, text,
		        key->least, key->most,
		        key->type == ZL_KEY_BYTES      ? " bytes"
		        : key->type == ZL_KEY_DURATION ? " ns"
		                                       : "");
	*place = value;
	return 0;
}

// The index of a word among those separated by spaces, or -1.
static int choice_index(const char *choices, const char *word)
{
	size_t length = strlen(word);

	for (int i = 0; *choices != '\0'; i++) {
		size_t span = strcspn(choices, " ");

		if (span == length && memcmp(choices, word, span) == 0)
			return i;
		choices += span + (choices[span] == ' ');
	}
	return -1;
}

static int check_text(const struct zl_key *key, const char *text, struct zl_error *err)
{
	bool path = key->type == ZL_KEY_PATH || key->type == ZL_KEY_PATHS;
	bool word = key->type == ZL_KEY_WORD || key->type == ZL_KEY_WORDS;

	if (key->type == ZL_KEY_PATH && text[0] == '\0' &&
	        (key->optional || key->fallback[0] == '\0'))
		return 0;
	if (path && text[0] != '/')
		return refuse(key, text, err);
	if (word && choice_index(key->choices, text) < 0)
		return refuse(key, text, err);
	return 0;
}

static void *place_of(const struct zl_key *key, struct zl_config *config)
{
	return (char *)config + key->offset;
}

int zl_key_set(
        const struct zl_key *key, const char *text, struct zl_config *config, struct zl_error *err)
{
	void *place = place_of(key, config);
	int index;

	switch (key->type) {
	case ZL_KEY_TEXT:
	case ZL_KEY_PATH:
	case ZL_KEY_WORD:
		if (check_text(key, text, err) < 0)
			return -1;
		*(const char **)place = zl_arena_strdup(&config->arena, text);
		return 0;
	case ZL_KEY_CHOICE:
		index = choice_index(key->choices, text);
		if (index < 0)
			return refuse(key, text, err);
		*(uint64_t *)place = (uint64_t)index;
		return 0;
	case ZL_KEY_COUNT:
		return set_number(key, text, no_units, ZL_ARRAY_SIZE(no_units), place, err);
	case ZL_KEY_BYTES:
		return set_number(key, text, byte_units, ZL_ARRAY_SIZE(byte_units), place, err);
	case ZL_KEY_DURATION:
		return set_number(
		        key, text, duration_units, ZL_ARRAY_SIZE(duration_units), place, err);
	case ZL_KEY_TEXTS:
	case ZL_KEY_PATHS:
	case ZL_KEY_WORDS:
		break;
	}
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s: wants a %s: write [%.200s]", key->name,
	        zl_key_type_name(key), text);
}

int zl_key_set_list(const struct zl_key *key, const char *const *texts, size_t count,
        struct zl_config *config, struct zl_error *err)
{
	const char **list;

	if (!zl_key_is_list(key))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%s: wants one value (%s), not a list", key->name, zl_key_type_name(key));
	list = zl_arena_array(&config->arena, count + 1, sizeof(*list));
	for (size_t i = 0; i < count; i++) {
		if (check_text(key, texts[i], err) < 0)
			return -1;
		list[i] = zl_arena_strdup(&config->arena, texts[i]);
	}
	*(const char *const **)place_of(key, config) = list;
	return 0;
}

static void set_default_list(const struct zl_key *key, struct zl_config *config)
{
	const char *texts[8];
	const char *at = key->fallback;
	size_t count = 0;

	while (*at != '\0' && count < ZL_ARRAY_SIZE(texts)) {
		size_t span = strcspn(at, " ");

		texts[count++] = zl_arena_strndup(&config->arena, at, span);
		at += span + (at[span] == ' ');
	}
	(void)zl_key_set_list(key, texts, count, config, NULL);
}

void zl_key_set_default(const struct zl_key *key, struct zl_config *config)
{
	if (zl_key_is_list(key))
		set_default_list(key, config);
	else
		(void)zl_key_set(key, key->fallback, config, NULL);
}

// ---- values to text

// With the largest unit that leaves a whole number.
static const char *number_text(
        uint64_t value, const struct unit *units, size_t unit_count, struct zl_arena *arena)
{
	for (size_t i = 0; i < unit_count; i++) {
		if (value % units[i].factor == 0 && (value > 0 || i + 1 == unit_count))
			return zl_arena_printf(
			        arena, "%" PRIu64 "%s", value / units[i].factor, units[i].suffix);
	}
	return zl_arena_printf(arena, "%" PRIu64, value);
}

static const char *choice_text(const char *choices, uint64_t index, struct zl_arena *arena)
{
	for (; index > 0; index--)
		choices += strcspn(choices, " ") + 1;
	return zl_arena_strndup(arena, choices, strcspn(choices, " "));
}

const char *zl_key_text(
        const struct zl_key *key, const struct zl_config *config, struct zl_arena *arena)
{
	const void *place = (const char *)config + key->offset;

	switch (key->type) {
	case ZL_KEY_TEXT:
	case ZL_KEY_PATH:
	case ZL_KEY_WORD:
		return *(const char *const *)place;
	case ZL_KEY_CHOICE:
		return choice_text(key->choices, *(const uint64_t *)place, arena);
	case ZL_KEY_COUNT:
		return number_text(
		        *(const uint64_t *)place, no_units, ZL_ARRAY_SIZE(no_units), arena);
	case ZL_KEY_BYTES:
		return number_text(
		        *(const uint64_t *)place, byte_units, ZL_ARRAY_SIZE(byte_units), arena);
	case ZL_KEY_DURATION:
		return number_text(*(const uint64_t *)place, duration_units,
		        ZL_ARRAY_SIZE(duration_units), arena);
	case ZL_KEY_TEXTS:
	case ZL_KEY_PATHS:
	case ZL_KEY_WORDS:
		break;
	}
	return "";
}

const char *const *zl_key_texts(const struct zl_key *key, const struct zl_config *config)
{
	const void *place = (const char *)config + key->offset;

	return *(const char *const *const *)place;
}
