/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instruction sets this processor can lend the guest, and which the guest has switched on.
 *
 * Spec: Intel SDM volume 3, section 2.5 (CR0.EM, CR0.MP, CR0.TS, CR4.OSFXSR, CR4.OSXSAVE), section
 * 13.1 (tables 13-1 and 13-3); volume 1, section 14.8.
 */
#include "cpu/soft/cpu_priv.h"

static bool avx_enabled(const struct soft_cpu *cpu, uint64_t components)
{
	return cpu_protected(cpu) && !cpu_vm86(cpu) && cpu->cr4 & CR4_OSXSAVE &&
	       (cpu->xcr0 & components) == components;
}

void native_units_update(struct soft_cpu *cpu)
{
	const uint64_t avx = XCR0_SSE | XCR0_AVX;
	const uint8_t switched = cpu->cr0 & CR0_TS ? EXCEPTION_NM : 0;
	const bool emulated = cpu->cr0 & CR0_EM;
	uint8_t *fault = cpu->unit_fault;

	fault[UNIT_INTEGER] = 0;
	fault[UNIT_X87] = emulated ? EXCEPTION_NM : switched;
	fault[UNIT_WAIT] = cpu->cr0 & CR0_MP ? switched : 0;
	fault[UNIT_MMX] = emulated ? EXCEPTION_UD : switched;
	fault[UNIT_SSE] = emulated || !(cpu->cr4 & CR4_OSFXSR) ? EXCEPTION_UD : switched;
	fault[UNIT_AVX] = avx_enabled(cpu, avx) ? switched : EXCEPTION_UD;
	fault[UNIT_AVX512] = avx_enabled(cpu, avx | XCR0_AVX512) ? switched : EXCEPTION_UD;
}
