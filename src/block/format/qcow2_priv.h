/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qcow2 from the inside: the header, the state of an open image, and what its files do for one
 * another.
 *
 * The disk is cut into clusters. L1 (in memory) names L2 tables, whose entries say where a cluster
 * lies: here, compressed here, zero, or in the backing file. The refcount table (in memory) names
 * refcount blocks, which count the references to each cluster of the file. L2 tables and refcount
 * blocks are used through caches, in slices.
 *
 * Order of writing, so that a crash at any time loses nothing that was flushed and only leaks:
 *	refcounts that grew, data and new tables	(qcow2_barrier(): written and flushed)
 *	L2 tables and L1				(written, then flushed)
 *	refcounts that fall				(later, or never)
 * A cluster that was let go of is free only after the flush behind that (`pending`).
 *
 * Locks, in this order: `flush_lock` (one flush at a time, and what moves L1), `lock` (allocation
 * and all changes of tables), `barrier_lock` (one barrier at a time), `dirty_lock` (a leaf).
 * Reading takes none of them. What an entry says stays true while its range of the disk is held
 * (node.h).
 *
 * Spec: QEMU docs/interop/qcow2.txt
 */
#pragma once

#include <stdatomic.h>

#include "base/bits.h"
#include "base/log.h"
#include "base/vec.h"
#include "block/format.h"
#include "block/format/table_cache.h"

#define QCOW2_MAGIC UINT32_C(0x514649fb)

#define QCOW2_HEADER_V2        72
#define QCOW2_HEADER_V3        104
#define QCOW2_HEADER_BYTES     112 /* what is written here */
#define QCOW2_CLUSTER_BITS_MIN 9
#define QCOW2_CLUSTER_BITS_MAX 21
#define QCOW2_SUBCLUSTERS      32
#define QCOW2_SUBCLUSTERS_BITS 5
#define QCOW2_L1_BYTES_MAX     (32 * MIB)
#define QCOW2_REFTABLE_MAX     (8 * MIB)
#define QCOW2_SLICE_BYTES      4096 /* of a table in a cache, or a cluster if that is smaller */
#define QCOW2_NAME_MAX         1023
#define QCOW2_SNAPSHOTS_MAX    65536

/* Places of fields in the header that are written alone. */
enum {
	QCOW2_AT_SIZE = 24,
	QCOW2_AT_L1 = 36,        /* entries (4), offset (8) */
	QCOW2_AT_REFTABLE = 48,  /* offset (8), clusters (4) */
	QCOW2_AT_SNAPSHOTS = 60, /* count (4), offset (8) */
	QCOW2_AT_INCOMPATIBLE = 72,
	QCOW2_AT_AUTOCLEAR = 88,
};

#define QCOW2_DIRTY       BIT(0)
#define QCOW2_CORRUPT     BIT(1)
#define QCOW2_DATA_FILE   BIT(2)
#define QCOW2_COMPRESSION BIT(3)
#define QCOW2_EXTENDED_L2 BIT(4)
#define QCOW2_KNOWN                                                                                \
	(QCOW2_DIRTY | QCOW2_CORRUPT | QCOW2_DATA_FILE | QCOW2_COMPRESSION | QCOW2_EXTENDED_L2)

#define QCOW2_LAZY_REFCOUNTS BIT(0) /* compatible */

#define QCOW2_BITMAPS       BIT(0) /* autoclear */
#define QCOW2_RAW_DATA_FILE BIT(1)

/* Entries of tables. */
#define QCOW2_OFFSET          UINT64_C(0x00fffffffffffe00)
#define QCOW2_ZERO            BIT(0)
#define QCOW2_COMPRESSED      BIT(62)
#define QCOW2_COPIED          BIT(63)
#define QCOW2_REFTABLE_OFFSET UINT64_C(0xfffffffffffffe00)

/* `crypt_method`. */
enum { QCOW2_CRYPT_NONE, QCOW2_CRYPT_AES, QCOW2_CRYPT_LUKS };

enum qcow2_compression { QCOW2_ZLIB, QCOW2_ZSTD, QCOW2_COMPRESSIONS };

/* A header extension that is kept as it is. */
struct qcow2_extension {
	uint32_t type, bytes;
	uint8_t *data;
};

struct qcow2_header {
	uint32_t version, cluster_bits, crypt_method, l1_entries;
	uint32_t reftable_clusters, snapshot_count, refcount_order, header_bytes;
	uint64_t size, l1_offset, reftable_offset, snapshots_offset;
	uint64_t incompatible, compatible, autoclear;
	uint8_t compression;

	char *backing, *backing_format, *data_file; /* NULL: none */
	uint32_t bitmap_count;
	uint64_t bitmaps_bytes, bitmaps_offset; /* the directory */
	uint64_t crypt_offset, crypt_bytes;
	bool has_crypt;
	VEC(struct qcow2_extension) unknown;
	uint8_t *more; /* of the header behind what is known, header_bytes - QCOW2_HEADER_BYTES */
};

/* Clusters of the file that nothing names any more, but the file still may. */
struct qcow2_extent {
	uint64_t offset, clusters;
};

/* Part of a table in memory that has to be written, in entries. */
struct qcow2_dirty {
	uint32_t from, end; /* none: both 0 */
};

enum qcow2_table {
	QCOW2_HEADER,
	QCOW2_L1,
	QCOW2_REFTABLE,
	QCOW2_SNAPSHOTS,
	QCOW2_CRYPT,
	QCOW2_TABLES
};

/* Extents that wait for a flush before they are free: so many bring one about, and so many are
 * remembered at most. */
#define QCOW2_PENDING_SOME 4096
#define QCOW2_PENDING_MAX  262144

struct qcow2 {
	struct block_node node;
	struct block_node *file;    /* the image */
	struct block_node *data;    /* where clusters of the disk are: `file`, or the data file */
	struct block_node *backing; /* NULL: none */
	struct luks *luks;          /* NULL: data is not encrypted, or never looked at */
	char *path;
	struct qcow2_header header; /* guarded by lock */
	bool read_only, check;
	bool external, raw_external; /* data file, readable without the image */
	bool extended, lazy;
	_Atomic bool corrupt; /* no more writes */
	_Atomic bool corrupt_stored;
	struct log_once said_corrupt;

	_Atomic uint64_t size; /* of the disk, a multiple of BLOCK_SECTOR */
	uint64_t backing_size;
	unsigned cluster_bits, unit_bits; /* unit: a subcluster, or a cluster if there are none */
	unsigned entry_bits;              /* log2 of the bytes of an L2 entry: 3 or 4 */
	unsigned l2_bits;                 /* log2 of the entries of an L2 table */
	unsigned block_bits;              /* log2 of the entries of a refcount block */
	uint64_t cluster_bytes, refcount_max;
	uint32_t slice_bytes;

	struct table_cache *l2, *refcounts;

	/* Where the tables in memory are in the file. */
	struct {
		_Atomic uint64_t from, end;
	} tables[QCOW2_TABLES];

	/* Changed with `dirty_lock` and `lock`; the arrays with the whole disk held as well. */
	_Atomic uint64_t *l1;
	_Atomic uint64_t *reftable;
	uint32_t l1_entries, reftable_entries;

	pthread_mutex_t flush_lock;

	pthread_mutex_t lock;
	uint64_t free_hint; /* no cluster below is free */
	uint64_t append,
		append_end; /* where compressed data goes on, and the end of what is set aside
					for it; both 0: nothing is */
	VEC(struct qcow2_extent) pending;

	pthread_mutex_t barrier_lock;
	_Atomic bool unordered; /* something was written that must be durable before an L2 table */

	pthread_mutex_t dirty_lock;
	struct qcow2_dirty l1_dirty, reftable_dirty;

	struct qcow2_bitmaps *bitmaps; /* NULL: none; changed with the whole disk held */
};

extern const struct block_ops qcow2_ops;

struct qcow2 *qcow2_of(struct block_node *node);

/* ---- qcow2_header.c ---- */

/* Reads and checks the header with its extensions. Caller frees with qcow2_header_fini(), also
 * after a failure. */
int qcow2_header_load(struct block_node *file, const char *path, struct qcow2_header *header,
		      struct err *err);
/* Writes all of it, to a file of that cluster size. -ENOSPC: extensions and backing file name do not
 * fit. */
int qcow2_header_store(struct block_node *file, const struct qcow2_header *header, struct err *err);
void qcow2_header_fini(struct qcow2_header *header);
/* As in struct block_format. */
void qcow2_tell_files(const uint8_t *start, size_t bytes, void (*tell)(void *ctx, const char *name),
		      void *ctx);
/* Writes feature bits as they are in `q->header`, and flushes. */
int qcow2_header_store_features(struct qcow2 *q);

/* ---- qcow2_open.c ---- */

/* The node on a file, with what it stands on. */
int qcow2_open_image(const struct block_format_open *open, struct block_node **ret_node,
		     struct err *err);

/* ---- qcow2_map.c: where the disk lies ---- */

enum qcow2_kind {
	QCOW2_IN_BACKING,
	QCOW2_IS_ZERO,
	QCOW2_IS_DATA,
	QCOW2_IS_COMPRESSED,
};

struct qcow2_entry {
	uint64_t word, bitmap; /* bitmap: 0 without extended L2 */
};

struct qcow2_place {
	enum qcow2_kind kind;
	bool has_host; /* a cluster of the file belongs to it */
	bool copied;   /* and to nobody else */
	uint64_t host; /* of the first byte; COMPRESSED: the entry */
	uint64_t bytes;
};

static inline uint64_t qcow2_in_cluster(const struct qcow2 *q, uint64_t offset)
{
	return offset & (q->cluster_bytes - 1);
}

/*
 * What is the same from `offset` on, at most `bytes`. With `wait` false, only from memory: -EAGAIN
 * otherwise. -EIO: the table is damaged (said in the log, and nothing is written any more).
 */
int qcow2_lookup(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool wait,
		 struct qcow2_place *ret_place);

/* Of an entry that is in order. */
struct qcow2_place qcow2_place_of(const struct qcow2 *q, struct qcow2_entry entry, unsigned unit);
/* Whether an entry says what the format allows; `guest`: start of the cluster. */
bool qcow2_entry_ok(const struct qcow2 *q, struct qcow2_entry entry, uint64_t guest);

struct qcow2_entry qcow2_entry_get(const struct qcow2 *q, const uint8_t *slice, unsigned index);
void qcow2_entry_put(const struct qcow2 *q, uint8_t *slice, unsigned index,
		     struct qcow2_entry entry);

/* The slice with the entry of the cluster at `guest`, pinned, its index there, and how many entries
 * follow (with it). */
struct qcow2_slice {
	struct table *table;
	unsigned index, count;
};

/* In the L2 table at `l2_offset`. */
int qcow2_slice_get(struct qcow2 *q, uint64_t l2_offset, uint64_t guest,
		    struct qcow2_slice *ret_slice);

/* An L2 table that is only ours, made if there is none. With lock. */
int qcow2_slice_for_write(struct qcow2 *q, uint64_t guest, struct qcow2_slice *ret_slice);

static inline uint64_t qcow2_l1_index(const struct qcow2 *q, uint64_t guest)
{
	return guest >> (q->cluster_bits + q->l2_bits);
}

/* Bytes of disk that an L2 table describes. */
static inline uint64_t qcow2_l2_reach(const struct qcow2 *q)
{
	return UINT64_C(1) << (q->cluster_bits + q->l2_bits);
}

void qcow2_l1_set(struct qcow2 *q, uint32_t index, uint64_t entry);

/* The place of compressed data: bytes from `ret_offset` on, up to the end of its last sector. */
void qcow2_compressed_place(const struct qcow2 *q, uint64_t entry, uint64_t *ret_offset,
			    uint64_t *ret_bytes);
/* -EFBIG: the format cannot say it. */
int qcow2_compressed_entry(const struct qcow2 *q, uint64_t offset, uint64_t bytes,
			   uint64_t *ret_entry);

/* ---- qcow2_read.c ---- */

/* As read(), for those who hold the range already; also behind the end of the disk. */
int qcow2_read_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct block_buffer to);
int qcow2_read(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to);
int qcow2_extent(struct block_node *node, struct block_extent *extent);
bool qcow2_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
	       struct block_place *ret_place);

/* ---- qcow2_codec.c ---- */

/* A cluster's worth of data from its compressed form; bytes behind that are ignored. -EIO. */
int qcow2_decompress(enum qcow2_compression type, void *to, size_t to_bytes, const void *from,
		     size_t from_bytes);
/* The bytes it takes, -ENOSPC if more than `to_bytes`, -ENOMEM. */
ssize_t qcow2_compress(enum qcow2_compression type, void *to, size_t to_bytes, const void *from,
		       size_t from_bytes);

/* ---- qcow2_refcount.c; all with lock, or alone ---- */

uint64_t qcow2_refcount_get(const struct qcow2 *q, const uint8_t *bytes, uint64_t index);
void qcow2_refcount_put(const struct qcow2 *q, uint8_t *bytes, uint64_t index, uint64_t count);

/* Of the cluster at `offset`. */
int qcow2_refcount(struct qcow2 *q, uint64_t offset, uint64_t *ret_count);
/* One reference more or less for each cluster. -ERANGE: a count would leave its range. */
int qcow2_refer(struct qcow2 *q, uint64_t offset, uint64_t clusters, int change);
/* From 1 to `clusters` clusters in a row, each with one reference. */
int qcow2_alloc(struct qcow2 *q, uint64_t clusters, uint64_t *ret_offset, uint64_t *ret_clusters);
/* Just as many in a row. */
int qcow2_alloc_run(struct qcow2 *q, uint64_t clusters, uint64_t *ret_offset);
/* Room for compressed data, not aligned. */
int qcow2_alloc_bytes(struct qcow2 *q, uint64_t bytes, uint64_t *ret_offset);
/* Gives back what was set aside for compressed data. */
void qcow2_release_reserve(struct qcow2 *q);
/* Gives back at once what nothing in the file ever named. */
void qcow2_unalloc(struct qcow2 *q, uint64_t offset, uint64_t clusters);
/* Gives back after the next flush what tables in the file may still name. */
void qcow2_free_later(struct qcow2 *q, uint64_t offset, uint64_t clusters);
/* What an L2 entry held. */
void qcow2_free_entry_later(struct qcow2 *q, struct qcow2_entry entry);
/* Makes a new place for a table read as zeroes, if the file does not do so there anyway. */
int qcow2_zero_new(struct qcow2 *q, uint64_t offset, uint64_t bytes);

/* ---- qcow2_sync.c ---- */

int qcow2_flush(struct block_node *node);
/* With flush_lock. */
int qcow2_flush_locked(struct qcow2 *q);
/* Makes durable what L2 tables and L1 may name: `before_write` of the cache of L2 tables. */
int qcow2_barrier(void *ctx);
/* With barrier_lock. */
int qcow2_barrier_locked(struct qcow2 *q);
void qcow2_set_unordered(struct qcow2 *q);
bool qcow2_is_clean(struct qcow2 *q);
/* With dirty_lock. */
void qcow2_dirty_add(struct qcow2_dirty *dirty, uint32_t index);
/* Says once in the log what is damaged, marks the image, and ends all writing. Returns -EIO. */
int qcow2_set_corrupt(struct qcow2 *q, const char *format, ...) PRINTF_LIKE(2, 3);
/* The header could not be switched to a new table. Both tables are whole, but nobody knows which of
 * them it names: nothing is written until the image is opened anew. Returns -EIO. */
int qcow2_set_unsure(struct qcow2 *q, const char *table, int rc);
/* Before the first change with lazy refcounts; with lock. */
int qcow2_mark_dirty(struct qcow2 *q);
int qcow2_mark_clean(struct qcow2 *q);

/* ---- qcow2_write.c, qcow2_zero.c, qcow2_pack.c ---- */

int qcow2_write(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
		unsigned flags);
/* One round of a write that has its clusters exclusively; says how much of it. */
int qcow2_write_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, struct block_buffer from,
		     uint64_t *ret_done);
/* Places for data that reads as zeroes: one run of clusters from the start of one on. */
int qcow2_allocate_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, uint64_t *ret_host,
			uint64_t *ret_done);
int qcow2_write_compressed(struct qcow2 *q, uint64_t offset, uint64_t bytes,
			   struct block_buffer from, uint64_t *ret_done);
int qcow2_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags);
int qcow2_discard(struct block_node *node, uint64_t offset, uint64_t bytes);
/* Zeroes for those who hold the range; flags of block_write_zeroes(). */
int qcow2_zero_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, unsigned flags);
/* The same as data, where qcow2_zero_held() says -ENOTSUP. */
int qcow2_zero_as_data(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool hide);
/* Lets go of whole clusters; what is behind them in the backing file shows again if `reveal`. */
int qcow2_drop_held(struct qcow2 *q, uint64_t offset, uint64_t bytes, bool reveal);
/* Whether something may be written; 0, -EIO. */
int qcow2_check_writable(struct qcow2 *q);
/* Whether bytes of the file belong to the header or the tables that are in memory. */
bool qcow2_is_metadata(struct qcow2 *q, uint64_t offset, uint64_t bytes);
void qcow2_set_table(struct qcow2 *q, enum qcow2_table table, uint64_t offset, uint64_t bytes);

/* ---- qcow2_crypt.c ---- */

/* Data of the disk at `host` of `q->data`, decrypted and encrypted if the image is. */
int qcow2_data_read(struct qcow2 *q, uint64_t host, uint64_t bytes, struct block_buffer to);
int qcow2_data_write(struct qcow2 *q, uint64_t host, uint64_t bytes, struct block_buffer from);
/* Loads the LUKS header of an image that has one, and finds the key. */
int qcow2_crypt_open(struct qcow2 *q, const struct block_format_open *open, struct err *err);
/* Looks at that header. */
int qcow2_crypt_check(struct qcow2 *q, struct block_check *check);
/* Whether the settings of a new image ask for encryption; bytes of the LUKS header then, or 0. */
bool qcow2_crypt_wanted(const json_t *settings);
uint64_t qcow2_crypt_bytes(const json_t *settings);
/* Makes an empty image an encrypted one. */
int qcow2_crypt_create(struct qcow2 *q, const json_t *settings, struct err *err);

extern const struct block_key_ops qcow2_key_ops;

/* ---- qcow2_create.c, qcow2_resize.c ---- */

extern const struct block_option qcow2_create_options[];
int qcow2_create(const struct block_format_create *create, struct err *err);
int qcow2_measure(const struct block_format_create *create, struct block_node *from,
		  uint64_t *ret_required, uint64_t *ret_full, struct err *err);
int qcow2_resize(struct block_node *node, uint64_t bytes, struct err *err);
/* Entries of L1 that a disk takes. */
uint64_t qcow2_l1_entries_for(const struct qcow2 *q, uint64_t bytes);
/* Gives L1 room for so many entries. With flush_lock and lock, the whole disk held. */
int qcow2_l1_grow(struct qcow2 *q, uint64_t entries);
/* Makes a table durable at a new place; then names it in the header and in `q`, which takes it over. */
int qcow2_l1_store(struct qcow2 *q, _Atomic uint64_t *table, uint64_t entries, uint64_t offset);
int qcow2_l1_switch(struct qcow2 *q, _Atomic uint64_t *table, uint64_t entries, uint64_t offset);
int qcow2_empty(struct block_node *node, struct err *err);
int qcow2_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		      struct err *err);

/* ---- qcow2_bitmap.c, qcow2_bitmap_dir.c ---- */

/* Reads the directory, and has all bitmaps record that are to. */
int qcow2_bitmaps_start(struct qcow2 *q, struct err *err);
/* Writes all that recorded. With flush_lock. */
int qcow2_bitmaps_stop(struct qcow2 *q);
void qcow2_bitmaps_free(struct qcow2 *q);
/* Before the disk gets that size: bits for all of it, and marks in the file, where they do not fit any
 * more. With flush_lock and all of the disk held. */
int qcow2_bitmaps_prepare_size(struct qcow2 *q, uint64_t bytes, struct err *err);
/* It has its new size, or kept the old one: no bits behind it. */
void qcow2_bitmaps_set_size(struct qcow2 *q);
/* The range is about to change; its range lock held. */
void qcow2_bitmaps_record(struct qcow2 *q, uint64_t offset, uint64_t bytes);

extern const struct block_bitmap_ops qcow2_bitmap_ops;
