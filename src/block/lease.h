/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fencing: files that may be changed only as long as their holder's lease runs.
 *
 * Locks of files say that a disk has one writer on one host. Between hosts somebody hands out
 * leases; who does not hear from him any more must stop writing before the next one may begin. The
 * files at the end of a graph see to that without asking anybody, so it holds for the metadata of
 * formats as well: a change that would start after the lease has run out fails with -ESTALE. Changes
 * that are on their way then still end, so a lease must run out earlier than the disk is given away,
 * by what a request can take.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "host/clock.h"

/* Zero at first: no lease. */
struct block_lease {
	_Atomic uint64_t until_ns; /* see clock_now_ns() */
	struct log_once refused_said;
};

/* Any thread. `until_ns` 0: it ends now. */
static inline void block_lease_set(struct block_lease *lease, uint64_t until_ns)
{
	atomic_store(&lease->until_ns, until_ns);
	if (until_ns)
		atomic_flag_clear(&lease->refused_said.said);
}

/* For files: whether a change may begin. NULL: there is nobody to ask. */
static inline bool block_lease_runs(struct block_lease *lease)
{
	if (!lease || clock_now_ns() < atomic_load(&lease->until_ns))
		return true;
	log_once(&lease->refused_said, LOG_ERROR, "a disk is not written: its lease has run out");
	return false;
}
