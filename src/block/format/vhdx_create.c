/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New VHDX images: headers, then the log, the metadata region, the BAT, and blocks. */
#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "block/format/uuid.h"
#include "block/format/vhdx.h"

#define WRITE_BYTES (64 * KIB)

static const char *const subformats[] = { "dynamic", "fixed", NULL };

const struct block_option vhdx_create_options[] = {
	{ .name = "subformat",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "dynamic",
	  .choices = subformats,
	  .help = "space as it is needed, or all of it now" },
	{ .name = "block-size",
	  .type = BLOCK_OPTION_SIZE,
	  .preset = "32M",
	  .min = VHDX_BLOCK_MIN,
	  .max = VHDX_BLOCK_MAX,
	  .power_of_two = true,
	  .help = "what is allocated at once" },
	{ .name = "log-size",
	  .type = BLOCK_OPTION_SIZE,
	  .preset = "1M",
	  .min = MIB,
	  .max = VHDX_LOG_MAX,
	  .power_of_two = true,
	  .help = "of the log of metadata" },
	{ .name = "sector-size",
	  .type = BLOCK_OPTION_SIZE,
	  .preset = "512",
	  .min = 512,
	  .max = 4096,
	  .power_of_two = true,
	  .help = "logical sectors of the disk: 512 or 4096" },
	{ 0 },
};

/* Where everything goes. */
struct layout {
	struct vhdx vhdx; /* its facts only, for the shape of the BAT */
	struct vhdx_header header;
	struct vhdx_region bat;
	uint64_t metadata, data; /* offsets in the file */
	uint64_t size, blocks;
};

static int layout_init(struct layout *layout, const struct block_format_create *create,
		       struct err *err)
{
	uint32_t sector = (uint32_t)block_setting_number(create->settings, "sector-size");
	uint32_t block = (uint32_t)block_setting_number(create->settings, "block-size");
	uint32_t log = (uint32_t)block_setting_number(create->settings, "log-size");
	bool fixed = block_setting_string(create->settings, "subformat") == NULL ||
		     *block_setting_string(create->settings, "subformat") == 'f';

	if (sector != 512 && sector != 4096)
		return err_set(err, EINVAL, "option 'sector_size': neither 512 nor 4096");
	if (!create->bytes || create->bytes > VHDX_SIZE_MAX || create->bytes % sector)
		return err_set(err, EINVAL,
			       "cannot create VHDX of %llu bytes: it has up to 64 TiB of sectors",
			       (unsigned long long)create->bytes);
	if (fixed && create->backing)
		return err_set(err, EINVAL, "cannot create VHDX: a fixed one has no parent");
	*layout = (struct layout){
		.vhdx = {
			.block_bytes = block,
			.sector_bytes = sector,
			.fixed = fixed,
			.has_parent = create->backing,
			.chunk_blocks = VHDX_BITMAP_SECTORS * sector / block,
		},
		.header = { .log_offset = VHDX_ALIGN, .log_bytes = log },
		.metadata = VHDX_ALIGN + log,
		.size = create->bytes,
		.blocks = (create->bytes + block - 1) / block,
	};
	layout->bat.offset = layout->metadata + VHDX_METADATA_BYTES;
	layout->bat.bytes =
		(uint32_t)round_up(vhdx_rows_needed(&layout->vhdx, create->bytes) * 8, VHDX_ALIGN);
	layout->data = layout->bat.offset + layout->bat.bytes;
	return 0;
}

static uint64_t row_of_new(const struct layout *layout, uint64_t row)
{
	const struct vhdx *vhdx = &layout->vhdx;
	uint64_t block = row - row / (vhdx->chunk_blocks + 1);

	if (!vhdx->fixed || vhdx_row_is_bitmap(vhdx, row) || block >= layout->blocks)
		return 0;
	return (layout->data + block * vhdx->block_bytes) | VHDX_PRESENT;
}

static int write_bat(const struct layout *layout, struct block_node *file)
{
	AUTO_FREE uint8_t *buffer = malloc(WRITE_BYTES);
	uint64_t row = 0;
	int rc = buffer ? 0 : -ENOMEM;

	if (!layout->vhdx.fixed && !rc)
		return block_write_zeroes(file, layout->bat.offset, layout->bat.bytes, 0);
	for (uint64_t at = 0; at < layout->bat.bytes && !rc; at += WRITE_BYTES) {
		for (unsigned i = 0; i < WRITE_BYTES; i += 8, row++)
			le64_put(buffer + i, row_of_new(layout, row));
		rc = block_write(file, layout->bat.offset + at, buffer, WRITE_BYTES);
	}
	return rc;
}

static int write_data(const struct layout *layout, struct block_node *file)
{
	uint64_t bytes = layout->vhdx.fixed ? layout->blocks * layout->vhdx.block_bytes : 0;

	if (bytes)
		return block_write_zeroes(file, layout->data, bytes, 0);
	/* All of the regions are in the file. */
	return block_size_bytes(file) < layout->data ? block_resize(file, layout->data, NULL) : 0;
}

static int build_locator(const struct block_format_create *create,
			 struct vhdx_parameters *parameters, uint8_t **ret_locator, struct err *err)
{
	struct block_node *parent;
	int rc;

	if (!create->backing)
		return 0;
	rc = block_opener_image(create->opener, create->backing, create->backing_format, &parent,
				err);
	if (rc)
		return rc;
	if (parent->ops == &vhdx_ops)
		rc = vhdx_locator_build(create->backing, &vhdx_of(parent)->header.data_write,
					ret_locator, &parameters->locator_bytes, err);
	else
		rc = err_set(err, EINVAL, "cannot create VHDX on '%s': it is no VHDX",
			     create->backing);
	parameters->locator = *ret_locator;
	block_close(parent);
	return rc;
}

int vhdx_create(const struct block_format_create *create, struct err *err)
{
	struct block_node *file = create->file;
	AUTO_FREE uint8_t *locator = NULL;
	struct vhdx_parameters parameters;
	struct layout layout;
	int rc = layout_init(&layout, create, err);

	if (rc)
		return rc;
	parameters = (struct vhdx_parameters){
		.size = create->bytes,
		.block_bytes = layout.vhdx.block_bytes,
		.sector_bytes = layout.vhdx.sector_bytes,
		.physical_sector_bytes = 4096,
		.fixed = layout.vhdx.fixed,
	};
	rc = build_locator(create, &parameters, &locator, err);
	if (rc)
		return rc;
	uuid_new(parameters.disk_id.bytes);
	uuid_new(layout.header.file_write.bytes);
	uuid_new(layout.header.data_write.bytes);
	rc = write_data(&layout, file);
	if (!rc)
		rc = write_bat(&layout, file);
	if (!rc)
		rc = vhdx_metadata_create(file, layout.metadata, &parameters);
	if (!rc)
		rc = vhdx_header_create(
			file, &layout.header, layout.bat,
			(struct vhdx_region){ layout.metadata, VHDX_METADATA_BYTES });
	return rc ? err_errno(err, rc, "cannot create VHDX '%s'", block_opener_name(create->opener))
		  : 0;
}

int vhdx_measure(const struct block_format_create *create, struct block_node *from,
		 uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	struct layout layout;
	uint64_t data;
	int rc = layout_init(&layout, create, err);

	if (!rc)
		rc = block_count_data(from, layout.vhdx.block_bytes, &data, err);
	if (rc)
		return rc;
	*ret_full = layout.data + layout.blocks * layout.vhdx.block_bytes;
	*ret_required = layout.vhdx.fixed ? *ret_full : layout.data + data;
	return 0;
}
