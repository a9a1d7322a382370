/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VDI, the format of VirtualBox: dynamic and static images.
 *
 * Spec: vdi_priv.h.
 *
 * Order of writing: data of new blocks and the header's count of blocks are durable before the map
 * entry that names them is written, so a cut in between loses only space, and that is found again
 * when the image is opened to be written: the map says which blocks of the file are in use.
 *
 * Zeroes and discards of blocks that have a place are holes in the file; no block is ever freed.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/vdi_priv.h"
#include "host/thread.h"

#define WORD_BITS 64

static const struct block_ops vdi_ops;

struct vdi *vdi_of(struct block_node *node)
{
	check(node->ops == &vdi_ops);
	return container_of(node, struct vdi, node);
}

/* ---- places ---- */

static struct vdi *vdi_of_granules(struct granules *granules)
{
	return container_of(granules, struct vdi, granules);
}

static uint64_t place_of(const struct vdi *vdi, uint64_t block)
{
	return vdi->header.data_offset + block * vdi->header.block_bytes;
}

static int look_up(struct granules *granules, uint64_t offset, bool wait, struct granule_run *run)
{
	struct vdi *vdi = vdi_of_granules(granules);
	uint32_t block_bytes = vdi->header.block_bytes;
	uint64_t inside = offset & (block_bytes - 1);
	uint64_t max = (inside + run->bytes - 1) / block_bytes + 1;
	uint64_t count;
	uint32_t value;
	int rc = entries_get(&vdi->map, offset / block_bytes, max, wait, &value, &count);

	if (rc)
		return rc;
	run->bytes = MIN(run->bytes, count * block_bytes - inside);
	if (value >= VDI_ZERO) {
		run->kind = GRANULE_ZERO;
		return 0;
	}
	if (value >= vdi->header.blocks || count > vdi->header.blocks - value) {
		log_once(&vdi->damage_said, LOG_ERROR,
			 "VDI: map says block %u of %u for byte %llu of the disk", value,
			 vdi->header.blocks, (unsigned long long)offset);
		return -EIO;
	}
	run->kind = GRANULE_DATA;
	run->at = place_of(vdi, value) + inside;
	return 0;
}

static bool is_used(const struct vdi *vdi, uint32_t block)
{
	return vdi->used[block / WORD_BITS] >> (block % WORD_BITS) & 1;
}

static void set_used(struct vdi *vdi, uint32_t block, bool used)
{
	uint64_t *word = &vdi->used[block / WORD_BITS];

	*word = bits_set(*word, block % WORD_BITS, 1, used);
}

static int place(struct granules *granules, uint64_t index, uint64_t *count, uint64_t *ret_at)
{
	struct vdi *vdi = vdi_of_granules(granules);
	uint32_t block, found = 0;

	(void)index;
	LOCK_SCOPE(&vdi->lock);
	block = vdi->free_hint;
	while (block < vdi->header.blocks && is_used(vdi, block))
		block++;
	while (found < *count && block + found < vdi->header.blocks && !is_used(vdi, block + found))
		set_used(vdi, block + found++, true);
	if (!found)
		return -ENOSPC;
	vdi->free_hint = block + found;
	vdi->end = MAX(vdi->end, block + found);
	*count = found;
	*ret_at = place_of(vdi, block);
	return 0;
}

static void give_back(struct granules *granules, uint64_t index, uint64_t count, uint64_t at)
{
	struct vdi *vdi = vdi_of_granules(granules);
	uint32_t block = (uint32_t)((at - vdi->header.data_offset) / vdi->header.block_bytes);

	(void)index;
	LOCK_SCOPE(&vdi->lock);
	for (uint32_t i = 0; i < count; i++)
		set_used(vdi, block + i, false);
	vdi->free_hint = MIN(vdi->free_hint, block);
}

static int attach(struct granules *granules, uint64_t index, uint64_t count, uint64_t at)
{
	struct vdi *vdi = vdi_of_granules(granules);
	uint64_t block = (at - vdi->header.data_offset) / vdi->header.block_bytes;

	return entries_set(&vdi->map, index, count, (uint32_t)block);
}

static const struct granules_ops granules_ops = {
	.look_up = look_up,
	.place = place,
	.attach = attach,
	.give_back = give_back,
};

/* ---- data ---- */

static int vdi_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		    struct block_buffer to)
{
	return granules_read(&vdi_of(node)->granules, offset, bytes, to);
}

static int vdi_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer from, unsigned flags)
{
	(void)flags;
	return granules_write(&vdi_of(node)->granules, offset, bytes, from);
}

static int vdi_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes,
			    unsigned flags)
{
	return granules_write_zeroes(&vdi_of(node)->granules, offset, bytes, flags);
}

static int vdi_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	return granules_discard(&vdi_of(node)->granules, offset, bytes);
}

static int vdi_extent(struct block_node *node, struct block_extent *extent)
{
	return granules_extent(&vdi_of(node)->granules, extent);
}

static bool vdi_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		    struct block_place *ret_place)
{
	struct vdi *vdi = vdi_of(node);

	if (op != BLOCK_FLUSH)
		return granules_map(&vdi->granules, op, offset, bytes, ret_place);
	*ret_place = (struct block_place){ node->next, 0 };
	return !table_cache_is_dirty(vdi->map.cache);
}

/* With the header's lock. */
static int write_header(struct vdi *vdi)
{
	uint8_t bytes[VDI_HEADER_BYTES];
	int rc = block_read(vdi->node.next, 0, bytes, sizeof(bytes));

	if (rc)
		return rc;
	vdi_header_update(bytes, &vdi->header);
	return block_write(vdi->node.next, 0, bytes, sizeof(bytes));
}

int vdi_write_end(struct vdi *vdi)
{
	uint32_t end, had;
	int rc;

	LOCK_SCOPE(&vdi->header_lock);
	pthread_mutex_lock(&vdi->lock);
	end = vdi->end;
	pthread_mutex_unlock(&vdi->lock);
	had = vdi->header.allocated;
	if (end == had)
		return 0;
	vdi->header.allocated = end;
	rc = write_header(vdi);
	if (rc)
		vdi->header.allocated = had;
	return rc;
}

static int before_map(void *ctx)
{
	struct vdi *vdi = ctx;
	int rc = vdi_write_end(vdi);

	return rc ? rc : block_flush(vdi->node.next);
}

static int vdi_flush(struct block_node *node)
{
	int rc = table_cache_write_back(vdi_of(node)->map.cache);

	return rc ? rc : block_flush(node->next);
}

/* ---- facts ---- */

static uint64_t vdi_size(struct block_node *node)
{
	return atomic_load(&vdi_of(node)->bytes);
}

static uint32_t vdi_granularity(struct block_node *node)
{
	return vdi_of(node)->header.block_bytes;
}

static bool vdi_can_write(struct block_node *node)
{
	return !vdi_of(node)->read_only;
}

static json_t *vdi_describe(struct block_node *node)
{
	struct vdi *vdi = vdi_of(node);
	char uuid[UUID_TEXT_BYTES];

	return json_pack(
		"{s:s, s:o, s:I, s:s, s:I, s:I, s:I, s:I, s:s}", "format", vdi_ops.name, "file",
		block_describe(node->next), "size", (json_int_t)vdi_size(node), "subformat",
		vdi->header.type == VDI_STATIC ? "static" : "dynamic", "block-size",
		(json_int_t)vdi->header.block_bytes, "blocks", (json_int_t)vdi->header.blocks,
		"blocks-allocated", (json_int_t)vdi->header.allocated, "data-offset",
		(json_int_t)vdi->header.data_offset, "uuid", uuid_text(vdi->header.uuid, uuid));
}

/* ---- resizing ---- */

/* Bits for the blocks that come. */
static int extend_used(struct vdi *vdi, uint32_t blocks)
{
	size_t words = blocks / WORD_BITS + 1, had = vdi->header.blocks / WORD_BITS + 1;
	uint64_t *used;

	LOCK_SCOPE(&vdi->lock);
	used = realloc(vdi->used, words * sizeof(*used));
	if (!used)
		return -ENOMEM;
	for (size_t i = had; i < words; i++)
		used[i] = 0;
	vdi->used = used;
	return 0;
}

/* Blocks of a static image have their place from the start. */
static int place_all(struct vdi *vdi, uint64_t from, uint64_t end)
{
	int rc = 0;

	while (from < end && !rc) {
		uint64_t count = end - from, at;

		rc = place(&vdi->granules, from, &count, &at);
		if (!rc)
			rc = block_write_zeroes(vdi->node.next, at, count * vdi->header.block_bytes,
						BLOCK_MAY_UNMAP);
		if (!rc)
			rc = attach(&vdi->granules, from, count, at);
		from += count;
	}
	return rc;
}

/* The longer map is durable before the header that says so. */
static int grow(struct vdi *vdi, uint64_t bytes, uint32_t blocks)
{
	uint32_t had = vdi->header.blocks;
	int rc = extend_used(vdi, blocks);

	if (rc)
		return rc;
	vdi->map.count = blocks;
	rc = entries_set(&vdi->map, had, blocks - had, VDI_NONE);
	if (!rc)
		rc = vdi_flush(&vdi->node);
	if (rc) {
		vdi->map.count = had;
		return rc;
	}
	pthread_mutex_lock(&vdi->header_lock);
	vdi->header.bytes = bytes;
	vdi->header.blocks = blocks;
	rc = write_header(vdi);
	pthread_mutex_unlock(&vdi->header_lock);
	vdi->granules.bytes = bytes;
	atomic_store(&vdi->bytes, bytes);
	if (!rc && vdi->header.type == VDI_STATIC)
		rc = place_all(vdi, had, blocks);
	return rc ? rc : vdi_flush(&vdi->node);
}

static int vdi_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct vdi *vdi = vdi_of(node);
	uint64_t had = vdi_size(node), block_bytes = vdi->header.block_bytes;
	uint64_t blocks = bytes / block_bytes + (bytes % block_bytes != 0);
	uint64_t tail = round_up(had, block_bytes) - had;
	int rc = 0;

	if (bytes < had)
		return err_set(err, ENOTSUP, "cannot shrink a VDI image");
	blocks = MAX(blocks, (uint64_t)vdi->header.blocks);
	if (blocks > VDI_BLOCKS_MAX ||
	    entries_table_bytes(vdi->header.map_offset, blocks, vdi->header.data_offset) <
		    vdi->map.table_bytes) {
		err_set(err, ENOSPC,
			"cannot grow the VDI image: its map has no room for %llu blocks",
			(unsigned long long)blocks);
		err_hint(err, "convert it to a new image");
		return -ENOSPC;
	}
	/* Others may have left something behind the end. */
	if (tail)
		rc = granules_write_zeroes(&vdi->granules, had, tail, 0);
	if (!rc) {
		RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
		rc = grow(vdi, bytes, (uint32_t)blocks);
	}
	return rc ? err_errno(err, rc, "cannot grow the VDI image") : 0;
}

/* ---- opening and closing ---- */

static void vdi_close(struct block_node *node)
{
	struct vdi *vdi = vdi_of(node);

	if (vdi->map.cache && !vdi->read_only)
		table_cache_write_back(vdi->map.cache);
	table_cache_free(vdi->map.cache);
	pthread_mutex_destroy(&vdi->lock);
	pthread_mutex_destroy(&vdi->header_lock);
	block_node_fini(node);
	free(vdi->used);
	free(vdi);
}

static const struct block_ops vdi_ops = {
	.name = "vdi",
	.read = vdi_read,
	.write = vdi_write,
	.flush = vdi_flush,
	.discard = vdi_discard,
	.write_zeroes = vdi_write_zeroes,
	.extent = vdi_extent,
	.resize = vdi_resize,
	.map = vdi_map,
	.size = vdi_size,
	.granularity = vdi_granularity,
	.can_write = vdi_can_write,
	.describe = vdi_describe,
	.close = vdi_close,
};

/* Which blocks of the file are used. Two entries that name one block would spoil each other. */
static int find_used(struct vdi *vdi, struct err *err)
{
	uint32_t block, run_start = 0;
	uint64_t count;
	int rc = 0;

	vdi->used = calloc(vdi->header.blocks / WORD_BITS + 1, sizeof(*vdi->used));
	if (!vdi->used)
		return -ENOMEM;
	for (uint64_t index = 0; index < vdi->header.blocks && !rc; index += count) {
		rc = entries_get(&vdi->map, index, UINT64_MAX, true, &run_start, &count);
		if (rc)
			return err_errno(err, rc, "cannot read the map of the VDI image");
		if (run_start >= VDI_ZERO)
			continue;
		for (block = run_start; block - run_start < count; block++) {
			if (block >= vdi->header.blocks || is_used(vdi, block))
				return err_set(
					err, EINVAL,
					"VDI image: the map's entry %llu names block %u, which "
					"%s",
					(unsigned long long)(index + block - run_start), block,
					block < vdi->header.blocks ? "another names too"
								   : "is none");
			set_used(vdi, block, true);
			vdi->end = MAX(vdi->end, block + 1);
		}
	}
	return rc;
}

static int open_cache(struct vdi *vdi, const struct block_format_open *open)
{
	struct table_cache_config config = { .file = open->file,
					     .before_write = before_map,
					     .ctx = vdi };
	struct vdi_header *header = &vdi->header;
	struct entries *map = &vdi->map;

	*map = (struct entries){
		.offset = header->map_offset,
		.count = header->blocks,
		.table_bytes = entries_table_bytes(header->map_offset, header->blocks,
						   header->data_offset),
		.high_specials = 2,
		.step = 1,
	};
	config.table_bytes = map->table_bytes;
	config.budget_bytes = open->cache_bytes;
	return table_cache_new(&map->cache, &config);
}

static int open_header(struct vdi *vdi, const struct block_format_open *open, struct err *err)
{
	const char *name = block_opener_name(open->opener);
	uint8_t bytes[VDI_HEADER_BYTES];
	int rc;

	if (block_size_bytes(open->file) < sizeof(bytes))
		return err_set(err, EINVAL, "VDI image '%s': no header", name);
	rc = block_read(open->file, 0, bytes, sizeof(bytes));
	if (rc)
		return err_errno(err, rc, "cannot read image '%s'", name);
	return vdi_header_decode(&vdi->header, bytes, block_size_bytes(open->file), name, err);
}

static int set_up(struct vdi *vdi, const struct block_format_open *open, struct err *err)
{
	int rc = open_header(vdi, open, err);

	if (rc)
		return rc;
	vdi->bytes = round_up(vdi->header.bytes, BLOCK_SECTOR);
	vdi->granules = (struct granules){
		.ops = &granules_ops,
		.node = &vdi->node,
		.file = open->file,
		.bytes = vdi->bytes,
		.granule_bytes = vdi->header.block_bytes,
		.hold_bytes = vdi->header.block_bytes,
	};
	rc = open_cache(vdi, open);
	if (!rc)
		rc = block_node_add(&vdi->node, open->file);
	if (rc)
		return err_errno(err, rc, "cannot open image '%s'",
				 block_opener_name(open->opener));
	/* What is checked may be damaged; then it is not written but by the check. */
	return open->read_only || open->check ? 0 : find_used(vdi, err);
}

static int open_vdi(const struct block_format_open *open, struct block_node **ret_node,
		    struct err *err)
{
	struct vdi *vdi = calloc(1, sizeof(*vdi));
	int rc;

	if (!vdi)
		return err_errno(err, ENOMEM, "cannot open image '%s'",
				 block_opener_name(open->opener));
	block_node_init(&vdi->node, &vdi_ops, open->loop);
	pthread_mutex_init(&vdi->lock, NULL);
	pthread_mutex_init(&vdi->header_lock, NULL);
	vdi->read_only = open->read_only;
	rc = set_up(vdi, open, err);
	if (rc) {
		vdi->read_only = true;
		vdi_close(&vdi->node);
		return rc;
	}
	*ret_node = &vdi->node;
	return 0;
}

static unsigned probe(const struct block_header *header)
{
	return vdi_header_is_there(header->head) ? 100 : 0;
}

static const char *const extensions[] = { "vdi", NULL };

const struct block_format vdi_format = {
	.name = "vdi",
	.summary = "VirtualBox disk image",
	.extensions = extensions,
	.create_options = vdi_create_options,
	.probe = probe,
	.open = open_vdi,
	.create = vdi_create,
	.measure = vdi_measure,
	.check = vdi_check,
};
