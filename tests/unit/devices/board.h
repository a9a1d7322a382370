/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A board for tests: one device under test on buses of its own, with a clock that moves when told
 * to, and everything that the device drives recorded. `board_devices` has a row for each device.
 */
#pragma once

#include <string.h>

#include "base/check.h"
#include "base/macros.h"
#include "devices/acpi_pm.h"
#include "devices/debug_exit.h"
#include "devices/debugcon.h"
#include "devices/fw_cfg.h"
#include "devices/gsi.h"
#include "devices/hpet.h"
#include "devices/i8042.h"
#include "devices/ioapic.h"
#include "devices/pic.h"
#include "devices/pit.h"
#include "devices/port92.h"
#include "devices/pvpanic.h"
#include "devices/rtc.h"
#include "devices/testdev.h"
#include "devices/uart.h"

#define BOARD_LINES   64
#define BOARD_REGIONS 16
#define BOARD_WALL_NS INT64_C(1700000000000000000) /* Tuesday 2023-11-14 22:13:20 UTC */

struct board_line {
	bool level;
	unsigned rises;
};

struct board_chardev {
	struct chardev chardev;
	uint8_t written[4096];
	size_t count;
	size_t room; /* bytes it still takes */
	unsigned receive_readies;
};

struct board {
	struct loop *loop;
	struct machine_clock clock;
	struct bus *ports, *mmio;
	struct memory *memory;
	struct board_chardev chardev;
	struct machine_requests requests;

	struct device *device;     /* under test */
	struct device *helpers[2]; /* that it needs */
	struct pic *pic;
	struct ioapic *ioapic;
	struct gsi *gsi;
	struct hpet *hpet;
	struct rtc *rtc;
	struct acpi_pm *pm;
	struct fw_cfg *fw_cfg;
	struct irq_line inputs[BOARD_LINES];
	unsigned input_count;

	struct board_line lines[BOARD_LINES];
	struct msi_message last_message;
	unsigned messages;
	unsigned resets, power_offs, exits, panics;
	uint8_t exit_status;
	enum machine_panic panic;
};

struct board_device {
	const char *name;
	int (*create)(struct board *board, struct err *err);
	/* Optional: what reaches the device from elsewhere than its registers. */
	void (*poke)(struct board *board, uint32_t value);
};

static inline void board_set_line(void *ctx, unsigned number, bool level)
{
	struct board_line *line = &((struct board *)ctx)->lines[number];

	line->rises += level && !line->level;
	line->level = level;
}

static inline struct irq_line board_line(struct board *board, unsigned number)
{
	return (struct irq_line){ .set = board_set_line, .ctx = board, .number = number };
}

static inline void board_send(void *ctx, struct msi_message message)
{
	struct board *board = ctx;

	board->last_message = message;
	board->messages++;
}

static inline void board_request_reset(void *ctx)
{
	((struct board *)ctx)->resets++;
}

static inline void board_request_power_off(void *ctx)
{
	((struct board *)ctx)->power_offs++;
}

static inline void board_request_exit(void *ctx, uint8_t status)
{
	((struct board *)ctx)->exits++;
	((struct board *)ctx)->exit_status = status;
}

static inline void board_request_panicked(void *ctx, enum machine_panic kind)
{
	((struct board *)ctx)->panics++;
	((struct board *)ctx)->panic = kind;
}

static inline int64_t board_wall_ns(void)
{
	return BOARD_WALL_NS;
}

static inline size_t board_chardev_write(struct chardev *chardev, const uint8_t *bytes,
					 size_t count)
{
	struct board_chardev *self = container_of(chardev, struct board_chardev, chardev);
	size_t kept;

	count = MIN(count, self->room);
	kept = MIN(count, sizeof(self->written) - self->count);
	memcpy(self->written + self->count, bytes, kept);
	self->count += kept;
	self->room -= count;
	return count;
}

static inline void board_chardev_ready(struct chardev *chardev)
{
	container_of(chardev, struct board_chardev, chardev)->receive_readies++;
}

static inline void board_chardev_close(struct chardev *chardev)
{
	(void)chardev;
}

static inline void board_init(struct board *board)
{
	static const struct chardev_ops ops = {
		.name = "board",
		.write = board_chardev_write,
		.receive_ready = board_chardev_ready,
		.close = board_chardev_close,
	};
	struct memory_config memory = { .size = 1 * MIB };

	*board = (struct board){
		.chardev = { .chardev = { .ops = &ops }, .room = SIZE_MAX },
	};
	board->requests = (struct machine_requests){
		.reset = board_request_reset,
		.power_off = board_request_power_off,
		.debug_exit = board_request_exit,
		.panicked = board_request_panicked,
		.ctx = board,
	};
	check(!loop_new(&board->loop, NULL));
	machine_clock_init(&board->clock, board->loop);
	check(!bus_new(&board->ports, "ports", 16, NULL));
	check(!bus_new(&board->mmio, "mmio", 46, NULL));
	check(!memory_new(&board->memory, &memory, NULL));
}

static inline void board_fini(struct board *board)
{
	device_free(board->device);
	for (unsigned i = 0; i < ARRAY_SIZE(board->helpers); i++)
		device_free(board->helpers[i]);
	memory_free(board->memory);
	bus_free(board->mmio);
	bus_free(board->ports);
	machine_clock_fini(&board->clock);
	loop_free(board->loop);
}

static inline struct vm_timer *board_next_timer(struct board *board)
{
	struct vm_timer *timer, *next = NULL;

	list_for_each (timer, &board->clock.timers, node) {
		if (!next || timer->deadline_ns < next->deadline_ns)
			next = timer;
	}
	return next;
}

/* Moves time forward, firing what comes due on the way; returns how many timers fired. */
static inline unsigned board_advance(struct board *board, uint64_t ns)
{
	uint64_t target = machine_clock_now_ns(&board->clock) + ns;
	struct vm_timer *timer;
	unsigned fired = 0;

	while ((timer = board_next_timer(board)) && timer->deadline_ns <= target) {
		uint64_t now = machine_clock_now_ns(&board->clock);

		machine_clock_set(&board->clock, MAX(now, timer->deadline_ns));
		vm_timer_cancel(timer);
		timer->expired(timer->ctx);
		fired++;
	}
	machine_clock_set(&board->clock, target);
	return fired;
}

static inline uint8_t board_in(struct board *board, uint16_t port)
{
	return (uint8_t)bus_read(board->ports, port, 1);
}

static inline void board_out(struct board *board, uint16_t port, uint8_t value)
{
	bus_write(board->ports, port, value, 1);
}

static inline int create_pic(struct board *board, struct err *err)
{
	struct pic_config config = { .ports = board->ports, .output = board_line(board, 0) };
	int rc = pic_new(&board->pic, &config, err);

	if (rc)
		return rc;
	board->device = pic_device(board->pic);
	for (unsigned i = 0; i < PIC_LINES; i++) {
		if (i != 2)
			board->inputs[board->input_count++] = pic_line(board->pic, i);
	}
	return 0;
}

static inline void poke_pic(struct board *board, uint32_t value)
{
	(void)value;
	pic_acknowledge(board->pic);
}

static inline int create_ioapic(struct board *board, struct err *err)
{
	struct ioapic_config config = {
		.mmio = board->mmio,
		.base = IOAPIC_BASE,
		.pins = 24,
		.msi = { .send = board_send, .ctx = board },
	};
	int rc = ioapic_new(&board->ioapic, &config, err);

	if (rc)
		return rc;
	board->device = ioapic_device(board->ioapic);
	for (unsigned i = 0; i < config.pins; i++)
		board->inputs[board->input_count++] = ioapic_line(board->ioapic, i);
	return 0;
}

static inline void poke_ioapic(struct board *board, uint32_t value)
{
	ioapic_eoi(board->ioapic, (uint8_t)value);
}

/* Inputs 0 to 15: the ISA interrupts (2 is missing, so the rest moves up); two more share GSI 16. */
static inline int create_gsi(struct board *board, struct err *err)
{
	int rc = create_pic(board, err);

	board->helpers[0] = board->device;
	if (!rc)
		rc = create_ioapic(board, err);
	board->helpers[1] = board->device;
	board->device = NULL;
	if (!rc)
		rc = gsi_new(&board->gsi, board->pic, board->ioapic, err);
	if (rc)
		return rc;
	board->device = gsi_device(board->gsi);
	board->input_count = 0;
	for (unsigned i = 0; !rc && i < PIC_LINES; i++) {
		if (i != 2)
			rc = gsi_connect_isa(board->gsi, i, &board->inputs[board->input_count++],
					     err);
	}
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = gsi_connect(board->gsi, 16, &board->inputs[board->input_count++], err);
	return rc;
}

static inline int create_pit(struct board *board, struct err *err)
{
	struct pit_config config = { .ports = board->ports,
				     .clock = &board->clock,
				     .irq = board_line(board, 0) };

	return pit_new(&board->device, &config, err);
}

static inline int create_rtc(struct board *board, struct err *err)
{
	struct rtc_config config = {
		.ports = board->ports,
		.clock = &board->clock,
		.irq = board_line(board, 8),
		.alarm = board_line(board, 9),
		.wall_ns = board_wall_ns,
	};
	int rc = rtc_new(&board->rtc, &config, err);

	if (!rc)
		board->device = rtc_device(board->rtc);
	return rc;
}

static inline int create_hpet(struct board *board, struct err *err)
{
	struct hpet_config config = {
		.mmio = board->mmio,
		.clock = &board->clock,
		.base = HPET_BASE,
		.timers = 3,
		.legacy = { board_line(board, 32), board_line(board, 33) },
		.msi = { .send = board_send, .ctx = board },
	};
	int rc;

	for (unsigned i = 16; i < 24; i++)
		config.routes[i] = board_line(board, i);
	rc = hpet_new(&board->hpet, &config, err);
	if (rc)
		return rc;
	board->device = hpet_device(board->hpet);
	for (unsigned i = 0; i < HPET_LEGACY; i++)
		board->inputs[board->input_count++] = hpet_legacy_input(board->hpet, i);
	return 0;
}

static inline int create_i8042(struct board *board, struct err *err)
{
	struct i8042_config config = {
		.ports = board->ports,
		.keyboard_irq = board_line(board, 1),
		.mouse_irq = board_line(board, 12),
		.requests = board->requests,
	};

	return i8042_new(&board->device, &config, err);
}

static inline int create_uart(struct board *board, struct err *err)
{
	struct uart_config config = {
		.id = "serial0",
		.ports = board->ports,
		.base = 0x3f8,
		.irq = board_line(board, 4),
		.chardev = &board->chardev.chardev,
	};
	int rc = uart_new(&board->device, &config, err);

	/* Attaching asked for input, too. */
	board->chardev.receive_readies = 0;
	return rc;
}

static inline void poke_uart(struct board *board, uint32_t value)
{
	const struct chardev_receiver *receiver = &board->chardev.chardev.receiver;

	if (value & 1)
		receiver->receive(receiver->ctx, (const uint8_t *)&value, sizeof(value));
	else
		receiver->write_ready(receiver->ctx);
}

static inline int create_acpi_pm(struct board *board, struct err *err)
{
	struct acpi_pm_config config = {
		.ports = board->ports,
		.clock = &board->clock,
		.sci = board_line(board, 9),
		.requests = board->requests,
		.event_port = 0x600,
		.control_port = 0x604,
		.timer_port = 0x608,
		.gpe_port = 0x620,
		.gpes = 64,
		.command_port = 0xb2,
		.acpi_enable = 2,
		.acpi_disable = 3,
		.sleep_type_s5 = 5,
	};
	int rc = acpi_pm_new(&board->pm, &config, err);

	if (rc)
		return rc;
	board->device = acpi_pm_device(board->pm);
	board->inputs[board->input_count++] = acpi_pm_rtc_alarm(board->pm);
	return 0;
}

static inline void poke_acpi_pm(struct board *board, uint32_t value)
{
	if (value & 1)
		acpi_pm_power_button(board->pm);
	else
		acpi_pm_gpe(board->pm, value >> 1 & 63);
}

static inline int create_fw_cfg(struct board *board, struct err *err)
{
	int rc = fw_cfg_new(&board->fw_cfg, board->ports, board->memory, err);

	if (rc)
		return rc;
	board->device = fw_cfg_device(board->fw_cfg);
	rc = fw_cfg_add_file(board->fw_cfg, "etc/example", "hello", 5, err);
	return rc ? rc : fw_cfg_add_item(board->fw_cfg, 0x8000, "arch", 4, err);
}

static inline int create_port92(struct board *board, struct err *err)
{
	return port92_new(&board->device, board->ports, &board->requests, err);
}

static inline int create_pvpanic(struct board *board, struct err *err)
{
	return pvpanic_new(&board->device, board->ports, &board->requests, err);
}

static inline int create_debugcon(struct board *board, struct err *err)
{
	return debugcon_new(&board->device, board->ports, &board->chardev.chardev, err);
}

static inline int create_debug_exit(struct board *board, struct err *err)
{
	return debug_exit_new(&board->device, board->ports, DEBUG_EXIT_PORT, DEBUG_EXIT_SIZE,
			      &board->requests, err);
}

static inline int create_testdev(struct board *board, struct err *err)
{
	struct testdev_config config = { .ports = board->ports, .mmio = board->mmio };

	for (unsigned i = 0; i < TESTDEV_LINES; i++)
		config.lines[i] = board_line(board, i);
	return testdev_new(&board->device, &config, err);
}

/* The order is part of the fuzz corpus. */
static const struct board_device board_devices[] = {
	{ "pic", create_pic, poke_pic },
	{ "ioapic", create_ioapic, poke_ioapic },
	{ "gsi", create_gsi, poke_ioapic },
	{ "pit", create_pit },
	{ "rtc", create_rtc },
	{ "hpet", create_hpet },
	{ "i8042", create_i8042 },
	{ "uart", create_uart, poke_uart },
	{ "acpi-pm", create_acpi_pm, poke_acpi_pm },
	{ "fw-cfg", create_fw_cfg },
	{ "port92", create_port92 },
	{ "pvpanic", create_pvpanic },
	{ "debugcon", create_debugcon },
	{ "debug-exit", create_debug_exit },
	{ "testdev", create_testdev },
};

/* A board with the device of that row, or the end of the test. */
static inline void board_init_with(struct board *board, const struct board_device *row)
{
	board_init(board);
	check(!row->create(board, NULL));
}

static inline void board_init_named(struct board *board, const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		if (!strcmp(board_devices[i].name, name)) {
			board_init_with(board, &board_devices[i]);
			return;
		}
	}
	check(!"no such device");
}

struct board_regions {
	const struct bus_region *items[BOARD_REGIONS];
	unsigned count;
};

static inline void board_collect_region(const struct bus_region *region, void *ctx)
{
	struct board_regions *regions = ctx;

	check(regions->count < BOARD_REGIONS);
	regions->items[regions->count++] = region;
}

/* Every region of the board's devices. */
static inline struct board_regions board_regions(struct board *board)
{
	struct board_regions regions = { 0 };

	bus_for_each(board->ports, board_collect_region, &regions);
	bus_for_each(board->mmio, board_collect_region, &regions);
	return regions;
}

static inline void board_check(struct board *board)
{
	check(device_ok(board->device));
	for (unsigned i = 0; i < ARRAY_SIZE(board->helpers); i++)
		check(!board->helpers[i] || device_ok(board->helpers[i]));
}
