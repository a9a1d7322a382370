/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filling the software TLB.
 *
 * Translated code comes here with the guest's vector registers in the host's: this file and mmu.c
 * are compiled for general registers only, and what tlb_fill() does calls no other code.
 */
#include "cpu/soft/access_priv.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/mmu_priv.h"

void tlb_insert(struct soft_cpu *cpu, uint64_t linear, const struct mmu_page *page, uint8_t *host,
		uint64_t key)
{
	struct tlb_entry *e = tlb_slot(cpu, linear);
	uint64_t base = linear & ~PAGE_MASK;
	uint64_t tag = base | key;
	bool write = page->write && page->dirty && !code_in_page(cpu, host);

	/* The other classes' and spaces' rights to the same page go: one host address serves all
	 * tags. */
	e->host = (uintptr_t)host - base;
	e->read = page->read ? tag : TLB_NONE;
	e->write = write ? tag : TLB_NONE;
	e->exec = page->exec ? tag : TLB_NONE;
	cpu->tlb_global[e - cpu->tlb] = page->global;
	if (page->shift != PAGE_SHIFT)
		mmu_note_large(cpu, linear, page->shift);
}

bool tlb_fill(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write)
{
	enum tlb_rights rights = cpu->tlb_key & 3;
	struct mmu_page page;
	uint32_t error;
	uint8_t *host;

	if (rights == RIGHTS_SLOW || (linear & PAGE_MASK) + size > PAGE_SIZE ||
	    !linear_is_canonical(cpu, linear) ||
	    atomic_load_explicit(&cpu->engine->logging, memory_order_relaxed))
		return false;
	cpu->stats.tlb_misses++;
	if (!mmu_walk(cpu, linear, write ? MMU_WRITE : 0, rights, &page, &error))
		return false;
	host = memory_map(cpu->memory, GPA(page.gpa), PAGE_SIZE);
	if (!host)
		return false;
	tlb_insert(cpu, linear, &page, host, cpu->tlb_key);
	return !write || tlb_slot(cpu, linear)->write != TLB_NONE;
}
