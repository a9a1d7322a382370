/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streams (streamOptimized images) that are being written: in order, in whole grains. */
#pragma once

#include "block/format/vmdk_priv.h"

/* Writes an empty stream for a disk of that many sectors, all but the descriptor. */
int vmdk_stream_create(struct block_node *file, uint64_t sectors);

/* Makes the opened extent one that is written; only an empty one. The extent owns the stream. */
int vmdk_stream_open(struct vmdk_extent *extent, struct err *err);
/* Finishes the image, best effort. Accepts NULL. */
void vmdk_stream_close(struct vmdk_stream *stream);

/* -ENOTSUP: not whole grains, or not behind all that was written. Any thread. */
int vmdk_stream_write(struct vmdk_stream *stream, uint64_t offset, uint64_t bytes,
		      struct block_buffer from);
/* 0: it is zero from there on anyway; else -ENOTSUP. */
int vmdk_stream_write_zeroes(struct vmdk_stream *stream, uint64_t offset);
/* Finishes the image as far as it has come; flushes nothing. */
int vmdk_stream_flush(struct vmdk_stream *stream);

/* The grain's entry, if its table is the one in hand. */
bool vmdk_stream_entry(struct vmdk_stream *stream, uint64_t grain, uint32_t *ret_value);
