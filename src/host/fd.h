/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whole reads and writes on descriptors, and their flags. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Reads exactly `count` bytes; 0, -ENODATA when the file ends before, or a negative errno. */
int fd_read_all(int fd, void *buffer, size_t count);
int fd_pread_all(int fd, void *buffer, size_t count, uint64_t offset);

/* Writes all `count` bytes; 0 or a negative errno. */
int fd_write_all(int fd, const void *buffer, size_t count);

/* Sets or clears O_NONBLOCK; 0 or a negative errno. */
int fd_set_nonblocking(int fd, bool nonblocking);

/*
 * The whole file `path` in memory, at most `max_bytes` of it. Caller frees `*ret_bytes`, which has
 * a NUL behind its
 * `*ret_count` bytes. Errors: -EFBIG over the limit, and open's and read's.
 */
int fd_read_file(const char *path, size_t max_bytes, void **ret_bytes, size_t *ret_count,
		 struct err *err);
