/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file whose lease has run out is read and never changed, by whatever way. */
#include "fixture.h"

#include <errno.h>

#include "block/lease.h"

#define DISK_BYTES (64 * KIB)
#define FAR_NS     (UINT64_C(1) << 62)

static const struct {
	enum block_op op;
	bool changes;
} cases[] = {
	{ BLOCK_READ, false },   { BLOCK_FLUSH, false },       { BLOCK_WRITE, true },
	{ BLOCK_DISCARD, true }, { BLOCK_WRITE_ZEROES, true },
};

static int by_request(struct block_node *node, enum block_op op, uint8_t *buffer)
{
	if (op == BLOCK_READ || op == BLOCK_WRITE)
		return request_io(node, op, 512, buffer, 512);
	return request_range(node, op, op == BLOCK_FLUSH ? 0 : 512, op == BLOCK_FLUSH ? 0 : 512, 0);
}

static int by_call(struct block_node *node, enum block_op op, uint8_t *buffer)
{
	switch (op) {
	case BLOCK_READ:
		return block_read(node, 512, buffer, 512);
	case BLOCK_WRITE:
		return block_write(node, 512, buffer, 512);
	case BLOCK_DISCARD:
		return block_discard(node, 512, 512);
	case BLOCK_WRITE_ZEROES:
		return block_write_zeroes(node, 512, 512, 0);
	default:
		return block_flush(node);
	}
}

static void lease_run_out_lets_nothing_be_changed(void **state)
{
	(void)state;
	for (unsigned engine = 0; engine < 4; engine++) {
		struct block_open_options options = image_engines[engine];
		struct block_lease lease = { 0 };
		uint8_t sector[512] = { 0x77 };
		struct block_node *node;
		struct image image;

		image_init(&image, DISK_BYTES);
		options.lease = &lease;
		node = image_open(&image, options);
		for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
			int refused = cases[i].changes ? -ESTALE : 0;

			block_lease_set(&lease, 0);
			assert_int_equal(by_request(node, cases[i].op, sector), refused);
			assert_int_equal(by_call(node, cases[i].op, sector), refused);
			block_lease_set(&lease, 1);
			assert_int_equal(by_request(node, cases[i].op, sector), refused);
		}
		assert_int_equal(block_resize(node, 2 * DISK_BYTES, NULL), -ESTALE);
		assert_int_equal(block_read(node, 512, sector, 512), 0);
		assert_int_equal(sector[1], image_byte(513));
		block_lease_set(&lease, FAR_NS);
		for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
			assert_int_equal(by_request(node, cases[i].op, sector), 0);
			assert_int_equal(by_call(node, cases[i].op, sector), 0);
		}
		assert_int_equal(block_resize(node, 2 * DISK_BYTES, NULL), 0);
		block_close(node);
		image_fini(&image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lease_run_out_lets_nothing_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
