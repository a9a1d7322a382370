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

/* Room for the largest block. */
#define CODE_PER_BLOCK  (48u << 10)
#define EXITS_PER_BLOCK 2
#define CALLS_PER_BLOCK (UINT8_MAX + 1u)

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
	jit->exits = mmap(NULL, JIT_EXITS_MAX * sizeof(struct exit), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (jit->exits == MAP_FAILED)
		return -errno;
	jit->calls = mmap(NULL, JIT_CALLS_MAX * sizeof(struct call), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (jit->calls == MAP_FAILED)
		return -errno;
	jit->signal_stack = mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return jit->signal_stack == MAP_FAILED ? -errno : 0;
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
	jit->exits = MAP_FAILED;
	jit->calls = MAP_FAILED;
	jit->translator = malloc(sizeof(*jit->translator));
	rc = jit->translator ? map_code(jit) : -ENOMEM;
	if (!rc && cpu->engine->options.verify)
		rc = verify_new(&cpu->verify);
	if (rc) {
		jit_free(jit);
		return rc;
	}
	init_vectors(jit, cpu);
	common_emit(jit, cpu);
	jit->used = jit->common.end;
	jit->alone[1].exec = jit_stop;
	cpu->self = cpu;
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
	unmap(jit->exits, JIT_EXITS_MAX * sizeof(struct exit));
	unmap(jit->calls, JIT_CALLS_MAX * sizeof(struct call));
	unmap(jit->signal_stack, SIGNAL_STACK_BYTES);
	free(jit->translator);
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

void jit_reset(struct jit *jit)
{
	jit->used = jit->common.end;
	jit->exits_used = jit->calls_used = 0;
	jit->generation++;
	jit->stats.resets++;
}

bool jit_has_room(const struct jit *jit)
{
	return jit->size - jit->used >= CODE_PER_BLOCK &&
	       JIT_EXITS_MAX - jit->exits_used >= EXITS_PER_BLOCK &&
	       JIT_CALLS_MAX - jit->calls_used >= CALLS_PER_BLOCK;
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
		{ "code_bytes", &jit->used },
		{ "cache_bytes", &jit->size },
		{ "resets", &jit->stats.resets },
		{ "drops", &jit->stats.drops },
		{ "replaced", &jit->stats.replaced },
		{ "links", &jit->stats.links },
		{ "link_epochs", &cpu->link_epoch },
		{ "jumps", &jit->stats.jumps },
		{ "entries", &cpu->translated_runs },
		{ "leaves", &jit->stats.leaves },
		{ "vector_loads", &cpu->vector_loads },
		{ "slow_misses", &jit->stats.slow[SLOW_MISS] },
		{ "slow_handlers", &jit->stats.slow[SLOW_HANDLER] },
	};
	json_t *all = json_object();

	for (unsigned i = 0; i < ARRAY_SIZE(figures); i++)
		json_object_set_new(all, figures[i].name, figure(figures[i].value));
	if (cpu->verify)
		verify_stats(cpu->verify, all);
	return all;
}

/* If there is room; if not, the next block that is decoded starts everything anew. */
static bool translate(struct soft_cpu *cpu, struct block *block)
{
	enum tier before = tier_change(cpu, TIER_TRANSLATION);
	bool done = jit_has_room(cpu->jit) && jit_translate(cpu, cpu->jit, block);

	tier_change(cpu, before);
	return done;
}

/* In place of a block's first handler, until the block is translated. */
static const struct insn *op_heat(struct soft_cpu *cpu, const struct insn *insn)
{
	struct block *block = block_of(insn);

	if (unlikely(cpu->verify) && verify_runs(cpu))
		return NULL;
	if (++block->heat < cpu->engine->options.heat)
		return block->first(cpu, insn);
	block->heat = 0;
	if (!translate(cpu, block))
		return block->dead ? NULL : block->first(cpu, insn);
	return ENTER(cpu, insn);
}

void jit_watch(struct soft_cpu *cpu, struct block *block)
{
	if (!cpu->jit || !mode_is_translated(block->mode))
		return;
	block->first = block->insns[0].exec;
	block->insns[0].exec = op_heat;
}

/* What still leads to the code of a block (jump entries) is led to `to`. */
static void divert(const struct jit *jit, const uint8_t *body, const uint8_t *to)
{
	uint8_t *at = jit->write + (body - jit->run);
	int32_t distance = (int32_t)(to - (body + 5));

	at[0] = 0xe9; /* jmp */
	memcpy(at + 1, &distance, sizeof(distance));
}

static void part_all(struct block *block)
{
	while (block->incoming)
		exit_part(block->incoming);
}

void jit_drop(struct soft_cpu *cpu, struct block *block)
{
	if (!block->body)
		return;
	cpu->jit->stats.drops++;
	part_all(block);
	divert(cpu->jit, block->body, block->body + block->start_stub);
}

void jit_replace(struct soft_cpu *cpu, struct block *block)
{
	const uint8_t *body = block->body;

	part_all(block);
	if (!translate(cpu, block))
		return;
	cpu->jit->stats.replaced++;
	divert(cpu->jit, body, block->body);
}
