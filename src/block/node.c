/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A node's life and its facts. */
#include "block/node.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/cleanup.h"
#include "base/macros.h"

static void complete_task(struct loop_task *task)
{
	block_complete_now(container_of(task, struct block_node, task));
}

void block_node_init(struct block_node *node, const struct block_ops *ops, struct loop *loop)
{
	check(ops->close);
	*node = (struct block_node){ .ops = ops, .loop = loop };
	range_lock_init(&node->ranges);
	pthread_mutex_init(&node->lock, NULL);
	pthread_cond_init(&node->changed, NULL);
	list_init(&node->completed);
	list_init(&node->held_back);
	node->task.run = complete_task;
}

int block_node_add(struct block_node *node, struct block_node *child)
{
	size_t bytes = (node->child_count + 1) * sizeof(struct block_node *);
	struct block_node **children = realloc(node->children, bytes);

	check(child);
	if (!children)
		return -ENOMEM;
	node->children = children;
	children[node->child_count++] = child;
	node->next = children[0];
	return 0;
}

void block_node_replace(struct block_node *parent, struct block_node *from, struct block_node *to)
{
	unsigned i = 0;

	while (i < parent->child_count && parent->children[i] != from)
		i++;
	check(i < parent->child_count);
	if (to) {
		parent->children[i] = to;
	} else {
		parent->child_count--;
		for (; i < parent->child_count; i++)
			parent->children[i] = parent->children[i + 1];
	}
	parent->next = parent->child_count ? parent->children[0] : NULL;
}

char *block_image_path(struct block_node *image)
{
	json_t *facts = block_describe(image);
	const json_t *file = json_object_get(facts, "file");
	char *path = NULL;

	/* Some formats say all that is known of their file. */
	while (json_is_object(file))
		file = json_object_get(file, "file");
	if (json_is_string(file))
		path = strdup(json_string_value(file));
	json_decref(facts);
	return path;
}

struct block_node *block_backing(struct block_node *node)
{
	return node->ops->backing ? node->ops->backing(node) : NULL;
}

int block_node_set_backing(struct block_node *node, struct block_node *backing)
{
	struct block_node *old = block_backing(node);
	int rc = 0;

	if (!node->ops->set_backing)
		return -ENOTSUP;
	if (old)
		block_node_replace(node, old, backing);
	else if (backing)
		rc = block_node_add(node, backing);
	if (!rc)
		node->ops->set_backing(node, backing);
	return rc;
}

void block_node_fini(struct block_node *node)
{
	LOOP_HOLD_SCOPE(node->loop);
	if (node->loop)
		loop_task_cancel(node->loop, &node->task);
	workers_free(node->workers);
	if (!node->children_kept)
		free(node->children);
	pthread_cond_destroy(&node->changed);
	pthread_mutex_destroy(&node->lock);
	range_lock_fini(&node->ranges);
}

int block_node_start_workers(struct block_node *node, unsigned threads, struct err *err)
{
	if (!node->loop || node->workers)
		return 0;
	return workers_new(&node->workers, node->ops->name, threads, err);
}

void block_close(struct block_node *node)
{
	struct block_node **children;
	unsigned count;

	if (!node)
		return;
	LOOP_HOLD_SCOPE(node->loop);
	check(!atomic_load(&node->in_flight));
	workers_free(take_ptr(&node->workers));
	count = node->child_count;
	/* The list outlives the node, whose close() still uses it. */
	children = node->children;
	node->children_kept = true;
	node->ops->close(node);
	for (unsigned i = 0; i < count; i++)
		block_close(children[i]);
	free(children);
}

/* The first node from `node` on that has the slot; NULL: none. */
#define FIND_SLOT(node, slot)                                                                      \
	({                                                                                         \
		struct block_node *at_ = (node);                                                   \
		while (at_ && !at_->ops->slot)                                                     \
			at_ = at_->next;                                                           \
		at_;                                                                               \
	})

struct loop *block_loop(struct block_node *node)
{
	return node->loop;
}

uint64_t block_size_bytes(struct block_node *node)
{
	node = FIND_SLOT(node, size);
	return node ? node->ops->size(node) : 0;
}

uint32_t block_unit_bytes(struct block_node *node)
{
	node = FIND_SLOT(node, unit);
	return node ? node->ops->unit(node) : BLOCK_SECTOR;
}

uint32_t block_granularity_bytes(struct block_node *node)
{
	struct block_node *at = FIND_SLOT(node, granularity);

	return at ? at->ops->granularity(at) : block_unit_bytes(node);
}

bool block_can_write(struct block_node *node)
{
	node = FIND_SLOT(node, can_write);
	return node && node->ops->can_write(node);
}

bool block_in_order(struct block_node *node)
{
	while (node->ops->filter && node->next)
		node = node->next;
	return node->in_order;
}

/* As FIND_SLOT(), but not past the first node that is no filter: that one itself. */
#define FIND_FILTER_SLOT(node, slot)                                                               \
	({                                                                                         \
		struct block_node *at_ = (node);                                                   \
		while (at_->ops->filter && at_->next && !at_->ops->slot)                           \
			at_ = at_->next;                                                           \
		at_;                                                                               \
	})

bool block_can_discard(struct block_node *node)
{
	node = FIND_FILTER_SLOT(node, can_discard);
	if (node->ops->can_discard)
		return node->ops->can_discard(node);
	return node->ops->discard && block_can_write(node);
}

bool block_can_write_zeroes(struct block_node *node)
{
	node = FIND_FILTER_SLOT(node, can_write_zeroes);
	if (node->ops->can_write_zeroes)
		return node->ops->can_write_zeroes(node);
	return node->ops->write_zeroes && block_can_write(node);
}

json_t *block_describe(struct block_node *node)
{
	node = FIND_FILTER_SLOT(node, describe);
	return node->ops->describe ? node->ops->describe(node) : json_object();
}
