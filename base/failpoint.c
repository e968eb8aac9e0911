// SPDX-License-Identifier: Apache-2.0
#include "base/failpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *list; // NULL: none, the ordinary case

static void read_environment(void)
{
	list = secure_getenv("ZONELET_FAILPOINTS");
	if (list != NULL && *list == '\0')
		list = NULL;
}

// What is to happen at `name`: the text after "name=", NULL if nothing.
static const char *action_at(const char *name)
{
	size_t length = strlen(name);

	for (const char *at = list; at != NULL; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, length) == 0 && at[length] == '=')
			return at + length + 1;
	}
	return NULL;
}

int zl_failpoint(const char *name, struct zl_error *err)
{
	const char *action;

	(void)pthread_once(&once, read_environment);
	if (list == NULL)
		return 0;
	action = action_at(name);
	if (action == NULL)
		return 0;
	if (strncmp(action, "kill", 4) == 0)
		(void)raise(SIGKILL);
	return zl_error_set(err, ZL_INTERNAL, "failure injected at %s", name);
}
