/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An NBD client by libnbd. A call takes a connection that is free, and does its request there; where
 * the server says that a flush of one connection is a flush of all, there are several.
 *
 * A connection that broke is opened again by the call that needs it, and the request repeated: all
 * requests can be.
 */
#include "block/file/nbd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "block/file/nbd_library.h"
#include "block/node.h"
#include "host/clock.h"
#include "host/thread.h"

#define CONNECTIONS    4
#define RECONNECT_S    30
#define PAUSE_FIRST_NS (50 * NS_PER_MS)
#define PAUSE_MAX_NS   (2 * NS_PER_SEC)
#define PIECE_BYTES    (32 * MIB)
#define BOUNCE_BYTES   MIB
#define ALLOCATION     LIBNBD_CONTEXT_BASE_ALLOCATION

struct connection {
	pthread_mutex_t lock; /* held for a request */
	struct nbd_handle *handle;
};

struct nbd {
	struct block_node node;
	struct nbd_library lib;
	char *uri;
	uint64_t reconnect_ns;
	bool read_only, can_trim, can_zero, can_flush, can_fua, has_status;
	uint64_t bytes; /* of the server's disk */
	uint64_t align; /* what it asks of requests */
	uint64_t piece_bytes;
	struct connection connections[CONNECTIONS];
	unsigned connection_count;
	_Atomic unsigned turn;
};

/* What is done on a connection: 0, or -1 as libnbd says it. */
struct call {
	enum { PREAD, PWRITE, FLUSH, TRIM, ZERO, STATUS } what;
	uint64_t offset, bytes;
	void *data;
	uint32_t flags;
	struct block_extent *extent;
};

static const struct block_ops nbd_ops;

static struct nbd *nbd_of(struct block_node *node)
{
	check(node->ops == &nbd_ops);
	return container_of(node, struct nbd, node);
}

/* ---- connections ---- */

static int connect_handle(struct nbd *nbd, struct nbd_handle **ret_handle, struct err *err)
{
	struct nbd_handle *handle = nbd->lib.create();
	int rc;

	if (!handle)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", nbd->uri);
	if (nbd->lib.set_uri_allow_local_file(handle, true) ||
	    nbd->lib.add_meta_context(handle, ALLOCATION) ||
	    nbd->lib.connect_uri(handle, nbd->uri)) {
		rc = nbd->lib.get_errno();
		rc = err_set(err, rc ? rc : EIO, "cannot open disk '%s': %s", nbd->uri,
			     nbd->lib.get_error());
		nbd->lib.close(handle);
		return rc;
	}
	*ret_handle = handle;
	return 0;
}

static void connection_close(struct nbd *nbd, struct connection *connection)
{
	if (!connection->handle)
		return;
	nbd->lib.shutdown(connection->handle, 0);
	nbd->lib.close(take_ptr(&connection->handle));
}

/* One try. -ESTALE: there is another disk now. */
static int reconnect(struct nbd *nbd, struct connection *connection)
{
	struct nbd_handle *handle;
	struct err err = ERR_INIT;
	int rc;

	connection_close(nbd, connection);
	rc = connect_handle(nbd, &handle, &err);
	if (rc) {
		log_debug("%s", err.text);
		return rc;
	}
	if (nbd->lib.get_size(handle) != (int64_t)nbd->bytes ||
	    (!nbd->read_only && nbd->lib.is_read_only(handle))) {
		nbd->lib.close(handle);
		return -ESTALE;
	}
	connection->handle = handle;
	return 0;
}

static int try_call(struct nbd *nbd, struct nbd_handle *handle, struct call *call);

static bool is_broken(struct nbd *nbd, const struct connection *connection)
{
	return !connection->handle || nbd->lib.aio_is_dead(connection->handle) > 0 ||
	       nbd->lib.aio_is_closed(connection->handle) > 0;
}

/* Tries again, ever more seldom, as long as the user wants to wait. */
static int call_on(struct nbd *nbd, struct connection *connection, struct call *call)
{
	uint64_t deadline_ns = 0, pause_ns = PAUSE_FIRST_NS;

	for (;;) {
		int rc = connection->handle ? try_call(nbd, connection->handle, call) : -ENOTCONN;
		struct timespec pause = { .tv_sec = (time_t)(pause_ns / NS_PER_SEC),
					  .tv_nsec = (long)(pause_ns % NS_PER_SEC) };

		if (!rc || !is_broken(nbd, connection))
			return rc;
		if (!deadline_ns) {
			log_warn("disk '%s': lost the server", nbd->uri);
			deadline_ns = clock_now_ns() + nbd->reconnect_ns;
		}
		while ((rc = reconnect(nbd, connection))) {
			if (rc == -ESTALE || clock_now_ns() >= deadline_ns)
				return rc == -ESTALE ? rc : -EIO;
			nanosleep(&pause, NULL);
			pause_ns = MIN(2 * pause_ns, PAUSE_MAX_NS);
			pause.tv_sec = (time_t)(pause_ns / NS_PER_SEC);
			pause.tv_nsec = (long)(pause_ns % NS_PER_SEC);
		}
	}
}

static int do_call(struct nbd *nbd, struct call call)
{
	unsigned turn = atomic_fetch_add(&nbd->turn, 1);
	struct connection *connection = &nbd->connections[turn % nbd->connection_count];
	int rc;

	for (unsigned i = 0; i < nbd->connection_count; i++) {
		struct connection *other = &nbd->connections[(turn + i) % nbd->connection_count];

		if (!pthread_mutex_trylock(&other->lock)) {
			rc = call_on(nbd, other, &call);
			pthread_mutex_unlock(&other->lock);
			return rc;
		}
	}
	LOCK_SCOPE(&connection->lock);
	return call_on(nbd, connection, &call);
}

/* ---- requests ---- */

/* libnbd tells the extents from where it was asked on, in pairs of bytes and state. */
static int take_extents(void *ctx, const char *context, uint64_t offset, uint32_t *entries,
			size_t count, int *error)
{
	struct call *call = ctx;
	uint64_t bytes = 0;

	(void)error;
	if (strcmp(context, ALLOCATION) || offset != call->offset)
		return 0;
	for (size_t i = 0; i + 1 < count && entries[i + 1] == entries[1]; i += 2)
		bytes += entries[i];
	if (!bytes)
		return 0;
	call->extent->bytes = MIN(bytes, call->bytes);
	call->extent->flags = entries[1] & LIBNBD_STATE_ZERO ? BLOCK_EXTENT_ZERO : 0;
	if (!(entries[1] & LIBNBD_STATE_HOLE))
		call->extent->flags |= BLOCK_EXTENT_HERE;
	return 0;
}

static int try_call(struct nbd *nbd, struct nbd_handle *handle, struct call *call)
{
	nbd_extent_callback extents = { .callback = take_extents, .user_data = call };
	int rc;

	switch (call->what) {
	case PREAD:
		rc = nbd->lib.pread(handle, call->data, call->bytes, call->offset, 0);
		break;
	case PWRITE:
		rc = nbd->lib.pwrite(handle, call->data, call->bytes, call->offset, call->flags);
		break;
	case FLUSH:
		rc = nbd->lib.flush(handle, 0);
		break;
	case TRIM:
		rc = nbd->lib.trim(handle, call->bytes, call->offset, 0);
		break;
	case ZERO:
		rc = nbd->lib.zero(handle, call->bytes, call->offset, call->flags);
		break;
	default:
		rc = nbd->lib.block_status(handle, call->bytes, call->offset, extents, 0);
		break;
	}
	if (!rc)
		return 0;
	rc = nbd->lib.get_errno();
	return rc ? -rc : -EIO;
}

/* Contiguous, inside the server's disk, as it wants it aligned. */
static int move_piece(struct nbd *nbd, bool to_disk, uint64_t offset, void *data, uint64_t bytes,
		      unsigned flags)
{
	return do_call(nbd, (struct call){
				    .what = to_disk ? PWRITE : PREAD,
				    .offset = offset,
				    .bytes = bytes,
				    .data = data,
				    .flags = flags & BLOCK_FUA ? LIBNBD_CMD_FLAG_FUA : 0,
			    });
}

/* Any bytes: what the server's blocks have around them is read, and written back. */
static int move_edges(struct nbd *nbd, bool to_disk, uint64_t offset, void *data, uint64_t bytes,
		      unsigned flags)
{
	uint64_t start = round_down(offset, nbd->align);
	uint64_t end = MIN(round_up(offset + bytes, nbd->align), nbd->bytes);
	AUTO_FREE uint8_t *bounce = malloc(end - start);
	int rc = bounce ? move_piece(nbd, false, start, bounce, end - start, 0) : -ENOMEM;

	if (rc)
		return rc;
	if (!to_disk) {
		memcpy(data, bounce + (offset - start), bytes);
		return 0;
	}
	memcpy(bounce + (offset - start), data, bytes);
	return move_piece(nbd, true, start, bounce, end - start, flags);
}

static int move_flat(struct nbd *nbd, bool to_disk, uint64_t offset, void *data, uint64_t bytes,
		     unsigned flags)
{
	if ((offset | bytes) & (nbd->align - 1))
		return move_edges(nbd, to_disk, offset, data, bytes, flags);
	return move_piece(nbd, to_disk, offset, data, bytes, flags);
}

/* Scattered memory; what is not in one piece goes through a buffer. */
static int move(struct nbd *nbd, bool to_disk, uint64_t offset, uint64_t bytes,
		struct block_buffer memory, unsigned flags)
{
	AUTO_FREE uint8_t *bounce = NULL;
	int rc = 0;

	while (bytes && !rc) {
		struct iovec first = { 0 };
		uint64_t piece = MIN(bytes, nbd->piece_bytes);

		iov_slice(&first, memory.iov, memory.iov_count, memory.skip, piece);
		if (first.iov_len == piece) {
			rc = move_flat(nbd, to_disk, offset, first.iov_base, piece, flags);
		} else {
			piece = MIN(piece, BOUNCE_BYTES);
			if (!bounce)
				bounce = malloc(BOUNCE_BYTES);
			if (!bounce)
				return -ENOMEM;
			if (to_disk)
				iov_gather(bounce, memory.iov, memory.iov_count, memory.skip,
					   piece);
			rc = move_flat(nbd, to_disk, offset, bounce, piece, flags);
			if (!to_disk && !rc)
				iov_scatter(memory.iov, memory.iov_count, memory.skip, bounce,
					    piece);
		}
		memory.skip += piece;
		offset += piece;
		bytes -= piece;
	}
	return rc;
}

/* ---- slots ---- */

/* How much of the range the server has; zeroes are behind. */
static uint64_t bytes_there(const struct nbd *nbd, uint64_t offset, uint64_t bytes)
{
	return offset < nbd->bytes ? MIN(bytes, nbd->bytes - offset) : 0;
}

static int nbd_read_slot(struct block_node *node, uint64_t offset, uint64_t bytes,
			 struct block_buffer to)
{
	struct nbd *nbd = nbd_of(node);
	uint64_t there = bytes_there(nbd, offset, bytes);
	int rc = move(nbd, false, offset, there, to, 0);

	if (!rc)
		iov_fill(to.iov, to.iov_count, to.skip + there, 0, bytes - there);
	return rc;
}

static int nbd_write_slot(struct block_node *node, uint64_t offset, uint64_t bytes,
			  struct block_buffer from, unsigned flags)
{
	struct nbd *nbd = nbd_of(node);
	bool edges = (offset | bytes) & (nbd->align - 1);
	struct range range;
	int rc;

	if (bytes_there(nbd, offset, bytes) < bytes)
		return -ENOSPC;
	if (edges)
		range_lock_exclusive(&node->ranges, &range, round_down(offset, nbd->align),
				     bytes + 2 * nbd->align);
	else
		range_lock_shared(&node->ranges, &range, offset, bytes);
	rc = move(nbd, true, offset, bytes, from, flags);
	range_unlock(&range);
	return rc;
}

static int nbd_flush_slot(struct block_node *node)
{
	struct nbd *nbd = nbd_of(node);

	return nbd->can_flush && !nbd->read_only ? do_call(nbd, (struct call){ .what = FLUSH }) : 0;
}

/* The whole range by one kind of call, in pieces that the protocol can name. */
static int change(struct nbd *nbd, struct call call, uint64_t bytes)
{
	struct range range;
	int rc = 0;

	range_lock_shared(&nbd->node.ranges, &range, call.offset, bytes);
	for (; bytes && !rc; bytes -= call.bytes, call.offset += call.bytes) {
		call.bytes = MIN(bytes, GIB);
		rc = do_call(nbd, call);
	}
	range_unlock(&range);
	return rc;
}

static int nbd_discard_slot(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct nbd *nbd = nbd_of(node);

	bytes = bytes_there(nbd, offset, bytes);
	if (!nbd->can_trim || (offset | bytes) & (nbd->align - 1))
		return 0;
	return change(nbd, (struct call){ .what = TRIM, .offset = offset }, bytes);
}

static int nbd_write_zeroes_slot(struct block_node *node, uint64_t offset, uint64_t bytes,
				 unsigned flags)
{
	struct nbd *nbd = nbd_of(node);

	if (!nbd->can_zero || (offset | bytes) & (nbd->align - 1) ||
	    bytes_there(nbd, offset, bytes) < bytes)
		return -ENOTSUP;
	return change(nbd,
		      (struct call){
			      .what = ZERO,
			      .offset = offset,
			      .flags = flags & BLOCK_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE,
		      },
		      bytes);
}

static int nbd_extent_slot(struct block_node *node, struct block_extent *extent)
{
	struct nbd *nbd = nbd_of(node);
	uint64_t there = bytes_there(nbd, extent->offset, extent->bytes);

	extent->flags = there ? BLOCK_EXTENT_HERE : BLOCK_EXTENT_ZERO;
	extent->bytes = there ? there : extent->bytes;
	if (!there || !nbd->has_status || (extent->offset | there) & (nbd->align - 1))
		return 0;
	return do_call(nbd, (struct call){
				    .what = STATUS,
				    .offset = extent->offset,
				    .bytes = MIN(there, GIB),
				    .extent = extent,
			    });
}

static uint64_t nbd_size(struct block_node *node)
{
	return round_up(nbd_of(node)->bytes, BLOCK_SECTOR);
}

static bool nbd_can_write(struct block_node *node)
{
	return !nbd_of(node)->read_only;
}

static bool nbd_can_fua_slot(struct block_node *node)
{
	return nbd_of(node)->can_fua;
}

static json_t *nbd_describe(struct block_node *node)
{
	const struct nbd *nbd = nbd_of(node);

	return json_pack("{s:s, s:I, s:b, s:i}", "file", nbd->uri, "size",
			 (json_int_t)nbd_size(node), "read-only", nbd->read_only, "connections",
			 (int)nbd->connection_count);
}

static void nbd_close_slot(struct block_node *node)
{
	struct nbd *nbd = nbd_of(node);

	for (unsigned i = 0; i < CONNECTIONS; i++) {
		connection_close(nbd, &nbd->connections[i]);
		pthread_mutex_destroy(&nbd->connections[i].lock);
	}
	nbd_library_close(&nbd->lib);
	block_node_fini(node);
	free(nbd->uri);
	free(nbd);
}

static const struct block_ops nbd_ops = {
	.name = "nbd",
	.read = nbd_read_slot,
	.write = nbd_write_slot,
	.flush = nbd_flush_slot,
	.discard = nbd_discard_slot,
	.write_zeroes = nbd_write_zeroes_slot,
	.extent = nbd_extent_slot,
	.size = nbd_size,
	.can_write = nbd_can_write,
	.can_fua = nbd_can_fua_slot,
	.describe = nbd_describe,
	.close = nbd_close_slot,
};

/* ---- opening ---- */

/* Takes "reconnect=SECONDS" out of the URI's query. */
static int parse_reconnect(struct nbd *nbd, struct err *err)
{
	static const char name[] = "reconnect=";
	char *at = strchr(nbd->uri, '?');
	AUTO_FREE char *value = NULL;
	uint64_t seconds;
	size_t length;

	nbd->reconnect_ns = RECONNECT_S * NS_PER_SEC;
	while (at && strncmp(at + 1, name, strlen(name)) != 0)
		at = strchr(at + 1, '&');
	if (!at)
		return 0;
	length = strcspn(at + 1, "&");
	value = strndup(at + 1 + strlen(name), length - strlen(name));
	if (!value || parse_u64(value, 0, 86400, &seconds))
		return err_set(err, EINVAL, "disk '%s': 'reconnect' is not a number of seconds",
			       nbd->uri);
	nbd->reconnect_ns = seconds * NS_PER_SEC;
	/* What follows takes its place, behind the same '?' or '&'. */
	if (at[1 + length])
		memmove(at + 1, at + 1 + length + 1, strlen(at + 1 + length + 1) + 1);
	else
		*at = '\0';
	return 0;
}

static int learn(struct nbd *nbd, const struct block_open_options *options, struct err *err)
{
	struct nbd_handle *handle = nbd->connections[0].handle;
	int64_t bytes = nbd->lib.get_size(handle);
	int64_t align = nbd->lib.get_block_size(handle, LIBNBD_SIZE_MINIMUM);
	int64_t most = nbd->lib.get_block_size(handle, LIBNBD_SIZE_MAXIMUM);
	bool read_only = nbd->lib.is_read_only(handle) > 0;
	uint64_t piece_unit;

	if (bytes < 0 || (uint64_t)bytes > BLOCK_SIZE_MAX - BLOCK_SECTOR)
		return err_set(err, EFBIG, "disk '%s': the server's size makes no sense", nbd->uri);
	if (read_only && !options->read_only)
		return err_set(err, EROFS, "disk '%s' can only be read: so says the server",
			       nbd->uri);
	nbd->bytes = (uint64_t)bytes;
	nbd->align = align > 0 && is_power_of_two((uint64_t)align) ? (uint64_t)align : 1;
	piece_unit = MAX(nbd->align, UINT64_C(4096));
	nbd->piece_bytes = most > 0 ? MIN((uint64_t)most, PIECE_BYTES) : PIECE_BYTES;
	nbd->piece_bytes = MAX(round_down(nbd->piece_bytes, piece_unit), piece_unit);
	nbd->read_only = options->read_only;
	nbd->can_trim = nbd->lib.can_trim(handle) > 0;
	nbd->can_zero = nbd->lib.can_zero(handle) > 0;
	nbd->can_flush = nbd->lib.can_flush(handle) > 0;
	nbd->can_fua = nbd->lib.can_fua(handle) > 0;
	nbd->has_status = nbd->lib.can_meta_context(handle, ALLOCATION) > 0;
	return 0;
}

/* What further connections are refused for is no reason to have none. */
static void connect_more(struct nbd *nbd)
{
	nbd->connection_count = 1;
	if (nbd->lib.can_multi_conn(nbd->connections[0].handle) <= 0)
		return;
	while (nbd->connection_count < CONNECTIONS &&
	       !connect_handle(nbd, &nbd->connections[nbd->connection_count].handle, NULL))
		nbd->connection_count++;
}

int nbd_open(const struct block_open_options *options, struct loop *loop,
	     struct block_node **ret_node, struct err *err)
{
	struct nbd *nbd;
	int rc;

	/* The threads of a machine may not open sockets, and so not call a server again. */
	if (loop)
		return err_set(err, ENOTSUP, "disk '%s': NBD disks are for 'cella image' only",
			       options->path);
	nbd = calloc(1, sizeof(*nbd));
	if (!nbd)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", options->path);
	block_node_init(&nbd->node, &nbd_ops, loop);
	for (unsigned i = 0; i < CONNECTIONS; i++)
		pthread_mutex_init(&nbd->connections[i].lock, NULL);
	nbd->uri = strdup(options->path);
	rc = nbd->uri ? parse_reconnect(nbd, err)
		      : err_errno(err, ENOMEM, "cannot open disk '%s'", options->path);
	if (!rc)
		rc = nbd_library_open(&nbd->lib, err);
	if (!rc)
		rc = connect_handle(nbd, &nbd->connections[0].handle, err);
	if (!rc)
		rc = learn(nbd, options, err);
	if (rc) {
		nbd_close_slot(&nbd->node);
		return rc;
	}
	connect_more(nbd);
	*ret_node = &nbd->node;
	return 0;
}
