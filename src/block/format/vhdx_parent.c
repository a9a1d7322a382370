/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parent of a differencing VHDX image: a list of keys and values in UTF-16 that says where it
 * is, and what identifier its contents had. Spec: 2.6.2.6
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "base/utf16.h"
#include "block/format/formats.h"
#include "block/format/vhdx.h"

#define HEADER_BYTES 20
#define ROW_BYTES    12

static const struct vhdx_guid locator_type = { { 0xb7, 0xef, 0x4a, 0xb0, 0x9e, 0xd1, 0x81, 0x4a,
						 0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13 } };

/* ---- reading ---- */

/* The text of a row's key or value, if it is inside the locator. */
static char *row_text(const uint8_t *locator, uint32_t bytes, uint32_t offset, uint32_t count)
{
	if (offset > bytes || count > bytes - offset || count % 2)
		return NULL;
	return utf16_to_utf8(locator + offset, count, false);
}

static char *find_value(const uint8_t *locator, uint32_t bytes, const char *wanted)
{
	unsigned rows = bytes < HEADER_BYTES ? 0 : le16_get(locator + 18);

	if (rows > (bytes - HEADER_BYTES) / ROW_BYTES || memcmp(locator, &locator_type, 16))
		return NULL;
	for (unsigned i = 0; i < rows; i++) {
		const uint8_t *row = locator + HEADER_BYTES + (size_t)i * ROW_BYTES;
		AUTO_FREE char *key = row_text(locator, bytes, le32_get(row), le16_get(row + 8));

		if (key && !strcmp(key, wanted))
			return row_text(locator, bytes, le32_get(row + 4), le16_get(row + 10));
	}
	return NULL;
}

char *vhdx_locator_value(struct vhdx *vhdx, const char *key)
{
	const struct vhdx_item *item = &vhdx->items[VHDX_ITEM_LOCATOR];
	AUTO_FREE uint8_t *locator = item->offset ? malloc(item->bytes) : NULL;

	if (!locator || vhdx_item_read(vhdx, VHDX_ITEM_LOCATOR, locator))
		return NULL;
	return find_value(locator, item->bytes, key);
}

/* What a key of the locator names, as it is meant on this system; caller frees. NULL: nothing. */
static char *name_of(struct vhdx *vhdx, const char *key)
{
	char *name = vhdx_locator_value(vhdx, key);

	for (char *at = name; at && *at; at++) {
		if (*at == '\\')
			*at = '/';
	}
	return name;
}

char *vhdx_parent_name(struct vhdx *vhdx)
{
	char *name = name_of(vhdx, "relative_path");

	return name ? name : name_of(vhdx, "absolute_win32_path");
}

/* Opens what a key of the locator names. -ENOENT: there is no such key. */
static int open_named(struct vhdx *vhdx, struct block_opener *opener, const char *key,
		      struct err *err)
{
	AUTO_FREE char *name = name_of(vhdx, key);

	if (!name || !*name)
		return err_set(err, ENOENT, "cannot open VHDX: the locator names no parent");
	return block_opener_image(opener, name, vhdx_format.name, &vhdx->parent, err);
}

static int check_linkage(struct vhdx *vhdx, struct err *err)
{
	AUTO_FREE char *linkage = vhdx_locator_value(vhdx, "parent_linkage");
	AUTO_FREE char *other = vhdx_locator_value(vhdx, "parent_linkage2");
	char text[VHDX_GUID_TEXT];

	vhdx_guid_format(&vhdx_of(vhdx->parent)->header.data_write, text);
	if ((linkage && !strcasecmp(linkage, text)) || (other && !strcasecmp(other, text)))
		return 0;
	err_set(err, EMEDIUMTYPE, "cannot open VHDX: the parent has changed since");
	err_hint(err, "its contents are %s, this image stands on %s", text,
		 linkage ? linkage : "nothing");
	return -EMEDIUMTYPE;
}

int vhdx_parent_open(struct vhdx *vhdx, struct block_opener *opener, struct err *err)
{
	int rc = open_named(vhdx, opener, "relative_path", err);

	/* Images that were moved together have the relative name, others the absolute. */
	if (rc == -ENOENT)
		rc = open_named(vhdx, opener, "absolute_win32_path", err);
	if (rc)
		return rc;
	rc = check_linkage(vhdx, err);
	if (!rc && block_node_add(&vhdx->node, vhdx->parent))
		rc = err_errno(err, ENOMEM, "cannot open VHDX");
	if (rc) {
		block_close(vhdx->parent);
		vhdx->parent = NULL;
	}
	return rc;
}

/* ---- creating ---- */

struct pair {
	const char *key, *value;
};

/* Rows, then keys and values in their order. */
static bool add_pairs(struct str *rows, struct str *texts, const struct pair *pairs, unsigned count)
{
	size_t base = HEADER_BYTES + (size_t)count * ROW_BYTES;

	for (unsigned i = 0; i < count; i++) {
		size_t key = texts->length, value, end;
		uint8_t row[ROW_BYTES];

		if (utf16_add(texts, pairs[i].key, false))
			return false;
		value = texts->length;
		if (utf16_add(texts, pairs[i].value, false) || texts->length > UINT16_MAX)
			return false;
		end = texts->length;
		le32_put(row, (uint32_t)(base + key));
		le32_put(row + 4, (uint32_t)(base + value));
		le16_put(row + 8, (uint16_t)(value - key));
		le16_put(row + 10, (uint16_t)(end - value));
		str_add_bytes(rows, row, sizeof(row));
	}
	return true;
}

int vhdx_locator_build(const char *name, const struct vhdx_guid *data_write, uint8_t **ret_locator,
		       uint32_t *ret_bytes, struct err *err)
{
	AUTO_FREE char *path = strdup(name);
	char linkage[VHDX_GUID_TEXT];
	const struct pair pairs[] = {
		{ "parent_linkage", linkage },
		{ *name == '/' ? "absolute_win32_path" : "relative_path", path },
	};
	struct str locator = { 0 }, texts = { 0 };
	uint8_t header[HEADER_BYTES] = { 0 };
	bool good;

	if (!path)
		return err_errno(err, ENOMEM, "cannot create VHDX");
	for (char *at = path; *at; at++) {
		if (*at == '/')
			*at = '\\';
	}
	vhdx_guid_format(data_write, linkage);
	memcpy(header, &locator_type, sizeof(locator_type));
	le16_put(header + 18, ARRAY_SIZE(pairs));
	str_add_bytes(&locator, header, sizeof(header));
	good = add_pairs(&locator, &texts, pairs, ARRAY_SIZE(pairs));
	if (good)
		str_add_bytes(&locator, texts.text, texts.length);
	good = good && !texts.failed && !locator.failed;
	str_fini(&texts);
	if (!good || locator.length > VHDX_LOCATOR_MAX) {
		str_fini(&locator);
		return err_set(err, EINVAL, "cannot create VHDX: name '%.100s' of the parent",
			       name);
	}
	*ret_bytes = (uint32_t)locator.length;
	*ret_locator = (uint8_t *)str_take(&locator);
	return 0;
}
