// SPDX-License-Identifier: Apache-2.0
//
// Reading one tar header block and the records of a pax extended header. Pure functions over
// hostile bytes; tar_filter.h says which formats.
#ifndef ZL_STORAGE_DRIVER_PULLER_TAR_HEADER_H
#define ZL_STORAGE_DRIVER_PULLER_TAR_HEADER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
	ZL_TAR_BLOCK = 512,
	ZL_TAR_NAME_SIZE = 257, // ustar: prefix 155, "/", name 100, end
	ZL_TAR_LINK_SIZE = 101,
};

struct zl_tar_header {
	char type; // '0' for regular files of any age
	char name[ZL_TAR_NAME_SIZE];
	char link[ZL_TAR_LINK_SIZE];
	uint64_t size;
};

// INVALID_ARGUMENT: the checksum or a number is wrong.
int zl_tar_header_parse(
        const uint8_t block[static ZL_TAR_BLOCK], struct zl_tar_header *ret, struct zl_error *err);

// Whether all 512 bytes are zero: the end of an archive.
bool zl_tar_block_is_zero(const uint8_t block[static ZL_TAR_BLOCK]);

// Makes the checksum of a header right.
void zl_tar_header_seal(uint8_t block[static ZL_TAR_BLOCK]);

// Sets the size field to 0 and makes the checksum right again.
void zl_tar_header_clear_size(uint8_t block[static ZL_TAR_BLOCK]);

// One record "<length> <key>=<value>\n" of a pax header, from *offset on, which moves past it. Key
// and value point into `text`; the value ends at value_length, no zero byte. 1: a record, 0: the
// end, -1: INVALID_ARGUMENT.
struct zl_pax_record {
	const char *key;
	size_t key_length;
	const char *value;
	size_t value_length;
};
int zl_pax_next(const char *text, size_t length, size_t *offset, struct zl_pax_record *ret,
        struct zl_error *err);

// A name inside the root in its plain form: no leading "/" or "./", no empty or "." components
// ("" is the root itself). INVALID_ARGUMENT with the reason when it has a "..", a component longer
// than 255 or is longer than 4095 bytes.
int zl_tar_name_normalise(const char *name, char out[static PATH_MAX], struct zl_error *err);

#endif
