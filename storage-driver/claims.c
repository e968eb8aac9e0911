// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/claims.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void zl_claim_answer(const struct zl_claimant *claimant, const char *layer, bool have)
{
	char line[ZL_DIGEST_SIZE + 64];
	int length = snprintf(line, sizeof(line), "{\"layer\":\"%s\",\"answer\":\"%s\"}\n", layer,
	        have ? "have" : "make");

	// Its buffer holds all of a pull's answers. A puller that does not read them loses some,
	// and then waits for itself alone.
	(void)send(claimant->answer_fd, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static struct zl_claim *find(const struct zl_claims *claims, const char *layer)
{
	struct zl_claim *claim = claims->first;

	while (claim != NULL && strcmp(claim->layer, layer) != 0)
		claim = claim->next;
	return claim;
}

static void drop(struct zl_claims *claims, struct zl_claim *claim)
{
	struct zl_claim **link = &claims->first;

	while (*link != claim)
		link = &(*link)->next;
	*link = claim->next;
	free(claim->waiting);
	free(claim);
}

static int wait_in_line(struct zl_claim *claim, struct zl_claimant *claimant, struct zl_error *err)
{
	struct zl_claimant **longer;

	for (size_t i = 0; i < claim->waiting_count; i++) {
		if (claim->waiting[i] == claimant)
			return zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "layer %s claimed twice", claim->layer);
	}
	longer = reallocarray(claim->waiting, claim->waiting_count + 1, sizeof(*longer));
	if (longer == NULL)
		return zl_error_nomem(err);
	longer[claim->waiting_count++] = claimant;
	claim->waiting = longer;
	return 0;
}

int zl_claims_ask(struct zl_claims *claims, struct zl_claimant *claimant, const char *layer,
        struct zl_error *err)
{
	struct zl_claim *claim = find(claims, layer);

	if (claim != NULL && claim->owner == claimant)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "layer %s claimed twice", layer);
	if (claim != NULL)
		return wait_in_line(claim, claimant, err);
	claim = calloc(1, sizeof(*claim));
	if (claim == NULL)
		return zl_error_nomem(err);
	(void)snprintf(claim->layer, sizeof(claim->layer), "%s", layer);
	claim->owner = claimant;
	claim->next = claims->first;
	claims->first = claim;
	zl_claim_answer(claimant, layer, false);
	return 0;
}

bool zl_claims_owns(
        const struct zl_claims *claims, const struct zl_claimant *claimant, const char *layer)
{
	const struct zl_claim *claim = find(claims, layer);

	return claim != NULL && claim->owner == claimant;
}

void zl_claims_made(struct zl_claims *claims, const char *layer)
{
	struct zl_claim *claim = find(claims, layer);

	if (claim == NULL)
		return;
	zl_claim_answer(claim->owner, layer, true);
	for (size_t i = 0; i < claim->waiting_count; i++)
		zl_claim_answer(claim->waiting[i], layer, true);
	drop(claims, claim);
}

static void leave_line(struct zl_claim *claim, const struct zl_claimant *claimant)
{
	size_t kept = 0;

	for (size_t i = 0; i < claim->waiting_count; i++) {
		if (claim->waiting[i] != claimant)
			claim->waiting[kept++] = claim->waiting[i];
	}
	claim->waiting_count = kept;
}

static void pass_on(struct zl_claims *claims, struct zl_claim *claim)
{
	if (claim->waiting_count == 0) {
		drop(claims, claim);
		return;
	}
	claim->owner = claim->waiting[0];
	claim->waiting_count--;
	memmove(claim->waiting, claim->waiting + 1,
	        claim->waiting_count * sizeof(struct zl_claimant *));
	zl_claim_answer(claim->owner, claim->layer, false);
}

void zl_claims_leave(struct zl_claims *claims, struct zl_claimant *claimant)
{
	struct zl_claim *next;

	for (struct zl_claim *claim = claims->first; claim != NULL; claim = next) {
		next = claim->next;
		leave_line(claim, claimant);
		if (claim->owner == claimant)
			pass_on(claims, claim);
	}
}
