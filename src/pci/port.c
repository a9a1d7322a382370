/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of a root port: type 1 header, PCI Express capability, slot.
 *
 * The slot has an attention button, two indicators, and no power controller: its link is up when
 * something is in it. So what is put in is found at once, and what the guest was asked for is free
 * when it switches the power indicator off, which drivers do last. (With a power controller Linux
 * drops all events of the second after it has switched power off, also that of the next card.)
 * Commands complete when they are written, which the slot tells (NCCS), so nothing waits for that.
 *
 * Events are recorded from when software first enables one: Linux would take what is left from
 * before its driver started for a change of the card that it has found itself.
 *
 * A card that was pulled out leaves memory that reads as zeroes, until the port changes or gets
 * another card. All ones would be right, but Linux' virtio driver waits for a zero before it lets go.
 *
 * Behind the port is memory only: the windows for ports and prefetchable memory do not exist. The
 * link cannot be disabled.
 *
 * Invariants: the slot shows presence and an active link exactly while `present`; nothing comes
 * through to the bus behind otherwise. Threads: vCPUs and the loop, under the device's lock; the
 * function's lock is taken behind it, never before.
 *
 * Spec: PCI Express Base 4.0 sections 6.7.3, 7.5.1.3, 7.5.3.
 */
#include "pci/port.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "host/thread.h"
#include "pci/pci_priv.h"

#define MSIX_BAR 0

/* Bits of slot status that the port sets and the guest clears. */
#define SLOT_EVENTS (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC)

#define SLOT_CONTROLS                                                                              \
	(PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_AIC |    \
	 PCI_EXP_SLTCTL_PIC | PCI_EXP_SLTCTL_DLLSCE)

struct pci_port {
	struct device device; /* first */
	struct pci_function function;
	struct pci_bus bus; /* behind the port */
	unsigned express;   /* the capability's offset */
	struct pci_port_config config;

	/* Guarded by device.lock. */
	struct bus_region ghosts[PCI_BARS]; /* where a card was that was pulled out */
	bool present;                       /* something is in the slot */
	bool asked;                         /* the guest shall let go of it … */
	bool pressed;                       /* … and was told so */
	bool let_go;      /* the power indicator was switched off since it is there */
	bool interrupts;  /* the slot's interrupt is asserted */
	bool lit;         /* the power indicator is on or blinks */
	bool resets_link; /* the secondary bus reset is held */
};

static uint8_t *express_at(struct pci_port *port, unsigned offset)
{
	return port->function.config + port->express + offset;
}

/* Which event interrupts by which enable bit. */
static const struct {
	uint16_t status, enable;
} slot_events[] = {
	{ PCI_EXP_SLTSTA_ABP, PCI_EXP_SLTCTL_ABPE },
	{ PCI_EXP_SLTSTA_PDC, PCI_EXP_SLTCTL_PDCE },
	{ PCI_EXP_SLTSTA_DLLSC, PCI_EXP_SLTCTL_DLLSCE },
};

static bool event_waits(struct pci_port *port)
{
	uint16_t control = le16_get(express_at(port, PCI_EXP_SLTCTL));
	uint16_t status = le16_get(express_at(port, PCI_EXP_SLTSTA));

	for (unsigned i = 0; i < ARRAY_SIZE(slot_events); i++) {
		if (status & slot_events[i].status && control & slot_events[i].enable)
			return control & PCI_EXP_SLTCTL_HPIE;
	}
	return false;
}

/* A message when the first event comes, or a level as long as one is there. Spec: section 6.7.3.4. */
static void interrupt_update(struct pci_port *port)
{
	bool before = port->interrupts;

	port->interrupts = event_waits(port);
	if (pci_msix_enabled(&port->function)) {
		pci_intx_set(&port->function, false);
		if (port->interrupts && !before)
			pci_msix_notify(&port->function, 0);
	} else {
		pci_intx_set(&port->function, port->interrupts);
	}
}

static bool is_watched(struct pci_port *port)
{
	return le16_get(express_at(port, PCI_EXP_SLTCTL)) &
	       (PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_DLLSCE);
}

static void signal_events(struct pci_port *port, uint16_t events)
{
	uint8_t *status = express_at(port, PCI_EXP_SLTSTA);

	if (is_watched(port))
		le16_put(status, le16_get(status) | events);
	interrupt_update(port);
}

/* The attention button, as soon as somebody watches it. */
static void press_button(struct pci_port *port)
{
	bool watched = le16_get(express_at(port, PCI_EXP_SLTCTL)) & PCI_EXP_SLTCTL_ABPE;

	if (!port->asked || port->pressed || !watched)
		return;
	port->pressed = true;
	signal_events(port, PCI_EXP_SLTSTA_ABP);
}

static void set_bits(struct pci_port *port, unsigned offset, uint16_t bits, bool on)
{
	uint8_t *const places[] = { port->function.config, port->function.reset_config };

	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		uint8_t *p = places[i] + port->express + offset;

		le16_put(p, (uint16_t)((le16_get(p) & ~bits) | (on ? bits : 0)));
	}
}

static uint64_t ghost_read(void *ctx, uint64_t offset, unsigned size)
{
	(void)ctx;
	(void)offset;
	(void)size;
	return 0;
}

static const struct bus_ops ghost_ops = { .read = ghost_read };

static void ghosts_clear(struct pci_port *port)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		bus_unmap(&port->ghosts[i]);
}

/* What the header says reaches the bus behind. */
static void forwarding_update(struct pci_port *port)
{
	const uint8_t *config = port->function.config;
	bool memory = le16_get(config + PCI_COMMAND) & PCI_COMMAND_MEMORY;
	uint64_t base = le16_get(config + PCI_MEMORY_BASE) & PCI_MEMORY_RANGE_MASK;
	uint64_t limit = le16_get(config + PCI_MEMORY_LIMIT) & PCI_MEMORY_RANGE_MASK;
	uint64_t first = memory ? base << 16 : UINT64_MAX;
	uint64_t last = memory ? limit << 16 | (MIB - 1) : 0;
	struct pci_bus *bus = &port->bus;
	bool same = bus->first == first && bus->last == last && bus->up == port->present;

	atomic_store(&bus->number, config[PCI_SECONDARY_BUS]);
	atomic_store(&bus->first, first);
	atomic_store(&bus->last, last);
	atomic_store(&bus->up, port->present);
	if (same)
		return;
	ghosts_clear(port);
	pci_bus_changed(bus);
}

static void set_present(struct pci_port *port, bool present)
{
	port->present = present;
	set_bits(port, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, present);
	set_bits(port, PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_DLLLA, present);
	forwarding_update(port);
}

static void leave(struct pci_port *port)
{
	port->asked = port->pressed = port->let_go = false;
	set_present(port, false);
	signal_events(port, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	port->config.released(port->config.ctx);
}

static bool indicator_off(struct pci_port *port)
{
	return (le16_get(express_at(port, PCI_EXP_SLTCTL)) & PCI_EXP_SLTCTL_PIC) ==
	       PCI_EXP_SLTCTL_PWR_IND_OFF;
}

/* Off was the indicator before the card came, so it tells something when it goes off. */
static void indicator_update(struct pci_port *port)
{
	bool off = indicator_off(port);

	port->let_go = port->present && off && (port->let_go || port->lit);
	port->lit = !off;
	if (port->asked && port->let_go)
		leave(port);
}

/* Spec: section 7.5.1.3.13 "Bridge Control", secondary bus reset. */
static void link_reset_update(struct pci_port *port)
{
	bool before = port->resets_link;

	port->resets_link = port->function.config[PCI_BRIDGE_CONTROL] & PCI_BRIDGE_CTL_BUS_RESET;
	if (port->resets_link && !before && port->present && port->bus.functions[0])
		device_reset(port->bus.functions[0]->device);
}

static void port_config_written(struct pci_function *function, unsigned offset, unsigned size)
{
	struct pci_port *port = container_of(function, struct pci_port, function);

	(void)offset;
	(void)size;
	forwarding_update(port);
	link_reset_update(port);
	indicator_update(port);
	press_button(port);
	interrupt_update(port);
}

static const struct pci_function_ops port_function_ops = {
	.config_written = port_config_written,
};

static struct pci_port *port_of(struct device *device)
{
	return container_of(device, struct pci_port, device);
}

/* The driver that was asked is gone, and nothing of the guest's uses what is in the slot. */
static void port_reset(struct device *device)
{
	struct pci_port *port = port_of(device);
	uint16_t indicators;

	if (port->asked)
		leave(port);
	pci_function_reset(&port->function);
	indicators = PCI_EXP_SLTCTL_ATTN_IND_OFF |
		     (port->present ? PCI_EXP_SLTCTL_PWR_IND_ON : PCI_EXP_SLTCTL_PWR_IND_OFF);
	le16_put(express_at(port, PCI_EXP_SLTCTL), indicators);
	le16_put(express_at(port, PCI_EXP_SLTSTA), port->present ? PCI_EXP_SLTSTA_PDS : 0);
	port->lit = port->present;
	port->let_go = false;
	port->resets_link = false;
	forwarding_update(port);
	interrupt_update(port);
}

static void port_free(struct device *device)
{
	struct pci_port *port = port_of(device);
	struct pci_bus *bus = port->function.bus;

	if (bus)
		bus->behind[PCI_SLOT(port->function.devfn)] = NULL;
	ghosts_clear(port);
	pci_function_fini(&port->function);
	device_fini(device);
	free(port);
}

static void port_post_load(void *object)
{
	struct pci_port *port = object;
	bool present = port->present && port->bus.functions[0];

	port->asked = port->asked && present;
	port->let_go = port->let_go && present;
	set_present(port, present);
	if (!present && port->bus.functions[0])
		port->config.released(port->config.ctx);
}

static const struct state_field port_fields[] = {
	STATE_FIELD(struct pci_port, present, .max = 1),
	STATE_FIELD(struct pci_port, asked, .max = 1),
	STATE_FIELD(struct pci_port, pressed, .max = 1),
	STATE_FIELD(struct pci_port, let_go, .max = 1),
	STATE_FIELD(struct pci_port, lit, .max = 1),
	STATE_FIELD(struct pci_port, interrupts, .max = 1),
	STATE_FIELD(struct pci_port, resets_link, .max = 1),
	{ 0 },
};

static const struct state_desc port_state = {
	.name = "pci-port",
	.version = 1,
	.fields = port_fields,
	.post_load = port_post_load,
};

/* The port's own comes last: it follows from config space what comes through. */
static const struct state_desc *port_state_part(struct device *device, unsigned index,
						void **ret_object)
{
	struct pci_port *port = port_of(device);
	unsigned parts = pci_state_parts(&port->function);

	if (index < parts)
		return pci_state_part(&port->function, index, ret_object);
	*ret_object = port;
	return index == parts ? &port_state : NULL;
}

static bool port_ok(const struct device *device)
{
	const struct pci_port *port = container_of(device, struct pci_port, device);
	const uint8_t *express = port->function.config + port->express;
	uint16_t status = le16_get(express + PCI_EXP_SLTSTA);

	return pci_function_ok(&port->function) && port->bus.up == port->present &&
	       !!(status & PCI_EXP_SLTSTA_PDS) == port->present &&
	       !!(le16_get(express + PCI_EXP_LNKSTA) & PCI_EXP_LNKSTA_DLLLA) == port->present &&
	       ((!port->asked && !port->let_go) || port->present);
}

static const struct device_ops port_ops = {
	.type = "pci-port",
	.reset = port_reset,
	.free = port_free,
	.state_part = port_state_part,
	.ok = port_ok,
};

/* Red Hat's generic root port: drivers go by the class. */
static const struct pci_identity port_identity = {
	.vendor = 0x1b36,
	.device = 0x000c,
	.class_code = 0x060400,
	.intx = true,
};

/* Spec: section 7.5.1.3. */
static void header_init(struct pci_function *function)
{
	uint8_t *writable = function->writable;

	function->config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	writable[PCI_PRIMARY_BUS] = 0xff;
	writable[PCI_SECONDARY_BUS] = 0xff;
	writable[PCI_SUBORDINATE_BUS] = 0xff;
	le16_put(writable + PCI_MEMORY_BASE, (uint16_t)PCI_MEMORY_RANGE_MASK);
	le16_put(writable + PCI_MEMORY_LIMIT, (uint16_t)PCI_MEMORY_RANGE_MASK);
	le16_put(writable + PCI_BRIDGE_CONTROL,
		 PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_BUS_RESET);
	/* No window: the first address is behind the last. */
	le16_put(function->config + PCI_MEMORY_BASE, (uint16_t)PCI_MEMORY_RANGE_MASK);
}

/* Spec: sections 7.5.3.9 to 7.5.3.11. */
static void slot_init(struct pci_port *port)
{
	struct pci_function *function = &port->function;
	uint8_t *link;

	port->express = pci_express_add(function, PCI_EXP_TYPE_ROOT_PORT);
	le16_put(express_at(port, PCI_EXP_FLAGS),
		 le16_get(express_at(port, PCI_EXP_FLAGS)) | PCI_EXP_FLAGS_SLOT);
	link = express_at(port, PCI_EXP_LNKCAP);
	le32_put(link, le32_get(link) | PCI_EXP_LNKCAP_DLLLARC);
	le32_put(express_at(port, PCI_EXP_SLTCAP),
		 PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_AIP | PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPS |
			 PCI_EXP_SLTCAP_HPC | PCI_EXP_SLTCAP_NCCS | port->config.number << 19);
	le16_put(function->writable + port->express + PCI_EXP_SLTCTL, SLOT_CONTROLS);
	le16_put(function->clearable + port->express + PCI_EXP_SLTSTA, SLOT_EVENTS);
}

static int port_attach(struct pci_port *port, struct pci_bus *bus, struct err *err)
{
	struct pci_function *function = &port->function;
	int rc;

	pci_function_init(function, &port_function_ops, &port->device, &port_identity);
	header_init(function);
	slot_init(port);
	rc = pci_msix_init(function, 1, MSIX_BAR, err);
	if (!rc)
		rc = pci_attach(bus, function, -1, err);
	if (rc)
		return rc;
	port->bus.services = bus->services;
	port->bus.port = function;
	bus->behind[PCI_SLOT(function->devfn)] = &port->bus;
	return 0;
}

int pci_port_new(struct pci_port **ret_port, struct pci_bus *bus,
		 const struct pci_port_config *config, struct err *err)
{
	struct pci_port *port = calloc(1, sizeof(*port));
	int rc;

	check(config->released && config->number <= PCI_PORT_NUMBER_MAX);
	if (!port)
		return err_errno(err, ENOMEM, "cannot make PCI port '%s'", config->id);
	device_init(&port->device, &port_ops, config->id);
	port->config = *config;
	rc = port_attach(port, bus, err);
	if (rc) {
		port_free(&port->device);
		return rc;
	}
	*ret_port = port;
	return 0;
}

struct device *pci_port_device(struct pci_port *port)
{
	return &port->device;
}

struct pci_bus *pci_port_bus(struct pci_port *port)
{
	return &port->bus;
}

static enum pci_port_state state_locked(const struct pci_port *port)
{
	if (!port->bus.functions[0])
		return PCI_PORT_EMPTY;
	if (!port->present)
		return PCI_PORT_RELEASED;
	return port->asked ? PCI_PORT_ASKED : PCI_PORT_TAKEN;
}

enum pci_port_state pci_port_state(struct pci_port *port)
{
	LOCK_SCOPE(&port->device.lock);
	return state_locked(port);
}

int pci_port_insert(struct pci_port *port, bool assign, struct err *err)
{
	int rc = assign ? pci_link_assign(&port->bus, err) : 0;

	if (rc)
		return rc;
	LOCK_SCOPE(&port->device.lock);
	set_present(port, true);
	signal_events(port, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	return 0;
}

int pci_port_ask(struct pci_port *port)
{
	LOCK_SCOPE(&port->device.lock);
	switch (state_locked(port)) {
	case PCI_PORT_ASKED:
		return -EALREADY;
	case PCI_PORT_TAKEN:
		break;
	default:
		return -ENOENT;
	}
	port->asked = true;
	port->pressed = false;
	if (port->let_go)
		leave(port);
	else
		press_button(port);
	return 0;
}

void pci_port_withdraw(struct pci_port *port)
{
	LOCK_SCOPE(&port->device.lock);
	port->asked = false;
}

void pci_port_eject(struct pci_port *port)
{
	const struct pci_function *card = port->bus.functions[0];
	struct bus_region before[PCI_BARS];

	LOCK_SCOPE(&port->device.lock);
	if (!port->present)
		return;
	for (unsigned i = 0; i < PCI_BARS; i++)
		before[i] = card->bars[i].region;
	leave(port);
	for (unsigned i = 0; i < PCI_BARS; i++) {
		port->ghosts[i] = (struct bus_region){ .name = port->device.id,
						       .ops = &ghost_ops,
						       .size = before[i].size };
		if (before[i].bus)
			bus_map(before[i].bus, &port->ghosts[i], before[i].base, NULL);
	}
}
