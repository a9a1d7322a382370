/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stream: the image takes what it lacks from those behind it, and lets go of them.
 *
 * Each range is looked up and written while it is held, so that a write of the guest's either was
 * before and is left alone, or comes after.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format.h"
#include "block/job/job_priv.h"

struct stream {
	struct block_job job;
	struct block_node *base; /* NULL: none */
	char *base_name;
	struct block_node *gone; /* what the image stood on, to be closed */
};

static struct stream *stream_of(struct block_job *job)
{
	return container_of(job, struct stream, job);
}

/* The images between the disk and `base` leave the graph. */
static int stand_on_base(struct stream *stream)
{
	struct block_node *disk = stream->job.disk, *above = disk;
	struct block_node *old = block_backing(disk);

	if (old == stream->base)
		return 0;
	while (block_backing(above) != stream->base)
		above = block_backing(above);
	if (stream->base)
		block_node_set_backing(above, NULL);
	stream->gone = old;
	return block_node_set_backing(disk, stream->base);
}

static int stream_finish(struct block_job *job, int rc, struct err *err)
{
	struct stream *stream = stream_of(job);

	if (rc)
		return rc;
	/* The data first: a name must not go while something still comes from there. */
	rc = block_flush(job->disk);
	if (rc)
		return err_errno(err, rc, "cannot write the image");
	rc = job->disk->format->set_backing(job->disk, stream->base_name, stream->base, err);
	if (!rc)
		rc = block_flush(job->disk);
	return rc ? rc : stand_on_base(stream);
}

static void stream_free(struct block_job *job)
{
	struct stream *stream = stream_of(job);

	block_job_fini(job);
	block_close(stream->gone);
	free(stream->base_name);
	free(stream);
}

static const struct watch_ops watch = { 0 };

static const struct block_job_ops stream_ops = {
	.name = "stream",
	.watch = &watch,
	.finish = stream_finish,
	.free = stream_free,
};

static int check_chain(struct stream *stream, struct err *err)
{
	struct block_node *disk = stream->job.disk, *at = block_backing(disk);
	unsigned depth = 1;

	if (!disk->format || !disk->format->set_backing || !disk->ops->set_backing)
		return err_set(err, ENOTSUP,
			       "images of format '%s' cannot let go of a backing file",
			       disk->ops->name);
	if (!block_can_write(disk))
		return err_set(err, EROFS, "the disk is only read");
	for (; at && at != stream->base; at = block_backing(at))
		depth++;
	if (stream->base && !at)
		return err_set(err, EINVAL, "the disk does not stand on that image");
	stream->job.fill = true;
	stream->job.fill_skip_zero = !stream->base;
	stream->job.move = (struct block_move){
		.from = disk,
		.to = disk,
		.depth_min = 1,
		.depth_max = stream->base ? depth : BLOCK_DEPTH_ALL,
		/* Where nothing is, nothing is to be hidden. */
		.skip_zero = !stream->base,
	};
	return 0;
}

int block_stream_start(struct block_job **ret_job, const struct block_job_options *options,
		       struct block_node *base, const char *base_name, struct err *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int rc;

	if (!stream)
		return err_errno(err, ENOMEM, "cannot start a job");
	stream->base = base;
	stream->base_name = base ? strdup(base_name) : NULL;
	rc = block_job_init(&stream->job, &stream_ops, options, err);
	if (!rc && base && !stream->base_name)
		rc = err_errno(err, ENOMEM, "cannot start a job");
	if (!rc)
		rc = check_chain(stream, err);
	if (!rc)
		rc = block_job_start(&stream->job, NULL, err);
	if (rc) {
		stream_free(&stream->job);
		return rc;
	}
	*ret_job = &stream->job;
	return 0;
}
