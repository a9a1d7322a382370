/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks served over the network block device protocol: fixed newstyle handshake, structured
 * replies, status of allocation and dirty bitmaps, TLS.
 *
 *	rc = nbd_server_new(&server, &options, err);
 *	rc = nbd_server_listen(server, fd, err);	// one or more listening sockets
 *	rc = nbd_server_run(server, stop_fd, false);	// until stop_fd can be read
 *	nbd_server_free(server);
 *
 * Nothing is opened after nbd_server_listen(), so that a sandbox may close in between: the server
 * only accepts, reads, writes and starts threads. A client gets a bounded number of threads and
 * bounded memory, and is dropped when it does not move on.
 *
 * Spec: NetworkBlockDevice/nbd doc/proto.md.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "block/block.h"

struct nbd_server;
struct nbd_tls;

/* Longest name or description. */
#define NBD_NAME_MAX 4096
/* Most bitmaps of an export. */
#define NBD_BITMAPS_MAX 63

struct nbd_export {
	const char *name;           /* "" is the default; at most NBD_NAME_MAX bytes */
	const char *description;    /* NULL: none */
	struct block_node *node;    /* borrowed; needs no loop */
	const char *const *bitmaps; /* names of dirty bitmaps of the node; ends with NULL; NULL:
				       none */
	bool read_only;             /* as is a node that cannot be written */
};

struct nbd_server_options {
	const struct nbd_export *exports; /* copied, not what they point to; the first one is
					     also found by the empty name */
	unsigned export_count;
	struct nbd_tls *tls;      /* borrowed; NULL: no TLS */
	bool tls_optional;        /* clients without TLS are served too */
	unsigned connections_max; /* at a time; 0: 16 */
	unsigned threads_max;     /* requests of a connection at a time; 0: 8 */
};

/* Errors: -ENOMEM; -EINVAL, -ENOENT for names; explained. */
int nbd_server_new(struct nbd_server **ret_server, const struct nbd_server_options *options,
		   struct err *err);
/* Not while it runs. Accepts NULL. */
void nbd_server_free(struct nbd_server *server);

/* Takes a listening stream socket over, also on failure: -ENOMEM. */
int nbd_server_listen(struct nbd_server *server, int fd, struct err *err);

/* Serves a client whose socket is connected and non-blocking, as nbd_server_run() does those that it accepts. Takes the
 * socket over, also on failure: -ENOMEM, -EAGAIN. Before nbd_server_run(), which has to follow. */
int nbd_server_welcome(struct nbd_server *server, int fd, struct err *err);

/*
 * Serves until `stop_fd` (-1: none) can be read, or, `once`, until all clients have gone again. Requests that
 * were received are answered, within seconds. 0 or a negative errno of poll.
 */
int nbd_server_run(struct nbd_server *server, int stop_fd, bool once);

/* Serves one client on the calling thread, without a socket of its own: reads from `in` and writes
 * to `out` (borrowed, non-blocking) until it ends. */
void nbd_server_attend(struct nbd_server *server, int in, int out);

/* ---- TLS ---- */

/*
 * Credentials of a server from files in memory, by the names that other NBD servers use too:
 * `directory` with ca-cert.pem, server-cert.pem, server-key.pem, and ca-crl.pem if there are
 * certificates to refuse; or `psk_file` with lines "<user>:<key in hex>". `verify`: clients need a
 * certificate signed by that authority. Errors: of the files, explained.
 */
int nbd_tls_new_x509(struct nbd_tls **ret_tls, const char *directory, bool verify, struct err *err);
int nbd_tls_new_psk(struct nbd_tls **ret_tls, const char *psk_file, struct err *err);
/* Accepts NULL. */
void nbd_tls_free(struct nbd_tls *tls);
