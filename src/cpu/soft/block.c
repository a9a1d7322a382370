/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block cache of one vCPU.
 *
 * Blocks and their links lie in an arena that only grows; when it is full everything is forgotten and
 * it starts anew: beside a translator, which keeps what is entered often, it is small. A dropped block stays where it is until then, with each instruction replaced by
 * one that returns to the run loop, so that the block may be running while it is dropped; links to
 * it went stale with the generation.
 *
 * Only the vCPU's own thread enters.
 */
#include "cpu/soft/block_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cpu/soft/access_priv.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/jit/jit_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/tier_priv.h"
#include "host/clock.h"

#define PAGE_BUCKETS 4096
#define LINE_BYTES   64
/* The longest block: a check of the second page, the instructions, and the way on, each with two
 * links. */
#define BLOCK_BYTES_MAX                                                                            \
	(sizeof(struct block) + (BLOCK_INSNS + 3) * sizeof(struct insn) + 2 * sizeof(struct link))

/* A block in a page's list: the pointer's low bit says by which of its pages. */
typedef uintptr_t page_node;

struct block_cache {
	void *own; /* the arena; NULL: it is the translator's */
	uint8_t *arena;
	size_t size, used;
	uint64_t flushes;
	bool reset; /* nothing is in the tables any more */
	struct block **hash;
	uint32_t buckets; /* a power of two */
	page_node pages[PAGE_BUCKETS];
};

/* So many, for an arena of that size. */
#define BUCKETS(bytes) (UINT32_C(1) << (63 - __builtin_clzll((bytes) / 256)))

int block_cache_new(struct soft_cpu *cpu, uint64_t bytes)
{
	struct block_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cpu->blocks = cache;
	cache->buckets = BUCKETS(MAX(bytes, BLOCK_CACHE_SHARED));
	cache->hash = calloc(cache->buckets, sizeof(cache->hash[0]));
	if (!cache->hash)
		return -ENOMEM;
	if (!bytes)
		return 0;
	cache->own = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (cache->own == MAP_FAILED)
		return -ENOMEM;
	cache->arena = cache->own;
	cache->size = bytes;
	return 0;
}

void block_cache_free(struct block_cache *cache)
{
	if (!cache)
		return;
	if (cache->own && cache->own != MAP_FAILED)
		munmap(cache->own, cache->size);
	free(cache->hash);
	free(cache);
}

uint64_t block_cache_memory(const struct block_cache *cache)
{
	return sizeof(*cache) + cache->buckets * sizeof(cache->hash[0]) +
	       (cache->own ? cache->size : 0);
}

static struct block **bucket_of(struct block_cache *cache, const uint8_t *host, uint8_t mode)
{
	return &cache->hash[block_hash(host, mode) & (cache->buckets - 1)];
}

struct block *block_lookup(struct soft_cpu *cpu, const uint8_t *host, uint8_t mode)
{
	struct block **at = bucket_of(cpu->blocks, host, mode);

	while (*at) {
		struct block *b = *at;

		if (b->dead)
			*at = b->hash_next; /* nobody finds it any more */
		else if (b->host == host && b->mode == mode)
			return b;
		else
			at = &b->hash_next;
	}
	return NULL;
}

static const uint8_t *page_of(const uint8_t *host)
{
	return (const uint8_t *)((uintptr_t)host & ~PAGE_MASK);
}

static page_node *page_bucket(struct block_cache *cache, const uint8_t *page)
{
	return &cache->pages[((uintptr_t)page >> PAGE_SHIFT) % PAGE_BUCKETS];
}

static struct block *node_block(page_node node)
{
	return (struct block *)(node & ~(page_node)1);
}

static void list_in_page(struct block_cache *cache, struct block *block, unsigned which,
			 const uint8_t *page)
{
	page_node *bucket = page_bucket(cache, page);

	block->page_next[which] = *bucket;
	*bucket = (page_node)block | which;
}

static void kill(struct block *block)
{
	unsigned count = block->count;

	block->dead = true;
	for (unsigned i = 0; i < count; i++)
		block->insns[i].exec = op_resync;
}

void block_drop(struct soft_cpu *cpu, const uint8_t *host, uint8_t mode)
{
	struct block *block = block_lookup(cpu, host, mode);

	if (block)
		kill(block);
}

void block_drop_page(struct soft_cpu *cpu, const uint8_t *page)
{
	page_node *at = page_bucket(cpu->blocks, page);

	while (*at) {
		struct block *block = node_block(*at);
		unsigned which = *at & 1;

		if (page_of(which ? block->second : block->host) == page) {
			if (!block->dead)
				kill(block);
			*at = block->page_next[which];
		} else {
			at = &block->page_next[which];
		}
	}
}

/* How long emptying the cache took, which began then. */
static void note_flush(struct soft_cpu *cpu, uint64_t start_ns)
{
	uint64_t ns = clock_thread_ns() - start_ns;

	if (ns > atomic_load_explicit(&cpu->stats.cache_flush_longest_ns, memory_order_relaxed))
		cpu->stats.cache_flush_longest_ns = ns;
}

static void clear_tables(struct block_cache *cache)
{
	memset(cache->hash, 0, cache->buckets * sizeof(cache->hash[0]));
	memset(cache->pages, 0, sizeof(cache->pages));
	cache->flushes++;
}

/* Takes all blocks out of the tables. */
static void forget_all(struct soft_cpu *cpu)
{
	clear_tables(cpu->blocks);
	memset(cpu->jumps, 0, sizeof(cpu->jumps));
	cpu->blocks->reset = true;
	cpu->stats.cache_flushes++;
}

void block_drop_all(struct soft_cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;
	uint64_t start = clock_thread_ns();

	/* Only one that is running must find out that it is gone. */
	for (unsigned i = 0; i < cache->buckets && cpu->tier != TIER_LOOP; i++)
		for (struct block *b = cache->hash[i]; b; b = b->hash_next)
			kill(b);
	forget_all(cpu);
	note_flush(cpu, start);
}

static bool has_room(const struct soft_cpu *cpu)
{
	const struct block_cache *cache = cpu->blocks;

	return cache->size - cache->used >= BLOCK_BYTES_MAX &&
	       native_has_room(cpu->native, BLOCK_INSNS + 1) &&
	       (!cpu->jit || jit_within_limit(cpu->jit));
}

static void empty_arena(struct soft_cpu *cpu)
{
	if (!native_has_room(cpu->native, BLOCK_INSNS + 1)) {
		native_flush(cpu->native);
		if (cpu->jit)
			jit_forget_thunks(cpu);
	}
	if (!cpu->blocks->own)
		cpu->blocks->arena = jit_spare(cpu->jit, &cpu->blocks->size);
	cpu->blocks->used = 0;
}

/* What is translated stays. */
static void forget_decoded(struct soft_cpu *cpu)
{
	uint64_t start = clock_thread_ns();

	clear_tables(cpu->blocks);
	jit_forget_decoded(cpu);
	empty_arena(cpu);
	cpu->stats.decoded_flushes++;
	note_flush(cpu, start);
}

static void start_anew(struct soft_cpu *cpu)
{
	uint64_t start = clock_thread_ns();

	if (!cpu->blocks->reset)
		forget_all(cpu);
	empty_arena(cpu);
	cpu->blocks->reset = false;
	note_flush(cpu, start);
}

bool block_renew(struct soft_cpu *cpu)
{
	if (!cpu->jit || !jit_renew(cpu))
		return false;
	/* Even if nothing was decoded since all was dropped, jumps have been entered that lead to the code of before. */
	cpu->blocks->reset = false;
	start_anew(cpu);
	return true;
}

/*
 * The present block has been left, so that nothing is running that would have to find out that it is
 * gone: this takes no longer than clearing the tables.
 */
static void make_room(struct soft_cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;
	bool room = has_room(cpu);

	/* Where decoded blocks have memory of their own, they and what is made of them go together. */
	if (cpu->jit && (jit_is_full(cpu->jit) || (!room && cache->own)))
		jit_empty(cpu);
	if (block_renew(cpu) || (room && !cache->reset))
		return;
	if (cache->reset || cache->own)
		start_anew(cpu);
	else
		forget_decoded(cpu);
}

/* Room for one more block. */
static struct block *arena_top(struct soft_cpu *cpu)
{
	struct block_cache *cache = cpu->blocks;

	make_room(cpu);
	return (struct block *)(cache->arena + cache->used);
}

/* Where the next instruction's bytes come from, while a block is being built. */
struct source {
	const uint8_t *host; /* the block's start */
	unsigned offset;     /* of the next instruction */
	unsigned rest;       /* bytes from the block's start to its page's end */
	unsigned claimed;    /* bytes from the block's start that are marked as code */
};

static void claim(struct soft_cpu *cpu, struct source *s)
{
	unsigned end = MIN(s->offset + INSN_BYTES_MAX, s->rest);

	if (s->claimed < end) {
		unsigned page_offset = (uintptr_t)s->host & PAGE_MASK;
		unsigned first = (page_offset + s->claimed) / LINE_BYTES;
		unsigned last = (page_offset + end - 1) / LINE_BYTES;

		code_claim(cpu, page_of(s->host), bits_mask(last - first + 1) << first);
		s->claimed = (last + 1) * LINE_BYTES - page_offset;
	}
}

static unsigned insn_limit(const struct soft_cpu *cpu)
{
	return cpu->mode & MODE_SINGLE ? 1 : BLOCK_INSNS;
}

/* Enters a block into the tables, which has `links` behind its insns. */
static void enter(struct block_cache *cache, struct block *b, unsigned links)
{
	struct block **bucket = bucket_of(cache, b->host, b->mode);

	cache->used += sizeof(*b) + b->count * sizeof(struct insn) + links * sizeof(struct link);
	cache->used = (cache->used + 7) & ~(size_t)7;
	b->hash_next = *bucket;
	*bucket = b;
	list_in_page(cache, b, 0, page_of(b->host));
	if (b->second)
		list_in_page(cache, b, 1, b->second);
}

/* Gives the last instructions their links, behind the insns, and closes the block. */
static void finish(struct soft_cpu *cpu, struct block *b, unsigned guest_insns, unsigned links)
{
	struct insn *last = &b->insns[b->count - 1];
	struct link *link = (struct link *)&b->insns[b->count];

	if (links) {
		memset(link, 0, links * sizeof(*link));
		last->aux = link;
	}
	last->op = (uint8_t)guest_insns;
	enter(cpu->blocks, b, links);
	cpu->stats.blocks++;
	jit_watch(cpu, b);
}

static void append_continue(struct block *b, unsigned offset)
{
	b->insns[b->count++] = (struct insn){ .exec = op_continue, .offset = (uint16_t)offset };
}

static uint64_t fetch_linear(const struct soft_cpu *cpu)
{
	return cpu_code64(cpu) ? cpu->rip
			       : (uint32_t)(cpu->segments[SEG_CS].base + (uint32_t)cpu->rip);
}

/* Whether requests of others that claim() answered made what was decoded so far stale. */
static bool must_redo(const struct soft_cpu *cpu, uint64_t served)
{
	return cpu->blocks->reset || atomic_load(&cpu->acknowledged) != served;
}

/* In front of an instruction at which a breakpoint may stand. */
static void append_breakpoint(struct soft_cpu *cpu, struct block *b)
{
	if (unlikely(debugger_cuts(cpu, (uintptr_t)b->host & PAGE_MASK)))
		b->insns[b->count++] = (struct insn){ .exec = op_breakpoint };
}

/* A block of the one instruction that begins in this page and ends in the next. */
static struct block *decode_crossing(struct soft_cpu *cpu, const uint8_t *host, unsigned rest)
{
	uint64_t linear = fetch_linear(cpu);
	const uint8_t *second = fetch_host(cpu, linear + rest);
	uint64_t served = atomic_load(&cpu->acknowledged);
	uint8_t bytes[INSN_BYTES_MAX];
	unsigned links = 0;
	enum decode_result result;
	struct insn *insn;
	struct block *b;

	if (!second)
		return NULL;
	code_claim(cpu, page_of(host), BIT(63));
	code_claim(cpu, second, BIT(0));
	memcpy(bytes, host, rest);
	memcpy(bytes + rest, second, sizeof(bytes) - rest);
	b = arena_top(cpu);
	*b = (struct block){ .host = host, .second = second, .mode = cpu->mode };
	append_breakpoint(cpu, b);
	b->insns[b->count++] = (struct insn){ .exec = op_check_second, .aux = b };
	insn = &b->insns[b->count++];
	*insn = (struct insn){ .offset = 0 };
	result = decode_insn(cpu, bytes, sizeof(bytes), insn, &links);
	if (must_redo(cpu, served))
		return decode_crossing(cpu, host, rest);
	b->bytes = insn->length;
	if (result != DECODE_LAST) {
		append_continue(b, b->bytes);
		links = 1;
	}
	finish(cpu, b, 1, links);
	return b;
}

static struct block *decode_block(struct soft_cpu *cpu, const uint8_t *host)
{
	struct source s = { .host = host,
			    .rest = (unsigned)(PAGE_SIZE - ((uintptr_t)host & PAGE_MASK)) };
	enum decode_result result = DECODE_OK;
	uint64_t served = atomic_load(&cpu->acknowledged);
	unsigned links = 0, limit;
	struct block *b;

	claim(cpu, &s);
	b = arena_top(cpu);
	*b = (struct block){ .host = host, .mode = cpu->mode };
	append_breakpoint(cpu, b);
	limit = b->count + insn_limit(cpu);
	while (b->count < limit) {
		uint8_t bytes[INSN_BYTES_MAX] = { 0 };
		unsigned count = MIN((unsigned)sizeof(bytes), s.rest - s.offset);

		claim(cpu, &s);
		memcpy(bytes, host + s.offset, count);
		b->insns[b->count] = (struct insn){ .offset = (uint16_t)s.offset };
		result = decode_insn(cpu, bytes, count, &b->insns[b->count], &links);
		if (result == DECODE_MORE)
			break;
		s.offset += b->insns[b->count].length;
		b->count++;
		if (result == DECODE_LAST || s.offset == s.rest ||
		    unlikely(debugger_cuts(cpu, (uintptr_t)(host + s.offset) & PAGE_MASK)))
			break;
	}
	if (!s.offset)
		return decode_crossing(cpu, host, s.rest);
	if (must_redo(cpu, served))
		return decode_block(cpu, host);
	b->bytes = s.offset;
	links = result == DECODE_LAST ? links : 1;
	if (result != DECODE_LAST)
		append_continue(b, s.offset);
	finish(cpu, b, b->count, links);
	return b;
}

/* 16 and 32-bit code: whether the block lies within the code segment. */
static bool within_limit(const struct soft_cpu *cpu, unsigned bytes)
{
	return cpu_code64(cpu) ||
	       (uint32_t)cpu->rip + (uint64_t)bytes - 1 <= cpu->segments[SEG_CS].limit;
}

/* Where the bytes at rip are. Code in device memory is what the bus gives for nothing: all ones, which
 * is undefined. */
static const uint8_t *fetch_here(struct soft_cpu *cpu)
{
	const uint8_t *host = fetch_host(cpu, fetch_linear(cpu));

	if (!host)
		raise_fault(cpu, NULL, EXCEPTION_UD);
	return host;
}

static struct block *look_up_or_decode(struct soft_cpu *cpu, const uint8_t *host)
{
	struct block *b = block_lookup(cpu, host, cpu->mode);

	if (!b) {
		enum tier before = tier_change(cpu, TIER_DECODING);

		b = decode_block(cpu, host);
		tier_change(cpu, before);
	}
	if (!b)
		raise_fault(cpu, NULL, EXCEPTION_UD);
	return b;
}

struct block *block_decoded(struct soft_cpu *cpu)
{
	struct block *b = look_up_or_decode(cpu, fetch_here(cpu));

	return within_limit(cpu, b->bytes) ? b : NULL;
}

const struct insn *block_find(struct soft_cpu *cpu)
{
	const uint8_t *host = fetch_here(cpu);
	struct block *b;

	if (cpu->jit && !cpu->verify) {
		const void *code = jit_code_at(cpu, host);

		if (code)
			return gate_to(cpu, code);
	}
	b = look_up_or_decode(cpu, host);
	if (unlikely(!within_limit(cpu, b->bytes))) {
		/* Instruction by instruction up to the one that leaves the segment. */
		if (cpu->mode & MODE_SINGLE)
			raise_error(cpu, NULL, EXCEPTION_GP, 0);
		cpu->mode |= MODE_SINGLE;
		atomic_fetch_or(&cpu->attention, ATTENTION_SINGLE);
		return block_find(cpu);
	}
	return b->insns;
}

struct block *block_here(struct soft_cpu *cpu)
{
	const uint8_t *host = fetch_host(cpu, fetch_linear(cpu));
	struct block *b = host ? block_lookup(cpu, host, cpu->mode) : NULL;

	return b && within_limit(cpu, b->bytes) ? b : NULL;
}

const struct insn *link_resolve(struct soft_cpu *cpu, struct link *link)
{
	uint64_t flushes = cpu->blocks->flushes;
	uint8_t mode = cpu->mode;
	const struct insn *target = block_find(cpu);

	/* The link itself is gone if everything was dropped meanwhile. */
	if (flushes == cpu->blocks->flushes && mode == cpu->mode && target != &cpu->gate)
		*link = (struct link){ target, cpu->rip, fetch_host(cpu, fetch_linear(cpu)) };
	return target;
}

const struct insn *jump_resolve(struct soft_cpu *cpu)
{
	const struct insn *target = block_find(cpu);
	const void *code = cpu->gate_code;

	if (target != &cpu->gate)
		code = cpu->jit ? jit_code_of(cpu, block_of(target)) : NULL;
	*jump_slot(cpu, cpu->rip) =
		(struct jump_entry){ .rip = cpu->rip,
				     .key = cpu->link_key[link_note(cpu, cpu->rip)],
				     .target = target,
				     .code = code };
	return target;
}

/* The end of a block that is not a branch. */
const struct insn *op_continue(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t rip = cpu->rip + insn->offset;

	return leave_by_link(cpu, insn, 0, cpu_code64(cpu) ? rip : (uint32_t)rip);
}

/* At the start of a block that may begin at a breakpoint. */
const struct insn *op_breakpoint(struct soft_cpu *cpu, const struct insn *insn)
{
	if (cpu->debugger && debugger_breaks(cpu))
		return NULL;
	return NEXT(cpu, insn);
}

/* In place of each instruction of a dropped block. */
const struct insn *op_resync(struct soft_cpu *cpu, const struct insn *insn)
{
	cpu->rip += insn->offset;
	if (!cpu_code64(cpu))
		cpu->rip = (uint32_t)cpu->rip;
	return NULL;
}

bool block_has_second(struct soft_cpu *cpu, const uint8_t *second)
{
	return fetch_host(cpu, (fetch_linear(cpu) | PAGE_MASK) + 1) == second;
}

/* At the start of a block that reaches into a second page: is it still there? */
const struct insn *op_check_second(struct soft_cpu *cpu, const struct insn *insn)
{
	struct block *b = (struct block *)(uintptr_t)insn->aux;

	if (block_has_second(cpu, b->second))
		return NEXT(cpu, insn);
	kill(b);
	return block_find(cpu);
}
