// SPDX-License-Identifier: Apache-2.0
//
// A layer on its way from the registry to a blob, in one stream without temporary files:
//   transfer -> digest -> unpack -> diffID -> tar filter -> mkfs.erofs
#ifndef ZL_STORAGE_DRIVER_PULLER_LAYER_H
#define ZL_STORAGE_DRIVER_PULLER_LAYER_H

#include <stdatomic.h>

#include "storage-driver/puller/registry.h"

struct zl_layer {
	struct zl_descriptor blob;    // as the registry has it
	char diff_id[ZL_DIGEST_SIZE]; // of its tar
	char file[40];                // to be written in the working directory
	size_t number;                // from 1, for messages
	size_t count;                 // layers of the image
};

// Makes the layer's file. `stop` ends the work early (CANCELLED). DATA_LOSS: the registry's bytes
// or the tar have another digest than promised; INVALID_ARGUMENT: unpacking or an entry is
// malformed or hostile (only told when the bytes are those that the manifest promised);
// UNAVAILABLE.
int zl_layer_make(struct zl_registry *registry, struct zl_http *http, const struct zl_layer *layer,
        uint64_t max_bytes, const atomic_bool *stop, struct zl_error *err);

#endif
