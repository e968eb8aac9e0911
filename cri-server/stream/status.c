// SPDX-License-Identifier: Apache-2.0
#include "cri-server/stream/status.h"

#include "base/json.h"

enum { FIRST_WITH_JSON = 4, INTERNAL_SERVER_ERROR = 500 };

static int print(json_t *taken, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(json) json_t *status = taken;

	if (status == NULL)
		return zl_error_nomem(err);
	return zl_json_print(status, out, err);
}

int zl_stream_status_exit(
        int version, int32_t exit_code, struct zl_buffer *out, struct zl_error *err)
{
	char code[16];
	char message[80];

	(void)snprintf(code, sizeof(code), "%d", exit_code);
	(void)snprintf(message, sizeof(message),
	        "command terminated with non-zero exit code: exit status %d", exit_code);
	if (version < FIRST_WITH_JSON)
		return exit_code == 0 ? 0 : zl_buffer_append_string(out, message, err);
	if (exit_code == 0)
		return print(json_pack("{s:{}, s:s}", "metadata", "status", "Success"), out, err);
	return print(json_pack("{s:{}, s:s, s:s, s:s, s:{s:[{s:s, s:s}]}}", "metadata", "status",
	                     "Failure", "message", message, "reason", "NonZeroExitCode", "details",
	                     "causes", "reason", "ExitCode", "message", code),
	        out, err);
}

int zl_stream_status_failure(
        int version, const struct zl_error *why, struct zl_buffer *out, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer message = ZL_BUFFER_INIT;

	if (version < FIRST_WITH_JSON)
		return zl_buffer_append_string(out, why->message, err);
	if (zl_buffer_printf(&message, err, "Internal error occurred: %s", why->message) < 0)
		return -1;
	return print(json_pack("{s:{}, s:s, s:s, s:s, s:{s:[{s:s}]}, s:i}", "metadata", "status",
	                     "Failure", "message", zl_buffer_string(&message), "reason",
	                     "InternalError", "details", "causes", "message", why->message, "code",
	                     INTERNAL_SERVER_ERROR),
	        out, err);
}
