// SPDX-License-Identifier: Apache-2.0
//
// A store from the command line, for tests. The result goes to stdout as JSON, a failure to stderr
// as "CODE: message" with exit status 1.
//
//   zl-store OPTIONS pull REFERENCE           (auth from ZL_USERNAME, ZL_PASSWORD, …)
//   zl-store OPTIONS list | image REF | remove REF | usage | files IMAGE_ID
//   zl-store OPTIONS device IMAGE_ID HOLDER | release IMAGE_ID HOLDER | shared PATH
//   zl-store OPTIONS scratch SANDBOX_ID BYTES | scratch-remove SANDBOX_ID | sweep [SANDBOX_ID…]
//   zl-store OPTIONS mount IMAGE_ID DIRECTORY    (file-backed, in this mount namespace)
//   zl-store OPTIONS device-pair IMAGE_A IMAGE_B (holds both, releases both, says the paths)
//   zl-store OPTIONS pull-many REFERENCE…        (one thread each)
//
// Options: --root DIR --puller PATH [--user NAME] [--registry-dir DIR] [--insecure HOST]…
//          [--max-layer BYTES] [--parallel N] [--progress]

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/strv.h"
#include "storage-driver/storage.h"

static struct zl_store *store;
static bool show_progress;

static json_t *list_json(char *const *strings)
{
	json_t *list = json_array();

	for (; strings != NULL && *strings != NULL; strings++)
		(void)json_array_append_new(list, json_string(*strings));
	return list;
}

static json_t *image_json(const struct zl_image *image)
{
	return json_pack("{s:s,s:o,s:o,s:I,s:s,s:o,s:o,s:o,s:s,s:s,s:o,s:o,s:s,s:s}", "id",
	        image->id, "repo_tags", list_json(image->repo_tags), "repo_digests",
	        list_json(image->repo_digests), "size_bytes", (json_int_t)image->size_bytes, "user",
	        image->user, "env", list_json(image->env), "entrypoint",
	        list_json(image->entrypoint), "command", list_json(image->command), "working_dir",
	        image->working_dir, "stop_signal", image->stop_signal, "volumes",
	        list_json(image->volumes), "labels", list_json(image->labels), "os", image->os,
	        "architecture", image->architecture);
}

static int print(json_t *json)
{
	if (json == NULL)
		return -1;
	(void)json_dumpf(json, stdout, JSON_INDENT(1) | JSON_ENCODE_ANY);
	(void)putchar('\n');
	json_decref(json);
	return 0;
}

static int print_image(struct zl_image *image)
{
	int result = image == NULL ? -1 : print(image_json(image));

	zl_image_free(image);
	return result;
}

static void on_progress(
        void *user, const char *stage, const char *object, uint64_t done, uint64_t total)
{
	(void)user;
	if (show_progress)
		(void)fprintf(stderr, "progress %s %s %llu %llu\n", stage, object,
		        (unsigned long long)done, (unsigned long long)total);
}

static struct zl_image *pull_one(const char *reference, struct zl_error *err)
{
	// NOLINTBEGIN(concurrency-mt-unsafe): nobody changes the environment
	struct zl_image_auth auth = {
	        .username = getenv("ZL_USERNAME"),
	        .password = getenv("ZL_PASSWORD"),
	        .auth = getenv("ZL_AUTH"),
	        .server_address = getenv("ZL_SERVER_ADDRESS"),
	        .identity_token = getenv("ZL_IDENTITY_TOKEN"),
	        .registry_token = getenv("ZL_REGISTRY_TOKEN"),
	};
	const char *deadline = getenv("ZL_DEADLINE_MS");
	// NOLINTEND(concurrency-mt-unsafe)
	zl_auto(cancel) struct zl_cancel cancel = ZL_CANCEL_INIT;
	int64_t end = INT64_MAX;

	if (deadline != NULL)
		end = zl_clock_monotonic() + strtoll(deadline, NULL, 10) * ZL_NS_PER_MS;
	if (zl_cancel_init(&cancel, end, NULL, err) < 0)
		return NULL;
	return zl_store_pull(store, reference, &auth, on_progress, NULL, &cancel, err);
}

static int cmd_pull(char **args, struct zl_error *err)
{
	return print_image(pull_one(args[0], err));
}

struct task {
	pthread_t thread;
	const char *reference;
	struct zl_image *image;
	struct zl_error err;
};

static void *pull_task(void *user)
{
	struct task *task = user;

	task->image = pull_one(task->reference, &task->err);
	return NULL;
}

static int cmd_pull_many(char **args, struct zl_error *err)
{
	struct task tasks[64] = {{.reference = NULL}};
	size_t count = 0;
	int result = 0;

	for (; args[count] != NULL && count < ZL_ARRAY_SIZE(tasks); count++) {
		tasks[count].reference = args[count];
		(void)pthread_create(&tasks[count].thread, NULL, pull_task, &tasks[count]);
	}
	for (size_t i = 0; i < count; i++) {
		(void)pthread_join(tasks[i].thread, NULL);
		if (tasks[i].image == NULL) {
			*err = tasks[i].err;
			result = -1;
		}
		zl_image_free(tasks[i].image);
	}
	return result;
}

static int cmd_image(char **args, struct zl_error *err)
{
	return print_image(zl_store_image(store, args[0], err));
}

static int cmd_list(char **args, struct zl_error *err)
{
	struct zl_image **images = NULL;
	size_t count = 0;
	json_t *list = json_array();

	(void)args;
	if (zl_store_list(store, &images, &count, err) < 0) {
		json_decref(list);
		return -1;
	}
	for (size_t i = 0; i < count; i++) {
		(void)json_array_append_new(list, image_json(images[i]));
		zl_image_free(images[i]);
	}
	free(images);
	return print(list);
}

static int cmd_remove(char **args, struct zl_error *err)
{
	return zl_store_remove(store, args[0], err);
}

static int cmd_usage(char **args, struct zl_error *err)
{
	uint64_t bytes;
	uint64_t inodes;

	(void)args;
	if (zl_store_usage(store, &bytes, &inodes, err) < 0)
		return -1;
	return print(
	        json_pack("{s:I,s:I}", "bytes", (json_int_t)bytes, "inodes", (json_int_t)inodes));
}

static int cmd_files(char **args, struct zl_error *err)
{
	zl_auto(strv) char **files = zl_store_image_files(store, args[0], err);

	return files == NULL ? -1 : print(list_json(files));
}

static int cmd_device(char **args, struct zl_error *err)
{
	char path[64];

	if (zl_store_image_device(store, args[0], args[1], path, err) < 0)
		return -1;
	return print(json_string(path));
}

static int cmd_release(char **args, struct zl_error *err)
{
	char path[64];

	// A store of its own knows no holder; hold first, as the daemon does after a restart.
	if (zl_store_image_device(store, args[0], args[1], path, err) < 0)
		return -1;
	return zl_store_image_release(store, args[0], args[1], err);
}

static int cmd_device_pair(char **args, struct zl_error *err)
{
	char a[64];
	char b[64];

	// Twice by one holder counts once. NOLINTNEXTLINE(misc-redundant-expression)
	if (zl_store_image_device(store, args[0], "one", a, err) < 0 ||
	        zl_store_image_device(store, args[0], "one", a, err) < 0 ||
	        zl_store_image_device(store, args[1], "two", b, err) < 0 ||
	        zl_store_image_release(store, args[0], "one", err) < 0)
		return -1;
	// The second still has its device.
	if (access(b, R_OK) < 0 || zl_store_image_device(store, args[1], "two", b, err) < 0 ||
	        zl_store_image_release(store, args[1], "two", err) < 0)
		return -1;
	return print(json_pack("[s,s]", a, b));
}

static int cmd_shared(char **args, struct zl_error *err)
{
	char path[64];

	return zl_store_shared_device(store, args[0], path, err) < 0 ? -1
	                                                             : print(json_string(path));
}

static int cmd_scratch(char **args, struct zl_error *err)
{
	char path[64];

	if (zl_store_scratch_create(store, args[0], strtoull(args[1], NULL, 10), path, err) < 0)
		return -1;
	return print(json_string(path));
}

static int cmd_scratch_remove(char **args, struct zl_error *err)
{
	return zl_store_scratch_remove(store, args[0], err);
}

static int cmd_sweep(char **args, struct zl_error *err)
{
	return zl_store_sweep(store, (const char *const *)args, zl_strv_length(args), err);
}

static int fs_string(int fs, const char *key, const char *value, struct zl_error *err)
{
	if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0) < 0)
		return zl_error_errno(err, errno, "fsconfig %s=%s", key, value);
	return 0;
}

static int cmd_mount(char **args, struct zl_error *err)
{
	zl_auto(strv) char **files = zl_store_image_files(store, args[0], err);
	zl_auto(fd) int fs = (int)syscall(SYS_fsopen, "erofs", 0);
	zl_auto(fd) int mount_fd = -1;

	if (files == NULL || fs_string(fs, "source", files[0], err) < 0)
		return -1;
	for (char **layer = files + 1; *layer != NULL; layer++) {
		if (fs_string(fs, "device", *layer, err) < 0)
			return -1;
	}
	(void)syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0);
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return zl_error_errno(err, errno, "create the mount");
	mount_fd = (int)syscall(SYS_fsmount, fs, 0, MOUNT_ATTR_RDONLY);
	if (mount_fd < 0 || syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, args[1],
	                            MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return zl_error_errno(err, errno, "mount on %s", args[1]);
	return 0;
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **args, struct zl_error *err);
} commands[] = {
        {"pull", 1, cmd_pull},
        {"pull-many", 1, cmd_pull_many},
        {"image", 1, cmd_image},
        {"list", 0, cmd_list},
        {"remove", 1, cmd_remove},
        {"usage", 0, cmd_usage},
        {"files", 1, cmd_files},
        {"device", 2, cmd_device},
        {"device-pair", 2, cmd_device_pair},
        {"release", 2, cmd_release},
        {"shared", 1, cmd_shared},
        {"scratch", 2, cmd_scratch},
        {"scratch-remove", 1, cmd_scratch_remove},
        {"sweep", 0, cmd_sweep},
        {"mount", 2, cmd_mount},
};

static int run(int count, char **args, struct zl_error *err)
{
	for (size_t i = 0; count > 0 && i < ZL_ARRAY_SIZE(commands); i++) {
		if (strcmp(args[0], commands[i].name) == 0 && count > commands[i].arguments)
			return commands[i].run(args + 1, err);
	}
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "usage: see the head of zl_store.c");
}

static char **insecure;

static int parse_options(
        int argc, char **argv, struct zl_store_options *options, struct zl_error *err)
{
	static const struct option known[] = {{"root", 1, NULL, 'r'}, {"puller", 1, NULL, 'p'},
	        {"user", 1, NULL, 'u'}, {"registry-dir", 1, NULL, 'd'}, {"insecure", 1, NULL, 'i'},
	        {"max-layer", 1, NULL, 'm'}, {"parallel", 1, NULL, 'n'}, {"progress", 0, NULL, 'v'},
	        {NULL, 0, NULL, 0}};
	int option;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread yet
	while ((option = getopt_long(argc, argv, "+", known, NULL)) != -1) {
		switch (option) {
		case 'r':
			options->root_dir = optarg;
			break;
		case 'p':
			options->puller = optarg;
			break;
		case 'u':
			options->puller_user = optarg;
			break;
		case 'd':
			options->registry_dir = optarg;
			break;
		case 'i':
			if (zl_strv_append(&insecure, optarg, err) < 0)
				return -1;
			break;
		case 'm':
			options->max_layer_bytes = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			options->parallel_layers = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'v':
			show_progress = true;
			break;
		default:
			return zl_error_set(err, ZL_INVALID_ARGUMENT, "unknown option");
		}
	}
	options->insecure_registries = (const char *const *)insecure;
	return 0;
}

int main(int argc, char **argv)
{
	struct zl_store_options options = {.root_dir = NULL};
	struct zl_error err = ZL_ERROR_INIT;
	int result = parse_options(argc, argv, &options, &err);

	if (result == 0)
		store = zl_store_open(&options, &err);
	result = store == NULL ? -1 : run(argc - optind, argv + optind, &err);
	zl_store_close(store);
	zl_strv_free(insecure);
	if (result < 0)
		(void)fprintf(stderr, "%s: %s\n", zl_code_name(err.code), err.message);
	return result < 0 ? 1 : 0;
}
