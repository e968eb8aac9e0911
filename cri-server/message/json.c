// SPDX-License-Identifier: Apache-2.0
#include "cri-server/message/json.h"

#include <stdbool.h>
#include <string.h>

// A member as it lies in memory. NULL: it has its default value.
static json_t *number(const ProtobufCFieldDescriptor *field, const void *member)
{
	int64_t signed_64;
	uint64_t unsigned_64;
	int32_t signed_32;
	uint32_t unsigned_32;
	double real;
	float small;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		memcpy(&signed_64, member, sizeof(signed_64));
		return signed_64 != 0 ? json_integer(signed_64) : NULL;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		memcpy(&unsigned_64, member, sizeof(unsigned_64));
		return unsigned_64 != 0 ? json_integer((json_int_t)unsigned_64) : NULL;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		memcpy(&signed_32, member, sizeof(signed_32));
		return signed_32 != 0 ? json_integer(signed_32) : NULL;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		memcpy(&unsigned_32, member, sizeof(unsigned_32));
		return unsigned_32 != 0 ? json_integer(unsigned_32) : NULL;
	case PROTOBUF_C_TYPE_DOUBLE:
		memcpy(&real, member, sizeof(real));
		return real != 0 ? json_real(real) : NULL;
	case PROTOBUF_C_TYPE_FLOAT:
		memcpy(&small, member, sizeof(small));
		return small != 0 ? json_real((double)small) : NULL;
	default:
		return NULL;
	}
}

static json_t *enumeration(const ProtobufCFieldDescriptor *field, const void *member)
{
	const ProtobufCEnumValue *value;
	int number;

	memcpy(&number, member, sizeof(number));
	if (number == 0)
		return NULL;
	value = protobuf_c_enum_descriptor_get_value(field->descriptor, number);
	return value != NULL ? json_string(value->name) : json_integer(number);
}

// The value of an environment variable, which is text as a rule.
static json_t *bytes_as_text(const ProtobufCBinaryData *bytes)
{
	json_t *text;

	if (bytes->len == 0)
		return NULL;
	text = json_stringn((const char *)bytes->data, bytes->len);
	return text != NULL ? text : json_string("(not UTF-8)");
}

static json_t *value_of(const ProtobufCFieldDescriptor *field, const void *member)
{
	ProtobufCBinaryData bytes;
	const void *pointer;
	protobuf_c_boolean flag;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		memcpy(&pointer, member, sizeof(pointer));
		return pointer != NULL && *(const char *)pointer != '\0' ? json_string(pointer)
		                                                         : NULL;
	case PROTOBUF_C_TYPE_MESSAGE:
		memcpy(&pointer, member, sizeof(pointer));
		return zl_message_json(pointer);
	case PROTOBUF_C_TYPE_BOOL:
		memcpy(&flag, member, sizeof(flag));
		return flag ? json_true() : NULL;
	case PROTOBUF_C_TYPE_ENUM:
		return enumeration(field, member);
	case PROTOBUF_C_TYPE_BYTES:
		memcpy(&bytes, member, sizeof(bytes));
		return bytes_as_text(&bytes);
	default:
		return number(field, member);
	}
}

static size_t size_of(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(int64_t);
	default:
		return sizeof(int32_t);
	}
}

// protoc makes a message with fields key and value for each map.
static bool is_map(const ProtobufCFieldDescriptor *field)
{
	const ProtobufCMessageDescriptor *entry = field->descriptor;

	return field->type == PROTOBUF_C_TYPE_MESSAGE && entry->n_fields == 2 &&
	       strcmp(entry->fields[0].name, "key") == 0 &&
	       strcmp(entry->fields[1].name, "value") == 0 &&
	       entry->fields[0].type == PROTOBUF_C_TYPE_STRING &&
	       entry->fields[1].type == PROTOBUF_C_TYPE_STRING;
}

static void add_entry(json_t *map, const ProtobufCMessage *entry)
{
	const ProtobufCMessageDescriptor *type = entry->descriptor;
	const char *key;
	const char *value;

	memcpy(&key, (const char *)entry + type->fields[0].offset, sizeof(key));
	memcpy(&value, (const char *)entry + type->fields[1].offset, sizeof(value));
	json_object_set_new(map, key, json_string(value));
}

static json_t *repeated(const ProtobufCFieldDescriptor *field, const char *message)
{
	bool map = is_map(field);
	json_t *list;
	size_t count;
	const char *members;

	memcpy(&count, message + field->quantifier_offset, sizeof(count));
	memcpy(&members, message + field->offset, sizeof(members));
	if (count == 0)
		return NULL;
	list = map ? json_object() : json_array();
	for (size_t i = 0; i < count; i++) {
		const char *member = members + i * size_of(field->type);
		json_t *value;

		if (map) {
			const void *entry;

			memcpy(&entry, member, sizeof(void *));
			add_entry(list, entry);
			continue;
		}
		value = value_of(field, member);
		if (value == NULL) // the default, which is left out elsewhere
			value = field->type == PROTOBUF_C_TYPE_STRING ? json_string("")
			                                              : json_integer(0);
		json_array_append_new(list, value);
	}
	return list;
}

json_t *zl_message_json(const ProtobufCMessage *message)
{
	json_t *object;

	if (message == NULL)
		return NULL;
	object = json_object();
	for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const char *base = (const char *)message;
		json_t *value = field->label == PROTOBUF_C_LABEL_REPEATED
		                        ? repeated(field, base)
		                        : value_of(field, base + field->offset);

		if (value != NULL)
			json_object_set_new(object, field->name, value);
	}
	return object;
}
