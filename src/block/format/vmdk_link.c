/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of the descriptor of a VMDK image, and what comes with another parent.
 *
 * A descriptor in an extent has a place that readers of other makers expect, so it is changed there; but
 * while it is, the header (one sector) names a copy of it at the end of the file. One in a file of its
 * own is written over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/vmdk_priv.h"

/* Bytes that the descriptor has. */
static uint64_t room_of(const struct vmdk *vmdk)
{
	if (!vmdk->descriptor_at)
		return MIN(block_size_bytes(vmdk->node.next), (uint64_t)VMDK_DESCRIPTOR_MAX);
	return vmdk->extents->header.descriptor_sectors * BLOCK_SECTOR;
}

int vmdk_descriptor_read(struct vmdk *vmdk, char **ret_text)
{
	uint64_t room = room_of(vmdk);
	AUTO_FREE char *text = calloc(1, room + 1);
	int rc = text ? block_read(vmdk->node.next, vmdk->descriptor_at, text, room) : -ENOMEM;

	if (!rc)
		*ret_text = take_ptr(&text);
	return rc;
}

static int write_alone(struct block_node *file, const char *text)
{
	size_t length = strlen(text);
	int rc = block_write(file, 0, text, length);

	if (!rc)
		rc = block_resize(file, length, NULL);
	return rc ? rc : block_flush(file);
}

/* Has the header name the descriptor that is in the file at `at`. */
static int name_descriptor(struct vmdk_extent *extent, uint64_t at)
{
	struct vmdk_header header = extent->header;
	uint8_t bytes[VMDK_HEADER_BYTES];
	int rc;

	header.descriptor_at = at / BLOCK_SECTOR;
	vmdk_header_encode(&header, bytes);
	rc = block_write(extent->file, 0, bytes, sizeof(bytes));
	return rc ? rc : block_flush(extent->file);
}

static int write_room(struct block_node *file, uint64_t at, const char *room, uint64_t bytes)
{
	int rc = block_write(file, at, room, bytes);

	return rc ? rc : block_flush(file);
}

static int write_embedded(struct vmdk *vmdk, const char *text)
{
	struct vmdk_extent *extent = vmdk->extents;
	uint64_t bytes = room_of(vmdk), copy_at = round_up(extent->end, BLOCK_SECTOR);
	AUTO_FREE char *room = calloc(1, bytes + 1);
	int rc;

	if (!room)
		return -ENOMEM;
	if (strlen(text) > bytes)
		return -ENOSPC;
	memcpy(room, text, strlen(text));
	rc = write_room(extent->file, copy_at, room, bytes);
	if (!rc)
		rc = name_descriptor(extent, copy_at);
	if (!rc)
		rc = write_room(extent->file, vmdk->descriptor_at, room, bytes);
	if (!rc)
		rc = name_descriptor(extent, vmdk->descriptor_at);
	if (rc) {
		/* The header may name the copy from now on. */
		extent->end = copy_at + bytes;
		return rc;
	}
	return block_resize(extent->file, extent->end, NULL);
}

int vmdk_descriptor_write(struct vmdk *vmdk, const char *text)
{
	struct vmdk_descriptor descriptor;
	char *parent = vmdk->descriptor.parent;
	int rc = vmdk_descriptor_parse(&descriptor, text, NULL);

	if (!rc)
		rc = vmdk->descriptor_at ? write_embedded(vmdk, text)
					 : write_alone(vmdk->node.next, text);
	if (!rc) {
		vmdk->descriptor.cid_at = descriptor.cid_at;
		vmdk->descriptor.parent_cid = descriptor.parent_cid;
		vmdk->descriptor.parent = descriptor.parent;
		descriptor.parent = parent;
	}
	vmdk_descriptor_fini(&descriptor);
	return rc;
}

static int check_parent(const struct vmdk *vmdk, const char *name, const struct block_node *backing,
			struct err *err)
{
	for (unsigned i = 0; i < vmdk->extent_count; i++) {
		if (vmdk->extents[i].kind != VMDK_SPARSE || vmdk->extents[i].read_only)
			return err_set(err, EINVAL, "a VMDK image of type '%s' has no parent",
				       vmdk->descriptor.type ? vmdk->descriptor.type : "");
	}
	if (name && backing->format != &vmdk_format)
		return err_set(err, EINVAL, "the parent of a VMDK image is one too, not '%s'",
			       backing->format->name);
	if (name && vmdk->descriptor.cid_at == SIZE_MAX)
		return err_set(err, EINVAL, "the VMDK image has no identifier of its own");
	if (name && strpbrk(name, "\"\r\n"))
		return err_set(err, EINVAL, "a VMDK image cannot name '%s': quotes or line ends",
			       name);
	return 0;
}

int vmdk_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		     struct err *err)
{
	struct vmdk *vmdk = vmdk_of(node);
	AUTO_FREE char *text = NULL, *changed = NULL;
	int rc = check_parent(vmdk, name, backing, err);

	if (rc)
		return rc;
	rc = block_flush(node);
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	if (!rc)
		rc = vmdk_descriptor_read(vmdk, &text);
	if (!rc) {
		changed = vmdk_descriptor_relinked(text, name,
						   name ? vmdk_of(backing)->descriptor.cid : 0);
		rc = changed ? vmdk_descriptor_write(vmdk, changed) : -ENOMEM;
	}
	return rc ? err_errno(err, rc, "cannot change the parent of the VMDK image") : 0;
}

int vmdk_empty(struct block_node *node, struct err *err)
{
	struct vmdk *vmdk = vmdk_of(node);
	int rc = check_parent(vmdk, NULL, NULL, err);

	if (rc)
		return rc;
	rc = vmdk_change_cid(vmdk);
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	for (unsigned i = 0; i < vmdk->extent_count && !rc; i++)
		rc = vmdk_sparse_empty(&vmdk->extents[i]);
	return rc ? err_errno(err, rc, "cannot empty the VMDK image") : 0;
}
