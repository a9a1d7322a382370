/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI's static tables (see acpi.h).
 *
 * Tables are appended one after another; their addresses are known as they are written, so the
 * order is from leaves to root. Pure functions. Spec: ACPI 6.5, section 5.2.
 */
#include "firmware/acpi.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

enum {
	HEADER_BYTES = 36,
	FADT_BYTES = 276,
	FACS_BYTES = 64,
	HPET_BYTES = 56,
	TABLE_ALIGN = 64,

	LAPIC_ID_MAX = 254, /* 255 is the broadcast id; from there on x2APIC entries */
};

/* FADT, section 5.2.9: IA-PC boot architecture flags and fixed feature flags. */
enum {
	BOOT_LEGACY_DEVICES = 1 << 0,
	BOOT_8042 = 1 << 1,
	BOOT_NO_VGA = 1 << 2,

	FEATURE_WBINVD = 1 << 0,
	FEATURE_PROC_C1 = 1 << 2,
	FEATURE_NO_SLEEP_BUTTON = 1 << 5,
	FEATURE_TIMER_32 = 1 << 8,
	FEATURE_RESET_REGISTER = 1 << 10,
	FEATURE_HEADLESS = 1 << 12,
};

enum gas_space { GAS_MEMORY = 0, GAS_IO = 1 };

struct tables {
	struct str *bytes;
	uint32_t base;
};

static uint8_t checksum(const void *bytes, size_t count)
{
	const uint8_t *p = bytes;
	uint8_t sum = 0;

	while (count--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void add_zeros(struct str *bytes, size_t count)
{
	static const uint8_t zeros[FADT_BYTES];

	while (count) {
		size_t some = MIN(count, sizeof(zeros));

		str_add_bytes(bytes, zeros, some);
		count -= some;
	}
}

static void add_value(struct str *bytes, uint64_t value, unsigned size)
{
	uint8_t raw[8];

	le_put(raw, value, size);
	str_add_bytes(bytes, raw, size);
}

static void add_aligned(struct tables *tables)
{
	add_zeros(tables->bytes, -tables->bytes->length % TABLE_ALIGN);
}

/* Begins a table and returns where; the header is completed by end_table(). Spec: section 5.2.6. */
static size_t begin_table(struct tables *tables, const char *signature, uint8_t revision)
{
	uint8_t header[HEADER_BYTES] = { 0 };
	size_t at;

	add_aligned(tables);
	at = tables->bytes->length;
	memcpy(header, signature, 4);
	header[8] = revision;
	memcpy(header + 10, "CELLA CELLAPC ", 14);
	le32_put(header + 24, 1);
	memcpy(header + 28, "CELA", 4);
	le32_put(header + 32, 1);
	str_add_bytes(tables->bytes, header, sizeof(header));
	return at;
}

/* Returns the table's address. */
static uint32_t end_table(struct tables *tables, size_t at)
{
	size_t length = tables->bytes->length - at;
	char *table;

	if (tables->bytes->failed)
		return 0;
	table = tables->bytes->text + at;
	le32_put(table + 4, (uint32_t)length);
	table[9] = (char)checksum(table, length);
	return tables->base + (uint32_t)at;
}

/* Generic address structure. Spec: section 5.2.3.2. */
static void put_gas(uint8_t *p, enum gas_space space, unsigned bits, uint64_t address)
{
	static const uint8_t access[] = { [8] = 1, [16] = 2, [32] = 3, [64] = 0 };

	p[0] = (uint8_t)space;
	p[1] = (uint8_t)bits;
	p[3] = access[bits];
	le64_put(p + 4, address);
}

/* Spec: section 5.2.10. */
static uint32_t add_facs(struct tables *tables)
{
	uint8_t facs[FACS_BYTES] = { 'F', 'A', 'C', 'S', FACS_BYTES };
	size_t at;

	add_aligned(tables);
	at = tables->bytes->length;
	facs[32] = 2;
	str_add_bytes(tables->bytes, facs, sizeof(facs));
	return tables->base + (uint32_t)at;
}

static uint32_t add_dsdt(struct tables *tables, const struct acpi_platform *platform)
{
	size_t at = begin_table(tables, "DSDT", 2);

	acpi_dsdt(platform, tables->bytes);
	return end_table(tables, at);
}

/* Spec: section 5.2.9. The numbers are the offsets of its table. */
static uint32_t add_fadt(struct tables *tables, const struct acpi_platform *platform, uint32_t facs,
			 uint32_t dsdt)
{
	size_t at = begin_table(tables, "FACP", 6);
	uint8_t fadt[FADT_BYTES] = { 0 };

	le32_put(fadt + 36, facs);
	le32_put(fadt + 40, dsdt);
	le16_put(fadt + 46, platform->sci_irq);
	le32_put(fadt + 48, platform->command_port);
	fadt[52] = platform->acpi_enable;
	fadt[53] = platform->acpi_disable;
	le32_put(fadt + 56, platform->pm_event_port);
	le32_put(fadt + 64, platform->pm_control_port);
	le32_put(fadt + 76, platform->pm_timer_port);
	fadt[88] = 4;
	fadt[89] = 2;
	fadt[91] = 4;
	/* Latencies so long mean that the C2 and C3 states do not exist. */
	le16_put(fadt + 96, 0xfff);
	le16_put(fadt + 98, 0xfff);
	fadt[108] = 0x32;
	le16_put(fadt + 109, BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA);
	le32_put(fadt + 112, FEATURE_WBINVD | FEATURE_PROC_C1 | FEATURE_NO_SLEEP_BUTTON |
				     FEATURE_TIMER_32 | FEATURE_RESET_REGISTER | FEATURE_HEADLESS);
	put_gas(fadt + 116, GAS_IO, 8, platform->reset_port);
	fadt[128] = platform->reset_value;
	fadt[131] = 5;
	le64_put(fadt + 140, dsdt);
	put_gas(fadt + 148, GAS_IO, 32, platform->pm_event_port);
	put_gas(fadt + 172, GAS_IO, 16, platform->pm_control_port);
	put_gas(fadt + 208, GAS_IO, 32, platform->pm_timer_port);
	memcpy(fadt + 268, "Cella", 5);
	str_add_bytes(tables->bytes, fadt + HEADER_BYTES, sizeof(fadt) - HEADER_BYTES);
	return end_table(tables, at);
}

/* Flags of MADT entries. Spec: tables 5.22 and 5.25. */
enum { MADT_ENABLED = 1, MADT_HIGH_LEVEL = 0xd };

static void add_processor(struct str *bytes, uint32_t id)
{
	if (id <= LAPIC_ID_MAX) {
		add_value(bytes, 0x0800, 2);
		add_value(bytes, id, 1);
		add_value(bytes, id, 1);
		add_value(bytes, MADT_ENABLED, 4);
		return;
	}
	add_value(bytes, 0x1009, 2);
	add_value(bytes, 0, 2);
	add_value(bytes, id, 4);
	add_value(bytes, MADT_ENABLED, 4);
	add_value(bytes, id, 4);
}

static void add_override(struct str *bytes, const struct acpi_override *override)
{
	add_value(bytes, 0x0a02, 2);
	add_value(bytes, 0, 1);
	add_value(bytes, override->irq, 1);
	add_value(bytes, override->gsi, 4);
	add_value(bytes, override->level ? MADT_HIGH_LEVEL : 0, 2);
}

/* LINT1 of every processor is its NMI pin. */
static void add_nmi_pins(struct str *bytes, unsigned vcpus)
{
	add_value(bytes, 0x0604, 2);
	add_value(bytes, 0xff, 1);
	add_value(bytes, 0, 2);
	add_value(bytes, 1, 1);
	if (vcpus <= LAPIC_ID_MAX + 1)
		return;
	add_value(bytes, 0x0c0a, 2);
	add_value(bytes, 0, 2);
	add_value(bytes, UINT32_MAX, 4);
	add_value(bytes, 1, 4);
}

/* Spec: section 5.2.12. */
static uint32_t add_madt(struct tables *tables, const struct acpi_platform *platform)
{
	struct str *bytes = tables->bytes;
	size_t at = begin_table(tables, "APIC", 5);

	add_value(bytes, platform->lapic_base, 4);
	add_value(bytes, 1, 4); /* there is a PIC pair, too */
	for (unsigned i = 0; i < platform->vcpus; i++)
		add_processor(bytes, i);
	add_value(bytes, 0x0c01, 2);
	add_value(bytes, platform->ioapic_id, 2);
	add_value(bytes, platform->ioapic_base, 4);
	add_value(bytes, 0, 4);
	for (size_t i = 0; i < platform->override_count; i++)
		add_override(bytes, &platform->overrides[i]);
	add_nmi_pins(bytes, platform->vcpus);
	return end_table(tables, at);
}

/* Spec: PCI Firmware 3.3, section 4.1.2. */
static uint32_t add_mcfg(struct tables *tables, const struct acpi_platform *platform)
{
	size_t at = begin_table(tables, "MCFG", 1);

	add_zeros(tables->bytes, 8);
	add_value(tables->bytes, platform->ecam.base, 8);
	add_value(tables->bytes, 0, 2);
	add_value(tables->bytes, 0, 1);
	add_value(tables->bytes, platform->ecam.size / MIB - 1, 1);
	add_zeros(tables->bytes, 4);
	return end_table(tables, at);
}

/* Spec: IA-PC HPET 1.0a, section 3.2.4. */
static uint32_t add_hpet(struct tables *tables, const struct acpi_platform *platform)
{
	uint8_t hpet[HPET_BYTES] = { 0 };
	size_t at = begin_table(tables, "HPET", 1);

	le32_put(hpet + 36, platform->hpet_id);
	put_gas(hpet + 40, GAS_MEMORY, 64, platform->hpet_base);
	le16_put(hpet + 53, 100);
	str_add_bytes(tables->bytes, hpet + HEADER_BYTES, sizeof(hpet) - HEADER_BYTES);
	return end_table(tables, at);
}

/* Spec: section 5.2.5.3. */
static void put_rsdp(uint8_t rsdp[ACPI_RSDP_BYTES], uint32_t xsdt)
{
	memset(rsdp, 0, ACPI_RSDP_BYTES);
	memcpy(rsdp, "RSD PTR ", 8);
	memcpy(rsdp + 9, "CELLA ", 6);
	rsdp[15] = 2;
	le32_put(rsdp + 20, ACPI_RSDP_BYTES);
	le64_put(rsdp + 24, xsdt);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, ACPI_RSDP_BYTES);
}

int acpi_build(const struct acpi_platform *platform, uint32_t base, struct str *ret_tables,
	       uint8_t ret_rsdp[ACPI_RSDP_BYTES])
{
	struct str bytes = { 0 };
	struct tables tables = { .bytes = &bytes, .base = base };
	uint32_t facs = add_facs(&tables);
	uint32_t dsdt = add_dsdt(&tables, platform);
	uint32_t listed[4];
	unsigned count = 0;
	size_t xsdt;

	listed[count++] = add_fadt(&tables, platform, facs, dsdt);
	listed[count++] = add_madt(&tables, platform);
	listed[count++] = add_mcfg(&tables, platform);
	if (platform->hpet_base)
		listed[count++] = add_hpet(&tables, platform);
	xsdt = begin_table(&tables, "XSDT", 1);
	for (unsigned i = 0; i < count; i++)
		add_value(&bytes, listed[i], 8);
	put_rsdp(ret_rsdp, end_table(&tables, xsdt));
	if (bytes.failed) {
		str_fini(&bytes);
		return -ENOMEM;
	}
	*ret_tables = bytes;
	return 0;
}
