/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The store in SQLite, for the files of this folder. */
#pragma once

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "base/list.h"
#include "store/store.h"

/* Revisions that are remembered for watches, at least. */
#define HISTORY_REVISIONS 10000

/* Texts in database.c. */
enum statement {
	BEGIN_READ,
	BEGIN_WRITE,
	COMMIT,
	ROLLBACK,
	SAVEPOINT,
	RELEASE,
	ROLLBACK_TO,
	META,
	SET_META,
	GET,
	LIST,
	PUT,
	DELETE,
	RECORD_PUT,
	RECORD_DELETE,
	HISTORY,
	FORGET,
	LEASE_ADD,
	LEASE_REMOVE,
	LEASE_IS,
	LEASES,
	LEASE_KEYS,
	STATEMENTS
};

struct database {
	sqlite3 *handle;
	sqlite3_stmt *statements[STATEMENTS];
};

int database_open(struct database *database, const char *path, struct err *err);
void database_close(struct database *database);

/* The statement, with these bound in turn: 'i' uint64_t, 's' text, 'b' bytes and size_t; all
 * borrowed until database_done(). */
sqlite3_stmt *database_start(struct database *database, enum statement statement, const char *types,
			     ...);
/* 1: a row; 0: no more, and done; negative errno, and done. */
int database_row(sqlite3_stmt *statement, struct err *err);
void database_done(sqlite3_stmt *statement);

/* A statement without rows. */
int database_do(struct database *database, enum statement statement, struct err *err);
int database_finish(sqlite3_stmt *statement, struct err *err);

/* What SQLite last said, as an errno and words. */
int database_error(sqlite3 *handle, struct err *err);

int meta_read(struct database *database, const char *name, uint64_t *ret_value, struct err *err);

/* Columns from `column` on: key, created, modified, version, lease, value. 0 or -ENOMEM. */
int item_read(sqlite3_stmt *statement, int column, struct store_item *ret_item);

enum request_kind { REQUEST_COMMIT, REQUEST_LEASE, REQUEST_LEASE_END };

/* For the thread that writes; its owner waits. */
struct request {
	enum request_kind kind;
	const struct store_commit *commit;
	uint64_t lease, ttl_ms; /* REQUEST_LEASE: the lease is the answer */
	uint64_t revision;
	int rc;
	struct err err;
	sem_t done;
	struct list node;
};

struct lease {
	uint64_t id, ttl_ns, deadline_ns;
	bool ended; /* the writer is about to remove it; at the deadline again, if that failed */
	struct list node;
};

struct store {
	pthread_mutex_t read_lock; /* guards `reader` */
	struct database reader;

	struct database writer; /* the thread's */
	uint64_t forgotten; /* the thread's: revisions up to here may be gone from the history */
	_Atomic uint64_t revision; /* of the last commit that is on the disk */
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* guards all that follows; never held over SQLite */
	pthread_cond_t work;  /* for the thread */
	struct list requests; /* struct request */
	struct list leases;   /* struct lease */
	struct list watches;  /* struct store_watch */
	bool stop;
};

void *writer_main(void *ctx);

/* Has its thread look what is new. */
void watches_wake(struct store *store);

/* With the lock. */
int lease_add_locked(struct store *store, uint64_t id, uint64_t ttl_ms);
void lease_remove_locked(struct store *store, uint64_t id);
