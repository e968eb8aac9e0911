// SPDX-License-Identifier: Apache-2.0
//
// Usage to CRI's messages, and metrics; what a zone says may be anything.
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cri-server/message/json.h"
#include "cri-server/message/message.h"
#include "cri-server/rpc/list.h"
#include "cri-server/stats/metrics.h"
#include "cri-server/stats/usage.h"

#define AT (INT64_C(1700000000) * ZL_NS_PER_SECOND)

static struct zl_arena arena;
static Zl__Zone__Usage usage;
static Zl__Zone__ContainerStats container;
static Zl__Zone__Stats stats;

static void setup(void)
{
	zl__zone__usage__init(&usage);
	zl__zone__container_stats__init(&container);
	zl__zone__stats__init(&stats);
	container.usage = &usage;
	stats.pod = &usage;
}

static void teardown(void)
{
	zl_arena_release(&arena);
}

START_TEST(cpu_rate)
{
	struct zl_cpu_sample sample = {.at_ns = 0};

	zl_cpu_sample_add(&sample, AT, 1000);
	ck_assert(!sample.has_rate);
	// Too soon: nothing is known yet.
	zl_cpu_sample_add(&sample, AT + 1, 2000);
	ck_assert(!sample.has_rate);
	ck_assert_uint_eq(sample.cpu_ns, 1000);
	// Half a cpu for two seconds.
	zl_cpu_sample_add(&sample, AT + 2 * ZL_NS_PER_SECOND, 1000 + ZL_NS_PER_SECOND);
	ck_assert(sample.has_rate);
	ck_assert_uint_eq(sample.nano_cores, ZL_NS_PER_SECOND / 2);
	// Too soon: the rate of before stays.
	zl_cpu_sample_add(&sample, AT + 2 * ZL_NS_PER_SECOND + 5, UINT64_C(5) * ZL_NS_PER_SECOND);
	ck_assert_uint_eq(sample.nano_cores, ZL_NS_PER_SECOND / 2);
	// A counter that goes back begins anew; one that leaps does not overflow.
	zl_cpu_sample_add(&sample, AT + 9 * ZL_NS_PER_SECOND, 1);
	ck_assert(!sample.has_rate);
	zl_cpu_sample_add(&sample, AT + 10 * ZL_NS_PER_SECOND, UINT64_MAX);
	ck_assert_uint_eq(sample.nano_cores, UINT64_MAX - 1);
}
END_TEST

START_TEST(memory_of_a_container)
{
	Runtime__V1__MemoryUsage *memory = zl_cri_memory(&arena, AT, &usage);

	// No controller: a time and nothing else.
	ck_assert_int_eq(memory->timestamp, AT);
	ck_assert_ptr_null(memory->usage_bytes);
	usage.has_memory = true;
	usage.memory_usage = 1000;
	usage.memory_inactive_file = 300;
	usage.memory_anon = 500;
	memory = zl_cri_memory(&arena, AT, &usage);
	ck_assert_uint_eq(memory->usage_bytes->value, 1000);
	ck_assert_uint_eq(memory->working_set_bytes->value, 700);
	ck_assert_uint_eq(memory->rss_bytes->value, 500);
	ck_assert_ptr_null(memory->available_bytes);
	usage.memory_limit = 900;
	memory = zl_cri_memory(&arena, AT, &usage);
	ck_assert_uint_eq(memory->available_bytes->value, 200);
	// More cache than memory cannot be, and does no harm.
	usage.memory_inactive_file = UINT64_MAX;
	memory = zl_cri_memory(&arena, AT, &usage);
	ck_assert_uint_eq(memory->working_set_bytes->value, 0);
}
END_TEST

START_TEST(memory_of_a_zone)
{
	struct zl_domain_info domain = {.memory_bytes = 1000};
	Runtime__V1__MemoryUsage *memory;

	stats.memory_free = 300;
	stats.memory_inactive_file = 100;
	memory = zl_cri_zone_memory(&arena, AT, &stats, &domain);
	ck_assert_uint_eq(memory->usage_bytes->value, 1000);
	ck_assert_uint_eq(memory->working_set_bytes->value, 600);
	ck_assert_uint_eq(memory->available_bytes->value, 400);
	stats.memory_free = UINT64_MAX;
	memory = zl_cri_zone_memory(&arena, AT, &stats, &domain);
	ck_assert_uint_eq(memory->working_set_bytes->value, 0);
	ck_assert_uint_eq(memory->available_bytes->value, 1000);
}
END_TEST

START_TEST(pressure)
{
	static Zl__Zone__Psi some = ZL__ZONE__PSI__INIT;
	static Zl__Zone__Pressure cpu = ZL__ZONE__PRESSURE__INIT;
	struct zl_cpu_sample sample = {.cpu_ns = 5};
	Runtime__V1__CpuUsage *out;

	ck_assert_ptr_null(zl_cri_io(&arena, AT, &usage));
	some.total_us = 3;
	some.avg10 = 125;
	cpu.some = &some;
	usage.cpu_pressure = &cpu;
	out = zl_cri_cpu(&arena, AT, &sample, &usage);
	ck_assert_uint_eq(out->usage_core_nano_seconds->value, 5);
	ck_assert_ptr_null(out->usage_nano_cores);
	ck_assert_uint_eq(out->psi->some->total, 3000);
	ck_assert_double_eq(out->psi->some->avg10, 1.25);
	ck_assert_uint_eq(out->psi->full->total, 0);
}
END_TEST

START_TEST(swap_and_layer)
{
	Runtime__V1__FilesystemUsage *layer;
	Runtime__V1__SwapUsage *swap;

	ck_assert_ptr_null(zl_cri_swap(&arena, AT, &usage));
	ck_assert_ptr_null(zl_cri_layer(&arena, AT, &container, "/x"));
	usage.has_swap = true;
	usage.swap_usage = 10;
	swap = zl_cri_swap(&arena, AT, &usage);
	ck_assert_ptr_null(swap->swap_available_bytes);
	usage.swap_limited = true;
	usage.swap_limit = 4;
	swap = zl_cri_swap(&arena, AT, &usage);
	ck_assert_uint_eq(swap->swap_available_bytes->value, 0);
	container.has_layer = true;
	container.layer_bytes = 7;
	container.layer_age_ms = 2;
	layer = zl_cri_layer(&arena, AT, &container, "/x");
	ck_assert_int_eq(layer->timestamp, AT - 2 * ZL_NS_PER_MS);
	ck_assert_uint_eq(layer->used_bytes->value, 7);
	ck_assert_str_eq(layer->fs_id->mountpoint, "/x");
	// An age before 1970 is a lie.
	container.layer_age_ms = UINT64_MAX;
	ck_assert_int_eq(zl_cri_layer(&arena, AT, &container, "/x")->timestamp, AT);
}
END_TEST

START_TEST(network)
{
	static Zl__Zone__InterfaceStats first = ZL__ZONE__INTERFACE_STATS__INIT;
	static Zl__Zone__InterfaceStats eth0 = ZL__ZONE__INTERFACE_STATS__INIT;
	static Zl__Zone__InterfaceStats *list[] = {&first, &eth0};
	Runtime__V1__NetworkUsage *out;

	ck_assert_ptr_null(zl_cri_network(&arena, AT, &stats));
	first.name = (char *)(uintptr_t)"net1";
	eth0.name = (char *)(uintptr_t)"eth0";
	eth0.rx_bytes = 9;
	stats.interfaces = list;
	stats.n_interfaces = 2;
	out = zl_cri_network(&arena, AT, &stats);
	ck_assert_str_eq(out->default_interface->name, "eth0");
	ck_assert_uint_eq(out->default_interface->rx_bytes->value, 9);
	ck_assert_uint_eq(out->n_interfaces, 1);
	ck_assert_str_eq(out->interfaces[0]->name, "net1");
	stats.n_interfaces = 1;
	ck_assert_str_eq(zl_cri_network(&arena, AT, &stats)->default_interface->name, "net1");
}
END_TEST

// ---- metrics

static const Runtime__V1__Metric *find(
        Runtime__V1__Metric *const *list, size_t count, const char *name, const char *own_label)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i]->name, name) != 0)
			continue;
		if (own_label == NULL ||
		        strcmp(list[i]->label_values[ZL_METRIC_BASE_LABELS], own_label) == 0)
			return list[i];
	}
	return NULL;
}

static const struct zl_metric_subject subject = {
        .container = "main",
        .id = "/pod/c",
        .image = "busybox",
        .name = "c",
        .namespace_ = "default",
        .pod = "p",
        .started_at_ns = 5 * ZL_NS_PER_SECOND,
        .now_ns = 7 * ZL_NS_PER_SECOND,
};

// The kubelet ignores what was not described, and labels must fit their keys.
static void check_described(Runtime__V1__Metric *const *list, size_t count)
{
	size_t described;
	Runtime__V1__MetricDescriptor **d = zl_metric_descriptors(&arena, &described);

	for (size_t i = 0; i < count; i++) {
		size_t k = 0;

		while (k < described && strcmp(d[k]->name, list[i]->name) != 0)
			k++;
		ck_assert_msg(k < described, "%s is not described", list[i]->name);
		ck_assert_msg(d[k]->n_label_keys == list[i]->n_label_values, "labels of %s",
		        list[i]->name);
	}
}

START_TEST(metrics_of_a_container)
{
	static Zl__Zone__DeviceIo io = ZL__ZONE__DEVICE_IO__INIT;
	static Zl__Zone__DeviceIo *devices[] = {&io};
	size_t count;
	Runtime__V1__Metric **list;
	const Runtime__V1__Metric *m;

	usage.cpu_ns = UINT64_C(3999999999);
	usage.memory_usage = 1000;
	usage.memory_inactive_file = 400;
	usage.n_io = 1;
	usage.io = devices;
	io.major = 8;
	io.minor = 1;
	io.read_bytes = 11;
	io.writes = 12;
	list = zl_container_metrics(&arena, &subject, &container, &stats, &count);
	check_described(list, count);
	m = find(list, count, "container_cpu_usage_seconds_total", "total");
	ck_assert_uint_eq(m->value->value, 3);
	ck_assert_str_eq(m->label_values[0], "main");
	ck_assert_str_eq(m->label_values[1], "/pod/c");
	ck_assert_str_eq(m->label_values[2], "busybox");
	ck_assert_str_eq(m->label_values[3], "c");
	ck_assert_str_eq(m->label_values[4], "default");
	ck_assert_str_eq(m->label_values[5], "p");
	m = find(list, count, "container_memory_working_set_bytes", NULL);
	ck_assert_uint_eq(m->value->value, 600);
	m = find(list, count, "container_fs_reads_bytes_total", "8:1");
	ck_assert_uint_eq(m->value->value, 11);
	m = find(list, count, "container_fs_writes_total", "8:1");
	ck_assert_uint_eq(m->value->value, 12);
	m = find(list, count, "container_spec_cpu_period", NULL);
	ck_assert_uint_eq(m->value->value, 100000);
	m = find(list, count, "container_start_time_seconds", NULL);
	ck_assert_uint_eq(m->value->value, 5);
	ck_assert_ptr_nonnull(find(list, count, "container_memory_failures_total", "pgmajfault"));
}
END_TEST

START_TEST(metrics_of_a_pod)
{
	static Zl__Zone__InterfaceStats eth0 = ZL__ZONE__INTERFACE_STATS__INIT;
	static Zl__Zone__InterfaceStats *list_of[] = {&eth0};
	struct zl_metric_subject pod = subject;
	size_t count;
	Runtime__V1__Metric **list;
	const Runtime__V1__Metric *m;

	pod.container = "";
	eth0.name = (char *)(uintptr_t)"eth0";
	eth0.tx_dropped = 13;
	stats.interfaces = list_of;
	stats.n_interfaces = 1;
	list = zl_pod_metrics(&arena, &pod, &stats, UINT64_C(4000000000), 50, 40, &count);
	check_described(list, count);
	m = find(list, count, "container_network_transmit_packets_dropped_total", "eth0");
	ck_assert_uint_eq(m->value->value, 13);
	ck_assert_str_eq(m->label_values[0], "POD");
	m = find(list, count, "container_memory_working_set_bytes", NULL);
	ck_assert_uint_eq(m->value->value, 40);
	ck_assert_str_eq(m->label_values[0], "");
	ck_assert_ptr_null(find(list, count, "container_fs_usage_bytes", NULL));
}
END_TEST

// ---- lists as streams

static size_t sent_messages;
static size_t sent_items;
static size_t largest;

static int note_sent(struct zl_call *call, ProtobufCMessage *message, struct zl_error *err)
{
	const Runtime__V1__StreamContainersResponse *response =
	        (const Runtime__V1__StreamContainersResponse *)message;

	(void)call;
	(void)err;
	ck_assert_ptr_eq(message->descriptor, &runtime__v1__stream_containers_response__descriptor);
	sent_messages++;
	sent_items += response->n_containers;
	if (response->n_containers > largest)
		largest = response->n_containers;
	return 0;
}

START_TEST(lists_are_sent_in_pieces)
{
	enum { ITEMS = 2 * ZL_LIST_ITEMS + 1 };
	struct zl_call call = ZL_CALL_INIT;
	void **items = zl_arena_array(&arena, ITEMS, sizeof(*items));
	char *large = zl_arena_alloc(&arena, ZL_LIST_BYTES + 1);

	call.send = note_sent;
	for (size_t i = 0; i < ITEMS; i++)
		items[i] = ZL_MESSAGE_NEW(&arena, Container, container);
	ck_assert_int_eq(
	        zl_call_send_list(&call, &runtime__v1__stream_containers_response__descriptor,
	                items, ITEMS, NULL),
	        0);
	ck_assert_uint_eq(sent_items, ITEMS);
	ck_assert_uint_eq(sent_messages, 3);
	ck_assert_uint_eq(largest, ZL_LIST_ITEMS);
	// Large ones go alone.
	memset(large, 'x', ZL_LIST_BYTES);
	for (size_t i = 0; i < 3; i++)
		((Runtime__V1__Container *)items[i])->id = large;
	sent_messages = sent_items = largest = 0;
	ck_assert_int_eq(
	        zl_call_send_list(&call, &runtime__v1__stream_containers_response__descriptor,
	                items, 3, NULL),
	        0);
	ck_assert_uint_eq(sent_messages, 3);
	ck_assert_uint_eq(largest, 1);
	sent_messages = 0;
	ck_assert_int_eq(
	        zl_call_send_list(&call, &runtime__v1__stream_containers_response__descriptor,
	                items, 0, NULL),
	        0);
	ck_assert_uint_eq(sent_messages, 0);
}
END_TEST

// ---- messages as JSON

START_TEST(message_as_json)
{
	Runtime__V1__ContainerConfig *config =
	        ZL_MESSAGE_NEW(&arena, ContainerConfig, container_config);
	Runtime__V1__Mount *mount = ZL_MESSAGE_NEW(&arena, Mount, mount);
	Runtime__V1__ContainerConfig__LabelsEntry *label = zl_message_map_entry(&arena,
	        &runtime__v1__container_config__labels_entry__descriptor, "key", "a \"value\"");
	Runtime__V1__KeyValue *env[] = {ZL_MESSAGE_NEW(&arena, KeyValue, key_value),
	        ZL_MESSAGE_NEW(&arena, KeyValue, key_value)};
	const char *command[] = {"sh", ""};
	zl_auto(json) json_t *json = NULL;
	zl_auto(free) char *text = NULL;

	config->metadata = ZL_MESSAGE_NEW(&arena, ContainerMetadata, container_metadata);
	config->metadata->name = "n";
	config->metadata->attempt = 3;
	config->n_command = 2;
	config->command = command;
	config->tty = true;
	env[0]->key = "A";
	env[0]->value = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)"text", .len = 4};
	env[1]->key = "B";
	env[1]->value = (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)"\xff", .len = 1};
	config->n_envs = 2;
	config->envs = env;
	config->n_labels = 1;
	config->labels = &label;
	mount->propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
	config->n_mounts = 1;
	config->mounts = &mount;
	json = zl_message_json(&config->base);
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	ck_assert_str_eq(text,
	        "{\"command\":[\"sh\",\"\"],"
	        "\"envs\":[{\"key\":\"A\",\"value\":\"text\"},"
	        "{\"key\":\"B\",\"value\":\"(not UTF-8)\"}],\"labels\":{\"key\":\"a "
	        "\\\"value\\\"\"},"
	        "\"metadata\":{\"attempt\":3,\"name\":\"n\"},"
	        "\"mounts\":[{\"propagation\":\"PROPAGATION_BIDIRECTIONAL\"}],\"tty\":true}");
	ck_assert_ptr_null(zl_message_json(NULL));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("usage");
	TCase *tests = tcase_create("usage");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_add_test(tests, cpu_rate);
	tcase_add_test(tests, memory_of_a_container);
	tcase_add_test(tests, memory_of_a_zone);
	tcase_add_test(tests, pressure);
	tcase_add_test(tests, swap_and_layer);
	tcase_add_test(tests, network);
	tcase_add_test(tests, metrics_of_a_container);
	tcase_add_test(tests, metrics_of_a_pod);
	tcase_add_test(tests, lists_are_sent_in_pieces);
	tcase_add_test(tests, message_as_json);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
