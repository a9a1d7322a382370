/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes of a connection, in the clear (Unix sockets) or by TLS. Nothing here waits. */
#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include "web/web_priv.h"

/* What a call of OpenSSL that did not succeed means. */
static ssize_t tls_result(struct web_connection *connection, int rc)
{
	switch (SSL_get_error(connection->tls, rc)) {
	case SSL_ERROR_WANT_READ:
		connection->tls_wants = EPOLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		connection->tls_wants = EPOLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		ERR_clear_error();
		return -ECONNRESET;
	}
}

int web_connection_handshake(struct web_connection *connection)
{
	int rc;

	ERR_clear_error();
	rc = SSL_accept(connection->tls);
	if (rc == 1) {
		web_tls_peer(connection->tls, &connection->peer);
		return 0;
	}
	rc = (int)tls_result(connection, rc);
	return rc ? rc : -ECONNRESET;
}

ssize_t web_connection_read(struct web_connection *connection, void *bytes, size_t count)
{
	ssize_t got;

	if (connection->tls) {
		ERR_clear_error();
		got = SSL_read(connection->tls, bytes, (int)MIN(count, (size_t)INT32_MAX));
		got = got > 0 ? got : tls_result(connection, (int)got);
	} else {
		got = recv(connection->source.fd, bytes, count, MSG_DONTWAIT);
		got = got < 0 ? -errno : got;
	}
	if (got > 0)
		connection->moved += (uint64_t)got;
	return got;
}

ssize_t web_connection_write(struct web_connection *connection, const void *bytes, size_t count)
{
	ssize_t sent;

	if (connection->tls) {
		ERR_clear_error();
		sent = SSL_write(connection->tls, bytes, (int)MIN(count, (size_t)INT32_MAX));
		if (sent <= 0) {
			sent = tls_result(connection, (int)sent);
			return sent ? sent : -EPIPE;
		}
	} else {
		sent = send(connection->source.fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return -errno;
	}
	connection->moved += (uint64_t)sent;
	return sent;
}

void web_connection_shut(struct web_connection *connection)
{
	if (connection->tls && SSL_is_init_finished(connection->tls)) {
		ERR_clear_error();
		SSL_shutdown(connection->tls);
		ERR_clear_error();
	}
	shutdown(connection->source.fd, SHUT_WR);
}
