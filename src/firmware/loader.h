/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a boot protocol implements, and the low memory in which loaders leave tables for the guest.
 *
 * Loaders are listed in boot.c in the order in which they are asked.
 */
#pragma once

#include <stdbool.h>

#include "firmware/boot.h"

/* How much of a kernel's beginning a probe sees. */
#define LOADER_HEAD_BYTES 8192

struct loader_ops {
	const char *name;
	bool initrd_is_list; /* of modules with arguments, else one file */

	/*
	 * Required. Whether the kernel is of this protocol, by the `count` bytes of its beginning
	 * (hostile); the image is there for protocols whose mark lies behind.
	 */
	bool (*probe)(const struct image *kernel, const uint8_t *head, size_t count);

	/* Required. As boot_load(); `entry` is all zeros. */
	int (*load)(const struct boot_files *files, const struct boot_config *config,
		    struct boot_entry *entry, struct err *err);
};

extern const struct loader_ops linux_loader, multiboot_loader, pvh_loader, elf_loader;

/* Conventional memory below 640 KiB that loaders fill from the bottom; kernels load above 1 MiB. */
#define BOOT_AREA_BASE   UINT64_C(0x1000)
#define BOOT_AREA_END    UINT64_C(0x9f000)
#define BOOT_KERNEL_BASE UINT64_C(0x100000)

struct boot_area {
	struct memory *memory;
	uint64_t next, end;
	int error; /* the first failure sticks; check it once at the end */
};

struct boot_area boot_area(const struct boot_config *config);

/* Puts `count` bytes (NULL: zeros) at the next multiple of `align` and returns the address; 0 after
 * a failure. */
uint64_t boot_area_put(struct boot_area *area, const void *bytes, uint64_t count, uint64_t align);

/* Puts a string with its NUL. */
uint64_t boot_area_put_string(struct boot_area *area, const char *text);

/* The descriptor table of boot_entry.gdt: selector 0x10 code of that mode, 0x18 data, 0x20 task
 * state. */
uint64_t boot_area_descriptors(struct boot_area *area, enum boot_mode mode);

/* Page tables that map the first 4 GiB one to one in pages of 2 MiB. */
uint64_t boot_area_page_tables(struct boot_area *area);

/* Adds descriptors and, for long mode, page tables for the entry, and reports the area's first
 * error. */
int boot_area_finish(struct boot_area *area, enum boot_mode mode, struct boot_entry *entry,
		     struct err *err);
