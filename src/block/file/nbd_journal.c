/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/file/nbd_journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/thread.h"

/* What is kept at most, but for the calls that are being made. */
#define BYTES_MAX (64 * MIB)

struct nbd_entry {
	struct list node;
	uint64_t sequence;
	uint64_t bytes; /* that it takes */
	struct nbd_call call;
	uint8_t data[];
};

void nbd_journal_init(struct nbd_journal *journal)
{
	*journal = (struct nbd_journal){ 0 };
	pthread_mutex_init(&journal->lock, NULL);
	list_init(&journal->entries);
}

static void drop_locked(struct nbd_journal *journal, struct nbd_entry *entry)
{
	list_remove(&entry->node);
	journal->bytes -= entry->bytes;
	free(entry);
}

void nbd_journal_fini(struct nbd_journal *journal)
{
	nbd_journal_forget(journal, UINT64_MAX);
	pthread_mutex_destroy(&journal->lock);
}

struct nbd_entry *nbd_entry_new(const struct nbd_call *call)
{
	size_t data_bytes = call->kind == NBD_CALL_WRITE ? call->bytes : 0;
	struct nbd_entry *entry = malloc(sizeof(*entry) + data_bytes);

	if (!entry)
		return NULL;
	*entry = (struct nbd_entry){ .bytes = sizeof(*entry) + data_bytes, .call = *call };
	if (data_bytes)
		memcpy(entry->data, call->data, data_bytes);
	entry->call.data = entry->data;
	return entry;
}

void nbd_entry_free(struct nbd_entry *entry)
{
	free(entry);
}

void nbd_journal_add(struct nbd_journal *journal, struct nbd_entry *entry)
{
	LOCK_SCOPE(&journal->lock);
	entry->sequence = ++journal->sequence;
	journal->bytes += entry->bytes;
	list_append(&journal->entries, &entry->node);
}

bool nbd_journal_is_full(struct nbd_journal *journal)
{
	LOCK_SCOPE(&journal->lock);
	return journal->bytes >= BYTES_MAX;
}

uint64_t nbd_journal_mark(struct nbd_journal *journal)
{
	LOCK_SCOPE(&journal->lock);
	return journal->sequence;
}

void nbd_journal_forget(struct nbd_journal *journal, uint64_t mark)
{
	struct nbd_entry *entry;

	LOCK_SCOPE(&journal->lock);
	while ((entry = list_first(&journal->entries, struct nbd_entry, node)) &&
	       entry->sequence <= mark)
		drop_locked(journal, entry);
}

int nbd_journal_replay(struct nbd_journal *journal, struct nbd_link *link)
{
	struct nbd_entry *entry;
	int rc;

	list_for_each (entry, &journal->entries, node) {
		rc = nbd_link_call(link, &entry->call);
		if (rc)
			return rc;
	}
	return 0;
}
