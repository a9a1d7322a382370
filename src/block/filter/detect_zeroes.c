/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/filter/detect_zeroes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/node.h"
#include "block/zero.h"

struct detect_zeroes {
	struct block_node node;
	unsigned flags; /* of write zeroes requests */
};

static const struct block_ops detect_zeroes_ops;

static unsigned zero_flags(struct block_node *node)
{
	check(node->ops == &detect_zeroes_ops);
	return container_of(node, struct detect_zeroes, node)->flags;
}

static bool is_all_zero(struct block_buffer buffer, uint64_t bytes)
{
	for (unsigned i = 0; i < buffer.iov_count && bytes; i++) {
		size_t length = buffer.iov[i].iov_len;
		size_t skip = MIN(buffer.skip, length);
		size_t count = MIN(length - skip, bytes);

		if (!is_zero((const uint8_t *)buffer.iov[i].iov_base + skip, count))
			return false;
		buffer.skip -= skip;
		bytes -= count;
	}
	return true;
}

static int detect_zeroes_write(struct block_node *node, uint64_t offset, uint64_t bytes,
			       struct block_buffer from, unsigned flags)
{
	if (is_all_zero(from, bytes))
		return block_write_zeroes(node->next, offset, bytes,
					  (flags & BLOCK_FUA) | zero_flags(node));
	return block_writev(node->next, offset, bytes, from, flags);
}

static void detect_zeroes_queue(struct block_node *node, struct block_request *request)
{
	struct block_buffer from = { .iov = request->iov, .iov_count = request->iov_count };

	if (request->op == BLOCK_WRITE && block_can_write_zeroes(node->next) &&
	    is_all_zero(from, request->bytes)) {
		request->op = BLOCK_WRITE_ZEROES;
		request->flags |= zero_flags(node);
	}
	block_pass_on(request);
}

static bool detect_zeroes_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

static void detect_zeroes_close(struct block_node *node)
{
	block_node_fini(node);
	free(container_of(node, struct detect_zeroes, node));
}

static const struct block_ops detect_zeroes_ops = {
	.name = "detect-zeroes",
	.filter = true,
	.write = detect_zeroes_write,
	.can_fua = detect_zeroes_can_fua,
	.queue = detect_zeroes_queue,
	.close = detect_zeroes_close,
};

int detect_zeroes_open(struct block_node *next, bool unmap, struct loop *loop,
		       struct block_node **ret_node, struct err *err)
{
	struct detect_zeroes *filter = calloc(1, sizeof(*filter));
	int rc;

	if (!filter)
		return err_errno(err, ENOMEM, "cannot detect zeroes");
	block_node_init(&filter->node, &detect_zeroes_ops, loop);
	filter->flags = unmap ? BLOCK_MAY_UNMAP : 0;
	rc = next->ops->queue ? 0 : block_node_start_workers(next, BLOCK_WORKERS, err);
	if (!rc && block_node_add(&filter->node, next))
		rc = err_errno(err, ENOMEM, "cannot detect zeroes");
	if (rc) {
		detect_zeroes_close(&filter->node);
		return rc;
	}
	*ret_node = &filter->node;
	return 0;
}
