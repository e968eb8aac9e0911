// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "storage-driver/p9/message.h"
#include "storage-driver/p9/transport.h"

struct fd_transport {
	struct zl_p9_transport transport;
	int fd;
	pthread_mutex_t send_lock;
};

// 1 when all bytes came, 0 at the end of the stream before the first.
static int read_whole(int fd, uint8_t *bytes, size_t length, struct zl_error *err)
{
	size_t done = 0;

	while (done < length) {
		ssize_t got = read(fd, bytes + done, length - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return zl_error_errno(err, errno, "read a 9P message");
		if (got == 0 && done == 0)
			return 0;
		if (got == 0)
			return zl_error_set(err, ZL_DATA_LOSS, "the 9P stream ends in a message");
		done += (size_t)got;
	}
	return 1;
}

static int receive(struct zl_p9_transport *transport, size_t limit, uint8_t **ret,
        size_t *ret_length, unsigned *ret_lane, struct zl_error *err)
{
	struct fd_transport *self = (struct fd_transport *)transport;
	zl_auto(free) uint8_t *bytes = NULL;
	uint8_t header[4];
	uint32_t size;
	int result = read_whole(self->fd, header, sizeof(header), err);

	if (result <= 0)
		return result;
	size = zl_p9_size(header);
	if (size < ZL_P9_HEADER || size > limit)
		return zl_error_set(err, ZL_INVALID_ARGUMENT,
		        "a 9P message of %u bytes; between %d and %zu are possible", size,
		        ZL_P9_HEADER, limit);
	bytes = malloc(size);
	if (bytes == NULL)
		return zl_error_nomem(err);
	for (size_t i = 0; i < sizeof(header); i++)
		bytes[i] = header[i];
	result = read_whole(self->fd, bytes + 4, size - 4, err);
	if (result == 0)
		return zl_error_set(err, ZL_DATA_LOSS, "the 9P stream ends in a message");
	if (result < 0)
		return -1;
	*ret = zl_take(bytes);
	*ret_length = size;
	*ret_lane = 0;
	return 1;
}

static int send_message(struct zl_p9_transport *transport, unsigned lane, const uint8_t *bytes,
        size_t length, struct zl_error *err)
{
	struct fd_transport *self = (struct fd_transport *)transport;
	int result;

	(void)lane;
	pthread_mutex_lock(&self->send_lock);
	result = zl_file_write_all(self->fd, bytes, length, err);
	pthread_mutex_unlock(&self->send_lock);
	return result;
}

static void stop(struct zl_p9_transport *transport)
{
	(void)shutdown(((struct fd_transport *)transport)->fd, SHUT_RDWR);
}

static void close_transport(struct zl_p9_transport *transport)
{
	struct fd_transport *self = (struct fd_transport *)transport;

	(void)zl_close(self->fd);
	pthread_mutex_destroy(&self->send_lock);
	free(self);
}

static const struct zl_p9_transport_ops ops = {
        .receive = receive,
        .send = send_message,
        .stop = stop,
        .close = close_transport,
};

struct zl_p9_transport *zl_p9_transport_fd(int fd, struct zl_error *err)
{
	struct fd_transport *self = calloc(1, sizeof(*self));

	if (self == NULL) {
		(void)zl_close(fd);
		zl_error_nomem(err);
		return NULL;
	}
	self->transport.ops = &ops;
	self->transport.msize_max = ZL_P9_MSIZE_MAX;
	self->fd = fd;
	pthread_mutex_init(&self->send_lock, NULL);
	return &self->transport;
}
