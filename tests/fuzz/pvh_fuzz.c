/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile PVH kernels. */
#include "loader_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_loader(&pvh_loader, data, size);
}
