/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MC146818 real-time clock with CMOS memory. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/clock.h"
#include "vm/device.h"
#include "vm/irq.h"

#define RTC_NVRAM_FIRST 0x0e
#define RTC_BYTES       128

struct rtc;

struct rtc_config {
	struct bus *ports;
	struct machine_clock *clock;
	struct irq_line irq;
	struct irq_line alarm; /* high while the alarm interrupts; for ACPI's RTC event */
	/* The host's wall clock in nanoseconds since 1970; NULL: the system's, UTC. */
	int64_t (*wall_ns)(void);
};

extern const struct state_desc rtc_state;

/* Maps ports 0x70 and 0x71. Errors: those of bus_map(), -ENOMEM. */
int rtc_new(struct rtc **ret_rtc, const struct rtc_config *config, struct err *err);
struct device *rtc_device(struct rtc *rtc);

/* What firmware would leave in CMOS byte `index` (RTC_NVRAM_FIRST to 127, but not the century). */
void rtc_nvram_set(struct rtc *rtc, unsigned index, uint8_t value);
