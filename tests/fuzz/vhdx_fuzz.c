/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile VHDX images of 6 MiB, as pages (pages.h). Sums are made right, but if the first byte of the
 * input says so (bit 0: of headers and regions, bit 1: of the log).
 */
#include "image_fuzz.h"

#include "codec/crc32c.h"
#include "pages.h"

#define IMAGE_BYTES (6 * MIB)
#define LOG_OFFSET  MIB
#define LOG_BYTES   MIB

static void fix_sum(uint8_t *bytes, size_t count)
{
	le32_put(bytes + 4, 0);
	le32_put(bytes + 4, crc32c(0, bytes, count));
}

static void fix_sums(uint8_t *image, uint8_t keep)
{
	if (!(keep & 1)) {
		fix_sum(image + 64 * KIB, PAGE_BYTES);
		fix_sum(image + 128 * KIB, PAGE_BYTES);
		fix_sum(image + 192 * KIB, 64 * KIB);
		fix_sum(image + 256 * KIB, 64 * KIB);
	}
	for (size_t at = LOG_OFFSET; at < LOG_OFFSET + LOG_BYTES && !(keep & 2); at += PAGE_BYTES) {
		uint32_t count = le32_get(image + at + 8);

		if (!memcmp(image + at, "loge", 4) && count >= 64 &&
		    count <= LOG_OFFSET + LOG_BYTES - at)
			fix_sum(image + at, count);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image;

	if (!size)
		return 0;
	image = calloc(1, IMAGE_BYTES);
	check(image);
	pages_unpack(image, IMAGE_BYTES, data + 1, size - 1);
	fix_sums(image, data[0]);
	fuzz_image("vhdx", image, IMAGE_BYTES, IMAGE_BYTES);
	free(image);
	return 0;
}
