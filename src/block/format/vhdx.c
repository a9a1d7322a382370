/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHDX images: opening, closing, and facts. */
#include "block/format/vhdx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "block/format/formats.h"
#include "block/format/uuid.h"

struct vhdx *vhdx_of(struct block_node *node)
{
	check(node->ops == &vhdx_ops);
	return container_of(node, struct vhdx, node);
}

static uint64_t vhdx_size(struct block_node *node)
{
	return atomic_load(&vhdx_of(node)->size);
}

static uint32_t vhdx_unit(struct block_node *node)
{
	return vhdx_of(node)->sector_bytes;
}

static uint32_t vhdx_granularity(struct block_node *node)
{
	return vhdx_of(node)->block_bytes;
}

static bool vhdx_writable(struct block_node *node)
{
	return !vhdx_of(node)->read_only;
}

static struct block_node *vhdx_backing(struct block_node *node)
{
	return vhdx_of(node)->parent;
}

static void vhdx_stand_on(struct block_node *node, struct block_node *backing)
{
	vhdx_of(node)->parent = backing;
}

static json_t *vhdx_describe(struct block_node *node)
{
	struct vhdx *vhdx = vhdx_of(node);
	AUTO_FREE char *parent = vhdx->has_parent ? vhdx_parent_name(vhdx) : NULL;
	char disk_id[VHDX_GUID_TEXT];
	json_t *facts;

	vhdx_guid_format(&vhdx->disk_id, disk_id);
	facts = json_pack("{s:s, s:o, s:I, s:b, s:s, s:I, s:I, s:I, s:I, s:s, s:b}", "format",
			  "vhdx", "file", block_describe(node->next), "size",
			  (json_int_t)atomic_load(&vhdx->size), "read-only", vhdx->read_only,
			  "subformat",
			  vhdx->has_parent ? "differencing"
			  : vhdx->fixed    ? "fixed"
					   : "dynamic",
			  "block-size", (json_int_t)vhdx->block_bytes, "sector-size",
			  (json_int_t)vhdx->sector_bytes, "physical-sector-size",
			  (json_int_t)vhdx->physical_sector_bytes, "log-size",
			  (json_int_t)vhdx->header.log_bytes, "disk-id", disk_id, "log-replayed",
			  vhdx->replayed);
	if (parent) {
		json_object_set_new(facts, "backing-file", json_string(parent));
		json_object_set_new(facts, "backing-format", json_string(vhdx_ops.name));
	}
	if (vhdx->parent)
		json_object_set_new(facts, "backing", block_describe(vhdx->parent));
	return facts;
}

static void vhdx_free(struct vhdx *vhdx)
{
	block_node_fini(&vhdx->node);
	table_cache_free(vhdx->cache);
	vec_fini(&vhdx->space.given_up);
	free(vhdx->space.used);
	pthread_mutex_destroy(&vhdx->header_lock);
	pthread_mutex_destroy(&vhdx->bitmap_lock);
	pthread_mutex_destroy(&vhdx->space.lock);
	vhdx_log_fini(vhdx);
	free(vhdx);
}

static void vhdx_close(struct block_node *node)
{
	struct vhdx *vhdx = vhdx_of(node);

	/* After a failure the log stays named, and is replayed when the image is opened again. */
	if (atomic_load(&vhdx->writing) && !vhdx_flush(node))
		vhdx_log_end(vhdx);
	vhdx_free(vhdx);
}

const struct block_ops vhdx_ops = {
	.name = "vhdx",
	.read = vhdx_read,
	.write = vhdx_write,
	.flush = vhdx_flush,
	.discard = vhdx_discard,
	.write_zeroes = vhdx_write_zeroes,
	.extent = vhdx_extent,
	.resize = vhdx_resize,
	.map = vhdx_map,
	.size = vhdx_size,
	.unit = vhdx_unit,
	.granularity = vhdx_granularity,
	.can_write = vhdx_writable,
	.can_discard = vhdx_writable,
	.can_write_zeroes = vhdx_writable,
	.backing = vhdx_backing,
	.set_backing = vhdx_stand_on,
	.describe = vhdx_describe,
	.close = vhdx_close,
};

static unsigned vhdx_probe(const struct block_header *header)
{
	return memcmp(header->head, "vhdxfile", 8) ? 0 : 100;
}

static struct vhdx *vhdx_new(const struct block_format_open *open)
{
	struct vhdx *vhdx = calloc(1, sizeof(*vhdx));

	if (!vhdx)
		return NULL;
	block_node_init(&vhdx->node, &vhdx_ops, open->loop);
	vhdx->read_only = open->read_only;
	pthread_mutex_init(&vhdx->header_lock, NULL);
	pthread_mutex_init(&vhdx->bitmap_lock, NULL);
	pthread_mutex_init(&vhdx->space.lock, NULL);
	pthread_mutex_init(&vhdx->log.lock, NULL);
	return vhdx;
}

static int check_identifier(struct block_node *file, struct err *err)
{
	uint8_t identifier[8];
	int rc = block_size_bytes(file) < VHDX_ALIGN
			 ? -EINVAL
			 : block_read(file, 0, identifier, sizeof(identifier));

	if (!rc && memcmp(identifier, "vhdxfile", 8))
		rc = -EINVAL;
	return rc ? err_errno(err, rc, "cannot open VHDX: no identifier of one") : 0;
}

/* The file, or what the log makes of it, becomes the node's first child. */
static int settle_log(struct vhdx *vhdx, const struct block_format_open *open,
		      struct block_node **ret_view, struct err *err)
{
	int rc = 0;

	if (!open->read_only) {
		rc = vhdx_log_replay(open->file, &vhdx->header, &vhdx->replayed, err);
	} else if (!vhdx_guid_is_null(&vhdx->header.log)) {
		rc = vhdx_log_view(open->file, &vhdx->header, open->loop, ret_view, err);
		vhdx->replayed = *ret_view;
	}
	if (rc)
		return rc;
	if (block_node_add(&vhdx->node, *ret_view ? *ret_view : open->file))
		return err_errno(err, ENOMEM, "cannot open VHDX");
	return 0;
}

static int read_regions(struct vhdx *vhdx, struct err *err)
{
	struct vhdx_regions regions;
	int rc = vhdx_regions_read(vhdx->node.next, &regions, err);

	vec_fini(&regions.unknown);
	if (rc)
		return rc;
	vhdx->bat = regions.bat;
	vhdx->metadata = regions.metadata;
	rc = vhdx_metadata_read(vhdx, err);
	if (rc)
		return rc;
	if (vhdx_rows_needed(vhdx, atomic_load(&vhdx->size)) * 8 > vhdx->bat.bytes)
		return err_set(err, EINVAL, "cannot open VHDX: the BAT of %u bytes is too short",
			       vhdx->bat.bytes);
	return 0;
}

static int start_tables(struct vhdx *vhdx, const struct block_format_open *open, struct err *err)
{
	const struct table_cache_config config = {
		.file = vhdx->node.next,
		.table_bytes = VHDX_TABLE_BYTES,
		.budget_bytes = open->cache_bytes,
		.write = vhdx_log_write,
		.ctx = vhdx,
	};
	int rc = table_cache_new(&vhdx->cache, &config);

	uuid_new(vhdx->log.guid.bytes);
	vhdx->log.offset = vhdx->header.log_offset;
	vhdx->log.bytes = vhdx->header.log_bytes;
	return rc ? err_errno(err, rc, "cannot open VHDX") : 0;
}

static int open_parts(struct vhdx *vhdx, const struct block_format_open *open,
		      struct block_node **ret_view, struct err *err)
{
	unsigned copies;
	int rc = check_identifier(open->file, err);

	if (!rc)
		rc = vhdx_header_read(open->file, &vhdx->header, &copies, err);
	if (!rc)
		rc = settle_log(vhdx, open, ret_view, err);
	if (!rc)
		rc = read_regions(vhdx, err);
	if (!rc)
		rc = start_tables(vhdx, open, err);
	if (!rc && !open->read_only && !open->check)
		rc = vhdx_space_load(vhdx, err);
	if (!rc && vhdx->has_parent && !open->no_backing)
		rc = vhdx_parent_open(vhdx, open->opener, err);
	return rc;
}

static int vhdx_open(const struct block_format_open *open, struct block_node **ret_node,
		     struct err *err)
{
	struct vhdx *vhdx = vhdx_new(open);
	struct block_node *view = NULL;
	int rc;

	if (!vhdx)
		return err_errno(err, ENOMEM, "cannot open VHDX");
	rc = open_parts(vhdx, open, &view, err);
	if (rc) {
		vhdx_free(vhdx);
		/* The file stays the caller's. */
		if (view) {
			view->child_count = 0;
			block_close(view);
		}
		return err_wrap(err, "image '%s'", block_opener_name(open->opener));
	}
	*ret_node = &vhdx->node;
	return 0;
}

static const char *const extensions[] = { "vhdx", "avhdx", NULL };

const struct block_format vhdx_format = {
	.name = "vhdx",
	.summary = "Hyper-V disks: fixed, dynamic, differencing, with a log",
	.extensions = extensions,
	.create_options = vhdx_create_options,
	.probe = vhdx_probe,
	.open = vhdx_open,
	.create = vhdx_create,
	.measure = vhdx_measure,
	.check = vhdx_check,
	.set_backing = vhdx_set_backing,
	.identity_changes = true,
	.empty = vhdx_empty,
};
