// SPDX-License-Identifier: Apache-2.0
//
// The WWW-Authenticate header of a 401 (RFC 9110, 11.6.1; the Bearer parameters of Docker's token
// protocol, distribution docs/spec/auth/token.md). Hostile input.
#ifndef ZL_STORAGE_DRIVER_PULLER_CHALLENGE_H
#define ZL_STORAGE_DRIVER_PULLER_CHALLENGE_H

#include <stdbool.h>

enum { ZL_CHALLENGE_TEXT_SIZE = 1024 };

struct zl_challenge {
	bool basic;                           // Basic was offered
	bool bearer;                          // Bearer was offered, and has a realm
	char realm[ZL_CHALLENGE_TEXT_SIZE];   // URL of the token server
	char service[ZL_CHALLENGE_TEXT_SIZE]; // "" if none
	char scope[ZL_CHALLENGE_TEXT_SIZE];   // "" if none
};

// Adds what one header's value offers (several challenges may be in one value, and several headers
// in one answer). What it cannot read is skipped: an unreadable challenge offers nothing.
void zl_challenge_add(struct zl_challenge *challenge, const char *value);

#endif
