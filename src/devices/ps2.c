/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 devices as tables of commands and answers.
 *
 * Spec: IBM PS/2 Technical Reference, "Keyboard" and "Mouse".
 */
#include "devices/ps2.h"

#include <string.h>

#include "base/macros.h"

#define ACK      0xfa
#define RESEND   0xfe
#define SELFTEST 0xaa

#define KEYBOARD_SCAN_SET 0xf0

struct ps2_command {
	uint8_t byte; /* 0 ends the table */
	bool has_parameter;
	uint8_t reply[4];
	uint8_t reply_count;
};

static const struct ps2_command keyboard_commands[] = {
	{ 0xed, .has_parameter = true, .reply = { ACK }, .reply_count = 1 }, /* LEDs */
	{ 0xee, .reply = { 0xee }, .reply_count = 1 },                       /* echo */
	{ KEYBOARD_SCAN_SET, .has_parameter = true, .reply = { ACK }, .reply_count = 1 },
	{ 0xf2, .reply = { ACK, 0xab, 0x83 }, .reply_count = 3 },            /* identify */
	{ 0xf3, .has_parameter = true, .reply = { ACK }, .reply_count = 1 }, /* typematic rate */
	{ 0xf4, .reply = { ACK }, .reply_count = 1 },                        /* enable */
	{ 0xf5, .reply = { ACK }, .reply_count = 1 },                        /* disable */
	{ 0xf6, .reply = { ACK }, .reply_count = 1 },                        /* defaults */
	{ 0xf7, .reply = { ACK }, .reply_count = 1 },                        /* all keys … */
	{ 0xf8, .reply = { ACK }, .reply_count = 1 },
	{ 0xf9, .reply = { ACK }, .reply_count = 1 },
	{ 0xfa, .reply = { ACK }, .reply_count = 1 },
	{ 0xff, .reply = { ACK, SELFTEST }, .reply_count = 2 }, /* reset */
	{ 0 },
};

static const struct ps2_command mouse_commands[] = {
	{ 0xe6, .reply = { ACK }, .reply_count = 1 },                        /* scaling 1:1 */
	{ 0xe7, .reply = { ACK }, .reply_count = 1 },                        /* scaling 2:1 */
	{ 0xe8, .has_parameter = true, .reply = { ACK }, .reply_count = 1 }, /* resolution */
	{ 0xe9, .reply = { ACK, 0x00, 0x02, 0x64 }, .reply_count = 4 },      /* status */
	{ 0xea, .reply = { ACK }, .reply_count = 1 },                        /* stream mode */
	{ 0xeb, .reply = { ACK, 0x08, 0x00, 0x00 }, .reply_count = 4 },      /* read data */
	{ 0xec, .reply = { ACK }, .reply_count = 1 },                        /* end wrap mode */
	{ 0xf0, .reply = { ACK }, .reply_count = 1 },                        /* remote mode */
	{ 0xf2, .reply = { ACK, 0x00 }, .reply_count = 2 },                  /* identify */
	{ 0xf3, .has_parameter = true, .reply = { ACK }, .reply_count = 1 }, /* sample rate */
	{ 0xf4, .reply = { ACK }, .reply_count = 1 },                        /* enable */
	{ 0xf5, .reply = { ACK }, .reply_count = 1 },                        /* disable */
	{ 0xf6, .reply = { ACK }, .reply_count = 1 },                        /* defaults */
	{ 0xff, .reply = { ACK, SELFTEST, 0x00 }, .reply_count = 3 },        /* reset */
	{ 0 },
};

const struct state_field ps2_fields[] = {
	STATE_RAW(struct ps2, queue),
	STATE_FIELD(struct ps2, count, .max = PS2_QUEUE_BYTES),
	STATE_FIELD(struct ps2, parameter_of),
	STATE_FIELD(struct ps2, scan_set, .min = 1, .max = 3),
	STATE_FIELD(struct ps2, last),
	{ 0 },
};

void ps2_init_keyboard(struct ps2 *ps2)
{
	*ps2 = (struct ps2){ .commands = keyboard_commands };
	ps2_reset(ps2);
}

void ps2_init_mouse(struct ps2 *ps2)
{
	*ps2 = (struct ps2){ .commands = mouse_commands };
	ps2_reset(ps2);
}

void ps2_reset(struct ps2 *ps2)
{
	memset(ps2->queue, 0, sizeof(ps2->queue));
	ps2->count = 0;
	ps2->parameter_of = 0;
	ps2->scan_set = 2;
	ps2->last = 0;
}

static void reply(struct ps2 *ps2, const uint8_t *bytes, unsigned count)
{
	count = MIN(count, (unsigned)PS2_QUEUE_BYTES - ps2->count);
	memcpy(ps2->queue + ps2->count, bytes, count);
	ps2->count += (uint8_t)count;
}

static void reply_byte(struct ps2 *ps2, uint8_t byte)
{
	reply(ps2, &byte, 1);
}

static void take_parameter(struct ps2 *ps2, uint8_t byte)
{
	uint8_t command = ps2->parameter_of;

	ps2->parameter_of = 0;
	reply_byte(ps2, ACK);
	if (ps2->commands != keyboard_commands || command != KEYBOARD_SCAN_SET)
		return;
	if (!byte)
		reply_byte(ps2, ps2->scan_set);
	else if (byte <= 3)
		ps2->scan_set = byte;
}

void ps2_write(struct ps2 *ps2, uint8_t byte)
{
	const struct ps2_command *command = ps2->commands;

	if (ps2->parameter_of) {
		take_parameter(ps2, byte);
		return;
	}
	if (byte == RESEND) {
		reply_byte(ps2, ps2->last);
		return;
	}
	while (command->byte && command->byte != byte)
		command++;
	if (!command->byte) {
		reply_byte(ps2, RESEND);
		return;
	}
	/* A new command throws away what was not fetched of the last answer. */
	ps2->count = 0;
	reply(ps2, command->reply, command->reply_count);
	if (command->has_parameter)
		ps2->parameter_of = byte;
}

bool ps2_take(struct ps2 *ps2, uint8_t *ret_byte)
{
	if (!ps2->count)
		return false;
	*ret_byte = ps2->last = ps2->queue[0];
	ps2->count--;
	memmove(ps2->queue, ps2->queue + 1, ps2->count);
	return true;
}
