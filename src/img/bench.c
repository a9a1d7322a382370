/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `bench`: how fast requests go on an image, the way that devices make them.
 *
 * Not in the sandbox: it needs the calls of io_uring, and is for images of one's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/clock.h"
#include "img/command.h"

#define COUNT          100000
#define DEPTH          32
#define DEPTH_MAX      1024
#define SIZE           4096
#define SIZE_MAX_BYTES (4 * MIB)
#define ALIGN          4096

struct slot {
	struct block_request request;
	struct iovec iov;
	struct bench *bench;
};

struct bench {
	struct loop *loop;
	struct block_node *node;
	enum block_op op;
	bool in_order;
	uint64_t count, depth, size;

	uint64_t started, ended, places;
	uint64_t random;
	int rc;
	struct slot *slots;
	uint8_t *memory;
};

static uint64_t next_place(struct bench *bench)
{
	if (bench->in_order)
		return bench->started % bench->places;
	bench->random = bench->random * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (bench->random >> 20) % bench->places;
}

static void start_slot(struct slot *slot)
{
	struct bench *bench = slot->bench;

	slot->request.offset = next_place(bench) * bench->size;
	bench->started++;
	block_queue(bench->node, &slot->request);
}

static void slot_done(struct block_request *request, int rc)
{
	struct slot *slot = container_of(request, struct slot, request);
	struct bench *bench = slot->bench;

	bench->ended++;
	if (rc && !bench->rc)
		bench->rc = rc;
	if (!bench->rc && bench->started < bench->count)
		start_slot(slot);
	else if (bench->ended == bench->started)
		loop_stop(bench->loop);
}

static void batch_done(void *ctx)
{
	struct bench *bench = ctx;
	struct block_request *request;
	int rc;

	while ((request = block_take_ended(bench->node, &rc)))
		slot_done(request, rc);
	block_kick(bench->node);
}

static int prepare(struct bench *bench, struct err *err)
{
	bench->places = block_size_bytes(bench->node) / bench->size;
	if (!bench->places)
		return err_set(err, EINVAL, "the disk is smaller than a request");
	bench->depth = MIN(bench->depth, bench->count);
	bench->slots = calloc(bench->depth, sizeof(*bench->slots));
	bench->memory =
		aligned_alloc(ALIGN, (bench->depth * bench->size + ALIGN - 1) / ALIGN * ALIGN);
	if (!bench->slots || !bench->memory)
		return err_errno(err, ENOMEM, "cannot measure");
	memset(bench->memory, 0xa5, bench->depth * bench->size);
	for (uint64_t i = 0; i < bench->depth; i++) {
		struct slot *slot = &bench->slots[i];

		slot->bench = bench;
		slot->iov = (struct iovec){ bench->memory + i * bench->size, bench->size };
		slot->request = (struct block_request){
			.op = bench->op,
			.bytes = bench->size,
			.iov = &slot->iov,
			.iov_count = 1,
			.done = slot_done,
		};
	}
	block_set_batch_done(bench->node, batch_done, bench);
	return 0;
}

static int run(struct bench *bench, uint64_t *ret_ns, struct err *err)
{
	uint64_t start;
	int rc = prepare(bench, err);

	if (rc)
		return rc;
	start = clock_now_ns();
	for (uint64_t i = 0; i < bench->depth; i++)
		start_slot(&bench->slots[i]);
	batch_done(bench);
	loop_run(bench->loop);
	block_drain(bench->node);
	if (!bench->rc && bench->op == BLOCK_WRITE)
		bench->rc = block_flush(bench->node);
	*ret_ns = clock_now_ns() - start;
	return bench->rc ? err_errno(err, bench->rc, "a request failed") : 0;
}

static int number(const struct img *img, const char *name, uint64_t max, uint64_t *value,
		  struct err *err)
{
	const char *text = img_value(img, name);

	if (!text || !parse_u64(text, 1, max, value))
		return 0;
	return err_set(err, EINVAL, "argument of '--%s' is a number from 1 to %llu", name,
		       (unsigned long long)max);
}

static int parse(const struct img *img, struct bench *bench, enum block_cache *cache,
		 struct err *err)
{
	const char *mode = img_value(img, "cache");
	int rc = number(img, "count", UINT32_MAX, &bench->count, err);

	if (!rc)
		rc = number(img, "depth", DEPTH_MAX, &bench->depth, err);
	if (!rc)
		rc = img_size(img, "size", &bench->size, err);
	if (!rc && (!bench->size || bench->size > SIZE_MAX_BYTES || bench->size % BLOCK_SECTOR))
		rc = err_set(err, EINVAL, "argument of '--size' is a multiple of 512 up to 4M");
	if (!rc && mode && block_cache_parse(mode, cache))
		rc = err_set(err, EINVAL, "unknown cache mode '%.64s'", mode);
	return rc;
}

static int open_node(const struct img *img, struct bench *bench, enum block_cache cache,
		     struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.read_only = bench->op == BLOCK_READ;
	options.cache = cache;
	options.no_io_uring = img_flag(img, "threads");
	rc = block_open(&options, bench->loop, &bench->node, err);
	json_decref(settings);
	return rc;
}

static void print_text(const json_t *result)
{
	char rate[IMG_SIZE_TEXT];

	printf("%.0f requests/s, %s/s\n",
	       json_number_value(json_object_get(result, "requests-per-second")),
	       img_size_text(
		       (uint64_t)json_number_value(json_object_get(result, "bytes-per-second")),
		       rate));
}

int img_bench(struct img *img, struct err *err)
{
	struct bench bench = {
		.op = img_flag(img, "write") ? BLOCK_WRITE : BLOCK_READ,
		.in_order = img_flag(img, "sequential"),
		.count = COUNT,
		.depth = DEPTH,
		.size = SIZE,
		.random = 1,
	};
	enum block_cache cache = BLOCK_CACHE_WRITEBACK;
	uint64_t ns = 0;
	double seconds;
	int rc = parse(img, &bench, &cache, err);

	if (!rc)
		rc = loop_new(&bench.loop, err);
	if (!rc)
		rc = open_node(img, &bench, cache, err);
	if (!rc)
		rc = run(&bench, &ns, err);
	block_close(bench.node);
	loop_free(bench.loop);
	free(bench.slots);
	free(bench.memory);
	if (rc)
		return IMG_FAILED;
	seconds = (double)ns / (double)NS_PER_SEC;
	img_print(img,
		  json_pack("{s:I, s:f, s:f, s:f}", "requests", (json_int_t)bench.ended, "seconds",
			    seconds, "requests-per-second", (double)bench.ended / seconds,
			    "bytes-per-second", (double)bench.ended * (double)bench.size / seconds),
		  print_text);
	return IMG_DONE;
}
