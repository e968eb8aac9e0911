// SPDX-License-Identifier: Apache-2.0
//
// The table of configuration keys, and their values as text.
#ifndef ZL_CRI_SERVER_CONFIG_KEYS_H
#define ZL_CRI_SERVER_CONFIG_KEYS_H

#include <stddef.h>

#include "cri-server/config/config.h"

enum zl_key_type {
	ZL_KEY_TEXT,     // const char *, anything
	ZL_KEY_PATH,     // const char *, an absolute path; "" where the default is "" or optional
	ZL_KEY_WORD,     // const char *, one of `choices`
	ZL_KEY_CHOICE,   // uint64_t, index of one of `choices`
	ZL_KEY_COUNT,    // uint64_t
	ZL_KEY_BYTES,    // uint64_t: "256MiB"
	ZL_KEY_DURATION, // int64_t in nanoseconds: "30s"
	ZL_KEY_TEXTS,    // const char *const *
	ZL_KEY_PATHS,
	ZL_KEY_WORDS,
};

struct zl_key {
	const char *name; // "zone.kernel"
	enum zl_key_type type;
	size_t offset;        // in struct zl_config
	const char *fallback; // default as text; lists separate by a space
	const char *choices;  // "auto pvh pv"
	uint64_t least;       // of numbers
	uint64_t most;
	const char *help; // a sentence or two, no line feeds
	bool optional;    // of a path: "" (none) is a value, too
};

extern const struct zl_key zl_keys[];
extern const size_t zl_key_count;

static inline bool zl_key_is_list(const struct zl_key *key)
{
	return key->type >= ZL_KEY_TEXTS;
}

// What a value of the type looks like, for messages and documentation.
const char *zl_key_type_name(const struct zl_key *key);

// Stores one value. INVALID_ARGUMENT with the key's name and what it should look like.
int zl_key_set(
        const struct zl_key *key, const char *text, struct zl_config *config, struct zl_error *err);
// The same for lists: `texts` has `count`.
int zl_key_set_list(const struct zl_key *key, const char *const *texts, size_t count,
        struct zl_config *config, struct zl_error *err);
void zl_key_set_default(const struct zl_key *key, struct zl_config *config);

// The value as text, in the arena. For lists, the NULL-terminated texts.
const char *zl_key_text(
        const struct zl_key *key, const struct zl_config *config, struct zl_arena *arena);
const char *const *zl_key_texts(const struct zl_key *key, const struct zl_config *config);

#endif
