/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and network cards that come and go while the machine runs, in the ports of the board.
 *
 * A device is made and freed while no vCPU runs, so that none is in its handlers; the guest sees
 * nothing of these moments but time. When it has let go of one, which a port tells on a vCPU's
 * thread, the loop does the rest. Loop thread.
 */
#include "machine/chips.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/macros.h"
#include "machine/machine_priv.h"
#include "virtio/blk.h"
#include "virtio/device.h"

/* What may be in a port. */
static const struct card_kind {
	const char *type, *noun, *option;
	void (*settle)(struct device *device); /* ends what is in flight; NULL: nothing ever is */
} card_kinds[] = {
	{ "virtio-blk", "disk", "--disk PATH,removable=on", virtio_blk_settle },
	{ "virtio-net", "network card", "--net KIND,removable=on" },
};

static const struct card_kind *kind_of(const struct device *device)
{
	for (unsigned i = 0; i < ARRAY_SIZE(card_kinds); i++) {
		if (!strcmp(device->ops->type, card_kinds[i].type))
			return &card_kinds[i];
	}
	return NULL;
}

/* Whether they ran, for processors_go_on(). */
static bool processors_stand(struct machine *machine)
{
	bool running = machine->state == MACHINE_RUNNING;

	if (running)
		processors_pause(machine->processors);
	return running;
}

static void processors_go_on(struct machine *machine, bool ran)
{
	if (ran)
		processors_resume(machine->processors);
}

static void drop_device(struct machine *machine, struct device *device)
{
	struct device **items = machine->devices.items;
	size_t at = 0;

	while (items[at] != device)
		at++;
	machine->devices.count--;
	memmove(&items[at], &items[at + 1], (machine->devices.count - at) * sizeof(items[0]));
	device_free(device);
}

static void release(struct machine *machine, struct machine_port *port)
{
	const struct machine_listener *listener = &machine->config->listener;
	char id[sizeof(port->card->id)];
	bool ran = processors_stand(machine);

	memcpy(id, port->card->id, sizeof(id));
	drop_device(machine, port->card);
	port->card = NULL;
	processors_go_on(machine, ran);
	if (listener->card_detached)
		listener->card_detached(listener->ctx, id);
}

static void release_all(struct loop_task *task)
{
	struct machine *machine = container_of(task, struct machine, released);
	struct machine_port *port;

	vec_for_each (port, &machine->hotplug) {
		if (port->card && pci_port_state(port->port) == PCI_PORT_RELEASED)
			release(machine, port);
	}
}

static void note_released(void *ctx)
{
	struct machine *machine = ctx;

	loop_post(machine->loop, &machine->released);
}

static int add_port(struct machine *machine, unsigned index, struct err *err)
{
	char id[16];
	const struct pci_port_config config = {
		.id = id,
		.number = index + 1,
		.released = note_released,
		.ctx = machine,
	};
	struct machine_port port = { 0 };
	int rc;

	snprintf(id, sizeof(id), "port%u", index);
	rc = pci_port_new(&port.port, machine->pci, &config, err);
	if (rc) {
		err_hint(err, "take fewer devices, or --hotplug-ports");
		return rc;
	}
	rc = machine_add_device(machine, pci_port_device(port.port), err);
	if (!rc && vec_push(&machine->hotplug, port))
		rc = err_errno(err, ENOMEM, "cannot add '%s'", id);
	return rc;
}

static struct machine_port *free_port(struct machine *machine, struct err *err)
{
	struct machine_port *port;

	vec_for_each (port, &machine->hotplug) {
		if (!port->card)
			return port;
	}
	err_set(err, ENOSPC, "all %zu hotplug ports are taken", machine->hotplug.count);
	err_hint(err, "start the machine with --hotplug-ports N, or detach something");
	return NULL;
}

/* One of the two. */
struct new_card {
	const struct machine_disk *disk;
	const struct machine_nic *nic;
};

static int insert(struct machine *machine, const struct new_card *card, bool assign,
		  struct err *err)
{
	struct machine_port *port = free_port(machine, err);
	struct device *device;
	struct pci_bus *bus;
	int rc;

	if (!port)
		return -ENOSPC;
	bus = pci_port_bus(port->port);
	rc = card->disk ? machine_add_disk(machine, card->disk, bus, &device, err)
			: machine_add_nic(machine, card->nic, bus, &device, err);
	if (rc)
		return rc;
	rc = pci_port_insert(port->port, assign, err);
	if (rc)
		drop_device(machine, device);
	else
		port->card = device;
	return rc;
}

int add_ports(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	const struct machine_config *config = machine->config;
	int rc = 0;

	(void)chip;
	machine->released.run = release_all;
	for (unsigned i = 0; i < config->hotplug_ports && !rc; i++)
		rc = add_port(machine, i, err);
	for (size_t i = 0; i < config->nic_count && !rc; i++) {
		if (config->nics[i].removable)
			rc = insert(machine, &(struct new_card){ .nic = &config->nics[i] }, false,
				    err);
	}
	for (size_t i = 0; i < config->disk_count && !rc; i++) {
		if (config->disks[i].removable)
			rc = insert(machine, &(struct new_card){ .disk = &config->disks[i] }, false,
				    err);
	}
	return rc;
}

static int attach(struct machine *machine, const char *id, const struct new_card *card,
		  struct err *err)
{
	bool ran;
	int rc;

	if (machine->state == MACHINE_ENDED)
		return err_set(err, EINVAL, "cannot attach '%s' to a machine that has ended", id);
	if (machine_find_device(machine, id))
		return err_set(err, EEXIST, "there is a device '%s' already", id);
	ran = processors_stand(machine);
	rc = insert(machine, card, true, err);
	processors_go_on(machine, ran);
	return rc;
}

int machine_attach_disk(struct machine *machine, const struct machine_disk *disk, struct err *err)
{
	return attach(machine, disk->id, &(struct new_card){ .disk = disk }, err);
}

int machine_attach_nic(struct machine *machine, const struct machine_nic *nic, struct err *err)
{
	return attach(machine, nic->id, &(struct new_card){ .nic = nic }, err);
}

static struct device *find_card(struct machine *machine, const char *id)
{
	struct device *device = machine_find_device(machine, id);

	return device && kind_of(device) ? device : NULL;
}

static struct machine_port *port_of(struct machine *machine, const struct device *card)
{
	struct machine_port *port;

	vec_for_each (port, &machine->hotplug) {
		if (port->card == card)
			return port;
	}
	return NULL;
}

/* Linux waits for ever for requests that it has offered to a device which is gone. */
static void pull_out(struct machine *machine, struct machine_port *port)
{
	const struct card_kind *kind = kind_of(port->card);
	bool ran = processors_stand(machine);

	if (kind->settle)
		kind->settle(port->card);
	pci_port_eject(port->port);
	processors_go_on(machine, ran);
}

int machine_detach_card(struct machine *machine, const char *id, bool force, struct err *err)
{
	struct device *card = find_card(machine, id);
	const struct card_kind *kind;
	struct machine_port *port;

	if (!card)
		return err_set(err, ENOENT, "there is no disk or network card '%s'", id);
	kind = kind_of(card);
	port = port_of(machine, card);
	if (!port) {
		err_set(err, ENOTSUP, "%s '%s' cannot be detached: it is in no hotplug port",
			kind->noun, id);
		err_hint(err, "start it with %s", kind->option);
		return -ENOTSUP;
	}
	if (force) {
		pull_out(machine, port);
		return 0;
	}
	if (pci_port_ask(port->port) != -EALREADY)
		return 0;
	err_set(err, EALREADY, "the guest was asked for %s '%s' already", kind->noun, id);
	err_hint(err, "say force=on to pull it out");
	return -EALREADY;
}

void machine_keep_card(struct machine *machine, const char *id)
{
	struct device *card = find_card(machine, id);
	struct machine_port *port = card ? port_of(machine, card) : NULL;

	if (port)
		pci_port_withdraw(port->port);
}

json_t *machine_describe_card(struct machine *machine, const char *id)
{
	struct device *card = find_card(machine, id);
	struct machine_port *port = card ? port_of(machine, card) : NULL;
	const char *name = port ? pci_port_device(port->port)->id : NULL;
	bool detaching = port && pci_port_state(port->port) != PCI_PORT_TAKEN;

	if (!card)
		return NULL;
	return json_pack("{s:s*, s:b, s:b}", "port", name, "detaching", detaching, "driver",
			 virtio_device_driven(card));
}
