/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of every chardev: a ring of output towards one descriptor, a buffer of input from
 * another.
 *
 * A kind of chardev embeds `struct stream` first, connects descriptors to it and hears when they
 * fail.
 */
#pragma once

#include <pthread.h>

#include "chardev/chardev.h"

#define STREAM_RING_BYTES  65536 /* a power of two */
#define STREAM_INPUT_BYTES 4096

struct stream;

struct stream_ops {
	struct chardev_ops chardev; /* write, receive_ready, flush: stream_write and so on */

	/* Required. Input ended or failed: 0 or a negative errno. Its descriptor is not watched any
	 * more. Loop thread. */
	void (*input_ended)(struct stream *stream, int rc);
	/* Required. Output failed. Loop thread. */
	void (*output_failed)(struct stream *stream, int rc);
	/* Optional. Sees input before the device. Loop thread. */
	void (*input_seen)(struct stream *stream, const uint8_t *bytes, size_t count);
};

struct stream {
	struct chardev chardev; /* first */
	const struct stream_ops *ops;
	struct loop_fd in, out; /* fd -1: none; borrowed from the kind */
	struct loop_task task;

	/* Loop thread only. */
	uint8_t input[STREAM_INPUT_BYTES];
	size_t input_at, input_count;
	bool input_open;

	pthread_mutex_t lock; /* guards what follows */
	uint8_t *ring;
	uint64_t written, read; /* free-running */
	bool connected;
	bool refused; /* a write found no room: the device waits for write_ready */
};

/* 0 or -ENOMEM; after a failure stream_fini() may be called. */
int stream_init(struct stream *stream, const struct stream_ops *ops, struct loop *loop,
		struct err *err);
void stream_fini(struct stream *stream);

/*
 * Someone is there: what the ring holds goes out, input comes in. The descriptors (-1: that
 * direction is not there) stay the caller's, are non-blocking or never block when ready, and need
 * not be pollable (files). Loop thread.
 */
void stream_connect(struct stream *stream, int in_fd, int out_fd);

/* Nobody is there: output is kept in the ring, the oldest first to go. Does nothing if not
 * connected. Loop thread. */
void stream_disconnect(struct stream *stream);

size_t stream_write(struct chardev *chardev, const uint8_t *bytes, size_t count);
void stream_receive_ready(struct chardev *chardev);
void stream_flush(struct chardev *chardev, uint64_t deadline_ns);

/* One constructor a kind. */
int stdio_open(struct loop *loop, struct chardev **ret_chardev, struct err *err);
int pty_open(struct loop *loop, struct chardev **ret_chardev, struct err *err);
int file_open(const char *path, struct loop *loop, struct chardev **ret_chardev, struct err *err);
int unix_open(const char *path, struct loop *loop, struct chardev **ret_chardev, struct err *err);

/* Whether it is stdio; for chardev_set_escape(). */
void stdio_set_escape(struct chardev *chardev, void (*escape)(void *ctx), void *ctx);
