/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens the further files that an image names: backing files, extents, external data.
 *
 * A format is handed an opener when it opens or creates an image; the opener knows where in the
 * chain the image is. Names come from hostile headers, so it alone decides what they may reach:
 *	- relative names start at the folder of the image; with symbolic links followed, the result
 *	  must lie in the folder of the first image, or below those that the user allowed;
 *	- "<scheme>:…" names need to be allowed themselves; everything after a format that was only guessed
 *	  needs `anywhere`;
 *	- a chain is at most BLOCK_DEPTH_MAX images deep and never comes back to a file of itself;
 *	- all of a chain opens at most BLOCK_FILES_MAX files.
 * Thread: that which opens the chain.
 */
#pragma once

#include "block/block.h"

#define BLOCK_DEPTH_MAX 64
#define BLOCK_FILES_MAX 2048

struct block_opener;

enum {
	BLOCK_FILE_WRITE = 1u << 0, /* also written, unless the image is only read */
};

/*
 * A plain file `name` as storage of the image: an extent, external data. It grows when it is
 * written and takes any range. The caller adds it to its node or closes it.
 */
int block_opener_file(struct block_opener *opener, const char *name, unsigned flags,
		      struct block_node **ret_node, struct err *err);

/*
 * Another image that this one stands on, with its whole chain, only read: a backing file. `format`
 * NULL: as BLOCK_PROBE_STRICT finds it.
 */
int block_opener_image(struct block_opener *opener, const char *name, const char *format,
		       struct block_node **ret_node, struct err *err);

/* For create: a new empty file beside the image, removed again if creating fails. */
int block_opener_create(struct block_opener *opener, const char *name, struct block_node **ret_node,
			struct err *err);

/*
 * Where a name leads that the image `options->path` wrote down, if the rules allow it: for tools that
 * write to what an image stands on. Caller frees the path.
 */
int block_resolve(const struct block_open_options *options, const char *name, char **ret_path,
		  struct err *err);

/* The name by which everybody finds what `name` is: links followed, a URI as it is. NULL, errno set: there
 * is no such file. Caller frees. */
char *block_full_name(const char *name);

/* The path of the image itself, for messages and names of further files; lives as long as the
 * opener. */
const char *block_opener_name(const struct block_opener *opener);
