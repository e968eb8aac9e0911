// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>

#include "base/buffer.h"

START_TEST(is_empty_at_first)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;

	ck_assert_str_eq(zl_buffer_string(&buffer), "");
	zl_buffer_consume(&buffer, 5);
	ck_assert_uint_eq(buffer.length, 0);
	ck_assert_ptr_null(buffer.data);
}
END_TEST

START_TEST(appends_and_stays_terminated)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_buffer_append(&buffer, "ab\0c", 4, &err), err);
	ck_ok(zl_buffer_append_string(&buffer, "de", &err), err);
	ck_ok(zl_buffer_printf(&buffer, &err, "-%03d-", 7), err);
	ck_assert_uint_eq(buffer.length, 11);
	ck_assert_mem_eq(buffer.data, "ab\0cde-007-", 12);
	ck_ok(zl_buffer_append(&buffer, NULL, 0, &err), err);
	ck_assert_uint_eq(buffer.length, 11);
}
END_TEST

// Byte by byte over several growths: each capacity must leave room for the zero.
START_TEST(grows)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	bool good = true;

	for (unsigned i = 0; i < 5000; i++) {
		uint8_t byte = (uint8_t)(i * 7 + 1);

		good = good && zl_buffer_append(&buffer, &byte, 1, &err) == 0 &&
		       buffer.capacity > buffer.length && buffer.data[buffer.length] == 0;
	}
	for (unsigned i = 0; i < 5000; i++)
		good = good && buffer.data[i] == (uint8_t)(i * 7 + 1);
	ck_assert(good);
	ck_assert_uint_eq(buffer.length, 5000);
}
END_TEST

START_TEST(formats_what_is_longer_than_it)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char text[3001];

	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_ok(zl_buffer_printf(&buffer, &err, "<%s>", text), err);
	ck_assert_uint_eq(buffer.length, 3002);
	ck_assert_int_eq(buffer.data[3001], '>');
}
END_TEST

START_TEST(keeps_its_limit)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_LIMIT(10);
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_buffer_append(&buffer, "12345678", 8, &err), err);
	ck_assert_int_eq(zl_buffer_append(&buffer, "abc", 3, &err), -1);
	ck_error(err, ZL_RESOURCE_EXHAUSTED, "10 bytes");
	ck_assert_int_eq(zl_buffer_printf(&buffer, &err, "%s", "abc"), -1);
	ck_assert_ptr_null(zl_buffer_reserve(&buffer, 3, &err));
	ck_assert_str_eq(zl_buffer_string(&buffer), "12345678");
	ck_ok(zl_buffer_append(&buffer, "90", 2, &err), err);
	ck_assert_str_eq(zl_buffer_string(&buffer), "1234567890");
	zl_buffer_consume(&buffer, 4);
	ck_ok(zl_buffer_append(&buffer, "abcd", 4, &err), err);
	ck_assert_str_eq(zl_buffer_string(&buffer), "567890abcd");
}
END_TEST

START_TEST(keeps_its_limit_when_released)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_LIMIT(4);
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_buffer_append(&buffer, "1234", 4, &err), err);
	zl_buffer_release(&buffer);
	ck_assert_ptr_null(buffer.data);
	ck_assert_uint_eq(buffer.capacity, 0);
	ck_assert_int_eq(zl_buffer_append(&buffer, "12345", 5, &err), -1);
}
END_TEST

START_TEST(refuses_sizes_that_overflow)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_buffer_append(&buffer, "x", 1, &err), err);
	ck_assert_ptr_null(zl_buffer_reserve(&buffer, SIZE_MAX, &err));
	ck_error(err, ZL_RESOURCE_EXHAUSTED, "memory");
	ck_assert_ptr_null(zl_buffer_reserve(&buffer, SIZE_MAX - 1, &err));
	ck_assert_ptr_null(zl_buffer_reserve(&buffer, SIZE_MAX - 2, &err));
	ck_assert_str_eq(zl_buffer_string(&buffer), "x");
}
END_TEST

START_TEST(consumes)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;

	ck_ok(zl_buffer_append_string(&buffer, "abcdef", &err), err);
	zl_buffer_consume(&buffer, 0);
	ck_assert_str_eq(zl_buffer_string(&buffer), "abcdef");
	zl_buffer_consume(&buffer, 2);
	ck_assert_str_eq(zl_buffer_string(&buffer), "cdef");
	ck_assert_uint_eq(buffer.length, 4);
	zl_buffer_consume(&buffer, 4);
	ck_assert_str_eq(zl_buffer_string(&buffer), "");
	ck_ok(zl_buffer_append_string(&buffer, "gh", &err), err);
	zl_buffer_consume(&buffer, SIZE_MAX);
	ck_assert_uint_eq(buffer.length, 0);
}
END_TEST

START_TEST(reserves_without_taking)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	char *to = zl_buffer_reserve(&buffer, 1000, &err);

	ck_assert_ptr_nonnull(to);
	ck_assert_uint_eq(buffer.length, 0);
	ck_assert_str_eq(zl_buffer_string(&buffer), "");
	memset(to, 'z', 1000);
	buffer.length += 1000;
	ck_assert_ptr_nonnull(zl_buffer_reserve(&buffer, 0, &err));
	ck_assert_uint_eq(strlen(zl_buffer_string(&buffer)), 1000);
}
END_TEST

static int memory_file(size_t length)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)length), 0);
	return fd;
}

START_TEST(reads_all_of_a_file)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(fd) int fd = memory_file(200001);

	ck_ok(zl_buffer_append_string(&buffer, "head", &err), err);
	ck_ok(zl_buffer_read_all(&buffer, fd, &err), err);
	ck_assert_uint_eq(buffer.length, 200005);
}
END_TEST

START_TEST(reads_no_more_than_its_limit)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_LIMIT(100000);
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(fd) int exact = memory_file(100000);
	zl_auto(fd) int more = memory_file(100001);

	ck_ok(zl_buffer_read_all(&buffer, exact, &err), err);
	ck_assert_uint_eq(buffer.length, 100000);
	zl_buffer_release(&buffer);
	ck_assert_int_eq(zl_buffer_read_all(&buffer, more, &err), -1);
	ck_assert_int_eq(err.code, ZL_RESOURCE_EXHAUSTED);
	ck_assert_uint_le(buffer.length, 100000);
}
END_TEST

START_TEST(says_why_it_cannot_read)
{
	zl_auto(buffer) struct zl_buffer buffer = ZL_BUFFER_INIT;
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(fd) int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_eq(zl_buffer_read_all(&buffer, directory, &err), -1);
	ck_assert_int_eq(err.errnum, EISDIR);
}
END_TEST

SUITE(buffer, is_empty_at_first, appends_and_stays_terminated, grows,
        formats_what_is_longer_than_it, keeps_its_limit, keeps_its_limit_when_released,
        refuses_sizes_that_overflow, consumes, reserves_without_taking, reads_all_of_a_file,
        reads_no_more_than_its_limit, says_why_it_cannot_read)
