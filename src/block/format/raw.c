/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The format without a format: the disk is the file.
 *
 * The node is the file's own, so that nothing stands between the guest and io_uring.
 */
#include <string.h>

#include "base/log.h"
#include "block/file/raw.h"
#include "block/format/formats.h"

static const char *const extensions[] = { "raw", "img", "iso", "bin", NULL };

static const char *const preallocations[] = { "off", "falloc", NULL };

static const struct block_option create_options[] = {
	{ .name = "preallocation",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "off",
	  .choices = preallocations,
	  .help = "falloc: reserve all space now" },
	{ 0 },
};

/* Anything can be raw, but everything else is more likely. */
static unsigned probe(const struct block_header *header)
{
	(void)header;
	return 1;
}

static int open_raw(const struct block_format_open *open, struct block_node **ret_node,
		    struct err *err)
{
	struct stat st;

	(void)err;
	open->file->grows = false;
	if (raw_identity(open->file, &st) && S_ISREG(st.st_mode) && st.st_size % BLOCK_SECTOR)
		log_warn("disk '%s': size %llu is no multiple of %d, the rest reads as zeroes",
			 block_opener_name(open->opener), (unsigned long long)st.st_size,
			 BLOCK_SECTOR);
	*ret_node = open->file;
	return 0;
}

static bool wants_all(const struct block_format_create *create)
{
	return strcmp(block_setting_string(create->settings, "preallocation"), "off");
}

static int create(const struct block_format_create *create, struct err *err)
{
	int rc = block_resize(create->file, create->bytes, err);

	if (rc || !create->bytes || !wants_all(create))
		return rc;
	rc = block_write_zeroes(create->file, 0, create->bytes, 0);
	return rc ? err_errno(err, rc, "cannot reserve space") : 0;
}

static int measure(const struct block_format_create *create, struct block_node *from,
		   uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	uint64_t data;
	int rc = block_count_data(from, BLOCK_SECTOR, &data, err);

	if (rc)
		return rc;
	*ret_required = wants_all(create) ? create->bytes : data;
	*ret_full = create->bytes;
	return 0;
}

const struct block_format raw_format = {
	.name = "raw",
	.summary = "plain disk contents, without metadata",
	.extensions = extensions,
	.create_options = create_options,
	.probe = probe,
	.open = open_raw,
	.create = create,
	.measure = measure,
};
