// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/puller/tar_filter.h"

#include <stdio.h>
#include <string.h>

#include "storage-driver/printable.h"
#include "storage-driver/puller/implied.h"

enum { SET_FIRST_CAPACITY = 1024 };

static const char WHITEOUT[] = ".wh.";
static const char AUFS_OWN[] = ".wh..wh.";
static const char OPAQUE[] = ".wh..wh..opq";

void zl_tar_filter_init(
        struct zl_tar_filter *filter, uint64_t max_bytes, zl_byte_sink *sink, void *user)
{
	*filter = (struct zl_tar_filter){.max_bytes = max_bytes, .sink = sink, .user = user};
}

static void clear_extension(struct zl_tar_filter *filter)
{
	free(filter->extension.path);
	free(filter->extension.link);
	filter->extension = (struct zl_tar_extension){.path = NULL};
	filter->held.length = 0;
}

void zl_tar_filter_release(struct zl_tar_filter *filter)
{
	clear_extension(filter);
	zl_buffer_release(&filter->meta);
	zl_buffer_release(&filter->held);
	free(filter->files.table);
	free(filter->dirs.table);
	filter->files.table = NULL;
	filter->dirs.table = NULL;
}

// ---- names

static uint64_t hash_name(const char *name, size_t length)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
	return hash != 0 ? hash : 1;
}

static uint64_t *find_slot(uint64_t *table, size_t capacity, uint64_t hash)
{
	size_t at = (size_t)(hash ^ hash >> 32) & (capacity - 1);

	while (table[at] != 0 && table[at] != hash)
		at = (at + 1) & (capacity - 1);
	return &table[at];
}

static int grow_set(struct zl_name_set *set, struct zl_error *err)
{
	size_t capacity = set->capacity > 0 ? set->capacity * 2 : SET_FIRST_CAPACITY;
	uint64_t *table = calloc(capacity, sizeof(*table));

	if (table == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < set->capacity; i++) {
		if (set->table[i] != 0)
			*find_slot(table, capacity, set->table[i]) = set->table[i];
	}
	free(set->table);
	set->table = table;
	set->capacity = capacity;
	return 0;
}

static int remember(struct zl_name_set *set, const char *name, size_t length, struct zl_error *err)
{
	uint64_t hash = hash_name(name, length);
	uint64_t *slot;

	if (set->count * 2 >= set->capacity && grow_set(set, err) < 0)
		return -1;
	slot = find_slot(set->table, set->capacity, hash);
	if (*slot == 0)
		set->count++;
	*slot = hash;
	return 0;
}

static bool was_seen(const struct zl_name_set *set, const char *name, size_t length)
{
	return set->capacity > 0 &&
	       *find_slot(set->table, set->capacity, hash_name(name, length)) != 0;
}

// ---- directories that nobody brought

static int count_entry(struct zl_tar_filter *filter, uint64_t size, struct zl_error *err)
{
	if (++filter->entries > ZL_TAR_ENTRIES_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "more than %d entries in one layer",
		        ZL_TAR_ENTRIES_MAX);
	if (size > filter->max_bytes - filter->data_bytes)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "%llu bytes: the layer would be larger than the %llu bytes allowed "
		        "(images.max_layer)",
		        (unsigned long long)size, (unsigned long long)filter->max_bytes);
	filter->data_bytes += size;
	return 0;
}

// One header block with its checksum. `name` is at most 100 bytes.
static void make_header(uint8_t block[static ZL_TAR_BLOCK], const char *name, char type,
        size_t size, unsigned int mode)
{
	struct {
		char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type,
		        link[100], magic[6], version[2], rest[247];
	} header;

	_Static_assert(sizeof(header) == ZL_TAR_BLOCK, "a tar header has 512 bytes");
	memset(&header, 0, sizeof(header));
	(void)snprintf(header.name, sizeof(header.name), "%s", name);
	(void)snprintf(header.mode, sizeof(header.mode), "%07o", mode & 07777);
	(void)snprintf(header.uid, sizeof(header.uid), "%07o", 0);
	(void)snprintf(header.gid, sizeof(header.gid), "%07o", 0);
	(void)snprintf(header.size, sizeof(header.size), "%011zo", size);
	(void)snprintf(header.mtime, sizeof(header.mtime), "%011o", 0);
	header.type = type;
	memcpy(header.magic, "ustar", sizeof(header.magic));
	memcpy(header.version, "00", sizeof(header.version));
	memcpy(block, &header, sizeof(header));
	zl_tar_header_seal(block);
}

static size_t digits_of(size_t number)
{
	return number < 10 ? 1 : 1 + digits_of(number / 10);
}

// The length of a pax record counts its own digits.
static int append_record(struct zl_buffer *to, const char *key, const char *value, size_t length,
        struct zl_error *err)
{
	size_t rest = strlen(key) + length + strlen(" =\n");
	size_t total = rest + digits_of(rest + digits_of(rest));

	return zl_buffer_printf(to, err, "%zu %s=%.*s\n", total, key, (int)length, value);
}

// A marked directory: a pax header with name and time, then its own header.
static int add_directory(
        struct zl_tar_filter *filter, const char *name, size_t length, struct zl_error *err)
{
	zl_auto(buffer) struct zl_buffer records = ZL_BUFFER_INIT;
	uint8_t block[ZL_TAR_BLOCK];
	char mark[32];
	size_t size;

	if (count_entry(filter, 0, err) < 0)
		return -1;
	(void)snprintf(mark, sizeof(mark), "0.%09d", ZL_IMPLIED_NS);
	if (append_record(
	            &records, "path", length > 0 ? name : "./", length > 0 ? length : 2, err) < 0 ||
	        append_record(&records, "mtime", mark, strlen(mark), err) < 0)
		return -1;
	size = records.length;
	if (zl_buffer_reserve(&records, ZL_TAR_BLOCK, err) == NULL)
		return -1;
	memset(records.data + size, 0, ZL_TAR_BLOCK - 1);
	make_header(block, "implied", 'x', size, 0644);
	if (filter->sink(filter->user, block, ZL_TAR_BLOCK, err) < 0 ||
	        filter->sink(filter->user, records.data,
	                (size + ZL_TAR_BLOCK - 1) / ZL_TAR_BLOCK * ZL_TAR_BLOCK, err) < 0)
		return -1;
	make_header(block, "implied", '5', 0, ZL_IMPLIED_MODE);
	if (filter->sink(filter->user, block, ZL_TAR_BLOCK, err) < 0)
		return -1;
	return remember(&filter->dirs, name, length, err);
}

// Adds the directories on the way to the entry (with the root first) that are not there yet.
static int add_parents(struct zl_tar_filter *filter, const char *name, struct zl_error *err)
{
	if (name[0] == '\0')
		return 0;
	if (!was_seen(&filter->dirs, "", 0) && add_directory(filter, "", 0, err) < 0)
		return -1;
	for (const char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - name);

		if (was_seen(&filter->dirs, name, length))
			continue;
		if (was_seen(&filter->files, name, length))
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "it lies in what the same layer made a file or link, not a "
			        "directory");
		if (add_directory(filter, name, length, err) < 0)
			return -1;
	}
	return 0;
}

// ---- extended headers

static bool key_is(const struct zl_pax_record *record, const char *key)
{
	return record->key_length == strlen(key) &&
	       memcmp(record->key, key, record->key_length) == 0;
}

static bool key_begins(const struct zl_pax_record *record, const char *prefix)
{
	size_t length = strlen(prefix);

	return record->key_length >= length && memcmp(record->key, prefix, length) == 0;
}

static int take_name(char **to, const char *text, size_t length, struct zl_error *err)
{
	if (memchr(text, '\0', length) != NULL)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "a name with a zero byte in it");
	free(*to);
	*to = strndup(text, length);
	return *to == NULL ? zl_error_nomem(err) : 0;
}

static int take_size(
        struct zl_tar_extension *to, const struct zl_pax_record *record, struct zl_error *err)
{
	uint64_t value = 0;

	for (size_t i = 0; i < record->value_length; i++) {
		char digit = record->value[i];

		if (digit < '0' || digit > '9' || value > (uint64_t)INT64_MAX / 10 - 1)
			return zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "an absurd size in a pax header");
		value = value * 10 + (uint64_t)(digit - '0');
	}
	to->size = value;
	to->has_size = record->value_length > 0;
	return 0;
}

static int take_record(
        struct zl_tar_extension *to, const struct zl_pax_record *record, struct zl_error *err)
{
	if (key_is(record, "path"))
		return take_name(&to->path, record->value, record->value_length, err);
	if (key_is(record, "linkpath"))
		return take_name(&to->link, record->value, record->value_length, err);
	if (key_is(record, "size"))
		return take_size(to, record, err);
	if (key_begins(record, "GNU.sparse."))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a sparse file; pack the layer without sparse files");
	if (key_begins(record, "SCHILY.xattr.trusted.overlay.") ||
	        key_begins(record, "SCHILY.xattr.user.overlay.") ||
	        key_begins(record, "LIBARCHIVE.xattr.trusted.overlay."))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "an extended attribute of overlayfs, which could reach into other layers");
	return 0;
}

static int take_pax(struct zl_tar_filter *filter, struct zl_error *err)
{
	const char *text = zl_buffer_string(&filter->meta);
	struct zl_pax_record record;
	size_t offset = 0;
	int found;

	while ((found = zl_pax_next(text, filter->meta.length, &offset, &record, err)) > 0) {
		if (take_record(&filter->extension, &record, err) < 0)
			return -1;
	}
	return found;
}

// A global header is dropped: all that it could change for us is where names and sizes come from.
static int check_global(struct zl_tar_filter *filter, struct zl_error *err)
{
	struct zl_tar_extension kept = filter->extension;
	struct zl_tar_extension global = {.path = NULL};
	bool changes;
	int result;

	filter->extension = global;
	result = take_pax(filter, err);
	global = filter->extension;
	filter->extension = kept;
	changes = global.path != NULL || global.link != NULL || global.has_size;
	free(global.path);
	free(global.link);
	if (result == 0 && changes)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "a global pax header that renames entries");
	return result;
}

static int finish_meta(struct zl_tar_filter *filter, struct zl_error *err)
{
	size_t length = strnlen(zl_buffer_string(&filter->meta), filter->meta.length);
	const char *text = zl_buffer_string(&filter->meta);

	switch (filter->meta_type) {
	case 'x':
		return take_pax(filter, err);
	case 'g':
		return check_global(filter, err);
	case 'L':
		// pax's name wins over GNU's, as in mkfs.erofs.
		return filter->extension.path != NULL
		               ? 0
		               : take_name(&filter->extension.path, text, length, err);
	default:
		return filter->extension.link != NULL
		               ? 0
		               : take_name(&filter->extension.link, text, length, err);
	}
}

static int start_meta(
        struct zl_tar_filter *filter, const struct zl_tar_header *header, struct zl_error *err)
{
	if (header->size > ZL_TAR_META_MAX)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "an extended tar header of %llu bytes, at most 1 MiB allowed",
		        (unsigned long long)header->size);
	if (filter->held.length > 4 * (size_t)ZL_TAR_META_MAX)
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "too many extended tar headers for one entry");
	filter->state = ZL_TAR_META;
	filter->meta_type = header->type;
	filter->meta_size = header->size;
	filter->meta.length = 0;
	filter->left = (header->size + ZL_TAR_BLOCK - 1) / ZL_TAR_BLOCK * ZL_TAR_BLOCK;
	if (header->type == 'g')
		return 0;
	return zl_buffer_append(&filter->held, filter->block, ZL_TAR_BLOCK, err);
}

// ---- entries

// What the whole name says: 0 pass, 1 drop, -1.
static int judge_whiteout(const char *name, struct zl_error *err)
{
	const char *last = strrchr(name, '/');

	last = last != NULL ? last + 1 : name;
	for (const char *part = name; part < last; part = strchr(part, '/') + 1) {
		if (strncmp(part, AUFS_OWN, strlen(AUFS_OWN)) == 0)
			return 1;
		if (strncmp(part, WHITEOUT, strlen(WHITEOUT)) == 0)
			return zl_error_set(
			        err, ZL_INVALID_ARGUMENT, "a whiteout used as a directory");
	}
	if (strncmp(last, WHITEOUT, strlen(WHITEOUT)) != 0 || strcmp(last, OPAQUE) == 0)
		return 0;
	if (strncmp(last, AUFS_OWN, strlen(AUFS_OWN)) == 0)
		return 1;
	last += strlen(WHITEOUT);
	if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "a whiteout that hides nothing");
	return 0;
}

static int check_link(struct zl_tar_filter *filter, const char *target, struct zl_error *err)
{
	char name[PATH_MAX];
	char shown[ZL_PRINTABLE_SIZE];

	if (zl_tar_name_normalise(target, name, err) < 0)
		return zl_error_wrap(
		        err, "hard link to '%s'", zl_printable(target, shown, sizeof(shown)));
	if (was_seen(&filter->files, name, strlen(name)))
		return 0;
	return zl_error_set(err, ZL_INVALID_ARGUMENT,
	        "hard link to '%s', which this layer does not have before it",
	        zl_printable(target, shown, sizeof(shown)));
}

// What mkfs.erofs and we know to be a file system object.
static bool type_known(char type)
{
	return type >= '0' && type <= '6';
}

// Checks an entry whose name and size are known. 0 pass, 1 drop, -1.
static int judge_entry(struct zl_tar_filter *filter, const struct zl_tar_header *header,
        const char *raw_name, const char *link, uint64_t size, struct zl_error *err)
{
	char name[PATH_MAX];
	int verdict;

	if (zl_tar_name_normalise(raw_name, name, err) < 0)
		return -1;
	if (name[0] == '\0' && header->type != '5')
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "the root must be a directory");
	verdict = judge_whiteout(name, err);
	if (verdict != 0)
		return verdict;
	if (!type_known(header->type))
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "an entry of unknown type '%c' (sparse, multi-volume or vendor-specific)",
		        header->type >= ' ' && header->type < 0x7f ? header->type : '?');
	if ((header->type == '1' || header->type == '2') &&
	        (link[0] == '\0' || strlen(link) >= PATH_MAX))
		return zl_error_set(
		        err, ZL_INVALID_ARGUMENT, "a link without a target or with one too long");
	if (header->type == '1' && check_link(filter, link, err) < 0)
		return -1;
	if (count_entry(filter, size, err) < 0 || add_parents(filter, name, err) < 0)
		return -1;
	return remember(
	        header->type == '5' ? &filter->dirs : &filter->files, name, strlen(name), err);
}

static int emit_headers(struct zl_tar_filter *filter, struct zl_error *err)
{
	if (filter->held.length > 0 &&
	        filter->sink(filter->user, filter->held.data, filter->held.length, err) < 0)
		return -1;
	return filter->sink(filter->user, filter->block, ZL_TAR_BLOCK, err);
}

// Only regular files have data; a size on anything else is cleared, as all readers ignore it.
static int settle_size(struct zl_tar_filter *filter, const struct zl_tar_header *header,
        uint64_t *ret_size, struct zl_error *err)
{
	const struct zl_tar_extension *extension = &filter->extension;

	*ret_size = extension->has_size ? extension->size : header->size;
	if (header->type == '0' || !type_known(header->type))
		return 0;
	if (extension->has_size && extension->size > 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT, "a size on what is no regular file");
	if (header->size > 0)
		zl_tar_header_clear_size(filter->block);
	*ret_size = 0;
	return 0;
}

static int start_entry(
        struct zl_tar_filter *filter, const struct zl_tar_header *header, struct zl_error *err)
{
	const struct zl_tar_extension *extension = &filter->extension;
	const char *name = extension->path != NULL ? extension->path : header->name;
	const char *link = extension->link != NULL ? extension->link : header->link;
	char shown[ZL_PRINTABLE_SIZE];
	uint64_t size = 0;
	int verdict;

	verdict = settle_size(filter, header, &size, err);
	if (verdict == 0)
		verdict = judge_entry(filter, header, name, link, size, err);
	if (verdict < 0)
		return zl_error_wrap(err, "entry '%s'", zl_printable(name, shown, sizeof(shown)));
	filter->dropping = verdict > 0;
	if (!filter->dropping && emit_headers(filter, err) < 0)
		return -1;
	clear_extension(filter);
	filter->left = (size + ZL_TAR_BLOCK - 1) / ZL_TAR_BLOCK * ZL_TAR_BLOCK;
	filter->padding = filter->left - size;
	filter->state = filter->left > 0 ? ZL_TAR_DATA : ZL_TAR_HEADER;
	return 0;
}

static int take_header(struct zl_tar_filter *filter, struct zl_error *err)
{
	struct zl_tar_header header;

	filter->block_length = 0;
	if (zl_tar_block_is_zero(filter->block)) {
		if (filter->held.length > 0)
			return zl_error_set(err, ZL_INVALID_ARGUMENT,
			        "the archive ends after an extended tar header");
		filter->state = ZL_TAR_END;
		return 0;
	}
	if (zl_tar_header_parse(filter->block, &header, err) < 0)
		return zl_error_wrap(
		        err, "after %llu entries", (unsigned long long)filter->entries);
	if (header.type != '\0' && strchr("xgLK", header.type) != NULL) {
		if (start_meta(filter, &header, err) < 0)
			return -1;
		if (filter->left > 0)
			return 0;
		filter->state = ZL_TAR_HEADER;
		return finish_meta(filter, err);
	}
	return start_entry(filter, &header, err);
}

// ---- the stream: each consumes some of the bytes and says how many, or -1

static ssize_t gather_header(
        struct zl_tar_filter *filter, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	size_t missing = ZL_TAR_BLOCK - filter->block_length;
	size_t take = length < missing ? length : missing;

	memcpy(filter->block + filter->block_length, bytes, take);
	filter->block_length += take;
	if (filter->block_length == ZL_TAR_BLOCK && take_header(filter, err) < 0)
		return -1;
	return (ssize_t)take;
}

static ssize_t pass_data(
        struct zl_tar_filter *filter, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	size_t take = length < filter->left ? length : (size_t)filter->left;

	if (!filter->dropping && filter->sink(filter->user, bytes, take, err) < 0)
		return -1;
	filter->left -= take;
	if (filter->left == 0)
		filter->state = ZL_TAR_HEADER;
	return (ssize_t)take;
}

static ssize_t gather_meta(
        struct zl_tar_filter *filter, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	size_t take = length < filter->left ? length : (size_t)filter->left;

	if (zl_buffer_append(&filter->meta, bytes, take, err) < 0)
		return -1;
	filter->left -= take;
	if (filter->left > 0)
		return (ssize_t)take;
	if (filter->meta_type != 'g' &&
	        zl_buffer_append(&filter->held, filter->meta.data, filter->meta.length, err) < 0)
		return -1;
	// Without the padding.
	filter->meta.length = (size_t)filter->meta_size;
	filter->meta.data[filter->meta.length] = '\0';
	filter->state = ZL_TAR_HEADER;
	return finish_meta(filter, err) < 0 ? -1 : (ssize_t)take;
}

int zl_tar_filter_feed(
        struct zl_tar_filter *filter, const uint8_t *bytes, size_t length, struct zl_error *err)
{
	while (length > 0) {
		ssize_t taken = 0;

		switch (filter->state) {
		case ZL_TAR_HEADER:
			taken = gather_header(filter, bytes, length, err);
			break;
		case ZL_TAR_DATA:
			taken = pass_data(filter, bytes, length, err);
			break;
		case ZL_TAR_META:
			taken = gather_meta(filter, bytes, length, err);
			break;
		case ZL_TAR_END:
			// What follows the end is padding to every reader.
			return 0;
		}
		if (taken < 0)
			return -1;
		bytes += taken;
		length -= (size_t)taken;
	}
	return 0;
}

// Some writers (umoci among them) leave out what comes after the last entry's last byte: its
// padding and the two empty blocks. Go's reader, and so every runtime, takes that; so do we.
static int complete_padding(struct zl_tar_filter *filter, struct zl_error *err)
{
	static const uint8_t zeros[ZL_TAR_BLOCK];

	if (filter->state != ZL_TAR_DATA || filter->left > filter->padding)
		return 0;
	return zl_tar_filter_feed(filter, zeros, (size_t)filter->left, err);
}

int zl_tar_filter_end(struct zl_tar_filter *filter, struct zl_error *err)
{
	static const uint8_t end[2 * ZL_TAR_BLOCK];

	if (complete_padding(filter, err) < 0)
		return -1;
	if (filter->state == ZL_TAR_DATA || filter->state == ZL_TAR_META ||
	        filter->block_length > 0 || filter->held.length > 0)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "the tar archive ends inside an entry, after %llu entries",
		        (unsigned long long)filter->entries);
	return filter->sink(filter->user, end, sizeof(end), err);
}
