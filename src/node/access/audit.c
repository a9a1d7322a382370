/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys count down with time, so that the newest line comes first in a list and the oldest ones are
 * the end of it.
 */
#include "node/access/audit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "host/clock.h"
#include "node/access/access.h"
#include "node/object/change_priv.h"
#include "node/object/priv.h"

#define AGE_MAX_NS  (UINT64_C(90) * 86400 * NS_PER_SEC)
#define LINES_MAX   200000
#define BATCH       100 /* deletions of a commit */
#define COUNT_EVERY 10000

struct audit {
	atomic_uint number; /* of lines since the start; tells those of one nanosecond apart */
	unsigned counted;   /* when they were last counted */
	bool was_counted;
};

int audit_open(struct node *node, struct err *err)
{
	node->audit = calloc(1, sizeof(*node->audit));
	return node->audit ? 0 : err_errno(err, ENOMEM, "cannot open the audit log");
}

void audit_close(struct node *node)
{
	free(node->audit);
	node->audit = NULL;
}

static void line_key(uint64_t ns, unsigned number, char ret_key[KEY_SIZE])
{
	snprintf(ret_key, KEY_SIZE, "/audit/%016llx-%08x", (unsigned long long)~ns, ~number);
}

static void set_text(json_t *line, const char *name, const char *text)
{
	if (text && *text)
		json_object_set_new(line, name, json_string(text));
}

static json_t *line_json(const struct identity *who, const struct audit_line *line)
{
	json_t *value = json_object();
	char time[TIME_SIZE];

	node_time_text(node_now_ms(), time);
	set_text(value, "time", time);
	set_text(value, "user", who ? who->user : NULL);
	set_text(value, "token", who ? who->token : NULL);
	set_text(value, "origin", who ? who->origin : "server");
	set_text(value, "action", line->action);
	set_text(value, "kind", line->kind);
	set_text(value, "project", line->project);
	set_text(value, "name", line->name);
	set_text(value, "uid", line->uid);
	set_text(value, "operation", line->operation);
	if (line->before)
		json_object_set_new(value, "before", json_integer((json_int_t)line->before));
	if (line->difference)
		json_object_set(value, "difference", line->difference);
	return value;
}

int audit_add(struct change *change, const struct audit_line *line, struct problem *problem)
{
	json_t *value = line_json(change->who, line);
	char key[KEY_SIZE];
	int rc;

	line_key(clock_read_ns(CLOCK_REALTIME), change->node->audit->number++, key);
	rc = change_put_json(change, key, value, problem);
	json_decref(value);
	return rc;
}

void audit_note(struct node *node, const struct identity *who, const struct audit_line *line)
{
	struct problem problem = PROBLEM_INIT;
	struct change change;

	change_begin(&change, node, who);
	if (audit_add(&change, line, &problem) || change_commit(&change, &problem))
		log_error("audit: '%s' of '%s' is not in it: %s", line->action,
			  who ? who->user : "server", problem.err.text);
	change_fini(&change);
}

/* ---- forgetting ---- */

/* Behind `after`, up to `count` lines; false: that is all. */
static bool delete_some(struct node *node, const char *after)
{
	struct store_commit commit = { 0 };
	const struct store_item *item;
	struct store_page page;
	bool more = false;

	if (store_list(node->store, "/audit/", after, BATCH, &page, NULL))
		return false;
	vec_for_each (item, &page.items)
		store_delete(&commit, item->key);
	if (page.items.count)
		more = !store_commit(node->store, &commit, NULL, NULL) && page.more;
	store_commit_fini(&commit);
	store_page_fini(&page);
	return more;
}

/* The key behind which lines are too many, if there are. */
static bool find_last(struct node *node, char ret_key[KEY_SIZE])
{
	size_t count = 0;
	bool more = true;

	*ret_key = '\0';
	while (more && count < LINES_MAX) {
		struct store_page page;

		if (store_list(node->store, "/audit/", ret_key, STORE_LIST_MAX, &page, NULL))
			return false;
		count += page.items.count;
		more = page.more;
		if (page.items.count)
			snprintf(ret_key, KEY_SIZE, "%s",
				 page.items.items[page.items.count - 1].key);
		store_page_fini(&page);
	}
	return more;
}

void audit_prune(struct node *node)
{
	struct audit *audit = node->audit;
	char key[KEY_SIZE];

	line_key(clock_read_ns(CLOCK_REALTIME) - AGE_MAX_NS, 0, key);
	while (delete_some(node, key))
		;
	/* Counting reads all of them. */
	if (audit->was_counted && audit->number - audit->counted < COUNT_EVERY)
		return;
	audit->was_counted = true;
	audit->counted = audit->number;
	if (!find_last(node, key))
		return;
	while (delete_some(node, key))
		;
}

/* ---- differences ---- */

json_t *audit_difference(const json_t *before, const json_t *after)
{
	json_t *patch = json_object();
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)after, key, value)
	{
		json_t *old = json_object_get(before, key);

		if (old && json_equal(old, value))
			continue;
		if (json_is_object(old) && json_is_object(value))
			json_object_set_new(patch, key, audit_difference(old, value));
		else
			json_object_set(patch, key, value);
	}
	json_object_foreach((json_t *)before, key, value)
	{
		if (!json_object_get(after, key))
			json_object_set_new(patch, key, json_null());
	}
	return patch;
}
