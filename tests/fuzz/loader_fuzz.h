/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A hostile kernel for one loader: it is refused with words, or the entry it gives lies in RAM. */
#pragma once

#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "firmware/loader.h"

#define FUZZ_MEMORY (8 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_load(const struct boot_files *files)
{
	struct memory_config memory_config = { .size = FUZZ_MEMORY };
	struct boot_config config = { .cmdline = "a b", .rsdp = 0xe0000 };
	struct boot_entry entry;
	struct e820_map map = { 0 };
	struct err err = ERR_INIT;

	check(!memory_new(&config.memory, &memory_config, NULL));
	e820_add(&map, 0, 0x9fc00, E820_RAM);
	e820_add(&map, MIB, FUZZ_MEMORY - MIB, E820_RAM);
	config.map = &map;
	if (boot_load(files, &config, &entry, &err))
		check(err.code < 0 && err.text[0]);
	else
		check(e820_is_ram(&map, entry.rip, 1) && e820_is_ram(&map, entry.gdt, 48));
	memory_free(config.memory);
}

static inline int fuzz_loader(const struct loader_ops *loader, const uint8_t *data, size_t size)
{
	static const char module[] = "a module";
	struct boot_files files = { .loader = loader };

	if (!size)
		return 0;
	check(!image_from_bytes(&files.kernel, "kernel", data, size));
	files.modules = calloc(1, sizeof(*files.modules));
	check(files.modules && !image_from_bytes(files.modules, "module", module, sizeof(module)));
	files.module_count = 1;
	if (loader->probe(&files.kernel, data, MIN(size, (size_t)LOADER_HEAD_BYTES)))
		fuzz_load(&files);
	boot_files_close(&files);
	return 0;
}
