/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a passphrase to the key of a volume, and back into a key slot: the passphrase gives the key
 * of the slot's area, the area holds the volume's key, split, and the digest says whether it is the
 * right one.
 *
 * Everything that was secret is wiped before its memory is given back.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/bits.h"
#include "block/format/luks_priv.h"

#define PBKDF2_PROBE     20000
#define PBKDF2_LEAST     1000
#define ARGON2_PROBE_KIB (16 * 1024)
#define ARGON2_PASSES    4 /* at least; then memory is given up */
#define ARGON2_LEAST_KIB (8 * 1024)
#define ARGON2_LANES     4

int luks_random(void *bytes, size_t count)
{
	uint8_t *at = bytes;

	while (count) {
		ssize_t n = getrandom(at, count, 0);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? n : 0;
		count -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* ---- deriving ---- */

static int derive(const struct luks_kdf *kdf, const struct secret *from, uint8_t *ret_key,
		  size_t bytes)
{
	if (kdf->argon2)
		return kdf_argon2(&kdf->argon, from->bytes, from->count, kdf->salt, kdf->salt_bytes,
				  ret_key, bytes);
	return kdf_pbkdf2(kdf->hash, from->bytes, from->count, kdf->salt, kdf->salt_bytes,
			  kdf->iterations, ret_key, bytes);
}

static const char *kdf_problem(const struct luks_kdf *kdf)
{
	if (!kdf->salt_bytes)
		return "no salt";
	if (!kdf->argon2 && !hash_bytes(kdf->hash))
		return "an unknown hash";
	if (!kdf->argon2 && (!kdf->iterations || kdf->iterations > LUKS_ITERATIONS_MAX))
		return "more iterations than are allowed";
	if (kdf->argon2 &&
	    (!kdf->argon.passes || !kdf->argon.lanes || !kdf->argon.memory_kib ||
	     kdf->argon.lanes > LUKS_LANES_MAX ||
	     (uint64_t)kdf->argon.passes * kdf->argon.memory_kib > LUKS_PASSES_KIB_MAX))
		return "more passes than are allowed";
	return NULL;
}

const char *luks_slot_problem(const struct luks *luks, const struct luks_slot *slot)
{
	if (slot->unsupported)
		return "a kind that is not known";
	if (!slot->stripes || slot->stripes > LUKS_STRIPES_MAX)
		return "a wrong number of stripes";
	if (slot->area_bytes < luks_split_bytes(luks, slot) ||
	    slot->area_bytes > LUKS_AREA_BYTES_MAX || slot->area_offset > luks->room ||
	    slot->area_bytes > luks->room - slot->area_offset ||
	    slot->area_offset % LUKS_AREA_SECTOR)
		return "a place that is not in the header";
	if (!hash_bytes(slot->af_hash))
		return "an unknown hash";
	if (!sector_cipher_exists(slot->cipher, slot->area_key_bytes))
		return "an unknown cipher";
	return kdf_problem(&slot->kdf);
}

/* ---- the digest ---- */

static bool is_the_key(const struct luks *luks, const struct secret *key)
{
	uint8_t digest[HASH_BYTES_MAX];
	bool same;

	if (derive(&luks->digest_kdf, key, digest, luks->digest_bytes))
		return false;
	same = !CRYPTO_memcmp(digest, luks->digest, luks->digest_bytes);
	explicit_bzero(digest, sizeof(digest));
	return same;
}

int luks_digest_set(struct luks *luks, const char *hash, uint32_t iterations)
{
	struct luks_kdf *kdf = &luks->digest_kdf;

	*kdf = (struct luks_kdf){ .iterations = iterations, .salt_bytes = LUKS_SALT_BYTES };
	snprintf(kdf->hash, sizeof(kdf->hash), "%s", hash);
	luks->digest_bytes = luks->version == 1 ? 20 : hash_bytes(hash);
	if (luks_random(kdf->salt, kdf->salt_bytes))
		return -EIO;
	return derive(kdf, &luks->key, luks->digest, luks->digest_bytes);
}

/* ---- areas ---- */

/* Key material on its way between the area and memory: whole sectors. */
static int material_new(const struct luks *luks, const struct luks_slot *slot,
			struct secret *ret_material)
{
	return secret_new(ret_material, round_up(luks_split_bytes(luks, slot), LUKS_AREA_SECTOR));
}

static int area_cipher(const struct luks_slot *slot, const struct secret *passphrase,
		       struct sector_cipher **ret_cipher)
{
	uint8_t key[SECTOR_KEY_BYTES_MAX];
	int rc = derive(&slot->kdf, passphrase, key, slot->area_key_bytes);

	if (!rc)
		rc = sector_cipher_new(ret_cipher, slot->cipher, key, slot->area_key_bytes,
				       LUKS_AREA_SECTOR);
	explicit_bzero(key, sizeof(key));
	return rc;
}

int luks_slot_open(struct luks *luks, const struct luks_slot *slot, const struct secret *passphrase,
		   struct secret *ret_key)
{
	struct secret material = { 0 }, key = { 0 };
	struct sector_cipher *cipher = NULL;
	int rc = material_new(luks, slot, &material);

	if (!rc)
		rc = secret_new(&key, luks->key_bytes);
	if (!rc)
		rc = area_cipher(slot, passphrase, &cipher);
	if (!rc)
		rc = block_read(luks->file, luks->offset + slot->area_offset, material.bytes,
				material.count);
	if (!rc)
		rc = sector_cipher_decrypt(cipher, 0, material.bytes, material.count);
	if (!rc)
		rc = luks_merge(slot->af_hash, material.bytes, luks->key_bytes, slot->stripes,
				key.bytes);
	if (!rc && !is_the_key(luks, &key))
		rc = -EKEYREJECTED;
	sector_cipher_free(cipher);
	secret_fini(&material);
	if (rc)
		secret_fini(&key);
	else
		*ret_key = key;
	return rc;
}

static int area_write(struct luks *luks, const struct luks_slot *slot,
		      const struct secret *passphrase)
{
	struct secret material = { 0 };
	struct sector_cipher *cipher = NULL;
	int rc = material_new(luks, slot, &material);

	if (!rc)
		rc = area_cipher(slot, passphrase, &cipher);
	if (!rc)
		rc = luks_split(slot->af_hash, luks->key.bytes, luks->key_bytes, slot->stripes,
				material.bytes);
	if (!rc)
		rc = sector_cipher_encrypt(cipher, 0, material.bytes, material.count);
	if (!rc)
		rc = block_write(luks->file, luks->offset + slot->area_offset, material.bytes,
				 material.count);
	if (!rc)
		rc = block_flush(luks->file);
	sector_cipher_free(cipher);
	secret_fini(&material);
	return rc;
}

int luks_slot_wipe(struct luks *luks, const struct luks_slot *slot)
{
	struct secret noise = { 0 };
	int rc = secret_new(&noise, slot->area_bytes);

	if (!rc)
		rc = luks_random(noise.bytes, noise.count);
	if (!rc)
		rc = block_write(luks->file, luks->offset + slot->area_offset, noise.bytes,
				 noise.count);
	if (!rc)
		rc = block_flush(luks->file);
	secret_fini(&noise);
	return rc;
}

/* ---- how long it shall take ---- */

static uint64_t now_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Sets the number of iterations that take so long here. */
static int measure_pbkdf2(struct luks_kdf *kdf, size_t key_bytes, uint64_t time_us)
{
	uint8_t key[SECTOR_KEY_BYTES_MAX];
	const struct secret nothing = { .bytes = key, .count = 1 };
	uint64_t start = now_us(CLOCK_THREAD_CPUTIME_ID), took;
	int rc;

	kdf->iterations = PBKDF2_PROBE;
	rc = derive(kdf, &nothing, key, key_bytes);
	took = MAX(now_us(CLOCK_THREAD_CPUTIME_ID) - start, UINT64_C(1));
	kdf->iterations = (uint32_t)MIN(MAX(PBKDF2_PROBE * time_us / took, (uint64_t)PBKDF2_LEAST),
					(uint64_t)LUKS_ITERATIONS_MAX);
	return rc;
}

static int measure_argon2(struct luks_kdf *kdf, size_t key_bytes, uint64_t time_us)
{
	uint32_t memory_kib = kdf->argon.memory_kib;
	uint8_t key[SECTOR_KEY_BYTES_MAX];
	const struct secret nothing = { .bytes = key, .count = 1 };
	uint64_t start = now_us(CLOCK_MONOTONIC), took, passes_kib;
	int rc;

	kdf->argon.passes = 1;
	kdf->argon.memory_kib = MIN(memory_kib, (uint32_t)ARGON2_PROBE_KIB);
	rc = derive(kdf, &nothing, key, key_bytes);
	took = MAX(now_us(CLOCK_MONOTONIC) - start, UINT64_C(1));
	passes_kib = MIN(kdf->argon.memory_kib * time_us / took, LUKS_PASSES_KIB_MAX);
	kdf->argon.memory_kib = memory_kib;
	kdf->argon.passes = (uint32_t)(passes_kib / memory_kib);
	if (kdf->argon.passes < ARGON2_PASSES) {
		kdf->argon.passes = ARGON2_PASSES;
		kdf->argon.memory_kib =
			(uint32_t)MIN(MAX(passes_kib / ARGON2_PASSES, (uint64_t)ARGON2_LEAST_KIB),
				      (uint64_t)memory_kib);
	}
	return rc;
}

/* Version 1 has one hash for everything. */
static const char *slot_hash(const struct luks *luks, const json_t *settings)
{
	return luks->version == 1 ? luks->digest_kdf.hash : block_setting_string(settings, "hash");
}

static int kdf_choose(struct luks *luks, struct luks_slot *slot, const char *hash,
		      const json_t *settings, struct err *err)
{
	const char *name = block_setting_string(settings, "kdf");
	uint64_t iterations = block_setting_number(settings, "kdf-iterations");
	uint64_t time_us = block_setting_number(settings, "kdf-time") * 1000;
	struct luks_kdf *kdf = &slot->kdf;
	int rc;

	if (!name)
		name = luks->version == 1 ? "pbkdf2" : "argon2id";
	*kdf = (struct luks_kdf){ .argon2 = *name == 'a', .salt_bytes = LUKS_SALT_BYTES };
	if (kdf->argon2 && luks->version == 1)
		return err_set(err, EINVAL, "option 'kdf': LUKS 1 has only pbkdf2");
	snprintf(kdf->hash, sizeof(kdf->hash), "%s", hash);
	rc = luks_random(kdf->salt, kdf->salt_bytes);
	if (rc)
		return err_errno(err, rc, "cannot fill a key slot");
	kdf->argon = (struct kdf_argon2){
		.id = !strcmp(name, "argon2id"),
		.passes = (uint32_t)iterations,
		.memory_kib = (uint32_t)(block_setting_number(settings, "kdf-memory") / KIB),
		.lanes = ARGON2_LANES,
	};
	kdf->iterations = (uint32_t)MAX(iterations, (uint64_t)PBKDF2_LEAST);
	if (!iterations)
		rc = kdf->argon2 ? measure_argon2(kdf, slot->area_key_bytes, time_us)
				 : measure_pbkdf2(kdf, slot->area_key_bytes, time_us);
	if (!rc && kdf_problem(kdf))
		return err_set(err, EINVAL, "cannot fill a key slot: %s", kdf_problem(kdf));
	return rc ? err_errno(err, rc, "cannot fill a key slot") : 0;
}

int luks_slot_fill(struct luks *luks, struct luks_slot *slot, const struct secret *passphrase,
		   const json_t *settings, struct err *err)
{
	const char *hash = slot_hash(luks, settings);
	int rc;

	snprintf(slot->af_hash, sizeof(slot->af_hash), "%s", hash);
	rc = kdf_choose(luks, slot, hash, settings, err);
	if (rc)
		return rc;
	rc = area_write(luks, slot, passphrase);
	if (rc)
		return err_errno(err, rc, "cannot fill a key slot");
	slot->used = true;
	return 0;
}
