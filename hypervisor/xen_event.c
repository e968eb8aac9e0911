// SPDX-License-Identifier: Apache-2.0
//
// Xen raises a virtual interrupt when a domain stops or dies, and xenstored turns it into the
// special watch "@releaseDomain" (docs/misc/xenstore.txt), which does not say which domain it was.
#include <errno.h>
#include <stdlib.h>
#include <xenstore.h>

#include "hypervisor/xen.h"

#define RELEASE_WATCH "@releaseDomain"

static int drain(void *user)
{
	struct zl_xen *xen = user;
	char **event;

	errno = 0;
	while ((event = xs_check_watch(xen->releases)) != NULL)
		free(event);
	return errno == EAGAIN || errno == 0 ? 0 : -1;
}

static enum zl_domain_end look(void *user, uint32_t domid)
{
	struct zl_xen *xen = user;
	libxl_dominfo info;
	enum zl_domain_end end = ZL_DOMAIN_RUNNING;
	int rc;

	libxl_dominfo_init(&info);
	rc = libxl_domain_info(xen->watch_context->ctx, &info, domid);
	if (rc == ERROR_DOMAIN_NOTFOUND)
		end = ZL_DOMAIN_GONE;
	else if (rc == 0)
		end = zl_xen_end(&info);
	libxl_dominfo_dispose(&info);
	return end;
}

int zl_xen_watch_start(struct zl_xen *xen, struct zl_error *err)
{
	struct zl_watches_source source = {.drain = drain, .look = look, .user = xen};

	// XS_UNWATCH_FILTER is not needed: the one watch lives as long as the connection.
	xen->releases = xs_open(0);
	if (xen->releases == NULL)
		return zl_error_errno(err, errno, "connect to xenstored");
	if (!xs_watch(xen->releases, RELEASE_WATCH, "release"))
		return zl_error_errno(err, errno, "watch " RELEASE_WATCH " in xenstore");
	source.fd = xs_fileno(xen->releases);
	xen->watches = zl_watches_start(&source, err);
	return xen->watches != NULL ? 0 : -1;
}

void zl_xen_watch_stop(struct zl_xen *xen)
{
	zl_watches_stop(xen->watches);
	xen->watches = NULL;
	if (xen->releases != NULL)
		xs_close(xen->releases);
	xen->releases = NULL;
}

int zl_xen_domain_watch(struct zl_hypervisor *hv, uint32_t domid, zl_domain_event *event,
        void *user, struct zl_error *err)
{
	return zl_watches_add(zl_xen_of(hv)->watches, domid, event, user, err);
}

void zl_xen_domain_unwatch(struct zl_hypervisor *hv, uint32_t domid)
{
	zl_watches_remove(zl_xen_of(hv)->watches, domid);
}
