/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Thin names over libcrypto and libargon2. */
#include "codec/kdf.h"

#include <argon2.h>
#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/macros.h"

#define ARGON2_THREADS_MAX 8

size_t hash_bytes(const char *hash)
{
	EVP_MD *md = EVP_MD_fetch(NULL, hash, NULL);
	int bytes = md ? EVP_MD_get_size(md) : 0;

	EVP_MD_free(md);
	return bytes > 0 && bytes <= HASH_BYTES_MAX ? (size_t)bytes : 0;
}

int hash_of(const char *hash, const void *first, size_t first_bytes, const void *second,
	    size_t second_bytes, uint8_t *ret_digest)
{
	EVP_MD *md = EVP_MD_fetch(NULL, hash, NULL);
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	int rc = !md ? -ENOTSUP : -ENOMEM;

	if (md && context && EVP_DigestInit_ex2(context, md, NULL) &&
	    EVP_DigestUpdate(context, first, first_bytes) &&
	    EVP_DigestUpdate(context, second, second_bytes) &&
	    EVP_DigestFinal_ex(context, ret_digest, NULL))
		rc = 0;
	EVP_MD_CTX_free(context);
	EVP_MD_free(md);
	return rc;
}

struct hash {
	EVP_MD_CTX *context;
};

int hash_new(struct hash **ret_hash, const char *name)
{
	EVP_MD *md = EVP_MD_fetch(NULL, name, NULL);
	struct hash *hash = calloc(1, sizeof(*hash));
	int rc = !md ? -ENOTSUP : -ENOMEM;

	if (hash)
		hash->context = EVP_MD_CTX_new();
	if (md && hash && hash->context && EVP_DigestInit_ex2(hash->context, md, NULL))
		rc = 0;
	EVP_MD_free(md);
	if (rc && hash)
		EVP_MD_CTX_free(hash->context);
	if (rc)
		free(hash);
	else
		*ret_hash = hash;
	return rc;
}

void hash_add(struct hash *hash, const void *bytes, size_t count)
{
	EVP_DigestUpdate(hash->context, bytes, count);
}

void hash_end(struct hash *hash, uint8_t *ret_digest)
{
	EVP_DigestFinal_ex(hash->context, ret_digest, NULL);
	EVP_MD_CTX_free(hash->context);
	free(hash);
}

int kdf_pbkdf2(const char *hash, const void *secret, size_t secret_bytes, const uint8_t *salt,
	       size_t salt_bytes, uint32_t iterations, uint8_t *ret_key, size_t key_bytes)
{
	EVP_MD *md = EVP_MD_fetch(NULL, hash, NULL);
	int rc = -ENOTSUP;

	if (md && iterations && iterations <= INT_MAX && secret_bytes <= INT_MAX)
		rc = PKCS5_PBKDF2_HMAC(secret, (int)secret_bytes, salt, (int)salt_bytes,
				       (int)iterations, md, (int)key_bytes, ret_key)
			     ? 0
			     : -ENOMEM;
	EVP_MD_free(md);
	return rc;
}

int kdf_argon2(const struct kdf_argon2 *how, const void *secret, size_t secret_bytes,
	       const uint8_t *salt, size_t salt_bytes, uint8_t *ret_key, size_t key_bytes)
{
	argon2_context context = {
		.out = ret_key,
		.outlen = (uint32_t)key_bytes,
		/* Only read: the flags that would clear them are not set. */
		.pwd = (uint8_t *)(uintptr_t)secret,
		.pwdlen = (uint32_t)secret_bytes,
		.salt = (uint8_t *)(uintptr_t)salt,
		.saltlen = (uint32_t)salt_bytes,
		.t_cost = how->passes,
		.m_cost = how->memory_kib,
		.lanes = how->lanes,
		.threads = MIN(how->lanes, (uint32_t)ARGON2_THREADS_MAX),
		.version = ARGON2_VERSION_13,
	};
	int rc = argon2_ctx(&context, how->id ? Argon2_id : Argon2_i);

	if (rc == ARGON2_OK)
		return 0;
	return rc == ARGON2_MEMORY_ALLOCATION_ERROR || rc == ARGON2_THREAD_FAIL ? -ENOMEM : -EINVAL;
}
