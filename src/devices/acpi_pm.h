/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI fixed hardware: PM1a event and control, PM timer, GPE0, SMI command port. */
#pragma once

#include "base/err.h"
#include "vm/bus.h"
#include "vm/clock.h"
#include "vm/device.h"
#include "vm/irq.h"
#include "vm/requests.h"

#define ACPI_PM_EVENT_BYTES   4
#define ACPI_PM_CONTROL_BYTES 2
#define ACPI_PM_TIMER_BYTES   4
#define ACPI_PM_TIMER_HZ      3579545
#define ACPI_PM_GPE_MAX       64

struct acpi_pm;

/* Ports and values are what the board's FADT says. */
struct acpi_pm_config {
	struct bus *ports;
	struct machine_clock *clock;
	struct irq_line sci; /* level-triggered */
	struct machine_requests requests;
	uint16_t event_port, control_port, timer_port;
	uint16_t gpe_port;     /* status bytes, then as many enable bytes */
	unsigned gpes;         /* a multiple of 8, at most ACPI_PM_GPE_MAX; 0: no block */
	uint16_t command_port; /* SMI_CMD, usually 0xb2, and the byte behind it; 0: none */
	uint8_t acpi_enable, acpi_disable; /* values that SMI_CMD takes */
	bool timer_32_bits;
	uint8_t sleep_type_s5; /* SLP_TYP that switches off, 0 to 7 */
};

extern const struct state_desc acpi_pm_state;

/* Errors: those of bus_map(), -ENOMEM. */
int acpi_pm_new(struct acpi_pm **ret_pm, const struct acpi_pm_config *config, struct err *err);
struct device *acpi_pm_device(struct acpi_pm *pm);

/* Somebody presses the power button. Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);

/* Where the RTC's alarm connects: its rising edge is the RTC event. */
struct irq_line acpi_pm_rtc_alarm(struct acpi_pm *pm);

/* General-purpose event `number` happened. Any thread. */
void acpi_pm_gpe(struct acpi_pm *pm, unsigned number);
