/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HTTP server: listeners on TCP with TLS and on Unix sockets, requests, bodies that come in
 * pieces, streams of events, web sockets, and a folder of files. It knows no API.
 *
 * One thread of its own serves all connections and never waits. Requests are answered on worker
 * threads, which may wait; an answer may also be given later, from any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct web;
struct web_exchange; /* one request and its answer */
struct web_stream;   /* an answer without end, or a web socket */

enum web_method { WEB_GET, WEB_HEAD, WEB_POST, WEB_PUT, WEB_PATCH, WEB_DELETE, WEB_OPTIONS };

#define WEB_BODY_MAX (1u << 20) /* of a request that is no upload */

struct web_peer {
	bool unix_socket;
	uid_t uid; /* of a Unix socket's peer */
	gid_t gid;
	pid_t pid;
	char address[64]; /* "192.0.2.1:4711", "unix" */
	char certificate
		[65];      /* SHA-256 of the client's certificate as hex, "": none or not trusted */
	char subject[256]; /* its common name */
};

/* Valid until the answer was given. */
struct web_request {
	enum web_method method;
	const char *path;  /* decoded, normal: no "..", no empty parts; starts with '/' */
	const char *query; /* as it came, "": none */
	const char *body;  /* with a NUL behind it */
	size_t bytes;
	struct web_peer peer;
	struct web_exchange *exchange;
};

/* A header of the request by its lower-case name; NULL: there is none. */
const char *web_header(const struct web_request *request, const char *name);
/* A cookie's value into `ret_value` (bytes with the NUL: `size`); false: there is none. */
bool web_cookie(const struct web_request *request, const char *name, char *ret_value, size_t size);
/* A decoded value of the query; false: there is none, or it is too long or malformed. */
bool web_query(const struct web_request *request, const char *name, char *ret_value, size_t size);

#define WEB_HEADERS_MAX 12

struct web_response {
	unsigned status;
	const char *type; /* "application/json"; NULL: no body */
	char *body;       /* malloc'ed; the server frees it */
	size_t bytes;
	bool compressible; /* the body, which has no secret in it */
	int fd; /* > 0: the body is this file from where it stands, `bytes` of it; closed then */
	unsigned header_count;
	struct {
		const char *name; /* with the colon: "etag:" */
		char value[512];
	} headers[WEB_HEADERS_MAX];
};

void web_response_header(struct web_response *response, const char *name, const char *format, ...)
	PRINTF_LIKE(3, 4);

/* Gives the answer, takes what is in `response`. Exactly once for an exchange. Any thread. */
void web_answer(struct web_exchange *exchange, struct web_response *response);

/* A client that went away: what still works for it may stop. Any thread until the answer. */
bool web_gone(const struct web_exchange *exchange);

/* ---- bodies in pieces ---- */

#define WEB_BYTES_UNKNOWN UINT64_MAX /* it comes in chunks */

struct web_upload_ops {
	/* On a worker thread, in order, never two at once. Negative errno: the rest is thrown away. */
	int (*piece)(void *ctx, const char *bytes, size_t count);
	/* The body is complete (0), or broke off (negative errno). Gives the answer. */
	void (*end)(void *ctx, int rc);
};

/* ---- streams ---- */

/*
 * What a stream is for. A stream that nobody reads holds WEB_STREAM_MAX bytes; then web_stream_send()
 * says -EAGAIN, and `writable` is called when all of them have gone. Calls come on the web thread, also
 * before web_stream_open() returns, and must not wait. `closed` is the last one: when it returns, the
 * stream is no more, so whoever else has the pointer must have given it up by then.
 */
struct web_stream_ops {
	void (*received)(void *ctx, const char *bytes, size_t count, bool binary); /* web sockets */
	void (*writable)(void *ctx);
	void (*closed)(void *ctx);
};

#define WEB_STREAM_MAX (256u << 10)

enum web_stream_kind { WEB_STREAM_CHUNKED, WEB_STREAM_SOCKET };

/*
 * Answers a GET with a stream: as a body that goes on (of `type`: "text/event-stream",
 * "application/x-ndjson"), or by the upgrade that the client asked for. -EPROTO: it did not ask for
 * an upgrade, or its origin is another site's (the answer still has to be given).
 */
int web_stream_open(struct web_exchange *exchange, enum web_stream_kind kind, const char *type,
		    const struct web_stream_ops *ops, void *ctx, struct web_stream **ret_stream);

/* Any thread. One message of a web socket (text unless `binary`), or bytes of the body. 0, -EAGAIN,
 * -EPIPE: closed. */
int web_stream_send(struct web_stream *stream, const char *bytes, size_t count, bool binary);

/* Ends it when what was sent has gone; `closed` still comes. Any thread. */
void web_stream_close(struct web_stream *stream);

/* ---- the server ---- */

struct web_ops {
	/* On a worker thread. */
	void (*request)(void *ctx, const struct web_request *request);
	/*
	 * Before the body (of `bytes`, or WEB_BYTES_UNKNOWN) of a PUT or POST whose type is
	 * application/octet-stream, on a worker thread: 0 with ops and a context that take it, or a negative errno when the answer was given instead.
	 */
	int (*upload)(void *ctx, const struct web_request *request, uint64_t bytes,
		      const struct web_upload_ops **ret_ops, void **ret_ctx);
};

struct web_config {
	const char *unix_path;         /* NULL: none */
	const char *const *listen;     /* "ADDR:PORT" each, NULL at the end; NULL: none */
	const char *certificate, *key; /* PEM files of the TCP listeners */
	const char *
		client_ca; /* PEM file that client certificates must be signed by; NULL: asked for, any taken (the fingerprint is what counts) */
	const char *files; /* folder of the console's files, under "/"; NULL: none */
	unsigned workers;  /* threads that answer */
	unsigned clients_max;         /* connections at once; 0: a preset */
	unsigned address_clients_max; /* ... of one address; 0: half of them */
	unsigned second_ms; /* how long a second of patience with clients is; 0: 1000. For tests */
};

/* Starts it: when it returns, the listeners are open. */
int web_start(struct web **ret_web, const struct web_config *config, const struct web_ops *ops,
	      void *ctx, struct err *err);
/*
 * Reads the files of certificate, key and clients' CA that `config` names (the rest of it does not
 * matter): who connects from now on gets them, others notice nothing. A failure changes nothing. Any
 * thread but the web thread.
 */
int web_renew_tls(struct web *web, const struct web_config *config, struct err *err);
/* "https://192.0.2.1:8443" of the n-th TCP listener, with the port that the system chose; NULL: there is none. */
const char *web_address(const struct web *web, unsigned index);
/* Takes no requests any more, ends streams, waits for the workers, frees. Accepts NULL. */
void web_stop(struct web *web);
