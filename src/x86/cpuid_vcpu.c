/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of CPUID that differs between the processors of one machine and with their state.
 *
 * Spec: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#include "x86/cpuid.h"

#include "base/bits.h"
#include "base/macros.h"
#include "x86/registers.h"

#define LEAF1_ECX_XSAVE   BIT(26)
#define LEAF1_ECX_OSXSAVE BIT(27)
#define LEAF7_ECX_PKU     BIT(3)
#define LEAF7_ECX_OSPKE   BIT(4)

#define XSAVE_LEGACY_BYTES   576 /* x87, SSE and the header */
#define XSAVE_COMPONENTS     63
#define XSAVE_ECX_ALIGNED_64 BIT(1) /* in the compacted form */

uint32_t cpuid_xsave_size(const struct cpuid_table *table, uint64_t xcr0)
{
	uint32_t size = XSAVE_LEGACY_BYTES;

	for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
		struct cpuid_regs area;

		if (!(xcr0 >> i & 1))
			continue;
		area = cpuid_query(table, 0xd, i);
		size = MAX(size, area.ebx + area.eax);
	}
	return size;
}

static uint32_t compacted_size(const struct cpuid_table *table, uint64_t components)
{
	uint32_t size = XSAVE_LEGACY_BYTES;

	for (unsigned i = 2; i < XSAVE_COMPONENTS; i++) {
		struct cpuid_regs area;

		if (!(components >> i & 1))
			continue;
		area = cpuid_query(table, 0xd, i);
		if (area.ecx & XSAVE_ECX_ALIGNED_64)
			size = (uint32_t)round_up(size, 64);
		size += area.eax;
	}
	return size;
}

uint64_t cpuid_xcr0_mask(const struct cpuid_table *table)
{
	struct cpuid_regs regs = cpuid_query(table, 0xd, 0);

	return XCR0_X87 | XCR0_SSE | regs.eax | (uint64_t)regs.edx << 32;
}

static void put_bit(uint32_t *reg, uint64_t bit, bool set)
{
	*reg = (uint32_t)(set ? *reg | bit : *reg & ~bit);
}

static void patch_xsave(struct cpuid_regs *regs, const struct cpuid_table *table, uint32_t subleaf,
			const struct cpuid_vcpu *vcpu)
{
	/* A processor without XSAVE answers zeros, and goes on doing so. */
	if (!cpuid_query(table, 0xd, 0).ecx)
		return;
	if (subleaf == 0)
		regs->ebx = cpuid_xsave_size(table, vcpu->xcr0);
	if (subleaf == 1)
		regs->ebx = compacted_size(table, vcpu->xcr0 | vcpu->xss);
}

struct cpuid_regs cpuid_for_vcpu(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf,
				 const struct cpuid_vcpu *vcpu)
{
	struct cpuid_regs regs = cpuid_query(table, leaf, subleaf);

	switch (leaf) {
	case 1:
		regs.ebx = (uint32_t)bits_set(regs.ebx, 24, 8, vcpu->apic_id & 0xff);
		put_bit(&regs.ecx, LEAF1_ECX_OSXSAVE,
			regs.ecx & LEAF1_ECX_XSAVE && vcpu->cr4 & CR4_OSXSAVE);
		break;
	case 7:
		if (subleaf == 0)
			put_bit(&regs.ecx, LEAF7_ECX_OSPKE,
				regs.ecx & LEAF7_ECX_PKU && vcpu->cr4 & CR4_PKE);
		break;
	case 0xb:
	case 0x1f:
		/* Every subleaf, also those past the last level. Spec: SDM, CPUID leaf 0BH. */
		if (cpuid_find(table, leaf, 0)) {
			regs.ecx = (uint32_t)bits_set(regs.ecx, 0, 8, subleaf & 0xff);
			regs.edx = vcpu->apic_id;
		}
		break;
	case 0xd:
		patch_xsave(&regs, table, subleaf, vcpu);
		break;
	case 0x8000001e:
		if (cpuid_find(table, leaf, 0)) {
			regs.eax = vcpu->apic_id;
			regs.ebx = (uint32_t)bits_set(regs.ebx, 0, 8, vcpu->apic_id & 0xff);
		}
		break;
	}
	return regs;
}
