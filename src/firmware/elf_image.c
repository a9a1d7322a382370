/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF files as kernels (see elf_image.h). Every number in the file is hostile; headers are copied
 * before they are checked.
 *
 * Pure functions on the caller's objects.
 */
#include "firmware/elf_image.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "firmware/loader.h"

#define NOTES_BYTES_MAX (64 * KIB)

/* Where the fields of both classes are; all others have one place. */
struct elf_layout {
	unsigned header_bytes, entry, phoff, phentsize, phnum, word;
	struct {
		unsigned bytes, offset, virtual, physical, file_bytes, memory_bytes, align;
	} segment;
};

#define SEGMENT_LAYOUT(type)                                                                       \
	.segment = {                                                                               \
		sizeof(type),                                                                      \
		offsetof(type, p_offset),                                                          \
		offsetof(type, p_vaddr),                                                           \
		offsetof(type, p_paddr),                                                           \
		offsetof(type, p_filesz),                                                          \
		offsetof(type, p_memsz),                                                           \
		offsetof(type, p_align),                                                           \
	}

static const struct elf_layout layouts[2] = {
	{ sizeof(Elf32_Ehdr), offsetof(Elf32_Ehdr, e_entry), offsetof(Elf32_Ehdr, e_phoff),
	  offsetof(Elf32_Ehdr, e_phentsize), offsetof(Elf32_Ehdr, e_phnum), 4,
	  SEGMENT_LAYOUT(Elf32_Phdr) },
	{ sizeof(Elf64_Ehdr), offsetof(Elf64_Ehdr, e_entry), offsetof(Elf64_Ehdr, e_phoff),
	  offsetof(Elf64_Ehdr, e_phentsize), offsetof(Elf64_Ehdr, e_phnum), 8,
	  SEGMENT_LAYOUT(Elf64_Phdr) },
};

#undef SEGMENT_LAYOUT

bool elf_probe(const uint8_t *head, size_t count)
{
	return count >= sizeof(Elf32_Ehdr) && !memcmp(head, ELFMAG, SELFMAG);
}

static int bad(const struct elf_image *elf, const char *what, struct err *err)
{
	return err_set(err, ENOEXEC, "'%s' is not a valid ELF kernel: %s", elf->image->name, what);
}

/* What the identification and the fixed part of the header must say; NULL if they do. */
static const char *header_fault(const uint8_t *header)
{
	unsigned type = le16_get(header + offsetof(Elf32_Ehdr, e_type));
	unsigned machine = le16_get(header + offsetof(Elf32_Ehdr, e_machine));

	if (!elf_probe(header, sizeof(Elf32_Ehdr)))
		return "no ELF magic";
	if (header[EI_CLASS] != ELFCLASS32 && header[EI_CLASS] != ELFCLASS64)
		return "unknown class";
	if (header[EI_DATA] != ELFDATA2LSB)
		return "not little-endian";
	if (type != ET_EXEC && type != ET_DYN)
		return "not an executable";
	if (machine != EM_X86_64 && (machine != EM_386 || header[EI_CLASS] != ELFCLASS32))
		return "not for x86";
	return NULL;
}

static struct elf_segment parse_segment(const struct elf_layout *layout, const uint8_t *p)
{
	unsigned word = layout->word;

	return (struct elf_segment){
		.type = le32_get(p),
		.offset = le_get(p + layout->segment.offset, word),
		.virtual = le_get(p + layout->segment.virtual, word),
		.physical = le_get(p + layout->segment.physical, word),
		.file_bytes = le_get(p + layout->segment.file_bytes, word),
		.memory_bytes = le_get(p + layout->segment.memory_bytes, word),
		.align = le_get(p + layout->segment.align, word),
	};
}

int elf_open(struct elf_image *ret_elf, const struct image *image, struct err *err)
{
	struct elf_image elf = { .image = image };
	uint8_t header[sizeof(Elf64_Ehdr)] = { 0 };
	uint8_t table[ELF_SEGMENTS_MAX * sizeof(Elf64_Phdr)];
	const struct elf_layout *layout;
	const char *fault;
	unsigned count, bytes;
	int rc = image_read(image, 0, header, sizeof(Elf32_Ehdr), err);

	fault = rc ? NULL : header_fault(header);
	if (rc || fault)
		return rc ? rc : bad(&elf, fault, err);
	elf.is_64 = header[EI_CLASS] == ELFCLASS64;
	layout = &layouts[elf.is_64];
	rc = image_read(image, 0, header, layout->header_bytes, err);
	if (rc)
		return rc;
	elf.entry = le_get(header + layout->entry, layout->word);
	count = le16_get(header + layout->phnum);
	bytes = layout->segment.bytes;
	if (le16_get(header + layout->phentsize) != bytes)
		return bad(&elf, "program headers of a wrong size", err);
	if (!count || count > ELF_SEGMENTS_MAX)
		return bad(&elf, count ? "too many program headers" : "no program headers", err);
	rc = image_read(image, le_get(header + layout->phoff, layout->word), table, count * bytes,
			err);
	if (rc)
		return rc;
	elf.segment_count = count;
	for (unsigned i = 0; i < count; i++)
		elf.segments[i] = parse_segment(layout, table + i * bytes);
	*ret_elf = elf;
	return 0;
}

static bool is_loaded(const struct elf_segment *segment)
{
	return segment->type == PT_LOAD && segment->memory_bytes;
}

static int load_segment(const struct elf_image *elf, const struct elf_segment *segment,
			const struct boot_config *config, uint64_t floor, struct err *err)
{
	uint64_t gap;
	int rc;

	if (segment->file_bytes > segment->memory_bytes)
		return bad(elf, "a segment has more bytes in the file than in memory", err);
	if (segment->physical < floor ||
	    !e820_is_ram(config->map, segment->physical, segment->memory_bytes)) {
		err_set(err, ENOMEM, "'%s' needs 0x%llx bytes at 0x%llx: no usable memory there",
			elf->image->name, (unsigned long long)segment->memory_bytes,
			(unsigned long long)segment->physical);
		return err_hint(err, "give the machine more memory; kernels load above %llu KiB",
				(unsigned long long)(floor / KIB));
	}
	if (segment->file_bytes) {
		rc = image_to_guest(elf->image, segment->offset, config->memory,
				    GPA(segment->physical), segment->file_bytes, err);
		if (rc)
			return rc;
	}
	gap = segment->memory_bytes - segment->file_bytes;
	rc = gap ? memory_fill(config->memory, GPA(segment->physical + segment->file_bytes), 0, gap)
		 : 0;
	return rc ? err_errno(err, rc, "cannot load '%s'", elf->image->name) : 0;
}

int elf_load(const struct elf_image *elf, const struct boot_config *config, uint64_t floor,
	     uint64_t *ret_end, struct err *err)
{
	uint64_t end = 0;

	for (unsigned i = 0; i < elf->segment_count; i++) {
		const struct elf_segment *segment = &elf->segments[i];
		int rc = is_loaded(segment) ? load_segment(elf, segment, config, floor, err) : 0;

		if (rc)
			return rc;
		if (is_loaded(segment))
			end = MAX(end, segment->physical + segment->memory_bytes);
	}
	if (!end)
		return bad(elf, "nothing to load", err);
	*ret_end = end;
	return 0;
}

/* The physical address of the entry point, before any check. */
static bool find_entry(const struct elf_image *elf, uint64_t *ret_entry)
{
	const struct elf_segment *segment;

	for (unsigned i = 0; i < elf->segment_count; i++) {
		segment = &elf->segments[i];
		if (is_loaded(segment) && elf->entry - segment->physical < segment->memory_bytes) {
			*ret_entry = elf->entry;
			return true;
		}
	}
	for (unsigned i = 0; i < elf->segment_count; i++) {
		segment = &elf->segments[i];
		if (is_loaded(segment) && elf->entry - segment->virtual < segment->memory_bytes) {
			*ret_entry = elf->entry - segment->virtual + segment->physical;
			return true;
		}
	}
	return false;
}

int elf_entry(const struct elf_image *elf, uint64_t *ret_entry, struct err *err)
{
	uint64_t entry;

	if (!find_entry(elf, &entry))
		return bad(elf, "the entry point lies in no load segment", err);
	if (entry >= 4 * GIB)
		return bad(elf, "the entry point lies above 4 GiB", err);
	*ret_entry = entry;
	return 0;
}

struct note_query {
	const char *owner;
	uint32_t type;
	uint64_t value;
};

/* Looks through one segment's notes of `count` bytes, which are aligned to `align`. */
static bool search_notes(const uint8_t *notes, uint64_t count, uint64_t align,
			 struct note_query *query)
{
	uint64_t owner_bytes = strlen(query->owner) + 1, at = 0;

	while (count - at >= sizeof(Elf64_Nhdr)) {
		const uint8_t *note = notes + at;
		uint64_t name_bytes = le32_get(note), value_bytes = le32_get(note + 4);
		uint64_t name = at + sizeof(Elf64_Nhdr);
		uint64_t value = round_up(name + name_bytes, align);

		if (value > count || value_bytes > count - value)
			return false;
		if (le32_get(note + 8) == query->type && name_bytes == owner_bytes &&
		    !memcmp(notes + name, query->owner, owner_bytes) &&
		    (value_bytes == 4 || value_bytes == 8)) {
			query->value = le_get(notes + value, (unsigned)value_bytes);
			return true;
		}
		at = round_up(value + value_bytes, align);
		if (at > count)
			return false;
	}
	return false;
}

bool elf_find_note(const struct elf_image *elf, const char *owner, uint32_t type,
		   uint64_t *ret_value)
{
	struct note_query query = { .owner = owner, .type = type };

	for (unsigned i = 0; i < elf->segment_count; i++) {
		const struct elf_segment *segment = &elf->segments[i];
		AUTO_FREE uint8_t *notes = NULL;

		if (segment->type != PT_NOTE || !segment->file_bytes ||
		    segment->file_bytes > NOTES_BYTES_MAX)
			continue;
		notes = malloc(segment->file_bytes);
		if (!notes ||
		    image_read(elf->image, segment->offset, notes, segment->file_bytes, NULL))
			continue;
		if (search_notes(notes, segment->file_bytes, segment->align == 8 ? 8 : 4, &query)) {
			*ret_value = query.value;
			return true;
		}
	}
	return false;
}
