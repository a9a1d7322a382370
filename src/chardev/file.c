/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Output into a file (or FIFO, or device); there is no input. When it fails, output is swallowed
 * from then on. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "chardev/stream_priv.h"

struct file {
	struct stream stream; /* first */
	int fd;
	char *path;
};

static struct file *file_of(struct chardev *chardev)
{
	return container_of(chardev, struct file, stream.chardev);
}

static void file_input_ended(struct stream *stream, int rc)
{
	(void)stream;
	(void)rc;
}

static void file_output_failed(struct stream *stream, int rc)
{
	log_error("cannot write to '%s', its output is dropped: %s",
		  file_of(&stream->chardev)->path, strerrordesc_np(-rc));
	stream_disconnect(stream);
}

static void file_close(struct chardev *chardev)
{
	struct file *file = file_of(chardev);

	stream_fini(&file->stream);
	if (file->fd >= 0)
		close(file->fd);
	free(file->path);
	free(file);
}

static const char *file_path(struct chardev *chardev)
{
	return file_of(chardev)->path;
}

static const struct stream_ops file_ops = {
	.chardev = {
		.name = "file",
		.write = stream_write,
		.receive_ready = stream_receive_ready,
		.flush = stream_flush,
		.close = file_close,
		.path = file_path,
	},
	.input_ended = file_input_ended,
	.output_failed = file_output_failed,
};

int file_open(const char *path, struct loop *loop, struct chardev **ret_chardev, struct err *err)
{
	struct file *file = calloc(1, sizeof(*file));
	int rc;

	if (!file)
		return err_errno(err, ENOMEM, "cannot open '%s'", path);
	file->fd = -1;
	rc = stream_init(&file->stream, &file_ops, loop, err);
	file->path = strdup(path);
	if (!rc && !file->path)
		rc = err_errno(err, ENOMEM, "cannot open '%s'", path);
	if (!rc) {
		/* A FIFO opened for both directions needs no reader and never raises SIGPIPE. */
		file->fd = open(
			path, O_RDWR | O_CREAT | O_TRUNC | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
		if (file->fd < 0)
			rc = err_errno(err, errno, "cannot open '%s' for output", path);
	}
	if (rc) {
		file_close(&file->stream.chardev);
		return rc;
	}
	stream_connect(&file->stream, -1, file->fd);
	*ret_chardev = &file->stream.chardev;
	return 0;
}
