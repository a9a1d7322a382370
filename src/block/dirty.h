/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which granules of a disk are still to be done: a bit each, set and cleared by any thread at any
 * time. Bits say nothing about order; who needs one holds a range of the disk.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct dirty {
	uint64_t bytes;   /* of the disk */
	uint32_t granule; /* bytes, a power of two */
	_Atomic uint64_t *words;
	_Atomic uint64_t count; /* bits that are set */
};

/* All clean. The caller calls dirty_fini() in any case. 0 or -ENOMEM. */
int dirty_init(struct dirty *dirty, uint64_t bytes, uint32_t granule);
void dirty_fini(struct dirty *dirty);

/* The disk has another size: what is new is clean. Nobody else uses it meanwhile. 0, or -ENOMEM and
 * nothing changed. */
int dirty_resize(struct dirty *dirty, uint64_t bytes);

/* All granules that the range touches. */
void dirty_set(struct dirty *dirty, uint64_t offset, uint64_t bytes);
/* All granules that start in the range. */
void dirty_clear(struct dirty *dirty, uint64_t offset, uint64_t bytes);

/* The first run of dirty granules at `offset` or behind it and before `end`, cut at `max` bytes and
 * at the end of the disk. `offset` is a multiple of the granule. False: there is none. */
bool dirty_next(struct dirty *dirty, uint64_t offset, uint64_t end, uint64_t max,
		uint64_t *ret_offset, uint64_t *ret_bytes);

/* Whether the granule of that byte is dirty, and so are, or are not, `*ret_bytes` from `offset` on, at
 * most `max`. */
bool dirty_status(struct dirty *dirty, uint64_t offset, uint64_t max, uint64_t *ret_bytes);

/* Bytes of the disk that are dirty, the last granule taken whole. */
uint64_t dirty_bytes(struct dirty *dirty);
