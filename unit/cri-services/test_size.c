// SPDX-License-Identifier: Apache-2.0
#include "cri-server/sandbox/size.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MIB (INT64_C(1) << 20)

static Runtime__V1__LinuxContainerResources limits;
static Runtime__V1__LinuxContainerResources overhead;
static struct zl_config config;
static uint32_t host_cpus;

static void reset(void)
{
	limits = (Runtime__V1__LinuxContainerResources)RUNTIME__V1__LINUX_CONTAINER_RESOURCES__INIT;
	overhead = limits;
	config = (struct zl_config)ZL_CONFIG_INIT;
	config.zone.memory_bytes = (uint64_t)(512 * MIB);
	config.zone.overhead_bytes = (uint64_t)(48 * MIB);
	config.zone.vcpus = 1;
	config.zone.scratch_bytes = (uint64_t)(1024 * MIB);
	host_cpus = 4;
}

static int size_of(struct zl_zone_size *size, struct zl_error *err)
{
	Runtime__V1__PodSandboxConfig pod = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
	Runtime__V1__LinuxPodSandboxConfig lin = RUNTIME__V1__LINUX_POD_SANDBOX_CONFIG__INIT;

	lin.resources = &limits;
	lin.overhead = &overhead;
	pod.linux = &lin;
	return zl_zone_size(&pod, &config, host_cpus, size, err);
}

static struct zl_zone_size accepted(void)
{
	struct zl_zone_size size = {0};
	struct zl_error err = ZL_ERROR_INIT;

	ck_assert_msg(size_of(&size, &err) == 0, "%s", err.message);
	return size;
}

START_TEST(a_pod_that_says_nothing_gets_the_defaults)
{
	Runtime__V1__PodSandboxConfig pod = RUNTIME__V1__POD_SANDBOX_CONFIG__INIT;
	struct zl_error err = ZL_ERROR_INIT;
	struct zl_zone_size size;

	ck_assert_int_eq(zl_zone_size(&pod, &config, host_cpus, &size, &err), 0);
	ck_assert_uint_eq(size.memory_bytes, (uint64_t)(560 * MIB));
	ck_assert_uint_eq(size.vcpus, 1);
	ck_assert_uint_eq(size.cpu_weight, 0);
	ck_assert_uint_eq(size.cpu_cap, 0);
	ck_assert_uint_eq(size.scratch_bytes, (uint64_t)(1024 * MIB));
	size = accepted();
	ck_assert_uint_eq(size.memory_bytes, (uint64_t)(560 * MIB));
}
END_TEST

static const struct {
	int64_t limit, overhead;
	int64_t wanted; // 0: refused
} memory[] = {
        {4 * MIB, 0, 52 * MIB},
        {4 * MIB - 1, 0, 0},
        {1, 0, 0},
        {0, 0, 560 * MIB},
        {-1, 0, 560 * MIB},
        {INT64_MIN, INT64_MIN, 560 * MIB},
        {4 * MIB + 1, 0, 53 * MIB},
        {64 * MIB, 0, 112 * MIB},
        {64 * MIB, 48 * MIB, 112 * MIB},
        {64 * MIB, 48 * MIB + 1, 113 * MIB},
        {64 * MIB, 47 * MIB, 112 * MIB},
        {64 * MIB, 100 * MIB, 164 * MIB},
        {INT64_C(1) << 46, 0, (INT64_C(1) << 46) + 48 * MIB},
        {(INT64_C(1) << 46) + 1, 0, 0},
        {INT64_MAX, 0, 0},
        {64 * MIB, INT64_C(1) << 46, (INT64_C(1) << 46) + 64 * MIB},
        {64 * MIB, (INT64_C(1) << 46) + 1, 0},
        {64 * MIB, INT64_MAX, 0},
};

START_TEST(memory_is_the_limit_and_the_overhead)
{
	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++) {
		struct zl_zone_size size = {.memory_bytes = 77};
		struct zl_error err = ZL_ERROR_INIT;
		int result;

		limits.memory_limit_in_bytes = memory[i].limit;
		overhead.memory_limit_in_bytes = memory[i].overhead;
		result = size_of(&size, &err);
		if (memory[i].wanted == 0) {
			ck_assert_msg(result == -1, "case %zu accepted", i);
			ck_assert_int_eq(err.code, ZL_INVALID_ARGUMENT);
			ck_assert_ptr_nonnull(strstr(err.message, "memory"));
			ck_assert_uint_eq(size.memory_bytes, 77);
			continue;
		}
		ck_assert_msg(result == 0, "case %zu: %s", i, err.message);
		ck_assert_msg(size.memory_bytes == (uint64_t)memory[i].wanted, "case %zu: %lu", i,
		        size.memory_bytes);
	}
}
END_TEST

static const struct {
	int64_t quota, period;
	uint32_t host;
	uint32_t vcpus, cap;
} cpu[] = {
        {0, 100000, 4, 1, 0},
        {-1, 100000, 4, 1, 0},
        {50000, 0, 4, 1, 0},
        {50000, -1, 4, 1, 0},
        {50000, 100000, 4, 1, 50},
        {99000, 100000, 4, 1, 99},
        {100000, 100000, 4, 1, 0}, // all that one vcpu can use
        {101000, 100000, 4, 2, 101},
        {150000, 100000, 4, 2, 150},
        {200000, 100000, 4, 2, 0},
        {400000, 100000, 4, 4, 0},
        {350000, 100000, 4, 4, 350},
        {900000, 100000, 4, 4, 0}, // more than the machine has
        {1000, 100000, 4, 1, 1},
        {1, 100000, 4, 1, 1}, // rounds to nothing, which would be no cap
        {150000, 100000, 1, 1, 0},
        {150000, 100000, 0, 2, 150}, // cpus unknown
        {INT64_MAX, 1, 4, 4, 0},
        {INT64_MAX, 1, 0, 8192, 0},
        {INT64_MAX, INT64_MAX, 4, 1, 0},
        {INT64_MAX / 2, INT64_MAX, 4, 1, 49},
        {1, INT64_MAX, 4, 1, 1},
};

START_TEST(cpus_and_cap_come_from_the_quota)
{
	for (size_t i = 0; i < sizeof(cpu) / sizeof(cpu[0]); i++) {
		struct zl_zone_size size;

		limits.cpu_quota = cpu[i].quota;
		limits.cpu_period = cpu[i].period;
		host_cpus = cpu[i].host;
		size = accepted();
		ck_assert_msg(size.vcpus == cpu[i].vcpus, "case %zu: %u vcpus", i, size.vcpus);
		ck_assert_msg(size.cpu_cap == cpu[i].cap, "case %zu: cap %u", i, size.cpu_cap);
		// libxl refuses a cap above 100 per vcpu.
		ck_assert_uint_le(size.cpu_cap, 100 * size.vcpus);
	}
}
END_TEST

START_TEST(default_vcpus_are_at_most_the_hosts)
{
	config.zone.vcpus = 16;
	ck_assert_uint_eq(accepted().vcpus, 4);
	host_cpus = 0;
	ck_assert_uint_eq(accepted().vcpus, 16);
	config.zone.vcpus = 0;
	ck_assert_uint_eq(accepted().vcpus, 1);
	config.zone.vcpus = UINT64_MAX;
	ck_assert_uint_eq(accepted().vcpus, 8192);
}
END_TEST

static const struct {
	int64_t shares;
	uint32_t weight;
} weights[] = {
        {0, 0},
        {-1, 0},
        {1, 1},
        {2, 1}, // the kubelet's least
        {4, 1},
        {7, 1},
        {8, 2},
        {512, 128},
        {1024, 256},
        {2048, 512},
        {262140, 65535},
        {262144, 65535},
        {INT64_C(1) << 32, 65535},
        {INT64_C(1) << 56, 65535},
        {INT64_MAX, 65535},
};

START_TEST(weight_comes_from_the_shares)
{
	for (size_t i = 0; i < sizeof(weights) / sizeof(weights[0]); i++) {
		limits.cpu_shares = weights[i].shares;
		ck_assert_msg(accepted().cpu_weight == weights[i].weight, "%ld shares: %u",
		        weights[i].shares, accepted().cpu_weight);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("size");
	TCase *tcase = tcase_create("size");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, reset, NULL);
	tcase_add_test(tcase, a_pod_that_says_nothing_gets_the_defaults);
	tcase_add_test(tcase, memory_is_the_limit_and_the_overhead);
	tcase_add_test(tcase, cpus_and_cap_come_from_the_quota);
	tcase_add_test(tcase, default_vcpus_are_at_most_the_hosts);
	tcase_add_test(tcase, weight_comes_from_the_shares);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
