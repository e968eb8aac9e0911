// SPDX-License-Identifier: Apache-2.0
#include "recorder.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cni-bridge/netns.h"

struct lab lab;

const char recorder[] =
        "#!/bin/sh\n"
        "bin=$(dirname \"$0\") name=$(basename \"$0\")\n"
        "cat >\"$bin/$name.$CNI_COMMAND.in\"\n"
        "env >\"$bin/$name.$CNI_COMMAND.env\"\n"
        "echo \"$CNI_COMMAND $name\" >>\"$bin/log\"\n"
        "[ ! -e \"$bin/$name.$CNI_COMMAND.fail\" ] || { cat \"$bin/$name.$CNI_COMMAND.fail\"; exit "
        "1; }\n"
        "[ \"$CNI_COMMAND\" = ADD ] || exit 0\n"
        "nsenter --net=$CNI_NETNS ip link show eth0 >/dev/null 2>&1 ||\n"
        "\tnsenter --net=$CNI_NETNS ip link add eth0 mtu 1432 address 0e:00:00:00:00:07 type veth "
        "peer name p0\n"
        "echo "
        "'{\"cniVersion\":\"0.4.0\",\"by\":\"'$name'\",\"interfaces\":[{\"name\":\"eth0\","
        "\"sandbox\":\"'$CNI_NETNS'\"}],"
        "\"ips\":[{\"version\":\"4\",\"interface\":0,\"address\":\"10.1.2.3/24\"}]}'\n";

const char conflist[] =
        "{\"cniVersion\":\"0.4.0\",\"name\":\"pods\",\"plugins\":[{\"type\":\"one\"},"
        "{\"type\":\"two\",\"capabilities\":{\"portMappings\":true}}]}";

static const struct zl_cni_port port = {.host_port = 8080, .container_port = 80, .protocol = "tcp"};

struct zl_cni_pod make_pod(void)
{
	return (struct zl_cni_pod){.sandbox_id = "abc123",
	        .name = "web",
	        .namespace_ = "default",
	        .uid = "u-1",
	        .netns = lab.netns,
	        .ports = &port,
	        .port_count = 1};
}

struct zl_cni *open_cni(int timeout_ms)
{
	const char *const bin_dirs[] = {"/nonexistent", lab.bin, NULL};
	const struct zl_cni_options options = {.conf_dir = lab.conf,
	        .bin_dirs = bin_dirs,
	        .cache_dir = lab.cache,
	        .timeout_ms = timeout_ms};
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_cni *cni = zl_cni_open(&options, &err);

	ck_assert_msg(cni != NULL, "%s", err.message);
	return cni;
}

void set_up(void)
{
	struct zl_error err = ZL_ERROR_INIT;

	lab_enter(&lab);
	lab_write(lab.bin, "one", 0755, recorder);
	lab_write(lab.bin, "two", 0755, recorder);
	lab_write(lab.conf, "10-pods.conflist", 0644, conflist);
	ck_assert_msg(zl_netns_create(lab.netns, &err) == 0, "%s", err.message);
}

void has(const char *dir, const char *name, const char *part)
{
	zl_auto(free) char *text = lab_read(dir, name);

	ck_assert_msg(text != NULL, "no file %s/%s", dir, name);
	ck_assert_msg(strstr(text, part) != NULL, "%s/%s has no '%s': %s", dir, name, part, text);
}

void has_not(const char *dir, const char *name, const char *part)
{
	zl_auto(free) char *text = lab_read(dir, name);

	ck_assert_msg(
	        text == NULL || strstr(text, part) == NULL, "%s/%s has '%s'", dir, name, part);
}

void log_is(const char *expected)
{
	zl_auto(free) char *text = lab_read(lab.bin, "log");

	ck_assert_str_eq(text != NULL ? text : "", expected);
}

void message_has(const struct zl_error *err, const char *part)
{
	ck_assert_msg(strstr(err->message, part) != NULL, "no '%s' in: %s", part, err->message);
}

void status_is(struct zl_cni *cni, const char *part)
{
	struct zl_error err = ZL_ERROR_INIT;
	int result = zl_cni_status(cni, NULL, NULL, &err);

	if (part == NULL) {
		ck_assert_msg(result == 0, "%s", err.message);
		return;
	}
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(err.code, ZL_UNAVAILABLE);
	message_has(&err, part);
}

void forget_log(void)
{
	lab_shell(NULL, "rm -f %s/log", lab.bin);
}
