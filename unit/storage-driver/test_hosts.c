// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strv.h"
#include "storage-driver/puller/auth.h"
#include "storage-driver/puller/challenge.h"
#include "storage-driver/puller/hosts.h"
#include "storage-driver/puller/toml.h"

// ---- hosts.toml

static int parse(const char *text, const char *domain, struct zl_hosts *ret, struct zl_error *err)
{
	return zl_hosts_parse("/nowhere", text, strlen(text), domain, NULL, ret, err);
}

START_TEST(mirrors_come_before_the_server)
{
	zl_auto(hosts) struct zl_hosts hosts = ZL_HOSTS_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(parse("# mirrors\n"
	                    "server = \"https://up.example\"\n\n"
	                    "[host.\"https://one.example\"]\n"
	                    "  capabilities = [\"pull\", \"resolve\"] # both\n"
	                    "  skip_verify = true\n"
	                    "  [host.\"https://one.example\".header]\n"
	                    "    x-a = \"1\"\n"
	                    "    x-b = [ \"2\",\n 'three' ]\n"
	                    "[host.'http://two.example:5000/path/']\n"
	                    "  capabilities = [\"pull\"]\n"
	                    "[host.\"https://push.example\"]\n"
	                    "  capabilities = [\"push\"]\n"
	                    "[host.\"https://raw.example/some/v9\"]\r\n"
	                    "  override_path = true\r\n",
	                      "example", &hosts, &err) == 0,
	        "%s", err.message);
	ck_assert_uint_eq(hosts.count, 4);
	ck_assert_str_eq(hosts.list[0].url, "https://one.example/v2");
	ck_assert(hosts.list[0].can_resolve && hosts.list[0].skip_verify);
	ck_assert(!hosts.list[0].upstream);
	ck_assert_str_eq(hosts.list[0].headers[0], "x-a: 1");
	ck_assert_str_eq(hosts.list[0].headers[2], "x-b: three");
	ck_assert_str_eq(hosts.list[1].url, "http://two.example:5000/path/v2");
	ck_assert_str_eq(hosts.list[1].name, "two.example:5000");
	ck_assert(!hosts.list[1].can_resolve);
	ck_assert_str_eq(hosts.list[2].url, "https://raw.example/some/v9");
	ck_assert_str_eq(hosts.list[3].url, "https://up.example/v2");
	ck_assert(hosts.list[3].upstream && hosts.list[3].can_resolve);
}
END_TEST

START_TEST(without_a_file_the_registry_itself)
{
	zl_auto(hosts) struct zl_hosts hosts = ZL_HOSTS_INIT;
	zl_auto(hosts) struct zl_hosts local = ZL_HOSTS_INIT;
	zl_auto(hosts) struct zl_hosts plain = ZL_HOSTS_INIT;
	char *insecure[] = {"plain.example:80", NULL};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_int_eq(zl_hosts_load("/nonexistent", "docker.io", NULL, &hosts, &err), 0);
	ck_assert_uint_eq(hosts.count, 1);
	ck_assert_str_eq(hosts.list[0].url, "https://registry-1.docker.io/v2");
	ck_assert_int_eq(zl_hosts_load(NULL, "127.0.0.1:5000", NULL, &local, &err), 0);
	ck_assert_str_eq(local.list[0].url, "http://127.0.0.1:5000/v2");
	ck_assert_int_eq(zl_hosts_load(NULL, "plain.example:80", insecure, &plain, &err), 0);
	ck_assert_str_eq(plain.list[0].url, "http://plain.example:80/v2");
}
END_TEST

static const struct {
	const char *host;
	bool loopback;
} loopbacks[] = {
        {"localhost", true},
        {"localhost:5000", true},
        {"127.0.0.1", true},
        {"127.9.9.9:1", true},
        {"[::1]:5000", true},
        {"[::1]", true},
        {"localhost.evil.example", false},
        {"127.0.0.1.evil.example", false},
        {"10.0.2.2:5000", false},
        {"example", false},
        {"[::12]", false},
};

START_TEST(knows_loopback)
{
	ck_assert_int_eq(zl_host_is_loopback(loopbacks[_i].host), loopbacks[_i].loopback);
}
END_TEST

static const struct {
	const char *text;
	const char *reason;
} bad_files[] = {
        {"server = ", "line 1"},
        {"server = \"https://a\" trailing", "line 1"},
        {"a = 1\nb = 1.5.5\n", "line 2"},
        {"a = \"\"\"x\"\"\"", "multi-line"},
        {"[[host]]", "arrays of tables"},
        {"[host", "]"},
        {"a = 1\na = 2", "twice"},
        {"a = 1\n[a]\nb = 1", "both as a value and as a table"},
        {"a = [1, 2", "was expected"},
        {"a = [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]", "too deep"},
        {"a = \"unfinished", "closing quote"},
        {"a = \"\\u0041\"", "escape"},
        {"a = \"\xff\"", "UTF-8"},
        {"= 1", "key"},
        {"server = \"ftp://a\"", "only http"},
        {"[host.\"https://a\"]\nca = \"missing.pem\"", "missing.pem"},
        {"[host.\"https://a\".header]\nx = \"a\\nb\"", "header"},
};

START_TEST(says_what_is_wrong_in_a_file)
{
	struct zl_hosts hosts = ZL_HOSTS_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(parse(bad_files[_i].text, "example", &hosts, &err) == -1, "passes: %s",
	        bad_files[_i].text);
	ck_assert_msg(strstr(err.message, bad_files[_i].reason) != NULL, "%s", err.message);
	ck_assert_ptr_nonnull(strstr(err.message, "hosts.toml"));
}
END_TEST

START_TEST(reads_certificates_beside_the_file)
{
	zl_auto(hosts) struct zl_hosts hosts = ZL_HOSTS_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char dir[] = "/tmp/zl-hosts-XXXXXX";
	char path[128];
	static const char text[] = "ca = \"ca.pem\"\n"
	                           "[host.\"https://m\"]\nca = [\"ca.pem\"]\n"
	                           "client = [[\"c.pem\", \"k.pem\"]]\n";
	static const char *const files[] = {"ca.pem", "c.pem", "k.pem"};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (size_t i = 0; i < ZL_ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		ck_assert_int_eq(
		        zl_file_write_atomic(path, files[i], strlen(files[i]), 0600, &err), 0);
	}
	ck_assert_msg(zl_hosts_parse(dir, text, strlen(text), "m2", NULL, &hosts, &err) == 0, "%s",
	        err.message);
	ck_assert_str_eq(zl_buffer_string(&hosts.list[0].ca), "ca.pem\n");
	ck_assert_str_eq(zl_buffer_string(&hosts.list[0].client_cert), "c.pem\n");
	ck_assert_str_eq(zl_buffer_string(&hosts.list[0].client_key), "k.pem\n");
	ck_assert_str_eq(zl_buffer_string(&hosts.list[1].ca), "ca.pem\n");
	ck_assert_int_eq(zl_tree_remove(dir, &err), 0);
}
END_TEST

// ---- challenges

static const struct {
	const char *value;
	bool basic;
	bool bearer;
	const char *realm;
	const char *service;
	const char *scope;
} challenges[] = {
        {"Basic realm=\"x\"", true, false, "", "", ""},
        {"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", false, true,
                "https://a/t", "s", "repository:x:pull"},
        {"bearer  realm = \"https://a/t\" , service = s", false, true, "https://a/t", "s", ""},
        {"Basic realm=\"x\", Bearer realm=\"https://a/t\"", true, true, "https://a/t", "", ""},
        {"Bearer realm=\"https://a/t\", Basic realm=\"x\"", true, true, "https://a/t", "", ""},
        {"Bearer realm=\"q\\\"uote\"", false, true, "q\"uote", "", ""},
        {"Bearer", false, false, "", "", ""},
        {"Bearer realm=\"\"", false, false, "", "", ""},
        {"Bearer realm=\"unfinished", false, false, "", "", ""},
        {"Bearer realm=", false, false, "", "", ""},
        {"Negotiate abcd==, Basic realm=x", true, false, "", "", ""},
        {"", false, false, "", "", ""},
        {",,,", false, false, "", "", ""},
        {"\"", false, false, "", "", ""},
};

START_TEST(reads_challenges)
{
	struct zl_challenge challenge = {.basic = false};

	zl_challenge_add(&challenge, challenges[_i].value);
	ck_assert_int_eq(challenge.basic, challenges[_i].basic);
	ck_assert_int_eq(challenge.bearer, challenges[_i].bearer);
	ck_assert_str_eq(challenge.realm, challenges[_i].realm);
	ck_assert_str_eq(challenge.service, challenges[_i].service);
	ck_assert_str_eq(challenge.scope, challenges[_i].scope);
}
END_TEST

START_TEST(a_realm_that_does_not_fit_offers_nothing)
{
	struct zl_challenge challenge = {.basic = false};
	char value[ZL_CHALLENGE_TEXT_SIZE + 64] = "Bearer realm=\"";
	size_t start = strlen(value);

	memset(value + start, 'a', ZL_CHALLENGE_TEXT_SIZE);
	(void)snprintf(value + start + ZL_CHALLENGE_TEXT_SIZE, 8, "\"");
	zl_challenge_add(&challenge, value);
	ck_assert(!challenge.bearer);
}
END_TEST

// ---- whose secret

static const struct {
	const char *server_address;
	const char *host;
	bool upstream;
	bool is_for;
} secrets[] = {
        {NULL, "r.example", true, true},
        {NULL, "mirror.example", false, false},
        {"", "r.example", true, true},
        {"r.example", "r.example", true, true},
        {"https://r.example/v2/", "r.example", false, true},
        {"other.example", "r.example", true, false},
        {"https://index.docker.io/v1/", "registry-1.docker.io", true, true},
        {"docker.io", "registry-1.docker.io", true, true},
        {"r.example:5000", "r.example", true, false},
};

START_TEST(a_secret_goes_where_it_belongs)
{
	struct zl_job_auth auth = {.server_address = secrets[_i].server_address};
	struct zl_host host = {.name = (char *)secrets[_i].host, .upstream = secrets[_i].upstream};

	ck_assert_int_eq(zl_auth_is_for(&auth, &host), secrets[_i].is_for);
}
END_TEST

START_TEST(makes_basic_credentials)
{
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_job_auth pair = {.username = "Aladdin", .password = "open sesame"};
	struct zl_job_auth ready = {.auth = "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="};
	struct zl_job_auth evil = {.auth = "abc\r\nX: y"};
	struct zl_job_auth none = {.username = NULL};
	zl_auto(free) char *one = zl_auth_basic(&pair, &err);
	zl_auto(free) char *two = zl_auth_basic(&ready, &err);

	// RFC 7617's own example.
	ck_assert_str_eq(one, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	ck_assert_str_eq(two, one);
	ck_assert_ptr_null(zl_auth_basic(&none, &err));
	ck_assert_int_eq(err.code, ZL_OK);
	ck_assert_ptr_null(zl_auth_basic(&evil, &err));
	ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("hosts");
	TCase *tests = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, mirrors_come_before_the_server);
	tcase_add_test(tests, without_a_file_the_registry_itself);
	tcase_add_loop_test(tests, knows_loopback, 0, (int)ZL_ARRAY_SIZE(loopbacks));
	tcase_add_loop_test(tests, says_what_is_wrong_in_a_file, 0, (int)ZL_ARRAY_SIZE(bad_files));
	tcase_add_test(tests, reads_certificates_beside_the_file);
	tcase_add_loop_test(tests, reads_challenges, 0, (int)ZL_ARRAY_SIZE(challenges));
	tcase_add_test(tests, a_realm_that_does_not_fit_offers_nothing);
	tcase_add_loop_test(tests, a_secret_goes_where_it_belongs, 0, (int)ZL_ARRAY_SIZE(secrets));
	tcase_add_test(tests, makes_basic_credentials);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
