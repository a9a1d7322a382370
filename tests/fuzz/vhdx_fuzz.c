/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile VHDX images. A file of 6 MiB is mostly zeroes, so the input lists what is not: records of
 * a page of 4 KiB, a count, and so many bytes (16 bits each, little-endian). Sums are made right,
 * but if the first byte of the input says so (bit 0: of headers and regions, bit 1: of the log).
 */
#include "image_fuzz.h"

#include "base/bytes.h"
#include "codec/crc32c.h"

#define PAGE_BYTES  4096
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

static void unpack(uint8_t *image, const uint8_t *data, size_t size)
{
	size_t at = 0;

	while (size - at > 4) {
		size_t page = le16_get(data + at) % (IMAGE_BYTES / PAGE_BYTES);
		size_t count =
			MIN((size_t)le16_get(data + at + 2) % (PAGE_BYTES + 1), size - at - 4);

		memcpy(image + page * PAGE_BYTES, data + at + 4, count);
		at += 4 + count;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image;

	if (!size)
		return 0;
	image = calloc(1, IMAGE_BYTES);
	check(image);
	unpack(image, data + 1, size - 1);
	fix_sums(image, data[0]);
	fuzz_image("vhdx", image, IMAGE_BYTES, IMAGE_BYTES);
	free(image);
	return 0;
}
