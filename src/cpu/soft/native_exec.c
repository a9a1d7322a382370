/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Handlers around thunks: the unit is on, the memory operand is there, the thunk runs.
 *
 * A thunk works on guest memory in place where that has one host address, so that accesses are as
 * atomic as the guest's processor promises; else on a copy.
 */
#include <string.h>

#include "base/bits.h"
#include "cpu/soft/native_exec_priv.h"

void native_raise(struct soft_cpu *cpu, const struct insn *insn, unsigned vector)
{
	switch (vector) {
	case EXCEPTION_XM:
		raise_fault(cpu, insn, cpu->cr4 & CR4_OSXMMEXCPT ? EXCEPTION_XM : EXCEPTION_UD);
	case EXCEPTION_GP:
	case EXCEPTION_PF:
		/* The operand was accessible: what is left is alignment. */
		raise_gp(cpu, insn);
	default:
		raise_ud(cpu, insn);
	}
}

const struct insn *native_register(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned vector;

	native_check(cpu, insn);
	vector = native_code(insn)(cpu, NULL);
	if (unlikely(vector))
		native_raise(cpu, insn, vector);
	return NEXT(cpu, insn);
}

const struct insn *native_load(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear = native_address(cpu, insn, false);
	const void *p = load_in_place(cpu, insn, linear, native_operand(insn)->size);
	unsigned vector = native_code(insn)(cpu, (void *)(uintptr_t)p);

	if (unlikely(vector))
		native_raise(cpu, insn, vector);
	return NEXT(cpu, insn);
}

/* Not in place: the thunk stores into a copy, after it is certain that the store will succeed. */
static __attribute__((noinline)) void store_copied(struct soft_cpu *cpu, const struct insn *insn,
						   uint64_t linear)
{
	alignas(64) uint8_t bytes[64];
	unsigned size = native_operand(insn)->size;
	unsigned vector;

	store_probe(cpu, insn, linear, size);
	vector = native_code(insn)(cpu, bytes);
	if (vector)
		native_raise(cpu, insn, vector);
	store_bytes(cpu, insn, linear, bytes, size);
}

const struct insn *native_store(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear = native_address(cpu, insn, true);
	void *p = tlb_write(cpu, linear, native_operand(insn)->size);
	unsigned vector = 0;

	if (likely(p))
		vector = native_code(insn)(cpu, p);
	else
		store_copied(cpu, insn, linear);
	if (unlikely(vector))
		native_raise(cpu, insn, vector);
	return NEXT(cpu, insn);
}

static uint8_t *vector_byte(struct soft_cpu *cpu, unsigned number, unsigned offset)
{
	if (number >= 16)
		return cpu->xsave + native_host(cpu->native)->zmm_16 + 64ul * (number - 16) +
		       offset;
	if (offset < 16)
		return xmm(cpu, number) + offset;
	if (offset < 32)
		return ymm_high(cpu, number) + offset - 16;
	return zmm_high(cpu, number) + offset - 32;
}

void vector_get(struct soft_cpu *cpu, unsigned number, unsigned offset, void *bytes, unsigned size)
{
	memcpy(bytes, vector_byte(cpu, number, offset), size);
}

void vector_set(struct soft_cpu *cpu, unsigned number, unsigned offset, const void *bytes,
		unsigned size)
{
	if (number < 16 && offset >= 16)
		cpu->upper_in_use[number] = 1;
	memcpy(vector_byte(cpu, number, offset), bytes, size);
}

void vector_clear_above(struct soft_cpu *cpu, unsigned number, unsigned from)
{
	static const uint8_t zero[16];
	unsigned width = native_host(cpu->native)->opmask ? 64 : 32;

	for (unsigned offset = from; offset < width; offset += 16)
		vector_set(cpu, number, offset, zero, sizeof(zero));
}
