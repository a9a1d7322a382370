/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The leaves of a machine's CPUID table: feature bits from a set of features; topology, caches and
 * hypervisor leaves by rule; identity and address widths as the engine reports them.
 *
 * The topology is one socket of `vcpus` cores without threads, APIC ids from 0. Caches are those of
 * a plain server: 32 KiB + 32 KiB and 1 MiB a core, 16 MiB for all.
 *
 * Spec: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E; Linux
 * Documentation/virt/kvm/x86/cpuid.rst; leaf 0x40000010: "Hypervisor CPUID Interface Proposal".
 */
#include "x86/model_priv.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/macros.h"
#include "x86/registers.h"

#define MAX_BASIC_LEAF      0x1f
#define MAX_HYPERVISOR_LEAF 0x40000010
#define MAX_EXTENDED_INTEL  0x80000008
#define MAX_EXTENDED_AMD    0x80000021

#define LAPIC_TIMER_KHZ 1000000 /* both engines count the APIC timer in nanoseconds */
#define LINE_BYTES      64

struct builder {
	const struct cpuid_plan *plan;
	struct cpuid_table *table;
	unsigned id_bits; /* APIC id bits that number the cores */
	bool amd;
	int rc; /* first failure */
};

bool cpuid_is_amd(const struct cpuid_table *table)
{
	struct cpuid_regs regs = cpuid_query(table, 0, 0);

	return !memcmp(&regs.ebx, "Auth", 4) || !memcmp(&regs.ebx, "Hygo", 4);
}

/* Adds a leaf, with the bits of the chosen features that live in it. */
static void put(struct builder *b, uint32_t leaf, int subleaf, struct cpuid_regs regs)
{
	struct cpuid_entry entry = {
		.leaf = leaf,
		.subleaf = subleaf < 0 ? 0 : (uint32_t)subleaf,
		.indexed = subleaf >= 0,
		.regs = regs,
	};

	cpu_features_put(b->plan->features, &entry);
	if (!b->rc)
		b->rc = cpuid_set(b->table, &entry);
}

#define UNINDEXED (-1)

static struct cpuid_regs supported(const struct builder *b, uint32_t leaf, uint32_t subleaf)
{
	return cpuid_query(b->plan->supported, leaf, subleaf);
}

static bool have(const struct builder *b, enum cpu_feature feature)
{
	return cpu_features_have(b->plan->features, feature);
}

struct cache {
	uint8_t level;
	enum { CACHE_DATA = 1, CACHE_CODE, CACHE_UNIFIED } type;
	uint32_t kib, ways;
	bool shared; /* by all cores */
};

static const struct cache caches[] = {
	{ .level = 1, .type = CACHE_DATA, .kib = 32, .ways = 8 },
	{ .level = 1, .type = CACHE_CODE, .kib = 32, .ways = 8 },
	{ .level = 2, .type = CACHE_UNIFIED, .kib = 1024, .ways = 16 },
	{ .level = 3, .type = CACHE_UNIFIED, .kib = 16384, .ways = 16, .shared = true },
};

/* Leaves 4 and 0x8000001d have one form; the count of cores stands in the former only. */
static void put_caches(struct builder *b, uint32_t leaf, uint32_t cores_field)
{
	for (unsigned i = 0; i < ARRAY_SIZE(caches); i++) {
		const struct cache *c = &caches[i];
		uint32_t sharing = c->shared ? MIN(BIT(b->id_bits), BIT(12)) - 1 : 0;
		struct cpuid_regs regs = {
			.eax = c->type | c->level << 5 | 1 << 8 | sharing << 14 | cores_field << 26,
			.ebx = (LINE_BYTES - 1) | (c->ways - 1) << 22,
			.ecx = c->kib * 1024 / LINE_BYTES / c->ways - 1,
		};

		put(b, leaf, (int)i, regs);
	}
	put(b, leaf, ARRAY_SIZE(caches), (struct cpuid_regs){ 0 });
}

/* Threads (one) below cores, then the end. */
static void put_topology(struct builder *b, uint32_t leaf)
{
	put(b, leaf, 0, (struct cpuid_regs){ .eax = 0, .ebx = 1, .ecx = 1 << 8 });
	put(b, leaf, 1,
	    (struct cpuid_regs){
		    .eax = b->id_bits, .ebx = b->plan->vcpus & 0xffff, .ecx = 2 << 8 | 1 });
	put(b, leaf, 2, (struct cpuid_regs){ .ecx = 2 });
}

/* Which component of the XSAVE area comes with which feature. */
static const struct {
	enum cpu_feature feature;
	uint8_t component;
} xsave_components[] = {
	{ FEATURE_AVX, 2 },     { FEATURE_AVX512F, 5 }, { FEATURE_AVX512F, 6 },
	{ FEATURE_AVX512F, 7 }, { FEATURE_PKU, 9 },
};

static void put_xsave(struct builder *b)
{
	uint64_t xcr0 = XCR0_X87 | XCR0_SSE;

	if (!have(b, FEATURE_XSAVE))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(xsave_components); i++) {
		uint8_t component = xsave_components[i].component;
		struct cpuid_regs regs = supported(b, 0xd, component);

		if (!have(b, xsave_components[i].feature) || !regs.eax)
			continue;
		xcr0 |= BIT(component);
		put(b, 0xd, component, regs);
	}
	put(b, 0xd, 0,
	    (struct cpuid_regs){
		    .eax = (uint32_t)xcr0,
		    .ebx = cpuid_xsave_size(b->table, 0),
		    .ecx = cpuid_xsave_size(b->table, xcr0),
	    });
	put(b, 0xd, 1, (struct cpuid_regs){ .ebx = cpuid_xsave_size(b->table, 0) });
}

static void put_basic(struct builder *b)
{
	struct cpuid_regs id = supported(b, 0, 0);
	unsigned addressable = (unsigned)MIN(BIT(b->id_bits), UINT64_C(128));
	uint32_t htt = b->plan->vcpus > 1 ? (uint32_t)BIT(28) : 0;

	id.eax = MAX_BASIC_LEAF;
	put(b, 0, UNINDEXED, id);
	put(b, 1, UNINDEXED,
	    (struct cpuid_regs){
		    .eax = supported(b, 1, 0).eax,
		    .ebx = LINE_BYTES / 8 << 8 | addressable << 16,
		    .edx = htt,
	    });
	if (!b->amd) {
		/* One iteration; caches stand in leaf 4, 64-byte prefetch, no leaf 0x18. */
		put(b, 2, UNINDEXED, (struct cpuid_regs){ .eax = 0x00fff001 });
		put_caches(b, 4, MIN(addressable, 64u) - 1);
	}
	put(b, 6, UNINDEXED, (struct cpuid_regs){ 0 });
	put(b, 7, 0, (struct cpuid_regs){ .eax = 1 });
	put(b, 7, 1, (struct cpuid_regs){ 0 });
	put_topology(b, 0xb);
	put_xsave(b);
	/* Frequencies, where the engine knows its own clock. */
	put(b, 0x15, UNINDEXED, supported(b, 0x15, 0));
	put_topology(b, 0x1f);
}

static void put_hypervisor(struct builder *b)
{
	struct cpuid_regs signature = { .eax = MAX_HYPERVISOR_LEAF };

	/* Guests look for KVM by this name on any engine: it defines the bits of the next leaf. */
	memcpy(&signature.ebx, "KVMKVMKVM\0\0\0", 12);
	put(b, 0x40000000, UNINDEXED, signature);
	put(b, 0x40000001, UNINDEXED, (struct cpuid_regs){ 0 });
	put(b, 0x40000010, UNINDEXED,
	    (struct cpuid_regs){ .eax = (uint32_t)b->plan->tsc_khz, .ebx = LAPIC_TIMER_KHZ });
}

static void put_brand(struct builder *b)
{
	char brand[CPU_BRAND_MAX] = "";

	memcpy(brand, b->plan->brand, MIN(strlen(b->plan->brand), sizeof(brand) - 1));
	for (uint32_t i = 0; i < 3; i++) {
		struct cpuid_regs regs;

		memcpy(&regs, brand + 16 * i, 16);
		put(b, 0x80000002 + i, UNINDEXED, regs);
	}
}

/* Bits of leaf 1 that AMD repeats in leaf 0x80000001. Spec: APM volume 3, E.4.2. */
#define AMD_REPEATED UINT32_C(0x0183f3ff)

static void put_extended_features(struct builder *b)
{
	struct cpuid_regs regs = { 0 };

	if (b->amd) {
		regs.eax = supported(b, 0x80000001, 0).eax;
		regs.edx = cpuid_query(b->table, 1, 0).edx & AMD_REPEATED;
		/* Cores without the threads that leaf 1 might suggest; leaves 0x8000001d, -1e. */
		regs.ecx = (uint32_t)(b->plan->vcpus > 1 ? BIT(1) : 0) | (uint32_t)BIT(22);
	}
	put(b, 0x80000001, UNINDEXED, regs);
}

/* How leaf 0x80000006 writes an associativity. Spec: APM volume 3, table E-4. */
#define AMD_WAYS_16 8u

static void put_amd_caches(struct builder *b)
{
	const uint32_t l1 = 32u << 24 | 8u << 16 | 1u << 8 | LINE_BYTES;
	const uint32_t tlb = 0xff40ff40; /* fully associative, 64 entries each */

	put(b, 0x80000005, UNINDEXED,
	    (struct cpuid_regs){ .eax = tlb, .ebx = tlb, .ecx = l1, .edx = l1 });
	put(b, 0x80000006, UNINDEXED,
	    (struct cpuid_regs){
		    .ecx = 1024u << 16 | AMD_WAYS_16 << 12 | 1u << 8 | LINE_BYTES,
		    .edx = 16384u / 512 << 18 | AMD_WAYS_16 << 12 | 1u << 8 | LINE_BYTES,
	    });
}

static void put_extended(struct builder *b)
{
	struct cpuid_regs id = supported(b, 0, 0);
	uint32_t widths = supported(b, 0x80000008, 0).eax & 0xffff;
	struct cpuid_regs capacity = { .eax = widths ? widths : 48 << 8 | 40 };

	put(b, 0x80000000, UNINDEXED,
	    b->amd ? (struct cpuid_regs){ MAX_EXTENDED_AMD, id.ebx, id.ecx, id.edx }
		   : (struct cpuid_regs){ MAX_EXTENDED_INTEL, 0, 0, 0 });
	put_extended_features(b);
	put_brand(b);
	if (b->amd) {
		put_amd_caches(b);
		capacity.ecx = MIN(b->plan->vcpus - 1, 0xffu) | b->id_bits << 12;
	} else {
		put(b, 0x80000006, UNINDEXED,
		    (struct cpuid_regs){ .ecx = 1024u << 16 | AMD_WAYS_16 << 12 | LINE_BYTES });
	}
	put(b, 0x80000007, UNINDEXED, (struct cpuid_regs){ 0 });
	put(b, 0x80000008, UNINDEXED, capacity);
	if (b->amd) {
		put_caches(b, 0x8000001d, 0);
		put(b, 0x8000001e, UNINDEXED, (struct cpuid_regs){ 0 });
		put(b, 0x80000021, UNINDEXED, (struct cpuid_regs){ 0 });
	}
}

int cpuid_build(struct cpuid_table *table, const struct cpuid_plan *plan)
{
	struct builder b = {
		.plan = plan,
		.table = table,
		.amd = cpuid_is_amd(plan->supported),
	};

	while (BIT(b.id_bits) < plan->vcpus)
		b.id_bits++;
	put_basic(&b);
	put_hypervisor(&b);
	put_extended(&b);
	return b.rc;
}
