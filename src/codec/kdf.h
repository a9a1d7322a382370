/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hashes, and keys from passphrases.
 *
 * Hashes go by their names in LUKS: "sha1", "sha256", "sha512", … Any thread; all of it takes time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES_MAX 64

/* Bytes of a digest; 0: no such hash. */
size_t hash_bytes(const char *hash);

/* The digest of two pieces, one behind the other; hash_bytes() of it. 0, -ENOTSUP or -ENOMEM. */
int hash_of(const char *hash, const void *first, size_t first_bytes, const void *second,
	    size_t second_bytes, uint8_t *ret_digest);

struct hash;
/* For more pieces: hash_add() each, then hash_end(), which frees. -ENOTSUP or -ENOMEM. */
int hash_new(struct hash **ret_hash, const char *name);
void hash_add(struct hash *hash, const void *bytes, size_t count);
void hash_end(struct hash *hash, uint8_t *ret_digest);

/* Spec: RFC 8018, 5.2, with HMAC. 0, -ENOTSUP or -ENOMEM. */
int kdf_pbkdf2(const char *hash, const void *secret, size_t secret_bytes, const uint8_t *salt,
	       size_t salt_bytes, uint32_t iterations, uint8_t *ret_key, size_t key_bytes);

struct kdf_argon2 {
	bool id; /* Argon2id, else Argon2i */
	uint32_t passes, memory_kib, lanes;
};

/* Spec: RFC 9106. Takes the memory for the time of the call, and up to 8 threads. 0, -EINVAL for
 * numbers that Argon2 has not, or -ENOMEM. */
int kdf_argon2(const struct kdf_argon2 *how, const void *secret, size_t secret_bytes,
	       const uint8_t *salt, size_t salt_bytes, uint8_t *ret_key, size_t key_bytes);
