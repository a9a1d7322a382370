/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `compare`: whether a machine could tell two disks apart; where one ends, the other must be zero. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/zero.h"
#include "img/command.h"

#define PIECE_BYTES MIB

struct pair {
	struct block_node *nodes[2];
	uint8_t *buffers[2];
	uint64_t size; /* of the larger disk */
};

/* What is known of one of the disks at that byte: behind its end it is zero. */
static int look_up(struct block_node *node, uint64_t at, uint64_t bytes, bool *ret_zero,
		   uint64_t *ret_bytes)
{
	uint64_t size = block_size_bytes(node);
	struct block_extent extent = { .bytes = bytes, .flags = BLOCK_EXTENT_ZERO };
	int rc = 0;

	if (at < size)
		rc = block_extent(node, at, MIN(bytes, size - at), &extent);
	*ret_zero = extent.flags & BLOCK_EXTENT_ZERO;
	*ret_bytes = extent.bytes;
	return rc;
}

/* Compares up to `*bytes`; how far is said there. */
static int compare_piece(struct pair *pair, uint64_t at, uint64_t *bytes, bool *ret_same)
{
	bool zero[2];
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++)
		rc = look_up(pair->nodes[i], at, *bytes, &zero[i], bytes);
	*ret_same = true;
	if (rc || (zero[0] && zero[1]))
		return rc;
	*bytes = MIN(*bytes, PIECE_BYTES);
	for (unsigned i = 0; i < 2 && !rc; i++) {
		if (!zero[i])
			rc = block_read(pair->nodes[i], at, pair->buffers[i], *bytes);
	}
	if (rc)
		return rc;
	if (zero[0] || zero[1])
		*ret_same = is_zero(pair->buffers[zero[0]], *bytes);
	else
		*ret_same = !memcmp(pair->buffers[0], pair->buffers[1], *bytes);
	return 0;
}

/* The first byte that differs, of a piece that is known to hold one. */
static int find_byte(struct pair *pair, uint64_t at, uint64_t bytes, uint64_t *ret_byte)
{
	int rc = 0;

	for (unsigned i = 0; i < 2 && !rc; i++) {
		uint64_t size = block_size_bytes(pair->nodes[i]);

		memset(pair->buffers[i], 0, bytes);
		if (at < size)
			rc = block_read(pair->nodes[i], at, pair->buffers[i],
					MIN(bytes, size - at));
	}
	for (uint64_t i = 0; i < bytes && !rc; i++) {
		if (pair->buffers[0][i] != pair->buffers[1][i]) {
			*ret_byte = at + i;
			break;
		}
	}
	return rc;
}

static int compare(struct pair *pair, bool *ret_same, uint64_t *ret_byte, struct err *err)
{
	uint64_t at = 0;
	int rc = 0;

	*ret_same = true;
	while (at < pair->size && !rc && *ret_same) {
		uint64_t bytes = pair->size - at;

		rc = compare_piece(pair, at, &bytes, ret_same);
		if (!rc && !*ret_same)
			rc = find_byte(pair, at, bytes, ret_byte);
		at += bytes;
	}
	return rc ? err_errno(err, rc, "cannot read near byte %llu", (unsigned long long)at) : 0;
}

static void print_text(const json_t *result)
{
	const json_t *byte = json_object_get(result, "first-difference");

	if (byte)
		printf("different at byte %lld\n", (long long)json_integer_value(byte));
	else
		puts("same content");
	if (json_is_true(json_object_get(result, "sizes-differ")))
		puts("the sizes differ");
}

static int open_second(struct img *img, struct block_node **ret_node, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc = img_open_options(img, img->operands[1], &options, &settings, err);

	if (rc)
		return rc;
	json_decref(settings);
	rc = img_settings(img, "other-options", &settings, err);
	if (rc)
		return rc;
	options.format = img_value(img, "other-format");
	options.settings = settings;
	rc = img_open_as(img, &options, ret_node, err);
	json_decref(settings);
	return rc;
}

static int compare_pair(struct img *img, struct pair *pair, struct err *err)
{
	uint64_t sizes[2] = { block_size_bytes(pair->nodes[0]), block_size_bytes(pair->nodes[1]) };
	AUTO_FREE uint8_t *buffer = malloc(2 * PIECE_BYTES);
	uint64_t byte = 0;
	json_t *result;
	bool same;

	if (!buffer) {
		err_errno(err, ENOMEM, "cannot compare");
		return IMG_FAILED;
	}
	pair->buffers[0] = buffer;
	pair->buffers[1] = buffer + PIECE_BYTES;
	pair->size = MAX(sizes[0], sizes[1]);
	if (compare(pair, &same, &byte, err))
		return IMG_FAILED;
	result = json_pack("{s:b, s:b}", "same", same, "sizes-differ", sizes[0] != sizes[1]);
	if (!same)
		json_object_set_new(result, "first-difference", json_integer((json_int_t)byte));
	img_print(img, result, print_text);
	return same ? IMG_DONE : IMG_DIFFERENT;
}

int img_compare(struct img *img, struct err *err)
{
	struct pair pair = { 0 };
	int status = IMG_FAILED;

	if (!img_open(img, img->operands[0], false, &pair.nodes[0], err) &&
	    !open_second(img, &pair.nodes[1], err) && !img_all_open(img, err))
		status = compare_pair(img, &pair, err);
	block_close(pair.nodes[0]);
	block_close(pair.nodes[1]);
	return status;
}
