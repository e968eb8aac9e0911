// SPDX-License-Identifier: Apache-2.0

// protobuf-c's initialisers name the fields that CRI deprecates; clang would warn of each.
#define PROTOBUF_C__NO_DEPRECATED

#include "cri-server/oci/spec.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/strv.h"
#include "cri-server/oci/apparmor.h"
#include "cri-server/oci/capability.h"
#include "cri-server/oci/mount.h"
#include "cri-server/oci/namespace.h"
#include "cri-server/oci/resources.h"
#include "cri-server/oci/seccomp.h"
#include "cri-server/oci/signal.h"

// All map entries of the generated code have this layout (key and value, both strings).
typedef Runtime__V1__ContainerConfig__AnnotationsEntry string_entry;

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const Runtime__V1__LinuxContainerSecurityContext no_context =
        RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT;

static const Runtime__V1__LinuxContainerSecurityContext *context_of(
        const Runtime__V1__ContainerConfig *container)
{
	if (container->linux == NULL || container->linux->security_context == NULL)
		return &no_context;
	return container->linux->security_context;
}

// ---- process

// Text that is not UTF-8 becomes null, for check_strings to find.
static void append_string(json_t *list, const char *text)
{
	json_t *string = json_string(text);

	json_array_append_new(list, string != NULL ? string : json_null());
}

static json_t *string_list(const char *const *strings, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; list != NULL && i < count; i++)
		append_string(list, strings[i]);
	return list;
}

static void append_strv(json_t *list, char *const *strings)
{
	for (size_t i = 0; strings != NULL && strings[i] != NULL; i++)
		append_string(list, strings[i]);
}

// INVALID_ARGUMENT if one of the strings was not UTF-8: better than to run without it.
static int check_strings(const json_t *list, const char *what, struct zl_error *err)
{
	size_t index;
	json_t *each;

	json_array_foreach(list, index, each)
	{
		if (json_is_null(each))
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "%s %zu is not UTF-8, which the runtime spec cannot hold", what,
			        index + 1);
	}
	return 0;
}

// Command and arguments by Kubernetes' rule: a command replaces the image's entrypoint and its
// arguments both; arguments alone replace the image's.
static json_t *process_args(const struct zl_oci_input *in, struct zl_error *err)
{
	const Runtime__V1__ContainerConfig *c = in->container;
	json_t *args = string_list(c->command, c->n_command);

	if (c->n_command == 0)
		append_strv(args, in->image->entrypoint);
	for (size_t i = 0; i < c->n_args; i++)
		append_string(args, c->args[i]);
	if (c->n_command == 0 && c->n_args == 0)
		append_strv(args, in->image->command);
	if (check_strings(args, "word of the command", err) < 0) {
		zl_error_wrap(err, "container %s", c->metadata->name);
		json_decref(args);
		return NULL;
	}
	if (json_array_size(args) > 0)
		return args;
	json_decref(args);
	zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "container %s: no command: neither the container nor its image %s names one; set "
	        "command in the container",
	        c->metadata->name, in->image->id);
	return NULL;
}

// Sets NAME=value, replacing an earlier one of that name. -1: not UTF-8.
static int env_set(json_t *env, const char *assignment)
{
	size_t name = strcspn(assignment, "=") + 1;
	json_t *string = json_string(assignment);
	size_t index;
	json_t *each;

	if (string == NULL)
		return -1;
	json_array_foreach(env, index, each)
	{
		if (strncmp(json_string_value(each), assignment, name) == 0)
			return json_array_set_new(env, index, string);
	}
	return json_array_append_new(env, string);
}

static int env_add_cri(json_t *env, const Runtime__V1__ContainerConfig *c, struct zl_error *err)
{
	for (size_t i = 0; i < c->n_envs; i++) {
		const Runtime__V1__KeyValue *e = c->envs[i];
		zl_auto(free) char *text = zl_format(err, "%s=%.*s", e->key, (int)e->value.len,
		        e->value.data != NULL ? (const char *)e->value.data : "");

		if (text == NULL)
			return -1;
		if (e->key[0] == '\0' || strchr(e->key, '=') != NULL ||
		        memchr(text, '\0', strlen(e->key) + 1 + e->value.len) != NULL)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "container %s: environment variable \"%s\" is not NAME=value",
			        c->metadata->name, e->key);
		if (env_set(env, text) < 0)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "container %s: environment variable \"%s\" is not UTF-8, which the "
			        "runtime spec cannot hold",
			        c->metadata->name, e->key);
	}
	return 0;
}

static json_t *process_env(const struct zl_oci_input *in, struct zl_error *err)
{
	zl_auto(json) json_t *env = json_array();
	zl_auto(free) char *hostname = zl_format(err, "HOSTNAME=%s", in->hostname);

	if (hostname == NULL)
		return NULL;
	(void)env_set(env, DEFAULT_PATH);
	(void)env_set(env, hostname);
	if (in->container->tty)
		(void)env_set(env, "TERM=xterm");
	for (size_t i = 0; in->image->env != NULL && in->image->env[i] != NULL; i++) {
		if (strchr(in->image->env[i], '=') != NULL)
			(void)env_set(env, in->image->env[i]);
	}
	if (env_add_cri(env, in->container, err) < 0)
		return NULL;
	return zl_take(env);
}

static const char *working_dir(const struct zl_oci_input *in)
{
	if (in->container->working_dir[0] != '\0')
		return in->container->working_dir;
	if (in->image->working_dir != NULL && in->image->working_dir[0] != '\0')
		return in->image->working_dir;
	return "/";
}

static json_t *process(const struct zl_oci_input *in, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerSecurityContext *context = context_of(in->container);
	zl_auto(json) json_t *args = process_args(in, err);
	zl_auto(json) json_t *env = args != NULL ? process_env(in, err) : NULL;
	zl_auto(json) json_t *caps =
	        env != NULL ? zl_oci_capabilities(context, in->capabilities, err) : NULL;
	const char *apparmor;
	json_t *object;

	if (caps == NULL ||
	        zl_oci_apparmor(context, in->zone, in->apparmor_profiles, &apparmor, err) < 0) {
		if (env != NULL)
			zl_error_wrap(err, "container %s", in->container->metadata->name);
		return NULL;
	}
	object = json_pack("{s:b, s:{s:i, s:i}, s:O, s:O, s:s, s:O, s:b}", "terminal",
	        in->container->tty, "user", "uid", 0, "gid", 0, "args", args, "env", env, "cwd",
	        working_dir(in), "capabilities", caps, "noNewPrivileges", context->no_new_privs);
	if (object == NULL) {
		zl_error_nomem(err);
		return NULL;
	}
	if (in->container->linux != NULL && in->container->linux->resources != NULL)
		json_object_set_new(object, "oomScoreAdj",
		        json_integer(in->container->linux->resources->oom_score_adj));
	if (apparmor != NULL)
		json_object_set_new(object, "apparmorProfile", json_string(apparmor));
	return object;
}

// ---- linux

static json_t *resources(const struct zl_oci_input *in)
{
	json_t *object = zl_oci_resources(
	        in->container->linux != NULL ? in->container->linux->resources : NULL, in->zone);

	// crun has no device filter at all without this list; with it, it adds /dev/null and its
	// like.
	json_object_set_new(object, "devices",
	        json_pack("[{s:b, s:s}]", "allow", (int)context_of(in->container)->privileged,
	                "access", "rwm"));
	return object;
}

// What is asked for and would silently not be there is refused.
static int check_security(const struct zl_oci_input *in, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerSecurityContext *context = context_of(in->container);
	const Runtime__V1__PodSandboxConfig *pod = in->pod;
	const char *name = in->container->metadata->name;

	if (in->zone && in->container->n_devices > 0)
		return zl_error_set(err, ZL_UNIMPLEMENTED,
		        "container %s: device %s: a zone has none of the node's devices; use the "
		        "host handler for this pod",
		        name, in->container->devices[0]->host_path);
	if (context->privileged && (pod->linux == NULL || pod->linux->security_context == NULL ||
	                                   !pod->linux->security_context->privileged))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s is privileged, its pod is not: set privileged in the pod's "
		        "security context too",
		        name);
	return 0;
}

// The devices that the supervisor is to give it: it knows the place where they are.
static json_t *devices(const struct zl_oci_input *in)
{
	json_t *list = json_array();

	for (size_t i = 0; i < in->container->n_devices; i++) {
		const Runtime__V1__Device *d = in->container->devices[i];

		json_array_append_new(list,
		        json_pack("{s:s, s:s, s:s}", "source", d->host_path, "path",
		                d->container_path[0] != '\0' ? d->container_path : d->host_path,
		                "access", d->permissions[0] != '\0' ? d->permissions : "rwm"));
	}
	return json_pack(
	        "{s:b, s:o}", "all", (int)context_of(in->container)->privileged, "list", list);
}

static int add_seccomp(json_t *lin, const struct zl_oci_input *in, const json_t *capabilities,
        struct zl_error *err)
{
	json_t *filter;

	if (zl_oci_seccomp(context_of(in->container), json_object_get(capabilities, "bounding"),
	            in->seccomp_profile, &filter, err) < 0)
		return zl_error_wrap(err, "container %s", in->container->metadata->name);
	return filter != NULL ? json_object_set_new(lin, "seccomp", filter) : 0;
}

static void add_user_mappings(json_t *lin, const struct zl_oci_input *in)
{
	const Runtime__V1__UserNamespace *user = zl_pod_user_namespace(in->pod);

	if (user == NULL)
		return;
	json_object_set_new(lin, "uidMappings", zl_oci_id_mappings(user->uids, user->n_uids));
	json_object_set_new(lin, "gidMappings", zl_oci_id_mappings(user->gids, user->n_gids));
}

static json_t *linux_section(
        const struct zl_oci_input *in, const json_t *capabilities, struct zl_error *err)
{
	const Runtime__V1__LinuxContainerSecurityContext *context = context_of(in->container);
	zl_auto(json) json_t *namespace_list = NULL;
	zl_auto(json) json_t *object = NULL;
	const char *propagation;

	if (check_security(in, err) < 0)
		return NULL;
	namespace_list = zl_oci_namespaces(in, err);
	if (namespace_list == NULL)
		return NULL;
	object = json_pack("{s:O, s:o, s:s, s:o}", "namespaces", namespace_list, "resources",
	        resources(in), "cgroupsPath", in->cgroups_path, ZL_OCI_DEVICES, devices(in));
	if (!context->privileged) {
		json_object_set_new(object, "maskedPaths",
		        string_list(context->masked_paths, context->n_masked_paths));
		json_object_set_new(object, "readonlyPaths",
		        string_list(context->readonly_paths, context->n_readonly_paths));
	}
	propagation = zl_oci_root_propagation(in->container);
	if (propagation != NULL)
		json_object_set_new(object, "rootfsPropagation", json_string(propagation));
	add_user_mappings(object, in);
	if (add_seccomp(object, in, capabilities, err) < 0)
		return NULL;
	return zl_take(object);
}

// crun takes orders from annotations with this prefix (hooks' output files, handlers, capabilities
// it should keep): those are the node's to give, not a pod's.
#define CRUN_PREFIX "run.oci."

static json_t *annotations(const struct zl_oci_input *in)
{
	zl_auto(json) json_t *own = json_pack("{s:s, s:s, s:s}", "io.kubernetes.cri.container-type",
	        "container", "io.kubernetes.cri.sandbox-id", in->sandbox_id,
	        "io.kubernetes.cri.container-name", in->container->metadata->name);
	json_t *object = json_object();

	for (size_t i = 0; object != NULL && i < in->container->n_annotations; i++) {
		const string_entry *entry = in->container->annotations[i];

		if (strncmp(entry->key, CRUN_PREFIX, strlen(CRUN_PREFIX)) != 0)
			json_object_set_new(object, entry->key, json_string(entry->value));
	}
	json_object_update(object, own);
	return object;
}

static char *print(json_t *json, struct zl_error *err)
{
	char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

	if (text == NULL)
		zl_error_nomem(err);
	return text;
}

char *zl_oci_spec(const struct zl_oci_input *in, struct zl_error *err)
{
	zl_auto(json) json_t *proc = process(in, err);
	zl_auto(json) json_t *mount_list =
	        proc != NULL ? zl_oci_mounts(in, context_of(in->container)->privileged, err) : NULL;
	zl_auto(json) json_t *lin =
	        mount_list != NULL ? linux_section(in, json_object_get(proc, "capabilities"), err)
	                           : NULL;
	zl_auto(json) json_t *spec = NULL;

	if (lin == NULL)
		return NULL;
	spec = json_pack("{s:s, s:O, s:{s:s, s:b}, s:O, s:O, s:o}", "ociVersion", "1.1.0",
	        "process", proc, "root", "path", "rootfs", "readonly",
	        context_of(in->container)->readonly_rootfs, "mounts", mount_list, "linux", lin,
	        "annotations", annotations(in));
	return print(spec, err);
}

// ---- exec

static int set_user(json_t *proc, const char *user_json, struct zl_error *err)
{
	json_t *user =
	        zl_json_parse("the container's user", user_json, strlen(user_json), 1 << 16, err);

	if (user == NULL)
		return -1;
	if (!json_is_object(user)) {
		json_decref(user);
		return zl_error_set(err, ZL_INTERNAL, "the container's user is no JSON object");
	}
	return json_object_set_new(proc, "user", user);
}

// A terminal's programs look for its kind; one that the container names goes before.
static void add_term(json_t *proc)
{
	json_t *env = json_object_get(proc, "env");
	const json_t *each;
	size_t i;

	json_array_foreach(env, i, each)
	{
		const char *text = json_string_value(each);

		if (text != NULL && strncmp(text, "TERM=", 5) == 0)
			return;
	}
	if (env == NULL)
		json_object_set_new(proc, "env", env = json_array());
	json_array_append_new(env, json_string("TERM=xterm"));
}

char *zl_oci_exec_process(const char *spec, const char *const *argv, size_t argc, bool terminal,
        const char *user_json, struct zl_error *err)
{
	zl_auto(json) json_t *whole =
	        zl_json_parse("the container's spec", spec, strlen(spec), 16 << 20, err);
	json_t *proc = json_object_get(whole, "process");
	json_t *args;

	if (proc == NULL) {
		if (whole != NULL)
			zl_error_set(err, ZL_INTERNAL, "the container's spec has no process");
		return NULL;
	}
	if (argc == 0) {
		zl_error_set(err, ZL_INVALID_ARGUMENT, "exec: no command given");
		return NULL;
	}
	args = string_list(argv, argc);
	json_object_set_new(proc, "args", args);
	json_object_set_new(proc, "terminal", json_boolean(terminal));
	if (terminal)
		add_term(proc);
	json_object_del(proc, "oomScoreAdj");
	if (check_strings(args, "word of the exec's command", err) < 0 ||
	        (user_json != NULL && set_user(proc, user_json, err) < 0))
		return NULL;
	return print(proc, err);
}

char *zl_oci_user(const Runtime__V1__ContainerConfig *container, const struct zl_image *image,
        struct zl_error *err)
{
	const Runtime__V1__LinuxContainerSecurityContext *context = context_of(container);

	if (context->run_as_user != NULL)
		return zl_format(err, "%" PRId64, context->run_as_user->value);
	if (context->run_as_username[0] != '\0')
		return zl_strdup(context->run_as_username, err);
	if (context->run_as_group != NULL) {
		zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "container %s: run_as_group needs run_as_user or run_as_username",
		        container->metadata->name);
		return NULL;
	}
	return zl_strdup(image->user != NULL ? image->user : "", err);
}

int zl_oci_stop_signal(const Runtime__V1__ContainerConfig *container, const struct zl_image *image)
{
	int signal = zl_signal_from_cri(container->stop_signal);

	if (signal == 0 && image != NULL)
		signal = zl_signal_parse(image->stop_signal);
	return signal != 0 ? signal : 15;
}
