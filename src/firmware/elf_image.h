/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF files of 32 and 64 bits as kernels: their load segments and notes.
 *
 * Spec: System V ABI, edition 4.1, chapters 4 and 5; its x86-64 and i386 supplements.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "firmware/boot.h"

#define ELF_SEGMENTS_MAX 64

struct elf_segment {
	uint32_t type;
	uint64_t offset, virtual, physical, file_bytes, memory_bytes, align;
};

struct elf_image {
	const struct image *image; /* borrowed */
	bool is_64;
	uint64_t entry; /* as in the header */
	unsigned segment_count;
	struct elf_segment segments[ELF_SEGMENTS_MAX];
};

/* Whether the `count` bytes begin an ELF file. */
bool elf_probe(const uint8_t *head, size_t count);

/* Reads and checks the headers. -ENOEXEC with the rule that the file breaks, or read's errors. */
int elf_open(struct elf_image *ret_elf, const struct image *image, struct err *err);

/*
 * Copies the load segments to their physical addresses, all of which must be RAM from `floor` on,
 * and clears what lies behind their file bytes. `ret_end`: the end of the highest one.
 */
int elf_load(const struct elf_image *elf, const struct boot_config *config, uint64_t floor,
	     uint64_t *ret_end, struct err *err);

/*
 * The physical address of the entry point, below 4 GiB: files linked for high virtual addresses
 * give either in their header. -ENOEXEC if it lies in no load segment.
 */
int elf_entry(const struct elf_image *elf, uint64_t *ret_entry, struct err *err);

/*
 * The integer (4 or 8 bytes) in the first note of that owner and type. False if there is none;
 * broken notes end the search.
 */
bool elf_find_note(const struct elf_image *elf, const char *owner, uint32_t type,
		   uint64_t *ret_value);
