/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK, the format of VMware: a disk in extents, flat or sparse, and deltas on a parent.
 *
 * Spec: vmdk_priv.h.
 *
 * An image has a content identifier (CID), and a delta knows that of its parent. So the first write
 * after opening gives the image another one, durable before any data is.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/vmdk_priv.h"
#include "block/format/vmdk_stream.h"
#include "host/thread.h"

static const struct block_ops vmdk_ops;

struct vmdk *vmdk_of(struct block_node *node)
{
	check(node->ops == &vmdk_ops);
	return container_of(node, struct vmdk, node);
}

/* The extent of a place, and how much of the range lies in it. */
static struct vmdk_extent *extent_at(struct vmdk *vmdk, uint64_t offset, uint64_t *bytes)
{
	unsigned low = 0, high = vmdk->extent_count - 1;
	struct vmdk_extent *extent;

	while (low < high) {
		unsigned middle = (low + high + 1) / 2;

		if (vmdk->extents[middle].start <= offset)
			low = middle;
		else
			high = middle - 1;
	}
	extent = &vmdk->extents[low];
	*bytes = MIN(*bytes, extent->start + extent->bytes - offset);
	return extent;
}

/* ---- the identifier ---- */

static int write_cid(struct vmdk *vmdk)
{
	const struct vmdk_descriptor *descriptor = &vmdk->descriptor;
	char text[16];
	uint32_t cid;
	int rc;

	if (descriptor->cid_at == SIZE_MAX)
		return 0;
	do {
		if (getrandom(&cid, sizeof(cid), 0) != sizeof(cid))
			cid = descriptor->cid + 1;
	} while (cid == descriptor->cid || cid == VMDK_NO_PARENT);
	snprintf(text, sizeof(text), "%08x", cid);
	rc = block_write(vmdk->node.next, vmdk->descriptor_at + descriptor->cid_at, text, 8);
	if (!rc)
		rc = block_flush(vmdk->node.next);
	if (!rc)
		vmdk->descriptor.cid = cid;
	return rc;
}

int vmdk_change_cid(struct vmdk *vmdk)
{
	int rc = 0;

	if (atomic_load_explicit(&vmdk->cid_changed, memory_order_acquire))
		return 0;
	LOCK_SCOPE(&vmdk->lock);
	if (!atomic_load(&vmdk->cid_changed))
		rc = write_cid(vmdk);
	if (!rc)
		atomic_store_explicit(&vmdk->cid_changed, true, memory_order_release);
	return rc;
}

/* ---- data ---- */

static uint64_t place_in_file(const struct vmdk_extent *extent, uint64_t offset)
{
	return extent->offset + (offset - extent->start);
}

static int read_part(struct vmdk_extent *extent, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	switch (extent->kind) {
	case VMDK_FLAT:
		return block_readv(extent->file, place_in_file(extent, offset), bytes, to);
	case VMDK_SPARSE:
		return granules_read(&extent->granules, offset - extent->start, bytes, to);
	case VMDK_ZEROES:
		break;
	}
	iov_fill(to.iov, to.iov_count, to.skip, 0, bytes);
	return 0;
}

static int vmdk_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = 0;

	while (bytes && !rc) {
		uint64_t part = bytes;
		struct vmdk_extent *extent = extent_at(vmdk, offset, &part);

		rc = read_part(extent, offset, part, to);
		offset += part;
		bytes -= part;
		to.skip += part;
	}
	return rc;
}

static int vmdk_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		      struct block_buffer from, unsigned flags)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = vmdk_change_cid(vmdk);

	(void)flags;
	while (bytes && !rc) {
		uint64_t part = bytes;
		struct vmdk_extent *extent = extent_at(vmdk, offset, &part);

		if (extent->stream)
			rc = vmdk_stream_write(extent->stream, offset, part, from);
		else if (extent->read_only || extent->kind == VMDK_ZEROES)
			rc = -EROFS;
		else if (extent->kind == VMDK_FLAT)
			rc = block_writev(extent->file, place_in_file(extent, offset), part, from,
					  0);
		else
			rc = granules_write(&extent->granules, offset - extent->start, part, from);
		offset += part;
		bytes -= part;
		from.skip += part;
	}
	return rc;
}

static int vmdk_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
			     unsigned flags)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = vmdk_change_cid(vmdk);

	while (bytes && !rc) {
		uint64_t part = bytes;
		struct vmdk_extent *extent = extent_at(vmdk, offset, &part);

		if (extent->stream)
			rc = vmdk_stream_write_zeroes(extent->stream, offset);
		else if (extent->kind == VMDK_FLAT && !extent->read_only)
			rc = block_write_zeroes(extent->file, place_in_file(extent, offset), part,
						flags);
		else if (extent->kind == VMDK_SPARSE && !extent->read_only)
			rc = granules_write_zeroes(&extent->granules, offset - extent->start, part,
						   flags);
		else if (extent->kind != VMDK_ZEROES)
			rc = -EROFS;
		offset += part;
		bytes -= part;
	}
	return rc;
}

static int vmdk_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = vmdk_change_cid(vmdk);

	while (bytes && !rc) {
		uint64_t part = bytes;
		struct vmdk_extent *extent = extent_at(vmdk, offset, &part);

		if (extent->kind == VMDK_FLAT && !extent->read_only)
			rc = block_discard(extent->file, place_in_file(extent, offset), part);
		else if (extent->kind == VMDK_SPARSE && !extent->read_only)
			rc = granules_discard(&extent->granules, offset - extent->start, part);
		offset += part;
		bytes -= part;
	}
	return rc;
}

static int flat_extent(struct vmdk_extent *extent, struct block_extent *found)
{
	uint64_t offset = found->offset;
	int rc = block_extent(extent->file, place_in_file(extent, offset), found->bytes, found);

	found->offset = offset;
	return rc;
}

static int vmdk_extent(struct block_node *node, struct block_extent *found)
{
	struct vmdk_extent *extent = extent_at(vmdk_of(node), found->offset, &found->bytes);

	switch (extent->kind) {
	case VMDK_FLAT:
		return flat_extent(extent, found);
	case VMDK_SPARSE:
		return granules_extent(&extent->granules, found);
	case VMDK_ZEROES:
		found->flags = BLOCK_EXTENT_ZERO;
		break;
	}
	return 0;
}

/* The one file that a flush is about; NULL: there are more, or metadata to write. */
static struct block_node *only_file(struct vmdk *vmdk)
{
	struct vmdk_extent *extent = vmdk->extents;

	if (vmdk->extent_count != 1 || extent->kind == VMDK_ZEROES || extent->stream ||
	    (extent->kind == VMDK_SPARSE && vmdk_sparse_is_dirty(extent)))
		return NULL;
	return extent->file;
}

static bool vmdk_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		     struct block_place *ret_place)
{
	struct vmdk *vmdk = vmdk_of(node);
	struct vmdk_extent *extent;
	uint64_t part = bytes;

	if (op == BLOCK_FLUSH) {
		*ret_place = (struct block_place){ only_file(vmdk), 0 };
		return ret_place->node;
	}
	if (op == BLOCK_WRITE && !atomic_load_explicit(&vmdk->cid_changed, memory_order_acquire))
		return false;
	extent = extent_at(vmdk, offset, &part);
	if (part < bytes || (op == BLOCK_WRITE && extent->read_only))
		return false;
	switch (extent->kind) {
	case VMDK_FLAT:
		*ret_place = (struct block_place){ extent->file, place_in_file(extent, offset) };
		return true;
	case VMDK_SPARSE:
		return granules_map(&extent->granules, op, offset - extent->start, bytes,
				    ret_place);
	case VMDK_ZEROES:
		break;
	}
	*ret_place = (struct block_place){ 0 };
	return op == BLOCK_READ;
}

static int vmdk_flush(struct block_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = 0;

	for (unsigned i = 0; i < vmdk->extent_count && !rc; i++) {
		struct vmdk_extent *extent = &vmdk->extents[i];

		if (extent->stream)
			rc = vmdk_stream_flush(extent->stream);
		else if (extent->kind == VMDK_SPARSE && !extent->read_only)
			rc = vmdk_sparse_write_back(extent);
	}
	for (unsigned i = 0; i < node->child_count && !rc; i++) {
		if (block_can_write(node->children[i]))
			rc = block_flush(node->children[i]);
	}
	return rc;
}

/* ---- facts ---- */

static uint64_t vmdk_size(struct block_node *node)
{
	return atomic_load(&vmdk_of(node)->bytes);
}

static uint32_t vmdk_granularity(struct block_node *node)
{
	struct vmdk_extent *extent = vmdk_of(node)->extents;

	return extent->kind == VMDK_SPARSE ? extent->granules.granule_bytes : BLOCK_SECTOR;
}

static bool vmdk_can_write(struct block_node *node)
{
	return !vmdk_of(node)->read_only;
}

static struct block_node *vmdk_backing(struct block_node *node)
{
	return vmdk_of(node)->parent;
}

static void vmdk_stand_on(struct block_node *node, struct block_node *backing)
{
	struct vmdk *vmdk = vmdk_of(node);

	vmdk->parent = backing;
	for (unsigned i = 0; i < vmdk->extent_count; i++)
		vmdk->extents[i].granules.backing = backing;
}

static json_t *describe_extent(const struct vmdk_extent *extent)
{
	static const char *const kinds[] = {
		[VMDK_FLAT] = "flat",
		[VMDK_SPARSE] = "sparse",
		[VMDK_ZEROES] = "zero",
	};
	json_t *json = json_pack("{s:s, s:I}", "kind", kinds[extent->kind], "size",
				 (json_int_t)extent->bytes);

	if (extent->file)
		json_object_set_new(json, "file", block_describe(extent->file));
	if (extent->kind == VMDK_SPARSE) {
		json_object_set_new(json, "grain-size",
				    json_integer(extent->granules.granule_bytes));
		json_object_set_new(json, "version", json_integer(extent->header.version));
		json_object_set_new(json, "compressed",
				    json_boolean(extent->header.flags & VMDK_FLAG_PACKED));
	}
	return json;
}

static json_t *vmdk_describe(struct block_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);
	json_t *extents = json_array(), *json;
	char cid[16];

	for (unsigned i = 0; i < vmdk->extent_count; i++)
		json_array_append_new(extents, describe_extent(&vmdk->extents[i]));
	snprintf(cid, sizeof(cid), "%08x", vmdk->descriptor.cid);
	json = json_pack("{s:s, s:o, s:I, s:s?, s:s, s:o}", "format", vmdk_ops.name, "file",
			 block_describe(node->next), "size", (json_int_t)vmdk_size(node),
			 "subformat", vmdk->descriptor.type, "cid", cid, "extents", extents);
	if (json && vmdk->descriptor.parent_cid != VMDK_NO_PARENT && vmdk->descriptor.parent) {
		json_object_set_new(json, "backing-file", json_string(vmdk->descriptor.parent));
		json_object_set_new(json, "backing-format", json_string(vmdk_ops.name));
	}
	if (json && vmdk->parent)
		json_object_set_new(json, "backing", block_describe(vmdk->parent));
	return json;
}

/* ---- opening and closing ---- */

static void vmdk_close(struct block_node *node)
{
	struct vmdk *vmdk = vmdk_of(node);

	for (unsigned i = 0; i < vmdk->extent_count; i++) {
		if (vmdk->extents[i].granules.node)
			vmdk_sparse_close(&vmdk->extents[i]);
	}
	vmdk_descriptor_fini(&vmdk->descriptor);
	pthread_mutex_destroy(&vmdk->lock);
	block_node_fini(node);
	free(vmdk->extents);
	free(vmdk);
}

static const struct block_ops vmdk_ops = {
	.name = "vmdk",
	.read = vmdk_read,
	.write = vmdk_write,
	.flush = vmdk_flush,
	.discard = vmdk_discard,
	.write_zeroes = vmdk_write_zeroes,
	.extent = vmdk_extent,
	.resize = vmdk_resize,
	.map = vmdk_map,
	.size = vmdk_size,
	.granularity = vmdk_granularity,
	.can_write = vmdk_can_write,
	.backing = vmdk_backing,
	.set_backing = vmdk_stand_on,
	.describe = vmdk_describe,
	.close = vmdk_close,
};

/* What was opened on the way is closed; the file itself stays the caller's. */
static void abandon(struct vmdk *vmdk)
{
	for (unsigned i = 0; i < vmdk->extent_count; i++)
		vmdk->extents[i].read_only = true;
	for (unsigned i = 1; i < vmdk->node.child_count; i++)
		block_close(vmdk->node.children[i]);
	vmdk_close(&vmdk->node);
}

static int open_vmdk(const struct block_format_open *open, struct block_node **ret_node,
		     struct err *err)
{
	struct vmdk *vmdk = calloc(1, sizeof(*vmdk));
	int rc;

	if (!vmdk)
		return err_errno(err, ENOMEM, "cannot open image '%s'",
				 block_opener_name(open->opener));
	block_node_init(&vmdk->node, &vmdk_ops, open->loop);
	pthread_mutex_init(&vmdk->lock, NULL);
	vmdk->read_only = open->read_only;
	rc = block_node_add(&vmdk->node, open->file);
	if (rc)
		err_errno(err, rc, "cannot open image '%s'", block_opener_name(open->opener));
	if (!rc)
		rc = vmdk_open_all(vmdk, open, err);
	if (rc) {
		abandon(vmdk);
		return rc;
	}
	*ret_node = &vmdk->node;
	return 0;
}

static unsigned probe(const struct block_header *header)
{
	return vmdk_header_is_there(header->head) || vmdk_descriptor_is_there(header->head) ? 100
											    : 0;
}

static const char *const extensions[] = { "vmdk", NULL };

const struct block_format vmdk_format = {
	.name = "vmdk",
	.summary = "VMware disk image",
	.extensions = extensions,
	.create_options = vmdk_create_options,
	.probe = probe,
	.open = open_vmdk,
	.create = vmdk_create,
	.tell_files = vmdk_tell_files,
	.measure = vmdk_measure,
	.check = vmdk_check,
	.set_backing = vmdk_set_backing,
	.identity_changes = true,
	.empty = vmdk_empty,
};
