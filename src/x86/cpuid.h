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

/* What of the answers depends on the processor that asks and on the state it is in. */
struct cpuid_vcpu {
	uint32_t apic_id;
	uint64_t cr4;
	uint64_t xcr0, xss; /* xcr0 0 counts as x87 alone */
};

/*
 * As cpuid_query(), with the fields of that processor: APIC ids in leaves 1, 0xb, 0x1f and
 * 0x8000001e, OSXSAVE and OSPKE, and the sizes of leaf 0xd for what XCR0 and XSS enable.
 */
struct cpuid_regs cpuid_for_vcpu(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf,
				 const struct cpuid_vcpu *vcpu);

/* Bytes of a standard XSAVE image with these components, by the table's leaf 0xd. */
uint32_t cpuid_xsave_size(const struct cpuid_table *table, uint64_t xcr0);

/* The components that the table lets a guest enable in XCR0; x87 and SSE when it has no XSAVE. */
uint64_t cpuid_xcr0_mask(const struct cpuid_table *table);

/* Whether leaf 0 is an AMD processor's, or one of Hygon, which makes the same. */
bool cpuid_vendor_amd(struct cpuid_regs leaf0);

/* The host's own instruction. */
struct cpuid_regs cpuid_host(uint32_t leaf, uint32_t subleaf);
