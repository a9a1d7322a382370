/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers: indices, and the table of those that are a guest's state.
 *
 * Spec: Intel SDM volume 4; AMD APM volume 2, appendix A; Linux Documentation/virt/kvm/x86/msr.rst.
 */
#pragma once

#include <stdint.h>

enum msr_index {
	MSR_TSC = 0x10,
	MSR_APIC_BASE = 0x1b,
	MSR_TSC_ADJUST = 0x3b,
	MSR_SPEC_CTRL = 0x48,
	MSR_PRED_CMD = 0x49,
	MSR_BIOS_SIGN_ID = 0x8b,
	MSR_MTRR_CAP = 0xfe,
	MSR_ARCH_CAPABILITIES = 0x10a,
	MSR_SYSENTER_CS = 0x174,
	MSR_SYSENTER_ESP = 0x175,
	MSR_SYSENTER_EIP = 0x176,
	MSR_MCG_CAP = 0x179,
	MSR_MCG_STATUS = 0x17a,
	MSR_MCG_CTL = 0x17b,
	MSR_MISC_ENABLE = 0x1a0,
	MSR_DEBUGCTL = 0x1d9,
	MSR_MTRR_PHYS_BASE0 = 0x200, /* base and mask alternate, eight pairs */
	MSR_MTRR_FIX64K_00000 = 0x250,
	MSR_MTRR_FIX16K_80000 = 0x258,
	MSR_MTRR_FIX16K_A0000 = 0x259,
	MSR_MTRR_FIX4K_C0000 = 0x268, /* eight of them */
	MSR_PAT = 0x277,
	MSR_MTRR_DEF_TYPE = 0x2ff,
	MSR_TSC_DEADLINE = 0x6e0,
	MSR_X2APIC_BASE = 0x800,
	MSR_X2APIC_LAST = 0x8ff,
	MSR_XSS = 0xda0,
	MSR_KVM_WALL_CLOCK = 0x11,
	MSR_KVM_SYSTEM_TIME = 0x12,
	MSR_KVM_WALL_CLOCK_NEW = 0x4b564d00,
	MSR_KVM_SYSTEM_TIME_NEW = 0x4b564d01,
	MSR_KVM_ASYNC_PF_EN = 0x4b564d02,
	MSR_KVM_STEAL_TIME = 0x4b564d03,
	MSR_KVM_PV_EOI_EN = 0x4b564d04,
	MSR_KVM_POLL_CONTROL = 0x4b564d05,
	MSR_EFER = 0xc0000080,
	MSR_STAR = 0xc0000081,
	MSR_LSTAR = 0xc0000082,
	MSR_CSTAR = 0xc0000083,
	MSR_SYSCALL_MASK = 0xc0000084,
	MSR_FS_BASE = 0xc0000100,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS_BASE = 0xc0000102,
	MSR_TSC_AUX = 0xc0000103,
	MSR_HWCR = 0xc0010015,
	MSR_VM_CR = 0xc0010114,
};

/* A register that is saved with the vCPU and is not a field of `struct vcpu_state` of its own. */
struct msr_row {
	uint32_t index;
	const char *name;
	uint64_t reset;
};

/* Ascending by index. An engine skips what it does not support. */
extern const struct msr_row msr_table[];
extern const unsigned msr_table_count;
