/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What translated code calls first, without giving up the guest's vector registers: see tlb.c. An
 * access that missed the TLB ends here, most of the time.
 */
#include "cpu/soft/access_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/mmu_priv.h"

/* The linear address of an operand of a kind that address_is_known(); rip is the block's start. */
static uint64_t operand_linear(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t offset = ea_offset(cpu, insn);
	uint64_t base = cpu->segments[insn->seg].base;

	switch (insn->ea) {
	case EA_BASED:
		return offset + base;
	case EA_32:
		return (uint32_t)(insn->seg >= SEG_FS ? offset + base : offset);
	default:
		return offset;
	}
}

static uint64_t access_linear(struct soft_cpu *cpu, const struct call *call,
			      const struct insn *insn)
{
	const unsigned rbp = 5;
	uint64_t linear;

	switch ((enum access_kind)call->access) {
	case ACCESS_PUSH:
		linear = cpu->gpr[HOST_RSP] - (cpu_code64(cpu) ? 8 : 4);
		break;
	case ACCESS_POP:
		linear = cpu->gpr[HOST_RSP];
		break;
	case ACCESS_FRAME:
		linear = cpu->gpr[rbp];
		break;
	case ACCESS_SOURCE:
		linear = cpu->gpr[HOST_RSI];
		break;
	case ACCESS_DESTINATION:
		linear = cpu->gpr[HOST_RDI];
		break;
	default:
		return operand_linear(cpu, insn);
	}
	return cpu_code64(cpu) ? linear : (uint32_t)linear;
}

uint64_t jit_retry(struct soft_cpu *cpu)
{
	const struct jit *jit = cpu->jit;
	const struct call *call = &jit->calls[cpu->call];
	const struct call_block *of = (const void *)&jit->calls[cpu->call_block];
	const struct block *block = of->block;
	uint64_t linear;

	cpu->rip = cpu->code_page + ((uintptr_t)block->host & PAGE_MASK);
	cpu->call_leaves = call->type != CALL_HANDLER;
	if (!call->fill)
		return 0;
	linear = access_linear(cpu, call, &block->insns[call->insn]);
	/* Of a group, the instruction itself is never done behind this. */
	if (call->type == CALL_REST)
		linear -= call->back;
	if (!tlb_fill(cpu, linear, call->last + 1u, call->write))
		return 0;
	return (uintptr_t)jit->run + of->code + call->retry;
}
