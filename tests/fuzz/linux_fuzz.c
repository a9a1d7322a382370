/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile Linux bzImages. */
#include "loader_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_loader(&linux_loader, data, size);
}
