/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to an NBD server, with as many calls in flight as there are threads that make some.
 *
 * It has no thread of its own: one of those that wait for an answer watches the socket for all, and
 * hands that over when its own answer has come.
 */
#pragma once

#include <pthread.h>

#include "base/list.h"
#include "block/file/nbd_library.h"
#include "block/node.h"

enum nbd_call_kind {
	NBD_CALL_READ,
	NBD_CALL_WRITE,
	NBD_CALL_FLUSH,
	NBD_CALL_TRIM,
	NBD_CALL_ZERO,
	NBD_CALL_STATUS,
};

struct nbd_call {
	enum nbd_call_kind kind;
	uint64_t offset, bytes;
	void *data;                  /* READ, WRITE */
	uint32_t flags;              /* LIBNBD_CMD_FLAG_… */
	struct block_extent *extent; /* STATUS: where it was asked for, and the answer */

	/* The link's, while it is made. */
	struct list node;
	pthread_cond_t changed;
	bool ended;
	int rc;
};

struct nbd_link {
	const struct nbd_library *lib; /* borrowed */
	int wake_fd;                   /* tells who watches that there is more to watch for */
	pthread_mutex_t lock;          /* guards all that follows */
	struct nbd_handle *handle;     /* NULL: not connected */
	struct list calls;             /* that wait for their answers */
	bool watched;
	unsigned watched_for; /* LIBNBD_AIO_DIRECTION_… */
};

/* 0 or negative errno; nbd_link_fini() also after a failure. */
int nbd_link_init(struct nbd_link *link, const struct nbd_library *lib);
void nbd_link_fini(struct nbd_link *link);

/*
 * Connects to the server of the URI, or, where `fd` is not -1, to the one behind that socket, which is
 * taken over also on failure. Gives up after `patience_ns`. Nobody else uses the link. Errors: what
 * the library says, explained.
 */
int nbd_link_connect(struct nbd_link *link, const char *uri, int fd, uint64_t patience_ns,
		     struct err *err);
/* Says goodbye, without waiting for an answer. Nobody else uses the link. */
void nbd_link_disconnect(struct nbd_link *link);

/* 0; negative errno that the server answered; 1: there is no connection any more, and nobody knows
 * whether the call was done. Any thread. */
#define NBD_LINK_LOST 1
int nbd_link_call(struct nbd_link *link, struct nbd_call *call);
