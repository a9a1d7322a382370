/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The legacy devices under a hostile guest: any sequence of register accesses, events, time, resets
 * and loads of saved state leaves the device's invariants standing, and no guest can make a device
 * fire host timers faster than paced_timer allows.
 *
 * Input: the row of board_devices, then operations of eight bytes.
 */
#include "../unit/devices/board.h"
#include "base/bytes.h"
#include "devices/ticks.h"

enum operation { OP_READ, OP_WRITE, OP_ADVANCE, OP_JUMP, OP_POKE, OP_INPUT, OP_RESET, OP_COUNT };

#define OP_BYTES       8
#define ADVANCE_MAX_NS (UINT64_C(1) << 25)
#define JUMP_MAX_NS    (UINT64_C(1) << 50)
#define TIMERS_MAX     4 /* of one device */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void advance(struct board *board, uint64_t ns)
{
	check(board_advance(board, ns) <= TIMERS_MAX * (ns / TICKS_TIMER_MIN_NS + 2));
}

static void run_operation(struct board *board, const struct board_device *row,
			  const struct board_regions *regions, const uint8_t op[OP_BYTES])
{
	const struct bus_region *region = regions->items[op[1] % regions->count];
	uint64_t address = region->base + le16_get(op + 2) % region->size;
	uint32_t value = le32_get(op + 4);
	unsigned access = 1u << (op[0] >> 3 & 3);

	switch ((enum operation)(op[0] % 8 % OP_COUNT)) {
	case OP_READ:
		bus_read(region->bus, address, access);
		break;
	case OP_WRITE:
		bus_write(region->bus, address, value | (uint64_t)value << 32, access);
		break;
	case OP_ADVANCE:
		advance(board, value % ADVANCE_MAX_NS);
		break;
	case OP_JUMP:
		machine_clock_set(&board->clock, machine_clock_now_ns(&board->clock) +
							 ((uint64_t)value << 20) % JUMP_MAX_NS);
		break;
	case OP_POKE:
		if (row->poke)
			row->poke(board, value);
		break;
	case OP_INPUT:
		if (board->input_count)
			irq_set(&board->inputs[op[1] % board->input_count], op[2] & 1);
		break;
	case OP_RESET:
		device_reset(board->device);
		break;
	case OP_COUNT:
		break;
	}
}

/* Saving and loading in the middle of a life must not show. */
static void save_and_load(struct board *board)
{
	struct state_stream saved = { 0 }, reader;

	check(!device_save(board->device, &saved));
	reader = state_stream_reader(saved.bytes, saved.count);
	check(!device_load(board->device, &reader, NULL));
	state_stream_fini(&saved);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct board_device *row;
	struct board_regions regions;
	struct board board;

	if (!size)
		return 0;
	row = &board_devices[data[0] % ARRAY_SIZE(board_devices)];
	board_init_with(&board, row);
	regions = board_regions(&board);
	for (size_t at = 1; at + OP_BYTES <= size; at += OP_BYTES) {
		run_operation(&board, row, &regions, data + at);
		board_check(&board);
	}
	save_and_load(&board);
	advance(&board, ADVANCE_MAX_NS);
	board_check(&board);
	board_fini(&board);
	return 0;
}
