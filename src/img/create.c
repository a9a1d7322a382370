/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `create`: an empty image. */
#include <errno.h>

#include "base/str.h"
#include "img/command.h"

static void print_text(const json_t *result)
{
	char text[IMG_SIZE_TEXT];

	printf("created '%s': %s, %s\n", json_string_value(json_object_get(result, "path")),
	       json_string_value(json_object_get(result, "format")),
	       img_size_text((uint64_t)json_integer_value(json_object_get(result, "size")), text));
}

/* What was made, from the image itself. */
static int tell(const struct img *img, const char *path, const char *format, struct err *err)
{
	struct block_open_options options = {
		.path = path,
		.format = format,
		.probe = BLOCK_PROBE_CONTENT,
		.read_only = true,
		.no_backing = true,
		.locked = true,
	};
	struct block_node *node;
	json_t *result;

	if (block_open(&options, NULL, &node, err))
		return IMG_FAILED;
	result = json_pack("{s:s, s:s, s:I}", "path", path, "format", node->format->name, "size",
			   (json_int_t)block_size_bytes(node));
	block_close(node);
	img_print(img, result, print_text);
	return IMG_DONE;
}

int img_create(struct img *img, struct err *err)
{
	json_t *settings = NULL;
	struct block_create_options options = {
		.path = img->operands[0],
		.format = img_value(img, "format"),
		.bytes = UINT64_MAX,
		.backing = img_value(img, "backing"),
		.backing_format = img_value(img, "backing-format"),
		.overwrite = img_flag(img, "overwrite"),
		.folders = img->folders,
		.anywhere = img_flag(img, "allow-all"),
	};
	int rc;

	if (img->operand_count > 1 && parse_size(img->operands[1], &options.bytes)) {
		err_set(err, EINVAL, "'%.64s' is not a size", img->operands[1]);
		err_hint(err, IMG_SIZE_HINT);
		return IMG_FAILED;
	}
	rc = img_settings(img, "options", &settings, err);
	if (rc)
		return IMG_FAILED;
	options.settings = settings;
	rc = block_create(&options, err);
	json_decref(settings);
	return rc ? IMG_FAILED : tell(img, options.path, options.format, err);
}
