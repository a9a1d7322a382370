/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the metadata of a large image costs: reads of tables are counted where they reach the file.
 * The image has 1 TiB and all its tables, 128 MiB of L2 among them; nothing of its data is there.
 */
#include "model.h"

#include "block/file/raw.h"
#include "block/format/formats.h"
#include "block/opener_priv.h"

#define DISK_BYTES  TIB
#define CACHE_BYTES (16 * MIB) /* the preset */
#define SLICE_BYTES 4096
#define SLICE_REACH (32 * MIB) /* of the disk, with clusters of 64 KiB */
#define KNOWN_BYTES (100 * GIB)
#define LOOKUPS     20000

/* Between the format and the file: a file itself, because it takes what is not aligned. */
struct counter {
	struct block_node node;
	struct block_node *file;
	uint64_t reads, bytes;
};

static int counter_read(struct block_node *node, uint64_t offset, uint64_t bytes,
			struct block_buffer to)
{
	struct counter *counter = container_of(node, struct counter, node);

	counter->reads++;
	counter->bytes += bytes;
	return block_readv(counter->file, offset, bytes, to);
}

static uint64_t counter_size(struct block_node *node)
{
	return block_size_bytes(container_of(node, struct counter, node)->file);
}

static void counter_close(struct block_node *node)
{
	block_close(container_of(node, struct counter, node)->file);
	block_node_fini(node);
}

static const struct block_ops counter_ops = {
	.name = "counter",
	.read = counter_read,
	.size = counter_size,
	.close = counter_close,
};

struct large {
	struct model model;
	struct counter counter;
};

static int setup(void **state)
{
	const struct model_image image = { .format = "qcow2",
					   .settings = "preallocation=metadata",
					   .bytes = DISK_BYTES };
	struct large *large = calloc(1, sizeof(*large));

	*state = large;
	model_init(&large->model);
	return model_create(&large->model, "disk", &image);
}

static int teardown(void **state)
{
	struct large *large = *state;

	model_fini(&large->model);
	free(large);
	return 0;
}

static void large_open(struct large *large, uint64_t cache_bytes)
{
	const struct block_open_options options = {
		.path = model_path(&large->model, "disk"),
		.read_only = true,
		.cache = BLOCK_CACHE_UNSAFE,
	};
	struct chain chain = { .options = &options, .folder = large->model.folder };
	struct block_opener opener = { .chain = &chain, .path = options.path };
	struct block_format_open open = {
		.file = &large->counter.node,
		.opener = &opener,
		.read_only = true,
		.cache_bytes = cache_bytes,
	};
	struct err err = ERR_INIT;

	large->counter = (struct counter){ 0 };
	assert_int_equal(raw_open(&options, -1, NULL, &large->counter.file, NULL), 0);
	block_node_init(&large->counter.node, &counter_ops, NULL);
	if (qcow2_format.open(&open, &large->model.node, &err))
		fail_msg("%s", err.text);
}

static void large_close(struct large *large)
{
	block_close(large->model.node);
	large->model.node = NULL;
}

/* Reads of tables that looking up a place takes. */
static uint64_t look_up(struct large *large, uint64_t offset)
{
	uint64_t reads = large->counter.reads, bytes = large->counter.bytes;
	struct block_extent extent;

	assert_int_equal(block_extent(large->model.node, offset, 4096, &extent), 0);
	assert_int_equal(extent.flags & (BLOCK_EXTENT_HERE | BLOCK_EXTENT_AT),
			 BLOCK_EXTENT_HERE | BLOCK_EXTENT_AT);
	assert_int_equal(large->counter.bytes - bytes,
			 (large->counter.reads - reads) * SLICE_BYTES);
	return large->counter.reads - reads;
}

static uint64_t random_offset(struct large *large, uint64_t bytes)
{
	uint64_t random = (uint64_t)model_random(&large->model) << 24;

	return (random | model_random(&large->model)) % (bytes / 4096) * 4096;
}

static void place_anywhere_takes_one_read_of_a_slice_at_most(void **state)
{
	struct large *large = *state;
	uint64_t reads = 0;

	large_open(large, CACHE_BYTES);
	for (unsigned i = 0; i < LOOKUPS; i++) {
		uint64_t more = look_up(large, random_offset(large, DISK_BYTES));

		assert_in_range(more, 0, 1);
		reads += more;
	}
	/* A ninth of the tables fits, so this is a test of misses. */
	assert_in_range(reads, LOOKUPS * 8 / 10, LOOKUPS * 95 / 100);
	large_close(large);
}

static void places_of_100_gib_are_known_after_one_look(void **state)
{
	struct large *large = *state;
	uint64_t start = 300 * GIB;

	large_open(large, CACHE_BYTES);
	for (uint64_t at = 0; at < KNOWN_BYTES; at += SLICE_REACH)
		assert_int_equal(look_up(large, start + at), 1);
	for (unsigned i = 0; i < LOOKUPS; i++)
		assert_int_equal(look_up(large, start + random_offset(large, KNOWN_BYTES)), 0);
	large_close(large);
}

static void all_of_1_tib_is_known_by_a_cache_of_147_mib(void **state)
{
	struct large *large = *state;

	large_open(large, 147 * MIB);
	for (uint64_t at = 0; at < DISK_BYTES; at += SLICE_REACH)
		assert_int_equal(look_up(large, at), 1);
	for (unsigned i = 0; i < LOOKUPS; i++)
		assert_int_equal(look_up(large, random_offset(large, DISK_BYTES)), 0);
	large_close(large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(place_anywhere_takes_one_read_of_a_slice_at_most),
		cmocka_unit_test(places_of_100_gib_are_known_after_one_look),
		cmocka_unit_test(all_of_1_tib_is_known_by_a_cache_of_147_mib),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
