/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A request is given its time when it comes: each limit remembers when the next unit is due
 * (`due_ns`), and a request of n units may start at that time less the burst, and moves it on by n
 * units. So there are no buckets to be filled, order is kept over all disks of a group, and nothing
 * has to be tried again.
 *
 * Locks: that of the filter before that of the limiter. The loop's thread lets waiting requests
 * pass, by a timer for the first of them.
 */
#include "block/filter/limits.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/node.h"
#include "host/clock.h"
#include "host/thread.h"

#define LIMITERS    2
#define BURST_PARTS 10 /* of a second, where no burst is given */

struct block_limiter {
	_Atomic unsigned users;
	_Atomic bool any; /* there are limits */

	pthread_mutex_t lock;   /* guards all that follows */
	pthread_cond_t changed; /* limits */
	struct block_limits limits;
	uint64_t due_ns[BLOCK_LIMITS];
	uint64_t generation; /* of the limits */
	struct list members; /* struct membership */
};

struct membership {
	struct list node;
	struct limits *filter;
};

struct limits {
	struct block_node node;
	struct block_limiter *limiters[LIMITERS]; /* NULL at the end */
	struct membership memberships[LIMITERS];
	struct loop_timer timer;
	struct loop_task renew; /* limits have changed */

	pthread_mutex_t lock;
	struct list waiting; /* block_request.queue, by time; guarded by lock */
};

static const struct block_ops limits_ops;

static struct limits *limits_of(struct block_node *node)
{
	check(node->ops == &limits_ops);
	return container_of(node, struct limits, node);
}

/* ---- limiters ---- */

static bool any_limit(const struct block_limits *limits)
{
	bool any = false;

	for (unsigned i = 0; i < BLOCK_LIMITS; i++)
		any |= limits->limits[i].rate != 0;
	return any;
}

int block_limiter_new(struct block_limiter **ret_limiter, const struct block_limits *limits)
{
	struct block_limiter *limiter = calloc(1, sizeof(*limiter));
	pthread_condattr_t monotonic;

	if (!limiter)
		return -ENOMEM;
	limiter->users = 1;
	limiter->limits = *limits;
	limiter->any = any_limit(limits);
	list_init(&limiter->members);
	pthread_mutex_init(&limiter->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&limiter->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*ret_limiter = limiter;
	return 0;
}

struct block_limiter *block_limiter_get(struct block_limiter *limiter)
{
	atomic_fetch_add(&limiter->users, 1);
	return limiter;
}

void block_limiter_put(struct block_limiter *limiter)
{
	if (!limiter || atomic_fetch_sub(&limiter->users, 1) != 1)
		return;
	pthread_cond_destroy(&limiter->changed);
	pthread_mutex_destroy(&limiter->lock);
	free(limiter);
}

void block_limiter_set(struct block_limiter *limiter, const struct block_limits *limits)
{
	struct membership *member;

	LOCK_SCOPE(&limiter->lock);
	limiter->limits = *limits;
	limiter->any = any_limit(limits);
	limiter->generation++;
	for (unsigned i = 0; i < BLOCK_LIMITS; i++)
		limiter->due_ns[i] = 0;
	pthread_cond_broadcast(&limiter->changed);
	list_for_each (member, &limiter->members, node) {
		if (member->filter->node.loop)
			loop_post(member->filter->node.loop, &member->filter->renew);
	}
}

struct block_limits block_limiter_limits(struct block_limiter *limiter)
{
	LOCK_SCOPE(&limiter->lock);
	return limiter->limits;
}

/* How many units of a limit an operation takes. */
static uint64_t units_of(enum block_limit limit, enum block_op op, uint64_t bytes)
{
	bool read = op == BLOCK_READ;
	/* What is discarded or zeroed moves no bytes. */
	uint64_t moved = read || op == BLOCK_WRITE ? bytes : 0;

	switch (limit) {
	case BLOCK_LIMIT_REQUESTS:
		return 1;
	case BLOCK_LIMIT_READS:
		return read;
	case BLOCK_LIMIT_WRITES:
		return !read;
	case BLOCK_LIMIT_BYTES:
		return moved;
	case BLOCK_LIMIT_BYTES_READ:
		return read ? moved : 0;
	default:
		return read ? 0 : moved;
	}
}

/* When the operation may start, which is thereby counted. */
static uint64_t reserve_locked(struct block_limiter *limiter, enum block_op op, uint64_t bytes,
			       uint64_t now)
{
	uint64_t start = now;

	for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
		uint64_t rate = limiter->limits.limits[i].rate;
		uint64_t burst = limiter->limits.limits[i].burst;
		uint64_t units = units_of((enum block_limit)i, op, bytes);
		uint64_t ahead, due = MAX(limiter->due_ns[i], now);

		if (!rate || !units)
			continue;
		ahead = burst ? clock_duration_ns(burst, rate) : NS_PER_SEC / BURST_PARTS;
		if (due > now + ahead)
			start = MAX(start, due - ahead);
		limiter->due_ns[i] = due + clock_duration_ns(units, rate);
	}
	return start;
}

static uint64_t reserve(struct limits *limits, enum block_op op, uint64_t bytes)
{
	uint64_t now = clock_now_ns(), start = 0;

	for (unsigned i = 0; i < LIMITERS && limits->limiters[i]; i++) {
		struct block_limiter *limiter = limits->limiters[i];
		uint64_t at;

		if (!atomic_load_explicit(&limiter->any, memory_order_relaxed))
			continue;
		LOCK_SCOPE(&limiter->lock);
		at = reserve_locked(limiter, op, bytes, now);
		start = MAX(start, at);
	}
	return start > now ? start : 0;
}

/* ---- calls ---- */

static void wait_until(struct block_limiter *limiter, uint64_t start)
{
	struct timespec time = {
		.tv_sec = (time_t)(start / NS_PER_SEC),
		.tv_nsec = (long)(start % NS_PER_SEC),
	};
	uint64_t generation;

	LOCK_SCOPE(&limiter->lock);
	generation = limiter->generation;
	while (clock_now_ns() < start && limiter->generation == generation)
		pthread_cond_timedwait(&limiter->changed, &limiter->lock, &time);
}

/* A change of the own limits ends the wait, as no new place in the order has to be found for it. */
static void wait_turn(struct block_node *node, enum block_op op, uint64_t bytes)
{
	struct limits *limits = limits_of(node);
	uint64_t start = reserve(limits, op, bytes);

	if (start)
		wait_until(limits->limiters[0], start);
}

static int limits_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		       struct block_buffer to)
{
	wait_turn(node, BLOCK_READ, bytes);
	return block_readv(node->next, offset, bytes, to);
}

static int limits_write(struct block_node *node, uint64_t offset, uint64_t bytes,
			struct block_buffer from, unsigned flags)
{
	wait_turn(node, BLOCK_WRITE, bytes);
	return block_writev(node->next, offset, bytes, from, flags);
}

static int limits_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	wait_turn(node, BLOCK_DISCARD, bytes);
	return block_discard(node->next, offset, bytes);
}

static int limits_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
			       unsigned flags)
{
	wait_turn(node, BLOCK_WRITE_ZEROES, bytes);
	return block_write_zeroes(node->next, offset, bytes, flags);
}

static bool limits_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

/* ---- requests ---- */

static void arm(struct limits *limits)
{
	struct block_request *first;
	uint64_t start = 0;

	pthread_mutex_lock(&limits->lock);
	first = list_first(&limits->waiting, struct block_request, queue);
	if (first)
		start = first->start_ns;
	pthread_mutex_unlock(&limits->lock);
	if (first)
		loop_timer_arm(limits->node.loop, &limits->timer, start);
}

static void insert_locked(struct limits *limits, struct block_request *request)
{
	struct list *after = limits->waiting.prev;

	while (after != &limits->waiting &&
	       container_of(after, struct block_request, queue)->start_ns > request->start_ns)
		after = after->prev;
	list_insert_after(after, &request->queue);
}

static void limits_queue(struct block_node *node, struct block_request *request)
{
	struct limits *limits = limits_of(node);
	bool first;

	request->start_ns =
		request->op == BLOCK_FLUSH ? 0 : reserve(limits, request->op, request->bytes);
	if (!request->start_ns) {
		block_pass_on(request);
		return;
	}
	pthread_mutex_lock(&limits->lock);
	insert_locked(limits, request);
	first = limits->waiting.next == &request->queue;
	pthread_mutex_unlock(&limits->lock);
	if (first)
		arm(limits);
}

static struct block_request *next_until(struct limits *limits, uint64_t time)
{
	struct block_request *request;

	LOCK_SCOPE(&limits->lock);
	request = list_first(&limits->waiting, struct block_request, queue);
	if (!request || request->start_ns > time)
		return NULL;
	list_remove(&request->queue);
	return request;
}

/* Lets all pass whose time has come; true if there were any. */
static bool let_pass(struct limits *limits, uint64_t time)
{
	struct block_request *request;
	bool any = false;

	while ((request = next_until(limits, time))) {
		struct block_node *owner = request->owner;

		block_pass_on(request);
		block_kick(owner);
		any = true;
	}
	return any;
}

static void expired(struct loop_timer *timer)
{
	struct limits *limits = container_of(timer, struct limits, timer);

	let_pass(limits, clock_now_ns());
	arm(limits);
}

/* Waiting requests get their times anew, in the old order. */
static void renew(struct loop_task *task)
{
	struct limits *limits = container_of(task, struct limits, renew);
	struct list old = LIST_INIT(old);
	struct block_request *request;

	pthread_mutex_lock(&limits->lock);
	while ((request = list_first(&limits->waiting, struct block_request, queue))) {
		list_remove(&request->queue);
		list_append(&old, &request->queue);
	}
	while ((request = list_first(&old, struct block_request, queue))) {
		list_remove(&request->queue);
		request->start_ns = reserve(limits, request->op, request->bytes);
		insert_locked(limits, request);
	}
	pthread_mutex_unlock(&limits->lock);
	let_pass(limits, clock_now_ns());
	arm(limits);
}

/* Who drains does not wait for limits: a machine is being paused or ended. */
static bool limits_wait(struct block_node *node)
{
	return let_pass(limits_of(node), UINT64_MAX);
}

static void limits_close(struct block_node *node)
{
	struct limits *limits = limits_of(node);

	for (unsigned i = 0; i < LIMITERS && limits->limiters[i]; i++) {
		pthread_mutex_lock(&limits->limiters[i]->lock);
		list_remove(&limits->memberships[i].node);
		pthread_mutex_unlock(&limits->limiters[i]->lock);
		block_limiter_put(limits->limiters[i]);
	}
	if (node->loop) {
		loop_timer_cancel(node->loop, &limits->timer);
		loop_task_cancel(node->loop, &limits->renew);
	}
	pthread_mutex_destroy(&limits->lock);
	block_node_fini(node);
	free(limits);
}

static const struct block_ops limits_ops = {
	.name = "limits",
	.filter = true,
	.read = limits_read,
	.write = limits_write,
	.discard = limits_discard,
	.write_zeroes = limits_write_zeroes,
	.can_fua = limits_can_fua,
	.queue = limits_queue,
	.wait = limits_wait,
	.close = limits_close,
};

static void join(struct limits *limits, struct block_limiter *limiter, unsigned index)
{
	limits->limiters[index] = block_limiter_get(limiter);
	limits->memberships[index].filter = limits;
	LOCK_SCOPE(&limiter->lock);
	list_append(&limiter->members, &limits->memberships[index].node);
}

int limits_open(struct block_node *next, struct block_limiter *own, struct block_limiter *group,
		struct loop *loop, struct block_node **ret_node, struct err *err)
{
	struct limits *limits = calloc(1, sizeof(*limits));
	int rc;

	if (!limits)
		return err_errno(err, ENOMEM, "cannot limit a disk");
	block_node_init(&limits->node, &limits_ops, loop);
	pthread_mutex_init(&limits->lock, NULL);
	list_init(&limits->waiting);
	limits->timer.expired = expired;
	limits->renew.run = renew;
	join(limits, own, 0);
	if (group)
		join(limits, group, 1);
	rc = next->ops->queue ? 0 : block_node_start_workers(next, BLOCK_WORKERS, err);
	if (!rc && block_node_add(&limits->node, next))
		rc = err_errno(err, ENOMEM, "cannot limit a disk");
	if (rc) {
		limits_close(&limits->node);
		return rc;
	}
	*ret_node = &limits->node;
	return 0;
}
