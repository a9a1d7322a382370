/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A client of raw bytes, in the clear or by TLS, for the tests of the server. */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"

#define CLIENT_PATIENCE_MS 20000

struct client {
	int fd;
	SSL *tls;
	SSL_CTX *context;
	struct str in; /* what came and was not taken */
};

static inline void client_connect(struct client *client, const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	*client = (struct client){ .fd = socket(AF_UNIX, SOCK_STREAM, 0) };
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(connect(client->fd, (struct sockaddr *)&at, sizeof(at)), 0);
}

static inline void client_connect_tcp(struct client *client, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	*client = (struct client){ .fd = socket(AF_INET, SOCK_STREAM, 0) };
	assert_int_equal(connect(client->fd, (struct sockaddr *)&at, sizeof(at)), 0);
}

/* With the certificate and key of `pem` (NULL: none), in `version` of TLS. False: refused. */
static inline bool client_connect_tls(struct client *client, uint16_t port, const char *pem,
				      int version)
{
	client_connect_tcp(client, port);
	client->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(client->context, version);
	if (pem) {
		assert_int_equal(
			SSL_CTX_use_certificate_file(client->context, pem, SSL_FILETYPE_PEM), 1);
		assert_int_equal(
			SSL_CTX_use_PrivateKey_file(client->context, pem, SSL_FILETYPE_PEM), 1);
	}
	client->tls = SSL_new(client->context);
	SSL_set_fd(client->tls, client->fd);
	return SSL_connect(client->tls) == 1;
}

static inline void client_close(struct client *client)
{
	SSL_free(client->tls);
	SSL_CTX_free(client->context);
	close(client->fd);
	str_fini(&client->in);
}

static inline void client_send(struct client *client, const void *bytes, size_t count)
{
	while (count) {
		ssize_t sent = client->tls ? SSL_write(client->tls, bytes, (int)count)
					   : send(client->fd, bytes, count, MSG_NOSIGNAL);

		assert_true(sent > 0);
		bytes = (const char *)bytes + sent;
		count -= (size_t)sent;
	}
}

static inline void client_say(struct client *client, const char *text)
{
	client_send(client, text, strlen(text));
}

/* Receives something; false: the end. */
static inline bool client_receive(struct client *client)
{
	char bytes[65536];
	struct pollfd poll_fd = { .fd = client->fd, .events = POLLIN };
	ssize_t got;

	if (!client->tls || !SSL_pending(client->tls))
		assert_int_equal(poll(&poll_fd, 1, CLIENT_PATIENCE_MS), 1);
	got = client->tls ? SSL_read(client->tls, bytes, sizeof(bytes))
			  : recv(client->fd, bytes, sizeof(bytes), 0);
	if (got <= 0)
		return false;
	str_add_bytes(&client->in, bytes, (size_t)got);
	return true;
}

static inline void client_drop(struct client *client, size_t count)
{
	memmove(client->in.text, client->in.text + count, client->in.length - count + 1);
	client->in.length -= count;
}

/* Takes exactly so many bytes. */
static inline void client_take(struct client *client, void *bytes, size_t count)
{
	while (client->in.length < count)
		assert_true(client_receive(client));
	if (!count)
		return;
	memcpy(bytes, client->in.text, count);
	client_drop(client, count);
}

/* The server ended the connection, with nothing more to say. */
static inline bool client_sees_end(struct client *client)
{
	return !client->in.length && !client_receive(client);
}

struct reply {
	unsigned status;
	char *head, *body;
	size_t bytes;
};

/* A header's value, NULL: there is none. */
static inline const char *reply_header(const struct reply *reply, const char *name, char value[512])
{
	char key[80];
	const char *line;

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	line = strstr(reply->head, key);
	if (!line)
		return NULL;
	line += strlen(key);
	snprintf(value, 512, "%.*s", (int)strcspn(line, "\r"), line);
	return value;
}

static inline void client_read_head(struct client *client, struct reply *reply)
{
	const char *end;
	size_t count;

	while (!client->in.text || !(end = strstr(client->in.text, "\r\n\r\n")))
		assert_true(client_receive(client));
	count = (size_t)(end - client->in.text) + 4;
	*reply = (struct reply){ .head = calloc(1, count + 1) };
	client_take(client, reply->head, count);
	assert_int_equal(sscanf(reply->head, "HTTP/1.1 %u ", &reply->status), 1);
}

/* Reads an answer that tells its length. */
static inline void client_read(struct client *client, struct reply *reply)
{
	char value[512];

	client_read_head(client, reply);
	if (reply_header(reply, "content-length", value))
		reply->bytes = strtoul(value, NULL, 10);
	reply->body = calloc(1, reply->bytes + 1);
	client_take(client, reply->body, reply->bytes);
}

static inline void reply_free(struct reply *reply)
{
	free(reply->head);
	free(reply->body);
}

/* Says `text` and reads the answer. */
static inline void client_ask(struct client *client, const char *text, struct reply *reply)
{
	client_say(client, text);
	client_read(client, reply);
}
