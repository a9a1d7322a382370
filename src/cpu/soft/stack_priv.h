/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stack, in any mode. */
#pragma once

#include "cpu/soft/access_priv.h"

/* The bits of RSP that count: 16, 32 or 64 of them. */
static inline uint64_t stack_mask(const struct soft_cpu *cpu)
{
	if (cpu_code64(cpu))
		return UINT64_MAX;
	return cpu->segments[SEG_SS].attributes & SEGMENT_DB ? UINT32_MAX : 0xffff;
}

/* RSP with `value` in the bits that count. */
static inline uint64_t stack_merge(const struct soft_cpu *cpu, uint64_t value)
{
	uint64_t mask = stack_mask(cpu);

	if (mask == UINT32_MAX)
		return (uint32_t)value;
	return (cpu->gpr[GPR_RSP] & ~mask) | (value & mask);
}

/* Writes at RSP + `offset` (negative: below); does not move RSP. */
void stack_store(struct soft_cpu *cpu, const struct insn *insn, int64_t offset, uint64_t value,
		 unsigned size);
uint64_t stack_load(struct soft_cpu *cpu, const struct insn *insn, int64_t offset, unsigned size);

static inline void stack_move(struct soft_cpu *cpu, int64_t by)
{
	cpu->gpr[GPR_RSP] = stack_merge(cpu, cpu->gpr[GPR_RSP] + (uint64_t)by);
}

static inline void stack_push(struct soft_cpu *cpu, const struct insn *insn, uint64_t value,
			      unsigned size)
{
	stack_store(cpu, insn, -(int64_t)size, value, size);
	stack_move(cpu, -(int64_t)size);
}

/* In 64-bit code, 8 bytes. */
static inline void stack_push64(struct soft_cpu *cpu, const struct insn *insn, uint64_t value)
{
	uint64_t rsp = cpu->gpr[GPR_RSP] - 8;
	guest64 *p = tlb_write(cpu, rsp, 8);

	if (likely(p))
		*p = value;
	else
		stack_store(cpu, insn, -8, value, 8);
	cpu->gpr[GPR_RSP] = rsp;
}

/* What is on top in 64-bit code; does not move RSP. */
static inline uint64_t stack_top64(struct soft_cpu *cpu, const struct insn *insn)
{
	const guest64 *p = tlb_read(cpu, cpu->gpr[GPR_RSP], 8);

	return likely(p) ? *p : stack_load(cpu, insn, 0, 8);
}
