/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store in a folder of its own. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "store/store.h"

struct place {
	char folder[64], path[96];
	struct store *store;
};

static inline void place_open(struct place *place)
{
	struct err err = ERR_INIT;

	if (store_open(&place->store, place->path, &err))
		fail_msg("%s", err.text);
}

static inline void place_reopen(struct place *place)
{
	store_close(place->store);
	place_open(place);
}

static inline void place_init(struct place *place)
{
	strcpy(place->folder, "/var/tmp/cella-store-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->path, sizeof(place->path), "%s/store", place->folder);
	place_open(place);
}

static inline void place_fini(struct place *place)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[128];

	store_close(place->store);
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		snprintf(path, sizeof(path), "%s%s", place->path, ends[i]);
		unlink(path);
	}
	assert_int_equal(rmdir(place->folder), 0);
}

/* One key, if it was last changed by that revision (UINT64_MAX: whatever it is). */
static inline int place_put(struct place *place, const char *key, const char *value,
			    uint64_t modified, uint64_t *ret_revision)
{
	struct store_commit commit = { 0 };
	int rc;

	if (modified != UINT64_MAX)
		store_expect(&commit, key, modified);
	if (value)
		store_put(&commit, key, value, strlen(value));
	else
		store_delete(&commit, key);
	rc = store_commit(place->store, &commit, ret_revision, NULL);
	store_commit_fini(&commit);
	return rc;
}

static inline void place_expect(struct place *place, const char *key, const char *value)
{
	struct store_item item;
	int rc = store_get(place->store, key, &item, NULL);

	assert_int_equal(rc, value ? 0 : -ENOENT);
	if (!value)
		return;
	assert_string_equal(item.key, key);
	assert_string_equal(item.value, value);
	assert_int_equal(item.bytes, strlen(value));
	store_item_fini(&item);
}
