// SPDX-License-Identifier: Apache-2.0
//
// Who makes which layer: two pulls of images that share a layer fetch it once. A puller asks before
// it makes a layer; the answer is "make", or "have" once somebody else has made it, which may be at
// once or later. When the maker fails, the next one in line is told to make it.
//
// Thread rule: the caller's lock around every function.
#ifndef ZL_STORAGE_DRIVER_CLAIMS_H
#define ZL_STORAGE_DRIVER_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "storage-driver/digest.h"

// One puller's side.
struct zl_claimant {
	int answer_fd; // socket to its stdin
};

struct zl_claim {
	char layer[ZL_DIGEST_SIZE];
	struct zl_claimant *owner;    // makes it
	struct zl_claimant **waiting; // in order of asking
	size_t waiting_count;
	struct zl_claim *next;
};

struct zl_claims {
	struct zl_claim *first;
};

// The layer is not on the node. Answers "make", or keeps the claimant waiting. INVALID_ARGUMENT
// when this claimant has asked for it before.
int zl_claims_ask(struct zl_claims *claims, struct zl_claimant *claimant, const char *layer,
        struct zl_error *err);
bool zl_claims_owns(
        const struct zl_claims *claims, const struct zl_claimant *claimant, const char *layer);
// The owner has made it and the node has it: answers "have" to owner and waiting.
void zl_claims_made(struct zl_claims *claims, const char *layer);
// The claimant is gone: its layers go to those who wait.
void zl_claims_leave(struct zl_claims *claims, struct zl_claimant *claimant);

// Writes an answer line to the claimant. A puller that does not listen is not waited for.
void zl_claim_answer(const struct zl_claimant *claimant, const char *layer, bool have);

#endif
