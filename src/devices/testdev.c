/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pc-testdev, as kvm-unit-tests expect it:
 *
 *	ports 0xe0 to 0xe3	32 bits that read back as written, in any width
 *	ports 0xe4 to 0xe7	"flush the page at this address": nothing of ours caches pages
 *	ports 0xe8 to 0xeb	the same 32 bits, but byte by byte
 *	ports 0x2000 to 0x2017	interrupt line n gets the level written
 *	0xff000000, 64 KiB	memory that is accessed as a device
 *
 * Threads: vCPUs, under the device's lock.
 * Spec: kvm-unit-tests, x86/README and its uses of "testdev".
 */
#include "devices/testdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

#define DATA_PORT      0xe0
#define FLUSH_PORT     0xe4
#define BYTE_PORT      0xe8
#define LINE_PORT      0x2000
#define MEMORY_ADDRESS UINT64_C(0xff000000)
#define MEMORY_BYTES   0x10000

struct testdev {
	struct device device;
	struct bus_region data_region, flush_region, byte_region, line_region, memory_region;
	struct irq_line lines[TESTDEV_LINES];

	uint8_t data[4];
	bool levels[TESTDEV_LINES];
	uint8_t memory[MEMORY_BYTES];
};

static uint64_t data_read(void *device, uint64_t offset, unsigned size)
{
	const struct testdev *testdev = device;

	return le_get(testdev->data + offset, size);
}

static void data_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct testdev *testdev = device;

	le_put(testdev->data + offset, value, size);
}

static void line_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct testdev *testdev = device;

	(void)size;
	testdev->levels[offset] = value;
	irq_set(&testdev->lines[offset], value);
}

static uint64_t memory_bytes_read(void *device, uint64_t offset, unsigned size)
{
	const struct testdev *testdev = device;

	return le_get(testdev->memory + offset, size);
}

static void memory_bytes_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct testdev *testdev = device;

	le_put(testdev->memory + offset, value, size);
}

static const struct bus_ops data_ops = {
	.read = data_read, .write = data_write, .min_size = 1, .max_size = 4
};
static const struct bus_ops flush_ops = { .min_size = 1, .max_size = 4 };
static const struct bus_ops byte_ops = {
	.read = data_read, .write = data_write, .min_size = 1, .max_size = 1
};
static const struct bus_ops line_ops = { .write = line_write, .min_size = 1, .max_size = 1 };
static const struct bus_ops memory_ops = {
	.read = memory_bytes_read, .write = memory_bytes_write, .min_size = 1, .max_size = 8
};

static void testdev_reset(struct device *device)
{
	struct testdev *testdev = container_of(device, struct testdev, device);

	memset(testdev->data, 0, sizeof(testdev->data));
	memset(testdev->memory, 0, sizeof(testdev->memory));
	for (unsigned i = 0; i < TESTDEV_LINES; i++) {
		testdev->levels[i] = false;
		irq_set(&testdev->lines[i], false);
	}
}

static void testdev_free(struct device *device)
{
	struct testdev *testdev = container_of(device, struct testdev, device);

	bus_unmap(&testdev->data_region);
	bus_unmap(&testdev->flush_region);
	bus_unmap(&testdev->byte_region);
	bus_unmap(&testdev->line_region);
	bus_unmap(&testdev->memory_region);
	device_fini(device);
	free(testdev);
}

static const struct state_field testdev_fields[] = {
	STATE_RAW(struct testdev, data),
	STATE_ARRAY(struct testdev, levels),
	STATE_RAW(struct testdev, memory),
	{ 0 },
};

const struct state_desc testdev_state = {
	.name = "pc-testdev",
	.version = 1,
	.fields = testdev_fields,
};

static const struct device_ops testdev_ops = {
	.type = "pc-testdev",
	.reset = testdev_reset,
	.free = testdev_free,
	.state = &testdev_state,
};

static int map(struct testdev *testdev, struct bus *bus, struct bus_region *region,
	       const struct bus_ops *ops, uint64_t base, uint64_t size, struct err *err)
{
	*region = (struct bus_region){
		.name = "pc-testdev",
		.ops = ops,
		.device = testdev,
		.lock = &testdev->device.lock,
		.size = size,
	};
	return bus_map(bus, region, base, err);
}

int testdev_new(struct device **ret_testdev, const struct testdev_config *config, struct err *err)
{
	struct testdev *testdev = calloc(1, sizeof(*testdev));
	struct bus *ports = config->ports;
	int rc;

	if (!testdev)
		return err_errno(err, ENOMEM, "cannot create test device");
	device_init(&testdev->device, &testdev_ops, "pc-testdev");
	memcpy(testdev->lines, config->lines, sizeof(testdev->lines));
	rc = map(testdev, ports, &testdev->data_region, &data_ops, DATA_PORT, 4, err);
	if (!rc)
		rc = map(testdev, ports, &testdev->flush_region, &flush_ops, FLUSH_PORT, 4, err);
	if (!rc)
		rc = map(testdev, ports, &testdev->byte_region, &byte_ops, BYTE_PORT, 4, err);
	if (!rc)
		rc = map(testdev, ports, &testdev->line_region, &line_ops, LINE_PORT, TESTDEV_LINES,
			 err);
	if (!rc)
		rc = map(testdev, config->mmio, &testdev->memory_region, &memory_ops,
			 MEMORY_ADDRESS, MEMORY_BYTES, err);
	if (rc) {
		device_free(&testdev->device);
		return rc;
	}
	*ret_testdev = &testdev->device;
	return 0;
}
