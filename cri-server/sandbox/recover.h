// SPDX-License-Identifier: Apache-2.0
//
// What a start of zoneletd does with the pods of the one before.
#ifndef ZL_CRI_SERVER_SANDBOX_RECOVER_H
#define ZL_CRI_SERVER_SANDBOX_RECOVER_H

#include "base/error.h"

struct zl_services;

// Running pods are reconnected: their containers' exits, and output that the log lacks, are caught
// up with. Pods that were being made or removed are removed. Pods whose zone is gone become not
// ready. Devices and disks of nobody are swept. One pod's trouble is logged and stops no other.
int zl_services_recover(struct zl_services *services, struct zl_error *err);

#endif
