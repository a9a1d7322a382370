/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects as the API shows them, from what the store has of them, as compact JSON. */
#pragma once

#include "node/object/priv.h"

/* `status`: what was observed, without a value when nothing was. Caller frees; NULL: the item is
 * damaged, or no memory. */
char *object_text(const struct api_kind *kind, const struct store_item *item,
		  const struct store_item *status);

/* The same with the status that is stored, and its revision (0: none). */
char *object_read_text(struct node *node, const struct api_kind *kind,
		       const struct store_item *item, uint64_t *ret_status_revision);

/* false: the item is damaged. */
bool object_text_uid(const struct store_item *item, char ret_uid[UID_SIZE]);
