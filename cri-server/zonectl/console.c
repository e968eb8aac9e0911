// SPDX-License-Identifier: Apache-2.0
//
// zonectl console POD: what the zone's kernel and supervisor said.
#include <signal.h>
#include <string.h>

#include "cri-server/zonectl/console_log.h"
#include "cri-server/zonectl/pods.h"

#define CONSOLE_DIR "/var/log/xen/console"

static const char *domain_of(struct zl_zonectl *ctl, const char *what, struct zl_error *err)
{
	const struct zl_pod *pod;
	struct zl_pod *pods;
	size_t count;

	if (zl_pods_list(ctl, &pods, &count, err) < 0)
		return NULL;
	pod = zl_pods_find(pods, count, what, err);
	if (pod == NULL)
		return NULL;
	if (pod->domain_name[0] != '\0')
		return pod->domain_name;
	(void)zl_error_set(err, ZL_FAILED_PRECONDITION,
	        "pod %s/%s runs under the %s handler: it is no zone and has no console; `crictl "
	        "logs` shows its containers",
	        pod->namespace_, pod->name, pod->handler);
	return NULL;
}

// The daemon may be stopped, or the pod removed, while its console is still of interest: then the
// argument may be the domain's own name.
static const char *path_of(struct zl_zonectl *ctl, const char *what, struct zl_error *err)
{
	const char *domain = domain_of(ctl, what, err);
	const char *path;

	if (domain == NULL && strchr(what, '/') == NULL) {
		path = zl_arena_printf(&ctl->arena, CONSOLE_DIR "/guest-%s.log", what);
		if (access(path, R_OK) == 0)
			return path;
	}
	if (domain == NULL)
		return NULL;
	if (strchr(domain, '/') != NULL) {
		(void)zl_error_set(err, ZL_INTERNAL, "the daemon told a bad domain name");
		return NULL;
	}
	return zl_arena_printf(&ctl->arena, CONSOLE_DIR "/guest-%s.log", domain);
}

int zl_command_console(struct zl_zonectl *ctl, struct zl_error *err)
{
	const char *path;

	if (ctl->argc != 1)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "console wants one pod: its name, namespace/name, or the beginning of its "
		        "id");
	path = path_of(ctl, ctl->argv[0], err);
	if (path == NULL)
		return -1;
	// Following ends by the user's interrupt, which ends the program.
	return zl_console_copy(path, ctl->raw, ctl->follow, STDOUT_FILENO, NULL, err);
}
