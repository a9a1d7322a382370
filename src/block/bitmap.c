/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/bitmap.h"

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "block/filter/bitmaps.h"
#include "block/node.h"

/* NULL: the node keeps none. */
static const struct block_bitmap_ops *ops_of(const struct block_node *node)
{
	if (bitmaps_is(node))
		return &bitmaps_ops;
	return node->format ? node->format->bitmaps : NULL;
}

/* The filters from the root on, and the disk behind them. NULL: that was it. */
static struct block_node *next_of(struct block_node *node)
{
	return block_is_filter(node) ? node->next : NULL;
}

/* ---- looking ---- */

/* Adds the node's bitmaps to the list. */
static int list_node(struct block_node *node, json_t *list, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node);
	json_t *rows = NULL, *row;
	size_t index;
	int rc = ops ? ops->list(node, &rows, err) : 0;

	json_array_foreach(rows, index, row)
	{
		json_object_set_new(row, "persistent", json_boolean(!bitmaps_is(node)));
	}
	json_array_extend(list, rows);
	json_decref(rows);
	return rc;
}

struct listing {
	struct block_node *root;
	json_t *list;
};

static int list_now(void *ctx, struct err *err)
{
	struct listing *listing = ctx;
	int rc = 0;

	for (struct block_node *node = listing->root; node && !rc; node = next_of(node))
		rc = list_node(node, listing->list, err);
	return rc;
}

int block_bitmap_list(struct block_node *root, json_t **ret_list, struct err *err)
{
	struct listing listing = { root, json_array() };
	int rc = listing.list ? block_change(root, list_now, &listing, err)
			      : err_errno(err, ENOMEM, "cannot list bitmaps");

	if (rc)
		json_decref(listing.list);
	else
		*ret_list = listing.list;
	return rc;
}

/* 0: the node does not keep it. */
static uint32_t granularity_in(const json_t *rows, const char *name)
{
	size_t index;
	json_t *row;

	json_array_foreach((json_t *)(uintptr_t)rows, index, row)
	{
		const char *found = json_string_value(json_object_get(row, "name"));

		if (found && !strcmp(found, name))
			return (uint32_t)json_integer_value(json_object_get(row, "granularity"));
	}
	return 0;
}

int block_bitmap_find(struct block_node *root, const char *name, struct block_bitmap *ret_bitmap,
		      struct err *err)
{
	for (struct block_node *node = root; node; node = next_of(node)) {
		const struct block_bitmap_ops *ops = ops_of(node);
		json_t *rows = NULL;
		uint32_t granularity;
		int rc = ops ? ops->list(node, &rows, err) : 0;

		if (rc)
			return rc;
		granularity = granularity_in(rows, name);
		json_decref(rows);
		if (!granularity)
			continue;
		*ret_bitmap = (struct block_bitmap){ ops, node, name, granularity };
		return 0;
	}
	return err_set(err, ENOENT, "the disk has no bitmap '%.64s'", name);
}

/* ---- changing ---- */

struct change {
	struct block_node *root;
	const char *name, *from;
	uint32_t granularity_bytes;
	bool enabled;
};

/* For changes: the bitmap, of an image that can be written. */
static int find_to_change(const struct change *change, struct block_bitmap *ret_bitmap,
			  struct err *err)
{
	int rc = block_bitmap_find(change->root, change->name, ret_bitmap, err);

	if (!rc && !block_can_write(ret_bitmap->node))
		rc = err_set(err, EROFS, "the image of bitmap '%.64s' is only read", change->name);
	return rc;
}

static int check_is_new(const struct change *change, struct err *err)
{
	struct block_bitmap other;
	int rc = block_bitmap_find(change->root, change->name, &other, NULL);

	if (!rc)
		return err_set(err, EEXIST, "the disk has a bitmap '%.64s' already", change->name);
	return rc == -ENOENT ? 0 : err_errno(err, rc, "cannot list bitmaps");
}

static int add_to_image(void *ctx, struct err *err)
{
	const struct change *change = ctx;
	struct block_node *disk = change->root;
	int rc = check_is_new(change, err);

	while (next_of(disk))
		disk = next_of(disk);
	if (rc)
		return rc;
	if (!ops_of(disk)) {
		err_set(err, ENOTSUP, "images of format '%s' keep no bitmaps",
			disk->format ? disk->format->name : disk->ops->name);
		return err_hint(err, "add one that is not persistent");
	}
	if (!block_can_write(disk))
		return err_set(err, EROFS, "the disk's image is only read");
	return ops_of(disk)->add(disk, change->name, change->granularity_bytes, err);
}

/* The filter with bitmaps of the disk, and the node before it. NULL: there is none. */
static struct block_node *find_filter(struct block_node *root, struct block_node **ret_before)
{
	struct block_node *before = root;

	while (block_is_filter(before) && !bitmaps_is(before->next))
		before = before->next;
	if (ret_before)
		*ret_before = before;
	return block_is_filter(before) ? before->next : NULL;
}

/* Without bitmaps the filter has nothing to do. */
static void remove_empty_filter(struct block_node *root)
{
	struct block_node *before, *filter = find_filter(root, &before), *next;

	if (!filter || !bitmaps_is_empty(filter))
		return;
	next = filter->next;
	block_node_replace(before, filter, next);
	block_node_replace(filter, next, NULL);
	block_close(filter);
}

static int add_in_memory(void *ctx, struct err *err)
{
	const struct change *change = ctx;
	struct block_node *root = change->root, *filter = find_filter(root, NULL);
	int rc = check_is_new(change, err);

	check(block_is_filter(root));
	if (!rc && !filter) {
		rc = bitmaps_open(root->next, root->loop, &filter, err);
		if (!rc)
			block_node_replace(root, root->next, filter);
	}
	if (!rc)
		rc = bitmaps_ops.add(filter, change->name, change->granularity_bytes, err);
	remove_empty_filter(root);
	return rc;
}

int block_bitmap_add(struct block_node *root, const char *name, uint32_t granularity_bytes,
		     bool persistent, struct err *err)
{
	struct change change = { .root = root,
				 .name = name,
				 .granularity_bytes = granularity_bytes };

	return block_change(root, persistent ? add_to_image : add_in_memory, &change, err);
}

static int remove_now(void *ctx, struct err *err)
{
	const struct change *change = ctx;
	struct block_bitmap bitmap;
	int rc = find_to_change(change, &bitmap, err);

	if (!rc)
		rc = bitmap.ops->remove(bitmap.node, change->name, err);
	if (!rc)
		remove_empty_filter(change->root);
	return rc;
}

int block_bitmap_remove(struct block_node *root, const char *name, struct err *err)
{
	struct change change = { .root = root, .name = name };

	return block_change(root, remove_now, &change, err);
}

static int clear_now(void *ctx, struct err *err)
{
	const struct change *change = ctx;
	struct block_bitmap bitmap;
	int rc = find_to_change(change, &bitmap, err);

	return rc ? rc : bitmap.ops->clear(bitmap.node, change->name, err);
}

int block_bitmap_clear(struct block_node *root, const char *name, struct err *err)
{
	struct change change = { .root = root, .name = name };

	return block_change(root, clear_now, &change, err);
}

static int enable_now(void *ctx, struct err *err)
{
	const struct change *change = ctx;
	struct block_bitmap bitmap;
	int rc = find_to_change(change, &bitmap, err);

	return rc ? rc : bitmap.ops->enable(bitmap.node, change->name, change->enabled, err);
}

int block_bitmap_enable(struct block_node *root, const char *name, bool enabled, struct err *err)
{
	struct change change = { .root = root, .name = name, .enabled = enabled };

	return block_change(root, enable_now, &change, err);
}

int block_bitmap_merge_now(const struct block_bitmap *into, const struct block_bitmap *from,
			   struct err *err)
{
	uint64_t size = block_size_bytes(from->node), offset = 0, bytes;
	int rc = 0;

	while (offset < size && !rc) {
		bool dirty = false;

		rc = from->ops->status(from->node, from->name, offset, size - offset, &dirty,
				       &bytes);
		if (rc)
			return err_errno(err, rc, "cannot read bitmap '%.64s'", from->name);
		if (dirty)
			rc = into->ops->set(into->node, into->name, offset, bytes, err);
		offset += bytes;
	}
	return rc;
}

static int merge_now(void *ctx, struct err *err)
{
	const struct change *change = ctx;
	struct block_bitmap into, from;
	int rc = find_to_change(change, &into, err);

	if (!rc)
		rc = block_bitmap_find(change->root, change->from, &from, err);
	return rc ? rc : block_bitmap_merge_now(&into, &from, err);
}

int block_bitmap_merge(struct block_node *root, const char *into, const char *from, struct err *err)
{
	struct change change = { .root = root, .name = into, .from = from };

	return block_change(root, merge_now, &change, err);
}
