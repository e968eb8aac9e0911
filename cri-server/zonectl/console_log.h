// SPDX-License-Identifier: Apache-2.0
//
// The file in which xenconsoled keeps what a zone's console said.
//
// Every byte of it is the guest's. On a terminal it could be escape sequences that move the cursor
// over other output, set the title, or on some terminals do worse, so control characters are shown
// and not sent.
#ifndef ZL_CRI_SERVER_ZONECTL_CONSOLE_LOG_H
#define ZL_CRI_SERVER_ZONECTL_CONSOLE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/cancel.h"
#include "base/error.h"

// Appends the bytes with control characters but tab and line feed made visible ("^[" for escape);
// carriage returns are left out. Bytes of 0x80 and above pass: the terminal's UTF-8 is its own.
int zl_console_clean(const void *bytes, size_t length, struct zl_buffer *out, struct zl_error *err);

// Writes the file's content to out_fd, cleaned or raw. With `follow` goes on as the file grows
// (told by inotify), is begun anew or is yet to be made, until the token fires, which is success.
int zl_console_copy(const char *path, bool raw, bool follow, int out_fd,
        const struct zl_cancel *cancel, struct zl_error *err);

#endif
