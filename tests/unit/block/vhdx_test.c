/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHDX images against a model: of all kinds, resized, with a log to replay, damaged and repaired. */
#include "model.h"

#include "base/bytes.h"
#include "codec/crc32c.h"

#define BAT_OFFSET      (3 * MIB)
#define METADATA_OFFSET (2 * MIB)
#define DATA_OFFSET     (4 * MIB)

static const struct model_image images[] = {
	{ .format = "vhdx", .bytes = 9 * MIB, .settings = "block_size=1M" },
	{ .format = "vhdx", .bytes = 5 * MIB + 512, .settings = "block_size=2M" },
	{ .format = "vhdx",
	  .bytes = 4 * MIB + 7 * 512,
	  .settings = "block_size=1M,subformat=fixed" },
};

/* The smaller one of two images is the parent: its end is inside the disk. */
static const struct model_image chain[] = {
	{ .format = "vhdx", .bytes = 5 * MIB + 512, .settings = "block_size=1M" },
	{ .format = "vhdx",
	  .bytes = 7 * MIB + 512,
	  .settings = "block_size=2M",
	  .backing = "parent.vhdx" },
};

static void crc32c_known_bytes_give_known_sums(void **state)
{
	uint8_t bytes[32] = { 0 };

	(void)state;
	/* RFC 3720, B.4 */
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	assert_int_equal(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void vhdx_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		struct model model;

		model_init_image(&model, "disk.vhdx", &images[i]);
		model_run(&model, "disk.vhdx", "vhdx", 4, 60);
		model_fini(&model);
	}
}

static void make_chain(struct model *model)
{
	model_init_image(model, "parent.vhdx", &chain[0]);
	model_run(model, "parent.vhdx", "vhdx", 1, 40);
	assert_int_equal(model_create(model, "child.vhdx", &chain[1]), 0);
	model_set_bytes(model, chain[1].bytes);
}

static void vhdx_differencing_matches_model(void **state)
{
	struct model model;

	(void)state;
	make_chain(&model);
	model_run(&model, "child.vhdx", "vhdx", 4, 60);
	model_fini(&model);
}

static void vhdx_parent_that_changed_is_refused(void **state)
{
	struct model model;

	(void)state;
	make_chain(&model);
	assert_int_equal(
		model_open(&model, "parent.vhdx", "vhdx", (struct block_open_options){ 0 }), 0);
	model_write(&model, 0, 512);
	model_close(&model);
	assert_int_equal(model_open(&model, "child.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 -EMEDIUMTYPE);
	assert_int_equal(model_open(&model, "child.vhdx", "vhdx",
				    (struct block_open_options){ .no_backing = true }),
			 0);
	model_close(&model);
	model_fini(&model);
}

static void vhdx_written_by_threads_matches_model(void **state)
{
	struct model model;

	(void)state;
	model_init_image(&model, "disk.vhdx", &images[0]);
	model_run_threads(&model, "disk.vhdx", "vhdx");
	model_fini(&model);
	make_chain(&model);
	model_run_threads(&model, "child.vhdx", "vhdx");
	model_fini(&model);
}

static void resize_to(struct model *model, const char *name, uint64_t bytes)
{
	struct err err = ERR_INIT;

	assert_int_equal(model_open(model, name, "vhdx", (struct block_open_options){ 0 }), 0);
	model_set_bytes(model, bytes);
	if (block_resize(model->node, bytes, &err))
		fail_msg("%s", err.text);
	model_expect(model);
	model_close(model);
	model_run(model, name, "vhdx", 1, 30);
}

static void vhdx_resized_reads_zeroes_behind(void **state)
{
	struct model model;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		model_init_image(&model, "disk.vhdx", &images[i]);
		model_run(&model, "disk.vhdx", "vhdx", 1, 30);
		resize_to(&model, "disk.vhdx", 3 * MIB + 1024);
		resize_to(&model, "disk.vhdx", 8 * MIB + 512);
		model_fini(&model);
	}
	make_chain(&model);
	resize_to(&model, "child.vhdx", 2 * MIB + 512);
	resize_to(&model, "child.vhdx", 8 * MIB);
	model_fini(&model);
}

/* 1 MiB of table is enough for 128 GiB of blocks of 1 MiB. */
static void vhdx_grown_over_its_table_moves_it(void **state)
{
	struct err err = ERR_INIT;
	struct model model;
	uint8_t *bytes = malloc(9 * MIB);

	(void)state;
	model_init_image(&model, "disk.vhdx", &images[0]);
	model_run(&model, "disk.vhdx", "vhdx", 1, 30);
	assert_int_equal(model_open(&model, "disk.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 0);
	if (block_resize(model.node, 300 * GIB, &err))
		fail_msg("%s", err.text);
	assert_int_equal(block_write(model.node, 299 * GIB, model.disk, 4096), 0);
	model_close(&model);
	model_expect_clean(&model, "disk.vhdx");
	assert_int_equal(model_open(&model, "disk.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 0);
	assert_int_equal(block_read(model.node, 0, bytes, 9 * MIB), 0);
	assert_memory_equal(bytes, model.disk, 9 * MIB);
	assert_int_equal(block_read(model.node, 299 * GIB, bytes, 4096), 0);
	assert_memory_equal(bytes, model.disk, 4096);
	model_close(&model);
	free(bytes);
	model_fini(&model);
}

/* ---- the log ---- */

static void copy_file(struct model *model, const char *from, const char *to)
{
	void *bytes;
	size_t count;
	int fd;

	assert_int_equal(fd_read_file(model_path(model, from), 64 * MIB, &bytes, &count, NULL), 0);
	fd = open(model_path(model, to), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, bytes, count), 0);
	close(fd);
	free(bytes);
}

/* A copy of the image as it is after a flush, with rows of the table that did not get there. */
static void make_unclean(struct model *model)
{
	static const uint8_t nothing[4096];

	model_init_image(model, "disk.vhdx", &images[0]);
	assert_int_equal(model_open(model, "disk.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 0);
	for (unsigned i = 0; i < 40; i++)
		model_step(model);
	assert_int_equal(block_flush(model->node), 0);
	copy_file(model, "disk.vhdx", "copy.vhdx");
	model_close(model);
	model_patch(model, "copy.vhdx", BAT_OFFSET, nothing, sizeof(nothing));
}

static void vhdx_log_is_replayed(void **state)
{
	struct model model;

	(void)state;
	make_unclean(&model);
	/* In memory, as often as it is only read; then in the file. */
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(model_open(&model, "copy.vhdx", "vhdx",
					    (struct block_open_options){ .read_only = i < 2 }),
				 0);
		model_expect(&model);
		model_close(&model);
	}
	model_expect_clean(&model, "copy.vhdx");
	model_run(&model, "copy.vhdx", "vhdx", 1, 20);
	model_fini(&model);
}

/* Where a byte of the entry is damaged, none of it counts; before the cut it counted. */
static void vhdx_log_entry_that_is_torn_is_passed_over(void **state)
{
	static const uint8_t damage = 0x5a;
	struct model model;
	uint8_t sector[512];

	(void)state;
	make_unclean(&model);
	for (uint64_t at = MIB; at < MIB + 512 * KIB; at += 4096)
		model_patch(&model, "copy.vhdx", at + 100, &damage, 1);
	for (uint64_t at = MIB + 512 * KIB; at < 2 * MIB; at += 4096)
		model_patch(&model, "copy.vhdx", at + 100, &damage, 1);
	assert_int_equal(model_open(&model, "copy.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 0);
	for (uint64_t at = 0; at < model.bytes; at += MIB) {
		static const uint8_t zeroes[512];

		assert_int_equal(block_read(model.node, at, sector, 512), 0);
		assert_memory_equal(sector, zeroes, 512);
	}
	model_close(&model);
	model_fini(&model);
}

/* ---- damage ---- */

/* One field of a good image, and what opening it says. Sums are made right again. */
static const struct damage {
	uint64_t offset;
	uint64_t value;
	unsigned size;
	int rc, rc_read_only;
} damages[] = {
	{ 0, 0, 8, -EINVAL, -EINVAL },                                  /* identifier */
	{ 64 * KIB + 66, 2, 2, -ENOTSUP, -ENOTSUP },                    /* version */
	{ 64 * KIB + 68, 0, 4, -EINVAL, -EINVAL },                      /* log bytes */
	{ 64 * KIB + 68, 0x80000000, 4, -EINVAL, -EINVAL },             /* same */
	{ 64 * KIB + 72, MIB + 512, 8, -EINVAL, -EINVAL },              /* log offset */
	{ 64 * KIB + 72, METADATA_OFFSET, 8, -EUCLEAN, 0 },             /* log on the metadata */
	{ 192 * KIB + 8, 4000, 4, -EINVAL, -EINVAL },                   /* rows */
	{ 192 * KIB + 8, 0, 4, -EINVAL, -EINVAL },                      /* no regions */
	{ 192 * KIB + 16, 7, 4, -ENOTSUP, -ENOTSUP },                   /* unknown region */
	{ 192 * KIB + 16 + 16, UINT64_MAX, 8, -EINVAL, -EINVAL },       /* place of the BAT */
	{ 192 * KIB + 16 + 24, 0xfff00000, 4, -EINVAL, -EINVAL },       /* its size */
	{ METADATA_OFFSET, 0, 8, -EINVAL, -EINVAL },                    /* signature */
	{ METADATA_OFFSET + 10, 4, 2, -EINVAL, -EINVAL },               /* an item less */
	{ METADATA_OFFSET + 10, 2000, 2, -EINVAL, -EINVAL },            /* too many */
	{ METADATA_OFFSET + 32 + 16, 0xffff0000, 4, -EINVAL, -EINVAL }, /* item outside */
	{ METADATA_OFFSET + 0x10000, 3 * MIB, 4, -EINVAL, -EINVAL },    /* block size */
	{ METADATA_OFFSET + 0x10000, 512, 4, -EINVAL, -EINVAL },        /* same */
	{ METADATA_OFFSET + 0x10004, 2, 4, -EINVAL, -EINVAL },          /* parent, no locator */
	{ METADATA_OFFSET + 0x10008, UINT64_MAX, 8, -EINVAL, -EINVAL }, /* disk size */
	{ METADATA_OFFSET + 0x10008, 64 * TIB, 8, -EINVAL, -EINVAL },   /* more than the BAT */
	{ METADATA_OFFSET + 0x10020, 1024, 4, -EINVAL, -EINVAL },       /* sector size */
	{ BAT_OFFSET + 8, BAT_OFFSET | 6, 8, -EUCLEAN, 0 },             /* block on the BAT */
	{ BAT_OFFSET + 8, DATA_OFFSET | 6, 8, -EUCLEAN, 0 },            /* block that is taken */
	{ BAT_OFFSET + 8, UINT64_C(1) << 50 | 6, 8, -EUCLEAN, 0 },      /* outside */
	{ BAT_OFFSET + 8, DATA_OFFSET | 7, 8, -EUCLEAN, 0 },            /* no parent */
	{ BAT_OFFSET + 8, 4, 8, -EUCLEAN, 0 },                          /* state */
};

static void fix_sum(struct model *model, uint64_t offset, size_t bytes)
{
	uint8_t *section = calloc(1, bytes);
	int fd = open(model_path(model, "disk.vhdx"), O_RDWR | O_CLOEXEC);

	assert_int_equal(pread(fd, section, bytes, (off_t)offset), (ssize_t)bytes);
	le32_put(section + 4, 0);
	le32_put(section + 4, crc32c(0, section, bytes));
	assert_int_equal(pwrite(fd, section, bytes, (off_t)offset), (ssize_t)bytes);
	close(fd);
	free(section);
}

static void make_damaged(struct model *model, const struct damage *damage)
{
	static const uint8_t nothing[8];
	bool header = damage->offset / (64 * KIB) == 1, table = damage->offset / (64 * KIB) == 3;
	uint8_t bytes[8];

	model_init_image(model, "disk.vhdx", &images[0]);
	assert_int_equal(model_open(model, "disk.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 0);
	model_write(model, 0, 512);
	model_close(model);
	le64_put(bytes, damage->value);
	model_patch(model, "disk.vhdx", damage->offset, bytes, damage->size);
	if (header) {
		model_patch(model, "disk.vhdx", 128 * KIB, nothing, sizeof(nothing));
		fix_sum(model, 64 * KIB, 4096);
	}
	if (table) {
		model_patch(model, "disk.vhdx", 256 * KIB, nothing, sizeof(nothing));
		fix_sum(model, 192 * KIB, 64 * KIB);
	}
}

static void vhdx_damaged_is_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		struct model model;

		make_damaged(&model, &damages[i]);
		assert_int_equal(model_open(&model, "disk.vhdx", "vhdx",
					    (struct block_open_options){ .read_only = true }),
				 damages[i].rc_read_only);
		if (!damages[i].rc_read_only)
			model_close(&model);
		assert_int_equal(
			model_open(&model, "disk.vhdx", "vhdx", (struct block_open_options){ 0 }),
			damages[i].rc);
		model_fini(&model);
	}
}

static void vhdx_check_repairs(void **state)
{
	struct block_check check;
	struct model model;
	uint8_t row[8];

	(void)state;
	model_init_image(&model, "disk.vhdx", &images[0]);
	assert_int_equal(model_open(&model, "disk.vhdx", "vhdx", (struct block_open_options){ 0 }),
			 0);
	for (unsigned i = 0; i < 4; i++)
		model_write(&model, i * MIB, MIB);
	model_close(&model);
	/* The second block shares the place of the first, its own belongs to nobody; the third is
	 * nowhere; copies of the header and the regions are lost. */
	le64_put(row, DATA_OFFSET | 6);
	model_patch(&model, "disk.vhdx", BAT_OFFSET + 8, row, 8);
	le64_put(row, TIB | 6);
	model_patch(&model, "disk.vhdx", BAT_OFFSET + 16, row, 8);
	model_patch(&model, "disk.vhdx", 192 * KIB, row, 8);
	model_patch(&model, "disk.vhdx", 64 * KIB, row, 8);
	check = model_check(&model, "disk.vhdx", BLOCK_REPAIR_NOTHING);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 4);
	assert_int_equal(check.found[BLOCK_FINDING_LEAK], 1);
	assert_int_equal(check.allocated, 3);
	check = model_check(&model, "disk.vhdx", BLOCK_REPAIR_ALL);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], check.repaired[BLOCK_FINDING_ERROR]);
	assert_int_equal(check.repaired[BLOCK_FINDING_LEAK], 1);
	model_expect_clean(&model, "disk.vhdx");
	memcpy(model.disk + MIB, model.disk, MIB);
	memset(model.disk + 2 * MIB, 0, MIB);
	model_run(&model, "disk.vhdx", "vhdx", 1, 20);
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_known_bytes_give_known_sums),
		cmocka_unit_test(vhdx_random_requests_match_model),
		cmocka_unit_test(vhdx_differencing_matches_model),
		cmocka_unit_test(vhdx_parent_that_changed_is_refused),
		cmocka_unit_test(vhdx_written_by_threads_matches_model),
		cmocka_unit_test(vhdx_resized_reads_zeroes_behind),
		cmocka_unit_test(vhdx_grown_over_its_table_moves_it),
		cmocka_unit_test(vhdx_log_is_replayed),
		cmocka_unit_test(vhdx_log_entry_that_is_torn_is_passed_over),
		cmocka_unit_test(vhdx_damaged_is_refused_with_words),
		cmocka_unit_test(vhdx_check_repairs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
