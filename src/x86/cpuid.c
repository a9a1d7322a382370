/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "x86/cpuid.h"

#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

const struct cpuid_entry *cpuid_find(const struct cpuid_table *table, uint32_t leaf,
				     uint32_t subleaf)
{
	for (uint32_t i = 0; i < table->count; i++) {
		const struct cpuid_entry *entry = &table->entries[i];

		if (entry->leaf == leaf && (!entry->indexed || entry->subleaf == subleaf))
			return entry;
	}
	return NULL;
}

struct cpuid_regs cpuid_query(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	const struct cpuid_entry *entry = cpuid_find(table, leaf, subleaf);

	return entry ? entry->regs : (struct cpuid_regs){ 0 };
}

int cpuid_set(struct cpuid_table *table, const struct cpuid_entry *entry)
{
	for (uint32_t i = 0; i < table->count; i++) {
		struct cpuid_entry *row = &table->entries[i];

		if (row->leaf == entry->leaf && (!row->indexed || row->subleaf == entry->subleaf)) {
			*row = *entry;
			return 0;
		}
	}
	if (table->count == CPUID_ENTRIES_MAX)
		return -ENOSPC;
	table->entries[table->count++] = *entry;
	return 0;
}

bool cpuid_vendor_amd(struct cpuid_regs leaf0)
{
	return !memcmp(&leaf0.ebx, "Auth", 4) || !memcmp(&leaf0.ebx, "Hygo", 4);
}

struct cpuid_regs cpuid_host(uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_regs regs;

	__cpuid_count(leaf, subleaf, regs.eax, regs.ebx, regs.ecx, regs.edx);
	return regs;
}
