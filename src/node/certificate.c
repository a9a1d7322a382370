/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files are replaced whole, key first: who is killed in between finds a key without its certificate,
 * and makes one.
 */
#include "node/certificate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/vec.h"
#include "host/fd.h"

#define DAY         (UINT64_C(24) * 3600)
#define SERIAL_BITS 127
#define PEM_MAX     65536

static int failed(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, EIO, "cannot %s", what);
}

/* ---- files ---- */

/* 0 and NULL: there is none. */
static int read_file(int folder_fd, const char *name, BIO **ret_bio, struct err *err)
{
	AUTO_CLOSE int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	AUTO_FREE char *bytes = malloc(PEM_MAX);
	ssize_t count;

	*ret_bio = NULL;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_errno(err, errno, "cannot open '%s'", name);
	count = bytes ? read(fd, bytes, PEM_MAX) : -1;
	if (count < 0)
		return err_errno(err, bytes ? errno : ENOMEM, "cannot read '%s'", name);
	*ret_bio = BIO_new(BIO_s_mem());
	if (!*ret_bio || BIO_write(*ret_bio, bytes, (int)count) != count) {
		BIO_free(*ret_bio);
		return failed(err, "read a certificate");
	}
	explicit_bzero(bytes, (size_t)count);
	return 0;
}

static int write_file(int folder_fd, const char *name, mode_t mode, BIO *bio, struct err *err)
{
	char part[64], *bytes;
	long count = BIO_get_mem_data(bio, &bytes);
	AUTO_CLOSE int fd = -1;
	int rc;

	snprintf(part, sizeof(part), "%s.part", name);
	unlinkat(folder_fd, part, 0);
	fd = openat(folder_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return err_errno(err, errno, "cannot make '%s'", name);
	rc = fchmod(fd, mode) ? -errno : fd_write_all(fd, bytes, (size_t)count);
	if (!rc && (fsync(fd) || renameat(folder_fd, part, folder_fd, name) || fsync(folder_fd)))
		rc = -errno;
	if (!rc)
		return 0;
	unlinkat(folder_fd, part, 0);
	return err_errno(err, rc, "cannot write '%s'", name);
}

/* ---- the key ---- */

static int make_key(int folder_fd, EVP_PKEY **ret_key, struct err *err)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_secmem());
	int rc;

	if (!key || !bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		rc = failed(err, "make a key for TLS");
	else
		rc = write_file(folder_fd, CERTIFICATE_KEY, 0600, bio, err);
	BIO_free(bio);
	if (rc)
		EVP_PKEY_free(key);
	else
		*ret_key = key;
	return rc;
}

static int get_key(int folder_fd, EVP_PKEY **ret_key, struct err *err)
{
	BIO *bio;
	int rc = read_file(folder_fd, CERTIFICATE_KEY, &bio, err);

	if (rc)
		return rc;
	if (!bio)
		return make_key(folder_fd, ret_key, err);
	*ret_key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (*ret_key)
		return 0;
	ERR_clear_error();
	err_set(err, EBADMSG, "'%s' is damaged", CERTIFICATE_KEY);
	err_hint(err, "remove it, and a new one is made");
	return -EBADMSG;
}

/* ---- the certificate ---- */

static bool is_address(const char *name)
{
	struct in6_addr address;

	return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static bool is_good(X509 *certificate, EVP_PKEY *key, const char *const *names, uint64_t now)
{
	time_t soon = (time_t)(now + CERTIFICATE_RENEW * DAY);

	if (!certificate || X509_check_private_key(certificate, key) != 1 ||
	    X509_cmp_time(X509_get0_notAfter(certificate), &soon) <= 0)
		return false;
	for (; *names; names++) {
		if (!is_address(*names) && X509_check_host(certificate, *names, 0,
							   X509_CHECK_FLAG_NO_WILDCARDS, NULL) != 1)
			return false;
	}
	return true;
}

static bool add_extension(X509 *certificate, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool good;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	good = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

/* Built, not parsed from a text: names come from the host. */
static bool add_name(GENERAL_NAMES *list, const char *name)
{
	GENERAL_NAME *item = GENERAL_NAME_new();
	ASN1_STRING *value;
	bool address = is_address(name);

	if (!item)
		return false;
	if (address) {
		value = a2i_IPADDRESS(name);
	} else {
		value = ASN1_IA5STRING_new();
		if (value)
			ASN1_STRING_set(value, name, (int)strlen(name));
	}
	if (!value) {
		GENERAL_NAME_free(item);
		return false;
	}
	GENERAL_NAME_set0_value(item, address ? GEN_IPADD : GEN_DNS, value);
	return sk_GENERAL_NAME_push(list, item) > 0;
}

static bool add_names(X509 *certificate, const char *const *names)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	bool good = list;

	for (; good && *names; names++)
		good = add_name(list, *names);
	good = good && X509_add1_ext_i2d(certificate, NID_subject_alt_name, list, 0, 0) == 1;
	GENERAL_NAMES_free(list);
	return good;
}

static bool set_serial(X509 *certificate)
{
	BIGNUM *number = BN_new();
	bool good = number && BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));

	BN_free(number);
	return good;
}

static bool set_subject(X509 *certificate, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);

	/* A common name has 64 characters at the most; what counts are the alternative names. */
	return X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC,
					  (const unsigned char *)"Cella", -1, -1, 0) == 1 &&
	       X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name,
					  (int)strnlen(name, 64), -1, 0) == 1 &&
	       X509_set_issuer_name(certificate, subject) == 1;
}

static X509 *make_certificate(EVP_PKEY *key, const char *const *names, uint64_t now)
{
	X509 *certificate = X509_new();
	time_t start = (time_t)(now - DAY), end = (time_t)(now + CERTIFICATE_DAYS * DAY);

	if (certificate && X509_set_version(certificate, X509_VERSION_3) == 1 &&
	    set_serial(certificate) && set_subject(certificate, names[0]) &&
	    ASN1_TIME_set(X509_getm_notBefore(certificate), start) &&
	    ASN1_TIME_set(X509_getm_notAfter(certificate), end) &&
	    X509_set_pubkey(certificate, key) == 1 &&
	    add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
	    add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
	    add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
	    add_extension(certificate, NID_subject_key_identifier, "hash") &&
	    add_names(certificate, names) && X509_sign(certificate, key, EVP_sha256()))
		return certificate;
	X509_free(certificate);
	return NULL;
}

static int write_certificate(int folder_fd, EVP_PKEY *key, const char *const *names, uint64_t now,
			     struct err *err)
{
	X509 *certificate = make_certificate(key, names, now);
	BIO *bio = BIO_new(BIO_s_mem());
	int rc;

	if (!certificate || !bio || PEM_write_bio_X509(bio, certificate) != 1)
		rc = failed(err, "make a certificate for TLS");
	else
		rc = write_file(folder_fd, CERTIFICATE_FILE, 0644, bio, err);
	BIO_free(bio);
	X509_free(certificate);
	return rc;
}

int certificate_ensure(int folder_fd, const char *const *names, uint64_t now, bool *ret_made,
		       struct err *err)
{
	X509 *certificate = NULL;
	EVP_PKEY *key;
	bool good;
	BIO *bio;
	int rc = get_key(folder_fd, &key, err);

	if (rc)
		return rc;
	rc = read_file(folder_fd, CERTIFICATE_FILE, &bio, err);
	if (!rc) {
		certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
		ERR_clear_error();
		BIO_free(bio);
		good = is_good(certificate, key, names, now);
		rc = good ? 0 : write_certificate(folder_fd, key, names, now, err);
		if (!rc)
			*ret_made = !good;
	}
	X509_free(certificate);
	EVP_PKEY_free(key);
	return rc;
}

int certificate_fingerprint(const char *path, char ret_hex[65], struct err *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned count = 0;
	BIO *bio = BIO_new_file(path, "r");
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	bool good = certificate && X509_digest(certificate, EVP_sha256(), digest, &count) == 1;

	X509_free(certificate);
	BIO_free(bio);
	ERR_clear_error();
	if (!good)
		return err_set(err, EBADMSG, "'%s' is no certificate", path);
	for (unsigned i = 0; i < 32; i++)
		snprintf(ret_hex + (size_t)2 * i, 3, "%02x", digest[i]);
	return 0;
}

/* ---- names of the host ---- */

struct names {
	VEC(char *) list;
	bool failed;
};

static void names_add(struct names *names, const char *name)
{
	char *copy = strdup(name);
	char **other;

	vec_for_each (other, &names->list) {
		if (!strcmp(*other, name)) {
			free(copy);
			return;
		}
	}
	if (copy && !vec_push(&names->list, copy))
		return;
	free(copy);
	names->failed = true;
}

/* Not those that mean something on one link alone, nor those of the bridges that we make. */
static void add_addresses(struct names *names)
{
	struct ifaddrs *all;

	if (getifaddrs(&all))
		return;
	for (struct ifaddrs *at = all; at; at = at->ifa_next) {
		char text[INET6_ADDRSTRLEN];
		const void *address;

		if (!at->ifa_addr || !(at->ifa_flags & IFF_UP) || !strncmp(at->ifa_name, "ce-", 3))
			continue;
		if (at->ifa_addr->sa_family == AF_INET) {
			address = &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr;
		} else if (at->ifa_addr->sa_family == AF_INET6) {
			address = &((struct sockaddr_in6 *)(void *)at->ifa_addr)->sin6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(address))
				continue;
		} else {
			continue;
		}
		if (inet_ntop(at->ifa_addr->sa_family, address, text, sizeof(text)))
			names_add(names, text);
	}
	freeifaddrs(all);
}

char **certificate_host_names(void)
{
	struct names names = { 0 };
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	if (*host)
		names_add(&names, host);
	names_add(&names, "localhost");
	names_add(&names, "127.0.0.1");
	names_add(&names, "::1");
	add_addresses(&names);
	if (!names.failed && !vec_push(&names.list, NULL))
		return names.list.items;
	for (size_t i = 0; i < names.list.count; i++)
		free(names.list.items[i]);
	vec_fini(&names.list);
	return NULL;
}

void certificate_free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}
