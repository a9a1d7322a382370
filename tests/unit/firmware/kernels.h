/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small kernels of every boot protocol, whole and sound, and a machine's memory to load them into.
 * Tests break them by rows of a table: a number put somewhere, or the file cut.
 */
#pragma once

#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "firmware/loader.h"

#define KERNEL_BYTES_MAX 16384
#define KERNEL_LOAD      UINT64_C(0x200000)
#define KERNEL_MEMORY    (16 * MIB)
/* What the payload consists of. */
#define KERNEL_FILL 0x90

struct test_kernel {
	size_t size;
	uint8_t bytes[KERNEL_BYTES_MAX];
};

/* A change that breaks a kernel, and what the loader must say. */
struct kernel_damage {
	const char *what;
	unsigned offset, size;
	uint64_t value;
	size_t cut; /* the file ends here; 0: not cut */
	int code;
	const char *words; /* part of the message */
};

struct boot_fixture {
	struct memory *memory;
	struct e820_map map;
	struct boot_files files;
	struct boot_config config;
	struct boot_entry entry;
};

static inline void boot_fixture_init(struct boot_fixture *f, const struct loader_ops *loader,
				     const void *bytes, size_t size)
{
	struct memory_config memory = { .size = KERNEL_MEMORY };

	*f = (struct boot_fixture){ 0 };
	check(!memory_new(&f->memory, &memory, NULL));
	e820_add(&f->map, 0, 0x9fc00, E820_RAM);
	e820_add(&f->map, 0x9fc00, 0x60400, E820_RESERVED);
	e820_add(&f->map, MIB, KERNEL_MEMORY - 2 * MIB, E820_RAM);
	e820_add(&f->map, KERNEL_MEMORY - MIB, MIB, E820_ACPI);
	f->files.loader = loader;
	check(!image_from_bytes(&f->files.kernel, "kernel", bytes, size));
	f->config = (struct boot_config){
		.memory = f->memory,
		.map = &f->map,
		.cmdline = "console=ttyS0",
		.rsdp = 0xe0000,
		.seed = { 1, 2, 3 },
	};
}

/* Gives it an initrd (or module), borrowed. */
static inline void boot_fixture_add_module(struct boot_fixture *f, const void *bytes, size_t size)
{
	f->files.modules = calloc(1, sizeof(*f->files.modules));
	check(f->files.modules);
	check(!image_from_bytes(f->files.modules, "initrd", bytes, size));
	f->files.module_count = 1;
}

static inline void boot_fixture_fini(struct boot_fixture *f)
{
	boot_files_close(&f->files);
	memory_free(f->memory);
}

static inline const uint8_t *boot_fixture_at(const struct boot_fixture *f, uint64_t address,
					     uint64_t count)
{
	const uint8_t *host = memory_map(f->memory, GPA(address), count);

	check(host);
	return host;
}

static inline void kernel_damage(struct test_kernel *kernel, const struct kernel_damage *damage)
{
	le_put(kernel->bytes + damage->offset, damage->value, damage->size);
	if (damage->cut)
		kernel->size = damage->cut;
}

/* One setup sector and 4096 bytes of 64-bit kernel, protocol 2.15. */
static inline void kernel_linux(struct test_kernel *kernel)
{
	uint8_t *p = kernel->bytes;

	memset(kernel, 0, sizeof(*kernel));
	kernel->size = 1024 + 4096;
	p[0x1f1] = 1;
	le32_put(p + 0x1f4, 4096 / 16);
	le16_put(p + 0x1fe, 0xaa55);
	p[0x200] = 0xeb;
	p[0x201] = 0x6a;
	le32_put(p + 0x202, 0x53726448);
	le16_put(p + 0x206, 0x20f);
	p[0x211] = 1;
	le32_put(p + 0x214, 0x100000);
	le32_put(p + 0x22c, 0x7fffffff);
	p[0x234] = 1;
	le16_put(p + 0x236, 3);
	le32_put(p + 0x238, 2047);
	le64_put(p + 0x258, KERNEL_LOAD);
	le32_put(p + 0x260, 0x10000);
	memset(p + 1024, KERNEL_FILL, 4096);
}

/* One load segment of 256 bytes in the file and 8192 in memory. */
static inline void kernel_elf64(struct test_kernel *kernel)
{
	uint8_t *p = kernel->bytes;

	memset(kernel, 0, sizeof(*kernel));
	kernel->size = 4096 + 256;
	memcpy(p, "\177ELF\2\1\1", 7);
	le16_put(p + 16, 2);
	le16_put(p + 18, 62);
	le32_put(p + 20, 1);
	le64_put(p + 24, KERNEL_LOAD + 16);
	le64_put(p + 32, 64);
	le16_put(p + 52, 64);
	le16_put(p + 54, 56);
	le16_put(p + 56, 2);
	le32_put(p + 64, 1);
	le64_put(p + 72, 4096);
	le64_put(p + 80, UINT64_C(0xffffffff80200000));
	le64_put(p + 88, KERNEL_LOAD);
	le64_put(p + 96, 256);
	le64_put(p + 104, 8192);
	memset(p + 4096, KERNEL_FILL, 256);
}

/* The same of 32 bits. */
static inline void kernel_elf32(struct test_kernel *kernel)
{
	uint8_t *p = kernel->bytes;

	memset(kernel, 0, sizeof(*kernel));
	kernel->size = 4096 + 256;
	memcpy(p, "\177ELF\1\1\1", 7);
	le16_put(p + 16, 2);
	le16_put(p + 18, 3);
	le32_put(p + 20, 1);
	le32_put(p + 24, KERNEL_LOAD + 16);
	le32_put(p + 28, 52);
	le16_put(p + 42, 32);
	le16_put(p + 44, 1);
	le32_put(p + 52, 1);
	le32_put(p + 56, 4096);
	le32_put(p + 60, KERNEL_LOAD);
	le32_put(p + 64, KERNEL_LOAD);
	le32_put(p + 68, 256);
	le32_put(p + 72, 8192);
	memset(p + 4096, KERNEL_FILL, 256);
}

/* kernel_elf64() with a note segment, at file offset 1024, that gives a 32-bit entry point. */
static inline void kernel_pvh(struct test_kernel *kernel)
{
	uint8_t *p = kernel->bytes;

	kernel_elf64(kernel);
	le32_put(p + 120, 4);
	le64_put(p + 128, 1024);
	le64_put(p + 152, 36);
	le64_put(p + 168, 4);
	le32_put(p + 1024, 4);
	le32_put(p + 1028, 0);
	le32_put(p + 1032, 6);
	memcpy(p + 1036, "Xen", 4);
	le32_put(p + 1040, 4);
	le32_put(p + 1044, 4);
	le32_put(p + 1048, 18);
	memcpy(p + 1052, "Xen", 4);
	le32_put(p + 1056, KERNEL_LOAD + 32);
}

static inline void kernel_put_multiboot(uint8_t *p, uint32_t flags)
{
	le32_put(p, 0x1badb002);
	le32_put(p + 4, flags);
	le32_put(p + 8, -(0x1badb002 + flags));
}

/* kernel_elf32() with a Multiboot header at file offset 2048. */
static inline void kernel_multiboot_elf(struct test_kernel *kernel)
{
	kernel_elf32(kernel);
	kernel_put_multiboot(kernel->bytes + 2048, 3);
}

/* A flat file that loads from its byte 512 on and has its Multiboot header at 1024. */
static inline void kernel_multiboot_flat(struct test_kernel *kernel)
{
	uint8_t *p = kernel->bytes;

	memset(kernel, 0, sizeof(*kernel));
	kernel->size = 4096;
	memset(p + 512, KERNEL_FILL, kernel->size - 512);
	kernel_put_multiboot(p + 1024, 0x10003);
	le32_put(p + 1036, KERNEL_LOAD + 512);
	le32_put(p + 1040, KERNEL_LOAD);
	le32_put(p + 1044, KERNEL_LOAD + 2048);
	le32_put(p + 1048, KERNEL_LOAD + 8192);
	le32_put(p + 1052, KERNEL_LOAD + 1024);
}
