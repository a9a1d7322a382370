/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile image of one format: it is refused with words, or read, written, put on another image,
 * emptied and checked without harm. The input is the head of the file; zeroes follow.
 */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/format.h"
#include "host/fd.h"

#define FUZZ_PIECE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Some places of the disk, the end among them. */
static inline void fuzz_use(struct block_node *node)
{
	uint64_t size = block_size_bytes(node);
	static uint8_t buffer[FUZZ_PIECE];

	for (unsigned i = 0; i <= 8 && size >= sizeof(buffer); i++) {
		uint64_t offset = (size - sizeof(buffer)) / 8 * i / BLOCK_SECTOR * BLOCK_SECTOR;
		struct block_extent extent;

		block_read(node, offset, buffer, sizeof(buffer));
		if (!block_extent(node, offset, size - offset, &extent))
			check(extent.bytes && extent.bytes <= size - offset);
		if (!block_can_write(node))
			continue;
		buffer[0]++;
		block_write(node, offset, buffer, i % 2 ? sizeof(buffer) : BLOCK_SECTOR);
		block_write_zeroes(node, offset, sizeof(buffer), BLOCK_MAY_UNMAP);
		block_discard(node, offset, sizeof(buffer));
	}
	if (block_can_write(node))
		block_flush(node);
	json_decref(block_describe(node));
}

/* It gets another parent, loses that, and all that it holds. */
static inline void fuzz_relink(struct block_node *node)
{
	const struct block_format *format = node->format;
	struct err err = ERR_INIT;

	if (!format->set_backing || !format->empty)
		return;
	/* Of the parent only what identifies it is asked. */
	(format->set_backing)(node, "folder/parent", node, &err);
	fuzz_use(node);
	(format->set_backing)(node, NULL, NULL, &err);
	fuzz_use(node);
	(format->empty)(node, &err);
	fuzz_use(node);
}

static inline void fuzz_open(const char *path, const char *format, struct block_open_options how,
			     enum block_repair repair)
{
	struct block_check checking = { .repair = repair };
	struct err err = ERR_INIT;
	struct block_node *node;

	how.path = path;
	how.format = format;
	how.cache = BLOCK_CACHE_UNSAFE;
	how.no_lock = true;
	how.locked = true;
	if (block_open(&how, NULL, &node, &err)) {
		check(err.code < 0 && err.text[0]);
		return;
	}
	if (how.check)
		(node->format->check)(node, &checking, &err);
	else
		fuzz_use(node);
	if (how.no_backing)
		fuzz_relink(node);
	block_close(node);
}

static inline void fuzz_told(void *ctx, const char *name)
{
	*(size_t *)ctx += strlen(name);
}

/* Names come from the data, each byte once. */
static inline void fuzz_files(const char *name, const uint8_t *data, size_t size)
{
	const struct block_format *format = block_format_find(name);
	size_t told = 0, bytes = MIN(size, (size_t)BLOCK_START_MAX);
	char *start = malloc(bytes + 1);

	check(start);
	memcpy(start, data, bytes);
	start[bytes] = '\0';
	if (format->tell_files)
		format->tell_files((const uint8_t *)start, bytes, fuzz_told, &told);
	check(told <= bytes);
	free(start);
}

/* `bytes`: of the file, with the zeroes. */
static inline int fuzz_image(const char *format, const uint8_t *data, size_t size, uint64_t bytes)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	char path[32];

	check(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(!fd_write_all(fd, data, size) && !ftruncate(fd, (off_t)MAX(bytes, (uint64_t)size)));
	fuzz_open(path, format, (struct block_open_options){ .read_only = true },
		  BLOCK_REPAIR_NOTHING);
	fuzz_open(path, format, (struct block_open_options){ .read_only = true, .check = true },
		  BLOCK_REPAIR_NOTHING);
	fuzz_open(path, format, (struct block_open_options){ 0 }, BLOCK_REPAIR_NOTHING);
	fuzz_open(path, format, (struct block_open_options){ .no_backing = true },
		  BLOCK_REPAIR_NOTHING);
	fuzz_open(path, format, (struct block_open_options){ .check = true }, BLOCK_REPAIR_ALL);
	fuzz_files(format, data, size);
	close(fd);
	return 0;
}
