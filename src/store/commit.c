/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people ask of the writer: commits and leases. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/clock.h"
#include "host/thread.h"
#include "store/store_priv.h"

#define TTL_MS_MAX UINT64_C(86400000)

/* ---- building ---- */

void store_expect(struct store_commit *commit, const char *key, uint64_t modified)
{
	const struct store_expectation expectation = { key, modified };

	commit->failed |= vec_push(&commit->expectations, expectation) != 0;
}

void store_put_leased(struct store_commit *commit, const char *key, const char *value, size_t bytes,
		      uint64_t lease)
{
	const struct store_change change = { key, value ? value : "", bytes, lease };

	commit->failed |= vec_push(&commit->changes, change) != 0;
}

void store_put(struct store_commit *commit, const char *key, const char *value, size_t bytes)
{
	store_put_leased(commit, key, value, bytes, 0);
}

void store_delete(struct store_commit *commit, const char *key)
{
	const struct store_change change = { .key = key };

	commit->failed |= vec_push(&commit->changes, change) != 0;
}

void store_commit_fini(struct store_commit *commit)
{
	vec_fini(&commit->expectations);
	vec_fini(&commit->changes);
}

/* ---- checking ---- */

static int check_key(const char *key, struct err *err)
{
	size_t length = 0;

	while (length < STORE_KEY_MAX && key[length] > ' ' && key[length] < 0x7f)
		length++;
	if (!length || key[length])
		return err_set(err, EINVAL, "'%.64s' cannot be a key", key);
	return 0;
}

static int check_commit(const struct store_commit *commit, struct err *err)
{
	const struct store_expectation *expectation;
	const struct store_change *change, *other;
	int rc = 0;

	if (commit->failed)
		return err_errno(err, ENOMEM, "cannot commit");
	if (commit->changes.count + commit->expectations.count > STORE_PARTS_MAX)
		return err_set(err, EINVAL, "a commit of more than %d parts", STORE_PARTS_MAX);
	vec_for_each (expectation, &commit->expectations)
		rc = rc ? rc : check_key(expectation->key, err);
	vec_for_each (change, &commit->changes) {
		rc = rc ? rc : check_key(change->key, err);
		if (!rc && change->bytes > STORE_VALUE_MAX)
			rc = err_set(err, EINVAL, "'%s' of %zu bytes is too large", change->key,
				     change->bytes);
		for (other = commit->changes.items; other < change && !rc; other++) {
			if (!strcmp(other->key, change->key))
				rc = err_set(err, EINVAL, "'%s' twice in a commit", change->key);
		}
	}
	return rc;
}

/* ---- asking ---- */

static int ask(struct store *store, struct request *request, struct err *err)
{
	int rc;

	sem_init(&request->done, 0, 0);
	pthread_mutex_lock(&store->lock);
	list_append(&store->requests, &request->node);
	pthread_cond_signal(&store->work);
	pthread_mutex_unlock(&store->lock);
	while (sem_wait(&request->done))
		;
	sem_destroy(&request->done);
	rc = request->rc;
	if (rc && err)
		*err = request->err;
	return rc;
}

int store_commit(struct store *store, const struct store_commit *commit, uint64_t *ret_revision,
		 struct err *err)
{
	struct request request = { .kind = REQUEST_COMMIT, .commit = commit };
	int rc = check_commit(commit, err);

	if (!rc)
		rc = ask(store, &request, err);
	if (!rc && ret_revision)
		*ret_revision = request.revision;
	return rc;
}

int store_lease(struct store *store, uint64_t ttl_ms, uint64_t *ret_lease, struct err *err)
{
	struct request request = { .kind = REQUEST_LEASE, .ttl_ms = ttl_ms };
	int rc = ttl_ms && ttl_ms <= TTL_MS_MAX
			 ? ask(store, &request, err)
			 : err_set(err, EINVAL, "a lease of %llu ms", (unsigned long long)ttl_ms);

	if (!rc)
		*ret_lease = request.lease;
	return rc;
}

int store_lease_end(struct store *store, uint64_t lease, struct err *err)
{
	struct request request = { .kind = REQUEST_LEASE_END, .lease = lease };

	return lease ? ask(store, &request, err) : 0;
}

/* ---- leases in memory ---- */

static struct lease *find_lease_locked(struct store *store, uint64_t id)
{
	struct lease *lease;

	list_for_each (lease, &store->leases, node) {
		if (lease->id == id)
			return lease;
	}
	return NULL;
}

int lease_add_locked(struct store *store, uint64_t id, uint64_t ttl_ms)
{
	struct lease *lease = calloc(1, sizeof(*lease));

	if (!lease)
		return -ENOMEM;
	lease->id = id;
	lease->ttl_ns = ttl_ms * NS_PER_MS;
	lease->deadline_ns = clock_now_ns() + lease->ttl_ns;
	list_append(&store->leases, &lease->node);
	return 0;
}

void lease_remove_locked(struct store *store, uint64_t id)
{
	struct lease *lease = find_lease_locked(store, id);

	if (!lease)
		return;
	list_remove(&lease->node);
	free(lease);
}

int store_lease_keep(struct store *store, uint64_t id)
{
	struct lease *lease;

	LOCK_SCOPE(&store->lock);
	lease = find_lease_locked(store, id);
	if (!lease || lease->ended || lease->deadline_ns <= clock_now_ns())
		return -ENOENT;
	lease->deadline_ns = clock_now_ns() + lease->ttl_ns;
	return 0;
}
