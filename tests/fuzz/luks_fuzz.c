/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hostile LUKS headers, as pages (pages.h): refused, or shown, and key slots taken out. Unlocking
 * takes too long for this. Checksums of version 2 are made right, but if the first byte of the input
 * says so.
 */
#include "image_fuzz.h"

#include "block/luks.h"
#include "codec/kdf.h"
#include "pages.h"

#define IMAGE_BYTES  (128 * KIB)
#define FILE_BYTES   (17 * MIB)
#define HEADER_BYTES (16 * KIB)
#define CHECKSUM     448

static void fix_sum(uint8_t *header)
{
	uint8_t digest[HASH_BYTES_MAX];

	memset(header + CHECKSUM, 0, 64);
	if (be16_get(header + 6) == 2 && !hash_of("sha256", header, HEADER_BYTES, NULL, 0, digest))
		memcpy(header + CHECKSUM, digest, 32);
}

static void use_slots(const char *path)
{
	struct block_open_options options = {
		.path = path,
		.cache = BLOCK_CACHE_UNSAFE,
		.no_lock = true,
		.format = "raw",
	};
	struct err err = ERR_INIT;
	struct block_node *file;
	struct luks *luks;

	check(!block_open(&options, NULL, &file, &err));
	if (luks_load(file, 0, 0, &luks, &err)) {
		check(err.code < 0 && err.text[0]);
	} else {
		json_decref(luks_describe(luks));
		for (unsigned i = 0; i < 40; i++)
			luks_remove_slot(luks, i, i % 2, &err);
		luks_free(luks);
	}
	block_close(file);
}

static void use(const uint8_t *image)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	char path[32];

	check(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check(!fd_write_all(fd, image, IMAGE_BYTES) && !ftruncate(fd, FILE_BYTES));
	fuzz_open(path, "luks", (struct block_open_options){ .locked = true },
		  BLOCK_REPAIR_NOTHING);
	fuzz_open(path, "luks", (struct block_open_options){ .check = true }, BLOCK_REPAIR_ALL);
	use_slots(path);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *image;

	if (!size)
		return 0;
	image = calloc(1, IMAGE_BYTES);
	check(image);
	pages_unpack(image, IMAGE_BYTES, data + 1, size - 1);
	if (!data[0]) {
		fix_sum(image);
		fix_sum(image + HEADER_BYTES);
	}
	use(image);
	free(image);
	return 0;
}
