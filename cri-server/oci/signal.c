// SPDX-License-Identifier: Apache-2.0
#include "cri-server/oci/signal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// Real-time signals as user programs see them: the C library keeps 32 and 33 for itself.
enum { RTMIN = 34, RTMAX = 64 };

static int parse_real_time(const char *name)
{
	long offset;
	char *end;

	if (strncasecmp(name, "RTMIN", 5) != 0 && strncasecmp(name, "RTMAX", 5) != 0)
		return 0;
	offset = name[5] == '\0' ? 0 : strtol(name + 5, &end, 10);
	if (name[5] != '\0' && (*end != '\0' || (name[5] != '+' && name[5] != '-')))
		return 0;
	if (offset < -RTMAX || offset > RTMAX)
		return 0;
	offset += strncasecmp(name, "RTMIN", 5) == 0 ? RTMIN : RTMAX;
	return offset >= RTMIN && offset <= RTMAX ? (int)offset : 0;
}

int zl_signal_parse(const char *text)
{
	char *end;
	long number;

	if (text == NULL || *text == '\0')
		return 0;
	number = strtol(text, &end, 10);
	if (*end == '\0')
		return number >= 1 && number <= RTMAX ? (int)number : 0;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < 32; i++) {
		const char *name = sigabbrev_np(i);

		if (name != NULL && strcasecmp(name, text) == 0)
			return i;
	}
	if (strcasecmp(text, "IOT") == 0)
		return SIGABRT;
	if (strcasecmp(text, "CLD") == 0)
		return SIGCHLD;
	if (strcasecmp(text, "IO") == 0)
		return SIGIO;
	return parse_real_time(text);
}

// CRI names them SIGRTMIN, SIGRTMINPLUS1, SIGRTMAXMINUS14: the plus and minus spelled out.
static int parse_cri_name(const char *name)
{
	char text[32];
	const char *sign = strstr(name, "PLUS");
	const char *minus = strstr(name, "MINUS");
	size_t head;

	if (sign == NULL && minus == NULL)
		return zl_signal_parse(name);
	head = (size_t)((sign != NULL ? sign : minus) - name);
	if (head > sizeof(text) / 2)
		return 0;
	memcpy(text, name, head);
	text[head] = sign != NULL ? '+' : '-';
	strncpy(text + head + 1, name + head + (sign != NULL ? 4 : 5), sizeof(text) - head - 2);
	text[sizeof(text) - 1] = '\0';
	return zl_signal_parse(text);
}

int zl_signal_from_cri(Runtime__V1__Signal signal)
{
	const ProtobufCEnumValue *value =
	        protobuf_c_enum_descriptor_get_value(&runtime__v1__signal__descriptor, (int)signal);

	if (value == NULL || signal == RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT)
		return 0;
	return parse_cri_name(value->name);
}

Runtime__V1__Signal zl_signal_to_cri(int signal)
{
	const ProtobufCEnumDescriptor *all = &runtime__v1__signal__descriptor;

	for (unsigned i = 0; i < all->n_values; i++) {
		Runtime__V1__Signal each = (Runtime__V1__Signal)all->values[i].value;

		if (signal != 0 && zl_signal_from_cri(each) == signal)
			return each;
	}
	return RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT;
}
