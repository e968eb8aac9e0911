// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/tar_header.h"

#include <stdio.h>
#include <string.h>

// Offsets and lengths of ustar's fields.
enum {
	NAME_AT = 0,
	NAME_LENGTH = 100,
	SIZE_AT = 124,
	SIZE_LENGTH = 12,
	SUM_AT = 148,
	SUM_LENGTH = 8,
	TYPE_AT = 156,
	LINK_AT = 157,
	LINK_LENGTH = 100,
	MAGIC_AT = 257,
	PREFIX_AT = 345,
	PREFIX_LENGTH = 155,
};

// Octal digits between spaces and zeros, or GNU's base-256: the top bit set, then a big-endian
// two's complement number.
static int read_number(const uint8_t *field, size_t length, uint64_t *ret)
{
	uint64_t value = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		if (field[0] != 0x80)
			return -1; // negative, or more than 88 bits
		for (i = 1; i < length; i++) {
			if (value >> 55 != 0)
				return -1;
			value = value << 8 | field[i];
		}
		*ret = value;
		return 0;
	}
	while (i < length && field[i] == ' ')
		i++;
	for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
		value = value << 3 | (uint64_t)(field[i] - '0');
	for (; i < length; i++) {
		if (field[i] != ' ' && field[i] != '\0')
			return -1;
	}
	*ret = value;
	return 0;
}

// Both sums that are in use: of unsigned and, from some old programs, of signed bytes.
static void sums(const uint8_t *block, uint64_t *ret_unsigned, int64_t *ret_signed)
{
	*ret_unsigned = 0;
	*ret_signed = 0;
	for (size_t i = 0; i < ZL_TAR_BLOCK; i++) {
		uint8_t byte = i >= SUM_AT && i < SUM_AT + SUM_LENGTH ? ' ' : block[i];

		*ret_unsigned += byte;
		*ret_signed += (int8_t)byte;
	}
}

static void copy_field(const uint8_t *field, size_t length, char *out)
{
	size_t used = strnlen((const char *)field, length);

	memcpy(out, field, used);
	out[used] = '\0';
}

static void read_name(const uint8_t *block, char out[static ZL_TAR_NAME_SIZE])
{
	char prefix[PREFIX_LENGTH + 1] = "";
	char name[NAME_LENGTH + 1];

	copy_field(block + NAME_AT, NAME_LENGTH, name);
	// GNU's own format ("ustar  ") keeps times where POSIX has the prefix.
	if (memcmp(block + MAGIC_AT, "ustar\0", 6) == 0)
		copy_field(block + PREFIX_AT, PREFIX_LENGTH, prefix);
	(void)snprintf(out, ZL_TAR_NAME_SIZE, "%s%s%s", prefix, prefix[0] != '\0' ? "/" : "", name);
}

int zl_tar_header_parse(
        const uint8_t block[static ZL_TAR_BLOCK], struct zl_tar_header *ret, struct zl_error *err)
{
	uint64_t sum;
	uint64_t unsigned_sum;
	int64_t signed_sum;
	size_t length;

	sums(block, &unsigned_sum, &signed_sum);
	if (read_number(block + SUM_AT, SUM_LENGTH, &sum) < 0 ||
	        (sum != unsigned_sum && (int64_t)sum != signed_sum))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a tar header with a wrong checksum: this is not a tar archive");
	if (read_number(block + SIZE_AT, SIZE_LENGTH, &ret->size) < 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "a tar header with a malformed size");
	read_name(block, ret->name);
	copy_field(block + LINK_AT, LINK_LENGTH, ret->link);
	ret->type = (char)block[TYPE_AT];
	length = strlen(ret->name);
	// Before POSIX, a directory was a file with a slash at the end; '7' is a contiguous file.
	if (ret->type == '\0')
		ret->type = length > 0 && ret->name[length - 1] == '/' ? '5' : '0';
	if (ret->type == '7')
		ret->type = '0';
	return 0;
}

bool zl_tar_block_is_zero(const uint8_t block[static ZL_TAR_BLOCK])
{
	static const uint8_t zeros[ZL_TAR_BLOCK];

	return memcmp(block, zeros, ZL_TAR_BLOCK) == 0;
}

void zl_tar_header_seal(uint8_t block[static ZL_TAR_BLOCK])
{
	uint64_t unsigned_sum;
	int64_t signed_sum;
	char text[SUM_LENGTH + 1];

	sums(block, &unsigned_sum, &signed_sum);
	(void)snprintf(text, sizeof(text), "%06o", (unsigned int)unsigned_sum & 0777777);
	memcpy(block + SUM_AT, text, SUM_LENGTH - 1);
	block[SUM_AT + SUM_LENGTH - 1] = ' ';
}

void zl_tar_header_clear_size(uint8_t block[static ZL_TAR_BLOCK])
{
	memcpy(block + SIZE_AT, "00000000000", SIZE_LENGTH);
	zl_tar_header_seal(block);
}

static int bad_record(struct zl_error *err)
{
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "a malformed record in a pax header");
}

int zl_pax_next(const char *text, size_t length, size_t *offset, struct zl_pax_record *ret,
        struct zl_error *err)
{
	const char *start = text + *offset;
	size_t left = length - *offset;
	const char *equals;
	size_t record = 0;
	size_t digits = 0;

	if (left == 0)
		return 0;
	while (digits < left && start[digits] >= '0' && start[digits] <= '9') {
		record = record * 10 + (size_t)(start[digits++] - '0');
		if (record > left)
			return bad_record(err);
	}
	// The shortest record is "5 k=\n".
	if (digits == 0 || record < digits + 4 || start[digits] != ' ' || start[record - 1] != '\n')
		return bad_record(err);
	ret->key = start + digits + 1;
	equals = memchr(ret->key, '=', record - digits - 2);
	if (equals == NULL || equals == ret->key)
		return bad_record(err);
	ret->key_length = (size_t)(equals - ret->key);
	ret->value = equals + 1;
	ret->value_length = (size_t)(start + record - 1 - ret->value);
	if (memchr(ret->key, '\0', ret->key_length) != NULL)
		return bad_record(err);
	*offset += record;
	return 1;
}

int zl_tar_name_normalise(const char *name, char out[static PATH_MAX], struct zl_error *err)
{
	size_t used = 0;

	while (*name != '\0') {
		size_t length = strcspn(name, "/");

		if (length == 2 && name[0] == '.' && name[1] == '.')
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "'..' in a name: the layer tries to reach outside the root");
		if (length > NAME_MAX)
			return zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "a component longer than 255 bytes");
		if (length > 0 && !(length == 1 && name[0] == '.')) {
			if (used + 1 + length >= PATH_MAX)
				return zl_error_set(
				        err, ZL_INVALID_ARGUMENT, "a name longer than 4095 bytes");
			if (used > 0)
				out[used++] = '/';
			memcpy(out + used, name, length);
			used += length;
		}
		name += length;
		name += strspn(name, "/");
	}
	out[used] = '\0';
	return 0;
}
