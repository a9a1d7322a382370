/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linear to guest physical addresses, for whoever only looks: nothing is written, and no right but
 * presence matters. Spec: Intel SDM volume 3, chapter 4.
 */
#pragma once

#include <stdint.h>

struct walk_registers {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t pdptr[4]; /* in PAE mode */
};

/* Reads `bytes` (4 or 8) of guest physical memory; 0 or a negative errno. */
typedef int walk_read(void *ctx, uint64_t gpa, void *buffer, unsigned bytes);

/* 0, or -EFAULT: not canonical, not mapped, or a table is not where memory is. */
int walk_linear(const struct walk_registers *registers, uint64_t linear, walk_read *read, void *ctx,
		uint64_t *ret_gpa);
