// SPDX-License-Identifier: Apache-2.0
//
// Text from a peer made fit for a message: one line of ASCII, cut.
#ifndef ZL_STORAGE_DRIVER_PRINTABLE_H
#define ZL_STORAGE_DRIVER_PRINTABLE_H

#include <stddef.h>

enum { ZL_PRINTABLE_SIZE = 200 };

// Copies `text` with "?" for what is not printable ASCII, and "..." where it was cut. Returns out.
const char *zl_printable(const char *text, char *out, size_t size);

#endif
