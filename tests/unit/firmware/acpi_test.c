/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI tables: addresses and checksums, and that the reference compiler reads and rebuilds each of
 * them. */
#include "firmware/acpi.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/macros.h"

#define BASE 0x7ff00000u

static const struct acpi_device devices[] = {
	{ .name = "COM1", .hid = "PNP0501", .uid = 1, .io = { { 0x3f8, 8 } }, .irqs = { 4 } },
	{ .name = "PIT_", .hid = "PNP0100", .io = { { 0x40, 4 } }, .irq0 = true },
	{ .name = "HPET", .hid = "PNP0103", .memory = { 0xfed00000, 0x400 } },
	{ .name = NULL },
	{ .name = "PEVT", .hid = "QEMU0001", .io = { { 0x505, 1 } } },
};

static const struct acpi_override overrides[] = { { 0, 2, false }, { 9, 9, true } };
static const uint8_t gsis[] = { 16, 17, 18, 19 }, irqs[] = { 10, 11, 10, 11 };

static const struct acpi_platform small = {
	.vcpus = 2,
	.lapic_base = 0xfee00000,
	.ioapic_base = 0xfec00000,
	.overrides = overrides,
	.override_count = ARRAY_SIZE(overrides),
	.pm_event_port = 0x600,
	.pm_control_port = 0x604,
	.pm_timer_port = 0x608,
	.sci_irq = 9,
	.s5_type = 5,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.command_port = 0xb2,
	.acpi_enable = 2,
	.acpi_disable = 3,
	.hpet_base = 0xfed00000,
	.hpet_id = 0x8086a201,
	.ecam = { 0xe0000000, 0x10000000 },
	.pci_memory = { { 0x80000000, 0x60000000 }, { 0x200000000, 0x1000000000 } },
	.intx = { 4, gsis, irqs },
	.devices = devices,
	.device_count = ARRAY_SIZE(devices),
};

static uint8_t sum(const void *bytes, size_t count)
{
	const uint8_t *p = bytes;
	uint8_t total = 0;

	while (count--)
		total = (uint8_t)(total + *p++);
	return total;
}

static const uint8_t *at(const struct str *tables, uint64_t address)
{
	assert_in_range(address, BASE, BASE + tables->length - 36);
	return (const uint8_t *)tables->text + (address - BASE);
}

/* The table of that signature, found as an operating system does; checks what it passes. */
static const uint8_t *find(const struct str *tables, const uint8_t *rsdp, const char *signature)
{
	const uint8_t *xsdt = at(tables, le64_get(rsdp + 24));
	const uint8_t *found = NULL;

	assert_int_equal(sum(xsdt, le32_get(xsdt + 4)), 0);
	for (unsigned i = 36; i < le32_get(xsdt + 4); i += 8) {
		const uint8_t *table = at(tables, le64_get(xsdt + i));

		assert_int_equal(sum(table, le32_get(table + 4)), 0);
		if (!memcmp(table, signature, 4))
			found = table;
	}
	return found;
}

static void build(const struct acpi_platform *platform, struct str *tables, uint8_t *rsdp)
{
	assert_int_equal(acpi_build(platform, BASE, tables, rsdp), 0);
}

static void rsdp_after_build_has_both_checksums(void **state)
{
	struct str tables;
	uint8_t rsdp[ACPI_RSDP_BYTES];

	(void)state;
	build(&small, &tables, rsdp);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, sizeof(rsdp)), 0);
	str_fini(&tables);
}

static void tables_of_other_base_have_same_size(void **state)
{
	struct str tables, moved;
	uint8_t rsdp[ACPI_RSDP_BYTES];

	(void)state;
	build(&small, &tables, rsdp);
	assert_int_equal(acpi_build(&small, 0, &moved, rsdp), 0);
	assert_int_equal(tables.length, moved.length);
	str_fini(&tables);
	str_fini(&moved);
}

static void fadt_points_to_facs_and_dsdt(void **state)
{
	struct str tables;
	uint8_t rsdp[ACPI_RSDP_BYTES];
	const uint8_t *fadt, *dsdt;

	(void)state;
	build(&small, &tables, rsdp);
	fadt = find(&tables, rsdp, "FACP");
	assert_non_null(fadt);
	dsdt = at(&tables, le64_get(fadt + 140));
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_int_equal(sum(dsdt, le32_get(dsdt + 4)), 0);
	assert_memory_equal(at(&tables, le32_get(fadt + 36)), "FACS", 4);
	assert_int_equal(le32_get(fadt + 36) % 64, 0);
	assert_int_equal(le32_get(fadt + 120), 0xcf9);
	str_fini(&tables);
}

/* Counts entries of a type in the MADT. */
static unsigned count_entries(const uint8_t *madt, uint8_t type)
{
	unsigned count = 0;

	for (uint32_t i = 44; i < le32_get(madt + 4); i += madt[i + 1]) {
		assert_in_range(madt[i + 1], 2, le32_get(madt + 4) - i);
		count += madt[i] == type;
	}
	return count;
}

static void madt_beyond_254_has_x2apic_entries(void **state)
{
	static const struct {
		unsigned vcpus, lapics, x2apics, x2apic_nmis;
	} cases[] = {
		{ 1, 1, 0, 0 }, { 255, 255, 0, 0 }, { 256, 255, 1, 1 }, { 1024, 255, 769, 1 }
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct acpi_platform platform = small;
		struct str tables;
		uint8_t rsdp[ACPI_RSDP_BYTES];
		const uint8_t *madt;

		platform.vcpus = cases[i].vcpus;
		build(&platform, &tables, rsdp);
		madt = find(&tables, rsdp, "APIC");
		assert_int_equal(count_entries(madt, 0), cases[i].lapics);
		assert_int_equal(count_entries(madt, 9), cases[i].x2apics);
		assert_int_equal(count_entries(madt, 1), 1);
		assert_int_equal(count_entries(madt, 2), 2);
		assert_int_equal(count_entries(madt, 4), 1);
		assert_int_equal(count_entries(madt, 10), cases[i].x2apic_nmis);
		str_fini(&tables);
	}
}

static void write_table(const char *folder, const char *name, const uint8_t *table)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.aml", folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(table, 1, le32_get(table + 4), file), le32_get(table + 4));
	assert_int_equal(fclose(file), 0);
}

/*
 * Disassembles each table without a complaint, compiles the result, and compares the disassembly of
 * that: as source, since the compiler picks shorter encodings of lengths.
 */
static const char round_trip[] =
	"set -e; cd %s; trap 'test $? = 0 || cat log' EXIT\n"
	"source() { sed '/^Raw Table/,$d;s/^ *\\*.*//;s/^\\[.*\\(Length\\|Checksum\\|Compiler\\).*//' \"$1\"; }\n"
	"for table in *.aml; do name=${table%%.aml}\n"
	"iasl -d $table >log 2>&1; ! grep -iE 'error|warning|invalid' log\n"
	"iasl -oa -we -p ${name}_new $name.dsl >log 2>&1\n"
	"iasl -d -p ${name}_again ${name}_new.aml >log 2>&1\n"
	"source $name.dsl >a; source ${name}_again.dsl >b; diff a b >log\n"
	"done; rm -r \"$PWD\"";

static void tables_through_iasl_and_back_are_the_same(void **state)
{
	static const char *const names[] = { "DSDT", "FACP", "APIC", "MCFG", "HPET" };
	char folder[] = "/tmp/cella-acpi-XXXXXX";
	struct acpi_platform platform = small;
	uint8_t rsdp[ACPI_RSDP_BYTES];
	char command[sizeof(round_trip) + sizeof(folder)];
	struct str tables;
	int status;

	(void)state;
	platform.vcpus = 300;
	build(&platform, &tables, rsdp);
	assert_non_null(mkdtemp(folder));
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		const uint8_t *fadt = find(&tables, rsdp, "FACP");
		const uint8_t *table =
			i ? find(&tables, rsdp, names[i]) : at(&tables, le64_get(fadt + 140));

		write_table(folder, names[i], table);
	}
	snprintf(command, sizeof(command), round_trip, folder);
	status = system(command);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	str_fini(&tables);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rsdp_after_build_has_both_checksums),
		cmocka_unit_test(tables_of_other_base_have_same_size),
		cmocka_unit_test(fadt_points_to_facs_and_dsdt),
		cmocka_unit_test(madt_beyond_254_has_x2apic_entries),
		cmocka_unit_test(tables_through_iasl_and_back_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
