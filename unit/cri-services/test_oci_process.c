// SPDX-License-Identifier: Apache-2.0
//
// The process of a spec: its words, environment, directory and user.
#include "unit/cri-services/oci_input.h"

static char img_a[] = "/img";
static char img_b[] = "first";
static char cmd_a[] = "cmd1";
static char cmd_b[] = "cmd2";
static char *entrypoint[] = {img_a, img_b, NULL};
static char *image_command[] = {cmd_a, cmd_b, NULL};
static const char *own_command[] = {"/own", "word"};
static const char *own_args[] = {"arg", ""};

// Kubernetes, "Define a Command and Arguments for a Container", its table.
static const struct {
	bool entrypoint, command; // of the image
	bool own_command, own_args;
	const char *wanted; // NULL: refused
} argument_rules[] = {
        {true, true, false, false, "[\"/img\",\"first\",\"cmd1\",\"cmd2\"]"},
        {true, true, true, false, "[\"/own\",\"word\"]"},
        {true, true, false, true, "[\"/img\",\"first\",\"arg\",\"\"]"},
        {true, true, true, true, "[\"/own\",\"word\",\"arg\",\"\"]"},
        {true, false, false, false, "[\"/img\",\"first\"]"},
        {false, true, false, false, "[\"cmd1\",\"cmd2\"]"},
        {false, true, false, true, "[\"arg\",\"\"]"},
        {false, false, true, false, "[\"/own\",\"word\"]"},
        {false, false, false, true, "[\"arg\",\"\"]"},
        {false, false, false, false, NULL},
};

START_TEST(words_follow_kubernetes_rules)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(argument_rules); i++) {
		zl_auto(json) json_t *spec = NULL;
		struct oci_input input;

		oci_input_init(&input);
		if (argument_rules[i].entrypoint)
			input.image.entrypoint = entrypoint;
		if (argument_rules[i].command)
			input.image.command = image_command;
		input.container.command = own_command;
		input.container.n_command = argument_rules[i].own_command ? 2 : 0;
		input.container.args = own_args;
		input.container.n_args = argument_rules[i].own_args ? 2 : 0;
		if (argument_rules[i].wanted == NULL) {
			oci_refused(&input, ZL_INVALID_ARGUMENT, "no command");
			oci_refused(&input, ZL_INVALID_ARGUMENT, "sha256:0000");
			continue;
		}
		spec = oci_spec(&input);
		oci_equal(spec, "process/args", argument_rules[i].wanted);
	}
}
END_TEST

START_TEST(an_image_may_have_no_lists)
{
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	input.image.entrypoint = NULL;
	input.image.command = NULL;
	input.image.env = NULL;
	input.image.working_dir = NULL;
	spec = oci_spec(&input);
	oci_equal(spec, "process/args", "[\"/run\"]");
	oci_equal(spec, "process/cwd", "\"/\"");
}
END_TEST

START_TEST(refuses_words_it_cannot_hold)
{
	const char *command[] = {"/run", "\xff\xfe"};
	const char *args[] = {"ok", "\xc0\x80"};
	struct oci_input input;

	oci_input_init(&input);
	input.container.command = command;
	input.container.n_command = 2;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "word of the command 2 is not UTF-8");
	oci_input_init(&input);
	input.container.args = args;
	input.container.n_args = 2;
	oci_refused(&input, ZL_INVALID_ARGUMENT, "word of the command 3 is not UTF-8");
}
END_TEST

static char env_path[] = "PATH=/image/bin";
static char env_shared[] = "SHARED=image";
static char env_image[] = "IMAGE=1=2";
static char env_twice[] = "IMAGE=last";
static char env_broken[] = "NOT_AN_ASSIGNMENT";
static char *image_env[] = {env_path, env_shared, env_image, env_twice, env_broken, NULL};

static void key_value(
        Runtime__V1__KeyValue *entry, const char *key, const char *value, size_t length)
{
	*entry = (Runtime__V1__KeyValue)RUNTIME__V1__KEY_VALUE__INIT;
	entry->key = key;
	entry->value.data = (uint8_t *)(uintptr_t)value;
	entry->value.len = length;
}

START_TEST(environment_is_overridden_in_order)
{
	Runtime__V1__KeyValue entries[4];
	Runtime__V1__KeyValue *envs[] = {&entries[0], &entries[1], &entries[2], &entries[3]};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;

	oci_input_init(&input);
	input.image.env = image_env;
	key_value(&entries[0], "SHARED", "pod", 3);
	key_value(&entries[1], "SHARE", "other", 5);
	key_value(&entries[2], "EMPTY", NULL, 0);
	key_value(&entries[3], "SHARED", "last=\n\"", 7);
	input.container.envs = envs;
	input.container.n_envs = 4;
	spec = oci_spec(&input);
	oci_equal(spec, "process/env",
	        "[\"PATH=/image/bin\",\"HOSTNAME=pod-host\",\"SHARED=last=\\n\\\"\",\"IMAGE=last\","
	        "\"SHARE=other\",\"EMPTY=\"]");
}
END_TEST

START_TEST(environment_has_defaults)
{
	struct oci_input input;
	zl_auto(json) json_t *plain = NULL;
	zl_auto(json) json_t *terminal = NULL;

	oci_input_init(&input);
	plain = oci_spec(&input);
	oci_equal(plain, "process/env",
	        "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\","
	        "\"HOSTNAME=pod-host\"]");
	oci_equal(plain, "process/terminal", "false");
	input.container.tty = true;
	terminal = oci_spec(&input);
	ck_assert(oci_contains(terminal, "process/env", "TERM=xterm"));
	oci_equal(terminal, "process/terminal", "true");
}
END_TEST

static const struct {
	const char *key;
	const char *value;
	size_t length;
	const char *reason;
} bad_env[] = {
        {"", "x", 1, "not NAME=value"},
        {"A=B", "x", 1, "not NAME=value"},
        {"NUL", "a\0b", 3, "not NAME=value"},
        {"NUL", "\0", 1, "not NAME=value"},
        {"BYTES", "\xff", 1, "\"BYTES\" is not UTF-8"},
        {"HALF", "\xe2\x82", 2, "\"HALF\" is not UTF-8"},
};

START_TEST(refuses_environment_it_cannot_hold)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(bad_env); i++) {
		Runtime__V1__KeyValue entry;
		Runtime__V1__KeyValue *envs[] = {&entry};
		struct oci_input input;
		// On the heap without a zero: an overrun would be seen.
		char *value = malloc(bad_env[i].length);

		ck_assert_ptr_nonnull(value);
		memcpy(value, bad_env[i].value, bad_env[i].length);
		oci_input_init(&input);
		key_value(&entry, bad_env[i].key, value, bad_env[i].length);
		input.container.envs = envs;
		input.container.n_envs = 1;
		oci_refused(&input, ZL_INVALID_ARGUMENT, bad_env[i].reason);
		free(value);
	}
}
END_TEST

START_TEST(a_value_ends_where_its_length_says)
{
	Runtime__V1__KeyValue entry;
	Runtime__V1__KeyValue *envs[] = {&entry};
	struct oci_input input;
	zl_auto(json) json_t *spec = NULL;
	char *value = malloc(3);

	ck_assert_ptr_nonnull(value);
	memcpy(value, "abc", 3);
	oci_input_init(&input);
	key_value(&entry, "K", value, 3);
	input.container.envs = envs;
	input.container.n_envs = 1;
	spec = oci_spec(&input);
	ck_assert(oci_contains(spec, "process/env", "K=abc"));
	free(value);
}
END_TEST

START_TEST(directory_comes_from_container_image_or_root)
{
	static char image_dir[] = "/image";
	struct oci_input input;
	zl_auto(json) json_t *root = NULL;
	zl_auto(json) json_t *image = NULL;
	zl_auto(json) json_t *own = NULL;

	oci_input_init(&input);
	root = oci_spec(&input);
	oci_equal(root, "process/cwd", "\"/\"");
	input.image.working_dir = image_dir;
	image = oci_spec(&input);
	oci_equal(image, "process/cwd", "\"/image\"");
	input.container.working_dir = "/own dir";
	own = oci_spec(&input);
	oci_equal(own, "process/cwd", "\"/own dir\"");
}
END_TEST

START_TEST(process_carries_score_and_privileges)
{
	struct oci_input input;
	zl_auto(json) json_t *plain = NULL;
	zl_auto(json) json_t *set = NULL;
	zl_auto(json) json_t *bare = NULL;

	oci_input_init(&input);
	plain = oci_spec(&input);
	oci_equal(plain, "process/oomScoreAdj", "0");
	oci_equal(plain, "process/noNewPrivileges", "false");
	oci_equal(plain, "process/user", "{\"gid\":0,\"uid\":0}");
	oci_equal(plain, "root", "{\"path\":\"rootfs\",\"readonly\":false}");
	oci_equal(plain, "ociVersion", "\"1.1.0\"");
	input.resources.oom_score_adj = -997;
	input.context.no_new_privs = true;
	input.context.readonly_rootfs = true;
	set = oci_spec(&input);
	oci_equal(set, "process/oomScoreAdj", "-997");
	oci_equal(set, "process/noNewPrivileges", "true");
	oci_equal(set, "root/readonly", "true");
	input.container.linux = NULL;
	bare = oci_spec(&input);
	ck_assert(!oci_has(bare, "process/oomScoreAdj"));
}
END_TEST

static char *user_of(const struct oci_input *input, struct zl_error *err)
{
	return zl_oci_user(&input->container, &input->image, err);
}

START_TEST(user_comes_from_context_or_image)
{
	Runtime__V1__Int64Value number = RUNTIME__V1__INT64_VALUE__INIT;
	static char image_user[] = "web:www";
	struct zl_error err = ZL_ERROR_INIT;
	struct oci_input input;
	char *user;

	oci_input_init(&input);
	input.image.user = NULL;
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "");
	free(user);
	input.image.user = image_user;
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "web:www");
	free(user);
	input.context.run_as_username = "named";
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "named");
	free(user);
	number.value = 1000;
	input.context.run_as_user = &number;
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "1000");
	free(user);
	number.value = 0;
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "0");
	free(user);
	input.container.linux = NULL;
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "web:www");
	free(user);
}
END_TEST

// containerd's rule, which critest checks.
START_TEST(a_group_needs_a_user)
{
	Runtime__V1__Int64Value group = RUNTIME__V1__INT64_VALUE__INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct oci_input input;
	char *user;

	oci_input_init(&input);
	group.value = 5;
	input.context.run_as_group = &group;
	ck_assert_ptr_null(user_of(&input, &err));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(err.message, "container c: run_as_group"));
	input.context.run_as_username = "named";
	user = user_of(&input, &err);
	ck_assert_str_eq(user, "named");
	free(user);
}
END_TEST

SUITE(oci_process, words_follow_kubernetes_rules, an_image_may_have_no_lists,
        refuses_words_it_cannot_hold, environment_is_overridden_in_order, environment_has_defaults,
        refuses_environment_it_cannot_hold, a_value_ends_where_its_length_says,
        directory_comes_from_container_image_or_root, process_carries_score_and_privileges,
        user_comes_from_context_or_image, a_group_needs_a_user)
