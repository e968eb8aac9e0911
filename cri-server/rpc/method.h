// SPDX-License-Identifier: Apache-2.0
//
// The methods that are served, made from the generated descriptors, so none is left out.
#ifndef ZL_CRI_SERVER_RPC_METHOD_H
#define ZL_CRI_SERVER_RPC_METHOD_H

#include "cri-server/rpc/rpc.h"

struct zl_method {
	char *path;       // "/runtime.v1.RuntimeService/Version"
	const char *name; // "Version"
	const ProtobufCMessageDescriptor *request;
	const ProtobufCMessageDescriptor *response;
	zl_rpc_handler *handler; // NULL: UNIMPLEMENTED
	const char *why;         // may be NULL
	bool stream;
	bool slow;
	void *service; // for the handler
};

struct zl_method_table {
	struct zl_method *methods; // sorted by path
	size_t count;
};

int zl_method_table_init(struct zl_method_table *table, const struct zl_rpc_service *services,
        size_t count, struct zl_error *err);
void zl_method_table_release(struct zl_method_table *table);

// `path` need not be terminated. NULL if there is none.
const struct zl_method *zl_method_find(
        const struct zl_method_table *table, const void *path, size_t length);

#endif
