/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting and stopping the server. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "host/clock.h"
#include "host/thread.h"
#include "web/listener.h"

#define CLIENTS_PRESET 1024
#define WORKERS_PRESET 4

static void *serve(void *ctx)
{
	struct web *web = ctx;
	int rc = loop_run(web->loop);

	if (rc)
		log_error("the HTTP server cannot wait for its clients: %d", rc);
	return NULL;
}

static int open_files(struct web *web, const char *folder, struct err *err)
{
	if (!folder)
		return 0;
	web->files = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (web->files < 0)
		return err_errno(err, errno, "cannot open the folder '%s'", folder);
	return 0;
}

static int start(struct web *web, const struct web_config *config, struct err *err)
{
	int rc = open_files(web, config->files, err);

	if (!rc && config->listen && config->listen[0])
		rc = web_tls_new(config, &web->tls, err);
	if (!rc)
		rc = loop_new(&web->loop, err);
	if (!rc)
		rc = workers_new(&web->workers, "web-worker",
				 config->workers ? config->workers : WORKERS_PRESET, err);
	if (!rc)
		rc = web_listeners_open(web, config, err);
	if (!rc)
		rc = thread_start(&web->thread, "web", serve, web, err);
	web->runs = !rc;
	return rc;
}

int web_start(struct web **ret_web, const struct web_config *config, const struct web_ops *ops,
	      void *ctx, struct err *err)
{
	struct web *web = calloc(1, sizeof(*web));
	int rc;

	if (!web)
		return err_errno(err, ENOMEM, "cannot start the HTTP server");
	web->ops = ops;
	web->ctx = ctx;
	web->clients_max = config->clients_max ? config->clients_max : CLIENTS_PRESET;
	web->address_clients_max = config->address_clients_max ? config->address_clients_max
							       : (web->clients_max + 1) / 2;
	web->second_ns = config->second_ms ? config->second_ms * NS_PER_MS : NS_PER_SEC;
	web->files = -1;
	list_init(&web->connections);
	pthread_mutex_init(&web->lock, NULL);
	pthread_cond_init(&web->answered, NULL);
	rc = start(web, config, err);
	if (rc) {
		web_stop(web);
		return rc;
	}
	*ret_web = web;
	return 0;
}

int web_renew_tls(struct web *web, const struct web_config *config, struct err *err)
{
	SSL_CTX *tls, *before;
	int rc = web_tls_new(config, &tls, err);

	if (rc)
		return rc;
	loop_hold(web->loop);
	before = web->tls;
	web->tls = tls;
	loop_release(web->loop);
	/* Connections have counts of it of their own. */
	SSL_CTX_free(before);
	return 0;
}

const char *web_address(const struct web *web, unsigned index)
{
	return index < web->tls_listener_count ? web->listeners[index].address : NULL;
}

struct ending {
	struct loop_task task;
	struct web *web;
};

/* On the web thread: nobody is served any more, and nobody is waited for. */
static void leave_clients(struct loop_task *task)
{
	struct web *web = container_of(task, struct ending, task)->web;
	struct web_connection *connection;

	web_listeners_close(web);
	while ((connection = list_first(&web->connections, struct web_connection, link)))
		web_connection_end(connection);
	LOCK_SCOPE(&web->lock);
	web->closed = true;
	pthread_cond_broadcast(&web->answered);
}

static void stop_loop(struct loop_task *task)
{
	loop_stop(container_of(task, struct ending, task)->web->loop);
}

static void wait_for_answers(struct web *web)
{
	LOCK_SCOPE(&web->lock);
	while (!web->closed || web->exchanges)
		pthread_cond_wait(&web->answered, &web->lock);
}

static void stop_thread(struct web *web)
{
	struct ending leave = { .task.run = leave_clients, .web = web };
	struct ending stop = { .task.run = stop_loop, .web = web };

	loop_post(web->loop, &leave.task);
	wait_for_answers(web);
	/* Files are read, and tell so, before the loop ends: its tasks run in the order of posting. */
	workers_free(take_ptr(&web->workers));
	loop_post(web->loop, &stop.task);
	pthread_join(web->thread, NULL);
}

void web_stop(struct web *web)
{
	if (!web)
		return;
	if (web->runs)
		stop_thread(web);
	else
		web_listeners_close(web);
	workers_free(web->workers);
	loop_free(web->loop);
	SSL_CTX_free(web->tls);
	if (web->files >= 0)
		close(web->files);
	pthread_cond_destroy(&web->answered);
	pthread_mutex_destroy(&web->lock);
	free(web);
}
