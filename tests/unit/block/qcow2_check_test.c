/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Damaged qcow2 images: what is refused with words, what is found and repaired, and what is only
 * survived. */
#include "qcow2_fixture.h"

#include <errno.h>

#include "base/bits.h"
#include "base/bytes.h"

#define DISK_BYTES    (2 * MIB)
#define CLUSTER       4096
#define WRITTEN_BYTES (300 * KIB)
#define OFFSET_BITS   UINT64_C(0x00fffffffffffe00) /* of an entry */

static const struct block_open_options unsafe = { .cache = BLOCK_CACHE_UNSAFE };

static void patch(struct disk *disk, uint64_t offset, const void *bytes, size_t count)
{
	int fd = open(disk->path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, bytes, count, (off_t)offset), count);
	close(fd);
}

static void patch_number(struct disk *disk, uint64_t offset, unsigned bytes, uint64_t value)
{
	uint8_t number[8];

	be64_put(number, value);
	patch(disk, offset, number + 8 - bytes, bytes);
}

static uint64_t number_at(struct disk *disk, uint64_t offset)
{
	int fd = open(disk->path, O_RDONLY | O_CLOEXEC);
	uint8_t number[8];

	assert_int_equal(pread(fd, number, sizeof(number), (off_t)offset), sizeof(number));
	close(fd);
	return be64_get(number);
}

/* ---- headers ---- */

static const struct bad_header {
	uint64_t at;
	unsigned bytes;
	uint64_t value;
	const char *words;
} bad_headers[] = {
	{ 4, 4, 9, "unknown version 9" },
	{ 20, 4, 8, "clusters of 2^8 bytes" },
	{ 20, 4, 22, "clusters of 2^22 bytes" },
	{ 20, 4, UINT32_MAX, "clusters of 2^4294967295 bytes" },
	{ 24, 8, UINT64_MAX, "L1 table is too small" },
	{ 24, 8, BIT(60), "L1 table is too small" },
	{ 32, 4, 2, "no LUKS header of 0 bytes" },
	{ 32, 4, 7, "unknown encryption 7" },
	{ 36, 4, UINT32_MAX, "L1 table of 34359738360 bytes is too large" },
	{ 36, 4, 0, "L1 table is too small" },
	{ 40, 8, 0, "L1 table lies over the header" },
	{ 40, 8, 0x1001, "L1 table at offset 0x1001 is no cluster" },
	{ 40, 8, BIT(60), "is no cluster" },
	{ 48, 8, 0x123, "refcount table at offset 0x123 is no cluster" },
	{ 56, 4, 0, "has no refcount table" },
	{ 56, 4, UINT32_MAX, "refcount table of" },
	{ 60, 4, UINT32_MAX, "snapshot table of" },
	{ 64, 8, 5, "snapshot table at offset 0x5 is no cluster" },
	{ 72, 8, BIT(40), "needs feature 'unknown' (bit 40)" },
	{ 72, 8, BIT(2), "does not name its data file" },
	{ 72, 8, BIT(3), "compression type 0 and its feature bit disagree" },
	{ 72, 8, BIT(4), "extended L2 entries with clusters below 16 KiB" },
	{ 88, 8, BIT(1), "raw external data without a data file" },
	{ 96, 4, 7, "refcounts of 2^7 bits" },
	{ 100, 4, 96, "header of 96 bytes" },
	{ 100, 4, 109, "header of 109 bytes" },
	{ 100, 4, UINT32_MAX, "header of 4294967295 bytes" },
	{ 104, 1, 1, "compression type 1 and its feature bit disagree" },
	{ 112, 8, 0xe2792aca00001000, "is too long" },
	{ 112, 8, 0x2385287500000001, "bitmaps extension of 1 bytes" },
	{ 8, 8, 0xffffff, "backing file name of" },
};

static void qcow2_header_out_of_order_is_refused_with_words(void **state)
{
	struct err err = ERR_INIT;
	struct disk disk;

	(void)state;
	disk_init(&disk, "cluster_size=4K", DISK_BYTES, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_headers); i++) {
		struct block_open_options options = { .path = disk.path, .format = "qcow2" };
		const struct bad_header *bad = &bad_headers[i];
		struct block_node *node = NULL;
		uint64_t before[2] = { number_at(&disk, bad->at), number_at(&disk, bad->at + 8) };
		int rc;

		patch_number(&disk, bad->at, bad->bytes, bad->value);
		rc = block_open(&options, disk.loop, &node, &err);
		block_close(node);
		if (!rc || !strstr(err.text, bad->words) || !strstr(err.text, disk.path))
			fail_msg("row %u: %d, '%s'", i, rc, err.text);
		patch_number(&disk, bad->at, 8, before[0]);
		patch_number(&disk, bad->at + 8, 8, before[1]);
	}
	disk_fini(&disk);
}

/* ---- tables ---- */

/* An image with data, and where its tables are. */
struct places {
	uint64_t l1, l2, reftable, block, data;
};

static struct places init_written(struct disk *disk, const char *settings)
{
	struct places places;
	uint8_t *data = disk->model;

	disk_init(disk, settings, DISK_BYTES, 0);
	disk_open(disk, unsafe);
	data = disk->model;
	for (unsigned i = 0; i < WRITTEN_BYTES; i++)
		data[i] = (uint8_t)(i / 512 + i % 251 + 1);
	assert_int_equal(block_write(disk->node, 0, data, WRITTEN_BYTES), 0);
	disk_close(disk);
	places.l1 = number_at(disk, 40);
	places.reftable = number_at(disk, 48);
	places.l2 = number_at(disk, places.l1) & OFFSET_BITS;
	places.block = number_at(disk, places.reftable);
	places.data = number_at(disk, places.l2) & OFFSET_BITS;
	return places;
}

struct damage {
	const char *name;
	enum block_finding finding;
	enum block_repair repair;
	bool loses; /* data */
};

static const struct damage damages[] = {
	{ "leak", BLOCK_FINDING_LEAK, BLOCK_REPAIR_LEAKS },
	{ "uncounted", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL },
	{ "no block", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL },
	{ "crooked block", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL },
	{ "far block", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL },
	{ "crooked L2 table", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL, .loses = true },
	{ "crooked entry", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL, .loses = true },
	{ "marked as shared", BLOCK_FINDING_LEAK, BLOCK_REPAIR_LEAKS },
	{ "used twice", BLOCK_FINDING_ERROR, BLOCK_REPAIR_ALL, .loses = true },
};

static void do_damage(struct disk *disk, const struct places *places, const struct damage *damage)
{
	switch (damage - damages) {
	case 0:
		patch_number(disk, places->block + 2 * (places->data / CLUSTER), 2, 3);
		break;
	case 1:
		patch_number(disk, places->block + 2 * (places->data / CLUSTER), 2, 0);
		break;
	case 2:
		patch_number(disk, places->reftable, 8, 0);
		break;
	case 3:
		patch_number(disk, places->reftable, 8, places->block + 512);
		break;
	case 4:
		patch_number(disk, places->reftable, 8, UINT64_C(1) << 50);
		break;
	case 5:
		patch_number(disk, places->l1, 8, places->l2 + 512);
		break;
	case 6:
		patch_number(disk, places->l2, 8, places->data + 512);
		break;
	case 7:
		patch_number(disk, places->l2, 8, places->data);
		break;
	case 8:
		patch_number(disk, places->l2 + 8, 8, places->data | UINT64_C(1) << 63);
		break;
	default:
		fail();
	}
}

static void qcow2_damage_is_found_and_repaired(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		struct block_check check;
		struct disk disk;
		struct places places = init_written(&disk, "cluster_size=4K");

		disk_expect_peer_agrees(&disk);
		do_damage(&disk, &places, &damages[i]);
		check = disk_check(&disk, BLOCK_REPAIR_NOTHING, false);
		if (!check.found[damages[i].finding])
			fail_msg("'%s' was not found", damages[i].name);
		/* Only looking repairs nothing. */
		check = disk_check(&disk, BLOCK_REPAIR_NOTHING, false);
		assert_true(check.found[damages[i].finding]);
		check = disk_check(&disk, damages[i].repair, false);
		assert_true(check.repaired[damages[i].finding]);
		if (damages[i].loses) {
			disk_expect_clean(&disk);
			assert_int_equal(RUN(&disk, NULL, "qemu-img", "check", disk.path), 0);
		} else {
			disk_expect_peer_agrees(&disk);
		}
		disk_fini(&disk);
	}
}

/* Reading goes on around the damage; nothing is written any more, and the image is marked. */
static void qcow2_damaged_entry_ends_writing(void **state)
{
	uint8_t sector[512] = { 0 };
	struct err err = ERR_INIT;
	struct disk disk;
	struct places places = init_written(&disk, "cluster_size=4K");
	struct block_open_options options = { .path = disk.path, .format = "qcow2" };

	(void)state;
	do_damage(&disk, &places, &damages[6]);
	disk_open(&disk, unsafe);
	disk_expect(&disk, CLUSTER, WRITTEN_BYTES - CLUSTER);
	assert_int_equal(block_write(disk.node, DISK_BYTES - 512, sector, 512), 0);
	assert_int_equal(block_read(disk.node, 0, sector, 512), -EIO);
	assert_int_equal(block_write(disk.node, DISK_BYTES - 512, sector, 512), -EIO);
	disk_close(&disk);
	assert_int_equal(block_open(&options, disk.loop, &disk.node, &err), -EIO);
	assert_non_null(strstr(err.text, "is marked as damaged"));
	disk_check(&disk, BLOCK_REPAIR_ALL, false);
	disk_open(&disk, unsafe);
	assert_int_equal(block_write(disk.node, DISK_BYTES - 512, sector, 512), 0);
	disk_close(&disk);
	disk_fini(&disk);
}

/* Damaged counts never lead to data over the tables. */
static void qcow2_uncounted_table_is_not_allocated(void **state)
{
	static const uint64_t tables[] = { 0, 1, 2 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		uint8_t sector[512] = { 1 };
		struct disk disk;
		struct places places = init_written(&disk, "cluster_size=4K");
		uint64_t at[] = { 0, places.l1, places.reftable };

		patch_number(&disk, places.block + 2 * (at[tables[i]] / CLUSTER), 2, 0);
		disk_open(&disk, unsafe);
		assert_int_equal(block_write(disk.node, DISK_BYTES - 512, sector, 512), -EIO);
		disk_expect(&disk, 0, DISK_BYTES);
		disk_close(&disk);
		disk_check(&disk, BLOCK_REPAIR_ALL, false);
		disk_expect_peer_agrees(&disk);
		disk_fini(&disk);
	}
}

/* A stream that never ends, and one that is cut. */
static void qcow2_compressed_garbage_is_an_error(void **state)
{
	static const char *const settings[] = { "cluster_size=4K",
						"cluster_size=4K,compression_type=zstd" };
	uint8_t cluster[CLUSTER], garbage[64];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(settings); i++) {
		struct iovec iov = { cluster, CLUSTER };
		struct places places;
		struct disk disk;

		disk_init(&disk, settings[i], DISK_BYTES, 0);
		disk_open(&disk, unsafe);
		memset(cluster, 'x', sizeof(cluster));
		assert_int_equal(block_writev(disk.node, 0, CLUSTER,
					      (struct block_buffer){ .iov = &iov, .iov_count = 1 },
					      BLOCK_COMPRESS),
				 0);
		disk_close(&disk);
		places.l2 = number_at(&disk, number_at(&disk, 40)) & OFFSET_BITS;
		places.data = number_at(&disk, places.l2) & ((UINT64_C(1) << 54) - 1);
		memset(garbage, 0xee, sizeof(garbage));
		patch(&disk, places.data, garbage, sizeof(garbage));
		disk_open(&disk, unsafe);
		assert_int_equal(block_read(disk.node, 0, cluster, CLUSTER), -EIO);
		assert_int_equal(block_read(disk.node, CLUSTER, cluster, CLUSTER), 0);
		disk_close(&disk);
		disk_fini(&disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_header_out_of_order_is_refused_with_words),
		cmocka_unit_test(qcow2_damage_is_found_and_repaired),
		cmocka_unit_test(qcow2_damaged_entry_ends_writing),
		cmocka_unit_test(qcow2_uncounted_table_is_not_allocated),
		cmocka_unit_test(qcow2_compressed_garbage_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
