/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver of the entropy device that knows nothing but config space: capabilities, registers, both
 * kinds of interrupts, kicks. Spec: Virtio 1.2 4.1, 5.4
 */
#include <errno.h>
#include <linux/pci.h>
#include <linux/virtio_pci.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "pci/host.h"
#include "virtio/pci_transport.h"
#include "virtio/rng.h"

#define ECAM      UINT64_C(0xe0000000)
#define SLOT      4
#define RAM_BYTES MIB
#define DESC      0x1000
#define DRIVER    0x2000
#define DEVICE    0x3000
#define BUFFER    0x4000
#define SIZE      8

struct kick {
	uint64_t address;
	unsigned size;
	int fd;
};

struct host {
	struct engine engine; /* first */
	struct kick kick;
	unsigned kick_changes;

	struct memory *memory;
	uint8_t *ram;
	struct bus *ports, *mmio;
	struct loop *loop;
	struct device *bridge;
	struct virtio_device *rng;
	bool line;
	struct msi_message message;
	unsigned messages;

	uint64_t common, isr, notify; /* addresses found by the driver */
	uint16_t avail;
};

static int fake_ioeventfd(struct engine *engine, enum engine_bus bus, uint64_t address,
			  unsigned size, int fd, bool on)
{
	struct host *host = container_of(engine, struct host, engine);

	assert_int_equal(bus, ENGINE_MMIO);
	host->kick_changes++;
	if (on) {
		assert_int_equal(host->kick.address, 0);
		host->kick = (struct kick){ address, size, fd };
	} else {
		assert_true(host->kick.address == address && host->kick.fd == fd);
		host->kick = (struct kick){ 0 };
	}
	return 0;
}

static const struct engine_ops fake_engine_ops = { .name = "fake", .ioeventfd = fake_ioeventfd };

static void line_set(void *ctx, unsigned number, bool level)
{
	if (number == pci_intx_line(SLOT, 0))
		((struct host *)ctx)->line = level;
}

static void message_sent(void *ctx, struct msi_message message)
{
	struct host *host = ctx;

	host->message = message;
	host->messages++;
}

static uint64_t config_at(unsigned reg)
{
	return ECAM + ((uint64_t)PCI_DEVFN(SLOT, 0) << 12) + reg;
}

static uint32_t config_get(struct host *host, unsigned reg, unsigned size)
{
	return (uint32_t)bus_read(host->mmio, config_at(reg), size);
}

static void config_set(struct host *host, unsigned reg, uint32_t value, unsigned size)
{
	bus_write(host->mmio, config_at(reg), value, size);
}

/* The virtio capability of that type, or 0. */
static unsigned capability(struct host *host, uint8_t type)
{
	unsigned at = config_get(host, PCI_CAPABILITY_LIST, 1);

	while (at &&
	       !(config_get(host, at, 1) == PCI_CAP_ID_VNDR && config_get(host, at + 3, 1) == type))
		at = config_get(host, at + 1, 1);
	return at;
}

static uint64_t structure(struct host *host, uint8_t type)
{
	unsigned at = capability(host, type);
	unsigned bar = config_get(host, at + 4, 1);

	assert_int_not_equal(at, 0);
	return (config_get(host, PCI_BASE_ADDRESS_0 + 4 * bar, 4) & ~0xfu) +
	       config_get(host, at + 8, 4);
}

static void host_init_kicks(struct host *host, bool with_engine, bool kicks_to_loop)
{
	const struct memory_config memory = { .size = RAM_BYTES };
	struct pci_host_config config = {
		.ecam_base = ECAM,
		.io = { 0xc000, 0x1000 },
		.mmio32 = { 0xc0000000, 64 * MIB },
	};
	struct pci_bus *bus;

	*host = (struct host){ .engine.ops = &fake_engine_ops };
	assert_int_equal(memory_new(&host->memory, &memory, NULL), 0);
	host->ram = memory_map(host->memory, GPA(0), RAM_BYTES);
	assert_int_equal(bus_new(&host->ports, "ports", 16, NULL), 0);
	assert_int_equal(bus_new(&host->mmio, "mmio", 40, NULL), 0);
	assert_int_equal(loop_new(&host->loop, NULL), 0);
	config.services = (struct pci_host_services){
		.memory = host->memory,
		.ports = host->ports,
		.mmio = host->mmio,
		.msi = { message_sent, host },
		.engine = with_engine ? &host->engine : NULL,
	};
	for (unsigned i = 0; i < PCI_INTX_LINES; i++)
		config.intx[i] = (struct irq_line){ line_set, host, i };
	assert_int_equal(pci_host_new(&host->bridge, &bus, &config, NULL), 0);
	assert_int_equal(virtio_rng_new(&host->rng, "rng0", host->memory, NULL), 0);
	assert_int_equal(virtio_pci_attach(host->rng, bus, PCI_DEVFN(SLOT, 0), host->loop,
					   kicks_to_loop, NULL),
			 0);
	assert_int_equal(pci_assign_resources(host->bridge, NULL), 0);
	host->common = structure(host, VIRTIO_PCI_CAP_COMMON_CFG);
	host->isr = structure(host, VIRTIO_PCI_CAP_ISR_CFG);
	host->notify = structure(host, VIRTIO_PCI_CAP_NOTIFY_CFG);
	config_set(host, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void host_init(struct host *host, bool with_engine)
{
	host_init_kicks(host, with_engine, false);
}

static void host_fini(struct host *host)
{
	assert_true(device_ok(&host->rng->device));
	device_free(&host->rng->device);
	assert_int_equal(host->kick.address, 0);
	device_free(host->bridge);
	loop_free(host->loop);
	bus_free(host->ports);
	bus_free(host->mmio);
	memory_free(host->memory);
}

static uint32_t common_get(struct host *host, unsigned offset, unsigned size)
{
	return (uint32_t)bus_read(host->mmio, host->common + offset, size);
}

static void common_set(struct host *host, unsigned offset, uint32_t value, unsigned size)
{
	bus_write(host->mmio, host->common + offset, value, size);
}

static void status_add(struct host *host, uint8_t bits)
{
	common_set(host, VIRTIO_PCI_COMMON_STATUS,
		   common_get(host, VIRTIO_PCI_COMMON_STATUS, 1) | bits, 1);
	assert_int_equal(common_get(host, VIRTIO_PCI_COMMON_STATUS, 1) & bits, bits);
}

static void driver_start(struct host *host)
{
	host->avail = 0;
	memset(host->ram, 0, RAM_BYTES);
	common_set(host, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(common_get(host, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	status_add(host, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	status_add(host, VIRTIO_CONFIG_S_DRIVER);
	common_set(host, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	assert_true(common_get(host, VIRTIO_PCI_COMMON_DF, 4) & 1);
	common_set(host, VIRTIO_PCI_COMMON_GFSELECT, 1, 4);
	common_set(host, VIRTIO_PCI_COMMON_GF, 1, 4);
	status_add(host, VIRTIO_CONFIG_S_FEATURES_OK);
	common_set(host, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
	common_set(host, VIRTIO_PCI_COMMON_Q_SIZE, SIZE, 2);
	common_set(host, VIRTIO_PCI_COMMON_Q_DESCLO, DESC, 4);
	common_set(host, VIRTIO_PCI_COMMON_Q_AVAILLO, DRIVER, 4);
	common_set(host, VIRTIO_PCI_COMMON_Q_USEDLO, DEVICE, 4);
	common_set(host, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
	assert_int_equal(common_get(host, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	status_add(host, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void offer(struct host *host, uint32_t bytes)
{
	le64_put(host->ram + DESC, BUFFER);
	le32_put(host->ram + DESC + 8, bytes);
	le16_put(host->ram + DESC + 12, VRING_DESC_F_WRITE);
	le16_put(host->ram + DRIVER + 4 + 2 * (host->avail % SIZE), 0);
	le16_put(host->ram + DRIVER + 2, ++host->avail);
}

static uint16_t used_index(struct host *host)
{
	return le16_get(host->ram + DEVICE + 2);
}

static void kick(struct host *host)
{
	bus_write(host->mmio, host->notify, 0, 2);
}

/* Sets vector `vector` up and MSI-X on. */
static void msix_on(struct host *host, unsigned vector, uint32_t data)
{
	uint64_t table = config_get(host, PCI_BASE_ADDRESS_1, 4) & ~0xfu;
	unsigned at = config_get(host, PCI_CAPABILITY_LIST, 1);

	while (config_get(host, at, 1) != PCI_CAP_ID_MSIX)
		at = config_get(host, at + 1, 1);
	bus_write(host->mmio, table + 16 * vector, 0xfee00000, 4);
	bus_write(host->mmio, table + 16 * vector + 8, data, 4);
	bus_write(host->mmio, table + 16 * vector + 12, 0, 4);
	config_set(host, at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
}

static void function_looks_like_virtio(void **state)
{
	struct host host;
	unsigned notify;

	(void)state;
	host_init(&host, false);
	assert_int_equal(config_get(&host, PCI_VENDOR_ID, 2), 0x1af4);
	assert_int_equal(config_get(&host, PCI_DEVICE_ID, 2), 0x1040 + VIRTIO_ID_RNG);
	assert_in_range(config_get(&host, PCI_REVISION_ID, 1), 1, 255);
	assert_int_equal(capability(&host, VIRTIO_PCI_CAP_DEVICE_CFG), 0);
	notify = capability(&host, VIRTIO_PCI_CAP_NOTIFY_CFG);
	assert_int_equal(config_get(&host, notify + 2, 1), 20);
	assert_int_equal(config_get(&host, notify + 16, 4), 4);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	host_fini(&host);
}

static void rng_fills_buffers_with_intx(void **state)
{
	static const uint8_t zeroes[64];
	struct host host;

	(void)state;
	host_init(&host, false);
	driver_start(&host);
	offer(&host, 64);
	assert_int_equal(used_index(&host), 0);
	kick(&host);
	assert_int_equal(used_index(&host), 1);
	assert_int_equal(le32_get(host.ram + DEVICE + 8), 64);
	assert_memory_not_equal(host.ram + BUFFER, zeroes, 64);
	assert_memory_equal(host.ram + BUFFER + 64, zeroes, 64);
	assert_true(host.line);
	assert_int_equal(bus_read(host.mmio, host.isr, 1), 1);
	assert_false(host.line);
	assert_int_equal(bus_read(host.mmio, host.isr, 1), 0);
	assert_int_equal(host.messages, 0);
	host_fini(&host);
}

static void rng_answers_at_most_a_page_at_once(void **state)
{
	struct host host;

	(void)state;
	host_init(&host, false);
	driver_start(&host);
	offer(&host, 0x80000);
	kick(&host);
	assert_int_equal(le32_get(host.ram + DEVICE + 8), 4096);
	host_fini(&host);
}

static void msix_vectors_are_used(void **state)
{
	struct host host;

	(void)state;
	host_init(&host, false);
	driver_start(&host);
	msix_on(&host, 1, 0x41);
	offer(&host, 16);
	kick(&host);
	assert_int_equal(used_index(&host), 1);
	assert_int_equal(host.messages, 0); /* no vector yet */
	common_set(&host, VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	common_set(&host, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_Q_MSIX, 2), 1);
	offer(&host, 16);
	kick(&host);
	assert_int_equal(host.messages, 1);
	assert_int_equal(host.message.data, 0x41);
	assert_false(host.line);
	/* What is wrong is told through the configuration's vector. */
	common_set(&host, VIRTIO_PCI_COMMON_MSIX, 1, 2);
	le16_put(host.ram + DRIVER + 2, 100);
	kick(&host);
	assert_int_equal(host.messages, 2);
	assert_true(common_get(&host, VIRTIO_PCI_COMMON_STATUS, 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
	common_set(&host, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	host_fini(&host);
}

static void registers_take_their_natural_width_only(void **state)
{
	struct host host;

	(void)state;
	host_init(&host, false);
	common_set(&host, VIRTIO_PCI_COMMON_DFSELECT, 1, 2);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_DFSELECT, 4), 0);
	common_set(&host, VIRTIO_PCI_COMMON_STATUS, 1, 2);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_NUMQ, 4), 0);
	common_set(&host, VIRTIO_PCI_COMMON_NUMQ, 7, 2);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_NUMQ, 2), 1);
	common_set(&host, VIRTIO_PCI_COMMON_Q_SELECT, 0xffff, 2);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
	for (unsigned offset = 0; offset < 64; offset++)
		common_set(&host, offset, UINT32_MAX, 1 + offset % 2);
	for (unsigned offset = 0; offset < 0x4000; offset += 4)
		bus_read(host.mmio, host.common + offset, 4);
	host_fini(&host);
}

/* Spec: Virtio 1.2 4.1.4.9 */
static void config_space_window_reaches_registers(void **state)
{
	struct host host;
	unsigned at;

	(void)state;
	host_init(&host, false);
	at = capability(&host, VIRTIO_PCI_CAP_PCI_CFG);
	config_set(&host, at + 4, 0, 1);
	config_set(&host, at + 8, VIRTIO_PCI_COMMON_STATUS, 4);
	config_set(&host, at + 12, 1, 4);
	config_set(&host, at + 16, VIRTIO_CONFIG_S_ACKNOWLEDGE, 1);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_STATUS, 1),
			 VIRTIO_CONFIG_S_ACKNOWLEDGE);
	config_set(&host, at + 8, VIRTIO_PCI_COMMON_NUMQ, 4);
	config_set(&host, at + 12, 2, 4);
	assert_int_equal(config_get(&host, at + 16, 2), 1);
	/* Windows that lead nowhere. */
	config_set(&host, at + 8, 0x4000, 4);
	config_set(&host, at + 16, UINT32_MAX, 4);
	config_set(&host, at + 8, UINT32_MAX, 4);
	config_set(&host, at + 12, 4, 4);
	config_set(&host, at + 16, UINT32_MAX, 4);
	config_set(&host, at + 12, 0, 4);
	config_set(&host, at + 16, UINT32_MAX, 4);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_STATUS, 1),
			 VIRTIO_CONFIG_S_ACKNOWLEDGE);
	host_fini(&host);
}

static void bus_master_off_holds_queues(void **state)
{
	struct host host;

	(void)state;
	host_init(&host, false);
	driver_start(&host);
	config_set(&host, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
	offer(&host, 16);
	kick(&host);
	assert_int_equal(used_index(&host), 0);
	config_set(&host, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_equal(used_index(&host), 1);
	host_fini(&host);
}

struct stop {
	struct loop_task task;
	struct loop *loop;
	struct host *host;
	unsigned rounds;
};

static void kick_handled(struct loop_task *task)
{
	struct stop *stop = container_of(task, struct stop, task);

	if (used_index(stop->host) || ++stop->rounds == 1000)
		loop_stop(stop->loop);
	else
		loop_post(stop->loop, task);
}

static void engine_gets_kicks_where_the_bar_is(void **state)
{
	const uint64_t one = 1;
	struct host host;
	struct stop stop;

	(void)state;
	host_init(&host, true);
	assert_int_equal(host.kick.address, 0);
	driver_start(&host);
	assert_true(host.kick.address == host.notify);
	assert_int_equal(host.kick.size, 2);
	/* The BAR moves, the kick follows; decoding off, it is gone. */
	config_set(&host, PCI_BASE_ADDRESS_0, 0xc2000000, 4);
	assert_true(host.kick.address == structure(&host, VIRTIO_PCI_CAP_NOTIFY_CFG));
	config_set(&host, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
	assert_int_equal(host.kick.address, 0);
	config_set(&host, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	assert_int_not_equal(host.kick.address, 0);
	/* A signal is a kick. */
	offer(&host, 16);
	assert_int_equal(write(host.kick.fd, &one, sizeof(one)), sizeof(one));
	stop = (struct stop){ .task.run = kick_handled, .loop = host.loop, .host = &host };
	loop_post(host.loop, &stop.task);
	assert_int_equal(loop_run(host.loop), 0);
	assert_int_equal(used_index(&host), 1);
	host.common = structure(&host, VIRTIO_PCI_CAP_COMMON_CFG);
	common_set(&host, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	assert_int_equal(host.kick.address, 0);
	driver_start(&host);
	assert_int_not_equal(host.kick.address, 0);
	host_fini(&host);
}

static void machine_reset_is_power_on(void **state)
{
	struct host host;

	(void)state;
	host_init(&host, true);
	driver_start(&host);
	msix_on(&host, 0, 1);
	config_set(&host, PCI_BASE_ADDRESS_0, 0xc2000000, 4);
	device_reset(&host.rng->device);
	assert_int_equal(host.kick.address, 0);
	assert_int_equal(config_get(&host, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	assert_int_equal(common_get(&host, VIRTIO_PCI_COMMON_STATUS, 1), 0);
	config_set(&host, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
	driver_start(&host);
	offer(&host, 16);
	kick(&host);
	assert_int_equal(used_index(&host), 1);
	assert_true(host.line);
	host_fini(&host);
}

static void kick_by_the_bus_waits_for_the_loop_if_told_so(void **state)
{
	struct stop stop;
	struct host host;

	(void)state;
	host_init_kicks(&host, false, true);
	driver_start(&host);
	offer(&host, 16);
	kick(&host);
	/* A queue that is not there. */
	bus_write(host.mmio, host.notify + 4, 1, 2);
	assert_int_equal(used_index(&host), 0);
	stop = (struct stop){ .task.run = kick_handled, .loop = host.loop, .host = &host };
	loop_post(host.loop, &stop.task);
	assert_int_equal(loop_run(host.loop), 0);
	assert_int_equal(used_index(&host), 1);
	host_fini(&host);
}

static void state_moves_to_another_host(void **state)
{
	struct state_stream out = { 0 }, again = { 0 }, in;
	struct host from, to;

	(void)state;
	host_init(&from, true);
	host_init(&to, true);
	driver_start(&from);
	msix_on(&from, 1, 0x55);
	common_set(&from, VIRTIO_PCI_COMMON_Q_MSIX, 1, 2);
	offer(&from, 16);
	kick(&from);
	assert_int_equal(from.messages, 1);
	offer(&from, 16);
	config_set(&from, PCI_BASE_ADDRESS_0, 0xc2000000, 4);
	assert_int_equal(device_save(&from.rng->device, &out), 0);

	memcpy(to.ram, from.ram, RAM_BYTES);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&to.rng->device, &in, NULL), 0);
	assert_int_equal(used_index(&to), 1);
	assert_true(to.kick.address == structure(&from, VIRTIO_PCI_CAP_NOTIFY_CFG));
	assert_int_equal(device_save(&to.rng->device, &again), 0);
	assert_int_equal(again.count, out.count);
	assert_memory_equal(again.bytes, out.bytes, out.count);
	virtio_device_resume(&to.rng->device);
	assert_int_equal(used_index(&to), 2);
	assert_int_equal(to.messages, 1);
	assert_int_equal(to.message.data, 0x55);
	for (size_t cut = 0; cut < out.count; cut += 37) {
		in = state_stream_reader(out.bytes, cut);
		assert_true(device_load(&to.rng->device, &in, NULL) < 0);
	}
	state_stream_fini(&out);
	state_stream_fini(&again);
	host_fini(&from);
	host_fini(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(function_looks_like_virtio),
		cmocka_unit_test(rng_fills_buffers_with_intx),
		cmocka_unit_test(rng_answers_at_most_a_page_at_once),
		cmocka_unit_test(msix_vectors_are_used),
		cmocka_unit_test(registers_take_their_natural_width_only),
		cmocka_unit_test(config_space_window_reaches_registers),
		cmocka_unit_test(bus_master_off_holds_queues),
		cmocka_unit_test(engine_gets_kicks_where_the_bar_is),
		cmocka_unit_test(machine_reset_is_power_on),
		cmocka_unit_test(kick_by_the_bus_waits_for_the_loop_if_told_so),
		cmocka_unit_test(state_moves_to_another_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
