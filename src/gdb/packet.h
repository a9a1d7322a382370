/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of GDB's remote protocol: "$DATA#SUM", with '}' before a byte that was XORed with 0x20,
 * and single bytes between them. The peer is not trusted: memory is bounded, and what does not fit
 * or add up is refused.
 *
 * Spec: Debugging with GDB, appendix E.1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define GDB_PACKET_MAX 0x4000 /* bytes between '$' and '#' */

enum gdb_input {
	GDB_NOTHING, /* more bytes are needed */
	GDB_PACKET,  /* `data` and `count` are one */
	GDB_BAD,     /* a wrong checksum, or too long */
	GDB_INTERRUPT,
	GDB_NACK, /* the last packet shall be sent again */
};

struct gdb_reader {
	enum { READER_IDLE, READER_DATA, READER_ESCAPED, READER_SUM1, READER_SUM2 } state;
	bool too_long;
	uint8_t sum, told; /* of the bytes so far; what the peer says */
	size_t count;
	uint8_t data[GDB_PACKET_MAX + 1]; /* a NUL behind a whole packet */
};

/* Takes one byte. Zero-initialise the reader. */
enum gdb_input gdb_reader_take(struct gdb_reader *reader, uint8_t byte);

/* Appends the packet of these bytes. */
void gdb_packet_add(struct str *out, const void *data, size_t count);

/* The value of a hexadecimal digit, or -1. */
int gdb_hex_digit(uint8_t byte);

void gdb_hex_add(struct str *out, const void *data, size_t count);

/* What is left of a packet's data, to be parsed from the left. */
struct gdb_text {
	const uint8_t *at, *end;
};

/* Takes the byte or the word if it is next. */
bool gdb_take(struct gdb_text *text, char byte);
bool gdb_take_word(struct gdb_text *text, const char *word);

/* Takes a hexadecimal number of 1 to 16 digits; false: there is none. */
bool gdb_take_hex(struct gdb_text *text, uint64_t *ret_value);

/* Takes `count` bytes of two digits each; false: there are not as many. */
bool gdb_take_bytes(struct gdb_text *text, void *buffer, size_t count);

static inline size_t gdb_text_left(const struct gdb_text *text)
{
	return (size_t)(text->end - text->at);
}
