/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of decoded instructions, and the ways from one to the next.
 *
 * A block starts at a host address (which stands for the guest physical one) in a decode mode, and
 * runs to the first instruction that may leave it, to the page's end, or to BLOCK_INSNS. An
 * instruction that crosses into another page is a block of its own that checks on entry that the
 * second page is still the same one.
 *
 * jump_key is what makes a remembered way good: links and jump entries hold the linear rip and the
 * key of when they were made. It has the tlb_key (address space and rights) in bits 0 to 11, the
 * mode in bits 12 to 19, and above it a generation that counts up whenever translations or blocks
 * of the vCPU die.
 */
#pragma once

#include "cpu/soft/cpu_priv.h"

#define BLOCK_INSNS      64
#define BLOCK_CACHE_SIZE (UINT64_C(48) << 20)
#define BLOCK_HASH       16384
#define JUMP_ENTRIES     4096

/* Where a block's end leads: an inline cache of one. */
struct link {
	const struct insn *target;
	uint64_t rip;
	uint64_t key;
};

struct jump_entry {
	const struct insn *target;
	uint64_t rip;
	uint64_t key;
};

struct block {
	struct block *hash_next;
	uintptr_t page_next[2]; /* in the lists of its first and second page; see block.c */
	const uint8_t *host;
	const uint8_t *second; /* host address of the second page; NULL: only one */
	uint32_t bytes;
	uint8_t mode;
	uint8_t count; /* of insns, pseudo ones included */
	bool dead;
	struct insn insns[];
};

int block_cache_new(struct block_cache **ret_cache);
void block_cache_free(struct block_cache *cache);

/*
 * The first instruction of the block at rip in the present mode: decodes it if need be. Raises page
 * faults and the like of the fetch.
 */
const struct insn *block_find(struct soft_cpu *cpu);

/* Drops the blocks that touch the page at this host address; the running one ends after its
 * instruction. */
void block_drop_page(struct soft_cpu *cpu, const uint8_t *page);

/* Drops all, as above. */
void block_drop_all(struct soft_cpu *cpu);

/* Makes every link and jump entry stale. */
void jump_key_renew(struct soft_cpu *cpu);

/* Recomputes jump_key from mode and tlb_key. */
void jump_key_update(struct soft_cpu *cpu);

/* The slow half of the functions below. */
const struct insn *link_resolve(struct soft_cpu *cpu, struct link *link);
const struct insn *jump_resolve(struct soft_cpu *cpu);

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(CELLA_DEBUG)
#define ENTER(cpu, target) ((target)->exec((cpu), (target)))
#else
#define ENTER(cpu, target) (target)
#endif

static inline bool attention_needed(struct soft_cpu *cpu)
{
	return unlikely(atomic_load_explicit(&cpu->attention, memory_order_relaxed));
}

/* Ends a block at `insn`: goes on at `rip` (a linear address in 64-bit code) by the link. */
static inline const struct insn *leave_by_link(struct soft_cpu *cpu, const struct insn *insn,
					       unsigned which, uint64_t rip)
{
	struct link *link = (struct link *)(uintptr_t)insn->aux + which;

	cpu->rip = rip;
	cpu->instructions += insn->op;
	if (attention_needed(cpu))
		return NULL;
	if (likely(link->rip == rip && link->key == cpu->jump_key))
		return ENTER(cpu, link->target);
	return link_resolve(cpu, link);
}

static inline struct jump_entry *jump_slot(struct soft_cpu *cpu, uint64_t rip)
{
	return &cpu->jumps[(rip ^ rip >> 12) & (JUMP_ENTRIES - 1)];
}

/* The same for a target that varies. */
static inline const struct insn *leave_by_jump(struct soft_cpu *cpu, const struct insn *insn,
					       uint64_t rip)
{
	const struct jump_entry *jump = jump_slot(cpu, rip);

	cpu->rip = rip;
	cpu->instructions += insn->op;
	if (attention_needed(cpu))
		return NULL;
	if (likely(jump->rip == rip && jump->key == cpu->jump_key))
		return ENTER(cpu, jump->target);
	return jump_resolve(cpu);
}

/* Ends a block at `insn` with a return to the run loop, which looks at everything anew. */
static inline const struct insn *leave_to_loop(struct soft_cpu *cpu, const struct insn *insn,
					       uint64_t rip)
{
	cpu->rip = rip;
	cpu->instructions += insn->op;
	return NULL;
}

/* rip behind the instruction, not cut to any width. */
static inline uint64_t rip_next(const struct soft_cpu *cpu, const struct insn *insn)
{
	return cpu->rip + insn->offset + insn->length;
}
