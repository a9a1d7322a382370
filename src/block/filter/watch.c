/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/filter/watch.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/node.h"

struct watch {
	struct block_node node;
	const struct watch_ops *ops;
	void *ctx;
};

static const struct block_ops watch_node_ops;

static int change(struct block_node *node, struct watch_change *change, unsigned flags)
{
	struct watch *watch = container_of(node, struct watch, node);
	uint64_t offset = change->offset, bytes = change->bytes;
	int rc;

	if (watch->ops->before)
		watch->ops->before(watch->ctx, offset, bytes);
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, offset, bytes);
	if (change->op == BLOCK_WRITE)
		rc = block_writev(node->next, offset, bytes, change->from, flags);
	else if (change->op == BLOCK_DISCARD)
		rc = block_discard(node->next, offset, bytes);
	else
		rc = block_write_zeroes(node->next, offset, bytes, flags);
	change->failed = rc;
	if (watch->ops->after)
		watch->ops->after(watch->ctx, change);
	return rc;
}

static int watch_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		       struct block_buffer from, unsigned flags)
{
	struct watch_change write = {
		.op = BLOCK_WRITE, .offset = offset, .bytes = bytes, .from = from
	};

	return change(node, &write, flags);
}

static int watch_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct watch_change discard = { .op = BLOCK_DISCARD, .offset = offset, .bytes = bytes };

	return change(node, &discard, 0);
}

static int watch_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
			      unsigned flags)
{
	struct watch_change zeroes = { .op = BLOCK_WRITE_ZEROES, .offset = offset, .bytes = bytes };

	return change(node, &zeroes, flags);
}

static int watch_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	(void)node;
	(void)bytes;
	err_set(err, EBUSY, "cannot resize the disk: a job works on it");
	err_hint(err, "wait for its end, or cancel it");
	return -EBUSY;
}

static bool watch_can_write_zeroes(struct block_node *node)
{
	return block_can_write_zeroes(node->next);
}

static bool watch_can_discard(struct block_node *node)
{
	return block_can_discard(node->next);
}

static bool watch_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

static void watch_close(struct block_node *node)
{
	block_node_fini(node);
	free(container_of(node, struct watch, node));
}

static const struct block_ops watch_node_ops = {
	.name = "watch",
	.filter = true,
	.write = watch_write,
	.discard = watch_discard,
	.write_zeroes = watch_write_zeroes,
	.resize = watch_resize,
	.can_discard = watch_can_discard,
	.can_write_zeroes = watch_can_write_zeroes,
	.can_fua = watch_can_fua,
	.close = watch_close,
};

int watch_open(struct block_node *next, const struct watch_ops *ops, void *ctx, struct loop *loop,
	       struct block_node **ret_node, struct err *err)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int rc;

	if (!watch)
		return err_errno(err, ENOMEM, "cannot watch a disk");
	block_node_init(&watch->node, &watch_node_ops, loop);
	watch->ops = ops;
	watch->ctx = ctx;
	rc = block_node_start_workers(&watch->node, BLOCK_WORKERS, err);
	if (!rc && block_node_add(&watch->node, next))
		rc = err_errno(err, ENOMEM, "cannot watch a disk");
	if (rc) {
		watch_close(&watch->node);
		return rc;
	}
	*ret_node = &watch->node;
	return 0;
}

bool watch_is(const struct block_node *node)
{
	return node->ops == &watch_node_ops;
}
