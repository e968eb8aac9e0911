// SPDX-License-Identifier: Apache-2.0
//
// The resize stream: JSON objects one after another, {"Width":80,"Height":24}
// (k8s.io/client-go tools/remotecommand, TerminalSize). Only the last size counts.
#ifndef ZL_CRI_SERVER_STREAM_RESIZE_H
#define ZL_CRI_SERVER_STREAM_RESIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ZL_RESIZE_TEXT = 256 };

struct zl_resize {
	char text[ZL_RESIZE_TEXT]; // the object under way
	size_t length;
	uint16_t columns;
	uint16_t rows;
	bool changed; // to be cleared by whoever applies it
};

// Takes bytes of the stream. What is no size is passed over.
void zl_resize_take(struct zl_resize *resize, const void *bytes, size_t length);

#endif
