/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watch is a place in the history. Its task reads on from there, some rows at a time, and stands
 * still at the end until the writer wakes it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/thread.h"
#include "store/store_priv.h"

#define ROWS_MAX 64 /* read at a time */

struct store_watch {
	struct store *store;
	struct loop *loop;
	struct loop_task task;
	const struct store_watch_ops *ops;
	void *ctx;
	const char *const *prefixes;
	uint64_t revision, part; /* of the last row that was read */
	bool lost;
	bool *ended; /* while events are told: set when the watch is freed */
	struct list node;
};

struct batch {
	struct store_event events[ROWS_MAX];
	unsigned count;
	unsigned rows; /* also those that the watch does not ask for */
};

static bool is_meant(const struct store_watch *watch, const char *key)
{
	for (const char *const *prefix = watch->prefixes; *prefix; prefix++) {
		if (!strncmp(key, *prefix, strlen(*prefix)))
			return true;
	}
	return false;
}

/* Behind the last row of this commit, and of what was there before the watch. */
#define PART_LAST (UINT64_MAX >> 1)

static int read_rows(struct store_watch *watch, struct batch *batch)
{
	struct database *reader = &watch->store->reader;
	sqlite3_stmt *statement = database_start(reader, HISTORY, "iii", watch->revision,
						 watch->part, (uint64_t)ROWS_MAX);
	int rc;

	while ((rc = database_row(statement, NULL)) > 0) {
		struct store_event *event = &batch->events[batch->count];

		watch->part = (uint64_t)sqlite3_column_int64(statement, 0);
		watch->revision = (uint64_t)sqlite3_column_int64(statement, 3);
		batch->rows++;
		if (!is_meant(watch, (const char *)sqlite3_column_text(statement, 1)))
			continue;
		rc = item_read(statement, 1, &event->item);
		if (rc) {
			database_done(statement);
			return rc;
		}
		event->revision = watch->revision;
		batch->count++;
	}
	return rc;
}

/* -ESTALE: the next rows are forgotten, or the store is an older one than the watch was of. */
static int read_batch(struct store_watch *watch, struct batch *batch)
{
	struct database *reader = &watch->store->reader;
	uint64_t forgotten, revision;
	int rc;

	LOCK_SCOPE(&watch->store->read_lock);
	rc = database_do(reader, BEGIN_READ, NULL);
	if (rc)
		return rc;
	rc = meta_read(reader, "forgotten", &forgotten, NULL);
	if (!rc)
		rc = meta_read(reader, "revision", &revision, NULL);
	if (!rc && (watch->revision < forgotten || watch->revision > revision))
		rc = -ESTALE;
	if (!rc)
		rc = read_rows(watch, batch);
	database_do(reader, ROLLBACK, NULL);
	return rc;
}

static void tell(struct store_watch *watch, struct batch *batch)
{
	bool ended = false;

	watch->ended = &ended;
	for (unsigned i = 0; i < batch->count; i++) {
		if (!ended)
			watch->ops->event(watch->ctx, &batch->events[i]);
		store_item_fini(&batch->events[i].item);
	}
	if (!ended)
		watch->ended = NULL;
}

static void watch_task(struct loop_task *task)
{
	struct store_watch *watch = container_of(task, struct store_watch, task);
	struct batch *batch;
	int rc;

	if (watch->lost)
		return;
	batch = calloc(1, sizeof(*batch));
	rc = batch ? read_batch(watch, batch) : -ENOMEM;
	if (rc) {
		for (unsigned i = 0; batch && i < batch->count; i++)
			store_item_fini(&batch->events[i].item);
		watch->lost = true;
		watch->ops->lost(watch->ctx);
	} else {
		if (batch->rows == ROWS_MAX)
			loop_post(watch->loop, task);
		tell(watch, batch);
	}
	free(batch);
}

int store_watch(struct store *store, const char *const *prefixes, uint64_t after, struct loop *loop,
		const struct store_watch_ops *ops, void *ctx, struct store_watch **ret_watch)
{
	struct store_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	*watch = (struct store_watch){
		.store = store,
		.loop = loop,
		.task.run = watch_task,
		.ops = ops,
		.ctx = ctx,
		.prefixes = prefixes,
		.revision = after,
		.part = PART_LAST,
	};
	*ret_watch = watch;
	pthread_mutex_lock(&store->lock);
	list_append(&store->watches, &watch->node);
	pthread_mutex_unlock(&store->lock);
	loop_post(loop, &watch->task);
	return 0;
}

void store_watch_end(struct store_watch *watch)
{
	if (!watch)
		return;
	pthread_mutex_lock(&watch->store->lock);
	list_remove(&watch->node);
	pthread_mutex_unlock(&watch->store->lock);
	loop_task_cancel(watch->loop, &watch->task);
	if (watch->ended)
		*watch->ended = true;
	free(watch);
}

void watches_wake(struct store *store)
{
	struct store_watch *watch;

	LOCK_SCOPE(&store->lock);
	list_for_each (watch, &store->watches, node)
		loop_post(watch->loop, &watch->task);
}
