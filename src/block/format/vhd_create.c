/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New VHD images. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/file/raw.h"
#include "block/format/formats.h"
#include "block/format/vhd_priv.h"

/* Tables start and end at multiples of this, so that large pieces of them can be cached. */
#define ALIGN 4096

static const char *const types[] = { "dynamic", "fixed", NULL };

const struct block_option vhd_create_options[] = {
	{ .name = "subformat",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "dynamic",
	  .choices = types,
	  .help = "fixed: the plain disk with a footer behind it" },
	{ .name = "block-size",
	  .type = BLOCK_OPTION_SIZE,
	  .preset = "2M",
	  .min = 64 * KIB,
	  .max = 256 * MIB,
	  .power_of_two = true,
	  .help = "bytes that get their place together" },
	{ 0 },
};

/* All that will be written, and where. */
struct plan {
	struct vhd_footer footer;
	struct vhd_header header;
	uint8_t *
		parent_bytes; /* name for the header, then what the locator points to; NULL: none */
	uint64_t parent_count;
	uint64_t end; /* of all but the last footer */
};

static int plan_size(const struct block_format_create *create, struct plan *plan, struct err *err)
{
	bool fixed = !strcmp(block_setting_string(create->settings, "subformat"), "fixed");
	uint64_t block_bytes = block_setting_number(create->settings, "block-size");
	uint64_t blocks = (create->bytes + block_bytes - 1) / block_bytes;

	if (create->bytes > VHD_BYTES_MAX || blocks > VHD_BLOCKS_MAX)
		return err_set(
			err, EFBIG, "cannot create VHD image of %llu bytes: more than %llu",
			(unsigned long long)create->bytes,
			(unsigned long long)MIN(VHD_BYTES_MAX, VHD_BLOCKS_MAX * block_bytes));
	if (fixed && create->backing)
		return err_set(err, EINVAL, "a fixed VHD image has no parent");
	plan->footer = (struct vhd_footer){
		.type = fixed             ? VHD_FIXED
			: create->backing ? VHD_DIFFERENCING
					  : VHD_DYNAMIC,
		.header_offset = fixed ? UINT64_MAX : VHD_FOOTER_BYTES,
		.time = vhd_time(time(NULL)),
		.creator = { 'w', 'i', 'n', ' ' },
		.bytes = create->bytes,
	};
	uuid_new(plan->footer.uuid);
	plan->header = (struct vhd_header){
		.bat_offset = ALIGN,
		.entries = (uint32_t)blocks,
		.block_bytes = (uint32_t)block_bytes,
	};
	plan->end = fixed ? create->bytes : ALIGN + round_up(MAX(blocks, UINT64_C(1)) * 4, ALIGN);
	return 0;
}

static int plan_parent(const struct block_format_create *create, struct plan *plan, struct err *err)
{
	struct block_node *parent;
	struct stat st;
	int rc;

	if (!create->backing)
		return 0;
	if (block_format_find(create->backing_format) != &vhd_format)
		return err_set(err, EINVAL, "the parent of a VHD image is one too, not '%s'",
			       create->backing_format);
	rc = block_opener_image(create->opener, create->backing, vhd_format.name, &parent, err);
	if (rc)
		return rc;
	memcpy(plan->header.parent_uuid, vhd_of(parent)->footer.uuid, UUID_BYTES);
	if (raw_identity(parent->next, &st))
		plan->header.parent_time = vhd_time(st.st_mtime);
	block_close(parent);
	rc = vhd_parent_encode(&plan->header, create->backing, plan->end, &plan->parent_bytes,
			       &plan->parent_count, err);
	if (!rc)
		plan->end += round_up(plan->parent_count - VHD_NAME_BYTES, ALIGN);
	return rc;
}

static int write_table(struct block_node *file, uint64_t at, uint64_t entries)
{
	uint64_t bytes = round_up(MAX(entries, UINT64_C(1)) * 4, ALIGN);
	uint8_t piece[ALIGN];
	int rc = 0;

	memset(piece, 0xff, sizeof(piece));
	for (uint64_t done = 0; done < bytes && !rc; done += sizeof(piece))
		rc = block_write(file, at + done, piece, sizeof(piece));
	return rc;
}

static int write_tables(struct block_node *file, const struct plan *plan, const uint8_t *footer)
{
	uint8_t header[VHD_HEADER_BYTES];
	int rc = write_table(file, plan->header.bat_offset, plan->header.entries);

	if (!rc && plan->parent_bytes)
		rc = block_write(file, plan->header.locators[0].offset,
				 plan->parent_bytes + VHD_NAME_BYTES,
				 plan->parent_count - VHD_NAME_BYTES);
	vhd_header_encode(&plan->header, header);
	if (!rc)
		rc = block_write(file, VHD_FOOTER_BYTES, header, sizeof(header));
	return rc ? rc : block_write(file, 0, footer, VHD_FOOTER_BYTES);
}

static int write_image(struct block_node *file, const struct plan *plan)
{
	uint8_t footer[VHD_FOOTER_BYTES];
	int rc = 0;

	vhd_footer_encode(&plan->footer, footer);
	if (plan->footer.type != VHD_FIXED)
		rc = write_tables(file, plan, footer);
	else if (plan->end)
		rc = block_write_zeroes(file, 0, plan->end, BLOCK_MAY_UNMAP);
	return rc ? rc : block_write(file, plan->end, footer, sizeof(footer));
}

int vhd_create(const struct block_format_create *create, struct err *err)
{
	struct plan plan = { 0 };
	int rc = plan_size(create, &plan, err);

	if (!rc)
		rc = plan_parent(create, &plan, err);
	if (rc)
		return rc;
	rc = write_image(create->file, &plan);
	free(plan.parent_bytes);
	return rc ? err_errno(err, rc, "cannot write image '%s'", block_opener_name(create->opener))
		  : 0;
}

int vhd_measure(const struct block_format_create *create, struct block_node *from,
		uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	struct plan plan = { 0 };
	int rc = plan_size(create, &plan, err);
	uint64_t block_bytes = plan.header.block_bytes, stride, used, data = 0;

	if (!rc && plan.footer.type != VHD_FIXED)
		rc = block_count_data(from, block_bytes, &data, err);
	if (rc)
		return rc;
	*ret_required = *ret_full = plan.end + VHD_FOOTER_BYTES;
	if (plan.footer.type == VHD_FIXED)
		return 0;
	stride = block_bytes + round_up(vhd_bitmap_bytes(plan.header.block_bytes), ALIGN);
	used = MIN((data + block_bytes - 1) / block_bytes, (uint64_t)plan.header.entries);
	*ret_required += used * stride;
	*ret_full += plan.header.entries * stride;
	return 0;
}
