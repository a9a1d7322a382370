/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From options to a chain of nodes. */
#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "block/block.h"
#include "block/file/raw.h"
#include "block/filter/snapshot.h"

static const char *const cache_names[] = {
	[BLOCK_CACHE_WRITEBACK] = "writeback",
	[BLOCK_CACHE_NONE] = "none",
	[BLOCK_CACHE_UNSAFE] = "unsafe",
};

int block_cache_parse(const char *name, enum block_cache *ret_cache)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cache_names); i++) {
		if (!strcmp(name, cache_names[i])) {
			*ret_cache = (enum block_cache)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *block_cache_name(enum block_cache cache)
{
	return cache_names[cache];
}

int block_open(const struct block_open_options *options, struct loop *loop,
	       struct block_node **ret_node, struct err *err)
{
	struct block_node *node;
	int rc = raw_open(options, loop, &node, err);

	if (rc)
		return rc;
	/* A disk that is only read needs no overlay. */
	if (options->snapshot && !options->read_only) {
		struct block_node *base = node;

		rc = snapshot_open(base, options, loop, &node, err);
		if (rc) {
			block_close(base);
			return rc;
		}
	}
	*ret_node = node;
	return 0;
}
