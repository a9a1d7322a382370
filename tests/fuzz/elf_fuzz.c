/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile plain ELF kernels. */
#include "loader_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_loader(&elf_loader, data, size);
}
