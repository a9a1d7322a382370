/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF kernels with the PVH note: entered in 32-bit mode with the address of a start info structure
 * in EBX.
 *
 * Spec: Xen docs/misc/pvh.pandoc "x86/HVM direct boot ABI"; public/arch-x86/hvm/start_info.h,
 * version 1.
 */
#include <errno.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "firmware/elf_image.h"
#include "firmware/loader.h"

#define NOTE_OWNER        "Xen"
#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC       0x336ec578
#define START_VERSION     1

/* Offsets in hvm_start_info, hvm_modlist_entry and hvm_memmap_table_entry. */
enum {
	START_MAGIC_AT = 0,
	START_VERSION_AT = 4,
	START_MODULE_COUNT = 12,
	START_MODULES = 16,
	START_CMDLINE = 24,
	START_RSDP = 32,
	START_MAP = 40,
	START_MAP_COUNT = 48,
	START_BYTES = 56,

	MODULE_BASE = 0,
	MODULE_SIZE = 8,
	MODULE_BYTES = 32,

	ROW_BASE = 0,
	ROW_SIZE = 8,
	ROW_TYPE = 16,
	ROW_BYTES = 24,
};

static bool pvh_probe(const struct image *kernel, const uint8_t *head, size_t count)
{
	struct elf_image elf;
	uint64_t entry;

	return elf_probe(head, count) && !elf_open(&elf, kernel, NULL) &&
	       elf_find_note(&elf, NOTE_OWNER, NOTE_PHYS32_ENTRY, &entry);
}

static uint64_t put_map(const struct e820_map *map, struct boot_area *area)
{
	uint8_t rows[E820_ENTRIES_MAX * ROW_BYTES] = { 0 };

	for (unsigned i = 0; i < map->count; i++) {
		uint8_t *row = rows + i * ROW_BYTES;

		le64_put(row + ROW_BASE, map->entries[i].base);
		le64_put(row + ROW_SIZE, map->entries[i].size);
		le32_put(row + ROW_TYPE, map->entries[i].type);
	}
	return boot_area_put(area, rows, map->count * ROW_BYTES, 8);
}

/* Places the initrd as high as a 32-bit kernel reaches and returns the address of its list entry. */
static int put_initrd(const struct image *image, const struct boot_config *config,
		      uint64_t kernel_end, struct boot_area *area, uint64_t *ret_list,
		      struct err *err)
{
	uint8_t module[MODULE_BYTES] = { 0 };
	uint64_t base;
	int rc;

	if (!e820_find_top(config->map, image->size, PAGE_SIZE, 4 * GIB, 0, kernel_end, &base)) {
		err_set(err, ENOMEM, "initrd '%s' does not fit into memory below 4 GiB",
			image->name);
		return err_hint(err, "give the machine more memory");
	}
	rc = image_to_guest(image, 0, config->memory, GPA(base), image->size, err);
	if (rc)
		return err_wrap(err, "initrd");
	le64_put(module + MODULE_BASE, base);
	le64_put(module + MODULE_SIZE, image->size);
	*ret_list = boot_area_put(area, module, sizeof(module), 8);
	return 0;
}

static int pvh_load(const struct boot_files *files, const struct boot_config *config,
		    struct boot_entry *entry, struct err *err)
{
	struct boot_area area = boot_area(config);
	uint8_t start[START_BYTES] = { 0 };
	struct elf_image elf;
	uint64_t end, modules = 0;
	int rc = elf_open(&elf, &files->kernel, err);

	if (!rc)
		rc = elf_load(&elf, config, BOOT_KERNEL_BASE, &end, err);
	if (rc)
		return rc;
	if (!elf_find_note(&elf, NOTE_OWNER, NOTE_PHYS32_ENTRY, &entry->rip) ||
	    !e820_is_ram(config->map, entry->rip, 1) || entry->rip < BOOT_KERNEL_BASE ||
	    entry->rip >= 4 * GIB)
		return err_set(err, ENOEXEC, "'%s' has an entry point outside of its memory",
			       files->kernel.name);
	if (files->module_count)
		rc = put_initrd(files->modules, config, end, &area, &modules, err);
	if (rc)
		return rc;

	le32_put(start + START_MAGIC_AT, START_MAGIC);
	le32_put(start + START_VERSION_AT, START_VERSION);
	le32_put(start + START_MODULE_COUNT, files->module_count ? 1 : 0);
	le64_put(start + START_MODULES, modules);
	le64_put(start + START_CMDLINE, boot_area_put_string(&area, config->cmdline));
	le64_put(start + START_RSDP, config->rsdp);
	le64_put(start + START_MAP, put_map(config->map, &area));
	le32_put(start + START_MAP_COUNT, config->map->count);
	entry->gpr[GPR_RBX] = boot_area_put(&area, start, sizeof(start), 8);
	return boot_area_finish(&area, BOOT_PROTECTED, entry, err);
}

const struct loader_ops pvh_loader = {
	.name = "pvh",
	.probe = pvh_probe,
	.load = pvh_load,
};
