// SPDX-License-Identifier: Apache-2.0
//
// Structured logging for programs (libraries return errors and do not log).
//
// A record is a level, a message, and the fields of the thread's scope: which pod and which
// container the work at hand is for. Scopes nest and are undone at the end of their block:
//
//   ZL_LOG_SCOPE("pod", pod_id);
//
// Records go to one sink. The default writes logfmt lines to stderr
// (`level=info pod=… msg="…"`); zl_log_set_sink replaces it (the journal, a test).
//
// Thread rule: all functions may be called from any thread; set sink and level before threads
// start.
#ifndef ZL_BASE_LOG_H
#define ZL_BASE_LOG_H

#include "base/cleanup.h"

// Numbers are those of syslog(3), which the journal uses too.
enum zl_log_level { ZL_LOG_ERROR = 3, ZL_LOG_WARNING = 4, ZL_LOG_INFO = 6, ZL_LOG_DEBUG = 7 };

// One key and value in the thread's chain of scopes. Both strings must outlive the scope.
struct zl_log_scope {
	const char *key;
	const char *value;
	const struct zl_log_scope *outer;
};

// Link a scope object into the calling thread's chain and out again; use ZL_LOG_SCOPE.
void zl_log_push(struct zl_log_scope *scope, const char *key, const char *value);
void zl_log_pop(struct zl_log_scope *scope);
ZL_AUTO_DEFINE_VALUE(log_scope, struct zl_log_scope, zl_log_pop);

#define ZL_LOG_SCOPE_NAME2(line) zl_log_scope_##line
#define ZL_LOG_SCOPE_NAME(line)  ZL_LOG_SCOPE_NAME2(line)
// Until the end of the block, every record of this thread carries key=value.
#define ZL_LOG_SCOPE(key, value)                                                                   \
	zl_auto(log_scope) struct zl_log_scope ZL_LOG_SCOPE_NAME(__LINE__) = {0};                  \
	zl_log_push(&ZL_LOG_SCOPE_NAME(__LINE__), (key), (value))

// Receives each record. `fields` is the innermost scope (NULL if none).
typedef void zl_log_sink(
        enum zl_log_level level, const char *message, const struct zl_log_scope *fields);

void zl_log_set_sink(zl_log_sink *sink);
void zl_log_set_level(enum zl_log_level most_detailed);
enum zl_log_level zl_log_level(void);

void zl_log(enum zl_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define zl_log_error(...)   zl_log(ZL_LOG_ERROR, __VA_ARGS__)
#define zl_log_warning(...) zl_log(ZL_LOG_WARNING, __VA_ARGS__)
#define zl_log_info(...)    zl_log(ZL_LOG_INFO, __VA_ARGS__)
#define zl_log_debug(...)   zl_log(ZL_LOG_DEBUG, __VA_ARGS__)

#endif
