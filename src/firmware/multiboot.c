/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot kernels: ELF of both classes and the "a.out kludge", with modules and the memory map.
 *
 * Wishes for a video mode are not fulfilled and not reported as such, as there is no display before
 * its driver. Spec: Multiboot Specification, version 0.6.96.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/macros.h"
#include "base/str.h"
#include "firmware/elf_image.h"
#include "firmware/loader.h"

/* Kernels may load into conventional memory, from here on; what they are told lies below. */
#define KERNEL_FLOOR UINT64_C(0x8000)

#define HEADER_MAGIC 0x1badb002
#define LOADER_MAGIC 0x2badb002

/* Header flags; the low half are requirements, of which those from bit 3 on are not defined. */
#define HEADER_UNKNOWN   UINT32_C(0x0000fff8)
#define HEADER_ADDRESSES UINT32_C(0x00010000)

enum {
	HEADER_BYTES = 12,
	HEADER_BYTES_MAX = 32, /* with the addresses */
	HEADER_SEARCH = 8192,

	INFO_MEMORY = 1 << 0,
	INFO_CMDLINE = 1 << 2,
	INFO_MODULES = 1 << 3,
	INFO_MAP = 1 << 6,
	INFO_LOADER_NAME = 1 << 9,

	/* Offsets in the information structure. */
	INFO_FLAGS = 0,
	INFO_MEM_LOWER = 4,
	INFO_MEM_UPPER = 8,
	INFO_CMDLINE_AT = 16,
	INFO_MODS_COUNT = 20,
	INFO_MODS_ADDR = 24,
	INFO_MMAP_LENGTH = 44,
	INFO_MMAP_ADDR = 48,
	INFO_LOADER_NAME_AT = 64,
	INFO_BYTES = 120,

	MODULE_ROW_BYTES = 16,
	MAP_ROW_BYTES = 24,
};

struct multiboot_header {
	uint64_t offset; /* in the file */
	uint32_t flags;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

/* The offset of the header in the beginning of a kernel, or -1. */
static int find_header(const uint8_t *head, size_t count)
{
	for (size_t at = 0; at + HEADER_BYTES <= MIN(count, (size_t)HEADER_SEARCH); at += 4) {
		uint32_t magic = le32_get(head + at);

		if (magic == HEADER_MAGIC &&
		    magic + le32_get(head + at + 4) + le32_get(head + at + 8) == 0)
			return (int)at;
	}
	return -1;
}

static bool multiboot_probe(const struct image *kernel, const uint8_t *head, size_t count)
{
	(void)kernel;
	return find_header(head, count) >= 0;
}

static int read_header(const struct image *kernel, struct multiboot_header *header, struct err *err)
{
	uint8_t head[HEADER_SEARCH + HEADER_BYTES_MAX] = { 0 };
	size_t count = MIN(kernel->size, sizeof(head));
	int rc = image_read(kernel, 0, head, count, err);
	int at = rc ? -1 : find_header(head, count);

	if (rc)
		return rc;
	if (at < 0)
		return err_set(err, ENOEXEC, "'%s' has no Multiboot header", kernel->name);
	*header = (struct multiboot_header){
		.offset = (uint64_t)at,
		.flags = le32_get(head + at + 4),
		.header_addr = le32_get(head + at + 12),
		.load_addr = le32_get(head + at + 16),
		.load_end_addr = le32_get(head + at + 20),
		.bss_end_addr = le32_get(head + at + 24),
		.entry_addr = le32_get(head + at + 28),
	};
	if (header->flags & HEADER_UNKNOWN)
		return err_set(err, ENOEXEC, "'%s' requires unknown Multiboot features (0x%x)",
			       kernel->name, header->flags & HEADER_UNKNOWN);
	if (header->flags & HEADER_ADDRESSES && (size_t)at + HEADER_BYTES_MAX > count)
		return err_set(err, ENODATA, "'%s' is truncated in its Multiboot header",
			       kernel->name);
	return 0;
}

/* Loads a kernel that gives its addresses in the header. Spec: section 3.1.3. */
static int load_flat(const struct image *kernel, const struct multiboot_header *header,
		     const struct boot_config *config, uint64_t *ret_end, struct err *err)
{
	uint64_t before = (uint64_t)header->header_addr - header->load_addr;
	uint64_t offset = header->offset - before;
	uint64_t load_end, end;
	int rc;

	if (header->load_addr > header->header_addr || before > header->offset)
		return err_set(err, ENOEXEC, "'%s' loads from before its own beginning",
			       kernel->name);
	load_end = header->load_end_addr ? header->load_end_addr
					 : header->load_addr + (kernel->size - offset);
	end = header->bss_end_addr ? header->bss_end_addr : load_end;
	if (load_end <= header->load_addr || end < load_end ||
	    header->entry_addr < header->load_addr || header->entry_addr >= end)
		return err_set(err, ENOEXEC, "'%s' has contradicting addresses in its header",
			       kernel->name);
	if (header->load_addr < KERNEL_FLOOR ||
	    !e820_is_ram(config->map, header->load_addr, end - header->load_addr)) {
		err_set(err, ENOMEM, "'%s' needs 0x%llx bytes at 0x%x: no usable memory there",
			kernel->name, (unsigned long long)(end - header->load_addr),
			header->load_addr);
		return err_hint(err, "give the machine more memory; kernels load above 32 KiB");
	}
	rc = image_to_guest(kernel, offset, config->memory, GPA(header->load_addr),
			    load_end - header->load_addr, err);
	if (rc)
		return rc;
	*ret_end = end;
	return end > load_end ? memory_fill(config->memory, GPA(load_end), 0, end - load_end) : 0;
}

static int load_elf(const struct image *kernel, const struct boot_config *config, uint64_t *ret_end,
		    uint64_t *ret_entry, struct err *err)
{
	struct elf_image elf;
	int rc = elf_open(&elf, kernel, err);

	if (!rc)
		rc = elf_load(&elf, config, KERNEL_FLOOR, ret_end, err);
	if (!rc)
		rc = elf_entry(&elf, ret_entry, err);
	return rc;
}

static uint64_t put_words(struct boot_area *area, const char *first, const char *second)
{
	struct str s = { 0 };
	uint64_t address = 0;

	str_add(&s, first);
	if (second && *second)
		str_printf(&s, " %s", second);
	if (s.failed)
		area->error = -ENOMEM;
	else
		address = boot_area_put_string(area, s.text);
	str_fini(&s);
	return address;
}

/* Puts the modules behind each other from the first page behind the kernel on, and returns the
 * address of their list. */
static int put_modules(const struct boot_files *files, const struct boot_config *config,
		       uint64_t kernel_end, struct boot_area *area, uint64_t *ret_list,
		       struct err *err)
{
	uint8_t rows[BOOT_MODULES_MAX * MODULE_ROW_BYTES] = { 0 };
	uint64_t next = kernel_end;

	for (size_t i = 0; i < files->module_count; i++) {
		const struct image *module = &files->modules[i];
		uint8_t *row = rows + i * MODULE_ROW_BYTES;
		uint64_t base = round_up(next, PAGE_SIZE);
		int rc;

		if (base >= 4 * GIB || !e820_is_ram(config->map, base, module->size)) {
			err_set(err, ENOMEM, "module '%s' does not fit into memory below 4 GiB",
				module->name);
			return err_hint(err, "give the machine more memory");
		}
		rc = image_to_guest(module, 0, config->memory, GPA(base), module->size, err);
		if (rc)
			return err_wrap(err, "module");
		next = base + module->size;
		le32_put(row, (uint32_t)base);
		le32_put(row + 4, (uint32_t)next);
		le32_put(row + 8, (uint32_t)put_words(area, module->name, module->args));
	}
	*ret_list = boot_area_put(area, rows, files->module_count * MODULE_ROW_BYTES, 4);
	return 0;
}

static void put_map(uint8_t *info, const struct e820_map *map, struct boot_area *area)
{
	uint8_t rows[E820_ENTRIES_MAX * MAP_ROW_BYTES] = { 0 };

	for (unsigned i = 0; i < map->count; i++) {
		const struct e820_entry *entry = &map->entries[i];
		uint8_t *row = rows + i * MAP_ROW_BYTES;

		le32_put(row, MAP_ROW_BYTES - 4);
		le64_put(row + 4, entry->base);
		le64_put(row + 12, entry->size);
		le32_put(row + 20, entry->type);
		if (entry->type == E820_RAM && !entry->base)
			le32_put(info + INFO_MEM_LOWER, (uint32_t)(entry->size / KIB));
		if (entry->type == E820_RAM && entry->base == MIB)
			le32_put(info + INFO_MEM_UPPER, (uint32_t)(entry->size / KIB));
	}
	le32_put(info + INFO_MMAP_LENGTH, map->count * MAP_ROW_BYTES);
	le32_put(info + INFO_MMAP_ADDR,
		 (uint32_t)boot_area_put(area, rows, map->count * MAP_ROW_BYTES, 4));
}

static int multiboot_load(const struct boot_files *files, const struct boot_config *config,
			  struct boot_entry *entry, struct err *err)
{
	struct boot_area area = boot_area(config);
	uint8_t info[INFO_BYTES] = { 0 };
	struct multiboot_header header;
	uint64_t end, modules = 0;
	int rc = read_header(&files->kernel, &header, err);

	area.end = KERNEL_FLOOR;
	if (rc)
		return rc;
	entry->rip = header.entry_addr;
	if (header.flags & HEADER_ADDRESSES)
		rc = load_flat(&files->kernel, &header, config, &end, err);
	else
		rc = load_elf(&files->kernel, config, &end, &entry->rip, err);
	if (!rc)
		rc = put_modules(files, config, end, &area, &modules, err);
	if (rc)
		return rc;

	le32_put(info + INFO_FLAGS,
		 INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MAP | INFO_LOADER_NAME);
	le32_put(info + INFO_CMDLINE_AT,
		 (uint32_t)put_words(&area, files->kernel.name, config->cmdline));
	le32_put(info + INFO_MODS_COUNT, (uint32_t)files->module_count);
	le32_put(info + INFO_MODS_ADDR, (uint32_t)modules);
	le32_put(info + INFO_LOADER_NAME_AT, (uint32_t)boot_area_put_string(&area, "cella"));
	put_map(info, config->map, &area);
	entry->gpr[GPR_RAX] = LOADER_MAGIC;
	entry->gpr[GPR_RBX] = boot_area_put(&area, info, sizeof(info), 8);
	return boot_area_finish(&area, BOOT_PROTECTED, entry, err);
}

const struct loader_ops multiboot_loader = {
	.name = "multiboot",
	.initrd_is_list = true,
	.probe = multiboot_probe,
	.load = multiboot_load,
};
