/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMDK images against a model: all sub-formats, deltas, streams, resized, damaged and repaired. */
#include "model.h"

#include "base/bytes.h"
#include "block/job/copy.h"

#define GRAIN (64 * KIB)

static const struct model_image images[] = {
	{ .format = "vmdk", .bytes = 9 * MIB },
	{ .format = "vmdk", .bytes = 5 * MIB + 512, .settings = "zeroed-grain=on" },
	{ .format = "vmdk", .bytes = 3 * MIB + 512, .settings = "subformat=monolithicFlat" },
	{ .format = "vmdk", .bytes = 4 * MIB, .settings = "subformat=twoGbMaxExtentSparse" },
	{ .format = "vmdk", .bytes = 3 * MIB, .settings = "subformat=twoGbMaxExtentFlat" },
};

static const struct model_image stream = { .format = "vmdk",
					   .bytes = 70 * MIB + 512,
					   .settings = "subformat=streamOptimized" };

static void vmdk_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		struct model model;

		model_init_image(&model, "disk.vmdk", &images[i]);
		model_run(&model, "disk.vmdk", "vmdk", 4, 60);
		model_fini(&model);
	}
}

static void vmdk_written_by_threads_matches_model(void **state)
{
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vmdk", &images[0]);
	model_run_threads(&model, "disk.vmdk", "vmdk");
	model_fini(&model);
}

static void write_text(struct model *model, const char *name, const char *text)
{
	int fd = open(model_path(model, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Sparse, flat with an offset, zeroes, sparse: no extent ends with a granule. */
static void vmdk_extents_of_all_kinds_match_model(void **state)
{
	static const struct model_image first = { .format = "vmdk",
						  .bytes = 1500 * 512,
						  .settings = "subformat=twoGbMaxExtentSparse" };
	static const struct model_image last = {
		.format = "vmdk",
		.bytes = 3001 * 512,
		.settings = "subformat=twoGbMaxExtentSparse,zeroed-grain=on"
	};
	static const struct model_image flat = { .format = "raw", .bytes = 2000 * 512 };
	struct model model;
	uint8_t sector[512] = { 1 };

	(void)state;
	model_init(&model);
	assert_int_equal(model_create(&model, "a.vmdk", &first), 0);
	assert_int_equal(model_create(&model, "b.vmdk", &last), 0);
	assert_int_equal(model_create(&model, "flat.raw", &flat), 0);
	write_text(&model, "disk.vmdk",
		   "# Disk DescriptorFile\nversion=1\r\nCID=12345678\nparentCID=ffffffff\n"
		   "createType=\"custom\"\n\nRW 1499 SPARSE \"a-s001.vmdk\"\n"
		   "RW 1000 FLAT \"flat.raw\" 999\nRW 3001 SPARSE \"b-s001.vmdk\"\n");
	model_set_bytes(&model, (1499 + 1000 + 3001) * 512);
	model_run(&model, "disk.vmdk", "vmdk", 4, 60);
	write_text(
		&model, "disk.vmdk",
		"# Disk DescriptorFile\nCID=12345678\nparentCID=ffffffff\n"
		"RW 1499 SPARSE \"a-s001.vmdk\"\nRW 10 ZERO\nRDONLY 1000 FLAT \"flat.raw\" 999\n");
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	model_expect_range(&model, 0, 1499 * 512);
	assert_int_equal(block_write(model.node, 1499 * 512, sector, 512), -EROFS);
	assert_int_equal(block_write(model.node, 1509 * 512, sector, 512), -EROFS);
	assert_int_equal(block_write_zeroes(model.node, 1499 * 512, 512, 0), 0);
	assert_int_equal(block_read(model.node, 1500 * 512, sector, 512), 0);
	assert_int_equal(sector[0], 0);
	model_close(&model);
	model_fini(&model);
}

/* ---- deltas ---- */

static void build_chain(struct model *model)
{
	static const struct model_image base = { .format = "vmdk", .bytes = 3 * MIB };
	static const struct model_image middle = { .format = "vmdk",
						   .bytes = 7 * MIB,
						   .backing = "base.vmdk",
						   .backing_format = "vmdk",
						   .settings = "subformat=twoGbMaxExtentSparse" };
	static const struct model_image top = { .format = "vmdk",
						.bytes = 9 * MIB,
						.backing = "middle.vmdk",
						.backing_format = "vmdk",
						.settings = "zeroed-grain=on" };

	assert_int_equal(model_create(model, "base.vmdk", &base), 0);
	model_set_bytes(model, base.bytes);
	model_run(model, "base.vmdk", "vmdk", 1, 30);
	assert_int_equal(model_create(model, "middle.vmdk", &middle), 0);
	model_set_bytes(model, middle.bytes);
	model_run(model, "middle.vmdk", "vmdk", 2, 30);
	assert_int_equal(model_create(model, "top.vmdk", &top), 0);
	model_set_bytes(model, top.bytes);
}

static void vmdk_delta_matches_model(void **state)
{
	struct model model;

	(void)state;
	model_init(&model);
	build_chain(&model);
	model_run(&model, "top.vmdk", "vmdk", 4, 60);
	model_run_threads(&model, "top.vmdk", "vmdk");
	model_fini(&model);
}

static void vmdk_parent_that_changed_is_refused(void **state)
{
	struct model model;
	uint8_t sector[512];

	(void)state;
	model_init(&model);
	build_chain(&model);
	/* Reading and flushing change nothing. */
	assert_int_equal(model_open(&model, "base.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	assert_int_equal(block_read(model.node, 0, sector, 512), 0);
	model_close(&model);
	model_run(&model, "top.vmdk", "vmdk", 1, 10);
	assert_int_equal(model_open(&model, "base.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	assert_int_equal(block_write(model.node, 0, sector, 512), 0);
	model_close(&model);
	assert_int_equal(model_open(&model, "top.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 -EINVAL);
	assert_int_equal(
		model_open(&model, "top.vmdk", "vmdk",
			   (struct block_open_options){ .read_only = true, .no_backing = true }),
		0);
	model_close(&model);
	assert_int_equal(unlink(model_path(&model, "base.vmdk")), 0);
	assert_int_equal(model_open(&model, "top.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 -ENOENT);
	model_fini(&model);
}

/* ---- size ---- */

static void vmdk_grown_reads_zeroes_behind(void **state)
{
	static const uint64_t sizes[] = { 12 * MIB + 512, 5 * GIB };

	(void)state;
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(images); i++) {
		const struct model_image *image = &images[i / 2];
		struct err err = ERR_INIT;
		struct model model;

		model_init_image(&model, "disk.vmdk", image);
		assert_int_equal(
			model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			0);
		model_write(&model, model.bytes - 512, 512);
		model_write(&model, 0, 4096);
		assert_int_equal(block_resize(model.node, sizes[i % 2], &err), 0);
		assert_int_equal(block_size_bytes(model.node), sizes[i % 2]);
		/* Only the first of it is looked at. */
		model_set_bytes(&model, 12 * MIB);
		model_expect_range(&model, 0, model.bytes);
		assert_int_equal(block_write(model.node, sizes[i % 2] - 512, model.disk, 512), 0);
		model_close(&model);
		model_expect_clean(&model, "disk.vmdk");
		assert_int_equal(
			model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			0);
		model_expect_range(&model, 0, model.bytes);
		assert_int_equal(block_size_bytes(model.node), sizes[i % 2]);
		assert_int_equal(block_resize(model.node, MIB, &err), -ENOTSUP);
		model_close(&model);
		model_fini(&model);
	}
}

static void vmdk_delta_grown_shows_nothing_of_parent(void **state)
{
	static const struct model_image base = { .format = "vmdk", .bytes = 6 * MIB };
	static const struct model_image top = {
		.format = "vmdk", .bytes = 3 * MIB, .backing = "base.vmdk", .backing_format = "vmdk"
	};
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	model_init(&model);
	assert_int_equal(model_create(&model, "base.vmdk", &base), 0);
	model_set_bytes(&model, base.bytes);
	model_run(&model, "base.vmdk", "vmdk", 1, 40);
	assert_int_equal(model_create(&model, "top.vmdk", &top), 0);
	model.bytes = top.bytes;
	assert_int_equal(model_open(&model, "top.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	model_expect(&model);
	model_set_bytes(&model, 8 * MIB);
	assert_int_equal(block_resize(model.node, model.bytes, &err), 0);
	model_expect(&model);
	model_close(&model);
	model_run(&model, "top.vmdk", "vmdk", 2, 40);
	model_fini(&model);
}

/* ---- streams ---- */

/* Data in some grains of both tables and at the end, the rest zero. */
static void fill_model(struct model *model)
{
	static const uint64_t grains[] = { 0, 1, 7, 511, 512, 600, 1119, 1120 };

	model_set_bytes(model, stream.bytes);
	for (unsigned i = 0; i < ARRAY_SIZE(grains); i++) {
		uint64_t at = grains[i] * GRAIN;

		for (uint64_t b = at; b < MIN(at + GRAIN, model->bytes); b += 16)
			model->disk[b] = (uint8_t)model_random(model);
	}
}

static void vmdk_stream_copied_by_threads_matches_model(void **state)
{
	static const struct model_image source = { .format = "vmdk", .bytes = 70 * MIB + 512 };
	struct block_copy_options options = { .threads = 8, .sparse_bytes = 4096 };
	struct block_node *from;
	struct block_copy *copy;
	struct model model;

	(void)state;
	model_init(&model);
	fill_model(&model);
	assert_int_equal(model_create(&model, "source.vmdk", &source), 0);
	assert_int_equal(
		model_open(&model, "source.vmdk", "vmdk", (struct block_open_options){ 0 }), 0);
	assert_int_equal(block_write(model.node, 0, model.disk, model.bytes), 0);
	from = model.node;
	assert_int_equal(model_create(&model, "disk.vmdk", &stream), 0);
	model_expect_clean(&model, "disk.vmdk");
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	options.from = from;
	options.to = model.node;
	options.bytes = model.bytes;
	assert_int_equal(block_copy_start(&copy, &options, NULL), 0);
	assert_int_equal(block_copy_end(copy, NULL), 0);
	model_expect(&model);
	model_close(&model);
	block_close(from);
	model_expect_clean(&model, "disk.vmdk");
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk",
				    (struct block_open_options){ .read_only = true }),
			 0);
	model_expect(&model);
	model_close(&model);
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 -EROFS);
	model_fini(&model);
}

static void vmdk_stream_out_of_order_is_refused(void **state)
{
	struct model model;

	(void)state;
	model_init(&model);
	fill_model(&model);
	assert_int_equal(model_create(&model, "disk.vmdk", &stream), 0);
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	assert_true(block_in_order(model.node));
	assert_int_equal(block_write(model.node, 0, model.disk, 8 * GRAIN), 0);
	assert_int_equal(block_write(model.node, 7 * GRAIN, model.disk, GRAIN), -ENOTSUP);
	assert_int_equal(block_write(model.node, 8 * GRAIN + 512, model.disk, GRAIN), -ENOTSUP);
	assert_int_equal(block_write(model.node, 8 * GRAIN, model.disk, 512), -ENOTSUP);
	assert_int_equal(block_write_zeroes(model.node, 8 * GRAIN, GRAIN, 0), 0);
	assert_int_equal(block_write_zeroes(model.node, 0, GRAIN, 0), -ENOTSUP);
	model_expect_range(&model, 0, 8 * GRAIN);
	/* Finished, and gone on with: in the same table and in the next. */
	assert_int_equal(block_flush(model.node), 0);
	assert_int_equal(block_write(model.node, 511 * GRAIN, model.disk + 511 * GRAIN, GRAIN), 0);
	assert_int_equal(block_flush(model.node), 0);
	assert_int_equal(block_write(model.node, 512 * GRAIN, model.disk + 512 * GRAIN,
				     model.bytes - 512 * GRAIN),
			 0);
	model_expect(&model);
	model_close(&model);
	model_expect_clean(&model, "disk.vmdk");
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk",
				    (struct block_open_options){ .read_only = true }),
			 0);
	model_expect(&model);
	model_close(&model);
	model_fini(&model);
}

static void vmdk_stream_damaged_grain_is_an_error(void **state)
{
	/* First sector of the marker, count of bytes, compressed bytes. */
	static const uint64_t places[] = { 0, 8, 11, 12, 100 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		static const uint8_t wrong[2] = { 0xee, 0xee };
		struct block_check check;
		struct model model;
		uint8_t sector[512];

		model_init(&model);
		fill_model(&model);
		assert_int_equal(model_create(&model, "disk.vmdk", &stream), 0);
		assert_int_equal(
			model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			0);
		assert_int_equal(block_write(model.node, 0, model.disk, 2 * GRAIN), 0);
		model_close(&model);
		model_patch(&model, "disk.vmdk", GRAIN + places[i], wrong, 2);
		assert_int_equal(model_open(&model, "disk.vmdk", "vmdk",
					    (struct block_open_options){ .read_only = true }),
				 0);
		assert_int_equal(block_read(model.node, 0, sector, 512), -EIO);
		assert_int_equal(block_read(model.node, GRAIN, sector, 512), 0);
		model_close(&model);
		check = model_check(&model, "disk.vmdk", BLOCK_REPAIR_NOTHING);
		assert_int_equal(check.found[BLOCK_FINDING_ERROR], 1);
		model_fini(&model);
	}
}

/* ---- damage ---- */

static const struct damage {
	uint64_t offset, value;
	unsigned size;
	int rc;
} damages[] = {
	{ 0, 0, 4, -EINVAL },  /* magic */
	{ 4, 4, 4, -ENOTSUP }, /* version */
	{ 4, 0, 4, -ENOTSUP },
	{ 12, UINT64_C(1) << 60, 8, -EINVAL }, /* sectors */
	{ 12, UINT64_C(1) << 40, 8, -EFBIG },  /* more tables than are allowed */
	{ 12, UINT64_C(1) << 30, 8, -EINVAL }, /* a directory longer than the file */
	{ 20, 0, 8, -EINVAL },                 /* grain */
	{ 20, 100, 8, -EINVAL },
	{ 20, 4, 8, -EINVAL },
	{ 20, UINT64_C(1) << 32, 8, -EINVAL },
	{ 28, UINT64_MAX, 8, -EINVAL }, /* descriptor */
	{ 28, 0, 8, -EINVAL },
	{ 36, UINT64_MAX, 8, -EINVAL },
	{ 36, 1 << 20, 8, -EINVAL },
	{ 44, 4096, 4, -ENOTSUP }, /* entries of a table */
	{ 44, 0, 4, -ENOTSUP },
	{ 48, 0, 8, -EINVAL }, /* second directory */
	{ 48, UINT64_MAX - 1, 8, -EINVAL },
	{ 56, 0, 8, -EINVAL }, /* directory */
	{ 56, 1 << 20, 8, -EINVAL },
	{ 56, UINT64_MAX, 8, -EINVAL },             /* in a footer that is none */
	{ 73, 0x0d0a, 2, -EINVAL },                 /* line ends */
	{ 8, 0x10003, 4, -ENOTSUP },                /* packed without markers */
	{ 22 * 512 - 512, 0x7fffffff, 4, -EINVAL }, /* a table of the second directory */
};

static void vmdk_damaged_is_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		struct model model;
		uint8_t bytes[8];

		model_init(&model);
		assert_int_equal(model_create(&model, "disk.vmdk", &images[0]), 0);
		le64_put(bytes, damages[i].value);
		model_patch(&model, "disk.vmdk", damages[i].offset, bytes, damages[i].size);
		assert_int_equal(
			model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			damages[i].rc);
		model_fini(&model);
	}
}

static const struct {
	const char *lines;
	int rc;
} descriptors[] = {
	{ "CID=1\n", -EINVAL }, /* no extents */
	{ "CID=xyz\nRW 1 ZERO\n", -EINVAL },
	{ "parentCID=\"-\"\nRW 1 ZERO\n", -EINVAL },
	{ "parentCID=00000001\nRW 1 ZERO\n", -EINVAL }, /* a parent without name */
	{ "parentCID=00000001\nparentFileNameHint=\"x\"\nRW 1 ZERO\n", -ENOENT },
	{ "parentCID=00000001\nparentFileNameHint=\"disk.vmdk\"\nRW 1 ZERO\n", -ELOOP },
	{ "parentCID=00000001\nparentFileNameHint=\"/etc/passwd\"\nRW 1 ZERO\n", -EPERM },
	{ "RW 1 FLAT \"/etc/passwd\" 0\n", -EPERM },
	{ "RW 1 FLAT \"../x\" 0\n", -ENOENT },
	{ "RW 1 FLAT \"disk.vmdk\" 0\n", -ELOOP },
	{ "RW 1\n", -EINVAL },
	{ "RW 1 FLAT\n", -EINVAL },
	{ "RW 1 FLAT \"\n", -EINVAL },
	{ "RW -1 ZERO\n", -EINVAL },
	{ "RW 99999999999999999999 ZERO\n", -EINVAL },
	{ "RW 1 SESPARSE \"x\"\n", -ENOTSUP },
	{ "NOACCESS 1 ZERO\n", -ENOTSUP },
	{ "RW 9007199254740992 ZERO\nRW 9007199254740992 ZERO\n", -EINVAL },
	{ "RW 4 FLAT \"short\" 0\n", -EINVAL },
	{ "RW 1 SPARSE \"short\"\n", -EINVAL },
	{ "RW 2 FLAT \"short\" 9007199254740992\n", -EINVAL },
	{ "RW 3 FLAT \"short\" 0\n", 0 },
};

static void vmdk_bad_descriptor_is_refused_with_words(void **state)
{
	static const struct model_image file = { .format = "raw", .bytes = 3 * 512 };
	struct model model;

	(void)state;
	model_init(&model);
	assert_int_equal(model_create(&model, "short", &file), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(descriptors); i++) {
		char text[512];

		snprintf(text, sizeof(text), "# Disk DescriptorFile\n%s", descriptors[i].lines);
		write_text(&model, "disk.vmdk", text);
		assert_int_equal(
			model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			descriptors[i].rc);
		if (!descriptors[i].rc)
			model_close(&model);
	}
	model_fini(&model);
}

static void vmdk_check_repairs_grains_tables_and_leaks(void **state)
{
	/* At sector 21 is the second directory, then its table; then the first in the same way. */
	enum { FIRST = 27 * 512, GRAINS = 128 };
	static const uint8_t behind[4] = { 0, 0, 0, 0x7f }, in_header[4] = { 3 };
	struct block_check check;
	struct model model;
	uint8_t entry[4];
	struct stat st;

	(void)state;
	model_init_image(&model, "disk.vmdk", &images[0]);
	assert_int_equal(model_open(&model, "disk.vmdk", "vmdk", (struct block_open_options){ 0 }),
			 0);
	model_write(&model, 0, GRAIN);
	model_write(&model, 3 * GRAIN, GRAIN);
	model_close(&model);
	model_patch(&model, "disk.vmdk", FIRST + 4, behind, 4);
	model_patch(&model, "disk.vmdk", FIRST + 8, in_header, 4);
	le32_put(entry, GRAINS);
	model_patch(&model, "disk.vmdk", FIRST + 16, entry, 4);
	le32_put(entry, GRAINS + 8);
	model_patch(&model, "disk.vmdk", FIRST + 20, entry, 4);
	assert_int_equal(stat(model_path(&model, "disk.vmdk"), &st), 0);
	assert_int_equal(truncate(model.path, st.st_size + 2 * (int64_t)GRAIN), 0);
	check = model_check(&model, "disk.vmdk", BLOCK_REPAIR_NOTHING);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 4);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 3);
	check = model_check(&model, "disk.vmdk", BLOCK_REPAIR_ALL);
	assert_int_equal(check.repaired[BLOCK_FINDING_ERROR], 4);
	assert_int_equal(check.repaired[BLOCK_FINDING_LEAK], check.found[BLOCK_FINDING_LEAK]);
	model_expect_clean(&model, "disk.vmdk");
	model_run(&model, "disk.vmdk", "vmdk", 1, 20);
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vmdk_random_requests_match_model),
		cmocka_unit_test(vmdk_written_by_threads_matches_model),
		cmocka_unit_test(vmdk_extents_of_all_kinds_match_model),
		cmocka_unit_test(vmdk_delta_matches_model),
		cmocka_unit_test(vmdk_parent_that_changed_is_refused),
		cmocka_unit_test(vmdk_grown_reads_zeroes_behind),
		cmocka_unit_test(vmdk_delta_grown_shows_nothing_of_parent),
		cmocka_unit_test(vmdk_stream_copied_by_threads_matches_model),
		cmocka_unit_test(vmdk_stream_out_of_order_is_refused),
		cmocka_unit_test(vmdk_stream_damaged_grain_is_an_error),
		cmocka_unit_test(vmdk_damaged_is_refused_with_words),
		cmocka_unit_test(vmdk_bad_descriptor_is_refused_with_words),
		cmocka_unit_test(vmdk_check_repairs_grains_tables_and_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
