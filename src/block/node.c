/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all nodes share: the checks in front of a request and the way back to the loop behind it.
 *
 * A request is in flight from block_queue() until its `done`. Ended requests wait in `completed`
 * for the node's task, or for block_drain(), which does the same without the loop.
 */
#include "block/block.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/thread.h"

static struct block_request *next_completed(struct block_node *node)
{
	struct block_request *request;

	LOCK_SCOPE(&node->lock);
	request = list_first(&node->completed, struct block_request, queue);
	if (request)
		list_remove(&request->queue);
	return request;
}

bool block_complete_now(struct block_node *node)
{
	struct block_request *request;
	bool any = false;

	while ((request = next_completed(node))) {
		any = true;
		atomic_fetch_sub(&node->in_flight, 1);
		request->done(request, request->result);
	}
	if (any && node->batch_done)
		node->batch_done(node->batch_ctx);
	return any;
}

static void complete_task(struct loop_task *task)
{
	block_complete_now(container_of(task, struct block_node, task));
}

void block_node_init(struct block_node *node, const struct block_ops *ops, struct block_node *next,
		     struct loop *loop)
{
	check(ops->queue && ops->close);
	*node = (struct block_node){ .ops = ops, .next = next, .loop = loop };
	pthread_mutex_init(&node->lock, NULL);
	pthread_cond_init(&node->changed, NULL);
	list_init(&node->completed);
	node->task.run = complete_task;
}

void block_node_fini(struct block_node *node)
{
	loop_task_cancel(node->loop, &node->task);
	pthread_cond_destroy(&node->changed);
	pthread_mutex_destroy(&node->lock);
}

static void append_completed_locked(struct block_node *node, struct block_request *request, int rc)
{
	request->result = rc;
	list_append(&node->completed, &request->queue);
}

void block_complete_batched(struct block_request *request, int rc)
{
	LOCK_SCOPE(&request->node->lock);
	append_completed_locked(request->node, request, rc);
}

void block_complete(struct block_request *request, int rc)
{
	struct block_node *node = request->node;

	LOCK_SCOPE(&node->lock);
	append_completed_locked(node, request, rc);
	pthread_cond_signal(&node->changed);
	/* Under the lock: once it is free, drain and close may have ended the node. */
	loop_post(node->loop, &node->task);
}

static int request_problem(struct block_node *node, const struct block_request *request)
{
	uint64_t size = block_size_bytes(node);
	uint64_t unit = block_unit_bytes(node);

	if (request->op == BLOCK_FLUSH)
		return 0;
	if (request->offset > size || request->bytes > size - request->offset)
		return -EINVAL;
	if ((request->offset | request->bytes) & (unit - 1))
		return -EINVAL;
	if (request->op != BLOCK_READ && !block_can_write(node))
		return -EROFS;
	if (request->op == BLOCK_DISCARD && !block_can_discard(node))
		return -ENOTSUP;
	if (request->op == BLOCK_WRITE_ZEROES && !block_can_write_zeroes(node))
		return -ENOTSUP;
	if (request->op == BLOCK_DISCARD || request->op == BLOCK_WRITE_ZEROES)
		return 0;
	if (request->iov_count > BLOCK_IOV_MAX ||
	    iov_bytes(request->iov, request->iov_count) != request->bytes)
		return -EINVAL;
	return 0;
}

void block_queue(struct block_node *node, struct block_request *request)
{
	int rc = request_problem(node, request);

	request->node = node;
	request->progress = 0;
	atomic_fetch_add(&node->in_flight, 1);
	if (rc || (request->op != BLOCK_FLUSH && !request->bytes))
		block_complete(request, rc);
	else
		node->ops->queue(node, request);
}

void block_kick(struct block_node *node)
{
	if (node->ops->kick)
		node->ops->kick(node);
}

void block_submit(struct block_node *node, struct block_request *request)
{
	block_queue(node, request);
	block_kick(node);
}

/* The first node from `node` on that has the slot; the last of a chain has them all. */
#define FIND_SLOT(node, slot)                                                                      \
	({                                                                                         \
		struct block_node *at_ = (node);                                                   \
		while (!at_->ops->slot && at_->next)                                               \
			at_ = at_->next;                                                           \
		check(at_->ops->slot);                                                             \
		at_;                                                                               \
	})

uint64_t block_size_bytes(struct block_node *node)
{
	node = FIND_SLOT(node, size);
	return node->ops->size(node);
}

uint32_t block_unit_bytes(struct block_node *node)
{
	node = FIND_SLOT(node, block_size);
	return node->ops->block_size(node);
}

bool block_can_write(struct block_node *node)
{
	node = FIND_SLOT(node, can_write);
	return node->ops->can_write(node);
}

bool block_can_discard(struct block_node *node)
{
	node = FIND_SLOT(node, can_discard);
	return node->ops->can_discard(node);
}

bool block_can_write_zeroes(struct block_node *node)
{
	node = FIND_SLOT(node, can_write_zeroes);
	return node->ops->can_write_zeroes(node);
}

json_t *block_describe(struct block_node *node)
{
	node = FIND_SLOT(node, describe);
	return node->ops->describe(node);
}

#undef FIND_SLOT

void block_set_batch_done(struct block_node *node, void (*batch_done)(void *ctx), void *ctx)
{
	node->batch_done = batch_done;
	node->batch_ctx = ctx;
}

static void wait_completed(struct block_node *node)
{
	LOCK_SCOPE(&node->lock);
	while (list_empty(&node->completed))
		pthread_cond_wait(&node->changed, &node->lock);
}

void block_drain(struct block_node *node)
{
	if (!node)
		return;
	block_kick(node);
	while (atomic_load(&node->in_flight)) {
		if (block_complete_now(node))
			continue;
		if (!node->ops->wait || !node->ops->wait(node))
			wait_completed(node);
	}
}

void block_close(struct block_node *node)
{
	while (node) {
		struct block_node *next = node->next;

		check(!atomic_load(&node->in_flight));
		node->ops->close(node);
		node = next;
	}
}
