// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "zone/supervisor/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pid_t holder(void *user, const char *kind, const char *container_id, struct zl_error *err)
{
	(void)user, (void)kind, (void)err;
	return container_id != NULL ? 7 : 0;
}

// Most random texts are no JSON, so the input goes to where the interesting members are.
#define WITH_LINUX(more) "{\"process\":{},\"linux\":{\"cgroupsPath\":\"/\"" more "}"

static const char *const templates[] = {
        "%s",
        WITH_LINUX(",\"namespaces\":[%s]}"),
        WITH_LINUX("},\"mounts\":[%s]"),
        WITH_LINUX(",\"namespaces\":[{\"path\":\"zonelet:%s\"}]}"),
        "{\"process\":{%s},\"linux\":{\"cgroupsPath\":\"%s\"}}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct zl_user user = {.group_count = 1};
	static const struct zl_spec_facts facts = {.root = "/root",
	        .user = &user,
	        .resolv_conf = "/resolv.conf",
	        .hostname = "/hostname",
	        .shm = "/shm",
	        .holder = holder};
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
	char cgroup[ZL_CGROUPS_PATH_SIZE];
	zl_auto(buffer) struct zl_buffer spec = ZL_BUFFER_INIT;
	const char *format;
	char *text;

	if (size == 0)
		return 0;
	format = templates[data[0] % ZL_ARRAY_SIZE(templates)];
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	for (const char *at = format; *at != '\0'; at++) {
		if (strncmp(at, "%s", 2) == 0) {
			(void)zl_buffer_append_string(&spec, text, NULL);
			at++;
		} else {
			(void)zl_buffer_append(&spec, at, 1, NULL);
		}
	}
	(void)zl_spec_complete(zl_buffer_string(&spec), &facts, &out, cgroup, NULL);
	zl_buffer_release(&out);
	(void)zl_spec_complete_process(text, true, &out, NULL);
	free(text);
	return 0;
}
