// SPDX-License-Identifier: Apache-2.0
//
// Names and numbers of signals, as image configs ("SIGTERM", "TERM", "15", "SIGRTMIN+3") and CRI's
// enum have them.
#ifndef ZL_CRI_SERVER_OCI_SIGNAL_H
#define ZL_CRI_SERVER_OCI_SIGNAL_H

#include "api.pb-c.h"

// 0 when the text names no signal of Linux (1 to 64).
int zl_signal_parse(const char *text);
// 0 for RUNTIME_DEFAULT.
int zl_signal_from_cri(Runtime__V1__Signal signal);
// RUNTIME_DEFAULT when CRI has no name for it.
Runtime__V1__Signal zl_signal_to_cri(int signal);

#endif
