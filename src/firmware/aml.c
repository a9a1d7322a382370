/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI machine language (see aml.h).
 *
 * Lengths of packages are always written in their longest form of four bytes, so that they can be
 * filled in when the body is complete. Spec: ACPI 6.5, sections 20.2 and 6.4.
 */
#include "firmware/aml.h"

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/macros.h"

enum {
	OP_ZERO = 0x00,
	OP_ONE = 0x01,
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_WORD = 0x0b,
	OP_DWORD = 0x0c,
	OP_STRING = 0x0d,
	OP_QWORD = 0x0e,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_DUAL_NAME = 0x2e,
	OP_MULTI_NAME = 0x2f,
	OP_EXTENDED = 0x5b,
	OP_DEVICE = 0x82, /* behind OP_EXTENDED */
	OP_IF = 0xa0,
	OP_ELSE = 0xa1,

	NAME_BYTES = 4,
	LENGTH_BYTES = 4,
	/* A template's size behind its package length: a prefix and 16 bits. */
	TEMPLATE_SIZE_BYTES = 3,
};

void aml_op(struct str *aml, uint8_t opcode)
{
	str_add_bytes(aml, &opcode, 1);
}

static void add_value(struct str *aml, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	le_put(bytes, value, size);
	str_add_bytes(aml, bytes, size);
}

void aml_path(struct str *aml, const char *path)
{
	size_t names;

	if (*path == '\\') {
		aml_op(aml, '\\');
		path++;
	}
	names = (strlen(path) + 1) / (NAME_BYTES + 1);
	check(strlen(path) == names * (NAME_BYTES + 1) - 1);
	if (names == 2)
		aml_op(aml, OP_DUAL_NAME);
	if (names > 2) {
		aml_op(aml, OP_MULTI_NAME);
		aml_op(aml, (uint8_t)names);
	}
	for (; names; names--, path += NAME_BYTES + 1)
		str_add_bytes(aml, path, NAME_BYTES);
}

void aml_integer(struct str *aml, uint64_t value)
{
	static const struct {
		uint64_t max;
		uint8_t op, bytes;
	} forms[] = {
		{ 0, OP_ZERO, 0 },           { 1, OP_ONE, 0 },
		{ UINT8_MAX, OP_BYTE, 1 },   { UINT16_MAX, OP_WORD, 2 },
		{ UINT32_MAX, OP_DWORD, 4 }, { UINT64_MAX, OP_QWORD, 8 },
	};
	unsigned i = 0;

	while (value > forms[i].max)
		i++;
	aml_op(aml, forms[i].op);
	add_value(aml, value, forms[i].bytes);
}

void aml_string(struct str *aml, const char *text)
{
	aml_op(aml, OP_STRING);
	str_add_bytes(aml, text, strlen(text) + 1);
}

static uint32_t hex_digit(char c)
{
	return (uint32_t)(c <= '9' ? c - '0' : c - 'A' + 10);
}

void aml_eisa_id(struct str *aml, const char *id)
{
	uint32_t value = 0;
	uint8_t bytes[4];

	check(strlen(id) == 7);
	for (unsigned i = 0; i < 3; i++)
		value = value << 5 | ((uint32_t)id[i] - 0x40);
	for (unsigned i = 3; i < 7; i++)
		value = value << 4 | hex_digit(id[i]);
	/* The integer is stored with its bytes swapped. */
	be32_put(bytes, value);
	aml_op(aml, OP_DWORD);
	str_add_bytes(aml, bytes, sizeof(bytes));
}

static size_t begin(struct str *aml, uint8_t opcode)
{
	size_t body;

	aml_op(aml, opcode);
	body = aml->length;
	add_value(aml, 0, LENGTH_BYTES);
	return body;
}

void aml_end(struct str *aml, size_t body)
{
	size_t length = aml->length - body;
	char *p;

	if (aml->failed)
		return;
	p = aml->text + body;
	p[0] = (char)(3 << 6 | (length & 0xf));
	p[1] = (char)(length >> 4);
	p[2] = (char)(length >> 12);
	p[3] = (char)(length >> 20);
}

void aml_buffer(struct str *aml, const void *bytes, size_t count)
{
	size_t body = begin(aml, OP_BUFFER);

	aml_integer(aml, count);
	str_add_bytes(aml, bytes, count);
	aml_end(aml, body);
}

void aml_uuid(struct str *aml, const uint8_t uuid[16])
{
	/* The first three fields are little-endian. */
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	uint8_t mixed[16];

	for (unsigned i = 0; i < sizeof(mixed); i++)
		mixed[i] = uuid[order[i]];
	aml_buffer(aml, mixed, sizeof(mixed));
}

void aml_name(struct str *aml, const char *path)
{
	aml_op(aml, OP_NAME);
	aml_path(aml, path);
}

size_t aml_scope(struct str *aml, const char *path)
{
	size_t body = begin(aml, OP_SCOPE);

	aml_path(aml, path);
	return body;
}

size_t aml_device(struct str *aml, const char *name)
{
	size_t body;

	aml_op(aml, OP_EXTENDED);
	body = begin(aml, OP_DEVICE);
	aml_path(aml, name);
	return body;
}

size_t aml_method(struct str *aml, const char *name, unsigned args)
{
	size_t body = begin(aml, OP_METHOD);

	aml_path(aml, name);
	aml_op(aml, (uint8_t)args);
	return body;
}

size_t aml_package(struct str *aml, uint8_t items)
{
	size_t body = begin(aml, OP_PACKAGE);

	aml_op(aml, items);
	return body;
}

size_t aml_if(struct str *aml)
{
	return begin(aml, OP_IF);
}

size_t aml_else(struct str *aml)
{
	return begin(aml, OP_ELSE);
}

size_t aml_resources(struct str *aml)
{
	size_t body = begin(aml, OP_BUFFER);

	aml_op(aml, OP_WORD);
	add_value(aml, 0, 2);
	return body;
}

void aml_resources_end(struct str *aml, size_t resources)
{
	size_t first = resources + LENGTH_BYTES + TEMPLATE_SIZE_BYTES;

	/* End tag; a checksum of 0 means that there is none. */
	add_value(aml, 0x0079, 2);
	if (!aml->failed)
		le16_put(aml->text + first - 2, (uint16_t)(aml->length - first));
	aml_end(aml, resources);
}

/* Small descriptor, 16-bit decoding. Spec: section 6.4.2.5. */
void aml_io(struct str *aml, uint16_t base, uint8_t count)
{
	add_value(aml, 0x0147, 2);
	add_value(aml, base, 2);
	add_value(aml, base, 2);
	aml_op(aml, 1);
	aml_op(aml, count);
}

/* Extended interrupt descriptor, consumer, active high. Spec: section 6.4.3.6. */
void aml_irq(struct str *aml, uint32_t gsi, enum aml_trigger trigger)
{
	aml_op(aml, 0x89);
	add_value(aml, 6, 2);
	aml_op(aml, trigger == AML_EDGE ? 0x03 : 0x01);
	aml_op(aml, 1);
	add_value(aml, gsi, 4);
}

/* Fixed 32-bit range, writable. Spec: section 6.4.3.4. */
void aml_memory(struct str *aml, uint32_t base, uint32_t size)
{
	aml_op(aml, 0x86);
	add_value(aml, 9, 2);
	aml_op(aml, 1);
	add_value(aml, base, 4);
	add_value(aml, size, 4);
}

enum window_kind { WINDOW_MEMORY, WINDOW_IO, WINDOW_BUS };

/* Address space descriptor: producer, positive decode, fixed. Spec: sections 6.4.3.5.1
 * to 6.4.3.5.3. */
static void add_window(struct str *aml, enum window_kind kind, unsigned word, uint64_t first,
		       uint64_t last)
{
	static const uint8_t kind_flags[] = {
		[WINDOW_MEMORY] = 0x01, /* read-write, not cacheable */
		[WINDOW_IO] = 0x03,     /* entire range */
		[WINDOW_BUS] = 0x00,
	};
	uint8_t tag = word == 2 ? 0x88 : word == 4 ? 0x87 : 0x8a;

	aml_op(aml, tag);
	add_value(aml, 3 + 5 * word, 2);
	aml_op(aml, (uint8_t)kind);
	aml_op(aml, 0x0c);
	aml_op(aml, kind_flags[kind]);
	add_value(aml, 0, word);
	add_value(aml, first, word);
	add_value(aml, last, word);
	add_value(aml, 0, word);
	add_value(aml, last - first + 1, word);
}

void aml_bus_window(struct str *aml, uint16_t first, uint16_t last)
{
	add_window(aml, WINDOW_BUS, 2, first, last);
}

void aml_io_window(struct str *aml, uint16_t first, uint16_t last)
{
	add_window(aml, WINDOW_IO, 2, first, last);
}

void aml_memory_window(struct str *aml, uint64_t first, uint64_t last)
{
	add_window(aml, WINDOW_MEMORY, last > UINT32_MAX ? 8 : 4, first, last);
}
