// SPDX-License-Identifier: Apache-2.0
#include "cri-server/daemon/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "base/log.h"

enum { FIELDS_MAX = 16, FIELD_SIZE = 256, OWN_FIELDS = 3 };

// "pod" and its value as "POD=value". Journal fields are of A–Z, 0–9 and _ (sd_journal_send(3)).
static size_t field_text(const struct zl_log_scope *scope, char out[static FIELD_SIZE])
{
	size_t used = 0;
	int n;

	for (const char *c = scope->key; *c != '\0' && used < FIELD_SIZE / 2; c++) {
		bool letter = *c >= 'a' && *c <= 'z';
		bool kept = (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9' && used > 0);

		if (letter)
			out[used++] = (char)(*c - 'a' + 'A');
		else if (kept)
			out[used++] = *c;
		else if (used > 0)
			out[used++] = '_';
	}
	n = snprintf(out + used, FIELD_SIZE - used, "=%s", scope->value);
	if (n < 0)
		return 0;
	return (size_t)n < FIELD_SIZE - used ? used + (size_t)n : FIELD_SIZE - 1;
}

static struct iovec text_vector(char *text, size_t length)
{
	return (struct iovec){.iov_base = text, .iov_len = length};
}

static void write_journal(
        enum zl_log_level level, const char *message, const struct zl_log_scope *fields)
{
	char texts[FIELDS_MAX][FIELD_SIZE];
	char text[2048 + 16];
	char priority[16];
	char identifier[] = "SYSLOG_IDENTIFIER=zoneletd";
	struct iovec vectors[OWN_FIELDS + FIELDS_MAX];
	int count = 0;
	int n;

	n = snprintf(text, sizeof(text), "MESSAGE=%s", message);
	vectors[count++] =
	        text_vector(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
	n = snprintf(priority, sizeof(priority), "PRIORITY=%d", (int)level);
	vectors[count++] = text_vector(priority, (size_t)n);
	vectors[count++] = text_vector(identifier, sizeof(identifier) - 1);
	for (size_t i = 0; fields != NULL && i < FIELDS_MAX; i++, fields = fields->outer)
		vectors[count++] = text_vector(texts[i], field_text(fields, texts[i]));
	(void)sd_journal_sendv(vectors, count);
}

// Whether the text is "DEVICE:INODE" of this file.
static bool names_file(const char *text, const struct stat *status)
{
	char *end;
	uintmax_t device = strtoumax(text, &end, 10);
	uintmax_t inode;

	if (end == text || *end != ':')
		return false;
	text = end + 1;
	inode = strtoumax(text, &end, 10);
	return end != text && *end == '\0' && device == status->st_dev && inode == status->st_ino;
}

bool zl_journal_use(void)
{
	const char *stream = getenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe): no threads
	struct stat status;

	if (stream == NULL || fstat(STDERR_FILENO, &status) < 0 || !names_file(stream, &status))
		return false;
	zl_log_set_sink(write_journal);
	return true;
}
