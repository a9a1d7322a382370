/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A server with an application of a few paths:
 *
 *	/hello		"hello"
 *	/who		what the server knows of the client
 *	/echo		the body
 *	/query, /cookie	the value of "name"
 *	/file, /memory	BIG_BYTES
 *	/later		an answer when the test gives it, by app_answer()
 *	/stream		"one", "two" and the end
 *	/flood		bytes until the client falls behind, more when it has caught up, then the end
 *	/socket		a web socket that repeats what it hears, and ends when it hears "end"
 *	/sum		an upload: how many bytes, and their sum
 *	/unwanted	an upload that is answered before it begins
 *	/full		an upload whose first piece fails
 */
#pragma once

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <sys/stat.h>

#include "client.h"
#include "host/thread.h"
#include "web/web.h"

#define BIG_BYTES   (1u << 20)
#define FLOOD_BYTES (16u << 10)

struct app {
	struct web *web;
	char folder[64];
	char socket_path[96], certificate[96];
	uint16_t port;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct web_exchange *later; /* guarded by lock, as all that follows */
	unsigned streams;
	unsigned floods; /* that the flood's client was behind, and caught up */
	int upload_end;  /* 1: not ended */
	uint64_t upload_bytes, upload_sum;
	struct web_exchange *upload;
	struct web_stream *stream;
	bool upload_fails;
};

static inline void app_text(struct web_exchange *exchange, unsigned status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static inline void app_text(struct web_exchange *exchange, unsigned status, const char *format, ...)
{
	struct web_response response = { .status = status, .type = "text/plain" };
	va_list args;
	int count;

	va_start(args, format);
	count = vasprintf(&response.body, format, args);
	va_end(args);
	response.bytes = (size_t)count;
	web_answer(exchange, &response);
}

static inline uint8_t app_big_byte(size_t at)
{
	return (uint8_t)(at * 7 + (at >> 9));
}

static inline void app_big(struct app *app, struct web_exchange *exchange, bool file)
{
	struct web_response response = { .status = 200,
					 .type = "application/octet-stream",
					 .bytes = BIG_BYTES };
	char name[96];

	response.body = malloc(BIG_BYTES);
	for (size_t i = 0; i < BIG_BYTES; i++)
		response.body[i] = (char)app_big_byte(i);
	if (file) {
		snprintf(name, sizeof(name), "%s/big", app->folder);
		response.fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_int_equal(pwrite(response.fd, response.body, BIG_BYTES, 3), BIG_BYTES);
		lseek(response.fd, 3, SEEK_SET);
		free(response.body);
		response.body = NULL;
	}
	web_answer(exchange, &response);
}

static inline void app_closed(void *ctx)
{
	struct app *app = ctx;

	LOCK_SCOPE(&app->lock);
	app->streams--;
	app->stream = NULL;
	pthread_cond_broadcast(&app->changed);
}

static inline void app_received(void *ctx, const char *bytes, size_t count, bool binary)
{
	struct app *app = ctx;

	LOCK_SCOPE(&app->lock);
	if (count == 3 && !memcmp(bytes, "end", 3))
		web_stream_close(app->stream);
	else
		web_stream_send(app->stream, bytes, count, binary);
}

static inline void app_flood(struct app *app)
{
	static const char bytes[FLOOD_BYTES] = { 'f' };

	while (!web_stream_send(app->stream, bytes, sizeof(bytes), true))
		;
}

static inline void app_writable(void *ctx)
{
	struct app *app = ctx;

	LOCK_SCOPE(&app->lock);
	app->floods++;
	if (app->floods < 3)
		app_flood(app);
	else
		web_stream_close(app->stream);
	pthread_cond_broadcast(&app->changed);
}

static inline void app_stream(struct app *app, const struct web_request *request)
{
	static const struct web_stream_ops ops = { .received = app_received, .closed = app_closed };
	static const struct web_stream_ops flood_ops = { .writable = app_writable,
							 .closed = app_closed };
	bool is_socket = !strcmp(request->path, "/socket");
	bool is_flood = !strcmp(request->path, "/flood");
	struct web_stream *stream;

	LOCK_SCOPE(&app->lock);
	if (web_stream_open(request->exchange, is_socket ? WEB_STREAM_SOCKET : WEB_STREAM_CHUNKED,
			    "text/event-stream", is_flood ? &flood_ops : &ops, app, &stream)) {
		app_text(request->exchange, 400, "no stream");
		return;
	}
	app->stream = stream;
	app->streams++;
	pthread_cond_broadcast(&app->changed);
	if (is_flood)
		app_flood(app);
	if (is_socket || is_flood)
		return;
	web_stream_send(stream, "one", 3, false);
	web_stream_send(stream, "two", 3, false);
	if (!strstr(request->query, "stay"))
		web_stream_close(stream);
}

static inline void app_request(void *ctx, const struct web_request *request)
{
	struct app *app = ctx;
	struct web_exchange *exchange = request->exchange;
	char value[64];

	if (!strcmp(request->path, "/hello"))
		app_text(exchange, 200, "hello");
	else if (!strcmp(request->path, "/who"))
		app_text(exchange, 200, "%d %u %s %s", request->peer.unix_socket, request->peer.uid,
			 request->peer.certificate, request->peer.subject);
	else if (!strcmp(request->path, "/echo"))
		app_text(exchange, 200, "%s", request->body);
	else if (!strcmp(request->path, "/query"))
		app_text(exchange, 200, "%s",
			 web_query(request, "name", value, sizeof(value)) ? value : "none");
	else if (!strcmp(request->path, "/cookie"))
		app_text(exchange, 200, "%s",
			 web_cookie(request, "name", value, sizeof(value)) ? value : "none");
	else if (!strcmp(request->path, "/file") || !strcmp(request->path, "/memory"))
		app_big(app, exchange, request->path[1] == 'f');
	else if (!strcmp(request->path, "/stream") || !strcmp(request->path, "/socket") ||
		 !strcmp(request->path, "/flood"))
		app_stream(app, request);
	else if (!strcmp(request->path, "/later")) {
		LOCK_SCOPE(&app->lock);
		app->later = exchange;
		pthread_cond_broadcast(&app->changed);
	} else
		app_text(exchange, 404, "no %s", request->path);
}

static inline int app_piece(void *ctx, const char *bytes, size_t count)
{
	struct app *app = ctx;

	LOCK_SCOPE(&app->lock);
	app->upload_bytes += count;
	for (size_t i = 0; i < count; i++)
		app->upload_sum += (uint8_t)bytes[i];
	return app->upload_fails ? -ENOSPC : 0;
}

static inline void app_upload_end(void *ctx, int rc)
{
	struct app *app = ctx;

	LOCK_SCOPE(&app->lock);
	app->upload_end = rc;
	app_text(app->upload, rc ? 507 : 200, "%llu %llu", (unsigned long long)app->upload_bytes,
		 (unsigned long long)app->upload_sum);
	pthread_cond_broadcast(&app->changed);
}

static inline int app_upload(void *ctx, const struct web_request *request, uint64_t bytes,
			     const struct web_upload_ops **ret_ops, void **ret_ctx)
{
	static const struct web_upload_ops ops = { .piece = app_piece, .end = app_upload_end };
	struct app *app = ctx;

	if (!strcmp(request->path, "/unwanted")) {
		app_text(request->exchange, 403, "not wanted");
		return -EPERM;
	}
	LOCK_SCOPE(&app->lock);
	app->upload_fails = !strcmp(request->path, "/full");
	app->upload_bytes = 0;
	app->upload_sum = 0;
	app->upload_end = 1;
	app->upload = request->exchange;
	pthread_cond_broadcast(&app->changed);
	*ret_ops = &ops;
	*ret_ctx = app;
	return 0;
}

/* A key and a certificate signed by itself, as one PEM file. */
static inline void app_certificate(const char *path, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	FILE *file = fopen(path, "w");

	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), strstr(name, "old") ? -1800 : 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
				   (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()));
	assert_non_null(file);
	PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
	PEM_write_X509(file, certificate);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

/* Starts it; what `config` leaves open is set. */
static inline void app_start(struct app *app, struct web_config config)
{
	static const struct web_ops ops = { .request = app_request, .upload = app_upload };
	static const char *const listen[] = { "127.0.0.1:0", NULL };
	struct err err = ERR_INIT;

	*app = (struct app){ .lock = PTHREAD_MUTEX_INITIALIZER,
			     .changed = PTHREAD_COND_INITIALIZER };
	snprintf(app->folder, sizeof(app->folder), "/tmp/cella-web-XXXXXX");
	assert_non_null(mkdtemp(app->folder));
	snprintf(app->socket_path, sizeof(app->socket_path), "%s/socket", app->folder);
	snprintf(app->certificate, sizeof(app->certificate), "%s/cert", app->folder);
	app_certificate(app->certificate, "server");
	config.unix_path = app->socket_path;
	config.listen = listen;
	config.certificate = config.key = app->certificate;
	if (config.files)
		config.files = app->folder;
	if (web_start(&app->web, &config, &ops, app, &err))
		fail_msg("%s", err.text);
	assert_int_equal(sscanf(web_address(app->web, 0), "https://127.0.0.1:%hu", &app->port), 1);
	assert_null(web_address(app->web, 1));
}

static inline void app_stop(struct app *app)
{
	char command[128];

	web_stop(app->web);
	snprintf(command, sizeof(command), "rm -r %s", app->folder);
	assert_int_equal(system(command), 0);
}

/* Waits under the lock; a test that waits in vain is ended by its time-out. */
#define app_wait_locked(app, condition)                                                            \
	do {                                                                                       \
		while (!(condition))                                                               \
			pthread_cond_wait(&(app)->changed, &(app)->lock);                          \
	} while (0)

/* Waits for a request of /later and answers it, on this thread. */
static inline void app_answer(struct app *app, const char *text)
{
	struct web_exchange *exchange;

	pthread_mutex_lock(&app->lock);
	app_wait_locked(app, app->later);
	exchange = app->later;
	app->later = NULL;
	pthread_mutex_unlock(&app->lock);
	app_text(exchange, 200, "%s", text);
}
