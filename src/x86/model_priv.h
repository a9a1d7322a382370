/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a set of features to the leaves of a CPUID table. */
#pragma once

#include "x86/model.h"

struct cpuid_plan {
	const struct cpu_feature_set *features;
	const struct cpuid_table *supported;
	const char *brand;
	uint64_t tsc_khz;
	unsigned vcpus;
};

/* Fills `table` (empty before). -ENOSPC when the leaves do not fit. */
int cpuid_build(struct cpuid_table *table, const struct cpuid_plan *plan);

/* Whether the vendor string in leaf 0 is that of AMD or of Hygon, which is one. */
bool cpuid_is_amd(const struct cpuid_table *table);
