/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parents of differencing VHD images: their names in the header, in several ways, and their
 * identity. Spec: Dynamic Disk Header Format, "Parent Locator Entries"
 *
 * Names are those of Windows: what is relative is followed with its backslashes turned; of what is
 * absolute there, only the last part means something here.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "base/utf16.h"
#include "block/file/raw.h"
#include "block/format/formats.h"
#include "block/format/vhd_priv.h"

#define RELATIVE       UINT32_C(0x57327275) /* "W2ru": UTF-16, little-endian */
#define ABSOLUTE       UINT32_C(0x57326b75) /* "W2ku": the same */
#define NAME_BYTES_MAX 4096

/* The name as it is meant on this system; caller frees. */
static char *local_name(const char *name)
{
	const char *last = strrchr(name, '\\');
	char *local;

	/* "C:\disks\base.vhd", "\\server\disks\base.vhd" */
	if (last && (name[0] == '\\' || (name[0] && name[1] == ':')))
		return strdup(last + 1);
	local = strdup(!strncmp(name, ".\\", 2) ? name + 2 : name);
	for (char *at = local; at && *at; at++)
		*at = *at == '\\' ? '/' : *at;
	return local;
}

static char *locator_name(struct vhd *vhd, uint32_t platform)
{
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const struct vhd_locator *locator = &vhd->header.locators[i];
		AUTO_FREE uint8_t *bytes = NULL;
		AUTO_FREE char *name = NULL;

		if (locator->platform != platform || !locator->bytes ||
		    locator->bytes > NAME_BYTES_MAX)
			continue;
		bytes = malloc(locator->bytes);
		if (bytes && !block_read(vhd->node.next, locator->offset, bytes, locator->bytes))
			name = utf16_to_utf8(bytes, locator->bytes, false);
		if (name && *name)
			return local_name(name);
	}
	return NULL;
}

/* The ways to name the parent, the best first; caller frees, NULL: not named so. */
static char *candidate(struct vhd *vhd, unsigned index)
{
	AUTO_FREE char *name = NULL;

	switch (index) {
	case 0:
		return locator_name(vhd, RELATIVE);
	case 1:
		return locator_name(vhd, ABSOLUTE);
	default:
		name = utf16_to_utf8(vhd->header.parent_name, VHD_NAME_BYTES, true);
		return name && *name ? local_name(name) : NULL;
	}
}
#define CANDIDATES 3

char *vhd_parent_name(struct vhd *vhd)
{
	char *name = NULL;

	for (unsigned i = 0; i < CANDIDATES && !name; i++)
		name = candidate(vhd, i);
	return name;
}

static int check_identity(struct vhd *vhd, struct block_node *parent, const char *name,
			  struct err *err)
{
	if (parent->format != &vhd_format)
		return err_set(err, EINVAL, "the parent '%s' is no VHD image", name);
	if (memcmp(vhd_of(parent)->footer.uuid, vhd->header.parent_uuid, UUID_BYTES) != 0)
		return err_set(err, EINVAL,
			       "the parent '%s' is not the image that this one was made for", name);
	return 0;
}

static int open_candidate(struct vhd *vhd, struct block_opener *opener, const char *name,
			  struct err *err)
{
	struct block_node *parent;
	int rc = block_opener_image(opener, name, vhd_format.name, &parent, err);

	if (rc)
		return rc;
	rc = check_identity(vhd, parent, name, err);
	if (!rc && block_node_add(&vhd->node, parent))
		rc = err_errno(err, ENOMEM, "cannot open the parent '%s'", name);
	if (rc)
		block_close(parent);
	else
		vhd->parent = vhd->granules.backing = parent;
	return rc;
}

int vhd_parent_open(struct vhd *vhd, struct block_opener *opener, struct err *err)
{
	struct err problem = ERR_INIT;
	int rc = err_set(&problem, ENOENT, "its parent has no name");

	for (unsigned i = 0; i < CANDIDATES && rc == -ENOENT; i++) {
		AUTO_FREE char *name = candidate(vhd, i);

		if (name)
			rc = open_candidate(vhd, opener, name, &problem);
	}
	if (rc && err) {
		*err = problem;
		err_wrap(err, "VHD image '%s'", block_opener_name(opener));
	}
	return rc;
}

/* The name as Windows writes relative ones: ".\folder\base.vhd". */
static int encode_relative(struct str *to, const char *name)
{
	AUTO_FREE char *windows = strdup(name);

	for (char *at = windows; at && *at; at++)
		*at = *at == '/' ? '\\' : *at;
	if (!windows)
		return -ENOMEM;
	if (strncmp(name, "./", 2) != 0 && strncmp(name, "../", 3) != 0)
		utf16_add(to, ".\\", false);
	return utf16_add(to, windows, false);
}

int vhd_parent_encode(struct vhd_header *header, const char *name, uint64_t offset,
		      uint8_t **ret_bytes, uint64_t *ret_count, struct err *err)
{
	const char *slash = strrchr(name, '/');
	struct str locator = { 0 }, last = { 0 };
	bool relative = *name != '/';
	uint8_t *bytes;
	uint64_t count;
	int rc = relative ? encode_relative(&locator, name) : utf16_add(&locator, name, false);

	if (!rc)
		rc = utf16_add(&last, slash ? slash + 1 : name, true);
	if (!rc && (locator.length > NAME_BYTES_MAX || last.length > VHD_NAME_BYTES))
		rc = -ENAMETOOLONG;
	count = VHD_NAME_BYTES + round_up(MAX(locator.length, (size_t)1), BLOCK_SECTOR);
	bytes = calloc(1, count);
	if (!rc && (!bytes || locator.failed || last.failed))
		rc = -ENOMEM;
	if (!rc) {
		memcpy(bytes, last.text, last.length);
		memcpy(bytes + VHD_NAME_BYTES, locator.text, locator.length);
		header->parent_name = bytes;
		header->locators[0] = (struct vhd_locator){
			.platform = relative ? RELATIVE : ABSOLUTE,
			.bytes = (uint32_t)locator.length,
			.offset = offset,
		};
		*ret_bytes = take_ptr(&bytes);
		*ret_count = count;
	}
	free(bytes);
	str_fini(&locator);
	str_fini(&last);
	return rc ? err_errno(err, rc, "cannot name the parent '%s' in a VHD image", name) : 0;
}

/* ---- another parent ---- */

/* A header at a place of its own, and what it points to. */
struct relink {
	struct vhd_header header;
	uint8_t header_bytes[VHD_HEADER_BYTES], footer_bytes[VHD_FOOTER_BYTES];
	uint32_t type;
	uint64_t at, bytes;
	uint8_t *name; /* as vhd_parent_encode() gives it; NULL: none */
};

static int prepare(struct vhd *vhd, const char *name, struct block_node *backing,
		   struct relink *relink, struct err *err)
{
	uint64_t name_bytes = VHD_NAME_BYTES;
	struct stat st;
	int rc = 0;

	relink->type = name ? VHD_DIFFERENCING : VHD_DYNAMIC;
	relink->header = (struct vhd_header){
		.bat_offset = vhd->header.bat_offset,
		.entries = vhd->header.entries,
		.block_bytes = vhd->header.block_bytes,
	};
	if (name) {
		memcpy(relink->header.parent_uuid, vhd_of(backing)->footer.uuid, UUID_BYTES);
		if (raw_identity(backing->next, &st))
			relink->header.parent_time = vhd_time(st.st_mtime);
		rc = vhd_parent_encode(&relink->header, name, relink->at + VHD_HEADER_BYTES,
				       &relink->name, &name_bytes, err);
	}
	if (rc)
		return rc;
	relink->bytes = VHD_HEADER_BYTES + name_bytes - VHD_NAME_BYTES;
	vhd_header_encode(&relink->header, relink->header_bytes);
	memcpy(relink->footer_bytes, vhd->footer_bytes, VHD_FOOTER_BYTES);
	vhd_footer_set_header(relink->footer_bytes, relink->type, relink->at);
	return 0;
}

/* The footer at the start, one sector, makes it so. */
static int write_relink(struct vhd *vhd, const struct relink *relink)
{
	struct block_node *file = vhd->node.next;
	int rc = block_write(file, relink->at, relink->header_bytes, VHD_HEADER_BYTES);

	if (!rc && relink->name)
		rc = block_write(file, relink->at + VHD_HEADER_BYTES, relink->name + VHD_NAME_BYTES,
				 relink->bytes - VHD_HEADER_BYTES);
	if (!rc)
		rc = block_flush(file);
	if (!rc)
		rc = block_write(file, 0, relink->footer_bytes, VHD_FOOTER_BYTES);
	return rc ? rc : block_flush(file);
}

static int relink_held(struct vhd *vhd, const char *name, struct block_node *backing,
		       struct relink *relink, struct err *err)
{
	int rc = name ? 0 : vhd_fill_blocks(vhd);
	bool good;

	if (!rc)
		rc = vhd_blocks_flush(vhd);
	relink->at = vhd->end;
	if (!rc)
		rc = prepare(vhd, name, backing, relink, err);
	if (rc)
		return rc;
	/* The footer at the end lies where this goes. */
	vhd->footer_gone = true;
	vhd->end += relink->bytes;
	rc = write_relink(vhd, relink);
	if (rc)
		return rc;
	vhd->footer.type = relink->type;
	vhd->footer.header_offset = relink->at;
	memcpy(vhd->footer_bytes, relink->footer_bytes, VHD_FOOTER_BYTES);
	memcpy(vhd->header_bytes, relink->header_bytes, VHD_HEADER_BYTES);
	good = vhd_header_decode(&vhd->header, vhd->header_bytes);
	check(good);
	return vhd_blocks_flush(vhd);
}

int vhd_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		    struct err *err)
{
	struct vhd *vhd = vhd_of(node);
	struct relink relink = { 0 };
	int rc;

	if (vhd->footer.type == VHD_FIXED)
		return err_set(err, EINVAL, "a fixed VHD image has no parent");
	if (name && backing->format != &vhd_format)
		return err_set(err, EINVAL, "the parent of a VHD image is one too, not '%s'",
			       backing->format->name);
	RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, 0, UINT64_MAX);
	rc = relink_held(vhd, name, backing, &relink, err);
	free(relink.name);
	return rc ? err_errno(err, rc, "cannot change the parent of the VHD image") : 0;
}
