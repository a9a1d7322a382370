/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2: the row of the table of formats, the methods of its node, and facts.
 *
 * Spec: QEMU docs/interop/qcow2.txt
 */
#include "base/bytes.h"
#include "base/check.h"
#include "base/macros.h"
#include "block/format/formats.h"
#include "block/format/qcow2_trees.h"
#include "block/luks.h"

static const char *const extensions[] = { "qcow2", "qcow", NULL };

struct qcow2 *qcow2_of(struct block_node *node)
{
	check(node->ops == &qcow2_ops);
	return container_of(node, struct qcow2, node);
}

static uint64_t qcow2_size(struct block_node *node)
{
	return atomic_load(&qcow2_of(node)->size);
}

static uint32_t qcow2_unit(struct block_node *node)
{
	(void)node;
	return BLOCK_SECTOR;
}

static uint32_t qcow2_granularity(struct block_node *node)
{
	return (uint32_t)qcow2_of(node)->cluster_bytes;
}

static bool qcow2_can_write(struct block_node *node)
{
	return !qcow2_of(node)->read_only;
}

static struct block_node *qcow2_backing(struct block_node *node)
{
	return qcow2_of(node)->backing;
}

static void qcow2_stand_on(struct block_node *node, struct block_node *backing)
{
	struct qcow2 *q = qcow2_of(node);

	q->backing = backing;
	q->backing_size = backing ? block_size_bytes(backing) : 0;
}

static void describe_options(const struct qcow2 *q, json_t *facts)
{
	const struct qcow2_header *header = &q->header;

	if (header->version >= 3) {
		json_object_set_new(facts, "lazy-refcounts", json_boolean(q->lazy));
		json_object_set_new(facts, "extended-l2", json_boolean(q->extended));
		json_object_set_new(
			facts, "compression-type",
			json_string(header->compression == QCOW2_ZSTD ? "zstd" : "zlib"));
		json_object_set_new(facts, "dirty",
				    json_boolean(header->incompatible & QCOW2_DIRTY));
		json_object_set_new(facts, "corrupt",
				    json_boolean(header->incompatible & QCOW2_CORRUPT));
	}
	if (header->data_file)
		json_object_set_new(facts, "data-file", json_string(header->data_file));
	if (q->external)
		json_object_set_new(facts, "data-file-raw", json_boolean(q->raw_external));
	if (header->backing)
		json_object_set_new(facts, "backing-file", json_string(header->backing));
	if (header->backing_format)
		json_object_set_new(facts, "backing-format", json_string(header->backing_format));
	if (q->luks)
		json_object_set_new(facts, "encryption", luks_describe(q->luks));
	if (q->backing)
		json_object_set_new(facts, "backing", block_describe(q->backing));
}

static json_t *qcow2_describe(struct block_node *node)
{
	struct qcow2 *q = qcow2_of(node);
	const struct qcow2_header *header = &q->header;
	json_t *facts = json_pack(
		"{s:s, s:s, s:I, s:s, s:I, s:i, s:b, s:i, s:i}", "format", qcow2_ops.name, "file",
		q->path, "size", (json_int_t)atomic_load(&q->size), "compat",
		header->version >= 3 ? "1.1" : "0.10", "cluster-size", (json_int_t)q->cluster_bytes,
		"refcount-bits", 1 << header->refcount_order, "encrypted",
		header->crypt_method != 0, "snapshots", (int)header->snapshot_count, "bitmaps",
		(int)header->bitmap_count);

	if (facts)
		describe_options(q, facts);
	return facts;
}

static void qcow2_close(struct block_node *node)
{
	struct qcow2 *q = qcow2_of(node);

	if (!q->read_only && !q->check && q->l2)
		qcow2_mark_clean(q);
	table_cache_free(q->l2);
	table_cache_free(q->refcounts);
	qcow2_bitmaps_free(q);
	luks_free(q->luks);
	qcow2_header_fini(&q->header);
	vec_fini(&q->pending);
	free(q->l1);
	free(q->reftable);
	free(q->path);
	pthread_mutex_destroy(&q->flush_lock);
	pthread_mutex_destroy(&q->lock);
	pthread_mutex_destroy(&q->barrier_lock);
	pthread_mutex_destroy(&q->dirty_lock);
	block_node_fini(node);
	free(q);
}

const struct block_ops qcow2_ops = {
	.name = "qcow2",
	.read = qcow2_read,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.discard = qcow2_discard,
	.write_zeroes = qcow2_write_zeroes,
	.extent = qcow2_extent,
	.resize = qcow2_resize,
	.map = qcow2_map,
	.size = qcow2_size,
	.unit = qcow2_unit,
	.granularity = qcow2_granularity,
	.can_write = qcow2_can_write,
	.can_discard = qcow2_can_write,
	.can_write_zeroes = qcow2_can_write,
	.backing = qcow2_backing,
	.set_backing = qcow2_stand_on,
	.describe = qcow2_describe,
	.close = qcow2_close,
};

static unsigned probe(const struct block_header *header)
{
	uint32_t version = be32_get(header->head + 4);

	return be32_get(header->head) == QCOW2_MAGIC && version >= 2 ? 100 : 0;
}

static const struct block_option open_options[] = {
	LUKS_OPEN_OPTIONS,
	{ 0 },
};

const struct block_format qcow2_format = {
	.name = "qcow2",
	.summary = "copy-on-write image of QEMU: grows as it is written, snapshots, backing files",
	.extensions = extensions,
	.open_options = open_options,
	.create_options = qcow2_create_options,
	.probe = probe,
	.open = qcow2_open_image,
	.create = qcow2_create,
	.tell_files = qcow2_tell_files,
	.measure = qcow2_measure,
	.check = qcow2_check,
	.set_backing = qcow2_set_backing,
	.empty = qcow2_empty,
	.snapshots = &qcow2_snapshot_ops,
	.bitmaps = &qcow2_bitmap_ops,
	.keys = &qcow2_key_ops,
};
