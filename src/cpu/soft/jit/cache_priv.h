/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code cache, which the vCPUs of a machine share, and what is kept of each translated block beside
 * its code: struct translation. What one vCPU has of its own is in struct jit.
 *
 * Decoded instructions are not. What a way from translated code to C has to know is in the
 * instructions of the stub that it goes by (struct call); the handful that handlers have to do are
 * decoded again from the guest's memory (single.c).
 *
 * A translation stays where it is until the cache is emptied. One that was dropped is in no table
 * any more and its code leads out, or on to the code that took its place: so code that jumps to it
 * needs no list.
 *
 * Threads. A vCPU emits into rooms of its own, without the lock, and enters what it made into the tables
 * with it; who looks a translation up takes no lock. Code that others may be running is changed in two
 * places only, each within eight aligned bytes, which the processor sees as before or as behind: a
 * block's first instruction becomes a jump when it is dropped, and the jumps between blocks of a page
 * are joined. What depends on a vCPU's mappings is not in the code but in its struct soft_cpu: link keys,
 * keys of ways out (soft_cpu.ways), jump entries.
 *
 * The cache is emptied in two steps. The tables are cleared, the generation changes, and attention is
 * called for on all vCPUs; each one forgets what it knows of the cache once it is in none of its code.
 * When all have, or are parked, its memory is used anew. Nobody waits: meanwhile the interpreter
 * does what is not translated.
 *
 * Spec: AMD64 APM volume 2, 7.6.1 (cross-modifying code).
 */
#pragma once

#include <sched.h>
#include <signal.h>
#include <string.h>

#include "cpu/soft/block_priv.h"
#include "cpu/soft/engine_priv.h"
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

/*
 * Of a way out to another page, behind its stub. Once joined it always leads to the same place; whether that is
 * what the guest has there is for each vCPU to say, in its soft_cpu.ways.
 */
struct far_way {
	int32_t pages;       /* how far it leads */
	uint32_t global : 1; /* enum link_scope */
	uint32_t way : 31;   /* in soft_cpu.ways; 0: it cannot be joined */
	uint32_t to;         /* number of the translation that it is joined to; 0: none */
	uint32_t elsewhere;  /* times that a vCPU had something else there */
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
		uint32_t second_way; /* _SECOND: in soft_cpu.ways, while the page follows */
	};
};

static_assert(sizeof(struct translation) == 24, "under twice the guest's code of a usual block");

#define TRANSLATION_DEAD   (UINT64_C(1) << 63)
#define TRANSLATION_SECOND (UINT64_C(1) << 62)
#define KEY_MODE_SHIFT     48

/* Of code, where a block begins: the look for attention, an instruction of nine bytes and its jump to what
 * CALL_START is for. */
#define ATTENTION_BYTES   15u
#define START_JUMP_OFFSET 11u

#define PAGE_LISTS 4096u
#define UNSHARED   65536u /* bits of jit.unshared */
#define HEATS      131072u

/* What a vCPU did so far. Written by its thread. */
struct jit_stats {
	uint64_t blocks;
	uint64_t replaced; /* blocks dropped to be translated again, without shared checks */
	uint64_t links;    /* ways out joined to their target's code */
	uint64_t leaves;   /* ends of blocks done by a handler */
	uint64_t jumps;    /* those whose target was not in the table */
	uint64_t misses;   /* calls of handlers because of memory or a trap */
	uint64_t handlers; /* because the instruction is left to its handler */
	uint64_t singles;  /* of instructions that had to be decoded for that */
	uint64_t traces;
};

/* The same of the cache, with its lock held. */
struct cache_stats {
	uint64_t resets;
	uint64_t drops;       /* blocks whose code became invalid */
	uint64_t guest_bytes; /* of guest code that is translated */
	uint64_t metadata_bytes;
};

/* Common code, in the running mapping. */
struct jit_common {
	uint64_t gate, enter_block, call, no_body, vector_load, x87_load, end;
};

/* A part of the cache that one vCPU fills, from the start of it. */
struct room {
	uint32_t used, end;
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

struct code_cache {
	/* Fixed: */
	struct soft_engine *engine;
	uint8_t *write, *run; /* two mappings of the same memory */
	uint64_t size;
	uint32_t room_bytes;
	uint32_t capacity; /* of the tables */
	struct translation
		*translations; /* number 0 is none; those in the tables are read by all */
	uint32_t *hash;        /* their numbers, by block_hash(); read by all */
	struct jit_common common;
	/* Written seldom, with the lock: */
	atomic_uint_fast64_t generation; /* changes when all translations are forgotten */
	atomic_bool emptying;            /* they were, and some vCPU may still be in their code */
	/* With the lock; others may guess: */
	alignas(64) atomic_bool locked; /* CACHE_LOCK_SCOPE() */
	uint64_t used;                  /* in rooms */
	uint32_t count;                 /* of numbers that were given out, 0 included; */
	uint32_t ways;                  /* of indices into soft_cpu.ways, which takes no lock */
	uint32_t pages[PAGE_LISTS];
	struct cache_stats stats;
	/* Without the lock, as near as can be: */
	uint32_t cooled;                  /* those that have cooled down last end here, */
	uint16_t heat[HEATS];             /* of blocks that are not translated, by hash */
	uint64_t unshared[UNSHARED / 64]; /* by hash: to be translated without shared checks */
};

/*
 * Held for a moment, by who waits for nobody. It is no mutex because translated code comes for it with
 * the guest's vector registers in the host's, and what a library does with these is not promised.
 */
static inline struct code_cache *cache_lock(struct code_cache *cache)
{
	while (atomic_exchange_explicit(&cache->locked, true, memory_order_acquire))
		sched_yield();
	return cache;
}

static inline void cache_unlock(struct code_cache **cache)
{
	atomic_store_explicit(&(*cache)->locked, false, memory_order_release);
}

/* To the end of the block. */
#define CACHE_LOCK_SCOPE(cache)                                                                    \
	struct code_cache *cache_lock_scope __attribute__((cleanup(cache_unlock), unused)) =       \
		cache_lock(cache)

struct jit {
	struct code_cache *cache;
	struct room code, stubs;         /* stubs are kept from the code that is usually run */
	atomic_uint_fast64_t generation; /* of the cache, as it is known here */
	atomic_bool parked;              /* in no code, and comes to none before jit_unpark() */
	uint32_t ways;       /* of soft_cpu.ways: those from this one on were not used */
	uint32_t limit;      /* of the number of translations, until jit_spare() is called again */
	void *decoded;       /* what it gives */
	size_t decoded_size; /* of that at present */
	struct single *singles;
	struct link links[2]; /* of whichever wants some: they remember nothing */
	struct sample samples[SAMPLES];
	struct path path;    /* while attention is called for ATTENTION_TRACE */
	struct block *trace; /* its instructions as if they were a block of the page */
	struct translator *translator;
	uint8_t *signal_stack;
	stack_t thread_stack; /* what the thread had before */
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
	return __atomic_load_n(&t->key, __ATOMIC_ACQUIRE) & TRANSLATION_DEAD;
}

static inline bool translation_has_second(const struct translation *t)
{
	return translation_offset(t) + t->bytes > PAGE_SIZE;
}

static inline uint32_t *translation_bucket(const struct code_cache *cache, const uint8_t *host,
					   uint8_t mode)
{
	return &cache->hash[block_hash(host, mode) & (cache->capacity - 1)];
}

/* The block there, or NULL. */
static inline struct translation *translation_find(const struct code_cache *cache,
						   const uint8_t *host, uint8_t mode)
{
	uint64_t key = translation_key(host, mode);
	uint32_t number = __atomic_load_n(translation_bucket(cache, host, mode), __ATOMIC_ACQUIRE);

	while (number) {
		struct translation *t = &cache->translations[number];

		if (__atomic_load_n(&t->key, __ATOMIC_RELAXED) == key)
			return t;
		number = __atomic_load_n(&t->hash_next, __ATOMIC_ACQUIRE);
	}
	return NULL;
}

/* Where its code runs. */
static inline const uint8_t *translation_code(const struct code_cache *cache,
					      const struct translation *t)
{
	return cache->run + t->code;
}

/* Of the vCPU whose thread this is: all that it knows of the cache is of now. If not, that which it runs may be
 * of the past, and cannot be dropped any more. */
static inline bool cache_is_current(const struct jit *jit)
{
	return jit->generation == jit->cache->generation;
}

/* Whether code that called C still is what the guest has there. */
static inline bool translation_may_go_on(const struct jit *jit, const struct translation *t)
{
	return likely(!translation_is_dead(t) && cache_is_current(jit));
}

/* The least and the most that is taken of the cache at a time. */
#define ROOM_BYTES_MIN UINT32_C(0x10000)
#define ROOM_BYTES_MAX UINT32_C(0x40000)

/*
 * cache.c. A room in place of one that is full; the first one of `count` numbers for translations;
 * an index into soft_cpu.ways. False and 0: there is none, or the cache is being emptied.
 */
bool cache_new_room(struct jit *jit, struct room *room);
uint32_t cache_new_number(struct jit *jit, unsigned count);
uint32_t cache_new_way(struct jit *jit);

/* translation.c: tables for `capacity` translations, a power of two. -ENOMEM. */
int translations_new(struct code_cache *cache, uint32_t capacity);
void translations_free(struct code_cache *cache);
uint64_t translations_memory(const struct code_cache *cache);

/*
 * The rest with the lock held.
 *
 * Enters translation `number`, and its second one behind it for the page at `second` if that is not NULL.
 */
void translation_add(struct code_cache *cache, uint32_t number, const uint8_t *second);

/* Takes it out of the tables; its code leads to the run loop. It may be running. */
void translation_drop(struct code_cache *cache, struct translation *t);

/* The same for all that touch the page. */
void translations_drop_page(struct code_cache *cache, const uint8_t *page);

/* None is in the tables any more. */
void translations_forget(struct code_cache *cache);

/* Code that others may be running becomes other code at once: `count` bytes, which lie within eight aligned ones, the
 * first one in the low bits of `bytes`. */
void code_replace(uint8_t *at, uint64_t bytes, unsigned count);

/* Lets what leads to the code of one that was dropped lead to that of `to`. */
void translation_divert(struct code_cache *cache, const struct translation *dead,
			const struct translation *to);

/* From now on the vCPU takes the way from code_page as its code leads. */
static inline void way_enter(struct soft_cpu *cpu, uint32_t way, enum link_scope scope)
{
	cpu->ways[way] = cpu->link_key[scope] + cpu->code_page;
	cpu->jit->ways = MAX(cpu->jit->ways, way + 1);
}

/* jit.c: the block will be translated again; and that without shared checks. */
void jit_drop(struct soft_cpu *cpu, struct translation *t);
void jit_unshare(struct soft_cpu *cpu, struct translation *t);
bool jit_is_unshared(const struct code_cache *cache, const uint8_t *host, uint8_t mode);

/*
 * resolve.c: the code to which a way out of `from` leads that was not joined, and is now; NULL if that
 * cannot be said. rip becomes the target.
 */
const uint8_t *link_follow(struct soft_cpu *cpu, struct call call, struct translation *from);

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
	return (uint64_t)(t - jit->cache->translations) << 12 | offset;
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
