/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls that block: the checks in front of a node's methods, and what is made of others where a
 * node lacks one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/node.h"

/* Zeroes are written in pieces of this. */
#define ZEROES_BYTES (256 * KIB)

/* The node whose slot it is: filters have those of the next. NULL: none. */
#define FIND_METHOD(node, slot)                                                                    \
	({                                                                                         \
		struct block_node *at_ = (node);                                                   \
		while (at_ && !at_->ops->slot)                                                     \
			at_ = at_->ops->filter ? at_->next : NULL;                                 \
		at_;                                                                               \
	})

static int check_range(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	uint64_t size = node->grows ? BLOCK_SIZE_MAX : block_size_bytes(node);

	if (offset > size || bytes > size - offset)
		return -EINVAL;
	if (node->next && (offset | bytes) & (block_unit_bytes(node) - 1))
		return -EINVAL;
	return 0;
}

static int check_change(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	return block_can_write(node) ? check_range(node, offset, bytes) : -EROFS;
}

int block_readv(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	int rc = check_range(node, offset, bytes);

	if (rc || !bytes)
		return rc;
	node = FIND_METHOD(node, read);
	return node ? node->ops->read(node, offset, bytes, to) : -ENOTSUP;
}

int block_writev(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
		 unsigned flags)
{
	int rc = check_change(node, offset, bytes);
	struct block_node *top = node;
	bool flush = false;

	if (rc || !bytes)
		return rc;
	node = FIND_METHOD(node, write);
	if (!node)
		return -ENOTSUP;
	if (flags & BLOCK_FUA && !(node->ops->can_fua && node->ops->can_fua(node))) {
		flags &= ~(unsigned)BLOCK_FUA;
		flush = true;
	}
	rc = node->ops->write(node, offset, bytes, from, flags);
	return rc || !flush ? rc : block_flush(top);
}

static struct block_buffer buffer_of(struct iovec *iov)
{
	return (struct block_buffer){ .iov = iov, .iov_count = 1 };
}

int block_read(struct block_node *node, uint64_t offset, void *buffer, uint64_t bytes)
{
	struct iovec iov = { buffer, bytes };

	return block_readv(node, offset, bytes, buffer_of(&iov));
}

int block_write(struct block_node *node, uint64_t offset, const void *buffer, uint64_t bytes)
{
	struct iovec iov = { (void *)(uintptr_t)buffer, bytes };

	return block_writev(node, offset, bytes, buffer_of(&iov), 0);
}

int block_flush(struct block_node *node)
{
	int rc = 0;

	if (node->ops->flush)
		return node->ops->flush(node);
	for (unsigned i = 0; i < node->child_count && !rc; i++) {
		if (block_can_write(node->children[i]))
			rc = block_flush(node->children[i]);
	}
	return rc;
}

int block_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	int rc = check_change(node, offset, bytes);

	if (rc || !bytes)
		return rc;
	node = FIND_METHOD(node, discard);
	return node ? node->ops->discard(node, offset, bytes) : 0;
}

static int write_zero_bytes(struct block_node *node, uint64_t offset, uint64_t bytes,
			    unsigned flags)
{
	size_t piece = MIN(bytes, ZEROES_BYTES);
	AUTO_FREE void *zeroes = calloc(1, piece);
	int rc = zeroes ? 0 : -ENOMEM;

	while (bytes && !rc) {
		size_t now = MIN(bytes, piece);
		struct iovec iov = { zeroes, now };

		rc = block_writev(node, offset, now, buffer_of(&iov), flags & BLOCK_FUA);
		offset += now;
		bytes -= now;
	}
	return rc;
}

int block_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
	int rc = check_change(node, offset, bytes);
	struct block_node *at = FIND_METHOD(node, write_zeroes);

	if (rc || !bytes)
		return rc;
	rc = at ? at->ops->write_zeroes(at, offset, bytes, flags & ~(unsigned)BLOCK_FUA) : -ENOTSUP;
	if (rc == -ENOTSUP)
		return write_zero_bytes(node, offset, bytes, flags);
	return rc || !(flags & BLOCK_FUA) ? rc : block_flush(node);
}

int block_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct block_node *at = FIND_METHOD(node, resize);

	if (!at)
		return err_set(err, ENOTSUP, "cannot resize a disk of kind '%s'", node->ops->name);
	if (!block_can_write(node))
		return err_set(err, EROFS, "cannot resize a disk that is only read");
	if (bytes > BLOCK_SIZE_MAX || (node->next && bytes & (block_unit_bytes(node) - 1)))
		return err_set(err, EINVAL, "cannot resize to %llu bytes: not a multiple of %u",
			       (unsigned long long)bytes, block_unit_bytes(node));
	return at->ops->resize(at, bytes, err);
}

int block_extent(struct block_node *node, uint64_t offset, uint64_t bytes,
		 struct block_extent *ret_extent)
{
	int rc = bytes ? check_range(node, offset, bytes) : -EINVAL;
	struct block_extent extent = { .offset = offset, .bytes = bytes };

	if (rc)
		return rc;
	node = FIND_METHOD(node, extent);
	if (node)
		rc = node->ops->extent(node, &extent);
	else
		extent.flags = BLOCK_EXTENT_HERE;
	if (rc)
		return rc;
	check(extent.bytes && extent.bytes <= bytes);
	*ret_extent = extent;
	return 0;
}

static bool continues(const struct block_extent *extent, const struct block_extent *more)
{
	return extent->flags == more->flags && extent->depth == more->depth &&
	       extent->file == more->file &&
	       (!(extent->flags & BLOCK_EXTENT_AT) || extent->at + extent->bytes == more->at);
}

int block_extent_joined(struct block_node *node, uint64_t offset, uint64_t bytes,
			struct block_extent *ret_extent)
{
	int rc = block_extent(node, offset, bytes, ret_extent);

	while (!rc && ret_extent->bytes < bytes) {
		struct block_extent more;

		rc = block_extent(node, offset + ret_extent->bytes, bytes - ret_extent->bytes,
				  &more);
		if (rc || !continues(ret_extent, &more))
			break;
		ret_extent->bytes += more.bytes;
	}
	return rc;
}
