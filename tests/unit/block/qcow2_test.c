/* SPDX-License-Identifier: GPL-2.0-or-later */
/* qcow2 images of every kind under random operations, against a copy of the disk in memory and
 * qemu-img. */
#include "qcow2_fixture.h"

#include <errno.h>

#include "host/thread.h"

#define STEPS       120
#define DISK_BYTES  (3 * MIB + 7 * 512)
#define WRITE_BYTES (300 * KIB)

static const struct variant {
	const char *settings;
	uint64_t backing_bytes;
	uint64_t cache_bytes;
} variants[] = {
	{ "cluster_size=64K" },
	{ "cluster_size=64K", .backing_bytes = DISK_BYTES },
	{ "cluster_size=64K", .backing_bytes = MIB + 512 },
	{ "cluster_size=4K", .backing_bytes = DISK_BYTES + MIB },
	{ "cluster_size=512", .cache_bytes = 1 },
	{ "cluster_size=512,refcount_bits=64", .backing_bytes = MIB, .cache_bytes = 1 },
	{ "cluster_size=512,refcount_bits=1", .cache_bytes = 1 },
	{ "cluster_size=2M", .backing_bytes = DISK_BYTES },
	{ "cluster_size=2M,refcount_bits=2" },
	{ "compat=0.10,cluster_size=4K" },
	{ "compat=0.10,cluster_size=4K", .backing_bytes = 2 * MIB },
	{ "extended_l2=on" },
	{ "extended_l2=on,cluster_size=16K", .backing_bytes = DISK_BYTES, .cache_bytes = 1 },
	{ "lazy_refcounts=on,cluster_size=8K" },
	{ "compression_type=zstd,cluster_size=32K", .backing_bytes = DISK_BYTES },
	{ "data_file=data.raw,cluster_size=16K" },
	{ "data_file=data.raw,cluster_size=16K", .backing_bytes = 2 * MIB },
	{ "data_file=data.raw,data_file_raw=on" },
	{ "data_file=data.raw,extended_l2=on", .backing_bytes = 2 * MIB },
	{ "preallocation=metadata" },
	{ "preallocation=falloc,cluster_size=4K" },
	{ "preallocation=full,extended_l2=on" },
};

static struct block_open_options options_of(const struct variant *variant)
{
	return (struct block_open_options){
		.cache = BLOCK_CACHE_UNSAFE,
		.cache_bytes = variant->cache_bytes,
	};
}

static void step_write(struct disk *disk, uint64_t offset, uint64_t bytes)
{
	static uint8_t buffer[WRITE_BYTES];
	struct iovec iov[3] = { { buffer, 512 }, { buffer + 512, 0 }, { buffer + 512, 0 } };
	struct block_buffer from = { .iov = iov, .iov_count = 3 };
	uint32_t seed = disk_random(disk, 256);

	for (uint64_t i = 0; i < bytes; i++)
		buffer[i] = (uint8_t)(seed + i * 5 + i / 512);
	memcpy(disk->model + offset, buffer, bytes);
	iov[2].iov_len = bytes - 512;
	if (disk_random(disk, 2))
		assert_int_equal(request_io(disk->node, BLOCK_WRITE, offset, buffer, bytes), 0);
	else
		assert_int_equal(block_writev(disk->node, offset, bytes, from,
					      disk_random(disk, 8) ? 0 : BLOCK_FUA),
				 0);
}

static void step_compressed(struct disk *disk, uint64_t offset, uint64_t bytes)
{
	uint64_t granule = block_granularity_bytes(disk->node);
	uint8_t *buffer;
	struct iovec iov;

	offset = offset / granule * granule;
	bytes = MIN(MAX(bytes / granule, UINT64_C(1)) * granule, disk->bytes - offset);
	buffer = malloc(bytes);
	/* Some of it does not compress. */
	for (uint64_t i = 0; i < bytes; i++)
		buffer[i] = offset % 3 ? (uint8_t)disk_random(disk, 256) : (uint8_t)(i / 100);
	memcpy(disk->model + offset, buffer, bytes);
	iov = (struct iovec){ buffer, bytes };
	assert_int_equal(block_writev(disk->node, offset, bytes,
				      (struct block_buffer){ .iov = &iov, .iov_count = 1 },
				      BLOCK_COMPRESS),
			 0);
	free(buffer);
}

static void step_discard(struct disk *disk, uint64_t offset, uint64_t bytes)
{
	uint8_t *buffer = malloc(bytes);

	assert_int_equal(block_discard(disk->node, offset, bytes), 0);
	assert_int_equal(block_read(disk->node, offset, buffer, bytes), 0);
	for (uint64_t i = 0; i < bytes; i++)
		assert_true(!buffer[i] || buffer[i] == disk->model[offset + i]);
	memcpy(disk->model + offset, buffer, bytes);
	free(buffer);
}

static void step_extents(struct disk *disk, uint64_t offset, uint64_t bytes)
{
	struct block_extent extent;

	assert_int_equal(block_extent(disk->node, offset, bytes, &extent), 0);
	for (uint64_t i = 0; i < extent.bytes && extent.flags & BLOCK_EXTENT_ZERO; i++)
		assert_int_equal(disk->model[offset + i], 0);
	if (extent.flags & BLOCK_EXTENT_AT && !(extent.flags & BLOCK_EXTENT_ZERO)) {
		uint8_t *buffer = malloc(extent.bytes);

		assert_int_equal(block_read(extent.file, extent.at, buffer, extent.bytes), 0);
		assert_memory_equal(buffer, disk->model + offset, extent.bytes);
		free(buffer);
	}
}

static void step(struct disk *disk, const struct variant *variant)
{
	uint64_t sectors = disk->bytes / 512;
	uint64_t from = disk_random(disk, (uint32_t)sectors);
	uint64_t most = MIN(sectors - from, WRITE_BYTES / 512);
	uint64_t offset = from * 512;
	uint64_t bytes = 512 * (1 + disk_random(disk, disk_random(disk, 3)
							      ? (uint32_t)most
							      : (uint32_t)MIN(most, UINT64_C(16))));

	switch (disk_random(disk, 12)) {
	case 0:
	case 1:
		disk_expect(disk, offset, bytes);
		break;
	case 2:
		memset(disk->model + offset, 0, bytes);
		assert_int_equal(block_write_zeroes(disk->node, offset, bytes,
						    disk_random(disk, 2) ? BLOCK_MAY_UNMAP : 0),
				 0);
		break;
	case 3:
		step_discard(disk, offset, bytes);
		break;
	case 4:
		step_compressed(disk, offset, bytes);
		break;
	case 5:
		step_extents(disk, offset, bytes);
		break;
	case 6:
		assert_int_equal(request_range(disk->node, BLOCK_FLUSH, 0, 0, 0), 0);
		break;
	case 7:
		if (disk_random(disk, 4))
			break;
		disk_close(disk);
		disk_open(disk, options_of(variant));
		break;
	default:
		step_write(disk, offset, bytes);
		break;
	}
}

static unsigned steps(void)
{
	const char *text = getenv("QCOW2_STEPS");

	return text ? (unsigned)strtoul(text, NULL, 10) : STEPS;
}

static void qcow2_random_operations_match_model_and_peer(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		struct disk disk;

		disk_init(&disk, variants[i].settings, DISK_BYTES, variants[i].backing_bytes);
		disk.random = i + 1 + steps();
		disk_open(&disk, options_of(&variants[i]));
		assert_int_equal(block_size_bytes(disk.node), DISK_BYTES);
		disk_expect(&disk, 0, DISK_BYTES);
		for (unsigned n = 0; n < steps(); n++)
			step(&disk, &variants[i]);
		disk_expect(&disk, 0, DISK_BYTES);
		disk_close(&disk);
		disk_expect_peer_agrees(&disk);
		disk_fini(&disk);
	}
}

/* ---- resizing ---- */

static void resize(struct disk *disk, uint64_t bytes)
{
	struct err err = ERR_INIT;

	if (block_resize(disk->node, bytes, &err))
		fail_msg("%s", err.text);
	disk->model = realloc(disk->model, MAX(bytes, disk->bytes) + 1);
	if (bytes > disk->bytes)
		memset(disk->model + disk->bytes, 0, bytes - disk->bytes);
	disk->bytes = bytes;
}

static void qcow2_resized_keeps_what_is_left_and_adds_zeroes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		struct disk disk;

		disk_init(&disk, variants[i].settings, DISK_BYTES, variants[i].backing_bytes);
		disk_open(&disk, options_of(&variants[i]));
		for (unsigned n = 0; n < 12; n++) {
			resize(&disk,
			       512 * (1 + disk_random(&disk, 2 * (uint32_t)DISK_BYTES / 512)));
			for (unsigned m = 0; m < 5; m++)
				step(&disk, &variants[i]);
			disk_expect(&disk, 0, disk.bytes);
		}
		disk_close(&disk);
		disk_expect_peer_agrees(&disk);
		disk_fini(&disk);
	}
}

/* ---- many threads ---- */

#define THREADS      4
#define THREAD_STEPS 200

struct writer {
	struct disk *disk;
	unsigned number;
	pthread_t thread;
};

/* Each thread has every fourth sector, so that all meet in the same clusters. */
static void *write_own_sectors(void *ctx)
{
	struct writer *writer = ctx;
	struct disk *disk = writer->disk;
	struct disk random = { .random = writer->number + 1 };
	uint32_t sectors = (uint32_t)(disk->bytes / 512 / THREADS);
	uint8_t sector[512];

	for (unsigned i = 0; i < THREAD_STEPS; i++) {
		uint64_t index = disk_random(&random, sectors) * THREADS + writer->number;
		uint64_t offset = index * 512;

		memset(sector, (int)disk_random(&random, 256), sizeof(sector));
		memcpy(disk->model + offset, sector, sizeof(sector));
		assert_int_equal(block_write(disk->node, offset, sector, sizeof(sector)), 0);
		if (i % 50 == 49)
			assert_int_equal(block_flush(disk->node), 0);
		assert_int_equal(block_read(disk->node, offset, sector, sizeof(sector)), 0);
		assert_memory_equal(sector, disk->model + offset, sizeof(sector));
	}
	return NULL;
}

static void qcow2_many_threads_write_side_by_side(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		struct writer writers[THREADS];
		struct disk disk;

		disk_init(&disk, variants[i].settings, DISK_BYTES, variants[i].backing_bytes);
		disk_open(&disk, options_of(&variants[i]));
		for (unsigned n = 0; n < THREADS; n++) {
			writers[n] = (struct writer){ .disk = &disk, .number = n };
			assert_int_equal(thread_start(&writers[n].thread, "writer",
						      write_own_sectors, &writers[n], NULL),
					 0);
		}
		for (unsigned n = 0; n < THREADS; n++)
			pthread_join(writers[n].thread, NULL);
		disk_expect(&disk, 0, DISK_BYTES);
		disk_close(&disk);
		disk_expect_peer_agrees(&disk);
		disk_fini(&disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_random_operations_match_model_and_peer),
		cmocka_unit_test(qcow2_resized_keeps_what_is_left_and_adds_zeroes),
		cmocka_unit_test(qcow2_many_threads_write_side_by_side),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
