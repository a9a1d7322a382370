/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paging: translation of linear addresses, and the life of TLB entries. */
#pragma once

#include "cpu/soft/cpu_priv.h"

enum mmu_access {
	MMU_WRITE = 1u << 0,
	MMU_FETCH = 1u << 1,
};

/* One translated page, with what the asked rights class may do in it. */
struct mmu_page {
	uint64_t gpa; /* of the 4 KiB page */
	bool read, write, exec;
	bool global;
	bool dirty;     /* the leaf's D bit is set (or there is no paging) */
	unsigned shift; /* of the page's size */
};

/*
 * Walks the page tables for an access of class `rights` (not RIGHTS_SLOW), sets accessed and dirty
 * bits. True, or false and the page-fault error code. Spec: SDM volume 3, sections 4.3 to 4.7.
 */
bool mmu_walk(struct soft_cpu *cpu, uint64_t linear, unsigned access, enum tlb_rights rights,
	      struct mmu_page *ret_page, uint32_t *ret_error);

/* Enters a page at `linear` that is at `host` into the TLB, with the rights that `key` stands for. */
void tlb_insert(struct soft_cpu *cpu, uint64_t linear, const struct mmu_page *page, uint8_t *host,
		uint64_t key);

/* Where the set of the second-level TLB begins that a page is in. */
static inline unsigned tlb2_set(uint64_t linear)
{
	uint64_t page = linear >> PAGE_SHIFT;

	return (unsigned)((page ^ page >> 10 ^ page >> 20) % TLB2_SETS) * TLB2_WAYS;
}

/*
 * Sees to it that an access hits the TLB. False: it is not one to plain memory that succeeds.
 * Touches no vector registers.
 */
bool tlb_fill(struct soft_cpu *cpu, uint64_t linear, unsigned size, bool write);

/* The class of the current CPL's accesses, and that of the processor's own. */
enum tlb_rights mmu_rights(const struct soft_cpu *cpu);
enum tlb_rights mmu_system_rights(const struct soft_cpu *cpu);

/* After a change of CPL, EFLAGS.AC, CR0, CR4 or DR7. */
void mmu_update_rights(struct soft_cpu *cpu);

/* After a change of the mode, and of code_base: links and jump entries of before are not good. */
void mmu_update_links(struct soft_cpu *cpu);
void mmu_code_moved(struct soft_cpu *cpu);

/* A link or jump entry will depend on what this page is mapped to. */
void mmu_note_linked(struct soft_cpu *cpu, uint64_t page);

/* Whether a page can be noted without forgetting the others. */
bool mmu_has_room_for_linked(const struct soft_cpu *cpu);

/* Forgets all translations, global ones too. */
void mmu_flush_all(struct soft_cpu *cpu);

/* After CR3 was written: changes to the address space; `keep` (CR3 bit 63 with PCID): its
 * translations are still good. */
void mmu_switch(struct soft_cpu *cpu, bool keep);

/* Forgets those of one PCID. */
void mmu_flush_pcid(struct soft_cpu *cpu, uint64_t pcid);

/* Forgets the page at `linear`, in all address spaces. */
void mmu_flush_page(struct soft_cpu *cpu, uint64_t linear);

/* Remembers that a 4 KiB piece of a page of 2^shift bytes went into the TLB. */
void mmu_note_large(struct soft_cpu *cpu, uint64_t linear, unsigned shift);

/* Takes the right to write without a look away from all entries, or from those of one page (its
 * host address). */
void mmu_flush_writes(struct soft_cpu *cpu, const uint8_t *page);

/* Whether the address fits the linear width of the present paging mode. */
static inline bool linear_is_canonical(const struct soft_cpu *cpu, uint64_t linear)
{
	unsigned unused = cpu->cr4 & CR4_LA57 ? 7 : 16;

	return (uint64_t)((int64_t)(linear << unused) >> unused) == linear;
}

/* Reads the four PAE directory pointers at CR3 into `ret`; false: reserved bits are set (#GP). */
bool mmu_load_pdptrs(struct soft_cpu *cpu, uint64_t cr3, uint64_t ret[4]);
