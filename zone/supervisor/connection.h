// SPDX-License-Identifier: Apache-2.0
//
// Connections from the daemon to TCP ports of the pod: what port forwarding is made of.
//
// The supervisor lives in the pod's network namespace, so it connects to the loopback of that:
// 127.0.0.1 first, ::1 if nobody listens there. Bytes go through the same streams as a process's
// stdin and stdout, and are held back in the same way.
#ifndef ZL_ZONE_SUPERVISOR_CONNECTION_H
#define ZL_ZONE_SUPERVISOR_CONNECTION_H

#include "zone/supervisor/stdio.h"
#include "zone/supervisor/supervisor.h"

enum { ZL_CONNECTION_ID_SIZE = 65, ZL_CONNECTIONS_MAX = 1024 };

struct zl_connection {
	struct zl_supervisor *supervisor;
	char id[ZL_CONNECTION_ID_SIZE];
	uint16_t port;
	int family;              // of the attempt under way
	struct zl_source socket; // while it connects
	struct zl_output output; // from the port
	struct zl_input input;   // to the port
	bool told;               // its end was told to the daemon
	char message[128];       // why it failed
	struct zl_connection *next;
};

// A stream's frame. False: it belongs to no connection.
bool zl_connection_frame(struct zl_supervisor *s, const struct zl_frame *frame, int *ret_result,
        struct zl_error *err);
void zl_connection_fill(struct zl_supervisor *s, struct zl_link *link);
// Ends a connection; one that is not there is fine.
void zl_connection_hang_up(struct zl_supervisor *s, const char *id);
// A new daemon knows of none of them.
void zl_connection_drop_all(struct zl_supervisor *s);
// Tells of and frees those that are over; after each event.
void zl_connection_settle(struct zl_supervisor *s);

#endif
