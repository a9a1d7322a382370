/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 keyboard or mouse that nobody touches: it answers every command and sends nothing else.
 *
 * Embedded in the controller, whose lock guards it.
 * Spec: IBM PS/2 Technical Reference, "Keyboard" and "Mouse"; commands are tables in ps2.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state/fields.h"

#define PS2_QUEUE_BYTES 16

struct ps2_command;

struct ps2 {
	const struct ps2_command *commands;
	uint8_t queue[PS2_QUEUE_BYTES];
	uint8_t count;
	uint8_t parameter_of; /* the command whose parameter byte comes next; 0: none */
	uint8_t scan_set;     /* a keyboard's, 1 to 3 */
	uint8_t last;         /* sent most lately, for "resend" */
};

extern const struct state_field ps2_fields[];

void ps2_init_keyboard(struct ps2 *ps2);
void ps2_init_mouse(struct ps2 *ps2);
void ps2_reset(struct ps2 *ps2);

/* A byte from the controller. Answers that find no room are lost, as on the wire. */
void ps2_write(struct ps2 *ps2, uint8_t byte);

/* The next byte for the controller; false if there is none. */
bool ps2_take(struct ps2 *ps2, uint8_t *ret_byte);
