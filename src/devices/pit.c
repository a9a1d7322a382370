/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8254 timer: three channels, all six modes, and port 0x61 (gate 2, speaker, refresh toggle).
 *
 * Nothing counts: a channel keeps the tick at which its counting element was loaded, and counter
 * and output follow from the ticks since then. The counting element loads at the write instead of
 * one clock later. Only channel 0's rising edges, which interrupt, need a host timer; edges
 * that come faster than a paced timer are merged.
 *
 * Invariants: a counting element's period is 1 to 65536; the timer is armed for channel 0's next
 * rising edge, if there is one and the guest has programmed it.
 * Threads: vCPUs (ports) and the loop (timer), both under the device's lock.
 * Spec: Intel 82C54 data sheet (231244-006); ICH9 data sheet 13.7.1 (port 0x61).
 */
#include "devices/pit.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "devices/paced_timer.h"
#include "devices/ticks.h"
#include "host/thread.h"

#define CHANNELS     3
#define CONTROL_PORT 3
#define NO_TICK      UINT64_MAX

enum pit_mode {
	MODE_TERMINAL_COUNT,
	MODE_ONE_SHOT,
	MODE_RATE,
	MODE_SQUARE,
	MODE_STROBE,
	MODE_HARDWARE_STROBE,
};

enum pit_access { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

enum port_b { PORT_B_GATE = 0x01, PORT_B_SPEAKER = 0x02, PORT_B_CHECKS = 0x0c };

#define PORT_B_REFRESH 0x10
#define PORT_B_OUTPUT  0x20
#define REFRESH_TICKS  18 /* channel 1's count in every PC */

struct pit_channel {
	uint8_t mode, access;
	bool bcd, gate;
	bool write_high, read_high; /* the next byte of a two-byte access is the high one */
	uint8_t write_low;
	uint32_t reload; /* count register: 1 to 65536 */
	uint32_t period; /* what the counting element was loaded with */
	bool programmed; /* a count came since the control word */
	bool started;    /* the counting element was loaded since then */
	bool counting;   /* it runs; else `held` are the ticks that it had run */
	bool null_count; /* the count register was not yet taken */
	uint64_t start;  /* tick of the load, while counting */
	uint64_t held;
	bool status_latched;
	uint8_t status;
	uint8_t count_latched; /* bytes of the latch still to be read */
	uint16_t count;
};

struct pit {
	struct device device;
	struct machine_clock *clock;
	struct bus_region ports, port_b_region;
	struct irq_line irq;
	struct paced_timer timer;

	struct pit_channel channels[CHANNELS];
	uint8_t port_b;
	bool in_use; /* the guest programmed channel 0 since reset */
	bool irq_level;
	uint64_t evaluated; /* tick up to which channel 0's edges were delivered */
};

static bool is_periodic(const struct pit_channel *channel)
{
	return channel->mode == MODE_RATE || channel->mode == MODE_SQUARE;
}

static bool starts_by_gate(const struct pit_channel *channel)
{
	return channel->mode == MODE_ONE_SHOT || channel->mode == MODE_HARDWARE_STROBE;
}

/* Ticks that the counting element has run since its load. */
static uint64_t channel_elapsed(const struct pit_channel *channel, uint64_t now)
{
	if (!channel->counting)
		return channel->held;
	return now > channel->start ? now - channel->start : 0;
}

/* A periodic channel takes a new count only where its period ends. */
static void channel_catch_up(struct pit_channel *channel, uint64_t now)
{
	if (!is_periodic(channel) || !channel->counting || !channel->null_count ||
	    channel_elapsed(channel, now) < channel->period)
		return;
	channel->start += channel->period;
	channel->period = channel->reload;
	channel->null_count = false;
}

/* Before the first count after a control word, and before a trigger, the output is idle. */
static bool channel_output(const struct pit_channel *channel, uint64_t now)
{
	uint64_t elapsed = channel_elapsed(channel, now);
	uint64_t phase = elapsed % channel->period;

	if (!channel->started || (is_periodic(channel) && !channel->gate))
		return channel->mode != MODE_TERMINAL_COUNT;
	switch ((enum pit_mode)channel->mode) {
	case MODE_TERMINAL_COUNT:
	case MODE_ONE_SHOT:
		return elapsed >= channel->period;
	case MODE_RATE:
		return phase != channel->period - 1;
	case MODE_SQUARE:
		return phase < (channel->period + 1) / 2;
	case MODE_STROBE:
	case MODE_HARDWARE_STROBE:
		return elapsed != channel->period;
	}
	return true;
}

/* The first tick after `tick` at which the output rises; NO_TICK: it will not. */
static uint64_t channel_next_rise(const struct pit_channel *channel, uint64_t tick)
{
	uint64_t elapsed = channel_elapsed(channel, tick);

	if (!channel->started || !channel->counting)
		return NO_TICK;
	switch ((enum pit_mode)channel->mode) {
	case MODE_TERMINAL_COUNT:
	case MODE_ONE_SHOT:
		return elapsed < channel->period ? channel->start + channel->period : NO_TICK;
	case MODE_RATE:
	case MODE_SQUARE:
		return channel->start + (elapsed / channel->period + 1) * channel->period;
	case MODE_STROBE:
	case MODE_HARDWARE_STROBE:
		return elapsed <= channel->period ? channel->start + channel->period + 1 : NO_TICK;
	}
	return NO_TICK;
}

static uint16_t to_bcd(unsigned value)
{
	return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
			  value % 10);
}

/* Digits above 9 count as what they are worth, as in the chip. */
static unsigned from_bcd(uint16_t bcd)
{
	return (bcd >> 12) * 1000u + (bcd >> 8 & 15) * 100u + (bcd >> 4 & 15) * 10u + (bcd & 15);
}

static uint16_t channel_counter(const struct pit_channel *channel, uint64_t now)
{
	uint64_t elapsed = channel_elapsed(channel, now);
	uint64_t phase = elapsed % channel->period;
	uint64_t high_half = (channel->period + 1) / 2;
	unsigned modulus = channel->bcd ? 10000 : 0x10000;
	uint64_t value;

	switch ((enum pit_mode)channel->mode) {
	case MODE_RATE:
		value = channel->period - phase;
		break;
	case MODE_SQUARE:
		/* By twos, from an even count, once for each half. */
		value = (channel->period & ~1u) -
			2 * (phase < high_half ? phase : phase - high_half);
		break;
	default:
		value = channel->period + modulus - elapsed % modulus;
		break;
	}
	value %= modulus;
	return channel->bcd ? to_bcd((unsigned)value) : (uint16_t)value;
}

static void channel_load(struct pit_channel *channel, uint64_t now)
{
	channel->period = channel->reload;
	channel->start = now;
	channel->held = 0;
	channel->started = true;
	channel->counting = channel->gate || starts_by_gate(channel);
	channel->null_count = false;
}

static void channel_write_count(struct pit_channel *channel, uint16_t value, uint64_t now)
{
	unsigned count = channel->bcd ? MIN(from_bcd(value), 10000u) : value;

	channel->reload = count ? count : channel->bcd ? 10000 : 0x10000;
	channel->programmed = true;
	channel->null_count = true;
	if (starts_by_gate(channel))
		return;
	if (is_periodic(channel) && channel->started) {
		/* Make the current period the first, so that catching up is one step. */
		if (channel->counting)
			channel->start +=
				channel_elapsed(channel, now) / channel->period * channel->period;
		return;
	}
	channel_load(channel, now);
}

static void channel_write(struct pit_channel *channel, uint8_t value, uint64_t now)
{
	switch ((enum pit_access)channel->access) {
	case ACCESS_LATCH:
		break;
	case ACCESS_LOW:
		channel_write_count(channel, value, now);
		break;
	case ACCESS_HIGH:
		channel_write_count(channel, (uint16_t)(value << 8), now);
		break;
	case ACCESS_BOTH:
		channel->write_high = !channel->write_high;
		if (!channel->write_high) {
			channel_write_count(channel, (uint16_t)(value << 8 | channel->write_low),
					    now);
			break;
		}
		channel->write_low = value;
		/* In mode 0 the first byte stops counting and lowers the output. */
		if (channel->mode == MODE_TERMINAL_COUNT) {
			channel->started = channel->counting = false;
			channel->held = 0;
		}
		break;
	}
}

static void channel_set_gate(struct pit_channel *channel, bool gate, uint64_t now)
{
	bool rose = gate && !channel->gate;

	if (gate == channel->gate)
		return;
	channel->gate = gate;
	if (rose && channel->programmed && (starts_by_gate(channel) || is_periodic(channel))) {
		channel_load(channel, now);
	} else if (!starts_by_gate(channel) && channel->started) {
		/* Stands still, or goes on from where it stood. */
		channel->held = channel_elapsed(channel, now);
		channel->start = now - MIN(channel->held, now);
		channel->counting = gate;
	}
}

static void channel_latch_count(struct pit_channel *channel, uint64_t now)
{
	if (channel->count_latched)
		return;
	channel->count = channel_counter(channel, now);
	channel->count_latched = channel->access == ACCESS_BOTH ? 2 : 1;
}

static void channel_latch_status(struct pit_channel *channel, uint64_t now)
{
	if (channel->status_latched)
		return;
	channel->status_latched = true;
	channel->status = (uint8_t)(channel_output(channel, now) << 7 | channel->null_count << 6 |
				    channel->access << 4 | channel->mode << 1 | channel->bcd);
}

static uint8_t channel_read(struct pit_channel *channel, uint64_t now)
{
	uint16_t count;
	bool high = channel->access == ACCESS_HIGH;

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	count = channel->count_latched ? channel->count : channel_counter(channel, now);
	if (channel->count_latched)
		channel->count_latched--;
	if (channel->access == ACCESS_BOTH) {
		high = channel->read_high;
		channel->read_high = !channel->read_high;
	}
	return (uint8_t)(high ? count >> 8 : count);
}

static void channel_set_control(struct pit_channel *channel, uint8_t value)
{
	unsigned mode = value >> 1 & 7;

	channel->access = value >> 4 & 3;
	channel->mode = (uint8_t)(mode > MODE_HARDWARE_STROBE ? mode - 4 : mode);
	channel->bcd = value & 1;
	channel->write_high = channel->read_high = false;
	channel->programmed = channel->started = channel->counting = false;
	channel->null_count = true;
	channel->held = 0;
	channel->count_latched = 0;
	channel->status_latched = false;
}

static void set_irq(struct pit *pit, bool level)
{
	if (level == pit->irq_level)
		return;
	pit->irq_level = level;
	irq_set(&pit->irq, level);
}

/* Delivers what channel 0's output did since the last time; arms the timer for its next edge. */
static void pit_update(struct pit *pit, uint64_t now_ns)
{
	struct pit_channel *channel = &pit->channels[0];
	uint64_t now = ticks_at(now_ns, PIT_HZ);
	uint64_t next;

	if (channel_next_rise(channel, pit->evaluated) <= now) {
		set_irq(pit, false);
		set_irq(pit, true);
	}
	channel_catch_up(channel, now);
	pit->evaluated = now;
	set_irq(pit, channel_output(channel, now));
	next = pit->in_use ? channel_next_rise(channel, now) : NO_TICK;
	paced_timer_set(&pit->timer,
			next == NO_TICK ? PACED_TIMER_NEVER : ticks_to_ns(next, PIT_HZ));
}

static void pit_expired(void *ctx)
{
	struct pit *pit = ctx;

	LOCK_SCOPE(&pit->device.lock);
	pit_update(pit, paced_timer_fired(&pit->timer));
}

static void pit_read_back(struct pit *pit, uint8_t value, uint64_t now)
{
	for (unsigned i = 0; i < CHANNELS; i++) {
		if (!(value & (2u << i)))
			continue;
		if (!(value & 0x20))
			channel_latch_count(&pit->channels[i], now);
		if (!(value & 0x10))
			channel_latch_status(&pit->channels[i], now);
	}
}

static void pit_write_control(struct pit *pit, uint8_t value, uint64_t now)
{
	unsigned index = value >> 6;

	if (index == CHANNELS)
		pit_read_back(pit, value, now);
	else if ((value >> 4 & 3) == ACCESS_LATCH)
		channel_latch_count(&pit->channels[index], now);
	else
		channel_set_control(&pit->channels[index], value);
	pit->in_use |= index == 0;
}

/* Brings all channels up to the present; every access begins here. */
static uint64_t pit_now(struct pit *pit, uint64_t *ret_ns)
{
	uint64_t ns = machine_clock_now_ns(pit->clock);
	uint64_t now = ticks_at(ns, PIT_HZ);

	for (unsigned i = 1; i < CHANNELS; i++)
		channel_catch_up(&pit->channels[i], now);
	pit_update(pit, ns);
	*ret_ns = ns;
	return now;
}

static uint64_t pit_read(void *device, uint64_t offset, unsigned size)
{
	struct pit *pit = device;
	uint64_t ns, now = pit_now(pit, &ns);

	(void)size;
	return offset == CONTROL_PORT ? 0xff : channel_read(&pit->channels[offset], now);
}

static void pit_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct pit *pit = device;
	uint64_t ns, now = pit_now(pit, &ns);

	(void)size;
	if (offset == CONTROL_PORT)
		pit_write_control(pit, (uint8_t)value, now);
	else
		channel_write(&pit->channels[offset], (uint8_t)value, now);
	pit_update(pit, ns);
}

static uint64_t port_b_read(void *device, uint64_t offset, unsigned size)
{
	struct pit *pit = device;
	uint64_t ns, now = pit_now(pit, &ns);

	(void)offset;
	(void)size;
	return pit->port_b | (now / REFRESH_TICKS & 1 ? PORT_B_REFRESH : 0) |
	       (channel_output(&pit->channels[2], now) ? PORT_B_OUTPUT : 0);
}

static void port_b_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct pit *pit = device;
	uint64_t ns, now = pit_now(pit, &ns);

	(void)offset;
	(void)size;
	pit->port_b = (uint8_t)value & (PORT_B_GATE | PORT_B_SPEAKER | PORT_B_CHECKS);
	channel_set_gate(&pit->channels[2], value & PORT_B_GATE, now);
}

static const struct bus_ops pit_bus_ops = {
	.read = pit_read,
	.write = pit_write,
	.min_size = 1,
	.max_size = 1,
};

static const struct bus_ops port_b_ops = {
	.read = port_b_read,
	.write = port_b_write,
	.min_size = 1,
	.max_size = 1,
};

/*
 * The chip wakes undefined; this is what a BIOS leaves behind, which guests without one expect to
 * read. Its interrupt stays off until the guest programs it: most never do, and would be woken 18
 * times a second for nothing.
 */
static void pit_reset(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);
	uint64_t ns = machine_clock_now_ns(pit->clock);

	pit->port_b = 0;
	pit->in_use = false;
	pit->evaluated = ticks_at(ns, PIT_HZ);
	for (unsigned i = 0; i < CHANNELS; i++) {
		struct pit_channel *channel = &pit->channels[i];

		channel_set_control(channel, ACCESS_BOTH << 4 | MODE_SQUARE << 1);
		channel->gate = i != 2;
		channel_write_count(channel, 0, pit->evaluated);
	}
	pit_update(pit, ns);
}

static void pit_free(struct device *device)
{
	struct pit *pit = container_of(device, struct pit, device);

	bus_unmap(&pit->ports);
	bus_unmap(&pit->port_b_region);
	paced_timer_fini(&pit->timer);
	device_fini(device);
	free(pit);
}

static bool channel_ok(const struct pit_channel *channel)
{
	return channel->mode <= MODE_HARDWARE_STROBE && channel->access <= ACCESS_BOTH &&
	       channel->reload - 1 < 0x10000 && channel->period - 1 < 0x10000 &&
	       channel->count_latched <= 2 && (channel->started || !channel->counting) &&
	       (channel->programmed || !channel->started);
}

static bool pit_ok(const struct device *device)
{
	const struct pit *pit = container_of(device, struct pit, device);

	return channel_ok(&pit->channels[0]) && channel_ok(&pit->channels[1]) &&
	       channel_ok(&pit->channels[2]);
}

static const struct state_field pit_channel_fields[] = {
	STATE_FIELD(struct pit_channel, mode, .max = MODE_HARDWARE_STROBE),
	STATE_FIELD(struct pit_channel, access, .min = ACCESS_LOW, .max = ACCESS_BOTH),
	STATE_FIELD(struct pit_channel, bcd),
	STATE_FIELD(struct pit_channel, gate),
	STATE_FIELD(struct pit_channel, write_high),
	STATE_FIELD(struct pit_channel, read_high),
	STATE_FIELD(struct pit_channel, write_low),
	STATE_FIELD(struct pit_channel, reload, .min = 1, .max = 0x10000),
	STATE_FIELD(struct pit_channel, period, .min = 1, .max = 0x10000),
	STATE_FIELD(struct pit_channel, programmed),
	STATE_FIELD(struct pit_channel, started),
	STATE_FIELD(struct pit_channel, counting),
	STATE_FIELD(struct pit_channel, null_count),
	STATE_FIELD(struct pit_channel, start, .max = UINT64_MAX / 4),
	STATE_FIELD(struct pit_channel, held, .max = UINT64_MAX / 4),
	STATE_FIELD(struct pit_channel, status_latched),
	STATE_FIELD(struct pit_channel, status),
	STATE_FIELD(struct pit_channel, count_latched, .max = 2),
	STATE_FIELD(struct pit_channel, count),
	{ 0 },
};

static const struct state_field pit_fields[] = {
	STATE_STRUCTS(struct pit, channels, pit_channel_fields),
	STATE_FIELD(struct pit, port_b, .max = PORT_B_GATE | PORT_B_SPEAKER | PORT_B_CHECKS),
	STATE_FIELD(struct pit, in_use),
	STATE_FIELD(struct pit, irq_level),
	STATE_FIELD(struct pit, evaluated, .max = UINT64_MAX / 4),
	{ 0 },
};

static int pit_validate(const void *object, struct err *err)
{
	const struct pit *pit = object;

	if (!pit_ok(&pit->device))
		return err_set(err, EINVAL, "refuse PIT state: a channel cannot be like this");
	return 0;
}

static void pit_post_load(void *object)
{
	struct pit *pit = object;

	/* Whatever is due is delivered by the timer, when the machine runs. */
	paced_timer_set(&pit->timer, machine_clock_now_ns(pit->clock));
}

const struct state_desc pit_state = {
	.name = "pit",
	.version = 1,
	.fields = pit_fields,
	.validate = pit_validate,
	.post_load = pit_post_load,
};

static const struct device_ops pit_ops = {
	.type = "pit",
	.reset = pit_reset,
	.free = pit_free,
	.state = &pit_state,
	.ok = pit_ok,
};

int pit_new(struct device **ret_pit, const struct pit_config *config, struct err *err)
{
	struct pit *pit = calloc(1, sizeof(*pit));
	int rc;

	if (!pit)
		return err_errno(err, ENOMEM, "cannot create PIT");
	device_init(&pit->device, &pit_ops, "pit");
	pit->clock = config->clock;
	pit->irq = config->irq;
	paced_timer_init(&pit->timer, config->clock, pit_expired, pit);
	pit->ports = (struct bus_region){
		.name = "pit",
		.ops = &pit_bus_ops,
		.device = pit,
		.lock = &pit->device.lock,
		.size = 4,
	};
	pit->port_b_region = (struct bus_region){
		.name = "port-b",
		.ops = &port_b_ops,
		.device = pit,
		.lock = &pit->device.lock,
		.size = 1,
	};
	rc = bus_map(config->ports, &pit->ports, 0x40, err);
	if (!rc)
		rc = bus_map(config->ports, &pit->port_b_region, 0x61, err);
	if (rc) {
		device_free(&pit->device);
		return rc;
	}
	device_reset(&pit->device);
	*ret_pit = &pit->device;
	return 0;
}
