/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that a loader puts into guest memory: a kernel, an initrd, a module.
 *
 * The bytes stay in the file and are read straight into guest memory, at each load anew, so that a
 * machine keeps no copy of its initrd. They are foreign input, and may even change between two
 * reads: copy first, then check.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "vm/memory.h"

struct image {
	char *name;           /* the path, for messages and for guests that are told it */
	char *args;           /* a module's own command line; NULL: none */
	int fd;               /* -1: the bytes are in memory */
	const uint8_t *bytes; /* borrowed */
	uint64_t size;
};

/* Opens the regular file `path`; what open(2) says, -EISDIR, -EINVAL for other kinds, -ENODATA if
 * it is empty. */
int image_open(struct image *ret_image, const char *path, struct err *err);

/* An image of `size` bytes in memory, borrowed until image_close(). 0 or -ENOMEM. */
int image_from_bytes(struct image *ret_image, const char *name, const void *bytes, uint64_t size);

/* Accepts an image of all zeros, and one that was closed. */
void image_close(struct image *image);

/* Copies `count` bytes at `offset`. -ENODATA if the image ends before, and read's errors; `err`
 * names the image. */
int image_read(const struct image *image, uint64_t offset, void *buffer, uint64_t count,
	       struct err *err);

/* The same into guest memory. -EFAULT if that is not all RAM of one region. */
int image_to_guest(const struct image *image, uint64_t offset, struct memory *memory,
		   struct gpa gpa, uint64_t count, struct err *err);
