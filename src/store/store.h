/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store: values under keys, with one counter of revisions for all of them.
 *
 * A commit changes any keys together, if all that it expects is true, and has the next revision. Who
 * watches is told of every change in the order of revisions, and can go on from any revision that is
 * remembered. Keys that belong to a lease go when nobody keeps it. This is what etcd offers as well,
 * so that a cluster's store can stand behind the same functions.
 *
 *	struct store_commit commit = { 0 };
 *
 *	store_expect(&commit, "/vm/web1", item.modified);
 *	store_put(&commit, "/vm/web1", text, strlen(text));
 *	rc = store_commit(store, &commit, &revision, err);	// -ESTALE: somebody was faster
 *	store_commit_fini(&commit);
 *
 * Keys are visible ASCII without spaces, STORE_KEY_MAX bytes at the most. Functions are for any
 * thread, and wait for the disk, unless they say something else.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "host/loop.h"

#define STORE_KEY_MAX   512
#define STORE_VALUE_MAX (1u << 20)
#define STORE_PARTS_MAX 128  /* expectations and changes of a commit */
#define STORE_LIST_MAX  1000 /* items of a page */

struct store;

/*
 * Opens the store that is a file, and makes it if there is none. -EBADMSG: it is damaged, or no
 * store; -EPROTONOSUPPORT: written by a later version.
 */
int store_open(struct store **ret_store, const char *path, struct err *err);

/* Nothing in progress, no watches left. Accepts NULL. */
void store_close(struct store *store);

/* ---- reading ---- */

struct store_item {
	char *key;
	uint64_t created, modified; /* revisions of its first and last commit */
	uint64_t version;           /* how many commits that was */
	uint64_t lease;             /* 0: none */
	char *value;                /* with a NUL behind it */
	size_t bytes;
};

void store_item_fini(struct store_item *item);

/* -ENOENT without words: there is none. */
int store_get(struct store *store, const char *key, struct store_item *ret_item, struct err *err);

/* Several, as of one moment, in the order of their keys. One that there is not, or whose key is NULL,
 * is zero. */
int store_get_many(struct store *store, const char *const *keys, size_t count,
		   struct store_item *ret_items, struct err *err);

struct store_page {
	VEC(struct store_item) items; /* by key */
	uint64_t revision;            /* of the store when this was true */
	bool more;                    /* behind the last one */
};

/* `prefix` of the keys, "": all; `after`: a key, NULL: from the start; `limit`: 1 to
 * STORE_LIST_MAX. */
int store_list(struct store *store, const char *prefix, const char *after, unsigned limit,
	       struct store_page *ret_page, struct err *err);
void store_page_fini(struct store_page *page);

/* Of the last commit. Does not wait. */
uint64_t store_revision(struct store *store);

/* ---- changing ---- */

struct store_expectation {
	const char *key;
	uint64_t modified;
};

struct store_change {
	const char *key;
	const char *value; /* NULL: the key goes */
	size_t bytes;
	uint64_t lease;
};

/* Keys and values are borrowed until the commit is done. */
struct store_commit {
	VEC(struct store_expectation) expectations;
	VEC(struct store_change) changes;
	bool failed; /* no memory */
};

/* The key was last changed by that revision; 0: there is none. */
void store_expect(struct store_commit *commit, const char *key, uint64_t modified);
void store_put(struct store_commit *commit, const char *key, const char *value, size_t bytes);
/* The same, for as long as the lease is kept. */
void store_put_leased(struct store_commit *commit, const char *key, const char *value, size_t bytes,
		      uint64_t lease);
/* One that is not there may be deleted. */
void store_delete(struct store_commit *commit, const char *key);

/*
 * All of it, or nothing. On return it is on the disk; `ret_revision` (or NULL) is the commit's, or
 * the last one if nothing changed. -ESTALE: an expectation is not true, the message has its key;
 * -ENOENT: a lease has ended; -EINVAL: a key or size that cannot be, a key twice; -ENOSPC.
 */
int store_commit(struct store *store, const struct store_commit *commit, uint64_t *ret_revision,
		 struct err *err);
void store_commit_fini(struct store_commit *commit);

/* ---- watching ---- */

struct store_event {
	uint64_t revision;
	struct store_item item; /* value NULL: the key has gone */
};

struct store_watch_ops {
	/* In the order of revisions. May end the watch. The event is borrowed. */
	void (*event)(void *ctx, const struct store_event *event);
	/* The store has forgotten what comes next: list again, and watch from there. The last call. */
	void (*lost)(void *ctx);
};

struct store_watch;

/*
 * Tells of every change behind the revision `after` to keys with one of the prefixes (NULL at the end;
 * borrowed), on the loop's thread; the ones of the past as well. What a slow reader has not seen yet
 * costs no memory. -ENOMEM.
 */
int store_watch(struct store *store, const char *const *prefixes, uint64_t after, struct loop *loop,
		const struct store_watch_ops *ops, void *ctx, struct store_watch **ret_watch);

/* Loop thread. Nothing is called any more. Accepts NULL. */
void store_watch_end(struct store_watch *watch);

/* ---- leases ---- */

/* A lease that ends when it was not kept for `ttl_ms` (1 to a day). After the store was opened each
 * one has its full time again. */
int store_lease(struct store *store, uint64_t ttl_ms, uint64_t *ret_lease, struct err *err);

/* Its full time from now on. -ENOENT: it has ended. Does not wait. */
int store_lease_keep(struct store *store, uint64_t lease);

/* Ends it, and its keys go. Also one that has ended. */
int store_lease_end(struct store *store, uint64_t lease, struct err *err);
