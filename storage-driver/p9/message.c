// SPDX-License-Identifier: Apache-2.0
#include "storage-driver/p9/message.h"

#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"

enum kind { END, U8, U16, U32, U64, TEXT, QID, NAMES, QIDS, DATA, TIME };

// A field of a message's body: how it looks on the wire, and which member it is.
struct field {
	uint8_t kind;
	uint16_t member;
};

#define F(kind, member) {(kind), offsetof(struct zl_p9_message, member)}

enum { FIELDS_MAX = 20 };

static const struct layout {
	uint8_t type;
	struct field fields[FIELDS_MAX];
} layouts[] = {
        {ZL_P9_RLERROR, {F(U32, error)}},
        {ZL_P9_TSTATFS, {F(U32, fid)}},
        {ZL_P9_RSTATFS, {F(U32, fs_type), F(U32, fs_block_size), F(U64, fs_blocks), F(U64, fs_free),
                                F(U64, fs_available), F(U64, fs_files), F(U64, fs_files_free),
                                F(U64, fs_id), F(U32, fs_name_length)}},
        {ZL_P9_TLOPEN, {F(U32, fid), F(U32, flags)}},
        {ZL_P9_RLOPEN, {F(QID, qid), F(U32, io_unit)}},
        {ZL_P9_TLCREATE, {F(U32, fid), F(TEXT, name), F(U32, flags), F(U32, mode), F(U32, gid)}},
        {ZL_P9_RLCREATE, {F(QID, qid), F(U32, io_unit)}},
        {ZL_P9_TSYMLINK, {F(U32, fid), F(TEXT, name), F(TEXT, new_name), F(U32, gid)}},
        {ZL_P9_RSYMLINK, {F(QID, qid)}},
        {ZL_P9_TMKNOD, {F(U32, fid), F(TEXT, name), F(U32, mode), F(U32, major), F(U32, minor),
                               F(U32, gid)}},
        {ZL_P9_RMKNOD, {F(QID, qid)}},
        {ZL_P9_TRENAME, {F(U32, fid), F(U32, other_fid), F(TEXT, new_name)}},
        {ZL_P9_RRENAME, {{0}}},
        {ZL_P9_TREADLINK, {F(U32, fid)}},
        {ZL_P9_RREADLINK, {F(TEXT, new_name)}},
        {ZL_P9_TGETATTR, {F(U32, fid), F(U64, mask)}},
        {ZL_P9_RGETATTR,
                {F(U64, mask), F(QID, qid), F(U32, mode), F(U32, uid), F(U32, gid), F(U64, links),
                        F(U64, device), F(U64, size), F(U64, block_size), F(U64, blocks),
                        F(TIME, access_time), F(TIME, modify_time), F(TIME, change_time),
                        F(TIME, birth_time), F(U64, generation), F(U64, data_version)}},
        {ZL_P9_TSETATTR, {F(U32, fid), F(U32, valid), F(U32, mode), F(U32, uid), F(U32, gid),
                                 F(U64, size), F(TIME, access_time), F(TIME, modify_time)}},
        {ZL_P9_RSETATTR, {{0}}},
        {ZL_P9_TXATTRWALK, {F(U32, fid), F(U32, other_fid), F(TEXT, name)}},
        {ZL_P9_RXATTRWALK, {F(U64, size)}},
        {ZL_P9_TXATTRCREATE, {F(U32, fid), F(TEXT, name), F(U64, size), F(U32, flags)}},
        {ZL_P9_RXATTRCREATE, {{0}}},
        {ZL_P9_TREADDIR, {F(U32, fid), F(U64, offset), F(U32, count)}},
        {ZL_P9_RREADDIR, {F(DATA, data)}},
        {ZL_P9_TFSYNC, {F(U32, fid), F(U32, flags)}},
        {ZL_P9_RFSYNC, {{0}}},
        {ZL_P9_TLOCK, {F(U32, fid), F(U8, lock_type), F(U32, flags), F(U64, lock_start),
                              F(U64, lock_length), F(U32, lock_owner), F(TEXT, user)}},
        {ZL_P9_RLOCK, {F(U8, lock_status)}},
        {ZL_P9_TGETLOCK, {F(U32, fid), F(U8, lock_type), F(U64, lock_start), F(U64, lock_length),
                                 F(U32, lock_owner), F(TEXT, user)}},
        {ZL_P9_RGETLOCK, {F(U8, lock_type), F(U64, lock_start), F(U64, lock_length),
                                 F(U32, lock_owner), F(TEXT, user)}},
        {ZL_P9_TLINK, {F(U32, fid), F(U32, other_fid), F(TEXT, name)}},
        {ZL_P9_RLINK, {{0}}},
        {ZL_P9_TMKDIR, {F(U32, fid), F(TEXT, name), F(U32, mode), F(U32, gid)}},
        {ZL_P9_RMKDIR, {F(QID, qid)}},
        {ZL_P9_TRENAMEAT, {F(U32, fid), F(TEXT, name), F(U32, other_fid), F(TEXT, new_name)}},
        {ZL_P9_RRENAMEAT, {{0}}},
        {ZL_P9_TUNLINKAT, {F(U32, fid), F(TEXT, name), F(U32, flags)}},
        {ZL_P9_RUNLINKAT, {{0}}},
        {ZL_P9_TVERSION, {F(U32, msize), F(TEXT, name)}},
        {ZL_P9_RVERSION, {F(U32, msize), F(TEXT, name)}},
        {ZL_P9_TAUTH, {F(U32, fid), F(TEXT, user), F(TEXT, name), F(U32, uid)}},
        {ZL_P9_RAUTH, {F(QID, qid)}},
        {ZL_P9_TATTACH,
                {F(U32, fid), F(U32, other_fid), F(TEXT, user), F(TEXT, name), F(U32, uid)}},
        {ZL_P9_RATTACH, {F(QID, qid)}},
        {ZL_P9_TFLUSH, {F(U16, old_tag)}},
        {ZL_P9_RFLUSH, {{0}}},
        {ZL_P9_TWALK, {F(U32, fid), F(U32, other_fid), F(NAMES, names)}},
        {ZL_P9_RWALK, {F(QIDS, qids)}},
        {ZL_P9_TREAD, {F(U32, fid), F(U64, offset), F(U32, count)}},
        {ZL_P9_RREAD, {F(DATA, data)}},
        {ZL_P9_TWRITE, {F(U32, fid), F(U64, offset), F(DATA, data)}},
        {ZL_P9_RWRITE, {F(U32, count)}},
        {ZL_P9_TCLUNK, {F(U32, fid)}},
        {ZL_P9_RCLUNK, {{0}}},
        {ZL_P9_TREMOVE, {F(U32, fid)}},
        {ZL_P9_RREMOVE, {{0}}},
};

static const struct layout *find_layout(uint8_t type)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(layouts); i++) {
		if (layouts[i].type == type)
			return &layouts[i];
	}
	return NULL;
}

int zl_p9_is_request(uint8_t type)
{
	return (type & 1) == 0 && find_layout(type) != NULL;
}

// ---- decoding

struct reader {
	const uint8_t *at;
	size_t left;
	bool bad;
};

// Little-endian, of 1 to 8 bytes.
static uint64_t take_number(struct reader *in, size_t width)
{
	uint64_t value = 0;

	if (in->left < width) {
		in->bad = true;
		return 0;
	}
	for (size_t i = 0; i < width; i++)
		value |= (uint64_t)in->at[i] << (8 * i);
	in->at += width;
	in->left -= width;
	return value;
}

static const uint8_t *take_bytes(struct reader *in, size_t length)
{
	const uint8_t *bytes = in->at;

	if (in->left < length) {
		in->bad = true;
		return NULL;
	}
	in->at += length;
	in->left -= length;
	return bytes;
}

static void take_text(struct reader *in, struct zl_p9_text *text)
{
	uint16_t length = (uint16_t)take_number(in, 2);
	const uint8_t *bytes = take_bytes(in, length);

	if (in->bad)
		return;
	if (memchr(bytes, 0, length) != NULL)
		in->bad = true;
	text->bytes = (const char *)bytes;
	text->length = length;
}

static void take_qid(struct reader *in, struct zl_p9_qid *qid)
{
	qid->type = (uint8_t)take_number(in, 1);
	qid->version = (uint32_t)take_number(in, 4);
	qid->path = take_number(in, 8);
}

static void take_names(struct reader *in, struct zl_p9_message *out)
{
	out->name_count = (uint16_t)take_number(in, 2);
	if (out->name_count > ZL_P9_NAMES_MAX) {
		out->name_count = 0;
		in->bad = true;
	}
	for (size_t i = 0; i < out->name_count && !in->bad; i++)
		take_text(in, &out->names[i]);
}

static void take_qids(struct reader *in, struct zl_p9_message *out)
{
	out->qid_count = (uint16_t)take_number(in, 2);
	if (out->qid_count > ZL_P9_NAMES_MAX) {
		out->qid_count = 0;
		in->bad = true;
	}
	for (size_t i = 0; i < out->qid_count && !in->bad; i++)
		take_qid(in, &out->qids[i]);
}

static void take_field(struct reader *in, const struct field *field, struct zl_p9_message *out)
{
	void *member = (uint8_t *)out + field->member;
	struct zl_p9_time *time = member;

	switch (field->kind) {
	case U8:
		*(uint8_t *)member = (uint8_t)take_number(in, 1);
		break;
	case U16:
		*(uint16_t *)member = (uint16_t)take_number(in, 2);
		break;
	case U32:
		*(uint32_t *)member = (uint32_t)take_number(in, 4);
		break;
	case U64:
		*(uint64_t *)member = take_number(in, 8);
		break;
	case TEXT:
		take_text(in, member);
		break;
	case QID:
		take_qid(in, member);
		break;
	case NAMES:
		take_names(in, out);
		break;
	case QIDS:
		take_qids(in, out);
		break;
	case DATA:
		out->data_length = (uint32_t)take_number(in, 4);
		out->data = take_bytes(in, out->data_length);
		break;
	default: // TIME
		time->seconds = take_number(in, 8);
		time->nanoseconds = take_number(in, 8);
		break;
	}
}

uint32_t zl_p9_size(const uint8_t header[static 4])
{
	struct reader in = {.at = header, .left = 4};

	return (uint32_t)take_number(&in, 4);
}

int zl_p9_decode(const uint8_t *bytes, size_t length, struct zl_p9_message *out)
{
	struct reader in = {.at = bytes, .left = length};
	const struct layout *layout;
	uint32_t size = (uint32_t)take_number(&in, 4);

	memset(out, 0, sizeof(*out));
	out->type = (uint8_t)take_number(&in, 1);
	out->tag = (uint16_t)take_number(&in, 2);
	layout = find_layout(out->type);
	if (in.bad || size != length || layout == NULL)
		return -1;
	for (size_t i = 0; i < FIELDS_MAX && layout->fields[i].kind != END && !in.bad; i++)
		take_field(&in, &layout->fields[i], out);
	return in.bad || in.left != 0 ? -1 : 0;
}

// ---- encoding

struct writer {
	uint8_t *at;
	size_t left;
	bool full;
};

static void put_number(struct writer *out, uint64_t value, size_t width)
{
	if (out->full || out->left < width) {
		out->full = true;
		return;
	}
	for (size_t i = 0; i < width; i++)
		out->at[i] = (uint8_t)(value >> (8 * i));
	out->at += width;
	out->left -= width;
}

static void put_bytes(struct writer *out, const void *bytes, size_t length)
{
	if (out->full || out->left < length) {
		out->full = true;
		return;
	}
	if (length > 0 && bytes != out->at)
		memmove(out->at, bytes, length);
	out->at += length;
	out->left -= length;
}

static void put_text(struct writer *out, const struct zl_p9_text *text)
{
	put_number(out, text->length, 2);
	put_bytes(out, text->bytes, text->length);
}

static void put_qid(struct writer *out, const struct zl_p9_qid *qid)
{
	put_number(out, qid->type, 1);
	put_number(out, qid->version, 4);
	put_number(out, qid->path, 8);
}

static void put_list(struct writer *out, const struct zl_p9_message *message, bool names)
{
	uint16_t count = names ? message->name_count : message->qid_count;

	if (count > ZL_P9_NAMES_MAX) {
		out->full = true;
		return;
	}
	put_number(out, count, 2);
	for (size_t i = 0; i < count; i++) {
		if (names)
			put_text(out, &message->names[i]);
		else
			put_qid(out, &message->qids[i]);
	}
}

static void put_field(
        struct writer *out, const struct field *field, const struct zl_p9_message *message)
{
	const void *member = (const uint8_t *)message + field->member;
	const struct zl_p9_time *time = member;

	switch (field->kind) {
	case U8:
		put_number(out, *(const uint8_t *)member, 1);
		break;
	case U16:
		put_number(out, *(const uint16_t *)member, 2);
		break;
	case U32:
		put_number(out, *(const uint32_t *)member, 4);
		break;
	case U64:
		put_number(out, *(const uint64_t *)member, 8);
		break;
	case TEXT:
		put_text(out, member);
		break;
	case QID:
		put_qid(out, member);
		break;
	case NAMES:
	case QIDS:
		put_list(out, message, field->kind == NAMES);
		break;
	case DATA:
		put_number(out, message->data_length, 4);
		put_bytes(out, message->data, message->data_length);
		break;
	default: // TIME
		put_number(out, time->seconds, 8);
		put_number(out, time->nanoseconds, 8);
		break;
	}
}

size_t zl_p9_encode(const struct zl_p9_message *message, uint8_t *bytes, size_t limit)
{
	const struct layout *layout = find_layout(message->type);
	struct writer out = {.at = bytes, .left = limit};
	struct writer head = {.at = bytes, .left = 4};
	size_t length;

	if (layout == NULL)
		return 0;
	put_number(&out, 0, 4);
	put_number(&out, message->type, 1);
	put_number(&out, message->tag, 2);
	for (size_t i = 0; i < FIELDS_MAX && layout->fields[i].kind != END; i++)
		put_field(&out, &layout->fields[i], message);
	if (out.full)
		return 0;
	length = (size_t)(out.at - bytes);
	put_number(&head, length, 4);
	return length;
}

size_t zl_p9_encode_entry(uint8_t *bytes, size_t room, const struct zl_p9_qid *qid, uint64_t offset,
        uint8_t type, const char *name)
{
	struct writer out = {.at = bytes, .left = room};
	struct zl_p9_text text = {.bytes = name, .length = (uint16_t)strlen(name)};

	put_qid(&out, qid);
	put_number(&out, offset, 8);
	put_number(&out, type, 1);
	put_text(&out, &text);
	return out.full ? 0 : (size_t)(out.at - bytes);
}
