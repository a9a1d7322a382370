/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file with the log of a VHDX image applied, without a byte written: for images that are only
 * read, whose log holds what is not in its place yet.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/iov.h"
#include "block/format/vhdx_log.h"

struct view {
	struct block_node node; /* stands on the file */
	struct vhdx_patches patches;
};

static const struct block_ops view_ops;

static struct view *view_of(struct block_node *node)
{
	check(node->ops == &view_ops);
	return container_of(node, struct view, node);
}

static void apply(const struct vhdx_patch *patch, uint64_t offset, uint64_t bytes,
		  struct block_buffer to)
{
	uint64_t from = MAX(offset, patch->offset);
	uint64_t end = MIN(offset + bytes, patch->offset + patch->bytes);

	if (from >= end)
		return;
	if (patch->data)
		iov_scatter(to.iov, to.iov_count, to.skip + (from - offset),
			    patch->data + (from - patch->offset), end - from);
	else
		iov_fill(to.iov, to.iov_count, to.skip + (from - offset), 0, end - from);
}

static int view_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	struct view *view = view_of(node);
	uint64_t size = block_size_bytes(node->next);
	uint64_t there = offset < size ? MIN(bytes, size - offset) : 0;
	int rc = block_readv(node->next, offset, there, to);

	if (rc)
		return rc;
	iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	for (size_t i = 0; i < view->patches.items.count; i++)
		apply(&view->patches.items.items[i], offset, bytes, to);
	return 0;
}

static int view_extent(struct block_node *node, struct block_extent *extent)
{
	extent->flags = BLOCK_EXTENT_HERE;
	return 0;
}

static uint64_t view_size(struct block_node *node)
{
	return view_of(node)->patches.file_bytes;
}

static bool view_writable(struct block_node *node)
{
	return false;
}

static void view_close(struct block_node *node)
{
	struct view *view = view_of(node);

	block_node_fini(node);
	vhdx_patches_fini(&view->patches);
	free(view);
}

static const struct block_ops view_ops = {
	.name = "vhdx-log",
	.read = view_read,
	.extent = view_extent,
	.size = view_size,
	.can_write = view_writable,
	.can_discard = view_writable,
	.can_write_zeroes = view_writable,
	.close = view_close,
};

int vhdx_log_view(struct block_node *file, const struct vhdx_header *header, struct loop *loop,
		  struct block_node **ret_view, struct err *err)
{
	struct view *view = calloc(1, sizeof(*view));
	int rc;

	if (!view)
		return err_errno(err, ENOMEM, "cannot open VHDX");
	block_node_init(&view->node, &view_ops, loop);
	rc = vhdx_patches_read(&view->patches, file, header, err);
	if (!rc && view->patches.items.count && block_node_add(&view->node, file))
		rc = err_errno(err, ENOMEM, "cannot open VHDX");
	if (rc || !view->patches.items.count) {
		view_close(&view->node);
		*ret_view = NULL;
		return rc;
	}
	*ret_view = &view->node;
	return 0;
}
