// SPDX-License-Identifier: Apache-2.0
//
// Log records to systemd's journal, with the fields of the scope as journal fields: pod=… becomes
// POD=…, so that `journalctl POD=<id>` shows what concerns one pod.
#ifndef ZL_CRI_SERVER_DAEMON_JOURNAL_H
#define ZL_CRI_SERVER_DAEMON_JOURNAL_H

#include <stdbool.h>

// Sets the sink if stderr is the journal (systemd tells by JOURNAL_STREAM, systemd.exec(5)); else
// leaves logfmt on stderr. Whether it did.
bool zl_journal_use(void);

#endif
