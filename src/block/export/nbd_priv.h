/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NBD server from the inside. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/vec.h"
#include "block/export/nbd.h"
#include "block/export/nbd_stream.h"
#include "block/range.h"

/* Largest data of a request, and what all requests of a connection hold at a time. */
#define NBD_PAYLOAD_MAX (32 * MIB)
#define NBD_MEMORY_MAX  (64 * MIB)

struct nbd_disk {
	struct nbd_export export;
	/* Held by all changes: shared, or exclusively where a change ends inside a unit, whose
	 * other bytes are read and written back. */
	struct range_lock edges;
	/* Where data was found last. What is wrong about it, also because others change it, makes
	 * zeroes be sent as data. */
	_Atomic uint64_t data_from, data_to;
};

struct nbd_server {
	struct nbd_disk *disks;
	unsigned disk_count;
	struct nbd_tls *tls;
	bool tls_optional;
	unsigned connections_max, threads_max;
	VEC(int) listeners;
	int changed_fd; /* told when a connection has ended */

	pthread_mutex_t lock;
	struct list running, ended; /* struct nbd_connection; guarded by lock */
	unsigned connection_count;
};

/* Contexts of block status by number: this one, then the bitmaps of the export. */
#define NBD_CONTEXT_ALLOCATION 0

struct nbd_connection {
	struct list node;
	struct nbd_server *server;
	struct nbd_stream stream;
	pthread_t thread;

	/* Said in the handshake; fixed behind it. */
	struct nbd_disk *disk;          /* NULL: none chosen yet */
	struct nbd_disk *contexts_disk; /* for which `contexts` were chosen */
	uint64_t contexts;              /* bits by number */
	bool no_zeroes;                 /* in the reply to NBD_OPT_EXPORT_NAME */
	bool structured;

	pthread_mutex_t receiving, sending; /* held for a whole message */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t changed;
	pthread_t *helpers;           /* room for threads_max */
	unsigned helper_count, ready; /* `ready`: threads that want to receive */
	uint64_t memory;              /* bytes of data of requests */
	bool ending;
};

/* Serves until the client ends, on this thread and on further ones as requests come. */
void nbd_connection_serve(struct nbd_connection *connection);
/* For all threads: nothing more is received. */
void nbd_connection_end(struct nbd_connection *connection);
bool nbd_connection_ends(struct nbd_connection *connection);

/* Agrees with the client on an export. 0: transmission follows; negative: the end. */
int nbd_handshake(struct nbd_connection *connection);

/* ---- a client's requests ---- */

struct nbd_request {
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t bytes;
	uint8_t *data;   /* of a write; room for a read's */
	uint64_t memory; /* counted for `data` */
	int rc;          /* it is not even tried */
};

/* Takes one off the stream. 0; 1 when the client says it ends; negative when it just did, or broke
 * the rules beyond repair. With `receiving`. */
int nbd_request_receive(struct nbd_connection *connection, struct nbd_request *request);
/* Does it and answers. */
void nbd_request_run(struct nbd_connection *connection, struct nbd_request *request);

/* Memory of requests: waits until there is some. */
int nbd_memory_get(struct nbd_connection *connection, struct nbd_request *request);
void nbd_memory_put(struct nbd_connection *connection, struct nbd_request *request);

/* ---- answers ---- */

/* The end of a request without data, or of one that failed. */
int nbd_reply(struct nbd_connection *connection, const struct nbd_request *request, int rc);
/* Part of a structured reply: `head` and then `data` make up its payload. */
int nbd_reply_chunk(struct nbd_connection *connection, const struct nbd_request *request,
		    unsigned type, bool last, struct iovec head, struct iovec data);
/* The data of a read for clients without structured replies. */
int nbd_reply_data(struct nbd_connection *connection, const struct nbd_request *request);

/* The status of a range in all contexts that were chosen. */
int nbd_status_run(struct nbd_connection *connection, struct nbd_request *request);

/* ---- the disk, at any offset ---- */

bool nbd_disk_is_read_only(const struct nbd_disk *disk);
int nbd_disk_read(struct nbd_disk *disk, uint64_t offset, void *buffer, uint64_t bytes);
/* `flags`: of block_writev(). */
int nbd_disk_write(struct nbd_disk *disk, uint64_t offset, const void *buffer, uint64_t bytes,
		   unsigned flags);
int nbd_disk_write_zeroes(struct nbd_disk *disk, uint64_t offset, uint64_t bytes, unsigned flags);
int nbd_disk_trim(struct nbd_disk *disk, uint64_t offset, uint64_t bytes);
/* Reads it into the caches there are. */
int nbd_disk_cache(struct nbd_disk *disk, uint64_t offset, uint64_t bytes);

/* ---- TLS ---- */

/* Negotiates TLS on a plain stream. 0 or -EPROTO. */
int nbd_tls_start(struct nbd_tls *tls, struct nbd_stream *stream);
/* Says goodbye and frees the session. */
void nbd_tls_stop(struct nbd_stream *stream);
