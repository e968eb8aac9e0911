// SPDX-License-Identifier: Apache-2.0
#include "cri-server/oci/signal.h"

#include <signal.h>

#include "unit/cri-services/oci_input.h"

static const struct {
	const char *text;
	int number;
} texts[] = {
        {"SIGTERM", 15},
        {"TERM", 15},
        {"sigterm", 15},
        {"15", 15},
        {"1", 1},
        {"64", 64},
        {"SIGKILL", 9},
        {"SIGUSR1", 10},
        {"SIGWINCH", 28},
        {"SIGIOT", 6},
        {"SIGABRT", 6},
        {"SIGCLD", 17},
        {"SIGIO", 29},
        {"SIGPOLL", 29},
        {"SIGSTKFLT", 16},
        {"SIGPWR", 30},
        {"SIGSYS", 31},
        {"SIGRTMIN", 34},
        {"RTMIN", 34},
        {"SIGRTMIN+0", 34},
        {"SIGRTMIN+3", 37},
        {"rtmin+30", 64},
        {"SIGRTMAX", 64},
        {"SIGRTMAX-14", 50},
        {"SIGRTMAX-30", 34},
        {"", 0},
        {"0", 0},
        {"-1", 0},
        {"65", 0},
        {"99999999999999999999", 0},
        {"15x", 0},
        {"SIG", 0},
        {"SIGNOSUCH", 0},
        {"SIGSIGTERM", 0},
        {"SIGTERM ", 0},
        {"SIGRTMIN+31", 0},
        {"SIGRTMIN-1", 0},
        {"SIGRTMAX+1", 0},
        {"SIGRTMAX-31", 0},
        {"SIGRTMIN+", 0},
        {"SIGRTMIN3", 0},
        {"SIGRTMIN+3x", 0},
        {"SIGRTMIN++3", 0},
        {"SIGRTMIN+9223372036854775807", 0},
        {"SIGRTMAX-9223372036854775808", 0},
        {"SIGRTMIN+99999999999999999999999", 0},
        {"\xff\xff", 0},
};

START_TEST(reads_names_and_numbers)
{
	for (size_t i = 0; i < ZL_ARRAY_SIZE(texts); i++)
		ck_assert_msg(zl_signal_parse(texts[i].text) == texts[i].number, "%s gives %d",
		        texts[i].text, zl_signal_parse(texts[i].text));
	ck_assert_int_eq(zl_signal_parse(NULL), 0);
}
END_TEST

// Every value of the enum: a number by itself, and back to that number.
START_TEST(knows_every_signal_of_cri)
{
	const ProtobufCEnumDescriptor *all = &runtime__v1__signal__descriptor;

	ck_assert_uint_eq(all->n_values, 66);
	for (unsigned i = 0; i < all->n_values; i++) {
		Runtime__V1__Signal signal = (Runtime__V1__Signal)all->values[i].value;
		int number = zl_signal_from_cri(signal);

		if (signal == RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT) {
			ck_assert_int_eq(number, 0);
			continue;
		}
		ck_assert_msg(
		        number >= 1 && number <= 64, "%s gives %d", all->values[i].name, number);
		ck_assert_int_eq(zl_signal_from_cri(zl_signal_to_cri(number)), number);
	}
	ck_assert_int_eq(zl_signal_from_cri(RUNTIME__V1__SIGNAL__SIGTERM), SIGTERM);
	ck_assert_int_eq(zl_signal_from_cri(RUNTIME__V1__SIGNAL__SIGRTMINPLUS3), 37);
	ck_assert_int_eq(zl_signal_from_cri(RUNTIME__V1__SIGNAL__SIGRTMAXMINUS1), 63);
	ck_assert_int_eq(zl_signal_from_cri((Runtime__V1__Signal)12345), 0);
}
END_TEST

START_TEST(names_every_signal_for_cri)
{
	for (int number = 1; number <= 64; number++) {
		Runtime__V1__Signal signal = zl_signal_to_cri(number);

		// The C library's own have no name in CRI.
		if (number == 32 || number == 33)
			ck_assert_int_eq(signal, RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT);
		else
			ck_assert_msg(zl_signal_from_cri(signal) == number, "%d", number);
	}
	ck_assert_int_eq(zl_signal_to_cri(0), RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT);
	ck_assert_int_eq(zl_signal_to_cri(-5), RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT);
	ck_assert_int_eq(zl_signal_to_cri(1000), RUNTIME__V1__SIGNAL__RUNTIME_DEFAULT);
}
END_TEST

START_TEST(stops_with_the_containers_signal_or_the_images)
{
	static char usr1[] = "SIGUSR1";
	static char nonsense[] = "SIGNONSENSE";
	struct oci_input input;

	oci_input_init(&input);
	ck_assert_int_eq(zl_oci_stop_signal(&input.container, &input.image), SIGTERM);
	ck_assert_int_eq(zl_oci_stop_signal(&input.container, NULL), SIGTERM);
	input.image.stop_signal = nonsense;
	ck_assert_int_eq(zl_oci_stop_signal(&input.container, &input.image), SIGTERM);
	input.image.stop_signal = usr1;
	ck_assert_int_eq(zl_oci_stop_signal(&input.container, &input.image), SIGUSR1);
	input.container.stop_signal = RUNTIME__V1__SIGNAL__SIGQUIT;
	ck_assert_int_eq(zl_oci_stop_signal(&input.container, &input.image), SIGQUIT);
}
END_TEST

SUITE(signal, reads_names_and_numbers, knows_every_signal_of_cri, names_every_signal_for_cri,
        stops_with_the_containers_signal_or_the_images)
