/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD from the inside. A fixed image is the disk with a footer behind it. The others begin with a
 * copy of the footer, a header, and a table (BAT) of where blocks are; a block is a bitmap, one bit a
 * sector, and the sectors. Numbers are big-endian.
 *
 * Spec: Microsoft, Virtual Hard Disk Image Format Specification, version 1.0 (2006)
 */
#pragma once

#include <pthread.h>

#include "base/log.h"
#include "block/format.h"
#include "block/format/entries.h"
#include "block/format/granules.h"
#include "block/format/uuid.h"

#define VHD_FOOTER_BYTES 512
#define VHD_HEADER_BYTES 1024
#define VHD_BLOCK_BYTES  (2 * MIB)
#define VHD_NONE         UINT32_MAX /* in the BAT */
#define VHD_BYTES_MAX    (2040 * GIB)
#define VHD_BLOCKS_MAX   (1u << 26)
#define VHD_LOCATORS     8

enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

struct vhd_footer {
	uint32_t type;
	uint64_t header_offset; /* UINT64_MAX: none */
	uint32_t time;          /* seconds since 2000 */
	uint8_t creator[4];
	uint64_t bytes;          /* of the disk */
	uint64_t geometry_bytes; /* what cylinders, heads and sectors come to */
	bool geometry_full;      /* they cannot say more */
	uint8_t uuid[UUID_BYTES];
};

struct vhd_locator {
	uint32_t platform; /* four characters */
	uint32_t bytes;
	uint64_t offset;
};

struct vhd_header {
	uint64_t bat_offset;
	uint32_t entries, block_bytes;
	uint8_t parent_uuid[UUID_BYTES];
	uint32_t parent_time;
	const uint8_t *parent_name; /* UTF-16, of VHD_NAME_BYTES; in the bytes it came from */
	struct vhd_locator locators[VHD_LOCATORS];
};
#define VHD_NAME_BYTES 512

struct vhd {
	struct block_node node; /* stands on the file, and the parent */
	struct vhd_footer footer;
	struct vhd_header header;
	uint8_t footer_bytes[VHD_FOOTER_BYTES]; /* as they are in the file */
	uint8_t header_bytes[VHD_HEADER_BYTES];
	bool read_only;
	_Atomic uint64_t bytes; /* of the disk */

	/* None of this for fixed images. */
	struct block_node *parent; /* NULL: none */
	struct granules granules;  /* sectors, as each block has them */
	uint32_t blocks, bitmap_bytes;
	struct entries bat;
	struct table_cache *bitmaps;
	_Atomic uint64_t *full; /* a bit a block of which all sectors are known to be here */
	uint64_t bat_end;       /* nothing else lies before it in the file, from bat_offset on */
	struct log_once damage_said;

	pthread_mutex_t lock; /* guards what follows */
	uint64_t end;         /* where the next block goes, and the footer lies */
	bool footer_gone;     /* the last block has been put where it was */
};

struct vhd *vhd_of(struct block_node *node);

/* ---- footer and header (vhd_header.c) ---- */

/* False: these are not the 512 bytes of a footer, or damaged ones. */
bool vhd_footer_decode(struct vhd_footer *footer, const uint8_t *bytes);
/* Whether it begins as one. */
bool vhd_footer_is_there(const uint8_t *bytes);
/* A new one. */
void vhd_footer_encode(const struct vhd_footer *footer, uint8_t *bytes);
/* Changes kind and place of the header in a footer. */
void vhd_footer_set_header(uint8_t *bytes, uint32_t type, uint64_t header_offset);
/* Changes the size in a footer. */
void vhd_footer_set_bytes(uint8_t *bytes, uint64_t disk_bytes);

/* False: no header or a damaged one. */
bool vhd_header_decode(struct vhd_header *header, const uint8_t *bytes);
void vhd_header_encode(const struct vhd_header *header, uint8_t *bytes);
/* Changes place and size of the BAT in a header. */
void vhd_header_set_bat(uint8_t *bytes, uint64_t offset, uint32_t entries);

/* Bytes of bitmap of a block. */
uint32_t vhd_bitmap_bytes(uint32_t block_bytes);

/* Seconds since 2000, as footers count. */
uint32_t vhd_time(int64_t unix_time);

/* ---- blocks (vhd_blocks.c) ---- */

extern const struct granules_ops vhd_granules_ops;

/* Puts caches and bounds behind the header; `open` as in the format. */
int vhd_blocks_open(struct vhd *vhd, const struct block_format_open *open, struct err *err);
void vhd_blocks_close(struct vhd *vhd);

/* Whether a block may lie at the entry's sector. */
bool vhd_entry_is_good(const struct vhd *vhd, uint32_t entry);
uint64_t vhd_block_file_bytes(const struct vhd *vhd);

/* Writes what is dirty in the order that a cut of the power needs, and the footer. */
int vhd_blocks_flush(struct vhd *vhd);
/* The footer where it belongs. */
int vhd_write_footer(struct vhd *vhd);

int vhd_blocks_resize(struct vhd *vhd, uint64_t bytes, struct err *err);
/* With all of the disk held: sectors of blocks that are here, but not they, become zeroes: not all
 * readers of dynamic images look at bitmaps. */
int vhd_fill_blocks(struct vhd *vhd);
/* As `empty` of the format. */
int vhd_empty(struct block_node *node, struct err *err);

/* ---- parents (vhd_parent.c) ---- */

/* Opens the parent that the header names and checks that it is that one. */
int vhd_parent_open(struct vhd *vhd, struct block_opener *opener, struct err *err);

/* Room for the locators of a parent of that name, at `*ret_bytes`, caller frees; and what the header
 * says of it. */
int vhd_parent_encode(struct vhd_header *header, const char *name, uint64_t offset,
		      uint8_t **ret_bytes, uint64_t *ret_count, struct err *err);

/* As `set_backing` of the format. */
int vhd_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		    struct err *err);

/* The name of the parent as the image says it; caller frees, NULL: none. */
char *vhd_parent_name(struct vhd *vhd);

/* ---- and the rest ---- */

extern const struct block_option vhd_create_options[];
int vhd_create(const struct block_format_create *create, struct err *err);
int vhd_measure(const struct block_format_create *create, struct block_node *from,
		uint64_t *ret_required, uint64_t *ret_full, struct err *err);

int vhd_check(struct block_node *node, struct block_check *check, struct err *err);
