/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file in memory that remembers, in order, what was done to it: so that what a power cut would
 * have left can be put together afterwards.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/iov.h"
#include "base/vec.h"
#include "block/node.h"

enum event_kind { EVENT_WRITE, EVENT_RESIZE, EVENT_FLUSH };

struct event {
	enum event_kind kind;
	uint64_t offset, bytes; /* RESIZE: to `bytes` */
	uint8_t *data;          /* WRITE; owned */
};

/* The content of a file. */
struct content {
	uint8_t *bytes;
	uint64_t size, room;
};

/* What the node writes to; it outlives the node. */
struct recorded {
	struct content now;
	VEC(struct event) events;
	uint64_t fail_at; /* the event of this number fails with `error`; UINT64_MAX: none */
	int error;
	bool failed;
};

struct recorder {
	struct block_node node;
	struct recorded *file;
};

static inline void content_resize(struct content *c, uint64_t size)
{
	if (size > c->room) {
		c->room = MAX(size, 2 * c->room);
		c->bytes = realloc(c->bytes, c->room);
		check(c->bytes);
	}
	if (size > c->size)
		memset(c->bytes + c->size, 0, size - c->size);
	c->size = size;
}

static inline void content_copy(struct content *to, const struct content *from)
{
	content_resize(to, 0);
	content_resize(to, from->size);
	memcpy(to->bytes, from->bytes, from->size);
}

/* `skip` and `bytes`: the part of a write that is done. */
static inline void content_apply(struct content *c, const struct event *e, uint64_t skip,
				 uint64_t bytes)
{
	if (e->kind == EVENT_RESIZE)
		content_resize(c, e->bytes);
	if (e->kind != EVENT_WRITE || !bytes)
		return;
	if (c->size < e->offset + skip + bytes)
		content_resize(c, e->offset + skip + bytes);
	memcpy(c->bytes + e->offset + skip, e->data + skip, bytes);
}

static inline struct recorded *recorded_of(struct block_node *node)
{
	return container_of(node, struct recorder, node)->file;
}

/* Notes an event and does it, if it does not fail. */
static inline int recorded_add(struct recorded *file, struct event event)
{
	if (file->events.count == file->fail_at && !file->failed) {
		file->failed = true;
		free(event.data);
		return file->error;
	}
	check(!vec_push(&file->events, event));
	content_apply(&file->now, &event, 0, event.bytes);
	return 0;
}

static inline int recorder_read(struct block_node *node, uint64_t offset, uint64_t bytes,
				struct block_buffer to)
{
	const struct content *c = &recorded_of(node)->now;
	uint64_t there = offset < c->size ? MIN(bytes, c->size - offset) : 0;

	iov_scatter(to.iov, to.iov_count, to.skip, c->bytes + offset, there);
	iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return 0;
}

static inline int recorder_write(struct block_node *node, uint64_t offset, uint64_t bytes,
				 struct block_buffer from, unsigned flags)
{
	struct event event = { EVENT_WRITE, offset, bytes, malloc(bytes) };

	(void)flags;
	check(event.data);
	iov_gather(event.data, from.iov, from.iov_count, from.skip, bytes);
	return recorded_add(recorded_of(node), event);
}

static inline int recorder_flush(struct block_node *node)
{
	return recorded_add(recorded_of(node), (struct event){ .kind = EVENT_FLUSH });
}

static inline int recorder_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	int rc = recorded_add(recorded_of(node),
			      (struct event){ .kind = EVENT_RESIZE, .bytes = bytes });

	return rc ? err_errno(err, rc, "cannot resize the file") : 0;
}

static inline uint64_t recorder_size(struct block_node *node)
{
	return recorded_of(node)->now.size;
}

static inline uint32_t recorder_unit(struct block_node *node)
{
	(void)node;
	return BLOCK_SECTOR;
}

static inline bool recorder_can_write(struct block_node *node)
{
	(void)node;
	return true;
}

static inline void recorder_close(struct block_node *node)
{
	block_node_fini(node);
	free(container_of(node, struct recorder, node));
}

static const struct block_ops recorder_ops = {
	.name = "recorder",
	.read = recorder_read,
	.write = recorder_write,
	.flush = recorder_flush,
	.resize = recorder_resize,
	.size = recorder_size,
	.unit = recorder_unit,
	.can_write = recorder_can_write,
	.close = recorder_close,
};

/* A node on `file`, which is borrowed. One thread only. */
static inline struct block_node *recorder_open(struct recorded *file)
{
	struct recorder *recorder = calloc(1, sizeof(*recorder));

	check(recorder);
	block_node_init(&recorder->node, &recorder_ops, NULL);
	recorder->node.grows = true;
	recorder->file = file;
	return &recorder->node;
}

static inline void recorded_fini(struct recorded *file)
{
	for (size_t i = 0; i < file->events.count; i++)
		free(file->events.items[i].data);
	vec_fini(&file->events);
	free(file->now.bytes);
}

static inline uint32_t recorder_random(uint32_t *random)
{
	*random = *random * 1664525 + 1013904223;
	return *random >> 8;
}

/* What a cut of the power keeps of the events from `from` to before `cut`: some, in some order, some
 * only in part. */
static inline void recorded_keep_some(const struct recorded *file, struct content *kept,
				      size_t from, size_t cut, uint32_t *random)
{
	size_t count = cut - from, *order = calloc(count + 1, sizeof(*order));

	check(order);
	for (size_t i = 0; i < count; i++) {
		size_t other = recorder_random(random) % (i + 1);

		order[i] = order[other];
		order[other] = from + i;
	}
	for (size_t i = 0; i < count; i++) {
		const struct event *e = &file->events.items[order[i]];
		uint64_t sectors = e->bytes / BLOCK_SECTOR, part = sectors;

		if (recorder_random(random) % 2)
			continue;
		if (sectors > 1 && recorder_random(random) % 4 == 0)
			part = 1 + recorder_random(random) % (sectors - 1);
		/* What is shorter than a sector lies in one, and is whole. */
		content_apply(kept, e, 0, part == sectors ? e->bytes : part * BLOCK_SECTOR);
	}
	free(order);
}
