/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Intrusive doubly linked circular list; the head is a node of its own. */
#pragma once

#include <stdbool.h>

#include "base/macros.h"

struct list {
	struct list *next, *prev;
};

#define LIST_INIT(head)                                                                            \
	{                                                                                          \
		&(head), &(head)                                                                   \
	}

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_after(struct list *where, struct list *node)
{
	node->next = where->next;
	node->prev = where;
	where->next->prev = node;
	where->next = node;
}

static inline void list_append(struct list *head, struct list *node)
{
	list_insert_after(head->prev, node);
}

/* Takes the node out and leaves it an empty list of its own, so that it may be removed again. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_first(head, type, member)                                                             \
	(list_empty(head) ? NULL : container_of((head)->next, type, member))

#define list_for_each(pos, head, member)                                                           \
	for (pos = container_of((head)->next, __typeof__(*pos), member); &pos->member != (head);   \
	     pos = container_of(pos->member.next, __typeof__(*pos), member))

/* As list_for_each(), and `pos` may be removed (and freed) inside the loop. */
#define list_for_each_safe(pos, tmp, head, member)                                                 \
	for (pos = container_of((head)->next, __typeof__(*pos), member),                           \
	    tmp = container_of(pos->member.next, __typeof__(*pos), member);                        \
	     &pos->member != (head);                                                               \
	     pos = tmp, tmp = container_of(tmp->member.next, __typeof__(*tmp), member))
