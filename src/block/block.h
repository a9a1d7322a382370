/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A node of the block graph: a file, a format or a filter that answers requests or passes them to
 * `next`.
 *
 * All of a node's requests complete on the loop it was opened with. Capabilities are methods,
 * queried, never flags tested elsewhere; a node that adds nothing for a call leaves the slot NULL
 * and the wrapper asks `next`.
 *
 *	struct block_open_options options = { .path = "disk.img", .snapshot = true };
 *	rc = block_open(&options, loop, &node, err);
 *	...
 *	block_queue(node, &first);	// may be held back …
 *	block_queue(node, &second);
 *	block_kick(node);		// … until here
 *	...
 *	block_close(node);
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <jansson.h>

#include "base/err.h"
#include "base/list.h"
#include "host/loop.h"
#include "host/workers.h"

/* Most pieces a request's memory may be in. */
#define BLOCK_IOV_MAX 1024

struct block_node;
struct block_request;

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

enum {
	BLOCK_FUA = 1u << 0,       /* write, write zeroes: durable when it completes */
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
	unsigned iov_count; /* at most BLOCK_IOV_MAX */

	/* Called once, on the node's loop thread, never from inside block_queue() or block_kick().
	 * 0 or negative errno. */
	void (*done)(struct block_request *request, int rc);

	/* For the node that handles it. */
	struct block_node *node;
	struct list queue;
	struct work work;
	uint64_t progress; /* bytes of it that are done */
	int result;
};

struct block_ops {
	const char *name; /* "raw", "snapshot" */

	/* Required. Any thread. Ends with block_complete(), from any thread; may wait for `kick`. */
	void (*queue)(struct block_node *node, struct block_request *request);
	/* Optional. Any thread. Starts what `queue` held back. */
	void (*kick)(struct block_node *node);
	/*
	 * Optional. Loop thread. Waits until something may have been completed of what does not
	 * complete by itself while the loop's thread stands; false if there is nothing of the kind.
	 */
	bool (*wait)(struct block_node *node);
	/* Required. Loop thread, nothing in flight. Frees the node, not `next`. */
	void (*close)(struct block_node *node);

	/* Optional; any thread. Bytes, a multiple of the block size. */
	uint64_t (*size)(struct block_node *node);
	/* Smallest unit of offset and bytes: 512 or 4096. */
	uint32_t (*block_size)(struct block_node *node);
	bool (*can_write)(struct block_node *node);
	bool (*can_discard)(struct block_node *node);
	bool (*can_write_zeroes)(struct block_node *node);

	/* Optional: facts about the node for people ("file", "format", counters); new reference. */
	json_t *(*describe)(struct block_node *node);
};

/* The first member of every kind of node. */
struct block_node {
	const struct block_ops *ops;
	struct block_node *next; /* NULL: the last of the chain */
	struct loop *loop;
	_Atomic uint64_t in_flight; /* queued and not yet told `done` */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list completed; /* requests to tell `done`; guarded by lock */
	struct loop_task task;

	void (*batch_done)(void *ctx); /* see block_set_batch_done() */
	void *batch_ctx;
};

/* For kinds of nodes. Takes `next` over; after fini it is the caller's again. */
void block_node_init(struct block_node *node, const struct block_ops *ops, struct block_node *next,
		     struct loop *loop);
void block_node_fini(struct block_node *node);

/* For kinds of nodes: the request has ended; `done` is called on the loop's thread later. Any
 * thread. */
void block_complete(struct block_request *request, int rc);

/* As block_complete(), for the loop's thread, which calls block_complete_now() when it has
 * collected the batch. */
void block_complete_batched(struct block_request *request, int rc);

/* For kinds of nodes: tells `done` of all that has ended now. Loop thread, no locks held; true if
 * there was any. */
bool block_complete_now(struct block_node *node);

enum block_cache {
	BLOCK_CACHE_WRITEBACK, /* the host's page cache; a flush makes durable */
	BLOCK_CACHE_NONE,      /* O_DIRECT */
	BLOCK_CACHE_UNSAFE,    /* the host's page cache; a flush does nothing */
};

/* The cache mode of that name ("writeback", "none", "unsafe"). 0 or -EINVAL. */
int block_cache_parse(const char *name, enum block_cache *ret_cache);
const char *block_cache_name(enum block_cache cache);

struct block_open_options {
	const char *path; /* a regular file or a block device */
	bool read_only;
	bool snapshot; /* writes go to a throw-away overlay; implies that the file is only read */
	enum block_cache cache;
	bool no_io_uring; /* use threads even where io_uring works */
};

/*
 * Opens an image and locks it: writers alone, readers together. All descriptors and threads are
 * there when it returns, so that a sandbox may close behind it. Errors: -EAGAIN when somebody else
 * uses the image; and open's, explained.
 */
int block_open(const struct block_open_options *options, struct loop *loop,
	       struct block_node **ret_node, struct err *err);

/*
 * Wrappers: the only callers of the slots. A request that is out of range, not aligned, or not
 * possible on the node completes with -EINVAL, -EROFS or -ENOTSUP. block_submit() is queue and
 * kick. Any thread.
 */
void block_queue(struct block_node *node, struct block_request *request);
void block_kick(struct block_node *node);
void block_submit(struct block_node *node, struct block_request *request);
uint64_t block_size_bytes(struct block_node *node);
uint32_t block_unit_bytes(struct block_node *node);
bool block_can_write(struct block_node *node);
bool block_can_discard(struct block_node *node);
bool block_can_write_zeroes(struct block_node *node);
json_t *block_describe(struct block_node *node);

/*
 * Calls `batch_done` (NULL: nothing) on the loop's thread whenever a few `done` have been called
 * one after another, so that their caller can do once what it would do for each. Loop thread,
 * nothing in flight.
 */
void block_set_batch_done(struct block_node *node, void (*batch_done)(void *ctx), void *ctx);

/* Waits until nothing is in flight; calls `done` of all that was. Loop thread (or no loop running).
 * Accepts NULL. */
void block_drain(struct block_node *node);

/* Closes the node and all behind it. Accepts NULL. Loop thread, nothing in flight. */
void block_close(struct block_node *node);
