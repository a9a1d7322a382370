/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both nodes never use the file at the same time, and it is locked all the time but for the moment
 * between the two locks.
 */
#include "block/job/reopen.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "block/file/raw.h"
#include "block/format.h"

/* Calls the function for all files of the image itself. */
static int for_files(struct block_node *image, int (*visit)(struct block_node *, struct err *),
		     struct err *err)
{
	int rc = visit(image, err);

	for (unsigned i = 0; i < image->child_count && !rc; i++) {
		if (image->children[i] != block_backing(image))
			rc = visit(image->children[i], err);
	}
	return rc;
}

static int unlock(struct block_node *file, struct err *err)
{
	(void)err;
	raw_unlock(file);
	return 0;
}

static int hand_over_lock(struct block_node *from, struct block_node *to, struct err *err)
{
	int rc;

	for_files(from, unlock, NULL);
	rc = for_files(to, raw_lock, err);
	if (rc) {
		for_files(to, unlock, NULL);
		for_files(from, raw_lock, NULL);
	}
	return rc;
}

static int unlock_again(struct block_node *image, struct block_node *node, struct err *err)
{
	const struct block_key_ops *keys = image->format->keys;
	int rc = keys ? keys->unlock_as(node, image) : 0;

	return rc ? err_errno(err, rc, "cannot unlock the image again") : 0;
}

static int open_again(struct block_node *image, struct loop *loop,
		      const struct block_job_options *job, struct block_node **ret_node,
		      struct err *err)
{
	AUTO_FREE char *path = block_image_path(image);
	struct block_open_options options = {
		.path = path,
		.format = image->format->name,
		.no_backing = true,
		.locked = true,
		.no_lock = true,
		.lease = job->lease,
		.connector = job->connector,
	};
	int rc = path ? block_open(&options, loop, ret_node, err)
		      : err_set(err, ENOTSUP, "cannot open the image again");

	if (!rc) {
		rc = unlock_again(image, *ret_node, err);
		if (rc)
			block_close(*ret_node);
	}
	return rc;
}

int block_reopen_writable(struct block_node *above, struct block_node *image, struct loop *loop,
			  const struct block_job_options *options, struct block_node **ret_image,
			  struct err *err)
{
	struct block_node *backing = block_backing(image), *node;
	int rc;

	*ret_image = image;
	if (block_can_write(image))
		return 0;
	rc = open_again(image, loop, options, &node, err);
	if (rc)
		return rc;
	rc = hand_over_lock(image, node, err);
	if (!rc && backing) {
		rc = block_node_set_backing(node, backing);
		if (rc)
			err_errno(err, rc, "cannot open the image again");
		else
			block_node_set_backing(image, NULL);
	}
	/* A child that is replaced needs no memory. */
	if (!rc)
		block_node_set_backing(above, node);
	block_close(rc ? node : image);
	if (!rc)
		*ret_image = node;
	return rc;
}
