/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The anti-forensic splitter: a key becomes `stripes` pieces of its size, all of which are needed to
 * get it back, so that it is gone when any of them is overwritten.
 *
 * Spec: LUKS1, 2.4
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "block/format/luks_priv.h"

/* Each digest's worth of the block becomes the digest of its number and itself. */
static int diffuse(const char *hash, uint8_t *block, size_t bytes)
{
	uint8_t digest[HASH_BYTES_MAX], number[4];
	size_t step = hash_bytes(hash);
	int rc = step ? 0 : -ENOTSUP;

	for (size_t at = 0, i = 0; at < bytes && !rc; at += step, i++) {
		size_t now = MIN(step, bytes - at);

		be32_put(number, (uint32_t)i);
		rc = hash_of(hash, number, sizeof(number), block + at, now, digest);
		if (!rc)
			memcpy(block + at, digest, now);
	}
	explicit_bzero(digest, sizeof(digest));
	return rc;
}

static void add(uint8_t *block, const uint8_t *stripe, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		block[i] ^= stripe[i];
}

/* What the last stripe is added to. */
static int chain(const char *hash, const uint8_t *split, size_t bytes, uint32_t stripes,
		 uint8_t *block)
{
	int rc = 0;

	memset(block, 0, bytes);
	for (uint32_t i = 0; i + 1 < stripes && !rc; i++) {
		add(block, split + (size_t)i * bytes, bytes);
		rc = diffuse(hash, block, bytes);
	}
	return rc;
}

int luks_split(const char *hash, const uint8_t *key, size_t key_bytes, uint32_t stripes,
	       uint8_t *ret_split)
{
	uint8_t block[SECTOR_KEY_BYTES_MAX], *last = ret_split + (size_t)(stripes - 1) * key_bytes;
	int rc = luks_random(ret_split, (size_t)(stripes - 1) * key_bytes);

	if (!rc)
		rc = chain(hash, ret_split, key_bytes, stripes, block);
	if (!rc) {
		memcpy(last, key, key_bytes);
		add(last, block, key_bytes);
	}
	explicit_bzero(block, sizeof(block));
	return rc;
}

int luks_merge(const char *hash, const uint8_t *split, size_t key_bytes, uint32_t stripes,
	       uint8_t *ret_key)
{
	int rc = chain(hash, split, key_bytes, stripes, ret_key);

	if (!rc)
		add(ret_key, split + (size_t)(stripes - 1) * key_bytes, key_bytes);
	return rc;
}
