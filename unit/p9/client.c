// SPDX-License-Identifier: Apache-2.0
#include "unit/p9/client.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"

struct zl_p9_text text(const char *string)
{
	return (struct zl_p9_text){.bytes = string, .length = (uint16_t)strlen(string)};
}

struct client *client_open(void)
{
	struct client *client = calloc(1, sizeof(*client));
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(fd) int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd;

	ck_assert_ptr_nonnull(client);
	(void)snprintf(client->directory, sizeof(client->directory), "/tmp/zl-p9-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(client->directory));
	ck_assert_int_eq(zl_p9_server_init(&client->server, proc, CLIENT_MSIZE, &err), 0);
	fd = open(client->directory, O_PATH | O_CLOEXEC);
	ck_assert_int_eq(zl_p9_export_add(&client->server.exports, "d", fd, &err), 0);
	ck_assert_int_eq(ask(client, (struct zl_p9_message){.type = ZL_P9_TVERSION,
	                                     .tag = ZL_P9_NO_TAG,
	                                     .msize = CLIENT_MSIZE,
	                                     .name = text("9P2000.L")}),
	        0);
	ck_assert_int_eq(ask(client, (struct zl_p9_message){.type = ZL_P9_TATTACH,
	                                     .fid = ROOT_FID,
	                                     .other_fid = ZL_P9_NO_FID}),
	        0);
	ck_assert_int_eq(walk(client, ROOT_FID, DIR_FID, "d"), 0);
	return client;
}

void client_close(struct client *client)
{
	zl_p9_server_release(&client->server);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(zl_tree_remove(client->directory, NULL), 0);
	free(client);
}

int ask(struct client *client, struct zl_p9_message request)
{
	struct zl_p9_message decoded;
	size_t length = zl_p9_encode(&request, client->request, sizeof(client->request));

	ck_assert_uint_gt(length, 0);
	ck_assert_int_eq(zl_p9_decode(client->request, length, &decoded), 0);
	length = zl_p9_server_answer(&client->server, &decoded, client->reply);
	ck_assert_int_eq(zl_p9_decode(client->reply, length, &client->answer), 0);
	ck_assert_uint_eq(client->answer.tag, request.tag);
	if (client->answer.type == ZL_P9_RLERROR) {
		ck_assert_uint_ne(client->answer.error, 0);
		return (int)client->answer.error;
	}
	ck_assert_uint_eq(client->answer.type, request.type + 1);
	return 0;
}

int walk(struct client *client, uint32_t fid, uint32_t new_fid, const char *path)
{
	struct zl_p9_message request = {.type = ZL_P9_TWALK, .fid = fid, .other_fid = new_fid};
	int failure;

	while (*path != '\0') {
		size_t length = strcspn(path, "/");

		request.names[request.name_count++] =
		        (struct zl_p9_text){.bytes = path, .length = (uint16_t)length};
		path += length;
		path += strspn(path, "/");
	}
	failure = ask(client, request);
	if (failure == 0 && client->answer.qid_count < request.name_count)
		failure = ENOENT;
	return failure;
}

int lopen(struct client *client, uint32_t fid, uint32_t flags)
{
	return ask(
	        client, (struct zl_p9_message){.type = ZL_P9_TLOPEN, .fid = fid, .flags = flags});
}

int create(struct client *client, uint32_t fid, const char *name, uint32_t flags, uint32_t mode)
{
	return ask(client, (struct zl_p9_message){.type = ZL_P9_TLCREATE,
	                           .fid = fid,
	                           .name = text(name),
	                           .flags = flags,
	                           .mode = mode});
}

int put(struct client *client, uint32_t fid, uint64_t offset, const char *content)
{
	int failure = ask(client, (struct zl_p9_message){.type = ZL_P9_TWRITE,
	                                  .fid = fid,
	                                  .offset = offset,
	                                  .data = (const uint8_t *)content,
	                                  .data_length = (uint32_t)strlen(content)});

	if (failure == 0)
		ck_assert_uint_eq(client->answer.count, strlen(content));
	return failure;
}

const char *get(struct client *client, uint32_t fid, uint64_t offset)
{
	struct zl_p9_message request = {
	        .type = ZL_P9_TREAD, .fid = fid, .offset = offset, .count = 4096};

	ck_assert_int_eq(ask(client, request), 0);
	client->reply[ZL_P9_DATA_HEADER + client->answer.data_length] = 0;
	return (const char *)client->answer.data;
}

int clunk(struct client *client, uint32_t fid)
{
	return ask(client, (struct zl_p9_message){.type = ZL_P9_TCLUNK, .fid = fid});
}

char *host_path(struct client *client, const char *name, char out[static 256])
{
	(void)snprintf(out, 256, "%s/%s", client->directory, name);
	return out;
}

void host_write(struct client *client, const char *name, const char *content)
{
	char path[256];

	ck_assert_int_eq(zl_file_write_atomic(host_path(client, name, path), content,
	                         strlen(content), 0644, NULL),
	        0);
}
