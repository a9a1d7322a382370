/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "x86/features.h"

#include <string.h>

#include "base/macros.h"
#include "x86/msr.h"

#define FEATURE_ROW(id, text, leaf_, subleaf_, register_, bit_, need1, need2)                      \
	[FEATURE_##id] = {                                                                         \
		.name = text,                                                                      \
		.leaf = leaf_,                                                                     \
		.subleaf = subleaf_,                                                               \
		.reg = CPUID_##register_,                                                          \
		.bit = bit_,                                                                       \
		.needs = { FEATURE_##need1, FEATURE_##need2 },                                     \
	},
const struct cpu_feature_row cpu_feature_table[FEATURE_COUNT] = { CPU_FEATURES(FEATURE_ROW) };
#undef FEATURE_ROW

const struct cpu_feature_msrs cpu_feature_msrs[] = {
	{ MSR_TSC_ADJUST, 1, { FEATURE_TSC_ADJUST } },
	{ MSR_SPEC_CTRL,
	  1,
	  { FEATURE_SPEC_CTRL, FEATURE_AMD_IBRS, FEATURE_AMD_STIBP, FEATURE_AMD_SSBD } },
	{ MSR_PRED_CMD, 1, { FEATURE_SPEC_CTRL, FEATURE_AMD_IBPB } },
	{ MSR_ARCH_CAPABILITIES, 1, { FEATURE_ARCH_CAPABILITIES } },
	{ MSR_TSC_DEADLINE, 1, { FEATURE_TSC_DEADLINE } },
	{ MSR_XSS, 1, { FEATURE_XSAVES } },
	{ MSR_KVM_WALL_CLOCK, 2, { FEATURE_KVMCLOCK_OLD } },
	{ MSR_KVM_WALL_CLOCK_NEW, 2, { FEATURE_KVMCLOCK } },
	{ MSR_KVM_STEAL_TIME, 1, { FEATURE_KVM_STEAL_TIME } },
	{ MSR_KVM_PV_EOI_EN, 1, { FEATURE_KVM_PV_EOI } },
	{ MSR_KVM_POLL_CONTROL, 1, { FEATURE_KVM_POLL_CONTROL } },
	{ MSR_TSC_AUX, 1, { FEATURE_RDTSCP, FEATURE_RDPID } },
};
const size_t cpu_feature_msrs_count = ARRAY_SIZE(cpu_feature_msrs);

enum cpu_feature cpu_feature_find(const char *name)
{
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		if (!strcmp(cpu_feature_table[f].name, name))
			return f;
	}
	return FEATURE_NONE;
}

static uint32_t *register_of(struct cpuid_regs *regs, enum cpuid_register reg)
{
	switch (reg) {
	case CPUID_EAX:
		return &regs->eax;
	case CPUID_EBX:
		return &regs->ebx;
	case CPUID_ECX:
		return &regs->ecx;
	default:
		return &regs->edx;
	}
}

bool cpu_feature_present(const struct cpuid_table *table, enum cpu_feature feature)
{
	const struct cpu_feature_row *row = &cpu_feature_table[feature];
	struct cpuid_regs regs = cpuid_query(table, row->leaf, row->subleaf);

	return feature != FEATURE_NONE && *register_of(&regs, row->reg) >> row->bit & 1;
}

struct cpu_feature_set cpu_features_of(const struct cpuid_table *table)
{
	struct cpu_feature_set set = { 0 };

	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		if (cpu_feature_present(table, f))
			cpu_features_add(&set, f);
	}
	return set;
}

void cpu_features_put(const struct cpu_feature_set *set, struct cpuid_entry *entry)
{
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		const struct cpu_feature_row *row = &cpu_feature_table[f];

		if (row->leaf == entry->leaf && row->subleaf == entry->subleaf &&
		    cpu_features_have(set, f))
			*register_of(&entry->regs, row->reg) |= 1u << row->bit;
	}
}

static bool needs_met(const struct cpu_feature_set *set, const struct cpu_feature_row *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(row->needs); i++) {
		if (row->needs[i] != FEATURE_NONE && !cpu_features_have(set, row->needs[i]))
			return false;
	}
	return true;
}

void cpu_features_close(struct cpu_feature_set *set)
{
	bool again;

	do {
		again = false;
		for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
			if (cpu_features_have(set, f) && !needs_met(set, &cpu_feature_table[f])) {
				cpu_features_remove(set, f);
				again = true;
			}
		}
	} while (again);
}

bool cpu_feature_msrs_present(const struct cpuid_table *table, const struct cpu_feature_msrs *row)
{
	for (size_t i = 0; i < ARRAY_SIZE(row->features); i++) {
		if (cpu_feature_present(table, row->features[i]))
			return true;
	}
	return false;
}
