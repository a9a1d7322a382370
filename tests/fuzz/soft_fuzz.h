/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes as code on the software engine, with options: in real, protected and long mode, with and
 * without privilege. The process neither crashes nor hangs, and the state stays readable and valid.
 *
 * Input: the mode (enum fuzz_mode, modulo), 8 bytes for each of four registers, then code. Every
 * exception and interrupt has a handler that steps over a byte and goes on; another thread kicks
 * after a while.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "cpu/soft/soft.h"
#include "x86/model.h"
#include "x86/paging.h"
#include "x86/registers.h"
#include "x86/segment.h"

#define RAM_BYTES   (2 * MIB)
#define PML4        0x1000u
#define PDPT        0x2000u
#define PD          0x3000u
#define GDT         0x4000u
#define IDT         0x5000u
#define TSS         0x6000u
#define STUBS       0x7000u
#define CODE        0x8000u
#define CODE_MAX    0x1000u
#define STACK       0x20000u
#define RING0_STACK 0x28000u
#define DATA        0x30000u
#define REGISTERS   4u
#define RUN_NS      2000000L

enum fuzz_mode { FUZZ_REAL, FUZZ_PROTECTED, FUZZ_LONG, FUZZ_LONG_USER, FUZZ_MODES };

struct fuzz {
	struct memory *memory;
	struct bus *ports, *mmio;
	struct engine_platform platform;
	struct engine *engine;
	struct vcpu *vcpu;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done;
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

static void put64(struct fuzz *f, uint32_t address, uint64_t value)
{
	memory_write(f->memory, GPA(address), &value, sizeof(value));
}

/* The handlers: drop the error code if there is one, step over a byte, return. */
static const struct stub {
	uint8_t bytes[16];
} stubs[][2] = {
	/* push bp; mov bp, sp; inc word [bp + 2]; pop bp; iret */
	[FUZZ_REAL] = { { { 0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf } },
			{ { 0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf } } },
	/* [add esp, 4]; inc dword [esp]; iret */
	[FUZZ_PROTECTED] = { { { 0xff, 0x04, 0x24, 0xcf } },
			     { { 0x83, 0xc4, 0x04, 0xff, 0x04, 0x24, 0xcf } } },
	/* [add rsp, 8]; inc qword [rsp]; iretq */
	[FUZZ_LONG] = { { { 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf } },
			{ { 0x48, 0x83, 0xc4, 0x08, 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf } } },
};

static void gate_write(struct fuzz *f, enum fuzz_mode mode, unsigned vector)
{
	const uint32_t with_code = 0x00227d00; /* 8, 10 to 14, 17, 21 */
	uint64_t target = STUBS + (vector < 32 && with_code >> vector & 1 ? 16u : 0u);
	uint64_t gate = (target & 0xffff) | UINT64_C(8) << 16 | UINT64_C(0xee00) << 32;

	if (mode == FUZZ_REAL) {
		uint32_t entry = (uint32_t)target;

		memory_write(f->memory, GPA(4 * vector), &entry, sizeof(entry));
	} else if (mode == FUZZ_PROTECTED) {
		put64(f, IDT + 8 * vector, gate);
	} else {
		put64(f, IDT + 16 * vector, gate);
		put64(f, IDT + 16 * vector + 8, 0);
	}
}

static void tables_write(struct fuzz *f, enum fuzz_mode mode)
{
	bool wide = mode >= FUZZ_LONG;
	uint16_t code = wide ? SEGMENT_CODE64 : SEGMENT_CODE32;

	put64(f, PML4, PDPT | PTE_P | PTE_W | PTE_U);
	put64(f, PDPT, PD | PTE_P | PTE_W | PTE_U);
	put64(f, PD, PTE_PS | PTE_P | PTE_W | PTE_U);
	put64(f, GDT + 8, descriptor_make(0, UINT32_MAX, code));
	put64(f, GDT + 16, descriptor_make(0, UINT32_MAX, SEGMENT_DATA32));
	put64(f, GDT + 24, descriptor_make(0, UINT32_MAX, code | SEGMENT_DPL));
	put64(f, GDT + 32, descriptor_make(0, UINT32_MAX, SEGMENT_DATA32 | SEGMENT_DPL));
	put64(f, TSS + 4, RING0_STACK);
	for (unsigned vector = 0; vector < 256; vector++)
		gate_write(f, mode, vector);
	memory_write(f->memory, GPA(STUBS), &stubs[wide ? FUZZ_LONG : mode], sizeof(stubs[0]));
}

static struct vcpu_segment segment(enum fuzz_mode mode, unsigned index)
{
	bool user = mode == FUZZ_LONG_USER, code = index == SEG_CS;
	uint16_t attributes = !code               ? SEGMENT_DATA32
			      : mode >= FUZZ_LONG ? SEGMENT_CODE64
						  : SEGMENT_CODE32;

	if (mode == FUZZ_REAL)
		return (struct vcpu_segment){ .limit = 0xffff,
					      .attributes = code ? SEGMENT_REAL_CODE
								 : SEGMENT_REAL_DATA };
	return (struct vcpu_segment){
		.limit = UINT32_MAX,
		.selector = (uint16_t)((code ? 8 : 16) + (user ? 19 : 0)),
		.attributes = attributes | (user ? SEGMENT_DPL : 0),
	};
}

static void state_prepare(struct vcpu_state *state, enum fuzz_mode mode, const uint8_t *registers)
{
	static const uint8_t seeded[REGISTERS] = { GPR_RAX, GPR_RCX, GPR_RBX, GPR_RSI };

	for (unsigned i = 0; i < REGISTERS; i++)
		state->gpr[seeded[i]] = le64_get(registers + 8 * i);
	state->gpr[GPR_RDI] = DATA & 0xffff ? DATA : DATA + 0x100;
	state->gpr[GPR_RSP] = mode == FUZZ_REAL ? 0x7000 : STACK;
	state->rip = CODE;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		state->segments[i] = segment(mode, i);
	state->idtr =
		(struct vcpu_table_register){ .base = mode == FUZZ_REAL ? 0 : IDT, .limit = 0xfff };
	if (mode == FUZZ_REAL)
		return;
	state->gdtr = (struct vcpu_table_register){ .base = GDT, .limit = 0x3f };
	state->tr = (struct vcpu_segment){ .base = TSS,
					   .limit = 0x67,
					   .selector = 0x28,
					   .attributes = SEGMENT_P | SYSTEM_TSS_BUSY };
	state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_MP;
	state->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	state->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	if (mode >= FUZZ_LONG) {
		state->cr0 |= CR0_PG | CR0_WP;
		state->cr3 = PML4;
		state->cr4 |= CR4_PAE;
		state->efer = EFER_LME | EFER_LMA | EFER_SCE;
	}
}

static void *kicker(void *arg)
{
	struct fuzz *f = arg;

	pthread_mutex_lock(&f->lock);
	while (!f->done) {
		struct timespec until;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += RUN_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_cond_timedwait(&f->changed, &f->lock, &until) == ETIMEDOUT)
			soft_engine_ops.vcpu_kick(f->vcpu);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

static int machine_open(struct fuzz *f, const char *options)
{
	struct memory_config memory = { .size = RAM_BYTES };
	struct engine_config config = { .platform = &f->platform, .vcpus = 1, .options = options };
	struct cpuid_table supported, cpuid;
	struct cpu_host host = { 0 };

	f->platform.pic_acknowledge = pic_acknowledge;
	f->platform.eoi = eoi;
	if (memory_new(&f->memory, &memory, NULL) || bus_new(&f->ports, "ports", 16, NULL) ||
	    bus_new(&f->mmio, "mmio", 52, NULL) ||
	    soft_engine_ops.supported_cpuid(&supported, NULL) ||
	    cpu_model_resolve(&cpuid, "host", &supported, &host, 1, NULL))
		return -1;
	f->platform.ports = f->ports;
	f->platform.mmio = f->mmio;
	config.memory = f->memory;
	config.cpuid = &cpuid;
	return soft_engine_ops.open(&f->engine, &config, NULL) ||
			       soft_engine_ops.map_memory(f->engine, NULL) ||
			       soft_engine_ops.vcpu_new(&f->vcpu, f->engine, 0, NULL)
		       ? -1
		       : 0;
}

static void machine_close(struct fuzz *f)
{
	if (f->vcpu)
		soft_engine_ops.vcpu_free(f->vcpu);
	if (f->engine)
		soft_engine_ops.free(f->engine);
	bus_free(f->ports);
	bus_free(f->mmio);
	memory_free(f->memory);
}

/* Runs until the kicker ends it. */
static void run(struct fuzz *f)
{
	pthread_t thread;

	f->done = false;
	check(!pthread_create(&thread, NULL, kicker, f));
	check(soft_engine_ops.vcpu_run(f->vcpu) != VCPU_EXIT_ERROR);
	pthread_mutex_lock(&f->lock);
	f->done = true;
	pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	pthread_join(thread, NULL);
}

static inline void soft_fuzz(const char *options, const uint8_t *data, size_t size)
{
	struct fuzz f = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
	size_t header = 1 + 8 * REGISTERS;
	struct vcpu_state *state;
	enum fuzz_mode mode;

	if (size <= header)
		return;
	mode = data[0] % FUZZ_MODES;
	state = malloc(sizeof(*state));
	check(state);
	check(!machine_open(&f, options));
	tables_write(&f, mode);
	check(!soft_engine_ops.vcpu_get(f.vcpu, state, NULL));
	state_prepare(state, mode, data + 1);
	check(!soft_engine_ops.vcpu_set(f.vcpu, state, NULL));
	memory_write(f.memory, GPA(CODE), data + header, MIN(size - header, CODE_MAX));
	run(&f);
	/* What came of it can be saved, and loaded again. */
	check(!soft_engine_ops.vcpu_get(f.vcpu, state, NULL));
	check(!soft_engine_ops.vcpu_set(f.vcpu, state, NULL));
	machine_close(&f);
	free(state);
}
