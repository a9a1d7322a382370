/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/certificate.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/http_library.h"

static X509 *read_pem(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return certificate;
}

static int fingerprint_of(const char *pem, char ret_fingerprint[FINGERPRINT_SIZE])
{
	X509 *certificate = read_pem(pem);
	unsigned char digest[32];
	unsigned bytes = sizeof(digest);
	int rc = certificate && X509_digest(certificate, EVP_sha256(), digest, &bytes) == 1
			 ? 0
			 : -EPROTO;

	for (unsigned i = 0; !rc && i < bytes; i++)
		snprintf(ret_fingerprint + 2 * i, 3, "%02x", digest[i]);
	X509_free(certificate);
	return rc;
}

int certificate_days(const char *pem, int *ret_days)
{
	X509 *certificate = read_pem(pem);
	int seconds;
	int rc = certificate && ASN1_TIME_diff(ret_days, &seconds, NULL,
					       X509_get0_notAfter(certificate))
			 ? 0
			 : -EINVAL;

	X509_free(certificate);
	return rc;
}

/* "Cert:-----BEGIN CERTIFICATE-----…" of the first certificate that was shown. */
static char *first_certificate(const struct curl_certinfo *info)
{
	static const char name[] = "Cert:";

	if (!info || info->num_of_certs < 1)
		return NULL;
	for (const struct curl_slist *row = info->certinfo[0]; row; row = row->next) {
		if (!strncmp(row->data, name, sizeof(name) - 1))
			return strdup(row->data + sizeof(name) - 1);
	}
	return NULL;
}

static int fetch(const struct http_library *library, CURL *curl, const char *address,
		 char **ret_pem, struct err *err)
{
	struct curl_certinfo *info = NULL;
	CURLcode rc;

	library->easy_setopt(curl, CURLOPT_URL, address);
	library->easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
	library->easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	library->easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
	library->easy_setopt(curl, CURLOPT_TIMEOUT, 20L);
	/* It is looked at, and nothing is told to it. */
	library->easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
	library->easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	library->easy_setopt(curl, CURLOPT_CERTINFO, 1L);
	library->easy_setopt(curl, CURLOPT_NOBODY, 1L);
	rc = library->easy_perform(curl);
	if (!rc)
		rc = library->easy_getinfo(curl, CURLINFO_CERTINFO, &info);
	if (rc)
		return err_set(err, ECONNREFUSED, "cannot reach the server at '%s': %s", address,
			       library->easy_strerror(rc));
	*ret_pem = first_certificate(info);
	return *ret_pem ? 0
			: err_set(err, EPROTO, "the server at '%s' shows no certificate", address);
}

int certificate_fetch(const char *address, char **ret_pem, char ret_fingerprint[FINGERPRINT_SIZE],
		      struct err *err)
{
	struct http_library library;
	char *pem = NULL;
	CURL *curl;
	int rc = http_library_open(&library, err);

	if (rc)
		return rc;
	curl = library.easy_init();
	rc = curl ? fetch(&library, curl, address, &pem, err)
		  : err_errno(err, ENOMEM, "cannot ask the server");
	if (!rc && fingerprint_of(pem, ret_fingerprint))
		rc = err_set(err, EPROTO, "the certificate of '%s' is not understood", address);
	if (curl)
		library.easy_cleanup(curl);
	http_library_close(&library);
	if (rc)
		free(pem);
	else
		*ret_pem = pem;
	return rc;
}
