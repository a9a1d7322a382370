/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/filter/bitmaps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/vec.h"
#include "block/dirty.h"
#include "host/thread.h"

#define BITMAPS_MAX     64
#define NAME_MAX_BYTES  1023
#define GRANULARITY_MIN BLOCK_SECTOR
#define GRANULARITY_MAX GIB

struct bitmap {
	char *name;
	struct dirty dirty;
	bool enabled; /* writes are recorded */
};

struct bitmaps {
	struct block_node node;
	pthread_mutex_t lock; /* guards what follows */
	VEC(struct bitmap *) list;
};

static const struct block_ops bitmaps_node_ops;

static struct bitmaps *bitmaps_of(struct block_node *node)
{
	check(node->ops == &bitmaps_node_ops);
	return container_of(node, struct bitmaps, node);
}

static void bitmap_free(struct bitmap *bitmap)
{
	if (!bitmap)
		return;
	dirty_fini(&bitmap->dirty);
	free(bitmap->name);
	free(bitmap);
}

/* ---- what passes ---- */

static void record(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap **bitmap;

	LOCK_SCOPE(&bitmaps->lock);
	vec_for_each (bitmap, &bitmaps->list) {
		if ((*bitmap)->enabled)
			dirty_set(&(*bitmap)->dirty, offset, bytes);
	}
}

static int bitmaps_write(struct block_node *node, uint64_t offset, uint64_t bytes,
			 struct block_buffer from, unsigned flags)
{
	record(node, offset, bytes);
	return block_writev(node->next, offset, bytes, from, flags);
}

static int bitmaps_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	record(node, offset, bytes);
	return block_discard(node->next, offset, bytes);
}

static int bitmaps_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
				unsigned flags)
{
	record(node, offset, bytes);
	return block_write_zeroes(node->next, offset, bytes, flags);
}

static void bitmaps_queue(struct block_node *node, struct block_request *request)
{
	if (request->op != BLOCK_READ && request->op != BLOCK_FLUSH)
		record(node, request->position, request->bytes);
	block_pass_on(request);
}

static int resize_all(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap **bitmap;
	int rc;

	LOCK_SCOPE(&bitmaps->lock);
	vec_for_each (bitmap, &bitmaps->list) {
		rc = dirty_resize(&(*bitmap)->dirty, bytes);
		if (rc)
			return err_errno(err, rc, "cannot resize bitmap '%.64s'", (*bitmap)->name);
	}
	return 0;
}

/* Bits behind the end of the disk do no harm; a disk without bits for its end would. */
static int bitmaps_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	uint64_t had = block_size_bytes(node->next);
	int rc = bytes > had ? resize_all(node, bytes, err) : 0;

	if (!rc)
		rc = block_resize(node->next, bytes, err);
	if (!rc && bytes < had)
		(void)resize_all(node, bytes, NULL);
	return rc;
}

static bool bitmaps_can_discard(struct block_node *node)
{
	return block_can_discard(node->next);
}

static bool bitmaps_can_write_zeroes(struct block_node *node)
{
	return block_can_write_zeroes(node->next);
}

static bool bitmaps_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

static void bitmaps_close(struct block_node *node)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap **bitmap;

	vec_for_each (bitmap, &bitmaps->list)
		bitmap_free(*bitmap);
	vec_fini(&bitmaps->list);
	pthread_mutex_destroy(&bitmaps->lock);
	block_node_fini(node);
	free(bitmaps);
}

static const struct block_ops bitmaps_node_ops = {
	.name = "bitmaps",
	.filter = true,
	.write = bitmaps_write,
	.discard = bitmaps_discard,
	.write_zeroes = bitmaps_write_zeroes,
	.resize = bitmaps_resize,
	.queue = bitmaps_queue,
	.can_discard = bitmaps_can_discard,
	.can_write_zeroes = bitmaps_can_write_zeroes,
	.can_fua = bitmaps_can_fua,
	.close = bitmaps_close,
};

int bitmaps_open(struct block_node *next, struct loop *loop, struct block_node **ret_node,
		 struct err *err)
{
	struct bitmaps *bitmaps = calloc(1, sizeof(*bitmaps));
	int rc;

	if (!bitmaps)
		return err_errno(err, ENOMEM, "cannot record writes");
	block_node_init(&bitmaps->node, &bitmaps_node_ops, loop);
	pthread_mutex_init(&bitmaps->lock, NULL);
	rc = next->ops->queue ? 0 : block_node_start_workers(next, BLOCK_WORKERS, err);
	if (!rc && block_node_add(&bitmaps->node, next))
		rc = err_errno(err, ENOMEM, "cannot record writes");
	if (rc) {
		bitmaps_close(&bitmaps->node);
		return rc;
	}
	*ret_node = &bitmaps->node;
	return 0;
}

bool bitmaps_is(const struct block_node *node)
{
	return node->ops == &bitmaps_node_ops;
}

bool bitmaps_is_empty(struct block_node *node)
{
	struct bitmaps *bitmaps = bitmaps_of(node);

	LOCK_SCOPE(&bitmaps->lock);
	return !bitmaps->list.count;
}

/* ---- what users do ---- */

/* NULL: there is none. */
static struct bitmap *find_locked(struct bitmaps *bitmaps, const char *name)
{
	struct bitmap **bitmap;

	vec_for_each (bitmap, &bitmaps->list) {
		if (!strcmp((*bitmap)->name, name))
			return *bitmap;
	}
	return NULL;
}

static int missing(const char *name, struct err *err)
{
	return err_set(err, ENOENT, "the disk has no bitmap '%.64s'", name);
}

static int bitmap_list(struct block_node *node, json_t **ret_list, struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap **bitmap;

	(void)err;
	*ret_list = json_array();
	LOCK_SCOPE(&bitmaps->lock);
	vec_for_each (bitmap, &bitmaps->list)
		json_array_append_new(
			*ret_list, json_pack("{s:s, s:I, s:b, s:b, s:I}", "name", (*bitmap)->name,
					     "granularity", (json_int_t)(*bitmap)->dirty.granule,
					     "enabled", (*bitmap)->enabled, "busy", false, "dirty",
					     (json_int_t)dirty_bytes(&(*bitmap)->dirty)));
	return 0;
}

static int check_new_locked(struct bitmaps *bitmaps, const char *name, uint32_t granularity,
			    struct err *err)
{
	if (!*name || strlen(name) > NAME_MAX_BYTES)
		return err_set(err, EINVAL, "bitmap '%.64s': no possible name", name);
	if (!is_power_of_two(granularity) || granularity < GRANULARITY_MIN ||
	    granularity > GRANULARITY_MAX)
		return err_set(err, EINVAL,
			       "bitmap '%.64s': granularity %u is no power of two from 512 to 1G",
			       name, granularity);
	if (find_locked(bitmaps, name))
		return err_set(err, EEXIST, "the disk has a bitmap '%.64s' already", name);
	if (bitmaps->list.count >= BITMAPS_MAX)
		return err_set(err, EMFILE, "the disk has %d bitmaps in memory already",
			       BITMAPS_MAX);
	return 0;
}

static int bitmap_add(struct block_node *node, const char *name, uint32_t granularity_bytes,
		      struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap *bitmap;
	int rc;

	LOCK_SCOPE(&bitmaps->lock);
	rc = check_new_locked(bitmaps, name, granularity_bytes, err);
	if (rc)
		return rc;
	bitmap = calloc(1, sizeof(*bitmap));
	if (!bitmap)
		return err_errno(err, ENOMEM, "cannot add bitmap '%.64s'", name);
	bitmap->enabled = true;
	bitmap->name = strdup(name);
	rc = dirty_init(&bitmap->dirty, block_size_bytes(node), granularity_bytes);
	if (!bitmap->name)
		rc = -ENOMEM;
	if (!rc)
		rc = vec_push(&bitmaps->list, bitmap);
	if (!rc)
		return 0;
	bitmap_free(bitmap);
	return err_errno(err, rc, "cannot add bitmap '%.64s'", name);
}

static int bitmap_remove(struct block_node *node, const char *name, struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap *bitmap, **at;

	LOCK_SCOPE(&bitmaps->lock);
	bitmap = find_locked(bitmaps, name);
	if (!bitmap)
		return missing(name, err);
	vec_for_each (at, &bitmaps->list) {
		if (*at == bitmap)
			break;
	}
	*at = bitmaps->list.items[--bitmaps->list.count];
	bitmap_free(bitmap);
	return 0;
}

static int bitmap_clear(struct block_node *node, const char *name, struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap *bitmap;

	LOCK_SCOPE(&bitmaps->lock);
	bitmap = find_locked(bitmaps, name);
	if (!bitmap)
		return missing(name, err);
	dirty_clear(&bitmap->dirty, 0, bitmap->dirty.bytes);
	return 0;
}

static int bitmap_enable(struct block_node *node, const char *name, bool enabled, struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap *bitmap;

	LOCK_SCOPE(&bitmaps->lock);
	bitmap = find_locked(bitmaps, name);
	if (!bitmap)
		return missing(name, err);
	bitmap->enabled = enabled;
	return 0;
}

static int bitmap_set(struct block_node *node, const char *name, uint64_t offset, uint64_t bytes,
		      struct err *err)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap *bitmap;

	LOCK_SCOPE(&bitmaps->lock);
	bitmap = find_locked(bitmaps, name);
	if (!bitmap)
		return missing(name, err);
	if (offset < bitmap->dirty.bytes)
		dirty_set(&bitmap->dirty, offset, MIN(bytes, bitmap->dirty.bytes - offset));
	return 0;
}

static int bitmap_status(struct block_node *node, const char *name, uint64_t offset, uint64_t bytes,
			 bool *ret_dirty, uint64_t *ret_bytes)
{
	struct bitmaps *bitmaps = bitmaps_of(node);
	struct bitmap *bitmap;

	LOCK_SCOPE(&bitmaps->lock);
	bitmap = find_locked(bitmaps, name);
	if (!bitmap)
		return -ENOENT;
	if (!bytes || offset >= bitmap->dirty.bytes || bytes > bitmap->dirty.bytes - offset)
		return -EINVAL;
	*ret_dirty = dirty_status(&bitmap->dirty, offset, bytes, ret_bytes);
	return 0;
}

const struct block_bitmap_ops bitmaps_ops = {
	.list = bitmap_list,
	.add = bitmap_add,
	.remove = bitmap_remove,
	.clear = bitmap_clear,
	.enable = bitmap_enable,
	.set = bitmap_set,
	.status = bitmap_status,
};
