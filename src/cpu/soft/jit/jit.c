/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code cache, and when a block gets translated.
 *
 * The cache is one memory mapped twice, writable and executable, never both. It only grows; when it
 * is full all blocks are dropped and it starts anew. Code that runs is never overwritten, but for
 * single jumps: what drops blocks leaves their code where it is, and both places that start anew are
 * reached only from outside translated code.
 */
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
#include "base/cleanup.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/jit/verify_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "cpu/soft/tier_priv.h"
#include "host/fd.h"

/* Room for the largest block, and new room for stubs. */
#define CODE_PER_BLOCK (CALL_CODE_MAX + (UINT64_C(64) << 10))

/* A block has more code than that, so that its tables are never full before the cache is. */
#define CODE_PER_TRANSLATION 256u

/* Each part of the blocks cools down once in so many times that the decoded ones are forgotten. */
#define COOLING 32u

/* So many times decoding a block is as dear as entering it until it is hot. */
#define DECODING_SHARE 2

#define SIGNAL_STACK_BYTES (UINT64_C(64) << 10)

#define HWCAP2_HAS_FSGSBASE (1u << 1)

#ifndef SS_AUTODISARM /* of linux/signal.h, which does not go with signal.h */
#define SS_AUTODISARM (1u << 31)
#endif

static int map_code(struct jit *jit)
{
	AUTO_CLOSE int fd = memfd_create("cella-code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)jit->size) < 0)
		return -errno;
	jit->write = mmap(NULL, jit->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (jit->write == MAP_FAILED)
		return -errno;
	jit->run = mmap(NULL, jit->size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	if (jit->run == MAP_FAILED)
		return -errno;
	jit->signal_stack = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return jit->signal_stack == MAP_FAILED ? -errno : 0;
}

static uint32_t round_down_to_power(uint64_t value)
{
	return UINT32_C(1) << (63 - __builtin_clzll(value));
}

static void init_vectors(struct jit *jit, struct soft_cpu *cpu)
{
	jit->vectors = native_host(cpu->native)->mask;
	cpu->vector_mask = native_host(cpu->native)->mask & (XCR0_SSE | XCR0_AVX);
	cpu->host_mxcsr = __builtin_ia32_stmxcsr();
}

int jit_new(struct jit **ret_jit, struct soft_cpu *cpu, uint64_t code_bytes)
{
	struct jit *jit = calloc(1, sizeof(*jit));
	int rc;

	if (!jit)
		return -ENOMEM;
	jit->size = MAX(code_bytes, JIT_CODE_BYTES_MIN);
	jit->write = jit->run = jit->signal_stack = MAP_FAILED;
	jit->translator = malloc(sizeof(*jit->translator));
	jit->trace = malloc(TRACE_BYTES);
	rc = jit->translator && jit->trace ? map_code(jit) : -ENOMEM;
	if (!rc)
		rc = translations_new(jit,
				      MIN(round_down_to_power(jit->size / CODE_PER_TRANSLATION),
					  CALL_TRANSLATIONS));
	if (!rc)
		rc = singles_new(jit);
	if (!rc && cpu->engine->options.verify)
		rc = verify_new(&cpu->verify);
	if (rc) {
		jit_free(jit);
		return rc;
	}
	init_vectors(jit, cpu);
	common_emit(jit, cpu);
	jit->used = jit->common.end;
	cpu->self = cpu;
	cpu->gate = (struct insn){ .exec = (insn_exec *)jit->common.gate };
	*ret_jit = jit;
	return 0;
}

static void unmap(void *memory, uint64_t bytes)
{
	if (memory != MAP_FAILED)
		munmap(memory, bytes);
}

void jit_free(struct jit *jit)
{
	if (!jit)
		return;
	unmap(jit->write, jit->size);
	unmap(jit->run, jit->size);
	translations_free(jit);
	singles_free(jit);
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
}

void jit_thread_end(struct soft_cpu *cpu)
{
	check(!sigaltstack(&cpu->jit->thread_stack, NULL));
}

void jit_forget(struct soft_cpu *cpu)
{
	translations_forget(cpu->jit);
	singles_forget(cpu->jit);
	memset(cpu->jumps, 0, sizeof(cpu->jumps));
	memset(cpu->jit->samples, 0, sizeof(cpu->jit->samples));
	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_TRACE);
}

void jit_reset(struct soft_cpu *cpu)
{
	struct jit *jit = cpu->jit;

	jit_forget(cpu);
	memset(jit->unshared, 0, sizeof(jit->unshared));
	jit->used = jit->common.end;
	jit->stub_room = (struct stub_room){ 0 };
	jit->count = 1;
	jit->stats.guest_bytes = jit->stats.metadata_bytes = 0;
	jit->stats.resets++;
}

/* A part of the blocks: code that runs once in a while is not to be translated in the end. */
static void cool(struct jit *jit)
{
	for (unsigned i = 0; i < HEATS / COOLING; i++, jit->cooled++)
		jit->heat[jit->cooled % HEATS] /= 2;
}

void jit_forget_thunks(struct soft_cpu *cpu)
{
	singles_forget(cpu->jit);
}

void jit_forget_decoded(struct soft_cpu *cpu)
{
	struct jit *jit = cpu->jit;

	for (unsigned i = 0; i < JUMP_ENTRIES; i++) {
		if (cpu->jumps[i].target != &cpu->gate)
			cpu->jumps[i] = (struct jump_entry){ 0 };
	}
	cool(jit);
}

bool jit_is_full(const struct jit *jit)
{
	return jit->size - jit->used < CODE_PER_BLOCK || translations_are_full(jit);
}

bool jit_has_room(const struct jit *jit)
{
	return !jit_is_full(jit) && translations_have_room(jit);
}

const void *jit_code_of(const struct soft_cpu *cpu, const struct block *block)
{
	return block->body ? block->body : (const void *)(uintptr_t)cpu->jit->common.no_body;
}

static json_t *figure(const uint64_t *value)
{
	return json_integer((json_int_t)__atomic_load_n(value, __ATOMIC_RELAXED));
}

json_t *jit_stats(const struct soft_cpu *cpu)
{
	const struct jit *jit = cpu->jit;
	const struct {
		const char *name;
		const uint64_t *value;
	} figures[] = {
		{ "blocks", &jit->stats.blocks },
		{ "traces", &jit->stats.traces },
		{ "code_bytes", &jit->used },
		{ "cache_bytes", &jit->size },
		{ "guest_bytes", &jit->stats.guest_bytes },
		{ "metadata_bytes", &jit->stats.metadata_bytes },
		{ "resets", &jit->stats.resets },
		{ "drops", &jit->stats.drops },
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

uint64_t jit_memory(const struct jit *jit)
{
	return sizeof(*jit) + sizeof(*jit->translator) + TRACE_BYTES + translations_memory(jit) +
	       singles_memory() + SIGNAL_STACK_BYTES;
}

/* If there is room; if not, the next block that is decoded starts everything anew. */
static bool translate(struct soft_cpu *cpu, struct block *block)
{
	enum tier before = tier_change(cpu, TIER_TRANSLATION);
	bool done = jit_has_room(cpu->jit) && jit_translate(cpu, block);

	tier_change(cpu, before);
	return done;
}

static uint16_t *heat_of(struct jit *jit, const uint8_t *host, uint8_t mode)
{
	return &jit->heat[block_hash(host, mode) % HEATS];
}

/* Counts an entry of a block that is not translated; whether it should be. */
static bool becomes_hot(struct soft_cpu *cpu, const struct block *block)
{
	uint16_t *heat = heat_of(cpu->jit, block->host, block->mode);

	if (*heat + 1u < cpu->engine->options.heat) {
		++*heat;
		return false;
	}
	*heat = 0;
	return true;
}

/* In place of a block's first handler, until the block is translated. */
static const struct insn *op_heat(struct soft_cpu *cpu, const struct insn *insn)
{
	struct block *block = block_of(insn);

	if (unlikely(cpu->verify) && verify_runs(cpu))
		return NULL;
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
	uint16_t *heat = heat_of(cpu->jit, block->host, block->mode);
	unsigned hot = cpu->engine->options.heat, sum = *heat + hot / DECODING_SHARE;

	if (*heat)
		*heat = (uint16_t)MIN(sum, hot - 1);
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
	const struct translation *t = translation_find(cpu->jit, host, cpu->mode);

	return t ? translation_code(cpu->jit, t) : NULL;
}

void jit_drop_page(struct soft_cpu *cpu, const uint8_t *page)
{
	translations_drop_page(cpu->jit, page);
}

static unsigned unshared_bit(const uint8_t *host, uint8_t mode)
{
	return block_hash(host, mode) % UNSHARED;
}

bool jit_is_unshared(const struct jit *jit, const uint8_t *host, uint8_t mode)
{
	unsigned bit = unshared_bit(host, mode);

	return jit->unshared[bit / 64] >> bit % 64 & 1;
}

void jit_unshare(struct soft_cpu *cpu, struct translation *t)
{
	const uint8_t *host = translation_host(t);
	uint8_t mode = translation_mode(t);
	unsigned bit = unshared_bit(host, mode);

	cpu->jit->unshared[bit / 64] |= UINT64_C(1) << bit % 64;
	*heat_of(cpu->jit, host, mode) = cpu->engine->options.heat - 1;
	cpu->jit->stats.replaced++;
	translation_drop(cpu->jit, t);
	block_drop(cpu, host, mode);
}
