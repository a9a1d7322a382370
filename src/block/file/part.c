/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/file/part.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/macros.h"
#include "block/node.h"

struct part {
	struct block_node node; /* stands on the whole file */
	uint64_t start, bytes;  /* bytes UINT64_MAX: to its end */
};

static const struct block_ops part_ops;

static struct part *part_of(struct block_node *node)
{
	check(node->ops == &part_ops);
	return container_of(node, struct part, node);
}

static uint64_t part_size(struct block_node *node)
{
	struct part *part = part_of(node);
	uint64_t whole = block_size_bytes(node->next);

	if (part->bytes != UINT64_MAX)
		return part->bytes;
	return whole > part->start ? whole - part->start : 0;
}

static int part_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	return block_readv(node->next, part_of(node)->start + offset, bytes, to);
}

static int part_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		      struct block_buffer from, unsigned flags)
{
	return block_writev(node->next, part_of(node)->start + offset, bytes, from, flags);
}

static int part_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct part *part = part_of(node);

	if (part->bytes != UINT64_MAX)
		return err_set(err, ENOTSUP, "cannot resize a part of a file");
	return block_resize(node->next, part->start + bytes, err);
}

static bool part_map(struct block_node *node, enum block_op op, uint64_t offset, uint64_t bytes,
		     struct block_place *ret_place)
{
	(void)op;
	(void)bytes;
	*ret_place = (struct block_place){ node->next, part_of(node)->start + offset };
	return true;
}

/* As any file. */
static uint32_t part_unit(struct block_node *node)
{
	(void)node;
	return 1;
}

static bool part_can_write(struct block_node *node)
{
	return block_can_write(node->next);
}

static bool part_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

static json_t *part_describe(struct block_node *node)
{
	struct part *part = part_of(node);

	return json_pack("{s:s, s:I, s:I, s:o}", "part", "file", "start", (json_int_t)part->start,
			 "size", (json_int_t)part_size(node), "of", block_describe(node->next));
}

static void part_close(struct block_node *node)
{
	block_node_fini(node);
	free(part_of(node));
}

static const struct block_ops part_ops = {
	.name = "part",
	.read = part_read,
	.write = part_write,
	.resize = part_resize,
	.map = part_map,
	.size = part_size,
	.unit = part_unit,
	.can_write = part_can_write,
	.can_fua = part_can_fua,
	.describe = part_describe,
	.close = part_close,
};

int part_open(struct block_node *file, uint64_t start, uint64_t bytes, struct loop *loop,
	      struct block_node **ret_node, struct err *err)
{
	uint64_t size = block_size_bytes(file);
	struct part *part;

	if (bytes != UINT64_MAX && (start > size || bytes > size - start))
		return err_set(err, EINVAL, "%llu bytes at %llu are not in a file of %llu",
			       (unsigned long long)bytes, (unsigned long long)start,
			       (unsigned long long)size);
	part = calloc(1, sizeof(*part));
	if (!part)
		return err_errno(err, ENOMEM, "cannot open a part of a file");
	block_node_init(&part->node, &part_ops, loop);
	part->start = start;
	part->bytes = bytes;
	part->node.grows = bytes == UINT64_MAX;
	if (block_node_add(&part->node, file)) {
		part_close(&part->node);
		return err_errno(err, ENOMEM, "cannot open a part of a file");
	}
	*ret_node = &part->node;
	return 0;
}
