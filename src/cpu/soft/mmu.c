/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Paging: 32-bit, PAE, 4-level and 5-level, and the software TLB's upkeep.
 *
 * The TLB is tagged: low bits of each tag are an address space number (one a PCID in use) and a
 * rights class, so that loads of CR3, changes of CPL and STAC cost nothing. Flushing an address
 * space takes a new number; when the numbers run out all entries are cleared. Global pages are not
 * told apart: they are looked up anew in each address space, which the architecture allows, and
 * INVLPG looks at the entries of all.
 *
 * Entries of large pages are 4 KiB pieces. A filter remembers where large pages were, so that
 * INVLPG of one finds all pieces.
 *
 * Spec: Intel SDM volume 3, chapter 4.
 */
#include "cpu/soft/mmu_priv.h"

#include <string.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/verify_access_priv.h"

/* Geometry of one paging mode. */
struct paging {
	unsigned levels;
	unsigned entry_bytes;
	unsigned bits; /* of the address a level decodes */
};

static const struct paging paging_legacy = { 2, 4, 10 };
static const struct paging paging_pae = { 2, 8, 9 }; /* below the pointer registers */
static const struct paging paging_4 = { 4, 8, 9 };
static const struct paging paging_5 = { 5, 8, 9 };

static uint64_t reserved_address_bits(const struct soft_cpu *cpu)
{
	return bits_mask(52) & ~bits_mask(cpu->engine->physical_bits);
}

static void *table_entry(struct soft_cpu *cpu, uint64_t gpa, unsigned bytes)
{
	void *host = memory_map(cpu->memory, GPA(gpa), bytes);

	if (unlikely(cpu->verify) && host)
		verify_table(cpu, host);
	return host;
}

/* Sets bits in an entry as the processor does; false: somebody changed it, walk again. */
static bool update_entry(struct soft_cpu *cpu, uint64_t gpa, void *host, unsigned bytes,
			 uint64_t old, uint64_t new)
{
	bool done;

	if (bytes == 4) {
		uint32_t expected = (uint32_t)old;

		done = __atomic_compare_exchange_n((uint32_t *)host, &expected, (uint32_t) new,
						   false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	} else {
		done = __atomic_compare_exchange_n((uint64_t *)host, &old, new, false,
						   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	}
	if (done && atomic_load_explicit(&cpu->engine->logging, memory_order_relaxed))
		memory_log(cpu->memory, GPA(gpa), bytes);
	return done;
}

/* Bits that must be zero in a present entry at `level` (1: page table). */
static uint64_t reserved_bits(const struct soft_cpu *cpu, const struct paging *p, unsigned level,
			      bool large)
{
	uint64_t mask;

	if (p->entry_bytes == 4)
		return large ? BIT(21) : 0;
	mask = reserved_address_bits(cpu);
	if (!(cpu->efer & EFER_NXE))
		mask |= PTE_NX;
	if (!cpu_long_mode(cpu))
		mask |= bits_mask(63) & ~bits_mask(52);
	if (level >= 4)
		mask |= PTE_PS;
	if (large)
		mask |= bits_mask(PTE_SHIFT + 9 * (level - 1)) & ~bits_mask(13);
	return mask;
}

static bool is_large(const struct soft_cpu *cpu, const struct paging *p, unsigned level,
		     uint64_t entry)
{
	if (!(entry & PTE_PS))
		return false;
	if (p->entry_bytes == 4)
		return level == 2 && cpu->cr4 & CR4_PSE;
	if (level == 3)
		return cpu->engine->large_1g;
	return level == 2;
}

struct walk {
	uint64_t gpa; /* of the page that the leaf maps, at `linear` */
	uint64_t entry;
	void *host; /* of the leaf */
	uint64_t entry_gpa;
	bool writable, user, no_execute;
	unsigned shift;
};

enum walk_result { WALK_OK, WALK_ABSENT, WALK_RESERVED, WALK_AGAIN };

static enum walk_result walk_levels(struct soft_cpu *cpu, const struct paging *p, uint64_t table,
				    uint64_t linear, struct walk *w)
{
	w->writable = w->user = true;
	w->no_execute = false;
	for (unsigned level = p->levels;; level--) {
		unsigned shift = PTE_SHIFT + p->bits * (level - 1);
		uint64_t gpa = table + bits_get(linear, shift, p->bits) * p->entry_bytes;
		void *host = table_entry(cpu, gpa, p->entry_bytes);
		uint64_t entry = UINT64_MAX; /* what a read of nothing gives */
		bool large;

		if (host)
			entry = p->entry_bytes == 4
					? __atomic_load_n((uint32_t *)host, __ATOMIC_RELAXED)
					: __atomic_load_n((uint64_t *)host, __ATOMIC_RELAXED);
		if (!(entry & PTE_P))
			return WALK_ABSENT;
		large = is_large(cpu, p, level, entry);
		if (entry & reserved_bits(cpu, p, level, large))
			return WALK_RESERVED;
		w->writable &= !!(entry & PTE_W);
		w->user &= !!(entry & PTE_U);
		w->no_execute |= p->entry_bytes == 8 && entry & PTE_NX;
		if (level == 1 || large) {
			uint64_t frame = entry & PTE_ADDR;

			if (p->entry_bytes == 4) {
				frame = entry & 0xfffff000;
				if (large) /* bits 13 to 20 are address bits 32 to 39 */
					frame = (entry & 0xffc00000) | bits_get(entry, 13, 8) << 32;
			}
			w->gpa = (frame & ~bits_mask(shift)) | (linear & bits_mask(shift));
			w->entry = entry;
			w->entry_gpa = gpa;
			w->host = host;
			w->shift = shift;
			return host ? WALK_OK : WALK_RESERVED;
		}
		if (!(entry & PTE_A) &&
		    !update_entry(cpu, gpa, host, p->entry_bytes, entry, entry | PTE_A))
			return WALK_AGAIN;
		table = p->entry_bytes == 4 ? entry & 0xfffff000 : entry & PTE_ADDR;
	}
}

static enum walk_result walk_tables(struct soft_cpu *cpu, uint64_t linear, struct walk *w,
				    unsigned *ret_bytes)
{
	const struct paging *p = &paging_legacy;
	uint64_t table = cpu->cr3 & 0xfffff000;

	if (cpu_long_mode(cpu)) {
		p = cpu->cr4 & CR4_LA57 ? &paging_5 : &paging_4;
		table = cpu->cr3 & PTE_ADDR;
	} else if (cpu->cr4 & CR4_PAE) {
		p = &paging_pae;
		table = cpu->pdptr[bits_get(linear, 30, 2)];
		if (!(table & PTE_P))
			return WALK_ABSENT;
		table &= PTE_ADDR;
	}
	*ret_bytes = p->entry_bytes;
	return walk_levels(cpu, p, table, linear, w);
}

static void page_rights(const struct soft_cpu *cpu, const struct walk *w, enum tlb_rights rights,
			struct mmu_page *page)
{
	bool write_protect = cpu->cr0 & CR0_WP;

	if (rights == RIGHTS_USER) {
		page->read = w->user;
		page->write = w->user && w->writable;
		page->exec = w->user && !w->no_execute;
	} else {
		page->read = !w->user || rights == RIGHTS_KERNEL_ALL;
		page->write = page->read && (w->writable || !write_protect);
		page->exec = !w->no_execute && !(w->user && cpu->cr4 & CR4_SMEP);
	}
}

static bool is_allowed(const struct mmu_page *page, unsigned access)
{
	if (access & MMU_FETCH)
		return page->exec;
	return access & MMU_WRITE ? page->write : page->read;
}

static uint32_t fault_error(const struct soft_cpu *cpu, enum walk_result result, unsigned access,
			    enum tlb_rights rights)
{
	uint32_t error = 0;

	if (result != WALK_ABSENT)
		error |= PF_PRESENT;
	if (result == WALK_RESERVED)
		error |= PF_RESERVED;
	if (access & MMU_WRITE)
		error |= PF_WRITE;
	if (rights == RIGHTS_USER)
		error |= PF_USER;
	if (access & MMU_FETCH &&
	    (cpu->cr4 & CR4_SMEP || (cpu->efer & EFER_NXE && cpu->cr4 & CR4_PAE)))
		error |= PF_FETCH;
	return error;
}

bool mmu_walk(struct soft_cpu *cpu, uint64_t linear, unsigned access, enum tlb_rights rights,
	      struct mmu_page *page, uint32_t *ret_error)
{
	enum walk_result result;
	struct walk w;
	unsigned bytes = 8;

	if (!(cpu->cr0 & CR0_PG)) {
		*page = (struct mmu_page){ .gpa = linear & ~PAGE_MASK,
					   .read = true,
					   .write = true,
					   .exec = true,
					   .dirty = true,
					   .shift = PAGE_SHIFT };
		return true;
	}
	do {
		result = walk_tables(cpu, linear, &w, &bytes);
		if (result == WALK_OK) {
			uint64_t want = PTE_A | (access & MMU_WRITE ? PTE_D : 0);

			page_rights(cpu, &w, rights, page);
			if (!is_allowed(page, access)) {
				*ret_error = fault_error(cpu, WALK_OK, access, rights);
				return false;
			}
			if ((w.entry & want) != want &&
			    !update_entry(cpu, w.entry_gpa, w.host, bytes, w.entry, w.entry | want))
				result = WALK_AGAIN;
			page->dirty = (w.entry | want) & PTE_D;
			page->global = w.entry & PTE_G && cpu->cr4 & CR4_PGE;
			page->gpa = w.gpa & ~PAGE_MASK;
			page->shift = w.shift;
		}
	} while (result == WALK_AGAIN);
	if (result == WALK_OK)
		return true;
	*ret_error = fault_error(cpu, result, access, rights);
	return false;
}

bool mmu_load_pdptrs(struct soft_cpu *cpu, uint64_t cr3, uint64_t ret[4])
{
	const uint64_t reserved = BIT(1) | BIT(2) | bits_mask(9) << 55 | BIT(5) | BIT(6) | BIT(7) |
				  BIT(8) | bits_mask(3) << 52 | reserved_address_bits(cpu);
	uint64_t pointers[4];

	if (memory_read(cpu->memory, GPA(cr3 & 0xffffffe0), pointers, sizeof(pointers)))
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (pointers[i] & PTE_P && pointers[i] & reserved)
			return false;
	}
	memcpy(ret, pointers, sizeof(pointers));
	return true;
}

enum tlb_rights mmu_system_rights(const struct soft_cpu *cpu)
{
	return cpu->cr4 & CR4_SMAP ? RIGHTS_KERNEL : RIGHTS_KERNEL_ALL;
}

enum tlb_rights mmu_rights(const struct soft_cpu *cpu)
{
	if (cpu->cpl == 3)
		return RIGHTS_USER;
	return cpu->flags & RFLAGS_AC ? RIGHTS_KERNEL_ALL : mmu_system_rights(cpu);
}

/* Whether each access must be looked at: alignment checks, or data watchpoints. */
static bool is_slow(const struct soft_cpu *cpu)
{
	if (cpu->cpl == 3 && cpu->cr0 & CR0_AM && cpu->flags & RFLAGS_AC)
		return true;
	if (debugger_watches(cpu))
		return true;
	for (unsigned i = 0; i < 4; i++) {
		if (cpu->dr7 >> (2 * i) & 3 && cpu->dr7 >> (16 + 4 * i) & 3)
			return true;
	}
	return false;
}

#define LINK_KEY_FETCH_SHIFT 8
#define LINK_KEY_EPOCH_SHIFT 24

/* Another value for each, and the next one far away: sums of keys and addresses are compared too (soft_cpu.ways). */
static uint64_t spread(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

void mmu_update_links(struct soft_cpu *cpu)
{
	uint64_t rest = cpu->link_epoch << LINK_KEY_EPOCH_SHIFT | cpu->mode;

	/* Address space numbers start at 1: the keys of all pages and of global ones differ. */
	cpu->link_key[LINK_LOCAL] = spread(rest | cpu->fetch_key << LINK_KEY_FETCH_SHIFT);
	cpu->link_key[LINK_GLOBAL] = spread(rest | (cpu->fetch_key & 3) << LINK_KEY_FETCH_SHIFT);
}

/* No link and no jump entry is good any more. */
static void forget_links(struct soft_cpu *cpu)
{
	memset(cpu->linked_pages, 0, sizeof(cpu->linked_pages));
	cpu->linked_count = 0;
	cpu->link_epoch++;
	mmu_update_links(cpu);
}

/* Where a page is among the linked ones, or where it would be. */
static uint64_t *linked_slot(struct soft_cpu *cpu, uint64_t page)
{
	uint64_t at = page * UINT64_C(0x9e3779b97f4a7c15) >> 40;

	for (;; at++) {
		uint64_t *slot = &cpu->linked_pages[at % LINKED_PAGES];

		if (!*slot || *slot == page + 1)
			return slot;
	}
}

void mmu_note_linked(struct soft_cpu *cpu, uint64_t page)
{
	uint64_t *slot = linked_slot(cpu, page);

	if (*slot)
		return;
	if (cpu->linked_count == LINKED_PAGES / 4 * 3) {
		forget_links(cpu);
		slot = linked_slot(cpu, page);
	}
	*slot = page + 1;
	cpu->linked_count++;
}

bool mmu_has_room_for_linked(const struct soft_cpu *cpu)
{
	return cpu->linked_count < LINKED_PAGES / 4 * 3;
}

enum link_scope link_note(struct soft_cpu *cpu, uint64_t rip)
{
	uint64_t page = (rip + cpu->code_base) >> PAGE_SHIFT;

	mmu_note_linked(cpu, page);
	return cpu->code_tlb_global[page % CODE_TLB_ENTRIES] ? LINK_GLOBAL : LINK_LOCAL;
}

void mmu_code_moved(struct soft_cpu *cpu)
{
	forget_links(cpu);
}

static void set_key(struct soft_cpu *cpu, uint64_t asid, enum tlb_rights rights)
{
	cpu->tlb_key = asid << TLB_KEY_ASID_SHIFT | rights;
	cpu->fetch_key =
		asid << TLB_KEY_ASID_SHIFT | (cpu->cpl == 3 ? RIGHTS_USER : RIGHTS_KERNEL_ALL);
	mmu_update_links(cpu);
}

void mmu_update_rights(struct soft_cpu *cpu)
{
	enum tlb_rights rights = is_slow(cpu) ? RIGHTS_SLOW : mmu_rights(cpu);

	set_key(cpu, cpu->tlb_key >> TLB_KEY_ASID_SHIFT, rights);
}

static void clear_entries(struct soft_cpu *cpu)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		cpu->tlb[i] = (struct tlb_entry){ TLB_NONE, TLB_NONE, TLB_NONE, 0 };
	for (unsigned i = 0; i < TLB2_SETS * TLB2_WAYS; i++)
		cpu->tlb2[i] = (struct tlb_entry){ TLB_NONE, TLB_NONE, TLB_NONE, 0 };
	for (unsigned i = 0; i < CODE_TLB_ENTRIES; i++)
		cpu->code_tlb[i].tag = TLB_NONE;
	memset(cpu->large_pages, 0, sizeof(cpu->large_pages));
	memset(cpu->pcids, 0, sizeof(cpu->pcids));
	cpu->next_asid = 1;
	forget_links(cpu);
}

static uint64_t current_pcid(const struct soft_cpu *cpu)
{
	return cpu->cr4 & CR4_PCIDE ? cpu->cr3 & CR3_PCID : 0;
}

/* Gives the current PCID a fresh address space number. */
static void take_asid(struct soft_cpu *cpu)
{
	uint64_t pcid = current_pcid(cpu);
	unsigned slot;

	if (cpu->next_asid >= TLB_ASIDS)
		clear_entries(cpu);
	for (slot = 0; slot < PCID_SLOTS; slot++) {
		if (cpu->pcids[slot].asid && cpu->pcids[slot].pcid == pcid)
			break;
	}
	if (slot == PCID_SLOTS)
		slot = cpu->next_pcid_slot++ % PCID_SLOTS;
	cpu->pcids[slot].pcid = pcid;
	cpu->pcids[slot].asid = cpu->next_asid++;
	set_key(cpu, cpu->pcids[slot].asid, cpu->tlb_key & 3);
}

void mmu_flush_all(struct soft_cpu *cpu)
{
	clear_entries(cpu);
	take_asid(cpu);
}

void mmu_switch(struct soft_cpu *cpu, bool keep)
{
	uint64_t pcid = current_pcid(cpu);

	for (unsigned slot = 0; keep && slot < PCID_SLOTS; slot++) {
		if (cpu->pcids[slot].asid && cpu->pcids[slot].pcid == pcid) {
			set_key(cpu, cpu->pcids[slot].asid, cpu->tlb_key & 3);
			return;
		}
	}
	take_asid(cpu);
}

void mmu_flush_pcid(struct soft_cpu *cpu, uint64_t pcid)
{
	if (pcid == current_pcid(cpu)) {
		take_asid(cpu);
		return;
	}
	for (unsigned slot = 0; slot < PCID_SLOTS; slot++) {
		if (cpu->pcids[slot].pcid == pcid)
			cpu->pcids[slot].asid = 0;
	}
}

static bool tag_in(uint64_t tag, uint64_t linear, unsigned shift)
{
	return tag >> shift == linear >> shift;
}

static void drop_entry(struct tlb_entry *e, uint64_t linear, unsigned shift)
{
	if (tag_in(e->read, linear, shift) || tag_in(e->write, linear, shift) ||
	    tag_in(e->exec, linear, shift))
		*e = (struct tlb_entry){ TLB_NONE, TLB_NONE, TLB_NONE, 0 };
}

static void drop_range(struct soft_cpu *cpu, uint64_t linear, unsigned shift)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		drop_entry(&cpu->tlb[i], linear, shift);
	for (unsigned i = 0; i < TLB2_SETS * TLB2_WAYS; i++)
		drop_entry(&cpu->tlb2[i], linear, shift);
	for (unsigned i = 0; i < CODE_TLB_ENTRIES; i++) {
		if (tag_in(cpu->code_tlb[i].tag, linear, shift))
			cpu->code_tlb[i].tag = TLB_NONE;
	}
	forget_links(cpu);
}

/* The filter's two bits for the large page of that size at `linear`. */
static void large_bits(uint64_t linear, unsigned shift, unsigned ret_bits[2])
{
	uint64_t page = ((linear >> shift) + shift) * UINT64_C(0x9e3779b97f4a7c15);

	ret_bits[0] = (unsigned)(page >> 40) % LARGE_PAGE_BITS;
	ret_bits[1] = (unsigned)(page >> 20) % LARGE_PAGE_BITS;
}

void mmu_note_large(struct soft_cpu *cpu, uint64_t linear, unsigned shift)
{
	unsigned bits[2];

	large_bits(linear, shift, bits);
	for (unsigned i = 0; i < 2; i++)
		cpu->large_pages[bits[i] / 64] |= BIT(bits[i] % 64);
}

static bool may_be_large(const struct soft_cpu *cpu, uint64_t linear, unsigned shift)
{
	unsigned bits[2];

	large_bits(linear, shift, bits);
	return cpu->large_pages[bits[0] / 64] & BIT(bits[0] % 64) &&
	       cpu->large_pages[bits[1] / 64] & BIT(bits[1] % 64);
}

void mmu_flush_page(struct soft_cpu *cpu, uint64_t linear)
{
	static const unsigned shifts[] = { 21, 22, 30 };
	uint64_t page = linear >> PAGE_SHIFT;
	struct code_tlb_entry *c = &cpu->code_tlb[page & (CODE_TLB_ENTRIES - 1)];

	if (*linked_slot(cpu, page))
		forget_links(cpu);
	if (tag_in(c->tag, linear, PAGE_SHIFT))
		c->tag = TLB_NONE;
	drop_entry(&cpu->tlb[page & (TLB_ENTRIES - 1)], linear, PAGE_SHIFT);
	for (unsigned i = 0; i < TLB2_WAYS; i++)
		drop_entry(&cpu->tlb2[tlb2_set(linear) + i], linear, PAGE_SHIFT);
	for (unsigned i = 0; i < ARRAY_SIZE(shifts); i++) {
		if (may_be_large(cpu, linear, shifts[i]))
			drop_range(cpu, linear, shifts[i]);
	}
}

void mmu_flush_writes(struct soft_cpu *cpu, const uint8_t *page)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		struct tlb_entry *e = &cpu->tlb[i];

		if (e->write != TLB_NONE &&
		    (!page || e->host + (e->write & ~PAGE_MASK) == (uintptr_t)page))
			e->write = TLB_NONE;
	}
}
