/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs on chains of images: alone, under writers that are vCPUs to the disk, ended at any point, and
 * with targets that fail. A plain copy of the disk says what must be read.
 */
#include "model.h"

#include <stdatomic.h>

#include "block/filter/detect_zeroes.h"
#include "block/job/job.h"
#include "host/clock.h"

#define DISK_BYTES   (8 * MIB + 3 * BLOCK_SECTOR)
#define WRITERS      3
#define STRIPE_BYTES (32 * KIB) /* smaller than a granule of the jobs */
#define STEPS        60         /* of each writer in each state of a job */

static const struct model_image small = { .format = "qcow2", .bytes = DISK_BYTES };

/* ---- chains ---- */

static const char *const chain[] = { "base", "mid.qcow2", "top.qcow2" };

/* Images that stand on one another, each with writes of its own. The base is of that format and may be
 * shorter. */
static void make_chain(struct model *model, const char *base_format, uint64_t base_bytes)
{
	const char *format = base_format, *below = NULL;

	model_set_bytes(model, base_bytes);
	for (unsigned i = 0; i < ARRAY_SIZE(chain); i++) {
		const struct model_image image = {
			.format = format,
			.bytes = i ? DISK_BYTES : base_bytes,
			.backing = below,
			.backing_format = below ? base_format : NULL,
		};

		assert_int_equal(model_create(model, chain[i], &image), 0);
		assert_int_equal(
			model_open(model, chain[i], format, (struct block_open_options){ 0 }), 0);
		model_set_bytes(model, i ? DISK_BYTES : base_bytes);
		model_scatter(model, 12, 400);
		model_close(model);
		below = chain[i];
		base_format = format;
		format = "qcow2";
	}
}

static void open_image(struct model *model, const char *name, const char *format)
{
	assert_int_equal(model_open(model, name, format, (struct block_open_options){ 0 }), 0);
}

static void expect_image(struct model *model, const char *name, const char *format)
{
	open_image(model, name, format);
	model_expect(model);
	model_close(model);
	if (strcmp(format, "raw"))
		model_expect_clean(model, name);
}

static void remove_image(struct model *model, const char *name)
{
	assert_int_equal(unlink(model_path(model, name)), 0);
}

/* ---- without a loop ---- */

static void open_alone(struct model *model, const char *name)
{
	struct block_open_options options = {
		.path = model_path(model, name),
		.format = "qcow2",
		.cache = BLOCK_CACHE_UNSAFE,
	};

	assert_int_equal(block_open(&options, NULL, &model->node, NULL), 0);
	model->read_only = false;
}

static void finish(struct model *model, struct block_job *job)
{
	struct err err = ERR_INIT;

	while (!block_job_wait(job, 1000000000))
		;
	assert_int_equal(block_job_progress(job).state, BLOCK_JOB_ENDED);
	assert_int_equal(block_job_progress(job).done_bytes, block_job_progress(job).total_bytes);
	if (block_job_free(job, &err))
		fail_msg("%s", err.text);
	model_close(model);
}

static const struct {
	const char *format;
	uint64_t bytes;
} bases[] = {
	{ "raw", DISK_BYTES },
	{ "qcow2", DISK_BYTES },
	{ "raw", 3 * MIB },
	{ "qcow2", 3 * MIB },
};

static void stream_to_nothing_leaves_an_image_that_stands_alone(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		struct block_job_options options = { 0 };
		struct block_job *job;
		struct model model;

		model_init(&model);
		make_chain(&model, bases[i].format, bases[i].bytes);
		open_alone(&model, "top.qcow2");
		options.root = model.node;
		assert_int_equal(block_stream_start(&job, &options, NULL, NULL, NULL), 0);
		finish(&model, job);
		remove_image(&model, "base");
		remove_image(&model, "mid.qcow2");
		expect_image(&model, "top.qcow2", "qcow2");
		model_fini(&model);
	}
}

static void stream_to_a_base_leaves_out_what_is_between(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		struct block_job_options options = { 0 };
		struct block_node *base;
		struct block_job *job;
		struct model model;

		model_init(&model);
		make_chain(&model, bases[i].format, bases[i].bytes);
		open_alone(&model, "top.qcow2");
		options.root = model.node;
		base = block_backing(block_backing(model.node));
		assert_int_equal(block_stream_start(&job, &options, base, "base", NULL), 0);
		finish(&model, job);
		remove_image(&model, "mid.qcow2");
		expect_image(&model, "top.qcow2", "qcow2");
		model_fini(&model);
	}
}

static void commit_makes_the_base_the_disk(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		struct block_job_options options = { 0 };
		struct block_job *job;
		struct model model;

		model_init(&model);
		make_chain(&model, bases[i].format, bases[i].bytes);
		open_alone(&model, "top.qcow2");
		options.root = model.node;
		assert_int_equal(block_commit_start(&job, &options,
						    block_backing(block_backing(model.node)), NULL),
				 0);
		model_expect(&model);
		finish(&model, job);
		expect_image(&model, "top.qcow2", "qcow2");
		expect_image(&model, "base", bases[i].format);
		model_fini(&model);
	}
}

static void commit_of_a_disk_without_backing_is_refused(void **state)
{
	struct block_job_options options = { 0 };
	struct err err = ERR_INIT;
	struct block_job *job;
	struct model model;

	model_init(&model);
	assert_int_equal(model_create(&model, "disk", &small), 0);
	open_alone(&model, "disk");
	options.root = model.node;
	assert_int_equal(block_commit_start(&job, &options, NULL, &err), -EINVAL);
	assert_true(err.text[0]);
	model_fini(&model);
}

static void commit_to_a_base_that_others_read_is_refused(void **state)
{
	struct block_job_options options = { 0 };
	struct block_node *other;
	struct err err = ERR_INIT;
	struct block_job *job;
	struct model model;

	model_init(&model);
	make_chain(&model, "qcow2", DISK_BYTES);
	open_image(&model, "base", "qcow2");
	block_close(model.node);
	assert_int_equal(model_open(&model, "mid.qcow2", "qcow2",
				    (struct block_open_options){ .read_only = true }),
			 0);
	other = model.node;
	open_alone(&model, "top.qcow2");
	options.root = model.node;
	assert_int_equal(block_commit_start(&job, &options, NULL, &err), -EAGAIN);
	assert_true(err.text[0]);
	block_close(other);
	/* It was left as it was. */
	assert_int_equal(block_commit_start(&job, &options, NULL, &err), 0);
	finish(&model, job);
	expect_image(&model, "mid.qcow2", "qcow2");
	model_fini(&model);
}

/* ---- under writers ---- */

struct live {
	struct model model;
	struct block_job *job;
	_Atomic bool stop;
	_Atomic uint64_t steps[WRITERS];
	uint64_t since[WRITERS]; /* steps when the job came to its state */
	struct loop_timer timer;
	bool seen_ready, ended;
	uint8_t *before; /* the disk when the job was started */
};

struct writer {
	struct live *live;
	pthread_t thread;
	unsigned index;
	uint32_t random;
	struct block_request request; /* as a device: submitted on a vCPU, done on the loop */
	struct iovec iov;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
	int rc;
	_Atomic bool ended;
};

static void writer_done(struct block_request *request, int rc)
{
	struct writer *writer = container_of(request, struct writer, request);

	LOCK_SCOPE(&writer->lock);
	writer->done = true;
	writer->rc = rc;
	pthread_cond_signal(&writer->changed);
}

static void writer_prepare(struct writer *writer)
{
	struct model *model = &writer->live->model;
	uint64_t stripes = model->bytes / STRIPE_BYTES / WRITERS, offset, bytes;

	writer->random = writer->random * 1664525 + 1013904223;
	offset = ((writer->random >> 8) % stripes * WRITERS + writer->index) * STRIPE_BYTES;
	offset += (writer->random >> 24) % 8 * 4 * KIB;
	bytes = (1 + (writer->random >> 16) % 8) * BLOCK_SECTOR;
	writer->request = (struct block_request){
		.op = BLOCK_WRITE, .offset = offset, .bytes = bytes, .done = writer_done
	};
	writer->iov = (struct iovec){ model->disk + offset, bytes };
	switch ((writer->random >> 12) % 8) {
	case 0:
		writer->request = (struct block_request){ .op = BLOCK_FLUSH, .done = writer_done };
		break;
	case 1:
		writer->request.op = BLOCK_WRITE_ZEROES;
		writer->request.flags = BLOCK_MAY_UNMAP;
		memset(model->disk + offset, 0, bytes);
		break;
	default:
		writer->request.iov = &writer->iov;
		writer->request.iov_count = 1;
		memset(model->disk + offset, (int)(writer->random >> 10) | 1, bytes);
		break;
	}
}

static void *writer_main(void *ctx)
{
	struct writer *writer = ctx;
	struct live *live = writer->live;

	while (!atomic_load(&live->stop) && !writer->rc) {
		writer_prepare(writer);
		writer->done = false;
		block_submit(live->model.node, &writer->request);
		pthread_mutex_lock(&writer->lock);
		while (!writer->done)
			pthread_cond_wait(&writer->changed, &writer->lock);
		pthread_mutex_unlock(&writer->lock);
		atomic_fetch_add(&live->steps[writer->index], 1);
	}
	atomic_store(&writer->ended, true);
	return NULL;
}

/* Whether each writer has made its steps since the last time this was true. */
static bool all_stepped(struct live *live)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		if (atomic_load(&live->steps[i]) - live->since[i] < STEPS)
			return false;
	}
	for (unsigned i = 0; i < WRITERS; i++)
		live->since[i] = atomic_load(&live->steps[i]);
	return true;
}

/* Every state of the job lasts until the writers have seen it. */
static void tick(struct loop_timer *timer)
{
	struct live *live = container_of(timer, struct live, timer);

	if (all_stepped(live)) {
		struct block_job_progress progress = block_job_progress(live->job);

		if (live->ended) {
			loop_stop(live->model.loop);
			return;
		}
		if (progress.paused)
			block_job_pause(live->job, false);
		else if (progress.state == BLOCK_JOB_READY)
			assert_int_equal(block_job_complete(live->job, NULL), 0);
	}
	loop_timer_arm(live->model.loop, timer, clock_now_ns() + NS_PER_MS / 10);
}

static void told(void *ctx, struct block_job *job)
{
	struct live *live = ctx;
	struct block_job_progress progress = block_job_progress(job);

	live->seen_ready |= progress.state == BLOCK_JOB_READY;
	live->ended |= progress.state == BLOCK_JOB_ENDED;
}

/* Puts the filter of a real disk in front of the open image. */
static void live_open(struct live *live, const char *name, const char *format)
{
	struct block_node *disk;

	open_image(&live->model, name, format);
	disk = live->model.node;
	assert_int_equal(detect_zeroes_open(disk, true, live->model.loop, &live->model.node, NULL),
			 0);
}

static struct block_job_options live_options(struct live *live)
{
	live->before = malloc(live->model.bytes);
	assert_non_null(live->before);
	memcpy(live->before, live->model.disk, live->model.bytes);
	return (struct block_job_options){
		.root = live->model.node, .loop = live->model.loop, .told = told, .ctx = live
	};
}

/* The writers run before, with and after the job. */
static void live_run(struct live *live, int expected)
{
	struct writer writers[WRITERS];
	struct err err = ERR_INIT;

	block_job_pause(live->job, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .live = live, .index = i, .random = 77 + i };
		pthread_mutex_init(&writers[i].lock, NULL);
		pthread_cond_init(&writers[i].changed, NULL);
		assert_int_equal(
			thread_start(&writers[i].thread, "writer", writer_main, &writers[i], NULL),
			0);
	}
	live->timer.expired = tick;
	loop_timer_arm(live->model.loop, &live->timer, 0);
	assert_int_equal(loop_run(live->model.loop), 0);
	atomic_store(&live->stop, true);
	for (unsigned i = 0; i < WRITERS; i++) {
		/* Its last request ends on the loop, which nobody runs any more. */
		while (!atomic_load(&writers[i].ended))
			block_drain(live->model.node);
		pthread_join(writers[i].thread, NULL);
		assert_int_equal(writers[i].rc, 0);
	}
	assert_int_equal(block_job_free(live->job, &err), expected);
	assert_int_equal(err.code, expected);
	model_expect(&live->model);
}

static void live_fini(struct live *live)
{
	free(live->before);
	model_fini(&live->model);
}

static struct block_node *make_target(struct model *model, const char *name, const char *format)
{
	struct model_image image = small;
	struct block_node *disk = model->node, *target;

	image.format = format;
	image.bytes = model->bytes;
	assert_int_equal(model_create(model, name, &image), 0);
	open_image(model, name, format);
	target = model->node;
	model->node = disk;
	return target;
}

static const struct {
	const char *from, *to;
} mirrors[] = { { "raw", "qcow2" }, { "qcow2", "raw" }, { "qcow2", "qcow2" } };

static void mirror_under_writers_becomes_the_disk(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mirrors); i++) {
		struct live live = { 0 };
		struct block_job_options options;

		model_init(&live.model);
		make_chain(&live.model, "raw", DISK_BYTES);
		if (strcmp(mirrors[i].from, "raw")) {
			live_open(&live, "top.qcow2", "qcow2");
		} else {
			open_image(&live.model, "base", "raw");
			assert_int_equal(
				block_read(live.model.node, 0, live.model.disk, DISK_BYTES), 0);
			model_close(&live.model);
			live_open(&live, "base", "raw");
		}
		options = live_options(&live);
		assert_int_equal(
			block_mirror_start(&live.job, &options,
					   make_target(&live.model, "target", mirrors[i].to), true,
					   NULL),
			0);
		live_run(&live, 0);
		assert_true(live.seen_ready);
		model_close(&live.model);
		expect_image(&live.model, "target", mirrors[i].to);
		live_fini(&live);
	}
}

static void commit_under_writers_becomes_the_base(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		struct live live = { 0 };
		struct block_job_options options;

		model_init(&live.model);
		make_chain(&live.model, bases[i].format, bases[i].bytes);
		live_open(&live, "top.qcow2", "qcow2");
		options = live_options(&live);
		assert_int_equal(
			block_commit_start(
				&live.job, &options,
				i % 2 ? NULL : block_backing(block_backing(live.model.node->next)),
				NULL),
			0);
		live_run(&live, 0);
		assert_true(live.seen_ready);
		model_close(&live.model);
		expect_image(&live.model, i % 2 ? "mid.qcow2" : "base",
			     i % 2 ? "qcow2" : bases[i].format);
		live_fini(&live);
	}
}

static void stream_under_writers_keeps_the_disk(void **state)
{
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(bases); i++) {
		const char *format = bases[i / 2].format;
		struct live live = { 0 };
		struct block_job_options options;
		struct block_node *base;

		model_init(&live.model);
		make_chain(&live.model, format, bases[i / 2].bytes);
		live_open(&live, "top.qcow2", "qcow2");
		options = live_options(&live);
		base = i % 2 ? block_backing(block_backing(live.model.node->next)) : NULL;
		assert_int_equal(block_stream_start(&live.job, &options, base, "base", NULL), 0);
		live_run(&live, 0);
		model_close(&live.model);
		remove_image(&live.model, "mid.qcow2");
		if (!base)
			remove_image(&live.model, "base");
		expect_image(&live.model, "top.qcow2", "qcow2");
		live_fini(&live);
	}
}

static void backup_under_writers_is_the_disk_at_its_start(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(mirrors); i++) {
		struct live live = { 0 };
		struct block_job_options options;
		uint8_t *now;

		model_init(&live.model);
		make_chain(&live.model, "qcow2", DISK_BYTES);
		live_open(&live, "top.qcow2", "qcow2");
		options = live_options(&live);
		assert_int_equal(
			block_backup_start(&live.job, &options,
					   make_target(&live.model, "target", mirrors[i].to),
					   &(struct block_backup_options){ .target_zero = true },
					   NULL),
			0);
		live_run(&live, 0);
		model_close(&live.model);
		now = live.model.disk;
		live.model.disk = live.before;
		expect_image(&live.model, "target", mirrors[i].to);
		live.model.disk = now;
		expect_image(&live.model, "top.qcow2", "qcow2");
		live_fini(&live);
	}
}

static uint64_t dirty_in(struct block_node *disk, const char *name)
{
	uint64_t dirty = 0;
	json_t *list, *row;
	size_t index;

	assert_int_equal(disk->format->bitmaps->list(disk, &list, NULL), 0);
	json_array_foreach(list, index, row)
	{
		if (!strcmp(json_string_value(json_object_get(row, "name")), name))
			dirty = (uint64_t)json_integer_value(json_object_get(row, "dirty"));
	}
	json_decref(list);
	return dirty;
}

/* A full backup, then one of what was written since, over the same target. */
static void backup_of_a_bitmap_brings_the_target_up_to_date(void **state)
{
	struct live live = { 0 };
	struct block_job_options options;
	const struct block_bitmap_ops *bitmaps;
	struct block_node *disk, *target;
	uint8_t *now;

	model_init(&live.model);
	make_chain(&live.model, "qcow2", DISK_BYTES);
	live_open(&live, "top.qcow2", "qcow2");
	disk = live.model.node->next;
	bitmaps = disk->format->bitmaps;
	target = make_target(&live.model, "target", "raw");
	assert_int_equal(block_write(target, 0, live.model.disk, live.model.bytes), 0);
	assert_int_equal(bitmaps->add(disk, "since", 64 * KIB, NULL), 0);
	model_scatter(&live.model, 5, 400);
	options = live_options(&live);
	assert_int_equal(block_backup_start(&live.job, &options, target,
					    &(struct block_backup_options){ .bitmap = "since" },
					    NULL),
			 0);
	assert_true(block_job_progress(live.job).total_bytes < DISK_BYTES);
	assert_int_equal(dirty_in(disk, "since"), 0);
	live_run(&live, 0);
	assert_true(dirty_in(disk, "since"));
	model_close(&live.model);
	now = live.model.disk;
	live.model.disk = live.before;
	expect_image(&live.model, "target", "raw");
	live.model.disk = now;
	expect_image(&live.model, "top.qcow2", "qcow2");
	live_fini(&live);
}

/* ---- ends ---- */

enum kind { MIRROR, COMMIT, STREAM, BACKUP, KINDS };

static int start_kind(struct live *live, enum kind kind, struct block_node *target)
{
	struct block_job_options options = live_options(live);

	switch (kind) {
	case MIRROR:
		return block_mirror_start(&live->job, &options, target, true, NULL);
	case COMMIT:
		return block_commit_start(&live->job, &options, NULL, NULL);
	case STREAM:
		return block_stream_start(&live->job, &options, NULL, NULL, NULL);
	default:
		return block_backup_start(&live->job, &options, target,
					  &(struct block_backup_options){ .target_zero = true },
					  NULL);
	}
}

static void job_cancelled_at_any_point_leaves_the_disk(void **state)
{
	for (unsigned i = 0; i < 6 * KINDS; i++) {
		enum kind kind = (enum kind)(i % KINDS);
		uint64_t point = i / KINDS * MIB;
		struct live live = { 0 };
		struct block_node *target = NULL;
		struct err err = ERR_INIT;
		bool ended;
		int rc;

		model_init(&live.model);
		make_chain(&live.model, "qcow2", DISK_BYTES);
		live_open(&live, "top.qcow2", "qcow2");
		if (kind == MIRROR || kind == BACKUP)
			target = make_target(&live.model, "target", "qcow2");
		assert_int_equal(start_kind(&live, kind, target), 0);
		do {
			ended = block_job_wait(live.job, NS_PER_MS / 10);
		} while (!ended && block_job_progress(live.job).state == BLOCK_JOB_RUNNING &&
			 block_job_progress(live.job).done_bytes < point);
		block_job_cancel(live.job);
		rc = block_job_free(live.job, &err);
		assert_int_equal(err.code, rc);
		/* Those that do not wait for somebody to complete them may have come to their end. */
		if ((kind == MIRROR || kind == COMMIT || rc) && rc != -ECANCELED)
			fail_msg("%u: %s", kind, err.text);
		model_scatter(&live.model, 5, 400);
		model_expect(&live.model);
		model_close(&live.model);
		expect_image(&live.model, "top.qcow2", "qcow2");
		live.model.format = "qcow2";
		model_expect_clean(&live.model, "mid.qcow2");
		if (target)
			model_expect_clean(&live.model, "target");
		live_fini(&live);
	}
}

static void second_job_on_a_disk_is_refused(void **state)
{
	struct live live = { 0 };
	struct block_job_options options;
	struct err err = ERR_INIT;
	struct block_job *job;

	model_init(&live.model);
	make_chain(&live.model, "raw", DISK_BYTES);
	live_open(&live, "top.qcow2", "qcow2");
	options = live_options(&live);
	assert_int_equal(block_commit_start(&live.job, &options, NULL, NULL), 0);
	assert_int_equal(block_stream_start(&job, &options, NULL, NULL, &err), -EBUSY);
	assert_true(err.text[0]);
	assert_int_equal(block_resize(live.model.node, DISK_BYTES + MIB, NULL), -EBUSY);
	assert_int_equal(block_job_free(live.job, NULL), -ECANCELED);
	assert_int_equal(block_resize(live.model.node, DISK_BYTES + MIB, NULL), 0);
	live_fini(&live);
}

/* A target that is full after some writes. */
struct full {
	struct block_node node;
	_Atomic int writes_left;
};

static int full_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		      struct block_buffer from, unsigned flags)
{
	struct full *full = container_of(node, struct full, node);

	if (atomic_fetch_sub(&full->writes_left, 1) <= 0)
		return -ENOSPC;
	return block_writev(node->next, offset, bytes, from, flags);
}

static void full_close(struct block_node *node)
{
	block_node_fini(node);
	free(container_of(node, struct full, node));
}

static const struct block_ops full_ops = {
	.name = "full",
	.filter = true,
	.write = full_write,
	.close = full_close,
};

static void job_whose_target_fails_ends_and_the_disk_goes_on(void **state)
{
	static const int writes[] = { 0, 5, 40 };

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(writes); i++) {
		struct full *full = calloc(1, sizeof(*full));
		struct live live = { 0 };

		assert_non_null(full);
		model_init(&live.model);
		make_chain(&live.model, "qcow2", DISK_BYTES);
		live_open(&live, "top.qcow2", "qcow2");
		full->writes_left = writes[i / 2];
		block_node_init(&full->node, &full_ops, live.model.loop);
		assert_int_equal(
			block_node_add(&full->node, make_target(&live.model, "target", "raw")), 0);
		assert_int_equal(start_kind(&live, i % 2 ? MIRROR : BACKUP, &full->node), 0);
		live_run(&live, -ENOSPC);
		model_close(&live.model);
		expect_image(&live.model, "top.qcow2", "qcow2");
		live_fini(&live);
	}
}

static void job_with_a_limit_of_speed_says_so_and_ends_without_it(void **state)
{
	struct block_job_options options = { .speed = 1 };
	struct block_job *job;
	struct model model;

	model_init(&model);
	make_chain(&model, "raw", DISK_BYTES);
	open_alone(&model, "top.qcow2");
	options.root = model.node;
	assert_int_equal(block_stream_start(&job, &options, NULL, NULL, NULL), 0);
	assert_int_equal(block_job_progress(job).speed, 1);
	/* The second piece is not due in this life. */
	assert_false(block_job_wait(job, 1));
	block_job_set_speed(job, 0);
	finish(&model, job);
	expect_image(&model, "top.qcow2", "qcow2");
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_to_nothing_leaves_an_image_that_stands_alone),
		cmocka_unit_test(stream_to_a_base_leaves_out_what_is_between),
		cmocka_unit_test(commit_makes_the_base_the_disk),
		cmocka_unit_test(commit_of_a_disk_without_backing_is_refused),
		cmocka_unit_test(commit_to_a_base_that_others_read_is_refused),
		cmocka_unit_test(mirror_under_writers_becomes_the_disk),
		cmocka_unit_test(commit_under_writers_becomes_the_base),
		cmocka_unit_test(stream_under_writers_keeps_the_disk),
		cmocka_unit_test(backup_under_writers_is_the_disk_at_its_start),
		cmocka_unit_test(backup_of_a_bitmap_brings_the_target_up_to_date),
		cmocka_unit_test(job_cancelled_at_any_point_leaves_the_disk),
		cmocka_unit_test(second_job_on_a_disk_is_refused),
		cmocka_unit_test(job_whose_target_fails_ends_and_the_disk_goes_on),
		cmocka_unit_test(job_with_a_limit_of_speed_says_so_and_ends_without_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
