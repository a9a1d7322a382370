/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux's boot parameters, the "zero page", for kernels that come as bzImage and as plain ELF.
 *
 * Spec: Linux Documentation/arch/x86/boot.rst and zero-page.rst, protocol 2.15.
 */
#pragma once

#include "firmware/loader.h"

/* Offsets in the zero page; those of the setup header are also the offsets in a bzImage. */
enum linux_offset {
	LINUX_ACPI_RSDP = 0x070,
	LINUX_EXT_RAMDISK_IMAGE = 0x0c0,
	LINUX_EXT_RAMDISK_SIZE = 0x0c4,
	LINUX_E820_ENTRIES = 0x1e8,
	LINUX_SETUP_SECTS = 0x1f1,
	LINUX_SYSSIZE = 0x1f4,
	LINUX_BOOT_FLAG = 0x1fe,
	LINUX_JUMP = 0x200,
	LINUX_MAGIC = 0x202,
	LINUX_VERSION = 0x206,
	LINUX_TYPE_OF_LOADER = 0x210,
	LINUX_LOADFLAGS = 0x211,
	LINUX_CODE32_START = 0x214,
	LINUX_RAMDISK_IMAGE = 0x218,
	LINUX_RAMDISK_SIZE = 0x21c,
	LINUX_CMD_LINE_PTR = 0x228,
	LINUX_INITRD_ADDR_MAX = 0x22c,
	LINUX_RELOCATABLE = 0x234,
	LINUX_XLOADFLAGS = 0x236,
	LINUX_CMDLINE_SIZE = 0x238,
	LINUX_SETUP_DATA = 0x250,
	LINUX_PREF_ADDRESS = 0x258,
	LINUX_INIT_SIZE = 0x260,
	LINUX_HEADER_END = 0x290,
	LINUX_E820_TABLE = 0x2d0,
};

#define LINUX_MAGIC_VALUE     0x53726448 /* "HdrS" */
#define LINUX_BOOT_FLAG_VALUE 0xaa55

struct linux_params {
	uint8_t page[4096];
};

/* Where an initrd may be and where it ended up. */
struct linux_initrd {
	uint64_t limit; /* its last byte lies below, unless the kernel takes it anywhere */
	bool above_4g;  /* it does */
	uint64_t kernel_base, kernel_bytes; /* what it stays out of */
	uint64_t base;
};

/* Loads the first module, if there is one, as high as `initrd` allows, and enters it in the page. */
int linux_params_initrd(struct linux_params *params, const struct boot_files *files,
			const struct boot_config *config, struct linux_initrd *initrd,
			struct err *err);

/*
 * Completes the page (memory map, root pointer, command line, random seed), and puts it and what
 * hangs from it into the area. Returns its address; failures stick in `area`.
 */
uint64_t linux_params_put(struct linux_params *params, const struct boot_config *config,
			  struct boot_area *area);
