/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "gdb/packet.h"

#include <string.h>

#include "base/macros.h"

#define INTERRUPT_BYTE 0x03
#define ESCAPE         '}'
#define ESCAPE_XOR     0x20

int gdb_hex_digit(uint8_t byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	byte |= 0x20;
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static void start(struct gdb_reader *reader)
{
	reader->state = READER_DATA;
	reader->count = 0;
	reader->sum = 0;
	reader->too_long = false;
}

static void keep(struct gdb_reader *reader, uint8_t byte)
{
	if (reader->count < GDB_PACKET_MAX)
		reader->data[reader->count++] = byte;
	else
		reader->too_long = true;
}

static enum gdb_input take_idle(struct gdb_reader *reader, uint8_t byte)
{
	switch (byte) {
	case '$':
		start(reader);
		return GDB_NOTHING;
	case INTERRUPT_BYTE:
		return GDB_INTERRUPT;
	case '-':
		return GDB_NACK;
	default: /* '+', or noise */
		return GDB_NOTHING;
	}
}

static enum gdb_input take_data(struct gdb_reader *reader, uint8_t byte)
{
	if (byte == '#') {
		reader->state = READER_SUM1;
		return GDB_NOTHING;
	}
	if (byte == '$') { /* never within a packet: the peer began anew */
		start(reader);
		return GDB_NOTHING;
	}
	reader->sum = (uint8_t)(reader->sum + byte);
	if (byte == ESCAPE)
		reader->state = READER_ESCAPED;
	else
		keep(reader, byte);
	return GDB_NOTHING;
}

static enum gdb_input finish(struct gdb_reader *reader, uint8_t byte)
{
	int low = gdb_hex_digit(byte);

	reader->state = READER_IDLE;
	if (low < 0 || reader->told == 0xff || reader->too_long ||
	    (reader->told << 4 | low) != reader->sum)
		return GDB_BAD;
	reader->data[reader->count] = '\0';
	return GDB_PACKET;
}

enum gdb_input gdb_reader_take(struct gdb_reader *reader, uint8_t byte)
{
	switch (reader->state) {
	case READER_IDLE:
		return take_idle(reader, byte);
	case READER_DATA:
		return take_data(reader, byte);
	case READER_ESCAPED:
		reader->sum = (uint8_t)(reader->sum + byte);
		keep(reader, byte ^ ESCAPE_XOR);
		reader->state = READER_DATA;
		return GDB_NOTHING;
	case READER_SUM1:
		reader->told = (uint8_t)gdb_hex_digit(byte); /* 0xff: no digit */
		reader->state = READER_SUM2;
		return GDB_NOTHING;
	default:
		return finish(reader, byte);
	}
}

void gdb_packet_add(struct str *out, const void *data, size_t count)
{
	const uint8_t *bytes = data;
	uint8_t sum = 0;

	str_add(out, "$");
	for (size_t i = 0; i < count; i++) {
		uint8_t pair[2] = { ESCAPE, bytes[i] ^ ESCAPE_XOR };
		bool special = bytes[i] && strchr("#$}*", bytes[i]);

		if (special) {
			str_add_bytes(out, pair, sizeof(pair));
			sum = (uint8_t)(sum + pair[0] + pair[1]);
		} else {
			str_add_bytes(out, &bytes[i], 1);
			sum = (uint8_t)(sum + bytes[i]);
		}
	}
	str_printf(out, "#%02x", sum);
}

void gdb_hex_add(struct str *out, const void *data, size_t count)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < count; i++) {
		const char pair[] = { digits[bytes[i] >> 4], digits[bytes[i] & 15] };

		str_add_bytes(out, pair, sizeof(pair));
	}
}

bool gdb_take(struct gdb_text *text, char byte)
{
	if (text->at == text->end || *text->at != (uint8_t)byte)
		return false;
	text->at++;
	return true;
}

bool gdb_take_word(struct gdb_text *text, const char *word)
{
	size_t length = strlen(word);

	if (gdb_text_left(text) < length || memcmp(text->at, word, length))
		return false;
	text->at += length;
	return true;
}

bool gdb_take_hex(struct gdb_text *text, uint64_t *ret_value)
{
	uint64_t value = 0;
	unsigned digits = 0;

	while (text->at < text->end && gdb_hex_digit(*text->at) >= 0) {
		if (++digits > 16)
			return false;
		value = value << 4 | (unsigned)gdb_hex_digit(*text->at++);
	}
	if (!digits)
		return false;
	*ret_value = value;
	return true;
}

bool gdb_take_bytes(struct gdb_text *text, void *buffer, size_t count)
{
	uint8_t *to = buffer;

	if (gdb_text_left(text) / 2 < count)
		return false;
	for (size_t i = 0; i < count; i++, text->at += 2) {
		int high = gdb_hex_digit(text->at[0]), low = gdb_hex_digit(text->at[1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}
