/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HPET: a 64-bit counter at 100 MHz and up to eight comparators, each one-shot or periodic, by
 * line, legacy replacement or message (FSB).
 *
 * The counter is computed from the clock. Before each access every comparator is brought up to
 * date: all matches since the last time count as one. A single host timer is armed for the nearest
 * match of a timer that may interrupt.
 *
 * Invariants: writable configuration bits only; a line is high exactly while a level-triggered
 * timer on it has its status bit and is enabled, or a legacy input passes through.
 * Threads: vCPUs (MMIO), the loop (timer), any (legacy inputs), under the device's lock, which
 * comes after those of PIT and RTC.
 * Spec: IA-PC HPET 1.0a.
 */
#include "devices/hpet.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/macros.h"
#include "devices/paced_timer.h"
#include "host/thread.h"

#define TICK_NS 10

enum hpet_register {
	HPET_CAPABILITIES = 0x00,
	HPET_CONFIG = 0x10,
	HPET_STATUS = 0x20,
	HPET_COUNTER = 0xf0,
	HPET_TIMERS = 0x100,
};

enum timer_register { TIMER_CONFIG = 0x00, TIMER_COMPARATOR = 0x08, TIMER_FSB = 0x10 };

#define TIMER_BYTES 0x20

#define CAP_REVISION UINT64_C(1)
#define CAP_64_BITS  BIT(13)
#define CAP_LEGACY   BIT(15)
#define CAP_VENDOR   (UINT64_C(0x8086) << 16)

#define CONFIG_ENABLE UINT64_C(1)
#define CONFIG_LEGACY UINT64_C(2)

#define TIMER_LEVEL        BIT(1)
#define TIMER_ENABLE       BIT(2)
#define TIMER_PERIODIC     BIT(3)
#define TIMER_CAP_PERIODIC BIT(4)
#define TIMER_CAP_64_BITS  BIT(5)
#define TIMER_SET_VALUE    BIT(6)
#define TIMER_32_BITS      BIT(8)
#define TIMER_ROUTE_SHIFT  9
#define TIMER_ROUTE_BITS   5
#define TIMER_FSB_ENABLE   BIT(14)
#define TIMER_CAP_FSB      BIT(15)
#define TIMER_ROUTE        (bits_mask(TIMER_ROUTE_BITS) << TIMER_ROUTE_SHIFT)
#define TIMER_WRITABLE                                                                             \
	(TIMER_LEVEL | TIMER_ENABLE | TIMER_PERIODIC | TIMER_SET_VALUE | TIMER_32_BITS |           \
	 TIMER_ROUTE | TIMER_FSB_ENABLE)

/* Output lines: the routes, then the legacy interrupts. */
#define OUTPUTS (HPET_ROUTES + HPET_LEGACY)

struct hpet_timer {
	uint64_t config;     /* TIMER_WRITABLE bits */
	uint64_t comparator; /* as wide as the timer */
	uint64_t period;     /* 0: none written */
	uint64_t fsb;        /* message address above data */
};

struct hpet {
	struct device device;
	struct machine_clock *clock;
	struct bus_region region;
	struct irq_line outputs[OUTPUTS];
	struct msi_sink msi;
	struct paced_timer timer;
	unsigned timer_count;

	uint64_t config;
	uint8_t status;
	uint8_t legacy_inputs;
	uint64_t output_levels; /* a bit for each of OUTPUTS */
	uint64_t origin;        /* clock tick of counter value 0, while enabled */
	uint64_t halted;        /* counter value, while not */
	uint64_t evaluated;     /* counter value up to which matches were handled */
	struct hpet_timer timers[HPET_TIMERS_MAX];
};

static uint64_t tick_now(const struct hpet *hpet)
{
	return machine_clock_now_ns(hpet->clock) / TICK_NS;
}

static uint64_t counter_at(const struct hpet *hpet, uint64_t tick)
{
	return hpet->config & CONFIG_ENABLE ? tick - hpet->origin : hpet->halted;
}

static bool is_legacy(const struct hpet *hpet)
{
	return (hpet->config & (CONFIG_ENABLE | CONFIG_LEGACY)) == (CONFIG_ENABLE | CONFIG_LEGACY);
}

static uint64_t timer_mask(const struct hpet_timer *timer)
{
	return bits_mask(timer->config & TIMER_32_BITS ? 32 : 64);
}

/* Ticks after the evaluated one until the next match, minus one (so that a whole turn fits). */
static uint64_t ticks_to_match(const struct hpet *hpet, const struct hpet_timer *timer)
{
	return (timer->comparator - hpet->evaluated - 1) & timer_mask(timer);
}

static unsigned timer_output(const struct hpet *hpet, unsigned index)
{
	if (is_legacy(hpet) && index < HPET_LEGACY)
		return HPET_ROUTES + index;
	return (unsigned)bits_get(hpet->timers[index].config, TIMER_ROUTE_SHIFT, TIMER_ROUTE_BITS);
}

/* What the lines should be now. */
static uint64_t wanted_levels(const struct hpet *hpet)
{
	uint64_t levels = is_legacy(hpet) ? 0 : (uint64_t)hpet->legacy_inputs << HPET_ROUTES;

	for (unsigned i = 0; i < hpet->timer_count; i++) {
		uint64_t config = hpet->timers[i].config;

		if (hpet->status & (1u << i) && config & TIMER_LEVEL && config & TIMER_ENABLE &&
		    !(config & TIMER_FSB_ENABLE))
			levels |= BIT(timer_output(hpet, i));
	}
	return levels;
}

static void update_lines(struct hpet *hpet)
{
	uint64_t levels = wanted_levels(hpet);
	uint64_t changed = levels ^ hpet->output_levels;

	hpet->output_levels = levels;
	for (unsigned i = 0; i < OUTPUTS; i++) {
		if (changed & BIT(i))
			irq_set(&hpet->outputs[i], levels & BIT(i));
	}
}

static void timer_fire(struct hpet *hpet, unsigned index)
{
	const struct hpet_timer *timer = &hpet->timers[index];
	unsigned output = timer_output(hpet, index);

	if (timer->config & TIMER_LEVEL)
		hpet->status |= 1u << index;
	if (!(timer->config & TIMER_ENABLE))
		return;
	if (timer->config & TIMER_FSB_ENABLE)
		msi_send(&hpet->msi, (struct msi_message){ .address = timer->fsb >> 32,
							   .data = (uint32_t)timer->fsb });
	else if (!(timer->config & TIMER_LEVEL) && !(hpet->output_levels & BIT(output)))
		irq_pulse(&hpet->outputs[output]);
}

/* Handles what matched in the `elapsed` ticks after the evaluated one. */
static void timer_evaluate(struct hpet *hpet, unsigned index, uint64_t elapsed)
{
	struct hpet_timer *timer = &hpet->timers[index];
	uint64_t distance = ticks_to_match(hpet, timer);

	if (distance >= elapsed)
		return;
	if (timer->config & TIMER_PERIODIC && timer->period) {
		uint64_t periods = (elapsed - distance - 1) / timer->period + 1;

		timer->comparator =
			(timer->comparator + periods * timer->period) & timer_mask(timer);
	}
	timer_fire(hpet, index);
}

static void arm_timer(struct hpet *hpet, uint64_t tick)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < hpet->timer_count; i++) {
		if (hpet->timers[i].config & TIMER_ENABLE)
			next = MIN(next, ticks_to_match(hpet, &hpet->timers[i]));
	}
	/* Beyond the clock's end is never. */
	if (!(hpet->config & CONFIG_ENABLE) || next >= UINT64_MAX / TICK_NS - tick - 1)
		paced_timer_set(&hpet->timer, PACED_TIMER_NEVER);
	else
		paced_timer_set(&hpet->timer, (tick + next + 1) * TICK_NS);
}

/* Brings everything up to the present; each access begins and ends with it. */
static void hpet_update(struct hpet *hpet, uint64_t tick)
{
	uint64_t counter = counter_at(hpet, tick);
	uint64_t elapsed = counter - hpet->evaluated;

	if (hpet->config & CONFIG_ENABLE && elapsed) {
		for (unsigned i = 0; i < hpet->timer_count; i++)
			timer_evaluate(hpet, i, elapsed);
	}
	hpet->evaluated = counter;
	update_lines(hpet);
	arm_timer(hpet, tick);
}

static void hpet_expired(void *ctx)
{
	struct hpet *hpet = ctx;

	LOCK_SCOPE(&hpet->device.lock);
	hpet_update(hpet, paced_timer_fired(&hpet->timer) / TICK_NS);
}

static void hpet_set_legacy_input(void *ctx, unsigned index, bool level)
{
	struct hpet *hpet = ctx;

	LOCK_SCOPE(&hpet->device.lock);
	hpet->legacy_inputs = (uint8_t)bits_set(hpet->legacy_inputs, index, 1, level);
	update_lines(hpet);
}

/* GSIs that a timer may use, as the capability field has them. */
static uint32_t route_capability(const struct hpet *hpet)
{
	uint32_t mask = 0;

	for (unsigned i = 0; i < HPET_ROUTES; i++)
		mask |= hpet->outputs[i].set ? 1u << i : 0;
	return mask;
}

static uint64_t timer_read(const struct hpet *hpet, const struct hpet_timer *timer, unsigned reg)
{
	switch (reg) {
	case TIMER_CONFIG:
		return timer->config | TIMER_CAP_PERIODIC | TIMER_CAP_64_BITS | TIMER_CAP_FSB |
		       (uint64_t)route_capability(hpet) << 32;
	case TIMER_COMPARATOR:
		return timer->comparator;
	case TIMER_FSB:
		return timer->fsb;
	default:
		return 0;
	}
}

static uint64_t register_read(const struct hpet *hpet, uint64_t reg, uint64_t tick)
{
	unsigned index = (unsigned)(reg - HPET_TIMERS) / TIMER_BYTES;

	switch (reg) {
	case HPET_CAPABILITIES:
		return hpet_block_id(hpet) | (uint64_t)HPET_PERIOD_FS << 32;
	case HPET_CONFIG:
		return hpet->config;
	case HPET_STATUS:
		return hpet->status;
	case HPET_COUNTER:
		return counter_at(hpet, tick);
	default:
		if (reg < HPET_TIMERS || index >= hpet->timer_count)
			return 0;
		return timer_read(hpet, &hpet->timers[index], reg % TIMER_BYTES);
	}
}

static void write_config(struct hpet *hpet, uint64_t value, uint64_t tick)
{
	uint64_t counter = counter_at(hpet, tick);

	hpet->config = value & (CONFIG_ENABLE | CONFIG_LEGACY);
	hpet->origin = tick - counter;
	hpet->halted = counter;
}

static void write_counter(struct hpet *hpet, uint64_t value, uint64_t tick)
{
	hpet->origin = tick - value;
	hpet->halted = hpet->evaluated = value;
}

static void write_timer_config(struct hpet *hpet, unsigned index, uint64_t value)
{
	struct hpet_timer *timer = &hpet->timers[index];
	unsigned route = (unsigned)bits_get(value, TIMER_ROUTE_SHIFT, TIMER_ROUTE_BITS);

	/* A route that is not offered does not stick. */
	if (!(route_capability(hpet) & (1u << route)))
		value = (value & ~TIMER_ROUTE) | (timer->config & TIMER_ROUTE);
	timer->config = value & TIMER_WRITABLE;
	timer->comparator &= timer_mask(timer);
	timer->period &= timer_mask(timer);
	if (!(timer->config & TIMER_LEVEL))
		hpet->status &= ~(1u << index);
}

/* Spec: HPET 1.0a section 2.3.9.2.2: a periodic timer's accumulator needs TIMER_SET_VALUE. */
static void write_comparator(struct hpet_timer *timer, unsigned shift, unsigned bits,
			     uint64_t value)
{
	if (!(timer->config & TIMER_PERIODIC) || timer->config & TIMER_SET_VALUE)
		timer->comparator =
			bits_set(timer->comparator, shift, bits, value) & timer_mask(timer);
	if (timer->config & TIMER_PERIODIC)
		timer->period = bits_set(timer->period, shift, bits, value) & timer_mask(timer);
	timer->config &= ~TIMER_SET_VALUE;
}

static void timer_write(struct hpet *hpet, unsigned index, unsigned reg, unsigned shift,
			unsigned bits, uint64_t value)
{
	struct hpet_timer *timer = &hpet->timers[index];

	switch (reg) {
	case TIMER_CONFIG:
		write_timer_config(hpet, index, bits_set(timer->config, shift, bits, value));
		break;
	case TIMER_COMPARATOR:
		write_comparator(timer, shift, bits, value);
		break;
	case TIMER_FSB:
		timer->fsb = bits_set(timer->fsb, shift, bits, value);
		break;
	}
}

static void register_write(struct hpet *hpet, uint64_t reg, unsigned shift, unsigned bits,
			   uint64_t value, uint64_t tick)
{
	unsigned index = (unsigned)(reg - HPET_TIMERS) / TIMER_BYTES;

	switch (reg) {
	case HPET_CAPABILITIES:
		break;
	case HPET_CONFIG:
		write_config(hpet, bits_set(hpet->config, shift, bits, value), tick);
		break;
	case HPET_STATUS:
		hpet->status &= (uint8_t)~bits_set(0, shift, bits, value);
		break;
	case HPET_COUNTER:
		write_counter(hpet, bits_set(counter_at(hpet, tick), shift, bits, value), tick);
		break;
	default:
		if (reg >= HPET_TIMERS && index < hpet->timer_count)
			timer_write(hpet, index, reg % TIMER_BYTES, shift, bits, value);
	}
}

static uint64_t hpet_read(void *device, uint64_t offset, unsigned size)
{
	struct hpet *hpet = device;
	uint64_t tick = tick_now(hpet);

	if (offset % size)
		return bits_mask(size * 8);
	/* The counter is the clock source of some guests; it needs no more than the time. */
	if (round_down(offset, 8) != HPET_COUNTER)
		hpet_update(hpet, tick);
	return bits_get(register_read(hpet, round_down(offset, 8), tick), offset % 8 * 8, size * 8);
}

static void hpet_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct hpet *hpet = device;
	uint64_t tick = tick_now(hpet);

	if (offset % size)
		return;
	hpet_update(hpet, tick);
	register_write(hpet, round_down(offset, 8), offset % 8 * 8, size * 8, value, tick);
	hpet_update(hpet, tick);
}

static const struct bus_ops hpet_bus_ops = {
	.read = hpet_read,
	.write = hpet_write,
	.min_size = 4,
	.max_size = 8,
};

static void hpet_reset(struct device *device)
{
	struct hpet *hpet = container_of(device, struct hpet, device);

	hpet->config = 0;
	hpet->status = 0;
	hpet->origin = hpet->halted = hpet->evaluated = 0;
	for (unsigned i = 0; i < HPET_TIMERS_MAX; i++)
		hpet->timers[i] = (struct hpet_timer){ .comparator = UINT64_MAX };
	hpet_update(hpet, tick_now(hpet));
}

static void hpet_free(struct device *device)
{
	struct hpet *hpet = container_of(device, struct hpet, device);

	bus_unmap(&hpet->region);
	paced_timer_fini(&hpet->timer);
	device_fini(device);
	free(hpet);
}

static bool hpet_ok(const struct device *device)
{
	const struct hpet *hpet = container_of(device, struct hpet, device);

	for (unsigned i = 0; i < HPET_TIMERS_MAX; i++) {
		const struct hpet_timer *timer = &hpet->timers[i];

		if (timer->config & ~TIMER_WRITABLE || timer->comparator & ~timer_mask(timer) ||
		    timer->period & ~timer_mask(timer))
			return false;
		if (hpet->status & (1u << i) && !(timer->config & TIMER_LEVEL))
			return false;
	}
	return !(hpet->config & ~(CONFIG_ENABLE | CONFIG_LEGACY)) &&
	       !(hpet->output_levels & ~bits_mask(OUTPUTS)) &&
	       !(hpet->legacy_inputs & ~bits_mask(HPET_LEGACY));
}

static const struct state_field hpet_timer_fields[] = {
	STATE_FIELD(struct hpet_timer, config),
	STATE_FIELD(struct hpet_timer, comparator),
	STATE_FIELD(struct hpet_timer, period),
	STATE_FIELD(struct hpet_timer, fsb),
	{ 0 },
};

static const struct state_field hpet_fields[] = {
	STATE_FIELD(struct hpet, config, .max = CONFIG_ENABLE | CONFIG_LEGACY),
	STATE_FIELD(struct hpet, status),
	STATE_FIELD(struct hpet, legacy_inputs, .max = BIT(HPET_LEGACY) - 1),
	STATE_FIELD(struct hpet, output_levels, .max = BIT(OUTPUTS) - 1),
	STATE_FIELD(struct hpet, origin),
	STATE_FIELD(struct hpet, halted),
	STATE_FIELD(struct hpet, evaluated),
	STATE_STRUCTS(struct hpet, timers, hpet_timer_fields),
	{ 0 },
};

static int hpet_validate(const void *object, struct err *err)
{
	const struct hpet *hpet = object;

	if (!hpet_ok(&hpet->device))
		return err_set(err, EINVAL, "refuse HPET state: a timer cannot be like this");
	return 0;
}

static void hpet_post_load(void *object)
{
	struct hpet *hpet = object;

	paced_timer_set(&hpet->timer, machine_clock_now_ns(hpet->clock));
}

const struct state_desc hpet_state = {
	.name = "hpet",
	.version = 1,
	.fields = hpet_fields,
	.validate = hpet_validate,
	.post_load = hpet_post_load,
};

static const struct device_ops hpet_ops = {
	.type = "hpet",
	.reset = hpet_reset,
	.free = hpet_free,
	.state = &hpet_state,
	.ok = hpet_ok,
};

int hpet_new(struct hpet **ret_hpet, const struct hpet_config *config, struct err *err)
{
	struct hpet *hpet = calloc(1, sizeof(*hpet));
	int rc;

	if (!hpet)
		return err_errno(err, ENOMEM, "cannot create HPET");
	check(config->timers >= 3 && config->timers <= HPET_TIMERS_MAX);
	device_init(&hpet->device, &hpet_ops, "hpet");
	hpet->clock = config->clock;
	hpet->msi = config->msi;
	hpet->timer_count = config->timers;
	for (unsigned i = 0; i < HPET_ROUTES; i++)
		hpet->outputs[i] = config->routes[i];
	for (unsigned i = 0; i < HPET_LEGACY; i++)
		hpet->outputs[HPET_ROUTES + i] = config->legacy[i];
	paced_timer_init(&hpet->timer, config->clock, hpet_expired, hpet);
	hpet->region = (struct bus_region){
		.name = "hpet",
		.ops = &hpet_bus_ops,
		.device = hpet,
		.lock = &hpet->device.lock,
		.size = HPET_BYTES,
	};
	rc = bus_map(config->mmio, &hpet->region, config->base, err);
	if (rc) {
		device_free(&hpet->device);
		return rc;
	}
	device_reset(&hpet->device);
	*ret_hpet = hpet;
	return 0;
}

struct device *hpet_device(struct hpet *hpet)
{
	return &hpet->device;
}

struct irq_line hpet_legacy_input(struct hpet *hpet, unsigned index)
{
	return (struct irq_line){ .set = hpet_set_legacy_input, .ctx = hpet, .number = index };
}

uint32_t hpet_block_id(const struct hpet *hpet)
{
	return (uint32_t)(CAP_REVISION | (hpet->timer_count - 1) << 8 | CAP_64_BITS | CAP_LEGACY |
			  CAP_VENDOR);
}
