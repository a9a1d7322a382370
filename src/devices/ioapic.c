/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O APIC, version 0x20 (with an EOI register), that delivers through MSI messages.
 *
 * A level-triggered pin sends when it is asserted, unmasked and not waiting for an EOI (remote
 * IRR); an edge on a masked pin is lost, as the data sheet demands. Redirection bits 49 to 55
 * extend the destination and become message address bits 5 to 11 (vm/irq.h), so that guests reach
 * APIC ids beyond 255.
 *
 * Invariants: remote IRR is set only in level-triggered entries; reserved bits are zero.
 * Threads: any; the device's lock guards everything, messages are sent with it held.
 * Spec: Intel 82093AA data sheet (290566-001); ICH9 data sheet 13.5.
 */
#include "devices/ioapic.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/macros.h"
#include "host/thread.h"

#define WINDOW_BYTES 0x1000

enum window { WINDOW_INDEX = 0x00, WINDOW_DATA = 0x10, WINDOW_EOI = 0x40 };
enum index_register { INDEX_ID, INDEX_VERSION, INDEX_ARBITRATION, INDEX_REDIRECTION = 0x10 };

#define VERSION 0x20

#define ENTRY_VECTOR     UINT64_C(0xff)
#define ENTRY_LOGICAL    BIT(11)
#define ENTRY_REMOTE_IRR BIT(14)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
/* Vector, delivery mode, destination mode, polarity, trigger, mask, destination with its extension. */
#define ENTRY_WRITABLE (UINT64_C(0xfffe000000000000) | UINT64_C(0x1afff))

#define MSI_ADDRESS_BASE UINT64_C(0xfee00000)
#define MSI_DATA_ASSERT  (1u << 14)
#define MSI_DATA_LEVEL   (1u << 15)

struct ioapic_pin {
	uint64_t entry;
	bool asserted;
};

struct ioapic {
	struct device device;
	struct bus_region region;
	struct msi_sink msi;
	unsigned pin_count;

	uint8_t index;
	uint8_t id;
	struct ioapic_pin pins[IOAPIC_PINS_MAX];
};

/* Spec: SDM volume 3, "Message Signalled Interrupts"; the extended destination as hypervisors offer
 * it. */
static struct msi_message entry_message(uint64_t entry)
{
	return (struct msi_message){
		.address = MSI_ADDRESS_BASE | bits_get(entry, 56, 8) << 12 |
			   bits_get(entry, 49, 7) << 5 | (entry & ENTRY_LOGICAL ? BIT(2) : 0),
		.data = (uint32_t)(bits_get(entry, 0, 11) | MSI_DATA_ASSERT |
				   (entry & ENTRY_LEVEL ? MSI_DATA_LEVEL : 0)),
	};
}

/* Sends a level-triggered pin's message if it is due. */
static void pin_service_level(struct ioapic *ioapic, struct ioapic_pin *pin)
{
	if (!pin->asserted || (pin->entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
		return;
	pin->entry |= ENTRY_REMOTE_IRR;
	msi_send(&ioapic->msi, entry_message(pin->entry));
}

static void ioapic_set_pin(void *ctx, unsigned number, bool level)
{
	struct ioapic *ioapic = ctx;
	struct ioapic_pin *pin = &ioapic->pins[number];
	bool rose;

	LOCK_SCOPE(&ioapic->device.lock);
	rose = level && !pin->asserted;
	pin->asserted = level;
	if (pin->entry & ENTRY_LEVEL)
		pin_service_level(ioapic, pin);
	else if (rose && !(pin->entry & ENTRY_MASKED))
		msi_send(&ioapic->msi, entry_message(pin->entry));
}

void ioapic_eoi(struct ioapic *ioapic, uint8_t vector)
{
	LOCK_SCOPE(&ioapic->device.lock);
	for (unsigned i = 0; i < ioapic->pin_count; i++) {
		struct ioapic_pin *pin = &ioapic->pins[i];

		if (!(pin->entry & ENTRY_REMOTE_IRR) || (pin->entry & ENTRY_VECTOR) != vector)
			continue;
		pin->entry &= ~ENTRY_REMOTE_IRR;
		pin_service_level(ioapic, pin);
	}
}

static void write_entry(struct ioapic *ioapic, unsigned number, unsigned shift, uint32_t value)
{
	struct ioapic_pin *pin = &ioapic->pins[number];
	uint64_t entry = bits_set(pin->entry, shift, 32, value);

	pin->entry = (entry & ENTRY_WRITABLE) | (pin->entry & ENTRY_REMOTE_IRR);
	/* Guests without the EOI register clear a stuck remote IRR by a turn through edge mode. */
	if (!(pin->entry & ENTRY_LEVEL))
		pin->entry &= ~ENTRY_REMOTE_IRR;
	if (pin->entry & ENTRY_LEVEL)
		pin_service_level(ioapic, pin);
}

static void write_indexed(struct ioapic *ioapic, uint32_t value)
{
	unsigned number = (ioapic->index - INDEX_REDIRECTION) / 2;

	if (ioapic->index == INDEX_ID)
		ioapic->id = (uint8_t)bits_get(value, 24, 4);
	else if (ioapic->index >= INDEX_REDIRECTION && number < ioapic->pin_count)
		write_entry(ioapic, number, ioapic->index & 1 ? 32 : 0, value);
}

static uint32_t read_indexed(const struct ioapic *ioapic)
{
	unsigned number = (ioapic->index - INDEX_REDIRECTION) / 2;

	switch (ioapic->index) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (uint32_t)ioapic->id << 24;
	case INDEX_VERSION:
		return VERSION | (ioapic->pin_count - 1) << 16;
	default:
		if (ioapic->index < INDEX_REDIRECTION || number >= ioapic->pin_count)
			return 0;
		return (uint32_t)(ioapic->pins[number].entry >> (ioapic->index & 1 ? 32 : 0));
	}
}

static uint64_t ioapic_read(void *device, uint64_t offset, unsigned size)
{
	const struct ioapic *ioapic = device;

	(void)size;
	switch (offset) {
	case WINDOW_INDEX:
		return ioapic->index;
	case WINDOW_DATA:
		return read_indexed(ioapic);
	default:
		return 0;
	}
}

static void ioapic_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct ioapic *ioapic = device;

	(void)size;
	switch (offset) {
	case WINDOW_INDEX:
		ioapic->index = (uint8_t)value;
		break;
	case WINDOW_DATA:
		write_indexed(ioapic, (uint32_t)value);
		break;
	case WINDOW_EOI:
		ioapic_eoi(ioapic, (uint8_t)value);
		break;
	}
}

static const struct bus_ops ioapic_bus_ops = {
	.read = ioapic_read,
	.write = ioapic_write,
	.min_size = 1,
	.max_size = 4,
};

static void ioapic_reset(struct device *device)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);

	ioapic->index = 0;
	ioapic->id = 0;
	for (unsigned i = 0; i < ioapic->pin_count; i++)
		ioapic->pins[i].entry = ENTRY_MASKED;
}

static void ioapic_free(struct device *device)
{
	struct ioapic *ioapic = container_of(device, struct ioapic, device);

	bus_unmap(&ioapic->region);
	device_fini(device);
	free(ioapic);
}

static bool entry_ok(uint64_t entry)
{
	return !(entry & ~(ENTRY_WRITABLE | ENTRY_REMOTE_IRR)) &&
	       (entry & ENTRY_LEVEL || !(entry & ENTRY_REMOTE_IRR));
}

static bool ioapic_ok(const struct device *device)
{
	const struct ioapic *ioapic = container_of(device, struct ioapic, device);

	for (unsigned i = 0; i < IOAPIC_PINS_MAX; i++) {
		const struct ioapic_pin *pin = &ioapic->pins[i];

		if (!entry_ok(pin->entry) || (i >= ioapic->pin_count && pin->asserted))
			return false;
	}
	return true;
}

static const struct state_field ioapic_pin_fields[] = {
	STATE_FIELD(struct ioapic_pin, entry),
	STATE_FIELD(struct ioapic_pin, asserted),
	{ 0 },
};

static const struct state_field ioapic_fields[] = {
	STATE_FIELD(struct ioapic, index),
	STATE_FIELD(struct ioapic, id, .max = 15),
	STATE_STRUCTS(struct ioapic, pins, ioapic_pin_fields),
	{ 0 },
};

static int ioapic_validate(const void *object, struct err *err)
{
	const struct ioapic *ioapic = object;

	if (!ioapic_ok(&ioapic->device))
		return err_set(err, EINVAL, "refuse I/O APIC state: a pin cannot be like this");
	return 0;
}

const struct state_desc ioapic_state = {
	.name = "ioapic",
	.version = 1,
	.fields = ioapic_fields,
	.validate = ioapic_validate,
};

static const struct device_ops ioapic_ops = {
	.type = "ioapic",
	.reset = ioapic_reset,
	.free = ioapic_free,
	.state = &ioapic_state,
	.ok = ioapic_ok,
};

int ioapic_new(struct ioapic **ret_ioapic, const struct ioapic_config *config, struct err *err)
{
	struct ioapic *ioapic = calloc(1, sizeof(*ioapic));
	int rc;

	if (!ioapic)
		return err_errno(err, ENOMEM, "cannot create I/O APIC");
	check(config->pins >= 1 && config->pins <= IOAPIC_PINS_MAX);
	device_init(&ioapic->device, &ioapic_ops, "ioapic");
	ioapic->msi = config->msi;
	ioapic->pin_count = config->pins;
	ioapic->region = (struct bus_region){
		.name = "ioapic",
		.ops = &ioapic_bus_ops,
		.device = ioapic,
		.lock = &ioapic->device.lock,
		.size = WINDOW_BYTES,
	};
	rc = bus_map(config->mmio, &ioapic->region, config->base, err);
	if (rc) {
		device_free(&ioapic->device);
		return rc;
	}
	device_reset(&ioapic->device);
	*ret_ioapic = ioapic;
	return 0;
}

struct device *ioapic_device(struct ioapic *ioapic)
{
	return &ioapic->device;
}

struct irq_line ioapic_line(struct ioapic *ioapic, unsigned pin)
{
	return (struct irq_line){ .set = ioapic_set_pin, .ctx = ioapic, .number = pin };
}
