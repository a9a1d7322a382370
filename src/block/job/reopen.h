/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opens an image of a chain, which is only read there, for writing. */
#pragma once

#include "block/job/job.h"

/*
 * `image`, which `above` stands on, is opened anew for writing, takes over what it stands on, and comes
 * into its place; the old node is closed. Nothing happens if it can be written. Of `options` only lease
 * and connector are looked at. Inside block_change(), or nothing in flight. After a failure everything is
 * as before. -EAGAIN: others read the file.
 */
int block_reopen_writable(struct block_node *above, struct block_node *image, struct loop *loop,
			  const struct block_job_options *options, struct block_node **ret_image,
			  struct err *err);
