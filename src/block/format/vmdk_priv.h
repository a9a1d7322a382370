/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK from the inside. A descriptor, text of its own or inside the first extent, says which extents
 * a disk is made of: flat files, or sparse ones. A sparse extent has a header, a grain directory
 * (GD), grain tables (GT) with 512 entries each, and grains; everything is counted in sectors. The
 * directory and its tables are there twice in most.
 *
 * Spec: VMware, Virtual Disk Format 5.0 (2011)
 */
#pragma once

#include <pthread.h>

#include "base/log.h"
#include "base/vec.h"
#include "block/format.h"
#include "block/format/entries.h"
#include "block/format/granules.h"

#define VMDK_HEADER_BYTES     512
#define VMDK_TABLE_ENTRIES    512
#define VMDK_TABLE_BYTES      2048
#define VMDK_TABLES_MAX       (1u << 20)
#define VMDK_GRAIN_SECTORS    128
#define VMDK_EXTENTS_MAX      2000
#define VMDK_DESCRIPTOR_MAX   (512 * KIB)
#define VMDK_DESCRIPTOR_PLACE 20 /* sectors for it in a sparse extent */
#define VMDK_AT_END           UINT64_MAX
#define VMDK_NO_PARENT        UINT32_MAX
#define VMDK_SPARSE_MAX       (2040 * GIB)

/* Entries of grain tables that are no place. */
#define VMDK_NONE 0
#define VMDK_ZERO 1

/* ---- descriptor (vmdk_descriptor.c) ---- */

enum vmdk_kind { VMDK_FLAT, VMDK_SPARSE, VMDK_ZEROES };

/* An extent as the descriptor has it. */
struct vmdk_line {
	enum vmdk_kind kind;
	bool read_only;
	uint64_t sectors;
	uint64_t offset; /* of a flat one in its file, in sectors */
	char *name;      /* NULL: zeroes have none */
};

struct vmdk_descriptor {
	uint32_t cid, parent_cid;
	size_t cid_at; /* where its eight digits are in the text; SIZE_MAX: nowhere */
	char *type;    /* "monolithicSparse" */
	char *parent;  /* NULL: none */
	VEC(struct vmdk_line) lines;
};

bool vmdk_descriptor_is_there(const uint8_t *head);
/* `text` ends with NUL. 0, or a negative errno with words. */
int vmdk_descriptor_parse(struct vmdk_descriptor *descriptor, const char *text, struct err *err);
void vmdk_descriptor_fini(struct vmdk_descriptor *descriptor);
/* As in struct block_format. */
void vmdk_tell_files(const uint8_t *start, size_t bytes, void (*tell)(void *ctx, const char *name),
		     void *ctx);
/* The text with another parent in it, NULL: none; caller frees, NULL: no memory. */
char *vmdk_descriptor_relinked(const char *text, const char *parent, uint32_t parent_cid);
/* The text of a new one; caller frees, NULL: no memory. `adapter` as VMware names them. */
char *vmdk_descriptor_text(const struct vmdk_descriptor *descriptor, uint64_t bytes,
			   const char *adapter);

/* ---- headers of sparse extents (vmdk_header.c) ---- */

enum {
	VMDK_FLAG_NEWLINES = 1u << 0,  /* the header has line ends, to see them damaged */
	VMDK_FLAG_REDUNDANT = 1u << 1, /* a second directory */
	VMDK_FLAG_ZEROES = 1u << 2,    /* VMDK_ZERO is no place */
	VMDK_FLAG_PACKED = 1u << 16,   /* grains are compressed … */
	VMDK_FLAG_MARKERS = 1u << 17,  /* … and everything says what it is */
};

struct vmdk_header {
	uint32_t version, flags;
	uint64_t sectors, grain_sectors;
	uint64_t descriptor_at, descriptor_sectors; /* 0: none */
	uint64_t redundant_at, directory_at;
	uint64_t overhead; /* no grain lies before it */
};

bool vmdk_header_is_there(const uint8_t *bytes);
/* 0, or a negative errno with words. `file_bytes`: what places must lie in. */
int vmdk_header_decode(struct vmdk_header *header, const uint8_t *bytes, uint64_t file_bytes,
		       struct err *err);
void vmdk_header_encode(const struct vmdk_header *header, uint8_t *bytes);
/* Tables that so many sectors need. */
uint64_t vmdk_tables(const struct vmdk_header *header);

/* ---- sparse extents (vmdk_sparse.c) ---- */

/* One directory, in memory, and the cache of the tables that it names. */
struct vmdk_directory {
	uint64_t at;               /* in the file, bytes */
	_Atomic uint32_t *tables;  /* their sectors; 0: none */
	struct table_cache *cache; /* NULL: there is no such directory */
};

struct vmdk_stream;

struct vmdk_extent {
	enum vmdk_kind kind;
	bool read_only;
	uint64_t start, bytes;
	struct block_node *file; /* NULL: zeroes */
	uint64_t offset;         /* of a flat one, bytes */

	/* Sparse ones only. */
	struct vmdk_header header;
	struct granules granules;
	uint64_t table_count;
	struct vmdk_directory directory, redundant;
	struct log_once damage_said;

	struct vmdk_stream *stream; /* NULL: not one that is being written */

	pthread_mutex_t lock; /* guards the end, and making tables */
	uint64_t end;         /* where the next grain goes */
};

/* Opens what is behind the header (decoded already), file, start, bytes and `read_only`. */
int vmdk_sparse_open(struct vmdk_extent *extent, struct block_node *node, uint64_t cache_bytes,
		     struct err *err);
void vmdk_sparse_close(struct vmdk_extent *extent);
int vmdk_sparse_write_back(struct vmdk_extent *extent);
bool vmdk_sparse_is_dirty(struct vmdk_extent *extent);
/* No grain is there any more, and the file ends before the first one. All of the disk is held. */
int vmdk_sparse_empty(struct vmdk_extent *extent);
/* Entries of one table of the directory; false: there is no such table. */
bool vmdk_sparse_entries(struct vmdk_extent *extent, struct vmdk_directory *directory,
			 uint64_t table, struct entries *ret_entries);
/* Whether a grain may lie at the sector. */
bool vmdk_sparse_is_good(const struct vmdk_extent *extent, uint32_t sector);

/* ---- the disk (vmdk.c) ---- */

struct vmdk {
	struct block_node node; /* stands on the file, files of extents, and the parent */
	bool read_only;
	_Atomic uint64_t bytes;
	struct block_node *parent; /* NULL: none */
	struct vmdk_descriptor descriptor;
	uint64_t descriptor_at; /* of its text in the file, bytes */
	struct vmdk_extent *extents;
	unsigned extent_count;

	pthread_mutex_t lock;
	_Atomic bool cid_changed; /* the disk is another one since it was opened; set under lock */
};

struct vmdk *vmdk_of(struct block_node *node);
/* The content changes now: another identifier, the first time. */
int vmdk_change_cid(struct vmdk *vmdk);

/* Opens extents and parent (vmdk_open.c). */
int vmdk_open_all(struct vmdk *vmdk, const struct block_format_open *open, struct err *err);

extern const struct block_option vmdk_create_options[];
int vmdk_create(const struct block_format_create *create, struct err *err);
int vmdk_measure(const struct block_format_create *create, struct block_node *from,
		 uint64_t *ret_required, uint64_t *ret_full, struct err *err);
int vmdk_resize(struct block_node *node, uint64_t bytes, struct err *err);

/* ---- changes of the descriptor (vmdk_link.c) ---- */

/* The descriptor in the file; caller frees. */
int vmdk_descriptor_read(struct vmdk *vmdk, char **ret_text);
/* Puts another one in its place, durable, and what it says of parent and identifier in memory. All of
 * the disk is held. */
int vmdk_descriptor_write(struct vmdk *vmdk, const char *text);
int vmdk_set_backing(struct block_node *node, const char *name, struct block_node *backing,
		     struct err *err);
int vmdk_empty(struct block_node *node, struct err *err);
int vmdk_check(struct block_node *node, struct block_check *check, struct err *err);
