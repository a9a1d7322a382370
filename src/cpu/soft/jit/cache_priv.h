/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code cache, and what is kept of each translated block beside its code: struct translation.
 *
 * Decoded instructions are not. What a way from translated code to C has to know is in the
 * instructions of the stub that it goes by (struct call); the handful that handlers have to do are
 * decoded again from the guest's memory (single.c).
 *
 * A translation stays where it is until the cache is emptied. One that was dropped is in no table
 * any more and its code leads out, or on to the code that took its place: so code that jumps to it
 * needs no list.
 *
 * Only the vCPU's own thread enters.
 */
#pragma once

#include <signal.h>
#include <string.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/jit/jit_priv.h"

/* Why translated code goes to C. */
enum call_type {
	CALL_START,       /* in front of the block: attention is needed, or it was dropped */
	CALL_SECOND,      /* the same: its second page may have moved */
	CALL_UNITS,       /* the same: the guest has switched off what it needs */
	CALL_LINK,        /* a way out in the same page that is not joined */
	CALL_FAR_LINK,    /* to another page; SCRATCH_0 is where its struct far_way runs */
	CALL_JUMP_LOCAL,  /* the target, in SCRATCH_0, is not in the table of jump entries with */
	CALL_JUMP_GLOBAL, /* the key of that scope; from that instruction on, see CALL_REST */
	CALL_HANDLER,     /* an instruction's handler, behind which translated code goes on */
	CALL_TRAP,        /* the same: the processor itself refused it */
	CALL_REST,        /* from that instruction on, the block is the interpreter's */
	/*
	 * An access missed the TLB: in SCRATCH_0 is what the tag would be. If that cannot be filled,
	 * CALL_TRAP or CALL_REST. Four, by these bits:
	 */
	CALL_MISS = 12,
	CALL_MISS_WRITE = 1,
	CALL_MISS_REST = 2,
};

/* A call, as a stub has it for an operand. Offsets of code count from that of the block. */
struct call {
	uint64_t block : 20; /* number of the translation */
	uint64_t type : 4;   /* enum call_type */
	uint64_t insn : 12;  /* the instruction, bytes from translation_base() */
	uint64_t retry : 14; /* where code tries again; of a link, the 32 bits of its jump */
	uint64_t back : 14;  /* where it goes on; of a link, where it leads in the page */
};

static_assert(sizeof(struct call) == sizeof(uint64_t), "an operand");

#define CALL_CODE_MAX     (1u << 14)
#define CALL_TRANSLATIONS (1u << 20)

/* That for which translated code has just come to C. */
static inline struct call call_now(const struct soft_cpu *cpu)
{
	struct call call;

	memcpy(&call, &cpu->call, sizeof(call));
	return call;
}

static inline bool call_is_miss(struct call call)
{
	return call.type >= CALL_MISS;
}

/* Whether code goes on behind the instruction, once its handler has done it. */
static inline bool call_comes_back(struct call call)
{
	if (call_is_miss(call))
		return !(call.type & CALL_MISS_REST);
	return call.type == CALL_HANDLER || call.type == CALL_TRAP;
}

/* Of a way out to another page, behind its stub. */
struct far_way {
	uint64_t key;  /* the link key that it is good for; 0: none */
	int32_t pages; /* how far it leads */
	uint32_t
		key_disp; /* from the start of the cache, the 32 bits of the code that say which key
			      that is; 0: it cannot be joined */
};

/*
 * A translated block, or a trace that begins with it. One that reaches into a second page has another one
 * behind it, which is in the list of that page.
 */
struct translation {
	uint64_t key; /* host address; above it the mode, and TRANSLATION_DEAD or _SECOND */
	uint32_t hash_next, page_next; /* numbers, 0: none */
	union {
		struct {
			uint32_t code;    /* from the start of the cache */
			uint16_t bytes;   /* of the guest's code; 0: a trace, all in one page */
			uint8_t units;    /* bits of soft_cpu.vector_live that it needs */
			uint8_t refusals; /* times that its shared checks did not hold */
		};
		uint64_t second_key; /* _SECOND: the link key under which the page followed */
	};
};

static_assert(sizeof(struct translation) == 24, "under twice the guest's code of a usual block");

#define TRANSLATION_DEAD   (UINT64_C(1) << 63)
#define TRANSLATION_SECOND (UINT64_C(1) << 62)
#define KEY_MODE_SHIFT     48

/* Of code, where a block begins: the look for attention, and its jump to what CALL_START is for. */
#define ATTENTION_BYTES   15u
#define START_JUMP_OFFSET 11u

#define PAGE_LISTS 4096u
#define UNSHARED   65536u /* bits of jit.unshared */
#define HEATS      131072u

/* What has happened so far. Written by the vCPU's thread. */
struct jit_stats {
	uint64_t blocks;
	uint64_t resets;   /* of the whole cache */
	uint64_t drops;    /* blocks whose code became invalid */
	uint64_t replaced; /* blocks dropped to be translated again, without shared checks */
	uint64_t links;    /* ways out joined to their target's code */
	uint64_t leaves;   /* ends of blocks done by a handler */
	uint64_t jumps;    /* those whose target was not in the table */
	uint64_t misses;   /* calls of handlers because of memory or a trap */
	uint64_t handlers; /* because the instruction is left to its handler */
	uint64_t singles;  /* of instructions that had to be decoded for that */
	uint64_t traces;
	uint64_t guest_bytes; /* of guest code that is translated */
	uint64_t metadata_bytes;
};

/* Common code, in the running mapping. */
struct jit_common {
	uint64_t gate, enter_block, call, no_body, vector_load, x87_load, end;
};

/* A part of the cache where stubs are put, from the start of it: they are kept from the code that
 * is usually run. */
struct stub_room {
	unsigned used, end;
};

/* An instruction of a translated block, as if it were alone; see single.c. */
struct single {
	uint64_t key; /* number of the translation and offset, 0: free */
	struct insn insn;
	insn_exec *behind; /* the next insn's, for NEXT(): jit_stop() */
};

#define SINGLES 8192u

/* How often samples have found the vCPU in front of a block. */
struct sample {
	uint64_t key; /* as of its translation */
	uint32_t count;
};

#define SAMPLES      256u
#define TRACE_BLOCKS 16u
#define TRACE_INSNS  96u

/* The way that the guest takes from a block, while it is noted for a trace; see trace.c. */
struct path {
	const uint8_t *head;
	uint64_t page; /* of rip */
	uint8_t mode;
	uint8_t count;
	uint16_t offsets[TRACE_BLOCKS]; /* of blocks in the page, the head's first */
};

struct jit {
	uint8_t *write, *run; /* two mappings of the same memory */
	uint64_t size, used;
	struct stub_room stub_room;
	struct translation *translations; /* number 0 is none; behind them, see jit_spare() */
	uint32_t *hash;                   /* their numbers, by block_hash(); as many */
	uint32_t capacity, count;
	uint32_t limit; /* of their number, while what is behind them is used otherwise */
	uint32_t pages[PAGE_LISTS];
	uint16_t heat[HEATS];             /* of blocks that are not translated, by hash; */
	uint32_t cooled;                  /* those that have cooled down last end here */
	uint64_t unshared[UNSHARED / 64]; /* by hash: to be translated without shared checks */
	struct single *singles;
	struct link links[2]; /* of whichever wants some: they remember nothing */
	struct sample samples[SAMPLES];
	struct path path;    /* while attention is called for ATTENTION_TRACE */
	struct block *trace; /* its instructions as if they were a block of the page */
	uint64_t generation; /* changes when all translations are dropped */
	struct jit_common common;
	struct translator *translator;
	uint8_t *signal_stack;
	stack_t thread_stack; /* what the thread had before */
	bool vectors;         /* the host has XSAVE */
	struct jit_stats stats;
};

static inline uint64_t translation_key(const uint8_t *host, uint8_t mode)
{
	return (uintptr_t)host | (uint64_t)mode << KEY_MODE_SHIFT;
}

static inline const uint8_t *translation_host(const struct translation *t)
{
	return (const uint8_t *)(t->key & ((UINT64_C(1) << KEY_MODE_SHIFT) - 1));
}

/* In its page. */
static inline unsigned translation_offset(const struct translation *t)
{
	return (unsigned)(t->key & PAGE_MASK);
}

static inline bool translation_is_trace(const struct translation *t)
{
	return !t->bytes;
}

/* From where offsets of its instructions count, in the page. */
static inline unsigned translation_base(const struct translation *t)
{
	return translation_is_trace(t) ? 0 : translation_offset(t);
}

static inline uint8_t translation_mode(const struct translation *t)
{
	return (uint8_t)(t->key >> KEY_MODE_SHIFT);
}

static inline bool translation_is_dead(const struct translation *t)
{
	return t->key & TRANSLATION_DEAD;
}

static inline bool translation_has_second(const struct translation *t)
{
	return translation_offset(t) + t->bytes > PAGE_SIZE;
}

static inline uint32_t *translation_bucket(const struct jit *jit, const uint8_t *host, uint8_t mode)
{
	return &jit->hash[block_hash(host, mode) & (jit->capacity - 1)];
}

/* The block there, or NULL. */
static inline struct translation *translation_find(const struct jit *jit, const uint8_t *host,
						   uint8_t mode)
{
	uint64_t key = translation_key(host, mode);
	uint32_t number = *translation_bucket(jit, host, mode);

	while (number && jit->translations[number].key != key)
		number = jit->translations[number].hash_next;
	return number ? &jit->translations[number] : NULL;
}

/* Where its code runs. */
static inline const uint8_t *translation_code(const struct jit *jit, const struct translation *t)
{
	return jit->run + t->code;
}

/* translation.c: tables for `capacity` translations, a power of two. -ENOMEM. */
int translations_new(struct jit *jit, uint32_t capacity);
void translations_free(struct jit *jit);
uint64_t translations_memory(const struct jit *jit);

/* Whether there is room for one more; whether there can be. */
bool translations_have_room(const struct jit *jit);
bool translations_are_full(const struct jit *jit);

/*
 * Enters what is in translations[count], and its second one behind it for the page at `second` if
 * that is not NULL.
 */
void translation_add(struct jit *jit, const uint8_t *second);

/* Takes it out of the tables; its code leads to the run loop. It may be running. */
void translation_drop(struct jit *jit, struct translation *t);

/* The same for all that touch the page. */
void translations_drop_page(struct jit *jit, const uint8_t *page);

/* None is in the tables any more. */
void translations_forget(struct jit *jit);

/* Lets what leads to the code of one that was dropped lead to that of `to`. */
void translation_divert(struct jit *jit, const struct translation *dead,
			const struct translation *to);

/* jit.c: the block will be translated again, without shared checks. */
void jit_unshare(struct soft_cpu *cpu, struct translation *t);
bool jit_is_unshared(const struct jit *jit, const uint8_t *host, uint8_t mode);

/*
 * resolve.c: the code to which a way out of `from` leads that was not joined, and is now; NULL if that
 * cannot be said. rip becomes the target.
 */
const uint8_t *link_follow(struct soft_cpu *cpu, struct call call, const struct translation *from);

/* single.c: a table for decoded instructions. -ENOMEM. */
int singles_new(struct jit *jit);
void singles_free(struct jit *jit);
uint64_t singles_memory(void);
void singles_forget(struct jit *jit);

const struct insn *single_decode(struct soft_cpu *cpu, const struct translation *t,
				 unsigned offset);

static inline uint64_t single_key(const struct jit *jit, const struct translation *t,
				  unsigned offset)
{
	return (uint64_t)(t - jit->translations) << 12 | offset;
}

static inline struct single *single_slot(const struct jit *jit, uint64_t key)
{
	return &jit->singles[key * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (SINGLES - 1)];
}

/*
 * The instruction of a translated block `offset` bytes from its base; behind it comes jit_stop().
 * Good until the next call. NULL: the run loop should go on with it, because its bytes may have
 * changed or there is no room.
 */
static inline const struct insn *single_find(struct soft_cpu *cpu, const struct translation *t,
					     unsigned offset)
{
	uint64_t key = single_key(cpu->jit, t, offset);
	const struct single *s = single_slot(cpu->jit, key);

	return likely(s->key == key) ? &s->insn : single_decode(cpu, t, offset);
}
