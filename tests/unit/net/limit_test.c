/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Limits on a NIC, between a NIC and a back-end that are both of this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <errno.h>

#include <cmocka.h>

#include "host/clock.h"
#include "net/limit.h"

#define FRAME_BYTES 1000

struct side {
	struct net_backend next; /* first */
	struct loop *loop;
	struct net_backend *net;
	unsigned sent, received; /* frames that passed */
	unsigned send_readies, receive_readies;
	bool closed;
};

static int next_send(struct net_backend *net, unsigned queue, const struct iovec *iov,
		     unsigned iov_count)
{
	((struct side *)net)->sent++;
	return 0;
}

static void next_receive_ready(struct net_backend *net, unsigned queue)
{
	struct side *side = (struct side *)net;

	side->receive_readies++;
	loop_stop(side->loop);
}

static void next_close(struct net_backend *net)
{
	((struct side *)net)->closed = true;
}

static const struct net_ops next_ops = {
	.name = "next",
	.send = next_send,
	.receive_ready = next_receive_ready,
	.close = next_close,
};

static bool nic_receive(void *ctx, unsigned queue, const struct iovec *iov, unsigned iov_count)
{
	((struct side *)ctx)->received++;
	return true;
}

static void nic_send_ready(void *ctx, unsigned queue)
{
	struct side *side = ctx;

	side->send_readies++;
	loop_stop(side->loop);
}

static void side_init(struct side *side, uint64_t receive, uint64_t transmit)
{
	const struct net_limits limits = { .rates = {
						   [NET_RECEIVE] = receive,
						   [NET_TRANSMIT] = transmit,
					   } };

	*side = (struct side){ 0 };
	assert_int_equal(loop_new(&side->loop, NULL), 0);
	side->next = (struct net_backend){ .ops = &next_ops, .loop = side->loop };
	assert_int_equal(net_limit_open(&side->next, &limits, side->loop, &side->net, NULL), 0);
	net_attach(side->net, (struct net_receiver){ nic_receive, nic_send_ready, side });
}

static void side_fini(struct side *side)
{
	net_close(side->net);
	assert_true(side->closed);
	loop_free(side->loop);
}

static uint8_t frame[NET_HEADER_BYTES + FRAME_BYTES];
static const struct iovec iov = { frame, sizeof(frame) };

static int send_one(struct side *side)
{
	return net_send(side->net, 0, &iov, 1);
}

static bool receive_one(struct side *side)
{
	return side->next.receiver.receive(side->next.receiver.ctx, 0, &iov, 1);
}

static void limit_of_nothing_lets_all_pass(void **state)
{
	struct side side;

	(void)state;
	side_init(&side, 0, 0);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(send_one(&side), 0);
		assert_true(receive_one(&side));
	}
	assert_int_equal(side.sent, 1000);
	assert_int_equal(side.received, 1000);
	side_fini(&side);
}

/* A frame a day: the first one passes, the second would have to wait. */
static void limit_of_one_way_leaves_the_other_alone(void **state)
{
	struct side side;

	(void)state;
	side_init(&side, 0, 1);
	assert_int_equal(send_one(&side), 0);
	assert_int_equal(send_one(&side), -EAGAIN);
	assert_int_equal(send_one(&side), -EAGAIN);
	assert_int_equal(side.sent, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_true(receive_one(&side));
	side_fini(&side);
	side_init(&side, 1, 0);
	assert_true(receive_one(&side));
	assert_false(receive_one(&side));
	assert_int_equal(side.received, 1);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(send_one(&side), 0);
	side_fini(&side);
}

/* Sends or receives until it may not, waits to be told, and so on: no sooner than the rate says. */
static void limit_tells_who_waits_and_keeps_the_rate(void **state)
{
	enum { RATE = 100000, FRAMES = 40 };
	uint64_t start, least = (uint64_t)(FRAMES - 1) * FRAME_BYTES * NS_PER_SEC / RATE;
	struct side side;

	(void)state;
	side_init(&side, RATE, RATE);
	start = clock_now_ns();
	while (side.sent < FRAMES) {
		if (send_one(&side))
			assert_int_equal(loop_run(side.loop), 0);
	}
	/* Less what may pass at once. */
	assert_true(clock_now_ns() - start + NS_PER_SEC / 10 >= least);
	assert_true(side.send_readies);
	start = clock_now_ns();
	while (side.received < FRAMES) {
		if (!receive_one(&side))
			assert_int_equal(loop_run(side.loop), 0);
	}
	assert_true(clock_now_ns() - start + NS_PER_SEC / 10 >= least);
	assert_true(side.receive_readies);
	side_fini(&side);
}

static void limit_that_is_lifted_lets_go_of_who_waits(void **state)
{
	struct net_limits limits = { 0 };
	struct side side;

	(void)state;
	side_init(&side, 1, 1);
	assert_int_equal(send_one(&side), 0);
	assert_int_equal(send_one(&side), -EAGAIN);
	net_limit_set(side.net, &limits);
	assert_int_equal(loop_run(side.loop), 0);
	assert_int_equal(side.send_readies, 1);
	assert_int_equal(send_one(&side), 0);
	assert_int_equal(net_limit_get(side.net).rates[NET_TRANSMIT], 0);
	side_fini(&side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limit_of_nothing_lets_all_pass),
		cmocka_unit_test(limit_of_one_way_leaves_the_other_alone),
		cmocka_unit_test(limit_tells_who_waits_and_keeps_the_rate),
		cmocka_unit_test(limit_that_is_lifted_lets_go_of_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
