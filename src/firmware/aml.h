/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI machine language: one function a term, in the order of the byte stream.
 *
 *	size_t device = aml_device(aml, "COM1");
 *	aml_name(aml, "_HID");
 *	aml_eisa_id(aml, "PNP0501");
 *	aml_name(aml, "_CRS");
 *	size_t resources = aml_resources(aml);
 *	aml_io(aml, 0x3f8, 8);
 *	aml_irq(aml, 4, AML_EDGE);
 *	aml_resources_end(aml, resources);
 *	aml_end(aml, device);
 *
 * The stream is a `struct str`: a failure to allocate sticks and is looked at once, at the end.
 * Spec: ACPI 6.5, section 20 (AML), 6.4 (resource descriptors).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum {
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_ARG3 = 0x6b,
	AML_STORE = 0x70,
	AML_OR = 0x7d,
	AML_CREATE_DWORD_FIELD = 0x8a,
	AML_EQUAL = 0x93,
	AML_RETURN = 0xa4,
};

enum aml_trigger { AML_EDGE, AML_LEVEL };

/* A bare opcode, and a path of four-letter names: "_CRS", "\\_SB_.PCI0". */
void aml_op(struct str *aml, uint8_t opcode);
void aml_path(struct str *aml, const char *path);

void aml_integer(struct str *aml, uint64_t value);
void aml_string(struct str *aml, const char *text);
/* "PNP0A08" as the integer that _HID and _CID take. */
void aml_eisa_id(struct str *aml, const char *id);
void aml_buffer(struct str *aml, const void *bytes, size_t count);
/* A UUID in RFC 4122 order as the buffer that ToUUID makes of it. */
void aml_uuid(struct str *aml, const uint8_t uuid[16]);

/* Name(path, …): the object follows. */
void aml_name(struct str *aml, const char *path);

/* Terms with a body: it follows, and ends with aml_end() of the value returned here. */
size_t aml_scope(struct str *aml, const char *path);
size_t aml_device(struct str *aml, const char *name);
size_t aml_method(struct str *aml, const char *name, unsigned args);
size_t aml_package(struct str *aml, uint8_t items);
size_t aml_if(struct str *aml); /* the predicate comes first in the body */
size_t aml_else(struct str *aml);
void aml_end(struct str *aml, size_t body);

/* ResourceTemplate() { … } and what may stand in it. */
size_t aml_resources(struct str *aml);
void aml_resources_end(struct str *aml, size_t resources);
void aml_io(struct str *aml, uint16_t base, uint8_t count);
void aml_irq(struct str *aml, uint32_t gsi, enum aml_trigger trigger);
void aml_memory(struct str *aml, uint32_t base, uint32_t size);

/* Windows that a bridge passes on. */
void aml_bus_window(struct str *aml, uint16_t first, uint16_t last);
void aml_io_window(struct str *aml, uint16_t first, uint16_t last);
void aml_memory_window(struct str *aml, uint64_t first, uint64_t last);
