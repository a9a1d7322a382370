/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818 clock and CMOS: time, alarm, periodic and update-ended interrupts, NVRAM.
 *
 * The time is the host's wall clock plus what the guest set, carried by the machine's clock between
 * pauses. Time registers are computed when read; while the guest holds the clock (SET, or the
 * divider in reset) the bytes in `cmos` are the time. Flags of register C are brought up to date
 * before every access, so only enabled interrupts need a host timer.
 *
 * Threads: vCPUs (ports) and the loop (timer), under the device's lock.
 * Spec: Motorola MC146818 data sheet (ADI-856); ICH9 data sheet 13.6.
 */
#include "devices/rtc.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/macros.h"
#include "devices/paced_timer.h"
#include "devices/ticks.h"
#include "host/thread.h"

enum rtc_register {
	RTC_SECONDS,
	RTC_SECONDS_ALARM,
	RTC_MINUTES,
	RTC_MINUTES_ALARM,
	RTC_HOURS,
	RTC_HOURS_ALARM,
	RTC_WEEKDAY,
	RTC_DAY,
	RTC_MONTH,
	RTC_YEAR,
	RTC_A,
	RTC_B,
	RTC_C,
	RTC_D,
	RTC_CENTURY = 0x32,
};

#define A_UPDATING      0x80
#define A_DIVIDER_RESET 0x60 /* and 0x70 */
#define A_DIVIDER_RUN   0x20
#define A_RATE          0x0f
#define A_RATE_1024_HZ  0x06

#define B_SET        0x80
#define B_INTERRUPTS 0x70 /* periodic, alarm, update-ended: the same bits as in C */
#define B_UPDATE     0x10
#define B_BINARY     0x04
#define B_24_HOURS   0x02

#define C_REQUEST  0x80
#define C_PERIODIC 0x40
#define C_ALARM    0x20
#define C_UPDATE   0x10

#define D_VALID 0x80

#define HOUR_PM     0x80
#define ALARM_ANY   0xc0
#define INDEX_MASK  0x7f
#define CRYSTAL_HZ  32768
#define UPDATING_NS (244 * NS_PER_US) /* before a second ends */
#define DAY_SECONDS (24 * 3600)
#define NEVER       INT64_MAX
#define OFFSET_MAX  (INT64_C(1) << 40) /* seconds; more than any date that fits the registers */

struct rtc {
	struct device device;
	struct machine_clock *clock;
	struct bus_region region;
	struct irq_line irq, alarm;
	int64_t (*wall_ns)(void);
	struct paced_timer timer;
	uint64_t origin_ns; /* wall clock at machine time 0 */

	uint8_t index; /* with the NMI mask in bit 7 */
	uint8_t cmos[RTC_BYTES];
	int64_t offset_seconds; /* the guest's time minus the host's */
	uint32_t phase_ns;      /* its seconds begin that much earlier than the host's */
	uint64_t evaluated;     /* machine time up to which flags were raised */
};

struct rtc_instant {
	int64_t second; /* since 1970, as the guest sees it */
	uint32_t ns;
};

static int64_t system_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * (int64_t)NS_PER_SEC + ts.tv_nsec;
}

static struct rtc_instant instant_at(const struct rtc *rtc, uint64_t machine_ns)
{
	uint64_t ns = rtc->origin_ns + rtc->phase_ns + machine_ns;

	return (struct rtc_instant){
		.second = (int64_t)(ns / NS_PER_SEC) + rtc->offset_seconds,
		.ns = (uint32_t)(ns % NS_PER_SEC),
	};
}

static bool divider_in_reset(const struct rtc *rtc)
{
	return (rtc->cmos[RTC_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* The guest holds the time registers. */
static bool is_held(const struct rtc *rtc)
{
	return rtc->cmos[RTC_B] & B_SET || divider_in_reset(rtc);
}

static uint8_t encode(const struct rtc *rtc, int value)
{
	return (uint8_t)(rtc->cmos[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->cmos[RTC_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static uint8_t encode_hour(const struct rtc *rtc, int hour)
{
	if (rtc->cmos[RTC_B] & B_24_HOURS)
		return encode(rtc, hour);
	return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->cmos[RTC_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & ~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

/* Time registers := the running time. */
static void registers_from_time(struct rtc *rtc, uint64_t now_ns)
{
	time_t second = instant_at(rtc, now_ns).second;
	struct tm tm;
	int year;

	gmtime_r(&second, &tm);
	year = (tm.tm_year + 1900) % 10000;
	year = year < 0 ? year + 10000 : year;
	rtc->cmos[RTC_SECONDS] = encode(rtc, tm.tm_sec);
	rtc->cmos[RTC_MINUTES] = encode(rtc, tm.tm_min);
	rtc->cmos[RTC_HOURS] = encode_hour(rtc, tm.tm_hour);
	rtc->cmos[RTC_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
	rtc->cmos[RTC_DAY] = encode(rtc, tm.tm_mday);
	rtc->cmos[RTC_MONTH] = encode(rtc, tm.tm_mon + 1);
	rtc->cmos[RTC_YEAR] = encode(rtc, year % 100);
	rtc->cmos[RTC_CENTURY] = encode(rtc, year / 100);
}

/* The running time := time registers; dates that do not exist are carried over. */
static void time_from_registers(struct rtc *rtc, uint64_t now_ns)
{
	struct tm tm = {
		.tm_sec = decode(rtc, rtc->cmos[RTC_SECONDS]),
		.tm_min = decode(rtc, rtc->cmos[RTC_MINUTES]),
		.tm_hour = decode_hour(rtc, rtc->cmos[RTC_HOURS]),
		.tm_mday = decode(rtc, rtc->cmos[RTC_DAY]),
		.tm_mon = decode(rtc, rtc->cmos[RTC_MONTH]) - 1,
		.tm_year = decode(rtc, rtc->cmos[RTC_CENTURY]) * 100 +
			   decode(rtc, rtc->cmos[RTC_YEAR]) - 1900,
	};

	rtc->offset_seconds += timegm(&tm) - instant_at(rtc, now_ns).second;
}

/* The divider chain starts half a second before the first update. */
static void divider_started(struct rtc *rtc, uint64_t now_ns)
{
	uint64_t ns = instant_at(rtc, now_ns).ns;

	rtc->phase_ns = (uint32_t)((rtc->phase_ns + NS_PER_SEC + NS_PER_SEC / 2 - ns) % NS_PER_SEC);
}

static bool alarm_matches(const struct rtc *rtc, enum rtc_register alarm, int value)
{
	uint8_t byte = rtc->cmos[alarm];

	return (byte & ALARM_ANY) == ALARM_ANY ||
	       byte == (alarm == RTC_HOURS_ALARM ? encode_hour(rtc, value) : encode(rtc, value));
}

/* Whether any of the values below `count` matches. */
static bool alarm_is_possible(const struct rtc *rtc, enum rtc_register alarm, int count)
{
	for (int i = 0; i < count; i++) {
		if (alarm_matches(rtc, alarm, i))
			return true;
	}
	return false;
}

/* The first second after `after` at which the alarm is due; NEVER if no time of day matches. */
static int64_t next_alarm(const struct rtc *rtc, int64_t after)
{
	int64_t t = after + 1;

	if (!alarm_is_possible(rtc, RTC_HOURS_ALARM, 24) ||
	    !alarm_is_possible(rtc, RTC_MINUTES_ALARM, 60) ||
	    !alarm_is_possible(rtc, RTC_SECONDS_ALARM, 60))
		return NEVER;
	for (;;) {
		int second = (int)((t % DAY_SECONDS + DAY_SECONDS) % DAY_SECONDS);

		if (!alarm_matches(rtc, RTC_HOURS_ALARM, second / 3600))
			t += 3600 - second % 3600;
		else if (!alarm_matches(rtc, RTC_MINUTES_ALARM, second / 60 % 60))
			t += 60 - second % 60;
		else if (!alarm_matches(rtc, RTC_SECONDS_ALARM, second % 60))
			t++;
		else
			return t;
	}
}

/* Crystal ticks between periodic interrupts, 0: none. Spec: MC146818 table 5. */
static unsigned periodic_ticks(const struct rtc *rtc)
{
	unsigned rate = rtc->cmos[RTC_A] & A_RATE;

	if (!rate || divider_in_reset(rtc))
		return 0;
	/* The two lowest codes repeat 256 and 128 Hz. */
	return 1u << (rate <= 2 ? rate + 6 : rate - 1);
}

/* Raises the flags of everything that happened since the last time. */
static void evaluate_flags(struct rtc *rtc, uint64_t now_ns)
{
	unsigned period = periodic_ticks(rtc);
	int64_t then = instant_at(rtc, rtc->evaluated).second;
	int64_t now = instant_at(rtc, now_ns).second;

	if (period &&
	    ticks_at(now_ns, CRYSTAL_HZ) / period != ticks_at(rtc->evaluated, CRYSTAL_HZ) / period)
		rtc->cmos[RTC_C] |= C_PERIODIC;
	if (!is_held(rtc) && now > then) {
		rtc->cmos[RTC_C] |= C_UPDATE;
		if (next_alarm(rtc, then) <= now)
			rtc->cmos[RTC_C] |= C_ALARM;
	}
	rtc->evaluated = now_ns;
}

/* Machine time at which the running clock begins `second`. */
static uint64_t second_to_ns(const struct rtc *rtc, int64_t second, uint64_t now_ns)
{
	struct rtc_instant now = instant_at(rtc, now_ns);

	return now_ns + (uint64_t)(second - now.second) * NS_PER_SEC - now.ns;
}

static uint64_t next_event_ns(const struct rtc *rtc, uint64_t now_ns)
{
	uint8_t wanted = rtc->cmos[RTC_B] & B_INTERRUPTS & ~rtc->cmos[RTC_C];
	unsigned period = periodic_ticks(rtc);
	uint64_t next = PACED_TIMER_NEVER;
	int64_t second = instant_at(rtc, now_ns).second;

	if (wanted & C_PERIODIC && period)
		next = ticks_to_ns((ticks_at(now_ns, CRYSTAL_HZ) / period + 1) * period,
				   CRYSTAL_HZ);
	if (is_held(rtc))
		return next;
	if (wanted & C_UPDATE)
		next = MIN(next, second_to_ns(rtc, second + 1, now_ns));
	if (wanted & C_ALARM) {
		int64_t alarm = next_alarm(rtc, second);

		if (alarm != NEVER)
			next = MIN(next, second_to_ns(rtc, alarm, now_ns));
	}
	return next;
}

/* Line and timer follow the registers. */
static void rtc_update(struct rtc *rtc, uint64_t now_ns)
{
	bool request = rtc->cmos[RTC_B] & rtc->cmos[RTC_C] & B_INTERRUPTS;

	rtc->cmos[RTC_C] = (rtc->cmos[RTC_C] & ~C_REQUEST) | (request ? C_REQUEST : 0);
	irq_set(&rtc->irq, request);
	irq_set(&rtc->alarm, rtc->cmos[RTC_B] & rtc->cmos[RTC_C] & C_ALARM);
	paced_timer_set(&rtc->timer, next_event_ns(rtc, now_ns));
}

static void rtc_expired(void *ctx)
{
	struct rtc *rtc = ctx;
	uint64_t now_ns;

	LOCK_SCOPE(&rtc->device.lock);
	now_ns = paced_timer_fired(&rtc->timer);
	evaluate_flags(rtc, now_ns);
	rtc_update(rtc, now_ns);
}

static bool is_time_register(unsigned index)
{
	switch (index) {
	case RTC_SECONDS:
	case RTC_MINUTES:
	case RTC_HOURS:
	case RTC_WEEKDAY:
	case RTC_DAY:
	case RTC_MONTH:
	case RTC_YEAR:
	case RTC_CENTURY:
		return true;
	default:
		return false;
	}
}

static void write_time(struct rtc *rtc, unsigned index, uint8_t value, uint64_t now_ns)
{
	if (!is_held(rtc))
		registers_from_time(rtc, now_ns);
	rtc->cmos[index] = value;
	if (!is_held(rtc))
		time_from_registers(rtc, now_ns);
}

/* A and B start and stop the clock. */
static void write_control(struct rtc *rtc, unsigned index, uint8_t value, uint64_t now_ns)
{
	bool was_held = is_held(rtc), was_in_reset = divider_in_reset(rtc);

	if (!was_held)
		registers_from_time(rtc, now_ns);
	rtc->cmos[index] = value;
	if (was_in_reset && !divider_in_reset(rtc))
		divider_started(rtc, now_ns);
	if (was_held && !is_held(rtc))
		time_from_registers(rtc, now_ns);
}

static uint8_t read_register(struct rtc *rtc, unsigned index, uint64_t now_ns)
{
	uint8_t value;

	if (is_time_register(index) && !is_held(rtc))
		registers_from_time(rtc, now_ns);
	value = rtc->cmos[index];
	if (index == RTC_A && !is_held(rtc) &&
	    instant_at(rtc, now_ns).ns >= NS_PER_SEC - UPDATING_NS)
		value |= A_UPDATING;
	if (index == RTC_C)
		rtc->cmos[RTC_C] = 0;
	return value;
}

static void write_register(struct rtc *rtc, unsigned index, uint8_t value, uint64_t now_ns)
{
	switch (index) {
	case RTC_A:
		write_control(rtc, index, value & ~A_UPDATING, now_ns);
		break;
	case RTC_B:
		write_control(rtc, index, value & B_SET ? value & ~B_UPDATE : value, now_ns);
		break;
	case RTC_C:
	case RTC_D:
		break;
	default:
		if (is_time_register(index))
			write_time(rtc, index, value, now_ns);
		else
			rtc->cmos[index] = value;
	}
}

static uint64_t rtc_read(void *device, uint64_t offset, unsigned size)
{
	struct rtc *rtc = device;
	uint64_t now_ns = machine_clock_now_ns(rtc->clock);
	uint8_t value;

	(void)size;
	if (!offset)
		return 0xff;
	evaluate_flags(rtc, now_ns);
	rtc_update(rtc, now_ns);
	value = read_register(rtc, rtc->index & INDEX_MASK, now_ns);
	rtc_update(rtc, now_ns);
	return value;
}

static void rtc_write(void *device, uint64_t offset, uint64_t value, unsigned size)
{
	struct rtc *rtc = device;
	uint64_t now_ns = machine_clock_now_ns(rtc->clock);

	(void)size;
	if (!offset) {
		rtc->index = (uint8_t)value;
		return;
	}
	evaluate_flags(rtc, now_ns);
	write_register(rtc, rtc->index & INDEX_MASK, (uint8_t)value, now_ns);
	rtc_update(rtc, now_ns);
}

static const struct bus_ops rtc_bus_ops = {
	.read = rtc_read,
	.write = rtc_write,
	.min_size = 1,
	.max_size = 1,
};

/* Host time goes on while a machine is paused or saved. */
static void follow_host(struct rtc *rtc)
{
	int64_t wall = rtc->wall_ns();

	rtc->origin_ns = (uint64_t)MAX(wall, INT64_C(0)) - machine_clock_now_ns(rtc->clock);
}

/* The battery keeps time and NVRAM. */
static void rtc_reset(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);
	uint64_t now_ns = machine_clock_now_ns(rtc->clock);

	write_control(rtc, RTC_A, A_DIVIDER_RUN | A_RATE_1024_HZ, now_ns);
	/* Let a clock that the guest held go on before its format changes. */
	write_control(rtc, RTC_B, rtc->cmos[RTC_B] & (B_BINARY | B_24_HOURS), now_ns);
	write_control(rtc, RTC_B, B_24_HOURS, now_ns);
	rtc->cmos[RTC_C] = 0;
	rtc->cmos[RTC_D] = D_VALID;
	rtc->index = 0;
	rtc->evaluated = now_ns;
	rtc_update(rtc, now_ns);
}

static void rtc_free(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	bus_unmap(&rtc->region);
	paced_timer_fini(&rtc->timer);
	device_fini(device);
	free(rtc);
}

static void rtc_resume(struct device *device)
{
	struct rtc *rtc = container_of(device, struct rtc, device);

	LOCK_SCOPE(&device->lock);
	follow_host(rtc);
	rtc_update(rtc, machine_clock_now_ns(rtc->clock));
}

static bool rtc_ok(const struct device *device)
{
	const struct rtc *rtc = container_of(device, struct rtc, device);
	bool request = rtc->cmos[RTC_B] & rtc->cmos[RTC_C] & B_INTERRUPTS;

	return rtc->phase_ns < NS_PER_SEC && rtc->cmos[RTC_D] == D_VALID &&
	       !(rtc->cmos[RTC_A] & A_UPDATING) && request == !!(rtc->cmos[RTC_C] & C_REQUEST) &&
	       rtc->offset_seconds < OFFSET_MAX && rtc->offset_seconds > -OFFSET_MAX;
}

static const struct state_field rtc_fields[] = {
	STATE_FIELD(struct rtc, index),
	STATE_RAW(struct rtc, cmos),
	STATE_FIELD(struct rtc, offset_seconds),
	STATE_FIELD(struct rtc, phase_ns, .max = NS_PER_SEC - 1),
	STATE_FIELD(struct rtc, evaluated, .max = UINT64_MAX / 4),
	{ 0 },
};

static int rtc_validate(const void *object, struct err *err)
{
	const struct rtc *rtc = object;

	if (!rtc_ok(&rtc->device))
		return err_set(err, EINVAL, "refuse RTC state: its registers cannot be like this");
	return 0;
}

static void rtc_post_load(void *object)
{
	struct rtc *rtc = object;

	follow_host(rtc);
	paced_timer_set(&rtc->timer, machine_clock_now_ns(rtc->clock));
}

const struct state_desc rtc_state = {
	.name = "rtc",
	.version = 1,
	.fields = rtc_fields,
	.validate = rtc_validate,
	.post_load = rtc_post_load,
};

static const struct device_ops rtc_ops = {
	.type = "rtc",
	.reset = rtc_reset,
	.free = rtc_free,
	.state = &rtc_state,
	.resume = rtc_resume,
	.ok = rtc_ok,
};

int rtc_new(struct rtc **ret_rtc, const struct rtc_config *config, struct err *err)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int rc;

	if (!rtc)
		return err_errno(err, ENOMEM, "cannot create RTC");
	device_init(&rtc->device, &rtc_ops, "rtc");
	rtc->clock = config->clock;
	rtc->irq = config->irq;
	rtc->alarm = config->alarm;
	rtc->wall_ns = config->wall_ns ? config->wall_ns : system_wall_ns;
	paced_timer_init(&rtc->timer, config->clock, rtc_expired, rtc);
	follow_host(rtc);
	rtc->region = (struct bus_region){
		.name = "rtc",
		.ops = &rtc_bus_ops,
		.device = rtc,
		.lock = &rtc->device.lock,
		.size = 2,
	};
	rc = bus_map(config->ports, &rtc->region, 0x70, err);
	if (rc) {
		device_free(&rtc->device);
		return rc;
	}
	device_reset(&rtc->device);
	*ret_rtc = rtc;
	return 0;
}

struct device *rtc_device(struct rtc *rtc)
{
	return &rtc->device;
}

void rtc_nvram_set(struct rtc *rtc, unsigned index, uint8_t value)
{
	check(index >= RTC_NVRAM_FIRST && index < RTC_BYTES && index != RTC_CENTURY);
	LOCK_SCOPE(&rtc->device.lock);
	rtc->cmos[index] = value;
}
