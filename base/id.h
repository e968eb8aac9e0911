// SPDX-License-Identifier: Apache-2.0
//
// Ids of sandboxes and containers: 64 lower-case hexadecimal digits from the kernel's random
// numbers, as every CRI runtime has them, so that tools which cut or match them work.
#ifndef ZL_BASE_ID_H
#define ZL_BASE_ID_H

#include <stdbool.h>

#include "base/error.h"

enum { ZL_ID_LENGTH = 64, ZL_ID_SIZE = 65 };

int zl_id_make(char out[static ZL_ID_SIZE], struct zl_error *err);

// Exactly 64 lower-case hexadecimal digits. Anything used as a file name passes through this.
bool zl_id_valid(const char *id);

#endif
