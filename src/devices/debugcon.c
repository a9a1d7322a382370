/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug console: each byte written to port 0xe9 goes out, a read gives 0xe9 so that guests can tell
 * it is there. It has no state and no flow control: what the back-end cannot take is lost.
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: the convention of Bochs, "port_e9_hack".
 */
#include "devices/debugcon.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"

struct debugcon {
	struct device device;
	struct bus_region region;
	struct chardev *chardev;
};

static uint64_t debugcon_read(void *device, uint64_t offset, unsigned size)
{
	(void)device;
	(void)offset;
	(void)size;
	return DEBUGCON_PORT;
}

static void debugcon_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct debugcon *debugcon = device;
	uint8_t byte = (uint8_t)value;

	(void)offset;
	(void)size;
	chardev_write(debugcon->chardev, &byte, 1);
}

static const struct bus_ops debugcon_bus_ops = {
	.read = debugcon_read,
	.write = debugcon_write,
	.min_size = 1,
	.max_size = 1,
};

static void debugcon_reset(struct device *device)
{
	(void)device;
}

static void debugcon_free(struct device *device)
{
	struct debugcon *debugcon = container_of(device, struct debugcon, device);

	bus_unmap(&debugcon->region);
	device_fini(device);
	free(debugcon);
}

static const struct device_ops debugcon_ops = {
	.type = "debugcon",
	.reset = debugcon_reset,
	.free = debugcon_free,
};

int debugcon_new(struct device **ret_debugcon, struct bus *ports, struct chardev *chardev,
		 struct err *err)
{
	struct debugcon *debugcon = calloc(1, sizeof(*debugcon));
	int rc;

	if (!debugcon)
		return err_errno(err, ENOMEM, "cannot create debug console");
	device_init(&debugcon->device, &debugcon_ops, "debugcon");
	debugcon->chardev = chardev;
	debugcon->region = (struct bus_region){
		.name = "debugcon",
		.ops = &debugcon_bus_ops,
		.device = debugcon,
		.lock = &debugcon->device.lock,
		.size = 1,
	};
	rc = bus_map(ports, &debugcon->region, DEBUGCON_PORT, err);
	if (rc) {
		device_free(&debugcon->device);
		return rc;
	}
	*ret_debugcon = &debugcon->device;
	return 0;
}
