/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hashes, key derivation, sector ciphers and secrets, against published vectors. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "codec/kdf.h"
#include "codec/secret.h"
#include "codec/sector_cipher.h"

/* Bytes of a text of hexadecimal digits. */
static size_t from_hex(uint8_t *bytes, const char *hex)
{
	size_t count = strlen(hex) / 2;

	for (size_t i = 0; i < count; i++) {
		unsigned value;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
		bytes[i] = (uint8_t)value;
	}
	return count;
}

static void expect_hex(const uint8_t *bytes, const char *hex)
{
	uint8_t expected[128];
	size_t count = from_hex(expected, hex);

	assert_memory_equal(bytes, expected, count);
}

static void hash_of_known_text_is_known(void **state)
{
	uint8_t digest[HASH_BYTES_MAX];

	(void)state;
	/* FIPS 180 */
	assert_int_equal(hash_of("sha256", "a", 1, "bc", 2, digest), 0);
	expect_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(hash_bytes("sha512"), 64);
	assert_int_equal(hash_bytes("sha1"), 20);
	assert_int_equal(hash_bytes("no such hash"), 0);
	assert_int_equal(hash_of("no such hash", "a", 1, "", 0, digest), -ENOTSUP);
}

static void pbkdf2_gives_the_keys_of_the_rfc(void **state)
{
	const uint8_t *salt = (const uint8_t *)"salt";
	uint8_t key[20];

	(void)state;
	/* RFC 6070 */
	assert_int_equal(kdf_pbkdf2("sha1", "password", 8, salt, 4, 2, key, 20), 0);
	expect_hex(key, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
	assert_int_equal(kdf_pbkdf2("sha1", "password", 8, salt, 4, 4096, key, 20), 0);
	expect_hex(key, "4b007901b765489abead49d926f721d065a429c1");
	assert_int_equal(kdf_pbkdf2("sha1", "password", 8, salt, 4, 0, key, 20), -ENOTSUP);
}

static void argon2_gives_the_keys_of_its_authors(void **state)
{
	/* The tests of the reference implementation. */
	static const struct {
		struct kdf_argon2 how;
		const char *key;
	} rows[] = {
		{ { true, 2, 256, 1 },
		  "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe" },
		{ { true, 2, 256, 2 },
		  "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037" },
		{ { false, 2, 256, 1 },
		  "89e9029f4637b295beb027056a7336c414fadd43f6b208645281cb214a56452f" },
		{ { false, 2, 256, 2 },
		  "4ff5ce2769a1d7f4c8a491df09d41a9fbe90e5eb02155a13e4c01e20cd4eab61" },
	};
	static const struct kdf_argon2 none = { true, 0, 256, 1 };
	const uint8_t *salt = (const uint8_t *)"somesalt";
	uint8_t key[32];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(kdf_argon2(&rows[i].how, "password", 8, salt, 8, key, 32), 0);
		expect_hex(key, rows[i].key);
	}
	assert_int_equal(kdf_argon2(&none, "password", 8, salt, 8, key, 32), -EINVAL);
}

/* IEEE 1619-2007, annex B: vectors 4 and 10; the data is 0, 1, 2, … */
static const struct {
	const char *key;
	uint64_t sector;
	const char *first;
} xts_rows[] = {
	{ "2718281828459045235360287471352631415926535897932384626433832795", 0,
	  "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c" },
	{ "2718281828459045235360287471352662497757247093699959574966967627"
	  "3141592653589793238462643383279502884197169399375105820974944592",
	  0xff, "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b" },
};

static void sector_cipher_xts_gives_the_bytes_of_the_standard(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(xts_rows); i++) {
		struct sector_cipher *cipher;
		uint8_t key[64], data[1024], plain[1024];
		size_t key_bytes = from_hex(key, xts_rows[i].key);

		for (unsigned at = 0; at < sizeof(data); at++)
			plain[at] = data[at] = (uint8_t)at;
		assert_int_equal(sector_cipher_new(&cipher, "aes-xts-plain64", key, key_bytes, 512),
				 0);
		assert_int_equal(
			sector_cipher_encrypt(cipher, xts_rows[i].sector, data, sizeof(data)), 0);
		expect_hex(data, xts_rows[i].first);
		assert_memory_not_equal(data, data + 512, 512);
		/* Each sector stands for itself. */
		assert_int_equal(
			sector_cipher_decrypt(cipher, xts_rows[i].sector + 1, data + 512, 512), 0);
		assert_memory_equal(data + 512, plain + 512, 512);
		assert_int_equal(sector_cipher_decrypt(cipher, xts_rows[i].sector, data, 512), 0);
		assert_memory_equal(data, plain, 512);
		sector_cipher_free(cipher);
	}
}

static void sector_cipher_numbers_sectors_in_512_bytes(void **state)
{
	static const char *const names[] = { "aes-xts-plain64", "aes-cbc-essiv:sha256",
					     "aes-cbc-plain64", "aes-cbc-plain" };
	uint8_t key[32] = { 1 }, data[8192], other[8192];

	(void)state;
	for (unsigned i = 16; i < 32; i++)
		key[i] = (uint8_t)i;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		struct sector_cipher *cipher;

		memset(data, 7, sizeof(data));
		memset(other, 7, sizeof(other));
		assert_int_equal(sector_cipher_new(&cipher, names[i], key, 32, 4096), 0);
		assert_int_equal(sector_cipher_encrypt(cipher, 16, data, 8192), 0);
		assert_int_equal(sector_cipher_encrypt(cipher, 24, other + 4096, 4096), 0);
		assert_memory_equal(data + 4096, other + 4096, 4096);
		assert_memory_not_equal(data, data + 4096, 4096);
		assert_int_equal(sector_cipher_decrypt(cipher, 16, data, 8192), 0);
		assert_memory_equal(data, other, 4096);
		sector_cipher_free(cipher);
	}
}

static void sector_cipher_unknown_is_refused(void **state)
{
	static const char *const names[] = { "",
					     "aes",
					     "aes-xts",
					     "aes-xts-",
					     "aes-xts-plain65",
					     "aes-ecb",
					     "serpent-xts-plain64",
					     "aes-cbc-essiv:md5",
					     "aes-xtsplain64" };
	static const uint8_t key[32];
	struct sector_cipher *cipher;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		assert_false(sector_cipher_exists(names[i], 32));
		assert_int_equal(sector_cipher_new(&cipher, names[i], key, 32, 512), -ENOTSUP);
	}
	assert_false(sector_cipher_exists("aes-xts-plain64", 33));
	assert_true(sector_cipher_exists("aes-cbc-plain64", 16));
}

static void secret_is_loaded_from_all_sources(void **state)
{
	char path[] = "/var/tmp/cella-secret-XXXXXX", source[64];
	int fd = mkstemp(path), pipes[2];
	struct secret secret;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(write(fd, "words\n", 6), 6);
	snprintf(source, sizeof(source), "file:%s", path);
	assert_int_equal(secret_load(&secret, source, &err), 0);
	assert_int_equal(secret.count, 6);
	assert_memory_equal(secret.bytes, "words\n", 6);
	secret_fini(&secret);
	assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
	snprintf(source, sizeof(source), "fd:%d", fd);
	/* What can be read again stays where it is. */
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(secret_load(&secret, source, &err), 0);
		assert_int_equal(secret.count, 5);
		secret_fini(&secret);
	}
	close(fd);
	unlink(path);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "more words", 10), 10);
	close(pipes[1]);
	snprintf(source, sizeof(source), "fd:%d", pipes[0]);
	assert_int_equal(secret_load(&secret, source, &err), 0);
	assert_memory_equal(secret.bytes, "more words", 10);
	secret_fini(&secret);
	close(pipes[0]);
	setenv("CELLA_TEST_SECRET", "other", 1);
	assert_int_equal(secret_load(&secret, "env:CELLA_TEST_SECRET", &err), 0);
	assert_memory_equal(secret.bytes, "other", 5);
	secret_fini(&secret);
}

static void secret_of_no_source_is_not_repeated(void **state)
{
	struct err err = ERR_INIT;
	struct secret secret;

	(void)state;
	assert_int_equal(secret_load(&secret, "my words themselves", &err), -EINVAL);
	assert_null(strstr(err.text, "words"));
	assert_null(strstr(err.hint, "words"));
	assert_int_equal(secret_load(&secret, "env:CELLA_NO_SUCH_VARIABLE", &err), -ENOENT);
	assert_int_equal(secret_load(&secret, "file:/dev/null", &err), -EINVAL);
	assert_int_equal(secret_load(&secret, "file:/dev/zero", &err), -E2BIG);
	assert_int_equal(secret_load(&secret, "fd:x", &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_of_known_text_is_known),
		cmocka_unit_test(pbkdf2_gives_the_keys_of_the_rfc),
		cmocka_unit_test(argon2_gives_the_keys_of_its_authors),
		cmocka_unit_test(sector_cipher_xts_gives_the_bytes_of_the_standard),
		cmocka_unit_test(sector_cipher_numbers_sectors_in_512_bytes),
		cmocka_unit_test(sector_cipher_unknown_is_refused),
		cmocka_unit_test(secret_is_loaded_from_all_sources),
		cmocka_unit_test(secret_of_no_source_is_not_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
