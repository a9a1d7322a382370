/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Dirty bitmaps of a disk in use, in memory and kept by the image: what they record, and chains of
 * incremental backups from them, restored and compared with copies of the disk.
 */
#include "model.h"

#include "block/bitmap.h"
#include "block/filter/bitmaps.h"
#include "block/filter/detect_zeroes.h"
#include "block/job/job.h"
#include "host/clock.h"

#define DISK_BYTES  (8 * MIB + 3 * BLOCK_SECTOR)
#define GRANULARITY (64 * KIB)

/* ---- the disk ---- */

/* An image that is open as a machine's disk: behind a filter. */
static void disk_init(struct model *model, const char *format)
{
	const struct model_image image = {
		.format = format,
		.settings = strcmp(format, "vhd") ? NULL : "subformat=fixed",
		.bytes = DISK_BYTES,
	};
	struct block_node *disk;

	model_init_image(model, "disk", &image);
	assert_int_equal(model_open(model, "disk", format, (struct block_open_options){ 0 }), 0);
	disk = model->node;
	assert_int_equal(detect_zeroes_open(disk, true, model->loop, &model->node, NULL), 0);
}

static void disk_reopen(struct model *model, const char *format)
{
	struct block_node *disk;

	model_close(model);
	assert_int_equal(model_open(model, "disk", format, (struct block_open_options){ 0 }), 0);
	disk = model->node;
	assert_int_equal(detect_zeroes_open(disk, true, model->loop, &model->node, NULL), 0);
}

static void add(struct model *model, const char *name, bool persistent)
{
	struct err err = ERR_INIT;

	if (block_bitmap_add(model->node, name, GRANULARITY, persistent, &err))
		fail_msg("%s", err.text);
}

/* NULL: there is none. Borrowed from the list, which the caller releases. */
static json_t *row_of(struct model *model, const char *name, json_t **ret_list)
{
	json_t *row;
	size_t index;

	assert_int_equal(block_bitmap_list(model->node, ret_list, NULL), 0);
	json_array_foreach(*ret_list, index, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "name")), name))
			return row;
	}
	return NULL;
}

static uint64_t dirty_in(struct model *model, const char *name)
{
	json_t *list, *row = row_of(model, name, &list);
	uint64_t dirty;

	assert_non_null(row);
	dirty = (uint64_t)json_integer_value(json_object_get(row, "dirty"));
	json_decref(list);
	return dirty;
}

/* Writes of all kinds; which granules they touch. */
static void write_marked(struct model *model, bool *marked, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t sectors = model->bytes / BLOCK_SECTOR;
		uint64_t from = model_random(model) % sectors;
		uint64_t bytes = (1 + model_random(model) % MIN(sectors - from, UINT64_C(200))) *
				 BLOCK_SECTOR;
		uint64_t offset = from * BLOCK_SECTOR;

		switch (model_random(model) % 4) {
		case 0:
			memset(model->disk + offset, 0, bytes);
			assert_int_equal(request_range(model->node, BLOCK_WRITE_ZEROES, offset,
						       bytes, BLOCK_MAY_UNMAP),
					 0);
			break;
		case 1:
			assert_int_equal(block_discard(model->node, offset, bytes), 0);
			assert_int_equal(
				block_read(model->node, offset, model->disk + offset, bytes), 0);
			break;
		default:
			model_write(model, offset, bytes);
			break;
		}
		for (uint64_t at = offset; marked && at < offset + bytes; at += BLOCK_SECTOR)
			marked[at / GRANULARITY] = true;
	}
}

static void expect_marked(struct model *model, const char *name, const bool *marked)
{
	struct block_bitmap bitmap;
	uint64_t offset = 0;

	assert_int_equal(block_bitmap_find(model->node, name, &bitmap, NULL), 0);
	while (offset < model->bytes) {
		uint64_t bytes;
		bool dirty;

		assert_int_equal(bitmap.ops->status(bitmap.node, name, offset,
						    model->bytes - offset, &dirty, &bytes),
				 0);
		for (uint64_t at = offset; at < offset + bytes; at += BLOCK_SECTOR)
			assert_int_equal(marked[at / GRANULARITY], dirty);
		offset += bytes;
	}
}

/* Where bitmaps are, and of which disks. */
static const struct {
	const char *format;
	bool persistent;
} kinds[] = {
	{ "raw", false }, { "qcow2", false }, { "qcow2", true }, { "vhdx", false }, { "vhd", false }
};

/* ---- recording ---- */

static void bitmap_records_what_is_written(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool marked[2 * DISK_BYTES / GRANULARITY + 2] = { false };
		struct model model;

		disk_init(&model, kinds[i].format);
		write_marked(&model, NULL, 5);
		add(&model, "one", kinds[i].persistent);
		expect_marked(&model, "one", marked);
		write_marked(&model, marked, 20);
		expect_marked(&model, "one", marked);
		assert_int_equal(block_resize(model.node, 2 * DISK_BYTES, NULL), 0);
		model_set_bytes(&model, 2 * DISK_BYTES);
		expect_marked(&model, "one", marked);
		write_marked(&model, marked, 20);
		expect_marked(&model, "one", marked);
		assert_int_equal(block_bitmap_enable(model.node, "one", false, NULL), 0);
		write_marked(&model, NULL, 5);
		expect_marked(&model, "one", marked);
		model_expect(&model);
		model_fini(&model);
	}
}

static void bitmap_clear_merge_and_remove(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool marked[DISK_BYTES / GRANULARITY + 1] = { false };
		bool clean[DISK_BYTES / GRANULARITY + 1] = { false };
		struct model model;

		disk_init(&model, kinds[i].format);
		add(&model, "one", kinds[i].persistent);
		add(&model, "two", false);
		write_marked(&model, marked, 10);
		assert_int_equal(block_bitmap_clear(model.node, "one", NULL), 0);
		expect_marked(&model, "one", clean);
		expect_marked(&model, "two", marked);
		assert_int_equal(block_bitmap_merge(model.node, "one", "two", NULL), 0);
		expect_marked(&model, "one", marked);
		assert_int_equal(block_bitmap_remove(model.node, "one", NULL), 0);
		assert_int_equal(block_bitmap_remove(model.node, "one", NULL), -ENOENT);
		assert_int_equal(block_bitmap_remove(model.node, "two", NULL), 0);
		/* Nothing is left in the way of requests. */
		assert_false(bitmaps_is(model.node->next));
		model_expect(&model);
		model_fini(&model);
	}
}

static void bitmap_that_cannot_be_is_refused(void **state)
{
	struct err err = ERR_INIT;
	struct model model;

	disk_init(&model, "raw");
	assert_int_equal(block_bitmap_add(model.node, "one", GRANULARITY, true, &err), -ENOTSUP);
	assert_true(err.hint[0]);
	assert_int_equal(block_bitmap_add(model.node, "one", 1000, false, &err), -EINVAL);
	assert_int_equal(block_bitmap_add(model.node, "one", 256, false, &err), -EINVAL);
	assert_int_equal(block_bitmap_add(model.node, "", GRANULARITY, false, &err), -EINVAL);
	assert_false(bitmaps_is(model.node->next));
	assert_int_equal(block_bitmap_clear(model.node, "one", &err), -ENOENT);
	model_fini(&model);
	disk_init(&model, "qcow2");
	add(&model, "one", true);
	assert_int_equal(block_bitmap_add(model.node, "one", GRANULARITY, false, &err), -EEXIST);
	add(&model, "two", false);
	assert_int_equal(block_bitmap_add(model.node, "two", GRANULARITY, true, &err), -EEXIST);
	model_fini(&model);
}

static void persistent_bitmap_records_on_after_a_restart(void **state)
{
	bool marked[DISK_BYTES / GRANULARITY + 1] = { false };
	struct model model;
	json_t *list;

	disk_init(&model, "qcow2");
	add(&model, "kept", true);
	add(&model, "lost", false);
	write_marked(&model, marked, 10);
	disk_reopen(&model, "qcow2");
	expect_marked(&model, "kept", marked);
	write_marked(&model, marked, 10);
	expect_marked(&model, "kept", marked);
	assert_null(row_of(&model, "lost", &list));
	json_decref(list);
	model_fini(&model);
}

/* ---- backups ---- */

static const char *const links[] = { "full", "inc1", "inc2", "inc3" };

/* Makes the image of the chain, on the one before. */
static struct block_node *link_open(struct model *model, unsigned number)
{
	struct model_image image = {
		.format = "qcow2",
		.bytes = DISK_BYTES,
		.backing = number ? links[number - 1] : NULL,
		.backing_format = number ? "qcow2" : NULL,
	};
	struct block_node *disk = model->node, *target;
	const char *format = model->format;

	assert_int_equal(model_create(model, links[number], &image), 0);
	assert_int_equal(
		model_open(model, links[number], "qcow2", (struct block_open_options){ 0 }), 0);
	target = model->node;
	model->node = disk;
	model->format = format;
	return target;
}

static void job_ended(void *ctx, struct block_job *job)
{
	if (block_job_progress(job).state == BLOCK_JOB_ENDED)
		loop_stop(ctx);
}

/* A backup to the link of the chain, paused. */
static struct block_job *backup_start(struct model *model, unsigned number, bool all)
{
	const struct block_job_options options = {
		.root = model->node,
		.loop = model->loop,
		.speed = 1,
		.told = job_ended,
		.ctx = model->loop,
	};
	const struct block_backup_options backup = { .target_zero = !number,
						     .bitmap = "since",
						     .all = all };
	struct block_job *job;
	struct err err = ERR_INIT;

	if (block_backup_start(&job, &options, link_open(model, number), &backup, &err))
		fail_msg("%s", err.text);
	assert_string_equal(block_backup_bitmap(job), "since");
	return job;
}

/* The disk is written while the backup is under way. */
static void backup_run(struct model *model, unsigned number, bool all, bool *marked)
{
	struct block_job *job = backup_start(model, number, all);
	struct err err = ERR_INIT;

	write_marked(model, marked, 10);
	block_job_set_speed(job, 0);
	assert_int_equal(loop_run(model->loop), 0);
	if (block_job_free(job, &err))
		fail_msg("%s", err.text);
}

static void expect_link(struct model *model, unsigned number, const uint8_t *content)
{
	struct block_node *disk = model->node;
	uint8_t *now = malloc(DISK_BYTES);

	assert_non_null(now);
	assert_int_equal(model_open(model, links[number], "qcow2",
				    (struct block_open_options){ .read_only = true }),
			 0);
	assert_int_equal(block_read(model->node, 0, now, DISK_BYTES), 0);
	assert_memory_equal(now, content, DISK_BYTES);
	block_close(model->node);
	model->node = disk;
	model->read_only = false;
	free(now);
}

static void copy_disk(struct model *model, uint8_t *to)
{
	memcpy(to, model->disk, DISK_BYTES);
}

static void chain_of_backups_holds_each_moment(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint8_t *moments[ARRAY_SIZE(links)];
		struct model model;

		disk_init(&model, kinds[i].format);
		write_marked(&model, NULL, 30);
		add(&model, "since", kinds[i].persistent);
		for (unsigned number = 0; number < ARRAY_SIZE(links); number++) {
			bool marked[DISK_BYTES / GRANULARITY + 1] = { false };

			write_marked(&model, NULL, 5);
			if (number == 2 && kinds[i].persistent)
				disk_reopen(&model, kinds[i].format);
			moments[number] = malloc(DISK_BYTES);
			assert_non_null(moments[number]);
			copy_disk(&model, moments[number]);
			backup_run(&model, number, !number, marked);
			expect_marked(&model, "since", marked);
		}
		for (unsigned number = 0; number < ARRAY_SIZE(links); number++) {
			expect_link(&model, number, moments[number]);
			free(moments[number]);
		}
		model_expect(&model);
		model_fini(&model);
	}
}

static void backup_that_fails_keeps_what_is_dirty(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		bool marked[DISK_BYTES / GRANULARITY + 1] = { false };
		uint8_t *moment = malloc(DISK_BYTES);
		struct block_job *job;
		struct model model;

		assert_non_null(moment);
		disk_init(&model, kinds[i].format);
		add(&model, "since", kinds[i].persistent);
		write_marked(&model, NULL, 10);
		backup_run(&model, 0, true, marked);
		write_marked(&model, marked, 10);
		job = backup_start(&model, 1, false);
		assert_true(dirty_in(&model, "since") == 0);
		write_marked(&model, marked, 5);
		assert_int_equal(block_job_free(job, NULL), -ECANCELED);
		expect_marked(&model, "since", marked);
		assert_int_equal(unlink(model_path(&model, links[1])), 0);
		copy_disk(&model, moment);
		backup_run(&model, 1, false, marked);
		expect_link(&model, 1, moment);
		model_expect(&model);
		model_fini(&model);
		free(moment);
	}
}

static void bitmaps_come_and_go_while_a_job_runs(void **state)
{
	bool marked[DISK_BYTES / GRANULARITY + 1] = { false };
	uint8_t *moment = malloc(DISK_BYTES);
	struct block_job *job;
	struct model model;

	assert_non_null(moment);
	disk_init(&model, "raw");
	add(&model, "since", false);
	write_marked(&model, NULL, 10);
	copy_disk(&model, moment);
	job = backup_start(&model, 0, true);
	add(&model, "later", false);
	write_marked(&model, marked, 10);
	expect_marked(&model, "later", marked);
	assert_int_equal(block_bitmap_remove(model.node, "later", NULL), 0);
	block_job_set_speed(job, 0);
	assert_int_equal(loop_run(model.loop), 0);
	assert_int_equal(block_job_free(job, NULL), 0);
	expect_link(&model, 0, moment);
	model_expect(&model);
	model_fini(&model);
	free(moment);
}

/* The filter of the first bitmap comes in front of a job's, and goes before that ends. */
static void first_bitmap_comes_while_a_job_runs(void **state)
{
	struct block_job_options options = { .speed = 1, .told = job_ended };
	struct block_job *job;
	struct model model;

	disk_init(&model, "raw");
	write_marked(&model, NULL, 10);
	options.root = model.node;
	options.loop = options.ctx = model.loop;
	assert_int_equal(block_mirror_start(&job, &options, link_open(&model, 0), true, NULL), 0);
	add(&model, "one", false);
	write_marked(&model, NULL, 10);
	block_job_set_speed(job, 0);
	while (!block_job_wait(job, NS_PER_MS)) {
		if (block_job_progress(job).state == BLOCK_JOB_READY)
			assert_int_equal(block_job_complete(job, NULL), 0);
	}
	assert_int_equal(block_job_free(job, NULL), 0);
	assert_true(bitmaps_is(model.node->next));
	assert_true(dirty_in(&model, "one") > 0);
	assert_int_equal(block_bitmap_remove(model.node, "one", NULL), 0);
	assert_string_equal(model.node->next->ops->name, "qcow2");
	model_expect(&model);
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bitmap_records_what_is_written),
		cmocka_unit_test(bitmap_clear_merge_and_remove),
		cmocka_unit_test(bitmap_that_cannot_be_is_refused),
		cmocka_unit_test(persistent_bitmap_records_on_after_a_restart),
		cmocka_unit_test(chain_of_backups_holds_each_moment),
		cmocka_unit_test(backup_that_fails_keeps_what_is_dirty),
		cmocka_unit_test(bitmaps_come_and_go_while_a_job_runs),
		cmocka_unit_test(first_bitmap_comes_while_a_job_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
