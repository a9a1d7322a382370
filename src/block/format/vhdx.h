/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VHDX image from the inside.
 *
 *	0		identifier, two headers, two region tables: 64 KiB each
 *	1 MiB …		in any order, in units of 1 MiB: the log, the metadata region, the block
 *			allocation table (BAT), blocks of data, blocks of bitmaps
 *
 * The BAT has an entry a block and, behind each `chunk_blocks` of them, one for the bitmap that
 * says which sectors of those blocks are here (1) and which in the parent (0); only differencing
 * images use these.
 *
 * Order of writing. Tables (the BAT, bitmaps) are changed in memory; when they are written back, all
 * data is flushed first, then the tables go to the log as one entry, the log is flushed, and then
 * they go to their places (vhdx_log.c). So at any cut the tables are whole, and refer only to data
 * that is there. Space that a flushed table gave up is used again only after that.
 *
 * Threads: see block/node.h. Locks, outer first: `header_lock` or `bitmap_lock`, the log's, the
 * space's.
 *
 * Spec: [MS-VHDX] v20180912; section numbers are those of this document.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/vec.h"
#include "block/format.h"
#include "block/format/table_cache.h"

#define VHDX_ALIGN          MIB /* of all regions and blocks */
#define VHDX_LOG_SECTOR     4096
#define VHDX_TABLE_BYTES    4096 /* a table of the cache, and what the log moves */
#define VHDX_BITMAP_BYTES   MIB
#define VHDX_BITMAP_SECTORS (VHDX_BITMAP_BYTES * 8) /* sectors that a bitmap describes */
#define VHDX_SIZE_MAX       (64 * TIB)
#define VHDX_BLOCK_MIN      MIB
#define VHDX_BLOCK_MAX      (256 * MIB)
#define VHDX_FILE_MAX       (128 * TIB) /* no image that is all in use needs more */
#define VHDX_LOG_MAX        (64 * MIB)  /* a log that is to be replayed is read into memory */

#define VHDX_REGION_TABLE_1 (192 * KIB)
#define VHDX_REGION_TABLE_2 (256 * KIB)
#define VHDX_SECTION_BYTES  (64 * KIB)

struct vhdx_guid {
	uint8_t bytes[16]; /* as they lie in the file */
};

extern const struct vhdx_guid vhdx_bat_region, vhdx_metadata_region;

bool vhdx_guid_equal(const struct vhdx_guid *a, const struct vhdx_guid *b);
bool vhdx_guid_is_null(const struct vhdx_guid *guid);

/* "{8-4-4-4-12}" and NUL. */
#define VHDX_GUID_TEXT 39
void vhdx_guid_format(const struct vhdx_guid *guid, char text[VHDX_GUID_TEXT]);

/* A header. Spec: 2.2.2 */
struct vhdx_header {
	uint64_t sequence;
	struct vhdx_guid file_write, data_write, log;
	uint32_t log_bytes;
	uint64_t log_offset;
	unsigned copy; /* 0 or 1: where it lies */
};

struct vhdx_region {
	uint64_t offset;
	uint32_t bytes;
};

struct vhdx_regions_vec {
	struct vhdx_region *items;
	size_t count, capacity;
};

/* An item of the metadata region. Offset in the file; 0: there is none. */
struct vhdx_item {
	uint64_t offset;
	uint32_t bytes;
};

/* Metadata items that are known. Spec: 2.6.2 */
enum vhdx_item_id {
	VHDX_ITEM_PARAMETERS,
	VHDX_ITEM_SIZE,
	VHDX_ITEM_DISK_ID,
	VHDX_ITEM_LOGICAL_SECTOR,
	VHDX_ITEM_PHYSICAL_SECTOR,
	VHDX_ITEM_LOCATOR,
	VHDX_ITEMS
};

extern const struct vhdx_guid vhdx_item_guids[VHDX_ITEMS];

/* States of blocks. Spec: 2.5.1.1, 2.5.1.2 */
enum vhdx_state {
	VHDX_NOT_PRESENT, /* in the parent; without one, undefined: zeroes */
	VHDX_UNDEFINED,
	VHDX_ZERO,
	VHDX_UNMAPPED,
	VHDX_UNMAPPED_OLD = 5, /* of drafts of the format */
	VHDX_PRESENT = 6,
	VHDX_PARTIAL = 7, /* a bitmap says which sectors are here */
};

/* The space of the file in units of VHDX_ALIGN. */
struct vhdx_space {
	pthread_mutex_t lock;             /* guards all that follows */
	uint64_t *used;                   /* a bit a unit */
	uint64_t words;                   /* of `used` */
	uint64_t end;                     /* units of the file; all behind is free */
	uint64_t holes;                   /* free units before `end` */
	struct vhdx_regions_vec given_up; /* free as soon as the tables on disk say so */
};

struct vhdx_log {
	pthread_mutex_t lock; /* guards all that follows; held across I/O on metadata */
	uint64_t offset;
	uint32_t bytes;
	uint32_t head; /* where the next entry begins; offset in the log */
	uint64_t sequence;
	struct vhdx_guid guid;
	bool named; /* the header names the log: whoever opens the image replays it */
	/* Tables that are in the log and could not be written to their places: that comes before
	 * anything else in the log. */
	struct table_write *late; /* of allocated bytes */
	unsigned late_count;
	bool lost; /* no memory for those: the next to open the image replays the log */
	/* Flushes of the file are numbered as they begin: the last that began, the last of those
	 * that have ended well. */
	_Atomic uint64_t flush_begun, flush_ended;
};

struct vhdx {
	struct block_node node; /* stands on the file (or what the log makes of it), the parent */
	struct block_node *parent; /* NULL: none */
	bool read_only;

	/* Constant while it is open. */
	uint32_t block_bytes, sector_bytes, physical_sector_bytes;
	bool fixed;      /* blocks stay allocated */
	bool has_parent; /* as the image says; `parent` may be left out */
	uint64_t chunk_blocks;
	struct vhdx_region metadata;
	struct vhdx_item items[VHDX_ITEMS];
	struct vhdx_guid disk_id;
	bool replayed; /* opened with a log that was not empty */

	_Atomic uint64_t size;
	struct vhdx_region bat; /* changes with all of the disk held exclusively */

	pthread_mutex_t header_lock; /* guards the two below; held across I/O on the header */
	struct vhdx_header header;
	_Atomic bool writing; /* the header says that the content changes */

	pthread_mutex_t bitmap_lock; /* taken to add a bitmap block */
	struct table_cache *cache;
	struct vhdx_space space;
	struct vhdx_log log;
};

extern const struct block_ops vhdx_ops;
struct vhdx *vhdx_of(struct block_node *node);

/* ---- identifiers, headers and regions: vhdx_header.c ---- */

/* Reads the newer of the headers that are whole; `*ret_copies`: how many are. */
int vhdx_header_read(struct block_node *file, struct vhdx_header *ret_header, unsigned *ret_copies,
		     struct err *err);
/* Writes the header as the newer one and flushes; `*header` says then where it is. */
int vhdx_header_write(struct block_node *file, struct vhdx_header *header);

/* What a region table says. */
struct vhdx_regions {
	struct vhdx_region bat, metadata;
	unsigned bat_row;                /* of the table */
	unsigned whole;                  /* copies of the table: bit 0, bit 1 */
	struct vhdx_regions_vec unknown; /* that may be passed over */
};

/* Reads the first table that is whole; all regions are inside the file. The caller calls
 * vec_fini(&ret_regions->unknown), also after a failure. */
int vhdx_regions_read(struct block_node *file, struct vhdx_regions *ret_regions, struct err *err);
/* The first sector of the table that is whole, VHDX_LOG_SECTOR bytes, with the BAT moved; nothing is
 * written. */
int vhdx_regions_move_bat(struct block_node *file, const struct vhdx_regions *regions,
			  struct vhdx_region bat, uint8_t *ret_sector);
/* Writes the table that is whole over the one that is not. */
int vhdx_regions_restore(struct block_node *file);
/* Writes identifier, headers and region tables of a new image. */
int vhdx_header_create(struct block_node *file, struct vhdx_header *header, struct vhdx_region bat,
		       struct vhdx_region metadata);

/* ---- metadata items: vhdx_metadata.c ---- */

/* Reads the table of items and all but the locator into `vhdx`, whose metadata region is known. */
int vhdx_metadata_read(struct vhdx *vhdx, struct err *err);

/* The bytes of an item that is there: items[id].bytes of them. */
int vhdx_item_read(struct vhdx *vhdx, enum vhdx_item_id id, uint8_t *bytes);

struct vhdx_parameters {
	uint64_t size;
	uint32_t block_bytes, sector_bytes, physical_sector_bytes;
	bool fixed;
	struct vhdx_guid disk_id;
	const uint8_t *locator; /* NULL: no parent */
	uint32_t locator_bytes;
};

/* Writes down another locator of a parent, NULL: there is none; in one step, whatever happens. The
 * tables are flushed. */
int vhdx_metadata_relink(struct vhdx *vhdx, const uint8_t *locator, uint32_t bytes);

/* Writes the metadata region of a new image. */
int vhdx_metadata_create(struct block_node *file, uint64_t offset,
			 const struct vhdx_parameters *parameters);
#define VHDX_METADATA_BYTES MIB
#define VHDX_LOCATOR_MAX    (64 * KIB)

/* ---- the log: vhdx_replay.c, vhdx_log.c ---- */

/* Brings what the log holds to its places and empties it; `header` is that of the file, and is
 * written. `*ret_replayed`: whether it held anything. */
int vhdx_log_replay(struct block_node *file, struct vhdx_header *header, bool *ret_replayed,
		    struct err *err);
/* For images that are only read: `*ret_view` shows the file as it would be after the log was
 * replayed; then it stands on `file`. NULL: the log holds nothing. */
int vhdx_log_view(struct block_node *file, const struct vhdx_header *header, struct loop *loop,
		  struct block_node **ret_view, struct err *err);

/* Writes tables through the log; a `write` of a table cache (`ctx`: the vhdx). */
int vhdx_log_write(void *ctx, const struct table_write *writes, unsigned count);
/* After all is flushed: the header names the log no more. */
int vhdx_log_end(struct vhdx *vhdx);

void vhdx_log_fini(struct vhdx *vhdx);

/* ---- space: vhdx_space.c ---- */

/* Only the regions are in use so far. */
int vhdx_space_begin(struct vhdx *vhdx, struct err *err);
/* Takes a place that is in the file; whether it was free. */
bool vhdx_space_take(struct vhdx_space *space, uint64_t offset, uint64_t bytes);
bool vhdx_space_is_used(const struct vhdx_space *space, uint64_t unit);
/* Finds what is in use, reading all of the BAT; refuses images in which two things share a place. */
int vhdx_space_load(struct vhdx *vhdx, struct err *err);
/* Space for `bytes`, a multiple of VHDX_ALIGN. `*ret_clean`: it reads as zeroes. Any thread. */
int vhdx_space_allocate(struct vhdx *vhdx, uint64_t bytes, uint64_t *ret_offset, bool *ret_clean);
/* Space that no table on disk has ever named is free at once. Any thread. */
void vhdx_space_free(struct vhdx *vhdx, uint64_t offset, uint64_t bytes);
/* Space that a changed table has given up is free when that is on disk. Any thread. */
void vhdx_space_give_up(struct vhdx *vhdx, uint64_t offset, uint64_t bytes);
/* Moves out what was given up: the caller frees each, and the array. Any thread. */
struct vhdx_regions_vec vhdx_space_given_up(struct vhdx *vhdx);

/* ---- tables: vhdx_table.c ---- */

/* Rows of the BAT. */
uint64_t vhdx_row_of_block(const struct vhdx *vhdx, uint64_t block);
uint64_t vhdx_row_of_bitmap(const struct vhdx *vhdx, uint64_t chunk);
/* Rows that an image of `size` bytes needs. */
uint64_t vhdx_rows_needed(const struct vhdx *vhdx, uint64_t size);

static inline enum vhdx_state vhdx_entry_state(uint64_t entry)
{
	return entry & 7;
}

static inline uint64_t vhdx_entry_offset(uint64_t entry)
{
	return entry >> 20 << 20;
}

/* An entry of the BAT, checked: what it says to be present is inside the file. */
int vhdx_bat_get(struct vhdx *vhdx, uint64_t row, uint64_t *ret_entry);
/* As vhdx_bat_get(), from memory alone; false: not known. */
bool vhdx_bat_peek(struct vhdx *vhdx, uint64_t row, uint64_t *ret_entry);
int vhdx_bat_set(struct vhdx *vhdx, uint64_t row, uint64_t entry);
/* What is wrong with an entry of a row, in words; NULL: nothing. */
const char *vhdx_entry_problem(const struct vhdx *vhdx, uint64_t row, uint64_t entry,
			       uint64_t file_bytes);
bool vhdx_row_is_bitmap(const struct vhdx *vhdx, uint64_t row);

/* How many sectors of the block from `sector` on, at most `max`, are all here or all not. */
int vhdx_bitmap_run(struct vhdx *vhdx, uint64_t block, uint32_t sector, uint32_t max,
		    bool *ret_here, uint32_t *ret_count);
/* As vhdx_bitmap_run(), from memory alone; false: not known. */
bool vhdx_bitmap_peek(struct vhdx *vhdx, uint64_t block, uint32_t sector, uint32_t max,
		      bool *ret_here, uint32_t *ret_count);
/* Sets the sectors to be here or not; adds the bitmap if there is none. */
int vhdx_bitmap_set(struct vhdx *vhdx, uint64_t block, uint32_t sector, uint32_t count, bool here);

/* ---- data: vhdx_io.c ---- */

/* Before the first change: the header gets new identifiers. */
int vhdx_begin_write(struct vhdx *vhdx);

int vhdx_read(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to);
int vhdx_write(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
	       unsigned flags);
int vhdx_flush(struct block_node *node);
int vhdx_discard(struct block_node *node, uint64_t offset, uint64_t bytes);
int vhdx_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags);
int vhdx_extent(struct block_node *node, struct block_extent *extent);
bool vhdx_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
	      struct block_place *ret_place);

/* With all of the disk held exclusively: the range reads as zeroes then, also of the parent. */
int vhdx_zero_held(struct vhdx *vhdx, uint64_t offset, uint64_t end);
/* With all of the disk held exclusively: a block without a place gets one, with zeroes. */
int vhdx_allocate_held(struct vhdx *vhdx, uint64_t block);

/* ---- the rest ---- */

int vhdx_resize(struct block_node *node, uint64_t bytes, struct err *err);
/* With all of the disk held: a BAT with room for so many rows. */
int vhdx_bat_reserve(struct vhdx *vhdx, uint64_t rows);
/* With all of the disk held: blocks from `first` to before `end` say nothing any more. */
int vhdx_drop_blocks(struct vhdx *vhdx, uint64_t first, uint64_t end);

/* ---- another parent: vhdx_link.c ---- */

int vhdx_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		     struct err *err);
int vhdx_empty(struct block_node *node, struct err *err);

/* The value of a key of the parent's locator, in UTF-8; caller frees. NULL: there is none. */
char *vhdx_locator_value(struct vhdx *vhdx, const char *key);
/* The name of the parent as the image says it; caller frees, NULL: none. */
char *vhdx_parent_name(struct vhdx *vhdx);
/* Opens what the locator names as vhdx->parent, and adds it to the node. */
int vhdx_parent_open(struct vhdx *vhdx, struct block_opener *opener, struct err *err);
/* A locator of the image `name` with these contents; caller frees. */
int vhdx_locator_build(const char *name, const struct vhdx_guid *data_write, uint8_t **ret_locator,
		       uint32_t *ret_bytes, struct err *err);

int vhdx_create(const struct block_format_create *create, struct err *err);
int vhdx_measure(const struct block_format_create *create, struct block_node *from,
		 uint64_t *ret_required, uint64_t *ret_full, struct err *err);
extern const struct block_option vhdx_create_options[];

int vhdx_check(struct block_node *node, struct block_check *check, struct err *err);
