/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Internal snapshots of qcow2 images, against copies of the disk in memory and qemu-img. */
#include "qcow2_fixture.h"

#include <errno.h>

#define DISK_BYTES (MIB + 512)
#define SNAPSHOTS  4
#define STEPS      60

static const char *const variants[] = {
	"cluster_size=4K",
	"cluster_size=512,refcount_bits=8",
	"cluster_size=64K,refcount_bits=64",
	"extended_l2=on,cluster_size=16K",
	"lazy_refcounts=on,cluster_size=4K",
	"compat=0.10,cluster_size=4K",
};

struct kept {
	bool there;
	char name[16];
	uint8_t *model;
};

static void write_some(struct disk *disk)
{
	uint32_t sectors = (uint32_t)(disk->bytes / 512);
	uint64_t from = disk_random(disk, sectors);
	uint64_t count = 1 + disk_random(disk, (uint32_t)MIN(sectors - from, UINT64_C(100)));
	uint8_t *data = disk->model + from * 512;
	uint32_t granule = block_granularity_bytes(disk->node);

	if (!disk_random(disk, 4)) {
		uint64_t offset = from * 512 / granule * granule;

		count = MIN(granule, disk->bytes - offset);
		memset(disk->model + offset, (int)disk_random(disk, 256), count);
		assert_int_equal(
			block_writev(disk->node, offset, count,
				     (struct block_buffer){
					     .iov = &(struct iovec){ disk->model + offset, count },
					     .iov_count = 1 },
				     BLOCK_COMPRESS),
			0);
		return;
	}
	memset(data, (int)disk_random(disk, 256), count * 512);
	assert_int_equal(block_write(disk->node, from * 512, data, count * 512), 0);
}

static void step(struct disk *disk, struct kept *kept)
{
	const struct block_snapshot_ops *ops = disk->node->format->snapshots;
	struct kept *one = &kept[disk_random(disk, SNAPSHOTS)];
	struct err err = ERR_INIT;
	int rc = 0;

	switch (disk_random(disk, 6)) {
	case 0:
		if (one->there)
			break;
		rc = ops->create(disk->node, one->name, &err);
		memcpy(one->model, disk->model, disk->bytes);
		one->there = true;
		break;
	case 1:
		if (!one->there)
			break;
		rc = ops->remove(disk->node, one->name, &err);
		one->there = false;
		break;
	case 2:
		if (!one->there)
			break;
		rc = ops->apply(disk->node, one->name, &err);
		memcpy(disk->model, one->model, disk->bytes);
		break;
	case 3:
		disk_close(disk);
		disk_open(disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE });
		break;
	default:
		write_some(disk);
		break;
	}
	if (rc)
		fail_msg("%s", err.text);
	disk_expect(disk, 0, disk->bytes);
}

/* The peer sees the same in each snapshot. The image is closed. */
static void expect_peer_sees(struct disk *disk, const struct kept *kept)
{
	char log[128], raw[128], model[128], argument[64];

	disk_file_name(disk, "log", log, sizeof(log));
	disk_file_name(disk, "peer.raw", raw, sizeof(raw));
	disk_file_name(disk, "model.raw", model, sizeof(model));
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		if (!kept[i].there)
			continue;
		snprintf(argument, sizeof(argument), "snapshot.name=%s", kept[i].name);
		assert_int_equal(RUN(disk, log, "qemu-img", "convert", "-l", argument, "-O", "raw",
				     disk->path, raw),
				 0);
		disk_write_file(model, kept[i].model, disk->bytes);
		assert_int_equal(RUN(disk, log, "cmp", raw, model), 0);
	}
}

static void qcow2_snapshots_keep_what_was(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		struct kept kept[SNAPSHOTS] = { 0 };
		struct disk disk;

		disk_init(&disk, variants[i], DISK_BYTES, 0);
		disk.random = i + 1;
		for (unsigned n = 0; n < SNAPSHOTS; n++) {
			kept[n].model = malloc(DISK_BYTES);
			snprintf(kept[n].name, sizeof(kept[n].name), "snap%u", n);
		}
		disk_open(&disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE });
		for (unsigned n = 0; n < STEPS; n++)
			step(&disk, kept);
		disk_close(&disk);
		disk_expect_peer_agrees(&disk);
		expect_peer_sees(&disk, kept);
		for (unsigned n = 0; n < SNAPSHOTS; n++)
			free(kept[n].model);
		disk_fini(&disk);
	}
}

static void qcow2_snapshots_of_the_peer_apply(void **state)
{
	const struct block_snapshot_ops *ops;
	struct err err = ERR_INIT;
	json_t *list, *first;
	struct disk disk;
	char log[128];

	(void)state;
	disk_init(&disk, "cluster_size=4K", DISK_BYTES, 0);
	disk_file_name(&disk, "log", log, sizeof(log));
	assert_int_equal(RUN(&disk, log, "qemu-io", "-c", "write -P 7 0 512K", disk.path), 0);
	assert_int_equal(RUN(&disk, log, "qemu-img", "snapshot", "-c", "theirs", disk.path), 0);
	assert_int_equal(RUN(&disk, log, "qemu-io", "-c", "write -P 8 0 256K", disk.path), 0);
	disk_open(&disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE });
	ops = disk.node->format->snapshots;
	assert_int_equal(ops->list(disk.node, &list, &err), 0);
	assert_int_equal(json_array_size(list), 1);
	first = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(first, "name")), "theirs");
	assert_int_equal(json_integer_value(json_object_get(first, "size")), DISK_BYTES);
	json_decref(list);
	memset(disk.model, 7, 512 * KIB);
	memset(disk.model, 8, 256 * KIB);
	disk_expect(&disk, 0, DISK_BYTES);
	assert_int_equal(ops->apply(disk.node, "theirs", &err), 0);
	memset(disk.model, 7, 512 * KIB);
	disk_expect(&disk, 0, DISK_BYTES);
	write_some(&disk);
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

static void qcow2_snapshot_that_cannot_be_changes_nothing(void **state)
{
	const struct block_snapshot_ops *ops;
	struct err err = ERR_INIT;
	struct disk disk;

	(void)state;
	/* One bit counts to one. */
	disk_init(&disk, "cluster_size=4K,refcount_bits=1", DISK_BYTES, 0);
	disk_open(&disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE });
	write_some(&disk);
	ops = disk.node->format->snapshots;
	assert_int_equal(ops->create(disk.node, "one", &err), -ERANGE);
	assert_int_equal(ops->apply(disk.node, "one", &err), -ENOENT);
	assert_int_equal(ops->remove(disk.node, "one", &err), -ENOENT);
	disk_expect(&disk, 0, DISK_BYTES);
	write_some(&disk);
	disk_close(&disk);
	disk_expect_peer_agrees(&disk);
	disk_fini(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_snapshots_keep_what_was),
		cmocka_unit_test(qcow2_snapshots_of_the_peer_apply),
		cmocka_unit_test(qcow2_snapshot_that_cannot_be_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
