/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `bitmap`: the dirty bitmaps that an image keeps. */
#include <errno.h>

#include "base/macros.h"
#include "block/bitmap.h"
#include "img/verbs.h"

#define GRANULARITY_BYTES (64 * KIB)

static const struct block_bitmap_ops *ops_of(struct block_node *node, struct err *err)
{
	if (!node->format->bitmaps)
		err_set(err, ENOTSUP, "images of format '%s' keep no bitmaps", node->format->name);
	return node->format->bitmaps;
}

static int list(const struct img *img, struct block_node *node, char **operands,
		json_t **ret_result, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);

	return ops ? ops->list(node, ret_result, err) : -ENOTSUP;
}

static int add(const struct img *img, struct block_node *node, char **operands, json_t **ret_result,
	       struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);
	uint64_t granularity = GRANULARITY_BYTES;

	if (!ops)
		return -ENOTSUP;
	if (img_size(img, "granularity", &granularity, err))
		return -EINVAL;
	if (granularity < BLOCK_SECTOR || granularity > GIB || granularity & (granularity - 1))
		return err_set(err, EINVAL,
			       "argument of '--granularity' is a power of two from 512 to 1G");
	return ops->add(node, operands[0], (uint32_t)granularity, err);
}

static int delete (const struct img *img, struct block_node *node, char **operands,
		   json_t **ret_result, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);

	return ops ? ops->remove(node, operands[0], err) : -ENOTSUP;
}

static int clear(const struct img *img, struct block_node *node, char **operands,
		 json_t **ret_result, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);

	return ops ? ops->clear(node, operands[0], err) : -ENOTSUP;
}

static int enable(const struct img *img, struct block_node *node, char **operands,
		  json_t **ret_result, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);

	return ops ? ops->enable(node, operands[0], true, err) : -ENOTSUP;
}

static int disable(const struct img *img, struct block_node *node, char **operands,
		   json_t **ret_result, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);

	return ops ? ops->enable(node, operands[0], false, err) : -ENOTSUP;
}

static int merge(const struct img *img, struct block_node *node, char **operands,
		 json_t **ret_result, struct err *err)
{
	const struct block_bitmap_ops *ops = ops_of(node, err);

	struct block_bitmap into, from;
	int rc = ops ? block_bitmap_find(node, operands[0], &into, err) : -ENOTSUP;

	if (!rc)
		rc = block_bitmap_find(node, operands[1], &from, err);
	return rc ? rc : block_bitmap_merge_now(&into, &from, err);
}

static const struct img_verb verbs[] = {
	{ "list", "", 0, false, list },
	{ "add", " NAME", 1, true, add },
	{ "delete", " NAME", 1, true, delete },
	{ "clear", " NAME", 1, true, clear },
	{ "enable", " NAME", 1, true, enable },
	{ "disable", " NAME", 1, true, disable },
	{ "merge", " INTO FROM", 2, true, merge },
	{ 0 },
};

/* A bitmap that was not closed cleanly is not to be believed. */
static const char *state_of(const json_t *row)
{
	if (json_is_true(json_object_get(row, "busy")))
		return "inconsistent";
	return json_is_true(json_object_get(row, "enabled")) ? "recording" : "disabled";
}

static void print_text(const json_t *result)
{
	size_t index;
	json_t *row;

	if (json_array_size(result))
		printf("%-24s %10s %11s  %s\n", "NAME", "DIRTY", "GRANULARITY", "STATE");
	json_array_foreach((json_t *)(uintptr_t)result, index, row)
	{
		char dirty[IMG_SIZE_TEXT], granularity[IMG_SIZE_TEXT];

		printf("%-24s %10s %11s  %s\n", json_string_value(json_object_get(row, "name")),
		       img_size_text((uint64_t)json_integer_value(json_object_get(row, "dirty")),
				     dirty),
		       img_size_text(
			       (uint64_t)json_integer_value(json_object_get(row, "granularity")),
			       granularity),
		       state_of(row));
	}
}

int img_bitmap(struct img *img, struct err *err)
{
	return img_run_verb(img, verbs, print_text, err);
}
