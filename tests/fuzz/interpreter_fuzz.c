/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes as code in the interpreter; see soft_fuzz.h. */
#include "soft_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	soft_fuzz("jit=off", data, size);
	return 0;
}
