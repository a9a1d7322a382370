/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Configuration accesses both ways, BARs, resources, INTx. */
#include "fixture.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t port_config(struct fixture *f, uint32_t address, unsigned port, unsigned size)
{
	bus_write(f->ports, 0xcf8, address, 4);
	return (uint32_t)bus_read(f->ports, port, size);
}

/* Spec: PCI 3.0 3.2.2.3.2 */
static void mechanism1_accesses_follow_address(void **state)
{
	static const struct {
		uint32_t address;
		unsigned port, size;
		uint32_t value;
	} rows[] = {
		{ 0x80000000, 0xcfc, 4, 0x29c08086 }, { 0x80001800, 0xcfc, 4, 0x56781234 },
		{ 0x80001800, 0xcfc, 2, 0x1234 },     { 0x80001800, 0xcfe, 2, 0x5678 },
		{ 0x80001800, 0xcff, 1, 0x56 },       { 0x80001808, 0xcfd, 1, 0x02 },
		{ 0x8000180b, 0xcfc, 1, 0x07 },       /* the low bits of the address do not exist */
		{ 0x00001800, 0xcfc, 4, UINT32_MAX }, /* not enabled */
		{ 0x80011800, 0xcfc, 4, UINT32_MAX }, /* bus 1 */
		{ 0x80001900, 0xcfc, 4, UINT32_MAX }, /* function 1 */
		{ 0x80002000, 0xcfc, 4, UINT32_MAX }, /* empty slot */
		{ 0x80001800, 0xcfe, 4, UINT32_MAX }, /* leaves the ports */
	};
	struct fixture f;

	(void)state;
	fixture_init(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(port_config(&f, rows[i].address, rows[i].port, rows[i].size),
				 rows[i].value);
	fixture_fini(&f);
}

static void mechanism1_narrow_address_write_is_not_latched(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	bus_write(f.ports, 0xcf8, 0x80001800, 4);
	bus_write(f.ports, 0xcf8, 0, 1);
	bus_write(f.ports, 0xcf8, 0, 2);
	bus_write(f.ports, 0xcfa, 0, 2);
	assert_int_equal(bus_read(f.ports, 0xcf8, 4), 0x80001800);
	assert_int_equal(bus_read(f.ports, 0xcf8, 1), 0xff);
	fixture_fini(&f);
}

static void reset_port_rising_edge_asks_once(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	bus_write(f.ports, 0xcf9, 0x02, 1);
	assert_int_equal(f.resets, 0);
	bus_write(f.ports, 0xcf9, 0x06, 1);
	bus_write(f.ports, 0xcf9, 0x06, 1);
	assert_int_equal(f.resets, 1);
	assert_int_equal(bus_read(f.ports, 0xcf9, 1), 0x06);
	fixture_fini(&f);
}

/* Spec: PCIe 4.0 7.2.2 */
static void ecam_accesses_reach_the_function(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(config_get(&f, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_get(&f, PCI_DEVICE_ID, 2), 0x5678);
	assert_true(bus_read(f.mmio, ecam(CARD_SLOT, 0), 8) ==
		    (UINT64_C(0x56781234) | (uint64_t)config_get(&f, 4, 4) << 32));
	assert_int_equal(config_get(&f, 0xfff, 2), 0xffff);
	assert_int_equal(bus_read(f.mmio, ecam(CARD_SLOT, 0) + 0x1000, 2), 0xffff);
	assert_int_equal(bus_read(f.mmio, ecam(CARD_SLOT, 0) + MIB, 2), 0xffff);
	bus_write(f.mmio, ecam(CARD_SLOT, 0) + MIB, 0, 2);
	fixture_fini(&f);
}

static void config_write_changes_only_writable_bits(void **state)
{
	struct fixture f;
	uint8_t before[256];

	(void)state;
	fixture_init(&f);
	memcpy(before, f.card.function.config, sizeof(before));
	for (unsigned reg = 0x40; reg < PCI_CONFIG_BYTES; reg += 4)
		config_set(&f, reg, ~config_get(&f, reg, 4), 4);
	for (unsigned reg = 0; reg < PCI_CONFIG_BYTES; reg++)
		assert_int_equal((f.card.function.config[reg] ^ f.card.function.reset_config[reg]) &
					 ~f.card.function.writable[reg],
				 0);
	config_set(&f, PCI_VENDOR_ID, 0, 4);
	config_set(&f, PCI_CLASS_REVISION, 0, 4);
	assert_memory_equal(f.card.function.config, before, 4);
	assert_memory_equal(f.card.function.config + 8, before + 8, 4);
	config_set(&f, PCI_INTERRUPT_LINE, 5, 1);
	assert_int_equal(config_get(&f, PCI_INTERRUPT_LINE, 1), 5);
	fixture_fini(&f);
}

/* Spec: PCI 3.0 6.2.5.1 */
static void bar_written_with_ones_reads_its_size(void **state)
{
	static const struct {
		unsigned index;
		uint32_t value;
	} rows[] = {
		{ CARD_IO, 0xffffffe1 },    { CARD_MEM32, 0xfffff000 },
		{ CARD_MEM64, 0xffff000c }, { CARD_MEM64 + 1, 0xffffffff },
		{ CARD_MSIX, 0xfffff000 },  { 5, 0 },
	};
	struct fixture f;

	(void)state;
	fixture_init(&f);
	command_set(&f, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned reg = PCI_BASE_ADDRESS_0 + 4 * rows[i].index;
		uint32_t before = config_get(&f, reg, 4);

		config_set(&f, reg, UINT32_MAX, 4);
		assert_int_equal(config_get(&f, reg, 4), rows[i].value);
		config_set(&f, reg, before, 4);
		assert_int_equal(config_get(&f, reg, 4), before);
	}
	fixture_fini(&f);
}

static uint64_t bar_base(struct fixture *f, unsigned index)
{
	struct bus_region *region = &f->card.function.bars[index].region;

	return region->bus ? region->base : 0;
}

static void assign_places_bars_in_their_windows(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(bar_base(&f, CARD_IO), 0xc000);
	assert_in_range(bar_base(&f, CARD_MEM32), MMIO32_BASE, MMIO32_BASE + 0x1fff);
	assert_in_range(bar_base(&f, CARD_MSIX), MMIO32_BASE, MMIO32_BASE + 0x1fff);
	assert_true(bar_base(&f, CARD_MEM32) != bar_base(&f, CARD_MSIX));
	assert_true(bar_base(&f, CARD_MEM64) == MMIO64_BASE);
	assert_int_equal(bus_read(f.ports, 0xc004, 2), 0x1004);
	assert_int_equal(bus_read(f.mmio, MMIO64_BASE + 0x20, 4), 0x1020);
	bus_write(f.mmio, bar_base(&f, CARD_MEM32) + 8, 77, 4);
	assert_int_equal(f.card.last_offset, 8);
	assert_int_equal(f.card.last_value, 77);
	assert_int_equal(config_get(&f, PCI_INTERRUPT_LINE, 1),
			 pci_intx_isa_irq(pci_intx_line(CARD_SLOT, 0)));
	fixture_fini(&f);
}

static void bar_follows_command_and_address(void **state)
{
	struct fixture f;
	uint64_t old;

	(void)state;
	fixture_init(&f);
	old = bar_base(&f, CARD_MEM32);
	command_set(&f, PCI_COMMAND_IO);
	assert_int_equal(bar_base(&f, CARD_MEM32), 0);
	assert_int_equal(bus_read(f.mmio, old, 4), UINT32_MAX);
	assert_int_equal(bar_base(&f, CARD_IO), 0xc000);
	config_set(&f, PCI_BASE_ADDRESS_1, 0xc5000000, 4);
	config_set(&f, PCI_BASE_ADDRESS_2, 0x00010000, 4);
	config_set(&f, PCI_BASE_ADDRESS_3, 0x9, 4);
	command_set(&f, PCI_COMMAND_MEMORY);
	assert_int_equal(bar_base(&f, CARD_IO), 0);
	assert_true(bar_base(&f, CARD_MEM32) == 0xc5000000);
	assert_true(bar_base(&f, CARD_MEM64) == 0x900010000);
	device_reset(&f.card.device);
	assert_true(bar_base(&f, CARD_MEM32) == old);
	assert_true(bar_base(&f, CARD_MEM64) == MMIO64_BASE);
	fixture_fini(&f);
}

static void bar_at_bad_address_stays_unmapped(void **state)
{
	static const uint32_t addresses[] = {
		0,               /* nowhere */
		0xfffff000,      /* sizing */
		ECAM_BASE,       /* taken */
		ECAM_BASE + MIB, /* inside a larger one */
	};
	struct fixture f;

	(void)state;
	fixture_init(&f);
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
		config_set(&f, PCI_BASE_ADDRESS_1, addresses[i], 4);
		assert_int_equal(bar_base(&f, CARD_MEM32), 0);
		assert_int_equal(config_get(&f, PCI_BASE_ADDRESS_1, 4), addresses[i]);
	}
	config_set(&f, PCI_BASE_ADDRESS_3, UINT32_MAX, 4); /* beyond the bus */
	assert_int_equal(bar_base(&f, CARD_MEM64), 0);
	config_set(&f, PCI_BASE_ADDRESS_1, 0xc8000000, 4);
	assert_true(bar_base(&f, CARD_MEM32) == 0xc8000000);
	fixture_fini(&f);
}

static void bars_that_overlap_leave_the_first(void **state)
{
	struct fixture f;
	uint64_t msix;

	(void)state;
	fixture_init(&f);
	msix = bar_base(&f, CARD_MSIX);
	config_set(&f, PCI_BASE_ADDRESS_1, (uint32_t)msix, 4);
	assert_int_equal(bar_base(&f, CARD_MEM32), 0);
	assert_true(bar_base(&f, CARD_MSIX) == msix);
	config_set(&f, PCI_BASE_ADDRESS_4, 0xc8000000, 4);
	command_set(&f, PCI_COMMAND_MEMORY);
	assert_true(bar_base(&f, CARD_MEM32) == msix);
	fixture_fini(&f);
}

static void assign_without_high_window_goes_below_4_gib(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init_windows(&f, (struct pci_window){ MMIO32_BASE, MIB }, (struct pci_window){ 0 });
	assert_int_equal(pci_assign_resources(f.host, NULL), 0);
	assert_true(bar_base(&f, CARD_MEM64) == MMIO32_BASE);
	fixture_fini(&f);
}

static void assign_names_what_does_not_fit(void **state)
{
	struct err err = ERR_INIT;
	struct fixture f;

	(void)state;
	fixture_init_windows(&f, (struct pci_window){ MMIO32_BASE, 64 * KIB + 4096 },
			     (struct pci_window){ 0 });
	assert_int_equal(pci_assign_resources(f.host, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "'card'"));
	fixture_fini(&f);
}

static void host_state_loads_what_was_saved(void **state)
{
	struct state_stream out = { 0 }, in;
	struct fixture f;

	(void)state;
	fixture_init(&f);
	bus_write(f.ports, 0xcf8, 0x80001804, 4);
	bus_write(f.ports, 0xcf9, 2, 1);
	assert_int_equal(device_save(f.host, &out), 0);
	device_reset(f.host);
	assert_int_equal(bus_read(f.ports, 0xcf8, 4), 0);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(f.host, &in, NULL), 0);
	assert_int_equal(bus_read(f.ports, 0xcf8, 4), 0x80001804);
	assert_int_equal(bus_read(f.ports, 0xcf9, 1), 2);
	for (size_t cut = 0; cut < out.count; cut += 61) {
		in = state_stream_reader(out.bytes, cut);
		assert_true(device_load(f.host, &in, NULL) < 0);
	}
	state_stream_fini(&out);
	fixture_fini(&f);
}

static void attach_refuses_what_cannot_be(void **state)
{
	struct fixture f;
	struct card *more = calloc(PCI_SLOTS, sizeof(*more));
	unsigned count = 0;

	(void)state;
	fixture_init(&f);
	card_init(&more[0]);
	assert_int_equal(pci_attach(f.pci, &more[0].function, PCI_DEVFN(CARD_SLOT, 0), NULL),
			 -EEXIST);
	assert_int_equal(pci_attach(f.pci, &more[0].function, PCI_DEVFN(9, 1), NULL), -EINVAL);
	assert_int_equal(pci_attach(f.pci, &more[0].function, 256, NULL), -EINVAL);
	while (!pci_attach(f.pci, &more[count].function, -1, NULL))
		card_init(&more[++count]);
	assert_int_equal(count, PCI_SLOTS - 2);
	assert_int_equal(pci_attach(f.pci, &more[count].function, -1, NULL), -ENOSPC);
	assert_int_equal(pci_assign_resources(f.host, NULL), 0);
	for (unsigned i = 0; i <= count; i++)
		device_free(&more[i].device);
	free(more);
	fixture_fini(&f);
}

/* Spec: PCI 3.0 2.2.6 and 6.2.4 */
static void intx_is_wired_or(void **state)
{
	struct card *other = calloc(1, sizeof(*other));
	unsigned line = pci_intx_line(CARD_SLOT, 0);
	struct fixture f;

	(void)state;
	fixture_init(&f);
	card_init(other);
	assert_int_equal(
		pci_attach(f.pci, &other->function, PCI_DEVFN(CARD_SLOT + PCI_INTX_LINES, 0), NULL),
		0);
	pci_intx_set(&f.card.function, true);
	assert_true(f.lines[line]);
	assert_true(config_get(&f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	pci_intx_set(&other->function, true);
	pci_intx_set(&f.card.function, false);
	assert_true(f.lines[line]);
	assert_false(config_get(&f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	device_free(&other->device);
	assert_false(f.lines[line]);
	free(other);
	fixture_fini(&f);
}

static void intx_disabled_keeps_status_only(void **state)
{
	unsigned line = pci_intx_line(CARD_SLOT, 0);
	struct fixture f;

	(void)state;
	fixture_init(&f);
	command_set(&f, PCI_COMMAND_INTX_DISABLE);
	pci_intx_set(&f.card.function, true);
	assert_false(f.lines[line]);
	assert_true(config_get(&f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT);
	command_set(&f, 0);
	assert_true(f.lines[line]);
	device_reset(&f.card.device);
	assert_false(f.lines[line]);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mechanism1_accesses_follow_address),
		cmocka_unit_test(mechanism1_narrow_address_write_is_not_latched),
		cmocka_unit_test(reset_port_rising_edge_asks_once),
		cmocka_unit_test(ecam_accesses_reach_the_function),
		cmocka_unit_test(config_write_changes_only_writable_bits),
		cmocka_unit_test(bar_written_with_ones_reads_its_size),
		cmocka_unit_test(assign_places_bars_in_their_windows),
		cmocka_unit_test(bar_follows_command_and_address),
		cmocka_unit_test(bar_at_bad_address_stays_unmapped),
		cmocka_unit_test(bars_that_overlap_leave_the_first),
		cmocka_unit_test(assign_without_high_window_goes_below_4_gib),
		cmocka_unit_test(assign_names_what_does_not_fit),
		cmocka_unit_test(host_state_loads_what_was_saved),
		cmocka_unit_test(attach_refuses_what_cannot_be),
		cmocka_unit_test(intx_is_wired_or),
		cmocka_unit_test(intx_disabled_keeps_status_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
