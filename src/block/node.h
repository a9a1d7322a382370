/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block graph as a kind of node sees it: what a file, a format or a filter implements.
 *
 * A node is a table of blocking methods in straight-line code. Only the wrappers of block.h call
 * the slots, and they have checked: the range is inside the disk and a multiple of the unit, `bytes`
 * is not 0, the node can be written. What a slot that is left out means depends on the node:
 *	- a filter (`filter` is set) shows the disk of `next`, every byte in the same place: slots
 *	  that are left out are those of `next`;
 *	- everything else has its data elsewhere: data slots that are left out are not there.
 *
 * Threads. Several threads are in the blocking methods at once. A node guards its own metadata with
 * its own lock and never holds that lock across I/O on data, so that data I/O goes in parallel. What
 * a node looked up stays true while it holds the range of the *guest's* offsets in `ranges`:
 *	- shared: reads, and writes to places that are already allocated and stay where they are;
 *	- exclusive, rounded to the node's granularity: whatever allocates, copies, frees or moves
 *	  (first writes, discard, write zeroes), and [0, UINT64_MAX) for what concerns all of the
 *	  disk (resize, snapshots, commit).
 * A freed place may so be used again at once: nobody still reads or writes it. Never take a second
 * range of the same node while one is held.
 *
 * The fast way. Requests of devices never wait in a format. For each one the generic code
 * (request.c) holds the range shared and asks `map()`, which answers from what is in memory; then
 * the request goes on to the node named there, down to the file's io_uring. Where map() does not
 * know, the blocking method runs on a worker thread. A format has no other asynchronous code.
 */
#pragma once

#include <pthread.h>

#include "block/block.h"

struct block_format;

/* Where a range lies. */
struct block_place {
	struct block_node *node; /* NULL: nowhere, it reads as zeroes (only for reads) */
	uint64_t offset;
};

struct block_ops {
	const char *name; /* "raw", "qcow2", "snapshot" */
	bool filter;      /* see above */

	/* ---- data: any thread, may wait ---- */

	int (*read)(struct block_node *node, uint64_t offset, uint64_t bytes,
		    struct block_buffer to);
	/* `flags`: BLOCK_FUA only if `can_fua` says so (else the wrapper flushes behind it);
	 * BLOCK_COMPRESS may be ignored. */
	int (*write)(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer from, unsigned flags);
	/* Writes metadata back in the order that a crash needs, then flushes what is behind. Left
	 * out: flushes all children that can be written. */
	int (*flush)(struct block_node *node);
	/* Left out: nothing happens. */
	int (*discard)(struct block_node *node, uint64_t offset, uint64_t bytes);
	/* Left out: the wrapper writes zeroes. May say -ENOTSUP for this range: the same. */
	int (*write_zeroes)(struct block_node *node, uint64_t offset, uint64_t bytes,
			    unsigned flags);
	/* The extent at `offset`, at most `bytes`: `ret_extent` comes with offset and bytes set, the
	 * method may shorten bytes and sets the rest (all 0 before). Left out: all is HERE. */
	int (*extent)(struct block_node *node, struct block_extent *ret_extent);
	/* Left out: -ENOTSUP. Multiple of the unit. Makes no decision about lost data: its callers
	 * asked. */
	int (*resize)(struct block_node *node, uint64_t bytes, struct err *err);

	/* ---- the fast way: any thread, never waits ---- */

	/*
	 * Optional; NULL: not known. True if all of a READ or WRITE of the range may be done at
	 * `ret_place` (which is a child of the node, or a child of one) instead. Takes no range
	 * (the caller has it), does no I/O, takes a lock only if it is never held across I/O. For a
	 * WRITE: only if nothing of the node changes by it. For a FLUSH (range 0): only if nothing of
	 * the node is dirty and flushing `ret_place->node` is all there is to do.
	 */
	bool (*map)(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		    struct block_place *ret_place);
	/* Optional, for nodes with asynchronous code of their own (files, limits). Ends with
	 * block_complete(), from any thread; may wait for `kick`. Uses `position` of the request,
	 * not `offset`. */
	void (*queue)(struct block_node *node, struct block_request *request);
	/* Optional. Starts what `queue` held back. */
	void (*kick)(struct block_node *node);
	/*
	 * Optional. Loop thread. Waits until something may have been completed of what does not
	 * complete by itself while the loop's thread stands; false if there is nothing of the kind.
	 * The children are asked by the caller.
	 */
	bool (*wait)(struct block_node *node);

	/* ---- facts: any thread, never wait; left out: those of next ---- */

	uint64_t (*size)(struct block_node *node);        /* a multiple of the unit */
	uint32_t (*unit)(struct block_node *node);        /* 512 or 4096 */
	uint32_t (*granularity)(struct block_node *node); /* power of two; NULL: that of next, or
							       the unit at the end of a chain */
	bool (*can_write)(struct block_node *node);
	/* Left out, on other nodes than filters: whether there is a method and it can be written. */
	bool (*can_discard)(struct block_node *node);
	bool (*can_write_zeroes)(struct block_node *node);
	/* Left out: false, also where next can. */
	bool (*can_fua)(struct block_node *node);
	/* Optional: the node of the image that this one stands on; NULL: none is open. */
	struct block_node *(*backing)(struct block_node *node);
	/* Optional. Nothing in flight. What the image lacks comes from `backing` from now on, NULL:
	 * is zero. Changes nothing that is written down, and no children. */
	void (*set_backing)(struct block_node *node, struct block_node *backing);
	/* Facts for people and JSON ("format", "file", the header's fields, "backing": {…}); new
	 * reference. */
	json_t *(*describe)(struct block_node *node);

	/* Required. Loop thread (or no loop), nothing in flight, the workers have ended. Writes back
	 * what a clean close needs, best effort; frees the node, not the children. */
	void (*close)(struct block_node *node);
};

/* The first member of every kind of node. */
struct block_node {
	const struct block_ops *ops;
	const struct block_format *format; /* which opened it; NULL: a file or filter */
	struct loop *loop;                 /* NULL: only blocking calls */
	bool grows;                        /* a file: writes behind the end make it longer */
	bool in_order;                     /* see block_in_order() */

	struct block_node *next;      /* the first of `children`; NULL: the last of the chain */
	struct block_node **children; /* all nodes that this one stands on; closed behind it */
	unsigned child_count;
	bool children_kept; /* block_close() still needs the array */

	struct range_lock ranges;
	struct workers *workers; /* run blocking methods for requests; NULL: no requests */

	_Atomic uint64_t in_flight;           /* queued here and not yet told `done` */
	_Atomic unsigned taken;               /* so many of them by block_take_ended() */
	_Atomic(struct block_node *) to_kick; /* where a request of here may be held back */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct list completed; /* requests to tell `done`; guarded by lock */
	_Atomic bool at_once;  /* some of them wait for a kick; set with lock */

	_Atomic unsigned inside; /* threads in block_queue() or block_kick() */
	_Atomic bool changing;   /* see block_change(); set with lock */
	struct list held_back;   /* requests that came meanwhile; guarded by lock */

	struct loop_task task;

	void (*batch_done)(void *ctx); /* see block_set_batch_done() */
	void *batch_ctx;
};

/*
 * Sets up the common part; the node has no children yet. Then block_node_add() for each node that
 * it stands on, the main one (where its own data or the filtered disk is) first; NULL may not be
 * added. After a failure on the way the caller calls block_node_fini(), and children are still
 * the caller's. 0 or -ENOMEM.
 */
void block_node_init(struct block_node *node, const struct block_ops *ops, struct loop *loop);
int block_node_add(struct block_node *node, struct block_node *child);
void block_node_fini(struct block_node *node);

/*
 * Changes the graph below `root` while devices use it: holds back new requests, waits for those in
 * flight (and calls their `done`), calls `change`, and lets the others go on. Returns what `change`
 * returned. The rules:
 *	- The owner's thread (block_close()); not from inside a `done`. No lock that a `done` takes.
 *	- `root` is what devices hold, and stays, as do the nodes in front of the place of change.
 *	- Only requests are held back. Who uses calls (a job, an export) makes them on nodes that stay, or
 *	  has ended.
 *	- `change` may wait for I/O, as the machine waits for it, but not for the loop. Whatever it
 *	  returns, it leaves a whole graph.
 *	- What comes in has the same size, can be written if what goes could, and has workers if it
 *	  has no `queue` (block_node_start_workers()).
 *	- What goes is closed afterwards, by who took it out, without its children that stay.
 */
int block_change(struct block_node *root, int (*change)(void *ctx, struct err *err), void *ctx,
		 struct err *err);

/* `to` (NULL: nothing) takes the place of the child `from`, which is the caller's then. Inside
 * block_change(), or nothing in flight. */
void block_node_replace(struct block_node *parent, struct block_node *from, struct block_node *to);

/* Whether the node stands in front of an image, and is none itself. */
static inline bool block_is_filter(const struct block_node *node)
{
	return node->ops->filter && !node->format;
}

/* Where the image (or file) itself lies; caller frees. NULL: that has no name. */
char *block_image_path(struct block_node *image);

/* The image that this one stands on, and a change of it: the old one is the caller's then. As
 * block_node_replace(). -ENOTSUP, -ENOMEM. */
struct block_node *block_backing(struct block_node *node);
int block_node_set_backing(struct block_node *node, struct block_node *backing);

/*
 * Starts `threads` workers, so that block_queue() works on a node without `queue` of its own.
 * block_open() does it for the first node of a chain; a filter with a `queue` does it for its next
 * one. Does nothing without a loop, or if it has been done.
 */
int block_node_start_workers(struct block_node *node, unsigned threads, struct err *err);
#define BLOCK_WORKERS 8

/* The request has ended; `done` is called on the loop's thread later. Any thread. */
void block_complete(struct block_request *request, int rc);

/* As block_complete(), but told only after the owner's next kick: who queued may take it before
 * (block_take_ended()). For what ends inside `queue`. */
void block_complete_at_once(struct block_request *request, int rc);

/* As block_complete(), for the loop's thread, which calls block_complete_now() on the request's
 * `node` when it has collected the batch. */
void block_complete_batched(struct block_request *request, int rc);

/* Tells `done` of all that has ended here now. Loop thread, no locks held; true if there was any. */
bool block_complete_now(struct block_node *node);

/* For `queue`: has the blocking method of request->node do the rest of the request on a worker of
 * that node. Any thread. */
void block_hand_to_worker(struct block_request *request);

/* For `queue` of a filter: the request is for `next` now, as it is. Any thread; the caller kicks the
 * request's owner if nobody else will. */
void block_pass_on(struct block_request *request);

/* For `queue`: holds a range of the node's lock until the request ends, or is handed to a worker of
 * that node; false if that would have to wait. */
bool block_request_hold(struct block_request *request, struct range_lock *lock, uint64_t from,
			uint64_t bytes);
