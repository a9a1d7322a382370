/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `measure`: the file space that an image would take. */
#include <errno.h>

#include "base/macros.h"
#include "img/command.h"

static void print_text(const json_t *result)
{
	char text[IMG_SIZE_TEXT];

	for (const char *const *name = (const char *const[]){ "required", "full", NULL }; *name;
	     name++) {
		uint64_t bytes = (uint64_t)json_integer_value(json_object_get(result, *name));

		printf("%s: %s (%llu bytes)\n", *name, img_size_text(bytes, text),
		       (unsigned long long)bytes);
	}
}

/* Bytes of the disk that are not known to be zero. */
static int count_data(struct block_node *node, uint64_t *ret_bytes, struct err *err)
{
	uint64_t size = block_size_bytes(node), at = 0, bytes = 0;

	while (at < size) {
		struct block_extent extent;
		int rc = block_extent(node, at, size - at, &extent);

		if (rc)
			return err_errno(err, rc, "cannot look up byte %llu",
					 (unsigned long long)at);
		if (!(extent.flags & BLOCK_EXTENT_ZERO))
			bytes += extent.bytes;
		at += extent.bytes;
	}
	*ret_bytes = bytes;
	return 0;
}

static int find_sizes(struct img *img, uint64_t *ret_size, uint64_t *ret_data, struct err *err)
{
	struct block_node *node;
	int rc;

	*ret_data = 0;
	*ret_size = UINT64_MAX;
	rc = img_size(img, "size", ret_size, err);
	if (rc)
		return rc;
	if ((*ret_size == UINT64_MAX) == !img->operand_count)
		return err_set(err, EINVAL, "'measure' takes either FILE or --size");
	if (!img->operand_count)
		return 0;
	rc = img_open(img, img->operands[0], false, &node, err);
	if (rc)
		return rc;
	rc = img_all_open(img, err);
	if (!rc)
		rc = count_data(node, ret_data, err);
	*ret_size = block_size_bytes(node);
	block_close(node);
	return rc;
}

static int measure(const struct img *img, const struct block_format *format, uint64_t size,
		   uint64_t data, json_t **ret_result, struct err *err)
{
	struct block_format_create create = { .bytes = size };
	json_t *given = NULL, *settings = NULL;
	uint64_t required, full;
	int rc = img_settings(img, "options", &given, err);

	if (!rc)
		rc = block_settings_complete(format->create_options, given, &settings, err);
	create.settings = settings;
	if (!rc)
		rc = format->measure(&create, data, &required, &full, err);
	if (!rc)
		*ret_result = json_pack("{s:I, s:I}", "required", (json_int_t)required, "full",
					(json_int_t)full);
	json_decref(given);
	json_decref(settings);
	return rc;
}

int img_measure(struct img *img, struct err *err)
{
	const char *name = img_value(img, "output-format");
	const struct block_format *format;
	uint64_t size, data;
	json_t *result = NULL;

	if (block_format_choose(name ? name : "raw", &format, err))
		return IMG_FAILED;
	if (!format->measure) {
		err_set(err, ENOTSUP, "cannot measure images of format '%s'", format->name);
		return IMG_FAILED;
	}
	if (find_sizes(img, &size, &data, err) || measure(img, format, size, data, &result, err))
		return IMG_FAILED;
	img_print(img, result, print_text);
	return IMG_DONE;
}
