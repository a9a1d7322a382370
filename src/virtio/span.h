/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A run of bytes scattered over guest memory, used up from the front or the back.
 *
 * The array of pieces belongs to whoever made the span and is changed in place; the bytes belong to
 * the guest, which may change them at any time: read once, then check.
 */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

struct span {
	struct iovec *iov;
	unsigned count; /* pieces, none of them empty */
	uint64_t bytes; /* their sum */
};

/*
 * Copies up to `count` bytes from the front into `buffer`, takes them off, returns how many there
 * were.
 */
uint64_t span_read(struct span *span, void *buffer, uint64_t count);

/*
 * Copies up to `count` bytes from `buffer` to the front, takes that room off, returns how much
 * there was.
 */
uint64_t span_write(struct span *span, const void *buffer, uint64_t count);

/* Takes up to `count` bytes off the front; returns how many there were. */
uint64_t span_skip(struct span *span, uint64_t count);

/* Shortens to at most `count` bytes by taking off from the back. */
void span_truncate(struct span *span, uint64_t count);

/* Takes the last byte off and returns where it is; NULL if the span is empty. */
uint8_t *span_take_last(struct span *span);
