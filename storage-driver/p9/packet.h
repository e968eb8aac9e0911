// SPDX-License-Identifier: Apache-2.0
//
// Packets of the control socket (control.h), each with at most one descriptor.
#ifndef ZL_STORAGE_DRIVER_P9_PACKET_H
#define ZL_STORAGE_DRIVER_P9_PACKET_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/error.h"

// A socket of packets, and the address for this path. INVALID_ARGUMENT when the path is too long.
int zl_p9_packet_socket(const char *path, struct sockaddr_un *address, struct zl_error *err);
// Neither side waits for the other for ever.
void zl_p9_packet_timeout(int fd);
// One packet, and the descriptor that came with it (-1: none). The length, or -1.
ssize_t zl_p9_packet_receive(int fd, void *bytes, size_t room, int *ret_fd);
// passed: a descriptor to send along, -1 for none.
int zl_p9_packet_send(int fd, const void *bytes, size_t length, int passed);

#endif
