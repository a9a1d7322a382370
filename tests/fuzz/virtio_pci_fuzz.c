/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers of the PCI transport with the entropy device behind them, and the saved state of
 * both.
 *
 * Input: a byte that chooses; 0: the rest is a state stream. Else records of 8 bytes: kind and
 * size, a byte unused, 2 bytes of offset, 4 of value.
 */
#include <linux/pci.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "pci/host.h"
#include "virtio/pci_transport.h"
#include "virtio/rng.h"

#define ECAM      UINT64_C(0xe0000000)
#define RAM_BYTES MIB
#define BAR_BYTES 0x4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct machine {
	struct memory *memory;
	struct bus *ports, *mmio;
	struct loop *loop;
	struct device *host;
	struct virtio_device *rng;
	uint64_t registers, config;
};

static void machine_init(struct machine *m)
{
	const struct memory_config memory = { .size = RAM_BYTES };
	struct pci_host_config config = { .ecam_base = ECAM, .mmio32 = { 0xc0000000, 64 * MIB } };
	struct pci_bus *bus;

	check(!memory_new(&m->memory, &memory, NULL) && !loop_new(&m->loop, NULL));
	check(!bus_new(&m->ports, "ports", 16, NULL) && !bus_new(&m->mmio, "mmio", 40, NULL));
	config.services = (struct pci_host_services){ .memory = m->memory,
						      .ports = m->ports,
						      .mmio = m->mmio };
	check(!pci_host_new(&m->host, &bus, &config, NULL));
	check(!virtio_rng_new(&m->rng, "rng0", m->memory, NULL));
	check(!virtio_pci_attach(m->rng, bus, PCI_DEVFN(1, 0), m->loop, false, NULL));
	check(!pci_assign_resources(m->host, NULL));
	m->config = ECAM + ((uint64_t)PCI_DEVFN(1, 0) << 12);
	m->registers = bus_read(m->mmio, m->config + PCI_BASE_ADDRESS_0, 4);
}

static void machine_fini(struct machine *m)
{
	device_free(&m->rng->device);
	device_free(m->host);
	loop_free(m->loop);
	bus_free(m->ports);
	bus_free(m->mmio);
	memory_free(m->memory);
}

static void record_run(struct machine *m, const uint8_t *record)
{
	unsigned size = 1u << (record[0] >> 6), offset = le16_get(record + 2);
	uint32_t value = le32_get(record + 4);

	switch (record[0] & 7) {
	case 0:
		bus_write(m->mmio, m->registers + offset % BAR_BYTES, value, size);
		break;
	case 1:
		bus_read(m->mmio, m->registers + offset % BAR_BYTES, size);
		break;
	case 2:
		bus_write(m->mmio, m->config + offset % 4096, value, size);
		break;
	case 3:
		bus_read(m->mmio, m->config + offset % 4096, size);
		break;
	case 4:
		memory_write(m->memory, GPA(offset), &value, sizeof(value));
		break;
	case 5: /* registers that matter, more often */
		bus_write(m->mmio, m->registers + offset % 64, value, size);
		break;
	case 6:
		virtio_config_changed(m->rng);
		break;
	default:
		device_reset(&m->rng->device);
		break;
	}
}

static void stream_run(struct machine *m, const uint8_t *data, size_t size)
{
	struct state_stream in = state_stream_reader(data, size), out = { 0 };

	/* A device that was loaded in part is of no use but to be reset. */
	if (device_load(&m->rng->device, &in, NULL))
		device_reset(&m->rng->device);
	virtio_device_resume(&m->rng->device);
	check(!device_save(&m->rng->device, &out));
	state_stream_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct machine m = { 0 };

	if (!size)
		return 0;
	log_threshold = LOG_ERROR;
	machine_init(&m);
	if (*data == 0)
		stream_run(&m, data + 1, size - 1);
	else
		for (data++, size--; size >= 8; data += 8, size -= 8)
			record_run(&m, data);
	check(device_ok(&m.rng->device));
	check(!m.rng->queues[0].in_flight);
	machine_fini(&m);
	return 0;
}
