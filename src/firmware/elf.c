/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plain ELF kernels: the entry point is called in the mode of the file's class, with Linux's boot
 * parameters in (R)SI.
 *
 * That is what an uncompressed Linux kernel expects (a vmlinux file's entry point is the one of the
 * boot protocol), and what unikernels for other small hypervisors read.
 */
#include "base/bytes.h"
#include "base/macros.h"
#include "firmware/elf_image.h"
#include "firmware/linux_params.h"

static bool plain_elf_probe(const struct image *kernel, const uint8_t *head, size_t count)
{
	(void)kernel;
	return elf_probe(head, count);
}

static int plain_elf_load(const struct boot_files *files, const struct boot_config *config,
			  struct boot_entry *entry, struct err *err)
{
	struct boot_area area = boot_area(config);
	struct linux_params params = { 0 };
	struct linux_initrd initrd = { .limit = 4 * GIB };
	struct elf_image elf;
	int rc = elf_open(&elf, &files->kernel, err);

	if (!rc)
		rc = elf_load(&elf, config, BOOT_KERNEL_BASE, &initrd.kernel_bytes, err);
	if (!rc)
		rc = elf_entry(&elf, &entry->rip, err);
	if (!rc)
		rc = linux_params_initrd(&params, files, config, &initrd, err);
	if (rc)
		return rc;
	le16_put(params.page + LINUX_BOOT_FLAG, LINUX_BOOT_FLAG_VALUE);
	le32_put(params.page + LINUX_MAGIC, LINUX_MAGIC_VALUE);
	entry->gpr[GPR_RSI] = linux_params_put(&params, config, &area);
	return boot_area_finish(&area, elf.is_64 ? BOOT_LONG : BOOT_PROTECTED, entry, err);
}

const struct loader_ops elf_loader = {
	.name = "elf",
	.probe = plain_elf_probe,
	.load = plain_elf_load,
};
