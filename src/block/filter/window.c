/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/filter/window.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/node.h"

struct window {
	struct block_node node;
	uint64_t start, bytes; /* of the disk behind it */
};

static const struct block_ops window_ops;

static struct window *window_of(struct block_node *node)
{
	check(node->ops == &window_ops);
	return container_of(node, struct window, node);
}

static int window_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		       struct block_buffer to)
{
	return block_readv(node->next, window_of(node)->start + offset, bytes, to);
}

static int window_write(struct block_node *node, uint64_t offset, uint64_t bytes,
			struct block_buffer from, unsigned flags)
{
	return block_writev(node->next, window_of(node)->start + offset, bytes, from, flags);
}

static int window_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	return block_discard(node->next, window_of(node)->start + offset, bytes);
}

static int window_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
			       unsigned flags)
{
	return block_write_zeroes(node->next, window_of(node)->start + offset, bytes, flags);
}

static int window_extent(struct block_node *node, struct block_extent *extent)
{
	uint64_t offset = extent->offset;
	int rc = block_extent(node->next, window_of(node)->start + offset, extent->bytes, extent);

	extent->offset = offset;
	return rc;
}

static bool window_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		       struct block_place *ret_place)
{
	(void)op;
	(void)bytes;
	ret_place->node = node->next;
	ret_place->offset = window_of(node)->start + offset;
	return true;
}

static uint64_t window_size(struct block_node *node)
{
	return window_of(node)->bytes;
}

static bool window_can_discard(struct block_node *node)
{
	return block_can_discard(node->next);
}

static bool window_can_write_zeroes(struct block_node *node)
{
	return block_can_write_zeroes(node->next);
}

static bool window_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

static json_t *window_describe(struct block_node *node)
{
	struct window *window = window_of(node);

	return json_pack("{s:s, s:I, s:I, s:o}", "filter", window_ops.name, "start",
			 (json_int_t)window->start, "size", (json_int_t)window->bytes, "of",
			 block_describe(node->next));
}

static void window_close(struct block_node *node)
{
	block_node_fini(node);
	free(window_of(node));
}

static const struct block_ops window_ops = {
	.name = "window",
	.read = window_read,
	.write = window_write,
	.discard = window_discard,
	.write_zeroes = window_write_zeroes,
	.extent = window_extent,
	.map = window_map,
	.size = window_size,
	.can_discard = window_can_discard,
	.can_write_zeroes = window_can_write_zeroes,
	.can_fua = window_can_fua,
	.describe = window_describe,
	.close = window_close,
};

int window_open(struct block_node *next, uint64_t start, uint64_t bytes, struct loop *loop,
		struct block_node **ret_node, struct err *err)
{
	uint64_t size = block_size_bytes(next);
	struct window *window;

	if (start > size || bytes > size - start || (start | bytes) % block_unit_bytes(next))
		return err_set(err, EINVAL,
			       "bytes %llu and %llu behind it are no part of a disk of %llu bytes",
			       (unsigned long long)start, (unsigned long long)bytes,
			       (unsigned long long)size);
	window = calloc(1, sizeof(*window));
	if (!window)
		return err_errno(err, ENOMEM, "cannot show a part of a disk");
	block_node_init(&window->node, &window_ops, loop);
	window->start = start;
	window->bytes = bytes;
	if (block_node_add(&window->node, next) ||
	    block_node_start_workers(&window->node, BLOCK_WORKERS, err)) {
		window_close(&window->node);
		return err_errno(err, ENOMEM, "cannot show a part of a disk");
	}
	*ret_node = &window->node;
	return 0;
}
