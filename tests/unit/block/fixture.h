/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk image in the temporary folder, and requests that are waited for. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "block/node.h"
#include "host/fd.h"

struct image {
	char path[64];
	struct loop *loop;
};

/* Byte `i` of every image. */
static inline uint8_t image_byte(uint64_t i)
{
	return (uint8_t)(i / 512 * 7 + i % 251 + 1);
}

static inline void image_init(struct image *image, uint64_t bytes)
{
	uint8_t *content = malloc(bytes + 1);
	int fd;

	strcpy(image->path, "/var/tmp/cella-disk-XXXXXX");
	fd = mkstemp(image->path);
	assert_true(fd >= 0);
	for (uint64_t i = 0; i < bytes; i++)
		content[i] = image_byte(i);
	assert_int_equal(fd_write_all(fd, content, bytes), 0);
	close(fd);
	free(content);
	assert_int_equal(loop_new(&image->loop, NULL), 0);
}

static inline void image_fini(struct image *image)
{
	loop_free(image->loop);
	unlink(image->path);
}

/* Every engine and cache mode that is tested. */
static const struct block_open_options image_engines[] = {
	{ .cache = BLOCK_CACHE_WRITEBACK },
	{ .cache = BLOCK_CACHE_WRITEBACK, .no_io_uring = true },
	{ .cache = BLOCK_CACHE_NONE },
	{ .cache = BLOCK_CACHE_NONE, .no_io_uring = true },
	{ .cache = BLOCK_CACHE_UNSAFE },
	{ .snapshot = true },
	{ .snapshot = true, .no_io_uring = true },
};

static inline struct block_node *image_open(struct image *image, struct block_open_options options)
{
	struct block_node *node = NULL;
	struct err err = ERR_INIT;

	options.path = image->path;
	if (block_open(&options, image->loop, &node, &err))
		fail_msg("%s", err.text);
	return node;
}

struct waited {
	struct block_request request; /* first */
	int rc;
	unsigned calls;
};

static inline void waited_done(struct block_request *request, int rc)
{
	struct waited *waited = container_of(request, struct waited, request);

	waited->rc = rc;
	waited->calls++;
}

static inline int request_run(struct block_node *node, struct block_request request)
{
	struct waited waited = { .request = request };

	waited.request.done = waited_done;
	block_submit(node, &waited.request);
	assert_int_equal(waited.calls, 0);
	block_drain(node);
	assert_int_equal(waited.calls, 1);
	return waited.rc;
}

static inline int request_io(struct block_node *node, enum block_op op, uint64_t offset,
			     void *buffer, uint64_t bytes)
{
	struct iovec iov = { buffer, bytes };

	return request_run(
		node,
		(struct block_request){
			.op = op, .offset = offset, .bytes = bytes, .iov = &iov, .iov_count = 1 });
}

static inline int request_range(struct block_node *node, enum block_op op, uint64_t offset,
				uint64_t bytes, unsigned flags)
{
	return request_run(node,
			   (struct block_request){
				   .op = op, .flags = flags, .offset = offset, .bytes = bytes });
}
