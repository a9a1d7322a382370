/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Low memory that loaders fill with tables for the guest (see loader.h). One thread at a time. */
#include "firmware/loader.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "x86/paging.h"
#include "x86/segment.h"

struct boot_area boot_area(const struct boot_config *config)
{
	return (struct boot_area){ .memory = config->memory,
				   .next = BOOT_AREA_BASE,
				   .end = BOOT_AREA_END };
}

uint64_t boot_area_put(struct boot_area *area, const void *bytes, uint64_t count, uint64_t align)
{
	uint64_t address = round_up(area->next, align);

	if (area->error)
		return 0;
	if (address > area->end || count > area->end - address) {
		area->error = -ENOSPC;
		return 0;
	}
	area->error = bytes ? memory_write(area->memory, GPA(address), bytes, count)
			    : memory_fill(area->memory, GPA(address), 0, count);
	if (area->error)
		return 0;
	area->next = address + count;
	return address;
}

uint64_t boot_area_put_string(struct boot_area *area, const char *text)
{
	return boot_area_put(area, text, strlen(text) + 1, 1);
}

uint64_t boot_area_page_tables(struct boot_area *area)
{
	enum { DIRECTORIES = 4, TABLES = 2 + DIRECTORIES, ENTRIES = 512 };
	uint8_t page[PAGE_SIZE] = { 0 };
	uint64_t base = boot_area_put(area, NULL, TABLES * PAGE_SIZE, PAGE_SIZE);
	uint64_t pdpt = base + PAGE_SIZE, directories = base + 2 * PAGE_SIZE;

	if (area->error)
		return 0;
	le64_put(page, pdpt | PTE_P | PTE_W);
	area->error = memory_write(area->memory, GPA(base), page, sizeof(page));
	for (unsigned i = 0; i < DIRECTORIES; i++)
		le64_put(page + 8 * i, (directories + i * PAGE_SIZE) | PTE_P | PTE_W);
	if (!area->error)
		area->error = memory_write(area->memory, GPA(pdpt), page, sizeof(page));
	for (unsigned i = 0; i < DIRECTORIES && !area->error; i++) {
		for (uint64_t j = 0; j < ENTRIES; j++)
			le64_put(page + 8 * j, (i * GIB + j * 2 * MIB) | PTE_P | PTE_W | PTE_PS);
		area->error = memory_write(area->memory, GPA(directories + i * PAGE_SIZE), page,
					   sizeof(page));
	}
	return base;
}
