/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Items and lists of them, each as of one moment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/thread.h"
#include "store/store_priv.h"

void store_item_fini(struct store_item *item)
{
	free(item->key);
	free(item->value);
	*item = (struct store_item){ 0 };
}

void store_page_fini(struct store_page *page)
{
	struct store_item *item;

	vec_for_each (item, &page->items)
		store_item_fini(item);
	vec_fini(&page->items);
}

static uint64_t column(sqlite3_stmt *statement, int column)
{
	return (uint64_t)sqlite3_column_int64(statement, column);
}

int item_read(sqlite3_stmt *statement, int first, struct store_item *ret_item)
{
	const void *value = sqlite3_column_blob(statement, first + 5);
	bool is = sqlite3_column_type(statement, first + 5) != SQLITE_NULL;

	*ret_item = (struct store_item){
		.key = strdup((const char *)sqlite3_column_text(statement, first)),
		.created = column(statement, first + 1),
		.modified = column(statement, first + 2),
		.version = column(statement, first + 3),
		.lease = column(statement, first + 4),
		.bytes = (size_t)sqlite3_column_bytes(statement, first + 5),
	};
	if (is)
		ret_item->value = calloc(1, ret_item->bytes + 1);
	if (!ret_item->key || (is && !ret_item->value)) {
		store_item_fini(ret_item);
		return -ENOMEM;
	}
	if (ret_item->bytes)
		memcpy(ret_item->value, value, ret_item->bytes);
	return 0;
}

static int get_locked(struct store *store, const char *key, struct store_item *ret_item,
		      struct err *err)
{
	sqlite3_stmt *statement = database_start(&store->reader, GET, "s", key);
	int rc = database_row(statement, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return -ENOENT;
	rc = item_read(statement, 0, ret_item);
	database_done(statement);
	return rc ? err_errno(err, rc, "cannot read '%s'", key) : 0;
}

int store_get(struct store *store, const char *key, struct store_item *ret_item, struct err *err)
{
	LOCK_SCOPE(&store->read_lock);
	return get_locked(store, key, ret_item, err);
}

int store_get_many(struct store *store, const char *const *keys, size_t count,
		   struct store_item *ret_items, struct err *err)
{
	int rc;

	memset(ret_items, 0, count * sizeof(*ret_items));
	LOCK_SCOPE(&store->read_lock);
	rc = database_do(&store->reader, BEGIN_READ, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < count && !rc; i++) {
		rc = keys[i] ? get_locked(store, keys[i], &ret_items[i], err) : 0;
		rc = rc == -ENOENT ? 0 : rc;
	}
	database_do(&store->reader, ROLLBACK, NULL);
	for (size_t i = 0; i < count && rc; i++)
		store_item_fini(&ret_items[i]);
	return rc;
}

int meta_read(struct database *database, const char *name, uint64_t *ret_value, struct err *err)
{
	sqlite3_stmt *statement = database_start(database, META, "s", name);
	int rc = database_row(statement, err);

	if (rc < 0)
		return rc;
	if (!rc)
		return err_set(err, EBADMSG, "the store: it has no '%s'", name);
	*ret_value = column(statement, 0);
	database_done(statement);
	return 0;
}

static int list(struct database *reader, const char *prefix, const char *after, unsigned limit,
		struct store_page *page, struct err *err)
{
	sqlite3_stmt *statement;
	int rc = meta_read(reader, "revision", &page->revision, err);

	if (rc)
		return rc;
	statement = database_start(reader, LIST, "ssi", prefix, after ? after : "",
				   (uint64_t)limit + 1);
	while ((rc = database_row(statement, err)) > 0 && !page->more) {
		struct store_item item;

		if (page->items.count == limit) {
			page->more = true;
			continue;
		}
		rc = item_read(statement, 0, &item);
		if (!rc && vec_push(&page->items, item)) {
			store_item_fini(&item);
			rc = -ENOMEM;
		}
		if (rc) {
			database_done(statement);
			return err_errno(err, rc, "cannot read a list");
		}
	}
	database_done(statement);
	return rc < 0 ? rc : 0;
}

int store_list(struct store *store, const char *prefix, const char *after, unsigned limit,
	       struct store_page *ret_page, struct err *err)
{
	int rc;

	*ret_page = (struct store_page){ 0 };
	if (!limit || limit > STORE_LIST_MAX)
		return err_set(err, EINVAL, "a list of %u items", limit);
	LOCK_SCOPE(&store->read_lock);
	rc = database_do(&store->reader, BEGIN_READ, err);
	if (rc)
		return rc;
	rc = list(&store->reader, prefix, after, limit, ret_page, err);
	/* Nothing was changed, so there is nothing that could fail. */
	database_do(&store->reader, ROLLBACK, NULL);
	if (rc)
		store_page_fini(ret_page);
	return rc;
}

uint64_t store_revision(struct store *store)
{
	return atomic_load(&store->revision);
}
