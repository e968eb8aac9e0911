// SPDX-License-Identifier: Apache-2.0
//
// From a member to the structure around it, and from a message to its type: the two places where a
// callback's general pointer becomes a particular one.
#ifndef ZL_ZONE_PROTOCOL_ENCLOSING_H
#define ZL_ZONE_PROTOCOL_ENCLOSING_H

#include <stddef.h>

static inline void *zl_enclosing(void *member, size_t offset)
{
	return (char *)member - offset;
}

// The `type` whose `member` this points to.
#define ZL_ENCLOSING(pointer, type, member) zl_enclosing((pointer), offsetof(type, member))

#endif
