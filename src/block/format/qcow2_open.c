/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a qcow2 image: what follows from the header, the tables in memory, and the files it stands
 * on. */
#include "block/format/qcow2_trees.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"

/* Of the budget for metadata, the share of refcounts: 1 to so many. */
#define REFCOUNTS_SHARE 8

static int qcow2_new(const struct block_format_open *open, struct qcow2 **ret_q, struct err *err)
{
	struct qcow2 *q = calloc(1, sizeof(*q));

	if (!q)
		return err_errno(err, ENOMEM, "cannot open image '%s'",
				 block_opener_name(open->opener));
	block_node_init(&q->node, &qcow2_ops, open->loop);
	pthread_mutex_init(&q->flush_lock, NULL);
	pthread_mutex_init(&q->lock, NULL);
	pthread_mutex_init(&q->barrier_lock, NULL);
	pthread_mutex_init(&q->dirty_lock, NULL);
	q->file = q->data = open->file;
	/* Tables and clusters at the end of the file may be cut where only zeroes follow. */
	q->file->grows = true;
	q->read_only = open->read_only;
	q->check = open->check;
	q->path = strdup(block_opener_name(open->opener));
	*ret_q = q;
	return q->path ? 0 : err_errno(err, ENOMEM, "cannot open an image");
}

/* What only depends on the header. */
static void derive(struct qcow2 *q)
{
	const struct qcow2_header *header = &q->header;

	q->extended = header->incompatible & QCOW2_EXTENDED_L2;
	q->external = header->incompatible & QCOW2_DATA_FILE;
	q->raw_external = header->autoclear & QCOW2_RAW_DATA_FILE;
	q->lazy = header->compatible & QCOW2_LAZY_REFCOUNTS;
	q->corrupt = q->corrupt_stored = header->incompatible & QCOW2_CORRUPT;
	atomic_store(&q->size, round_up(header->size, BLOCK_SECTOR));
	q->cluster_bits = header->cluster_bits;
	q->cluster_bytes = BIT(header->cluster_bits);
	q->unit_bits = header->cluster_bits - (q->extended ? QCOW2_SUBCLUSTERS_BITS : 0);
	q->entry_bits = q->extended ? 4 : 3;
	q->l2_bits = header->cluster_bits - q->entry_bits;
	q->block_bits = header->cluster_bits + 3 - header->refcount_order;
	q->refcount_max = bits_mask(1u << header->refcount_order);
	q->slice_bytes = (uint32_t)MIN(q->cluster_bytes, (uint64_t)QCOW2_SLICE_BYTES);
	qcow2_set_table(q, QCOW2_HEADER, 0, q->cluster_bytes);
	qcow2_set_table(q, QCOW2_L1, header->l1_offset, header->l1_entries * UINT64_C(8));
	qcow2_set_table(q, QCOW2_REFTABLE, header->reftable_offset,
			header->reftable_clusters * q->cluster_bytes);
}

static int refuse(const struct qcow2 *q, struct err *err)
{
	if (q->read_only || q->check)
		return 0;
	if (atomic_load(&q->corrupt)) {
		err_set(err, EIO, "image '%s' is marked as damaged", q->path);
		return err_hint(err, "repair it, or open it only for reading");
	}
	return 0;
}

/* A table of 8-byte entries, which are turned into the host's order. */
static int load_table(struct qcow2 *q, uint64_t offset, uint32_t entries, const char *what,
		      _Atomic uint64_t **ret_table, struct err *err)
{
	AUTO_FREE uint8_t *bytes = malloc(entries * 8ull + 1);
	_Atomic uint64_t *table = calloc(entries + 1ull, sizeof(*table));
	int rc = bytes && table ? 0 : -ENOMEM;

	if (!rc && entries)
		rc = block_read(q->file, offset, bytes, entries * 8ull);
	if (rc) {
		free(table);
		return err_errno(err, rc, "cannot read the %s of image '%s'", what, q->path);
	}
	for (uint32_t i = 0; i < entries; i++)
		table[i] = be64_get(bytes + i * 8ull);
	*ret_table = table;
	return 0;
}

static int load_tables(struct qcow2 *q, struct err *err)
{
	const struct qcow2_header *header = &q->header;
	uint64_t reftable_bytes = header->reftable_clusters * q->cluster_bytes;
	int rc;

	q->l1_entries = header->l1_entries;
	q->reftable_entries = (uint32_t)(reftable_bytes / 8);
	rc = load_table(q, header->l1_offset, q->l1_entries, "L1 table", &q->l1, err);
	if (!rc)
		rc = load_table(q, header->reftable_offset, q->reftable_entries, "refcount table",
				&q->reftable, err);
	return rc;
}

static int make_caches(struct qcow2 *q, uint64_t budget, struct err *err)
{
	struct table_cache_config config = {
		.file = q->file,
		.table_bytes = q->slice_bytes,
		.budget_bytes = budget / REFCOUNTS_SHARE,
	};
	int rc = table_cache_new(&q->refcounts, &config);

	config.budget_bytes = budget - config.budget_bytes;
	config.before_write = qcow2_barrier;
	config.ctx = q;
	if (!rc)
		rc = table_cache_new(&q->l2, &config);
	return rc ? err_errno(err, rc, "cannot open image '%s'", q->path) : 0;
}

static int open_data(struct qcow2 *q, const struct block_format_open *open, struct err *err)
{
	int rc;

	if (!q->external)
		return 0;
	if (!q->header.data_file)
		return err_set(err, EINVAL, "image '%s' does not name its data file", q->path);
	rc = block_opener_file(open->opener, q->header.data_file,
			       q->read_only ? 0 : BLOCK_FILE_WRITE, &q->data, err);
	if (rc)
		q->data = q->file;
	else
		q->data->grows = true;
	return rc;
}

static int open_backing(struct qcow2 *q, const struct block_format_open *open, struct err *err)
{
	const struct qcow2_header *header = &q->header;
	int rc;

	if (!header->backing || open->no_backing)
		return 0;
	if (q->raw_external)
		return err_set(err, EINVAL,
			       "image '%s' has a raw data file and a backing file: they exclude "
			       "one another",
			       q->path);
	rc = block_opener_image(open->opener, header->backing, header->backing_format, &q->backing,
				err);
	if (rc)
		return err_wrap(err, "backing file of '%s'", q->path);
	q->backing_size = block_size_bytes(q->backing);
	return 0;
}

/* Who writes must clear what it does not keep up to date. */
static int clear_features(struct qcow2 *q, struct err *err)
{
	uint64_t kept = q->header.autoclear & (QCOW2_RAW_DATA_FILE | QCOW2_BITMAPS);
	int rc;

	if (q->read_only || q->check || kept == q->header.autoclear)
		return 0;
	q->header.autoclear = kept;
	rc = qcow2_header_store_features(q);
	return rc ? err_errno(err, rc, "cannot write the header of image '%s'", q->path) : 0;
}

/* Bitmaps that somebody did not keep up to date are of no use any more. */
static int open_bitmaps(struct qcow2 *q, struct err *err)
{
	int rc = qcow2_bitmaps_start(q, err);

	if (rc && (q->read_only || q->check)) {
		log_warn("%s", err ? err->text : "bitmaps are damaged");
		return 0;
	}
	if (!q->bitmaps && !q->read_only && !q->check)
		q->header.bitmap_count = 0;
	return rc;
}

/* Data must never be written over the snapshots, so it is known where they are. */
static int locate_snapshots(struct qcow2 *q, struct err *err)
{
	struct qcow2_snapshots snapshots;
	int rc;

	if (!q->header.snapshot_count || q->read_only || q->check)
		return 0;
	rc = qcow2_snapshots_load(q, &snapshots, err);
	qcow2_set_table(q, QCOW2_SNAPSHOTS, q->header.snapshots_offset, snapshots.bytes);
	qcow2_snapshots_fini(&snapshots);
	return rc;
}

/* The file becomes the node's only when nothing can fail any more. */
static int add_children(struct qcow2 *q, struct err *err)
{
	int rc = block_node_add(&q->node, q->file);

	if (!rc && q->external)
		rc = block_node_add(&q->node, q->data);
	if (!rc && q->backing)
		rc = block_node_add(&q->node, q->backing);
	return rc ? err_errno(err, rc, "cannot open image '%s'", q->path) : 0;
}

int qcow2_open_image(const struct block_format_open *open, struct block_node **ret_node,
		     struct err *err)
{
	struct qcow2 *q = NULL;
	int rc = qcow2_new(open, &q, err);

	if (!rc)
		rc = qcow2_header_load(q->file, q->path, &q->header, err);
	if (!rc) {
		derive(q);
		rc = refuse(q, err);
	}
	if (!rc)
		rc = qcow2_crypt_open(q, open, err);
	if (!rc)
		rc = load_tables(q, err);
	if (!rc)
		rc = make_caches(q, open->cache_bytes, err);
	if (!rc)
		rc = open_data(q, open, err);
	if (!rc)
		rc = open_backing(q, open, err);
	if (!rc)
		rc = clear_features(q, err);
	if (!rc)
		rc = locate_snapshots(q, err);
	if (!rc)
		rc = open_bitmaps(q, err);
	if (!rc)
		rc = qcow2_recover(q, err);
	if (!rc)
		rc = add_children(q, err);
	if (rc && q) {
		block_close(q->backing);
		if (q->data != q->file)
			block_close(q->data);
		q->read_only = true;
		q->node.ops->close(&q->node);
	}
	if (rc)
		return rc;
	*ret_node = &q->node;
	return 0;
}
