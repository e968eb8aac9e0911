// SPDX-License-Identifier: Apache-2.0
#include "unit/base/suites.h"

#include <fcntl.h>

#include "base/cleanup.h"

struct widget {
	int *released; // counts
};

static void widget_free(struct widget *widget)
{
	if (widget == NULL)
		return;
	(*widget->released)++;
	free(widget);
}
ZL_AUTO_DEFINE(widget, struct widget *, widget_free);

static struct widget *widget_new(int *released)
{
	struct widget *widget = malloc(sizeof(*widget));

	ck_assert_ptr_nonnull(widget);
	widget->released = released;
	return widget;
}

static struct widget *make(int *released, bool fail)
{
	zl_auto(widget) struct widget *widget = widget_new(released);

	if (fail)
		return NULL;
	return zl_take(widget);
}

START_TEST(releases_on_early_return_and_not_when_taken)
{
	int released = 0;
	struct widget *widget;

	ck_assert_ptr_null(make(&released, true));
	ck_assert_int_eq(released, 1);
	widget = make(&released, false);
	ck_assert_int_eq(released, 1);
	widget_free(widget);
	ck_assert_int_eq(released, 2);
}
END_TEST

START_TEST(closes_descriptors)
{
	int kept;
	int closed;

	{
		zl_auto(fd) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		zl_auto(fd) int other = open("/dev/null", O_RDONLY | O_CLOEXEC);

		ck_assert_int_ge(fd, 0);
		closed = fd;
		kept = zl_take_fd(&other);
		ck_assert_int_eq(other, -1);
	}
	ck_assert_int_eq(fcntl(closed, F_GETFD), -1);
	ck_assert_int_ge(fcntl(kept, F_GETFD), 0);
	ck_assert_int_eq(zl_close(kept), -1);
	ck_assert_int_eq(fcntl(kept, F_GETFD), -1);
}
END_TEST

START_TEST(keeps_errno)
{
	errno = ENOSPC;
	ck_assert_int_eq(zl_close(12345), -1);
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(zl_close(-1), -1);
	ck_assert_int_eq(errno, ENOSPC);
}
END_TEST

START_TEST(accepts_empty_values)
{
	zl_auto(free) char *text = NULL;
	zl_auto(file) FILE *file = NULL;
	zl_auto(dir) DIR *dir = NULL;
	zl_auto(fd) int fd = -1;

	ck_assert_ptr_null(zl_take(text));
	ck_assert_ptr_null(file);
	ck_assert_ptr_null(dir);
	ck_assert_int_eq(zl_take_fd(&fd), -1);
	ck_assert_uint_eq(ZL_ARRAY_SIZE(((int[7]){0})), 7);
}
END_TEST

SUITE(cleanup, releases_on_early_return_and_not_when_taken, closes_descriptors, keeps_errno,
        accepts_empty_values)
