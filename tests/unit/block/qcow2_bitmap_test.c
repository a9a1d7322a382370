/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Dirty bitmaps of qcow2 images, against bytes in memory and qemu-img. */
#include "qcow2_fixture.h"

#include <errno.h>

#include "block/bitmap.h"

#define DISK_BYTES  (8 * MIB)
#define GRANULARITY (64 * KIB)
#define GRANULES    (DISK_BYTES / GRANULARITY)

static const struct block_open_options unsafe = { .cache = BLOCK_CACHE_UNSAFE };

static const struct block_bitmap_ops *ops_of(struct disk *disk)
{
	return disk->node->format->bitmaps;
}

static void expect_ok(int rc, const struct err *err)
{
	if (rc)
		fail_msg("%s", err->text);
}

static void expect_bits(struct disk *disk, const char *name, const bool *model)
{
	uint64_t offset = 0, bytes;

	while (offset < disk->bytes) {
		bool dirty;

		assert_int_equal(ops_of(disk)->status(disk->node, name, offset,
						      disk->bytes - offset, &dirty, &bytes),
				 0);
		for (uint64_t at = offset; at < offset + bytes; at += 512)
			assert_int_equal(model[at / GRANULARITY], dirty);
		offset += bytes;
	}
}

static void write_marked(struct disk *disk, bool *model, uint64_t offset, uint64_t bytes)
{
	uint8_t *data = calloc(1, bytes);

	/* By call and, where that goes, by the fast way. */
	if (disk_random(disk, 2))
		assert_int_equal(block_write(disk->node, offset, data, bytes), 0);
	else
		assert_int_equal(request_io(disk->node, BLOCK_WRITE, offset, data, bytes), 0);
	for (uint64_t at = offset; at < offset + bytes; at += 512)
		model[at / GRANULARITY] = true;
	free(data);
}

static void qcow2_bitmap_records_over_reopening(void **state)
{
	bool model[GRANULES] = { false };
	struct err err = ERR_INIT;
	struct disk disk;

	(void)state;
	disk_init(&disk, "cluster_size=512", DISK_BYTES, 0);
	disk_open(&disk, unsafe);
	expect_ok(ops_of(&disk)->add(disk.node, "all", GRANULARITY, &err), &err);
	assert_int_equal(ops_of(&disk)->add(disk.node, "all", GRANULARITY, &err), -EEXIST);
	for (unsigned i = 0; i < 10; i++) {
		write_marked(&disk, model, 512 * disk_random(&disk, DISK_BYTES / 512 - 100),
			     512 * (1 + disk_random(&disk, 100)));
		disk_close(&disk);
		disk_open(&disk, unsafe);
		expect_bits(&disk, "all", model);
	}
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

static void qcow2_bitmap_clear_enable_merge_remove(void **state)
{
	bool first[GRANULES] = { false }, second[GRANULES] = { false };
	struct block_bitmap one, two;
	struct err err = ERR_INIT;
	struct disk disk;
	json_t *list;

	(void)state;
	disk_init(&disk, "cluster_size=64K", DISK_BYTES, 0);
	disk_open(&disk, unsafe);
	expect_ok(ops_of(&disk)->add(disk.node, "one", GRANULARITY, &err), &err);
	write_marked(&disk, first, MIB, MIB);
	expect_ok(ops_of(&disk)->enable(disk.node, "one", false, &err), &err);
	expect_ok(ops_of(&disk)->add(disk.node, "two", 4096, &err), &err);
	write_marked(&disk, second, 5 * MIB, 512);
	disk_close(&disk);
	disk_open(&disk, unsafe);
	expect_bits(&disk, "one", first);
	write_marked(&disk, second, 6 * MIB, 512);
	expect_bits(&disk, "one", first);
	expect_ok(block_bitmap_find(disk.node, "one", &one, &err), &err);
	expect_ok(block_bitmap_find(disk.node, "two", &two, &err), &err);
	expect_ok(block_bitmap_merge_now(&one, &two, &err), &err);
	for (unsigned i = 0; i < GRANULES; i++)
		first[i] |= second[i];
	expect_bits(&disk, "one", first);
	expect_ok(ops_of(&disk)->clear(disk.node, "one", &err), &err);
	memset(first, 0, sizeof(first));
	expect_bits(&disk, "one", first);
	expect_ok(ops_of(&disk)->list(disk.node, &list, &err), &err);
	assert_int_equal(json_array_size(list), 2);
	json_decref(list);
	expect_ok(ops_of(&disk)->remove(disk.node, "two", &err), &err);
	assert_int_equal(ops_of(&disk)->remove(disk.node, "two", &err), -ENOENT);
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_open(&disk, unsafe);
	expect_ok(ops_of(&disk)->remove(disk.node, "one", &err), &err);
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

static void qcow2_bitmap_of_the_peer_records_here(void **state)
{
	bool model[GRANULES] = { false };
	struct disk disk;
	char log[128];

	(void)state;
	disk_init(&disk, "cluster_size=64K", DISK_BYTES, 0);
	disk_file_name(&disk, "log", log, sizeof(log));
	assert_int_equal(
		RUN(&disk, log, "qemu-img", "bitmap", "--add", "-g", "64K", disk.path, "theirs"),
		0);
	assert_int_equal(RUN(&disk, log, "qemu-io", "-c", "write 1M 192K", disk.path), 0);
	memset(model + MIB / GRANULARITY, true, 3);
	disk_open(&disk, unsafe);
	expect_bits(&disk, "theirs", model);
	write_marked(&disk, model, 3 * MIB, 4096);
	expect_bits(&disk, "theirs", model);
	disk_close(&disk);
	/* Still in order for the peer: it only merges what is. */
	memset(disk.model + MIB, 0xcd, 192 * KIB);
	disk_expect_peer_agrees(&disk);
	assert_int_equal(RUN(&disk, log, "qemu-img", "bitmap", "--add", "--merge", "theirs", "-g",
			     "64K", disk.path, "copy"),
			 0);
	disk_open(&disk, unsafe);
	expect_bits(&disk, "copy", model);
	disk_close(&disk);
	disk_fini(&disk);
}

/* What was not closed cleanly is known to be of no use. */
static void qcow2_bitmap_after_a_crash_is_busy(void **state)
{
	struct err err = ERR_INIT;
	struct disk disk;
	char copy[128];
	json_t *list;

	(void)state;
	disk_init(&disk, "cluster_size=64K", DISK_BYTES, 0);
	disk_file_name(&disk, "copy.qcow2", copy, sizeof(copy));
	disk_open(&disk, unsafe);
	expect_ok(ops_of(&disk)->add(disk.node, "one", GRANULARITY, &err), &err);
	assert_int_equal(block_flush(disk.node), 0);
	assert_int_equal(RUN(&disk, NULL, "cp", disk.path, copy), 0);
	disk_close(&disk);
	assert_int_equal(RUN(&disk, NULL, "cp", copy, disk.path), 0);
	disk_open(&disk, unsafe);
	expect_ok(ops_of(&disk)->list(disk.node, &list, &err), &err);
	assert_true(json_is_true(json_object_get(json_array_get(list, 0), "busy")));
	json_decref(list);
	assert_int_equal(ops_of(&disk)->clear(disk.node, "one", &err), -EBUSY);
	expect_ok(ops_of(&disk)->remove(disk.node, "one", &err), &err);
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

/* Bits of what stays are kept, what is new is clean; on both sides of a restart, and for the peer. */
static void qcow2_bitmap_follows_the_size(void **state)
{
	static const uint64_t sizes[] = { 3 * DISK_BYTES + 512, DISK_BYTES / 2, DISK_BYTES + MIB };
	bool model[4 * GRANULES] = { false };
	struct err err = ERR_INIT;
	struct disk disk;
	char log[128];

	(void)state;
	disk_init(&disk, "cluster_size=512", 4 * DISK_BYTES, 0);
	disk_file_name(&disk, "log", log, sizeof(log));
	disk_open(&disk, unsafe);
	disk.bytes = DISK_BYTES;
	expect_ok(block_resize(disk.node, disk.bytes, &err), &err);
	expect_ok(ops_of(&disk)->add(disk.node, "still", 512, &err), &err);
	expect_ok(ops_of(&disk)->enable(disk.node, "still", false, &err), &err);
	expect_ok(ops_of(&disk)->add(disk.node, "all", GRANULARITY, &err), &err);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (unsigned n = 0; n < 10; n++)
			write_marked(&disk, model,
				     512 * disk_random(&disk, (uint32_t)(disk.bytes / 512 - 100)),
				     512 * (1 + disk_random(&disk, 100)));
		if (sizes[i] < disk.bytes)
			memset(model + sizes[i] / GRANULARITY, 0,
			       sizeof(model) - sizes[i] / GRANULARITY);
		disk.bytes = sizes[i];
		expect_ok(block_resize(disk.node, disk.bytes, &err), &err);
		expect_bits(&disk, "all", model);
		disk_close(&disk);
		assert_int_equal(RUN(&disk, log, "qemu-img", "check", disk.path), 0);
		disk_expect_clean(&disk);
		disk_open(&disk, unsafe);
		expect_bits(&disk, "all", model);
	}
	disk_close(&disk);
	assert_int_equal(RUN(&disk, log, "qemu-img", "bitmap", "--add", "--merge", "all", "-g",
			     "64K", disk.path, "copy"),
			 0);
	disk_open(&disk, unsafe);
	expect_bits(&disk, "copy", model);
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

/* A crash between a change of the size and the end leaves a whole image with bitmaps of no use. */
static void qcow2_bitmap_after_a_crash_with_a_new_size_is_busy(void **state)
{
	struct err err = ERR_INIT;
	struct disk disk;
	char copy[128];
	bool dirty;
	uint64_t bytes;

	(void)state;
	disk_init(&disk, "cluster_size=512", DISK_BYTES, 0);
	disk_file_name(&disk, "copy.qcow2", copy, sizeof(copy));
	disk_open(&disk, unsafe);
	expect_ok(ops_of(&disk)->add(disk.node, "one", 512, &err), &err);
	expect_ok(ops_of(&disk)->enable(disk.node, "one", false, &err), &err);
	disk_close(&disk);
	disk_open(&disk, unsafe);
	disk.bytes = DISK_BYTES / 2;
	expect_ok(block_resize(disk.node, disk.bytes, &err), &err);
	assert_int_equal(RUN(&disk, NULL, "cp", disk.path, copy), 0);
	disk_close(&disk);
	assert_int_equal(RUN(&disk, NULL, "cp", copy, disk.path), 0);
	disk_open(&disk, unsafe);
	assert_int_equal(ops_of(&disk)->status(disk.node, "one", 0, 512, &dirty, &bytes), -EBUSY);
	expect_ok(block_resize(disk.node, DISK_BYTES, &err), &err);
	disk.bytes = DISK_BYTES;
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_bitmap_records_over_reopening),
		cmocka_unit_test(qcow2_bitmap_clear_enable_merge_remove),
		cmocka_unit_test(qcow2_bitmap_of_the_peer_records_here),
		cmocka_unit_test(qcow2_bitmap_after_a_crash_is_busy),
		cmocka_unit_test(qcow2_bitmap_follows_the_size),
		cmocka_unit_test(qcow2_bitmap_after_a_crash_with_a_new_size_is_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
