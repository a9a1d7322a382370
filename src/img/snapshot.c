/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `snapshot`: the snapshots inside an image. */
#include <errno.h>
#include <time.h>

#include "img/verbs.h"

/* NULL with words: the format has none. */
static const struct block_snapshot_ops *ops_of(struct block_node *node, struct err *err)
{
	if (!node->format->snapshots)
		err_set(err, ENOTSUP, "images of format '%s' have no snapshots inside",
			node->format->name);
	return node->format->snapshots;
}

static int list(const struct img *img, struct block_node *node, char **operands,
		json_t **ret_result, struct err *err)
{
	const struct block_snapshot_ops *ops = ops_of(node, err);

	return ops ? ops->list(node, ret_result, err) : -ENOTSUP;
}

static int create(const struct img *img, struct block_node *node, char **operands,
		  json_t **ret_result, struct err *err)
{
	const struct block_snapshot_ops *ops = ops_of(node, err);

	return ops ? ops->create(node, operands[0], err) : -ENOTSUP;
}

static int apply(const struct img *img, struct block_node *node, char **operands,
		 json_t **ret_result, struct err *err)
{
	const struct block_snapshot_ops *ops = ops_of(node, err);

	return ops ? ops->apply(node, operands[0], err) : -ENOTSUP;
}

static int delete (const struct img *img, struct block_node *node, char **operands,
		   json_t **ret_result, struct err *err)
{
	const struct block_snapshot_ops *ops = ops_of(node, err);

	return ops ? ops->remove(node, operands[0], err) : -ENOTSUP;
}

static const struct img_verb verbs[] = {
	{ "list", "", 0, false, list },
	{ "create", " NAME", 1, true, create },
	{ "apply", " NAME", 1, true, apply },
	{ "delete", " NAME", 1, true, delete },
	{ 0 },
};

static void print_text(const json_t *result)
{
	size_t index;
	json_t *row;

	if (json_array_size(result))
		printf("%-6s %-24s %-20s  %10s\n", "ID", "NAME", "CREATED", "SIZE");
	json_array_foreach((json_t *)(uintptr_t)result, index, row)
	{
		time_t date = (time_t)json_integer_value(json_object_get(row, "date"));
		char date_text[32] = "-", size[IMG_SIZE_TEXT];
		struct tm broken;

		if (gmtime_r(&date, &broken))
			strftime(date_text, sizeof(date_text), "%Y-%m-%d %H:%M:%SZ", &broken);
		printf("%-6s %-24s %s  %10s\n", json_string_value(json_object_get(row, "id")),
		       json_string_value(json_object_get(row, "name")), date_text,
		       img_size_text((uint64_t)json_integer_value(json_object_get(row, "size")),
				     size));
	}
}

int img_snapshot(struct img *img, struct err *err)
{
	return img_run_verb(img, verbs, print_text, err);
}
