/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets as GDB sends them, and as it should not. */
#include "gdb/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"

/* What the last byte of each stream gives. */
static const struct {
	const char *what, *bytes;
	enum gdb_input last;
	const char *data; /* of a packet */
} streams[] = {
	{ "empty packet", "$#00", GDB_PACKET, "" },
	{ "packet", "$g#67", GDB_PACKET, "g" },
	{ "checksum in capitals", "$J#4A", GDB_PACKET, "J" },
	{ "escaped", "$}\x03#80", GDB_PACKET, "#" },
	{ "after noise", "++xyz$g#67", GDB_PACKET, "g" },
	{ "begun anew", "$abc$g#67", GDB_PACKET, "g" },
	{ "wrong checksum", "$g#68", GDB_BAD, NULL },
	{ "no checksum", "$g#6x", GDB_BAD, NULL },
	{ "no checksum at all", "$g#x7", GDB_BAD, NULL },
	{ "interrupt", "\x03", GDB_INTERRUPT, NULL },
	{ "interrupt byte in a packet", "$\x03#03", GDB_PACKET, "\x03" },
	{ "acknowledgement", "+", GDB_NOTHING, NULL },
	{ "refusal", "-", GDB_NACK, NULL },
	{ "half a packet", "$g#6", GDB_NOTHING, NULL },
};

static void reader_takes_what_is_whole(void **state)
{
	struct gdb_reader *reader = malloc(sizeof(*reader));

	for (unsigned i = 0; i < ARRAY_SIZE(streams); i++) {
		enum gdb_input input = GDB_NOTHING;

		memset(reader, 0, sizeof(*reader));
		for (const char *p = streams[i].bytes; *p; p++) {
			if (input != GDB_NOTHING)
				fail_msg("%s: came early", streams[i].what);
			input = gdb_reader_take(reader, (uint8_t)*p);
		}
		if (input != streams[i].last)
			fail_msg("%s: gives %d", streams[i].what, input);
		if (streams[i].data)
			assert_string_equal((char *)reader->data, streams[i].data);
	}
	free(reader);
}

static void reader_refuses_what_is_too_long_and_goes_on(void **state)
{
	struct gdb_reader *reader = calloc(1, sizeof(*reader));
	enum gdb_input input = GDB_NOTHING;

	for (unsigned length = GDB_PACKET_MAX; length <= GDB_PACKET_MAX + 2; length++) {
		char tail[4];

		snprintf(tail, sizeof(tail), "#%02x", (unsigned)('a' * length) & 0xff);
		gdb_reader_take(reader, '$');
		for (unsigned i = 0; i < length; i++)
			assert_int_equal(gdb_reader_take(reader, 'a'), GDB_NOTHING);
		for (unsigned i = 0; i < 3; i++)
			input = gdb_reader_take(reader, (uint8_t)tail[i]);
		assert_int_equal(input, length > GDB_PACKET_MAX ? GDB_BAD : GDB_PACKET);
	}
	for (const char *p = "$g#67"; *p; p++)
		input = gdb_reader_take(reader, (uint8_t)*p);
	assert_int_equal(input, GDB_PACKET);
	free(reader);
}

static void packet_of_all_bytes_comes_back(void **state)
{
	struct gdb_reader *reader = calloc(1, sizeof(*reader));
	struct str out = { 0 };
	uint8_t all[256];

	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	gdb_packet_add(&out, all, sizeof(all));
	for (size_t i = 0; i < out.length; i++)
		assert_int_equal(gdb_reader_take(reader, (uint8_t)out.text[i]),
				 i + 1 < out.length ? GDB_NOTHING : GDB_PACKET);
	assert_int_equal(reader->count, sizeof(all));
	assert_memory_equal(reader->data, all, sizeof(all));
	str_fini(&out);
	free(reader);
}

static void number_of_too_many_digits_is_refused(void **state)
{
	static const struct {
		const char *text;
		bool good;
		uint64_t value;
	} rows[] = {
		{ "0", true, 0 },
		{ "fFffffff81000000", true, 0xffffffff81000000 },
		{ "10000000000000000", false, 0 },
		{ "", false, 0 },
		{ "x", false, 0 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const uint8_t *at = (const uint8_t *)rows[i].text;
		struct gdb_text text = { at, at + strlen(rows[i].text) };
		uint64_t value = 0;

		assert_int_equal(gdb_take_hex(&text, &value), rows[i].good);
		assert_int_equal(value, rows[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader_takes_what_is_whole),
		cmocka_unit_test(reader_refuses_what_is_too_long_and_goes_on),
		cmocka_unit_test(packet_of_all_bytes_comes_back),
		cmocka_unit_test(number_of_too_many_digits_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
