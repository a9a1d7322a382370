/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the server and who may touch them.
 *
 * A connection belongs to the web thread alone. What workers and callers hold are objects of their
 * own (an exchange, an upload, a file that is sent, a stream): each has a pointer to its connection
 * that only the web thread reads, and that is NULL once the connection has ended. They come back to
 * the web thread by posting a task.
 */
#pragma once

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/log.h"
#include "host/loop.h"
#include "host/workers.h"
#include "web/chunks.h"
#include "web/frame.h"
#include "web/head.h"
#include "web/tls.h"

#define WEB_LISTENERS_MAX 16

/* Patience, in seconds. */
#define WEB_HANDSHAKE_SECONDS 10
#define WEB_HEAD_SECONDS      10 /* from its first byte to its last */
#define WEB_BODY_SECONDS      60 /* of a body that is kept in memory, as a whole */
#define WEB_IDLE_SECONDS      75 /* between two requests */
#define WEB_STALL_SECONDS     30 /* an upload or an answer moves on meanwhile by ... */
#define WEB_STALL_BYTES       (16u << 10)
#define WEB_LINGER_SECONDS    2
#define WEB_PING_SECONDS      30 /* of web sockets */

#define WEB_PIECE_BYTES (128u << 10)         /* of uploads and of files that are sent */
#define WEB_BODIES_MAX  (UINT64_C(64) << 20) /* in memory, of all connections together */

struct web_connection;

struct web_listener {
	struct web *web;
	struct loop_fd source;
	struct loop_timer pause; /* while the process has no descriptors */
	struct log_once full;
	bool tls;
	char address[128]; /* "https://192.0.2.1:8443" */
};

struct web {
	const struct web_ops *ops;
	void *ctx;
	unsigned clients_max, address_clients_max;
	uint64_t second_ns; /* of patience */
	int files;          /* folder; -1: none */
	SSL_CTX *tls;
	struct loop *loop;
	pthread_t thread;
	bool runs;
	struct workers *workers;
	unsigned listener_count, tls_listener_count;
	struct web_listener listeners[WEB_LISTENERS_MAX];

	/* Of the web thread. */
	struct list connections; /* those that were used last are at the end */
	unsigned connection_count;

	_Atomic uint64_t body_bytes; /* of bodies in memory */

	pthread_mutex_t lock;
	pthread_cond_t answered;
	unsigned exchanges; /* that are not answered; guarded by lock */
	bool closed;        /* no further ones; guarded by lock */
};

/* ---- what is to be sent: pieces of memory, then a file ---- */

struct web_output {
	struct {
		char *bytes; /* owned */
		size_t count;
	} parts[2];
	unsigned part;
	size_t sent; /* of the part */
	struct web_file *file;
};

void web_output_fini(struct web_output *output);
/* Sends what can be sent. 0: all is; -EAGAIN; another negative errno. */
int web_output_send(struct web_connection *connection);
/* ... and what is left waits for the socket, not for a file. */
bool web_output_waits_for_socket(const struct web_output *output);

/* A file that is sent. Workers read it, piece by piece. */
struct web_file {
	struct web *web;
	struct web_connection *connection;
	struct work read;
	struct loop_task done;
	int fd;
	int rc;
	bool reading;
	uint64_t left;
	size_t count; /* of the piece */
	char *piece;
};

/* Takes `fd`, also on failure. NULL: no memory. */
struct web_file *web_file_new(struct web *web, int fd, uint64_t bytes);
/* Waits for the read in progress by itself. Accepts NULL. */
void web_file_free(struct web_file *file);

/* ---- one request ---- */

struct web_upload {
	const struct web_upload_ops *ops;
	void *ctx;
	struct work work;
	struct loop_task done;
	bool opened;
	bool working; /* a worker has it */
	bool ended;   /* a worker has, or had, its end */
	int rc;
	size_t count;
	char *piece;
};

struct web_exchange {
	struct web *web;
	struct web_connection *connection;
	struct web_request request;
	struct web_head head;
	char *text; /* that the head points into */
	char *body;
	size_t body_count,
		body_room;  /* of a body in memory; the room has one byte more, for a NUL */
	uint64_t body_left; /* has not been read; of one in chunks that of the chunk */
	bool body_ended;
	struct web_chunks chunks;
	bool wants_upload; /* ops->upload() is asked */
	struct web_upload upload;
	bool started; /* workers know it */
	struct work work;
	struct loop_task done;
	atomic_bool gone;
	atomic_uint references; /* the handler's, the answer's */
	/* Set by the answer, then the web thread's. */
	struct web_output output;
	bool keep_alive;
	struct web_stream *stream;
};

/* Makes it from a complete head; takes `text`. WEB_FINE, or why not (then `text` is freed). */
enum web_refusal web_exchange_new(struct web_connection *connection, char *text, size_t count,
				  struct web_exchange **ret_exchange);
/* To a worker, with its body or before it. */
void web_exchange_start(struct web_exchange *exchange);
/* Room for the body in memory, and a NUL behind it; or why there is none. */
enum web_refusal web_exchange_room(struct web_exchange *exchange);
/* The connection has ended. */
void web_exchange_leave(struct web_exchange *exchange);
void web_exchange_put(struct web_exchange *exchange);
/* The page that asks is this site's, or no browser's. */
bool web_exchange_is_own_site(const struct web_exchange *exchange);

/* Asks for the taker of the upload. On a worker. */
void web_upload_open(struct web_exchange *exchange);
/* Room for the next bytes of the upload; NULL: a worker has it. */
char *web_upload_room(struct web_exchange *exchange, size_t *ret_room);
/* So many came; none: the end did. */
void web_upload_got(struct web_exchange *exchange, size_t count);
/* No more can be had now. */
void web_upload_flush(struct web_exchange *exchange);
/* No more bytes will come. */
void web_upload_break(struct web_exchange *exchange, int rc);

/* Compresses the body if the answer allows it, and who asked with `head` takes it. */
void web_compress(const struct web_head *head, struct web_response *response);
/* The head of an answer. */
void web_response_head(struct str *head, const struct web_response *response, bool keep_alive);
int web_response_output(struct web *web, struct web_response *response, bool is_head,
			bool keep_alive, struct web_output *ret_output);
/* The whole answer of a refusal. */
int web_refusal_output(struct web *web, enum web_refusal refusal, struct web_output *ret_output);

/* A file of the console is asked for: gives the answer. On a worker. */
bool web_files_answer(struct web *web, const struct web_request *request);

/* ---- streams ---- */

struct web_queue {
	char *bytes;
	size_t count, capacity;
};

struct web_stream {
	struct web *web;
	enum web_stream_kind kind;
	const struct web_stream_ops *ops;
	void *ctx;
	struct loop_task task;

	/* Of the web thread. */
	struct web_connection *connection;
	struct web_message message;
	uint8_t *input; /* of a web socket: a frame that is not complete */
	size_t input_count;
	bool pinged;         /* and nothing was heard since */
	bool close_received; /* nothing more is read */

	pthread_mutex_t lock;
	struct web_queue queue; /* guarded by lock */
	size_t taken;           /* off the queue, and not sent; guarded by lock */
	bool starved;           /* a send was refused; guarded by lock */
	bool closing;           /* the last words are queued; guarded by lock */
	bool dead;              /* guarded by lock */
};

/* Of the web thread. */
/* Moves what is queued into `output`; false: nothing is. */
bool web_stream_take(struct web_stream *stream, struct web_output *output);
/* What was taken has gone. */
void web_stream_sent(struct web_stream *stream);
void web_stream_input(struct web_stream *stream, const char *bytes, size_t count);
/* Nothing was heard for a while. False: nor was an answer to the last ping. */
bool web_stream_ping(struct web_stream *stream);
/* All that was to be said was said. */
bool web_stream_is_over(struct web_stream *stream);
void web_stream_free(struct web_stream *stream);
/* The connection has ended, or never took it: calls `closed` and frees. */
void web_stream_end(struct web_stream *stream);

/* ---- connections: the web thread's ---- */

enum web_state {
	WEB_STATE_HANDSHAKE,
	WEB_STATE_HEAD,   /* a request is read, or waited for */
	WEB_STATE_BODY,   /* ... its body, into memory */
	WEB_STATE_UPLOAD, /* ... or into an upload */
	WEB_STATE_WORK,   /* somebody makes the answer */
	WEB_STATE_ANSWER, /* it is sent */
	WEB_STATE_STREAM,
	WEB_STATE_LINGER, /* nothing is sent any more; the client shall read what was */
	WEB_STATES
};

struct web_connection {
	struct web *web;
	struct list link;
	struct loop_fd source;
	struct loop_timer timer;
	uint32_t events; /* waited for */
	SSL *tls;        /* NULL: none */
	uint32_t tls_wants;
	struct in6_addr ip; /* of TCP; zero: a Unix socket */
	struct web_peer peer;
	enum web_state state;
	uint64_t deadline_ns;
	uint64_t moved; /* bytes since the deadline was set */
	bool keep_alive;
	bool read_ended;
	struct web_output output;
	struct web_exchange *exchange;
	struct web_stream *stream;
	size_t in_seen, in_count;
	char *in; /* WEB_HEAD_MAX bytes, NULL: nothing has come */
};

/* Who is at the other end. */
void web_peer_fill(int fd, const struct sockaddr_storage *from, struct web_peer *peer,
		   struct in6_addr *ret_ip);

/* Takes `fd`. */
void web_connection_new(struct web_listener *listener, int fd, const struct sockaddr_storage *from);
/* Goes on with what can go on. It may be gone afterwards. */
void web_connection_run(struct web_connection *connection);
void web_connection_end(struct web_connection *connection);
/* The exchange has its answer. */
void web_connection_answer(struct web_connection *connection);
/* The upload takes its next piece; it takes no more. */
void web_connection_upload(struct web_connection *connection);
void web_connection_uploaded(struct web_connection *connection);

/* Takes the first `count` bytes off what was read. */
void web_connection_consume(struct web_connection *connection, size_t count);
/* Bytes of the exchange's body: those that came with the head first. 0: it has ended before; -EINVAL:
 * its chunks are malformed; -EAGAIN, another negative errno. */
ssize_t web_body_read(struct web_connection *connection, char *to, size_t room);

/* 0, -EAGAIN, another negative errno. */
int web_connection_handshake(struct web_connection *connection);
/* Bytes read or written, 0: the end, -EAGAIN, another negative errno. */
ssize_t web_connection_read(struct web_connection *connection, void *bytes, size_t count);
ssize_t web_connection_write(struct web_connection *connection, const void *bytes, size_t count);
/* Nothing more will be written. */
void web_connection_shut(struct web_connection *connection);
