/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copy-on-write by place: a unit of the disk lies at the same offset in the base and in the
 * overlay, a sparse file, and one bit a unit says which of them holds it. A unit is the smallest
 * thing a request can name, so a write never copies.
 *
 * A write sets its bits when it has ended, so a read meanwhile sees old data or new, as on any
 * disk. Bits are set on the loop's thread, read on any.
 */
#include "block/filter/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/file/raw.h"
#include "host/thread.h"

#define WORD_BITS 64

struct snapshot {
	struct block_node node;
	struct block_node *overlay;
	uint64_t size;
	uint32_t unit;             /* bytes */
	_Atomic uint64_t *written; /* a bit a unit */

	pthread_mutex_t lock;
	struct list spare; /* struct part; guarded by lock */
};

/* A request on its way: one piece of it after another is asked of base or overlay. */
struct part {
	struct block_request request;
	struct block_request *whole;
	struct list node;
	struct iovec iov[BLOCK_IOV_MAX];
};

static const struct block_ops snapshot_ops;

static struct snapshot *snapshot_of(struct block_node *node)
{
	check(node->ops == &snapshot_ops);
	return container_of(node, struct snapshot, node);
}

static bool is_written(struct snapshot *snapshot, uint64_t unit)
{
	return atomic_load_explicit(&snapshot->written[unit / WORD_BITS], memory_order_relaxed) >>
		       (unit % WORD_BITS) &
	       1;
}

/* Units from `unit` on, at most `max`, that lie in the same file as the first. */
static uint64_t same_place(struct snapshot *snapshot, uint64_t unit, uint64_t max)
{
	bool written = is_written(snapshot, unit);
	uint64_t count = 1;

	while (count < max) {
		uint64_t at = unit + count;
		uint64_t word = atomic_load_explicit(&snapshot->written[at / WORD_BITS],
						     memory_order_relaxed);
		uint64_t differing = (written ? ~word : word) >> (at % WORD_BITS);

		if (differing)
			return MIN(max, count + (uint64_t)__builtin_ctzll(differing));
		count += WORD_BITS - at % WORD_BITS;
	}
	return max;
}

static void set_written(struct snapshot *snapshot, uint64_t unit, uint64_t count)
{
	while (count) {
		uint64_t low = unit % WORD_BITS;
		uint64_t here = MIN(count, WORD_BITS - low);

		atomic_fetch_or(&snapshot->written[unit / WORD_BITS], bits_mask((unsigned)here)
									      << low);
		unit += here;
		count -= here;
	}
}

static struct part *part_get(struct snapshot *snapshot)
{
	struct part *part;

	LOCK_SCOPE(&snapshot->lock);
	part = list_first(&snapshot->spare, struct part, node);
	if (part)
		list_remove(&part->node);
	else
		part = malloc(sizeof(*part));
	return part;
}

static void part_put(struct snapshot *snapshot, struct part *part)
{
	LOCK_SCOPE(&snapshot->lock);
	list_append(&snapshot->spare, &part->node);
}

static void part_done(struct block_request *request, int rc);

/* Asks for the next piece; `kick` unless the caller will. */
static void part_next(struct snapshot *snapshot, struct part *part, bool kick)
{
	struct block_request *whole = part->whole;
	uint64_t bytes = whole->bytes - whole->progress;
	uint64_t unit = (whole->offset + whole->progress) / snapshot->unit;
	struct block_node *place = snapshot->overlay;

	if (whole->op == BLOCK_READ) {
		bytes = same_place(snapshot, unit, bytes / snapshot->unit) * snapshot->unit;
		if (!is_written(snapshot, unit))
			place = snapshot->node.next;
	}
	part->request = (struct block_request){
		.op = whole->op,
		.flags = whole->flags & ~BLOCK_FUA,
		.offset = whole->offset + whole->progress,
		.bytes = bytes,
		.iov = part->iov,
		.done = part_done,
	};
	/* Trimmed units become zeroes of the overlay: nothing of the base shows through again. */
	if (whole->op == BLOCK_DISCARD) {
		part->request.op = BLOCK_WRITE_ZEROES;
		part->request.flags = BLOCK_MAY_UNMAP;
	}
	if (whole->op == BLOCK_READ || whole->op == BLOCK_WRITE)
		part->request.iov_count =
			iov_slice(part->iov, whole->iov, whole->iov_count, whole->progress, bytes);
	block_queue(place, &part->request);
	if (kick)
		block_kick(place);
}

static void part_done(struct block_request *request, int rc)
{
	struct part *part = container_of(request, struct part, request);
	struct block_request *whole = part->whole;
	struct snapshot *snapshot = snapshot_of(whole->node);

	if (!rc) {
		if (whole->op != BLOCK_READ)
			set_written(snapshot, request->offset / snapshot->unit,
				    request->bytes / snapshot->unit);
		whole->progress += request->bytes;
		if (whole->progress < whole->bytes) {
			part_next(snapshot, part, true);
			return;
		}
	}
	part_put(snapshot, part);
	block_complete(whole, rc);
}

static void snapshot_queue(struct block_node *node, struct block_request *request)
{
	struct snapshot *snapshot = snapshot_of(node);
	struct part *part;

	/* Nothing here outlives the process, so there is nothing to make durable. */
	if (request->op == BLOCK_FLUSH) {
		block_complete(request, 0);
		return;
	}
	part = part_get(snapshot);
	if (!part) {
		block_complete(request, -ENOMEM);
		return;
	}
	part->whole = request;
	part_next(snapshot, part, false);
}

static void snapshot_kick(struct block_node *node)
{
	block_kick(snapshot_of(node)->overlay);
	block_kick(node->next);
}

static bool snapshot_wait(struct block_node *node)
{
	block_drain(node->next);
	block_drain(snapshot_of(node)->overlay);
	return true;
}

static void snapshot_close(struct block_node *node)
{
	struct snapshot *snapshot = snapshot_of(node);
	struct part *part, *next;

	list_for_each_safe (part, next, &snapshot->spare, node)
		free(part);
	block_close(snapshot->overlay);
	pthread_mutex_destroy(&snapshot->lock);
	block_node_fini(node);
	free(snapshot->written);
	free(snapshot);
}

static uint64_t snapshot_size(struct block_node *node)
{
	return snapshot_of(node)->size;
}

static bool snapshot_writable(struct block_node *node)
{
	(void)node;
	return true;
}

static json_t *snapshot_describe(struct block_node *node)
{
	return json_pack("{s:s, s:o}", "filter", snapshot_ops.name, "base",
			 block_describe(node->next));
}

static const struct block_ops snapshot_ops = {
	.name = "snapshot",
	.queue = snapshot_queue,
	.kick = snapshot_kick,
	.wait = snapshot_wait,
	.close = snapshot_close,
	.size = snapshot_size,
	.can_write = snapshot_writable,
	.can_discard = snapshot_writable,
	.can_write_zeroes = snapshot_writable,
	.describe = snapshot_describe,
};

static int open_temporary(uint64_t bytes, int *ret_fd, struct err *err)
{
	const char *folder = secure_getenv("TMPDIR");
	int fd;

	if (!folder || !*folder)
		folder = "/var/tmp";
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)bytes)) {
		err_errno(err, errno, "cannot create the overlay of a snapshot in '%s'", folder);
		err_hint(err, "name a folder with room in the variable TMPDIR");
		if (fd >= 0)
			close(fd);
		return err ? err->code : -EIO;
	}
	*ret_fd = fd;
	return 0;
}

int snapshot_open(struct block_node *base, const struct block_open_options *options,
		  struct loop *loop, struct block_node **ret_node, struct err *err)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	int fd = -1, rc;

	if (!snapshot)
		return err_errno(err, ENOMEM, "cannot create a snapshot");
	block_node_init(&snapshot->node, &snapshot_ops, base, loop);
	pthread_mutex_init(&snapshot->lock, NULL);
	list_init(&snapshot->spare);
	snapshot->size = block_size_bytes(base);
	snapshot->unit = block_unit_bytes(base);
	snapshot->written =
		calloc(snapshot->size / snapshot->unit / WORD_BITS + 1, sizeof(*snapshot->written));
	rc = snapshot->written ? 0 : err_errno(err, ENOMEM, "cannot create a snapshot");
	if (!rc)
		rc = open_temporary(snapshot->size, &fd, err);
	if (!rc)
		rc = raw_open_scratch(fd, snapshot->size, options, loop, &snapshot->overlay, err);
	if (rc) {
		snapshot_close(&snapshot->node);
		return rc;
	}
	*ret_node = &snapshot->node;
	return 0;
}
