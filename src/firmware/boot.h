/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting a kernel without firmware: what is to be loaded, what the loaders share, and how the
 * first processor enters.
 *
 *	rc = boot_files_open(&files, "bzImage", "initrd.img", err);	// loader by magic
 *	...
 *	rc = boot_load(&files, &config, &entry, err);	// at power-on and at every reset
 *	boot_entry_apply(&entry, &state);		// on top of vcpu_state_reset()
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "firmware/e820.h"
#include "firmware/image.h"
#include "vm/memory.h"
#include "vm/vcpu_state.h"

#define BOOT_SEED_BYTES  32
#define BOOT_MODULES_MAX 64

struct loader_ops;

/* The opened files of one guest kernel. */
struct boot_files {
	const struct loader_ops *loader;
	struct image kernel;
	struct image *modules; /* the initrd, or Multiboot's modules */
	size_t module_count;
};

/*
 * Opens the kernel and what belongs to it, and finds its loader. `initrd`: a path; for a Multiboot
 * kernel a list "path arguments,path …" in which a doubled comma is one of a name; NULL: none.
 * Caller closes. Errors name the file.
 */
int boot_files_open(struct boot_files *ret_files, const char *kernel, const char *initrd,
		    struct err *err);
void boot_files_close(struct boot_files *files);

/* What a loader may know of the machine. */
struct boot_config {
	struct memory *memory;
	const struct e820_map *map;
	const char *cmdline;
	uint64_t rsdp;                 /* where the ACPI root pointer is; 0: no ACPI */
	uint8_t seed[BOOT_SEED_BYTES]; /* fresh random bytes for the guest's generator */
};

enum boot_mode { BOOT_PROTECTED, BOOT_LONG };

/* The first processor's registers where they differ from reset. */
struct boot_entry {
	enum boot_mode
		mode; /* flat 32-bit segments without paging, or identity-mapped 64-bit mode */
	uint64_t rip;
	uint64_t cr3; /* BOOT_LONG */
	uint64_t gdt; /* flat descriptors: 0x10 code, 0x18 data, 0x20 task state */
	uint64_t gpr[GPR_COUNT];
};

/*
 * Puts everything into guest memory and says where to start. Errors name the file and what is wrong
 * with it, memory may then be partly written. Loop thread, no vCPU runs.
 */
int boot_load(const struct boot_files *files, const struct boot_config *config,
	      struct boot_entry *ret_entry, struct err *err);

/*
 * What firmware leaves in every processor, on top of vcpu_state_reset(): write-back memory by
 * default; on the first one, the PIC pair at its local APIC (virtual wire mode). Spec:
 * MultiProcessor Specification 1.4, section 3.6.2.2.
 */
void boot_firmware_apply(struct vcpu_state *state);

void boot_entry_apply(const struct boot_entry *entry, struct vcpu_state *state);
