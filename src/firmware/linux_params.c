/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linux's boot parameters (see linux_params.h). Pure functions on the caller's objects and guest
 * memory. */
#include "firmware/linux_params.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

enum {
	LOADER_UNDEFINED = 0xff,
	SETUP_RNG_SEED = 9,
	SETUP_DATA_HEADER_BYTES = 16,
	E820_ROW_BYTES = 20,
};

static void put_map(struct linux_params *params, const struct e820_map *map)
{
	uint8_t *row = params->page + LINUX_E820_TABLE;

	params->page[LINUX_E820_ENTRIES] = (uint8_t)map->count;
	for (unsigned i = 0; i < map->count; i++, row += E820_ROW_BYTES) {
		le64_put(row, map->entries[i].base);
		le64_put(row + 8, map->entries[i].size);
		le32_put(row + 16, map->entries[i].type);
	}
}

int linux_params_initrd(struct linux_params *params, const struct boot_files *files,
			const struct boot_config *config, struct linux_initrd *initrd,
			struct err *err)
{
	const struct image *image = files->modules;
	bool found;
	int rc;

	if (!files->module_count)
		return 0;
	found = e820_find_top(config->map, image->size, PAGE_SIZE, initrd->limit,
			      initrd->kernel_base, initrd->kernel_bytes, &initrd->base) &&
		initrd->base >= BOOT_KERNEL_BASE;
	if (!found && initrd->above_4g)
		found = e820_find_top(config->map, image->size, PAGE_SIZE, UINT64_MAX,
				      initrd->kernel_base, initrd->kernel_bytes, &initrd->base);
	if (!found) {
		err_set(err, ENOMEM,
			"initrd '%s' of %llu MiB does not fit into memory beside the kernel",
			image->name, (unsigned long long)(image->size / MIB));
		return err_hint(err, "give the machine more memory");
	}
	rc = image_to_guest(image, 0, config->memory, GPA(initrd->base), image->size, err);
	if (rc)
		return err_wrap(err, "initrd");
	le32_put(params->page + LINUX_RAMDISK_IMAGE, (uint32_t)initrd->base);
	le32_put(params->page + LINUX_EXT_RAMDISK_IMAGE, (uint32_t)(initrd->base >> 32));
	le32_put(params->page + LINUX_RAMDISK_SIZE, (uint32_t)image->size);
	le32_put(params->page + LINUX_EXT_RAMDISK_SIZE, (uint32_t)(image->size >> 32));
	return 0;
}

static uint64_t put_seed(const struct boot_config *config, struct boot_area *area)
{
	uint8_t data[SETUP_DATA_HEADER_BYTES + BOOT_SEED_BYTES] = { 0 };

	le32_put(data + 8, SETUP_RNG_SEED);
	le32_put(data + 12, BOOT_SEED_BYTES);
	memcpy(data + SETUP_DATA_HEADER_BYTES, config->seed, BOOT_SEED_BYTES);
	return boot_area_put(area, data, sizeof(data), 8);
}

uint64_t linux_params_put(struct linux_params *params, const struct boot_config *config,
			  struct boot_area *area)
{
	uint8_t *page = params->page;

	put_map(params, config->map);
	page[LINUX_TYPE_OF_LOADER] = LOADER_UNDEFINED;
	le64_put(page + LINUX_ACPI_RSDP, config->rsdp);
	le32_put(page + LINUX_CMD_LINE_PTR, (uint32_t)boot_area_put_string(area, config->cmdline));
	le64_put(page + LINUX_SETUP_DATA, put_seed(config, area));
	return boot_area_put(area, page, sizeof(params->page), 4096);
}
