/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of a format's metadata in memory: pieces of one size of a file, loaded when they are asked
 * for, written back when room is needed or on flush, bounded by a budget.
 *
 *	rc = table_cache_get(cache, offset, &table);	// may wait for I/O; pinned
 *	table_cache_lock(cache);
 *	entry = be64_get(table->bytes + 8 * index);
 *	be64_put(table->bytes + 8 * index, changed);
 *	table_set_dirty(table);
 *	table_cache_unlock(cache);
 *	table_cache_put(table);
 *
 * Threads: any. Bytes and dirtiness of tables are guarded by the cache's lock, which is never held
 * across I/O, so that map() may take it. Loads of different tables go in parallel.
 *
 * Order: `before_write` is called (no lock held) before a table is written, after its bytes for that
 * write have been fixed. What a table refers to, and was changed before the table, can so be made
 * durable first: other caches, data.
 */
#pragma once

#include <pthread.h>

#include "block/block.h"

struct table_cache;

struct table {
	struct table_cache *cache;
	uint64_t offset; /* in the file */
	uint8_t *bytes;  /* `table_bytes` of them; guarded by the lock, as is the rest */
	bool dirty, ready, writing;
	/* Times of the cache's clock: of the first change that is in no write; that is in this one. */
	uint64_t dirty_since, writing_since;
	unsigned pins;
	struct list use;      /* by last use */
	struct table *bucket; /* next with the same hash */
};

/* A table's bytes for the file. */
struct table_write {
	uint64_t offset;
	const uint8_t *bytes; /* `table_bytes` */
};

struct table_cache_config {
	struct block_node *file; /* borrowed */
	uint32_t table_bytes;    /* a power of two, 512 to 2 MiB; tables lie at multiples of 512 */
	uint64_t budget_bytes;   /* at least TABLES_MIN tables are kept, whatever it says */
	/* Optional. 0 or a negative errno, which ends the write-back. May use other caches, not
	 * this one. */
	int (*before_write)(void *ctx);
	/* Optional. Writes some tables to their places, instead of writing one after another:
	 * through a journal. As `before_write` otherwise. */
	int (*write)(void *ctx, const struct table_write *writes, unsigned count);
	void *ctx;
};

#define TABLES_MIN 16

/* Allocates tables as they are used. 0 or -ENOMEM. */
int table_cache_new(struct table_cache **ret_cache, const struct table_cache_config *config);

/* Writes nothing back. No table pinned. Accepts NULL. */
void table_cache_free(struct table_cache *cache);

/* The table at `offset`, read from the file if needed. A thread pins at most a few at once. Errors:
 * those of storage, -ENOMEM. */
int table_cache_get(struct table_cache *cache, uint64_t offset, struct table **ret_table);

/* A table that is new there: zeroes, dirty, without reading. */
int table_cache_get_new(struct table_cache *cache, uint64_t offset, struct table **ret_table);

/* The table if it is in memory, else NULL; never waits for I/O. */
struct table *table_cache_peek(struct table_cache *cache, uint64_t offset);

/* Unpins. Accepts NULL. */
void table_cache_put(struct table *table);

void table_cache_lock(struct table_cache *cache);
void table_cache_unlock(struct table_cache *cache);

/* With the lock. */
void table_set_dirty(struct table *table);

/* Whether anything waits to be written, or is being written. */
bool table_cache_is_dirty(struct table_cache *cache);

/* Forgets the tables inside the range, changes and all: their space is not theirs any more. None of
 * them pinned by the caller; waits for others that look at them. */
void table_cache_forget(struct table_cache *cache, uint64_t offset, uint64_t bytes);

/* Writes back all that was dirty when it was called; does not flush the file. */
int table_cache_write_back(struct table_cache *cache);
