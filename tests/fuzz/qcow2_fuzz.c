/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile qcow2 images, with their snapshots and bitmaps. */
#include "image_fuzz.h"

#define FILE_BYTES (256 * KIB)

static void use_snapshots(struct block_node *node)
{
	const struct block_snapshot_ops *ops = node->format->snapshots;
	struct err err = ERR_INIT;
	json_t *list = NULL;

	ops->list(node, &list, &err);
	json_decref(list);
	ops->create(node, "fuzz", &err);
	ops->apply(node, "1", &err);
	ops->remove(node, "1", &err);
	ops->apply(node, "fuzz", &err);
}

static void use_bitmaps(struct block_node *node)
{
	const struct block_bitmap_ops *ops = node->format->bitmaps;
	struct err err = ERR_INIT;
	json_t *list = NULL, *one;
	size_t index;

	ops->list(node, &list, &err);
	json_array_foreach(list, index, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		uint64_t bytes;
		bool dirty;

		if (!ops->status(node, name, 0, BLOCK_SECTOR, &dirty, &bytes))
			check(bytes == BLOCK_SECTOR);
		ops->set(node, name, 0, UINT64_MAX / 2, &err);
	}
	json_decref(list);
	ops->add(node, "fuzz", 64 * KIB, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct block_open_options options = {
		.format = "qcow2",
		.locked = true,
		.cache = BLOCK_CACHE_UNSAFE,
	};
	int fd = memfd_create("image", MFD_CLOEXEC);
	struct err err = ERR_INIT;
	struct block_node *node;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(!fd_write_all(fd, data, size) && !ftruncate(fd, FILE_BYTES));
	options.path = path;
	if (!block_open(&options, NULL, &node, &err)) {
		use_snapshots(node);
		use_bitmaps(node);
		block_resize(node, block_size_bytes(node) / 2 & ~UINT64_C(511), &err);
		fuzz_use(node);
		block_close(node);
	}
	close(fd);
	return fuzz_image("qcow2", data, size, FILE_BYTES);
}
