/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one who writes: a thread that takes all requests that wait, does each in a savepoint of one
 * transaction, and answers them when that is on the disk. So a flush of the disk serves everybody
 * who came while the one before was going on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"
#include "store/store_priv.h"

/* ---- a request ---- */

/* Parts of a commit of which each has its row in the history. */
struct parts {
	struct database *database;
	uint64_t revision;
	uint64_t count;
};

/* 1: there is such a row, with its first number in `ret_number`. */
static int look_up(struct database *database, enum statement which, const char *types,
		   const void *key, uint64_t id, int column, uint64_t *ret_number, struct err *err)
{
	sqlite3_stmt *statement = *types == 's' ? database_start(database, which, types, key)
						: database_start(database, which, types, id);
	int rc = database_row(statement, err);

	if (rc <= 0)
		return rc;
	if (ret_number)
		*ret_number = (uint64_t)sqlite3_column_int64(statement, column);
	database_done(statement);
	return 1;
}

static int find_modified(struct database *database, const char *key, uint64_t *ret_modified,
			 struct err *err)
{
	*ret_modified = 0;
	return look_up(database, GET, "s", key, 0, 2, ret_modified, err);
}

static int check_expectations(struct database *database, const struct store_commit *commit,
			      struct err *err)
{
	const struct store_expectation *expectation;

	vec_for_each (expectation, &commit->expectations) {
		uint64_t modified;
		int rc = find_modified(database, expectation->key, &modified, err);

		if (rc < 0)
			return rc;
		if (modified != expectation->modified)
			return err_set(err, ESTALE, "'%s' has changed meanwhile", expectation->key);
	}
	return 0;
}

static int put(struct parts *parts, const struct store_change *change, struct err *err)
{
	struct database *database = parts->database;
	int rc = change->lease ? look_up(database, LEASE_IS, "i", NULL, change->lease, 0, NULL, err)
			       : 1;

	if (rc < 0)
		return rc;
	if (!rc)
		return err_set(err, ENOENT, "lease %llu has ended",
			       (unsigned long long)change->lease);
	rc = database_finish(database_start(database, PUT, "siib", change->key, parts->revision,
					    change->lease, change->value, change->bytes),
			     err);
	return rc ? rc
		  : database_finish(database_start(database, RECORD_PUT, "iis", parts->revision,
						   parts->count++, change->key),
				    err);
}

static int delete_key(struct parts *parts, const char *key, struct err *err)
{
	uint64_t modified;
	int rc = find_modified(parts->database, key, &modified, err);

	if (rc <= 0)
		return rc;
	rc = database_finish(database_start(parts->database, RECORD_DELETE, "iis", parts->revision,
					    parts->count++, key),
			     err);
	return rc ? rc : database_finish(database_start(parts->database, DELETE, "s", key), err);
}

static int do_commit(struct parts *parts, const struct store_commit *commit, struct err *err)
{
	const struct store_change *change;
	int rc = check_expectations(parts->database, commit, err);

	vec_for_each (change, &commit->changes) {
		if (rc)
			break;
		rc = change->value ? put(parts, change, err) : delete_key(parts, change->key, err);
	}
	return rc;
}

static int next_key_of_lease(struct database *database, uint64_t lease, char **ret_key,
			     struct err *err)
{
	sqlite3_stmt *statement = database_start(database, LEASE_KEYS, "i", lease);
	int rc = database_row(statement, err);

	*ret_key = NULL;
	if (rc <= 0)
		return rc;
	*ret_key = strdup((const char *)sqlite3_column_text(statement, 0));
	database_done(statement);
	return *ret_key ? 1 : err_errno(err, ENOMEM, "cannot end a lease");
}

static int do_lease_end(struct parts *parts, uint64_t lease, struct err *err)
{
	char *key;
	int rc;

	while ((rc = next_key_of_lease(parts->database, lease, &key, err)) > 0) {
		rc = delete_key(parts, key, err);
		free(key);
		if (rc)
			return rc;
	}
	return rc ? rc
		  : database_finish(database_start(parts->database, LEASE_REMOVE, "i", lease), err);
}

static int do_lease(struct database *database, struct request *request, struct err *err)
{
	int rc = database_finish(database_start(database, LEASE_ADD, "i", request->ttl_ms), err);

	request->lease = (uint64_t)sqlite3_last_insert_rowid(database->handle);
	return rc;
}

static int do_kind(struct parts *parts, struct request *request)
{
	switch (request->kind) {
	case REQUEST_COMMIT:
		return do_commit(parts, request->commit, &request->err);
	case REQUEST_LEASE:
		return do_lease(parts->database, request, &request->err);
	default:
		return do_lease_end(parts, request->lease, &request->err);
	}
}

/* In a transaction: all of the request or nothing. Negative: the transaction is spoilt. */
static int do_request(struct database *database, struct request *request, uint64_t *revision)
{
	struct parts parts = { .database = database, .revision = *revision + 1 };
	int rc = database_do(database, SAVEPOINT, &request->err);

	if (rc)
		return rc;
	request->rc = do_kind(&parts, request);
	/* A full disk may have rolled back the whole transaction. */
	if (sqlite3_get_autocommit(database->handle))
		return request->rc ? request->rc : -EIO;
	if (request->rc)
		rc = database_do(database, ROLLBACK_TO, &request->err);
	if (!rc)
		rc = database_do(database, RELEASE, &request->err);
	if (!rc && !request->rc && parts.count)
		++*revision;
	request->revision = *revision;
	return rc;
}

/* ---- all that wait ---- */

static int set_meta(struct database *database, const char *name, uint64_t value, struct err *err)
{
	return database_finish(database_start(database, SET_META, "si", name, value), err);
}

/* From time to time, half of the history. */
static int forget(struct store *store, uint64_t revision, uint64_t *forgotten, struct err *err)
{
	int rc;

	*forgotten = store->forgotten;
	if (revision - store->forgotten < 2 * HISTORY_REVISIONS)
		return 0;
	*forgotten = revision - HISTORY_REVISIONS;
	rc = database_finish(database_start(&store->writer, FORGET, "i", *forgotten), err);
	return rc ? rc : set_meta(&store->writer, "forgotten", *forgotten, err);
}

static int do_all(struct store *store, struct list *requests, struct err *err)
{
	uint64_t revision = atomic_load(&store->revision), before = revision, forgotten;
	struct database *database = &store->writer;
	struct request *request;
	int rc = database_do(database, BEGIN_WRITE, err);

	if (rc)
		return rc;
	list_for_each (request, requests, node) {
		rc = do_request(database, request, &revision);
		if (rc) {
			*err = request->err;
			break;
		}
	}
	if (!rc && revision != before)
		rc = set_meta(database, "revision", revision, err);
	if (!rc)
		rc = forget(store, revision, &forgotten, err);
	if (!rc)
		rc = database_do(database, COMMIT, err);
	if (rc) {
		if (!sqlite3_get_autocommit(database->handle))
			database_do(database, ROLLBACK, NULL);
		return rc;
	}
	store->forgotten = forgotten;
	atomic_store(&store->revision, revision);
	return 0;
}

/* Leases are made and ended for everybody only when that is on the disk. */
static void settle(struct store *store, struct request *request)
{
	LOCK_SCOPE(&store->lock);
	if (request->kind == REQUEST_LEASE_END && !request->rc)
		lease_remove_locked(store, request->lease);
	if (request->kind == REQUEST_LEASE && !request->rc)
		request->rc = lease_add_locked(store, request->lease, request->ttl_ms);
}

static void answer_all(struct store *store, struct list *requests, const struct request *own,
		       int rc, const struct err *err)
{
	struct request *request;

	while ((request = list_first(requests, struct request, node))) {
		list_remove(&request->node);
		if (rc) {
			request->rc = rc;
			request->err = *err;
		}
		if (request == own && request->rc)
			log_error("a lease cannot be ended: %s", request->err.text);
		settle(store, request);
		/* Its owner frees it at once. */
		sem_post(&request->done);
	}
}

/* ---- the thread ---- */

/* The first lease that has ended; else NULL, and when the first one will. */
static struct lease *ended_lease_locked(struct store *store, uint64_t *ret_deadline)
{
	uint64_t now = clock_now_ns();
	struct lease *lease;

	*ret_deadline = UINT64_MAX;
	list_for_each (lease, &store->leases, node) {
		if (lease->deadline_ns <= now)
			return lease;
		*ret_deadline = MIN(*ret_deadline, lease->deadline_ns);
	}
	return NULL;
}

static void wait_until_locked(struct store *store, uint64_t deadline_ns)
{
	struct timespec time = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_SEC),
		.tv_nsec = (long)(deadline_ns % NS_PER_SEC),
	};

	if (deadline_ns == UINT64_MAX)
		pthread_cond_wait(&store->work, &store->lock);
	else
		pthread_cond_timedwait(&store->work, &store->lock, &time);
}

/* The requests that wait, or one of the thread's own for a lease that has ended. false: stop. */
static bool take(struct store *store, struct list *requests, struct request *own)
{
	LOCK_SCOPE(&store->lock);
	for (;;) {
		uint64_t deadline;
		struct lease *lease = ended_lease_locked(store, &deadline);
		struct request *request;

		while ((request = list_first(&store->requests, struct request, node))) {
			list_remove(&request->node);
			list_append(requests, &request->node);
		}
		if (lease) {
			*own = (struct request){ .kind = REQUEST_LEASE_END, .lease = lease->id };
			lease->ended = true;
			lease->deadline_ns = clock_now_ns() + NS_PER_SEC;
			sem_init(&own->done, 0, 0);
			list_append(requests, &own->node);
		}
		if (!list_empty(requests))
			return true;
		if (store->stop)
			return false;
		wait_until_locked(store, deadline);
	}
}

void *writer_main(void *ctx)
{
	struct list requests = LIST_INIT(requests);
	struct store *store = ctx;
	struct request own;

	while (take(store, &requests, &own)) {
		uint64_t before = atomic_load(&store->revision);
		struct err err = ERR_INIT;
		int rc = do_all(store, &requests, &err);

		answer_all(store, &requests, &own, rc, &err);
		if (atomic_load(&store->revision) != before)
			watches_wake(store);
	}
	return NULL;
}
