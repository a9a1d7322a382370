/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A root port: its bus, what it forwards, and a slot whose card comes and goes. */
#include "fixture.h"

#include <errno.h>

#include "pci/port.h"

/* The first free slot of bus 0, and the bus number that comes of it. */
#define PORT_SLOT 1
#define PORT_BUS  1

struct slot {
	struct fixture f;
	struct pci_port *port;
	struct card card; /* what is put in */
	unsigned released;
	unsigned express; /* the port's capability */
};

static void card_released(void *ctx)
{
	((struct slot *)ctx)->released++;
}

static uint64_t at(unsigned bus, unsigned slot, unsigned reg)
{
	return ecam(slot, reg) + bus * MIB;
}

static uint32_t port_get(struct slot *s, unsigned reg, unsigned size)
{
	return (uint32_t)bus_read(s->f.mmio, at(0, PORT_SLOT, reg), size);
}

static void port_set(struct slot *s, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(s->f.mmio, at(0, PORT_SLOT, reg), value, size);
}

static uint32_t card_get(struct slot *s, unsigned bus, unsigned reg, unsigned size)
{
	return (uint32_t)bus_read(s->f.mmio, at(bus, 0, reg), size);
}

static uint16_t slot_status(struct slot *s)
{
	return (uint16_t)port_get(s, s->express + PCI_EXP_SLTSTA, 2);
}

static unsigned find_capability(struct slot *s, uint8_t id)
{
	unsigned at_offset = port_get(s, PCI_CAPABILITY_LIST, 1);

	while (at_offset && port_get(s, at_offset, 1) != id)
		at_offset = port_get(s, at_offset + 1, 1);
	return at_offset;
}

/* A card with memory BARs of 4 KiB and 64 KiB. */
static void plain_card_init(struct card *card)
{
	static const struct pci_identity identity = {
		.vendor = 0x4321, .device = 0x8765, .class_code = 0xff0000, .intx = true
	};

	device_init(&card->device, &card_device_ops, "plain");
	pci_function_init(&card->function, &card_ops, &card->device, &identity);
	pci_bar_init(&card->function, CARD_MEM32, PCI_BAR_MEM32, false, 4096, &card_bus_ops, card);
	pci_bar_init(&card->function, CARD_MEM64, PCI_BAR_MEM64, true, 64 * KIB, &card_bus_ops,
		     card);
	pci_express_add(&card->function, PCI_EXP_TYPE_ENDPOINT);
}

static void slot_init_empty(struct slot *s)
{
	const struct pci_port_config config = {
		.id = "port0", .number = 7, .released = card_released, .ctx = s
	};

	*s = (struct slot){ 0 };
	fixture_init_windows(&s->f, (struct pci_window){ MMIO32_BASE, 256 * MIB },
			     (struct pci_window){ MMIO64_BASE, GIB });
	assert_int_equal(pci_port_new(&s->port, s->f.pci, &config, NULL), 0);
	assert_int_equal(pci_assign_resources(s->f.host, NULL), 0);
	device_reset(pci_port_device(s->port));
	s->express = find_capability(s, PCI_CAP_ID_EXP);
	plain_card_init(&s->card);
}

static void put_in(struct slot *s)
{
	assert_int_equal(pci_attach(pci_port_bus(s->port), &s->card.function, 0, NULL), 0);
	assert_int_equal(pci_port_insert(s->port, true, NULL), 0);
}

static void slot_init_taken(struct slot *s)
{
	slot_init_empty(s);
	put_in(s);
}

static void slot_fini(struct slot *s)
{
	assert_true(device_ok(pci_port_device(s->port)));
	assert_true(!s->card.function.bus || pci_function_ok(&s->card.function));
	device_free(&s->card.device);
	device_free(pci_port_device(s->port));
	fixture_fini(&s->f);
}

static void controls_set(struct slot *s, uint16_t controls)
{
	port_set(s, s->express + PCI_EXP_SLTCTL, controls, 2);
}

/* As Linux does when it has set the card up. */
#define DRIVER_CONTROLS                                                                            \
	(PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_DLLSCE |                       \
	 PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_ATTN_IND_OFF)

static void driver_starts(struct slot *s)
{
	port_set(s, s->express + PCI_EXP_SLTSTA, slot_status(s), 2);
	controls_set(s, DRIVER_CONTROLS);
}

static void driver_lets_go(struct slot *s)
{
	controls_set(s, DRIVER_CONTROLS | PCI_EXP_SLTCTL_PWR_IND_OFF);
}

static void messages_on(struct slot *s)
{
	unsigned cap = find_capability(s, PCI_CAP_ID_MSIX);
	uint64_t table = port_get(s, PCI_BASE_ADDRESS_0, 4) & ~15u;

	port_set(s, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	bus_write(s->f.mmio, table, 0xfee00000, 8);
	bus_write(s->f.mmio, table + 8, 0x4041, 4);
	bus_write(s->f.mmio, table + 12, 0, 4);
	port_set(s, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
}

/* Spec: PCIe 4.0 7.5.1.3, 7.5.3.9 */
static void empty_port_is_a_bridge_with_a_slot(void **state)
{
	struct slot s;
	uint32_t slot;

	(void)state;
	slot_init_empty(&s);
	assert_int_equal(port_get(&s, PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_BRIDGE);
	assert_int_equal(port_get(&s, PCI_CLASS_PROG, 4) & 0xffffff, 0x060400);
	assert_int_equal(port_get(&s, PCI_SECONDARY_BUS, 1), PORT_BUS);
	assert_int_equal(port_get(&s, PCI_SUBORDINATE_BUS, 1), PORT_BUS);
	assert_in_range(port_get(&s, PCI_MEMORY_BASE, 2) << 16, MMIO32_BASE,
			MMIO32_BASE + 256 * MIB);
	assert_int_equal(port_get(&s, PCI_MEMORY_LIMIT, 2) - port_get(&s, PCI_MEMORY_BASE, 2),
			 0x10);
	assert_int_equal(port_get(&s, s.express + PCI_EXP_FLAGS, 2), 0x142);
	slot = port_get(&s, s.express + PCI_EXP_SLTCAP, 4);
	assert_int_equal(slot >> 19, 7);
	assert_int_equal(slot & 0x7f, 0x79);
	assert_int_equal(slot_status(&s), 0);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_EMPTY);
	assert_int_equal(card_get(&s, PORT_BUS, 0, 4), UINT32_MAX);
	assert_int_equal(pci_port_ask(s.port), -ENOENT);
	slot_fini(&s);
}

static void windows_that_do_not_exist_stay_zero(void **state)
{
	static const unsigned registers[] = { PCI_IO_BASE, PCI_PREF_MEMORY_BASE,
					      PCI_PREF_BASE_UPPER32, PCI_PREF_LIMIT_UPPER32,
					      PCI_IO_BASE_UPPER16 };
	struct slot s;

	(void)state;
	slot_init_empty(&s);
	for (unsigned i = 0; i < ARRAY_SIZE(registers); i++) {
		unsigned size = registers[i] == PCI_IO_BASE ? 2 : 4;

		port_set(&s, registers[i], UINT32_MAX, size);
		assert_int_equal(port_get(&s, registers[i], size), 0);
	}
	slot_fini(&s);
}

static void inserted_card_is_found_and_interrupts(void **state)
{
	struct slot s;

	(void)state;
	slot_init_empty(&s);
	messages_on(&s);
	driver_starts(&s);
	put_in(&s);
	assert_int_equal(slot_status(&s),
			 PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_DLLSC);
	assert_true(port_get(&s, s.express + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
	assert_int_equal(s.f.sent_count, 1);
	assert_int_equal(s.f.sent[0].data, 0x4041);
	assert_int_equal(card_get(&s, PORT_BUS, 0, 4), 0x87654321);
	assert_int_equal(card_get(&s, PORT_BUS + 1, 0, 4), UINT32_MAX);
	assert_int_equal(bus_read(s.f.mmio, at(PORT_BUS, 1, 0), 4), UINT32_MAX);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_TAKEN);
	slot_fini(&s);
}

static void events_before_a_driver_watches_are_forgotten(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS);
	/* But not what the guest shall do. */
	assert_int_equal(pci_port_ask(s.port), 0);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_ASKED);
	driver_starts(&s);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_ABP);
	driver_starts(&s);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS);
	driver_lets_go(&s);
	assert_int_equal(s.released, 1);
	slot_fini(&s);
}

static void event_bits_are_cleared_by_ones(void **state)
{
	struct slot s;

	(void)state;
	slot_init_empty(&s);
	controls_set(&s, PCI_EXP_SLTCTL_PDCE);
	put_in(&s);
	port_set(&s, s.express + PCI_EXP_SLTSTA, 0, 2);
	assert_int_equal(slot_status(&s) & PCI_EXP_SLTSTA_PDC, PCI_EXP_SLTSTA_PDC);
	port_set(&s, s.express + PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDC, 2);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_DLLSC);
	port_set(&s, s.express + PCI_EXP_SLTSTA, 0xffff, 2);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS);
	slot_fini(&s);
}

/* Spec: PCIe 4.0 6.7.3.4 */
static void interrupt_needs_its_enables(void **state)
{
	static const struct {
		uint16_t controls;
		bool level;
	} rows[] = {
		{ 0, false },
		{ PCI_EXP_SLTCTL_HPIE, false },
		{ PCI_EXP_SLTCTL_DLLSCE, false },
		{ PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_ABPE, false },
		{ PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_DLLSCE, true },
		{ PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PDCE, true },
	};
	unsigned line = pci_intx_line(PORT_SLOT, 0);
	struct slot s;

	(void)state;
	slot_init_empty(&s);
	controls_set(&s, PCI_EXP_SLTCTL_PDCE);
	put_in(&s);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		controls_set(&s, rows[i].controls);
		assert_int_equal(s.f.lines[line], rows[i].level);
	}
	port_set(&s, s.express + PCI_EXP_SLTSTA, 0xffff, 2);
	assert_false(s.f.lines[line]);
	slot_fini(&s);
}

static void asked_guest_lets_go_by_its_indicator(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	messages_on(&s);
	driver_starts(&s);
	assert_int_equal(pci_port_ask(s.port), 0);
	assert_int_equal(pci_port_ask(s.port), -EALREADY);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDS);
	assert_int_equal(s.f.sent_count, 1);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_ASKED);
	controls_set(&s, (DRIVER_CONTROLS & ~PCI_EXP_SLTCTL_PIC) | PCI_EXP_SLTCTL_PWR_IND_BLINK);
	assert_int_equal(s.released, 0);
	driver_lets_go(&s);
	assert_int_equal(s.released, 1);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_RELEASED);
	assert_int_equal(card_get(&s, PORT_BUS, 0, 4), UINT32_MAX);
	assert_null(s.card.function.bars[CARD_MEM32].region.bus);
	assert_int_equal(slot_status(&s) & PCI_EXP_SLTSTA_PDS, 0);
	slot_fini(&s);
}

static void guest_that_was_not_asked_keeps_the_card(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	driver_starts(&s);
	driver_lets_go(&s);
	assert_int_equal(s.released, 0);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_TAKEN);
	/* It has let go already. */
	assert_int_equal(pci_port_ask(s.port), 0);
	assert_int_equal(s.released, 1);
	slot_fini(&s);
}

static void withdrawn_question_has_no_late_answer(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	driver_starts(&s);
	assert_int_equal(pci_port_ask(s.port), 0);
	pci_port_withdraw(s.port);
	driver_lets_go(&s);
	assert_int_equal(s.released, 0);
	assert_int_equal(card_get(&s, PORT_BUS, 0, 4), 0x87654321);
	slot_fini(&s);
}

static void ejected_card_is_gone_at_once(void **state)
{
	struct slot s;
	uint64_t bar;

	(void)state;
	slot_init_taken(&s);
	driver_starts(&s);
	bar = s.card.function.bars[CARD_MEM32].region.base;
	pci_port_eject(s.port);
	/* For a driver that waits for a zero, until the port changes. */
	assert_int_equal(bus_read(s.f.mmio, bar, 4), 0);
	bus_write(s.f.mmio, bar, 1, 4);
	port_set(&s, PCI_COMMAND, 0, 2);
	assert_int_equal(bus_read(s.f.mmio, bar, 4), UINT32_MAX);
	pci_port_eject(s.port);
	assert_int_equal(s.released, 1);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	assert_int_equal(card_get(&s, PORT_BUS, 0, 4), UINT32_MAX);
	slot_fini(&s);
}

static void reset_answers_what_was_asked(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	driver_starts(&s);
	device_reset(pci_port_device(s.port));
	assert_int_equal(pci_port_state(s.port), PCI_PORT_TAKEN);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS);
	assert_int_equal(port_get(&s, s.express + PCI_EXP_SLTCTL, 2),
			 PCI_EXP_SLTCTL_PWR_IND_ON | PCI_EXP_SLTCTL_ATTN_IND_OFF);
	assert_int_equal(pci_port_ask(s.port), 0);
	device_reset(pci_port_device(s.port));
	assert_int_equal(s.released, 1);
	assert_int_equal(slot_status(&s), 0);
	assert_int_equal(port_get(&s, s.express + PCI_EXP_SLTCTL, 2),
			 PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_ATTN_IND_OFF);
	slot_fini(&s);
}

static void card_after_an_ejected_one_has_its_place(void **state)
{
	struct slot s;
	uint64_t bar;

	(void)state;
	slot_init_taken(&s);
	bar = s.card.function.bars[CARD_MEM32].region.base;
	pci_port_eject(s.port);
	device_free(&s.card.device);
	plain_card_init(&s.card);
	assert_int_equal(bus_read(s.f.mmio, bar + 8, 4), 0);
	put_in(&s);
	assert_int_equal(bus_read(s.f.mmio, bar + 8, 4), 0x1008);
	slot_fini(&s);
}

static void card_goes_out_and_another_comes(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	driver_starts(&s);
	for (unsigned i = 1; i <= 20; i++) {
		assert_int_equal(pci_port_ask(s.port), 0);
		driver_lets_go(&s);
		assert_int_equal(s.released, i);
		device_free(&s.card.device);
		assert_int_equal(pci_port_state(s.port), PCI_PORT_EMPTY);
		plain_card_init(&s.card);
		put_in(&s);
		driver_starts(&s);
		assert_int_equal(card_get(&s, PORT_BUS, 0, 4), 0x87654321);
	}
	slot_fini(&s);
}

static void numbers_that_the_guest_gives_are_followed(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	port_set(&s, PCI_SECONDARY_BUS, 0x42, 1);
	assert_int_equal(card_get(&s, 0x42, 0, 4), 0x87654321);
	assert_int_equal(card_get(&s, PORT_BUS, 0, 4), UINT32_MAX);
	bus_write(s.f.ports, 0xcf8, 0x80420000, 4);
	assert_int_equal(bus_read(s.f.ports, 0xcfc, 4), 0x87654321);
	port_set(&s, PCI_SECONDARY_BUS, 0, 1);
	assert_int_equal(card_get(&s, 0, 0, 4), 0x29c08086);
	slot_fini(&s);
}

static void memory_comes_through_only_in_the_window(void **state)
{
	struct slot s;
	uint64_t bar;
	uint16_t base;

	(void)state;
	slot_init_taken(&s);
	base = (uint16_t)port_get(&s, PCI_MEMORY_BASE, 2);
	bar = s.card.function.bars[CARD_MEM32].region.base;
	assert_in_range(bar, (uint64_t)base << 16, ((uint64_t)base << 16) + 2 * MIB - 1);
	assert_int_equal(bus_read(s.f.mmio, bar + 8, 4), 0x1008);
	port_set(&s, PCI_COMMAND, 0, 2);
	assert_int_equal(bus_read(s.f.mmio, bar + 8, 4), UINT32_MAX);
	port_set(&s, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	assert_int_equal(bus_read(s.f.mmio, bar + 8, 4), 0x1008);
	port_set(&s, PCI_MEMORY_BASE, 0xd000, 2);
	assert_int_equal(bus_read(s.f.mmio, bar + 8, 4), UINT32_MAX);
	port_set(&s, PCI_MEMORY_LIMIT, 0xd000, 2);
	bus_write(s.f.mmio, at(PORT_BUS, 0, PCI_BASE_ADDRESS_1), 0xd0000000, 4);
	assert_int_equal(bus_read(s.f.mmio, 0xd0000008, 4), 0x1008);
	bus_write(s.f.mmio, at(PORT_BUS, 0, PCI_BASE_ADDRESS_1), 0xd00ff000, 4);
	assert_int_equal(bus_read(s.f.mmio, 0xd00ff008, 4), 0x1008);
	bus_write(s.f.mmio, at(PORT_BUS, 0, PCI_BASE_ADDRESS_1), 0xd0100000, 4);
	assert_int_equal(bus_read(s.f.mmio, 0xd0100008, 4), UINT32_MAX);
	slot_fini(&s);
}

static void secondary_reset_resets_the_card(void **state)
{
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	bus_write(s.f.mmio, at(PORT_BUS, 0, PCI_CACHE_LINE_SIZE), 16, 1);
	port_set(&s, PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET, 2);
	assert_int_equal(card_get(&s, PORT_BUS, PCI_CACHE_LINE_SIZE, 1), 0);
	bus_write(s.f.mmio, at(PORT_BUS, 0, PCI_CACHE_LINE_SIZE), 16, 1);
	port_set(&s, PCI_BRIDGE_CONTROL, 0, 2);
	assert_int_equal(card_get(&s, PORT_BUS, PCI_CACHE_LINE_SIZE, 1), 16);
	slot_fini(&s);
}

static void pin_of_the_card_is_the_ports(void **state)
{
	unsigned line = pci_intx_line(PORT_SLOT, 0);
	struct slot s;

	(void)state;
	slot_init_empty(&s);
	controls_set(&s, PCI_EXP_SLTCTL_PDCE);
	put_in(&s);
	assert_int_equal(card_get(&s, PORT_BUS, PCI_INTERRUPT_LINE, 1), pci_intx_isa_irq(line));
	pci_intx_set(&s.card.function, true);
	assert_true(s.f.lines[line]);
	controls_set(&s, PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PDCE);
	pci_intx_set(&s.card.function, false);
	assert_true(s.f.lines[line]);
	controls_set(&s, 0);
	assert_false(s.f.lines[line]);
	slot_fini(&s);
}

static void card_that_does_not_fit_is_refused(void **state)
{
	struct err err = ERR_INIT;
	struct card large;
	struct slot s;

	(void)state;
	slot_init_empty(&s);
	device_init(&large.device, &card_device_ops, "large");
	pci_function_init(&large.function, &card_ops, &large.device,
			  &(struct pci_identity){ .vendor = 1 });
	pci_bar_init(&large.function, 0, PCI_BAR_MEM32, false, 4 * MIB, &card_bus_ops, &large);
	assert_int_equal(pci_attach(pci_port_bus(s.port), &large.function, -1, NULL), 0);
	assert_int_equal(pci_attach(pci_port_bus(s.port), &s.card.function, -1, NULL), -ENOSPC);
	assert_int_equal(pci_attach(pci_port_bus(s.port), &s.card.function, 8, NULL), -EINVAL);
	assert_int_equal(pci_port_insert(s.port, true, &err), -ENOSPC);
	assert_non_null(strstr(err.text, "'large'"));
	device_free(&large.device);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_EMPTY);
	slot_fini(&s);
}

static void state_loads_what_was_saved(void **state)
{
	struct device *devices[2];
	struct state_stream out = { 0 }, in;
	struct slot s;

	(void)state;
	slot_init_taken(&s);
	devices[0] = pci_port_device(s.port);
	devices[1] = &s.card.device;
	driver_starts(&s);
	port_set(&s, PCI_SECONDARY_BUS, 9, 1);
	assert_int_equal(pci_port_ask(s.port), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(device_save(devices[i], &out), 0);
	pci_port_withdraw(s.port);
	device_reset(devices[0]);
	in = state_stream_reader(out.bytes, out.count);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(device_load(devices[i], &in, NULL), 0);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_ASKED);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDS);
	assert_int_equal(card_get(&s, 9, 0, 4), 0x87654321);
	assert_int_equal(bus_read(s.f.mmio, s.card.function.bars[CARD_MEM32].region.base, 4),
			 0x1000);
	driver_lets_go(&s);
	assert_int_equal(s.released, 1);
	/* What was there when it was saved is not here any more, or the other way round. */
	in = state_stream_reader(out.bytes, out.count);
	device_free(&s.card.device);
	assert_int_equal(device_load(devices[0], &in, NULL), 0);
	assert_int_equal(pci_port_state(s.port), PCI_PORT_EMPTY);
	assert_int_equal(slot_status(&s) & PCI_EXP_SLTSTA_PDS, 0);
	state_stream_fini(&out);
	plain_card_init(&s.card);
	slot_fini(&s);
}

static void card_that_is_there_at_start_has_power(void **state)
{
	const struct pci_port_config config = { .id = "port0", .released = card_released };
	struct slot s = { 0 };

	(void)state;
	fixture_init_windows(&s.f, (struct pci_window){ MMIO32_BASE, 256 * MIB },
			     (struct pci_window){ MMIO64_BASE, GIB });
	assert_int_equal(pci_port_new(&s.port, s.f.pci, &config, NULL), 0);
	plain_card_init(&s.card);
	assert_int_equal(pci_attach(pci_port_bus(s.port), &s.card.function, -1, NULL), 0);
	assert_int_equal(pci_port_insert(s.port, false, NULL), 0);
	assert_int_equal(pci_assign_resources(s.f.host, NULL), 0);
	device_reset(&s.card.device);
	device_reset(pci_port_device(s.port));
	s.express = find_capability(&s, PCI_CAP_ID_EXP);
	assert_int_equal(slot_status(&s), PCI_EXP_SLTSTA_PDS);
	assert_int_equal(port_get(&s, s.express + PCI_EXP_SLTCTL, 2) & PCI_EXP_SLTCTL_PIC,
			 PCI_EXP_SLTCTL_PWR_IND_ON);
	assert_int_equal(bus_read(s.f.mmio, s.card.function.bars[CARD_MEM32].region.base, 4),
			 0x1000);
	slot_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_port_is_a_bridge_with_a_slot),
		cmocka_unit_test(windows_that_do_not_exist_stay_zero),
		cmocka_unit_test(inserted_card_is_found_and_interrupts),
		cmocka_unit_test(events_before_a_driver_watches_are_forgotten),
		cmocka_unit_test(event_bits_are_cleared_by_ones),
		cmocka_unit_test(interrupt_needs_its_enables),
		cmocka_unit_test(asked_guest_lets_go_by_its_indicator),
		cmocka_unit_test(guest_that_was_not_asked_keeps_the_card),
		cmocka_unit_test(withdrawn_question_has_no_late_answer),
		cmocka_unit_test(ejected_card_is_gone_at_once),
		cmocka_unit_test(reset_answers_what_was_asked),
		cmocka_unit_test(card_after_an_ejected_one_has_its_place),
		cmocka_unit_test(card_goes_out_and_another_comes),
		cmocka_unit_test(numbers_that_the_guest_gives_are_followed),
		cmocka_unit_test(memory_comes_through_only_in_the_window),
		cmocka_unit_test(secondary_reset_resets_the_card),
		cmocka_unit_test(pin_of_the_card_is_the_ports),
		cmocka_unit_test(card_that_does_not_fit_is_refused),
		cmocka_unit_test(state_loads_what_was_saved),
		cmocka_unit_test(card_that_is_there_at_start_has_power),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
