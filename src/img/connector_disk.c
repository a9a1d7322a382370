/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening takes libraries, names, certificates: that is done first, with what the user may. From then
 * on only what it takes to call the same server again is left.
 */
#include "img/connector_disk.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/export/nbd.h"
#include "block/file/nbd.h"
#include "block/format.h"
#include "host/fd.h"
#include "host/sandbox.h"
#include "host/thread.h"

/* For what the other side still writes, and for answers that are under way. */
#define END_S 4

#define PORT_DNS   53
#define PORT_HTTP  80
#define PORT_HTTPS 443
#define PORT_NBD   10809

static sigset_t end_of_parent(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	return signals;
}

void connector_disk_watch_parent(void)
{
	sigset_t signals = end_of_parent();

	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGALRM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
}

struct watch {
	struct block_node *node;
	pthread_t thread;
	_Atomic bool over; /* the disk ends before the parent */
};

static void *wait_for_end(void *ctx)
{
	struct watch *watch = ctx;
	sigset_t signals = end_of_parent();
	int number;

	sigwait(&signals, &number);
	if (atomic_load(&watch->over))
		return NULL;
	alarm(END_S);
	nbd_hurry(watch->node);
	return NULL;
}

static int watch_start(struct watch *watch, struct block_node *node, struct err *err)
{
	watch->node = node;
	return thread_start(&watch->thread, "end", wait_for_end, watch, err);
}

static void watch_stop(struct watch *watch)
{
	atomic_store(&watch->over, true);
	pthread_kill(watch->thread, SIGUSR1);
	pthread_join(watch->thread, NULL);
}

/* ---- what a URI says ---- */

static bool has_scheme(const char *uri, const char *scheme)
{
	size_t length = strlen(scheme);

	return !strncmp(uri, scheme, length) && uri[length] == ':';
}

static bool is_local(const char *uri)
{
	return has_scheme(uri, "nbd+unix") || has_scheme(uri, "nbds+unix");
}

static uint16_t port_of(const char *uri)
{
	const char *start = strstr(uri, "://"), *colon = NULL;
	AUTO_FREE char *text = NULL;
	uint64_t port;
	size_t length;

	start = start ? start + 3 : uri;
	length = strcspn(start, "/?#");
	for (size_t i = 0; i < length; i++) {
		if (start[i] == ':')
			colon = start + i;
		else if (!isdigit((unsigned char)start[i]))
			colon = NULL;
	}
	if (colon)
		text = strndup(colon + 1, length - (size_t)(colon + 1 - start));
	if (text && !parse_u64(text, 1, UINT16_MAX, &port))
		return (uint16_t)port;
	if (has_scheme(uri, "http"))
		return PORT_HTTP;
	return has_scheme(uri, "https") ? PORT_HTTPS : PORT_NBD;
}

/* The value of a word of the query, its "%41" read. NULL: there is none. Caller frees. */
static char *query_value(const char *uri, const char *name)
{
	const char *at = strchr(uri, '?');
	size_t skip = strlen(name);
	char *value, *to;

	while (at && (strncmp(at + 1, name, skip) != 0 || at[1 + skip] != '='))
		at = strchr(at + 1, '&');
	value = at ? strndup(at + skip + 2, strcspn(at + skip + 2, "&#")) : NULL;
	to = value;
	for (const char *from = value; from && *from; to++) {
		char hex[] = { from[0] == '%' ? from[1] : '\0', '\0', '\0' };
		char *end = hex;
		long byte = 0;

		if (hex[0]) {
			hex[1] = from[2];
			byte = strtol(hex, &end, 16);
		}
		*to = end == hex + 2 ? (char)byte : *from;
		from += end == hex + 2 ? 3 : 1;
	}
	if (to)
		*to = '\0';
	return value;
}

/* ---- walls ---- */

static int allow_files(struct sandbox *sandbox, const char *uri, struct err *err)
{
	/* Of the resolver and of TLS. */
	static const char *const folders[] = { "/etc", "/usr", "/lib", "/lib64", "/run" };
	static const char *const words[] = { "tls-certificates", "tls-psk-file" };
	static const char *const own_folders[] = { ".pki", ".config/pki" };
	const char *home = getenv("HOME");
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(folders) && !rc; i++)
		rc = sandbox_allow(sandbox, folders[i], SANDBOX_READ, err);
	for (unsigned i = 0; i < ARRAY_SIZE(words) && !rc; i++) {
		AUTO_FREE char *path = query_value(uri, words[i]);

		if (path)
			rc = sandbox_allow(sandbox, path, SANDBOX_READ, err);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(own_folders) && home && !rc; i++) {
		AUTO_FREE char *path = NULL;

		if (asprintf(&path, "%s/%s", home, own_folders[i]) < 0)
			return err_errno(err, ENOMEM, "cannot prepare the sandbox");
		rc = sandbox_allow(sandbox, path, SANDBOX_READ, err);
	}
	return rc;
}

static int allow_ports(struct sandbox *sandbox, const char *uri, struct err *err)
{
	bool web = has_scheme(uri, "http") || has_scheme(uri, "https");
	const uint16_t ports[] = { port_of(uri), PORT_DNS, PORT_HTTP, PORT_HTTPS };
	unsigned count = web ? ARRAY_SIZE(ports) : 2;
	int rc = 0;

	/* A web server may send on to another. */
	for (unsigned i = 0; i < count && !is_local(uri) && !rc; i++)
		rc = sandbox_allow_port(sandbox, ports[i], err);
	return rc;
}

int connector_disk_confine(const char *uri, struct err *err)
{
	struct sandbox *sandbox = NULL;
	int rc = sandbox_new_client(&sandbox, is_local(uri) ? SANDBOX_CLIENT_UNIX : SANDBOX_CLIENT,
				    err);

	if (!rc)
		rc = allow_files(sandbox, uri, err);
	if (!rc)
		rc = allow_ports(sandbox, uri, err);
	if (!rc)
		rc = sandbox_enter(sandbox, err);
	sandbox_free(sandbox);
	return rc;
}

/* ---- serving ---- */

static int open_disk(const char *uri, bool read_only, struct block_node **ret_node, struct err *err)
{
	struct block_open_options options = { .path = uri, .read_only = read_only };

	return block_protocol_of_path(uri)->open(&options, NULL, ret_node, err);
}

static int welcome(struct nbd_server *server, const int *sockets, unsigned count, struct err *err)
{
	int rc = 0;

	for (unsigned i = 0; i < count; i++) {
		int one = nbd_server_welcome(server, sockets[i], err);

		rc = rc ? rc : one;
	}
	return rc;
}

/* To the end of all sockets, or of who asked for the disk. */
static int serve(struct nbd_server *server, const int *sockets, unsigned count, int told_fd)
{
	struct err err = ERR_INIT;
	int rc = welcome(server, sockets, count, &err);

	if (fd_write_all(told_fd, &err, sizeof(err)))
		rc = -EPIPE;
	close(told_fd);
	return rc ? rc : nbd_server_run(server, -1, true);
}

int connector_disk_serve(const char *uri, bool read_only, const int *sockets, unsigned count,
			 int told_fd)
{
	struct nbd_export export = { .name = "", .read_only = read_only };
	struct nbd_server_options options = { .exports = &export, .export_count = 1 };
	struct nbd_server *server = NULL;
	struct watch watch = { 0 };
	struct err err = ERR_INIT;
	int rc = open_disk(uri, read_only, &export.node, &err);

	if (!rc)
		rc = nbd_server_new(&server, &options, &err);
	if (!rc)
		rc = connector_disk_confine(uri, &err);
	if (!rc)
		rc = watch_start(&watch, export.node, &err);
	if (rc) {
		fd_write_all(told_fd, &err, sizeof(err));
	} else {
		rc = serve(server, sockets, count, told_fd);
		watch_stop(&watch);
	}
	nbd_server_free(server);
	block_close(export.node);
	return rc ? 1 : 0;
}
