/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New qcow2 images: header, refcount table and one refcount block of an empty disk; the rest is done
 * by opening and growing that.
 */
#include "block/format/qcow2_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/luks.h"
#include "host/thread.h"

static const char *const compats[] = { "1.1", "0.10", "v3", "v2", NULL };
static const char *const encryptions[] = { "none", "luks", NULL };
static const char *const compressions[] = { "zlib", "zstd", NULL };
static const char *const preallocations[] = { "off", "metadata", "falloc", "full", NULL };

const struct block_option qcow2_create_options[] = {
	{ .name = "cluster-size",
	  .type = BLOCK_OPTION_SIZE,
	  .preset = "64K",
	  .min = 512,
	  .max = 2 * MIB,
	  .power_of_two = true,
	  .help = "bytes that are allocated at once" },
	{ .name = "compat",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "1.1",
	  .choices = compats,
	  .help = "oldest QEMU that can read it: 0.10 is version 2 of the format, 1.1 version 3" },
	{ .name = "refcount-bits",
	  .type = BLOCK_OPTION_NUMBER,
	  .preset = "16",
	  .min = 1,
	  .max = 64,
	  .power_of_two = true,
	  .help = "width of a reference count: bounds the number of snapshots" },
	{ .name = "lazy-refcounts",
	  .type = BLOCK_OPTION_BOOLEAN,
	  .preset = "off",
	  .help = "write reference counts only on close; after a crash they are made anew" },
	{ .name = "extended-l2",
	  .type = BLOCK_OPTION_BOOLEAN,
	  .preset = "off",
	  .help = "allocate 1/32 of a cluster at once (clusters of 16K or more)" },
	{ .name = "compression-type",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "zlib",
	  .choices = compressions,
	  .help = "of clusters that are written compressed" },
	{ .name = "data-file",
	  .type = BLOCK_OPTION_STRING,
	  .help = "new file beside the image that takes the data" },
	{ .name = "data-file-raw",
	  .type = BLOCK_OPTION_BOOLEAN,
	  .preset = "off",
	  .help = "keep the data file readable as a raw disk" },
	{ .name = "preallocation",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "off",
	  .choices = preallocations,
	  .help = "what is reserved now: nothing, tables, space as well, or all written as zeroes" },
	{ .name = "encryption",
	  .type = BLOCK_OPTION_STRING,
	  .preset = "none",
	  .choices = encryptions,
	  .help = "of all data: luks takes a 'key', and these:" },
	LUKS_KEY_OPTION,
	LUKS_CIPHER_OPTIONS,
	LUKS_PBKDF2_OPTIONS,
	{ 0 },
};

/* Of the minimal image. */
enum { AT_REFTABLE = 1, AT_BLOCK = 2, MINIMAL_CLUSTERS = 3 };

static unsigned log2_of(uint64_t value)
{
	return (unsigned)__builtin_ctzll(value);
}

/* ---- the header ---- */

static int check_options(const struct block_format_create *create,
			 const struct qcow2_header *header, struct err *err)
{
	bool external = header->incompatible & QCOW2_DATA_FILE;
	bool raw = header->autoclear & QCOW2_RAW_DATA_FILE;

	if (header->version < 3 &&
	    (header->incompatible || header->compatible || header->refcount_order != 4))
		return err_set(err, EINVAL, "version 2 of qcow2 (compat=%s) has no such options",
			       block_setting_string(create->settings, "compat"));
	if (header->incompatible & QCOW2_EXTENDED_L2 && header->cluster_bits < 14)
		return err_set(err, EINVAL, "option 'extended_l2' takes clusters of 16K or more");
	if (raw && !external)
		return err_set(err, EINVAL, "option 'data_file_raw' takes a 'data_file'");
	if (raw && create->backing)
		return err_set(err, EINVAL,
			       "a raw data file and a backing file exclude each other");
	if (raw && qcow2_crypt_wanted(create->settings))
		return err_set(err, EINVAL, "a raw data file and encryption exclude each other");
	if (!qcow2_crypt_wanted(create->settings) && block_setting_string(create->settings, "key"))
		return err_set(err, EINVAL, "option 'key' takes 'encryption=luks'");
	if (create->backing &&
	    strcmp(block_setting_string(create->settings, "preallocation"), "off"))
		return err_set(err, EINVAL, "preallocation would hide the backing file");
	return 0;
}

static char *copy_text(const char *text, int *rc)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		*rc = -ENOMEM;
	return copy;
}

/* What the options ask for. Caller frees with qcow2_header_fini(), also after a failure. */
static int plan_header(const struct block_format_create *create, struct qcow2_header *header,
		       struct err *err)
{
	const json_t *settings = create->settings;
	const char *compat = block_setting_string(settings, "compat");
	const char *data_file = block_setting_string(settings, "data-file");
	int rc = 0;

	*header = (struct qcow2_header){
		.version = !strcmp(compat, "0.10") || !strcmp(compat, "v2") ? 2 : 3,
		.cluster_bits = log2_of(block_setting_number(settings, "cluster-size")),
		.refcount_order = log2_of(block_setting_number(settings, "refcount-bits")),
		.reftable_clusters = 1,
	};
	header->header_bytes = header->version < 3 ? QCOW2_HEADER_V2 : QCOW2_HEADER_BYTES;
	header->reftable_offset = BIT(header->cluster_bits) * AT_REFTABLE;
	if (!strcmp(block_setting_string(settings, "compression-type"), "zstd")) {
		header->compression = QCOW2_ZSTD;
		header->incompatible |= QCOW2_COMPRESSION;
	}
	if (block_setting_boolean(settings, "extended-l2"))
		header->incompatible |= QCOW2_EXTENDED_L2;
	if (block_setting_boolean(settings, "lazy-refcounts"))
		header->compatible |= QCOW2_LAZY_REFCOUNTS;
	if (data_file)
		header->incompatible |= QCOW2_DATA_FILE;
	if (block_setting_boolean(settings, "data-file-raw"))
		header->autoclear |= QCOW2_RAW_DATA_FILE;
	header->data_file = copy_text(data_file, &rc);
	header->backing = copy_text(create->backing, &rc);
	header->backing_format = copy_text(create->backing_format, &rc);
	if (rc)
		return err_errno(err, rc, "cannot create an image");
	return check_options(create, header, err);
}

/* ---- the file ---- */

static int write_minimal(const struct block_format_create *create,
			 const struct qcow2_header *header, struct err *err)
{
	uint64_t cluster_bytes = BIT(header->cluster_bits);
	struct qcow2 shape = { .header = { .refcount_order = header->refcount_order } };
	AUTO_FREE uint8_t *tables = calloc(2, cluster_bytes);
	int rc;

	if (!tables)
		return err_errno(err, ENOMEM, "cannot create an image");
	be64_put(tables, cluster_bytes * AT_BLOCK);
	for (unsigned i = 0; i < MINIMAL_CLUSTERS; i++)
		qcow2_refcount_put(&shape, tables + cluster_bytes, i, 1);
	rc = block_write(create->file, cluster_bytes * AT_REFTABLE, tables, 2 * cluster_bytes);
	if (rc)
		return err_errno(err, rc, "cannot write the image");
	return qcow2_header_store(create->file, header, err);
}

static int create_data_file(const struct block_format_create *create, struct err *err)
{
	const char *name = block_setting_string(create->settings, "data-file");
	struct block_node *node;
	int rc;

	if (!name)
		return 0;
	rc = block_opener_create(create->opener, name, &node, err);
	if (rc)
		return rc;
	rc = block_resize(node, create->bytes, err);
	block_close(node);
	return rc;
}

static int write_zero_bytes(struct qcow2 *q, uint64_t host, uint64_t bytes)
{
	static const uint8_t zeroes[256 * KIB];
	int rc = 0;

	while (bytes && !rc) {
		struct iovec iov = { (void *)(uintptr_t)zeroes, MIN(bytes, sizeof(zeroes)) };

		rc = qcow2_data_write(q, host, iov.iov_len,
				      (struct block_buffer){ .iov = &iov, .iov_count = 1 });
		host += iov.iov_len;
		bytes -= iov.iov_len;
	}
	return rc;
}

static int preallocate(struct qcow2 *q, const char *mode)
{
	uint64_t offset = 0, size = atomic_load(&q->size), host, done;
	int rc = 0;

	while (offset < size && !rc) {
		rc = qcow2_allocate_held(q, offset, size - offset, &host, &done);
		/* Space that is only set aside would be decrypted to noise. */
		if (!rc && q->luks && strcmp(mode, "full"))
			rc = qcow2_zero_held(q, offset, done, false);
		if (!rc && !strcmp(mode, "full"))
			rc = write_zero_bytes(q, host, done);
		else if (!rc && !strcmp(mode, "falloc"))
			rc = block_write_zeroes(q->data, host, done, 0);
		else if (!rc && host + done > block_size_bytes(q->data))
			rc = block_resize(q->data, host + done, NULL);
		offset += done;
	}
	return rc;
}

static int preallocate_if_asked(struct qcow2 *q, const char *mode, struct err *err)
{
	int rc = 0;

	if (!strcmp(mode, "off"))
		return 0;
	if (q->luks && q->header.version < 3)
		return err_set(err, ENOTSUP,
			       "version 2 of qcow2 cannot reserve space in encrypted images");
	rc = preallocate(q, mode);
	return rc ? err_errno(err, rc, "cannot reserve space") : 0;
}

/* Gives the empty disk its size. */
static int grow_minimal(const struct block_format_create *create, struct err *err)
{
	const char *mode = block_setting_string(create->settings, "preallocation");
	struct block_format_open open = {
		.file = create->file,
		.opener = create->opener,
		.no_backing = true,
		.cache_bytes = 16 * MIB,
		.settings = create->settings,
	};
	struct block_node *node, *data;
	struct qcow2 *q;
	int rc = qcow2_open_image(&open, &node, err);

	if (rc)
		return rc;
	q = qcow2_of(node);
	data = q->external ? q->data : NULL;
	rc = qcow2_crypt_wanted(create->settings) ? qcow2_crypt_create(q, create->settings, err)
						  : 0;
	if (!rc)
		rc = block_resize(node, create->bytes, err);
	if (!rc)
		rc = preallocate_if_asked(q, mode, err);
	if (!rc) {
		rc = qcow2_mark_clean(q);
		if (rc)
			err_errno(err, rc, "cannot write the image");
	}
	/* The file stays with the caller. */
	node->ops->close(node);
	block_close(data);
	return rc;
}

int qcow2_create(const struct block_format_create *create, struct err *err)
{
	struct qcow2_header header;
	int rc = plan_header(create, &header, err);

	if (!rc)
		rc = create_data_file(create, err);
	if (!rc)
		rc = write_minimal(create, &header, err);
	if (!rc)
		rc = grow_minimal(create, err);
	qcow2_header_fini(&header);
	return rc;
}

/* ---- measuring ---- */

static uint64_t divide_up(uint64_t value, uint64_t by)
{
	return value / by + (value % by != 0);
}

/* Bytes of a file with so many bytes of data and of another header in it: the tables for the disk,
 * and refcounts of all. */
static uint64_t file_bytes(const struct qcow2_header *header, uint64_t disk, uint64_t data,
			   uint64_t crypt)
{
	uint64_t cluster = BIT(header->cluster_bits);
	uint64_t entry = header->incompatible & QCOW2_EXTENDED_L2 ? 16 : 8;
	uint64_t l2 = divide_up(disk, cluster * (cluster / entry));
	uint64_t clusters = 1 + divide_up(l2 * 8, cluster) + l2 + divide_up(crypt, cluster);
	uint64_t each = cluster * 8 >> header->refcount_order, blocks = 0, before;

	if (!(header->incompatible & QCOW2_DATA_FILE))
		clusters += divide_up(data, cluster);
	do {
		uint64_t table = divide_up(blocks * 8, cluster);

		before = blocks;
		blocks = divide_up(clusters + blocks + MAX(table, UINT64_C(1)), each);
	} while (blocks != before);
	return (clusters + blocks + MAX(divide_up(blocks * 8, cluster), UINT64_C(1))) * cluster;
}

int qcow2_measure(const struct block_format_create *create, struct block_node *from,
		  uint64_t *ret_required, uint64_t *ret_full, struct err *err)
{
	bool all = strcmp(block_setting_string(create->settings, "preallocation"), "off");
	uint64_t crypt = qcow2_crypt_bytes(create->settings);
	struct qcow2_header header;
	uint64_t data = 0;
	int rc = plan_header(create, &header, err);

	if (!rc)
		rc = block_count_data(from, BIT(header.cluster_bits), &data, err);
	if (!rc) {
		*ret_full = file_bytes(&header, create->bytes, create->bytes, crypt);
		*ret_required = all ? *ret_full : file_bytes(&header, create->bytes, data, crypt);
	}
	qcow2_header_fini(&header);
	return rc;
}
