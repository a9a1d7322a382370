/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPUID: what the engine can offer, and what a vCPU answers.
 *
 * The engine's own list, by feature, of what the interpreter does; vector and other natively
 * executed instructions are there if the host has them. Spec: Intel SDM volume 2, CPUID; AMD APM
 * volume 3, appendix E; Linux cpuid.rst, KVM.
 */
#include <string.h>

#include "cpu/soft/engine_priv.h"
#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/system_priv.h"
#include "x86/features.h"

/* Offered whatever the host has: the interpreter does them itself. */
static const enum cpu_feature interpreted[] = {
	FEATURE_CX16,
	FEATURE_PCID,
	FEATURE_X2APIC,
	FEATURE_MOVBE,
	FEATURE_TSC_DEADLINE,
	FEATURE_HYPERVISOR,
	FEATURE_VME,
	FEATURE_DE,
	FEATURE_PSE,
	FEATURE_TSC,
	FEATURE_MSR,
	FEATURE_PAE,
	FEATURE_MCE,
	FEATURE_CX8,
	FEATURE_APIC,
	FEATURE_SEP,
	FEATURE_MTRR,
	FEATURE_PGE,
	FEATURE_MCA,
	FEATURE_CMOV,
	FEATURE_PAT,
	FEATURE_PSE36,
	FEATURE_CLFLUSH,
	FEATURE_ARAT,
	FEATURE_FSGSBASE,
	FEATURE_TSC_ADJUST,
	FEATURE_SMEP,
	FEATURE_ERMS,
	FEATURE_INVPCID,
	FEATURE_SMAP,
	FEATURE_CLFLUSHOPT,
	FEATURE_CLWB,
	FEATURE_UMIP,
	FEATURE_RDPID,
	FEATURE_FSRM,
	FEATURE_KVMCLOCK_OLD,
	FEATURE_KVM_NOP_IO_DELAY,
	FEATURE_KVMCLOCK,
	FEATURE_KVMCLOCK_STABLE,
	FEATURE_KVM_POLL_CONTROL,
	FEATURE_KVM_MSI_EXT_DEST_ID,
	FEATURE_LAHF,
	FEATURE_CR8_LEGACY,
	FEATURE_PREFETCHW,
	FEATURE_SYSCALL,
	FEATURE_NX,
	FEATURE_RDTSCP,
	FEATURE_LM,
	FEATURE_INVTSC,
	FEATURE_LFENCE_SERIALIZES,
	FEATURE_NULL_SEL_CLEARS,
	FEATURE_PDPE1GB,
};

/* Offered if the host has them: they run there (or, 5-level paging, cost what nobody needs). */
static const enum cpu_feature native[] = {
	FEATURE_SSE3,
	FEATURE_PCLMULQDQ,
	FEATURE_SSSE3,
	FEATURE_FMA,
	FEATURE_SSE4_1,
	FEATURE_SSE4_2,
	FEATURE_POPCNT,
	FEATURE_AES,
	FEATURE_XSAVE,
	FEATURE_AVX,
	FEATURE_F16C,
	FEATURE_RDRAND,
	FEATURE_FPU,
	FEATURE_MMX,
	FEATURE_FXSR,
	FEATURE_SSE,
	FEATURE_SSE2,
	FEATURE_BMI1,
	FEATURE_AVX2,
	FEATURE_BMI2,
	FEATURE_RDSEED,
	FEATURE_ADX,
	FEATURE_SHA,
	FEATURE_GFNI,
	FEATURE_VAES,
	FEATURE_VPCLMULQDQ,
	FEATURE_AVX512F,
	FEATURE_AVX512DQ,
	FEATURE_AVX512IFMA,
	FEATURE_AVX512CD,
	FEATURE_AVX512BW,
	FEATURE_AVX512VL,
	FEATURE_AVX512VBMI,
	FEATURE_AVX512VBMI2,
	FEATURE_AVX512VNNI,
	FEATURE_AVX512BITALG,
	FEATURE_AVX512VPOPCNTDQ,
	FEATURE_XSAVEOPT,
	FEATURE_XSAVEC,
	FEATURE_XGETBV1,
	FEATURE_LZCNT,
	FEATURE_LA57,
	FEATURE_MMXEXT,
	FEATURE_FXSR_OPT,
	FEATURE_CLZERO,
	FEATURE_AVX_VNNI,
};

/* The host's leaves that say more than features: identity, address widths, XSAVE areas. */
static const struct {
	uint32_t leaf;
	uint32_t subleaf;
	bool indexed;
} leaves[] = {
	{ 0, 0, false },          { 1, 0, false },          { 6, 0, false },
	{ 7, 0, true },           { 7, 1, true },           { 0xd, 0, true },
	{ 0xd, 1, true },         { 0xd, 2, true },         { 0xd, 5, true },
	{ 0xd, 6, true },         { 0xd, 7, true },         { 0x80000000, 0, false },
	{ 0x80000001, 0, false }, { 0x80000007, 0, false }, { 0x80000008, 0, false },
	{ 0x80000021, 0, false },
};

static bool host_has(enum cpu_feature feature)
{
	const struct cpu_feature_row *row = &cpu_feature_table[feature];
	struct cpuid_regs r = cpuid_host(row->leaf & 0x80000000, 0);
	const uint32_t *regs =
		(const uint32_t *)&r; /* eax, ebx, ecx, edx: as enum cpuid_register */

	if (r.eax < row->leaf)
		return false;
	r = cpuid_host(row->leaf, row->subleaf);
	return regs[row->reg] >> row->bit & 1;
}

/* What of a host leaf is not feature bits, and stays. */
static struct cpuid_regs plain_part(uint32_t leaf, uint32_t subleaf, struct cpuid_regs r)
{
	switch (leaf) {
	case 0:
		r.eax = 0x1f;
		return r;
	case 1:
		return (struct cpuid_regs){ .eax = r.eax, .ebx = 8 << 8 };
	case 0xd:
		if (subleaf == 0)
			r.eax &= XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512;
		if (subleaf == 1)
			r = (struct cpuid_regs){ 0 };
		return r;
	case 0x80000000:
		r.eax = MAX(r.eax, UINT32_C(0x80000021));
		return r;
	case 0x80000008:
		return (struct cpuid_regs){ .eax = r.eax & 0xffff };
	default:
		return (struct cpuid_regs){ 0 };
	}
}

static const struct cpuid_entry hypervisor[] = {
	/* "KVMKVMKVM" */
	{ 0x40000000, 0, false, { 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d } },
	{ 0x40000001, 0, false, { 0 } },
};

void cpuid_supported(struct cpuid_table *table)
{
	struct cpu_feature_set set = { 0 };

	for (unsigned i = 0; i < ARRAY_SIZE(interpreted); i++)
		cpu_features_add(&set, interpreted[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(native); i++) {
		if (host_has(native[i]))
			cpu_features_add(&set, native[i]);
	}
	cpu_features_close(&set);
	table->count = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++) {
		struct cpuid_entry e = {
			leaves[i].leaf, leaves[i].subleaf, leaves[i].indexed, { 0 }
		};

		e.regs = plain_part(e.leaf, e.subleaf, cpuid_host(e.leaf, e.subleaf));
		cpu_features_put(&set, &e);
		cpuid_set(table, &e);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(hypervisor); i++) {
		struct cpuid_entry e = hypervisor[i];

		cpu_features_put(&set, &e);
		cpuid_set(table, &e);
	}
}

struct cpuid_regs cpu_cpuid(struct soft_cpu *cpu, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_vcpu vcpu = {
		.apic_id = cpu->vcpu.index, .cr4 = cpu->cr4, .xcr0 = cpu->xcr0, .xss = cpu->msr.xss
	};

	struct cpuid_regs r = cpuid_for_vcpu(&cpu->engine->cpuid, leaf, subleaf, &vcpu);

	if (leaf == 1 && !lapic_is_switched_on(cpu))
		r.edx &= ~(UINT32_C(1) << cpu_feature_table[FEATURE_APIC].bit);
	return r;
}
