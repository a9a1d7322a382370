/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Debug exit port, for test programs. It has no state.
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: the isa-debug-exit device of QEMU, as test programs expect it.
 */
#include "devices/debug_exit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"

struct debug_exit {
	struct device device;
	struct bus_region region;
	struct machine_requests requests;
};

static uint64_t debug_exit_read(void *device, uint64_t offset, unsigned size)
{
	(void)device;
	(void)offset;
	(void)size;
	return 0;
}

static void debug_exit_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct debug_exit *debug_exit = device;

	(void)offset;
	(void)size;
	machine_request_debug_exit(&debug_exit->requests, (uint8_t)(value << 1 | 1));
}

static const struct bus_ops debug_exit_bus_ops = {
	.read = debug_exit_read,
	.write = debug_exit_write,
	.min_size = 1,
	.max_size = 4,
};

static void debug_exit_reset(struct device *device)
{
	(void)device;
}

static void debug_exit_free(struct device *device)
{
	struct debug_exit *debug_exit = container_of(device, struct debug_exit, device);

	bus_unmap(&debug_exit->region);
	device_fini(device);
	free(debug_exit);
}

static const struct device_ops debug_exit_ops = {
	.type = "isa-debug-exit",
	.reset = debug_exit_reset,
	.free = debug_exit_free,
};

int debug_exit_new(struct device **ret_debug_exit, struct bus *ports, uint16_t base, unsigned size,
		   const struct machine_requests *requests, struct err *err)
{
	struct debug_exit *debug_exit = calloc(1, sizeof(*debug_exit));
	int rc;

	if (!debug_exit)
		return err_errno(err, ENOMEM, "cannot create debug exit port");
	device_init(&debug_exit->device, &debug_exit_ops, "isa-debug-exit");
	debug_exit->requests = *requests;
	debug_exit->region = (struct bus_region){
		.name = "isa-debug-exit",
		.ops = &debug_exit_bus_ops,
		.device = debug_exit,
		.lock = &debug_exit->device.lock,
		.size = size,
	};
	rc = bus_map(ports, &debug_exit->region, base, err);
	if (rc) {
		device_free(&debug_exit->device);
		return rc;
	}
	*ret_debug_exit = &debug_exit->device;
	return 0;
}
