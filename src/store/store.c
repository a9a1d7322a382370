/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macros.h"
#include "host/thread.h"
#include "store/store_priv.h"

/* What is in it is for its owner alone. SQLite's further files take the rights of this one. */
static int make_file(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(err, errno, "cannot open '%s'", path);
	close(fd);
	return 0;
}

static int read_leases(struct store *store, struct err *err)
{
	sqlite3_stmt *statement = database_start(&store->reader, LEASES, "");
	int rc;

	while ((rc = database_row(statement, err)) > 0) {
		rc = lease_add_locked(store, (uint64_t)sqlite3_column_int64(statement, 0),
				      (uint64_t)sqlite3_column_int64(statement, 1));
		if (rc) {
			database_done(statement);
			return err_errno(err, rc, "cannot read leases");
		}
	}
	return rc;
}

static void init_locks(struct store *store)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&store->read_lock, NULL);
	pthread_mutex_init(&store->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&store->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	list_init(&store->requests);
	list_init(&store->leases);
	list_init(&store->watches);
}

int store_open(struct store **ret_store, const char *path, struct err *err)
{
	struct store *store = calloc(1, sizeof(*store));
	uint64_t revision;
	int rc;

	if (!store)
		return err_errno(err, ENOMEM, "cannot open '%s'", path);
	init_locks(store);
	rc = make_file(path, err);
	if (!rc)
		rc = database_open(&store->writer, path, err);
	if (!rc)
		rc = database_open(&store->reader, path, err);
	if (!rc)
		rc = meta_read(&store->reader, "revision", &revision, err);
	if (!rc)
		rc = meta_read(&store->reader, "forgotten", &store->forgotten, err);
	if (!rc)
		rc = read_leases(store, err);
	if (!rc) {
		atomic_store(&store->revision, revision);
		rc = thread_start(&store->thread, "store", writer_main, store, err);
		store->started = !rc;
	}
	if (rc) {
		store_close(store);
		return rc;
	}
	*ret_store = store;
	return 0;
}

void store_close(struct store *store)
{
	struct lease *lease;

	if (!store)
		return;
	if (store->started) {
		pthread_mutex_lock(&store->lock);
		store->stop = true;
		pthread_cond_signal(&store->work);
		pthread_mutex_unlock(&store->lock);
		pthread_join(store->thread, NULL);
	}
	while ((lease = list_first(&store->leases, struct lease, node))) {
		list_remove(&lease->node);
		free(lease);
	}
	database_close(&store->reader);
	database_close(&store->writer);
	pthread_cond_destroy(&store->work);
	pthread_mutex_destroy(&store->lock);
	pthread_mutex_destroy(&store->read_lock);
	free(store);
}
