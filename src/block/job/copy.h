/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies the content of one disk to another with several threads, zeroes as zeroes.
 *
 *	rc = block_copy_start(&copy, &options, err);
 *	while (!block_copy_wait(copy, 200 * NS_PER_MS))
 *		... block_copy_done_bytes(copy) ...
 *	rc = block_copy_end(copy, err);
 */
#pragma once

#include "block/block.h"

struct block_copy;

struct block_copy_options {
	struct block_node *from, *to; /* borrowed until the end; nobody writes to `from` */
	uint64_t start;   /* from here on in both; a multiple of the target's granules */
	uint64_t bytes;   /* and up to here */
	unsigned threads; /* 0: chosen by the number of processors */
	/* Runs of zeroes of so many bytes, aligned, are not written as data, if the target has no
	 * larger granules. 0: all that is not known to be zero is written. */
	uint32_t sparse_bytes;
	bool target_zero;     /* what is not written there reads as zeroes */
	unsigned write_flags; /* BLOCK_COMPRESS or 0 */
};

/* Errors: -ENOMEM, -EAGAIN. */
int block_copy_start(struct block_copy **ret_copy, const struct block_copy_options *options,
		     struct err *err);

/* What is copied of it, the part before `start` included. Any thread. */
uint64_t block_copy_done_bytes(struct block_copy *copy);

/* All of the disk up to here is copied; behind it there may be gaps. Any thread. */
uint64_t block_copy_complete_bytes(struct block_copy *copy);

/* Makes it end with -ECANCELED soon. Any thread, also a signal handler. */
void block_copy_cancel(struct block_copy *copy);

/* Waits up to that time; true if it has ended, in whatever way. */
bool block_copy_wait(struct block_copy *copy, uint64_t timeout_ns);

/* Waits, frees, and tells how it ended: 0, or the first error with words. Flushes nothing. Accepts
 * NULL. */
int block_copy_end(struct block_copy *copy, struct err *err);
