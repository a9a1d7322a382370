/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table is found by hash and given up by age. Dirty tables are written in batches: their bytes
 * are copied under the lock, `before_write` is called once, then the copies are written. So a table
 * may be changed again at once, and what is written is never newer than what was made durable
 * before it.
 *
 * Invariant: a table that is `writing` is written by one thread only, and stays.
 */
#include "block/format/table_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "host/thread.h"

#define BATCH_BYTES MIB

struct table_cache {
	struct table_cache_config config;
	unsigned table_max, bucket_count, batch_max;

	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t changed;
	struct list by_use; /* the oldest first */
	unsigned table_count, dirty_count, writing_count;
	uint64_t clock; /* counts when tables become dirty; 0 is before all */
	struct table **buckets;
};

/* Tables that are being written, and copies of their bytes. */
struct batch {
	struct table **tables;
	struct table_write *writes;
	uint8_t *bytes;
	unsigned count;
};

int table_cache_new(struct table_cache **ret_cache, const struct table_cache_config *config)
{
	struct table_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return -ENOMEM;
	cache->config = *config;
	cache->table_max =
		(unsigned)MAX(config->budget_bytes / config->table_bytes, (uint64_t)TABLES_MIN);
	cache->batch_max = (unsigned)MAX(BATCH_BYTES / config->table_bytes, UINT64_C(1));
	cache->bucket_count = 1;
	while (cache->bucket_count < cache->table_max)
		cache->bucket_count *= 2;
	pthread_mutex_init(&cache->lock, NULL);
	pthread_cond_init(&cache->changed, NULL);
	list_init(&cache->by_use);
	cache->buckets = calloc(cache->bucket_count, sizeof(struct table *));
	if (!cache->buckets) {
		table_cache_free(cache);
		return -ENOMEM;
	}
	*ret_cache = cache;
	return 0;
}

static void table_free(struct table *table)
{
	free(table->bytes);
	free(table);
}

void table_cache_free(struct table_cache *cache)
{
	struct table *table, *next;

	if (!cache)
		return;
	list_for_each_safe (table, next, &cache->by_use, use) {
		check(!table->pins);
		table_free(table);
	}
	pthread_cond_destroy(&cache->changed);
	pthread_mutex_destroy(&cache->lock);
	free(cache->buckets);
	free(cache);
}

void table_cache_lock(struct table_cache *cache)
{
	pthread_mutex_lock(&cache->lock);
}

void table_cache_unlock(struct table_cache *cache)
{
	pthread_mutex_unlock(&cache->lock);
}

void table_set_dirty(struct table *table)
{
	if (table->dirty)
		return;
	table->dirty = true;
	table->dirty_since = ++table->cache->clock;
	table->cache->dirty_count++;
}

static void set_clean_locked(struct table *table)
{
	table->cache->dirty_count -= table->dirty;
	table->dirty = false;
}

static struct table **bucket_of(struct table_cache *cache, uint64_t offset)
{
	uint64_t hash = offset / cache->config.table_bytes * UINT64_C(0x9e3779b97f4a7c15);

	return &cache->buckets[(hash >> 32) & (cache->bucket_count - 1)];
}

static struct table *find_locked(struct table_cache *cache, uint64_t offset)
{
	struct table *table = *bucket_of(cache, offset);

	while (table && table->offset != offset)
		table = table->bucket;
	return table;
}

static void pin_locked(struct table *table)
{
	table->pins++;
	list_remove(&table->use);
	list_append(&table->cache->by_use, &table->use);
}

static void remove_locked(struct table *table)
{
	struct table **at = bucket_of(table->cache, table->offset);

	while (*at != table)
		at = &(*at)->bucket;
	*at = table->bucket;
	list_remove(&table->use);
	set_clean_locked(table);
	table->cache->table_count--;
	table_free(table);
}

/* ---- writing back ---- */

static int batch_init(struct batch *batch, const struct table_cache *cache)
{
	*batch = (struct batch){
		.tables = calloc(cache->batch_max, sizeof(struct table *)),
		.writes = calloc(cache->batch_max, sizeof(struct table_write)),
		.bytes = malloc((size_t)cache->batch_max * cache->config.table_bytes),
	};
	return batch->tables && batch->writes && batch->bytes ? 0 : -ENOMEM;
}

static void batch_fini(struct batch *batch)
{
	free(batch->tables);
	free(batch->writes);
	free(batch->bytes);
}

/* Takes the oldest dirty tables, as many as fit, and fixes what will be written. */
static void batch_take(struct batch *batch, struct table_cache *cache)
{
	size_t table_bytes = cache->config.table_bytes;
	struct table *table;

	LOCK_SCOPE(&cache->lock);
	list_for_each (table, &cache->by_use, use) {
		if (!table->dirty || table->writing)
			continue;
		if (batch->count == cache->batch_max)
			break;
		batch->writes[batch->count] = (struct table_write){
			.offset = table->offset,
			.bytes = batch->bytes + batch->count * table_bytes,
		};
		memcpy(batch->bytes + batch->count * table_bytes, table->bytes, table_bytes);
		table->writing = true;
		cache->writing_count++;
		table->writing_since = table->dirty_since;
		set_clean_locked(table);
		batch->tables[batch->count++] = table;
	}
}

static int batch_write(struct batch *batch, struct table_cache *cache)
{
	const struct table_cache_config *config = &cache->config;
	int rc = config->before_write ? config->before_write(config->ctx) : 0;

	if (!rc && config->write)
		return config->write(config->ctx, batch->writes, batch->count);
	for (unsigned i = 0; i < batch->count && !rc; i++)
		rc = block_write(config->file, batch->writes[i].offset, batch->writes[i].bytes,
				 config->table_bytes);
	return rc;
}

static void batch_settle(struct batch *batch, struct table_cache *cache, int rc)
{
	LOCK_SCOPE(&cache->lock);
	for (unsigned i = 0; i < batch->count; i++) {
		batch->tables[i]->writing = false;
		cache->writing_count--;
		if (!rc)
			continue;
		/* As old as can be: whoever writes back waits for it again. */
		table_set_dirty(batch->tables[i]);
		batch->tables[i]->dirty_since = 0;
	}
	batch->count = 0;
	pthread_cond_broadcast(&cache->changed);
}

/* Writes one batch; `*ret_count` tables were in it. */
static int write_some(struct table_cache *cache, unsigned *ret_count)
{
	struct batch batch;
	int rc = batch_init(&batch, cache);

	*ret_count = 0;
	if (!rc) {
		batch_take(&batch, cache);
		*ret_count = batch.count;
		if (batch.count)
			rc = batch_write(&batch, cache);
		batch_settle(&batch, cache, rc);
	}
	batch_fini(&batch);
	return rc;
}

/* Whether changes up to that time are not in the file yet. If other threads are writing all of
 * them, waits until they got on. */
static bool is_left(struct table_cache *cache, uint64_t time)
{
	struct table *table;
	bool writing = false;

	LOCK_SCOPE(&cache->lock);
	list_for_each (table, &cache->by_use, use) {
		if (table->dirty && !table->writing && table->dirty_since <= time)
			return true;
		writing |= table->writing && (table->writing_since <= time ||
					      (table->dirty && table->dirty_since <= time));
	}
	if (writing)
		pthread_cond_wait(&cache->changed, &cache->lock);
	return writing;
}

int table_cache_write_back(struct table_cache *cache)
{
	unsigned count;
	uint64_t time;
	int rc = 0;

	table_cache_lock(cache);
	time = cache->clock;
	table_cache_unlock(cache);
	while (!rc && is_left(cache, time))
		rc = write_some(cache, &count);
	return rc;
}

bool table_cache_is_dirty(struct table_cache *cache)
{
	LOCK_SCOPE(&cache->lock);
	return cache->dirty_count || cache->writing_count;
}

/* ---- finding ---- */

static struct table *oldest_idle_locked(struct table_cache *cache)
{
	struct table *table;

	list_for_each (table, &cache->by_use, use) {
		if (!table->pins && !table->writing)
			return table;
	}
	return NULL;
}

/* Sees to it that one more table may be added; lets go of the lock for that if it says true. */
static int make_room_locked(struct table_cache *cache, bool *ret_waited)
{
	struct table *table;
	unsigned count;
	int rc = 0;

	*ret_waited = false;
	if (cache->table_count < cache->table_max)
		return 0;
	table = oldest_idle_locked(cache);
	if (table && !table->dirty) {
		remove_locked(table);
		return 0;
	}
	*ret_waited = true;
	if (!table) {
		pthread_cond_wait(&cache->changed, &cache->lock);
		return 0;
	}
	pthread_mutex_unlock(&cache->lock);
	rc = write_some(cache, &count);
	pthread_mutex_lock(&cache->lock);
	return rc;
}

static struct table *add_locked(struct table_cache *cache, uint64_t offset)
{
	struct table *table = calloc(1, sizeof(*table));
	struct table **bucket = bucket_of(cache, offset);

	if (table)
		table->bytes = calloc(1, cache->config.table_bytes);
	if (!table || !table->bytes) {
		free(table);
		return NULL;
	}
	table->cache = cache;
	table->offset = offset;
	table->pins = 1;
	table->bucket = *bucket;
	*bucket = table;
	list_append(&cache->by_use, &table->use);
	cache->table_count++;
	return table;
}

/* The table, pinned, and whether it is new and still has to be filled. */
static int claim(struct table_cache *cache, uint64_t offset, struct table **ret_table,
		 bool *ret_new)
{
	bool waited = true;
	struct table *table = NULL;
	int rc = 0;

	LOCK_SCOPE(&cache->lock);
	while (waited) {
		table = find_locked(cache, offset);
		if (table && table->ready) {
			pin_locked(table);
			*ret_table = table;
			*ret_new = false;
			return 0;
		}
		if (table)
			pthread_cond_wait(&cache->changed, &cache->lock);
		else
			rc = make_room_locked(cache, &waited);
		if (rc)
			return rc;
	}
	*ret_new = true;
	*ret_table = add_locked(cache, offset);
	return *ret_table ? 0 : -ENOMEM;
}

/* A table that was added may be used by all now, or is taken out again. */
static void settle(struct table *table, int rc, bool dirty)
{
	struct table_cache *cache = table->cache;

	LOCK_SCOPE(&cache->lock);
	if (rc) {
		remove_locked(table);
	} else {
		table->ready = true;
		if (dirty)
			table_set_dirty(table);
	}
	pthread_cond_broadcast(&cache->changed);
}

int table_cache_get(struct table_cache *cache, uint64_t offset, struct table **ret_table)
{
	struct table *table;
	bool is_new;
	int rc = claim(cache, offset, &table, &is_new);

	if (!rc && is_new) {
		rc = block_read(cache->config.file, offset, table->bytes,
				cache->config.table_bytes);
		settle(table, rc, false);
	}
	if (!rc)
		*ret_table = table;
	return rc;
}

int table_cache_get_new(struct table_cache *cache, uint64_t offset, struct table **ret_table)
{
	struct table *table;
	bool is_new;
	int rc = claim(cache, offset, &table, &is_new);

	if (rc)
		return rc;
	if (is_new) {
		settle(table, 0, true);
	} else {
		LOCK_SCOPE(&cache->lock);
		memset(table->bytes, 0, cache->config.table_bytes);
		table_set_dirty(table);
	}
	*ret_table = table;
	return 0;
}

struct table *table_cache_peek(struct table_cache *cache, uint64_t offset)
{
	struct table *table;

	LOCK_SCOPE(&cache->lock);
	table = find_locked(cache, offset);
	if (!table || !table->ready)
		return NULL;
	pin_locked(table);
	return table;
}

void table_cache_put(struct table *table)
{
	if (!table)
		return;
	LOCK_SCOPE(&table->cache->lock);
	if (!--table->pins)
		pthread_cond_broadcast(&table->cache->changed);
}

void table_cache_forget(struct table_cache *cache, uint64_t offset, uint64_t bytes)
{
	struct table *table, *next;
	bool again = true;

	LOCK_SCOPE(&cache->lock);
	while (again) {
		again = false;
		list_for_each_safe (table, next, &cache->by_use, use) {
			if (table->offset < offset || table->offset - offset >= bytes)
				continue;
			if (table->writing || table->pins)
				again = true;
			else
				remove_locked(table);
		}
		if (again)
			pthread_cond_wait(&cache->changed, &cache->lock);
	}
}
