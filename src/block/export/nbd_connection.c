/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection: threads that each take a request off the stream, do it, and answer. While one works,
 * the next one receives; a client that sends one request after another needs two of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macros.h"
#include "block/export/nbd_priv.h"
#include "host/clock.h"
#include "host/thread.h"

/* For all of the handshake. */
#define HANDSHAKE_NS (30 * NS_PER_SEC)

void nbd_connection_end(struct nbd_connection *connection)
{
	LOCK_SCOPE(&connection->lock);
	connection->ending = true;
	pthread_cond_broadcast(&connection->changed);
}

bool nbd_connection_ends(struct nbd_connection *connection)
{
	LOCK_SCOPE(&connection->lock);
	return connection->ending;
}

int nbd_memory_get(struct nbd_connection *connection, struct nbd_request *request)
{
	pthread_mutex_lock(&connection->lock);
	while (connection->memory + request->bytes > NBD_MEMORY_MAX)
		pthread_cond_wait(&connection->changed, &connection->lock);
	connection->memory += request->bytes;
	pthread_mutex_unlock(&connection->lock);
	request->memory = request->bytes;
	request->data = malloc(MAX(request->bytes, 1u));
	return request->data ? 0 : -ENOMEM;
}

void nbd_memory_put(struct nbd_connection *connection, struct nbd_request *request)
{
	if (!request->memory && !request->data)
		return;
	free(request->data);
	LOCK_SCOPE(&connection->lock);
	connection->memory -= request->memory;
	pthread_cond_broadcast(&connection->changed);
}

static void *run_requests(void *ctx);

/* One more thread if none would receive the next request. */
static void add_helper(struct nbd_connection *connection)
{
	LOCK_SCOPE(&connection->lock);
	if (connection->ready || connection->ending ||
	    connection->helper_count + 1 >= connection->server->threads_max)
		return;
	/* Without it, requests only wait for each other. */
	if (!thread_start(&connection->helpers[connection->helper_count], "nbd", run_requests,
			  connection, NULL)) {
		connection->helper_count++;
		connection->ready++;
	}
}

static void *run_requests(void *ctx)
{
	struct nbd_connection *connection = ctx;
	bool more = true;

	while (more) {
		struct nbd_request request = { 0 };
		int rc = -ESHUTDOWN;

		pthread_mutex_lock(&connection->receiving);
		if (!nbd_connection_ends(connection) && !atomic_load(&connection->stream.broken))
			rc = nbd_request_receive(connection, &request);
		if (rc)
			nbd_connection_end(connection);
		pthread_mutex_unlock(&connection->receiving);

		pthread_mutex_lock(&connection->lock);
		connection->ready--;
		pthread_mutex_unlock(&connection->lock);
		if (!rc) {
			add_helper(connection);
			nbd_request_run(connection, &request);
		}
		nbd_memory_put(connection, &request);

		pthread_mutex_lock(&connection->lock);
		connection->ready++;
		more = !connection->ending;
		pthread_mutex_unlock(&connection->lock);
	}
	return NULL;
}

static void transmit(struct nbd_connection *connection)
{
	connection->ready = 1;
	run_requests(connection);
	/* `ending` is set, so there will be no further ones. */
	for (unsigned i = 0; i < connection->helper_count; i++)
		pthread_join(connection->helpers[i], NULL);
}

void nbd_connection_serve(struct nbd_connection *connection)
{
	connection->helpers = calloc(connection->server->threads_max, sizeof(pthread_t));
	pthread_mutex_init(&connection->receiving, NULL);
	pthread_mutex_init(&connection->sending, NULL);
	connection->stream.deadline_ns = clock_now_ns() + HANDSHAKE_NS;
	if (connection->helpers && !nbd_handshake(connection)) {
		connection->stream.deadline_ns = 0;
		transmit(connection);
	}
	nbd_tls_stop(&connection->stream);
	pthread_mutex_destroy(&connection->sending);
	pthread_mutex_destroy(&connection->receiving);
	free(connection->helpers);
}
