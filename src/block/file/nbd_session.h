/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a disk has to do with its server: one connection, or several where the server says that a
 * flush of one is a flush of all, and all of them anew when one broke.
 *
 * While the server is called again, requests wait; then they are made once more. Changes that were
 * not flushed are made once more too (nbd_journal.h). All requests can be.
 */
#pragma once

#include "block/file/nbd_journal.h"
#include "block/file/nbd_link.h"

#define NBD_LINKS_MAX 4

/* What the server says of the disk. */
struct nbd_facts {
	uint64_t bytes;
	uint64_t align;       /* of requests */
	uint64_t piece_bytes; /* most of a request */
	bool read_only, can_trim, can_zero, can_flush, can_fua, has_status;
};

struct nbd_session {
	struct nbd_library lib;
	char *uri;
	uint64_t reconnect_ns;
	bool may_call;   /* the server can be called again */
	bool must_write; /* the disk is no good if it can only be read */
	struct nbd_facts facts;
	struct nbd_journal journal;

	pthread_rwlock_t gate; /* shared: calls; exclusive: connects again. Guards what follows */
	struct nbd_link links[NBD_LINKS_MAX];
	unsigned link_count;
	uint64_t age;     /* how often it was connected again */
	uint64_t lost_ns; /* since when there is no server; 0: there is one */
	uint64_t next_try_ns;

	_Atomic unsigned turn;
	_Atomic bool hurried; /* nobody waits for the server any more */
};

/*
 * Connects to the server of `uri`, which may say reconnect=SECONDS, or by the sockets (taken over,
 * also on failure), which are used once. nbd_session_close() also after a failure.
 */
int nbd_session_open(struct nbd_session *session, const char *uri, bool must_write,
		     const int *sockets, unsigned socket_count, struct err *err);
void nbd_session_close(struct nbd_session *session);

/* What waits for a server that is away fails soon. Any thread. */
void nbd_session_hurry(struct nbd_session *session);

/* One request, inside the disk and as the facts want it. 0, or negative errno. Any thread. */
int nbd_session_call(struct nbd_session *session, struct nbd_call *call);
