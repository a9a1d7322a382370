/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encryption of sectors, each by itself, as dm-crypt does it: the number of a sector decides its
 * initialisation vector. Ciphers go by their names there:
 *
 *	aes-xts-plain64, aes-xts-plain, aes-cbc-essiv:sha256, aes-cbc-plain64, aes-cbc-plain
 *
 * Any thread, several at once: each uses a cipher context of its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SECTOR_KEY_BYTES_MAX 64

struct sector_cipher;

/* Whether the cipher is known, and has keys so long. */
bool sector_cipher_exists(const char *name, size_t key_bytes);

/*
 * `sector_bytes`: 512 to 4096, a power of two. The key is copied, and wiped when it is freed. Errors:
 * -ENOTSUP, -ENOMEM.
 */
int sector_cipher_new(struct sector_cipher **ret_cipher, const char *name, const uint8_t *key,
		      size_t key_bytes, uint32_t sector_bytes);

/* Accepts NULL. Nobody uses it. */
void sector_cipher_free(struct sector_cipher *cipher);

/* In place; `count` is a multiple of the sector size. `sector`: the number of the first one, in
 * units of 512 bytes whatever the sector size. 0, -ENOMEM or -EIO. */
int sector_cipher_encrypt(struct sector_cipher *cipher, uint64_t sector, uint8_t *bytes,
			  size_t count);
int sector_cipher_decrypt(struct sector_cipher *cipher, uint64_t sector, uint8_t *bytes,
			  size_t count);
