/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block graph as its users see it: nodes (files, formats, filters) that answer requests or pass
 * them on to the nodes behind them.
 *
 * Every node is used in two ways. The calls (block_read() …) block and are for any thread that may
 * wait: the image tool, jobs, exports, and nodes in front. Requests (block_queue() …) never wait and
 * end on the loop that the chain was opened with: for devices. Whichever way is used, overlapping
 * writes at the same time end in any order, as on a disk.
 *
 *	struct block_open_options options = { .path = "disk.qcow2" };
 *	rc = block_open(&options, loop, &node, err);	// no loop: only the calls
 *	...
 *	rc = block_read(node, offset, buffer, bytes);
 *	...
 *	block_queue(node, &first);	// may be held back …
 *	block_queue(node, &second);
 *	block_kick(node);		// … until here
 *	...
 *	block_close(node);
 *
 * Offsets and counts are bytes. Errors are negative errno; what a person will read is in a struct
 * err.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <jansson.h>

#include "base/err.h"
#include "base/list.h"
#include "block/range.h"
#include "host/loop.h"
#include "host/workers.h"

/* Most pieces a request's memory may be in. */
#define BLOCK_IOV_MAX 1024

/* What requests are multiples of, at least. */
#define BLOCK_SECTOR 512

/* The end of every disk is below this. */
#define BLOCK_SIZE_MAX (UINT64_C(1) << 62)

struct block_node;
struct block_lease;
struct block_connector;

/* ---- opening ---- */

enum block_cache {
	BLOCK_CACHE_WRITEBACK, /* the host's page cache; a flush makes durable */
	BLOCK_CACHE_NONE,      /* O_DIRECT */
	BLOCK_CACHE_UNSAFE,    /* the host's page cache; a flush does nothing */
};

/* The cache mode of that name ("writeback", "none", "unsafe"). 0 or -EINVAL. */
int block_cache_parse(const char *name, enum block_cache *ret_cache);
const char *block_cache_name(enum block_cache cache);

/* How the format is found where none is given. */
enum block_probe {
	/*
	 * For disks of machines. A guest can write any header into a raw disk, so content alone
	 * never chooses: name and header must agree on a format, and a disk whose name says raw (or
	 * nothing) but which has the header of another format is refused with words.
	 */
	BLOCK_PROBE_STRICT,
	/* For tools that only look: the header decides. What was found so opens no further files
	 * (unless `anywhere`). */
	BLOCK_PROBE_CONTENT,
};

struct block_open_options {
	const char *path;   /* a file, a block device, or "<scheme>:…" of a protocol */
	const char *format; /* a name of the table of formats; NULL: found by `probe` */
	enum block_probe probe;
	bool read_only;
	bool snapshot;   /* writes go to a throw-away overlay; implies that the rest is only read */
	bool no_backing; /* opens the image without its backing file: what is there reads as zeroes,
			    and its extents have neither flag, at depth 1 */
	bool locked; /* an encrypted image of which no key is named is opened all the same: its data
			    cannot be read or written (-ENOKEY) */
	bool check;  /* only for block_check(): opens also what is damaged; nothing is repaired
			    by opening */
	enum block_cache cache;
	bool no_io_uring;          /* use threads even where io_uring works */
	bool no_lock;              /* others may write at the same time: `info` of a running disk */
	struct block_lease *lease; /* changes need it (lease.h); borrowed for the node's life; NULL:
				      none needed */
	struct block_connector *connector; /* opens URIs (connector.h); borrowed for the call;
					      NULL: this process does */
	uint64_t cache_bytes;              /* of metadata, each image of the chain; 0: 16 MiB */
	/* The format's own (its `open_options`), and with "backing." in front those of the image
	 * that this one stands on, and so on; NULL: presets. */
	const json_t *settings;

	/*
	 * Further files that an image names (backing files, extents, external data) are opened only
	 * in the folder of the image, below these folders, or `anywhere`. A URI only if it is here, or
	 * below one that ends with '/'.
	 */
	const char *const *folders; /* ends with NULL; NULL: none */
	bool anywhere;
};

/*
 * Opens an image and all it stands on, and locks the files: writers alone, readers together. All
 * descriptors and threads are there when it returns, so that a sandbox may close behind it. `loop`
 * NULL: a node for blocking calls only, without threads. Options are borrowed for the call. Errors:
 * -EAGAIN when somebody else uses the image; -EMEDIUMTYPE when the format must be named; and open's
 * and the format's, explained.
 */
int block_open(const struct block_open_options *options, struct loop *loop,
	       struct block_node **ret_node, struct err *err);

/*
 * Closes the node and all behind it. Flushes nothing: flush before. Accepts NULL. Nothing in flight.
 *
 * Threads of this and of all that says "owner's thread": one thread opens, changes and closes a
 * graph, the loop's or another one. For another one the loop stands still meanwhile (loop_hold()),
 * so that it has no lock that a `done` takes.
 */
void block_close(struct block_node *node);

/* ---- facts; any thread ---- */

/* Where requests end, borrowed; NULL: there are only the calls. */
struct loop *block_loop(struct block_node *node);

uint64_t block_size_bytes(struct block_node *node);
/* Smallest unit of offset and bytes of requests, and of calls except on files, which take any: 512
 * or 4096. */
uint32_t block_unit_bytes(struct block_node *node);
/* What is best moved as a whole (a cluster, a block): a power of two, at least the unit. */
uint32_t block_granularity_bytes(struct block_node *node);
bool block_can_write(struct block_node *node);
/* Writes must come in the order of their offsets, each place once, in whole granules: the image is a
 * stream. Others fail with -ENOTSUP. */
bool block_in_order(struct block_node *node);
bool block_can_discard(struct block_node *node);
bool block_can_write_zeroes(struct block_node *node);
/* Facts about the node for people and JSON; new reference. */
json_t *block_describe(struct block_node *node);

/* ---- calls that block; any thread, several at once ---- */

/* Scattered memory from its byte `skip` on; the array and the memory are borrowed. */
struct block_buffer {
	const struct iovec *iov;
	unsigned iov_count; /* at most BLOCK_IOV_MAX */
	size_t skip;
};

enum {
	BLOCK_FUA = 1u << 0,       /* write, write zeroes: durable when it ends */
	BLOCK_MAY_UNMAP = 1u << 1, /* write zeroes: may free the space */
	BLOCK_HIDE = 1u << 3,      /* write zeroes: also an image that this one will stand on later
				      does not show there */
	BLOCK_COMPRESS = 1u << 2,  /* write of whole granules to places not written yet: stored
				      compressed where the format can */
};

/*
 * Ranges must be inside the disk (on a file that grows: a write may be behind the end, a read there
 * gives zeroes) and multiples of the unit, except on files. All of it is done or an error returned;
 * after an error the content of the range is undefined, of everything else untouched. Errors:
 * -EINVAL for the range, -EROFS, -ENOTSUP, and what storage says (-EIO, -ENOSPC).
 */
int block_read(struct block_node *node, uint64_t offset, void *buffer, uint64_t bytes);
int block_write(struct block_node *node, uint64_t offset, const void *buffer, uint64_t bytes);
int block_readv(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to);
int block_writev(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
		 unsigned flags);
/* Everything that ended before is durable after it. */
int block_flush(struct block_node *node);
/* Advice: the content becomes undefined (old or zero). */
int block_discard(struct block_node *node, uint64_t offset, uint64_t bytes);
/* Works on every node that can be written: where the node has no way of its own, by writing. */
int block_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags);
/* Sets the size; what is added reads as zeroes. Nothing else in flight behind the new end. */
int block_resize(struct block_node *node, uint64_t bytes, struct err *err);

enum {
	BLOCK_EXTENT_ZERO = 1u << 0,       /* reads as zeroes, known without reading */
	BLOCK_EXTENT_HERE = 1u << 1,       /* takes space in this image, not in one behind it */
	BLOCK_EXTENT_COMPRESSED = 1u << 2, /* stored compressed */
	BLOCK_EXTENT_AT = 1u << 3,         /* lies plainly at `at` of the file `file` */
};

/* A stretch of the disk of which everything below is the same. Not HERE: comes from `depth` images
 * behind this one, or, ZERO, from behind its end. */
struct block_extent {
	uint64_t offset, bytes;
	unsigned flags;
	unsigned depth;          /* 0: the image itself; 1: its backing file; … */
	struct block_node *file; /* with AT; borrowed from the graph */
	uint64_t at;
};

/*
 * The extent that starts at `offset`, at most `bytes` long and at least a unit; it may be shorter
 * than what is the same. Flags describe the allocation of the moment.
 */
int block_extent(struct block_node *node, uint64_t offset, uint64_t bytes,
		 struct block_extent *ret_extent);

/* As block_extent(), joined with all that follow and are the same. */
int block_extent_joined(struct block_node *node, uint64_t offset, uint64_t bytes,
			struct block_extent *ret_extent);

/* ---- requests ---- */

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

/* Ranges that a request holds on its way down, one for each node that moves its data about. */
#define BLOCK_HOLDS 3

/*
 * Caller's memory, untouched by the caller until `done`. `offset` and `bytes` are multiples of the
 * node's unit. `iov` (READ, WRITE) covers exactly `bytes`; the array and what it points to are
 * borrowed until `done`.
 */
struct block_request {
	enum block_op op;
	unsigned flags;
	uint64_t offset, bytes;
	const struct iovec *iov;
	unsigned iov_count; /* at most BLOCK_IOV_MAX */

	/* Called once, on the node's loop thread or the owner's while that stands still, never from
	 * inside block_queue() or block_kick(). 0 or negative errno. */
	void (*done)(struct block_request *request, int rc);

	/* For the nodes, which may change `op` and `flags` until it ends. */
	struct block_node *owner; /* where it was queued, and ends */
	struct block_node *node;  /* which has it now … */
	uint64_t position;        /* … from here on */
	uint64_t progress;        /* bytes of it that are done */
	uint64_t start_ns;        /* not before, for who makes it wait */
	struct range holds[BLOCK_HOLDS];
	unsigned hold_count;
	struct { /* as it was given to the last node that decides about requests itself */
		struct block_node *node;
		uint64_t position;
		unsigned hold_count;
	} base;
	enum block_op asked_op;
	unsigned asked_flags;
	struct list queue;
	struct work work;
	int result;
};

/*
 * Queues a request. One that is out of range, not aligned, or not possible on the node completes
 * with -EINVAL, -EROFS or -ENOTSUP. block_submit() is queue and kick. Any thread.
 */
void block_queue(struct block_node *node, struct block_request *request);
void block_kick(struct block_node *node);
void block_submit(struct block_node *node, struct block_request *request);

/*
 * A request of the node that has ended, instead of a call of its `done`, with its result; NULL: none
 * is known of. For who has queued and not kicked yet: what lies in the host's memory has often ended
 * by then, and those that are left are told only behind the kick. Any thread.
 */
struct block_request *block_take_ended(struct block_node *node, int *ret_rc);

/*
 * Calls `batch_done` (NULL: nothing) on the loop's thread whenever a few `done` have been called
 * one after another, so that their caller can do once what it would do for each. Owner's thread,
 * nothing in flight.
 */
void block_set_batch_done(struct block_node *node, void (*batch_done)(void *ctx), void *ctx);

/*
 * As block_resize(), for the owner's thread: done by a worker, as a sandbox leaves loops no calls
 * for it, while the thread waits. Nothing in flight, and nothing is queued meanwhile.
 */
int block_resize_by_worker(struct block_node *node, uint64_t bytes, struct err *err);

/* Waits until nothing is in flight; calls `done` of all that was. Owner's thread. Accepts NULL. */
void block_drain(struct block_node *node);
