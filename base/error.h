// SPDX-License-Identifier: Apache-2.0
//
// Errors.
//
// A function that can fail takes a `struct zl_error *` as its last argument and returns -1 or NULL
// when it fails. The object lives on the caller's stack and owns no memory, so an error path can
// never leak or fail itself. A message names the object, says what failed and why, and where there
// is one, the remedy: it is what an operator reads at three in the morning. Callers decide by
// `code`, never by the text.
//
// Thread rule: an error object belongs to one thread at a time.
#ifndef ZL_BASE_ERROR_H
#define ZL_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

// What kind of failure it was. The names and meanings are those of gRPC's status codes
// (grpc/status.h); cri-server/rpc maps them in one table.
enum zl_code {
	ZL_OK = 0,
	ZL_CANCELLED,
	ZL_UNKNOWN,
	ZL_INVALID_ARGUMENT,
	ZL_DEADLINE_EXCEEDED,
	ZL_NOT_FOUND,
	ZL_ALREADY_EXISTS,
	ZL_PERMISSION_DENIED,
	ZL_RESOURCE_EXHAUSTED,
	ZL_FAILED_PRECONDITION,
	ZL_ABORTED,
	ZL_OUT_OF_RANGE,
	ZL_UNIMPLEMENTED,
	ZL_INTERNAL,
	ZL_UNAVAILABLE,
	ZL_DATA_LOSS,
	ZL_UNAUTHENTICATED,
};

struct zl_error {
	enum zl_code code;  // ZL_OK while nothing has failed
	int errnum;         // errno behind the failure, 0 if there is none
	char message[1024]; // one line, always terminated; cut between characters, never overrun
};

#define ZL_ERROR_INIT {.code = ZL_OK}

// Sets code and message; control characters become spaces. Always returns -1, so that `return
// zl_error_set(…)` reads well. A NULL err is allowed: the caller does not care.
int zl_error_set(struct zl_error *err, enum zl_code code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
int zl_error_vset(struct zl_error *err, enum zl_code code, const char *format, va_list args)
        __attribute__((format(printf, 3, 0)));

// As zl_error_set, with ": <strerror(errnum)>" appended and the code chosen from errnum where that
// says more than INTERNAL (ENOENT: NOT_FOUND, EACCES and EPERM: PERMISSION_DENIED, EEXIST:
// ALREADY_EXISTS, ENOSPC, ENOMEM, EDQUOT, EMFILE and ENFILE: RESOURCE_EXHAUSTED, ETIMEDOUT:
// DEADLINE_EXCEEDED, ECANCELED: CANCELLED). Returns -1.
int zl_error_errno(struct zl_error *err, int errnum, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

// Puts "<context>: " before the message on the way up; code and errno stay. Returns -1.
int zl_error_wrap(struct zl_error *err, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

// Out of memory: RESOURCE_EXHAUSTED. Returns -1.
int zl_error_nomem(struct zl_error *err);

// Back to "nothing has failed".
void zl_error_clear(struct zl_error *err);

// The name of a code as people know it from gRPC ("NOT_FOUND").
const char *zl_code_name(enum zl_code code);

#endif
