/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Blocks of decoded instructions, and the ways from one to the next.
 *
 * A block starts at a host address (which stands for the guest physical one) in a decode mode, and
 * runs to the first instruction that may leave it, to the page's end, or to BLOCK_INSNS. An
 * instruction that crosses into another page is a block of its own that checks on entry that the
 * second page is still the same one.
 *
 * A link remembers where a linear rip led: to an insn, found at a host address. It is good if that
 * insn's block is alive and rip still leads to that host address: within one page that goes without
 * saying, else the code TLB tells. Links lie in the arena and go with their blocks. A jump entry is
 * good if the insn's block is alive and its key is still in force.
 */
#pragma once

#include "cpu/soft/cpu_priv.h"

#define BLOCK_INSNS    64
#define INSN_BYTES_MAX 15

/* What blocks may take beside a translator, at most: they get what it has to spare. */
#define BLOCK_CACHE_SHARED (UINT64_C(9) << 20)

/* Indices of soft_cpu.link_key. */
enum link_scope { LINK_LOCAL, LINK_GLOBAL };

/* Where a block's end leads: an inline cache of one. */
struct link {
	const struct insn *target; /* NULL: not known yet */
	uint64_t rip;
	const uint8_t *host; /* of rip */
};

struct block {
	struct block *hash_next;
	uintptr_t page_next[2]; /* in the lists of its first and second page; see block.c */
	const uint8_t *host;
	const uint8_t *second; /* host address of the second page; NULL: only one */
	const uint8_t *body;   /* its code; NULL: not translated */
	insn_exec *first;      /* of the first insn, whose own is the translator's */
	uint32_t verified;     /* jit=verify: what belongs to the code, from the cache's start */
	uint16_t bytes;
	uint8_t mode;
	uint8_t count; /* of insns, pseudo ones included */
	bool dead;
	struct insn insns[];
};

/* The block that begins with this instruction. */
static inline struct block *block_of(const struct insn *first)
{
	return (struct block *)((uintptr_t)first - offsetof(struct block, insns));
}

/* soft_cpu.blocks. `bytes`: how much they may take, at least 4 MiB; 0: jit_spare(). -ENOMEM. */
int block_cache_new(struct soft_cpu *cpu, uint64_t bytes);
void block_cache_free(struct block_cache *cache);

/* Bytes that it takes at most. */
uint64_t block_cache_memory(const struct block_cache *cache);

/*
 * The first instruction of the block at rip in the present mode: decodes it if need be. Raises page
 * faults and the like of the fetch. That of one that is translated may be soft_cpu.gate, which is to
 * be executed before anything else is looked for, and not to be kept.
 */
const struct insn *block_find(struct soft_cpu *cpu);

/* The same block if it has been decoded; else NULL. */
struct block *block_here(struct soft_cpu *cpu);

/* The block in its decoded form, even if it is translated. NULL: it leaves the code segment. Raises as
 * block_find() does. */
struct block *block_decoded(struct soft_cpu *cpu);

/* The block that begins there if it has been decoded; else NULL. */
struct block *block_lookup(struct soft_cpu *cpu, const uint8_t *host, uint8_t mode);

/* Drops the blocks that touch the page at this host address; the running one ends after its
 * instruction. What is translated stays. */
void block_drop_page(struct soft_cpu *cpu, const uint8_t *page);

/* Drops the one that begins there, if it is not running. */
void block_drop(struct soft_cpu *cpu, const uint8_t *host, uint8_t mode);

/* At rip, the start of a block that reaches into a second page: whether that is what follows the
 * first one. Raises page faults of the fetch. */
bool block_has_second(struct soft_cpu *cpu, const uint8_t *second);

/* Drops all, as above. */
void block_drop_all(struct soft_cpu *cpu);

/* For ATTENTION_CACHE, in the run loop: drops all if the code cache is being emptied; whether it is. */
bool block_renew(struct soft_cpu *cpu);

static inline uint32_t block_hash(const uint8_t *host, uint8_t mode)
{
	uint64_t h = ((uintptr_t)host ^ (uint64_t)mode << 40) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 36);
}

/*
 * Notes that a link or jump entry is about to depend on the page of `rip`, which the code TLB has;
 * which of the keys it goes by. May change the keys: read them afterwards.
 */
enum link_scope link_note(struct soft_cpu *cpu, uint64_t rip);

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

/* Where the code TLB leads `rip` (cut to its width); NULL: it does not know. */
static inline const uint8_t *code_host(const struct soft_cpu *cpu, uint64_t rip)
{
	uint64_t linear = rip + cpu->code_base;
	const struct code_tlb_entry *e = code_tlb_slot(cpu, linear);

	if (unlikely(e->tag != ((linear & ~PAGE_MASK) | cpu->fetch_key)))
		return NULL;
	return (const uint8_t *)(uintptr_t)(e->host + linear);
}

static inline bool leads_to(const struct soft_cpu *cpu, uint64_t rip, const uint8_t *host)
{
	return likely(code_host(cpu, rip) == host);
}

/* The same page of the linear address space, so that a block's own link needs no look. */
static inline bool same_page(const struct soft_cpu *cpu, uint64_t from, uint64_t rip)
{
	return likely(((from + cpu->code_base) ^ (rip + cpu->code_base)) >> PAGE_SHIFT == 0);
}

/* What stands in place of a dropped block's instructions. */
insn_exec op_resync;

static inline bool is_alive(const struct insn *target)
{
	return likely(target->exec != op_resync);
}

/* Ends a block at `insn`: goes on at `rip` by the link. */
static inline const struct insn *leave_by_link(struct soft_cpu *cpu, const struct insn *insn,
					       unsigned which, uint64_t rip)
{
	struct link *link = (struct link *)(uintptr_t)insn->aux + which;
	const struct insn *target = link->target;
	uint64_t from = cpu->rip;

	cpu->rip = rip;
	cpu->instructions += insn->op;
	if (attention_needed(cpu))
		return NULL;
	if (likely(target && link->rip == rip) && is_alive(target) &&
	    (same_page(cpu, from, rip) || leads_to(cpu, rip, link->host)))
		return ENTER(cpu, target);
	return link_resolve(cpu, link);
}

static inline struct jump_entry *jump_slot(struct soft_cpu *cpu, uint64_t rip)
{
	return &cpu->jumps[(rip ^ rip >> 12) & (JUMP_ENTRIES - 1)];
}

/* The gate to a block's code. */
static inline const struct insn *gate_to(struct soft_cpu *cpu, const void *code)
{
	cpu->gate_code = code;
	return &cpu->gate;
}

/* The block at rip, by the table of jump entries. As block_find(). */
static inline const struct insn *jump_target(struct soft_cpu *cpu)
{
	const struct jump_entry *jump = jump_slot(cpu, cpu->rip);
	const struct insn *target = jump->target;

	if (likely(jump->rip == cpu->rip &&
		   (jump->key == cpu->link_key[LINK_LOCAL] ||
		    jump->key == cpu->link_key[LINK_GLOBAL]) &&
		   target) &&
	    is_alive(target)) {
		cpu->gate_code = jump->code;
		return target;
	}
	return jump_resolve(cpu);
}

/* The same as leave_by_link() for a target that varies. */
static inline const struct insn *leave_by_jump(struct soft_cpu *cpu, const struct insn *insn,
					       uint64_t rip)
{
	const struct insn *target;

	cpu->rip = rip;
	cpu->instructions += insn->op;
	if (attention_needed(cpu))
		return NULL;
	target = jump_target(cpu);
	return ENTER(cpu, target);
}

/* Ends a block at `insn` with a return to the run loop, which looks at everything anew. */
static inline const struct insn *leave_to_loop(struct soft_cpu *cpu, const struct insn *insn,
					       uint64_t rip)
{
	cpu->rip = rip;
	cpu->instructions += insn->op;
	return NULL;
}

/* Behind an instruction that serialises: code that others have changed before is to be seen there, which may be in
 * the block that runs. Translated code looks for that itself. */
static inline const struct insn *next_serialised(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned attention = atomic_load_explicit(&cpu->attention, memory_order_relaxed);
	uint64_t next = cpu->rip + insn->offset + insn->length;

	if (likely(!(attention & ATTENTION_REQUEST)))
		return NEXT(cpu, insn);
	cpu->rip = cpu_code64(cpu) ? next : (uint32_t)next;
	return NULL;
}

/* rip behind the instruction, not cut to any width. */
static inline uint64_t rip_next(const struct soft_cpu *cpu, const struct insn *insn)
{
	return cpu->rip + insn->offset + insn->length;
}
