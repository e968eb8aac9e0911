// SPDX-License-Identifier: Apache-2.0
//
// What a puller is told to do, as one line of JSON on its stdin (trusted: the daemon writes it),
// and what is said afterwards.
//
// Puller to daemon, one JSON object a line on stdout (hostile to the daemon; read by
// storage-driver/pull_line.h):
//   {"event":"progress","stage":"layer","object":"sha256:…","done":N,"total":N}
//   {"event":"claim","layer":DIFFID}            may I make this layer?
//   {"event":"layer","layer":DIFFID,"file":F}   it is made: file F of the ingest directory
//   {"event":"done","documents":N,"merged":BOOL}
//        document-0 … document-N-1 of the ingest directory are what the reference named (an index
//        or a manifest), …, the image's manifest; "config" is its config; "merged" the merged blob
//   {"event":"error","code":"NOT_FOUND","message":"…"}
// Daemon to puller, on stdin after the job:
//   {"layer":DIFFID,"answer":"make"}            nobody has it: go on
//   {"layer":DIFFID,"answer":"have"}            it is in the blobs directory (also after "layer")
// The end of stdin means that the daemon is gone: the puller ends.
#ifndef ZL_STORAGE_DRIVER_PULLER_JOB_H
#define ZL_STORAGE_DRIVER_PULLER_JOB_H

#include "base/error.h"
#include "base/json.h"
#include "storage-driver/manifest.h"
#include "storage-driver/reference.h"

enum { ZL_JOB_LINE_MAX = 256 * 1024 };

struct zl_job_auth { // NULL where not given
	const char *username;
	const char *password;
	const char *auth;
	const char *server_address;
	const char *identity_token;
	const char *registry_token;
};

struct zl_job {
	json_t *json; // owns all strings
	struct zl_reference reference;
	char name[ZL_REFERENCE_TEXT_SIZE]; // the reference for messages
	struct zl_platform platform;
	struct zl_job_auth auth;
	const char *ingest_dir;   // where to write
	const char *blobs_dir;    // where layers are that the node has
	const char *registry_dir; // NULL: none
	char **insecure;          // NULL-terminated; may be NULL
	const char *user;         // whom to become; NULL: stay
	uint64_t max_layer_bytes; // of one layer's tar
	uint32_t parallel;        // layers at a time, at least 1
};

#define ZL_JOB_INIT {.json = NULL}

int zl_job_parse(const char *line, size_t length, struct zl_job *ret, struct zl_error *err);
void zl_job_release(struct zl_job *job);
ZL_AUTO_DEFINE_VALUE(job, struct zl_job, zl_job_release);

// The name of a layer's blob in the blobs directory: "sha256-<hex>.erofs".
enum { ZL_BLOB_NAME_SIZE = ZL_DIGEST_SIZE + 16 };
void zl_blob_name(const char *diff_id, char out[static ZL_BLOB_NAME_SIZE]);
// Of the merged blob with this layers' key: "merged-<hex>.erofs".
void zl_merged_name(const char *key, char out[static ZL_BLOB_NAME_SIZE]);

#endif
