// SPDX-License-Identifier: Apache-2.0
//
// A session over a socket: order, flushes, limits, and clients that break the rules.
#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "storage-driver/p9/session.h"
#include "unit/p9/client.h"

static struct client *c;
static int fd; // the client's end
static struct zl_p9_tags *tags;
static pthread_t thread;
static int result;
static struct zl_error failure;
static uint8_t received[CLIENT_MSIZE];

static void *serve(void *transport)
{
	result = zl_p9_session_run(&c->server, transport, tags, &failure);
	zl_p9_transport_close(transport);
	return NULL;
}

static void begin(void)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	fd = fds[0];
	failure = (struct zl_error)ZL_ERROR_INIT;
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, zl_p9_transport_fd(fds[1], NULL)), 0);
}

static void end(void)
{
	fd = zl_close(fd);
	pthread_join(thread, NULL);
}

static void setup(void)
{
	c = client_open();
	tags = NULL;
	begin();
}

static void teardown(void)
{
	if (fd >= 0)
		end();
	client_close(c);
}

static void send_message(struct zl_p9_message message)
{
	uint8_t bytes[CLIENT_MSIZE];
	size_t length = zl_p9_encode(&message, bytes, sizeof(bytes));

	ck_assert_uint_gt(length, 0);
	ck_assert_int_eq(zl_file_write_all(fd, bytes, length, NULL), 0);
}

static bool read_bytes(uint8_t *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = read(fd, bytes + done, length - done);

		if (got <= 0)
			return false;
		done += (size_t)got;
	}
	return true;
}

// The next answer; false at the end of the stream.
static bool next(struct zl_p9_message *answer)
{
	if (!read_bytes(received, 4))
		return false;
	ck_assert_uint_le(zl_p9_size(received), sizeof(received));
	ck_assert(read_bytes(received + 4, zl_p9_size(received) - 4));
	ck_assert_int_eq(zl_p9_decode(received, zl_p9_size(received), answer), 0);
	return true;
}

static struct zl_p9_message statfs_of(uint16_t tag)
{
	return (struct zl_p9_message){.type = ZL_P9_TSTATFS, .tag = tag, .fid = DIR_FID};
}

START_TEST(every_request_has_its_answer)
{
	bool seen[100] = {false};
	struct zl_p9_message answer;

	for (uint16_t tag = 0; tag < 100; tag++)
		send_message(statfs_of(tag));
	for (int i = 0; i < 100; i++) {
		ck_assert(next(&answer));
		ck_assert_uint_eq(answer.type, ZL_P9_RSTATFS);
		ck_assert_uint_lt(answer.tag, 100);
		ck_assert(!seen[answer.tag]);
		seen[answer.tag] = true;
	}
	// A tag whose answer is here may be used again at once.
	for (int i = 0; i < 1000; i++) {
		send_message(statfs_of(5));
		ck_assert(next(&answer));
		ck_assert_uint_eq(answer.tag, 5);
	}
	end();
	ck_assert_int_eq(result, 0);
}
END_TEST

// The answer of what was flushed comes before Rflush or never.
START_TEST(flushes_end_their_request)
{
	struct zl_p9_message answer;

	for (int i = 0; i < 200; i++) {
		bool flushed = false;

		for (uint16_t tag = 10; tag < 20; tag++)
			send_message(statfs_of(tag));
		for (uint16_t tag = 10; tag < 20; tag++)
			send_message((struct zl_p9_message){.type = ZL_P9_TFLUSH,
			        .tag = (uint16_t)(tag + 100),
			        .old_tag = tag});
		for (int flushes = 0; flushes < 10;) {
			ck_assert(next(&answer));
			if (answer.type == ZL_P9_RFLUSH) {
				flushes++;
				flushed |= answer.tag == 119;
			} else {
				ck_assert_uint_eq(answer.type, ZL_P9_RSTATFS);
				ck_assert(answer.tag != 19 || !flushed);
			}
		}
	}
	send_message((struct zl_p9_message){.type = ZL_P9_TFLUSH, .tag = 1, .old_tag = 999});
	ck_assert(next(&answer));
	ck_assert_uint_eq(answer.type, ZL_P9_RFLUSH);
}
END_TEST

START_TEST(an_unknown_type_is_answered)
{
	static const uint8_t bytes[] = {9, 0, 0, 0, 112, 3, 0, 1, 2}; // Topen of 9P2000
	struct zl_p9_message answer;

	ck_assert_int_eq(zl_file_write_all(fd, bytes, sizeof(bytes), NULL), 0);
	ck_assert(next(&answer));
	ck_assert_uint_eq(answer.type, ZL_P9_RLERROR);
	ck_assert_uint_eq(answer.tag, 3);
	ck_assert_uint_eq(answer.error, EOPNOTSUPP);
}
END_TEST

static const struct {
	uint8_t bytes[16];
	size_t length;
} broken[] = {
        {{6, 0, 0, 0, 8, 0}, 6},                     // shorter than a header
        {{0, 0, 0, 1, 8, 0, 0}, 7},                  // longer than msize
        {{12, 0, 0, 0, 8, 0, 0, 1, 0, 0, 0, 9}, 12}, // something left over
        {{9, 0, 0, 0, 8, 0, 0, 1, 0}, 9},            // cut short
};

START_TEST(malformed_messages_end_the_session)
{
	struct zl_p9_message answer;

	ck_assert_int_eq(zl_file_write_all(fd, broken[_i].bytes, broken[_i].length, NULL), 0);
	ck_assert(!next(&answer));
	end();
	ck_assert_int_eq(result, -1);
	ck_assert_int_eq(failure.code, ZL_INVALID_ARGUMENT);
}
END_TEST

START_TEST(a_version_waits_for_all_and_ends_fids)
{
	struct zl_p9_message answer;
	bool version = false;
	int others = 0;

	for (uint16_t tag = 0; tag < 50; tag++)
		send_message(statfs_of(tag));
	send_message((struct zl_p9_message){.type = ZL_P9_TVERSION,
	        .tag = ZL_P9_NO_TAG,
	        .msize = 8192,
	        .name = text("9P2000.L")});
	while (!version) {
		ck_assert(next(&answer));
		version = answer.type == ZL_P9_RVERSION;
		others += !version;
	}
	ck_assert_int_eq(others, 50);
	ck_assert_uint_eq(answer.msize, 8192);
	send_message(statfs_of(1));
	ck_assert(next(&answer));
	ck_assert_uint_eq(answer.error, EBADF);
}
END_TEST

// What a server that died was asked is answered by the next one.
START_TEST(lost_requests_are_answered)
{
	char path[256];
	struct zl_p9_message answer;
	bool seen[2] = {false};

	end();
	tags = zl_p9_tags_open(host_path(c, "tags", path), NULL);
	ck_assert_ptr_nonnull(tags);
	zl_p9_tags_set(tags, 7, 0);
	zl_p9_tags_set(tags, 9, 0);
	zl_p9_tags_set(tags, 8, 0);
	zl_p9_tags_clear(tags, 8);
	begin();
	for (int i = 0; i < 2; i++) {
		ck_assert(next(&answer));
		ck_assert_uint_eq(answer.type, ZL_P9_RLERROR);
		ck_assert_uint_eq(answer.error, EIO);
		ck_assert(answer.tag == 7 || answer.tag == 9);
		seen[answer.tag == 9] = true;
	}
	ck_assert(seen[0] && seen[1]);
	send_message(statfs_of(3));
	ck_assert(next(&answer));
	ck_assert_uint_eq(answer.tag, 3);
}
END_TEST

// The client does not read: the server stops taking requests, and goes on when it does.
START_TEST(a_client_that_does_not_read)
{
	enum { REQUESTS = 3000 };
	struct zl_p9_message answer;
	struct zl_p9_message request = {.type = ZL_P9_TREAD, .fid = 3, .count = 4096};
	char content[4096];
	int sent = 0;
	int got = 0;

	memset(content, 'x', sizeof(content) - 1);
	content[sizeof(content) - 1] = '\0';
	host_write(c, "f", content);
	ck_assert_int_eq(walk(c, DIR_FID, 3, "f"), 0);
	ck_assert_int_eq(lopen(c, 3, O_RDONLY), 0);
	while (got < REQUESTS) {
		uint8_t bytes[64];
		size_t length;

		request.tag = (uint16_t)sent;
		length = zl_p9_encode(&request, bytes, sizeof(bytes));
		if (sent < REQUESTS && send(fd, bytes, length, MSG_DONTWAIT) == (ssize_t)length) {
			sent++;
			continue;
		}
		ck_assert(next(&answer));
		ck_assert_uint_eq(answer.data_length, sizeof(content) - 1);
		got++;
	}
	end();
	ck_assert_int_eq(result, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("9P session");
	TCase *tcase = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, every_request_has_its_answer);
	tcase_add_test(tcase, flushes_end_their_request);
	tcase_add_test(tcase, an_unknown_type_is_answered);
	tcase_add_loop_test(tcase, malformed_messages_end_the_session, 0, ZL_ARRAY_SIZE(broken));
	tcase_add_test(tcase, a_version_waits_for_all_and_ends_fids);
	tcase_add_test(tcase, lost_requests_are_answered);
	tcase_add_test(tcase, a_client_that_does_not_read);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
