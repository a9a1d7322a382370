/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks that come and go while the machine runs, in the ports of the board.
 *
 * A device is made and freed while no vCPU runs, so that none is in its handlers; the guest sees
 * nothing of these moments but time. When it has let go of one, which a port tells on a vCPU's
 * thread, the loop does the rest. Loop thread.
 */
#include "machine/chips.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/machine_priv.h"
#include "virtio/blk.h"

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
	if (listener->disk_detached)
		listener->disk_detached(listener->ctx, id);
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
	err_hint(err, "start the machine with --hotplug-ports N, or detach a disk");
	return NULL;
}

static int insert(struct machine *machine, const struct machine_disk *disk, bool assign,
		  struct err *err)
{
	struct machine_port *port = free_port(machine, err);
	struct device *device;
	int rc;

	if (!port)
		return -ENOSPC;
	rc = machine_add_disk(machine, disk, pci_port_bus(port->port), &device, err);
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
	for (size_t i = 0; i < config->disk_count && !rc; i++) {
		if (config->disks[i].removable)
			rc = insert(machine, &config->disks[i], false, err);
	}
	return rc;
}

int machine_attach_disk(struct machine *machine, const struct machine_disk *disk, struct err *err)
{
	bool ran;
	int rc;

	if (machine->state == MACHINE_ENDED)
		return err_set(err, EINVAL, "cannot attach a disk to a machine that has ended");
	if (machine_find_device(machine, disk->id))
		return err_set(err, EEXIST, "there is a device '%s' already", disk->id);
	ran = processors_stand(machine);
	rc = insert(machine, disk, true, err);
	processors_go_on(machine, ran);
	return rc;
}

static struct machine_port *port_of(struct machine *machine, const struct device *disk)
{
	struct machine_port *port;

	vec_for_each (port, &machine->hotplug) {
		if (port->card == disk)
			return port;
	}
	return NULL;
}

/* Linux waits for ever for requests that it has offered to a device which is gone. */
static void pull_out(struct machine *machine, struct machine_port *port)
{
	bool ran = processors_stand(machine);

	virtio_blk_settle(port->card);
	pci_port_eject(port->port);
	processors_go_on(machine, ran);
}

int machine_detach_disk(struct machine *machine, const char *id, bool force, struct err *err)
{
	struct device *disk = machine_find_disk(machine, id, err);
	struct machine_port *port;

	if (!disk)
		return -ENOENT;
	port = port_of(machine, disk);
	if (!port) {
		err_set(err, ENOTSUP, "disk '%s' cannot be detached: it is in no hotplug port", id);
		err_hint(err, "start it with --disk PATH,removable=on");
		return -ENOTSUP;
	}
	if (force) {
		pull_out(machine, port);
		return 0;
	}
	if (pci_port_ask(port->port) != -EALREADY)
		return 0;
	err_set(err, EALREADY, "the guest was asked for disk '%s' already", id);
	err_hint(err, "say force=on to pull it out");
	return -EALREADY;
}

void machine_keep_disk(struct machine *machine, const char *id)
{
	struct device *disk = machine_find_disk(machine, id, NULL);
	struct machine_port *port = disk ? port_of(machine, disk) : NULL;

	if (port)
		pci_port_withdraw(port->port);
}

json_t *machine_describe_disk(struct machine *machine, const char *id)
{
	struct device *disk = machine_find_disk(machine, id, NULL);
	struct machine_port *port = disk ? port_of(machine, disk) : NULL;
	const char *name = port ? pci_port_device(port->port)->id : NULL;
	bool detaching = port && pci_port_state(port->port) != PCI_PORT_TAKEN;

	if (!disk)
		return NULL;
	return json_pack("{s:s*, s:b, s:b}", "port", name, "detaching", detaching, "driver",
			 virtio_blk_driven(disk));
}
