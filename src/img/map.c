/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `map`: the extents of a disk. */
#include <errno.h>

#include "img/command.h"

static json_t *extent_json(const struct block_extent *extent)
{
	json_t *json = json_pack(
		"{s:I, s:I, s:b, s:b, s:b, s:i}", "start", (json_int_t)extent->offset, "length",
		(json_int_t)extent->bytes, "zero", !!(extent->flags & BLOCK_EXTENT_ZERO), "here",
		!!(extent->flags & BLOCK_EXTENT_HERE), "compressed",
		!!(extent->flags & BLOCK_EXTENT_COMPRESSED), "depth", (int)extent->depth);

	if (extent->flags & BLOCK_EXTENT_AT)
		json_object_set_new(json, "offset", json_integer((json_int_t)extent->at));
	return json;
}

static void print_text(const json_t *result)
{
	size_t index;
	json_t *row;

	printf("%16s %16s %16s  %s\n", "start", "length", "offset", "content");
	json_array_foreach((json_t *)(uintptr_t)result, index, row)
	{
		const json_t *at = json_object_get(row, "offset");
		json_int_t depth = json_integer_value(json_object_get(row, "depth"));

		printf("%16lld %16lld ",
		       (long long)json_integer_value(json_object_get(row, "start")),
		       (long long)json_integer_value(json_object_get(row, "length")));
		if (at)
			printf("%16lld", (long long)json_integer_value(at));
		else
			printf("%16s", "-");
		printf("  %s%s", json_is_true(json_object_get(row, "zero")) ? "zero" : "data",
		       json_is_true(json_object_get(row, "compressed")) ? ", compressed" : "");
		if (depth)
			printf(", %lld images behind", (long long)depth);
		putchar('\n');
	}
}

static int list_extents(struct block_node *node, uint64_t start, uint64_t length, json_t *list,
			struct err *err)
{
	while (length) {
		struct block_extent extent;
		int rc = block_extent_joined(node, start, length, &extent);

		if (rc)
			return err_errno(err, rc, "cannot look up byte %llu",
					 (unsigned long long)start);
		if (json_array_append_new(list, extent_json(&extent)))
			return err_errno(err, ENOMEM, "cannot list the extents");
		start += extent.bytes;
		length -= extent.bytes;
	}
	return 0;
}

static int map(const struct img *img, struct block_node *node, json_t *list, struct err *err)
{
	uint64_t size = block_size_bytes(node);
	uint64_t start = 0, length = UINT64_MAX;
	uint64_t unit = block_unit_bytes(node);

	if (img_size(img, "start", &start, err) || img_size(img, "length", &length, err))
		return -EINVAL;
	if (start > size || start % unit || (length != UINT64_MAX && length % unit))
		return err_set(err, EINVAL,
			       "start and length must be inside the disk and multiples of %u",
			       (unsigned)unit);
	return list_extents(node, start, length < size - start ? length : size - start, list, err);
}

int img_map(struct img *img, struct err *err)
{
	json_t *list = json_array();
	struct block_node *node;
	int rc = img_open(img, img->operands[0], false, &node, err);

	if (!rc) {
		rc = img_all_open(img, err);
		if (!rc)
			rc = map(img, node, list, err);
		block_close(node);
	}
	if (rc) {
		json_decref(list);
		return IMG_FAILED;
	}
	img_print(img, list, print_text);
	return IMG_DONE;
}
