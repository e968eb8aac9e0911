// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/challenge.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_token(char c)
{
	return c != '\0' && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	                            (c >= '0' && c <= '9') || strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static const char *skip_separators(const char *at)
{
	return at + strspn(at, " \t,");
}

// Reads a token, cut to the room there is. Returns what follows; at the start if there is none.
static const char *read_token(const char *at, char *out, size_t size)
{
	size_t used = 0;

	for (; is_token(*at); at++) {
		if (used + 1 < size)
			out[used++] = *at;
	}
	out[used] = '\0';
	return at;
}

// A quoted string; NULL without its end or when it does not fit.
static const char *read_quoted(const char *at, char *out, size_t size)
{
	size_t used = 0;

	for (at++; *at != '"'; at++) {
		if (*at == '\\')
			at++;
		if (*at == '\0' || used + 1 >= size)
			return NULL;
		out[used++] = *at;
	}
	out[used] = '\0';
	return at + 1;
}

static void keep(struct zl_challenge *to, const char *name, const char *value)
{
	char *target = NULL;

	if (strcasecmp(name, "realm") == 0)
		target = to->realm;
	else if (strcasecmp(name, "service") == 0)
		target = to->service;
	else if (strcasecmp(name, "scope") == 0)
		target = to->scope;
	if (target != NULL)
		(void)snprintf(target, ZL_CHALLENGE_TEXT_SIZE, "%s", value);
}

// Parameters of one challenge, up to the next scheme. NULL when the text makes no sense.
static const char *read_parameters(const char *at, struct zl_challenge *to)
{
	char name[64];
	char value[ZL_CHALLENGE_TEXT_SIZE];

	for (;;) {
		const char *start = skip_separators(at);
		const char *next = read_token(start, name, sizeof(name));

		next += strspn(next, " \t");
		if (*next != '=')
			return start;
		next++;
		next += strspn(next, " \t");
		next = *next == '"' ? read_quoted(next, value, sizeof(value))
		                    : read_token(next, value, sizeof(value));
		if (next == NULL)
			return NULL;
		keep(to, name, value);
		at = next;
	}
}

void zl_challenge_add(struct zl_challenge *challenge, const char *value)
{
	const char *at = skip_separators(value);
	char scheme[32];

	while (at != NULL && is_token(*at)) {
		struct zl_challenge one = {.basic = false};

		at = read_token(at, scheme, sizeof(scheme));
		at = read_parameters(at, &one);
		if (at == NULL)
			return;
		if (strcasecmp(scheme, "basic") == 0) {
			challenge->basic = true;
		} else if (strcasecmp(scheme, "bearer") == 0 && one.realm[0] != '\0' &&
		           !challenge->bearer) {
			one.basic = challenge->basic;
			one.bearer = true;
			*challenge = one;
		}
	}
}
