/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSI-X: messages, masks and pending bits; the saved state of a function. Spec: PCI 3.0 6.8.2 */
#include "fixture.h"

#define ENABLE  0x8000
#define MASKALL 0x4000

static uint64_t table_at(struct fixture *f, unsigned offset)
{
	return f->card.function.bars[CARD_MSIX].region.base + offset;
}

static void table_set(struct fixture *f, unsigned vector, uint64_t address, uint32_t data,
		      uint32_t control)
{
	bus_write(f->mmio, table_at(f, 16 * vector), address, 8);
	bus_write(f->mmio, table_at(f, 16 * vector + 8), data, 4);
	bus_write(f->mmio, table_at(f, 16 * vector + 12), control, 4);
}

static void flags_set(struct fixture *f, uint16_t flags)
{
	config_set(f, config_get(f, PCI_CAPABILITY_LIST, 1) + PCI_MSIX_FLAGS, flags, 2);
}

static uint32_t pending(struct fixture *f)
{
	return (uint32_t)bus_read(f->mmio, table_at(f, 2048), 4);
}

static void msix_init(struct fixture *f)
{
	fixture_init(f);
	command_set(f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	table_set(f, 1, 0xfee01000, 0x4031, 0);
	flags_set(f, ENABLE);
}

static void capability_describes_table(void **state)
{
	struct fixture f;
	unsigned cap;

	(void)state;
	fixture_init(&f);
	cap = config_get(&f, PCI_CAPABILITY_LIST, 1);
	assert_true(config_get(&f, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
	assert_int_equal(config_get(&f, cap, 1), PCI_CAP_ID_MSIX);
	assert_int_equal(config_get(&f, cap + PCI_MSIX_FLAGS, 2), 3);
	assert_int_equal(config_get(&f, cap + PCI_MSIX_TABLE, 4), CARD_MSIX);
	assert_int_equal(config_get(&f, cap + PCI_MSIX_PBA, 4), 2048 | CARD_MSIX);
	flags_set(&f, 0xffff);
	assert_int_equal(config_get(&f, cap + PCI_MSIX_FLAGS, 2), ENABLE | MASKALL | 3);
	fixture_fini(&f);
}

static void table_reads_back_and_knows_its_end(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f);
	assert_int_equal(bus_read(f.mmio, table_at(&f, 12), 4), 1);
	table_set(&f, 3, 0x1fee02007, 0xabcd1234, 0xffffffff);
	assert_true(bus_read(f.mmio, table_at(&f, 48), 8) == 0x1fee02004);
	assert_true(bus_read(f.mmio, table_at(&f, 56), 8) == (0xabcd1234 | UINT64_C(1) << 32));
	bus_write(f.mmio, table_at(&f, 64), 1, 4);
	bus_write(f.mmio, table_at(&f, 48), 0, 2);
	bus_write(f.mmio, table_at(&f, 2048), UINT32_MAX, 4);
	assert_int_equal(bus_read(f.mmio, table_at(&f, 64), 4), 0);
	assert_int_equal(bus_read(f.mmio, table_at(&f, 4092), 4), 0);
	assert_true(bus_read(f.mmio, table_at(&f, 48), 8) == 0x1fee02004);
	assert_int_equal(pending(&f), 0);
	fixture_fini(&f);
}

static void notify_unmasked_sends_the_message(void **state)
{
	struct fixture f;

	(void)state;
	msix_init(&f);
	assert_true(pci_msix_enabled(&f.card.function));
	pci_msix_notify(&f.card.function, 1);
	assert_int_equal(f.sent_count, 1);
	assert_true(f.sent[0].address == 0xfee01000);
	assert_int_equal(f.sent[0].data, 0x4031);
	pci_msix_notify(&f.card.function, 4);
	pci_msix_notify(&f.card.function, 0xffff);
	flags_set(&f, 0);
	pci_msix_notify(&f.card.function, 1);
	assert_int_equal(f.sent_count, 1);
	assert_int_equal(pending(&f), 0);
	fixture_fini(&f);
}

static void vector_mask(struct fixture *f, bool on)
{
	bus_write(f->mmio, table_at(f, 16 + 12), on, 4);
}

static void function_mask(struct fixture *f, bool on)
{
	flags_set(f, on ? ENABLE | MASKALL : ENABLE);
}

static void master_mask(struct fixture *f, bool on)
{
	command_set(f, on ? PCI_COMMAND_MEMORY : PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void notify_held_back_is_pending_and_sent_once(void **state)
{
	static void (*const masks[])(struct fixture *, bool) = { vector_mask, function_mask,
								 master_mask };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(masks); i++) {
		struct fixture f;

		msix_init(&f);
		masks[i](&f, true);
		pci_msix_notify(&f.card.function, 1);
		pci_msix_notify(&f.card.function, 1);
		assert_int_equal(f.sent_count, 0);
		assert_int_equal(pending(&f), 2);
		masks[i](&f, false);
		assert_int_equal(f.sent_count, 1);
		assert_int_equal(pending(&f), 0);
		masks[i](&f, true);
		masks[i](&f, false);
		assert_int_equal(f.sent_count, 1);
		fixture_fini(&f);
	}
}

static void reset_masks_and_forgets(void **state)
{
	struct fixture f;

	(void)state;
	msix_init(&f);
	vector_mask(&f, true);
	pci_msix_notify(&f.card.function, 1);
	device_reset(&f.card.device);
	assert_false(pci_msix_enabled(&f.card.function));
	assert_int_equal(pending(&f), 0);
	assert_int_equal(bus_read(f.mmio, table_at(&f, 16 + 12), 4), 1);
	fixture_fini(&f);
}

static void state_loads_what_was_saved(void **state)
{
	struct state_stream out = { 0 }, again = { 0 }, in;
	struct fixture f;

	(void)state;
	msix_init(&f);
	vector_mask(&f, true);
	pci_msix_notify(&f.card.function, 1);
	pci_intx_set(&f.card.function, true);
	config_set(&f, PCI_BASE_ADDRESS_1, 0xc8000000, 4);
	assert_int_equal(device_save(&f.card.device, &out), 0);
	device_reset(&f.card.device);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&f.card.device, &in, NULL), 0);
	assert_int_equal(pending(&f), 2);
	assert_true(f.lines[pci_intx_line(CARD_SLOT, 0)]);
	assert_true(f.card.function.bars[CARD_MEM32].region.base == 0xc8000000);
	vector_mask(&f, false);
	assert_int_equal(f.sent_count, 1);
	vector_mask(&f, true);
	pci_msix_notify(&f.card.function, 1);
	assert_int_equal(device_save(&f.card.device, &again), 0);
	assert_int_equal(out.count, again.count);
	assert_memory_equal(out.bytes, again.bytes, out.count);
	state_stream_fini(&out);
	state_stream_fini(&again);
	fixture_fini(&f);
}

static void state_load_cannot_change_what_the_guest_cannot(void **state)
{
	struct state_stream out = { 0 }, in;
	struct fixture f;
	uint8_t *config;

	(void)state;
	msix_init(&f);
	assert_int_equal(device_save(&f.card.device, &out), 0);
	config = memmem(out.bytes, out.count, f.card.function.config, 64);
	assert_non_null(config);
	memset(config, 0xff, PCI_CONFIG_BYTES);
	in = state_stream_reader(out.bytes, out.count);
	(void)device_load(&f.card.device, &in, NULL);
	assert_int_equal(config_get(&f, PCI_VENDOR_ID, 4), 0x56781234);
	assert_int_equal(config_get(&f, PCI_CAPABILITY_LIST, 1), 0x40);
	assert_int_equal(config_get(&f, 0x41, 1), 0);
	state_stream_fini(&out);
	fixture_fini(&f);
}

static void state_load_refuses_broken_streams(void **state)
{
	struct state_stream out = { 0 }, in;
	struct fixture f;

	(void)state;
	msix_init(&f);
	assert_int_equal(device_save(&f.card.device, &out), 0);
	for (size_t cut = 0; cut < out.count; cut += 61) {
		in = state_stream_reader(out.bytes, cut);
		assert_true(device_load(&f.card.device, &in, NULL) < 0);
	}
	state_stream_fini(&out);
	fixture_fini(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capability_describes_table),
		cmocka_unit_test(table_reads_back_and_knows_its_end),
		cmocka_unit_test(notify_unmasked_sends_the_message),
		cmocka_unit_test(notify_held_back_is_pending_and_sent_once),
		cmocka_unit_test(reset_masks_and_forgets),
		cmocka_unit_test(state_loads_what_was_saved),
		cmocka_unit_test(state_load_cannot_change_what_the_guest_cannot),
		cmocka_unit_test(state_load_refuses_broken_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
