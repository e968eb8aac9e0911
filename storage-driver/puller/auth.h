// SPDX-License-Identifier: Apache-2.0
//
// From a challenge and the pod's pull secret to the value of an Authorization header.
#ifndef ZL_STORAGE_DRIVER_PULLER_AUTH_H
#define ZL_STORAGE_DRIVER_PULLER_AUTH_H

#include "storage-driver/puller/hosts.h"
#include "storage-driver/puller/http.h"
#include "storage-driver/puller/job.h"

// Whether the pull secret is for this server: the one that server_address names (Docker Hub's
// several names are one), or without it the registry itself.
bool zl_auth_is_for(const struct zl_job_auth *auth, const struct zl_host *host);

// The header's value that answers a challenge: a token from the token server, or Basic.
// `repository` is the scope. The caller frees. UNAUTHENTICATED when there is no way with what we
// have.
char *zl_auth_answer(struct zl_http *http, const struct zl_host *host,
        const struct zl_job_auth *auth, const struct zl_challenge *challenge,
        const char *repository, struct zl_error *err);

// "Basic …" from username and password, or from the ready-made base64 of a docker config; NULL with
// no error when the secret has neither. The caller frees.
char *zl_auth_basic(const struct zl_job_auth *auth, struct zl_error *err);

#endif
