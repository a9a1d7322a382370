/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Secrets of sessions, tokens, links and tickets: as random as a key, so that one round of SHA-256 is
 * enough to keep them by (passwords are not: access_passwords.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "codec/kdf.h"
#include "node/access/priv.h"

#define SECRET_BYTES (SECRET_HEX / 2)

void hex_write(const uint8_t *bytes, size_t count, char *ret_hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < count; i++) {
		*ret_hex++ = digits[bytes[i] >> 4];
		*ret_hex++ = digits[bytes[i] & 15];
	}
	*ret_hex = 0;
}

static int hex_digit(char digit)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = digit ? strchr(digits, digit) : NULL;

	return at ? (int)(at - digits) : -EINVAL;
}

int hex_read(const char *hex, uint8_t *ret_bytes, size_t count)
{
	if (strlen(hex) != 2 * count)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

int secret_random(char ret_hex[SECRET_HEX + 1])
{
	uint8_t bytes[SECRET_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	hex_write(bytes, sizeof(bytes), ret_hex);
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

int secret_digest(const char *text, char ret_hex[SECRET_HEX + 1])
{
	uint8_t digest[HASH_BYTES_MAX];
	int rc = hash_of("sha256", text, strlen(text), "", 0, digest);

	if (!rc)
		hex_write(digest, SECRET_BYTES, ret_hex);
	return rc;
}

bool secret_equal(const char *a, const char *b)
{
	size_t count = strlen(a);
	unsigned different = 0;

	if (count != strlen(b))
		return false;
	for (size_t i = 0; i < count; i++)
		different |= (unsigned)(a[i] ^ b[i]);
	return !different;
}

bool secret_is_hex(const char *text)
{
	return strlen(text) == SECRET_HEX && strspn(text, "0123456789abcdef") == SECRET_HEX;
}
