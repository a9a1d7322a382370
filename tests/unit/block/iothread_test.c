/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks whose loop runs on a thread of its own: requests of other threads end there, while the thread
 * that owns the graph drains and changes it, has jobs work on it, and closes it. A plain copy of the
 * disk says what must be read.
 */
#include "model.h"

#include <sched.h>
#include <stdatomic.h>

#include "base/cleanup.h"
#include "block/filter/detect_zeroes.h"
#include "block/filter/limits.h"
#include "block/job/job.h"
#include "block/job/overlay.h"

#define DISK_BYTES   (8 * MIB)
#define WRITERS      2
#define DEPTH        4 /* requests of a writer in flight */
#define STRIPE_BYTES (32 * KIB)
#define STEPS        200

static const struct model_image small = { .format = "qcow2", .bytes = DISK_BYTES };

struct writer;

struct slot {
	struct block_request request; /* first */
	struct iovec iov;
	struct writer *writer;
	unsigned index;
	bool busy; /* guarded by the writer's lock */
};

struct writer {
	struct stand *stand;
	pthread_t thread;
	unsigned index;
	uint32_t random;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int rc; /* guarded by lock, as are the slots' */
	_Atomic uint64_t steps;
	struct slot slots[DEPTH];
};

struct stand {
	struct model model;
	struct loop *control; /* of the owner; that of the model is the disk's */
	pthread_t thread;
	_Atomic bool stop;
	unsigned done; /* of the disk's loop, or of who holds it */
	struct block_limiter *limiter;
	struct writer writers[WRITERS];
	struct block_job *job;
	enum block_job_state state;
	int job_rc;
};

/* ---- the disk's thread ---- */

static void *loop_main(void *ctx)
{
	struct stand *stand = ctx;

	assert_int_equal(loop_run(stand->model.loop), 0);
	return NULL;
}

static void slot_ended(struct block_request *request, int rc)
{
	struct slot *slot = container_of(request, struct slot, request);
	struct writer *writer = slot->writer;

	LOCK_SCOPE(&writer->lock);
	slot->busy = false;
	writer->rc = writer->rc ? writer->rc : rc;
	pthread_cond_signal(&writer->changed);
}

static void slot_done(struct block_request *request, int rc)
{
	/* Without a lock: only one thread at a time plays the loop's. */
	container_of(request, struct slot, request)->writer->stand->done++;
	slot_ended(request, rc);
}

/* ---- writers ---- */

/* As a device does it; what is taken may be another writer's. */
static void submit(struct block_node *node, struct block_request *request)
{
	int rc;

	block_queue(node, request);
	while ((request = block_take_ended(node, &rc)))
		slot_ended(request, rc);
	block_kick(node);
}

static struct slot *free_slot_locked(struct writer *writer)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		if (!writer->slots[i].busy)
			return &writer->slots[i];
	}
	return NULL;
}

/* What a slot writes, no other one does at the same time. */
static void slot_prepare(struct slot *slot)
{
	struct writer *writer = slot->writer;
	struct model *model = &writer->stand->model;
	uint64_t stripe = slot->index * WRITERS + writer->index, stripes, offset, bytes;

	writer->random = writer->random * 1664525 + 1013904223;
	stripes = model->bytes / STRIPE_BYTES / (WRITERS * DEPTH);
	offset = ((writer->random >> 8) % stripes * WRITERS * DEPTH + stripe) * STRIPE_BYTES;
	offset += (writer->random >> 24) % 8 * 4 * KIB;
	bytes = (1 + (writer->random >> 16) % 8) * BLOCK_SECTOR;
	slot->request = (struct block_request){
		.op = BLOCK_WRITE, .offset = offset, .bytes = bytes, .done = slot_done
	};
	slot->iov = (struct iovec){ model->disk + offset, bytes };
	slot->request.iov = &slot->iov;
	slot->request.iov_count = 1;
	if ((writer->random >> 12) % 16 == 0)
		slot->request = (struct block_request){ .op = BLOCK_FLUSH, .done = slot_done };
	else
		memset(model->disk + offset, (int)(writer->random >> 10), bytes);
}

static void *writer_main(void *ctx)
{
	struct writer *writer = ctx;
	bool stop = false;

	while (!stop) {
		struct slot *slot;

		pthread_mutex_lock(&writer->lock);
		while (!(slot = free_slot_locked(writer)))
			pthread_cond_wait(&writer->changed, &writer->lock);
		slot->busy = true;
		pthread_mutex_unlock(&writer->lock);
		slot_prepare(slot);
		submit(writer->stand->model.node, &slot->request);
		atomic_fetch_add(&writer->steps, 1);
		stop = atomic_load(&writer->stand->stop);
	}
	return NULL;
}

static void writer_start(struct stand *stand, unsigned index)
{
	struct writer *writer = &stand->writers[index];

	*writer = (struct writer){ .stand = stand, .index = index, .random = 77 + index };
	pthread_mutex_init(&writer->lock, NULL);
	pthread_cond_init(&writer->changed, NULL);
	for (unsigned i = 0; i < DEPTH; i++) {
		writer->slots[i].writer = writer;
		writer->slots[i].index = i;
	}
	assert_int_equal(thread_start(&writer->thread, "writer", writer_main, writer, NULL), 0);
}

/* Each of them has gone on. */
static void await_steps(struct stand *stand)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		uint64_t until = atomic_load(&stand->writers[i].steps) + STEPS;

		while (atomic_load(&stand->writers[i].steps) < until)
			sched_yield();
	}
}

/* ---- the stand ---- */

/* An image with the filters of a machine's disk, and writers at it. */
static void stand_init(struct stand *stand, const char *format, bool io_uring)
{
	struct block_open_options options = {
		.format = format,
		.cache = BLOCK_CACHE_UNSAFE,
		.no_io_uring = !io_uring,
	};
	const struct block_limits none = { 0 };
	struct model_image image = small;
	struct model *model = &stand->model;

	*stand = (struct stand){ 0 };
	image.format = format;
	model_init_image(model, "disk", &image);
	assert_int_equal(loop_new(&stand->control, NULL), 0);
	assert_int_equal(thread_start(&stand->thread, "disk", loop_main, stand, NULL), 0);
	options.path = model_path(model, "disk");
	assert_int_equal(block_open(&options, model->loop, &model->node, NULL), 0);
	assert_int_equal(detect_zeroes_open(model->node, true, model->loop, &model->node, NULL), 0);
	assert_int_equal(block_limiter_new(&stand->limiter, &none), 0);
	assert_int_equal(
		limits_open(model->node, stand->limiter, NULL, model->loop, &model->node, NULL), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		writer_start(stand, i);
}

static void stand_fini(struct stand *stand, const char *file, const char *format)
{
	struct model *model = &stand->model;

	await_steps(stand);
	atomic_store(&stand->stop, true);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(stand->writers[i].thread, NULL);
	block_drain(model->node);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(stand->writers[i].rc, 0);
	assert_in_range(stand->done, 1, UINT32_MAX);
	assert_int_equal(block_flush(model->node), 0);
	block_close(take_ptr(&model->node));
	block_limiter_put(stand->limiter);
	loop_stop(model->loop);
	pthread_join(stand->thread, NULL);
	loop_free(stand->control);
	assert_int_equal(model_open(model, file, format, (struct block_open_options){ 0 }), 0);
	model_expect(model);
	model_close(model);
	model_fini(model);
}

/* ---- tests ---- */

static const struct {
	const char *format;
	bool io_uring;
} disks[] = { { "raw", true }, { "raw", false }, { "qcow2", true }, { "qcow2", false } };

static int change_nothing(void *ctx, struct err *err)
{
	struct stand *stand = ctx;

	(void)err;
	assert_int_equal(atomic_load(&stand->model.node->in_flight), 0);
	return 0;
}

static void owner_drains_and_changes_while_others_write(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(disks); i++) {
		struct block_limits limits = { .limits[BLOCK_LIMIT_REQUESTS] = { 20000, 5 } };
		struct stand stand;

		stand_init(&stand, disks[i].format, disks[i].io_uring);
		assert_ptr_equal(block_loop(stand.model.node), stand.model.loop);
		for (unsigned turn = 0; turn < 5; turn++) {
			block_limiter_set(stand.limiter, &limits);
			await_steps(&stand);
			block_drain(stand.model.node);
			limits.limits[BLOCK_LIMIT_REQUESTS].rate = turn % 2 ? 20000 : 0;
			assert_int_equal(
				block_change(stand.model.node, change_nothing, &stand, NULL), 0);
		}
		limits.limits[BLOCK_LIMIT_REQUESTS].rate = 0;
		block_limiter_set(stand.limiter, &limits);
		stand_fini(&stand, "disk", disks[i].format);
	}
}

static void told(void *ctx, struct block_job *job)
{
	struct stand *stand = ctx;

	stand->state = block_job_progress(job).state;
	if (stand->state == BLOCK_JOB_ENDED)
		stand->job_rc = block_job_free(job, NULL);
	loop_stop(stand->control);
}

static void await_state(struct stand *stand, enum block_job_state state)
{
	while (stand->state != state)
		assert_int_equal(loop_run(stand->control), 0);
}

static struct block_job_options options_of(struct stand *stand)
{
	stand->state = BLOCK_JOB_RUNNING;
	return (struct block_job_options){
		.root = stand->model.node, .loop = stand->control, .told = told, .ctx = stand
	};
}

static struct block_node *make_target(struct stand *stand, const char *name)
{
	struct block_open_options options = { .format = "qcow2", .cache = BLOCK_CACHE_UNSAFE };
	struct block_node *target;

	assert_int_equal(model_create(&stand->model, name, &small), 0);
	options.path = model_path(&stand->model, name);
	assert_int_equal(block_open(&options, block_loop(stand->model.node), &target, NULL), 0);
	return target;
}

static void mirror_moves_the_disk(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(disks); i++) {
		struct block_job_options options;
		struct stand stand;

		stand_init(&stand, disks[i].format, disks[i].io_uring);
		options = options_of(&stand);
		assert_int_equal(block_mirror_start(&stand.job, &options,
						    make_target(&stand, "target"), true, NULL),
				 0);
		await_state(&stand, BLOCK_JOB_READY);
		await_steps(&stand);
		assert_int_equal(block_job_complete(stand.job, NULL), 0);
		await_state(&stand, BLOCK_JOB_ENDED);
		assert_int_equal(stand.job_rc, 0);
		stand_fini(&stand, "target", "qcow2");
	}
}

static void overlay_is_put_on_and_committed(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(disks); i++) {
		struct block_create_options create = { .format = "qcow2" };
		struct block_open_options open = { .cache = BLOCK_CACHE_UNSAFE };
		struct block_job_options options;
		struct stand stand;

		stand_init(&stand, disks[i].format, disks[i].io_uring);
		create.path = model_path(&stand.model, "overlay");
		assert_int_equal(block_overlay_put(stand.model.node, block_loop(stand.model.node),
						   &create, &open, NULL),
				 0);
		await_steps(&stand);
		options = options_of(&stand);
		assert_int_equal(block_commit_start(&stand.job, &options, NULL, NULL), 0);
		await_state(&stand, BLOCK_JOB_READY);
		assert_int_equal(block_job_complete(stand.job, NULL), 0);
		await_state(&stand, BLOCK_JOB_ENDED);
		assert_int_equal(stand.job_rc, 0);
		stand_fini(&stand, "disk", disks[i].format);
	}
}

static void job_cancelled_leaves_the_disk(void **state)
{
	const struct block_backup_options all = { .target_zero = true };
	struct block_job_options options;
	struct stand stand;

	stand_init(&stand, "qcow2", true);
	options = options_of(&stand);
	assert_int_equal(
		block_backup_start(&stand.job, &options, make_target(&stand, "target"), &all, NULL),
		0);
	await_steps(&stand);
	block_job_cancel(stand.job);
	await_state(&stand, BLOCK_JOB_ENDED);
	stand_fini(&stand, "disk", "qcow2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owner_drains_and_changes_while_others_write),
		cmocka_unit_test(mirror_moves_the_disk),
		cmocka_unit_test(overlay_is_put_on_and_committed),
		cmocka_unit_test(job_cancelled_leaves_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
