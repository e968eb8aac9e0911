// SPDX-License-Identifier: Apache-2.0
//
// The directory of network configurations (/etc/cni/net.d). The first file by name whose name ends
// in .conflist, .conf or .json is the pods' network, as every runtime has it; a network agent that
// runs as a pod puts it there when it is ready, and may replace it at any time.
//
// Others may add plugins to the chosen network: by .conf files in the directory of its name beside
// it, after those of its own, in the order of their names (spec, "loadOnlyInlinedPlugins").
//
// inotify tells of changes: whoever asks first reads what has queued up (one read that fails with
// EAGAIN when nothing has) and only then looks at the directory again. While the directory does not
// exist each question tries to watch it anew.
//
// Thread rule: any thread; a lock of its own guards it.
#ifndef ZL_CNI_BRIDGE_CONFDIR_H
#define ZL_CNI_BRIDGE_CONFDIR_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "cni-bridge/conflist.h"

struct zl_confdir {
	pthread_mutex_t lock; // guards all below
	char *path;
	int inotify;
	int watch;               // descriptor in inotify; -1 while there is none
	bool stale;              // the directory must be looked at
	int plugins_watch;       // descriptor for the directory of plugins; -1 while there is none
	uint64_t generation;     // counts loads
	char *file;              // path of the chosen file; NULL if there is none
	struct zl_buffer text;   // the network, with what others added, as JSON
	struct zl_error failure; // why there is no configuration; ZL_OK when there is
};

int zl_confdir_open(struct zl_confdir *confdir, const char *path, struct zl_error *err);
void zl_confdir_close(struct zl_confdir *confdir);

// Where a network comes from.
struct zl_confdir_source {
	char file[PATH_MAX]; // "" if no file could be chosen
	uint64_t generation; // grows with each change of the directory
};

// The network of now, a copy that the caller owns. UNAVAILABLE says what is missing or wrong.
// *source (may be NULL) is set either way.
int zl_confdir_get(struct zl_confdir *confdir, struct zl_conflist *ret,
        struct zl_confdir_source *source, struct zl_error *err);

#endif
