/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `serve`: a disk for NBD clients. Sockets, keys and files are opened first, then the sandbox closes;
 * clients only ever talk to a process that can open nothing.
 */
#include "img/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "block/export/nbd.h"
#include "host/fd.h"

struct serving {
	struct img *img;
	struct serve_listeners listeners;
	int stop_fd; /* can be read when a signal asks for the end */
	const char *pid_file;
	uint64_t connections, threads;
	enum block_cache cache;
	struct nbd_tls *tls;
	struct block_node *node;
	const char **bitmaps;
	struct nbd_server *server;
};

static int parse_number(const struct img *img, const char *name, uint64_t max, uint64_t *number,
			struct err *err)
{
	const char *text = img_value(img, name);

	if (text && parse_u64(text, 1, max, number))
		return err_set(err, EINVAL, "argument of '--%s' is a number from 1 to %llu", name,
			       (unsigned long long)max);
	return 0;
}

static int parse(struct serving *serving, struct err *err)
{
	const struct img *img = serving->img;
	const char *cache = img_value(img, "cache");
	bool tls = img_value(img, "tls-certificates") || img_value(img, "tls-keys");
	int rc = parse_number(img, "connections", 1024, &serving->connections, err);

	if (!rc)
		rc = parse_number(img, "threads", 64, &serving->threads, err);
	if (!rc && cache && block_cache_parse(cache, &serving->cache))
		rc = err_set(err, EINVAL, "argument of '--cache': unknown cache mode '%.64s'",
			     cache);
	if (!rc && img_value(img, "tls-certificates") && img_value(img, "tls-keys"))
		rc = err_set(err, EINVAL, "clients are known by certificates or by keys, not both");
	if (!rc && img_flag(img, "tls-verify") && !img_value(img, "tls-certificates"))
		rc = err_set(err, EINVAL, "'--tls-verify' needs '--tls-certificates'");
	if (!rc && img_flag(img, "tls-optional") && !tls)
		rc = err_set(err, EINVAL,
			     "'--tls-optional' needs '--tls-certificates' or '--tls-keys'");
	return rc;
}

static int load_tls(struct serving *serving, struct err *err)
{
	const char *folder = img_value(serving->img, "tls-certificates");
	const char *keys = img_value(serving->img, "tls-keys");

	if (folder)
		return nbd_tls_new_x509(&serving->tls, folder, img_flag(serving->img, "tls-verify"),
					err);
	return keys ? nbd_tls_new_psk(&serving->tls, keys, err) : 0;
}

/* SIGTERM and SIGINT arrive as something to read. */
static int catch_signals(struct serving *serving, struct err *err)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	serving->stop_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return serving->stop_fd < 0 ? err_errno(err, errno, "cannot wait for signals") : 0;
}

static int write_pid_file(struct serving *serving, struct err *err)
{
	const char *path = img_value(serving->img, "pid-file");
	AUTO_CLOSE int fd = -1;
	char text[32];
	int rc;

	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_errno(err, errno, "cannot write '%s'", path);
	serving->pid_file = path;
	snprintf(text, sizeof(text), "%d\n", getpid());
	rc = fd_write_all(fd, text, strlen(text));
	return rc ? err_errno(err, rc, "cannot write '%s'", path) : 0;
}

/* Everything that is reached by name, besides the image. */
static int prepare(struct serving *serving, struct err *err)
{
	int rc = load_tls(serving, err);

	if (!rc)
		rc = serve_listen(serving->img, &serving->listeners, err);
	if (!rc)
		rc = catch_signals(serving, err);
	if (!rc)
		rc = write_pid_file(serving, err);
	serving->img->removes[0] = serving->listeners.socket_path;
	serving->img->removes[1] = serving->pid_file;
	return rc ? rc : img_confine(serving->img, err);
}

static int open_disk(struct serving *serving, struct err *err)
{
	struct block_open_options options;
	json_t *settings;
	int rc =
		img_open_options(serving->img, serving->img->operands[0], &options, &settings, err);

	if (rc)
		return rc;
	options.read_only = img_flag(serving->img, "read-only");
	options.cache = serving->cache;
	/* Clients write any header into a raw disk, and it must not be believed the next time. */
	options.probe = options.read_only ? BLOCK_PROBE_CONTENT : BLOCK_PROBE_STRICT;
	rc = block_open(&options, NULL, &serving->node, err);
	json_decref(settings);
	return rc;
}

static int start(struct serving *serving, struct err *err)
{
	struct img *img = serving->img;
	const json_t *bitmaps = img_list(img, "bitmap");
	const char *name = img_value(img, "export-name");
	struct nbd_export export = {
		.name = name ? name : "",
		.description = img_value(img, "description"),
		.node = serving->node,
		.read_only = img_flag(img, "read-only"),
	};
	struct nbd_server_options options = {
		.exports = &export,
		.export_count = 1,
		.tls = serving->tls,
		.tls_optional = img_flag(img, "tls-optional"),
		.connections_max = (unsigned)serving->connections,
		.threads_max = (unsigned)serving->threads,
	};
	int rc;

	serving->bitmaps = calloc(json_array_size(bitmaps) + 1, sizeof(*serving->bitmaps));
	if (!serving->bitmaps)
		return err_errno(err, ENOMEM, "cannot serve");
	for (size_t i = 0; i < json_array_size(bitmaps); i++)
		serving->bitmaps[i] = json_string_value(json_array_get(bitmaps, i));
	export.bitmaps = serving->bitmaps;
	rc = nbd_server_new(&serving->server, &options, err);
	for (unsigned i = 0; i < serving->listeners.count && !rc; i++) {
		rc = nbd_server_listen(serving->server, serving->listeners.fds[i], err);
		serving->listeners.fds[i] = -1;
	}
	return rc;
}

static void print_text(const json_t *result)
{
	printf("%s\n", json_string_value(json_object_get(result, "uri")));
}

static int announce(struct serving *serving, struct err *err)
{
	struct str text = { 0 };
	AUTO_FREE char *uri = NULL;

	serve_uri(serving->img, &serving->listeners, &text);
	uri = str_take(&text);
	if (!uri)
		return err_errno(err, ENOMEM, "cannot serve");
	img_print(serving->img,
		  json_pack("{s:s, s:I, s:b}", "uri", uri, "size",
			    (json_int_t)block_size_bytes(serving->node), "read-only",
			    !block_can_write(serving->node)),
		  print_text);
	fflush(stdout);
	return 0;
}

static int serve(struct serving *serving, struct err *err)
{
	int rc = start(serving, err);

	if (!rc)
		rc = img_all_open(serving->img, err);
	if (!rc)
		rc = announce(serving, err);
	if (rc)
		return rc;
	rc = nbd_server_run(serving->server, serving->stop_fd, img_flag(serving->img, "once"));
	if (rc)
		return err_errno(err, rc, "cannot serve");
	rc = block_can_write(serving->node) ? block_flush(serving->node) : 0;
	return rc ? err_errno(err, rc, "cannot write disk '%s'", serving->img->operands[0]) : 0;
}

static void clean_up(struct serving *serving)
{
	nbd_server_free(serving->server);
	for (unsigned i = 0; i < serving->listeners.count; i++) {
		if (serving->listeners.fds[i] >= 0)
			close(serving->listeners.fds[i]);
	}
	block_close(serving->node);
	nbd_tls_free(serving->tls);
	free(serving->bitmaps);
	if (serving->stop_fd >= 0)
		close(serving->stop_fd);
	if (serving->listeners.socket_path)
		unlink(serving->listeners.socket_path);
	if (serving->pid_file)
		unlink(serving->pid_file);
}

int img_serve(struct img *img, struct err *err)
{
	struct serving serving = { .img = img, .stop_fd = -1 };
	int rc = parse(&serving, err);

	if (!rc)
		rc = prepare(&serving, err);
	if (!rc)
		rc = open_disk(&serving, err);
	if (!rc)
		rc = serve(&serving, err);
	clean_up(&serving);
	return rc ? IMG_FAILED : IMG_DONE;
}
