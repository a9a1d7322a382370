/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starting goes up a table of parts, ending goes down it. Nothing is kept in memory that would have to
 * be written at the end: a daemon that is killed starts as one that was asked to end.
 */
#include "node/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "node/access/access.h"
#include "node/access/audit.h"
#include "node/event/events.h"
#include "node/housekeeping.h"
#include "node/object/idempotency.h"
#include "node/object/kind_ops.h"
#include "node/operation/priv.h"
#include "node/object/reconcile.h"
#include "node/route/route.h"

#define RECONCILERS 8
#define WEB_WORKERS 16

#define LOCK_TRIES    50
#define LOCK_PAUSE_US 10000

/* ---- the folder ---- */

static int make_folder(int at, const char *name, int *ret_fd, struct err *err)
{
	int fd;

	if (mkdirat(at, name, 0700) && errno != EEXIST)
		return err_errno(err, errno, "cannot make the folder '%s'", name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "cannot open the folder '%s'", name);
	if (ret_fd)
		*ret_fd = fd;
	else
		close(fd);
	return 0;
}

/*
 * One daemon a folder: the lock goes with the process, however it ends. A child that it was just about
 * to start may have it a moment longer.
 */
static int lock_folder(struct node *node, struct err *err)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (!flock(node->data_fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK)
			break;
		usleep(LOCK_PAUSE_US);
	}
	if (errno != EWOULDBLOCK)
		return err_errno(err, errno, "cannot lock '%s'", node->config.data);
	err_set(err, EBUSY, "another cellad has the folder '%s'", node->config.data);
	return err_hint(err, "end it first, or choose another folder by --data");
}

static int open_folders(struct node *node, struct err *err)
{
	static const char *const names[] = { "tls", "log", "pools", "pools/default" };
	int rc = make_folder(AT_FDCWD, node->config.data, &node->data_fd, err);

	if (!rc)
		rc = lock_folder(node, err);
	for (unsigned i = 0; i < ARRAY_SIZE(names) && !rc; i++)
		rc = make_folder(node->data_fd, names[i], NULL, err);
	return rc ? rc : make_folder(AT_FDCWD, node->config.run, &node->run_fd, err);
}

static void close_folders(struct node *node)
{
	if (node->run_fd >= 0)
		close(node->run_fd);
	if (node->data_fd >= 0)
		close(node->data_fd);
}

/* ---- the log ---- */

/* At SIGHUP again: whoever moves the file away has a new one. */
static int open_log(struct node *node, struct err *err)
{
	const char *path = node->config.log;
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot open the log '%s'", path);
	if (node->log_fd < 0) {
		node->log_fd = fd;
		log_set_output(fd, false);
		return 0;
	}
	/* Threads that are writing go on with the same number. */
	dup3(fd, node->log_fd, O_CLOEXEC);
	close(fd);
	return 0;
}

static void close_log(struct node *node)
{
	if (node->log_fd < 0)
		return;
	log_set_output(STDERR_FILENO, false);
	close(node->log_fd);
}

/* ---- parts ---- */

static int open_loop(struct node *node, struct err *err)
{
	return loop_new(&node->loop, err);
}

static void close_loop(struct node *node)
{
	loop_free(node->loop);
}

static int open_store(struct node *node, struct err *err)
{
	char path[4096];
	int rc;

	snprintf(path, sizeof(path), "%s/store.db", node->config.data);
	rc = store_open(&node->store, path, err);
	return rc ? err_wrap(err, "'%s'", path) : 0;
}

static void close_store(struct node *node)
{
	store_close(node->store);
}

static int open_workers(struct node *node, struct err *err)
{
	return workers_new(&node->workers, "reconcile", RECONCILERS, err);
}

static int start_kinds(struct node *node, struct err *err)
{
	int rc = 0;

	for (; kind_ops_table[node->kinds] && !rc; node->kinds++) {
		const struct kind_ops *ops = kind_ops_table[node->kinds];

		rc = ops->start ? ops->start(node, err) : 0;
	}
	return rc;
}

static void stop_kinds(struct node *node)
{
	while (node->kinds--) {
		if (kind_ops_table[node->kinds]->stop)
			kind_ops_table[node->kinds]->stop(node);
	}
}

static int start_web(struct node *node, struct err *err)
{
	const struct node_config *config = &node->config;
	struct web_config web = {
		.unix_path = config->socket,
		.listen = config->listen,
		.files = config->ui,
		.workers = WEB_WORKERS,
	};
	int rc = config->listen && *config->listen ? access_certificate(node, err) : 0;

	if (rc)
		return rc;
	web.certificate = config->certificate;
	web.key = config->key;
	rc = web_start(&node->web, &web, &route_web_ops, node, err);
	/* Users of the host are known by who they are, not by what they can open. */
	if (!rc && chmod(config->socket, 0666))
		rc = err_errno(err, errno, "cannot open '%s' to the users of the host",
			       config->socket);
	return rc;
}

static void stop_web(struct node *node)
{
	web_stop(node->web);
	node->web = NULL;
}

/* Before the reconciler's state goes, and what kinds have. */
static void stop_workers(struct node *node)
{
	reconciler_stop(node);
	workers_free(node->workers);
	node->workers = NULL;
}

/* In the order of starting; `close` accepts a part that was not opened. */
static const struct {
	int (*open)(struct node *node, struct err *err);
	void (*close)(struct node *node);
} parts[] = {
	{ open_log, close_log },
	{ open_folders, close_folders },
	{ open_loop, close_loop },
	{ open_store, close_store },
	{ audit_open, audit_close },
	{ idempotency_open, idempotency_close },
	{ operations_open, operations_close },
	{ reconciler_open, reconciler_close },
	{ access_open, access_close },
	{ housekeeping_open, housekeeping_close },
	{ open_workers, NULL },
	{ start_kinds, stop_kinds },
	/* While kinds and access are still there. */
	{ NULL, stop_workers },
	{ events_open, events_close },
	{ reconciler_pass, NULL },
	{ operations_resume, NULL },
	{ start_web, stop_web },
	/* Requests that wait for operations are answered before the web server waits for them. */
	{ NULL, operations_stop },
};

int daemon_open(struct node *node, const struct node_config *config, struct err *err)
{
	int rc = 0;

	*node = (struct node){ .config = *config, .data_fd = -1, .run_fd = -1, .log_fd = -1 };
	for (unsigned i = 0; i < ARRAY_SIZE(parts) && !rc; i++) {
		rc = parts[i].open ? parts[i].open(node, err) : 0;
		/* What was not reached is not closed. */
		node->parts = i + 1;
	}
	return rc;
}

void daemon_close(struct node *node)
{
	while (node->parts--) {
		if (parts[node->parts].close)
			parts[node->parts].close(node);
	}
}

/* ---- running ---- */

struct signals {
	struct loop_fd source;
	struct node *node;
};

static void signalled(struct loop_fd *source, uint32_t events)
{
	struct signals *signals = container_of(source, struct signals, source);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		open_log(signals->node, NULL);
		access_renew_certificate(signals->node);
		return;
	}
	log_info("ending by %s", strsignal((int)info.ssi_signo));
	loop_stop(signals->node->loop);
}

int daemon_run(struct node *node, struct err *err)
{
	struct signals signals = { .source.ready = signalled, .node = node };
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	AUTO_CLOSE int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	if (fd < 0)
		return err_errno(err, errno, "cannot wait for signals");
	signals.source.fd = fd;
	rc = loop_fd_add(node->loop, &signals.source, EPOLLIN);
	if (!rc)
		rc = loop_run(node->loop);
	loop_fd_remove(node->loop, &signals.source);
	return rc ? err_errno(err, rc, "the daemon's loop has failed") : 0;
}
