/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed grains of VMDK streams.
 *
 *	memcpy(packer_plain(packer), …);	// up to PACKER_GRAINS grains
 *	rc = packer_pack(packer, first_sector, count);
 *	for (i = 0; i < count; i++)
 *		bytes = packer_grain(packer, i, &length);
 *
 * A packer is used by one thread at a time.
 */
#pragma once

#include "block/block.h"
#include "host/workers.h"

#define PACKER_GRAINS 32

/* Reads the grain at `at` of the file, which must be that of the sector. -EIO if it is damaged. */
int vmdk_unpack(struct block_node *file, uint64_t at, uint64_t first_sector, uint8_t *to,
		uint32_t to_bytes);

struct packer;

int packer_new(struct packer **ret_packer, uint32_t grain_bytes, struct err *err);
/* Accepts NULL. */
void packer_free(struct packer *packer);

/* Where the grains go. */
uint8_t *packer_plain(struct packer *packer);

/* Compresses the grains, the first of which begins at that sector of the disk. */
int packer_pack(struct packer *packer, uint64_t first_sector, unsigned count);

/* One of them with its marker, in whole sectors; 0 bytes: it was all zero. */
const uint8_t *packer_grain(struct packer *packer, unsigned index, size_t *ret_bytes);
