/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Features, CPU models and the CPUID tables that come from them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "base/macros.h"
#include "x86/model.h"

#define AVX512_XCR0 UINT64_C(0xe7)

static const struct cpu_host host = { .brand = "Some Processor 3000", .tsc_khz = 2400000 };

static void set_vendor(struct cpuid_table *table, const char *vendor)
{
	struct cpuid_entry entry = { .leaf = 0, .regs.eax = 0xd };

	memcpy(&entry.regs.ebx, vendor, 4);
	memcpy(&entry.regs.edx, vendor + 4, 4);
	memcpy(&entry.regs.ecx, vendor + 8, 4);
	assert_int_equal(cpuid_set(table, &entry), 0);
}

/* An engine that offers every feature there is but `lacking`. */
static struct cpuid_table everything(const char *vendor, enum cpu_feature lacking)
{
	static const struct {
		uint32_t component, size, offset;
	} areas[] = { { 2, 256, 576 },
		      { 5, 64, 1088 },
		      { 6, 512, 1152 },
		      { 7, 1024, 1664 },
		      { 9, 8, 2688 } };
	struct cpuid_table table = { 0 };
	struct cpu_feature_set all = { 0 };

	set_vendor(&table, vendor);
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		if (f != (unsigned)lacking)
			cpu_features_add(&all, f);
	}
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
		const struct cpu_feature_row *row = &cpu_feature_table[f];
		struct cpuid_entry entry = { .leaf = row->leaf,
					     .subleaf = row->subleaf,
					     .indexed = row->leaf == 7 || row->leaf == 0xd };

		if (row->leaf == 1)
			entry.regs.eax = 0x00a20f10;
		if (row->leaf == 0x80000008)
			entry.regs.eax = 0x3030;
		cpu_features_put(&all, &entry);
		assert_int_equal(cpuid_set(&table, &entry), 0);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(areas); i++) {
		struct cpuid_entry entry = { .leaf = 0xd,
					     .subleaf = areas[i].component,
					     .indexed = true,
					     .regs = { areas[i].size, areas[i].offset, 0, 0 } };

		assert_int_equal(cpuid_set(&table, &entry), 0);
	}
	return table;
}

static struct cpuid_table resolve(const char *name, const struct cpuid_table *supported,
				  unsigned vcpus)
{
	struct cpuid_table table = { 0 };
	struct err err = ERR_INIT;

	if (cpu_model_resolve(&table, name, supported, &host, vcpus, &err))
		fail_msg("%s: %s", name, err.text);
	return table;
}

static void features_every_row_has_own_bit_and_name(void **state)
{
	(void)state;
	for (unsigned a = FEATURE_NONE + 1; a < FEATURE_COUNT; a++) {
		const struct cpu_feature_row *x = &cpu_feature_table[a];

		assert_int_equal(cpu_feature_find(x->name), a);
		assert_true(x->bit < 32);
		for (unsigned b = a + 1; b < FEATURE_COUNT; b++) {
			const struct cpu_feature_row *y = &cpu_feature_table[b];

			assert_false(x->leaf == y->leaf && x->subleaf == y->subleaf &&
				     x->reg == y->reg && x->bit == y->bit);
		}
	}
}

static void features_close_takes_dependents(void **state)
{
	struct cpu_feature_set set = { 0 };

	(void)state;
	for (unsigned f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++)
		cpu_features_add(&set, f);
	cpu_features_remove(&set, FEATURE_XSAVE);
	cpu_features_close(&set);
	assert_false(cpu_features_have(&set, FEATURE_AVX));
	assert_false(cpu_features_have(&set, FEATURE_AVX512VBMI2));
	assert_false(cpu_features_have(&set, FEATURE_XSAVES));
	assert_false(cpu_features_have(&set, FEATURE_PKU));
	assert_true(cpu_features_have(&set, FEATURE_SSE4_2));
}

static void model_each_is_complete_in_itself(void **state)
{
	struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);

	(void)state;
	for (const struct cpu_model *model = cpu_models; model->name; model++) {
		struct cpuid_table table = resolve(model->name, &supported, 1);
		struct cpu_feature_set set = cpu_features_of(&table), closed = set;

		cpu_features_close(&closed);
		assert_memory_equal(&set, &closed, sizeof(set));
		for (const struct cpu_model *m = model; m; m = m->base) {
			for (const enum cpu_feature *f = m->features; f && *f; f++)
				assert_true(cpu_features_have(&set, *f));
		}
		assert_true(cpu_features_have(&set, FEATURE_HYPERVISOR));
		assert_true(cpu_features_have(&set, FEATURE_KVM_MSI_EXT_DEST_ID));
	}
}

static void model_host_offers_all_that_is_supported(void **state)
{
	struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);
	struct cpuid_table table = resolve("host", &supported, 1);
	struct cpu_feature_set a = cpu_features_of(&supported), b = cpu_features_of(&table);

	(void)state;
	assert_memory_equal(&a, &b, sizeof(a));
}

static void model_host_drops_what_lost_its_base(void **state)
{
	struct cpuid_table supported = everything("GenuntelineI", FEATURE_XSAVE);
	struct cpuid_table table = resolve("host", &supported, 1);

	(void)state;
	assert_false(cpu_feature_present(&table, FEATURE_AVX));
	assert_null(cpuid_find(&table, 0xd, 0));
	assert_int_equal(cpuid_xcr0_mask(&table), 3);
}

static void model_missing_features_are_named(void **state)
{
	static const struct {
		const char *name;
		enum cpu_feature lacking;
		const char *word;
	} cases[] = {
		{ "x86-64-v1", FEATURE_NX, "nx" },
		{ "x86-64-v2", FEATURE_CX16, "cx16" },
		{ "x86-64-v3", FEATURE_AVX2, "avx2" },
		{ "x86-64-v4", FEATURE_AVX512CD, "avx512cd" },
		{ "x86-64-v1,+sha", FEATURE_SHA, "sha" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_table supported = everything("AuthcAMDenti", cases[i].lacking);
		struct cpuid_table table = { 0 };
		struct err err = ERR_INIT;
		int rc = cpu_model_resolve(&table, cases[i].name, &supported, &host, 1, &err);

		assert_int_equal(rc, -ENOTSUP);
		assert_non_null(strstr(err.text, cases[i].word));
		assert_int_equal(table.count, 0);
	}
}

static void model_bad_names_are_refused(void **state)
{
	static const char *const names[] = {
		"",
		"hos",
		"host2",
		"host,",
		"host,aes",
		"host,+",
		"host,+nothing",
		"x86-64-v2,+avx2",
		"host,-x-y-z,",
		"x86-64-v5,+aes",
		"host,+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	};
	struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct cpuid_table table = { 0 };
		struct err err = ERR_INIT;

		assert_int_equal(cpu_model_resolve(&table, names[i], &supported, &host, 1, &err),
				 -EINVAL);
		assert_true(err.text[0]);
	}
}

static void model_words_add_and_take_away(void **state)
{
	struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);
	struct cpuid_table table = resolve("x86-64-v3,+sha,-xsave", &supported, 1);

	(void)state;
	assert_true(cpu_feature_present(&table, FEATURE_SHA));
	assert_false(cpu_feature_present(&table, FEATURE_XSAVE));
	assert_false(cpu_feature_present(&table, FEATURE_AVX2));
	assert_true(cpu_feature_present(&table, FEATURE_BMI2));
}

static void model_identity_is_the_engines(void **state)
{
	static const char *const vendors[] = { "AuthcAMDenti", "GenuntelineI" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(vendors); i++) {
		struct cpuid_table supported = everything(vendors[i], FEATURE_NONE);
		struct cpuid_table table = resolve("x86-64-v2", &supported, 1);
		struct cpuid_regs id = cpuid_query(&table, 0, 0),
				  brand = cpuid_query(&table, 0x80000002, 0);

		assert_memory_equal(&id.ebx, &supported.entries[0].regs.ebx, 12);
		assert_int_equal(cpuid_query(&table, 1, 0).eax, 0x00a20f10);
		assert_int_equal(cpuid_query(&table, 0x80000008, 0).eax, 0x3030);
		assert_memory_equal(&brand, "Cella x86-64-v2", 16);
		table = resolve("host", &supported, 1);
		brand = cpuid_query(&table, 0x80000002, 0);
		assert_memory_equal(&brand, "Some Processor 3", 16);
	}
}

static void model_topology_counts_cores_of_one_socket(void **state)
{
	static const struct {
		unsigned vcpus, bits;
	} cases[] = {
		{ 1, 0 }, { 2, 1 }, { 3, 2 }, { 64, 6 }, { 255, 8 }, { 300, 9 }, { 1024, 10 }
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);
		struct cpuid_table table = resolve("host", &supported, cases[i].vcpus);
		const struct cpuid_vcpu vcpu = { .apic_id = cases[i].vcpus - 1 };
		struct cpuid_regs core = cpuid_for_vcpu(&table, 0xb, 1, &vcpu);

		assert_int_equal(core.eax, cases[i].bits);
		assert_int_equal(core.ebx, cases[i].vcpus);
		assert_int_equal(core.ecx, 0x201);
		assert_int_equal(core.edx, vcpu.apic_id);
		assert_int_equal(cpuid_for_vcpu(&table, 0x1f, 7, &vcpu).edx, vcpu.apic_id);
		assert_int_equal(cpuid_for_vcpu(&table, 1, 0, &vcpu).ebx >> 24,
				 vcpu.apic_id & 0xff);
		assert_int_equal(cpuid_query(&table, 0x80000008, 0).ecx >> 12, cases[i].bits);
		assert_int_equal(cpuid_for_vcpu(&table, 0x8000001e, 0, &vcpu).eax, vcpu.apic_id);
		assert_int_equal(cpuid_query(&table, 1, 0).edx >> 28 & 1, cases[i].vcpus > 1);
	}
}

static void model_xsave_leaf_fits_the_features(void **state)
{
	static const struct {
		const char *name;
		uint64_t xcr0;
		uint32_t bytes;
	} cases[] = {
		{ "x86-64-v3", 0x7, 832 },
		{ "x86-64-v4", AVX512_XCR0, 2688 },
		{ "host", AVX512_XCR0 | BIT(9), 2696 },
		{ "host,-avx512f", 0x7 | BIT(9), 2696 },
	};
	struct cpuid_table supported = everything("GenuntelineI", FEATURE_NONE);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct cpuid_table table = resolve(cases[i].name, &supported, 1);
		const struct cpuid_vcpu fresh = { .xcr0 = 1 }, full = { .xcr0 = cases[i].xcr0 };

		assert_int_equal(cpuid_xcr0_mask(&table), cases[i].xcr0);
		assert_int_equal(cpuid_query(&table, 0xd, 0).ecx, cases[i].bytes);
		assert_int_equal(cpuid_for_vcpu(&table, 0xd, 0, &fresh).ebx, 576);
		assert_int_equal(cpuid_for_vcpu(&table, 0xd, 0, &full).ebx, cases[i].bytes);
	}
}

static void cpuid_vcpu_os_bits_follow_cr4(void **state)
{
	struct cpuid_table supported = everything("GenuntelineI", FEATURE_NONE);
	struct cpuid_table table = resolve("host", &supported, 1);
	struct cpuid_table plain = resolve("x86-64-v2", &supported, 1);
	const struct cpuid_vcpu off = { 0 }, on = { .cr4 = BIT(18) | BIT(22) };

	(void)state;
	assert_int_equal(cpuid_for_vcpu(&table, 1, 0, &off).ecx >> 27 & 1, 0);
	assert_int_equal(cpuid_for_vcpu(&table, 1, 0, &on).ecx >> 27 & 1, 1);
	assert_int_equal(cpuid_for_vcpu(&plain, 1, 0, &on).ecx >> 27 & 1, 0);
	assert_int_equal(cpuid_for_vcpu(&table, 7, 0, &off).ecx >> 4 & 1, 0);
	assert_int_equal(cpuid_for_vcpu(&table, 7, 0, &on).ecx >> 4 & 1, 1);
}

static void model_hypervisor_leaves_name_kvm_and_clock(void **state)
{
	struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);
	struct cpuid_table table = resolve("x86-64-v1", &supported, 1);
	struct cpuid_regs signature = cpuid_query(&table, 0x40000000, 0);

	(void)state;
	assert_memory_equal(&signature.ebx, "KVMKVMKVM\0\0\0", 12);
	assert_true(signature.eax >= 0x40000010);
	assert_true(cpuid_query(&table, 0x40000001, 0).eax & BIT(15));
	assert_int_equal(cpuid_query(&table, 0x40000010, 0).eax, 2400000);
	assert_int_equal(cpuid_query(&table, 0x40000010, 0).ebx, 1000000);
}

static void feature_msrs_follow_their_feature(void **state)
{
	struct cpuid_table supported = everything("AuthcAMDenti", FEATURE_NONE);

	(void)state;
	for (size_t i = 0; i < cpu_feature_msrs_count; i++) {
		const struct cpu_feature_msrs *row = &cpu_feature_msrs[i];
		struct cpuid_table without = supported;

		assert_true(cpu_feature_msrs_present(&supported, row));
		for (unsigned n = 0; n < ARRAY_SIZE(row->features) && row->features[n]; n++) {
			const struct cpu_feature_row *f = &cpu_feature_table[row->features[n]];

			for (uint32_t e = 0; e < without.count; e++) {
				if (without.entries[e].leaf == f->leaf)
					without.entries[e].regs = (struct cpuid_regs){ 0 };
			}
		}
		assert_false(cpu_feature_msrs_present(&without, row));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features_every_row_has_own_bit_and_name),
		cmocka_unit_test(features_close_takes_dependents),
		cmocka_unit_test(model_each_is_complete_in_itself),
		cmocka_unit_test(model_host_offers_all_that_is_supported),
		cmocka_unit_test(model_host_drops_what_lost_its_base),
		cmocka_unit_test(model_missing_features_are_named),
		cmocka_unit_test(model_bad_names_are_refused),
		cmocka_unit_test(model_words_add_and_take_away),
		cmocka_unit_test(model_identity_is_the_engines),
		cmocka_unit_test(model_topology_counts_cores_of_one_socket),
		cmocka_unit_test(model_xsave_leaf_fits_the_features),
		cmocka_unit_test(cpuid_vcpu_os_bits_follow_cr4),
		cmocka_unit_test(model_hypervisor_leaves_name_kvm_and_clock),
		cmocka_unit_test(feature_msrs_follow_their_feature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
