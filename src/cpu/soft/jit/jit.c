/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a vCPU has of the translator, and when a block gets translated. */
#include "cpu/soft/jit/jit_priv.h"

#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/jit/verify_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "cpu/soft/tier_priv.h"

/* Beside all translations, for decoded blocks, at least. */
#define SPARE_BYTES (UINT64_C(3) << 20)

/* For how many more translations there is room when decoded blocks get the rest. */
#define GROWTH UINT32_C(32768)

/* Each part of the blocks cools down once in so many times that the decoded ones are forgotten. */
#define COOLING 32u

/* So many times decoding a block is as dear as entering it until it is hot. */
#define DECODING_SHARE 2

#define SIGNAL_STACK_BYTES (UINT64_C(64) << 10)

#define HWCAP2_HAS_FSGSBASE (1u << 1)

#ifndef SS_AUTODISARM /* of linux/signal.h, which does not go with signal.h */
#define SS_AUTODISARM (1u << 31)
#endif

static uint64_t decoded_max(const struct code_cache *cache)
{
	return MAX(cache->capacity * sizeof(*cache->translations) + SPARE_BYTES,
		   BLOCK_CACHE_SHARED);
}

static void *map(uint64_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void unmap(void *memory, uint64_t bytes)
{
	if (memory != MAP_FAILED)
		munmap(memory, bytes);
}

int jit_new(struct jit **ret_jit, struct soft_cpu *cpu)
{
	struct jit *jit = calloc(1, sizeof(*jit));
	int rc;

	if (!jit)
		return -ENOMEM;
	jit->cache = cpu->engine->code;
	jit->generation = jit->cache->generation;
	jit->parked = true;
	jit->limit = jit->cache->capacity;
	jit->decoded = map(decoded_max(jit->cache));
	jit->signal_stack = map(SIGNAL_STACK_BYTES);
	jit->translator = malloc(sizeof(*jit->translator));
	jit->trace = malloc(TRACE_BYTES);
	rc = singles_new(jit);
	if (!jit->translator || !jit->trace || jit->decoded == MAP_FAILED ||
	    jit->signal_stack == MAP_FAILED)
		rc = -ENOMEM;
	if (!rc && cpu->engine->options.verify)
		rc = verify_new(&cpu->verify);
	if (rc) {
		jit_free(jit);
		return rc;
	}
	native_update_mask(cpu);
	cpu->host_mxcsr = __builtin_ia32_stmxcsr();
	cpu->self = cpu;
	cpu->gate = (struct insn){ .exec = (insn_exec *)jit->cache->common.gate };
	*ret_jit = jit;
	return 0;
}

void jit_free(struct jit *jit)
{
	if (!jit)
		return;
	singles_free(jit);
	unmap(jit->decoded, decoded_max(jit->cache));
	unmap(jit->signal_stack, SIGNAL_STACK_BYTES);
	free(jit->translator);
	free(jit->trace);
	free(jit);
}

void jit_thread_begin(struct soft_cpu *cpu)
{
	struct jit *jit = cpu->jit;
	/* The kernel must not believe that the guest's RSP is a place on this stack already. */
	const stack_t stack = { .ss_sp = jit->signal_stack,
				.ss_flags = (int)SS_AUTODISARM,
				.ss_size = SIGNAL_STACK_BYTES };

	if (getauxval(AT_HWCAP2) & HWCAP2_HAS_FSGSBASE)
		__asm__ volatile("wrgsbase %0" : : "r"(cpu->tlb));
	else
		check(!syscall(SYS_arch_prctl, ARCH_SET_GS, cpu->tlb));
	check(!sigaltstack(&stack, &jit->thread_stack));
	jit_unpark(cpu);
}

void jit_thread_end(struct soft_cpu *cpu)
{
	jit_park(cpu->jit);
	check(!sigaltstack(&cpu->jit->thread_stack, NULL));
}

/* When it is full, everything begins anew: from here on, only what is hot by itself gets in. */
static bool is_nearly_full(const struct code_cache *cache)
{
	return __atomic_load_n(&cache->used, __ATOMIC_RELAXED) > cache->size / 4 * 3;
}

static uint16_t heat_get(const uint16_t *heat)
{
	return __atomic_load_n(heat, __ATOMIC_RELAXED);
}

static void heat_set(uint16_t *heat, unsigned value)
{
	__atomic_store_n(heat, (uint16_t)value, __ATOMIC_RELAXED);
}

/* A part of the blocks, or all: code that runs once in a while is not to be translated in the end. */
static void cool(struct code_cache *cache)
{
	unsigned count = is_nearly_full(cache) ? HEATS : HEATS / COOLING;
	uint32_t first = __atomic_fetch_add(&cache->cooled, count, __ATOMIC_RELAXED);

	for (unsigned i = 0; i < count; i++) {
		uint16_t *heat = &cache->heat[(first + i) % HEATS];

		heat_set(heat, heat_get(heat) / 2u);
	}
}

void jit_forget_thunks(struct soft_cpu *cpu)
{
	singles_forget(cpu->jit);
}

void jit_forget_decoded(struct soft_cpu *cpu)
{
	for (unsigned i = 0; i < JUMP_ENTRIES; i++) {
		if (cpu->jumps[i].target != &cpu->gate)
			cpu->jumps[i] = (struct jump_entry){ 0 };
	}
	cool(cpu->jit->cache);
}

void *jit_spare(struct jit *jit, size_t *ret_bytes)
{
	const struct code_cache *cache = jit->cache;
	uint32_t count = __atomic_load_n(&cache->count, __ATOMIC_RELAXED);
	size_t before = jit->decoded_size;

	jit->limit = MIN(cache->capacity, count + GROWTH);
	jit->decoded_size = round_down(
		decoded_max(cache) - jit->limit * sizeof(*cache->translations), PAGE_SIZE);
	if (jit->decoded_size < before)
		madvise((uint8_t *)jit->decoded + jit->decoded_size, before - jit->decoded_size,
			MADV_DONTNEED);
	*ret_bytes = jit->decoded_size;
	return jit->decoded;
}

bool jit_within_limit(const struct jit *jit)
{
	uint32_t count = __atomic_load_n(&jit->cache->count, __ATOMIC_RELAXED);

	return jit->limit == jit->cache->capacity || count + 2 <= jit->limit;
}

const void *jit_code_of(const struct soft_cpu *cpu, const struct block *block)
{
	return block->body ? block->body : (const void *)(uintptr_t)cpu->jit->cache->common.no_body;
}

static json_t *figure(const uint64_t *value)
{
	return json_integer((json_int_t)__atomic_load_n(value, __ATOMIC_RELAXED));
}

json_t *jit_stats(const struct soft_cpu *cpu)
{
	const struct jit *jit = cpu->jit;
	const struct code_cache *cache = jit->cache;
	const struct {
		const char *name;
		const uint64_t *value;
	} figures[] = {
		{ "blocks", &jit->stats.blocks },
		{ "traces", &jit->stats.traces },
		{ "code_bytes", &cache->used },
		{ "cache_bytes", &cache->size },
		{ "guest_bytes", &cache->stats.guest_bytes },
		{ "metadata_bytes", &cache->stats.metadata_bytes },
		{ "resets", &cache->stats.resets },
		{ "drops", &cache->stats.drops },
		{ "replaced", &jit->stats.replaced },
		{ "links", &jit->stats.links },
		{ "link_epochs", &cpu->link_epoch },
		{ "jumps", &jit->stats.jumps },
		{ "entries", &cpu->translated_runs },
		{ "leaves", &jit->stats.leaves },
		{ "vector_loads", &cpu->vector_loads },
		{ "slow_misses", &jit->stats.misses },
		{ "slow_handlers", &jit->stats.handlers },
		{ "decoded_again", &jit->stats.singles },
	};
	json_t *all = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_set_new(all, figures[i].name, figure(figures[i].value));
	if (cpu->verify)
		verify_stats(cpu->verify, all);
	return all;
}

/* Decoded blocks get what the tables of translations do not take. */
uint64_t jit_memory(const struct jit *jit)
{
	uint64_t tables = jit->cache->capacity * sizeof(*jit->cache->translations);

	return sizeof(*jit) + sizeof(*jit->translator) + TRACE_BYTES +
	       code_cache_ways(jit->cache) * sizeof(uint64_t) + code_cache_memory(jit->cache) +
	       decoded_max(jit->cache) - tables + singles_memory() + SIGNAL_STACK_BYTES;
}

/* If there is room; if not, the next block that is decoded starts everything anew. */
static bool translate(struct soft_cpu *cpu, struct block *block)
{
	enum tier before = tier_change(cpu, TIER_TRANSLATION);
	bool done = jit_has_room(cpu->jit) && jit_translate(cpu, block);

	tier_change(cpu, before);
	return done;
}

static uint16_t *heat_of(struct code_cache *cache, const uint8_t *host, uint8_t mode)
{
	return &cache->heat[block_hash(host, mode) % HEATS];
}

/* Counts an entry of a block that is not translated; whether it should be. */
static bool becomes_hot(struct soft_cpu *cpu, const struct block *block)
{
	uint16_t *heat = heat_of(cpu->jit->cache, block->host, block->mode);
	unsigned entries = heat_get(heat) + 1u;
	bool hot = entries >= cpu->engine->options.heat;

	heat_set(heat, hot ? 0 : entries);
	return hot;
}

/* In place of a block's first handler, until the block is translated. */
static const struct insn *op_heat(struct soft_cpu *cpu, const struct insn *insn)
{
	struct block *block = block_of(insn);

	if (unlikely(cpu->verify) && verify_runs(cpu))
		return NULL;
	if (jit_lead(cpu, block))
		return ENTER(cpu, insn);
	if (!becomes_hot(cpu, block))
		return block->first(cpu, insn);
	if (!translate(cpu, block))
		return block->dead ? NULL : block->first(cpu, insn);
	if (unlikely(!cpu->engine->options.trace) && !cpu->verify && trace_count(cpu, block->host))
		return NULL;
	return ENTER(cpu, insn);
}

/* Of a block that has been entered before, and decoded: that is as dear as running it many times. */
static void reheat(struct soft_cpu *cpu, const struct block *block)
{
	uint16_t *heat = heat_of(cpu->jit->cache, block->host, block->mode);
	unsigned before = heat_get(heat), hot = cpu->engine->options.heat;

	if (before && !is_nearly_full(cpu->jit->cache))
		heat_set(heat, MIN(before + hot / DECODING_SHARE, hot - 1u));
}

void jit_watch(struct soft_cpu *cpu, struct block *block)
{
	if (!cpu->jit || !mode_is_translated(block->mode))
		return;
	block->first = block->insns[0].exec;
	block->insns[0].exec = op_heat;
	reheat(cpu, block);
}

const void *jit_code_at(const struct soft_cpu *cpu, const uint8_t *host)
{
	const struct code_cache *cache = cpu->jit->cache;
	const struct translation *t = translation_find(cache, host, cpu->mode);

	return t ? translation_code(cache, t) : NULL;
}

void code_cache_drop_page(struct code_cache *cache, const uint8_t *page)
{
	CACHE_LOCK_SCOPE(cache);

	translations_drop_page(cache, page);
}

static unsigned unshared_bit(const uint8_t *host, uint8_t mode)
{
	return block_hash(host, mode) % UNSHARED;
}

bool jit_is_unshared(const struct code_cache *cache, const uint8_t *host, uint8_t mode)
{
	unsigned bit = unshared_bit(host, mode);

	return __atomic_load_n(&cache->unshared[bit / 64], __ATOMIC_RELAXED) >> bit % 64 & 1;
}

void jit_drop(struct soft_cpu *cpu, struct translation *t)
{
	CACHE_LOCK_SCOPE(cpu->jit->cache);

	if (translation_may_go_on(cpu->jit, t))
		translation_drop(cpu->jit->cache, t);
}

void jit_unshare(struct soft_cpu *cpu, struct translation *t)
{
	struct code_cache *cache = cpu->jit->cache;
	const uint8_t *host = translation_host(t);
	uint8_t mode = translation_mode(t);
	unsigned bit = unshared_bit(host, mode);

	__atomic_fetch_or(&cache->unshared[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_RELAXED);
	heat_set(heat_of(cache, host, mode), cpu->engine->options.heat - 1u);
	cpu->jit->stats.replaced++;
	jit_drop(cpu, t);
	block_drop(cpu, host, mode);
}
