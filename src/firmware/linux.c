/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux kernels as bzImage, entered by the 64-bit boot protocol, or by the 32-bit one if that is
 * all they have.
 *
 * Spec: Linux Documentation/arch/x86/boot.rst, protocol 2.06 to 2.15.
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "firmware/linux_params.h"

enum {
	VERSION_MIN = 0x206,
	VERSION_PREF_ADDRESS = 0x20a, /* first with pref_address and init_size */
	VERSION_XLOADFLAGS = 0x20c,

	LOADFLAGS_LOADED_HIGH = 1 << 0,
	LOADFLAGS_KEEP_SEGMENTS = 1 << 6,
	XLF_KERNEL_64 = 1 << 0,
	XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1,

	SECTOR_BYTES = 512,
	ENTRY_64_OFFSET = 0x200, /* of the 64-bit entry point from the load address */
};

/* What the header says, checked. */
struct bzimage {
	uint64_t payload_offset, payload_bytes; /* of the protected-mode kernel in the file */
	uint64_t load_address;
	uint64_t run_bytes; /* from there on: what it needs until it has set up itself */
	bool entry_64, above_4g;
};

static bool linux_probe(const struct image *kernel, const uint8_t *head, size_t count)
{
	(void)kernel;
	return count >= LINUX_HEADER_END &&
	       le16_get(head + LINUX_BOOT_FLAG) == LINUX_BOOT_FLAG_VALUE &&
	       le32_get(head + LINUX_MAGIC) == LINUX_MAGIC_VALUE;
}

static int bad(const struct image *kernel, const char *what, struct err *err)
{
	return err_set(err, ENOEXEC, "'%s' is not a valid bzImage: %s", kernel->name, what);
}

/* Takes over the setup header, as far as the kernel has one and the zero page has room. */
static int read_header(const struct image *kernel, struct linux_params *params, struct err *err)
{
	uint8_t head[LINUX_HEADER_END];
	unsigned end;
	int rc = image_read(kernel, 0, head, sizeof(head), err);

	if (rc)
		return rc;
	if (!linux_probe(kernel, head, sizeof(head)))
		return bad(kernel, "no setup header", err);
	end = LINUX_MAGIC + head[LINUX_JUMP + 1];
	memcpy(params->page + LINUX_SETUP_SECTS, head + LINUX_SETUP_SECTS,
	       MIN(end, (unsigned)LINUX_HEADER_END) - LINUX_SETUP_SECTS);
	return 0;
}

static int check_header(const struct image *kernel, const struct linux_params *params,
			struct bzimage *bz, struct err *err)
{
	const uint8_t *page = params->page;
	unsigned version = le16_get(page + LINUX_VERSION);
	unsigned xloadflags = version >= VERSION_XLOADFLAGS ? le16_get(page + LINUX_XLOADFLAGS) : 0;
	/* A value of 0 stands for 4, by the protocol's history. */
	unsigned sectors = page[LINUX_SETUP_SECTS] ? page[LINUX_SETUP_SECTS] : 4;

	if (version < VERSION_MIN)
		return err_set(err, ENOEXEC,
			       "'%s' speaks boot protocol %u.%02u, at least 2.06 is needed",
			       kernel->name, version >> 8, version & 0xff);
	if (!(page[LINUX_LOADFLAGS] & LOADFLAGS_LOADED_HIGH))
		return bad(kernel, "it loads below 1 MiB", err);
	bz->payload_offset = (sectors + 1) * SECTOR_BYTES;
	bz->payload_bytes = UINT64_C(16) * le32_get(page + LINUX_SYSSIZE);
	if (bz->payload_bytes <= ENTRY_64_OFFSET)
		return bad(kernel, "it has no protected-mode part", err);
	/* The size is in paragraphs, and nothing pads the file to a whole one. */
	if (kernel->size < bz->payload_offset ||
	    kernel->size - bz->payload_offset + 15 < bz->payload_bytes)
		return err_set(err, ENODATA, "'%s' is truncated: %llu bytes of %llu", kernel->name,
			       (unsigned long long)kernel->size,
			       (unsigned long long)(bz->payload_offset + bz->payload_bytes));
	bz->payload_bytes = MIN(bz->payload_bytes, kernel->size - bz->payload_offset);
	bz->entry_64 = xloadflags & XLF_KERNEL_64;
	bz->above_4g = xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G;
	bz->load_address = le32_get(page + LINUX_CODE32_START);
	bz->run_bytes = bz->payload_bytes;
	if (version >= VERSION_PREF_ADDRESS) {
		bz->run_bytes = MAX(bz->run_bytes, le32_get(page + LINUX_INIT_SIZE));
		if (page[LINUX_RELOCATABLE])
			bz->load_address = le64_get(page + LINUX_PREF_ADDRESS);
	}
	return 0;
}

static int check_cmdline(const struct image *kernel, const struct linux_params *params,
			 const char *cmdline, struct err *err)
{
	uint32_t limit = le32_get(params->page + LINUX_CMDLINE_SIZE);

	if (strlen(cmdline) <= limit)
		return 0;
	return err_set(err, E2BIG, "command line of %zu bytes is too long: '%s' takes %u",
		       strlen(cmdline), kernel->name, limit);
}

static int load_kernel(const struct image *kernel, const struct bzimage *bz,
		       const struct boot_config *config, struct err *err)
{
	/* The identity map and the 32-bit entry end at 4 GiB. */
	if (bz->load_address < BOOT_KERNEL_BASE || bz->load_address >= 4 * GIB ||
	    !e820_is_ram(config->map, bz->load_address, bz->run_bytes)) {
		err_set(err, ENOMEM, "'%s' needs %llu MiB at 0x%llx: no usable memory there",
			kernel->name, (unsigned long long)(bz->run_bytes / MIB + 1),
			(unsigned long long)bz->load_address);
		return err_hint(err, "give the machine more memory");
	}
	return image_to_guest(kernel, bz->payload_offset, config->memory, GPA(bz->load_address),
			      bz->payload_bytes, err);
}

static int linux_load(const struct boot_files *files, const struct boot_config *config,
		      struct boot_entry *entry, struct err *err)
{
	struct boot_area area = boot_area(config);
	struct linux_params params = { 0 };
	struct linux_initrd initrd;
	struct bzimage bz = { 0 };
	int rc = read_header(&files->kernel, &params, err);

	if (!rc)
		rc = check_header(&files->kernel, &params, &bz, err);
	if (!rc)
		rc = check_cmdline(&files->kernel, &params, config->cmdline, err);
	if (!rc)
		rc = load_kernel(&files->kernel, &bz, config, err);
	if (rc)
		return rc;

	initrd = (struct linux_initrd){
		.limit = UINT64_C(1) + le32_get(params.page + LINUX_INITRD_ADDR_MAX),
		.above_4g = bz.above_4g,
		.kernel_base = bz.load_address,
		.kernel_bytes = bz.run_bytes,
	};
	rc = linux_params_initrd(&params, files, config, &initrd, err);
	if (rc)
		return rc;

	/* Our descriptors are as the protocol wants them, so the kernel may load its segments anew. */
	params.page[LINUX_LOADFLAGS] &= (uint8_t)~LOADFLAGS_KEEP_SEGMENTS;
	le32_put(params.page + LINUX_CODE32_START, (uint32_t)bz.load_address);
	entry->gpr[GPR_RSI] = linux_params_put(&params, config, &area);
	entry->rip = bz.load_address + (bz.entry_64 ? ENTRY_64_OFFSET : 0);
	return boot_area_finish(&area, bz.entry_64 ? BOOT_LONG : BOOT_PROTECTED, entry, err);
}

const struct loader_ops linux_loader = {
	.name = "linux",
	.probe = linux_probe,
	.load = linux_load,
};
