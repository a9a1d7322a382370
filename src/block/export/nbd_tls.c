/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS by GnuTLS. Files are read when the credentials are made; sessions open none.
 *
 * Spec: RFC 8446, RFC 5246; pre-shared keys: RFC 4279, RFC 5489.
 */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/vec.h"
#include "block/export/nbd_priv.h"
#include "host/fd.h"

#define FILE_BYTES_MAX MIB
#define GOODBYES       16

struct user {
	char *name;
	gnutls_datum_t key; /* in hex */
};

struct nbd_tls {
	gnutls_certificate_credentials_t certificates; /* NULL: pre-shared keys */
	gnutls_psk_server_credentials_t psk;
	gnutls_priority_t priorities;
	bool verify;
	VEC(struct user) users;
};

static int tls_error(struct err *err, int rc, const char *what)
{
	return err_set(err, EINVAL, "cannot set up TLS: %s: %s", what, gnutls_strerror(rc));
}

static int tls_alloc(struct nbd_tls **ret_tls, const char *priorities, struct err *err)
{
	struct nbd_tls *tls = calloc(1, sizeof(*tls));
	int rc;

	if (!tls)
		return err_errno(err, ENOMEM, "cannot set up TLS");
	rc = gnutls_priority_init(&tls->priorities, priorities, NULL);
	if (rc) {
		nbd_tls_free(tls);
		return tls_error(err, rc, "priorities");
	}
	*ret_tls = tls;
	return 0;
}

void nbd_tls_free(struct nbd_tls *tls)
{
	struct user *user;

	if (!tls)
		return;
	vec_for_each (user, &tls->users) {
		free(user->name);
		gnutls_memset(user->key.data, 0, user->key.size);
		free(user->key.data);
	}
	vec_fini(&tls->users);
	if (tls->certificates)
		gnutls_certificate_free_credentials(tls->certificates);
	if (tls->psk)
		gnutls_psk_free_server_credentials(tls->psk);
	if (tls->priorities)
		gnutls_priority_deinit(tls->priorities);
	free(tls);
}

/* ---- certificates ---- */

static int load_certificates(struct nbd_tls *tls, const char *directory, struct err *err)
{
	AUTO_FREE char *authority = NULL, *certificate = NULL, *key = NULL, *refused = NULL;
	int rc;

	if (asprintf(&authority, "%s/ca-cert.pem", directory) < 0 ||
	    asprintf(&certificate, "%s/server-cert.pem", directory) < 0 ||
	    asprintf(&key, "%s/server-key.pem", directory) < 0 ||
	    asprintf(&refused, "%s/ca-crl.pem", directory) < 0)
		return err_errno(err, ENOMEM, "cannot set up TLS");
	rc = gnutls_certificate_set_x509_key_file(tls->certificates, certificate, key,
						  GNUTLS_X509_FMT_PEM);
	if (rc < 0)
		return tls_error(err, rc, certificate);
	rc = gnutls_certificate_set_x509_trust_file(tls->certificates, authority,
						    GNUTLS_X509_FMT_PEM);
	/* Only who checks clients needs the authority. */
	if (rc < 0 && tls->verify)
		return tls_error(err, rc, authority);
	if (access(refused, F_OK))
		return 0;
	rc = gnutls_certificate_set_x509_crl_file(tls->certificates, refused, GNUTLS_X509_FMT_PEM);
	return rc < 0 ? tls_error(err, rc, refused) : 0;
}

int nbd_tls_new_x509(struct nbd_tls **ret_tls, const char *directory, bool verify, struct err *err)
{
	struct nbd_tls *tls;
	int rc = tls_alloc(&tls, "NORMAL", err);

	if (rc)
		return rc;
	tls->verify = verify;
	rc = gnutls_certificate_allocate_credentials(&tls->certificates);
	rc = rc ? tls_error(err, rc, directory) : load_certificates(tls, directory, err);
	if (rc) {
		nbd_tls_free(tls);
		return rc;
	}
	*ret_tls = tls;
	return 0;
}

/* ---- pre-shared keys ---- */

/* Called by a session's handshake: the key of the user. */
static int find_key(gnutls_session_t session, const char *name, gnutls_datum_t *ret_key)
{
	struct nbd_tls *tls = gnutls_session_get_ptr(session);
	struct user *user;

	vec_for_each (user, &tls->users) {
		if (!strcmp(user->name, name))
			return gnutls_hex_decode2(&user->key, ret_key);
	}
	return -1;
}

/* A line "<user>:<key in hex>", which is cut up. */
static int add_user(struct nbd_tls *tls, char *line, const char *path, unsigned number,
		    struct err *err)
{
	char *colon = strchr(line, ':');
	struct user user;
	size_t digits;

	if (!*line || *line == '#')
		return 0;
	digits = colon ? strspn(colon + 1, "0123456789abcdefABCDEF") : 0;
	if (!digits || digits % 2 || colon[1 + digits] || colon == line)
		return err_set(err, EINVAL, "keys '%s': line %u is not '<user>:<key in hex>'", path,
			       number);
	*colon = '\0';
	user.name = strdup(line);
	user.key = (gnutls_datum_t){ (unsigned char *)strdup(colon + 1), (unsigned)digits };
	if (user.name && user.key.data && !vec_push(&tls->users, user))
		return 0;
	free(user.name);
	free(user.key.data);
	return err_errno(err, ENOMEM, "cannot set up TLS");
}

static int load_users(struct nbd_tls *tls, const char *path, struct err *err)
{
	unsigned number = 0;
	size_t bytes;
	void *text;
	char *rest, *line;
	int rc = fd_read_file(path, FILE_BYTES_MAX, &text, &bytes, err);

	if (rc)
		return rc;
	rest = text;
	while (!rc && (line = strsep(&rest, "\n")))
		rc = add_user(tls, line, path, ++number, err);
	gnutls_memset(text, 0, bytes);
	free(text);
	if (!rc && !tls->users.count)
		rc = err_set(err, EINVAL, "keys '%s': there are none", path);
	return rc;
}

int nbd_tls_new_psk(struct nbd_tls **ret_tls, const char *psk_file, struct err *err)
{
	struct nbd_tls *tls;
	int rc = tls_alloc(&tls, "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK", err);

	if (rc)
		return rc;
	rc = gnutls_psk_allocate_server_credentials(&tls->psk);
	if (rc)
		rc = tls_error(err, rc, psk_file);
	else
		rc = load_users(tls, psk_file, err);
	if (rc) {
		nbd_tls_free(tls);
		return rc;
	}
	gnutls_psk_set_server_credentials_function(tls->psk, find_key);
	*ret_tls = tls;
	return 0;
}

/* ---- sessions ---- */

static int session_init(struct nbd_tls *tls, gnutls_session_t session,
			const struct nbd_stream *stream)
{
	int rc = gnutls_priority_set(session, tls->priorities);

	if (!rc && tls->certificates)
		rc = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->certificates);
	else if (!rc)
		rc = gnutls_credentials_set(session, GNUTLS_CRD_PSK, tls->psk);
	if (tls->verify) {
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
		gnutls_session_set_verify_cert(session, NULL, 0);
	}
	gnutls_session_set_ptr(session, tls);
	gnutls_transport_set_int2(session, stream->in, stream->out);
	return rc;
}

int nbd_tls_start(struct nbd_tls *tls, struct nbd_stream *stream)
{
	gnutls_session_t session;
	int rc = gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

	if (rc)
		return -EPROTO;
	rc = session_init(tls, session, stream);
	while (!rc && (rc = gnutls_handshake(session)) && !gnutls_error_is_fatal(rc)) {
		if (rc == GNUTLS_E_AGAIN)
			rc = nbd_stream_wait(stream, gnutls_record_get_direction(session), false);
		else
			rc = 0;
	}
	if (rc) {
		gnutls_deinit(session);
		return -EPROTO;
	}
	stream->tls = session;
	return 0;
}

void nbd_tls_stop(struct nbd_stream *stream)
{
	if (!stream->tls)
		return;
	if (!atomic_load(&stream->broken)) {
		for (unsigned i = 0; i < GOODBYES; i++) {
			if (gnutls_bye(stream->tls, GNUTLS_SHUT_WR) != GNUTLS_E_AGAIN ||
			    nbd_stream_wait(stream, true, false))
				break;
		}
	}
	gnutls_deinit(stream->tls);
	stream->tls = NULL;
}
