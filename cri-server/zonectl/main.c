// SPDX-License-Identifier: Apache-2.0
//
// zonectl: the command line.
#include <getopt.h>
#include <string.h>

#include "api.pb-c.h"
#include "base/cleanup.h"
#include "cri-server/zonectl/zonectl.h"

static const struct command {
	const char *name;
	const char *arguments;
	const char *help;
	int (*run)(struct zl_zonectl *ctl, struct zl_error *err);
} commands[] = {
        {"zones", "[-a] [-o json]", "list zones: domain, pod, memory, vcpus, uptime (-a: all pods)",
                zl_command_zones},
        {"console", "[-f] [--raw] POD", "print what a zone's kernel said (-f: and go on)",
                zl_command_console},
        {"check", "[-o json]", "tell what is missing on this node to run pods, and the remedy",
                zl_command_check},
        {"version", "", "print versions of zonectl and zoneletd", zl_command_version},
};

static void print_usage(FILE *out)
{
	(void)fprintf(out, "zonectl: look at the zones of this node\n\n");
	for (size_t i = 0; i < ZL_ARRAY_SIZE(commands); i++)
		(void)fprintf(out, "  zonectl %-8s %-18s %s\n", commands[i].name,
		        commands[i].arguments, commands[i].help);
	(void)fprintf(out,
	        "\n  --config FILE   zoneletd's configuration (" ZL_CONFIG_PATH ")\n"
	        "  --socket PATH   zoneletd's socket (default: as configured)\n"
	        "\nPOD is a name, namespace/name, or the beginning of an id.\n"
	        "Exit status: 0; 1 where something is missing or failed; 2 for bad usage.\n");
}

int zl_command_version(struct zl_zonectl *ctl, struct zl_error *err)
{
	Runtime__V1__VersionRequest request = RUNTIME__V1__VERSION_REQUEST__INIT;
	Runtime__V1__VersionResponse *response;

	printf("zonectl %s\n", ZL_VERSION);
	(void)fflush(stdout);
	if (zl_zonectl_connect(ctl, err) < 0)
		return -1;
	response = ZL_CRI_CALL(ctl->client, runtime_service, Version, &request, &ctl->arena,
	        ZL_ZONECTL_TIMEOUT_MS, err);
	if (response == NULL)
		return -1;
	printf("%s %s, CRI %s\n", response->runtime_name, response->runtime_version,
	        response->runtime_api_version);
	return 0;
}

static int load_config(struct zl_zonectl *ctl, const char *path, struct zl_error *err)
{
	if (zl_config_load(path != NULL ? path : ZL_CONFIG_PATH, &ctl->config, err) == 0)
		return 0;
	if (path != NULL || err->code != ZL_NOT_FOUND)
		return -1;
	zl_error_clear(err);
	zl_config_defaults(&ctl->config);
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(commands); i++) {
		if (name != NULL && strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

enum { OPTION_RAW = 256 };

// -1: go on; else the exit status.
static int parse(int argc, char **argv, struct zl_zonectl *ctl, const char **ret_config)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"socket", required_argument, NULL, 's'},
	        {"output", required_argument, NULL, 'o'},
	        {"all", no_argument, NULL, 'a'},
	        {"follow", no_argument, NULL, 'f'},
	        {"raw", no_argument, NULL, OPTION_RAW},
	        {"help", no_argument, NULL, 'h'},
	        {0},
	};
	int option;

	// NOLINTNEXTLINE(concurrency-mt-unsafe): no threads yet
	while ((option = getopt_long(argc, argv, "c:s:o:afh", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			*ret_config = optarg;
			break;
		case 's':
			ctl->socket = optarg;
			break;
		case 'o':
			if (strcmp(optarg, "json") != 0) {
				(void)fputs("zonectl: -o knows json alone\n", stderr);
				return 2;
			}
			ctl->json = true;
			break;
		case 'a':
			ctl->all = true;
			break;
		case 'f':
			ctl->follow = true;
			break;
		case OPTION_RAW:
			ctl->raw = true;
			break;
		case 'h':
			print_usage(stdout);
			return 0;
		default:
			return 2;
		}
	}
	return -1;
}

static int run(struct zl_zonectl *ctl, const struct command *command, const char *config_path)
{
	struct zl_error err = ZL_ERROR_INIT;
	int result;

	if (load_config(ctl, config_path, &err) < 0) {
		(void)fprintf(stderr, "zonectl: %s\n", err.message);
		return 1;
	}
	if (ctl->socket == NULL)
		ctl->socket = ctl->config.socket;
	result = command->run(ctl, &err);
	if (result >= 0)
		return result;
	(void)fprintf(stderr, "zonectl: %s\n", err.message);
	return err.code == ZL_INVALID_ARGUMENT ? 2 : 1;
}

int main(int argc, char **argv)
{
	struct zl_zonectl ctl = {.config = ZL_CONFIG_INIT, .arena = ZL_ARENA_INIT};
	const char *config_path = NULL;
	const struct command *command;
	int status = parse(argc, argv, &ctl, &config_path);

	if (status >= 0)
		return status;
	command = find_command(argv[optind]);
	if (command == NULL) {
		print_usage(stderr);
		return 2;
	}
	ctl.argv = argv + optind + 1;
	ctl.argc = argc - optind - 1;
	status = run(&ctl, command, config_path);
	zl_rpc_client_close(ctl.client);
	zl_config_release(&ctl.config);
	zl_arena_release(&ctl.arena);
	return status;
}
