// SPDX-License-Identifier: Apache-2.0
//
// Container logs as a log agent reads them.
#ifndef ZL_UNIT_CRI_SERVICES_LOG_TEXT_H
#define ZL_UNIT_CRI_SERVICES_LOG_TEXT_H

#include <check.h>
#include <string.h>

#include "base/buffer.h"
#include "cri-server/container/log.h"

// An assertion for loops. Check's own tell the parent of each that holds, which is slow by the
// hundred thousand.
#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s", #condition);                                            \
	} while (0)

// The directory of a test, made and removed by the fixtures, and two paths in it.
extern char log_dir[64];
extern char log_path[128];
extern char commit_path[128];
void log_dir_make(void);
void log_dir_remove(void);

struct zl_container_log *log_open(bool resume);

// Writes at the offset where the stream is and returns how much was taken.
size_t log_say(struct zl_container_log *log, enum zl_log_stream stream, const char *text);

// The file's bytes.
void log_raw(const char *path, struct zl_buffer *out);

// Each line without its time: "stdout F text\n". The test fails at a line that is not as CRI says.
void log_lines(const char *path, struct zl_buffer *out);
void ck_log_lines(const char *path, const char *wanted);

// What one stream printed: full lines with their newline, parts without.
void log_stream(const char *path, enum zl_log_stream stream, struct zl_buffer *out);

Suite *suite_log_lines(void);
Suite *suite_log_file(void);
Suite *suite_log_kill(void);

#define LOG_SUITE(name, ...)                                                                       \
	Suite *suite_##name(void)                                                                  \
	{                                                                                          \
		const TTest *const tests[] = {__VA_ARGS__};                                        \
		Suite *suite = suite_create(#name);                                                \
		TCase *tcase = tcase_create(#name);                                                \
                                                                                                   \
		tcase_set_timeout(tcase, 100);                                                     \
		tcase_add_checked_fixture(tcase, log_dir_make, log_dir_remove);                    \
		for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)                      \
			tcase_add_test(tcase, tests[i]);                                           \
		suite_add_tcase(suite, tcase);                                                     \
		return suite;                                                                      \
	}

#endif
