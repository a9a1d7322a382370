/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New VMDK images of all sub-formats. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/vmdk_priv.h"
#include "block/format/vmdk_stream.h"

/* As VMware splits: 2 GiB less a megabyte, in sectors. */
#define PART_SECTORS UINT64_C(4192256)

/* What the name of a sub-format stands for. */
struct kind {
	const char *name;
	bool flat, split, stream;
};

static const struct kind kinds[] = {
	{ "monolithicSparse", false, false, false },    { "monolithicFlat", true, false, false },
	{ "twoGbMaxExtentSparse", false, true, false }, { "twoGbMaxExtentFlat", true, true, false },
	{ "streamOptimized", false, false, true },
};

static const char *const kind_names[] = {
	"monolithicSparse",   "monolithicFlat",  "twoGbMaxExtentSparse",
	"twoGbMaxExtentFlat", "streamOptimized", NULL,
};

static const char *const adapters[] = { "ide", "buslogic", "lsilogic", "legacyESX", NULL };

const struct block_option vmdk_create_options[] = {
	{ .name = "subformat",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "monolithicSparse",
	  .choices = kind_names,
	  .help = "how the disk lies in files" },
	{ .name = "zeroed-grain",
	  .type = BLOCK_OPTION_BOOLEAN,
	  .preset = "off",
	  .help = "marks for grains of zeroes, which not all readers know" },
	{ .name = "adapter",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "ide",
	  .choices = adapters,
	  .help = "what the descriptor says the disk is attached to" },
	{ 0 },
};

struct plan {
	const struct block_format_create *create;
	const struct kind *kind;
	struct vmdk_descriptor descriptor;
	char *stem; /* the image's name without folder and extension */
};

static const struct kind *find_kind(const struct block_format_create *create)
{
	const char *name = block_setting_string(create->settings, "subformat");
	size_t i = 0;

	while (strcmp(kinds[i].name, name) != 0)
		i++;
	return &kinds[i];
}

/* ---- sparse extents ---- */

static struct vmdk_header plan_header(const struct plan *plan, uint64_t sectors, bool embedded)
{
	bool zeroes = block_setting_boolean(plan->create->settings, "zeroed-grain");
	struct vmdk_header header = {
		.version = zeroes ? 2 : 1,
		.flags = VMDK_FLAG_NEWLINES | VMDK_FLAG_REDUNDANT |
			 (zeroes ? (unsigned)VMDK_FLAG_ZEROES : 0),
		.sectors = sectors,
		.grain_sectors = VMDK_GRAIN_SECTORS,
		.descriptor_at = embedded ? 1 : 0,
		.descriptor_sectors = embedded ? VMDK_DESCRIPTOR_PLACE : 0,
	};
	uint64_t tables = vmdk_tables(&header), directory = (tables * 4 + 511) / BLOCK_SECTOR;
	uint64_t space = directory + tables * (VMDK_TABLE_BYTES / BLOCK_SECTOR);

	header.redundant_at = 1 + header.descriptor_sectors;
	header.directory_at = header.redundant_at + space;
	header.overhead = round_up(header.directory_at + space, VMDK_GRAIN_SECTORS);
	return header;
}

/* A directory, and its empty tables right behind it. */
static int write_directory(struct block_node *file, const struct vmdk_header *header, uint64_t at)
{
	uint64_t tables = vmdk_tables(header), sectors = (tables * 4 + 511) / BLOCK_SECTOR;
	AUTO_FREE uint8_t *bytes = calloc(1, sectors * BLOCK_SECTOR);

	if (!bytes)
		return -ENOMEM;
	for (uint64_t i = 0; i < tables; i++)
		le32_put(bytes + i * 4,
			 (uint32_t)(at + sectors + i * (VMDK_TABLE_BYTES / BLOCK_SECTOR)));
	return block_write(file, at * BLOCK_SECTOR, bytes, sectors * BLOCK_SECTOR);
}

static int write_sparse(struct block_node *file, const struct vmdk_header *header)
{
	uint8_t bytes[VMDK_HEADER_BYTES];
	int rc = block_write_zeroes(file, 0, header->overhead * BLOCK_SECTOR, BLOCK_MAY_UNMAP);

	if (!rc && header->sectors)
		rc = write_directory(file, header, header->redundant_at);
	if (!rc && header->sectors)
		rc = write_directory(file, header, header->directory_at);
	vmdk_header_encode(header, bytes);
	return rc ? rc : block_write(file, 0, bytes, sizeof(bytes));
}

/* ---- extents in files of their own ---- */

static int create_part(struct plan *plan, unsigned index, uint64_t sectors, struct err *err)
{
	struct vmdk_line line = { .kind = plan->kind->flat ? VMDK_FLAT : VMDK_SPARSE,
				  .sectors = sectors };
	struct vmdk_header header;
	struct block_node *file;
	int rc;

	if ((plan->kind->split ? asprintf(&line.name, "%s-%c%03u.vmdk", plan->stem,
					  plan->kind->flat ? 'f' : 's', index + 1)
			       : asprintf(&line.name, "%s-flat.vmdk", plan->stem)) < 0)
		return err_errno(err, ENOMEM, "cannot create an extent");
	if (vec_push(&plan->descriptor.lines, line)) {
		free(line.name);
		return err_errno(err, ENOMEM, "cannot create an extent");
	}
	rc = block_opener_create(plan->create->opener, line.name, &file, err);
	if (rc)
		return rc;
	header = plan_header(plan, sectors, false);
	rc = plan->kind->flat ? block_resize(file, sectors * BLOCK_SECTOR, NULL)
			      : write_sparse(file, &header);
	if (!rc)
		rc = block_flush(file);
	block_close(file);
	return rc ? err_errno(err, rc, "cannot write extent '%s'", line.name) : 0;
}

static int create_parts(struct plan *plan, struct err *err)
{
	uint64_t left = plan->create->bytes / BLOCK_SECTOR;
	unsigned index = 0;
	int rc = 0;

	do {
		uint64_t sectors = plan->kind->split ? MIN(left, PART_SECTORS) : left;

		rc = create_part(plan, index++, sectors, err);
		left -= sectors;
	} while (left && !rc);
	return rc;
}

/* ---- the image ---- */

static int plan_name(struct plan *plan, struct err *err)
{
	const char *path = block_opener_name(plan->create->opener);
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');

	plan->stem = dot && dot != name && !strcmp(dot, ".vmdk")
			     ? strndup(name, (size_t)(dot - name))
			     : strdup(name);
	if (!plan->stem)
		return err_errno(err, ENOMEM, "cannot create image '%s'", path);
	/* Names stand between quotes in lines. */
	if (strpbrk(name, "\"\r\n") ||
	    (plan->create->backing && strpbrk(plan->create->backing, "\"\r\n")))
		return err_set(err, EINVAL, "a VMDK image cannot name '%s': quotes or line ends",
			       path);
	return 0;
}

static int plan_parent(struct plan *plan, struct err *err)
{
	const struct block_format_create *create = plan->create;
	struct block_node *parent;
	int rc;

	if (!create->backing)
		return 0;
	if (plan->kind->flat || plan->kind->stream)
		return err_set(err, EINVAL, "a VMDK image of type '%s' has no parent",
			       plan->kind->name);
	if (block_format_find(create->backing_format) != &vmdk_format)
		return err_set(err, EINVAL, "the parent of a VMDK image is one too, not '%s'",
			       create->backing_format);
	rc = block_opener_image(create->opener, create->backing, vmdk_format.name, &parent, err);
	if (rc)
		return rc;
	plan->descriptor.parent_cid = vmdk_of(parent)->descriptor.cid;
	block_close(parent);
	plan->descriptor.parent = strdup(create->backing);
	return plan->descriptor.parent ? 0 : err_errno(err, ENOMEM, "cannot name the parent");
}

static int plan_image(struct plan *plan, struct err *err)
{
	const struct block_format_create *create = plan->create;
	uint64_t max = plan->kind->flat    ? BLOCK_SIZE_MAX
		       : plan->kind->split ? VMDK_EXTENTS_MAX * PART_SECTORS * BLOCK_SECTOR
					   : VMDK_SPARSE_MAX;

	if (plan->kind->split)
		max = MIN(max, VMDK_EXTENTS_MAX * PART_SECTORS * BLOCK_SECTOR);
	if (create->bytes > max)
		return err_set(err, EFBIG,
			       "cannot create VMDK image of %llu bytes: '%s' has at most %llu",
			       (unsigned long long)create->bytes, plan->kind->name,
			       (unsigned long long)max);
	plan->descriptor = (struct vmdk_descriptor){
		.parent_cid = VMDK_NO_PARENT,
		.type = strdup(plan->kind->name),
	};
	if (!plan->descriptor.type)
		return err_errno(err, ENOMEM, "cannot create a VMDK image");
	if (getrandom(&plan->descriptor.cid, sizeof(uint32_t), 0) != sizeof(uint32_t) ||
	    plan->descriptor.cid == VMDK_NO_PARENT)
		plan->descriptor.cid = VMDK_NO_PARENT - 1;
	return plan_name(plan, err);
}

static int write_descriptor(struct plan *plan, uint64_t at, struct err *err)
{
	AUTO_FREE char *text =
		vmdk_descriptor_text(&plan->descriptor, plan->create->bytes,
				     block_setting_string(plan->create->settings, "adapter"));
	int rc = text ? 0 : -ENOMEM;

	if (!rc && at && strlen(text) > VMDK_DESCRIPTOR_PLACE * BLOCK_SECTOR)
		rc = -ENAMETOOLONG;
	if (!rc)
		rc = block_write(plan->create->file, at, text, strlen(text));
	return rc ? err_errno(err, rc, "cannot write the descriptor of '%s'",
			      block_opener_name(plan->create->opener))
		  : 0;
}

/* One file: the extent with the descriptor inside. */
static int create_embedded(struct plan *plan, struct err *err)
{
	const struct block_format_create *create = plan->create;
	const char *path = block_opener_name(create->opener), *slash = strrchr(path, '/');
	struct vmdk_line line = {
		.kind = VMDK_SPARSE,
		.sectors = create->bytes / BLOCK_SECTOR,
		.name = strdup(slash ? slash + 1 : path),
	};
	struct vmdk_header header = plan_header(plan, line.sectors, true);
	int rc;

	if (!line.name || vec_push(&plan->descriptor.lines, line)) {
		free(line.name);
		return err_errno(err, ENOMEM, "cannot create image '%s'", path);
	}
	rc = plan->kind->stream ? vmdk_stream_create(create->file, line.sectors)
				: write_sparse(create->file, &header);
	if (rc)
		return err_errno(err, rc, "cannot write image '%s'", path);
	return write_descriptor(plan, BLOCK_SECTOR, err);
}

int vmdk_create(const struct block_format_create *create, struct err *err)
{
	struct plan plan = { .create = create, .kind = find_kind(create) };
	int rc = plan_image(&plan, err);

	if (!rc)
		rc = plan_parent(&plan, err);
	if (!rc && !plan.kind->flat && !plan.kind->split)
		rc = create_embedded(&plan, err);
	else if (!rc)
		rc = create_parts(&plan, err);
	if (!rc && (plan.kind->flat || plan.kind->split))
		rc = write_descriptor(&plan, 0, err);
	vmdk_descriptor_fini(&plan.descriptor);
	free(plan.stem);
	return rc;
}

int vmdk_measure(const struct block_format_create *create, struct block_node *from,
		 uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	struct plan plan = { .create = create, .kind = find_kind(create) };
	struct vmdk_header header = plan_header(&plan, create->bytes / BLOCK_SECTOR, true);
	uint64_t data;
	int rc;

	if (!plan.kind->flat && !plan.kind->split && create->bytes > VMDK_SPARSE_MAX)
		return err_set(err, EFBIG, "a VMDK image of type '%s' has at most %llu bytes",
			       plan.kind->name, (unsigned long long)VMDK_SPARSE_MAX);
	rc = block_count_data(from, VMDK_GRAIN_SECTORS * BLOCK_SECTOR, &data, err);
	if (rc)
		return rc;
	*ret_full = create->bytes + header.overhead * BLOCK_SECTOR;
	*ret_required =
		plan.kind->flat ? *ret_full : MIN(*ret_full, header.overhead * BLOCK_SECTOR + data);
	return 0;
}
