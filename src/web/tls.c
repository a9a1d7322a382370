/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client's certificate is no condition of the handshake: without a CA its fingerprint is what
 * users are known by, and the handshake has proved that the client has the key. With a CA a
 * certificate that the CA did not sign counts as none.
 */
#include "web/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "base/macros.h"

static int any_certificate(int fine, X509_STORE_CTX *store)
{
	(void)fine;
	(void)store;
	return 1;
}

/* HTTP/1.1, or none that was named. Spec: RFC 7301. */
static int choose_protocol(SSL *tls, const unsigned char **out, unsigned char *out_bytes,
			   const unsigned char *in, unsigned in_bytes, void *ctx)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *found;

	(void)tls;
	(void)ctx;
	if (SSL_select_next_proto(&found, out_bytes, ours, sizeof(ours) - 1, in, in_bytes) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

static int failed(struct err *err, const char *what, const char *path)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	ERR_clear_error();
	return err_set(err, EINVAL, "cannot use %s '%s': %s", what, path,
		       reason ? reason : "it is not understood");
}

static int load_files(SSL_CTX *tls, const struct web_config *config, struct err *err)
{
	if (SSL_CTX_use_certificate_chain_file(tls, config->certificate) != 1)
		return failed(err, "certificate", config->certificate);
	if (SSL_CTX_use_PrivateKey_file(tls, config->key, SSL_FILETYPE_PEM) != 1)
		return failed(err, "key", config->key);
	if (SSL_CTX_check_private_key(tls) != 1)
		return failed(err, "key", config->key);
	if (!config->client_ca)
		return 0;
	if (SSL_CTX_load_verify_file(tls, config->client_ca) != 1)
		return failed(err, "certificate of clients' signer", config->client_ca);
	SSL_CTX_set_client_CA_list(tls, SSL_load_client_CA_file(config->client_ca));
	return 0;
}

int web_tls_new(const struct web_config *config, SSL_CTX **ret_tls, struct err *err)
{
	static const unsigned char sessions[] = "cella";
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	int rc;

	if (!tls)
		return err_set(err, ENOMEM, "cannot set up TLS");
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_id_context(tls, sessions, sizeof(sessions) - 1);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, any_certificate);
	SSL_CTX_set_alpn_select_cb(tls, choose_protocol, NULL);
	SSL_CTX_set_app_data(tls, config->client_ca ? tls : NULL);
	rc = load_files(tls, config, err);
	if (rc) {
		SSL_CTX_free(tls);
		return rc;
	}
	*ret_tls = tls;
	return 0;
}

static bool in_time(const X509 *certificate)
{
	return X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

static bool is_trusted(SSL *tls, const X509 *certificate)
{
	bool has_ca = SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls)) != NULL;

	return in_time(certificate) && (!has_ca || SSL_get_verify_result(tls) == X509_V_OK);
}

void web_tls_peer(SSL *tls, struct web_peer *peer)
{
	X509 *certificate = SSL_get0_peer_certificate(tls);
	unsigned char digest[32];
	unsigned bytes = sizeof(digest);

	if (!certificate || !is_trusted(tls, certificate) ||
	    X509_digest(certificate, EVP_sha256(), digest, &bytes) != 1)
		return;
	for (unsigned i = 0; i < bytes; i++)
		snprintf(peer->certificate + 2 * i, 3, "%02x", digest[i]);
	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, peer->subject,
				  sizeof(peer->subject));
}
