/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An external snapshot of a disk in use: a new image on top, the old one is only read from then on. */
#pragma once

#include "block/block.h"

/*
 * Makes the image `create->path` of the disk's size (`bytes` and `backing` are set here) on the disk's
 * image, and puts it in front of that. `open` says cache and lease. `root` as for jobs. Owner's thread. -EBUSY: the disk has a job;
 * -EEXIST. After a failure the disk is as before and the new file is gone.
 */
struct block_create_options;
int block_overlay_put(struct block_node *root, struct loop *loop,
		      const struct block_create_options *create,
		      const struct block_open_options *open, struct err *err);
