/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output is only put in the ring by the writer, whoever that is; the loop's thread carries it on,
 * and so makes few large writes of a serial port's many bytes. Input is read when the device has
 * taken the last of it.
 *
 * A descriptor that no event is wanted of leaves the loop altogether, because epoll tells hang-ups
 * even then.
 */
#include "chardev/stream_priv.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"

static struct stream *stream_of(struct chardev *chardev)
{
	return container_of(chardev, struct stream, chardev);
}

/* Watches the source or not; false if it is a kind of file that is always ready. */
static bool watch(struct stream *stream, struct loop_fd *source, uint32_t events)
{
	struct loop *loop = stream->chardev.loop;

	if (!events) {
		loop_fd_remove(loop, source);
		return true;
	}
	return source->added || loop_fd_add(loop, source, events) != -EPERM;
}

/* The filled part of the ring. Lock held. */
static unsigned ring_pieces_locked(const struct stream *stream, struct iovec iov[2])
{
	size_t at = stream->read % STREAM_RING_BYTES;
	size_t count = (size_t)(stream->written - stream->read);
	size_t first = MIN(count, STREAM_RING_BYTES - at);

	iov[0] = (struct iovec){ stream->ring + at, first };
	iov[1] = (struct iovec){ stream->ring, count - first };
	return count > first ? 2 : 1;
}

/* 0 when the ring is empty (or nobody is there), -EAGAIN when the descriptor is full, or what
 * failed. Lock held. */
static int flush_locked(struct stream *stream)
{
	while (stream->connected && stream->out.fd >= 0 && stream->written != stream->read) {
		struct iovec iov[2];
		unsigned pieces = ring_pieces_locked(stream, iov);
		ssize_t n = writev(stream->out.fd, iov, (int)pieces);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			stream->read += (uint64_t)n;
	}
	return 0;
}

static void output(struct stream *stream)
{
	const struct chardev_receiver *receiver = &stream->chardev.receiver;
	bool has_room;
	int rc;

	pthread_mutex_lock(&stream->lock);
	rc = flush_locked(stream);
	has_room = stream->refused &&
		   (!stream->connected || stream->written - stream->read <= STREAM_RING_BYTES / 2);
	if (has_room)
		stream->refused = false;
	pthread_mutex_unlock(&stream->lock);

	watch(stream, &stream->out, rc == -EAGAIN ? EPOLLOUT : 0);
	if (rc && rc != -EAGAIN)
		stream->ops->output_failed(stream, rc);
	if (has_room && receiver->write_ready)
		receiver->write_ready(receiver->ctx);
}

static void output_ready(struct loop_fd *source, uint32_t events)
{
	(void)events;
	output(container_of(source, struct stream, out));
}

/* Gives the device what it has room for; whether it took all. */
static bool deliver(struct stream *stream)
{
	const struct chardev_receiver *receiver = &stream->chardev.receiver;

	if (stream->input_count && receiver->receive) {
		size_t taken = receiver->receive(receiver->ctx, stream->input + stream->input_at,
						 stream->input_count);

		taken = MIN(taken, stream->input_count);
		stream->input_at += taken;
		stream->input_count -= taken;
	}
	return !stream->input_count;
}

static void read_input(struct stream *stream)
{
	ssize_t n = read(stream->in.fd, stream->input, sizeof(stream->input));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		stream->input_open = false;
		watch(stream, &stream->in, 0);
		stream->ops->input_ended(stream, n ? -errno : 0);
		return;
	}
	stream->input_at = 0;
	stream->input_count = (size_t)n;
	if (stream->ops->input_seen)
		stream->ops->input_seen(stream, stream->input, stream->input_count);
}

/* Goes on with input as far as the device and the descriptor let it. */
static void input(struct stream *stream)
{
	bool pollable;

	if (!deliver(stream)) {
		watch(stream, &stream->in, 0);
		return;
	}
	if (!stream->input_open)
		return;
	pollable = watch(stream, &stream->in, EPOLLIN);
	if (!pollable) {
		read_input(stream);
		loop_post(stream->chardev.loop, &stream->task);
	}
}

static void input_ready(struct loop_fd *source, uint32_t events)
{
	struct stream *stream = container_of(source, struct stream, in);

	(void)events;
	read_input(stream);
	input(stream);
}

static void run(struct loop_task *task)
{
	struct stream *stream = container_of(task, struct stream, task);

	output(stream);
	input(stream);
}

int stream_init(struct stream *stream, const struct stream_ops *ops, struct loop *loop,
		struct err *err)
{
	stream->ops = ops;
	stream->chardev = (struct chardev){ .ops = &ops->chardev, .loop = loop };
	stream->in = (struct loop_fd){ .fd = -1, .ready = input_ready };
	stream->out = (struct loop_fd){ .fd = -1, .ready = output_ready };
	stream->task.run = run;
	pthread_mutex_init(&stream->lock, NULL);
	stream->ring = malloc(STREAM_RING_BYTES);
	return stream->ring ? 0 : err_errno(err, ENOMEM, "cannot open '%s'", ops->chardev.name);
}

void stream_fini(struct stream *stream)
{
	pthread_mutex_lock(&stream->lock);
	flush_locked(stream);
	pthread_mutex_unlock(&stream->lock);
	watch(stream, &stream->in, 0);
	watch(stream, &stream->out, 0);
	loop_task_cancel(stream->chardev.loop, &stream->task);
	pthread_mutex_destroy(&stream->lock);
	free(stream->ring);
}

static void tell_connected(struct stream *stream, bool connected)
{
	const struct chardev_receiver *receiver = &stream->chardev.receiver;

	stream->chardev.connected = connected;
	if (receiver->connected)
		receiver->connected(receiver->ctx, connected);
}

void stream_connect(struct stream *stream, int in_fd, int out_fd)
{
	pthread_mutex_lock(&stream->lock);
	stream->in.fd = in_fd;
	stream->out.fd = out_fd;
	stream->input_open = in_fd >= 0;
	stream->input_count = 0;
	stream->connected = true;
	pthread_mutex_unlock(&stream->lock);
	loop_post(stream->chardev.loop, &stream->task);
	tell_connected(stream, true);
}

void stream_disconnect(struct stream *stream)
{
	bool was_connected;

	watch(stream, &stream->in, 0);
	watch(stream, &stream->out, 0);
	pthread_mutex_lock(&stream->lock);
	was_connected = stream->connected;
	stream->connected = false;
	stream->input_open = false;
	stream->in.fd = stream->out.fd = -1;
	pthread_mutex_unlock(&stream->lock);
	if (!was_connected)
		return;
	tell_connected(stream, false);
	/* Writers that were refused need not wait any more. */
	stream_receive_ready(&stream->chardev);
}

static void put_locked(struct stream *stream, const uint8_t *bytes, size_t count)
{
	while (count) {
		size_t at = stream->written % STREAM_RING_BYTES;
		size_t n = MIN(count, STREAM_RING_BYTES - at);

		memcpy(stream->ring + at, bytes, n);
		stream->written += n;
		bytes += n;
		count -= n;
	}
}

size_t stream_write(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	struct stream *stream = stream_of(chardev);
	size_t room;

	LOCK_SCOPE(&stream->lock);
	room = STREAM_RING_BYTES - (size_t)(stream->written - stream->read);
	if (!stream->connected) {
		put_locked(stream, bytes, count);
		if (count > room)
			stream->read = stream->written - STREAM_RING_BYTES;
		return count;
	}
	if (count > room) {
		stream->refused = true;
		count = room;
	}
	put_locked(stream, bytes, count);
	loop_post(chardev->loop, &stream->task);
	return count;
}

void stream_receive_ready(struct chardev *chardev)
{
	loop_post(chardev->loop, &stream_of(chardev)->task);
}

/* Whether somebody is there who has not taken everything. */
static bool is_pending(struct stream *stream)
{
	LOCK_SCOPE(&stream->lock);
	return stream->connected && stream->out.fd >= 0 && stream->written != stream->read;
}

void stream_flush(struct chardev *chardev, uint64_t deadline_ns)
{
	struct stream *stream = stream_of(chardev);

	for (;;) {
		uint64_t now_ns = clock_now_ns(), left_ms;
		struct pollfd out = { .events = POLLOUT };

		/* The device's rest comes in when there is room for it. */
		output(stream);
		if (!is_pending(stream) || now_ns >= deadline_ns)
			return;
		out.fd = stream->out.fd;
		left_ms = (deadline_ns - now_ns) / NS_PER_MS + 1;
		/* Without room, somebody has just left. */
		if (poll(&out, 1, (int)MIN(left_ms, (uint64_t)INT_MAX)) > 0 &&
		    !(out.revents & POLLOUT))
			return;
	}
}
