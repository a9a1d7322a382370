/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loaders: what the guest finds in memory and registers, and that no broken kernel gets past. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "kernels.h"
#include "x86/registers.h"

static void load(struct boot_fixture *f, const struct loader_ops *loader,
		 struct test_kernel *kernel)
{
	struct err err = ERR_INIT;

	boot_fixture_init(f, loader, kernel->bytes, kernel->size);
	assert_true(loader->probe(&f->files.kernel, kernel->bytes, kernel->size));
	if (boot_load(&f->files, &f->config, &f->entry, &err))
		fail_msg("%s", err.text);
}

static void assert_filled(const struct boot_fixture *f, uint64_t address, size_t count,
			  uint8_t byte)
{
	const uint8_t *p = boot_fixture_at(f, address, count);

	for (size_t i = 0; i < count; i++)
		assert_int_equal(p[i], byte);
}

static void linux_of_64_bits_enters_long_mode(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;
	const uint8_t *page, *seed;

	(void)state;
	kernel_linux(&kernel);
	load(&f, &linux_loader, &kernel);
	assert_int_equal(f.entry.mode, BOOT_LONG);
	assert_int_equal(f.entry.rip, KERNEL_LOAD + 0x200);
	assert_filled(&f, KERNEL_LOAD, 4096, KERNEL_FILL);
	page = boot_fixture_at(&f, f.entry.gpr[GPR_RSI], 4096);
	assert_int_equal(le64_get(page + 0x70), 0xe0000);
	assert_int_equal(page[0x1e8], f.map.count);
	assert_int_equal(le64_get(page + 0x2d0 + 40), MIB);
	assert_int_equal(page[0x210], 0xff);
	assert_int_equal(page[0x1ef], 0);
	assert_memory_equal(boot_fixture_at(&f, le32_get(page + 0x228), 14), "console=ttyS0", 14);
	seed = boot_fixture_at(&f, le64_get(page + 0x250), 48);
	assert_int_equal(le64_get(seed), 0);
	assert_int_equal(le32_get(seed + 8), 9);
	assert_int_equal(le32_get(seed + 12), 32);
	assert_memory_equal(seed + 16, f.config.seed, 32);
	boot_fixture_fini(&f);
}

static void linux_of_32_bits_enters_protected_mode(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;

	(void)state;
	kernel_linux(&kernel);
	le16_put(kernel.bytes + 0x206, 0x206);
	load(&f, &linux_loader, &kernel);
	assert_int_equal(f.entry.mode, BOOT_PROTECTED);
	assert_int_equal(f.entry.rip, MIB);
	boot_fixture_fini(&f);
}

static void linux_with_initrd_has_it_at_the_top(void **state)
{
	static const struct {
		uint32_t limit;
		size_t bytes;
		uint64_t base;
	} cases[] = {
		{ 0x7fffffff, 5000, KERNEL_MEMORY - MIB - 8192 },
		{ 0x7fffff, 4096, 8 * MIB - 4096 },
		/* Only there is room beside the kernel, and this one takes it anywhere. */
		{ 0x200fff, 2 * MIB, KERNEL_MEMORY - 3 * MIB },
	};
	static uint8_t initrd[2 * MIB];
	struct test_kernel kernel;

	(void)state;
	memset(initrd, 0x5a, sizeof(initrd));
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot_fixture f;
		const uint8_t *page;

		kernel_linux(&kernel);
		le32_put(kernel.bytes + 0x22c, cases[i].limit);
		boot_fixture_init(&f, &linux_loader, kernel.bytes, kernel.size);
		boot_fixture_add_module(&f, initrd, cases[i].bytes);
		assert_int_equal(boot_load(&f.files, &f.config, &f.entry, NULL), 0);
		page = boot_fixture_at(&f, f.entry.gpr[GPR_RSI], 4096);
		assert_int_equal(le32_get(page + 0x218), cases[i].base);
		assert_int_equal(le32_get(page + 0x21c), cases[i].bytes);
		assert_filled(&f, cases[i].base, cases[i].bytes, 0x5a);
		boot_fixture_fini(&f);
	}
}

static void linux_with_huge_initrd_is_refused(void **state)
{
	static uint8_t initrd[KERNEL_MEMORY];
	struct test_kernel kernel;
	struct boot_fixture f;
	struct err err = ERR_INIT;

	(void)state;
	kernel_linux(&kernel);
	boot_fixture_init(&f, &linux_loader, kernel.bytes, kernel.size);
	boot_fixture_add_module(&f, initrd, sizeof(initrd));
	assert_int_equal(boot_load(&f.files, &f.config, &f.entry, &err), -ENOMEM);
	assert_non_null(strstr(err.text, "'initrd'"));
	boot_fixture_fini(&f);
}

static void linux_with_long_command_line_is_refused(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;
	struct err err = ERR_INIT;
	char cmdline[3000];

	(void)state;
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[sizeof(cmdline) - 1] = '\0';
	kernel_linux(&kernel);
	boot_fixture_init(&f, &linux_loader, kernel.bytes, kernel.size);
	f.config.cmdline = cmdline;
	assert_int_equal(boot_load(&f.files, &f.config, &f.entry, &err), -E2BIG);
	assert_non_null(strstr(err.text, "2047"));
	boot_fixture_fini(&f);
}

static void elf_of_either_class_enters_its_mode(void **state)
{
	static const struct {
		void (*make)(struct test_kernel *kernel);
		enum boot_mode mode;
	} cases[] = { { kernel_elf32, BOOT_PROTECTED }, { kernel_elf64, BOOT_LONG } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct test_kernel kernel;
		struct boot_fixture f;
		const uint8_t *page;

		cases[i].make(&kernel);
		load(&f, &elf_loader, &kernel);
		assert_int_equal(f.entry.mode, cases[i].mode);
		assert_int_equal(f.entry.rip, KERNEL_LOAD + 16);
		assert_filled(&f, KERNEL_LOAD, 256, KERNEL_FILL);
		assert_filled(&f, KERNEL_LOAD + 256, 8192 - 256, 0);
		page = boot_fixture_at(&f, f.entry.gpr[GPR_RSI], 4096);
		assert_int_equal(le32_get(page + 0x202), 0x53726448);
		boot_fixture_fini(&f);
	}
}

static void elf_with_virtual_entry_starts_at_its_physical_address(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;

	(void)state;
	kernel_elf64(&kernel);
	le64_put(kernel.bytes + 24, UINT64_C(0xffffffff80200040));
	load(&f, &elf_loader, &kernel);
	assert_int_equal(f.entry.rip, KERNEL_LOAD + 0x40);
	boot_fixture_fini(&f);
}

static void pvh_with_initrd_has_start_info(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;
	const uint8_t *start, *module;

	(void)state;
	kernel_pvh(&kernel);
	boot_fixture_init(&f, &pvh_loader, kernel.bytes, kernel.size);
	boot_fixture_add_module(&f, "abcd", 4);
	assert_true(pvh_loader.probe(&f.files.kernel, kernel.bytes, kernel.size));
	assert_int_equal(boot_load(&f.files, &f.config, &f.entry, NULL), 0);
	assert_int_equal(f.entry.mode, BOOT_PROTECTED);
	assert_int_equal(f.entry.rip, KERNEL_LOAD + 32);
	start = boot_fixture_at(&f, f.entry.gpr[GPR_RBX], 56);
	assert_int_equal(le32_get(start), 0x336ec578);
	assert_int_equal(le32_get(start + 4), 1);
	assert_int_equal(le32_get(start + 12), 1);
	module = boot_fixture_at(&f, le64_get(start + 16), 32);
	assert_memory_equal(boot_fixture_at(&f, le64_get(module), 4), "abcd", 4);
	assert_int_equal(le64_get(module + 8), 4);
	assert_memory_equal(boot_fixture_at(&f, le64_get(start + 24), 14), "console=ttyS0", 14);
	assert_int_equal(le64_get(start + 32), 0xe0000);
	assert_int_equal(le32_get(start + 48), f.map.count);
	assert_int_equal(le64_get(boot_fixture_at(&f, le64_get(start + 40) + 48, 8)), MIB);
	boot_fixture_fini(&f);
}

static void multiboot_with_module_has_information(void **state)
{
	static const struct {
		void (*make)(struct test_kernel *kernel);
		uint64_t entry, filled;
	} cases[] = {
		{ kernel_multiboot_elf, KERNEL_LOAD + 16, 256 },
		{ kernel_multiboot_flat, KERNEL_LOAD + 1024, 512 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct test_kernel kernel;
		struct boot_fixture f;
		const uint8_t *info, *module;

		cases[i].make(&kernel);
		boot_fixture_init(&f, &multiboot_loader, kernel.bytes, kernel.size);
		boot_fixture_add_module(&f, "abcd", 4);
		f.files.modules->args = strdup("one two");
		assert_true(multiboot_loader.probe(&f.files.kernel, kernel.bytes, kernel.size));
		assert_int_equal(boot_load(&f.files, &f.config, &f.entry, NULL), 0);
		assert_int_equal(f.entry.gpr[GPR_RAX], 0x2badb002);
		assert_int_equal(f.entry.rip, cases[i].entry);
		assert_filled(&f, KERNEL_LOAD, cases[i].filled, KERNEL_FILL);
		assert_filled(&f, KERNEL_LOAD + 4096, 4096, 0);
		info = boot_fixture_at(&f, f.entry.gpr[GPR_RBX], 120);
		assert_int_equal(le32_get(info) & 0x24d, 0x24d);
		assert_int_equal(le32_get(info + 4), 639);
		assert_int_equal(le32_get(info + 8), (KERNEL_MEMORY - 2 * MIB) / KIB);
		assert_memory_equal(boot_fixture_at(&f, le32_get(info + 16), 21),
				    "kernel console=ttyS0", 21);
		assert_int_equal(le32_get(info + 20), 1);
		module = boot_fixture_at(&f, le32_get(info + 24), 16);
		assert_int_equal(le32_get(module), KERNEL_LOAD + 8192);
		assert_int_equal(le32_get(module + 4), KERNEL_LOAD + 8192 + 4);
		assert_memory_equal(boot_fixture_at(&f, le32_get(module + 8), 15), "initrd one two",
				    15);
		assert_int_equal(le32_get(info + 44), f.map.count * 24);
		boot_fixture_fini(&f);
	}
}

static void multiboot_in_conventional_memory_lies_above_its_information(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;

	(void)state;
	kernel_multiboot_elf(&kernel);
	le32_put(kernel.bytes + 64, 0x8000);
	load(&f, &multiboot_loader, &kernel);
	assert_int_equal(f.entry.rip, 0x8010);
	assert_filled(&f, 0x8000, 256, KERNEL_FILL);
	assert_true(f.entry.gpr[GPR_RBX] + 120 <= 0x8000);
	assert_true(f.entry.gdt < 0x8000);
	boot_fixture_fini(&f);
}

struct broken_case {
	const struct loader_ops *loader;
	void (*make)(struct test_kernel *kernel);
	struct kernel_damage damage;
};

static const struct broken_case broken[] = {
	{ &linux_loader, kernel_linux, { "old protocol", 0x206, 2, 0x205, 0, -ENOEXEC, "2.05" } },
	{ &linux_loader, kernel_linux, { "no magic", 0x202, 4, 0, 0, -ENOEXEC, "setup header" } },
	{ &linux_loader, kernel_linux, { "zImage", 0x211, 1, 0, 0, -ENOEXEC, "below 1 MiB" } },
	{ &linux_loader, kernel_linux, { "no payload", 0x1f4, 4, 0, 0, -ENOEXEC, "protected" } },
	{ &linux_loader,
	  kernel_linux,
	  { "huge payload", 0x1f4, 4, UINT32_MAX, 0, -ENODATA, "truncated" } },
	{ &linux_loader, kernel_linux, { "cut payload", 0, 0, 0, 2000, -ENODATA, "truncated" } },
	{ &linux_loader, kernel_linux, { "cut setup", 0, 0, 0, 800, -ENODATA, "truncated" } },
	{ &linux_loader, kernel_linux, { "cut header", 0, 0, 0, 0x210, -ENODATA, "truncated" } },
	{ &linux_loader,
	  kernel_linux,
	  { "far address", 0x258, 8, UINT64_MAX - 0xfff, 0, -ENOMEM, "no usable memory" } },
	{ &linux_loader,
	  kernel_linux,
	  { "low address", 0x258, 8, 0x1000, 0, -ENOMEM, "no usable memory" } },
	{ &linux_loader,
	  kernel_linux,
	  { "into ACPI", 0x258, 8, KERNEL_MEMORY - MIB - 4096, 0, -ENOMEM, "no usable memory" } },
	{ &linux_loader,
	  kernel_linux,
	  { "huge init_size", 0x260, 4, UINT32_MAX, 0, -ENOMEM, "no usable memory" } },

	{ &elf_loader, kernel_elf64, { "class", 4, 1, 3, 0, -ENOEXEC, "class" } },
	{ &elf_loader, kernel_elf64, { "big endian", 5, 1, 2, 0, -ENOEXEC, "little-endian" } },
	{ &elf_loader, kernel_elf64, { "object file", 16, 2, 1, 0, -ENOEXEC, "executable" } },
	{ &elf_loader, kernel_elf64, { "for ARM", 18, 2, 183, 0, -ENOEXEC, "x86" } },
	{ &elf_loader, kernel_elf64, { "i386 of 64 bits", 18, 2, 3, 0, -ENOEXEC, "x86" } },
	{ &elf_loader, kernel_elf64, { "header size", 54, 2, 32, 0, -ENOEXEC, "wrong size" } },
	{ &elf_loader, kernel_elf64, { "no headers", 56, 2, 0, 0, -ENOEXEC, "no program" } },
	{ &elf_loader, kernel_elf64, { "many headers", 56, 2, 65535, 0, -ENOEXEC, "too many" } },
	{ &elf_loader,
	  kernel_elf64,
	  { "headers far", 32, 8, UINT64_MAX - 8, 0, -ENODATA, "truncated" } },
	{ &elf_loader, kernel_elf64, { "no segment", 64, 4, 0, 0, -ENOEXEC, "nothing to load" } },
	{ &elf_loader, kernel_elf64, { "bytes far", 72, 8, UINT64_MAX, 0, -ENODATA, "truncated" } },
	{ &elf_loader,
	  kernel_elf64,
	  { "file over memory", 96, 8, UINT64_MAX, 0, -ENOEXEC, "more bytes" } },
	{ &elf_loader,
	  kernel_elf64,
	  { "memory wraps", 104, 8, UINT64_MAX, 0, -ENOMEM, "no usable memory" } },
	{ &elf_loader,
	  kernel_elf64,
	  { "below 1 MiB", 88, 8, 0x8000, 0, -ENOMEM, "no usable memory" } },
	{ &elf_loader,
	  kernel_elf64,
	  { "behind memory", 88, 8, GIB, 0, -ENOMEM, "no usable memory" } },
	{ &elf_loader, kernel_elf64, { "entry", 24, 8, 0x1234, 0, -ENOEXEC, "entry point" } },
	{ &elf_loader, kernel_elf64, { "cut segment", 0, 0, 0, 4100, -ENODATA, "truncated" } },
	{ &elf_loader, kernel_elf64, { "cut headers", 0, 0, 0, 100, -ENODATA, "truncated" } },
	{ &elf_loader, kernel_elf64, { "cut header", 0, 0, 0, 60, -ENODATA, "truncated" } },
	{ &elf_loader,
	  kernel_elf32,
	  { "far segment", 64, 4, UINT32_MAX, 0, -ENOMEM, "no usable memory" } },

	{ &pvh_loader,
	  kernel_pvh,
	  { "entry outside", 1056, 4, 0xfffffff0, 0, -ENOEXEC, "entry point" } },
	{ &pvh_loader, kernel_pvh, { "entry low", 1056, 4, 0x1000, 0, -ENOEXEC, "entry point" } },
	{ &pvh_loader,
	  kernel_pvh,
	  { "note wraps", 1024, 4, UINT32_MAX, 0, -ENOEXEC, "entry point" } },
	{ &pvh_loader,
	  kernel_pvh,
	  { "value wraps", 1028, 4, UINT32_MAX, 0, -ENOEXEC, "entry point" } },
	{ &pvh_loader, kernel_pvh, { "note of 2 bytes", 1044, 4, 2, 0, -ENOEXEC, "entry point" } },
	{ &pvh_loader,
	  kernel_pvh,
	  { "notes far", 128, 8, UINT64_MAX - 4, 0, -ENOEXEC, "entry point" } },
	{ &pvh_loader, kernel_pvh, { "huge notes", 152, 8, GIB, 0, -ENOEXEC, "entry point" } },

	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "no header", 1024, 4, 0, 0, -ENOEXEC, "no Multiboot header" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "checksum", 1032, 4, 1, 0, -ENOEXEC, "no Multiboot header" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "cut in header", 0, 0, 0, 1040, -ENODATA, "truncated" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "before the file", 1036, 4, KERNEL_LOAD + 2048, 0, -ENOEXEC, "before its own" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "header before load", 1036, 4, KERNEL_LOAD - 4, 0, -ENOEXEC, "before its own" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "end before load", 1044, 4, KERNEL_LOAD, 0, -ENOEXEC, "contradicting" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "bss before end", 1048, 4, KERNEL_LOAD + 8, 0, -ENOEXEC, "contradicting" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "entry outside", 1052, 4, KERNEL_LOAD + 8192, 0, -ENOEXEC, "contradicting" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "end behind file", 1044, 4, KERNEL_LOAD + 8000, 0, -ENODATA, "truncated" } },
	{ &multiboot_loader,
	  kernel_multiboot_elf,
	  { "over what it is told", 64, 4, 0x7000, 0, -ENOMEM, "no usable memory" } },
	{ &multiboot_loader,
	  kernel_multiboot_flat,
	  { "bss behind memory", 1048, 4, UINT32_MAX, 0, -ENOMEM, "no usable memory" } },
	{ &multiboot_loader,
	  kernel_multiboot_elf,
	  { "no entry", 24, 4, 0, 0, -ENOEXEC, "entry point" } },
};

static void broken_kernels_are_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(broken); i++) {
		const struct broken_case *c = &broken[i];
		struct err err = ERR_INIT;
		struct test_kernel kernel;
		struct boot_fixture f;
		uint8_t *exact;
		int rc;

		c->make(&kernel);
		kernel_damage(&kernel, &c->damage);
		/* On the heap without a byte to spare, so that reading behind it is seen. */
		exact = malloc(kernel.size);
		memcpy(exact, kernel.bytes, kernel.size);
		boot_fixture_init(&f, c->loader, exact, kernel.size);
		rc = boot_load(&f.files, &f.config, &f.entry, &err);
		if (rc != c->damage.code || !strstr(err.text, c->damage.words))
			fail_msg("%s, %s: %d '%s'", c->loader->name, c->damage.what, rc, err.text);
		boot_fixture_fini(&f);
		free(exact);
	}
}

static void multiboot_with_unknown_requirement_is_refused(void **state)
{
	struct test_kernel kernel;
	struct boot_fixture f;
	struct err err = ERR_INIT;

	(void)state;
	kernel_multiboot_flat(&kernel);
	kernel_put_multiboot(kernel.bytes + 1024, 0x10103);
	boot_fixture_init(&f, &multiboot_loader, kernel.bytes, kernel.size);
	assert_int_equal(boot_load(&f.files, &f.config, &f.entry, &err), -ENOEXEC);
	assert_non_null(strstr(err.text, "0x100"));
	boot_fixture_fini(&f);
}

static void probes_with_every_kernel_take_their_own(void **state)
{
	static const struct {
		void (*make)(struct test_kernel *kernel);
		const struct loader_ops *first;
	} cases[] = {
		{ kernel_linux, &linux_loader },
		{ kernel_multiboot_elf, &multiboot_loader },
		{ kernel_multiboot_flat, &multiboot_loader },
		{ kernel_pvh, &pvh_loader },
		{ kernel_elf64, &elf_loader },
		{ kernel_elf32, &elf_loader },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		char path[] = "/tmp/cella-kernel-XXXXXX";
		struct boot_files files;
		struct test_kernel kernel;
		int fd = mkstemp(path);

		cases[i].make(&kernel);
		assert_int_equal(write(fd, kernel.bytes, kernel.size), kernel.size);
		close(fd);
		assert_int_equal(boot_files_open(&files, path, NULL, NULL), 0);
		assert_ptr_equal(files.loader, cases[i].first);
		boot_files_close(&files);
		unlink(path);
	}
}

static void files_that_are_wrong_are_refused_by_name(void **state)
{
	static const struct {
		const char *kernel, *initrd;
		int code;
		const char *words;
	} cases[] = {
		{ "/nonexistent/vmlinuz", NULL, -ENOENT,
		  "kernel: cannot open '/nonexistent/vmlinuz'" },
		{ "/tmp", NULL, -EISDIR, "'/tmp' is a directory" },
		{ "/dev/null", NULL, -EINVAL, "not a regular file" },
		{ "/etc/passwd", NULL, -ENOEXEC, "'/etc/passwd' is not a kernel" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot_files files;
		struct err err = ERR_INIT;

		assert_int_equal(boot_files_open(&files, cases[i].kernel, cases[i].initrd, &err),
				 cases[i].code);
		assert_non_null(strstr(err.text, cases[i].words));
	}
}

static void modules_of_a_list_have_names_and_arguments(void **state)
{
	char kernel_path[] = "/tmp/cella-kernel-XXXXXX", module_path[] = "/tmp/cella,mod-XXXXXX";
	struct test_kernel kernel;
	struct boot_files files;
	int fd = mkstemp(kernel_path), module_fd = mkstemp(module_path);
	char list[200];

	(void)state;
	kernel_multiboot_flat(&kernel);
	assert_int_equal(write(fd, kernel.bytes, kernel.size), kernel.size);
	assert_int_equal(write(module_fd, "m", 1), 1);
	close(fd);
	close(module_fd);
	snprintf(list, sizeof(list), "/tmp/cella,,%s a b,,c,%s", module_path + 11, kernel_path);
	assert_int_equal(boot_files_open(&files, kernel_path, list, NULL), 0);
	assert_int_equal(files.module_count, 2);
	assert_string_equal(files.modules[0].name, module_path);
	assert_string_equal(files.modules[0].args, "a b,c");
	assert_string_equal(files.modules[1].name, kernel_path);
	assert_null(files.modules[1].args);
	boot_files_close(&files);
	unlink(kernel_path);
	unlink(module_path);
}

static void entry_of_each_mode_sets_registers(void **state)
{
	static struct vcpu_state vcpu;
	struct boot_entry entry = { .mode = BOOT_LONG, .rip = 0x200, .cr3 = 0x3000, .gdt = 0x1000 };

	(void)state;
	vcpu_state_reset(&vcpu, 0, 0, 832);
	boot_entry_apply(&entry, &vcpu);
	assert_int_equal(vcpu.cr0 & (CR0_PE | CR0_PG), CR0_PE | CR0_PG);
	assert_int_equal(vcpu.efer, EFER_LME | EFER_LMA);
	assert_int_equal(vcpu.cr3, 0x3000);
	assert_int_equal(vcpu.segments[SEG_CS].attributes, 0xa09b);
	assert_int_equal(vcpu.segments[SEG_SS].limit, UINT32_MAX);
	entry.mode = BOOT_PROTECTED;
	vcpu_state_reset(&vcpu, 0, 0, 832);
	boot_entry_apply(&entry, &vcpu);
	assert_int_equal(vcpu.cr0 & (CR0_PE | CR0_PG), CR0_PE);
	assert_int_equal(vcpu.efer, 0);
	assert_int_equal(vcpu.segments[SEG_CS].attributes, 0xc09b);
	assert_int_equal(vcpu.tr.attributes, 0x8b);
	assert_int_equal(vcpu.rflags, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(linux_of_64_bits_enters_long_mode),
		cmocka_unit_test(linux_of_32_bits_enters_protected_mode),
		cmocka_unit_test(linux_with_initrd_has_it_at_the_top),
		cmocka_unit_test(linux_with_huge_initrd_is_refused),
		cmocka_unit_test(linux_with_long_command_line_is_refused),
		cmocka_unit_test(elf_of_either_class_enters_its_mode),
		cmocka_unit_test(elf_with_virtual_entry_starts_at_its_physical_address),
		cmocka_unit_test(pvh_with_initrd_has_start_info),
		cmocka_unit_test(multiboot_with_module_has_information),
		cmocka_unit_test(multiboot_in_conventional_memory_lies_above_its_information),
		cmocka_unit_test(broken_kernels_are_refused_with_words),
		cmocka_unit_test(multiboot_with_unknown_requirement_is_refused),
		cmocka_unit_test(probes_with_every_kernel_take_their_own),
		cmocka_unit_test(files_that_are_wrong_are_refused_by_name),
		cmocka_unit_test(modules_of_a_list_have_names_and_arguments),
		cmocka_unit_test(entry_of_each_mode_sets_registers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
