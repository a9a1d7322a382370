/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parallel copy: content, what stays sparse, and how failures and an early end are told. */
#include "fixture.h"

#include <errno.h>

#include "base/iov.h"
#include "block/job/copy.h"
#include "block/zero.h"
#include "paged.h"

#define DISK_BYTES ((uint64_t)PAGED_COUNT * PAGED_GRANULE)

struct rig {
	struct image from_image, to_image;
	struct block_node *from, *to;
};

static void rig_init(struct rig *rig)
{
	image_init(&rig->from_image, 0);
	image_init(&rig->to_image, DISK_BYTES);
	rig->from = paged_open(image_open(&rig->from_image, (struct block_open_options){ 0 }));
	rig->to = image_open(&rig->to_image, (struct block_open_options){ 0 });
}

static void rig_fini(struct rig *rig)
{
	block_close(rig->from);
	block_close(rig->to);
	image_fini(&rig->from_image);
	image_fini(&rig->to_image);
}

static int copy_run(const struct block_copy_options *options, struct err *err)
{
	struct block_copy *copy;
	uint64_t done;
	int rc;

	assert_int_equal(block_copy_start(&copy, options, NULL), 0);
	while (!block_copy_wait(copy, 1000000))
		;
	done = block_copy_done_bytes(copy);
	rc = block_copy_end(copy, err);
	if (!rc)
		assert_int_equal(done, options->bytes);
	return rc;
}

static void expect_same(struct rig *rig)
{
	uint8_t *a = malloc(DISK_BYTES), *b = malloc(DISK_BYTES);

	assert_int_equal(block_read(rig->from, 0, a, DISK_BYTES), 0);
	assert_int_equal(block_read(rig->to, 0, b, DISK_BYTES), 0);
	assert_memory_equal(a, b, DISK_BYTES);
	free(a);
	free(b);
}

static const struct variant {
	unsigned threads;
	uint32_t sparse_bytes;
	bool target_zero;
} variants[] = {
	{ 1, 0, false }, { 4, 512, false }, { 0, 4096, true }, { 16, 65536, true }, { 3, 0, true },
};

static void copy_of_scattered_disk_is_the_same(void **state)
{
	(void)state;
	for (unsigned v = 0; v < ARRAY_SIZE(variants); v++) {
		struct block_copy_options options = {
			.bytes = DISK_BYTES,
			.threads = variants[v].threads,
			.sparse_bytes = variants[v].sparse_bytes,
			.target_zero = variants[v].target_zero,
		};
		uint8_t data[PAGED_GRANULE] = { 0 };
		struct rig rig;

		rig_init(&rig);
		options.from = rig.from;
		options.to = rig.to;
		if (variants[v].target_zero)
			assert_int_equal(block_write_zeroes(rig.to, 0, DISK_BYTES, 0), 0);
		for (unsigned i = 0; i < PAGED_COUNT; i += 1 + i % 3) {
			memset(data, (int)i, sizeof(data));
			memset(data + i * 13 % 4096, 0, 4096 - i * 13 % 4096);
			assert_int_equal(
				block_write(rig.from, i * PAGED_GRANULE, data, sizeof(data)), 0);
		}
		assert_int_equal(copy_run(&options, NULL), 0);
		expect_same(&rig);
		rig_fini(&rig);
	}
}

static void copy_leaves_zeroes_out(void **state)
{
	uint8_t data[PAGED_GRANULE] = { 0 };
	struct block_extent extent;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(block_resize(rig.to, 0, NULL), 0);
	assert_int_equal(block_resize(rig.to, DISK_BYTES, NULL), 0);
	assert_int_equal(block_write(rig.from, 0, data, sizeof(data)), 0);
	assert_int_equal(copy_run(&(struct block_copy_options){ .from = rig.from,
								.to = rig.to,
								.bytes = DISK_BYTES,
								.sparse_bytes = 4096,
								.target_zero = true },
				  NULL),
			 0);
	assert_int_equal(block_extent_joined(rig.to, 0, DISK_BYTES, &extent), 0);
	assert_int_equal(extent.flags & BLOCK_EXTENT_ZERO, BLOCK_EXTENT_ZERO);
	assert_int_equal(extent.bytes, DISK_BYTES);
	rig_fini(&rig);
}

static void copy_to_smaller_target_names_the_place(void **state)
{
	uint8_t data[512] = { 1 };
	struct err err = ERR_INIT;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	assert_int_equal(block_resize(rig.to, DISK_BYTES / 2, NULL), 0);
	assert_int_equal(block_write(rig.from, DISK_BYTES - 512, data, 512), 0);
	assert_int_equal(copy_run(&(struct block_copy_options){ .from = rig.from,
								.to = rig.to,
								.bytes = DISK_BYTES,
								.target_zero = true },
				  &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "cannot write at byte 258048"));
	rig_fini(&rig);
}

static void copy_cancelled_says_so(void **state)
{
	struct block_copy *copy;
	struct rig rig;
	int rc;

	(void)state;
	rig_init(&rig);
	assert_int_equal(block_copy_start(&copy,
					  &(struct block_copy_options){ .from = rig.from,
									.to = rig.to,
									.bytes = DISK_BYTES },
					  NULL),
			 0);
	block_copy_cancel(copy);
	rc = block_copy_end(copy, NULL);
	/* It may have been quicker. */
	assert_true(rc == -ECANCELED || rc == 0);
	rig_fini(&rig);
}

static void is_zero_one_bit_anywhere_is_found(void **state)
{
	uint8_t memory[300] = { 0 };

	(void)state;
	for (size_t bytes = 0; bytes < sizeof(memory); bytes++) {
		assert_true(is_zero(memory, bytes));
		for (size_t at = 0; at < sizeof(memory); at++) {
			memory[at] = 0x10;
			assert_int_equal(is_zero(memory, bytes), at >= bytes);
			memory[at] = 0;
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copy_of_scattered_disk_is_the_same),
		cmocka_unit_test(copy_leaves_zeroes_out),
		cmocka_unit_test(copy_to_smaller_target_names_the_place),
		cmocka_unit_test(copy_cancelled_says_so),
		cmocka_unit_test(is_zero_one_bit_anywhere_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
