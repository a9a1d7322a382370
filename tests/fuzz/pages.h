/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images that are mostly zeroes: an input lists what is not, as records of a page of 4 KiB, a count,
 * and so many bytes (16 bits each, little-endian). */
#pragma once

#include <stdint.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"

#define PAGE_BYTES 4096

static inline void pages_unpack(uint8_t *image, size_t image_bytes, const uint8_t *data,
				size_t size)
{
	size_t at = 0;

	while (size - at > 4) {
		size_t page = le16_get(data + at) % (image_bytes / PAGE_BYTES);
		size_t count =
			MIN((size_t)le16_get(data + at + 2) % (PAGE_BYTES + 1), size - at - 4);

		memcpy(image + page * PAGE_BYTES, data + at + 4, count);
		at += 4 + count;
	}
}
