/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile archives of appliances, with the disks inside, and descriptors as images. */
#include "image_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_image("ova", data, size, size);
}
