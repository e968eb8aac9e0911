// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/zone_image.h"

#include <stdio.h>
#include <string.h>

#include "cri-server/sandbox/sandbox.h"
#include "cri-server/sandbox/services.h"

// xvda and xvdb are the zone's root and scratch disk.
enum { FIRST_IMAGE_DISK = 2, DEVICE_PATH_SIZE = 64 };

// xvdc for slot 0, … xvdz, xvdaa, …
static void slot_vdev(size_t slot, char out[static 8])
{
	unsigned index = (unsigned)slot + FIRST_IMAGE_DISK;

	if (index < 26)
		(void)snprintf(out, 8, "xvd%c", (char)('a' + index));
	else
		(void)snprintf(
		        out, 8, "xvd%c%c", (char)('a' + index / 26 - 1), (char)('a' + index % 26));
}

// The slot that has the image, or a free one; ZL_IMAGE_DISKS if neither.
static size_t find_slot(const struct zl_sandbox *sandbox, const char *image_id)
{
	size_t free_slot = ZL_IMAGE_DISKS;

	for (size_t i = ZL_IMAGE_DISKS; i-- > 0;) {
		if (sandbox->disks[i].users == 0)
			free_slot = i;
		else if (strcmp(sandbox->disks[i].image_id, image_id) == 0)
			return i;
	}
	return free_slot;
}

static int attach_image(struct zl_sandbox *sandbox, size_t slot, const char *image_id,
        const struct zl_cancel *cancel, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;
	struct zl_image_disk *disk = &sandbox->disks[slot];
	char path[DEVICE_PATH_SIZE];
	char vdev[8];
	struct zl_disk attach = {.vdev = vdev, .path = path, .readonly = true};

	slot_vdev(slot, vdev);
	if (zl_store_image_device(sandbox->services->store, image_id, sandbox->id, path, err) < 0)
		return -1;
	if (hv->ops->disk_add(hv, (uint32_t)sandbox->domid, &attach, cancel, err) < 0) {
		(void)zl_store_image_release(sandbox->services->store, image_id, sandbox->id, NULL);
		return -1;
	}
	(void)snprintf(disk->image_id, sizeof(disk->image_id), "%s", image_id);
	(void)snprintf(disk->vdev, sizeof(disk->vdev), "%s", vdev);
	return 0;
}

// Gives the sandbox the image once more; `vdev` is its device.
static int take_image(struct zl_sandbox *sandbox, const char *image_id, char vdev[static 8],
        const struct zl_cancel *cancel, struct zl_error *err)
{
	zl_auto(gate) struct zl_gate *inside = NULL;
	size_t slot;

	if (zl_gate_enter(&sandbox->disk_gate, true, cancel, err) < 0)
		return -1;
	inside = &sandbox->disk_gate;
	slot = find_slot(sandbox, image_id);
	if (slot == ZL_IMAGE_DISKS)
		return zl_error_set(err, ZL_RESOURCE_EXHAUSTED,
		        "pod %s has %d images already, the most a zone can hold",
		        zl_sandbox_pod(sandbox), ZL_IMAGE_DISKS);
	if (sandbox->disks[slot].users == 0 &&
	        attach_image(sandbox, slot, image_id, cancel, err) < 0)
		return zl_error_wrap(err, "attach image %s", image_id);
	sandbox->disks[slot].users++;
	(void)snprintf(vdev, 8, "%s", sandbox->disks[slot].vdev);
	return 0;
}

int zl_zone_image_add(struct zl_container *container, struct zl_zone_rootfs *ret,
        struct zl_arena *arena, const struct zl_cancel *cancel, struct zl_error *err)
{
	if (take_image(container->sandbox, container->image_id, container->image_vdev, cancel,
	            err) < 0)
		return -1;
	ret->image_device = zl_arena_printf(arena, "/dev/%s", container->image_vdev);
	return 0;
}

int zl_zone_volume_add(struct zl_container *container, struct zl_container_volume *volume,
        struct zl_zone_image_volume *ret, struct zl_arena *arena, const struct zl_cancel *cancel,
        struct zl_error *err)
{
	if (take_image(container->sandbox, volume->image_id, volume->vdev, cancel, err) < 0)
		return -1;
	ret->image_device = zl_arena_printf(arena, "/dev/%s", volume->vdev);
	return 0;
}

static int detach_image(
        struct zl_sandbox *sandbox, struct zl_image_disk *disk, struct zl_error *err)
{
	struct zl_hypervisor *hv = sandbox->services->hypervisor;

	if (sandbox->domid >= 0 &&
	        hv->ops->disk_remove(hv, (uint32_t)sandbox->domid, disk->vdev, NULL, err) < 0)
		return -1;
	if (zl_store_image_release(sandbox->services->store, disk->image_id, sandbox->id, err) < 0)
		return -1;
	*disk = (struct zl_image_disk){0};
	return 0;
}

// Takes the image back once; nothing if it has no device.
static int give_image(
        struct zl_sandbox *sandbox, const char *image_id, char vdev[static 8], struct zl_error *err)
{
	size_t slot;

	if (vdev[0] == '\0')
		return 0;
	slot = find_slot(sandbox, image_id);
	if (slot < ZL_IMAGE_DISKS && sandbox->disks[slot].users == 1 &&
	        detach_image(sandbox, &sandbox->disks[slot], err) < 0)
		return zl_error_wrap(err, "detach image %s", image_id);
	if (slot < ZL_IMAGE_DISKS && sandbox->disks[slot].users > 1)
		sandbox->disks[slot].users--;
	vdev[0] = '\0';
	return 0;
}

int zl_zone_image_remove(struct zl_container *container, struct zl_error *err)
{
	struct zl_sandbox *sandbox = container->sandbox;
	zl_auto(gate) struct zl_gate *inside = NULL;

	if (zl_gate_enter(&sandbox->disk_gate, true, NULL, err) < 0)
		return -1;
	inside = &sandbox->disk_gate;
	for (size_t i = 0; i < container->volume_count; i++) {
		struct zl_container_volume *volume = &container->volumes[i];

		if (give_image(sandbox, volume->image_id, volume->vdev, err) < 0)
			return -1;
	}
	return give_image(sandbox, container->image_id, container->image_vdev, err);
}

static int recover_image(
        struct zl_sandbox *sandbox, const char *image_id, const char *vdev, struct zl_error *err)
{
	char path[DEVICE_PATH_SIZE];
	char name[8];

	for (size_t slot = 0; slot < ZL_IMAGE_DISKS; slot++) {
		struct zl_image_disk *disk = &sandbox->disks[slot];

		slot_vdev(slot, name);
		if (strcmp(name, vdev) != 0)
			continue;
		(void)snprintf(disk->image_id, sizeof(disk->image_id), "%s", image_id);
		(void)snprintf(disk->vdev, sizeof(disk->vdev), "%s", vdev);
		disk->users++;
		return zl_store_image_device(
		        sandbox->services->store, image_id, sandbox->id, path, err);
	}
	return 0;
}

int zl_zone_image_recover(struct zl_container *container, const char *vdev, struct zl_error *err)
{
	(void)snprintf(container->image_vdev, sizeof(container->image_vdev), "%s", vdev);
	for (size_t i = 0; i < container->volume_count; i++) {
		const struct zl_container_volume *volume = &container->volumes[i];

		if (recover_image(container->sandbox, volume->image_id, volume->vdev, err) < 0)
			return -1;
	}
	return recover_image(container->sandbox, container->image_id, vdev, err);
}

int zl_zone_images_release(struct zl_sandbox *sandbox, struct zl_error *err)
{
	for (size_t i = 0; i < ZL_IMAGE_DISKS; i++) {
		struct zl_image_disk *disk = &sandbox->disks[i];

		if (disk->users == 0)
			continue;
		if (zl_store_image_release(
		            sandbox->services->store, disk->image_id, sandbox->id, err) < 0)
			return -1;
		*disk = (struct zl_image_disk){0};
	}
	return 0;
}
