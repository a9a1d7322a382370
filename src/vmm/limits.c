/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/schema.h"
#include "base/macros.h"

static const char *const limit_names[BLOCK_LIMITS] = {
	[BLOCK_LIMIT_REQUESTS] = "iops",       [BLOCK_LIMIT_READS] = "iops-read",
	[BLOCK_LIMIT_WRITES] = "iops-write",   [BLOCK_LIMIT_BYTES] = "bps",
	[BLOCK_LIMIT_BYTES_READ] = "bps-read", [BLOCK_LIMIT_BYTES_WRITTEN] = "bps-write",
};

#define NAME_MAX_BYTES 32

static void burst_name(enum block_limit limit, char name[NAME_MAX_BYTES])
{
	snprintf(name, NAME_MAX_BYTES, "%s-burst", limit_names[limit]);
}

static void take(const json_t *given, const char *name, uint64_t *value)
{
	if (json_object_get(given, name))
		*value = schema_integer(given, name);
}

static void change(struct block_limits *limits, const json_t *given)
{
	for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
		char burst[NAME_MAX_BYTES];

		burst_name((enum block_limit)i, burst);
		take(given, limit_names[i], &limits->limits[i].rate);
		take(given, burst, &limits->limits[i].burst);
	}
}

static json_t *limits_json(const struct block_limits *limits)
{
	json_t *json = json_object();

	for (unsigned i = 0; i < BLOCK_LIMITS; i++) {
		char burst[NAME_MAX_BYTES];

		burst_name((enum block_limit)i, burst);
		json_object_set_new(json, limit_names[i],
				    json_integer((json_int_t)limits->limits[i].rate));
		json_object_set_new(json, burst, json_integer((json_int_t)limits->limits[i].burst));
	}
	return json;
}

static struct limits_entry *find(struct limits_book *book, const char *name, bool group)
{
	struct limits_entry *entry;

	vec_for_each (entry, &book->entries) {
		if (entry->group == group && !strcmp(entry->name, name))
			return entry;
	}
	return NULL;
}

static int add(struct limits_book *book, const char *name, bool group, const json_t *given,
	       struct err *err)
{
	struct limits_entry entry = { .name = name, .group = group };
	struct block_limits limits = { 0 };
	int rc;

	if (find(book, name, group))
		return err_set(err, EINVAL, "limits of '%s' are given twice", name);
	change(&limits, given);
	rc = block_limiter_new(&entry.limiter, &limits);
	if (!rc)
		rc = vec_push(&book->entries, entry);
	if (rc) {
		block_limiter_put(entry.limiter);
		return err_errno(err, rc, "cannot limit '%s'", name);
	}
	return 0;
}

int limits_book_init(struct limits_book *book, const json_t *config, struct err *err)
{
	size_t index;
	json_t *group;
	int rc = 0;

	*book = (struct limits_book){ 0 };
	json_array_foreach(json_object_get(config, "limit-groups"), index, group)
	{
		if (!rc)
			rc = add(book, schema_string(group, "name"), true, group, err);
	}
	return rc;
}

void limits_book_fini(struct limits_book *book)
{
	struct limits_entry *entry;

	vec_for_each (entry, &book->entries)
		block_limiter_put(entry->limiter);
	vec_fini(&book->entries);
}

void limits_book_forget(struct limits_book *book, const char *id)
{
	struct limits_entry *entry = find(book, id, false);

	if (!entry)
		return;
	block_limiter_put(entry->limiter);
	*entry = book->entries.items[--book->entries.count];
}

int limits_book_limit(struct limits_book *book, const json_t *disk, struct loop *loop,
		      struct block_node **node, struct err *err)
{
	const char *group_name = schema_string(disk, "limit-group");
	struct limits_entry *group = NULL;
	int rc = add(book, schema_string(disk, "id"), false, disk, err);

	if (rc)
		return rc;
	if (group_name) {
		group = find(book, group_name, true);
		if (!group) {
			limits_book_forget(book, schema_string(disk, "id"));
			err_set(err, EINVAL, "disk '%s': there is no group of limits '%s'",
				schema_string(disk, "id"), group_name);
			err_hint(err, "add --limit-group %s", group_name);
			return -EINVAL;
		}
	}
	rc = limits_open(*node, find(book, schema_string(disk, "id"), false)->limiter,
			 group ? group->limiter : NULL, loop, node, err);
	if (rc)
		limits_book_forget(book, schema_string(disk, "id"));
	return rc;
}

int limits_book_change(struct limits_book *book, const char *name, bool group,
		       const json_t *changes, json_t **ret_limits, struct err *err)
{
	struct limits_entry *entry = find(book, name, group);
	struct block_limits limits;

	if (!entry)
		return err_set(err, ENOENT, "there is no %s '%s'",
			       group ? "group of limits" : "disk", name);
	limits = block_limiter_limits(entry->limiter);
	change(&limits, changes);
	block_limiter_set(entry->limiter, &limits);
	*ret_limits = limits_json(&limits);
	return *ret_limits ? 0 : err_errno(err, ENOMEM, "cannot answer");
}
