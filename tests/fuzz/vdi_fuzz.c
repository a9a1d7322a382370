/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile VDI images. */
#include "image_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_image("vdi", data, size, 4 * MIB);
}
