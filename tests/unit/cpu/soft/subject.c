/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vCPU of the software engine whose page tables give user mode the addresses of the sandbox. One
 * instruction is decoded and executed without block cache and run loop, so that a case costs a
 * microsecond.
 */
#include "subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "cpu/soft/block_priv.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/jit/jit_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/soft.h"
#include "x86/model.h"

#define RAM_BYTES (4 * MIB)
#define PML4      0x1000u /* then the tables below it, a page each */
#define DATA_GPA  0x100000u
#define CODE_GPA  0x110000u

struct subject {
	struct memory *memory;
	struct bus *ports, *mmio;
	struct engine_platform platform;
	struct engine *engine;
	struct vcpu *vcpu;
	uint8_t *data, *code;
	bool translated;
};

static int pic_acknowledge(void *ctx)
{
	(void)ctx;
	return -1;
}

static void eoi(void *ctx, uint8_t vector)
{
	(void)ctx;
	(void)vector;
}

static void entry_write(struct subject *s, uint32_t table, uint64_t linear, unsigned shift,
			uint64_t value)
{
	uint64_t slot = linear >> shift & 511;

	memory_write(s->memory, GPA(table + 8 * slot), &value, sizeof(value));
}

static void tables_write(struct subject *s)
{
	const uint64_t table = PTE_P | PTE_W | PTE_U | PTE_A, page = table | PTE_D;

	entry_write(s, PML4, SANDBOX_CODE, 39, (PML4 + 0x1000) | table);
	entry_write(s, PML4 + 0x1000, SANDBOX_CODE, 30, (PML4 + 0x2000) | table);
	entry_write(s, PML4 + 0x2000, SANDBOX_CODE, 21, (PML4 + 0x3000) | table);
	entry_write(s, PML4 + 0x3000, SANDBOX_CODE, 12, CODE_GPA | (page & ~PTE_W));
	for (unsigned i = 0; i < 3; i++)
		entry_write(s, PML4 + 0x3000, SANDBOX_WRITABLE + 0x1000 * i, 12,
			    (DATA_GPA + 0x1000 * i) | (i < 2 ? page : page & ~PTE_W));
}

static struct vcpu_segment flat(uint16_t selector, uint16_t attributes)
{
	return (struct vcpu_segment){ .limit = UINT32_MAX,
				      .selector = selector,
				      .attributes = attributes | SEGMENT_DPL };
}

static int user_mode(struct subject *s, struct err *err)
{
	struct vcpu_state *state = malloc(sizeof(*state));
	int r;

	if (!state)
		return -ENOMEM;
	r = soft_engine_ops.vcpu_get(s->vcpu, state, err);
	if (!r) {
		state->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
		state->cr3 = PML4;
		state->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_FSGSBASE;
		state->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
		state->xcr0 = cpuid_host(0xd, 0).eax & (7 | XCR0_AVX512);
		state->segments[SEG_CS] = flat(0x33, SEGMENT_CODE64);
		for (unsigned i = 0; i < SEG_COUNT; i++)
			if (i != SEG_CS)
				state->segments[i] = flat(0x2b, SEGMENT_DATA32);
		r = soft_engine_ops.vcpu_set(s->vcpu, state, err);
	}
	free(state);
	return r;
}

static int open_engine(struct subject *s, struct err *err)
{
	struct memory_config memory = { .size = RAM_BYTES };
	struct engine_config config = { .platform = &s->platform,
					.vcpus = 1,
					.options = s->translated ? "heat=1" : "jit=off" };
	struct cpuid_table supported, cpuid;
	struct cpu_host host = { 0 };
	int r = memory_new(&s->memory, &memory, err);

	if (!r)
		r = bus_new(&s->ports, "ports", 16, err);
	if (!r)
		r = bus_new(&s->mmio, "mmio", 52, err);
	if (!r)
		r = soft_engine_ops.supported_cpuid(&supported, err);
	if (!r)
		r = cpu_model_resolve(&cpuid, "host", &supported, &host, 1, err);
	if (r)
		return r;
	s->platform = (struct engine_platform){
		.ports = s->ports, .mmio = s->mmio, .pic_acknowledge = pic_acknowledge, .eoi = eoi
	};
	config.memory = s->memory;
	config.cpuid = &cpuid;
	r = soft_engine_ops.open(&s->engine, &config, err);
	if (!r)
		r = soft_engine_ops.map_memory(s->engine, err);
	if (!r)
		r = soft_engine_ops.vcpu_new(&s->vcpu, s->engine, 0, err);
	return r;
}

int subject_new(struct subject **ret_subject, bool translated)
{
	struct subject *s = calloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	int r;

	if (!s)
		return -ENOMEM;
	s->translated = translated;
	r = open_engine(s, &err);
	if (!r) {
		tables_write(s);
		r = user_mode(s, &err);
	}
	if (r) {
		fprintf(stderr, "%s\n", err.text);
		subject_free(s);
		return r;
	}
	s->data = memory_map(s->memory, GPA(DATA_GPA), SANDBOX_DATA_BYTES);
	s->code = memory_map(s->memory, GPA(CODE_GPA), PAGE_SIZE);
	*ret_subject = s;
	return 0;
}

void subject_free(struct subject *s)
{
	if (!s)
		return;
	if (s->vcpu)
		soft_engine_ops.vcpu_free(s->vcpu);
	if (s->engine)
		soft_engine_ops.free(s->engine);
	bus_free(s->ports);
	bus_free(s->mmio);
	memory_free(s->memory);
	free(s);
}

/* What the run loop would find before the first instruction. */
static void put_mode(struct soft_cpu *cpu, bool code32)
{
	const uint8_t mode32 = MODE_CODE32 | MODE_STACK32 | MODE_FLAT | MODE_FLAT_FS | MODE_FLAT_GS;
	uint8_t mode = code32 ? mode32 : MODE_CODE64;

	if (cpu->mode == mode)
		return;
	cpu->segments[SEG_CS] = flat(0x33, code32 ? SEGMENT_CODE32 : SEGMENT_CODE64);
	cpu->mode = mode;
	mmu_update_links(cpu);
}

static void put(struct soft_cpu *cpu, const struct sandbox_state *state)
{
	put_mode(cpu, state->code32);
	memcpy(cpu->gpr, state->gpr, sizeof(cpu->gpr));
	status_set(cpu, state->rflags);
	cpu->flags = (uint32_t)(state->rflags & ~RFLAGS_ARITHMETIC);
	cpu->rip = SANDBOX_CODE;
	memcpy(cpu->xsave, state->xsave, SANDBOX_XSAVE);
	cpu->vector_mask = (uint32_t)native_host(cpu->native)->mask;
	memset(cpu->upper_in_use, 1, sizeof(cpu->upper_in_use));
	cpu->exception.vector = SANDBOX_NO_FAULT;
}

static void take(const struct soft_cpu *cpu, struct sandbox_state *state)
{
	memcpy(state->gpr, cpu->gpr, sizeof(state->gpr));
	state->rflags = rflags_get(cpu);
	memcpy(state->xsave, cpu->xsave, SANDBOX_XSAVE);
	state->vector = cpu->exception.vector;
	state->error = cpu->exception.error;
	state->cr2 = cpu->exception.payload;
}

static const struct insn *stop(struct soft_cpu *cpu, const struct insn *insn)
{
	cpu->rip = rip_next(cpu, insn);
	return NULL;
}

static int decode(struct soft_cpu *cpu, const uint8_t *code, unsigned length, struct insn *insn)
{
	unsigned links;

	if (!native_has_room(cpu->native, 1))
		native_flush(cpu->native);
	memset(insn, 0, sizeof(*insn));
	return decode_insn(cpu, code, length, insn, &links);
}

static void run_interpreted(struct soft_cpu *cpu, const uint8_t *code, unsigned length)
{
	struct insn insns[2] = { 0 };

	decode(cpu, code, length, &insns[0]);
	insns[1].exec = stop;
	insns[1].offset = (uint16_t)length;
	/* A repeated instruction may leave in the middle to be continued. */
	if (!setjmp(cpu->unwind)) {
		do {
			const struct insn *next = &insns[0];

			while (next)
				next = next->exec(cpu, next);
		} while (cpu->rip == SANDBOX_CODE);
	}
}

/* The instruction and UD2 behind it, which is where the block ends. */
static void run_translated(struct subject *s, struct soft_cpu *cpu, const uint8_t *code,
			   unsigned length)
{
	static const uint8_t ud2[] = { 0x0f, 0x0b };

	code_cache_drop_page(cpu->engine->code, s->code);
	block_drop_page(cpu, s->code);
	memcpy(s->code, code, length);
	memcpy(s->code + length, ud2, sizeof(ud2));
	jit_thread_begin(cpu);
	atomic_store(&cpu->attention, 0);
	if (!setjmp(cpu->unwind)) {
		for (;;) {
			const struct insn *next = block_find(cpu);

			while (next)
				next = next->exec(cpu, next);
		}
	}
	jit_thread_end(cpu);
	if (cpu->rip == SANDBOX_CODE + length && cpu->exception.vector == EXCEPTION_UD)
		cpu->exception.vector = SANDBOX_NO_FAULT;
}

void subject_run(struct subject *s, const uint8_t *code, unsigned length,
		 struct sandbox_state *state)
{
	struct soft_cpu *cpu = container_of(s->vcpu, struct soft_cpu, vcpu);

	put(cpu, state);
	memcpy(s->data, state->data, SANDBOX_DATA_BYTES);
	if (s->translated)
		run_translated(s, cpu, code, length);
	else
		run_interpreted(cpu, code, length);
	take(cpu, state);
	state->rip = cpu->rip;
	memcpy(state->data, s->data, SANDBOX_DATA_BYTES);
}
