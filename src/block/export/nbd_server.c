/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listening, and the connections' beginnings and ends. */
#include "block/export/nbd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "block/export/nbd_priv.h"
#include "block/format.h"
#include "host/clock.h"
#include "host/fd.h"
#include "host/thread.h"

#define CONNECTIONS 16
#define THREADS     8

/* For answers that are under way when the server ends. */
#define END_NS (10 * NS_PER_SEC)

/* Rest when the process has no descriptors left. */
#define REST_MS 100

/* ---- the server ---- */

static int check_export(const struct nbd_export *export, struct err *err)
{
	const struct block_format *format = export->node->format;
	unsigned count = 0;

	if (strlen(export->name) > NBD_NAME_MAX ||
	    (export->description && strlen(export->description) > NBD_NAME_MAX))
		return err_set(err, EINVAL, "name or description of an export is longer than %d",
			       NBD_NAME_MAX);
	for (; export->bitmaps && export->bitmaps[count]; count++) {
		const char *name = export->bitmaps[count];
		uint64_t bytes;
		bool dirty;
		int rc;

		if (count == NBD_BITMAPS_MAX)
			return err_set(err, EINVAL, "export '%s' has more than %d bitmaps",
				       export->name, NBD_BITMAPS_MAX);
		if (!format || !format->bitmaps)
			return err_set(err, ENOTSUP, "export '%s': the image has no dirty bitmaps",
				       export->name);
		rc = format->bitmaps->status(export->node, name, 0, block_unit_bytes(export->node),
					     &dirty, &bytes);
		if (rc)
			return err_errno(err, rc, "export '%s': cannot use dirty bitmap '%s'",
					 export->name, name);
	}
	return 0;
}

int nbd_server_new(struct nbd_server **ret_server, const struct nbd_server_options *options,
		   struct err *err)
{
	struct nbd_server *server = calloc(1, sizeof(*server));
	int rc = 0;

	if (!server)
		return err_errno(err, ENOMEM, "cannot serve");
	server->tls = options->tls;
	server->tls_optional = options->tls_optional;
	server->connections_max = options->connections_max ? options->connections_max : CONNECTIONS;
	server->threads_max = options->threads_max ? options->threads_max : THREADS;
	pthread_mutex_init(&server->lock, NULL);
	list_init(&server->running);
	list_init(&server->ended);
	server->disks = calloc(options->export_count, sizeof(*server->disks));
	server->changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!server->disks || server->changed_fd < 0)
		rc = err_errno(err, server->disks ? errno : ENOMEM, "cannot serve");
	for (unsigned i = 0; i < options->export_count && !rc; i++) {
		rc = check_export(&options->exports[i], err);
		if (rc)
			break;
		server->disks[i].export = options->exports[i];
		range_lock_init(&server->disks[i].edges);
		server->disk_count++;
	}
	if (rc) {
		nbd_server_free(server);
		return rc;
	}
	*ret_server = server;
	return 0;
}

void nbd_server_free(struct nbd_server *server)
{
	int *fd;

	if (!server)
		return;
	vec_for_each (fd, &server->listeners)
		close(*fd);
	vec_fini(&server->listeners);
	for (unsigned i = 0; i < server->disk_count; i++)
		range_lock_fini(&server->disks[i].edges);
	free(server->disks);
	if (server->changed_fd >= 0)
		close(server->changed_fd);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

int nbd_server_listen(struct nbd_server *server, int fd, struct err *err)
{
	int rc = fd_set_nonblocking(fd, true);

	if (!rc)
		rc = vec_push(&server->listeners, fd);
	if (rc) {
		close(fd);
		return err_errno(err, rc, "cannot serve");
	}
	return 0;
}

/* ---- connections ---- */

static void connection_init(struct nbd_connection *connection, struct nbd_server *server, int in,
			    int out)
{
	*connection =
		(struct nbd_connection){ .server = server, .stream = { .in = in, .out = out } };
	list_init(&connection->node);
	pthread_mutex_init(&connection->lock, NULL);
	pthread_cond_init(&connection->changed, NULL);
}

static void connection_fini(struct nbd_connection *connection)
{
	pthread_cond_destroy(&connection->changed);
	pthread_mutex_destroy(&connection->lock);
}

void nbd_server_attend(struct nbd_server *server, int in, int out)
{
	struct nbd_connection connection;

	connection_init(&connection, server, in, out);
	nbd_connection_serve(&connection);
	connection_fini(&connection);
}

static void *run_connection(void *ctx)
{
	static const uint64_t one = 1;
	struct nbd_connection *connection = ctx;
	struct nbd_server *server = connection->server;

	nbd_connection_serve(connection);
	/* The client need not wait until somebody has time to clean up. */
	shutdown(connection->stream.in, SHUT_RDWR);
	pthread_mutex_lock(&server->lock);
	list_remove(&connection->node);
	list_append(&server->ended, &connection->node);
	pthread_mutex_unlock(&server->lock);
	fd_write_all(server->changed_fd, &one, sizeof(one));
	return NULL;
}

int nbd_server_welcome(struct nbd_server *server, int fd, struct err *err)
{
	struct nbd_connection *connection = malloc(sizeof(*connection));
	int rc;

	if (!connection) {
		close(fd);
		return err_errno(err, ENOMEM, "cannot serve a client");
	}
	connection_init(connection, server, fd, fd);
	pthread_mutex_lock(&server->lock);
	rc = thread_start(&connection->thread, "nbd", run_connection, connection, err);
	if (!rc) {
		list_append(&server->running, &connection->node);
		server->connection_count++;
	}
	pthread_mutex_unlock(&server->lock);
	if (rc) {
		connection_fini(connection);
		free(connection);
		close(fd);
	}
	return rc;
}

/* Frees those that have ended; returns how many are left. */
static unsigned collect_ended(struct nbd_server *server)
{
	struct nbd_connection *connection;
	uint64_t count;

	fd_read_all(server->changed_fd, &count, sizeof(count));
	LOCK_SCOPE(&server->lock);
	while ((connection = list_first(&server->ended, struct nbd_connection, node))) {
		list_remove(&connection->node);
		server->connection_count--;
		pthread_join(connection->thread, NULL);
		close(connection->stream.in);
		connection_fini(connection);
		free(connection);
	}
	return server->connection_count;
}

/* ---- the main thread ---- */

/* 0, or how long to rest before the next try. */
static int accept_clients(struct nbd_server *server, int listener)
{
	struct err err = ERR_INIT;

	while (server->connection_count < server->connections_max) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
					       errno == ENOBUFS
				       ? REST_MS
				       : 0;
		if (nbd_server_welcome(server, fd, &err))
			log_warn("%s", err.text);
	}
	return 0;
}

/* Nobody sends any more; `now`: and nobody is sent anything. */
static void end_connections(struct nbd_server *server, bool now)
{
	struct nbd_connection *connection;

	LOCK_SCOPE(&server->lock);
	list_for_each (connection, &server->running, node) {
		nbd_connection_end(connection);
		shutdown(connection->stream.in, now ? SHUT_RDWR : SHUT_RD);
	}
}

static void finish(struct nbd_server *server)
{
	struct pollfd changed = { .fd = server->changed_fd, .events = POLLIN };
	uint64_t deadline_ns = clock_now_ns() + END_NS;

	end_connections(server, false);
	while (collect_ended(server)) {
		uint64_t now = clock_now_ns();
		bool late = now >= deadline_ns;

		if (late)
			end_connections(server, true);
		poll(&changed, 1, late ? -1 : (int)((deadline_ns - now) / NS_PER_MS) + 1);
	}
}

int nbd_server_run(struct nbd_server *server, int stop_fd, bool once)
{
	enum { STOP, CHANGED, LISTENERS };
	unsigned count = LISTENERS + (unsigned)server->listeners.count;
	struct pollfd *fds = calloc(count, sizeof(*fds));
	bool served = false, stop = false;
	int rest_ms = 0, rc = fds ? 0 : -ENOMEM;

	while (!rc && !stop) {
		bool full = server->connection_count >= server->connections_max;

		fds[STOP] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
		fds[CHANGED] = (struct pollfd){ .fd = server->changed_fd, .events = POLLIN };
		/* Who comes while all places are taken waits in the socket's queue. */
		for (unsigned i = LISTENERS; i < count; i++)
			fds[i] = (struct pollfd){
				.fd = full || rest_ms ? -1 : server->listeners.items[i - LISTENERS],
				.events = POLLIN,
			};
		if (poll(fds, count, rest_ms ? rest_ms : -1) < 0 && errno != EINTR)
			rc = -errno;
		rest_ms = 0;
		stop = fds[STOP].revents;
		for (unsigned i = LISTENERS; i < count && !stop && !rc; i++) {
			if (fds[i].revents)
				rest_ms = MAX(rest_ms, accept_clients(server, fds[i].fd));
		}
		served |= server->connection_count > 0;
		if (fds[CHANGED].revents && !collect_ended(server) && once && served)
			stop = true;
	}
	free(fds);
	finish(server);
	return rc;
}
