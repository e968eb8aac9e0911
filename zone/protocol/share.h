// SPDX-License-Identifier: Apache-2.0
//
// Where a zone has the node's directories: known to both sides, since the daemon writes it into
// OCI specs.
#ifndef ZL_ZONE_PROTOCOL_SHARE_H
#define ZL_ZONE_PROTOCOL_SHARE_H

#define ZL_SHARE_DIR "/run/zonelet/share"

#endif
