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

/* The disk, or none and its size. */
static int find_disk(struct img *img, uint64_t *ret_size, struct block_node **ret_node,
		     struct err *err)
{
	int rc;

	*ret_size = UINT64_MAX;
	rc = img_size(img, "size", ret_size, err);
	if (rc)
		return rc;
	if ((*ret_size == UINT64_MAX) == !img->operand_count)
		return err_set(err, EINVAL, "'measure' takes either FILE or --size");
	if (!img->operand_count)
		return 0;
	rc = img_open(img, img->operands[0], false, ret_node, err);
	if (rc)
		return rc;
	*ret_size = block_size_bytes(*ret_node);
	return img_all_open(img, err);
}

static int measure(const struct img *img, const struct block_format *format, uint64_t size,
		   struct block_node *from, json_t **ret_result, struct err *err)
{
	struct block_format_create create = { .bytes = size };
	json_t *given = NULL, *settings = NULL;
	uint64_t required, full;
	int rc = img_settings(img, "options", &given, err);

	if (!rc)
		rc = block_settings_complete(format->create_options, given, &settings, err);
	create.settings = settings;
	if (!rc)
		rc = format->measure(&create, from, &required, &full, err);
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
	struct block_node *from = NULL;
	json_t *result = NULL;
	uint64_t size;
	int rc;

	if (block_format_choose(name ? name : "raw", &format, err))
		return IMG_FAILED;
	if (!format->measure) {
		err_set(err, ENOTSUP, "cannot measure images of format '%s'", format->name);
		return IMG_FAILED;
	}
	rc = find_disk(img, &size, &from, err);
	if (!rc)
		rc = measure(img, format, size, from, &result, err);
	block_close(from);
	if (rc)
		return IMG_FAILED;
	img_print(img, result, print_text);
	return IMG_DONE;
}
