/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio devices of the configuration, each a function on the PCI bus (see chips.h). */
#include "machine/chips.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "machine/machine_priv.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/pci_transport.h"
#include "virtio/rng.h"

/* Puts a new device that works on that loop on a bus and into the machine, or frees it. */
static int plug_on(struct machine *machine, struct virtio_device *virtio, struct pci_bus *bus,
		   struct loop *loop, struct err *err)
{
	int rc = virtio_pci_attach(virtio, bus, -1, loop, loop != machine->loop, err);

	if (rc) {
		device_free(&virtio->device);
		return rc;
	}
	return machine_add_device(machine, &virtio->device, err);
}

static int plug(struct machine *machine, struct virtio_device *virtio, struct err *err)
{
	return plug_on(machine, virtio, machine->pci, machine->loop, err);
}

int add_rng(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	struct virtio_device *virtio;
	int rc = virtio_rng_new(&virtio, "rng", machine->memory, err);

	(void)chip;
	return rc ? rc : plug(machine, virtio, err);
}

int machine_add_disk(struct machine *machine, const struct machine_disk *disk, struct pci_bus *bus,
		     struct device **ret_device, struct err *err)
{
	struct virtio_blk_options options = {
		.node = disk->node,
		.serial = disk->serial,
		.queues = MIN(disk->queues ? disk->queues : machine->config->vcpus,
			      (unsigned)VIRTIO_BLK_QUEUES_MAX),
		.write_through = disk->write_through,
	};
	struct virtio_device *virtio;
	int rc = virtio_blk_new(&virtio, disk->id, machine->memory, &options, err);

	if (!rc)
		rc = plug_on(machine, virtio, bus, block_loop(disk->node), err);
	if (!rc)
		*ret_device = &virtio->device;
	return rc;
}

int add_disks(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	const struct machine_config *config = machine->config;
	struct device *device;
	int rc = 0;

	(void)chip;
	for (size_t i = 0; i < config->disk_count && !rc; i++) {
		if (!config->disks[i].removable)
			rc = machine_add_disk(machine, &config->disks[i], machine->pci, &device,
					      err);
	}
	return rc;
}

struct device *machine_find_disk(struct machine *machine, const char *id, struct err *err)
{
	struct device *device = machine_find_device(machine, id);

	if (device && !strcmp(device->ops->type, "virtio-blk"))
		return device;
	err_set(err, ENOENT, "there is no disk '%s'", id);
	return NULL;
}

int machine_resize_disk(struct machine *machine, const char *id, uint64_t bytes, struct err *err)
{
	struct device *device = machine_find_disk(machine, id, err);

	return device ? virtio_blk_resize(device, bytes, err) : -ENOENT;
}

int machine_change_disk(struct machine *machine, const char *id, bool force,
			int (*change)(void *ctx, struct err *err), void *ctx, struct err *err)
{
	struct device *device = machine_find_disk(machine, id, err);

	return device ? virtio_blk_change(device, force, change, ctx, err) : -ENOENT;
}

int machine_add_nic(struct machine *machine, const struct machine_nic *nic, struct pci_bus *bus,
		    struct device **ret_device, struct err *err)
{
	struct virtio_net_options options = {
		.net = nic->net,
		.pairs = MIN(machine->config->vcpus, (unsigned)VIRTIO_NET_PAIRS_MAX),
	};
	struct virtio_device *virtio;
	int rc;

	memcpy(options.mac, nic->mac, sizeof(options.mac));
	rc = virtio_net_new(&virtio, nic->id, machine->memory, &options, err);
	if (!rc)
		rc = plug_on(machine, virtio, bus, machine->loop, err);
	if (!rc)
		*ret_device = &virtio->device;
	return rc;
}

int add_nics(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	const struct machine_config *config = machine->config;
	struct device *device;
	int rc = 0;

	(void)chip;
	for (size_t i = 0; i < config->nic_count && !rc; i++) {
		if (!config->nics[i].removable)
			rc = machine_add_nic(machine, &config->nics[i], machine->pci, &device, err);
	}
	return rc;
}

int add_consoles(struct machine *machine, const struct board_chip *chip, struct err *err)
{
	const struct machine_config *config = machine->config;
	int rc = 0;

	(void)chip;
	for (size_t i = 0; i < config->console_count && !rc; i++) {
		const struct machine_console *console = &config->consoles[i];
		struct virtio_console_port port = {
			.chardev = console->chardev,
			.name = console->id,
			.console = true,
		};
		struct virtio_device *virtio;

		rc = virtio_console_new(&virtio, console->id, machine->memory, &port, 1, err);
		if (!rc)
			rc = plug(machine, virtio, err);
	}
	return rc;
}
