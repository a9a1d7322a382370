/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VDI images against a model, resized, damaged and repaired. */
#include "model.h"

#include "base/bytes.h"

#define MAP_OFFSET  MIB
#define DATA_OFFSET (2 * MIB)

static const struct model_image images[] = {
	{ .format = "vdi", .bytes = 9 * MIB },
	{ .format = "vdi", .bytes = 5 * MIB + 512 },
	{ .format = "vdi", .bytes = 4 * MIB + 7 * 512, .settings = "subformat=static" },
};

static void vdi_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		struct model model;

		model_init_image(&model, "disk.vdi", &images[i]);
		model_run(&model, "disk.vdi", "vdi", 4, 60);
		model_fini(&model);
	}
}

static void vdi_written_by_threads_matches_model(void **state)
{
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vdi", &images[0]);
	model_run_threads(&model, "disk.vdi", "vdi");
	model_fini(&model);
}

static void vdi_grown_reads_zeroes_behind(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		struct err err = ERR_INIT;
		struct model model;

		model_init_image(&model, "disk.vdi", &images[i]);
		assert_int_equal(
			model_open(&model, "disk.vdi", "vdi", (struct block_open_options){ 0 }), 0);
		model_write(&model, model.bytes - 512, 512);
		model_set_bytes(&model, 12 * MIB + 512);
		assert_int_equal(block_resize(model.node, model.bytes, &err), 0);
		model_expect(&model);
		model_close(&model);
		model_run(&model, "disk.vdi", "vdi", 2, 40);
		model_fini(&model);
	}
}

static void vdi_grown_too_far_is_refused(void **state)
{
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vdi", &images[0]);
	assert_int_equal(model_open(&model, "disk.vdi", "vdi", (struct block_open_options){ 0 }),
			 0);
	/* The map has room for 1 MiB of entries. */
	assert_int_equal(block_resize(model.node, 256 * GIB, &err), 0);
	assert_int_equal(block_resize(model.node, 256 * GIB + 512, &err), -ENOSPC);
	assert_int_equal(block_resize(model.node, MIB, &err), -ENOTSUP);
	assert_int_equal(block_size_bytes(model.node), 256 * GIB);
	model_close(&model);
	model_expect_clean(&model, "disk.vdi");
	model_fini(&model);
}

/* One field of a good image, and what opening it says. */
static const struct damage {
	uint64_t offset;
	uint64_t value;
	unsigned size;
	int rc, rc_read_only;
} damages[] = {
	{ 0x40, 0, 4, -EINVAL, -EINVAL },               /* signature */
	{ 0x44, 0x20000, 4, -ENOTSUP, -ENOTSUP },       /* version */
	{ 0x4c, 4, 4, -ENOTSUP, -ENOTSUP },             /* type: differencing */
	{ 0x154, 0, 4, -EINVAL, -EINVAL },              /* map in the header */
	{ 0x154, MAP_OFFSET + 1, 4, -EINVAL, -EINVAL }, /* map not aligned */
	{ 0x158, MAP_OFFSET, 4, -EINVAL, -EINVAL },     /* data on the map */
	{ 0x158, 0xfffffe00, 4, -EINVAL, -EINVAL },     /* data behind the end */
	{ 0x168, 4096, 4, -ENOTSUP, -ENOTSUP },         /* sector size */
	{ 0x170, UINT64_MAX, 8, -EINVAL, -EINVAL },     /* disk size */
	{ 0x170, 10 * MIB, 8, -EINVAL, -EINVAL },       /* more than the blocks */
	{ 0x178, 0, 4, -ENOTSUP, -ENOTSUP },            /* block size */
	{ 0x178, 3 * MIB, 4, -ENOTSUP, -ENOTSUP },      /* no power of two */
	{ 0x178, 0x80000000, 4, -ENOTSUP, -ENOTSUP },   /* too large */
	{ 0x17c, 512, 4, -ENOTSUP, -ENOTSUP },          /* extra bytes */
	{ 0x180, UINT32_MAX, 4, -EFBIG, -EFBIG },       /* blocks */
	{ 0x180, 1 << 26, 4, -EINVAL, -EINVAL },        /* a map over the data */
	{ 0x1b8, 1, 4, -ENOTSUP, -ENOTSUP },            /* parent */
	{ MAP_OFFSET + 4, 0, 4, -EINVAL, 0 },           /* a block that is taken */
	{ MAP_OFFSET + 4, 9, 4, -EINVAL, 0 },           /* a block that is none */
	{ MAP_OFFSET + 4, 0xfffffffd, 4, -EINVAL, 0 },  /* same */
};

static void vdi_damaged_is_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		struct model model;
		uint8_t bytes[8];

		model_init_image(&model, "disk.vdi", &images[0]);
		assert_int_equal(
			model_open(&model, "disk.vdi", "vdi", (struct block_open_options){ 0 }), 0);
		model_write(&model, 0, 512);
		model_close(&model);
		le64_put(bytes, damages[i].value);
		model_patch(&model, "disk.vdi", damages[i].offset, bytes, damages[i].size);
		assert_int_equal(
			model_open(&model, "disk.vdi", "vdi", (struct block_open_options){ 0 }),
			damages[i].rc);
		assert_int_equal(model_open(&model, "disk.vdi", "vdi",
					    (struct block_open_options){ .read_only = true }),
				 damages[i].rc_read_only);
		model_fini(&model);
	}
}

static void vdi_read_of_block_that_is_none_fails(void **state)
{
	static const uint8_t bytes[4] = { 9 };
	struct model model;
	uint8_t sector[512];

	(void)state;
	model_init(&model);
	assert_int_equal(model_create(&model, "disk.vdi", &images[0]), 0);
	model_patch(&model, "disk.vdi", MAP_OFFSET + 4, bytes, 4);
	assert_int_equal(model_open(&model, "disk.vdi", "vdi",
				    (struct block_open_options){ .read_only = true }),
			 0);
	assert_int_equal(block_read(model.node, 0, sector, 512), 0);
	assert_int_equal(block_read(model.node, MIB, sector, 512), -EIO);
	model_close(&model);
	model_fini(&model);
}

static void vdi_check_repairs_map_count_and_leaks(void **state)
{
	static const uint8_t doubled[4] = { 0 }, none[4] = { 9 }, count[4] = { 7 };
	struct block_check check;
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vdi", &images[0]);
	assert_int_equal(model_open(&model, "disk.vdi", "vdi", (struct block_open_options){ 0 }),
			 0);
	model_write(&model, 0, MIB);
	model_write(&model, 5 * MIB, MIB);
	model_close(&model);
	model_patch(&model, "disk.vdi", MAP_OFFSET + 4, doubled, 4);
	model_patch(&model, "disk.vdi", MAP_OFFSET + 8, none, 4);
	model_patch(&model, "disk.vdi", 0x184, count, 4);
	assert_int_equal(truncate(model_path(&model, "disk.vdi"), DATA_OFFSET + 4 * MIB), 0);
	check = model_check(&model, "disk.vdi", BLOCK_REPAIR_NOTHING);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 2);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 2);
	assert_int_equal(check.allocated, 2);
	check = model_check(&model, "disk.vdi", BLOCK_REPAIR_ALL);
	assert_int_equal(check.repaired[BLOCK_FINDING_ERROR], 2);
	assert_int_equal(check.repaired[BLOCK_FINDING_LEAK], 2);
	model_expect_clean(&model, "disk.vdi");
	model_run(&model, "disk.vdi", "vdi", 1, 20);
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vdi_random_requests_match_model),
		cmocka_unit_test(vdi_written_by_threads_matches_model),
		cmocka_unit_test(vdi_grown_reads_zeroes_behind),
		cmocka_unit_test(vdi_grown_too_far_is_refused),
		cmocka_unit_test(vdi_damaged_is_refused_with_words),
		cmocka_unit_test(vdi_read_of_block_that_is_none_fails),
		cmocka_unit_test(vdi_check_repairs_map_count_and_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
