/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists: pages of what the store has under a prefix, filtered, as one JSON object or as lines of JSON
 * (NDJSON, when the client accepts that). A page ends at its limit, or when so much was looked
 * through that others should have their turn; the cursor leads on from there.
 */
#pragma once

#include "node/route/route.h"

struct list_source {
	char prefix[KEY_SIZE]; /* of the keys; cursors are what comes behind it */
	const struct api_kind *kind;
	/* Optional: whether who asks may see it. */
	bool (*allows)(struct asked *asked, const struct list_source *source,
		       const struct store_item *item);
	/* Optional: where its status is, the member "status" of what is shown. False: it is damaged. */
	bool (*status_key)(const struct list_source *source, const struct store_item *item,
			   char ret_key[KEY_SIZE]);
	/* The item as it is shown, with its status (without a value: none); caller frees. NULL: nothing
	 * of it is to be shown. */
	char *(*text)(struct asked *asked, const struct list_source *source,
		      const struct store_item *item, const struct store_item *status);
};

int list_answer(struct asked *asked, const struct list_source *source, struct problem *problem);

extern const char *const list_queries[];

/* "tier=web,!old" as a filter: "labels.tier=web,!labels.old". Caller frees; NULL: no memory. */
char *list_label_filter(const char *labels);
