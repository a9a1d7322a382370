/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header of a qcow2 image and its extensions: reading, checking, writing.
 *
 * Fields are rows of a table. What an image has and this code does not know is kept when the header
 * is written again, as the format asks.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Header", "Header extensions"
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"

enum {
	EXTENSION_END = 0,
	EXTENSION_BITMAPS = 0x23852875,
	EXTENSION_CRYPT = 0x0537be77,
	EXTENSION_DATA_FILE = 0x44415441,
	EXTENSION_FEATURES = 0x6803f857,
};
#define EXTENSION_BACKING_FORMAT UINT32_C(0xe2792aca)

/* Where the header says so. */
#define INCOMPATIBLE_AT 72
#define HEADER_BYTES_AT 100

#define EXTENSION_HEAD 8
#define BITMAPS_BYTES  24
#define CRYPT_BYTES    16
#define FEATURE_BYTES  48
#define FORMAT_MAX     64

struct field {
	unsigned at, bytes;
	size_t to;
};

#define FIELD(offset, size, name)                                                                  \
	{                                                                                          \
		offset, size, offsetof(struct qcow2_header, name)                                  \
	}

/* Backing file and magic are no plain numbers of ours; the first row that only version 3 has is
 * marked by its place. */
static const struct field fields[] = {
	FIELD(4, 4, version),
	FIELD(20, 4, cluster_bits),
	FIELD(24, 8, size),
	FIELD(32, 4, crypt_method),
	FIELD(36, 4, l1_entries),
	FIELD(40, 8, l1_offset),
	FIELD(48, 8, reftable_offset),
	FIELD(56, 4, reftable_clusters),
	FIELD(60, 4, snapshot_count),
	FIELD(64, 8, snapshots_offset),
	FIELD(72, 8, incompatible),
	FIELD(80, 8, compatible),
	FIELD(88, 8, autoclear),
	FIELD(96, 4, refcount_order),
	FIELD(100, 4, header_bytes),
	FIELD(104, 1, compression),
};

static void fields_get(struct qcow2_header *header, const uint8_t *bytes, size_t count)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *field = &fields[i];
		uint8_t *to = (uint8_t *)header + field->to;

		if (field->at + field->bytes > count)
			continue;
		if (field->bytes == 8)
			*(uint64_t *)(void *)to = be64_get(bytes + field->at);
		else if (field->bytes == 4)
			*(uint32_t *)(void *)to = be32_get(bytes + field->at);
		else
			*to = bytes[field->at];
	}
}

static void fields_put(const struct qcow2_header *header, uint8_t *bytes, size_t count)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *field = &fields[i];
		const uint8_t *from = (const uint8_t *)header + field->to;

		if (field->at + field->bytes > count)
			continue;
		if (field->bytes == 8)
			be64_put(bytes + field->at, *(const uint64_t *)(const void *)from);
		else if (field->bytes == 4)
			be32_put(bytes + field->at, *(const uint32_t *)(const void *)from);
		else
			bytes[field->at] = *from;
	}
}

void qcow2_header_fini(struct qcow2_header *header)
{
	struct qcow2_extension *extension;

	vec_for_each (extension, &header->unknown)
		free(extension->data);
	vec_fini(&header->unknown);
	free(header->backing);
	free(header->backing_format);
	free(header->data_file);
	free(header->more);
}

/* ---- checks ---- */

/* The name that the image itself gives an unknown feature; NULL: none. */
static const char *name_of_feature(const struct qcow2_header *header, unsigned bit, char *name)
{
	const struct qcow2_extension *extension;

	vec_for_each (extension, &header->unknown) {
		for (uint32_t at = 0; extension->type == EXTENSION_FEATURES &&
				      extension->bytes - at >= FEATURE_BYTES;
		     at += FEATURE_BYTES) {
			if (extension->data[at] || extension->data[at + 1] != bit)
				continue;
			memcpy(name, extension->data + at + 2, FEATURE_BYTES - 2);
			name[FEATURE_BYTES - 2] = 0;
			for (char *c = name; *c; c++) {
				if (*c < ' ' || *c > '~')
					*c = '?';
			}
			return name;
		}
	}
	return NULL;
}

static int check_features(const struct qcow2_header *header, const char *path, struct err *err)
{
	uint64_t unknown = header->incompatible & ~QCOW2_KNOWN;
	char name[FEATURE_BYTES];

	if (unknown) {
		unsigned bit = (unsigned)__builtin_ctzll(unknown);
		const char *text = name_of_feature(header, bit, name);

		return err_set(err, ENOTSUP, "image '%s' needs feature '%s' (bit %u) of qcow2",
			       path, text ? text : "unknown", bit);
	}
	if (!(header->incompatible & QCOW2_COMPRESSION) != !header->compression)
		return err_set(err, EINVAL,
			       "image '%s': compression type %u and its feature bit disagree", path,
			       header->compression);
	if (header->compression >= QCOW2_COMPRESSIONS)
		return err_set(err, ENOTSUP, "image '%s': unknown compression type %u", path,
			       header->compression);
	if (header->incompatible & QCOW2_EXTENDED_L2 && header->cluster_bits < 14)
		return err_set(err, EINVAL,
			       "image '%s': extended L2 entries with clusters below 16 KiB", path);
	if (header->has_crypt && header->crypt_method != QCOW2_CRYPT_LUKS)
		return err_set(err, EINVAL, "image '%s': LUKS header of an image without LUKS",
			       path);
	if (header->autoclear & QCOW2_RAW_DATA_FILE && !(header->incompatible & QCOW2_DATA_FILE))
		return err_set(err, EINVAL, "image '%s': raw external data without a data file",
			       path);
	return 0;
}

/* A table that the header names: where a cluster starts, and not beyond what can be said. */
static int check_table(const struct qcow2_header *header, const char *path, const char *what,
		       uint64_t offset, uint64_t bytes, uint64_t max, struct err *err)
{
	if (bytes > max)
		return err_set(err, EFBIG, "image '%s': %s of %llu bytes is too large", path, what,
			       (unsigned long long)bytes);
	if (offset & bits_mask(header->cluster_bits) || offset >= BIT(56))
		return err_set(err, EINVAL, "image '%s': %s at offset %#llx is no cluster", path,
			       what, (unsigned long long)offset);
	if (bytes && !offset)
		return err_set(err, EINVAL, "image '%s': %s lies over the header", path, what);
	return 0;
}

static int check_tables(const struct qcow2_header *header, const char *path, struct err *err)
{
	uint64_t cluster = BIT(header->cluster_bits);
	uint64_t entry = header->incompatible & QCOW2_EXTENDED_L2 ? 16 : 8;
	uint64_t reach = cluster / entry * cluster;
	int rc;

	if (!header->reftable_clusters)
		return err_set(err, EINVAL, "image '%s' has no refcount table", path);
	rc = check_table(header, path, "refcount table", header->reftable_offset,
			 header->reftable_clusters * cluster, QCOW2_REFTABLE_MAX, err);
	if (!rc)
		rc = check_table(header, path, "L1 table", header->l1_offset,
				 header->l1_entries * UINT64_C(8), QCOW2_L1_BYTES_MAX, err);
	if (!rc)
		rc = check_table(header, path, "snapshot table", header->snapshots_offset,
				 header->snapshot_count, QCOW2_SNAPSHOTS_MAX, err);
	if (rc)
		return rc;
	if (header->size > BLOCK_SIZE_MAX ||
	    (header->size && (header->size - 1) / reach >= header->l1_entries))
		return err_set(err, EINVAL, "image '%s': L1 table is too small for %llu bytes",
			       path, (unsigned long long)header->size);
	return 0;
}

static int check_header(const struct qcow2_header *header, const char *path, struct err *err)
{
	if (header->version < 2 || header->version > 3)
		return err_set(err, ENOTSUP, "image '%s': unknown version %u of qcow2", path,
			       header->version);
	if (header->cluster_bits < QCOW2_CLUSTER_BITS_MIN ||
	    header->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return err_set(err, ENOTSUP, "image '%s': clusters of 2^%u bytes", path,
			       header->cluster_bits);
	if (header->header_bytes < (header->version < 3 ? QCOW2_HEADER_V2 : QCOW2_HEADER_V3) ||
	    header->header_bytes % 8 || header->header_bytes > BIT(header->cluster_bits))
		return err_set(err, EINVAL, "image '%s': header of %u bytes", path,
			       header->header_bytes);
	if (header->refcount_order > 6)
		return err_set(err, EINVAL, "image '%s': refcounts of 2^%u bits", path,
			       header->refcount_order);
	if (header->crypt_method > QCOW2_CRYPT_LUKS)
		return err_set(err, ENOTSUP, "image '%s': unknown encryption %u", path,
			       header->crypt_method);
	return 0;
}

/* ---- reading ---- */

static int take_text(char **ret_text, const uint8_t *data, uint32_t bytes, uint32_t max,
		     const char *path, const char *what, struct err *err)
{
	if (*ret_text || !bytes || bytes > max || memchr(data, 0, bytes))
		return err_set(err, EINVAL, "image '%s': %s of %u bytes is no name", path, what,
			       bytes);
	*ret_text = strndup((const char *)data, bytes);
	return *ret_text ? 0 : err_errno(err, ENOMEM, "cannot open image '%s'", path);
}

/* Only external data; the rest of the header is looked at when the image is opened. */
void qcow2_tell_files(const uint8_t *start, size_t bytes, void (*tell)(void *ctx, const char *name),
		      void *ctx)
{
	uint64_t at;

	if (bytes < QCOW2_HEADER_V3 || be32_get(start) != QCOW2_MAGIC || be32_get(start + 4) < 3 ||
	    !(be64_get(start + INCOMPATIBLE_AT) & QCOW2_DATA_FILE))
		return;
	at = be32_get(start + HEADER_BYTES_AT);
	while (at <= bytes && bytes - at >= EXTENSION_HEAD) {
		uint32_t type = be32_get(start + at), length = be32_get(start + at + 4);

		at += EXTENSION_HEAD;
		if (type == EXTENSION_END || length > bytes - at)
			return;
		if (type == EXTENSION_DATA_FILE) {
			AUTO_FREE char *name = strndup((const char *)start + at, length);

			if (name)
				tell(ctx, name);
		}
		at += round_up(length, 8u);
	}
}

static int keep_extension(struct qcow2_header *header, uint32_t type, const uint8_t *data,
			  uint32_t bytes)
{
	struct qcow2_extension extension = { .type = type, .bytes = bytes };
	int rc;

	extension.data = malloc(bytes + 1);
	if (!extension.data)
		return -ENOMEM;
	memcpy(extension.data, data, bytes);
	rc = vec_push(&header->unknown, extension);
	if (rc)
		free(extension.data);
	return rc;
}

static int take_bitmaps(struct qcow2_header *header, const uint8_t *data, uint32_t bytes,
			const char *path, struct err *err)
{
	if (bytes != BITMAPS_BYTES || header->bitmap_count)
		return err_set(err, EINVAL, "image '%s': bitmaps extension of %u bytes", path,
			       bytes);
	header->bitmap_count = be32_get(data);
	header->bitmaps_bytes = be64_get(data + 8);
	header->bitmaps_offset = be64_get(data + 16);
	if (!header->bitmap_count || be32_get(data + 4))
		return err_set(err, EINVAL, "image '%s': bitmaps extension is damaged", path);
	return 0;
}

static int take_crypt(struct qcow2_header *header, const uint8_t *data, uint32_t bytes,
		      const char *path, struct err *err)
{
	if (bytes != CRYPT_BYTES || header->has_crypt)
		return err_set(err, EINVAL, "image '%s': encryption extension of %u bytes", path,
			       bytes);
	header->has_crypt = true;
	header->crypt_offset = be64_get(data);
	header->crypt_bytes = be64_get(data + 8);
	return 0;
}

static int take_extension(struct qcow2_header *header, uint32_t type, const uint8_t *data,
			  uint32_t bytes, const char *path, struct err *err)
{
	int rc;

	switch (type) {
	case EXTENSION_BACKING_FORMAT:
		return take_text(&header->backing_format, data, bytes, FORMAT_MAX, path,
				 "backing file format", err);
	case EXTENSION_DATA_FILE:
		return take_text(&header->data_file, data, bytes, QCOW2_NAME_MAX, path,
				 "data file name", err);
	case EXTENSION_BITMAPS:
		return take_bitmaps(header, data, bytes, path, err);
	case EXTENSION_CRYPT:
		return take_crypt(header, data, bytes, path, err);
	}
	rc = keep_extension(header, type, data, bytes);
	return rc ? err_errno(err, rc, "cannot open image '%s'", path) : 0;
}

static int take_extensions(struct qcow2_header *header, const uint8_t *cluster, uint64_t end,
			   const char *path, struct err *err)
{
	uint64_t at = header->header_bytes;
	int rc = 0;

	while (!rc && end - at >= EXTENSION_HEAD) {
		uint32_t type = be32_get(cluster + at), bytes = be32_get(cluster + at + 4);

		at += EXTENSION_HEAD;
		if (type == EXTENSION_END)
			return 0;
		if (bytes > end - at)
			return err_set(err, EINVAL,
				       "image '%s': header extension %#x at offset %llu is too "
				       "long (%u bytes)",
				       path, type, (unsigned long long)at - EXTENSION_HEAD, bytes);
		rc = take_extension(header, type, cluster + at, bytes, path, err);
		at += MIN(round_up(bytes, 8), end - at);
	}
	return rc;
}

/* The name of the backing file, which ends the extensions. */
static int take_backing(struct qcow2_header *header, const uint8_t *cluster, uint64_t *end,
			const char *path, struct err *err)
{
	uint64_t offset = be64_get(cluster + 8), cluster_bytes = BIT(header->cluster_bits);
	uint32_t bytes = be32_get(cluster + 16);

	if (!offset)
		return 0;
	if (bytes > QCOW2_NAME_MAX || offset < header->header_bytes || offset > cluster_bytes ||
	    bytes > cluster_bytes - offset)
		return err_set(err, EINVAL,
			       "image '%s': backing file name of %u bytes at offset %#llx", path,
			       bytes, (unsigned long long)offset);
	*end = offset;
	if (!bytes)
		return 0;
	return take_text(&header->backing, cluster + offset, bytes, QCOW2_NAME_MAX, path,
			 "backing file name", err);
}

static int take_rest(struct qcow2_header *header, const uint8_t *cluster, const char *path,
		     struct err *err)
{
	uint64_t end = BIT(header->cluster_bits);
	int rc;

	if (header->header_bytes > QCOW2_HEADER_BYTES) {
		size_t bytes = header->header_bytes - QCOW2_HEADER_BYTES;

		header->more = malloc(bytes);
		if (!header->more)
			return err_errno(err, ENOMEM, "cannot open image '%s'", path);
		memcpy(header->more, cluster + QCOW2_HEADER_BYTES, bytes);
	}
	rc = take_backing(header, cluster, &end, path, err);
	if (!rc)
		rc = take_extensions(header, cluster, end, path, err);
	return rc;
}

int qcow2_header_load(struct block_node *file, const char *path, struct qcow2_header *header,
		      struct err *err)
{
	AUTO_FREE uint8_t *cluster = NULL;
	uint8_t start[QCOW2_HEADER_V3];
	int rc;

	*header = (struct qcow2_header){ 0 };
	rc = block_read(file, 0, start, sizeof(start));
	if (rc)
		return err_errno(err, rc, "cannot read image '%s'", path);
	if (be32_get(start) != QCOW2_MAGIC)
		return err_set(err, EMEDIUMTYPE, "image '%s' has no header of qcow2", path);
	header->version = be32_get(start + 4);
	fields_get(header, start, header->version < 3 ? QCOW2_HEADER_V2 : QCOW2_HEADER_V3);
	if (header->version < 3) {
		header->refcount_order = 4;
		header->header_bytes = QCOW2_HEADER_V2;
	}
	rc = check_header(header, path, err);
	if (rc)
		return rc;
	cluster = malloc(BIT(header->cluster_bits));
	if (!cluster)
		return err_errno(err, ENOMEM, "cannot open image '%s'", path);
	rc = block_read(file, 0, cluster, BIT(header->cluster_bits));
	if (rc)
		return err_errno(err, rc, "cannot read image '%s'", path);
	if (header->version >= 3)
		fields_get(header, cluster, header->header_bytes);
	rc = take_rest(header, cluster, path, err);
	if (!rc)
		rc = check_features(header, path, err);
	return rc ? rc : check_tables(header, path, err);
}

/* ---- writing ---- */

/* A cluster that is being filled. */
struct writer {
	uint8_t *bytes;
	uint64_t at, end;
	bool full;
};

static void add_extension(struct writer *writer, uint32_t type, const void *data, uint32_t bytes)
{
	uint64_t padded = round_up(bytes, 8);

	if (writer->full || writer->end - writer->at < EXTENSION_HEAD + padded) {
		writer->full = true;
		return;
	}
	be32_put(writer->bytes + writer->at, type);
	be32_put(writer->bytes + writer->at + 4, bytes);
	if (bytes)
		memcpy(writer->bytes + writer->at + EXTENSION_HEAD, data, bytes);
	writer->at += EXTENSION_HEAD + padded;
}

static void add_text(struct writer *writer, uint32_t type, const char *text)
{
	if (text)
		add_extension(writer, type, text, (uint32_t)strlen(text));
}

static void add_extensions(struct writer *writer, const struct qcow2_header *header)
{
	const struct qcow2_extension *extension;
	uint8_t data[BITMAPS_BYTES] = { 0 };

	add_text(writer, EXTENSION_BACKING_FORMAT, header->backing_format);
	add_text(writer, EXTENSION_DATA_FILE, header->data_file);
	if (header->has_crypt) {
		be64_put(data, header->crypt_offset);
		be64_put(data + 8, header->crypt_bytes);
		add_extension(writer, EXTENSION_CRYPT, data, CRYPT_BYTES);
	}
	if (header->bitmap_count) {
		be32_put(data, header->bitmap_count);
		be32_put(data + 4, 0);
		be64_put(data + 8, header->bitmaps_bytes);
		be64_put(data + 16, header->bitmaps_offset);
		add_extension(writer, EXTENSION_BITMAPS, data, BITMAPS_BYTES);
	}
	vec_for_each (extension, &header->unknown)
		add_extension(writer, extension->type, extension->data, extension->bytes);
	add_extension(writer, EXTENSION_END, NULL, 0);
}

static void add_backing(struct writer *writer, const struct qcow2_header *header)
{
	size_t length = header->backing ? strlen(header->backing) : 0;

	if (!length)
		return;
	if (writer->full || writer->end - writer->at < length) {
		writer->full = true;
		return;
	}
	be64_put(writer->bytes + 8, writer->at);
	be32_put(writer->bytes + 16, (uint32_t)length);
	memcpy(writer->bytes + writer->at, header->backing, length);
	writer->at += length;
}

int qcow2_header_store(struct block_node *file, const struct qcow2_header *header, struct err *err)
{
	uint64_t cluster_bytes = BIT(header->cluster_bits);
	AUTO_FREE uint8_t *cluster = calloc(1, cluster_bytes);
	struct writer writer = { .bytes = cluster, .end = cluster_bytes };
	int rc;

	if (!cluster)
		return err_errno(err, ENOMEM, "cannot write the header of the image");
	be32_put(cluster, QCOW2_MAGIC);
	fields_put(header, cluster, header->header_bytes);
	if (header->more)
		memcpy(cluster + QCOW2_HEADER_BYTES, header->more,
		       header->header_bytes - QCOW2_HEADER_BYTES);
	writer.at = header->header_bytes;
	add_extensions(&writer, header);
	add_backing(&writer, header);
	if (writer.full)
		return err_set(err, ENOSPC,
			       "header of the image has no room: names are too long for clusters "
			       "of %llu bytes",
			       (unsigned long long)cluster_bytes);
	rc = block_write(file, 0, cluster, cluster_bytes);
	return rc ? err_errno(err, rc, "cannot write the header of the image") : 0;
}

int qcow2_header_store_features(struct qcow2 *q)
{
	uint8_t bytes[24];
	int rc;

	if (q->header.version < 3)
		return 0;
	be64_put(bytes, q->header.incompatible);
	be64_put(bytes + 8, q->header.compatible);
	be64_put(bytes + 16, q->header.autoclear);
	rc = block_write(q->file, QCOW2_AT_INCOMPATIBLE, bytes, sizeof(bytes));
	return rc ? rc : block_flush(q->file);
}
