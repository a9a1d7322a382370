/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our own certificate, as OpenSSL's verification sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/certificate.h"

#define DAY 86400
#define NOW UINT64_C(1795273200) /* 2026-11-21 */

static const char *const names[] = { "host.example", "localhost", "192.0.2.1", "2001:db8::1",
				     NULL };

struct place {
	char path[64];
	int fd;
};

static int place_init(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->path, sizeof(place->path), "/var/tmp/cella-tls-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	place->fd = open(place->path, O_RDONLY | O_DIRECTORY);
	*state = place;
	return 0;
}

static int place_fini(void **state)
{
	struct place *place = *state;

	unlinkat(place->fd, CERTIFICATE_KEY, 0);
	unlinkat(place->fd, CERTIFICATE_FILE, 0);
	close(place->fd);
	/* Nothing else was left. */
	assert_int_equal(rmdir(place->path), 0);
	free(place);
	return 0;
}

static X509 *load(struct place *place)
{
	X509 *certificate;
	char path[128];
	BIO *bio;

	snprintf(path, sizeof(path), "%s/%s", place->path, CERTIFICATE_FILE);
	bio = BIO_new_file(path, "r");
	certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	assert_non_null(certificate);
	BIO_free(bio);
	return certificate;
}

static void fingerprint(struct place *place, char ret_hex[65])
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", place->path, CERTIFICATE_FILE);
	assert_int_equal(certificate_fingerprint(path, ret_hex, NULL), 0);
}

static bool made(struct place *place, const char *const *list, uint64_t now)
{
	bool is_new;

	assert_int_equal(certificate_ensure(place->fd, list, now, &is_new, NULL), 0);
	return is_new;
}

static unsigned mode_of(struct place *place, const char *name)
{
	struct stat status;

	assert_int_equal(fstatat(place->fd, name, &status, 0), 0);
	return status.st_mode & 0777;
}

static void certificate_new_one_verifies_for_its_names(void **state)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *check = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	X509 *certificate;

	assert_true(made(*state, names, NOW));
	assert_int_equal(mode_of(*state, CERTIFICATE_KEY), 0600);
	assert_int_equal(mode_of(*state, CERTIFICATE_FILE), 0644);
	certificate = load(*state);
	X509_STORE_add_cert(store, certificate);
	assert_int_equal(X509_STORE_CTX_init(check, store, certificate, NULL), 1);
	param = X509_STORE_CTX_get0_param(check);
	X509_VERIFY_PARAM_set_time(param, (time_t)NOW);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set1_host(param, "host.example", 0);
	if (X509_verify_cert(check) != 1)
		fail_msg("%s", X509_verify_cert_error_string(X509_STORE_CTX_get_error(check)));
	assert_int_equal(X509_check_host(certificate, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(certificate, "other.example", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(certificate, "192.0.2.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "2001:db8::1", 0), 1);
	assert_int_equal(X509_check_ip_asc(certificate, "192.0.2.2", 0), 0);
	X509_STORE_CTX_free(check);
	X509_STORE_free(store);
	X509_free(certificate);
}

static void certificate_good_one_stays(void **state)
{
	static const char *const other_address[] = { "host.example", "localhost", "192.0.2.7",
						     NULL };
	char before[65], after[65];

	assert_true(made(*state, names, NOW));
	fingerprint(*state, before);
	assert_false(made(*state, names, NOW + (CERTIFICATE_DAYS - CERTIFICATE_RENEW - 1) * DAY));
	assert_false(made(*state, other_address, NOW));
	fingerprint(*state, after);
	assert_string_equal(before, after);
}

static void certificate_before_its_end_is_renewed_with_its_key(void **state)
{
	X509 *before, *after;

	assert_true(made(*state, names, NOW));
	before = load(*state);
	assert_true(made(*state, names, NOW + (CERTIFICATE_DAYS - CERTIFICATE_RENEW) * DAY));
	after = load(*state);
	assert_int_not_equal(X509_cmp(before, after), 0);
	assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(before), X509_get0_pubkey(after)), 1);
	assert_int_not_equal(
		ASN1_INTEGER_cmp(X509_get0_serialNumber(before), X509_get0_serialNumber(after)), 0);
	X509_free(before);
	X509_free(after);
}

static void certificate_of_another_name_or_key_is_made_again(void **state)
{
	static const char *const renamed[] = { "other.example", "localhost", NULL };
	struct place *place = *state;
	int fd;

	assert_true(made(place, names, NOW));
	assert_true(made(place, renamed, NOW));
	unlinkat(place->fd, CERTIFICATE_KEY, 0);
	assert_true(made(place, renamed, NOW));
	fd = openat(place->fd, CERTIFICATE_FILE, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "rubbish", 7), 7);
	close(fd);
	assert_true(made(place, renamed, NOW));
	assert_false(made(place, renamed, NOW));
}

/* It may be an operator's: nobody throws it away. */
static void key_damaged_is_told(void **state)
{
	struct place *place = *state;
	struct err err = ERR_INIT;
	bool is_new;
	int fd = openat(place->fd, CERTIFICATE_KEY, O_WRONLY | O_CREAT, 0600);

	assert_int_equal(write(fd, "rubbish", 7), 7);
	close(fd);
	assert_int_equal(certificate_ensure(place->fd, names, NOW, &is_new, &err), -EBADMSG);
	assert_non_null(strstr(err.text, CERTIFICATE_KEY));
	assert_true(strlen(err.hint));
}

static void host_names_start_with_the_host(void **state)
{
	char **list = certificate_host_names();
	char host[256];
	size_t count = 0;

	(void)state;
	gethostname(host, sizeof(host));
	assert_string_equal(list[0], host);
	while (list[count])
		count++;
	assert_true(count >= 3);
	certificate_free_names(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(certificate_new_one_verifies_for_its_names,
						place_init, place_fini),
		cmocka_unit_test_setup_teardown(certificate_good_one_stays, place_init, place_fini),
		cmocka_unit_test_setup_teardown(certificate_before_its_end_is_renewed_with_its_key,
						place_init, place_fini),
		cmocka_unit_test_setup_teardown(certificate_of_another_name_or_key_is_made_again,
						place_init, place_fini),
		cmocka_unit_test_setup_teardown(key_damaged_is_told, place_init, place_fini),
		cmocka_unit_test(host_names_start_with_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
