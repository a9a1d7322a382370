/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `resize`: a new size, absolute or by a difference. */
#include <errno.h>

#include "base/bits.h"
#include "base/str.h"
#include "img/command.h"

static void print_text(const json_t *result)
{
	char text[IMG_SIZE_TEXT];

	printf("size: %s\n",
	       img_size_text((uint64_t)json_integer_value(json_object_get(result, "size")), text));
}

static int new_size(const char *text, uint64_t old, uint64_t *ret_bytes, struct err *err)
{
	bool relative = *text == '+' || *text == '-';
	uint64_t bytes = 0;
	int rc = parse_size(text + relative, &bytes);

	if (!rc && *text == '-')
		rc = bytes > old ? -ERANGE : 0;
	if (!rc && *text == '+')
		rc = bytes > BLOCK_SIZE_MAX - old ? -ERANGE : 0;
	if (rc)
		return err_set(err, EINVAL, "'%.64s' is not a size for a disk of %llu bytes", text,
			       (unsigned long long)old);
	*ret_bytes = *text == '+' ? old + bytes : *text == '-' ? old - bytes : bytes;
	return 0;
}

static int resize(const struct img *img, struct block_node *node, struct err *err)
{
	uint64_t old = block_size_bytes(node), bytes = 0;
	int rc = new_size(img->operands[1], old, &bytes, err);

	if (!rc && bytes % BLOCK_SECTOR)
		rc = err_set(err, EINVAL, "size %llu is no multiple of %d",
			     (unsigned long long)bytes, BLOCK_SECTOR);
	if (!rc && bytes < old && !img_flag(img, "shrink")) {
		err_set(err, EINVAL, "cannot shrink: what lies behind byte %llu would be lost",
			(unsigned long long)bytes);
		err_hint(err, "say so with --shrink");
		return -EINVAL;
	}
	if (!rc)
		rc = block_resize(node, bytes, err);
	if (!rc) {
		rc = block_flush(node);
		if (rc)
			err_errno(err, rc, "cannot write image '%s'", img->operands[0]);
	}
	return rc;
}

int img_resize(struct img *img, struct err *err)
{
	struct block_node *node;
	json_t *result = NULL;
	int rc = img_open(img, img->operands[0], true, &node, err);

	if (rc)
		return IMG_FAILED;
	rc = img_all_open(img, err);
	if (!rc)
		rc = resize(img, node, err);
	if (!rc)
		result = json_pack("{s:I}", "size", (json_int_t)block_size_bytes(node));
	block_close(node);
	if (rc)
		return IMG_FAILED;
	img_print(img, result, print_text);
	return IMG_DONE;
}
