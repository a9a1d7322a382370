/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TLS of the HTTP server: version 1.3 alone, clients' certificates asked for. Spec: RFC 8446. */
#pragma once

#include <openssl/types.h>

#include "web/web.h"

/* Loads certificate and key. `ret_tls`: free with SSL_CTX_free(). */
int web_tls_new(const struct web_config *config, SSL_CTX **ret_tls, struct err *err);

/* Fills in what the client's certificate says, once the handshake is done. */
void web_tls_peer(SSL *tls, struct web_peer *peer);
