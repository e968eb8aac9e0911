// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes quantities (apimachinery pkg/api/resource, "The serialization format is"): a decimal
// number and then a binary suffix, a decimal suffix or an exponent.
#ifndef ZL_CRI_SERVER_SANDBOX_QUANTITY_H
#define ZL_CRI_SERVER_SANDBOX_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

// "1.5M", "512Ki", "1e6", "100" as a whole number, rounded up. False for what is none, is negative,
// has more than 18 digits or is past INT64_MAX; *ret is then untouched.
bool zl_quantity_parse(const char *text, int64_t *ret);

#endif
