/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scattered buffers: sums, slices and copies of iovec arrays.
 *
 * Offsets and counts beyond the end are cut, never followed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* The bytes that all `count` buffers hold; SIZE_MAX if the sum does not fit. */
size_t iov_bytes(const struct iovec *iov, unsigned count);

/*
 * Describes the `bytes` bytes behind the first `skip` of `iov` in `slice`, which has room for
 * `count` entries. Returns the number of entries used.
 */
unsigned iov_slice(struct iovec *slice, const struct iovec *iov, unsigned count, size_t skip,
		   size_t bytes);

/* Copies up to `bytes` between the buffers, behind their first `skip` bytes, and `buffer`; returns
 * how many. */
size_t iov_gather(void *buffer, const struct iovec *iov, unsigned count, size_t skip, size_t bytes);
size_t iov_scatter(const struct iovec *iov, unsigned count, size_t skip, const void *buffer,
		   size_t bytes);

/* Sets up to `bytes` bytes behind the first `skip` to `byte`; returns how many. */
size_t iov_fill(const struct iovec *iov, unsigned count, size_t skip, uint8_t byte, size_t bytes);
