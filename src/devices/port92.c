/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A: bit 0 resets the machine on its rising edge, bit 1 is the A20 gate.
 *
 * Address line 20 is never masked: like current processors, ours have no A20M# pin. The bit only
 * remembers what was written.
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: ICH9 data sheet 13.7.3.
 */
#include "devices/port92.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"

#define PORT       0x92
#define FAST_RESET 0x01
#define GATE_A20   0x02

struct port92 {
	struct device device;
	struct bus_region region;
	struct machine_requests requests;
	uint8_t value;
};

static uint64_t port92_read(void *device, uint64_t offset, unsigned size)
{
	const struct port92 *port92 = device;

	(void)offset;
	(void)size;
	return port92->value;
}

static void port92_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct port92 *port92 = device;
	bool rose = value & ~port92->value & FAST_RESET;

	(void)offset;
	(void)size;
	port92->value = value & (FAST_RESET | GATE_A20);
	if (rose)
		machine_request_reset(&port92->requests);
}

static const struct bus_ops port92_bus_ops = {
	.read = port92_read,
	.write = port92_write,
	.min_size = 1,
	.max_size = 1,
};

static void port92_reset(struct device *device)
{
	container_of(device, struct port92, device)->value = GATE_A20;
}

static void port92_free(struct device *device)
{
	struct port92 *port92 = container_of(device, struct port92, device);

	bus_unmap(&port92->region);
	device_fini(device);
	free(port92);
}

static const struct state_field port92_fields[] = {
	STATE_FIELD(struct port92, value, .max = FAST_RESET | GATE_A20),
	{ 0 },
};

const struct state_desc port92_state = { .name = "port92", .version = 1, .fields = port92_fields };

static const struct device_ops port92_ops = {
	.type = "port92",
	.reset = port92_reset,
	.free = port92_free,
	.state = &port92_state,
};

int port92_new(struct device **ret_port92, struct bus *ports,
	       const struct machine_requests *requests, struct err *err)
{
	struct port92 *port92 = calloc(1, sizeof(*port92));
	int rc;

	if (!port92)
		return err_errno(err, ENOMEM, "cannot create system control port A");
	device_init(&port92->device, &port92_ops, "port92");
	port92->requests = *requests;
	port92->region = (struct bus_region){
		.name = "port92",
		.ops = &port92_bus_ops,
		.device = port92,
		.lock = &port92->device.lock,
		.size = 1,
	};
	rc = bus_map(ports, &port92->region, PORT, err);
	if (rc) {
		device_free(&port92->device);
		return rc;
	}
	device_reset(&port92->device);
	*ret_port92 = &port92->device;
	return 0;
}
