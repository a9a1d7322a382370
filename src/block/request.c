/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests: down the graph to who can do them without waiting, or to a worker thread; and back to
 * the loop.
 *
 * A request belongs to the node it was queued at (`owner`) from block_queue() until its `done`. On
 * its way down it moves to other nodes (`node`, `position`) as map() names them, holding its range
 * of each node that it passed. Ended requests wait in a list for the owner's task, or for
 * block_drain(), which does the same in place of the loop.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/node.h"
#include "host/thread.h"

/* ---- the way back ---- */

static struct block_request *next_completed(struct block_node *node)
{
	struct block_request *request;

	LOCK_SCOPE(&node->lock);
	request = list_first(&node->completed, struct block_request, queue);
	if (request)
		list_remove(&request->queue);
	return request;
}

static void batch_ended(struct block_node *owner)
{
	if (owner && owner->batch_done)
		owner->batch_done(owner->batch_ctx);
}

bool block_complete_now(struct block_node *node)
{
	struct block_node *last = NULL;
	struct block_request *request;

	while ((request = next_completed(node))) {
		struct block_node *owner = request->owner;

		if (owner != last)
			batch_ended(last);
		last = owner;
		atomic_fetch_sub(&owner->in_flight, 1);
		request->done(request, request->result);
	}
	batch_ended(last);
	return last;
}

static void release_holds(struct block_request *request, unsigned keep)
{
	while (request->hold_count > keep)
		range_unlock(&request->holds[--request->hold_count]);
}

static void end(struct block_request *request, int rc)
{
	release_holds(request, 0);
	request->op = request->asked_op;
	request->flags = request->asked_flags;
	request->result = rc;
}

void block_complete_batched(struct block_request *request, int rc)
{
	struct block_node *node = request->node;

	end(request, rc);
	LOCK_SCOPE(&node->lock);
	list_append(&node->completed, &request->queue);
}

void block_complete(struct block_request *request, int rc)
{
	struct block_node *owner = request->owner;

	end(request, rc);
	LOCK_SCOPE(&owner->lock);
	list_append(&owner->completed, &request->queue);
	pthread_cond_signal(&owner->changed);
	/* Under the lock: once it is free, drain and close may have ended the node. */
	loop_post(owner->loop, &owner->task);
}

void block_complete_at_once(struct block_request *request, int rc)
{
	struct block_node *owner = request->owner;

	end(request, rc);
	LOCK_SCOPE(&owner->lock);
	list_append(&owner->completed, &request->queue);
	atomic_store(&owner->at_once, true);
	pthread_cond_signal(&owner->changed);
}

struct block_request *block_take_ended(struct block_node *node, int *ret_rc)
{
	struct block_request *request;

	if (!atomic_load(&node->at_once))
		return NULL;
	LOCK_SCOPE(&node->lock);
	request = list_first(&node->completed, struct block_request, queue);
	if (!request) {
		atomic_store(&node->at_once, false);
		return NULL;
	}
	list_remove(&request->queue);
	*ret_rc = request->result;
	/* Who drains may wait for it. */
	atomic_fetch_add(&node->taken, 1);
	atomic_fetch_sub(&node->in_flight, 1);
	pthread_cond_signal(&node->changed);
	return request;
}

/* Those that nobody took. */
static void tell_at_once(struct block_node *node)
{
	if (!atomic_load(&node->at_once))
		return;
	LOCK_SCOPE(&node->lock);
	atomic_store(&node->at_once, false);
	if (!list_empty(&node->completed))
		loop_post(node->loop, &node->task);
}

/* ---- workers ---- */

static int perform(struct block_request *request)
{
	uint64_t offset = request->position + request->progress;
	uint64_t bytes = request->bytes - request->progress;
	struct block_buffer buffer = {
		.iov = request->iov,
		.iov_count = request->iov_count,
		.skip = request->progress,
	};

	switch (request->op) {
	case BLOCK_READ:
		return block_readv(request->node, offset, bytes, buffer);
	case BLOCK_WRITE:
		return block_writev(request->node, offset, bytes, buffer, request->flags);
	case BLOCK_FLUSH:
		return block_flush(request->node);
	case BLOCK_DISCARD:
		return block_discard(request->node, offset, bytes);
	case BLOCK_WRITE_ZEROES:
		return block_write_zeroes(request->node, offset, bytes, request->flags);
	}
	return -ENOTSUP;
}

static void perform_work(struct work *work)
{
	struct block_request *request = container_of(work, struct block_request, work);

	block_complete(request, perform(request));
}

void block_hand_to_worker(struct block_request *request)
{
	struct range *last = request->hold_count ? &request->holds[request->hold_count - 1] : NULL;

	/* The blocking method takes the ranges of its node itself, and would wait for this one. Those
	 * of the nodes before say that the place is still theirs. */
	if (last && last->owner == &request->node->ranges) {
		range_unlock(last);
		request->hold_count--;
	}
	request->work.run = perform_work;
	workers_submit(request->node->workers, &request->work);
}

/* ---- the way down ---- */

bool block_request_hold(struct block_request *request, struct range_lock *lock, uint64_t from,
			uint64_t bytes)
{
	if (request->hold_count == BLOCK_HOLDS ||
	    !range_try_shared(lock, &request->holds[request->hold_count], from, bytes))
		return false;
	request->hold_count++;
	return true;
}

static bool may_be_mapped(const struct block_request *request)
{
	return request->op == BLOCK_READ || request->op == BLOCK_WRITE ||
	       request->op == BLOCK_FLUSH;
}

/* Whether the node that a request is mapped to may have it as it is. */
static bool fits(struct block_node *node, const struct block_request *request, uint64_t offset)
{
	uint64_t size = block_size_bytes(node);

	if (request->op == BLOCK_FLUSH)
		return true;
	return offset <= size && request->bytes <= size - offset &&
	       !((offset | request->bytes) & (block_unit_bytes(node) - 1));
}

/* A write that must be durable when it ends goes down only if no metadata has to follow it. */
static bool durable_at(struct block_node *node, const struct block_request *request,
		       struct block_node *place_node)
{
	struct block_place place = { 0 };

	if (request->op != BLOCK_WRITE || !(request->flags & BLOCK_FUA))
		return true;
	return node->ops->map(node, BLOCK_FLUSH, 0, 0, &place) && place.node == place_node;
}

enum step { MOVED, ENDED, STUCK };

static bool has_method(const struct block_ops *ops, enum block_op op)
{
	switch (op) {
	case BLOCK_READ:
		return ops->read;
	case BLOCK_WRITE:
		return ops->write;
	case BLOCK_FLUSH:
		return ops->flush;
	case BLOCK_DISCARD:
		return ops->discard;
	default:
		return ops->write_zeroes;
	}
}

/* One node further down, if that node's map() knows where to. */
static enum step step_down(struct block_request *request)
{
	struct block_node *node = request->node;
	struct block_place place = { 0 };

	if (node->ops->filter && node->next && !has_method(node->ops, request->op)) {
		request->node = node->next;
		return MOVED;
	}
	if (!node->ops->map || !may_be_mapped(request))
		return STUCK;
	if (request->op != BLOCK_FLUSH && block_can_write(node) &&
	    !block_request_hold(request, &node->ranges, request->position, request->bytes))
		return STUCK;
	if (!node->ops->map(node, request->op, request->position, request->bytes, &place))
		return STUCK;
	if (!place.node) {
		check(request->op == BLOCK_READ);
		iov_fill(request->iov, request->iov_count, 0, 0, request->bytes);
		return ENDED;
	}
	if (!fits(place.node, request, place.offset) || !durable_at(node, request, place.node))
		return STUCK;
	request->node = place.node;
	request->position = place.offset;
	return MOVED;
}

/* From where it is on: to a node that decides itself, its end, or a worker. */
static void dispatch(struct block_request *request)
{
	struct block_node *owner = request->owner;
	struct block_node *node, *before;

	request->base.node = request->node;
	request->base.position = request->position;
	request->base.hold_count = request->hold_count;
	while (!request->node->ops->queue) {
		enum step step = step_down(request);

		if (step == ENDED) {
			block_complete_at_once(request, 0);
			return;
		}
		if (step == STUCK) {
			release_holds(request, request->base.hold_count);
			request->node = request->base.node;
			request->position = request->base.position;
			block_hand_to_worker(request);
			return;
		}
	}
	node = request->node;
	node->ops->queue(node, request);
	if (node == owner)
		return;
	/* Only the last place is remembered for the kick, so another one is kicked now. */
	before = atomic_exchange(&owner->to_kick, node);
	if (before && before != node)
		block_kick(before);
}

void block_pass_on(struct block_request *request)
{
	request->node = request->node->next;
	dispatch(request);
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

/* Starts a request that belongs to the node. */
static void start(struct block_node *node, struct block_request *request)
{
	int rc = request_problem(node, request);

	request->owner = request->node = node;
	request->position = request->offset;
	request->progress = 0;
	request->hold_count = 0;
	request->asked_op = request->op;
	request->asked_flags = request->flags;
	atomic_fetch_add(&node->in_flight, 1);
	if (rc || (request->op != BLOCK_FLUSH && !request->bytes))
		block_complete_at_once(request, rc);
	else
		dispatch(request);
}

/* While the graph is being changed: the request waits for the end of that. */
static bool hold_back(struct block_node *node, struct block_request *request)
{
	if (!atomic_load(&node->changing))
		return false;
	LOCK_SCOPE(&node->lock);
	if (!atomic_load(&node->changing))
		return false;
	list_append(&node->held_back, &request->queue);
	return true;
}

void block_queue(struct block_node *node, struct block_request *request)
{
	check(node->loop && (node->ops->queue || node->workers));
	atomic_fetch_add(&node->inside, 1);
	if (!hold_back(node, request))
		start(node, request);
	atomic_fetch_sub(&node->inside, 1);
}

void block_kick(struct block_node *node)
{
	struct block_node *place;

	atomic_fetch_add(&node->inside, 1);
	place = atomic_exchange(&node->to_kick, NULL);
	if (place)
		block_kick(place);
	if (node->ops->kick)
		node->ops->kick(node);
	tell_at_once(node);
	atomic_fetch_sub(&node->inside, 1);
}

void block_submit(struct block_node *node, struct block_request *request)
{
	block_queue(node, request);
	block_kick(node);
}

void block_set_batch_done(struct block_node *node, void (*batch_done)(void *ctx), void *ctx)
{
	node->batch_done = batch_done;
	node->batch_ctx = ctx;
}

/* For one that is with a worker, or that somebody has taken since `taken`. */
static void wait_completed(struct block_node *node, unsigned taken)
{
	LOCK_SCOPE(&node->lock);
	while (list_empty(&node->completed) && atomic_load(&node->taken) == taken)
		pthread_cond_wait(&node->changed, &node->lock);
}

/* Waits for what does not complete by itself, of the first node below that has such. */
static bool wait_graph(struct block_node *node)
{
	if (node->ops->wait && node->ops->wait(node))
		return true;
	for (unsigned i = 0; i < node->child_count; i++) {
		if (wait_graph(node->children[i]))
			return true;
	}
	return false;
}

struct resize {
	struct work work;
	struct block_node *node;
	uint64_t bytes;
	struct err *err;
	int rc;
	bool done; /* guarded by the node's lock */
};

static void resize_work(struct work *work)
{
	struct resize *resize = container_of(work, struct resize, work);
	struct block_node *node = resize->node;

	resize->rc = block_resize(node, resize->bytes, resize->err);
	LOCK_SCOPE(&node->lock);
	resize->done = true;
	pthread_cond_signal(&node->changed);
}

int block_resize_by_worker(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct resize resize = {
		.work.run = resize_work, .node = node, .bytes = bytes, .err = err
	};
	struct block_node *at = node;

	while (at && !at->workers)
		at = at->next;
	if (!at)
		return block_resize(node, bytes, err);
	workers_submit(at->workers, &resize.work);
	LOCK_SCOPE(&node->lock);
	while (!resize.done)
		pthread_cond_wait(&node->changed, &node->lock);
	return resize.rc;
}

void block_drain(struct block_node *node)
{
	if (!node)
		return;
	LOOP_HOLD_SCOPE(node->loop);
	block_kick(node);
	while (atomic_load(&node->in_flight)) {
		unsigned taken = atomic_load(&node->taken);
		/* Who is on the way in may yet put a request where only wait_graph() finds it. */
		bool settled = !atomic_load(&node->inside);

		if (block_complete_now(node) || wait_graph(node))
			continue;
		if (settled)
			wait_completed(node, taken);
		else
			sched_yield();
	}
}

/* ---- changes of the graph ---- */

/* Nothing of the root is in the graph any more, and nothing comes. */
static void quiesce(struct block_node *root)
{
	pthread_mutex_lock(&root->lock);
	atomic_store(&root->changing, true);
	pthread_mutex_unlock(&root->lock);
	block_drain(root);
	/* Who was on the way in when the gate closed may still queue something, or kick. */
	while (atomic_load(&root->inside) || atomic_load(&root->in_flight)) {
		sched_yield();
		block_drain(root);
	}
}

static void let_go(struct block_node *root)
{
	struct list held = LIST_INIT(held);
	struct block_request *request;

	pthread_mutex_lock(&root->lock);
	atomic_store(&root->changing, false);
	while ((request = list_first(&root->held_back, struct block_request, queue))) {
		list_remove(&request->queue);
		list_append(&held, &request->queue);
	}
	pthread_mutex_unlock(&root->lock);
	while ((request = list_first(&held, struct block_request, queue))) {
		list_remove(&request->queue);
		block_queue(root, request);
	}
	block_kick(root);
}

int block_change(struct block_node *root, int (*change)(void *ctx, struct err *err), void *ctx,
		 struct err *err)
{
	int rc;

	LOOP_HOLD_SCOPE(root->loop);
	quiesce(root);
	rc = change(ctx, err);
	let_go(root);
	return rc;
}
