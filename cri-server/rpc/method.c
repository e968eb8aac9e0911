// SPDX-License-Identifier: Apache-2.0
#include "cri-server/rpc/method.h"

#include <string.h>

#include "base/strv.h"

static const struct zl_rpc_method *find_entry(
        const struct zl_rpc_service *service, const char *name)
{
	for (size_t i = 0; i < service->method_count; i++) {
		if (strcmp(service->methods[i].name, name) == 0)
			return &service->methods[i];
	}
	return NULL;
}

// A table may not name what the service does not have: a typing error would otherwise answer
// UNIMPLEMENTED.
static int check_names(const struct zl_rpc_service *service, struct zl_error *err)
{
	for (size_t i = 0; i < service->method_count; i++) {
		const char *name = service->methods[i].name;

		if (protobuf_c_service_descriptor_get_method_by_name(service->descriptor, name) ==
		        NULL)
			return zl_error_set(err, ZL_INVALID_ARGUMENT, "%s has no method %s",
			        service->descriptor->name, name);
	}
	return 0;
}

static int add_service(
        struct zl_method_table *table, const struct zl_rpc_service *service, struct zl_error *err)
{
	const ProtobufCServiceDescriptor *descriptor = service->descriptor;

	if (check_names(service, err) < 0)
		return -1;
	for (unsigned i = 0; i < descriptor->n_methods; i++) {
		const ProtobufCMethodDescriptor *from = &descriptor->methods[i];
		const struct zl_rpc_method *entry = find_entry(service, from->name);
		struct zl_method *method = &table->methods[table->count];

		method->path = zl_format(err, "/%s/%s", descriptor->name, from->name);
		if (method->path == NULL)
			return -1;
		table->count++;
		method->name = from->name;
		method->request = from->input;
		method->response = from->output;
		method->service = service->service;
		if (entry == NULL)
			continue;
		method->handler = entry->handler;
		method->why = entry->why;
		method->stream = entry->stream;
		method->slow = entry->slow || entry->stream;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct zl_method *left = a;
	const struct zl_method *right = b;

	return strcmp(left->path, right->path);
}

int zl_method_table_init(struct zl_method_table *table, const struct zl_rpc_service *services,
        size_t count, struct zl_error *err)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += services[i].descriptor->n_methods;
	table->count = 0;
	table->methods = calloc(total + 1, sizeof(*table->methods));
	if (table->methods == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < count; i++) {
		if (add_service(table, &services[i], err) < 0) {
			zl_method_table_release(table);
			return -1;
		}
	}
	qsort(table->methods, table->count, sizeof(*table->methods), compare);
	return 0;
}

void zl_method_table_release(struct zl_method_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->methods[i].path);
	free(table->methods);
	*table = (struct zl_method_table){0};
}

const struct zl_method *zl_method_find(
        const struct zl_method_table *table, const void *path, size_t length)
{
	size_t low = 0;
	size_t high = table->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct zl_method *method = &table->methods[middle];
		size_t own_length = strlen(method->path);
		int order = memcmp(path, method->path, length < own_length ? length : own_length);

		if (order == 0 && length == own_length)
			return method;
		if (order < 0 || (order == 0 && length < own_length))
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}
