/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of a VHDX image: its structure, and what it holds as patches of the file. Spec: 2.3 */
#pragma once

#include "block/format/vhdx.h"

#define VHDX_LOG_HEADER_BYTES     64
#define VHDX_LOG_DESCRIPTOR_BYTES 32

/* A piece of the file as it is to be. */
struct vhdx_patch {
	uint64_t offset, bytes;
	uint8_t *data; /* NULL: zeroes */
};

/* In the order in which they apply. */
struct vhdx_patches {
	VEC(struct vhdx_patch) items;
	uint64_t file_bytes; /* size of the file when they are applied */
	uint64_t zeroes;     /* bytes of all patches of zeroes */
};

/* Reads what the log holds; nothing is written. The caller calls fini, also after a failure. */
int vhdx_patches_read(struct vhdx_patches *ret_patches, struct block_node *file,
		      const struct vhdx_header *header, struct err *err);
void vhdx_patches_fini(struct vhdx_patches *patches);
