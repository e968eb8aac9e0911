// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"

// What the last records were, seen by a sink.
static struct {
	enum zl_log_level level;
	char message[4096];
	char fields[256]; // "key=value " from the outermost on
	int count;
} seen;

static void gather(const struct zl_log_scope *scope)
{
	size_t used;

	if (scope == NULL)
		return;
	gather(scope->outer);
	used = strlen(seen.fields);
	(void)snprintf(
	        seen.fields + used, sizeof(seen.fields) - used, "%s=%s ", scope->key, scope->value);
}

static void sink(enum zl_log_level level, const char *message, const struct zl_log_scope *fields)
{
	seen.level = level;
	(void)snprintf(seen.message, sizeof(seen.message), "%s", message);
	seen.fields[0] = '\0';
	gather(fields);
	seen.count++;
}

// Runs `body` with stderr in a file and returns what was written there.
static const char *captured(void (*body)(void), struct zl_buffer *out)
{
	struct zl_error err = ZL_ERROR_INIT;
	zl_auto(fd) int file = memfd_create("stderr", MFD_CLOEXEC);
	zl_auto(fd) int before = dup(STDERR_FILENO);

	ck_assert_int_ge(dup2(file, STDERR_FILENO), 0);
	body();
	ck_assert_int_ge(dup2(before, STDERR_FILENO), 0);
	(void)lseek(file, 0, SEEK_SET);
	ck_ok(zl_buffer_read_all(out, file, &err), err);
	return zl_buffer_string(out);
}

START_TEST(nests_scopes)
{
	zl_log_set_sink(sink);
	{
		ZL_LOG_SCOPE("pod", "p");
		zl_log_info("one %d", 1);
		ck_assert_str_eq(seen.fields, "pod=p ");
		{
			ZL_LOG_SCOPE("container", "c");
			ZL_LOG_SCOPE("call", "x");
			zl_log_warning("two");
			ck_assert_str_eq(seen.fields, "pod=p container=c call=x ");
			ck_assert_int_eq(seen.level, ZL_LOG_WARNING);
		}
		zl_log_error("three");
		ck_assert_str_eq(seen.fields, "pod=p ");
	}
	zl_log_error("four");
	ck_assert_str_eq(seen.fields, "");
	ck_assert_str_eq(seen.message, "four");
}
END_TEST

static void *log_elsewhere(void *unused)
{
	(void)unused;
	zl_log_info("elsewhere");
	return NULL;
}

START_TEST(scopes_belong_to_their_thread)
{
	pthread_t thread;

	zl_log_set_sink(sink);
	ZL_LOG_SCOPE("pod", "p");
	ck_assert_int_eq(pthread_create(&thread, NULL, log_elsewhere, NULL), 0);
	pthread_join(thread, NULL);
	ck_assert_str_eq(seen.message, "elsewhere");
	ck_assert_str_eq(seen.fields, "");
}
END_TEST

START_TEST(leaves_out_what_is_too_detailed)
{
	zl_log_set_sink(sink);
	ck_assert_int_eq(zl_log_level(), ZL_LOG_INFO);
	zl_log_debug("no");
	ck_assert_int_eq(seen.count, 0);
	zl_log_set_level(ZL_LOG_DEBUG);
	zl_log_debug("yes");
	ck_assert_int_eq(seen.count, 1);
	zl_log_set_level(ZL_LOG_ERROR);
	zl_log_warning("no");
	ck_assert_int_eq(seen.count, 1);
	zl_log_error("yes");
	ck_assert_int_eq(seen.count, 2);
}
END_TEST

static void log_hostile(void)
{
	ZL_LOG_SCOPE("pod", "plain-value/1");
	ZL_LOG_SCOPE("name", "two words\r\n\x1b[2J");
	ZL_LOG_SCOPE("quote", "a\"b\\c");
	ZL_LOG_SCOPE("esc", "\x1b");
	ZL_LOG_SCOPE("none", "");
	zl_log_warning("first\nlevel=error msg=\"forged\"\x7f\xc3\xa9");
}

START_TEST(keeps_one_record_on_one_line)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	ck_assert_str_eq(captured(log_hostile, &out),
	        "level=warning pod=plain-value/1 name=\"two words\\x0d\\x0a\\x1b[2J\" "
	        "quote=\"a\\\"b\\\\c\" esc=\"\\x1b\" none=\"\" "
	        "msg=\"first\\x0alevel=error msg=\\\"forged\\\"\\x7f\xc3\xa9\"\n");
}
END_TEST

static char filler[8192];

static void log_filler(void)
{
	zl_log_error("%s", filler);
}

static void log_filler_in_scopes(void)
{
	ZL_LOG_SCOPE("a", filler);
	ZL_LOG_SCOPE("b", filler);
	zl_log_error("%s", filler);
}

// Each byte becomes four in the line: however long, a record stays one line that ends.
START_TEST(cuts_records_of_any_length)
{
	static const char bytes[] = {'x', ' ', '\x01', '"'};

	for (size_t b = 0; b < sizeof(bytes); b++) {
		for (size_t length = 900; length < sizeof(filler); length += 101) {
			zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;
			const char *text;

			memset(filler, 0, sizeof(filler));
			memset(filler, bytes[b], length);
			text = captured(log_filler, &out);
			ck_assert_uint_le(out.length, 4096);
			ck_assert(strncmp(text, "level=error msg=\"", 17) == 0);
			ck_assert_ptr_eq(strchr(text, '\n'), text + out.length - 1);
			ck_assert_int_eq(text[out.length - 2], '"');
			zl_buffer_release(&out);
			text = captured(log_filler_in_scopes, &out);
			ck_assert_uint_le(out.length, 4096);
			ck_assert_ptr_eq(strchr(text, '\n'), text + out.length - 1);
		}
	}
}
END_TEST

static void log_levels(void)
{
	zl_log_set_level(ZL_LOG_DEBUG);
	zl_log_error("e");
	zl_log_warning("w");
	zl_log_info("i");
	zl_log_debug("d");
}

START_TEST(names_levels)
{
	zl_auto(buffer) struct zl_buffer out = ZL_BUFFER_INIT;

	zl_log_set_sink(sink);
	zl_log_set_sink(NULL); // back to the default
	ck_assert_str_eq(captured(log_levels, &out),
	        "level=error msg=\"e\"\nlevel=warning msg=\"w\"\nlevel=info msg=\"i\"\n"
	        "level=debug msg=\"d\"\n");
}
END_TEST

SUITE(log, nests_scopes, scopes_belong_to_their_thread, leaves_out_what_is_too_detailed,
        keeps_one_record_on_one_line, cuts_records_of_any_length, names_levels)
