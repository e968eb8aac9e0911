// SPDX-License-Identifier: Apache-2.0
#include "hypervisor/xen_log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const char *zl_xen_log_trim(const char *message)
{
	const char *at = strstr(message, ".c:");

	if (at == NULL || strcspn(message, " \t") < (size_t)(at - message))
		return message;
	at += 3;
	if (!isdigit((unsigned char)*at))
		return message;
	at += strspn(at, "0123456789");
	if (*at == ':')
		at += 1 + strcspn(at + 1, ": ");
	at += strspn(at, ": ");
	return at;
}

static void append(char words[static ZL_XEN_LOG_SIZE], const char *text)
{
	size_t used = strlen(words);

	for (; *text != '\0' && used + 1 < ZL_XEN_LOG_SIZE; text++)
		words[used++] = iscntrl((unsigned char)*text) ? ' ' : *text;
	words[used] = '\0';
}

static void __attribute__((format(printf, 5, 0))) vmessage(struct xentoollog_logger *logger,
        xentoollog_level level, int errnum, const char *context, const char *format, va_list args)
{
	struct zl_xen_log *log = (struct zl_xen_log *)logger;
	char line[512];
	char reason[64];

	(void)context;
	if (level < XTL_ERROR)
		return;
	(void)vsnprintf(line, sizeof(line), format, args);
	pthread_mutex_lock(&log->lock);
	if (log->words[0] != '\0')
		append(log->words, "; ");
	append(log->words, zl_xen_log_trim(line));
	if (errnum > 0) {
		append(log->words, ": ");
		append(log->words, strerror_r(errnum, reason, sizeof(reason)));
	}
	pthread_mutex_unlock(&log->lock);
}

void zl_xen_log_init(struct zl_xen_log *log)
{
	*log = (struct zl_xen_log){.logger = {.vmessage = vmessage}};
	pthread_mutex_init(&log->lock, NULL);
}

void zl_xen_log_release(struct zl_xen_log *log)
{
	pthread_mutex_destroy(&log->lock);
}

void zl_xen_log_clear(struct zl_xen_log *log)
{
	pthread_mutex_lock(&log->lock);
	log->words[0] = '\0';
	pthread_mutex_unlock(&log->lock);
}

void zl_xen_log_words(struct zl_xen_log *log, char out[static ZL_XEN_LOG_SIZE])
{
	pthread_mutex_lock(&log->lock);
	memcpy(out, log->words, sizeof(log->words));
	pthread_mutex_unlock(&log->lock);
}
