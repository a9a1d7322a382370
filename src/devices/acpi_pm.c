/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI fixed hardware.
 *
 * There is no system management mode behind SMI_CMD: its two values switch SCI_EN themselves. The
 * timer is computed from the clock; its status bit is brought up to date before each access, and a
 * host timer runs only while its interrupt is wanted.
 *
 * Invariant: the SCI is high exactly while SCI_EN is set and an enabled status bit, too.
 * Threads: vCPUs (ports), the loop (timer), any (events), under the device's lock.
 * Spec: ACPI 6.5 section 4.8.
 */
#include "devices/acpi_pm.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/macros.h"
#include "devices/paced_timer.h"
#include "devices/ticks.h"
#include "host/thread.h"

#define EVENT_TIMER        0x0001
#define EVENT_GLOBAL       0x0020
#define EVENT_POWER_BUTTON 0x0100
#define EVENT_SLEEP_BUTTON 0x0200
#define EVENT_RTC          0x0400
#define EVENT_WAKE         0x8000
#define EVENT_STATUS                                                                               \
	(EVENT_TIMER | EVENT_GLOBAL | EVENT_POWER_BUTTON | EVENT_SLEEP_BUTTON | EVENT_RTC |        \
	 EVENT_WAKE)
#define EVENT_ENABLE (EVENT_STATUS & ~EVENT_WAKE)

#define CONTROL_SCI_ENABLE   0x0001
#define CONTROL_SLEEP_TYPE   0x1c00
#define CONTROL_SLEEP_ENABLE 0x2000
#define CONTROL_WRITABLE     (CONTROL_SLEEP_TYPE | 0x0002) /* and BM_RLD */

#define COMMAND_PORTS 2 /* command, and a scratch byte */
#define GPE_BYTES     (ACPI_PM_GPE_MAX / 8)

struct acpi_pm {
	struct device device;
	struct acpi_pm_config config;
	struct bus_region event_region, control_region, timer_region, gpe_region, command_region;
	struct paced_timer timer;

	uint16_t status, enable, control;
	bool rtc_alarm; /* level of the input */
	uint8_t gpe_status[GPE_BYTES], gpe_enable[GPE_BYTES];
	uint8_t command[COMMAND_PORTS];
	uint64_t evaluated; /* timer tick up to which EVENT_TIMER was raised */
};

static uint64_t timer_now(const struct acpi_pm *pm)
{
	return ticks_at(machine_clock_now_ns(pm->config.clock), ACPI_PM_TIMER_HZ);
}

/* The status bit is set when the timer's highest bit changes. */
static unsigned timer_high_bit(const struct acpi_pm *pm)
{
	return pm->config.timer_32_bits ? 31 : 23;
}

static bool sci_level(const struct acpi_pm *pm)
{
	bool level = pm->status & pm->enable;

	for (unsigned i = 0; i < GPE_BYTES; i++)
		level |= pm->gpe_status[i] & pm->gpe_enable[i];
	return level && pm->control & CONTROL_SCI_ENABLE;
}

static void acpi_pm_update(struct acpi_pm *pm)
{
	unsigned bit = timer_high_bit(pm);
	uint64_t now = timer_now(pm);

	if (now >> bit != pm->evaluated >> bit)
		pm->status |= EVENT_TIMER;
	pm->evaluated = now;
	irq_set(&pm->config.sci, sci_level(pm));
	paced_timer_set(&pm->timer,
			pm->enable & ~pm->status & EVENT_TIMER
				? ticks_to_ns(((now >> bit) + 1) << bit, ACPI_PM_TIMER_HZ)
				: PACED_TIMER_NEVER);
}

static void acpi_pm_expired(void *ctx)
{
	struct acpi_pm *pm = ctx;

	LOCK_SCOPE(&pm->device.lock);
	paced_timer_fired(&pm->timer);
	acpi_pm_update(pm);
}

static uint64_t event_read(void *device, uint64_t offset, unsigned size)
{
	struct acpi_pm *pm = device;

	acpi_pm_update(pm);
	return bits_get(pm->status | (uint32_t)pm->enable << 16, (unsigned)offset * 8, size * 8);
}

static void event_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = device;
	uint32_t bits = (uint32_t)bits_set(0, (unsigned)offset * 8, size * 8, value);
	uint32_t enable = (uint32_t)bits_set((uint32_t)pm->enable << 16, (unsigned)offset * 8,
					     size * 8, value);

	acpi_pm_update(pm);
	pm->status &= ~(bits & 0xffff); /* write 1 to clear */
	pm->enable = enable >> 16 & EVENT_ENABLE;
	acpi_pm_update(pm);
}

static uint64_t control_read(void *device, uint64_t offset, unsigned size)
{
	const struct acpi_pm *pm = device;

	return bits_get(pm->control, (unsigned)offset * 8, size * 8);
}

static void control_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = device;
	uint16_t next = (uint16_t)bits_set(pm->control, (unsigned)offset * 8, size * 8, value);

	pm->control = (next & CONTROL_WRITABLE) | (pm->control & CONTROL_SCI_ENABLE);
	/* Only S5 exists; other sleep types are ignored. */
	if (next & CONTROL_SLEEP_ENABLE && bits_get(next, 10, 3) == pm->config.sleep_type_s5)
		machine_request_power_off(&pm->config.requests);
}

static uint64_t timer_read(void *device, uint64_t offset, unsigned size)
{
	const struct acpi_pm *pm = device;
	uint64_t value = timer_now(pm) & bits_mask(timer_high_bit(pm) + 1);

	return bits_get(value, (unsigned)offset * 8, size * 8);
}

/* Byte `offset` of the block: status bytes, then enable bytes. */
static uint8_t *gpe_byte(struct acpi_pm *pm, uint64_t offset, bool *ret_is_status)
{
	unsigned half = pm->config.gpes / 8;

	*ret_is_status = offset < half;
	return *ret_is_status ? &pm->gpe_status[offset] : &pm->gpe_enable[offset - half];
}

static uint64_t gpe_read(void *device, uint64_t offset, unsigned size)
{
	bool is_status;

	(void)size;
	return *gpe_byte(device, offset, &is_status);
}

static void gpe_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = device;
	bool is_status;
	uint8_t *byte = gpe_byte(pm, offset, &is_status);

	(void)size;
	*byte = is_status ? *byte & (uint8_t)~value : (uint8_t)value;
	acpi_pm_update(pm);
}

static uint64_t command_read(void *device, uint64_t offset, unsigned size)
{
	const struct acpi_pm *pm = device;

	(void)size;
	return pm->command[offset];
}

static void command_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct acpi_pm *pm = device;

	(void)size;
	pm->command[offset] = (uint8_t)value;
	if (offset)
		return;
	if (value == pm->config.acpi_enable)
		pm->control |= CONTROL_SCI_ENABLE;
	else if (value == pm->config.acpi_disable)
		pm->control &= ~CONTROL_SCI_ENABLE;
	acpi_pm_update(pm);
}

static const struct bus_ops event_ops = {
	.read = event_read, .write = event_write, .min_size = 1, .max_size = 4
};
static const struct bus_ops control_ops = {
	.read = control_read, .write = control_write, .min_size = 1, .max_size = 2
};
static const struct bus_ops timer_ops = { .read = timer_read, .min_size = 1, .max_size = 4 };
static const struct bus_ops gpe_ops = {
	.read = gpe_read, .write = gpe_write, .min_size = 1, .max_size = 1
};
static const struct bus_ops command_ops = {
	.read = command_read, .write = command_write, .min_size = 1, .max_size = 1
};

void acpi_pm_power_button(struct acpi_pm *pm)
{
	LOCK_SCOPE(&pm->device.lock);
	pm->status |= EVENT_POWER_BUTTON;
	acpi_pm_update(pm);
}

static void set_rtc_alarm(void *ctx, unsigned number, bool level)
{
	struct acpi_pm *pm = ctx;

	(void)number;
	LOCK_SCOPE(&pm->device.lock);
	if (level && !pm->rtc_alarm) {
		pm->status |= EVENT_RTC;
		acpi_pm_update(pm);
	}
	pm->rtc_alarm = level;
}

struct irq_line acpi_pm_rtc_alarm(struct acpi_pm *pm)
{
	return (struct irq_line){ .set = set_rtc_alarm, .ctx = pm };
}

void acpi_pm_gpe(struct acpi_pm *pm, unsigned number)
{
	check(number < pm->config.gpes);
	LOCK_SCOPE(&pm->device.lock);
	pm->gpe_status[number / 8] |= 1u << number % 8;
	acpi_pm_update(pm);
}

static void acpi_pm_reset(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	pm->status = pm->enable = pm->control = 0;
	for (unsigned i = 0; i < GPE_BYTES; i++)
		pm->gpe_status[i] = pm->gpe_enable[i] = 0;
	pm->command[0] = pm->command[1] = 0;
	pm->evaluated = timer_now(pm);
	acpi_pm_update(pm);
}

static void acpi_pm_free(struct device *device)
{
	struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	bus_unmap(&pm->event_region);
	bus_unmap(&pm->control_region);
	bus_unmap(&pm->timer_region);
	bus_unmap(&pm->gpe_region);
	bus_unmap(&pm->command_region);
	paced_timer_fini(&pm->timer);
	device_fini(device);
	free(pm);
}

static bool acpi_pm_ok(const struct device *device)
{
	const struct acpi_pm *pm = container_of(device, struct acpi_pm, device);

	return !(pm->status & ~EVENT_STATUS) && !(pm->enable & ~EVENT_ENABLE) &&
	       !(pm->control & ~(CONTROL_WRITABLE | CONTROL_SCI_ENABLE));
}

static const struct state_field acpi_pm_fields[] = {
	STATE_FIELD(struct acpi_pm, status),
	STATE_FIELD(struct acpi_pm, enable),
	STATE_FIELD(struct acpi_pm, control),
	STATE_FIELD(struct acpi_pm, rtc_alarm),
	STATE_RAW(struct acpi_pm, gpe_status),
	STATE_RAW(struct acpi_pm, gpe_enable),
	STATE_RAW(struct acpi_pm, command),
	STATE_FIELD(struct acpi_pm, evaluated, .max = UINT64_MAX / 4),
	{ 0 },
};

static int acpi_pm_validate(const void *object, struct err *err)
{
	const struct acpi_pm *pm = object;

	if (!acpi_pm_ok(&pm->device))
		return err_set(err, EINVAL, "refuse ACPI state: reserved bits are set");
	return 0;
}

static void acpi_pm_post_load(void *object)
{
	struct acpi_pm *pm = object;

	paced_timer_set(&pm->timer, machine_clock_now_ns(pm->config.clock));
}

const struct state_desc acpi_pm_state = {
	.name = "acpi-pm",
	.version = 1,
	.fields = acpi_pm_fields,
	.validate = acpi_pm_validate,
	.post_load = acpi_pm_post_load,
};

static const struct device_ops acpi_pm_ops = {
	.type = "acpi-pm",
	.reset = acpi_pm_reset,
	.free = acpi_pm_free,
	.state = &acpi_pm_state,
	.ok = acpi_pm_ok,
};

/* Maps a block unless the board has none. */
static int map(struct acpi_pm *pm, struct bus_region *region, const char *name,
	       const struct bus_ops *ops, uint16_t port, uint64_t size, struct err *err)
{
	if (!port || !size)
		return 0;
	*region = (struct bus_region){
		.name = name, .ops = ops, .device = pm, .lock = &pm->device.lock, .size = size
	};
	return bus_map(pm->config.ports, region, port, err);
}

int acpi_pm_new(struct acpi_pm **ret_pm, const struct acpi_pm_config *config, struct err *err)
{
	struct acpi_pm *pm = calloc(1, sizeof(*pm));
	int rc;

	if (!pm)
		return err_errno(err, ENOMEM, "cannot create ACPI registers");
	check(config->gpes <= ACPI_PM_GPE_MAX && config->gpes % 8 == 0);
	device_init(&pm->device, &acpi_pm_ops, "acpi-pm");
	pm->config = *config;
	paced_timer_init(&pm->timer, config->clock, acpi_pm_expired, pm);
	rc = map(pm, &pm->event_region, "pm1a-event", &event_ops, config->event_port,
		 ACPI_PM_EVENT_BYTES, err);
	if (!rc)
		rc = map(pm, &pm->control_region, "pm1a-control", &control_ops,
			 config->control_port, ACPI_PM_CONTROL_BYTES, err);
	if (!rc)
		rc = map(pm, &pm->timer_region, "pm-timer", &timer_ops, config->timer_port,
			 ACPI_PM_TIMER_BYTES, err);
	if (!rc)
		rc = map(pm, &pm->gpe_region, "gpe0", &gpe_ops, config->gpe_port, config->gpes / 4,
			 err);
	if (!rc)
		rc = map(pm, &pm->command_region, "smi-command", &command_ops, config->command_port,
			 COMMAND_PORTS, err);
	if (rc) {
		device_free(&pm->device);
		return rc;
	}
	device_reset(&pm->device);
	*ret_pm = pm;
	return 0;
}

struct device *acpi_pm_device(struct acpi_pm *pm)
{
	return &pm->device;
}
