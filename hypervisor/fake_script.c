// SPDX-License-Identifier: Apache-2.0
//
// The fake hypervisor's scripts: what a test has in store for its operations.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "hypervisor/fake_parts.h"

static const char *const op_names[ZL_FAKE_OP_COUNT] = {"domain_create", "domain_unpause",
        "domain_destroy", "domain_info", "domain_list", "domain_resize", "domain_watch", "disk_add",
        "disk_remove", "nic_add", "nic_remove", "share_add", "share_remove", "host_info"};

int zl_fake_enter(
        struct fake *fake, enum zl_fake_op op, const struct zl_cancel *cancel, struct zl_error *err)
{
	struct script *script = &fake->scripts[op];
	int hold_fd;

	pthread_mutex_lock(&fake->lock);
	script->calls++;
	hold_fd = script->hold_fd;
	if (hold_fd >= 0) {
		int ready;

		script->held++;
		pthread_cond_broadcast(&fake->held_changed);
		pthread_mutex_unlock(&fake->lock);
		ready = zl_cancel_poll(cancel, hold_fd, POLLIN, -1, err);
		pthread_mutex_lock(&fake->lock);
		script->held--;
		pthread_cond_broadcast(&fake->held_changed);
		if (ready < 0) {
			pthread_mutex_unlock(&fake->lock);
			return -1;
		}
	}
	if (script->times > 0 && script->skip > 0) {
		script->skip--;
	} else if (script->times > 0) {
		enum zl_code code = script->code;

		script->times--;
		pthread_mutex_unlock(&fake->lock);
		return zl_error_set(err, code, "%s fails as scripted", op_names[op]);
	}
	pthread_mutex_unlock(&fake->lock);
	return zl_cancel_check(cancel, err);
}

void zl_fake_fail(struct zl_hypervisor *hv, enum zl_fake_op op, unsigned skip, unsigned times,
        enum zl_code code)
{
	struct fake *fake = zl_fake_of(hv);

	LOCKED(fake);
	fake->scripts[op].skip = skip;
	fake->scripts[op].times = times;
	fake->scripts[op].code = code;
}

int zl_fake_hold(struct zl_hypervisor *hv, enum zl_fake_op op, struct zl_error *err)
{
	struct fake *fake = zl_fake_of(hv);
	LOCKED(fake);

	if (fake->scripts[op].hold_fd >= 0)
		return 0;
	fake->scripts[op].hold_fd = eventfd(0, EFD_CLOEXEC);
	return fake->scripts[op].hold_fd < 0 ? zl_error_errno(err, errno, "make an eventfd") : 0;
}

// The fd stays open until all who poll it have left.
void zl_fake_release(struct zl_hypervisor *hv, enum zl_fake_op op)
{
	struct fake *fake = zl_fake_of(hv);
	struct script *script = &fake->scripts[op];
	uint64_t one = 1;
	int fd;
	LOCKED(fake);

	fd = script->hold_fd;
	script->hold_fd = -1;
	if (fd < 0)
		return;
	(void)!write(fd, &one, sizeof(one));
	while (script->held > 0)
		pthread_cond_wait(&fake->held_changed, &fake->lock);
	(void)zl_close(fd);
}

void zl_fake_await_held(struct zl_hypervisor *hv, enum zl_fake_op op, unsigned count)
{
	struct fake *fake = zl_fake_of(hv);

	LOCKED(fake);
	while (fake->scripts[op].held < count)
		pthread_cond_wait(&fake->held_changed, &fake->lock);
}

unsigned zl_fake_calls(struct zl_hypervisor *hv, enum zl_fake_op op)
{
	struct fake *fake = zl_fake_of(hv);

	LOCKED(fake);
	return fake->scripts[op].calls;
}

void zl_fake_set_memory(struct zl_hypervisor *hv, uint64_t bytes)
{
	struct fake *fake = zl_fake_of(hv);

	LOCKED(fake);
	fake->memory = bytes;
}

void zl_fake_set_pvh(struct zl_hypervisor *hv, bool has_pvh)
{
	struct fake *fake = zl_fake_of(hv);

	LOCKED(fake);
	fake->has_pvh = has_pvh;
}
