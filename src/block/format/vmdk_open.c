/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening the descriptor of a VMDK image, its extents, and its parent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/vmdk_priv.h"
#include "block/format/vmdk_stream.h"

/* Everything that opening needs to know. */
struct opening {
	struct vmdk *vmdk;
	const struct block_format_open *open;
	struct vmdk_header header; /* of the file itself, if it is an extent … */
	bool embedded;             /* … with the descriptor in it */
};

/* ---- the descriptor ---- */

static int read_descriptor(struct opening *opening, uint64_t at, uint64_t bytes, struct err *err)
{
	AUTO_FREE char *text = calloc(1, bytes + 1);
	int rc = text ? block_read(opening->open->file, at, text, bytes) : -ENOMEM;

	if (rc)
		return err_errno(err, rc, "cannot read its descriptor");
	opening->vmdk->descriptor_at = at;
	return vmdk_descriptor_parse(&opening->vmdk->descriptor, text, err);
}

/* A stream has its header again at its end, with the directory's place in it. */
static int read_footer(struct opening *opening, uint64_t file_bytes, struct err *err)
{
	uint8_t bytes[VMDK_HEADER_BYTES];
	int rc;

	if (opening->header.directory_at != VMDK_AT_END)
		return 0;
	if (file_bytes < 3 * (uint64_t)VMDK_HEADER_BYTES)
		return err_set(err, EINVAL, "no footer");
	rc = block_read(opening->open->file, file_bytes - 2 * (uint64_t)sizeof(bytes), bytes,
			sizeof(bytes));
	if (rc)
		return err_errno(err, rc, "cannot read its footer");
	rc = vmdk_header_decode(&opening->header, bytes, file_bytes, err);
	if (rc)
		return err ? err_wrap(err, "its footer") : rc;
	if (opening->header.directory_at == VMDK_AT_END)
		return err_set(err, EINVAL, "its footer does not say where the directory is");
	return 0;
}

static int read_head(struct opening *opening, struct err *err)
{
	struct block_node *file = opening->open->file;
	uint64_t file_bytes = block_size_bytes(file), at, sectors;
	uint8_t bytes[VMDK_HEADER_BYTES];
	int rc;

	if (file_bytes < sizeof(bytes))
		return err_set(err, EINVAL, "too short");
	rc = block_read(file, 0, bytes, sizeof(bytes));
	if (rc)
		return err_errno(err, rc, "cannot read it");
	opening->embedded = vmdk_header_is_there(bytes);
	if (!opening->embedded && vmdk_descriptor_is_there(bytes) &&
	    file_bytes <= VMDK_DESCRIPTOR_MAX)
		return read_descriptor(opening, 0, file_bytes, err);
	rc = vmdk_header_decode(&opening->header, bytes, file_bytes, err);
	if (rc)
		return rc;
	at = opening->header.descriptor_at;
	sectors = opening->header.descriptor_sectors;
	if (!at || !sectors)
		return err_set(err, EINVAL,
			       "it is one extent of a disk; open the file with the descriptor");
	rc = read_footer(opening, file_bytes, err);
	return rc ? rc : read_descriptor(opening, at * BLOCK_SECTOR, sectors * BLOCK_SECTOR, err);
}

/* ---- extents ---- */

static int open_header(struct vmdk_extent *extent, struct err *err)
{
	uint8_t bytes[VMDK_HEADER_BYTES];
	uint64_t file_bytes = block_size_bytes(extent->file);
	int rc = file_bytes < sizeof(bytes) ? -EINVAL
					    : block_read(extent->file, 0, bytes, sizeof(bytes));

	if (rc)
		return err_errno(err, rc, "cannot read its header");
	rc = vmdk_header_decode(&extent->header, bytes, file_bytes, err);
	if (!rc && extent->header.flags & VMDK_FLAG_PACKED)
		rc = err_set(err, ENOTSUP, "a compressed extent among others");
	return rc;
}

static int open_sparse(struct opening *opening, struct vmdk_extent *extent, struct err *err)
{
	unsigned count = opening->vmdk->extent_count;
	bool packed, writable;
	int rc = 0;

	if (opening->embedded)
		extent->header = opening->header;
	else
		rc = open_header(extent, err);
	if (rc)
		return rc;
	if (opening->embedded)
		extent->bytes = extent->header.sectors * BLOCK_SECTOR;
	if (extent->bytes > extent->header.sectors * BLOCK_SECTOR)
		return err_set(err, EINVAL, "the extent is shorter than the descriptor says");
	packed = extent->header.flags & VMDK_FLAG_PACKED;
	writable = !extent->read_only;
	extent->read_only |= packed;
	rc = vmdk_sparse_open(extent, &opening->vmdk->node, opening->open->cache_bytes / count,
			      err);
	if (!rc && packed && writable && !opening->open->check) {
		rc = vmdk_stream_open(extent, err);
		opening->vmdk->node.in_order = true;
	}
	return rc;
}

static int open_flat(struct vmdk_extent *extent, struct err *err)
{
	uint64_t file_bytes = block_size_bytes(extent->file);

	if (extent->offset > file_bytes || extent->bytes > file_bytes - extent->offset)
		return err_set(err, EINVAL, "the file is shorter than the descriptor says");
	return 0;
}

static int open_file(struct opening *opening, const struct vmdk_line *line,
		     struct vmdk_extent *extent, struct err *err)
{
	unsigned flags = extent->read_only ? 0 : BLOCK_FILE_WRITE;
	struct block_node *file;
	int rc;

	if (opening->embedded) {
		extent->file = opening->open->file;
		return 0;
	}
	rc = block_opener_file(opening->open->opener, line->name, flags, &file, err);
	if (rc)
		return rc;
	if (block_node_add(&opening->vmdk->node, file)) {
		block_close(file);
		return err_errno(err, ENOMEM, "cannot open it");
	}
	extent->file = file;
	return 0;
}

static int open_extent(struct opening *opening, const struct vmdk_line *line,
		       struct vmdk_extent *extent, struct err *err)
{
	int rc;

	extent->kind = line->kind;
	extent->read_only = line->read_only || opening->vmdk->read_only;
	extent->bytes = line->sectors * BLOCK_SECTOR;
	extent->offset = line->offset * BLOCK_SECTOR;
	if (line->kind == VMDK_ZEROES)
		return 0;
	rc = open_file(opening, line, extent, err);
	if (!rc)
		rc = line->kind == VMDK_FLAT ? open_flat(extent, err)
					     : open_sparse(opening, extent, err);
	return rc && err ? err_wrap(err, "extent '%.128s'", line->name) : rc;
}

static int open_extents(struct opening *opening, struct err *err)
{
	struct vmdk *vmdk = opening->vmdk;
	const struct vmdk_line *lines = vmdk->descriptor.lines.items;
	unsigned count = (unsigned)vmdk->descriptor.lines.count;
	uint64_t start = 0;
	int rc = 0;

	if (!count || (opening->embedded && (count != 1 || lines[0].kind != VMDK_SPARSE)))
		return err_set(err, EINVAL, "a descriptor with %u extents", count);
	vmdk->extents = calloc(count, sizeof(*vmdk->extents));
	if (!vmdk->extents)
		return err_errno(err, ENOMEM, "cannot open it");
	vmdk->extent_count = count;
	for (unsigned i = 0; i < count && !rc; i++) {
		vmdk->extents[i].start = start;
		rc = open_extent(opening, &lines[i], &vmdk->extents[i], err);
		if (vmdk->extents[i].bytes > BLOCK_SIZE_MAX - start)
			return err_set(err, EINVAL, "a disk of more than %llu bytes",
				       (unsigned long long)BLOCK_SIZE_MAX);
		start += vmdk->extents[i].bytes;
	}
	vmdk->bytes = start;
	return rc;
}

/* ---- the parent ---- */

static int open_parent(struct opening *opening, struct err *err)
{
	const struct vmdk_descriptor *descriptor = &opening->vmdk->descriptor;
	struct block_node *parent;
	int rc;

	if (descriptor->parent_cid == VMDK_NO_PARENT || opening->open->no_backing)
		return 0;
	if (!descriptor->parent)
		return err_set(err, EINVAL, "it does not name its parent");
	rc = block_opener_image(opening->open->opener, descriptor->parent, vmdk_format.name,
				&parent, err);
	if (rc)
		return rc;
	if (parent->format != &vmdk_format)
		rc = err_set(err, EINVAL, "its parent is no VMDK image");
	else if (vmdk_of(parent)->descriptor.cid != descriptor->parent_cid)
		rc = err_set(err, EINVAL, "its parent '%.128s' was changed since (%08x, not %08x)",
			     descriptor->parent, vmdk_of(parent)->descriptor.cid,
			     descriptor->parent_cid);
	if (!rc && block_node_add(&opening->vmdk->node, parent))
		rc = err_errno(err, ENOMEM, "cannot open its parent");
	if (rc) {
		block_close(parent);
		return rc;
	}
	opening->vmdk->node.ops->set_backing(&opening->vmdk->node, parent);
	return 0;
}

int vmdk_open_all(struct vmdk *vmdk, const struct block_format_open *open, struct err *err)
{
	struct opening opening = { .vmdk = vmdk, .open = open };
	int rc = read_head(&opening, err);

	if (!rc)
		rc = open_extents(&opening, err);
	if (!rc)
		rc = open_parent(&opening, err);
	return rc && err ? err_wrap(err, "VMDK image '%s'", block_opener_name(open->opener)) : rc;
}
