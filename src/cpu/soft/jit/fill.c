/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What translated code calls without giving up the guest's vector registers; see tlb.c. */
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/mmu_priv.h"

bool jit_fill(struct soft_cpu *cpu, uint64_t linear, const struct fill_call *call)
{
	return tlb_fill(cpu, linear, call->size, call->write);
}
