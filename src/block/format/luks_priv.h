/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * LUKS volumes from the inside: what both versions have in common, and what each file does.
 *
 * luks1.c and luks2.c read a header into `struct luks` and write it back; luks_key.c goes from
 * passphrases to keys and fills key slots; luks_volume.c is the rest of block/luks.h.
 */
#pragma once

#include "block/luks.h"
#include "codec/kdf.h"
#include "codec/secret.h"
#include "codec/sector_cipher.h"

#define LUKS_MAGIC          "LUKS\xba\xbe"
#define LUKS_MAGIC_BYTES    6
#define LUKS_SLOTS_MAX      32
#define LUKS_NAME_BYTES     64
#define LUKS_SALT_BYTES     32
#define LUKS_SALT_MAX       64
#define LUKS_STRIPES        4000
#define LUKS_STRIPES_MAX    8192
#define LUKS_AREA_BYTES_MAX (16 * MIB)
#define LUKS_AREA_SECTOR    512 /* key material is encrypted in sectors of this */

/* What a header may ask for. Passes over memory are bounded together: 64 of 1 GiB. */
#define LUKS_ITERATIONS_MAX        (UINT32_C(1) << 27)
#define LUKS_DIGEST_ITERATIONS_MAX (UINT32_C(1) << 24)
#define LUKS_PASSES_KIB_MAX        (UINT64_C(64) << 20)
#define LUKS_LANES_MAX             64

struct luks_kdf {
	bool argon2;
	char hash[LUKS_NAME_BYTES]; /* of PBKDF2 */
	uint32_t iterations;        /* of PBKDF2 */
	struct kdf_argon2 argon;
	uint8_t salt[LUKS_SALT_MAX];
	size_t salt_bytes;
};

struct luks_slot {
	bool used, unsupported;
	uint64_t area_offset; /* from the header on */
	uint64_t area_bytes;
	uint32_t stripes;
	char af_hash[LUKS_NAME_BYTES];
	char cipher[LUKS_NAME_BYTES]; /* of the area */
	uint32_t area_key_bytes;
	struct luks_kdf kdf;
};

struct luks {
	struct block_node *file; /* borrowed */
	uint64_t offset, room;   /* of the header and its key slots */
	unsigned version;

	char cipher_name[LUKS_NAME_BYTES];
	char uuid[40 + 1];
	char label[48 + 1];
	uint32_t key_bytes, sector_bytes;
	uint64_t payload_offset, payload_bytes, iv_tweak;
	unsigned slot_count;
	struct luks_slot slots[LUKS_SLOTS_MAX];

	/* The digest of the key. */
	struct luks_kdf digest_kdf;
	uint8_t digest[HASH_BYTES_MAX];
	size_t digest_bytes;

	/* Version 2. */
	json_t *json;
	uint64_t header_bytes; /* of one copy, its JSON included */
	uint64_t sequence;
	uint64_t areas_bytes; /* room of all key slots, behind both copies */
	unsigned copies;      /* that are whole */
	uint8_t binary[512];  /* the newer copy's fixed part */

	/* Unlocked. */
	struct secret key;
	struct sector_cipher *cipher;
};

/* ---- luks1.c, luks2.c ---- */

int luks1_read(struct luks *luks, const uint8_t *head, struct err *err);
int luks2_read(struct luks *luks, struct err *err);
/* Writes the header with slot `slot` as it is now in luks->slots, durably. */
int luks1_write(struct luks *luks, unsigned slot);
int luks2_write(struct luks *luks, unsigned slot);
/* A free place for the key of a new slot. 0 or -ENOSPC. */
int luks2_find_area(struct luks *luks, struct luks_slot *slot);
/* Fills in the layout of a new volume: places of slots and data. */
void luks1_layout(struct luks *luks);
void luks2_layout(struct luks *luks);
/* Writes a new header; slot 0 is in use. */
int luks1_create(struct luks *luks);
int luks2_create(struct luks *luks);
/* Writes both copies of the header of version 2. */
int luks2_write_copies(struct luks *luks);

/* ---- luks_key.c ---- */

/* What is wrong with a slot's numbers, in words; NULL: nothing. */
const char *luks_slot_problem(const struct luks *luks, const struct luks_slot *slot);
/* The key in a slot, if it is the right one: -EKEYREJECTED else. */
int luks_slot_open(struct luks *luks, const struct luks_slot *slot, const struct secret *passphrase,
		   struct secret *ret_key);
/* Sets the slot's derivation by `settings` and fills its area with luks->key. */
int luks_slot_fill(struct luks *luks, struct luks_slot *slot, const struct secret *passphrase,
		   const json_t *settings, struct err *err);
/* Overwrites the area. */
int luks_slot_wipe(struct luks *luks, const struct luks_slot *slot);
/* Sets the digest of luks->key. */
int luks_digest_set(struct luks *luks, const char *hash, uint32_t iterations);
int luks_random(void *bytes, size_t count);

/* Bytes of split key material. */
static inline uint64_t luks_split_bytes(const struct luks *luks, const struct luks_slot *slot)
{
	return (uint64_t)luks->key_bytes * slot->stripes;
}

/* ---- luks_split.c: the anti-forensic splitter ---- */

int luks_split(const char *hash, const uint8_t *key, size_t key_bytes, uint32_t stripes,
	       uint8_t *ret_split);
int luks_merge(const char *hash, const uint8_t *split, size_t key_bytes, uint32_t stripes,
	       uint8_t *ret_key);
