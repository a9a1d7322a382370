/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A CPUID table: what the instruction returns, leaf by leaf. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct cpuid_regs {
	uint32_t eax, ebx, ecx, edx;
};

struct cpuid_entry {
	uint32_t leaf;
	uint32_t subleaf;
	bool indexed; /* ECX selects the subleaf; else any ECX matches */
	struct cpuid_regs regs;
};

#define CPUID_ENTRIES_MAX 128

struct cpuid_table {
	uint32_t count;
	struct cpuid_entry entries[CPUID_ENTRIES_MAX];
};

/* The row for a leaf and subleaf, or NULL. */
const struct cpuid_entry *cpuid_find(const struct cpuid_table *table, uint32_t leaf,
				     uint32_t subleaf);

/*
 * What a processor answers, with the rules for leaves that are out of range: beyond the highest
 * basic leaf the answer is that of AMD processors, all zeros.
 */
struct cpuid_regs cpuid_query(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);

/* Replaces or appends a row; -ENOSPC when the table is full. */
int cpuid_set(struct cpuid_table *table, const struct cpuid_entry *entry);

/* The host's own instruction. */
struct cpuid_regs cpuid_host(uint32_t leaf, uint32_t subleaf);
