/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHD images against a model, with parents, resized, damaged and repaired. */
#include "model.h"

#include "base/bytes.h"

#define BAT_OFFSET   4096
#define FIRST_BITMAP (12 * KIB - 512) /* so that its data is aligned */

static const struct model_image images[] = {
	{ .format = "vhd", .bytes = 9 * MIB },
	{ .format = "vhd", .bytes = 5 * MIB + 512, .settings = "block-size=512K" },
	{ .format = "vhd", .bytes = 3 * MIB + 7 * 512, .settings = "subformat=fixed" },
};

static void vhd_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		struct model model;

		model_init_image(&model, "disk.vhd", &images[i]);
		model_run(&model, "disk.vhd", "vhd", 4, 60);
		model_fini(&model);
	}
}

static void vhd_written_by_threads_matches_model(void **state)
{
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vhd", &images[0]);
	model_run_threads(&model, "disk.vhd", "vhd");
	model_fini(&model);
}

/* A chain of three, the middle one longer than the first and shorter than the last. */
static void build_chain(struct model *model)
{
	static const struct model_image base = { .format = "vhd", .bytes = 3 * MIB };
	static const struct model_image middle = {
		.format = "vhd", .bytes = 7 * MIB, .backing = "base.vhd", .backing_format = "vhd"
	};
	static const struct model_image top = { .format = "vhd",
						.bytes = 9 * MIB,
						.backing = "./middle.vhd",
						.backing_format = "vhd" };

	assert_int_equal(model_create(model, "base.vhd", &base), 0);
	model_set_bytes(model, base.bytes);
	model_run(model, "base.vhd", "vhd", 1, 30);
	assert_int_equal(model_create(model, "middle.vhd", &middle), 0);
	model_set_bytes(model, middle.bytes);
	model_run(model, "middle.vhd", "vhd", 2, 30);
	assert_int_equal(model_create(model, "top.vhd", &top), 0);
	model_set_bytes(model, top.bytes);
}

static void vhd_differencing_matches_model(void **state)
{
	struct model model;

	(void)state;
	model_init(&model);
	build_chain(&model);
	model_run(&model, "top.vhd", "vhd", 4, 60);
	model_run_threads(&model, "top.vhd", "vhd");
	model_fini(&model);
}

static void vhd_differencing_grown_shows_nothing_of_parent(void **state)
{
	static const struct model_image base = { .format = "vhd", .bytes = 6 * MIB };
	static const struct model_image top = {
		.format = "vhd", .bytes = 3 * MIB, .backing = "base.vhd", .backing_format = "vhd"
	};
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	model_init(&model);
	assert_int_equal(model_create(&model, "base.vhd", &base), 0);
	model_set_bytes(&model, base.bytes);
	model_run(&model, "base.vhd", "vhd", 1, 40);
	assert_int_equal(model_create(&model, "top.vhd", &top), 0);
	model.bytes = top.bytes;
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }), 0);
	model_expect(&model);
	model_set_bytes(&model, 8 * MIB);
	assert_int_equal(block_resize(model.node, model.bytes, &err), 0);
	model_expect(&model);
	model_close(&model);
	model_run(&model, "top.vhd", "vhd", 2, 40);
	model_fini(&model);
}

static void vhd_other_parent_is_refused(void **state)
{
	static const struct model_image raw = { .format = "raw", .bytes = 3 * MIB };
	struct block_check check;
	struct model model;

	(void)state;
	model_init(&model);
	build_chain(&model);
	assert_int_equal(unlink(model_path(&model, "base.vhd")), 0);
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }),
			 -ENOENT);
	assert_int_equal(model_create(&model, "base.vhd", &images[0]), 0);
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }),
			 -EINVAL);
	assert_int_equal(unlink(model_path(&model, "base.vhd")), 0);
	assert_int_equal(model_create(&model, "base.vhd", &raw), 0);
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }),
			 -EINVAL);
	assert_int_equal(
		model_open(&model, "top.vhd", "vhd",
			   (struct block_open_options){ .no_backing = true, .read_only = true }),
		0);
	check = (struct block_check){ .told = model_told };
	assert_int_equal(model.node->format->check(model.node, &check, NULL), 0);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 0);
	model_close(&model);
	model_fini(&model);
}

/* Writers of differencing images may leave anything in sectors that are the parent's. */
static void vhd_without_parent_has_nothing_left_in_its_blocks(void **state)
{
	const struct model_image base = { .format = "vhd", .bytes = 4 * MIB };
	const struct model_image top = {
		.format = "vhd", .bytes = 4 * MIB, .backing = "base.vhd", .backing_format = "vhd"
	};
	struct block_extent extent;
	uint8_t garbage[BLOCK_SECTOR];
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	model_init_image(&model, "base.vhd", &base);
	assert_int_equal(model_create(&model, "top.vhd", &top), 0);
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }), 0);
	model_write(&model, 64 * KIB, BLOCK_SECTOR);
	assert_int_equal(block_extent(model.node, 64 * KIB, BLOCK_SECTOR, &extent), 0);
	memset(garbage, 0x5a, sizeof(garbage));
	assert_int_equal(
		block_write(extent.file, extent.at + BLOCK_SECTOR, garbage, sizeof(garbage)), 0);
	model_close(&model);
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }), 0);
	if (model.node->format->set_backing(model.node, NULL, NULL, &err))
		fail_msg("%s", err.text);
	model_close(&model);
	assert_int_equal(unlink(model_path(&model, "base.vhd")), 0);
	assert_int_equal(model_open(&model, "top.vhd", "vhd", (struct block_open_options){ 0 }), 0);
	assert_int_equal(block_extent_joined(model.node, 0, 4 * MIB, &extent), 0);
	assert_int_equal(extent.bytes, 2 * MIB);
	assert_true(extent.flags & BLOCK_EXTENT_HERE);
	model_expect(&model);
	model_close(&model);
	model_expect_clean(&model, "top.vhd");
	model_fini(&model);
}

static void vhd_grown_reads_zeroes_behind(void **state)
{
	/* In the place of the table, then with the table moved. */
	static const uint64_t sizes[] = { 12 * MIB + 512, 5 * GIB };

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(images); i++) {
		const struct model_image *image = &images[i / 2];
		struct err err = ERR_INIT;
		struct model model;

		model_init_image(&model, "disk.vhd", image);
		assert_int_equal(
			model_open(&model, "disk.vhd", "vhd", (struct block_open_options){ 0 }), 0);
		model_write(&model, model.bytes - 512, 512);
		model_write(&model, 0, 4096);
		assert_int_equal(block_resize(model.node, sizes[i % 2], &err), 0);
		assert_int_equal(block_size_bytes(model.node), sizes[i % 2]);
		/* Only the first of it is looked at. */
		model_set_bytes(&model, 12 * MIB);
		model_expect_range(&model, 0, model.bytes);
		assert_int_equal(block_write(model.node, sizes[i % 2] - 512, model.disk, 512), 0);
		model_close(&model);
		model_expect_clean(&model, "disk.vhd");
		assert_int_equal(
			model_open(&model, "disk.vhd", "vhd", (struct block_open_options){ 0 }), 0);
		model_expect_range(&model, 0, model.bytes);
		assert_int_equal(block_size_bytes(model.node), sizes[i % 2]);
		assert_int_equal(block_resize(model.node, MIB, &err), i / 2 == 2 ? 0 : -ENOTSUP);
		model_close(&model);
		model_fini(&model);
	}
}

/* Not all bits of a bitmap are set: as other writers leave dynamic images. */
static void vhd_dynamic_sector_without_bit_is_zero(void **state)
{
	static const uint8_t bits[2] = { 0xf0, 0x01 };
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vhd", &images[0]);
	assert_int_equal(model_open(&model, "disk.vhd", "vhd", (struct block_open_options){ 0 }),
			 0);
	model_write(&model, 0, 2 * MIB);
	model_close(&model);
	model_patch(&model, "disk.vhd", FIRST_BITMAP, bits, 2);
	memset(model.disk + 4 * 512, 0, 11 * 512);
	model_run(&model, "disk.vhd", "vhd", 2, 40);
	model_fini(&model);
}

static void vhd_cut_off_footer_is_written_again(void **state)
{
	struct block_check check;
	struct model model;
	struct stat st;

	(void)state;
	model_init_image(&model, "disk.vhd", &images[0]);
	model_run(&model, "disk.vhd", "vhd", 1, 30);
	assert_int_equal(stat(model_path(&model, "disk.vhd"), &st), 0);
	assert_int_equal(truncate(model.path, st.st_size - 512), 0);
	check = model_check(&model, "disk.vhd", BLOCK_REPAIR_NOTHING);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 1);
	model_run(&model, "disk.vhd", "vhd", 1, 0);
	model_expect_clean(&model, "disk.vhd");
	model_fini(&model);
}

/* A guest of a fixed disk that writes a footer of its own. */
static void vhd_footer_of_guest_is_not_believed(void **state)
{
	struct model model;
	uint8_t footer[512];
	json_t *settings;

	(void)state;
	model_init(&model);
	model_set_bytes(&model, images[2].bytes);
	assert_int_equal(model_create(&model, "other.vhd", &images[0]), 0);
	assert_int_equal(model_open(&model, "other.vhd", "raw", (struct block_open_options){ 0 }),
			 0);
	assert_int_equal(block_read(model.node, 0, footer, sizeof(footer)), 0);
	model_close(&model);
	assert_int_equal(model_create(&model, "disk.vhd", &images[2]), 0);
	model_patch(&model, "disk.vhd", 0, footer, sizeof(footer));
	assert_int_equal(model_open(&model, "disk.vhd", "vhd", (struct block_open_options){ 0 }),
			 -EINVAL);
	settings = json_pack("{s:s}", "subformat", "fixed");
	assert_int_equal(model_open(&model, "disk.vhd", "vhd",
				    (struct block_open_options){ .settings = settings }),
			 0);
	json_decref(settings);
	memcpy(model.disk, footer, sizeof(footer));
	model_expect(&model);
	model_close(&model);
	model_fini(&model);
}

/* Bytes of a good image that are changed, and what opening it says. With a sum to be made right
 * again: that of the footer at 0, or of the header at 512. */
static const struct damage {
	uint64_t offset, value;
	unsigned size;
	bool sign;
	int rc;
} damages[] = {
	{ 0, 0, 1, false, 0 },              /* the footer at the end stands in */
	{ 512, 0, 1, false, -EINVAL },      /* header */
	{ 512 + 40, 1, 1, false, -EINVAL }, /* its sum */
	{ 16, UINT64_C(0xfffffffffffffe00), 8, true, -EINVAL }, /* where it is */
	{ 16, 513, 8, true, -EINVAL },                          /* the same, not aligned */
	{ 48, UINT64_C(1) << 60, 8, true, -EINVAL },            /* size of the disk */
	{ 48, 20 * MIB, 8, true, -EINVAL },                     /* more than the blocks */
	{ 60, 5, 4, true, -ENOTSUP },                           /* type */
	{ 60, 4, 4, true, -ENOENT },                            /* differencing from nothing */
	{ 512 + 16, 0, 8, true, -EINVAL },                      /* table in the footer */
	{ 512 + 16, 512, 8, true, -EINVAL },                    /* … in the header */
	{ 512 + 16, 4097, 8, true, -EINVAL },                   /* … not aligned */
	{ 512 + 16, UINT64_C(0xfffffffffffff000), 8, true, -EINVAL }, /* … behind the end */
	{ 512 + 28, 4, 4, true, -EINVAL },                            /* too few entries */
	{ 512 + 28, UINT32_MAX, 4, true, 0 },                         /* only those needed count */
	{ 512 + 32, 0, 4, true, -EINVAL },                            /* block size */
	{ 512 + 32, 3 * MIB, 4, true, -EINVAL },
	{ 512 + 32, 0x80000000, 4, true, -EINVAL },
};

static void sign(struct model *model, uint64_t start, size_t count, size_t at)
{
	uint8_t bytes[1024], sum_bytes[4];
	uint32_t sum = 0;

	assert_int_equal(model_open(model, "disk.vhd", "raw", (struct block_open_options){ 0 }), 0);
	assert_int_equal(block_read(model->node, start, bytes, sizeof(bytes)), 0);
	model_close(model);
	for (size_t i = 0; i < count; i++)
		sum += i < at || i >= at + 4 ? bytes[i] : 0;
	be32_put(sum_bytes, ~sum);
	model_patch(model, "disk.vhd", start + at, sum_bytes, 4);
}

static void vhd_damaged_is_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		const struct damage *damage = &damages[i];
		struct model model;
		uint8_t bytes[8];

		model_init(&model);
		assert_int_equal(model_create(&model, "disk.vhd", &images[0]), 0);
		be64_put(bytes, damage->value << (64 - 8 * damage->size));
		model_patch(&model, "disk.vhd", damage->offset, bytes, damage->size);
		if (damage->sign && damage->offset < 512)
			sign(&model, 0, 512, 64);
		else if (damage->sign)
			sign(&model, 512, 1024, 36);
		assert_int_equal(
			model_open(&model, "disk.vhd", "vhd", (struct block_open_options){ 0 }),
			damage->rc);
		model_fini(&model);
	}
}

static void vhd_check_repairs_entries_footers_and_leaks(void **state)
{
	static const uint8_t in_header[4] = { 0, 0, 0, 1 }, behind[4] = { 0x7f, 0, 0, 0 };
	struct block_check check;
	struct model model;
	uint8_t first[4];
	struct stat st;

	(void)state;
	model_init_image(&model, "disk.vhd", &images[0]);
	assert_int_equal(model_open(&model, "disk.vhd", "vhd", (struct block_open_options){ 0 }),
			 0);
	model_write(&model, 0, 512);
	model_write(&model, 2 * MIB, 512);
	model_close(&model);
	be32_put(first, FIRST_BITMAP / 512);
	model_patch(&model, "disk.vhd", BAT_OFFSET + 8, in_header, 4);
	model_patch(&model, "disk.vhd", BAT_OFFSET + 12, behind, 4);
	model_patch(&model, "disk.vhd", BAT_OFFSET + 16, first, 4);
	assert_int_equal(stat(model_path(&model, "disk.vhd"), &st), 0);
	assert_int_equal(truncate(model.path, st.st_size + 5 * (int64_t)MIB), 0);
	check = model_check(&model, "disk.vhd", BLOCK_REPAIR_NOTHING);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 3);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 3);
	check = model_check(&model, "disk.vhd", BLOCK_REPAIR_LEAKS);
	/* Cutting off what is behind the end has put the footer there. */
	assert_int_equal(check.repaired[BLOCK_FINDING_LEAK], 2);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 2);
	check = model_check(&model, "disk.vhd", BLOCK_REPAIR_ALL);
	assert_int_equal(check.repaired[BLOCK_FINDING_ERROR], check.found[BLOCK_FINDING_ERROR]);
	model_expect_clean(&model, "disk.vhd");
	model_run(&model, "disk.vhd", "vhd", 1, 20);
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vhd_random_requests_match_model),
		cmocka_unit_test(vhd_written_by_threads_matches_model),
		cmocka_unit_test(vhd_differencing_matches_model),
		cmocka_unit_test(vhd_differencing_grown_shows_nothing_of_parent),
		cmocka_unit_test(vhd_other_parent_is_refused),
		cmocka_unit_test(vhd_without_parent_has_nothing_left_in_its_blocks),
		cmocka_unit_test(vhd_grown_reads_zeroes_behind),
		cmocka_unit_test(vhd_dynamic_sector_without_bit_is_zero),
		cmocka_unit_test(vhd_cut_off_footer_is_written_again),
		cmocka_unit_test(vhd_footer_of_guest_is_not_believed),
		cmocka_unit_test(vhd_damaged_is_refused_with_words),
		cmocka_unit_test(vhd_check_repairs_entries_footers_and_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
