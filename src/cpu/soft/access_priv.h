/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as instructions see it: linear addresses, through the software TLB.
 *
 * What is inline here is the whole cost of a hit. Everything else (translation, faults, pages that
 * hold code, devices, accesses that cross a page, watchpoints) is behind the out-of-line functions
 * of access.c. A fault raises at `insn` and does not return. An access that crosses pages checks
 * both before it changes anything.
 */
#pragma once

#include "cpu/soft/cpu_priv.h"

/* 16 and 32-bit code: base, limit and rights of insn->seg. */
uint64_t ea_legacy(struct soft_cpu *cpu, const struct insn *insn, uint64_t offset, unsigned size,
		   bool write);

/* Linear address of `size` bytes at an offset in a segment, in any mode; raises #GP(0) or #SS(0). */
uint64_t segment_linear(struct soft_cpu *cpu, const struct insn *insn, unsigned seg,
			uint64_t offset, unsigned size, bool write);

/* The memory operand's offset in its segment, before it is cut to the address size. */
static inline uint64_t ea_offset(struct soft_cpu *cpu, const struct insn *insn)
{
	return *reg64(cpu, insn->base) + (*reg64(cpu, insn->index) << insn->scale) +
	       (uint64_t)(int64_t)insn->disp;
}

/* The same, cut. */
uint64_t ea_cut(struct soft_cpu *cpu, const struct insn *insn);

/* The linear address of the memory operand of `size` bytes; `plus` is added to the offset. */
static inline uint64_t ea_linear_plus(struct soft_cpu *cpu, const struct insn *insn, uint64_t plus,
				      unsigned size, bool write)
{
	uint64_t offset = ea_offset(cpu, insn) + plus;

	if (likely(insn->ea == EA_FLAT))
		return offset;
	if (insn->ea == EA_BASED)
		return offset + cpu->segments[insn->seg].base;
	return ea_legacy(cpu, insn, offset, size, write);
}

static inline uint64_t ea_linear(struct soft_cpu *cpu, const struct insn *insn, unsigned size,
				 bool write)
{
	return ea_linear_plus(cpu, insn, 0, size, write);
}

static inline struct tlb_entry *tlb_slot(struct soft_cpu *cpu, uint64_t linear)
{
	return &cpu->tlb[linear >> PAGE_SHIFT & (TLB_ENTRIES - 1)];
}

/* The tag of the page that holds the last byte: one that the first byte's slot cannot hold if they
 * differ. */
static inline uint64_t tlb_tag(const struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	return ((linear + size - 1) & ~PAGE_MASK) | cpu->tlb_key;
}

/*
 * The host's address for reading or for writing `size` (1 to 64) bytes, or NULL: not a hit, or the
 * access crosses pages.
 */
static inline void *tlb_read(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	struct tlb_entry *e = tlb_slot(cpu, linear);

	return likely(e->read == tlb_tag(cpu, linear, size)) ? (void *)(e->host + linear) : NULL;
}

static inline void *tlb_write(struct soft_cpu *cpu, uint64_t linear, unsigned size)
{
	struct tlb_entry *e = tlb_slot(cpu, linear);

	return likely(e->write == tlb_tag(cpu, linear, size)) ? (void *)(e->host + linear) : NULL;
}

uint64_t load_slow(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size);
void store_slow(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, uint64_t value,
		unsigned size);

/* load8(cpu, insn, linear) … load64, store8(cpu, insn, linear, value) … store64 */
#define ACCESS_DEFINE(bits)                                                                        \
	static inline uint##bits##_t load##bits(struct soft_cpu *cpu, const struct insn *insn,     \
						uint64_t linear)                                   \
	{                                                                                          \
		const guest##bits *p = tlb_read(cpu, linear, bits / 8);                            \
                                                                                                   \
		return likely(p) ? *p : (uint##bits##_t)load_slow(cpu, insn, linear, bits / 8);    \
	}                                                                                          \
	static inline void store##bits(struct soft_cpu *cpu, const struct insn *insn,              \
				       uint64_t linear, uint##bits##_t value)                      \
	{                                                                                          \
		guest##bits *p = tlb_write(cpu, linear, bits / 8);                                 \
                                                                                                   \
		if (likely(p))                                                                     \
			*p = value;                                                                \
		else                                                                               \
			store_slow(cpu, insn, linear, value, bits / 8);                            \
	}

ACCESS_DEFINE(8)
ACCESS_DEFINE(16)
ACCESS_DEFINE(32)
ACCESS_DEFINE(64)

#undef ACCESS_DEFINE

/* Any number of bytes, ascending. A store probes all pages first: it is done whole or not at all. */
void load_bytes(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, void *buffer,
		unsigned count);
void store_bytes(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, const void *buffer,
		 unsigned count);

/* Raises what a store of `count` bytes would raise, and stores nothing. */
void store_probe(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned count);

/*
 * `size` (1 to 64) bytes in place, or as a copy in cpu->scratch where there is no single host
 * address: for instructions that run natively with a memory operand. What load_in_place() returns
 * is good until the next access.
 */
const void *load_copy(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
		      unsigned size);

static inline const void *load_in_place(struct soft_cpu *cpu, const struct insn *insn,
					uint64_t linear, unsigned size)
{
	const void *p = tlb_read(cpu, linear, size);

	return likely(p) ? p : load_copy(cpu, insn, linear, size);
}

/*
 * Read-modify-write in place: the address to work on, between begin and end. `locked`: other
 * processors see one atomic access if the caller uses a host LOCK instruction on the address.
 * Raises as for a write.
 */
void *rmw_begin_slow(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size,
		     bool locked);
void rmw_end_slow(struct soft_cpu *cpu, const struct insn *insn);

/* Lets other vCPUs go on, if a locked access was left by a fault. */
void scratch_unlock(struct soft_cpu *cpu);

static inline void *rmw_begin(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
			      unsigned size, bool locked)
{
	void *p = tlb_write(cpu, linear, size);

	return likely(p) ? p : rmw_begin_slow(cpu, insn, linear, size, locked);
}

static inline void rmw_end(struct soft_cpu *cpu, const struct insn *insn, const void *p)
{
	if (unlikely(p == cpu->scratch.bytes))
		rmw_end_slow(cpu, insn);
}

/*
 * Accesses by the processor itself (descriptor tables, TSS, IDT): supervisor rights whatever the
 * CPL. `insn` NULL: between instructions.
 */
uint64_t system_load(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, unsigned size);
void system_store(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear, uint64_t value,
		  unsigned size);

/* Where code at `linear` is on the host, with fetch rights; NULL: not in RAM. Raises with rip as it
 * is. */
const uint8_t *fetch_host(struct soft_cpu *cpu, uint64_t linear);
