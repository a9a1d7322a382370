/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts of libcrypto with the key expanded are kept in a pool, one for each thread that is at
 * work at once: a lock is held only to take and to give back one. A context has one direction, so
 * there are two pools.
 */
#include "codec/sector_cipher.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/macros.h"
#include "codec/kdf.h"

#define IV_BYTES 16
#define IV_UNIT  512
#define KEPT_MAX 16

enum iv_kind { IV_PLAIN, IV_PLAIN64, IV_PLAIN64BE, IV_ESSIV };

static const struct mode_row {
	const char *name;
	size_t key_bytes;
	const char *algorithm; /* libcrypto's name */
} modes[] = {
	{ "aes-xts", 32, "AES-128-XTS" }, { "aes-xts", 64, "AES-256-XTS" },
	{ "aes-cbc", 16, "AES-128-CBC" }, { "aes-cbc", 24, "AES-192-CBC" },
	{ "aes-cbc", 32, "AES-256-CBC" },
};

static const struct iv_row {
	const char *name;
	enum iv_kind kind;
	const char *hash; /* of the key, for ESSIV */
} ivs[] = {
	{ "plain", IV_PLAIN, NULL },
	{ "plain64", IV_PLAIN64, NULL },
	{ "plain64be", IV_PLAIN64BE, NULL },
	{ "essiv:sha256", IV_ESSIV, "sha256" },
};

struct context {
	EVP_CIPHER_CTX *data;
	EVP_CIPHER_CTX *essiv; /* NULL: the number itself is the vector */
	struct context *next;
};

struct pool {
	struct context *free;
	unsigned count;
};

struct sector_cipher {
	EVP_CIPHER *algorithm, *essiv_algorithm;
	enum iv_kind iv;
	uint32_t sector_bytes;
	uint8_t key[SECTOR_KEY_BYTES_MAX], essiv_key[HASH_BYTES_MAX];
	pthread_mutex_t lock; /* guards the pools */
	struct pool pools[2]; /* to decrypt, to encrypt */
};

static bool find_rows(const char *name, size_t key_bytes, const struct mode_row **ret_mode,
		      const struct iv_row **ret_iv)
{
	const struct mode_row *mode = NULL;
	const struct iv_row *iv = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(modes) && !mode; i++) {
		size_t length = strlen(modes[i].name);

		if (!strncmp(name, modes[i].name, length) && name[length] == '-' &&
		    modes[i].key_bytes == key_bytes)
			mode = &modes[i];
	}
	for (unsigned i = 0; i < ARRAY_SIZE(ivs) && mode && !iv; i++) {
		if (!strcmp(name + strlen(mode->name) + 1, ivs[i].name))
			iv = &ivs[i];
	}
	*ret_mode = mode;
	*ret_iv = iv;
	return mode && iv;
}

bool sector_cipher_exists(const char *name, size_t key_bytes)
{
	const struct mode_row *mode;
	const struct iv_row *iv;

	return find_rows(name, key_bytes, &mode, &iv);
}

static int set_essiv(struct sector_cipher *cipher, const struct iv_row *iv, size_t key_bytes)
{
	int rc;

	if (iv->kind != IV_ESSIV)
		return 0;
	cipher->essiv_algorithm = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	rc = hash_of(iv->hash, cipher->key, key_bytes, NULL, 0, cipher->essiv_key);
	return rc || cipher->essiv_algorithm ? rc : -ENOTSUP;
}

int sector_cipher_new(struct sector_cipher **ret_cipher, const char *name, const uint8_t *key,
		      size_t key_bytes, uint32_t sector_bytes)
{
	const struct mode_row *mode;
	const struct iv_row *iv;
	struct sector_cipher *cipher;
	int rc;

	if (!find_rows(name, key_bytes, &mode, &iv))
		return -ENOTSUP;
	cipher = calloc(1, sizeof(*cipher));
	if (!cipher)
		return -ENOMEM;
	pthread_mutex_init(&cipher->lock, NULL);
	cipher->iv = iv->kind;
	cipher->sector_bytes = sector_bytes;
	memcpy(cipher->key, key, key_bytes);
	cipher->algorithm = EVP_CIPHER_fetch(NULL, mode->algorithm, NULL);
	rc = cipher->algorithm ? set_essiv(cipher, iv, key_bytes) : -ENOTSUP;
	if (rc) {
		sector_cipher_free(cipher);
		return rc;
	}
	*ret_cipher = cipher;
	return 0;
}

static void context_free(struct context *context)
{
	/* libcrypto wipes the expanded keys. */
	EVP_CIPHER_CTX_free(context->data);
	EVP_CIPHER_CTX_free(context->essiv);
	free(context);
}

void sector_cipher_free(struct sector_cipher *cipher)
{
	if (!cipher)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(cipher->pools); i++) {
		while (cipher->pools[i].free) {
			struct context *context = cipher->pools[i].free;

			cipher->pools[i].free = context->next;
			context_free(context);
		}
	}
	EVP_CIPHER_free(cipher->algorithm);
	EVP_CIPHER_free(cipher->essiv_algorithm);
	pthread_mutex_destroy(&cipher->lock);
	explicit_bzero(cipher, sizeof(*cipher));
	free(cipher);
}

/* ---- contexts ---- */

static EVP_CIPHER_CTX *start_context(const EVP_CIPHER *algorithm, const uint8_t *key, bool encrypt)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();

	if (context && EVP_CipherInit_ex2(context, algorithm, key, NULL, encrypt, NULL) &&
	    EVP_CIPHER_CTX_set_padding(context, 0))
		return context;
	EVP_CIPHER_CTX_free(context);
	return NULL;
}

static struct context *context_new(const struct sector_cipher *cipher, bool encrypt)
{
	struct context *context = calloc(1, sizeof(*context));

	if (!context)
		return NULL;
	context->data = start_context(cipher->algorithm, cipher->key, encrypt);
	if (cipher->iv == IV_ESSIV)
		context->essiv = start_context(cipher->essiv_algorithm, cipher->essiv_key, true);
	if (context->data && (context->essiv || cipher->iv != IV_ESSIV))
		return context;
	context_free(context);
	return NULL;
}

static struct context *take_context(struct sector_cipher *cipher, bool encrypt)
{
	struct pool *pool = &cipher->pools[encrypt];
	struct context *context;

	pthread_mutex_lock(&cipher->lock);
	context = pool->free;
	if (context) {
		pool->free = context->next;
		pool->count--;
	}
	pthread_mutex_unlock(&cipher->lock);
	return context ? context : context_new(cipher, encrypt);
}

static void give_context(struct sector_cipher *cipher, struct context *context, bool encrypt)
{
	struct pool *pool = &cipher->pools[encrypt];

	pthread_mutex_lock(&cipher->lock);
	if (pool->count < KEPT_MAX) {
		context->next = pool->free;
		pool->free = context;
		pool->count++;
		context = NULL;
	}
	pthread_mutex_unlock(&cipher->lock);
	if (context)
		context_free(context);
}

/* ---- sectors ---- */

static bool make_iv(const struct sector_cipher *cipher, struct context *context, uint64_t sector,
		    uint8_t iv[IV_BYTES])
{
	int count;

	memset(iv, 0, IV_BYTES);
	if (cipher->iv == IV_PLAIN)
		le32_put(iv, (uint32_t)sector);
	else if (cipher->iv == IV_PLAIN64BE)
		be64_put(iv + 8, sector);
	else
		le64_put(iv, sector);
	return cipher->iv != IV_ESSIV || EVP_CipherUpdate(context->essiv, iv, &count, iv, IV_BYTES);
}

static int run(struct sector_cipher *cipher, bool encrypt, uint64_t sector, uint8_t *bytes,
	       size_t count)
{
	struct context *context = take_context(cipher, encrypt);
	uint8_t iv[IV_BYTES];
	int done, rc = 0;

	if (!context)
		return -ENOMEM;
	for (; count && !rc; count -= cipher->sector_bytes) {
		if (!make_iv(cipher, context, sector, iv) ||
		    !EVP_CipherInit_ex2(context->data, NULL, NULL, iv, -1, NULL) ||
		    !EVP_CipherUpdate(context->data, bytes, &done, bytes,
				      (int)cipher->sector_bytes) ||
		    done != (int)cipher->sector_bytes)
			rc = -EIO;
		sector += cipher->sector_bytes / IV_UNIT;
		bytes += cipher->sector_bytes;
	}
	give_context(cipher, context, encrypt);
	return rc;
}

int sector_cipher_encrypt(struct sector_cipher *cipher, uint64_t sector, uint8_t *bytes,
			  size_t count)
{
	return run(cipher, true, sector, bytes, count);
}

int sector_cipher_decrypt(struct sector_cipher *cipher, uint64_t sector, uint8_t *bytes,
			  size_t count)
{
	return run(cipher, false, sector, bytes, count);
}
