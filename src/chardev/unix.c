/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A listening Unix socket. One client has it at a time; the next waits in the kernel's queue until
 * that one leaves. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "chardev/stream_priv.h"

#define CLIENTS_WAITING 4

struct server {
	struct stream stream; /* first */
	struct loop_fd listener;
	int client_fd, client_out_fd;
	struct sockaddr_un address;
	bool bound;
};

static struct server *server_of(struct chardev *chardev)
{
	return container_of(chardev, struct server, stream.chardev);
}

static void accept_ready(struct loop_fd *source, uint32_t events)
{
	struct server *server = container_of(source, struct server, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	server->client_fd = fd;
	/* The loop watches each direction through a descriptor of its own. */
	server->client_out_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (server->client_out_fd < 0) {
		close(fd);
		return;
	}
	loop_fd_remove(server->stream.chardev.loop, source);
	stream_connect(&server->stream, server->client_fd, server->client_out_fd);
}

static void close_client(struct server *server)
{
	if (server->client_fd < 0)
		return;
	close(server->client_fd);
	close(server->client_out_fd);
	server->client_fd = server->client_out_fd = -1;
}

static void client_left(struct stream *stream, int rc)
{
	struct server *server = server_of(&stream->chardev);

	(void)rc;
	stream_disconnect(stream);
	close_client(server);
	if (!server->listener.added)
		loop_fd_add(stream->chardev.loop, &server->listener, EPOLLIN);
}

static void unix_close(struct chardev *chardev)
{
	struct server *server = server_of(chardev);

	stream_fini(&server->stream);
	close_client(server);
	loop_fd_remove(chardev->loop, &server->listener);
	if (server->listener.fd >= 0)
		close(server->listener.fd);
	if (server->bound)
		unlink(server->address.sun_path);
	free(server);
}

static const char *unix_path(struct chardev *chardev)
{
	return server_of(chardev)->address.sun_path;
}

static const struct stream_ops unix_ops = {
	.chardev = {
		.name = "unix",
		.write = stream_write,
		.receive_ready = stream_receive_ready,
		.flush = stream_flush,
		.close = unix_close,
		.path = unix_path,
	},
	.input_ended = client_left,
	.output_failed = client_left,
};

/* A socket file that nobody listens on is what a killed process left behind. */
static void remove_stale(const struct sockaddr_un *address)
{
	AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (fd < 0 || lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED)
		unlink(address->sun_path);
}

static int listen_at(struct server *server, const char *path, struct err *err)
{
	struct sockaddr_un *address = &server->address;
	int rc;

	if (strlen(path) >= sizeof(address->sun_path))
		return err_set(err, ENAMETOOLONG, "cannot listen on '%s': longer than %zu bytes",
			       path, sizeof(address->sun_path) - 1);
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, path, strlen(path) + 1);
	remove_stale(address);
	server->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->listener.fd < 0)
		return err_errno(err, errno, "cannot listen on '%s'", path);
	if (bind(server->listener.fd, (struct sockaddr *)address, sizeof(*address)))
		return err_errno(err, errno, "cannot listen on '%s'", path);
	server->bound = true;
	if (listen(server->listener.fd, CLIENTS_WAITING))
		return err_errno(err, errno, "cannot listen on '%s'", path);
	rc = loop_fd_add(server->stream.chardev.loop, &server->listener, EPOLLIN);
	return rc ? err_errno(err, rc, "cannot listen on '%s'", path) : 0;
}

int unix_open(const char *path, struct loop *loop, struct chardev **ret_chardev, struct err *err)
{
	struct server *server = calloc(1, sizeof(*server));
	int rc;

	if (!server)
		return err_errno(err, ENOMEM, "cannot listen on '%s'", path);
	server->client_fd = server->client_out_fd = -1;
	server->listener = (struct loop_fd){ .fd = -1, .ready = accept_ready };
	rc = stream_init(&server->stream, &unix_ops, loop, err);
	if (!rc)
		rc = listen_at(server, path, err);
	if (rc) {
		unix_close(&server->stream.chardev);
		return rc;
	}
	*ret_chardev = &server->stream.chardev;
	return 0;
}
