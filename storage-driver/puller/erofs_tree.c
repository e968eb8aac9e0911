// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/erofs_tree.h"

#include <endian.h>
#include <string.h>

// Offsets in the superblock, which is at 1024.
enum {
	SUPER_AT = 1024,
	SUPER_SIZE = 128,
	SUPER_CHECKSUM = 4,
	SUPER_COMPAT = 8,
	SUPER_BLOCK_BITS = 12,
	SUPER_ROOT = 14,
	SUPER_META = 40,
	SUPER_XATTR = 44,
	COMPAT_CHECKSUM = 1,
	INODE_UNIT = 32, // an inode's nid counts these
	COMPACT_SIZE = 32,
	EXTENDED_SIZE = 64,
	DIRENT_SIZE = 12,
	XATTR_HEADER = 12,
	XATTR_ENTRY = 4,
	XATTR_TRUSTED = 4,
	LAYOUT_PLAIN = 0,
	LAYOUT_INLINE = 2,
	TYPE_DIRECTORY = 2,
};

static const uint32_t magic_number = 0xE0F5E1E2;
static const char OPAQUE[] = "overlay.opaque";

static uint16_t read16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return le16toh(value);
}

static uint32_t read32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return le32toh(value);
}

static uint64_t read64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return le64toh(value);
}

static int malformed(struct zl_error *err, const char *what)
{
	return zl_error_set(err, ZL_INVALID_ARGUMENT, "malformed EROFS image: %s", what);
}

static bool inside(const struct zl_erofs_image *image, uint64_t at, uint64_t length)
{
	return at <= image->size && length <= image->size - at;
}

int zl_erofs_image_init(
        struct zl_erofs_image *ret, uint8_t *data, size_t size, struct zl_error *err)
{
	const uint8_t *super = data + SUPER_AT;

	if (size < SUPER_AT + SUPER_SIZE || read32(super) != magic_number)
		return malformed(err, "no superblock");
	if (super[SUPER_BLOCK_BITS] < 9 || super[SUPER_BLOCK_BITS] > 16)
		return malformed(err, "block size");
	ret->data = data;
	ret->size = size;
	ret->block = UINT32_C(1) << super[SUPER_BLOCK_BITS];
	ret->meta_at = (uint64_t)read32(super + SUPER_META) * ret->block;
	ret->xattr_at = (uint64_t)read32(super + SUPER_XATTR) * ret->block;
	ret->root = read16(super + SUPER_ROOT);
	return 0;
}

static void read_extended(const uint8_t *at, struct zl_erofs_inode *ret)
{
	ret->size = read64(at + 8);
	ret->data_block = read32(at + 16);
	ret->uid = read32(at + 24);
	ret->gid = read32(at + 28);
	ret->mtime = read64(at + 32);
	ret->mtime_ns = read32(at + 40);
}

static void read_compact(const uint8_t *at, struct zl_erofs_inode *ret)
{
	ret->size = read32(at + 8);
	ret->data_block = read32(at + 16);
	ret->uid = read16(at + 24);
	ret->gid = read16(at + 26);
}

int zl_erofs_inode_read(const struct zl_erofs_image *image, uint64_t nid,
        struct zl_erofs_inode *ret, struct zl_error *err)
{
	struct zl_erofs_inode inode = {.nid = nid};
	const uint8_t *at;
	uint64_t offset;
	uint16_t xattr_count;

	if (nid > UINT32_MAX)
		return malformed(err, "inode number");
	offset = image->meta_at + nid * INODE_UNIT;
	if (!inside(image, offset, COMPACT_SIZE))
		return malformed(err, "inode outside the image");
	at = image->data + offset;
	inode.at = (size_t)offset;
	inode.extended = read16(at) & 1;
	inode.layout = (uint8_t)(read16(at) >> 1 & 7);
	if (inode.extended && !inside(image, offset, EXTENDED_SIZE))
		return malformed(err, "inode outside the image");
	xattr_count = read16(at + 2);
	inode.xattr_size = xattr_count > 0 ? XATTR_HEADER + (size_t)(xattr_count - 1) * 4 : 0;
	inode.mode = read16(at + 4);
	if (inode.extended)
		read_extended(at, &inode);
	else
		read_compact(at, &inode);
	inode.device = inode.data_block;
	*ret = inode;
	return 0;
}

static size_t inode_end(const struct zl_erofs_inode *inode)
{
	return inode->at + (inode->extended ? EXTENDED_SIZE : COMPACT_SIZE) + inode->xattr_size;
}

// Entries of one directory block. The first one's name offset tells how many there are.
static int each_in_block(const uint8_t *block, size_t length, zl_erofs_visit *visit, void *user,
        struct zl_error *err)
{
	size_t count;

	if (length < DIRENT_SIZE)
		return malformed(err, "directory block");
	count = read16(block + 8) / DIRENT_SIZE;
	if (count == 0 || count * DIRENT_SIZE > length)
		return malformed(err, "directory block");
	for (size_t i = 0; i < count; i++) {
		const uint8_t *dirent = block + i * DIRENT_SIZE;
		size_t start = read16(dirent + 8);
		size_t end = i + 1 < count ? read16(dirent + DIRENT_SIZE + 8) : length;
		struct zl_erofs_entry entry = {.nid = read64(dirent), .type = dirent[10]};
		int result;

		if (start > end || end > length)
			return malformed(err, "directory entry");
		entry.name = (const char *)block + start;
		entry.name_length = strnlen(entry.name, end - start);
		if ((entry.name_length == 1 && entry.name[0] == '.') ||
		        (entry.name_length == 2 && memcmp(entry.name, "..", 2) == 0))
			continue;
		result = visit(user, &entry, err);
		if (result != 0)
			return result;
	}
	return 0;
}

int zl_erofs_each(const struct zl_erofs_image *image, const struct zl_erofs_inode *dir,
        zl_erofs_visit *visit, void *user, struct zl_error *err)
{
	if (dir->layout != LAYOUT_PLAIN && dir->layout != LAYOUT_INLINE)
		return malformed(err, "a directory of an unknown layout");
	for (uint64_t done = 0; done < dir->size; done += image->block) {
		uint64_t left = dir->size - done;
		size_t length = left < image->block ? (size_t)left : image->block;
		uint64_t at = (uint64_t)dir->data_block * image->block + done;
		int result;

		// The last, partial block is behind the inode.
		if (dir->layout == LAYOUT_INLINE && left < image->block)
			at = inode_end(dir);
		if (!inside(image, at, length))
			return malformed(err, "directory outside the image");
		result = each_in_block(image->data + at, length, visit, user, err);
		if (result != 0)
			return result;
	}
	return 0;
}

struct wanted {
	const char *name;
	size_t length;
	struct zl_erofs_entry *ret;
};

static int match(void *user, const struct zl_erofs_entry *entry, struct zl_error *err)
{
	const struct wanted *wanted = user;

	(void)err;
	if (entry->name_length != wanted->length ||
	        memcmp(entry->name, wanted->name, wanted->length) != 0)
		return 0;
	*wanted->ret = *entry;
	return 1;
}

int zl_erofs_lookup(const struct zl_erofs_image *image, const struct zl_erofs_inode *dir,
        const char *name, size_t length, struct zl_erofs_entry *ret, struct zl_error *err)
{
	struct wanted wanted = {name, length, ret};

	return zl_erofs_each(image, dir, match, &wanted, err);
}

// One attribute at `at`: whether it is the mark. *ret_size is its length, 0 when malformed.
static bool is_opaque_mark(const struct zl_erofs_image *image, uint64_t at, size_t *ret_size)
{
	const uint8_t *entry = image->data + at;
	size_t name_length;
	size_t value_length;

	*ret_size = 0;
	if (!inside(image, at, XATTR_ENTRY))
		return false;
	name_length = entry[0];
	value_length = read16(entry + 2);
	if (!inside(image, at, XATTR_ENTRY + name_length + value_length))
		return false;
	*ret_size = (XATTR_ENTRY + name_length + value_length + 3) / 4 * 4;
	return entry[1] == XATTR_TRUSTED && name_length == sizeof(OPAQUE) - 1 &&
	       memcmp(entry + XATTR_ENTRY, OPAQUE, name_length) == 0 && value_length == 1 &&
	       entry[XATTR_ENTRY + name_length] == 'y';
}

bool zl_erofs_is_opaque(const struct zl_erofs_image *image, const struct zl_erofs_inode *dir)
{
	size_t end = inode_end(dir);
	size_t start = end - dir->xattr_size;
	size_t size;
	size_t at;
	size_t shared;

	if (dir->xattr_size < XATTR_HEADER || !inside(image, start, dir->xattr_size))
		return false;
	shared = image->data[start + 4];
	at = start + XATTR_HEADER + shared * 4;
	for (size_t i = 0; i < shared && start + XATTR_HEADER + (i + 1) * 4 <= end; i++) {
		uint32_t id = read32(image->data + start + XATTR_HEADER + i * 4);

		if (is_opaque_mark(image, image->xattr_at + (uint64_t)id * 4, &size))
			return true;
	}
	while (at < end) {
		if (is_opaque_mark(image, at, &size))
			return true;
		if (size == 0)
			return false;
		at += size;
	}
	return false;
}

static void write16(uint8_t *at, uint16_t value)
{
	value = htole16(value);
	memcpy(at, &value, sizeof(value));
}

static void write32(uint8_t *at, uint32_t value)
{
	value = htole32(value);
	memcpy(at, &value, sizeof(value));
}

static void write64(uint8_t *at, uint64_t value)
{
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
}

void zl_erofs_inode_patch(struct zl_erofs_image *image, const struct zl_erofs_inode *inode,
        const struct zl_erofs_inode *like)
{
	uint8_t *at = image->data + inode->at;

	write16(at + 4, (uint16_t)((inode->mode & ~07777) | (like->mode & 07777)));
	if (inode->extended) {
		write32(at + 24, like->uid);
		write32(at + 28, like->gid);
		write64(at + 32, like->mtime);
		write32(at + 40, like->mtime_ns);
	} else if (like->uid <= UINT16_MAX && like->gid <= UINT16_MAX) {
		write16(at + 24, (uint16_t)like->uid);
		write16(at + 26, (uint16_t)like->gid);
	}
}

// CRC-32C (Castagnoli), reflected, as lib/crc32c.c of Linux. A few KiB: no table needed.
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t length)
{
	while (length-- > 0) {
		crc ^= *bytes++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
	}
	return crc;
}

// fs/erofs/super.c, erofs_superblock_csum_verify: the superblock's block from behind the checksum
// on; the seed stands for the magic and a checksum of zero.
void zl_erofs_image_seal(struct zl_erofs_image *image)
{
	uint8_t *super = image->data + SUPER_AT;
	size_t length = image->block;

	if (!(read32(super + SUPER_COMPAT) & COMPAT_CHECKSUM))
		return;
	if (length > SUPER_AT)
		length -= SUPER_AT;
	length -= SUPER_CHECKSUM + 4;
	if (!inside(image, SUPER_AT + SUPER_CHECKSUM + 4, length))
		return;
	write32(super + SUPER_CHECKSUM,
	        crc32c(UINT32_C(0x5045B54A), super + SUPER_CHECKSUM + 4, length));
}
