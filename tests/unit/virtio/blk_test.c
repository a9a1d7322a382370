/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The block device between a driver and an image file. Spec: Virtio 1.2 5.2 */
#include "driver.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <unistd.h>

#include "host/fd.h"
#include "state/fields.h"
#include "virtio/blk.h"

#define DISK_BYTES (64 * KIB)
#define HEADER     DRIVER_BUFFERS
#define STATUS     (DRIVER_BUFFERS + 0x100)
#define DATA       (DRIVER_BUFFERS + 0x10000)
#define WRITEBACK  (BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE))
#define TRIM       (BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

struct disk {
	char path[64];
	struct loop *loop;
	struct block_node *node;
	struct virtio_device *virtio;
	struct driver driver;
};

static uint8_t disk_byte(uint64_t at)
{
	return (uint8_t)(at / 512 + at % 7 + 1);
}

static void disk_init(struct disk *disk, struct block_open_options options,
		      struct virtio_blk_options blk_options)
{
	uint8_t content[DISK_BYTES];
	struct err err = ERR_INIT;
	int fd;

	strcpy(disk->path, "/var/tmp/cella-blk-XXXXXX");
	fd = mkstemp(disk->path);
	for (unsigned i = 0; i < DISK_BYTES; i++)
		content[i] = disk_byte(i);
	assert_int_equal(fd_write_all(fd, content, DISK_BYTES), 0);
	close(fd);
	assert_int_equal(loop_new(&disk->loop, NULL), 0);
	options.path = disk->path;
	if (block_open(&options, disk->loop, &disk->node, &err))
		fail_msg("%s", err.text);
	driver_init(&disk->driver);
	blk_options.node = disk->node;
	assert_int_equal(
		virtio_blk_new(&disk->virtio, "disk0", disk->driver.memory, &blk_options, NULL), 0);
}

static void disk_fini(struct disk *disk)
{
	device_free(&disk->virtio->device);
	block_close(disk->node);
	driver_fini(&disk->driver);
	loop_free(disk->loop);
	unlink(disk->path);
}

/* Offers one request with its data in two pieces, kicks and waits; returns the status. */
static uint8_t run(struct disk *disk, unsigned queue, uint32_t type, uint64_t sector,
		   uint32_t bytes, bool to_guest)
{
	uint8_t *header = disk->driver.ram + HEADER;
	uint8_t *status = disk->driver.ram + STATUS;
	struct driver_piece pieces[4] = { { HEADER, 16, false } };
	unsigned count = 1;
	uint32_t head, used_bytes;

	le32_put(header, type);
	le32_put(header + 4, 0);
	le64_put(header + 8, sector);
	*status = 0xee;
	if (bytes > 100)
		pieces[count++] = (struct driver_piece){ DATA, 100, to_guest };
	if (bytes)
		pieces[count++] =
			(struct driver_piece){ DATA + (bytes > 100 ? 100 : 0),
					       bytes - (bytes > 100 ? 100 : 0), to_guest };
	pieces[count++] = (struct driver_piece){ STATUS, 1, true };
	driver_offer(&disk->driver, queue, pieces, count);
	driver_kick(&disk->driver, queue);
	block_drain(disk->node);
	assert_true(driver_used(&disk->driver, queue, &head, &used_bytes));
	assert_int_equal(used_bytes, (to_guest ? bytes : 0) + 1);
	return *status;
}

static void expect_disk(struct disk *disk, uint64_t sector, const uint8_t *expected, uint32_t bytes)
{
	assert_int_equal(run(disk, 0, VIRTIO_BLK_T_IN, sector, bytes, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(disk->driver.ram + DATA, expected, bytes);
}

static void blk_written_sectors_read_back_on_every_queue(void **state)
{
	struct disk disk;
	uint8_t expected[4096];

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 },
		  (struct virtio_blk_options){ .queues = 3 });
	driver_start(&disk.driver, disk.virtio, WRITEBACK | BIT(VIRTIO_BLK_F_MQ));
	for (unsigned i = 0; i < sizeof(expected); i++)
		expected[i] = disk_byte(512 + i);
	expect_disk(&disk, 1, expected, sizeof(expected));
	for (unsigned queue = 0; queue < 3; queue++) {
		memset(disk.driver.ram + DATA, (int)queue + 1, 4096);
		memset(expected, (int)queue + 1, 4096);
		assert_int_equal(run(&disk, queue, VIRTIO_BLK_T_OUT, 8 * queue, 4096, false), 0);
		memset(disk.driver.ram + DATA, 0xff, 4096);
		expect_disk(&disk, 8 * queue, expected, 4096);
	}
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_FLUSH, 0, 0, false), 0);
	assert_false(driver_sees_broken(&disk.driver));
	disk_fini(&disk);
}

static void blk_config_shows_disk(void **state)
{
	struct virtio_blk_config config;
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 },
		  (struct virtio_blk_options){ .queues = 99 });
	virtio_config_read(disk.virtio, 0, &config, sizeof(config));
	assert_int_equal(config.capacity, DISK_BYTES / 512);
	assert_int_equal(config.blk_size, 512);
	assert_int_equal(config.num_queues, VIRTIO_BLK_QUEUES_MAX);
	assert_int_equal(config.seg_max, 254);
	assert_int_equal(config.physical_block_exp, 3);
	assert_int_equal(config.wce, 1);
	disk_fini(&disk);
}

static void blk_get_id_gives_serial(void **state)
{
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 },
		  (struct virtio_blk_options){ .serial = "a-serial-of-more-than-20-bytes" });
	driver_start(&disk.driver, disk.virtio, 0);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_GET_ID, 0, 20, true), VIRTIO_BLK_S_OK);
	assert_memory_equal(disk.driver.ram + DATA, "a-serial-of-more-than", 20);
	disk_fini(&disk);
}

/* `ranges` in the layout of struct virtio_blk_discard_write_zeroes. */
static void put_range(struct disk *disk, unsigned index, uint64_t sector, uint32_t sectors,
		      uint32_t flags)
{
	uint8_t *at = disk->driver.ram + DATA + 16 * index;

	le64_put(at, sector);
	le32_put(at + 8, sectors);
	le32_put(at + 12, flags);
}

static void blk_write_zeroes_clears_each_range(void **state)
{
	static const uint8_t zeroes[1024];
	uint8_t between[512];
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, WRITEBACK | TRIM);
	put_range(&disk, 0, 1, 2, 0);
	put_range(&disk, 1, 4, 1, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 32, false), VIRTIO_BLK_S_OK);
	for (unsigned i = 0; i < sizeof(between); i++)
		between[i] = disk_byte(3 * 512 + i);
	expect_disk(&disk, 1, zeroes, 1024);
	expect_disk(&disk, 3, between, 512);
	expect_disk(&disk, 4, zeroes, 512);
	put_range(&disk, 0, 3, 1, 0);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_DISCARD, 0, 16, false), VIRTIO_BLK_S_OK);
	disk_fini(&disk);
}

static const struct bad_range {
	uint32_t type;
	uint64_t sector;
	uint32_t sectors, flags, bytes;
	uint8_t status;
} bad_ranges[] = {
	{ VIRTIO_BLK_T_DISCARD, 128, 1, 0, 16, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_DISCARD, 0, 129, 0, 16, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_DISCARD, UINT64_MAX, 2, 0, 16, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_DISCARD, 0, 1, 1, 16, VIRTIO_BLK_S_UNSUPP },
	{ VIRTIO_BLK_T_DISCARD, 0, 1, 0, 15, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_DISCARD, 0, 1, 0, 0, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_DISCARD, 0, 0, 0, 33 * 16, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 2, 16, VIRTIO_BLK_S_UNSUPP },
	{ VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0, 16, VIRTIO_BLK_S_IOERR },
};

static void blk_bad_range_is_refused(void **state)
{
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, WRITEBACK | TRIM);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_ranges); i++) {
		const struct bad_range *bad = &bad_ranges[i];

		put_range(&disk, 0, bad->sector, bad->sectors, bad->flags);
		assert_int_equal(run(&disk, 0, bad->type, 0, bad->bytes, false), bad->status);
		assert_false(driver_sees_broken(&disk.driver));
	}
	disk_fini(&disk);
}

static const struct bad_request {
	uint32_t type;
	uint64_t sector;
	uint32_t bytes;
	bool to_guest, read_only;
	uint8_t status;
} bad_requests[] = {
	{ VIRTIO_BLK_T_IN, 128, 512, true, false, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_IN, 127, 1024, true, false, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_IN, UINT64_MAX, 512, true, false, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 512, true, false, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_IN, 0, 511, true, false, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_OUT, 128, 512, false, false, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_OUT, 0, 512, false, true, VIRTIO_BLK_S_IOERR },
	{ VIRTIO_BLK_T_DISCARD, 0, 16, false, false, VIRTIO_BLK_S_UNSUPP },
	{ VIRTIO_BLK_T_SCSI_CMD, 0, 0, false, false, VIRTIO_BLK_S_UNSUPP },
	{ 0xffffffff, 0, 0, false, false, VIRTIO_BLK_S_UNSUPP },
};

static void blk_bad_request_gets_status_and_device_goes_on(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad_requests); i++) {
		const struct bad_request *bad = &bad_requests[i];
		struct disk disk;

		disk_init(&disk, (struct block_open_options){ .read_only = bad->read_only },
			  (struct virtio_blk_options){ 0 });
		driver_start(&disk.driver, disk.virtio, 0);
		assert_int_equal(run(&disk, 0, bad->type, bad->sector, bad->bytes, bad->to_guest),
				 bad->status);
		assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
		assert_false(driver_sees_broken(&disk.driver));
		disk_fini(&disk);
	}
}

static const struct malformed {
	struct driver_piece pieces[2];
	unsigned count;
} malformed[] = {
	{ { { HEADER, 16, false } }, 1 },                      /* no status */
	{ { { STATUS, 1, true } }, 1 },                        /* no header */
	{ { { HEADER, 15, false }, { STATUS, 1, true } }, 2 }, /* a short one */
};

static void blk_malformed_chain_breaks_until_reset(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(malformed); i++) {
		struct disk disk;

		disk_init(&disk, (struct block_open_options){ 0 },
			  (struct virtio_blk_options){ 0 });
		driver_start(&disk.driver, disk.virtio, 0);
		driver_offer(&disk.driver, 0, malformed[i].pieces, malformed[i].count);
		driver_kick(&disk.driver, 0);
		assert_true(driver_sees_broken(&disk.driver));
		driver_start(&disk.driver, disk.virtio, 0);
		assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
		disk_fini(&disk);
	}
}

static void offer(struct disk *disk, uint32_t type, unsigned index)
{
	uint64_t header = HEADER + 0x200 * index;
	const struct driver_piece pieces[] = {
		{ header, 16, false },
		{ DATA + 512 * index, 512, type == VIRTIO_BLK_T_IN },
		{ header + 16, 1, true },
	};

	le32_put(disk->driver.ram + header, type);
	le64_put(disk->driver.ram + header + 8, index);
	driver_offer(&disk->driver, 0, pieces, ARRAY_SIZE(pieces));
}

static void offer_read(struct disk *disk, unsigned index)
{
	offer(disk, VIRTIO_BLK_T_IN, index);
}

static void blk_one_kick_takes_all(void **state)
{
	enum { COUNT = 20 };
	uint32_t head, bytes;
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, 0);
	for (unsigned i = 0; i < COUNT; i++)
		offer_read(&disk, i);
	driver_kick(&disk.driver, 0);
	block_drain(disk.node);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_true(driver_used(&disk.driver, 0, &head, &bytes));
		assert_int_equal(disk.driver.ram[DATA + 512 * i], disk_byte(512 * i));
		assert_int_equal(disk.driver.ram[HEADER + 0x200 * i + 16], VIRTIO_BLK_S_OK);
	}
	disk_fini(&disk);
}

static void blk_request_that_ends_at_once_is_told_with_the_kick(void **state)
{
	const struct driver_piece pieces[] = { { HEADER, 16, false }, { STATUS, 1, true } };
	uint32_t head, bytes;
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE },
		  (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, WRITEBACK);
	le32_put(disk.driver.ram + HEADER, VIRTIO_BLK_T_FLUSH);
	disk.driver.ram[STATUS] = 0xee;
	driver_offer(&disk.driver, 0, pieces, ARRAY_SIZE(pieces));
	driver_kick(&disk.driver, 0);
	assert_true(driver_used(&disk.driver, 0, &head, &bytes));
	assert_int_equal(disk.driver.ram[STATUS], VIRTIO_BLK_S_OK);
	assert_int_equal(disk.driver.interrupts, 1);
	disk_fini(&disk);
}

static void blk_reset_with_requests_in_flight_waits_for_them(void **state)
{
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, 0);
	/* Reads could have ended at once. */
	for (unsigned i = 0; i < 20; i++)
		offer(&disk, VIRTIO_BLK_T_OUT, i);
	driver_kick(&disk.driver, 0);
	virtio_status_write(disk.virtio, 0);
	assert_int_not_equal(virtio_status_read(disk.virtio), 0);
	block_drain(disk.node);
	assert_int_equal(virtio_status_read(disk.virtio), 0);
	driver_start(&disk.driver, disk.virtio, 0);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_IN, 0, 512, true), VIRTIO_BLK_S_OK);
	disk_fini(&disk);
}

static void blk_quiesced_is_still_until_resume(void **state)
{
	uint32_t head, bytes;
	struct disk disk;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, 0);
	offer_read(&disk, 0);
	driver_kick(&disk.driver, 0);
	disk.virtio->device.ops->quiesce(&disk.virtio->device);
	assert_true(driver_used(&disk.driver, 0, &head, &bytes));
	offer_read(&disk, 1);
	driver_kick(&disk.driver, 0);
	block_drain(disk.node);
	assert_false(driver_used(&disk.driver, 0, &head, &bytes));
	disk.virtio->device.ops->resume(&disk.virtio->device);
	block_drain(disk.node);
	assert_true(driver_used(&disk.driver, 0, &head, &bytes));
	disk_fini(&disk);
}

static void blk_grown_disk_takes_requests_behind_the_old_end(void **state)
{
	struct virtio_blk_config config;
	struct err err = ERR_INIT;
	struct disk disk;
	uint8_t generation;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, 0);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_IN, DISK_BYTES / 512, 512, true),
			 VIRTIO_BLK_S_IOERR);
	generation = disk.virtio->config_generation;
	assert_int_equal(virtio_blk_resize(&disk.virtio->device, 2 * DISK_BYTES, NULL), 0);
	assert_int_not_equal(disk.virtio->config_generation, generation);
	virtio_config_read(disk.virtio, 0, &config, sizeof(config));
	assert_int_equal(le64toh(config.capacity), 2 * DISK_BYTES / 512);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_IN, DISK_BYTES / 512, 512, true),
			 VIRTIO_BLK_S_OK);
	assert_int_equal(virtio_blk_resize(&disk.virtio->device, DISK_BYTES, &err), -EINVAL);
	assert_non_null(strstr(err.text, "smaller"));
	disk_fini(&disk);
}

static void blk_write_cache_mode_is_saved_and_loaded(void **state)
{
	struct state_stream out = { 0 }, in;
	struct disk disk;
	uint8_t wce = 0;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, WRITEBACK);
	virtio_config_write(disk.virtio, offsetof(struct virtio_blk_config, wce), &wce, 1);
	assert_int_equal(disk.virtio->config[offsetof(struct virtio_blk_config, wce)], 0);
	assert_int_equal(device_save(&disk.virtio->device, &out), 0);
	device_reset(&disk.virtio->device);
	assert_int_equal(disk.virtio->config[offsetof(struct virtio_blk_config, wce)], 1);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&disk.virtio->device, &in, NULL), 0);
	assert_int_equal(disk.virtio->config[offsetof(struct virtio_blk_config, wce)], 0);
	assert_int_equal(run(&disk, 0, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_OK);
	state_stream_fini(&out);
	disk_fini(&disk);
}

static void blk_stats_count_requests(void **state)
{
	struct disk disk;
	json_t *stats;

	(void)state;
	disk_init(&disk, (struct block_open_options){ 0 }, (struct virtio_blk_options){ 0 });
	driver_start(&disk.driver, disk.virtio, WRITEBACK);
	run(&disk, 0, VIRTIO_BLK_T_IN, 0, 1024, true);
	run(&disk, 0, VIRTIO_BLK_T_OUT, 0, 512, false);
	run(&disk, 0, VIRTIO_BLK_T_FLUSH, 0, 0, false);
	run(&disk, 0, VIRTIO_BLK_T_IN, 4096, 512, true);
	stats = device_stats(&disk.virtio->device);
	assert_int_equal(json_integer_value(json_object_get(stats, "reads")), 1);
	assert_int_equal(json_integer_value(json_object_get(stats, "read-bytes")), 1024);
	assert_int_equal(json_integer_value(json_object_get(stats, "writes")), 1);
	assert_int_equal(json_integer_value(json_object_get(stats, "written-bytes")), 512);
	assert_int_equal(json_integer_value(json_object_get(stats, "flushes")), 1);
	assert_int_equal(json_integer_value(json_object_get(stats, "errors")), 1);
	json_decref(stats);
	disk_fini(&disk);
}

static const struct offer_case {
	struct block_open_options block;
	struct virtio_blk_options blk;
	uint64_t with, without;
} offer_cases[] = {
	{ { 0 }, { 0 }, WRITEBACK | TRIM, BIT(VIRTIO_BLK_F_RO) },
	{ { .read_only = true }, { 0 }, WRITEBACK | BIT(VIRTIO_BLK_F_RO), TRIM },
	{ { .snapshot = true }, { 0 }, WRITEBACK | TRIM, BIT(VIRTIO_BLK_F_RO) },
	{ { 0 }, { .write_through = true }, TRIM, WRITEBACK },
};

static void blk_features_follow_disk(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(offer_cases); i++) {
		struct disk disk;

		disk_init(&disk, offer_cases[i].block, offer_cases[i].blk);
		assert_int_equal(disk.virtio->offered & offer_cases[i].with, offer_cases[i].with);
		assert_int_equal(disk.virtio->offered & offer_cases[i].without, 0);
		disk_fini(&disk);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blk_written_sectors_read_back_on_every_queue),
		cmocka_unit_test(blk_config_shows_disk),
		cmocka_unit_test(blk_get_id_gives_serial),
		cmocka_unit_test(blk_write_zeroes_clears_each_range),
		cmocka_unit_test(blk_bad_range_is_refused),
		cmocka_unit_test(blk_bad_request_gets_status_and_device_goes_on),
		cmocka_unit_test(blk_malformed_chain_breaks_until_reset),
		cmocka_unit_test(blk_one_kick_takes_all),
		cmocka_unit_test(blk_request_that_ends_at_once_is_told_with_the_kick),
		cmocka_unit_test(blk_reset_with_requests_in_flight_waits_for_them),
		cmocka_unit_test(blk_quiesced_is_still_until_resume),
		cmocka_unit_test(blk_grown_disk_takes_requests_behind_the_old_end),
		cmocka_unit_test(blk_write_cache_mode_is_saved_and_loaded),
		cmocka_unit_test(blk_stats_count_requests),
		cmocka_unit_test(blk_features_follow_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
