/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What translated code calls first, without giving up the guest's vector registers: see tlb.c. An
 * access that missed the TLB ends here, most of the time.
 */
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/mmu_priv.h"

/* The linear address of the access that missed; rip is the block's start. */
static uint64_t access_linear(struct soft_cpu *cpu, const struct call *call)
{
	uint64_t linear = *reg64(cpu, call->base) + (*reg64(cpu, call->index) << call->scale) +
			  (uint64_t)(int64_t)call->disp;

	if (call->based)
		linear += cpu->segments[call->seg].base;
	return call->cut ? (uint32_t)linear : linear;
}

uint64_t jit_retry(struct soft_cpu *cpu)
{
	const struct jit *jit = cpu->jit;
	const struct call *call = &jit->calls[cpu->call];
	const struct call_block *of = (const void *)&jit->calls[cpu->call_block];

	cpu->rip = cpu->code_page + of->offset;
	cpu->call_leaves = call->type != CALL_HANDLER;
	if (!call->fill || !tlb_fill(cpu, access_linear(cpu, call), call->last + 1u, call->write))
		return 0;
	return (uintptr_t)jit->run + of->code + call->retry;
}
