/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters in front of a file: limits and the detection of zeroes. Rates are so low that nothing that
 * waits passes by itself while a test runs. */
#include "fixture.h"

#include <errno.h>

#include "block/filter/detect_zeroes.h"
#include "block/filter/limits.h"
#include "block/node.h"
#include "host/clock.h"

#define DISK_BYTES (64 * KIB)
#define REQUESTS   6

struct rig {
	struct image image;
	struct block_limiter *own, *group;
	struct block_node *node;
	struct waited waited[REQUESTS];
	struct iovec iov[REQUESTS];
	uint8_t data[REQUESTS][512];
};

static void rig_init(struct rig *rig, unsigned engine, const struct block_limits *own,
		     const struct block_limits *group)
{
	struct block_node *file;

	image_init(&rig->image, DISK_BYTES);
	file = image_open(&rig->image, image_engines[engine]);
	assert_int_equal(block_limiter_new(&rig->own, own), 0);
	assert_int_equal(block_limiter_new(&rig->group, group), 0);
	assert_int_equal(limits_open(file, rig->own, rig->group, rig->image.loop, &rig->node, NULL),
			 0);
}

static void rig_fini(struct rig *rig)
{
	block_close(rig->node);
	block_limiter_put(rig->own);
	block_limiter_put(rig->group);
	image_fini(&rig->image);
}

static void queue_one(struct rig *rig, unsigned index, enum block_op op)
{
	rig->iov[index] = (struct iovec){ rig->data[index], 512 };
	rig->waited[index] = (struct waited){ .request = { .op = op,
							   .offset = index * 512,
							   .bytes = 512,
							   .iov = &rig->iov[index],
							   .iov_count = 1,
							   .done = waited_done } };
	block_submit(rig->node, &rig->waited[index].request);
}

static unsigned ended(const struct rig *rig)
{
	unsigned count = 0;

	for (unsigned i = 0; i < REQUESTS; i++)
		count += rig->waited[i].calls;
	return count;
}

/* Runs the loop until so many have ended. */
struct watch {
	struct loop_timer timer;
	struct rig *rig;
	unsigned count;
};

static void look(struct loop_timer *timer)
{
	struct watch *watch = container_of(timer, struct watch, timer);

	if (ended(watch->rig) >= watch->count)
		loop_stop(watch->rig->image.loop);
	else
		loop_timer_arm(watch->rig->image.loop, timer, clock_now_ns() + NS_PER_MS);
}

static void run_until(struct rig *rig, unsigned count)
{
	struct watch watch = { .timer.expired = look, .rig = rig, .count = count };

	loop_timer_arm(rig->image.loop, &watch.timer, 1);
	assert_int_equal(loop_run(rig->image.loop), 0);
}

static const struct block_limits none;

/* What passes of REQUESTS requests, every second one a write. */
static const struct limit_case {
	enum block_limit limit;
	uint64_t rate, burst;
	unsigned passed;
} limit_cases[] = {
	{ BLOCK_LIMIT_BYTES, 1, 1024, 3 },    { BLOCK_LIMIT_BYTES, 1, 1, 1 },
	{ BLOCK_LIMIT_BYTES_READ, 1, 1, 4 },  { BLOCK_LIMIT_BYTES_WRITTEN, 1, 512, 5 },
	{ BLOCK_LIMIT_BYTES, 1 << 30, 0, 6 }, { BLOCK_LIMIT_REQUESTS, 1, 100, 6 },
};

static void limits_let_pass_what_they_say(void **state)
{
	(void)state;
	for (unsigned c = 0; c < ARRAY_SIZE(limit_cases); c++) {
		for (unsigned where = 0; where < 2; where++) {
			struct rig *rig = calloc(1, sizeof(*rig));
			struct block_limits limits = { 0 };

			limits.limits[limit_cases[c].limit].rate = limit_cases[c].rate;
			limits.limits[limit_cases[c].limit].burst = limit_cases[c].burst;
			rig_init(rig, c % 2, where ? &none : &limits, where ? &limits : &none);
			for (unsigned i = 0; i < REQUESTS; i++)
				queue_one(rig, i, i % 2 ? BLOCK_WRITE : BLOCK_READ);
			run_until(rig, limit_cases[c].passed);
			assert_int_equal(ended(rig), limit_cases[c].passed);
			/* Without limits the rest passes. */
			block_limiter_set(where ? rig->group : rig->own, &none);
			run_until(rig, REQUESTS);
			for (unsigned i = 0; i < REQUESTS; i++)
				assert_int_equal(rig->waited[i].rc, 0);
			rig_fini(rig);
			free(rig);
		}
	}
}

static void limits_drained_hold_nothing_back(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct block_limits limits = { .limits[BLOCK_LIMIT_BYTES] = { 1, 1 } };

	(void)state;
	rig_init(rig, 0, &limits, &none);
	for (unsigned i = 0; i < REQUESTS; i++)
		queue_one(rig, i, BLOCK_READ);
	block_drain(rig->node);
	assert_int_equal(ended(rig), REQUESTS);
	for (unsigned i = 0; i < REQUESTS; i++)
		assert_int_equal(rig->data[i][1], image_byte(i * 512 + 1));
	rig_fini(rig);
	free(rig);
}

static void limits_of_a_group_hold_for_all_disks(void **state)
{
	struct block_limits limits = { .limits[BLOCK_LIMIT_BYTES] = { 1, 1 } };
	struct rig *rig = calloc(1, sizeof(*rig));
	struct waited waited = { .rc = 0 };
	struct block_node *other;
	struct image image;
	uint8_t data[512];
	struct iovec iov = { data, sizeof(data) };

	(void)state;
	rig_init(rig, 0, &none, &limits);
	image_init(&image, DISK_BYTES);
	assert_int_equal(limits_open(image_open(&image, image_engines[1]), rig->own, rig->group,
				     image.loop, &other, NULL),
			 0);
	queue_one(rig, 0, BLOCK_READ);
	run_until(rig, 1);
	waited.request = (struct block_request){
		.op = BLOCK_READ, .bytes = 512, .iov = &iov, .iov_count = 1, .done = waited_done
	};
	block_submit(other, &waited.request);
	assert_int_equal(other->in_flight, 1);
	assert_false(block_complete_now(other));
	block_drain(other);
	assert_int_equal(waited.calls, 1);
	block_close(other);
	image_fini(&image);
	rig_fini(rig);
	free(rig);
}

static const struct zero_case {
	bool unmap;
	uint8_t byte;
	unsigned flags; /* of the extent afterwards */
} zero_cases[] = {
	{ true, 0, BLOCK_EXTENT_ZERO },
	{ true, 1, BLOCK_EXTENT_HERE },
	{ false, 1, BLOCK_EXTENT_HERE },
};

static void detect_zeroes_written_become_a_hole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(zero_cases); i++) {
		const struct zero_case *zero = &zero_cases[i / 2];
		uint8_t *data = malloc(8192), *back = malloc(8192);
		struct iovec iov[] = { { data, 4096 }, { data + 4096, 4096 } };
		struct waited waited = { .request = { .op = BLOCK_WRITE,
						      .offset = 4096,
						      .bytes = 8192,
						      .iov = iov,
						      .iov_count = 2,
						      .done = waited_done } };
		struct block_extent extent;
		struct block_node *node;
		struct image image;

		memset(data, 0, 8192);
		data[8191] = zero->byte;
		image_init(&image, DISK_BYTES);
		node = image_open(&image, image_engines[i % 2]);
		assert_int_equal(detect_zeroes_open(node, zero->unmap, image.loop, &node, NULL), 0);
		if (i % 2) {
			assert_int_equal(block_write(node, 4096, data, 8192), 0);
		} else {
			block_submit(node, &waited.request);
			block_drain(node);
			assert_int_equal(waited.rc, 0);
			assert_int_equal(waited.request.op, BLOCK_WRITE);
			assert_int_equal(waited.request.flags, 0);
		}
		assert_int_equal(block_read(node, 4096, back, 8192), 0);
		assert_memory_equal(back, data, 8192);
		assert_int_equal(block_extent(node, 4096, 8192, &extent), 0);
		assert_int_equal(extent.flags & (BLOCK_EXTENT_ZERO | BLOCK_EXTENT_HERE),
				 zero->flags);
		assert_int_equal(extent.bytes, 8192);
		block_close(node);
		image_fini(&image);
		free(back);
		free(data);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_let_pass_what_they_say),
		cmocka_unit_test(limits_drained_hold_nothing_back),
		cmocka_unit_test(limits_of_a_group_hold_for_all_disks),
		cmocka_unit_test(detect_zeroes_written_become_a_hole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
