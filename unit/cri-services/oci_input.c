// SPDX-License-Identifier: Apache-2.0
// clang would warn of each initialiser that names what CRI deprecates.
#define PROTOBUF_C__NO_DEPRECATED

#include "unit/cri-services/oci_input.h"

static char nothing[] = "";
static char *no_strings[] = {NULL};

void oci_input_init(struct oci_input *input)
{
	static const char *command[] = {"/run"};

	*input = (struct oci_input){
	        .pod = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT,
	        .pod_linux = RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__INIT,
	        .pod_context = RUNTIME__V1__LINUX_SANDBOX_SECURITY_CONTEXT__INIT,
	        .metadata = RUNTIME__V1__CONTAINER_METADATA__INIT,
	        .container = RUNTIME__V1__CONTAINER_CONFIG__INIT,
	        .lin = RUNTIME__V1__LINUX_CONTAINER_CONFIG__INIT,
	        .resources = RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT,
	        .context = RUNTIME__V1__LINUX_CONTAINER_SECURITY_CONTEXT__INIT,
	        .capabilities = RUNTIME__V1__CAPABILITY__INIT,
	        .namespaces = RUNTIME__V1__NAMESPACE_OPTION__INIT,
	        .profile = RUNTIME__V1__SECURITY_PROFILE__INIT,
	        .image = {.id = "sha256:0000",
	                .env = no_strings,
	                .entrypoint = no_strings,
	                .command = no_strings,
	                .user = nothing,
	                .working_dir = nothing,
	                .stop_signal = nothing},
	};
	input->pod.linux = &input->pod_linux;
	input->pod_linux.security_context = &input->pod_context;
	input->metadata.name = "c";
	input->container.metadata = &input->metadata;
	input->container.linux = &input->lin;
	input->container.command = command;
	input->container.n_command = 1;
	input->lin.resources = &input->resources;
	input->lin.security_context = &input->context;
	input->context.capabilities = &input->capabilities;
	input->context.namespace_options = &input->namespaces;
	input->in = (struct zl_oci_input){
	        .sandbox_id = "5ab",
	        .container_id = "c0c",
	        .pod = &input->pod,
	        .container = &input->container,
	        .image = &input->image,
	        .hostname = "pod-host",
	        .cgroups_path = "/zonelet/c0c",
	};
}

json_t *oci_spec(const struct oci_input *input)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *text = zl_oci_spec(&input->in, &err);
	json_t *spec;

	ck_assert_msg(text != NULL, "%s: %s", zl_code_name(err.code), err.message);
	spec = zl_json_parse("spec", text, strlen(text), 1 << 24, &err);
	ck_assert_msg(spec != NULL, "%s", err.message);
	return spec;
}

void oci_refused(const struct oci_input *input, enum zl_code code, const char *reason)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(free) char *text = zl_oci_spec(&input->in, &err);

	ck_assert_msg(text == NULL, "accepted: %s", text);
	ck_assert_msg(err.code == code, "%s: %s", zl_code_name(err.code), err.message);
	ck_assert_msg(strstr(err.message, reason) != NULL, "message: %s", err.message);
	ck_assert_msg(
	        strstr(err.message, "container c") != NULL, "names no container: %s", err.message);
}

static const json_t *find(const json_t *at, const char *path)
{
	while (at != NULL && *path != '\0') {
		char key[64];
		size_t length = strcspn(path, "/");

		ck_assert_uint_lt(length, sizeof(key));
		memcpy(key, path, length);
		key[length] = '\0';
		at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key))
		                       : json_object_get(at, key);
		path += length + (path[length] == '/');
	}
	return at;
}

const json_t *oci_at(const json_t *spec, const char *path)
{
	const json_t *at = find(spec, path);

	ck_assert_msg(at != NULL, "nothing at %s", path);
	return at;
}

bool oci_has(const json_t *spec, const char *path)
{
	return find(spec, path) != NULL;
}

void oci_equal(const json_t *spec, const char *path, const char *wanted)
{
	zl_auto(free) char *text =
	        json_dumps(oci_at(spec, path), JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);

	ck_assert_msg(strcmp(text, wanted) == 0, "%s is %s, not %s", path, text, wanted);
}

bool oci_contains(const json_t *spec, const char *path, const char *text)
{
	const json_t *list = oci_at(spec, path);

	for (size_t i = 0; i < json_array_size(list); i++) {
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	}
	return false;
}
