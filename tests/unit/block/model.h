/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Images of formats against a plain copy of the disk in memory: made, written at random by calls and
 * by requests, closed and opened again, checked.
 */
#pragma once

#include "fixture.h"

#include <errno.h>
#include <fcntl.h>

#include "base/bits.h"
#include "block/format.h"
#include "host/thread.h"

struct model {
	char folder[64], path[96];
	const char *format;
	struct loop *loop;
	struct block_node *node;
	uint8_t *disk;
	uint64_t bytes;
	uint32_t random;
	bool read_only;
};

/* How an image is made. */
struct model_image {
	const char *format;
	const char *settings; /* "name=value,…" */
	uint64_t bytes;
	const char *backing; /* in the same folder */
	const char *backing_format;
};

static inline uint32_t model_random(struct model *model)
{
	model->random = model->random * 1664525 + 1013904223;
	return model->random >> 8;
}

static inline void model_init(struct model *model)
{
	*model = (struct model){ .folder = "/var/tmp/cella-image-XXXXXX", .random = 1 };
	assert_non_null(mkdtemp(model->folder));
	assert_int_equal(loop_new(&model->loop, NULL), 0);
}

static inline void model_fini(struct model *model)
{
	char command[128];

	block_close(model->node);
	loop_free(model->loop);
	free(model->disk);
	snprintf(command, sizeof(command), "rm -rf '%s'", model->folder);
	assert_int_equal(system(command), 0);
}

static inline const char *model_path(struct model *model, const char *name)
{
	snprintf(model->path, sizeof(model->path), "%s/%s", model->folder, name);
	return model->path;
}

/* Makes an image in the folder; 0 or the error, which has words. */
static inline int model_create(struct model *model, const char *name,
			       const struct model_image *image)
{
	struct block_create_options options = {
		.path = model_path(model, name),
		.format = image->format,
		.bytes = image->bytes,
		.backing = image->backing,
		.backing_format = image->backing_format,
	};
	json_t *settings = json_object();
	struct err err = ERR_INIT;
	int rc;

	assert_int_equal(
		block_settings_parse(settings, image->settings ? image->settings : "", &err), 0);
	options.settings = settings;
	rc = block_create(&options, &err);
	assert_int_equal(rc, err.code);
	assert_true(!rc || err.text[0]);
	json_decref(settings);
	return rc;
}

/* Opens an image of the folder; 0 or the error, which has words. */
static inline int model_open(struct model *model, const char *name, const char *format,
			     struct block_open_options options)
{
	struct err err = ERR_INIT;
	int rc;

	options.path = model_path(model, name);
	options.format = format;
	options.no_io_uring = true;
	/* Nothing here asks what a cut of the power leaves. */
	options.cache = BLOCK_CACHE_UNSAFE;
	rc = block_open(&options, model->loop, &model->node, &err);
	assert_int_equal(rc, err.code);
	assert_true(!rc || err.text[0]);
	model->format = format;
	model->read_only = options.read_only;
	return rc;
}

static inline void model_close(struct model *model)
{
	if (!model->read_only)
		assert_int_equal(block_flush(model->node), 0);
	block_close(model->node);
	model->node = NULL;
}

/* The disk becomes `bytes` long in the model; what is new is zero. */
static inline void model_set_bytes(struct model *model, uint64_t bytes)
{
	model->disk = realloc(model->disk, bytes + 1);
	assert_non_null(model->disk);
	if (bytes > model->bytes)
		memset(model->disk + model->bytes, 0, bytes - model->bytes);
	model->bytes = bytes;
}

/* A model of an image that is made now. */
static inline void model_init_image(struct model *model, const char *name,
				    const struct model_image *image)
{
	model_init(model);
	model_set_bytes(model, image->bytes);
	assert_int_equal(model_create(model, name, image), 0);
}

static inline void model_expect_range(struct model *model, uint64_t offset, uint64_t bytes)
{
	uint8_t *buffer = malloc(bytes + 1);

	if (model_random(model) % 2)
		assert_int_equal(block_read(model->node, offset, buffer, bytes), 0);
	else
		assert_int_equal(request_io(model->node, BLOCK_READ, offset, buffer, bytes), 0);
	assert_memory_equal(buffer, model->disk + offset, bytes);
	free(buffer);
}

/* Everything: the size, the bytes, and that extents say nothing else than the bytes. */
static inline void model_expect(struct model *model)
{
	uint64_t offset = 0;

	assert_int_equal(block_size_bytes(model->node), model->bytes);
	model_expect_range(model, 0, model->bytes);
	while (offset < model->bytes) {
		struct block_extent extent;
		uint8_t *bytes;

		assert_int_equal(block_extent(model->node, offset, model->bytes - offset, &extent),
				 0);
		assert_int_equal(extent.offset, offset);
		bytes = calloc(1, extent.bytes);
		assert_non_null(bytes);
		if (extent.flags & BLOCK_EXTENT_AT)
			assert_int_equal(block_read(extent.file, extent.at, bytes, extent.bytes),
					 0);
		if (extent.flags & (BLOCK_EXTENT_AT | BLOCK_EXTENT_ZERO))
			assert_memory_equal(bytes, model->disk + offset, extent.bytes);
		free(bytes);
		offset += extent.bytes;
	}
}

static inline void model_write(struct model *model, uint64_t offset, uint64_t bytes)
{
	uint8_t *data = model->disk + offset;

	for (uint64_t i = 0; i < bytes; i += 64)
		memset(data + i, (int)model_random(model), MIN(bytes - i, UINT64_C(64)));
	if (model_random(model) % 2)
		assert_int_equal(block_write(model->node, offset, data, bytes), 0);
	else
		assert_int_equal(request_io(model->node, BLOCK_WRITE, offset, data, bytes), 0);
}

/* `count` writes at random of up to `sectors_max`, some of them of zeroes that may free space. */
static inline void model_scatter(struct model *model, unsigned count, uint64_t sectors_max)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t sectors = model->bytes / BLOCK_SECTOR;
		uint64_t from = model_random(model) % sectors;
		uint64_t bytes =
			(1 + model_random(model) % MIN(sectors - from, sectors_max)) * BLOCK_SECTOR;

		if (i % 5 == 3) {
			memset(model->disk + from * BLOCK_SECTOR, 0, bytes);
			assert_int_equal(block_write_zeroes(model->node, from * BLOCK_SECTOR, bytes,
							    BLOCK_MAY_UNMAP),
					 0);
		} else {
			model_write(model, from * BLOCK_SECTOR, bytes);
		}
	}
}

/* One random request. Most are small, some reach over many granules. */
static inline void model_step(struct model *model)
{
	uint64_t sectors = model->bytes / BLOCK_SECTOR;
	uint64_t from = model_random(model) % sectors;
	uint64_t max = model_random(model) % 4 ? MIN(sectors - from, UINT64_C(64)) : sectors - from;
	uint64_t offset = from * BLOCK_SECTOR;
	uint64_t bytes = (1 + model_random(model) % max) * BLOCK_SECTOR;

	switch (model_random(model) % 8) {
	case 0:
	case 1:
		model_expect_range(model, offset, bytes);
		break;
	case 2:
		memset(model->disk + offset, 0, bytes);
		assert_int_equal(block_write_zeroes(model->node, offset, bytes,
						    model_random(model) % 2 ? BLOCK_MAY_UNMAP : 0),
				 0);
		break;
	case 3:
		assert_int_equal(block_discard(model->node, offset, bytes), 0);
		assert_int_equal(block_read(model->node, offset, model->disk + offset, bytes), 0);
		break;
	case 4:
		assert_int_equal(block_flush(model->node), 0);
		break;
	default:
		model_write(model, offset, bytes);
		break;
	}
}

static inline void model_told(void *ctx, enum block_finding finding, bool repaired,
			      const char *text)
{
	(void)ctx;
	print_message("finding %d%s: %s\n", finding, repaired ? " (repaired)" : "", text);
}

/* Checks the closed image. */
static inline struct block_check model_check(struct model *model, const char *name,
					     enum block_repair repair)
{
	struct block_check check = { .repair = repair, .told = model_told };
	struct block_open_options options = {
		.check = true,
		.read_only = repair == BLOCK_REPAIR_NOTHING,
	};
	struct err err = ERR_INIT;

	assert_int_equal(model_open(model, name, model->format, options), 0);
	if (model->node->format->check(model->node, &check, &err))
		fail_msg("%s", err.text);
	model_close(model);
	return check;
}

static inline void model_expect_clean(struct model *model, const char *name)
{
	struct block_check check = model_check(model, name, BLOCK_REPAIR_NOTHING);

	for (unsigned i = 0; i < BLOCK_FINDINGS; i++)
		assert_int_equal(check.found[i], 0);
}

/* Rounds of random requests, the image opened anew for each. */
static inline void model_run(struct model *model, const char *name, const char *format,
			     unsigned rounds, unsigned steps)
{
	for (unsigned round = 0; round < rounds; round++) {
		assert_int_equal(model_open(model, name, format,
					    (struct block_open_options){ .cache_bytes = 1 }),
				 0);
		model_expect(model);
		for (unsigned step = 0; step < steps; step++)
			model_step(model);
		model_expect(model);
		model_close(model);
		model_expect_clean(model, name);
	}
	assert_int_equal(
		model_open(model, name, format, (struct block_open_options){ .read_only = true }),
		0);
	model_expect(model);
	model_close(model);
}

/* ---- several threads ---- */

#define MODEL_THREADS 4
#define MODEL_STRIPE  (4 * KIB)

struct model_thread {
	struct model *model;
	pthread_t thread;
	uint32_t random;
	unsigned index;
	int rc;
};

/* Writes stripes that are its own, next to those of the others. */
static inline void *model_thread_main(void *ctx)
{
	struct model_thread *thread = ctx;
	struct model *model = thread->model;
	uint64_t stripes = model->bytes / MODEL_STRIPE / MODEL_THREADS;

	for (unsigned i = 0; i < 200 && !thread->rc; i++) {
		uint64_t stripe, offset;

		thread->random = thread->random * 1664525 + 1013904223;
		stripe = (thread->random >> 8) % stripes * MODEL_THREADS + thread->index;
		offset = stripe * MODEL_STRIPE;
		memset(model->disk + offset, (int)(thread->random >> 4), MODEL_STRIPE);
		thread->rc = block_write(model->node, offset, model->disk + offset, MODEL_STRIPE);
		if (!thread->rc && i % 50 == 49)
			thread->rc = block_flush(model->node);
	}
	return NULL;
}

static inline void model_run_threads(struct model *model, const char *name, const char *format)
{
	struct model_thread threads[MODEL_THREADS];

	assert_int_equal(model_open(model, name, format, (struct block_open_options){ 0 }), 0);
	for (unsigned i = 0; i < MODEL_THREADS; i++) {
		threads[i] = (struct model_thread){ .model = model, .random = 7 + i, .index = i };
		assert_int_equal(thread_start(&threads[i].thread, "writer", model_thread_main,
					      &threads[i], NULL),
				 0);
	}
	for (unsigned i = 0; i < MODEL_THREADS; i++) {
		pthread_join(threads[i].thread, NULL);
		assert_int_equal(threads[i].rc, 0);
	}
	model_expect(model);
	model_close(model);
	model_expect_clean(model, name);
}

/* ---- damage ---- */

/* Overwrites bytes of a file of the folder. */
static inline void model_patch(struct model *model, const char *name, uint64_t offset,
			       const void *bytes, size_t count)
{
	int fd = open(model_path(model, name), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), (ssize_t)count);
	close(fd);
}
