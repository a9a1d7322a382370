/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finding a kernel's loader, opening its files, and entering it (see boot.h).
 *
 * Invariant: what a loader put into memory and `struct boot_entry` are all that the guest depends
 * on; nothing of an earlier boot remains in use.
 */
#include "firmware/boot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "firmware/loader.h"
#include "x86/msr.h"
#include "x86/registers.h"
#include "x86/segment.h"

/* A kernel may carry the marks of several protocols: the first that knows it takes it. */
static const struct loader_ops *const loaders[] = {
	&linux_loader,
	&multiboot_loader,
	&pvh_loader,
	&elf_loader,
};

static int find_loader(struct boot_files *files, struct err *err)
{
	uint8_t head[LOADER_HEAD_BYTES];
	size_t count = MIN(files->kernel.size, sizeof(head));
	int rc = image_read(&files->kernel, 0, head, count, err);

	if (rc)
		return rc;
	for (unsigned i = 0; i < ARRAY_SIZE(loaders); i++) {
		if (loaders[i]->probe(&files->kernel, head, count)) {
			files->loader = loaders[i];
			return 0;
		}
	}
	err_set(err, ENOEXEC, "'%s' is not a kernel", files->kernel.name);
	return err_hint(err, "give a Linux bzImage, an ELF file or a Multiboot kernel");
}

static int add_module(struct boot_files *files, const char *path, const char *args, struct err *err)
{
	struct image *image = &files->modules[files->module_count];
	int rc = image_open(image, path, err);

	if (rc)
		return rc;
	files->module_count++;
	if (!args)
		return 0;
	image->args = strdup(args);
	return image->args ? 0 : -ENOMEM;
}

/* Cuts the next item off the list at `*at` into `item`, which has room for all of it; false at the
 * end. */
static bool next_item(const char **at, char *item)
{
	const char *p = *at;

	if (!*p)
		return false;
	while (*p && !(*p == ',' && p[1] != ',')) {
		if (*p == ',')
			p++;
		*item++ = *p++;
	}
	*item = '\0';
	*at = *p ? p + 1 : p;
	return true;
}

static int open_list(struct boot_files *files, const char *list, struct err *err)
{
	char *item = malloc(strlen(list) + 1);
	int rc = item ? 0 : -ENOMEM;

	while (!rc && next_item(&list, item)) {
		char *args = strchr(item, ' ');

		if (args)
			*args++ = '\0';
		rc = files->module_count < BOOT_MODULES_MAX
			     ? add_module(files, item, args, err)
			     : err_set(err, E2BIG, "more than %d modules", BOOT_MODULES_MAX);
	}
	free(item);
	return rc;
}

static int open_modules(struct boot_files *files, const char *initrd, struct err *err)
{
	files->modules = calloc(BOOT_MODULES_MAX, sizeof(*files->modules));
	if (!files->modules)
		return -ENOMEM;
	if (files->loader->initrd_is_list)
		return open_list(files, initrd, err);
	return add_module(files, initrd, NULL, err);
}

int boot_files_open(struct boot_files *ret_files, const char *kernel, const char *initrd,
		    struct err *err)
{
	struct boot_files files = { 0 };
	int rc = image_open(&files.kernel, kernel, err);

	if (rc)
		return err_wrap(err, "kernel");
	rc = find_loader(&files, err);
	if (rc)
		err_wrap(err, "kernel");
	if (!rc && initrd) {
		rc = open_modules(&files, initrd, err);
		if (rc)
			err_wrap(err, "initrd");
	}
	if (rc) {
		boot_files_close(&files);
		return rc;
	}
	*ret_files = files;
	return 0;
}

void boot_files_close(struct boot_files *files)
{
	image_close(&files->kernel);
	for (size_t i = 0; i < files->module_count; i++)
		image_close(&files->modules[i]);
	free(files->modules);
	*files = (struct boot_files){ 0 };
}

int boot_load(const struct boot_files *files, const struct boot_config *config,
	      struct boot_entry *ret_entry, struct err *err)
{
	struct boot_entry entry = { 0 };
	int rc = files->loader->load(files, config, &entry, err);

	if (rc)
		return err_wrap(err, "%s", files->loader->name);
	*ret_entry = entry;
	return 0;
}

/* In long mode a task state descriptor takes two entries. */
#define DESCRIPTORS   6
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TASK 0x20

static uint64_t descriptor_of(enum boot_mode mode, unsigned index)
{
	switch (index) {
	case SELECTOR_CODE / 8:
		return descriptor_make(0, UINT32_MAX,
				       mode == BOOT_LONG ? SEGMENT_CODE64 : SEGMENT_CODE32);
	case SELECTOR_DATA / 8:
		return descriptor_make(0, UINT32_MAX, SEGMENT_DATA32);
	case SELECTOR_TASK / 8:
		return descriptor_make(0, 0x67, SEGMENT_P | SYSTEM_TSS_BUSY);
	default:
		return 0;
	}
}

uint64_t boot_area_descriptors(struct boot_area *area, enum boot_mode mode)
{
	uint8_t table[DESCRIPTORS * 8];

	for (unsigned i = 0; i < DESCRIPTORS; i++)
		le64_put(table + 8 * i, descriptor_of(mode, i));
	return boot_area_put(area, table, sizeof(table), 8);
}

int boot_area_finish(struct boot_area *area, enum boot_mode mode, struct boot_entry *entry,
		     struct err *err)
{
	entry->mode = mode;
	entry->gdt = boot_area_descriptors(area, mode);
	if (mode == BOOT_LONG)
		entry->cr3 = boot_area_page_tables(area);
	if (area->error == -ENOSPC)
		return err_set(err, E2BIG, "command line and tables exceed the low memory");
	if (area->error)
		return err_errno(err, area->error, "cannot write the boot tables");
	return 0;
}

static struct vcpu_segment loaded_segment(enum boot_mode mode, uint16_t selector)
{
	uint64_t descriptor = descriptor_of(mode, selector / 8);

	return (struct vcpu_segment){
		.limit = descriptor_limit(descriptor),
		.selector = selector,
		.attributes = descriptor_attributes(descriptor),
	};
}

/* Local APIC registers and values. Spec: SDM volume 3, sections 11.4.1 and 11.5.1. */
enum {
	APIC_BASE_BOOTSTRAP = 1 << 8,
	LAPIC_SVR = 0xf0,
	LAPIC_LINT0 = 0x350,
	LAPIC_LINT1 = 0x360,
	LAPIC_ENABLED = 0x1ff,
	LAPIC_EXTINT = 0x700,
	LAPIC_NMI = 0x400,
	MTRR_ENABLED = 1 << 11,
	MTRR_WRITE_BACK = 6,
};

void boot_firmware_apply(struct vcpu_state *state)
{
	struct vcpu_msr *mtrr = vcpu_state_msr(state, MSR_MTRR_DEF_TYPE);

	if (mtrr)
		mtrr->value = MTRR_ENABLED | MTRR_WRITE_BACK;
	if (!(state->apic_base & APIC_BASE_BOOTSTRAP))
		return;
	le32_put(state->lapic + LAPIC_SVR, LAPIC_ENABLED);
	le32_put(state->lapic + LAPIC_LINT0, LAPIC_EXTINT);
	le32_put(state->lapic + LAPIC_LINT1, LAPIC_NMI);
}

void boot_entry_apply(const struct boot_entry *entry, struct vcpu_state *state)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		state->segments[i] = loaded_segment(entry->mode, SELECTOR_DATA);
	state->segments[SEG_CS] = loaded_segment(entry->mode, SELECTOR_CODE);
	state->tr = loaded_segment(entry->mode, SELECTOR_TASK);
	state->gdtr = (struct vcpu_table_register){ entry->gdt, DESCRIPTORS * 8 - 1 };
	state->idtr = (struct vcpu_table_register){ 0 };
	state->rip = entry->rip;
	state->rflags = RFLAGS_FIXED;
	memcpy(state->gpr, entry->gpr, sizeof(state->gpr));
	state->cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (entry->mode == BOOT_LONG) {
		state->cr0 |= CR0_PG | CR0_WP;
		state->cr3 = entry->cr3;
		state->cr4 = CR4_PAE;
		state->efer = EFER_LME | EFER_LMA;
	}
	state->activity = VCPU_RUNNING;
}
