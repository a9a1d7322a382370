/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The header of LUKS 1: 592 bytes, eight key slots. Spec: LUKS1, 2.1 to 2.3 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "block/format/luks_priv.h"

#define SLOTS         8
#define SLOT_ROW      208
#define SLOT_BYTES    48
#define SLOT_USED     0x00ac71f3
#define SLOT_UNUSED   0x0000dead
#define DIGEST_BYTES  20
#define FIRST_AREA    4096 /* as others lay it out */
#define AREA_ALIGN    4096
#define PAYLOAD_ALIGN MIB

/* A text of a field that may not end with NUL. */
static void take_text(char *to, const uint8_t *field, size_t bytes)
{
	memcpy(to, field, bytes);
	to[bytes] = 0;
}

static void take_slot(struct luks *luks, struct luks_slot *slot, const uint8_t *row,
		      const char *hash)
{
	*slot = (struct luks_slot){
		.used = be32_get(row) == SLOT_USED,
		.area_offset = (uint64_t)be32_get(row + 40) * LUKS_AREA_SECTOR,
		.stripes = be32_get(row + 44),
		.area_key_bytes = luks->key_bytes,
		.kdf = { .iterations = be32_get(row + 4), .salt_bytes = LUKS_SALT_BYTES },
	};
	slot->area_bytes = round_up(luks_split_bytes(luks, slot), LUKS_AREA_SECTOR);
	memcpy(slot->kdf.salt, row + 8, LUKS_SALT_BYTES);
	snprintf(slot->kdf.hash, sizeof(slot->kdf.hash), "%s", hash);
	snprintf(slot->af_hash, sizeof(slot->af_hash), "%s", hash);
	snprintf(slot->cipher, sizeof(slot->cipher), "%s", luks->cipher_name);
}

int luks1_read(struct luks *luks, const uint8_t *head, struct err *err)
{
	char cipher[33], mode[33], hash[33];

	take_text(cipher, head + 8, 32);
	take_text(mode, head + 40, 32);
	take_text(hash, head + 72, 32);
	take_text(luks->uuid, head + 168, 40);
	if (snprintf(luks->cipher_name, sizeof(luks->cipher_name), "%s-%s", cipher, mode) >=
	    (int)sizeof(luks->cipher_name))
		luks->cipher_name[0] = 0;
	luks->payload_offset = (uint64_t)be32_get(head + 104) * LUKS_AREA_SECTOR;
	luks->key_bytes = be32_get(head + 108);
	luks->sector_bytes = 512;
	luks->slot_count = SLOTS;
	luks->copies = 1;
	luks->digest_bytes = DIGEST_BYTES;
	memcpy(luks->digest, head + 112, DIGEST_BYTES);
	luks->digest_kdf = (struct luks_kdf){
		.iterations = be32_get(head + 164),
		.salt_bytes = LUKS_SALT_BYTES,
	};
	memcpy(luks->digest_kdf.salt, head + 132, LUKS_SALT_BYTES);
	snprintf(luks->digest_kdf.hash, sizeof(luks->digest_kdf.hash), "%s", hash);
	if (!sector_cipher_exists(luks->cipher_name, luks->key_bytes) || !hash_bytes(hash) ||
	    hash_bytes(hash) < DIGEST_BYTES)
		return err_set(err, ENOTSUP,
			       "cannot open LUKS: cipher '%s-%s' of %u bits, hash '%s'", cipher,
			       mode, luks->key_bytes * 8, hash);
	if (!luks->digest_kdf.iterations ||
	    luks->digest_kdf.iterations > LUKS_DIGEST_ITERATIONS_MAX)
		return err_set(err, EINVAL, "cannot open LUKS: %u iterations of the key's digest",
			       luks->digest_kdf.iterations);
	for (unsigned i = 0; i < SLOTS; i++)
		take_slot(luks, &luks->slots[i], head + SLOT_ROW + i * SLOT_BYTES, hash);
	return 0;
}

static void put_slot(uint8_t *row, const struct luks_slot *slot)
{
	be32_put(row, slot->used ? SLOT_USED : SLOT_UNUSED);
	be32_put(row + 4, slot->used ? slot->kdf.iterations : 0);
	memset(row + 8, 0, LUKS_SALT_BYTES);
	if (slot->used)
		memcpy(row + 8, slot->kdf.salt, LUKS_SALT_BYTES);
	be32_put(row + 40, (uint32_t)(slot->area_offset / LUKS_AREA_SECTOR));
	be32_put(row + 44, slot->stripes);
}

int luks1_write(struct luks *luks, unsigned slot)
{
	uint8_t header[2 * 512];
	int rc = block_read(luks->file, luks->offset, header, sizeof(header));

	if (rc)
		return rc;
	put_slot(header + SLOT_ROW + slot * SLOT_BYTES, &luks->slots[slot]);
	rc = block_write(luks->file, luks->offset, header, sizeof(header));
	return rc ? rc : block_flush(luks->file);
}

void luks1_layout(struct luks *luks)
{
	uint64_t at = FIRST_AREA;

	luks->slot_count = SLOTS;
	for (unsigned i = 0; i < SLOTS; i++) {
		struct luks_slot *slot = &luks->slots[i];

		slot->stripes = LUKS_STRIPES;
		slot->area_offset = at;
		slot->area_bytes = round_up(luks_split_bytes(luks, slot), LUKS_AREA_SECTOR);
		slot->area_key_bytes = luks->key_bytes;
		snprintf(slot->cipher, sizeof(slot->cipher), "%s", luks->cipher_name);
		at += round_up(slot->area_bytes, AREA_ALIGN);
	}
	luks->payload_offset = luks->room = round_up(at, PAYLOAD_ALIGN);
}

int luks1_create(struct luks *luks)
{
	uint8_t header[2 * 512] = LUKS_MAGIC;
	const char *mode = strchr(luks->cipher_name, '-');
	int rc;

	be16_put(header + 6, 1);
	memcpy(header + 8, luks->cipher_name, (size_t)(mode - luks->cipher_name));
	memcpy(header + 40, mode + 1, strlen(mode + 1));
	memcpy(header + 72, luks->digest_kdf.hash, strlen(luks->digest_kdf.hash));
	be32_put(header + 104, (uint32_t)(luks->payload_offset / LUKS_AREA_SECTOR));
	be32_put(header + 108, luks->key_bytes);
	memcpy(header + 112, luks->digest, DIGEST_BYTES);
	memcpy(header + 132, luks->digest_kdf.salt, LUKS_SALT_BYTES);
	be32_put(header + 164, luks->digest_kdf.iterations);
	memcpy(header + 168, luks->uuid, strlen(luks->uuid));
	for (unsigned i = 0; i < SLOTS; i++)
		put_slot(header + SLOT_ROW + i * SLOT_BYTES, &luks->slots[i]);
	rc = block_write(luks->file, luks->offset, header, sizeof(header));
	return rc ? rc : block_flush(luks->file);
}
