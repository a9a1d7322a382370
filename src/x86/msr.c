/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "x86/msr.h"

#include "base/macros.h"

/* All memory types at reset: write-back in slots 0 and 4, as every processor starts. */
#define PAT_RESET UINT64_C(0x0007040600070406)

#define MTRR_PAIR(n)                                                                               \
	{ MSR_MTRR_PHYS_BASE0 + 2 * (n), "MTRR_PHYS_BASE" #n, 0 },                                 \
	{                                                                                          \
		MSR_MTRR_PHYS_BASE0 + 2 * (n) + 1, "MTRR_PHYS_MASK" #n, 0                          \
	}

const struct msr_row msr_table[] = {
	{ MSR_TSC_ADJUST, "TSC_ADJUST", 0 },
	{ MSR_SPEC_CTRL, "SPEC_CTRL", 0 },
	{ MSR_SYSENTER_CS, "SYSENTER_CS", 0 },
	{ MSR_SYSENTER_ESP, "SYSENTER_ESP", 0 },
	{ MSR_SYSENTER_EIP, "SYSENTER_EIP", 0 },
	{ MSR_MCG_STATUS, "MCG_STATUS", 0 },
	{ MSR_MCG_CTL, "MCG_CTL", 0 },
	{ MSR_MISC_ENABLE, "MISC_ENABLE", 1 }, /* fast strings */
	{ MSR_DEBUGCTL, "DEBUGCTL", 0 },
	MTRR_PAIR(0),
	MTRR_PAIR(1),
	MTRR_PAIR(2),
	MTRR_PAIR(3),
	MTRR_PAIR(4),
	MTRR_PAIR(5),
	MTRR_PAIR(6),
	MTRR_PAIR(7),
	{ MSR_MTRR_FIX64K_00000, "MTRR_FIX64K_00000", 0 },
	{ MSR_MTRR_FIX16K_80000, "MTRR_FIX16K_80000", 0 },
	{ MSR_MTRR_FIX16K_A0000, "MTRR_FIX16K_A0000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 0, "MTRR_FIX4K_C0000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 1, "MTRR_FIX4K_C8000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 2, "MTRR_FIX4K_D0000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 3, "MTRR_FIX4K_D8000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 4, "MTRR_FIX4K_E0000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 5, "MTRR_FIX4K_E8000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 6, "MTRR_FIX4K_F0000", 0 },
	{ MSR_MTRR_FIX4K_C0000 + 7, "MTRR_FIX4K_F8000", 0 },
	{ MSR_PAT, "PAT", PAT_RESET },
	{ MSR_MTRR_DEF_TYPE, "MTRR_DEF_TYPE", 0 },
	{ MSR_XSS, "XSS", 0 },
	{ MSR_KVM_WALL_CLOCK_NEW, "KVM_WALL_CLOCK_NEW", 0 },
	{ MSR_KVM_SYSTEM_TIME_NEW, "KVM_SYSTEM_TIME_NEW", 0 },
	{ MSR_KVM_ASYNC_PF_EN, "KVM_ASYNC_PF_EN", 0 },
	{ MSR_KVM_STEAL_TIME, "KVM_STEAL_TIME", 0 },
	{ MSR_KVM_PV_EOI_EN, "KVM_PV_EOI_EN", 0 },
	{ MSR_KVM_POLL_CONTROL, "KVM_POLL_CONTROL", 1 },
	{ MSR_STAR, "STAR", 0 },
	{ MSR_LSTAR, "LSTAR", 0 },
	{ MSR_CSTAR, "CSTAR", 0 },
	{ MSR_SYSCALL_MASK, "SYSCALL_MASK", 0 },
	{ MSR_KERNEL_GS_BASE, "KERNEL_GS_BASE", 0 },
	{ MSR_TSC_AUX, "TSC_AUX", 0 },
	{ MSR_HWCR, "HWCR", 0 },
};
const unsigned msr_table_count = ARRAY_SIZE(msr_table);
