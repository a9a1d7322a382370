/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "x86/walk.h"

#include <errno.h>
#include <stdbool.h>

#include "x86/paging.h"
#include "x86/registers.h"

/* Where a walk begins, and the geometry of its tables. */
struct start {
	uint64_t table;
	unsigned levels, bits, entry_bytes;
};

static int find_start(const struct walk_registers *r, uint64_t linear, struct start *start)
{
	if (r->efer & EFER_LMA) {
		unsigned levels = r->cr4 & CR4_LA57 ? 5 : 4, unused = 64 - (12 + 9 * levels);

		if ((uint64_t)((int64_t)(linear << unused) >> unused) != linear)
			return -EFAULT;
		*start = (struct start){ r->cr3 & PTE_ADDR, levels, 9, 8 };
	} else if (r->cr4 & CR4_PAE) {
		uint64_t pointer = r->pdptr[bits_get(linear, 30, 2)];

		if (linear >> 32 || !(pointer & PTE_P))
			return -EFAULT;
		*start = (struct start){ pointer & PTE_ADDR, 2, 9, 8 };
	} else {
		if (linear >> 32)
			return -EFAULT;
		*start = (struct start){ r->cr3 & 0xfffff000, 2, 10, 4 };
	}
	return 0;
}

static bool is_leaf(const struct walk_registers *r, const struct start *start, unsigned level,
		    uint64_t entry)
{
	if (level == 1)
		return true;
	if (start->entry_bytes == 4 && !(r->cr4 & CR4_PSE))
		return false;
	return level <= 3 && entry & PTE_PS;
}

static uint64_t frame_of(const struct start *start, unsigned level, uint64_t entry)
{
	if (start->entry_bytes == 8)
		return entry & PTE_ADDR;
	/* A large page's bits 13 to 20 are bits 32 to 39 of the address. */
	return level == 2 ? (entry & 0xffc00000) | bits_get(entry, 13, 8) << 32
			  : entry & 0xfffff000;
}

int walk_linear(const struct walk_registers *registers, uint64_t linear, walk_read *read, void *ctx,
		uint64_t *ret_gpa)
{
	struct start start;
	uint64_t table;

	if (!(registers->cr0 & CR0_PG)) {
		*ret_gpa = linear;
		return 0;
	}
	if (find_start(registers, linear, &start))
		return -EFAULT;
	table = start.table;
	for (unsigned level = start.levels;; level--) {
		unsigned shift = PTE_SHIFT + start.bits * (level - 1);
		uint64_t gpa = table + bits_get(linear, shift, start.bits) * start.entry_bytes;
		uint64_t entry = 0;

		if (read(ctx, gpa, &entry, start.entry_bytes) || !(entry & PTE_P))
			return -EFAULT;
		if (is_leaf(registers, &start, level, entry)) {
			*ret_gpa = (frame_of(&start, level, entry) & ~bits_mask(shift)) |
				   (linear & bits_mask(shift));
			return 0;
		}
		table = start.entry_bytes == 4 ? entry & 0xfffff000 : entry & PTE_ADDR;
	}
}
