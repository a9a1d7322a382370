/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node: ranges of a disk as the calls that its server wants. */
#include "block/file/nbd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/file/nbd_session.h"
#include "block/node.h"

#define BOUNCE_BYTES MIB

struct nbd {
	struct block_node node;
	bool read_only;
	struct nbd_session session;
	const struct nbd_facts *facts; /* of the session */
};

static const struct block_ops nbd_ops;

static struct nbd *nbd_of(struct block_node *node)
{
	check(node->ops == &nbd_ops);
	return container_of(node, struct nbd, node);
}

/* ---- requests ---- */

static int do_call(struct nbd *nbd, struct nbd_call call)
{
	return nbd_session_call(&nbd->session, &call);
}

/* Contiguous, inside the server's disk, as it wants it aligned. */
static int move_piece(struct nbd *nbd, bool to_disk, uint64_t offset, void *data, uint64_t bytes,
		      unsigned flags)
{
	return do_call(nbd, (struct nbd_call){
				    .kind = to_disk ? NBD_CALL_WRITE : NBD_CALL_READ,
				    .offset = offset,
				    .bytes = bytes,
				    .data = data,
				    .flags = flags & BLOCK_FUA ? LIBNBD_CMD_FLAG_FUA : 0,
			    });
}

/* Any bytes: what the server's blocks have around them is read, and written back. */
static int move_edges(struct nbd *nbd, bool to_disk, uint64_t offset, void *data, uint64_t bytes,
		      unsigned flags)
{
	uint64_t start = round_down(offset, nbd->facts->align);
	uint64_t end = MIN(round_up(offset + bytes, nbd->facts->align), nbd->facts->bytes);
	AUTO_FREE uint8_t *bounce = malloc(end - start);
	int rc = bounce ? move_piece(nbd, false, start, bounce, end - start, 0) : -ENOMEM;

	if (rc)
		return rc;
	if (!to_disk) {
		memcpy(data, bounce + (offset - start), bytes);
		return 0;
	}
	memcpy(bounce + (offset - start), data, bytes);
	return move_piece(nbd, true, start, bounce, end - start, flags);
}

static int move_flat(struct nbd *nbd, bool to_disk, uint64_t offset, void *data, uint64_t bytes,
		     unsigned flags)
{
	if ((offset | bytes) & (nbd->facts->align - 1))
		return move_edges(nbd, to_disk, offset, data, bytes, flags);
	return move_piece(nbd, to_disk, offset, data, bytes, flags);
}

/* As much of the memory as lies in one piece. */
static struct iovec first_piece(struct block_buffer *memory, uint64_t bytes)
{
	while (memory->iov_count && memory->skip >= memory->iov->iov_len) {
		memory->skip -= memory->iov->iov_len;
		memory->iov++;
		memory->iov_count--;
	}
	check(memory->iov_count);
	return (struct iovec){
		.iov_base = (char *)memory->iov->iov_base + memory->skip,
		.iov_len = MIN(bytes, memory->iov->iov_len - memory->skip),
	};
}

static int move_bounced(struct nbd *nbd, bool to_disk, uint64_t offset, void *bounce,
			uint64_t bytes, struct block_buffer memory, unsigned flags)
{
	int rc;

	if (to_disk)
		iov_gather(bounce, memory.iov, memory.iov_count, memory.skip, bytes);
	rc = move_flat(nbd, to_disk, offset, bounce, bytes, flags);
	if (!to_disk && !rc)
		iov_scatter(memory.iov, memory.iov_count, memory.skip, bounce, bytes);
	return rc;
}

/* Scattered memory; what is not in one piece goes through a buffer. */
static int move(struct nbd *nbd, bool to_disk, uint64_t offset, uint64_t bytes,
		struct block_buffer memory, unsigned flags)
{
	AUTO_FREE uint8_t *bounce = NULL;
	int rc = 0;

	while (bytes && !rc) {
		uint64_t piece = MIN(bytes, nbd->facts->piece_bytes);
		struct iovec first = first_piece(&memory, piece);

		if (first.iov_len == piece) {
			rc = move_flat(nbd, to_disk, offset, first.iov_base, piece, flags);
		} else {
			piece = MIN(piece, BOUNCE_BYTES);
			if (!bounce)
				bounce = malloc(BOUNCE_BYTES);
			rc = bounce ? move_bounced(nbd, to_disk, offset, bounce, piece, memory,
						   flags)
				    : -ENOMEM;
		}
		memory.skip += piece;
		offset += piece;
		bytes -= piece;
	}
	return rc;
}

/* ---- slots ---- */

/* How much of the range the server has; zeroes are behind. */
static uint64_t bytes_there(const struct nbd *nbd, uint64_t offset, uint64_t bytes)
{
	return offset < nbd->facts->bytes ? MIN(bytes, nbd->facts->bytes - offset) : 0;
}

static int nbd_read_slot(struct block_node *node, uint64_t offset, uint64_t bytes,
			 struct block_buffer to)
{
	struct nbd *nbd = nbd_of(node);
	uint64_t there = bytes_there(nbd, offset, bytes);
	int rc = move(nbd, false, offset, there, to, 0);

	if (!rc)
		iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return rc;
}

static int nbd_write_slot(struct block_node *node, uint64_t offset, uint64_t bytes,
			  struct block_buffer from, unsigned flags)
{
	struct nbd *nbd = nbd_of(node);
	bool edges = (offset | bytes) & (nbd->facts->align - 1);
	struct range range;
	int rc;

	if (bytes_there(nbd, offset, bytes) < bytes)
		return -ENOSPC;
	if (edges)
		range_lock_exclusive(&node->ranges, &range, round_down(offset, nbd->facts->align),
				     bytes + 2 * nbd->facts->align);
	else
		range_lock_shared(&node->ranges, &range, offset, bytes);
	rc = move(nbd, true, offset, bytes, from, flags);
	range_unlock(&range);
	return rc;
}

static int nbd_flush_slot(struct block_node *node)
{
	struct nbd *nbd = nbd_of(node);

	return nbd->facts->can_flush && !nbd->read_only
		       ? do_call(nbd, (struct nbd_call){ .kind = NBD_CALL_FLUSH })
		       : 0;
}

/* The whole range by one kind of call, in pieces that the protocol can name. */
static int change(struct nbd *nbd, struct nbd_call call, uint64_t bytes)
{
	struct range range;
	int rc = 0;

	range_lock_shared(&nbd->node.ranges, &range, call.offset, bytes);
	for (; bytes && !rc; bytes -= call.bytes, call.offset += call.bytes) {
		call.bytes = MIN(bytes, GIB);
		rc = do_call(nbd, call);
	}
	range_unlock(&range);
	return rc;
}

static int nbd_discard_slot(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct nbd *nbd = nbd_of(node);

	bytes = bytes_there(nbd, offset, bytes);
	if (!nbd->facts->can_trim || (offset | bytes) & (nbd->facts->align - 1))
		return 0;
	return change(nbd, (struct nbd_call){ .kind = NBD_CALL_TRIM, .offset = offset }, bytes);
}

static int nbd_write_zeroes_slot(struct block_node *node, uint64_t offset, uint64_t bytes,
				 unsigned flags)
{
	struct nbd *nbd = nbd_of(node);

	if (!nbd->facts->can_zero || (offset | bytes) & (nbd->facts->align - 1) ||
	    bytes_there(nbd, offset, bytes) < bytes)
		return -ENOTSUP;
	return change(nbd,
		      (struct nbd_call){
			      .kind = NBD_CALL_ZERO,
			      .offset = offset,
			      .flags = flags & BLOCK_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE,
		      },
		      bytes);
}

static int nbd_extent_slot(struct block_node *node, struct block_extent *extent)
{
	struct nbd *nbd = nbd_of(node);
	uint64_t there = bytes_there(nbd, extent->offset, extent->bytes);

	extent->flags = there ? BLOCK_EXTENT_HERE : BLOCK_EXTENT_ZERO;
	extent->bytes = there ? there : extent->bytes;
	if (!there || !nbd->facts->has_status || (extent->offset | there) & (nbd->facts->align - 1))
		return 0;
	return do_call(nbd, (struct nbd_call){
				    .kind = NBD_CALL_STATUS,
				    .offset = extent->offset,
				    .bytes = MIN(there, GIB),
				    .extent = extent,
			    });
}

static uint64_t nbd_size(struct block_node *node)
{
	return round_up(nbd_of(node)->facts->bytes, BLOCK_SECTOR);
}

static bool nbd_can_write(struct block_node *node)
{
	return !nbd_of(node)->read_only;
}

static bool nbd_can_fua_slot(struct block_node *node)
{
	return nbd_of(node)->facts->can_fua;
}

static json_t *nbd_describe(struct block_node *node)
{
	const struct nbd *nbd = nbd_of(node);

	return json_pack("{s:s, s:I, s:b}", "file", nbd->session.uri, "size",
			 (json_int_t)nbd_size(node), "read-only", nbd->read_only);
}

static void nbd_close_slot(struct block_node *node)
{
	struct nbd *nbd = nbd_of(node);

	nbd_session_close(&nbd->session);
	block_node_fini(node);
	free(nbd);
}

static const struct block_ops nbd_ops = {
	.name = "nbd",
	.read = nbd_read_slot,
	.write = nbd_write_slot,
	.flush = nbd_flush_slot,
	.discard = nbd_discard_slot,
	.write_zeroes = nbd_write_zeroes_slot,
	.extent = nbd_extent_slot,
	.size = nbd_size,
	.can_write = nbd_can_write,
	.can_fua = nbd_can_fua_slot,
	.describe = nbd_describe,
	.close = nbd_close_slot,
};

void nbd_hurry(struct block_node *node)
{
	if (node->ops == &nbd_ops)
		nbd_session_hurry(&nbd_of(node)->session);
}

/* ---- opening ---- */

int nbd_open_sockets(const struct block_open_options *options, const int *sockets,
		     unsigned socket_count, struct loop *loop, struct block_node **ret_node,
		     struct err *err)
{
	struct nbd *nbd = calloc(1, sizeof(*nbd));
	int rc;

	if (!nbd) {
		for (unsigned i = 0; i < socket_count; i++)
			close(sockets[i]);
		return err_errno(err, ENOMEM, "cannot open disk '%s'", options->path);
	}
	block_node_init(&nbd->node, &nbd_ops, loop);
	nbd->read_only = options->read_only;
	nbd->facts = &nbd->session.facts;
	rc = nbd_session_open(&nbd->session, options->path, !options->read_only, sockets,
			      socket_count, err);
	if (rc) {
		nbd_close_slot(&nbd->node);
		return rc;
	}
	*ret_node = &nbd->node;
	return 0;
}

int nbd_open(const struct block_open_options *options, struct loop *loop,
	     struct block_node **ret_node, struct err *err)
{
	return nbd_open_sockets(options, NULL, 0, loop, ret_node, err);
}
