// SPDX-License-Identifier: Apache-2.0
//
// zoneletd: the command line.
#include <getopt.h>
#include <malloc.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cri-server/daemon/daemon.h"
#include "cri-server/daemon/journal.h"

static const char usage[] =
        "zoneletd: the Zonelet node daemon, a CRI runtime with every pod in its own Xen domain\n"
        "\n"
        "  zoneletd [--config FILE] [--log-level LEVEL]   run until SIGTERM; pods outlive it\n"
        "  zoneletd [--config FILE] config check          check the configuration\n"
        "  zoneletd [--config FILE] config dump           print the configuration in effect\n"
        "  zoneletd config default                        print every key, its default and help\n"
        "  zoneletd config doc                            the same as a Markdown page\n"
        "  zoneletd --version | --help\n"
        "\n"
        "Without --config, " ZL_CONFIG_PATH " is read if it is there.\n";

struct arguments {
	const char *config_path; // NULL: the default one, which may be missing
	const char *log_level;
	char **rest;
	int rest_count;
};

static int fail(const struct zl_error *err)
{
	(void)fprintf(stderr, "zoneletd: %s\n", err->message);
	return EXIT_FAILURE;
}

static int load(const struct arguments *arguments, struct zl_config *ret, struct zl_error *err)
{
	const char *path = arguments->config_path != NULL ? arguments->config_path : ZL_CONFIG_PATH;

	if (zl_config_load(path, ret, err) == 0)
		return 0;
	if (arguments->config_path != NULL || err->code != ZL_NOT_FOUND)
		return -1;
	zl_error_clear(err);
	zl_config_defaults(ret);
	return 0;
}

// ---- zoneletd config …

static int config_default(
        const struct arguments *arguments, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(config) struct zl_config config = ZL_CONFIG_INIT;

	(void)arguments;
	zl_config_defaults(&config);
	return zl_config_print(&config, true, out, err);
}

static int config_dump(
        const struct arguments *arguments, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(config) struct zl_config config = ZL_CONFIG_INIT;

	if (load(arguments, &config, err) < 0)
		return -1;
	return zl_config_print(&config, false, out, err);
}

static int config_check(
        const struct arguments *arguments, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(config) struct zl_config config = ZL_CONFIG_INIT;

	if (load(arguments, &config, err) < 0)
		return -1;
	return zl_buffer_append_string(out, "the configuration is valid\n", err);
}

static int config_doc(
        const struct arguments *arguments, struct zl_buffer *out, struct zl_error *err)
{
	(void)arguments;
	return zl_config_document(out, err);
}

static const struct {
	const char *name;
	int (*run)(const struct arguments *arguments, struct zl_buffer *out, struct zl_error *err);
} config_commands[] = {
        {"default", config_default},
        {"dump", config_dump},
        {"check", config_check},
        {"doc", config_doc},
};

static int run_config(const struct arguments *arguments)
{
	const char *name = arguments->rest_count == 2 ? arguments->rest[1] : "";
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	for (size_t i = 0; i < ZL_ARRAY_SIZE(config_commands); i++) {
		if (strcmp(config_commands[i].name, name) != 0)
			continue;
		if (config_commands[i].run(arguments, &out, &err) < 0)
			return fail(&err);
		(void)fputs(zl_buffer_string(&out), stdout);
		return EXIT_SUCCESS;
	}
	(void)fputs(usage, stderr);
	return EXIT_FAILURE;
}

// ---- zoneletd

// Buffers of streams and replies go back to the kernel when they are freed. By itself malloc(3)
// would take them for its own once a few have been freed, and keep as much as a busy hour needed.
enum { LARGE_BYTES = 64 * 1024 };

static int run_daemon(const struct arguments *arguments)
{
	zl_auto(config) struct zl_config config = ZL_CONFIG_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_daemon_options options = {
	        .config_path =
	                arguments->config_path != NULL ? arguments->config_path : ZL_CONFIG_PATH,
	        .version = ZL_VERSION,
	        .log_level = arguments->log_level,
	};

	if (load(arguments, &config, &err) < 0)
		return fail(&err);
	// NOLINTNEXTLINE(concurrency-mt-unsafe): no threads yet
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	(void)zl_journal_use();
	zl_daemon_log_level(arguments->log_level != NULL ? arguments->log_level : config.log_level);
	if (zl_daemon_run(&options, &config, &err) == 0)
		return EXIT_SUCCESS;
	zl_log_error("cannot run: %s", err.message);
	return EXIT_FAILURE;
}

static bool level_known(const char *name)
{
	return strcmp(name, "error") == 0 || strcmp(name, "warning") == 0 ||
	       strcmp(name, "info") == 0 || strcmp(name, "debug") == 0;
}

// -1: go on; else the exit status.
static int parse(int argc, char **argv, struct arguments *arguments)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"log-level", required_argument, NULL, 'l'},
	        {"version", no_argument, NULL, 'v'},
	        {"help", no_argument, NULL, 'h'},
	        {0},
	};
	int option;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): no threads yet
	while ((option = getopt_long(argc, argv, "c:l:vh", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			arguments->config_path = optarg;
			break;
		case 'l':
			arguments->log_level = optarg;
			break;
		case 'v':
			(void)puts("zoneletd " ZL_VERSION);
			return EXIT_SUCCESS;
		case 'h':
			(void)fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_FAILURE;
		}
	}
	if (arguments->log_level != NULL && !level_known(arguments->log_level)) {
		(void)fputs(
		        "zoneletd: --log-level is one of error, warning, info, debug\n", stderr);
		return EXIT_FAILURE;
	}
	arguments->rest = argv + optind;
	arguments->rest_count = argc - optind;
	return -1;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {0};
	int status = parse(argc, argv, &arguments);

	if (status >= 0)
		return status;
	if (arguments.rest_count == 0)
		return run_daemon(&arguments);
	if (strcmp(arguments.rest[0], "config") == 0)
		return run_config(&arguments);
	(void)fputs(usage, stderr);
	return EXIT_FAILURE;
}
