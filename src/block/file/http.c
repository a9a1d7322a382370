/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads go through a window of what came last, a little further than was asked, for each of a few
 * connections: images are read forwards, in small pieces.
 */
#include "block/file/http.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/node.h"
#include "host/http_library.h"
#include "host/thread.h"

#define CONNECTIONS     4
#define WINDOW_BYTES    (512 * KIB)
#define CONNECT_S       20L
#define SLOW_S          30L
#define SLOW_BYTES      1024L
#define REDIRECTS       5L
#define VALIDATOR_BYTES 256

/* What a server says of a file. */
struct answer {
	uint8_t *buffer; /* takes the content */
	size_t room, got;
	uint64_t bytes; /* of the whole file; 0: not told */
	char etag[VALIDATOR_BYTES], modified[VALIDATOR_BYTES];
};

struct connection {
	pthread_mutex_t lock; /* guards all of it */
	CURL *curl;
	uint8_t *window; /* WINDOW_BYTES */
	uint64_t offset; /* of the window's content */
	size_t bytes;
};

struct http {
	struct block_node node;
	struct http_library lib;
	char *url;
	uint64_t bytes;
	char etag[VALIDATOR_BYTES], modified[VALIDATOR_BYTES];
	struct connection connections[CONNECTIONS];
	_Atomic unsigned turn;
};

static const struct block_ops http_ops;

static struct http *http_of(struct block_node *node)
{
	check(node->ops == &http_ops);
	return container_of(node, struct http, node);
}

/* ---- requests ---- */

static size_t on_header(char *line, size_t size, size_t count, void *ctx)
{
	struct answer *answer = ctx;
	size_t length = size * count;
	char range[VALIDATOR_BYTES] = "";
	const char *slash;

	/* A redirection begins anew. */
	if (length > 5 && !strncasecmp(line, "HTTP/", 5)) {
		answer->bytes = 0;
		answer->etag[0] = answer->modified[0] = '\0';
	}
	http_take_header(line, length, "ETag:", answer->etag, VALIDATOR_BYTES);
	http_take_header(line, length, "Last-Modified:", answer->modified, VALIDATOR_BYTES);
	http_take_header(line, length, "Content-Range:", range, VALIDATOR_BYTES);
	slash = strchr(range, '/');
	if (slash && parse_u64(slash + 1, 0, BLOCK_SIZE_MAX - BLOCK_SECTOR, &answer->bytes))
		answer->bytes = 0;
	return length;
}

/* More than was asked for ends the transfer. */
static size_t on_data(char *data, size_t size, size_t count, void *ctx)
{
	struct answer *answer = ctx;
	size_t length = size * count;

	if (length > answer->room - answer->got)
		return 0;
	memcpy(answer->buffer + answer->got, data, length);
	answer->got += length;
	return length;
}

static void set_up(struct http *http, CURL *curl, struct answer *answer, const char *range)
{
	http->lib.easy_reset(curl);
	http->lib.easy_setopt(curl, CURLOPT_URL, http->url);
	http->lib.easy_setopt(curl, CURLOPT_RANGE, range);
	http->lib.easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	http->lib.easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	http->lib.easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
	http->lib.easy_setopt(curl, CURLOPT_MAXREDIRS, REDIRECTS);
	http->lib.easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
	http->lib.easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	http->lib.easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	http->lib.easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, SLOW_S);
	http->lib.easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
	http->lib.easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	http->lib.easy_setopt(curl, CURLOPT_HEADERDATA, answer);
	http->lib.easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	http->lib.easy_setopt(curl, CURLOPT_WRITEDATA, answer);
}

/* Gets so many bytes, all of them. -ENOTSUP: the server has no ranges. */
static int get_range(struct http *http, CURL *curl, uint64_t offset, size_t bytes,
		     struct answer *answer, struct err *err)
{
	char range[64];
	long status = 0;
	CURLcode rc;

	snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)offset,
		 (unsigned long long)(offset + bytes - 1));
	set_up(http, curl, answer, range);
	rc = http->lib.easy_perform(curl);
	http->lib.easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status == 200)
		return err_set(err, ENOTSUP, "disk '%s': the server cannot send a part of a file",
			       http->url);
	if (rc)
		return err_set(err, status == 404 ? ENOENT : EIO, "cannot read disk '%s': %s",
			       http->url, http->lib.easy_strerror(rc));
	if (status != 206 || answer->got != bytes)
		return err_set(err, EIO, "cannot read disk '%s': the server sent something else",
			       http->url);
	return 0;
}

static bool is_same(const struct http *http, const struct answer *answer)
{
	if (answer->bytes != http->bytes)
		return false;
	return http->etag[0] ? !strcmp(http->etag, answer->etag)
			     : !strcmp(http->modified, answer->modified);
}

/* Moves the window to where it has `offset`. */
static int fill_window(struct http *http, struct connection *connection, uint64_t offset)
{
	size_t bytes = MIN(WINDOW_BYTES, http->bytes - offset);
	struct answer answer = { .buffer = connection->window, .room = bytes };
	int rc;

	connection->bytes = 0;
	rc = get_range(http, connection->curl, offset, bytes, &answer, NULL);
	if (rc)
		return rc == -ENOTSUP ? -EIO : rc;
	if (!is_same(http, &answer))
		return -ESTALE;
	connection->offset = offset;
	connection->bytes = bytes;
	return 0;
}

static int read_by(struct http *http, struct connection *connection, uint64_t offset,
		   uint64_t bytes, struct block_buffer to)
{
	while (bytes) {
		uint64_t into = offset - connection->offset, piece;
		int rc;

		if (offset < connection->offset || into >= connection->bytes) {
			rc = fill_window(http, connection, offset);
			if (rc)
				return rc;
			into = 0;
		}
		piece = MIN(bytes, connection->bytes - into);
		iov_scatter(to.iov, to.iov_count, to.skip, connection->window + into, piece);
		to.skip += piece;
		offset += piece;
		bytes -= piece;
	}
	return 0;
}

/* ---- slots ---- */

static int http_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	struct http *http = http_of(node);
	uint64_t there = offset < http->bytes ? MIN(bytes, http->bytes - offset) : 0;
	unsigned turn = atomic_fetch_add(&http->turn, 1);
	struct connection *connection = &http->connections[0];
	int rc;

	/* The first one that is free, so that one reader stays in one window. */
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		connection = &http->connections[i];
		if (!pthread_mutex_trylock(&connection->lock))
			break;
		connection = NULL;
	}
	if (!connection) {
		connection = &http->connections[turn % CONNECTIONS];
		pthread_mutex_lock(&connection->lock);
	}
	rc = read_by(http, connection, offset, there, to);
	pthread_mutex_unlock(&connection->lock);
	if (!rc)
		iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return rc;
}

static uint64_t http_size(struct block_node *node)
{
	return round_up(http_of(node)->bytes, BLOCK_SECTOR);
}

static json_t *http_describe(struct block_node *node)
{
	return json_pack("{s:s, s:I, s:b}", "file", http_of(node)->url, "size",
			 (json_int_t)http_size(node), "read-only", true);
}

static void http_close(struct block_node *node)
{
	struct http *http = http_of(node);

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		if (http->connections[i].curl)
			http->lib.easy_cleanup(http->connections[i].curl);
		free(http->connections[i].window);
		pthread_mutex_destroy(&http->connections[i].lock);
	}
	http_library_close(&http->lib);
	block_node_fini(node);
	free(http->url);
	free(http);
}

static const struct block_ops http_ops = {
	.name = "http",
	.read = http_read,
	.size = http_size,
	.describe = http_describe,
	.close = http_close,
};

/* ---- opening ---- */

static int learn(struct http *http, struct err *err)
{
	uint8_t first;
	struct answer answer = { .buffer = &first, .room = sizeof(first) };
	int rc = get_range(http, http->connections[0].curl, 0, sizeof(first), &answer, err);

	if (rc)
		return rc;
	if (!answer.bytes)
		return err_set(err, ENOTSUP, "disk '%s': the server does not tell its size",
			       http->url);
	http->bytes = answer.bytes;
	memcpy(http->etag, answer.etag, sizeof(http->etag));
	memcpy(http->modified, answer.modified, sizeof(http->modified));
	return 0;
}

static int make_connections(struct http *http, struct err *err)
{
	for (unsigned i = 0; i < CONNECTIONS; i++) {
		http->connections[i].curl = http->lib.easy_init();
		http->connections[i].window = malloc(WINDOW_BYTES);
		if (!http->connections[i].curl || !http->connections[i].window)
			return err_errno(err, ENOMEM, "cannot open disk '%s'", http->url);
	}
	return 0;
}

int http_open(const struct block_open_options *options, struct loop *loop,
	      struct block_node **ret_node, struct err *err)
{
	struct http *http;
	int rc;

	if (!options->read_only)
		return err_set(err, EROFS, "disk '%s' can only be read", options->path);
	http = calloc(1, sizeof(*http));
	if (!http)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", options->path);
	block_node_init(&http->node, &http_ops, loop);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		pthread_mutex_init(&http->connections[i].lock, NULL);
	http->url = strdup(options->path);
	rc = http->url ? http_library_open(&http->lib, err)
		       : err_errno(err, ENOMEM, "cannot open disk '%s'", options->path);
	if (!rc)
		rc = make_connections(http, err);
	if (!rc)
		rc = learn(http, err);
	if (rc) {
		http_close(&http->node);
		return rc;
	}
	*ret_node = &http->node;
	return 0;
}
