/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS structures (see smbios.h). Pure functions.
 *
 * Numbers in the functions below are offsets in the tables of DSP0134 3.0, section 7.
 */
#include "firmware/smbios.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/macros.h"

enum {
	ENTRY_BYTES = 24,
	TABLE_OFFSET = 32, /* of the structures from the entry point */

	TYPE_BIOS = 0,
	TYPE_SYSTEM = 1,
	TYPE_CHASSIS = 3,
	TYPE_PROCESSOR = 4,
	TYPE_MEMORY_ARRAY = 16,
	TYPE_MEMORY_DEVICE = 17,
	TYPE_MEMORY_MAPPED = 19,
	TYPE_BOOT = 32,
	TYPE_END = 127,

	STRINGS_MAX = 4,
	UNKNOWN = 2, /* in most enumerations */
};

#define VENDOR "Cella"

/* One structure while it is filled in. */
struct structure {
	uint8_t bytes[64];
	unsigned string_count;
	const char *strings[STRINGS_MAX];
};

static struct structure structure(uint8_t type, uint16_t handle, uint8_t length)
{
	struct structure s = { .bytes = { type, length } };

	le16_put(s.bytes + 2, handle);
	return s;
}

/* Strings are numbered from 1; 0 means that there is none. */
static void set_string(struct structure *s, unsigned offset, const char *text)
{
	if (!text || !*text)
		return;
	check(s->string_count < STRINGS_MAX);
	s->strings[s->string_count++] = text;
	s->bytes[offset] = (uint8_t)s->string_count;
}

static void add(struct str *out, const struct structure *s)
{
	str_add_bytes(out, s->bytes, s->bytes[1]);
	for (unsigned i = 0; i < s->string_count; i++)
		str_add_bytes(out, s->strings[i], strlen(s->strings[i]) + 1);
	str_add_bytes(out, "\0", s->string_count ? 1 : 2);
}

static uint16_t handle_of(unsigned type, unsigned index)
{
	return (uint16_t)(type << 8 | index);
}

static void add_bios(struct str *out)
{
	struct structure s = structure(TYPE_BIOS, handle_of(TYPE_BIOS, 0), 0x18);

	set_string(&s, 0x04, VENDOR);
	set_string(&s, 0x05, CELLA_VERSION);
	le16_put(s.bytes + 0x06, 0xf000);
	set_string(&s, 0x08, "01/01/2026");
	le64_put(s.bytes + 0x0a, 1 << 3); /* characteristics are not given */
	s.bytes[0x13] = 1 << 4 | 1 << 2;  /* virtual machine */
	memset(s.bytes + 0x14, 0xff, 4);
	add(out, &s);
}

static void add_system(struct str *out, const struct smbios_platform *platform)
{
	static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
	struct structure s = structure(TYPE_SYSTEM, handle_of(TYPE_SYSTEM, 0), 0x1b);

	set_string(&s, 0x04, VENDOR);
	set_string(&s, 0x05, "Cella PC");
	set_string(&s, 0x06, CELLA_VERSION);
	set_string(&s, 0x07, platform->name);
	for (unsigned i = 0; i < 16 && platform->uuid; i++)
		s.bytes[0x08 + i] = platform->uuid[order[i]];
	s.bytes[0x18] = 6; /* woken by the power switch */
	add(out, &s);
}

static void add_chassis(struct str *out)
{
	struct structure s = structure(TYPE_CHASSIS, handle_of(TYPE_CHASSIS, 0), 0x16);

	set_string(&s, 0x04, VENDOR);
	s.bytes[0x05] = 1;                                 /* other */
	s.bytes[0x09] = s.bytes[0x0a] = s.bytes[0x0b] = 3; /* safe */
	s.bytes[0x0c] = UNKNOWN;
	add(out, &s);
}

static void add_processor(struct str *out, const struct smbios_platform *platform)
{
	struct structure s = structure(TYPE_PROCESSOR, handle_of(TYPE_PROCESSOR, 0), 0x30);
	uint8_t cores = (uint8_t)MIN(platform->vcpus, 255u);

	set_string(&s, 0x04, "CPU 0");
	s.bytes[0x05] = 3;    /* central processor */
	s.bytes[0x06] = 0xfe; /* see the second family field */
	set_string(&s, 0x07, VENDOR);
	le32_put(s.bytes + 0x08, platform->cpu_signature);
	le32_put(s.bytes + 0x0c, platform->cpu_features);
	s.bytes[0x18] = 0x41; /* populated, enabled */
	s.bytes[0x19] = 1;
	memset(s.bytes + 0x1a, 0xff, 6); /* no cache handles */
	s.bytes[0x23] = s.bytes[0x24] = s.bytes[0x25] = cores;
	le16_put(s.bytes + 0x26,
		 1 << 2 | (platform->vcpus > 1 ? 1 << 3 : 0)); /* 64-bit, multi-core */
	le16_put(s.bytes + 0x28, UNKNOWN);
	for (unsigned i = 0x2a; i < 0x30; i += 2)
		le16_put(s.bytes + i, (uint16_t)platform->vcpus);
	add(out, &s);
}

static uint64_t total_memory(const struct smbios_platform *platform)
{
	uint64_t total = 0;

	for (size_t i = 0; i < platform->memory_count; i++)
		total += platform->memory[i].size;
	return total;
}

static void add_memory_array(struct str *out, const struct smbios_platform *platform)
{
	struct structure s = structure(TYPE_MEMORY_ARRAY, handle_of(TYPE_MEMORY_ARRAY, 0), 0x17);

	s.bytes[0x04] = 1;                    /* other location */
	s.bytes[0x05] = 3;                    /* system memory */
	s.bytes[0x06] = 3;                    /* no error correction */
	le32_put(s.bytes + 0x07, 0x80000000); /* see the extended field */
	le16_put(s.bytes + 0x0b, 0xfffe);
	le16_put(s.bytes + 0x0d, 1);
	le64_put(s.bytes + 0x0f, total_memory(platform));
	add(out, &s);
}

static void add_memory_device(struct str *out, const struct smbios_platform *platform)
{
	struct structure s = structure(TYPE_MEMORY_DEVICE, handle_of(TYPE_MEMORY_DEVICE, 0), 0x28);
	uint64_t mib = total_memory(platform) / MIB;

	le16_put(s.bytes + 0x04, handle_of(TYPE_MEMORY_ARRAY, 0));
	le16_put(s.bytes + 0x06, 0xfffe);
	memset(s.bytes + 0x08, 0xff, 4);
	le16_put(s.bytes + 0x0c, (uint16_t)MIN(mib, UINT64_C(0x7fff)));
	s.bytes[0x0e] = 9; /* DIMM */
	set_string(&s, 0x10, "DIMM 0");
	s.bytes[0x12] = 7; /* RAM */
	le16_put(s.bytes + 0x13, 1 << 1);
	set_string(&s, 0x17, VENDOR);
	if (mib >= 0x7fff)
		le32_put(s.bytes + 0x1c, (uint32_t)mib);
	add(out, &s);
}

static void add_memory_mapped(struct str *out, unsigned index, const struct smbios_memory *memory)
{
	struct structure s =
		structure(TYPE_MEMORY_MAPPED, handle_of(TYPE_MEMORY_MAPPED, index), 0x1f);

	memset(s.bytes + 0x04, 0xff, 8); /* see the extended fields */
	le16_put(s.bytes + 0x0c, handle_of(TYPE_MEMORY_ARRAY, 0));
	s.bytes[0x0e] = 1;
	le64_put(s.bytes + 0x0f, memory->base);
	le64_put(s.bytes + 0x17, memory->base + memory->size - 1);
	add(out, &s);
}

static void add_structures(struct str *out, const struct smbios_platform *platform)
{
	struct structure boot = structure(TYPE_BOOT, handle_of(TYPE_BOOT, 0), 0x0b);
	struct structure end = structure(TYPE_END, handle_of(TYPE_END, 0), 0x04);

	add_bios(out);
	add_system(out, platform);
	add_chassis(out);
	add_processor(out, platform);
	add_memory_array(out, platform);
	add_memory_device(out, platform);
	for (unsigned i = 0; i < platform->memory_count; i++)
		add_memory_mapped(out, i, &platform->memory[i]);
	add(out, &boot);
	add(out, &end);
}

/* Spec: section 5.2.2. */
static void put_entry(uint8_t entry[ENTRY_BYTES], uint32_t table, size_t bytes)
{
	uint8_t sum = 0;

	memcpy(entry, "_SM3_", 5);
	entry[6] = ENTRY_BYTES;
	entry[7] = 3;
	entry[10] = 1;
	le32_put(entry + 12, (uint32_t)bytes);
	le64_put(entry + 16, table);
	for (unsigned i = 0; i < ENTRY_BYTES; i++)
		sum = (uint8_t)(sum + entry[i]);
	entry[5] = (uint8_t)-sum;
}

int smbios_build(const struct smbios_platform *platform, uint32_t base, struct str *ret_bytes)
{
	uint8_t entry[TABLE_OFFSET] = { 0 };
	struct str bytes = { 0 };

	str_add_bytes(&bytes, entry, sizeof(entry));
	add_structures(&bytes, platform);
	if (bytes.failed) {
		str_fini(&bytes);
		return -ENOMEM;
	}
	put_entry((uint8_t *)bytes.text, base + TABLE_OFFSET, bytes.length - TABLE_OFFSET);
	*ret_bytes = bytes;
	return 0;
}
