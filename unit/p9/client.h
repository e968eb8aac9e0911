// SPDX-License-Identifier: Apache-2.0
//
// What a client does, for tests: a server over a temporary directory, and requests to it.
#ifndef ZL_UNIT_P9_CLIENT_H
#define ZL_UNIT_P9_CLIENT_H

#include "storage-driver/p9/server.h"

enum { CLIENT_MSIZE = 65536, ROOT_FID = 1, DIR_FID = 2 };

struct client {
	struct zl_p9_server server;
	char directory[64];                // exported as "d"
	struct zl_p9_message answer;       // of the last request
	uint8_t request[2 * CLIENT_MSIZE]; // its bytes, which the answer may point into
	uint8_t reply[CLIENT_MSIZE];
};

// A server with one export, attached as ROOT_FID, the export walked to as DIR_FID.
struct client *client_open(void);
void client_close(struct client *client);

// Sends a request; 0, or the errno of Rlerror. The answer is in client->answer.
int ask(struct client *client, struct zl_p9_message request);

// The usual ones.
int walk(struct client *client, uint32_t fid, uint32_t new_fid, const char *path);
int lopen(struct client *client, uint32_t fid, uint32_t flags);
int create(struct client *client, uint32_t fid, const char *name, uint32_t flags, uint32_t mode);
int put(struct client *client, uint32_t fid, uint64_t offset, const char *text);
// What is at the offset, as a string that lives until the next request.
const char *get(struct client *client, uint32_t fid, uint64_t offset);
int clunk(struct client *client, uint32_t fid);

struct zl_p9_text text(const char *string);

// Files of the directory, behind the server's back.
void host_write(struct client *client, const char *name, const char *content);
char *host_path(struct client *client, const char *name, char out[static 256]);

#endif
