/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header of VDI images, and new images. */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vdi_priv.h"

#define SIGNATURE       UINT32_C(0xbeda107f)
#define VERSION         UINT32_C(0x00010001)
#define HEADER_SIZE     400 /* as counted by the header: from its size field on */
#define BLOCK_BYTES_MIN (4 * KIB)
#define BLOCK_BYTES_MAX (256 * MIB)
#define ALIGN           MIB

/* Offsets of fields. */
enum {
	TEXT = 0x00,
	AT_SIGNATURE = 0x40,
	AT_VERSION = 0x44,
	AT_HEADER_SIZE = 0x48,
	AT_TYPE = 0x4c,
	AT_MAP_OFFSET = 0x154,
	AT_DATA_OFFSET = 0x158,
	AT_SECTOR_BYTES = 0x168,
	AT_BYTES = 0x170,
	AT_BLOCK_BYTES = 0x178,
	AT_BLOCK_EXTRA = 0x17c,
	AT_BLOCKS = 0x180,
	AT_ALLOCATED = 0x184,
	AT_UUID = 0x188,
	AT_UUID_SNAPSHOT = 0x198,
	AT_UUID_PARENT = 0x1b8,
};

bool vdi_header_is_there(const uint8_t *bytes)
{
	return le32_get(bytes + AT_SIGNATURE) == SIGNATURE;
}

static int check_shape(const struct vdi_header *header, uint64_t file_bytes, const char *name,
		       struct err *err)
{
	uint64_t blocks =
		header->bytes / header->block_bytes + (header->bytes % header->block_bytes != 0);

	if (header->blocks > VDI_BLOCKS_MAX)
		return err_set(err, EFBIG, "VDI image '%s': %u blocks are more than %u", name,
			       header->blocks, VDI_BLOCKS_MAX);
	if (header->bytes > BLOCK_SIZE_MAX || blocks > header->blocks)
		return err_set(err, EINVAL,
			       "VDI image '%s': %llu bytes of disk do not fit into %u blocks", name,
			       (unsigned long long)header->bytes, header->blocks);
	if (header->map_offset < VDI_HEADER_BYTES || header->map_offset % BLOCK_SECTOR ||
	    header->data_offset % BLOCK_SECTOR ||
	    !entries_table_bytes(header->map_offset, header->blocks, header->data_offset))
		return err_set(err, EINVAL,
			       "VDI image '%s': map of %u blocks at %u overlaps header or data at "
			       "%u",
			       name, header->blocks, header->map_offset, header->data_offset);
	if (header->blocks && header->data_offset > round_up(file_bytes, BLOCK_SECTOR))
		return err_set(err, EINVAL, "VDI image '%s': ends inside its map", name);
	return 0;
}

static int check_uuids(const uint8_t *bytes, const char *name, struct err *err)
{
	static const uint8_t none[UUID_BYTES];

	if (memcmp(bytes + AT_UUID_PARENT, none, UUID_BYTES) != 0)
		return err_set(err, ENOTSUP, "VDI image '%s': stands on a parent", name);
	return 0;
}

int vdi_header_decode(struct vdi_header *header, const uint8_t *bytes, uint64_t file_bytes,
		      const char *name, struct err *err)
{
	uint32_t version = le32_get(bytes + AT_VERSION);
	int rc;

	if (!vdi_header_is_there(bytes))
		return err_set(err, EINVAL, "VDI image '%s': no signature at %d", name,
			       AT_SIGNATURE);
	if (version != VERSION)
		return err_set(err, ENOTSUP, "VDI image '%s': version %u.%u", name, version >> 16,
			       version & 0xffff);
	*header = (struct vdi_header){
		.type = le32_get(bytes + AT_TYPE),
		.map_offset = le32_get(bytes + AT_MAP_OFFSET),
		.data_offset = le32_get(bytes + AT_DATA_OFFSET),
		.bytes = le64_get(bytes + AT_BYTES),
		.block_bytes = le32_get(bytes + AT_BLOCK_BYTES),
		.blocks = le32_get(bytes + AT_BLOCKS),
		.allocated = le32_get(bytes + AT_ALLOCATED),
	};
	memcpy(header->uuid, bytes + AT_UUID, UUID_BYTES);
	if (header->type != VDI_DYNAMIC && header->type != VDI_STATIC)
		return err_set(err, ENOTSUP, "VDI image '%s': type %u is not supported", name,
			       header->type);
	if (le32_get(bytes + AT_SECTOR_BYTES) != BLOCK_SECTOR)
		return err_set(err, ENOTSUP, "VDI image '%s': sectors of %u bytes", name,
			       le32_get(bytes + AT_SECTOR_BYTES));
	if (!is_power_of_two(header->block_bytes) || header->block_bytes < BLOCK_BYTES_MIN ||
	    header->block_bytes > BLOCK_BYTES_MAX || le32_get(bytes + AT_BLOCK_EXTRA))
		return err_set(err, ENOTSUP, "VDI image '%s': blocks of %u and %u bytes", name,
			       header->block_bytes, le32_get(bytes + AT_BLOCK_EXTRA));
	rc = check_uuids(bytes, name, err);
	return rc ? rc : check_shape(header, file_bytes, name, err);
}

void vdi_header_encode(const struct vdi_header *header, uint8_t *bytes)
{
	memset(bytes, 0, VDI_HEADER_BYTES);
	memcpy(bytes + TEXT, "<<< Oracle VM VirtualBox Disk Image >>>\n", 40);
	le32_put(bytes + AT_SIGNATURE, SIGNATURE);
	le32_put(bytes + AT_VERSION, VERSION);
	le32_put(bytes + AT_HEADER_SIZE, HEADER_SIZE);
	le32_put(bytes + AT_TYPE, header->type);
	le32_put(bytes + AT_MAP_OFFSET, header->map_offset);
	le32_put(bytes + AT_DATA_OFFSET, header->data_offset);
	le32_put(bytes + AT_SECTOR_BYTES, BLOCK_SECTOR);
	le64_put(bytes + AT_BYTES, header->bytes);
	le32_put(bytes + AT_BLOCK_BYTES, header->block_bytes);
	le32_put(bytes + AT_BLOCKS, header->blocks);
	le32_put(bytes + AT_ALLOCATED, header->allocated);
	memcpy(bytes + AT_UUID, header->uuid, UUID_BYTES);
	uuid_new(bytes + AT_UUID_SNAPSHOT);
}

void vdi_header_update(uint8_t *bytes, const struct vdi_header *header)
{
	le64_put(bytes + AT_BYTES, header->bytes);
	le32_put(bytes + AT_BLOCKS, header->blocks);
	le32_put(bytes + AT_ALLOCATED, header->allocated);
}

/* ---- new images ---- */

static const char *const types[] = { "dynamic", "static", NULL };

const struct block_option vdi_create_options[] = {
	{ .name = "subformat",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "dynamic",
	  .choices = types,
	  .help = "static: every block has its place from the start" },
	{ 0 },
};

static int plan(const struct block_format_create *create, struct vdi_header *header,
		struct err *err)
{
	uint64_t blocks = create->bytes / VDI_BLOCK_BYTES + (create->bytes % VDI_BLOCK_BYTES != 0);
	bool fixed = !strcmp(block_setting_string(create->settings, "subformat"), "static");

	if (create->backing)
		return err_set(err, ENOTSUP, "VDI images cannot stand on others here");
	if (blocks > VDI_BLOCKS_MAX)
		return err_set(err, EFBIG, "cannot create VDI image of %llu bytes: more than %llu",
			       (unsigned long long)create->bytes,
			       (unsigned long long)(VDI_BLOCKS_MAX * VDI_BLOCK_BYTES));
	*header = (struct vdi_header){
		.type = fixed ? VDI_STATIC : VDI_DYNAMIC,
		.map_offset = ALIGN,
		.data_offset = (uint32_t)(ALIGN + round_up(MAX(blocks, UINT64_C(1)) * 4, ALIGN)),
		.bytes = create->bytes,
		.block_bytes = VDI_BLOCK_BYTES,
		.blocks = (uint32_t)blocks,
		.allocated = fixed ? (uint32_t)blocks : 0,
	};
	uuid_new(header->uuid);
	return 0;
}

/* The map: no block has a place, or each its own. */
static int write_map(struct block_node *file, const struct vdi_header *header)
{
	enum { PIECE = 64 * 1024 };
	AUTO_FREE uint8_t *piece = malloc(PIECE);
	uint64_t bytes = header->data_offset - header->map_offset;
	uint32_t block = 0;
	int rc = piece ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < bytes && !rc; at += PIECE) {
		for (unsigned i = 0; i < PIECE; i += 4, block++)
			le32_put(piece + i, block < header->allocated ? block : VDI_NONE);
		rc = block_write(file, header->map_offset + at, piece, PIECE);
	}
	return rc;
}

int vdi_create(const struct block_format_create *create, struct err *err)
{
	uint8_t bytes[VDI_HEADER_BYTES];
	struct vdi_header header;
	int rc = plan(create, &header, err);

	if (rc)
		return rc;
	rc = write_map(create->file, &header);
	if (!rc && header.allocated)
		rc = block_write_zeroes(create->file, header.data_offset,
					(uint64_t)header.blocks * header.block_bytes,
					BLOCK_MAY_UNMAP);
	if (!rc) {
		vdi_header_encode(&header, bytes);
		rc = block_write(create->file, 0, bytes, sizeof(bytes));
	}
	return rc ? err_errno(err, rc, "cannot write image '%s'", block_opener_name(create->opener))
		  : 0;
}

int vdi_measure(const struct block_format_create *create, struct block_node *from,
		uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	struct vdi_header header;
	uint64_t data;
	int rc = plan(create, &header, err);

	if (!rc)
		rc = block_count_data(from, header.block_bytes, &data, err);
	if (rc)
		return rc;
	*ret_full = header.data_offset + (uint64_t)header.blocks * header.block_bytes;
	*ret_required = header.allocated ? *ret_full : header.data_offset + data;
	return 0;
}
