/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `commit`: what an image holds goes into its backing file, and the image becomes empty. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "img/command.h"

#define PIECE_BYTES (2 * MIB)

struct commit {
	struct block_node *image; /* without its backing file */
	struct block_node *backing;
	uint64_t copied;
};

/* The header names the file that will be written, so a name that was only guessed to be one does
 * not count. */
static int open_image(struct img *img, struct commit *commit, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.probe = BLOCK_PROBE_STRICT;
	options.read_only = false;
	options.no_backing = true;
	rc = block_open(&options, NULL, &commit->image, err);
	json_decref(settings);
	return rc;
}

static int open_backing(struct img *img, struct commit *commit, struct err *err)
{
	json_t *facts = block_describe(commit->image);
	const char *name = json_string_value(json_object_get(facts, "backing-file"));
	struct block_open_options options = {
		.path = img->operands[0],
		.format = json_string_value(json_object_get(facts, "backing-format")),
		.folders = img->folders,
		.anywhere = img_flag(img, "allow-all"),
	};
	AUTO_FREE char *path = NULL;
	int rc;

	if (!name)
		rc = err_set(err, EINVAL, "image '%s' has no backing file", img->operands[0]);
	else
		rc = block_resolve(&options, name, &path, err);
	options.path = path;
	if (!rc)
		rc = block_open(&options, NULL, &commit->backing, err);
	json_decref(facts);
	return rc;
}

static int copy_data(struct commit *commit, uint64_t at, uint64_t bytes, uint8_t *buffer)
{
	int rc = 0;

	while (bytes && !rc) {
		uint64_t piece = MIN(bytes, PIECE_BYTES);

		rc = block_read(commit->image, at, buffer, piece);
		if (!rc)
			rc = block_write(commit->backing, at, buffer, piece);
		at += piece;
		bytes -= piece;
	}
	return rc;
}

static int copy_content(struct commit *commit, struct err *err)
{
	AUTO_FREE uint8_t *buffer = malloc(PIECE_BYTES);
	uint64_t size = block_size_bytes(commit->image), at = 0;
	int rc = buffer ? 0 : -ENOMEM;

	while (at < size && !rc) {
		struct block_extent extent;

		rc = block_extent(commit->image, at, size - at, &extent);
		if (rc)
			break;
		if (!extent.depth && extent.flags & BLOCK_EXTENT_ZERO)
			rc = block_write_zeroes(commit->backing, at, extent.bytes, BLOCK_MAY_UNMAP);
		else if (!extent.depth)
			rc = copy_data(commit, at, extent.bytes, buffer);
		commit->copied += extent.depth ? 0 : extent.bytes;
		at += extent.bytes;
	}
	if (!rc)
		rc = block_flush(commit->backing);
	return rc ? err_errno(err, rc, "cannot write the backing file near byte %llu",
			      (unsigned long long)at)
		  : 0;
}

static int empty_image(struct img *img, struct commit *commit, struct err *err)
{
	const struct block_format *format = commit->image->format;
	int rc = 0;

	if (img_flag(img, "keep") || !format->empty)
		return 0;
	rc = format->empty(commit->image, err);
	if (rc)
		return rc;
	rc = block_flush(commit->image);
	return rc ? err_errno(err, rc, "cannot write image '%s'", img->operands[0]) : 0;
}

static int run(struct img *img, struct commit *commit, struct err *err)
{
	uint64_t size = block_size_bytes(commit->image);
	int rc = 0;

	if (block_size_bytes(commit->backing) < size)
		rc = block_resize(commit->backing, size, err);
	if (!rc)
		rc = copy_content(commit, err);
	return rc ? rc : empty_image(img, commit, err);
}

static void print_text(const json_t *result)
{
	char text[IMG_SIZE_TEXT];

	printf("committed %s\n",
	       img_size_text((uint64_t)json_integer_value(json_object_get(result, "committed")),
			     text));
}

int img_commit(struct img *img, struct err *err)
{
	struct commit commit = { 0 };
	int rc = open_image(img, &commit, err);

	if (!rc)
		rc = open_backing(img, &commit, err);
	if (!rc)
		rc = img_all_open(img, err);
	if (!rc)
		rc = run(img, &commit, err);
	block_close(commit.image);
	block_close(commit.backing);
	if (rc)
		return IMG_FAILED;
	img_print(img, json_pack("{s:I}", "committed", (json_int_t)commit.copied), print_text);
	return IMG_DONE;
}
