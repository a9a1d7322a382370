/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a connection sends: up to two pieces of memory, then a file. Reading a file may wait for a
 * disk, so workers do it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "web/web_priv.h"

void web_output_fini(struct web_output *output)
{
	free(output->parts[0].bytes);
	free(output->parts[1].bytes);
	web_file_free(output->file);
	*output = (struct web_output){ 0 };
}

static void file_destroy(struct web_file *file)
{
	close(file->fd);
	free(file->piece);
	free(file);
}

/* On a worker. */
static void file_read(struct work *work)
{
	struct web_file *file = container_of(work, struct web_file, read);
	ssize_t got =
		read(file->fd, file->piece, (size_t)MIN(file->left, (uint64_t)WEB_PIECE_BYTES));

	/* Shorter than it was when its length was told. */
	file->rc = got > 0 ? 0 : got ? -errno : -ENODATA;
	file->count = got > 0 ? (size_t)got : 0;
	loop_post(file->web->loop, &file->done);
}

static void file_was_read(struct loop_task *task)
{
	struct web_file *file = container_of(task, struct web_file, done);

	file->reading = false;
	if (!file->connection)
		file_destroy(file);
	else
		web_connection_run(file->connection);
}

struct web_file *web_file_new(struct web *web, int fd, uint64_t bytes)
{
	struct web_file *file = calloc(1, sizeof(*file));
	char *piece = malloc(WEB_PIECE_BYTES);

	if (!file || !piece) {
		free(file);
		free(piece);
		close(fd);
		return NULL;
	}
	*file = (struct web_file){
		.web = web,
		.read.run = file_read,
		.done.run = file_was_read,
		.fd = fd,
		.left = bytes,
		.piece = piece,
	};
	return file;
}

void web_file_free(struct web_file *file)
{
	if (!file)
		return;
	file->connection = NULL;
	if (!file->reading)
		file_destroy(file);
}

/* Makes the piece that was read the part to send, or asks for one. 0: all was sent. */
static int next_piece(struct web_connection *connection)
{
	struct web_output *output = &connection->output;
	struct web_file *file = output->file;

	if (file->reading)
		return -EAGAIN;
	if (file->rc)
		return file->rc;
	if (!file->left)
		return 0;
	if (file->count) {
		output->parts[0].count = file->count;
		output->parts[0].bytes = file->piece;
		file->left -= file->count;
		file->count = 0;
		file->piece = NULL;
		output->part = 0;
		output->sent = 0;
		return 1;
	}
	if (!file->piece)
		file->piece = malloc(WEB_PIECE_BYTES);
	if (!file->piece)
		return -ENOMEM;
	file->connection = connection;
	file->reading = true;
	workers_submit(connection->web->workers, &file->read);
	return -EAGAIN;
}

static int send_parts(struct web_connection *connection)
{
	struct web_output *output = &connection->output;

	while (output->part < ARRAY_SIZE(output->parts)) {
		char **bytes = &output->parts[output->part].bytes;
		size_t count = output->parts[output->part].count;

		while (output->sent < count) {
			ssize_t sent = web_connection_write(connection, *bytes + output->sent,
							    count - output->sent);

			if (sent < 0)
				return (int)sent;
			output->sent += (size_t)sent;
		}
		free(take_ptr(bytes));
		output->parts[output->part].count = 0;
		output->part++;
		output->sent = 0;
	}
	return 0;
}

int web_output_send(struct web_connection *connection)
{
	struct web_output *output = &connection->output;
	int rc;

	do {
		rc = send_parts(connection);
		if (rc || !output->file)
			break;
		rc = next_piece(connection);
	} while (rc > 0);
	if (!rc)
		web_output_fini(output);
	return rc;
}

bool web_output_waits_for_socket(const struct web_output *output)
{
	for (unsigned i = output->part; i < ARRAY_SIZE(output->parts); i++) {
		if (output->parts[i].count)
			return true;
	}
	return false;
}
