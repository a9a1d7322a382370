/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent dirty bitmaps: recording writes while the image is open, and what users do with them.
 *
 * A bit is set before the write that it stands for ends. All bitmaps that record are in memory from
 * opening the image to closing it.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Bitmaps"
 */
#include "block/format/qcow2_bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

#define TYPE_DIRTY      1
#define GRANULARITY_MIN 512
#define GRANULARITY_MAX (2 * GIB)

/* ---- recording ---- */

static void set_bits(struct qcow2_bitmap *bitmap, uint64_t first, uint64_t end)
{
	while (first < end) {
		unsigned low = first % 64;
		uint64_t count = MIN(end - first, UINT64_C(64) - low);
		uint64_t mask = bits_mask((unsigned)count) << low;
		_Atomic uint64_t *word = &bitmap->words[first / 64];

		if ((atomic_load_explicit(word, memory_order_relaxed) & mask) != mask)
			atomic_fetch_or(word, mask);
		first += count;
	}
}

static void mark_one(struct qcow2_bitmap *bitmap, uint64_t offset, uint64_t bytes)
{
	uint64_t first = offset >> bitmap->granularity_bits;
	uint64_t last = (offset + bytes - 1) >> bitmap->granularity_bits;

	if (bytes && first < bitmap->bits)
		set_bits(bitmap, first, MIN(last + 1, bitmap->bits));
}

void qcow2_bitmaps_record(struct qcow2 *q, uint64_t offset, uint64_t bytes)
{
	struct qcow2_bitmap **bitmap;

	if (!q->bitmaps)
		return;
	vec_for_each (bitmap, &q->bitmaps->list) {
		if ((*bitmap)->enabled && (*bitmap)->words)
			mark_one(*bitmap, offset, bytes);
	}
}

/* ---- opening and closing ---- */

int qcow2_bitmaps_start(struct qcow2 *q, struct err *err)
{
	struct qcow2_bitmap **bitmap;
	int rc = qcow2_bitmaps_load(q, err);

	if (rc || !q->bitmaps || q->read_only || q->check)
		return rc;
	vec_for_each (bitmap, &q->bitmaps->list) {
		struct qcow2_bitmap *one = *bitmap;

		if (!(one->flags & QCOW2_BITMAP_AUTO) || one->flags & QCOW2_BITMAP_IN_USE)
			continue;
		rc = qcow2_bitmap_load(q, one);
		if (rc)
			log_warn("image '%s': bitmap '%s' cannot be loaded and is lost", q->path,
				 one->name);
		/* Also what is not recorded is out of date with the first write. */
		rc = qcow2_bitmap_mark_in_use(q, one);
		if (rc)
			return err_errno(err, rc, "cannot write the bitmaps of '%s'", q->path);
		one->enabled = one->words;
		one->ours = one->words;
	}
	return 0;
}

int qcow2_bitmaps_stop(struct qcow2 *q)
{
	struct qcow2_bitmap **bitmap;
	int rc = 0;

	if (!q->bitmaps)
		return 0;
	vec_for_each (bitmap, &q->bitmaps->list) {
		if (!rc && (*bitmap)->words && (*bitmap)->ours)
			rc = qcow2_bitmap_store(q, *bitmap);
	}
	return rc;
}

/* ---- what users do ---- */

static int find(struct qcow2 *q, const char *name, struct qcow2_bitmap **ret_bitmap,
		struct err *err)
{
	*ret_bitmap = qcow2_bitmap_find(q, name);
	return *ret_bitmap
		       ? 0
		       : err_set(err, ENOENT, "image '%s' has no bitmap '%.64s'", q->path, name);
}

/* One whose bits are there and may be used. */
static int find_loaded(struct qcow2 *q, const char *name, struct qcow2_bitmap **ret_bitmap,
		       struct err *err)
{
	int rc = find(q, name, ret_bitmap, err);

	if (rc)
		return rc;
	if (!qcow2_bitmap_is_sound(*ret_bitmap)) {
		err_set(err, EBUSY, "bitmap '%.64s' of '%s' was not closed cleanly", name, q->path);
		err_hint(err, "remove it");
		return -EBUSY;
	}
	rc = qcow2_bitmap_load(q, *ret_bitmap);
	return rc ? err_errno(err, rc, "cannot load bitmap '%.64s' of '%s'", name, q->path) : 0;
}

static uint64_t dirty_bytes(const struct qcow2 *q, const struct qcow2_bitmap *bitmap)
{
	uint64_t bits = 0;

	for (uint64_t i = 0; bitmap->words && i <= bitmap->bits / 64; i++)
		bits += (uint64_t)__builtin_popcountll(bitmap->words[i]);
	return MIN(bits << bitmap->granularity_bits, q->header.size);
}

static int bitmap_list(struct block_node *node, json_t **ret_list, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	json_t *list = json_array();
	struct qcow2_bitmap **bitmap;

	(void)err;
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	if (q->bitmaps) {
		vec_for_each (bitmap, &q->bitmaps->list) {
			struct qcow2_bitmap *one = *bitmap;

			/* Without its bits it is listed all the same. */
			if (qcow2_bitmap_is_sound(one))
				(void)qcow2_bitmap_load(q, one);
			json_array_append_new(
				list,
				json_pack("{s:s, s:I, s:b, s:b, s:I}", "name", one->name,
					  "granularity", (json_int_t)1 << one->granularity_bits,
					  "enabled", (one->flags & QCOW2_BITMAP_AUTO) != 0, "busy",
					  !qcow2_bitmap_is_sound(one), "dirty",
					  (json_int_t)dirty_bytes(q, one)));
		}
	}
	*ret_list = list;
	return 0;
}

static int check_new(struct qcow2 *q, const char *name, uint32_t granularity, struct err *err)
{
	if (q->header.version < 3)
		return err_set(err, ENOTSUP, "image '%s': version 2 has no bitmaps", q->path);
	if (!*name || strlen(name) > QCOW2_BITMAP_NAME_MAX)
		return err_set(err, EINVAL, "bitmap '%.64s': no possible name", name);
	if (!is_power_of_two(granularity) || granularity < GRANULARITY_MIN)
		return err_set(err, EINVAL, "bitmap '%.64s': granularity %u is no power of two",
			       name, granularity);
	if (qcow2_bitmap_find(q, name))
		return err_set(err, EEXIST, "image '%s' has a bitmap '%.64s' already", q->path,
			       name);
	if (q->bitmaps && q->bitmaps->list.count >= QCOW2_BITMAPS_MAX)
		return err_set(err, EMFILE, "image '%s' has too many bitmaps", q->path);
	return 0;
}

static int add_held(struct qcow2 *q, const char *name, uint32_t granularity, struct err *err)
{
	struct qcow2_bitmap *bitmap = calloc(1, sizeof(*bitmap));
	int rc = bitmap ? 0 : -ENOMEM;

	if (!rc && !q->bitmaps)
		q->bitmaps = calloc(1, sizeof(*q->bitmaps));
	if (!rc) {
		bitmap->flags = QCOW2_BITMAP_AUTO | QCOW2_BITMAP_IN_USE;
		bitmap->type = TYPE_DIRTY;
		bitmap->granularity_bits = (uint8_t)__builtin_ctz(granularity);
		bitmap->ours = bitmap->enabled = true;
		bitmap->name = strdup(name);
		bitmap->extra = malloc(1);
		rc = q->bitmaps && bitmap->name && bitmap->extra ? 0 : -ENOMEM;
	}
	if (!rc)
		rc = qcow2_bitmap_make_words(q, bitmap);
	if (!rc)
		rc = vec_push(&q->bitmaps->list, bitmap);
	if (rc) {
		qcow2_bitmap_free(bitmap);
		return err_errno(err, rc, "cannot add bitmap '%.64s'", name);
	}
	rc = qcow2_bitmaps_store_directory(q, err);
	if (rc) {
		q->bitmaps->list.count--;
		qcow2_bitmap_free(bitmap);
	}
	return rc;
}

static int bitmap_add(struct block_node *node, const char *name, uint32_t granularity_bytes,
		      struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = check_new(q, name, granularity_bytes, err);
	return rc ? rc : add_held(q, name, granularity_bytes, err);
}

static int bitmap_remove(struct block_node *node, const char *name, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *bitmap, **at;
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = find(q, name, &bitmap, err);
	if (rc)
		return rc;
	vec_for_each (at, &q->bitmaps->list) {
		if (*at == bitmap)
			break;
	}
	*at = q->bitmaps->list.items[--q->bitmaps->list.count];
	rc = qcow2_bitmaps_store_directory(q, err);
	if (!rc)
		qcow2_bitmap_free_later(q, bitmap);
	if (bitmap->words)
		q->bitmaps->memory -= (bitmap->bits / 64 + 1) * 8;
	qcow2_bitmap_free(bitmap);
	return rc;
}

/* One whose bits are about to change. */
static int find_to_change(struct qcow2 *q, const char *name, struct qcow2_bitmap **ret_bitmap,
			  struct err *err)
{
	int rc = find_loaded(q, name, ret_bitmap, err);

	if (rc)
		return rc;
	rc = qcow2_bitmap_mark_in_use(q, *ret_bitmap);
	return rc ? err_errno(err, rc, "cannot change bitmap '%.64s' of '%s'", name, q->path) : 0;
}

static int bitmap_clear(struct block_node *node, const char *name, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *bitmap;
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = find_to_change(q, name, &bitmap, err);
	if (!rc)
		memset((void *)bitmap->words, 0, (bitmap->bits / 64 + 1) * 8);
	return rc;
}

static int bitmap_enable(struct block_node *node, const char *name, bool enabled, struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *bitmap;
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = find_to_change(q, name, &bitmap, err);
	if (rc)
		return rc;
	/* Written with the bits. */
	bitmap->enabled = enabled;
	bitmap->flags &= ~(uint32_t)QCOW2_BITMAP_AUTO;
	bitmap->flags |= enabled ? QCOW2_BITMAP_AUTO : 0;
	return 0;
}

static int bitmap_set(struct block_node *node, const char *name, uint64_t offset, uint64_t bytes,
		      struct err *err)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *bitmap;
	int rc;

	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	LOCK_SCOPE(&q->flush_lock);
	rc = find_to_change(q, name, &bitmap, err);
	if (!rc)
		mark_one(bitmap, offset, bytes);
	return rc;
}

/* From bit `first` on, how many have its value, up to `end`. */
static uint64_t same_bits(const struct qcow2_bitmap *bitmap, uint64_t first, uint64_t end)
{
	bool value = bitmap->words[first / 64] >> (first % 64) & 1;
	uint64_t at = first;

	while (at < end) {
		uint64_t word = bitmap->words[at / 64];
		uint64_t differing = (value ? ~word : word) >> (at % 64);

		if (differing)
			return MIN(end, at + (uint64_t)__builtin_ctzll(differing)) - first;
		at += 64 - at % 64;
	}
	return end - first;
}

static int bitmap_status(struct block_node *node, const char *name, uint64_t offset, uint64_t bytes,
			 bool *ret_dirty, uint64_t *ret_bytes)
{
	struct qcow2 *q = qcow2_of(node);
	struct qcow2_bitmap *bitmap;
	uint64_t first, end, same;
	int rc;

	if (!bytes || offset >= q->header.size || bytes > q->header.size - offset)
		return -EINVAL;
	RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
	{
		LOCK_SCOPE(&q->flush_lock);
		rc = find_loaded(q, name, &bitmap, NULL);
	}
	if (rc)
		return rc;
	first = offset >> bitmap->granularity_bits;
	end = MIN(((offset + bytes - 1) >> bitmap->granularity_bits) + 1, bitmap->bits);
	same = same_bits(bitmap, first, end);
	*ret_dirty = bitmap->words[first / 64] >> (first % 64) & 1;
	*ret_bytes = MIN(((first + same) << bitmap->granularity_bits) - offset, bytes);
	return 0;
}

const struct block_bitmap_ops qcow2_bitmap_ops = {
	.list = bitmap_list,
	.add = bitmap_add,
	.remove = bitmap_remove,
	.clear = bitmap_clear,
	.enable = bitmap_enable,
	.set = bitmap_set,
	.status = bitmap_status,
};
