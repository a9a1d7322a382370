/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile VHD images. Their sums are made right first, or hardly anything would get past them: that
 * of the footer at 0, and that of the header at 512 (where corpora have it).
 */
#include <string.h>

#include "image_fuzz.h"

#include "base/bytes.h"

#define FOOTER_BYTES 512
#define HEADER_BYTES 1024
#define INPUT_MAX    16384

static void sign(uint8_t *bytes, size_t count, size_t at)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += i < at || i >= at + 4 ? bytes[i] : 0;
	be32_put(bytes + at, ~sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[INPUT_MAX];

	size = MIN(size, sizeof(bytes));
	memcpy(bytes, data, size);
	if (size >= FOOTER_BYTES + HEADER_BYTES) {
		sign(bytes, FOOTER_BYTES, 64);
		sign(bytes + FOOTER_BYTES, HEADER_BYTES, 36);
		return fuzz_image("vhd", bytes, size, 8 * MIB);
	}
	/* A footer alone: of a fixed image, behind a disk of zeroes. */
	if (size >= FOOTER_BYTES) {
		static uint8_t fixed[64 * KIB];

		sign(bytes, FOOTER_BYTES, 64);
		memcpy(fixed + sizeof(fixed) - FOOTER_BYTES, bytes, FOOTER_BYTES);
		return fuzz_image("vhd", fixed, sizeof(fixed), sizeof(fixed));
	}
	return 0;
}
