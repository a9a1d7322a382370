/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile Multiboot kernels. */
#include "loader_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_loader(&multiboot_loader, data, size);
}
