/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/job/overlay.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "block/filter/watch.h"
#include "block/format.h"
#include "block/opener.h"

struct putting {
	struct block_node *parent, *disk, *overlay;
};

/* The image's name for others. NULL: it has none. */
static char *name_of(struct block_node *disk)
{
	AUTO_FREE char *path = block_image_path(disk);

	return path ? block_full_name(path) : NULL;
}

static int put(void *ctx, struct err *err)
{
	struct putting *putting = ctx;
	int rc = block_flush(putting->disk);

	/* What was durable in one file must not become less by being below another. */
	if (!rc)
		rc = block_flush(putting->overlay);
	if (!rc)
		rc = block_node_set_backing(putting->overlay, putting->disk);
	if (rc)
		return err_errno(err, rc, "cannot put the image on the disk");
	block_node_replace(putting->parent, putting->disk, putting->overlay);
	return 0;
}

static int open_overlay(struct putting *putting, struct loop *loop,
			const struct block_create_options *create,
			const struct block_open_options *open, struct err *err)
{
	struct block_open_options options = {
		.path = create->path,
		.format = create->format,
		.no_backing = true,
		.cache = open->cache,
		.lease = open->lease,
		.connector = open->connector,
	};
	AUTO_FREE char *name = name_of(putting->disk);
	int rc;

	if (!name || !putting->disk->format)
		return err_set(err, ENOTSUP, "the disk is no image that another can stand on");
	rc = block_open(&options, loop, &putting->overlay, err);
	if (rc)
		return rc;
	if (!putting->overlay->format->set_backing || !putting->overlay->ops->set_backing)
		return err_set(err, ENOTSUP, "images of format '%s' cannot be put on a disk in use",
			       putting->overlay->ops->name);
	return putting->overlay->format->set_backing(putting->overlay, name, putting->disk, err);
}

int block_overlay_put(struct block_node *root, struct loop *loop,
		      const struct block_create_options *create,
		      const struct block_open_options *open, struct err *err)
{
	struct block_create_options options = *create;
	struct putting putting = { .disk = root };
	int rc;

	while (block_is_filter(putting.disk)) {
		if (watch_is(putting.disk))
			return err_set(err, EBUSY, "the disk has a job");
		putting.parent = putting.disk;
		putting.disk = putting.disk->next;
	}
	options.bytes = block_size_bytes(root);
	options.backing = options.backing_format = NULL;
	options.connector = open->connector;
	rc = block_create(&options, err);
	if (rc)
		return rc;
	rc = open_overlay(&putting, loop, &options, open, err);
	if (!rc)
		rc = block_change(root, put, &putting, err);
	if (rc) {
		block_close(putting.overlay);
		unlink(options.path);
	}
	return rc;
}
