/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VDI from the inside. A header, a map with one 32-bit number a block of the disk, and blocks: block
 * number n of the file lies at `data_offset` + n * `block_bytes`.
 *
 * Spec: no document by its makers; the fields as VirtualBox 7 (VDICore.h) and QEMU write them.
 */
#pragma once

#include <pthread.h>

#include "base/log.h"
#include "block/format.h"
#include "block/format/entries.h"
#include "block/format/granules.h"
#include "block/format/uuid.h"

#define VDI_HEADER_BYTES 512
#define VDI_BLOCKS_MAX   (1u << 27) /* 128 TiB in blocks of 1 MiB */

/* Values of the map that are no block. */
#define VDI_NONE        UINT32_MAX /* never written */
#define VDI_ZERO        (UINT32_MAX - 1)
#define VDI_BLOCK_BYTES MIB

enum vdi_type { VDI_DYNAMIC = 1, VDI_STATIC = 2 };

struct vdi_header {
	uint32_t type;
	uint32_t map_offset, data_offset;
	uint64_t bytes; /* of the disk */
	uint32_t block_bytes, blocks, allocated;
	uint8_t uuid[UUID_BYTES];
};

struct vdi {
	struct block_node node; /* stands on the file */
	struct vdi_header header;
	bool read_only;
	_Atomic uint64_t bytes; /* of the disk, whole sectors */
	struct granules granules;
	struct entries map;
	struct log_once damage_said;

	pthread_mutex_t header_lock; /* held while the header is written */

	pthread_mutex_t lock; /* guards what follows */
	uint64_t *used;       /* a bit a block of the file; NULL: only read */
	uint32_t free_hint;   /* no block below it is free */
	uint32_t end;         /* behind the last used block */
};

struct vdi *vdi_of(struct block_node *node);

/* The header from and to its 512 bytes. Errors explain what is wrong with it. */
int vdi_header_decode(struct vdi_header *header, const uint8_t *bytes, uint64_t file_bytes,
		      const char *name, struct err *err);
void vdi_header_encode(const struct vdi_header *header, uint8_t *bytes);

/* Changes these fields in a header, and nothing else. */
void vdi_header_update(uint8_t *bytes, const struct vdi_header *header);

/* Whether it begins as VDI images do. */
bool vdi_header_is_there(const uint8_t *bytes);

int vdi_create(const struct block_format_create *create, struct err *err);
int vdi_measure(const struct block_format_create *create, struct block_node *from,
		uint64_t *ret_required, uint64_t *ret_full, struct err *err);

extern const struct block_option vdi_create_options[];

int vdi_check(struct block_node *node, struct block_check *check, struct err *err);

/* Writes the count of blocks in the header, if it changed. */
int vdi_write_end(struct vdi *vdi);
