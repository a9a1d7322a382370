/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations that ended are forgotten after a while. */
#include <stdio.h>
#include <string.h>

#include "node/operation/priv.h"

#define AGE_MAX_MS (UINT64_C(7) * 86400 * 1000)
#define ENDED_MAX  10000

/* Deletes what is old of a page; `ended` counts those that were seen. */
static void prune_page(struct node *node, const struct store_page *page, const char *oldest,
		       size_t *ended)
{
	struct store_commit commit = { 0 };
	const struct store_item *item;

	vec_for_each (item, &page->items) {
		json_t *document = json_loadb(item->value, item->bytes, 0, NULL);
		const json_t *status = json_object_get(document, "status");
		const char *end = schema_string(status, "ended");

		/* Times of one form are in the order of their texts. */
		if (end && (++*ended > ENDED_MAX || strcmp(end, oldest) < 0))
			store_delete(&commit, item->key);
		json_decref(document);
	}
	if (commit.changes.count)
		store_commit(node->store, &commit, NULL, NULL);
	store_commit_fini(&commit);
}

void operations_prune(struct node *node)
{
	char after[KEY_SIZE] = "", oldest[TIME_SIZE];
	size_t ended = 0;
	bool more = true;

	node_time_text(node_now_ms() - AGE_MAX_MS, oldest);
	while (more) {
		struct store_page page;

		if (store_list(node->store, "/operations/", after, STORE_PARTS_MAX, &page, NULL))
			return;
		prune_page(node, &page, oldest, &ended);
		more = page.more;
		if (more)
			snprintf(after, sizeof(after), "%s",
				 page.items.items[page.items.count - 1].key);
		store_page_fini(&page);
	}
}
