/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD, the format of Virtual PC and Hyper-V: fixed, dynamic and differencing images.
 *
 * Spec: vhd_priv.h.
 *
 * The kind of image is decided by footers that a guest cannot write: of a fixed image its disk ends
 * before the footer, of the others it lies in blocks. Where both a footer of a fixed image at the end
 * and another one at the start are found, a guest has put one of them there, and the user is asked.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/vhd_priv.h"

static const struct block_ops vhd_ops, vhd_fixed_ops;

struct vhd *vhd_of(struct block_node *node)
{
	check(node->ops == &vhd_ops || node->ops == &vhd_fixed_ops);
	return container_of(node, struct vhd, node);
}

static bool is_fixed(const struct vhd *vhd)
{
	return vhd->footer.type == VHD_FIXED;
}

/* ---- data ---- */

static int vhd_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		    struct block_buffer to)
{
	return granules_read(&vhd_of(node)->granules, offset, bytes, to);
}

static int vhd_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer from, unsigned flags)
{
	(void)flags;
	return granules_write(&vhd_of(node)->granules, offset, bytes, from);
}

static int vhd_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
			    unsigned flags)
{
	return granules_write_zeroes(&vhd_of(node)->granules, offset, bytes, flags);
}

static int vhd_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	return granules_discard(&vhd_of(node)->granules, offset, bytes);
}

static int vhd_extent(struct block_node *node, struct block_extent *extent)
{
	return granules_extent(&vhd_of(node)->granules, extent);
}

static bool vhd_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		    struct block_place *ret_place)
{
	struct vhd *vhd = vhd_of(node);

	if (op != BLOCK_FLUSH)
		return granules_map(&vhd->granules, op, offset, bytes, ret_place);
	*ret_place = (struct block_place){ node->next, 0 };
	return !table_cache_is_dirty(vhd->bat.cache) && !table_cache_is_dirty(vhd->bitmaps);
}

static int vhd_flush(struct block_node *node)
{
	return vhd_blocks_flush(vhd_of(node));
}

static int vhd_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	return vhd_blocks_resize(vhd_of(node), bytes, err);
}

/* The footer is at its new place before the old one is gone. */
static int vhd_fixed_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct vhd *vhd = vhd_of(node);
	uint64_t had = atomic_load(&vhd->bytes);
	int rc;

	if (bytes > VHD_BYTES_MAX)
		return err_set(err, EFBIG, "cannot grow a VHD image over %llu bytes",
			       (unsigned long long)VHD_BYTES_MAX);
	vhd_footer_set_bytes(vhd->footer_bytes, bytes);
	rc = block_write(node->next, bytes, vhd->footer_bytes, VHD_FOOTER_BYTES);
	if (!rc)
		rc = block_flush(node->next);
	if (!rc && bytes < had)
		rc = block_resize(node->next, bytes + VHD_FOOTER_BYTES, err);
	else if (!rc && bytes > had)
		rc = block_write_zeroes(node->next, had,
					MIN(bytes - had, (uint64_t)VHD_FOOTER_BYTES), 0);
	if (rc)
		return err_errno(err, rc, "cannot resize the VHD image");
	atomic_store(&vhd->bytes, bytes);
	return 0;
}

static struct block_node *vhd_backing(struct block_node *node)
{
	return vhd_of(node)->parent;
}

static void vhd_stand_on(struct block_node *node, struct block_node *backing)
{
	struct vhd *vhd = vhd_of(node);

	vhd->parent = vhd->granules.backing = backing;
}

/* ---- facts ---- */

static uint64_t vhd_size(struct block_node *node)
{
	return atomic_load(&vhd_of(node)->bytes);
}

/* Sectors get their places in blocks, but nothing is ever copied for them. */
static uint32_t vhd_granularity(struct block_node *node)
{
	(void)node;
	return 4096;
}

static bool vhd_can_write(struct block_node *node)
{
	return !vhd_of(node)->read_only;
}

static json_t *vhd_describe(struct block_node *node)
{
	static const char *const types[] = {
		[VHD_FIXED] = "fixed",
		[VHD_DYNAMIC] = "dynamic",
		[VHD_DIFFERENCING] = "differencing",
	};
	struct vhd *vhd = vhd_of(node);
	char uuid[UUID_TEXT_BYTES], *name;
	json_t *json = json_pack("{s:s, s:o, s:I, s:s, s:s%, s:s}", "format", vhd_ops.name, "file",
				 block_describe(node->next), "size", (json_int_t)vhd_size(node),
				 "subformat", types[vhd->footer.type], "creator",
				 vhd->footer.creator, strnlen((const char *)vhd->footer.creator, 4),
				 "uuid", uuid_text(vhd->footer.uuid, uuid));

	if (json && !is_fixed(vhd)) {
		json_object_set_new(json, "block-size", json_integer(vhd->header.block_bytes));
		json_object_set_new(json, "blocks", json_integer(vhd->blocks));
	}
	if (json && vhd->footer.type == VHD_DIFFERENCING) {
		name = vhd_parent_name(vhd);
		json_object_set_new(json, "backing-file", name ? json_string(name) : json_null());
		json_object_set_new(json, "backing-format", json_string(vhd_ops.name));
		free(name);
	}
	if (json && vhd->parent)
		json_object_set_new(json, "backing", block_describe(vhd->parent));
	return json;
}

/* ---- opening and closing ---- */

static void vhd_close(struct block_node *node)
{
	struct vhd *vhd = vhd_of(node);

	vhd_blocks_close(vhd);
	pthread_mutex_destroy(&vhd->lock);
	block_node_fini(node);
	free(vhd);
}

static const struct block_ops vhd_ops = {
	.name = "vhd",
	.read = vhd_read,
	.write = vhd_write,
	.flush = vhd_flush,
	.discard = vhd_discard,
	.write_zeroes = vhd_write_zeroes,
	.extent = vhd_extent,
	.resize = vhd_resize,
	.map = vhd_map,
	.size = vhd_size,
	.granularity = vhd_granularity,
	.can_write = vhd_can_write,
	.backing = vhd_backing,
	.set_backing = vhd_stand_on,
	.describe = vhd_describe,
	.close = vhd_close,
};

/* The disk is the file but for its end. */
static const struct block_ops vhd_fixed_ops = {
	.name = "vhd",
	.filter = true,
	.resize = vhd_fixed_resize,
	.size = vhd_size,
	.describe = vhd_describe,
	.close = vhd_close,
};

static const char *const size_sources[] = { "auto", "footer", "geometry", NULL };
static const char *const kinds[] = { "auto", "fixed", "dynamic", NULL };

static const struct block_option open_options[] = {
	{ .name = "size",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "auto",
	  .choices = size_sources,
	  .help = "what says how large the disk is; auto: by the creator" },
	{ .name = "subformat",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "auto",
	  .choices = kinds,
	  .help = "the footer to believe, where a guest may have written one" },
	{ 0 },
};

/* Virtual PC shows what the geometry says, and writes a size that may be larger. */
static uint64_t disk_bytes(const struct vhd_footer *footer, const char *source)
{
	bool by_geometry = !footer->geometry_full && (!memcmp(footer->creator, "vpc ", 4) ||
						      !memcmp(footer->creator, "qemu", 4));

	if (!strcmp(source, "geometry") || (by_geometry && !strcmp(source, "auto")))
		return footer->geometry_bytes;
	return round_down(footer->bytes, BLOCK_SECTOR);
}

static int choose_footer(struct vhd *vhd, const struct vhd_footer *head,
			 const struct vhd_footer *tail, const char *kind, const char *name,
			 struct err *err)
{
	bool fixed = tail && tail->type == VHD_FIXED && strcmp(kind, "dynamic") != 0;
	bool others = head && head->type != VHD_FIXED && strcmp(kind, "fixed") != 0;

	if (fixed && others) {
		err_set(err, EINVAL, "VHD image '%s': two footers, of a fixed and of another image",
			name);
		err_hint(err,
			 "its guest wrote one of them; say subformat=fixed or subformat=dynamic");
		return -EINVAL;
	}
	if (!others && tail && tail->type != VHD_FIXED && strcmp(kind, "fixed") != 0)
		head = tail;
	if (!fixed && (!head || head->type == VHD_FIXED))
		return err_set(err, EINVAL, "VHD image '%s': no footer that is whole", name);
	vhd->footer = fixed ? *tail : *head;
	if (vhd->footer.type < VHD_FIXED || vhd->footer.type > VHD_DIFFERENCING)
		return err_set(err, ENOTSUP, "VHD image '%s': type %u is not supported", name,
			       vhd->footer.type);
	return 0;
}

static int open_footer(struct vhd *vhd, const struct block_format_open *open, struct err *err)
{
	uint8_t head[VHD_FOOTER_BYTES], tail[VHD_FOOTER_BYTES];
	const char *name = block_opener_name(open->opener);
	const char *kind = block_setting_string(open->settings, "subformat");
	uint64_t file_bytes = block_size_bytes(open->file);
	struct vhd_footer first, last;
	bool head_good, tail_good;
	int rc;

	if (file_bytes < VHD_FOOTER_BYTES)
		return err_set(err, EINVAL, "VHD image '%s': no footer", name);
	rc = block_read(open->file, 0, head, sizeof(head));
	if (!rc)
		rc = block_read(open->file, file_bytes - VHD_FOOTER_BYTES, tail, sizeof(tail));
	if (rc)
		return err_errno(err, rc, "cannot read image '%s'", name);
	head_good = vhd_footer_decode(&first, head);
	tail_good = vhd_footer_decode(&last, tail);
	rc = choose_footer(vhd, head_good ? &first : NULL, tail_good ? &last : NULL, kind, name,
			   err);
	if (rc)
		return rc;
	memcpy(vhd->footer_bytes, is_fixed(vhd) || !head_good ? tail : head, VHD_FOOTER_BYTES);
	vhd->bytes = disk_bytes(&vhd->footer, block_setting_string(open->settings, "size"));
	/* The one at the end is written by a flush if it is not what it should be. */
	vhd->footer_gone = memcmp(vhd->footer_bytes, tail, VHD_FOOTER_BYTES) != 0;
	if (vhd->bytes > VHD_BYTES_MAX ||
	    (is_fixed(vhd) && vhd->bytes > file_bytes - VHD_FOOTER_BYTES))
		return err_set(err, EINVAL, "VHD image '%s': a disk of %llu bytes", name,
			       (unsigned long long)vhd->bytes);
	return 0;
}

static int open_header(struct vhd *vhd, const struct block_format_open *open, struct err *err)
{
	const char *name = block_opener_name(open->opener);
	uint64_t at = vhd->footer.header_offset, file_bytes = block_size_bytes(open->file);
	int rc = 0;

	if (at < VHD_FOOTER_BYTES || at % BLOCK_SECTOR || at > file_bytes ||
	    VHD_HEADER_BYTES > file_bytes - at)
		return err_set(err, EINVAL, "VHD image '%s': header at %llu", name,
			       (unsigned long long)at);
	rc = block_read(open->file, at, vhd->header_bytes, VHD_HEADER_BYTES);
	if (rc)
		return err_errno(err, rc, "cannot read image '%s'", name);
	if (!vhd_header_decode(&vhd->header, vhd->header_bytes))
		return err_set(err, EINVAL, "VHD image '%s': no header that is whole at %llu", name,
			       (unsigned long long)at);
	return vhd_blocks_open(vhd, open, err);
}

static int set_up(struct vhd *vhd, const struct block_format_open *open, struct err *err)
{
	int rc;

	if (is_fixed(vhd))
		return 0;
	rc = open_header(vhd, open, err);
	if (!rc && vhd->footer.type == VHD_DIFFERENCING && !open->no_backing)
		rc = vhd_parent_open(vhd, open->opener, err);
	return rc;
}

/* What a half-opened node is closed with: its children stay the caller's, but for the parent. */
static void abandon(struct vhd *vhd)
{
	block_close(vhd->parent);
	vhd->read_only = true;
	vhd_close(&vhd->node);
}

static int open_vhd(const struct block_format_open *open, struct block_node **ret_node,
		    struct err *err)
{
	struct vhd *vhd = calloc(1, sizeof(*vhd));
	int rc;

	if (!vhd)
		return err_errno(err, ENOMEM, "cannot open image '%s'",
				 block_opener_name(open->opener));
	rc = open_footer(vhd, open, err);
	if (rc) {
		free(vhd);
		return rc;
	}
	block_node_init(&vhd->node, is_fixed(vhd) ? &vhd_fixed_ops : &vhd_ops, open->loop);
	pthread_mutex_init(&vhd->lock, NULL);
	vhd->read_only = open->read_only;
	if (block_node_add(&vhd->node, open->file))
		rc = err_errno(err, ENOMEM, "cannot open image '%s'",
			       block_opener_name(open->opener));
	if (!rc)
		rc = set_up(vhd, open, err);
	if (rc) {
		abandon(vhd);
		return rc;
	}
	*ret_node = &vhd->node;
	return 0;
}

static unsigned probe(const struct block_header *header)
{
	struct vhd_footer footer;

	if (vhd_footer_is_there(header->head))
		return 100;
	return vhd_footer_decode(&footer, header->tail) && footer.type == VHD_FIXED ? 90 : 0;
}

static const char *const extensions[] = { "vhd", "vpc", NULL };
static const char *const other_names[] = { "vpc", NULL };

const struct block_format vhd_format = {
	.name = "vhd",
	.summary = "Virtual PC and Hyper-V (version 1) disk image",
	.extensions = extensions,
	.other_names = other_names,
	.open_options = open_options,
	.create_options = vhd_create_options,
	.probe = probe,
	.open = open_vhd,
	.create = vhd_create,
	.measure = vhd_measure,
	.check = vhd_check,
	.set_backing = vhd_set_backing,
	.empty = vhd_empty,
};
