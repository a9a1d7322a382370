/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node of the block graph: a file, a format or a filter that answers requests or passes them to
 * `next`.
 *
 * All of a node's requests complete on the loop it was opened with. Capabilities are methods,
 * queried, never flags tested elsewhere; a node that adds nothing for a call leaves the slot NULL
 * and the wrapper asks `next`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <jansson.h>

#include "base/err.h"
#include "host/loop.h"

struct block_node;
struct block_request;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

enum {
	BLOCK_FUA = 1u << 0,       /* write: durable when it completes */
	BLOCK_MAY_UNMAP = 1u << 1, /* write zeroes: may free the space */
};

/*
 * Caller's memory, untouched by the caller until `done`. `offset` and `bytes` are multiples of the
 * node's block size. `iov` (READ, WRITE) covers exactly `bytes`; the array and what it points to
 * are borrowed until `done`.
 */
struct block_request {
	enum block_op op;
	unsigned flags;
	uint64_t offset, bytes;
	const struct iovec *iov;
	unsigned iov_count;

	/* Called once, on the node's loop thread, never from inside block_submit(). `rc`: 0 or a
	 * negative errno. */
	void (*done)(struct block_request *request, int rc);

	/* For the node that handles it. */
	struct block_node *node;
	struct list queue;
	void *node_data;
};

struct block_ops {
	const char *name; /* "raw", "qcow2" */

	/* Required. Any thread. */
	void (*submit)(struct block_node *node, struct block_request *request);
	/* Required. Loop thread, nothing in flight. */
	void (*close)(struct block_node *node);

	/* Optional; any thread. Bytes, a multiple of the block size. Changes are told by `resized`.
	 */
	uint64_t (*size)(struct block_node *node);
	/* Smallest unit of offset and bytes: 512 or 4096. */
	uint32_t (*block_size)(struct block_node *node);
	bool (*can_write)(struct block_node *node);
	bool (*can_discard)(struct block_node *node);
	bool (*can_write_zeroes)(struct block_node *node);

	/* Optional: facts about the node for people ("file", "format", counters); new reference. */
	json_t *(*describe)(struct block_node *node);
};

struct block_node {
	const struct block_ops *ops;
	struct block_node *next; /* NULL: the last of the chain */
	struct loop *loop;
};

/* Wrappers: the only callers of the slots. block_submit checks range and alignment and completes
 * bad ones with -EINVAL. */
void block_submit(struct block_node *node, struct block_request *request);
uint64_t block_size_bytes(struct block_node *node);
uint32_t block_unit_bytes(struct block_node *node);
bool block_can_write(struct block_node *node);
bool block_can_discard(struct block_node *node);
bool block_can_write_zeroes(struct block_node *node);
json_t *block_describe(struct block_node *node);

/* Closes the node and all behind it. Accepts NULL. Loop thread, nothing in flight. */
void block_close(struct block_node *node);
