/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `rebase`: another backing file for an image, whose content stays. Where old and new backing
 * differ, the image takes the old content for itself first; then the name is changed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/zero.h"
#include "img/command.h"

#define PIECE_BYTES MIB

struct rebase {
	struct block_node *image; /* on its old backing file */
	struct block_node *next;  /* the new one; NULL: none */
	uint8_t *before, *after;  /* contents of a piece */
	uint64_t copied;
};

static int open_next(struct img *img, struct rebase *rebase, struct err *err)
{
	const char *name = img_value(img, "backing");
	struct block_open_options options = {
		.format = img_value(img, "backing-format"),
		.read_only = true,
		.locked = img_flag(img, "unsafe"),
		.folders = img->folders,
		.anywhere = img_flag(img, "allow-all"),
	};
	AUTO_FREE char *path = NULL;
	json_t *settings;
	int rc;

	if (!name || !*name)
		return 0;
	path = img_beside(img->operands[0], name);
	if (!path)
		return err_errno(err, ENOMEM, "cannot open '%s'", name);
	rc = img_settings(img, "backing-options", &settings, err);
	if (rc)
		return rc;
	options.path = path;
	options.settings = settings;
	rc = block_open(&options, NULL, &rebase->next, err);
	json_decref(settings);
	return rc;
}

/* What the new backing file has there; zeroes behind its end. */
static int extent_after(const struct rebase *rebase, uint64_t at, uint64_t bytes,
			struct block_extent *extent)
{
	uint64_t size = rebase->next ? block_size_bytes(rebase->next) : 0;

	if (at < size)
		return block_extent(rebase->next, at, MIN(bytes, size - at), extent);
	*extent = (struct block_extent){ .offset = at, .bytes = bytes, .flags = BLOCK_EXTENT_ZERO };
	return 0;
}

static int read_after(const struct rebase *rebase, uint64_t at, uint64_t bytes)
{
	uint64_t size = rebase->next ? block_size_bytes(rebase->next) : 0;
	uint64_t there = at < size ? MIN(bytes, size - at) : 0;

	memset(rebase->after + there, 0, bytes - there);
	return there ? block_read(rebase->next, at, rebase->after, there) : 0;
}

static int keep(struct rebase *rebase, uint64_t at, const uint8_t *content, uint64_t bytes)
{
	rebase->copied += bytes;
	if (is_zero(content, bytes))
		return block_write_zeroes(rebase->image, at, bytes, BLOCK_HIDE);
	return block_write(rebase->image, at, content, bytes);
}

/* Keeps the granules of a piece that the new backing file would change. */
static int keep_differing(struct rebase *rebase, uint64_t at, uint64_t bytes)
{
	uint64_t granularity = MIN(block_granularity_bytes(rebase->image), PIECE_BYTES);
	int rc = block_read(rebase->image, at, rebase->before, bytes);

	if (!rc)
		rc = read_after(rebase, at, bytes);
	for (uint64_t i = 0; i < bytes && !rc;) {
		uint64_t end = MIN(round_down(at + i, granularity) + granularity - at, bytes);

		if (memcmp(rebase->before + i, rebase->after + i, end - i))
			rc = keep(rebase, at + i, rebase->before + i, end - i);
		i = end;
	}
	return rc;
}

static int keep_content(struct rebase *rebase, struct err *err)
{
	uint64_t size = block_size_bytes(rebase->image), at = 0;
	int rc = 0;

	while (at < size && !rc) {
		struct block_extent before, after;

		rc = block_extent(rebase->image, at, size - at, &before);
		if (rc)
			break;
		if (before.flags & BLOCK_EXTENT_HERE) {
			at += before.bytes;
			continue;
		}
		rc = extent_after(rebase, at, before.bytes, &after);
		if (rc)
			break;
		before.bytes = after.bytes;
		if (!(before.flags & after.flags & BLOCK_EXTENT_ZERO)) {
			before.bytes = MIN(before.bytes, PIECE_BYTES);
			rc = keep_differing(rebase, at, before.bytes);
		}
		at += before.bytes;
	}
	if (!rc)
		rc = block_flush(rebase->image);
	return rc ? err_errno(err, rc, "cannot keep the content near byte %llu",
			      (unsigned long long)at)
		  : 0;
}

static int set_backing(struct img *img, struct rebase *rebase, struct err *err)
{
	const struct block_format *format = rebase->image->format;
	int rc = format->set_backing(rebase->image, rebase->next ? img_value(img, "backing") : NULL,
				     rebase->next, err);

	if (rc)
		return rc;
	rc = block_flush(rebase->image);
	return rc ? err_errno(err, rc, "cannot write image '%s'", img->operands[0]) : 0;
}

static void print_text(const json_t *result)
{
	char text[IMG_SIZE_TEXT];

	printf("rebased; %s of content kept\n",
	       img_size_text((uint64_t)json_integer_value(json_object_get(result, "kept")), text));
}

static int run(struct img *img, struct rebase *rebase, struct err *err)
{
	AUTO_FREE uint8_t *buffers = malloc(2 * PIECE_BYTES);
	int rc;

	if (!buffers)
		return err_errno(err, ENOMEM, "cannot rebase");
	rebase->before = buffers;
	rebase->after = buffers + PIECE_BYTES;
	rc = open_next(img, rebase, err);
	if (!rc)
		rc = img_all_open(img, err);
	if (!rc && !img_flag(img, "unsafe"))
		rc = keep_content(rebase, err);
	return rc ? rc : set_backing(img, rebase, err);
}

static int open_image(struct img *img, struct rebase *rebase, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.read_only = false;
	options.no_backing = options.locked = img_flag(img, "unsafe");
	rc = block_open(&options, NULL, &rebase->image, err);
	json_decref(settings);
	if (!rc && !rebase->image->format->set_backing)
		rc = err_set(err, ENOTSUP, "images of format '%s' have no backing file",
			     rebase->image->format->name);
	return rc;
}

int img_rebase(struct img *img, struct err *err)
{
	struct rebase rebase = { 0 };
	int rc = 0;

	if (!img_value(img, "backing"))
		rc = err_set(err, EINVAL, "'rebase' needs --backing; '' for none");
	if (!rc)
		rc = open_image(img, &rebase, err);
	if (!rc)
		rc = run(img, &rebase, err);
	block_close(rebase.image);
	block_close(rebase.next);
	if (rc)
		return IMG_FAILED;
	img_print(img, json_pack("{s:I}", "kept", (json_int_t)rebase.copied), print_text);
	return IMG_DONE;
}
