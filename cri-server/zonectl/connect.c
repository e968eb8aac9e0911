// SPDX-License-Identifier: Apache-2.0
#include "cri-server/zonectl/zonectl.h"

int zl_zonectl_connect(struct zl_zonectl *ctl, struct zl_error *err)
{
	if (ctl->client == NULL)
		ctl->client = zl_rpc_client_open(ctl->socket, err);
	return ctl->client != NULL ? 0 : -1;
}
