/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes that a server has answered but may still forget: it need not keep them before a flush. A
 * server that ends and comes back is told them again, in their order, before anything else, so that
 * the next flush means what it says.
 */
#pragma once

#include <pthread.h>

#include "block/file/nbd_link.h"

struct nbd_journal {
	pthread_mutex_t lock; /* guards all that follows */
	struct list entries;  /* in the order of their answers */
	uint64_t bytes;       /* of their data, and of themselves */
	uint64_t sequence;    /* of the last one */
};

struct nbd_entry;

void nbd_journal_init(struct nbd_journal *journal);
void nbd_journal_fini(struct nbd_journal *journal);

/* A copy of a WRITE or ZERO that is about to be made; NULL: no memory. It is then added when the
 * call has succeeded, or freed. */
struct nbd_entry *nbd_entry_new(const struct nbd_call *call);
void nbd_entry_free(struct nbd_entry *entry);
void nbd_journal_add(struct nbd_journal *journal, struct nbd_entry *entry);

/* So much is in it that a flush is due. */
bool nbd_journal_is_full(struct nbd_journal *journal);

/* For a flush: what was there when it began, and what is forgotten when it has succeeded. */
uint64_t nbd_journal_mark(struct nbd_journal *journal);
void nbd_journal_forget(struct nbd_journal *journal, uint64_t mark);

/* Makes all calls again on a new connection. Nobody else uses the journal. 0; negative errno of the
 * server; NBD_LINK_LOST. */
int nbd_journal_replay(struct nbd_journal *journal, struct nbd_link *link);
