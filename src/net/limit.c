/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A direction remembers when the next byte is due. A frame may pass a tenth of a second before that
 * time, and moves it on by its bytes; else its queue waits, and a timer lets all that wait try again.
 * Threads that send at once may pass together: the next frame then waits longer.
 *
 * No lock is held while the NIC or the back-end behind is called.
 */
#include "net/limit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"

#define BURST_NS   (NS_PER_SEC / 10)
#define QUEUES_MAX 64 /* bits of `waiting` */

struct direction {
	_Atomic uint64_t rate;
	struct limit *limit;
	struct loop_timer timer;
	uint64_t due_ns;  /* guarded by the lock */
	uint64_t waiting; /* queues; guarded by the lock */
};

struct limit {
	struct net_backend net; /* first */
	struct net_backend *next;
	pthread_mutex_t lock;
	struct direction directions[NET_DIRECTIONS];
};

static const struct net_ops limit_ops;

static struct limit *limit_of(struct net_backend *net)
{
	check(net->ops == &limit_ops);
	return container_of(net, struct limit, net);
}

/* Whether a frame may pass; if not, the queue is told when one may. */
static bool may_pass(struct direction *direction, unsigned queue)
{
	struct limit *limit = direction->limit;
	uint64_t now;

	if (!atomic_load_explicit(&direction->rate, memory_order_relaxed))
		return true;
	now = clock_now_ns();
	LOCK_SCOPE(&limit->lock);
	if (direction->due_ns <= now + BURST_NS)
		return true;
	direction->waiting |= UINT64_C(1) << queue;
	/* Without memory for the timer the limit gives way. */
	return loop_timer_arm(limit->net.loop, &direction->timer, direction->due_ns - BURST_NS);
}

static void count(struct direction *direction, size_t bytes)
{
	uint64_t rate = atomic_load_explicit(&direction->rate, memory_order_relaxed);

	if (!rate)
		return;
	LOCK_SCOPE(&direction->limit->lock);
	direction->due_ns = MAX(direction->due_ns, clock_now_ns()) + clock_duration_ns(bytes, rate);
}

static size_t frame_bytes(const struct iovec *iov, unsigned iov_count)
{
	size_t bytes = iov_bytes(iov, iov_count);

	return bytes > NET_HEADER_BYTES ? bytes - NET_HEADER_BYTES : 0;
}

/* ---- the NIC's side ---- */

static int limit_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
		      unsigned iov_count)
{
	struct limit *limit = limit_of(net);
	struct direction *direction = &limit->directions[NET_TRANSMIT];
	int rc;

	if (!may_pass(direction, queue))
		return -EAGAIN;
	rc = net_send(limit->next, queue, iov, iov_count);
	if (!rc)
		count(direction, frame_bytes(iov, iov_count));
	return rc;
}

static void limit_receive_ready(struct net_backend *net, unsigned queue)
{
	net_receive_ready(limit_of(net)->next, queue);
}

static unsigned limit_offloads(struct net_backend *net)
{
	return net_offloads(limit_of(net)->next);
}

static int limit_offloads_set(struct net_backend *net, unsigned from_guest, unsigned to_guest)
{
	return net_offloads_set(limit_of(net)->next, from_guest, to_guest);
}

static unsigned limit_queues(struct net_backend *net)
{
	return MIN(net_queues(limit_of(net)->next), (unsigned)QUEUES_MAX);
}

static int limit_queues_set(struct net_backend *net, unsigned pairs)
{
	return net_queues_set(limit_of(net)->next, pairs);
}

static int limit_forwards_set(struct net_backend *net, const struct net_hostfwd *forwards,
			      unsigned count, struct err *err)
{
	return net_forwards_set(limit_of(net)->next, forwards, count, err);
}

static int limit_rules_set(struct net_backend *net, struct net_rules *rules, struct err *err)
{
	return net_rules_set(limit_of(net)->next, rules, err);
}

static json_t *limit_describe(struct net_backend *net)
{
	return net_describe(limit_of(net)->next);
}

static void limit_close(struct net_backend *net)
{
	struct limit *limit = limit_of(net);

	net_close(limit->next);
	for (unsigned i = 0; i < NET_DIRECTIONS; i++)
		loop_timer_cancel(net->loop, &limit->directions[i].timer);
	pthread_mutex_destroy(&limit->lock);
	free(limit);
}

static const struct net_ops limit_ops = {
	.name = "limit",
	.send = limit_send,
	.receive_ready = limit_receive_ready,
	.close = limit_close,
	.offloads = limit_offloads,
	.offloads_set = limit_offloads_set,
	.queues = limit_queues,
	.queues_set = limit_queues_set,
	.forwards_set = limit_forwards_set,
	.rules_set = limit_rules_set,
	.describe = limit_describe,
};

/* ---- the side of the back-end behind ---- */

static bool receive(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	struct limit *limit = ctx;
	struct direction *direction = &limit->directions[NET_RECEIVE];
	const struct net_receiver *receiver = &limit->net.receiver;

	if (!receiver->receive || !may_pass(direction, queue) ||
	    !receiver->receive(receiver->ctx, queue, iov, iov_count))
		return false;
	count(direction, frame_bytes(iov, iov_count));
	return true;
}

static void send_ready(void *ctx, unsigned queue)
{
	const struct net_receiver *receiver = &((struct limit *)ctx)->net.receiver;

	if (receiver->send_ready)
		receiver->send_ready(receiver->ctx, queue);
}

/* ---- time ---- */

static uint64_t take_waiting(struct direction *direction)
{
	uint64_t waiting;

	LOCK_SCOPE(&direction->limit->lock);
	waiting = direction->waiting;
	direction->waiting = 0;
	return waiting;
}

static void expired(struct loop_timer *timer)
{
	struct direction *direction = container_of(timer, struct direction, timer);
	struct limit *limit = direction->limit;
	uint64_t waiting = take_waiting(direction);

	for (unsigned queue = 0; queue < QUEUES_MAX; queue++) {
		if (!(waiting >> queue & 1))
			continue;
		if (direction == &limit->directions[NET_TRANSMIT])
			send_ready(limit, queue);
		else
			net_receive_ready(limit->next, queue);
	}
}

/* ---- opening ---- */

int net_limit_open(struct net_backend *next, const struct net_limits *limits, struct loop *loop,
		   struct net_backend **ret_net, struct err *err)
{
	struct limit *limit = calloc(1, sizeof(*limit));

	if (!limit)
		return err_errno(err, ENOMEM, "cannot limit a network");
	limit->net = (struct net_backend){ .ops = &limit_ops, .loop = loop };
	limit->next = next;
	pthread_mutex_init(&limit->lock, NULL);
	for (unsigned i = 0; i < NET_DIRECTIONS; i++) {
		limit->directions[i].limit = limit;
		limit->directions[i].timer.expired = expired;
		atomic_init(&limit->directions[i].rate, limits->rates[i]);
	}
	net_attach(next, (struct net_receiver){
				 .receive = receive, .send_ready = send_ready, .ctx = limit });
	*ret_net = &limit->net;
	return 0;
}

void net_limit_set(struct net_backend *net, const struct net_limits *limits)
{
	struct limit *limit = limit_of(net);

	LOCK_SCOPE(&limit->lock);
	for (unsigned i = 0; i < NET_DIRECTIONS; i++) {
		struct direction *direction = &limit->directions[i];

		atomic_store(&direction->rate, limits->rates[i]);
		direction->due_ns = 0;
		if (direction->waiting)
			loop_timer_arm(net->loop, &direction->timer, clock_now_ns());
	}
}

struct net_limits net_limit_get(struct net_backend *net)
{
	struct limit *limit = limit_of(net);
	struct net_limits limits;

	for (unsigned i = 0; i < NET_DIRECTIONS; i++)
		limits.rates[i] = atomic_load(&limit->directions[i].rate);
	return limits;
}
