/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvpanic on the ISA bus: a read tells which events it takes, a write sends some. It has no state.
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: QEMU docs/specs/pvpanic.
 */
#include "devices/pvpanic.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"

enum pvpanic_event {
	PVPANIC_PANICKED = 1u << 0,
	PVPANIC_CRASHLOADED = 1u << 1,
	PVPANIC_SHUTDOWN = 1u << 2,
};

struct pvpanic {
	struct device device;
	struct bus_region region;
	struct machine_requests requests;
};

static uint64_t pvpanic_read(void *device, uint64_t offset, unsigned size)
{
	(void)device;
	(void)offset;
	(void)size;
	return PVPANIC_PANICKED | PVPANIC_CRASHLOADED | PVPANIC_SHUTDOWN;
}

static void pvpanic_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct pvpanic *pvpanic = device;

	(void)offset;
	(void)size;
	if (value & PVPANIC_PANICKED)
		machine_request_panicked(&pvpanic->requests, MACHINE_PANICKED);
	else if (value & PVPANIC_CRASHLOADED)
		machine_request_panicked(&pvpanic->requests, MACHINE_CRASHLOADED);
	else if (value & PVPANIC_SHUTDOWN)
		machine_request_power_off(&pvpanic->requests);
}

static const struct bus_ops pvpanic_bus_ops = {
	.read = pvpanic_read,
	.write = pvpanic_write,
	.min_size = 1,
	.max_size = 1,
};

static void pvpanic_reset(struct device *device)
{
	(void)device;
}

static void pvpanic_free(struct device *device)
{
	struct pvpanic *pvpanic = container_of(device, struct pvpanic, device);

	bus_unmap(&pvpanic->region);
	device_fini(device);
	free(pvpanic);
}

static const struct device_ops pvpanic_ops = {
	.type = "pvpanic",
	.reset = pvpanic_reset,
	.free = pvpanic_free,
};

int pvpanic_new(struct device **ret_pvpanic, struct bus *ports,
		const struct machine_requests *requests, struct err *err)
{
	struct pvpanic *pvpanic = calloc(1, sizeof(*pvpanic));
	int rc;

	if (!pvpanic)
		return err_errno(err, ENOMEM, "cannot create pvpanic");
	device_init(&pvpanic->device, &pvpanic_ops, "pvpanic");
	pvpanic->requests = *requests;
	pvpanic->region = (struct bus_region){
		.name = "pvpanic",
		.ops = &pvpanic_bus_ops,
		.device = pvpanic,
		.lock = &pvpanic->device.lock,
		.size = 1,
	};
	rc = bus_map(ports, &pvpanic->region, PVPANIC_PORT, err);
	if (rc) {
		device_free(&pvpanic->device);
		return rc;
	}
	*ret_pvpanic = &pvpanic->device;
	return 0;
}
