/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hostile VMDK images: descriptors, sparse extents, compressed streams. */
#include "image_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A stream ends with the file. */
	return fuzz_image("vmdk", data, size, size / BLOCK_SECTOR * BLOCK_SECTOR);
}
