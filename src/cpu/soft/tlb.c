/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filling the software TLB.
 *
 * Behind the TLB, which is direct-mapped, is a second one with four ways for what it has no room
 * for: several arrays at the same distance from a multiple of its reach, or simply more pages. A
 * global page is found in it from all address spaces. Its entries may say "write" of a page that has
 * become code meanwhile: that is looked at when they are used.
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

static struct tlb_entry *tlb2_find(struct soft_cpu *cpu, uint64_t linear, bool write)
{
	uint64_t tag = (linear & ~PAGE_MASK) | cpu->tlb_key;
	unsigned set = tlb2_set(linear);

	for (unsigned i = 0; i < TLB2_WAYS; i++) {
		struct tlb_entry *e = &cpu->tlb2[set + i];
		uint64_t differs = (write ? e->write : e->read) ^ tag;

		if (!differs || (!(differs & ~TLB_KEY_ASID) && cpu->tlb2_global[set + i]))
			return e;
	}
	return NULL;
}

/* The same entry for the present address space. */
static uint64_t retag(const struct soft_cpu *cpu, uint64_t tag)
{
	return tag == TLB_NONE ? tag : (tag & ~TLB_KEY_ASID) | (cpu->tlb_key & TLB_KEY_ASID);
}

/* An entry of the second level to the first; false: it is no good any more. */
static bool promote(struct soft_cpu *cpu, uint64_t linear, bool write)
{
	const struct tlb_entry *e = tlb2_find(cpu, linear, write);
	struct tlb_entry *slot = tlb_slot(cpu, linear);
	bool code;

	if (!e)
		return false;
	code = e->write != TLB_NONE &&
	       code_in_page(cpu, (const uint8_t *)(e->host + (linear & ~PAGE_MASK)));
	*slot = (struct tlb_entry){ .read = retag(cpu, e->read),
				    .write = code ? TLB_NONE : retag(cpu, e->write),
				    .exec = retag(cpu, e->exec),
				    .host = e->host };
	cpu->tlb_global[slot - cpu->tlb] = cpu->tlb2_global[e - cpu->tlb2];
	return !write || !code;
}

/* What was just entered at `linear` to the second level as well. */
static void keep(struct soft_cpu *cpu, uint64_t linear)
{
	const struct tlb_entry *from = tlb_slot(cpu, linear);
	uint64_t tag = (linear & ~PAGE_MASK) | cpu->tlb_key;
	unsigned set = tlb2_set(linear), way = cpu->tlb2_next++ % TLB2_WAYS;

	for (unsigned i = 0; i < TLB2_WAYS; i++) {
		if (cpu->tlb2[set + i].read == tag)
			way = i;
	}
	cpu->tlb2[set + way] = *from;
	cpu->tlb2_global[set + way] = cpu->tlb_global[from - cpu->tlb];
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
	if (promote(cpu, linear, write))
		return true;
	if (!mmu_walk(cpu, linear, write ? MMU_WRITE : 0, rights, &page, &error))
		return false;
	host = memory_map(cpu->memory, GPA(page.gpa), PAGE_SIZE);
	if (!host)
		return false;
	tlb_insert(cpu, linear, &page, host, cpu->tlb_key);
	keep(cpu, linear);
	return !write || tlb_slot(cpu, linear)->write != TLB_NONE;
}
