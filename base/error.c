// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
        [ZL_OK] = "OK",
        [ZL_CANCELLED] = "CANCELLED",
        [ZL_UNKNOWN] = "UNKNOWN",
        [ZL_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
        [ZL_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
        [ZL_NOT_FOUND] = "NOT_FOUND",
        [ZL_ALREADY_EXISTS] = "ALREADY_EXISTS",
        [ZL_PERMISSION_DENIED] = "PERMISSION_DENIED",
        [ZL_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
        [ZL_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
        [ZL_ABORTED] = "ABORTED",
        [ZL_OUT_OF_RANGE] = "OUT_OF_RANGE",
        [ZL_UNIMPLEMENTED] = "UNIMPLEMENTED",
        [ZL_INTERNAL] = "INTERNAL",
        [ZL_UNAVAILABLE] = "UNAVAILABLE",
        [ZL_DATA_LOSS] = "DATA_LOSS",
        [ZL_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

static const struct {
	int errnum;
	enum zl_code code;
} errno_codes[] = {
        {ENOENT, ZL_NOT_FOUND},
        {EACCES, ZL_PERMISSION_DENIED},
        {EPERM, ZL_PERMISSION_DENIED},
        {EEXIST, ZL_ALREADY_EXISTS},
        {ENOSPC, ZL_RESOURCE_EXHAUSTED},
        {ENOMEM, ZL_RESOURCE_EXHAUSTED},
        {EDQUOT, ZL_RESOURCE_EXHAUSTED},
        {EMFILE, ZL_RESOURCE_EXHAUSTED},
        {ENFILE, ZL_RESOURCE_EXHAUSTED},
        {ETIMEDOUT, ZL_DEADLINE_EXCEEDED},
        {ECANCELED, ZL_CANCELLED},
};

static enum zl_code code_from_errno(int errnum)
{
	for (size_t i = 0; i < sizeof(errno_codes) / sizeof(errno_codes[0]); i++) {
		if (errno_codes[i].errnum == errnum)
			return errno_codes[i].code;
	}
	return ZL_INTERNAL;
}

// Messages come from everywhere, also from hostile programs: control characters would break the
// line, and a character that was cut in half would break the UTF-8.
static void make_one_line(struct zl_error *err)
{
	size_t length = strlen(err->message);
	size_t tail = length;

	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)err->message[i] < ' ' || err->message[i] == 0x7f)
			err->message[i] = ' ';
	}
	if (length + 1 < sizeof(err->message))
		return;
	while (tail > 0 && length - tail < 3 &&
	        ((unsigned char)err->message[tail - 1] & 0xc0) == 0x80)
		tail--;
	if (tail == 0 || (unsigned char)err->message[tail - 1] < 0xc0)
		return;
	// A lead byte says by its leading ones how long its character is.
	if (length - tail + 1 <
	        (size_t)__builtin_clz(~((unsigned)(unsigned char)err->message[tail - 1] << 24)))
		err->message[tail - 1] = '\0';
}

int zl_error_vset(struct zl_error *err, enum zl_code code, const char *format, va_list args)
{
	if (err == NULL)
		return -1;
	err->code = code;
	err->errnum = 0;
	(void)vsnprintf(err->message, sizeof(err->message), format, args);
	make_one_line(err);
	return -1;
}

int zl_error_set(struct zl_error *err, enum zl_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	zl_error_vset(err, code, format, args);
	va_end(args);
	return -1;
}

int zl_error_errno(struct zl_error *err, int errnum, const char *format, ...)
{
	va_list args;
	char reason[128];
	size_t used;

	if (err == NULL)
		return -1;
	va_start(args, format);
	zl_error_vset(err, code_from_errno(errnum), format, args);
	va_end(args);
	err->errnum = errnum;
	used = strlen(err->message);
	(void)snprintf(err->message + used, sizeof(err->message) - used, ": %s",
	        strerror_r(errnum, reason, sizeof(reason)));
	make_one_line(err);
	return -1;
}

int zl_error_wrap(struct zl_error *err, const char *format, ...)
{
	char inner[sizeof(err->message)];
	size_t used;
	va_list args;

	if (err == NULL)
		return -1;
	memcpy(inner, err->message, sizeof(inner));
	va_start(args, format);
	(void)vsnprintf(err->message, sizeof(err->message), format, args);
	va_end(args);
	used = strlen(err->message);
	(void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner);
	make_one_line(err);
	return -1;
}

int zl_error_nomem(struct zl_error *err)
{
	return zl_error_set(err, ZL_RESOURCE_EXHAUSTED, "out of memory");
}

void zl_error_clear(struct zl_error *err)
{
	if (err == NULL)
		return;
	err->code = ZL_OK;
	err->errnum = 0;
	err->message[0] = '\0';
}

const char *zl_code_name(enum zl_code code)
{
	size_t index = (size_t)code;

	if (index >= sizeof(code_names) / sizeof(code_names[0]))
		return "UNKNOWN";
	return code_names[index];
}
