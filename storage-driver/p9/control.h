// SPDX-License-Identifier: Apache-2.0
//
// How the daemon tells a running server what to export: a unix socket of packets.
//
// A connection carries one request and its answer. A request is a byte for what to do and the name
// of an export; with 'a' (add) comes the descriptor of the export's root. The answer is a byte, an
// enum zl_code, and a message for people. Both sides are the node's own, but the server's may be in
// a zone's hands: the daemon bounds what it reads and waits.
//
//   'a' NAME  + descriptor   add; a name that is there stays as it is
//   'r' NAME                 remove; one that is not there is success
//
// Thread rule: any thread.
#ifndef ZL_STORAGE_DRIVER_P9_CONTROL_H
#define ZL_STORAGE_DRIVER_P9_CONTROL_H

#include "base/error.h"

struct zl_p9_server;

enum { ZL_P9_CONTROL_REQUEST_MAX = 256, ZL_P9_CONTROL_ANSWER_MAX = 1100 };

// The server's side: a listening socket at `path`, which nobody but root can connect to. A file
// that is left there is replaced; the caller knows that nobody serves it. Called by the process
// that will serve: who connects learns its pid from the kernel (SO_PEERCRED, unix(7)).
int zl_p9_control_listen(const char *path, struct zl_error *err);
// Serves requests for ever.
void zl_p9_control_serve(int listener, struct zl_p9_server *server);

// The daemon's side. UNAVAILABLE: nobody serves the socket.
int zl_p9_control_connect(const char *path, struct zl_error *err);
// One request on a fresh connection; root_fd -1 for none.
int zl_p9_control_call(
        const char *path, char what, const char *name, int root_fd, struct zl_error *err);
// A pidfd of the server; UNAVAILABLE when there is none.
int zl_p9_control_pidfd(const char *path, struct zl_error *err);

#endif
