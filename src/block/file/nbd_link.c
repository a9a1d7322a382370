/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libnbd runs its state machine in calls that never wait; waiting is done here, without the lock. */
#include "block/file/nbd_link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/clock.h"
#include "host/fd.h"
#include "host/thread.h"

#define ALLOCATION LIBNBD_CONTEXT_BASE_ALLOCATION
/* A peer that is not even heard of for so long is gone. */
#define SILENCE_S 30

int nbd_link_init(struct nbd_link *link, const struct nbd_library *lib)
{
	*link = (struct nbd_link){ .lib = lib };
	pthread_mutex_init(&link->lock, NULL);
	list_init(&link->calls);
	link->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return link->wake_fd < 0 ? -errno : 0;
}

void nbd_link_fini(struct nbd_link *link)
{
	if (!link->lib)
		return;
	nbd_link_disconnect(link);
	if (link->wake_fd >= 0)
		close(link->wake_fd);
	pthread_mutex_destroy(&link->lock);
}

/* ---- connecting ---- */

static int wait_connected(const struct nbd_library *lib, struct nbd_handle *handle,
			  uint64_t patience_ns)
{
	uint64_t deadline_ns = clock_now_ns() + patience_ns;

	while (lib->aio_is_connecting(handle) > 0) {
		uint64_t now = clock_now_ns();

		if (now >= deadline_ns)
			return -ETIMEDOUT;
		if (lib->poll(handle, (int)((deadline_ns - now) / NS_PER_MS) + 1) < 0)
			return lib->get_errno() ? -lib->get_errno() : -EIO;
	}
	return lib->aio_is_ready(handle) > 0 ? 0 : -ENOTCONN;
}

/* A host that vanished does not say so. */
static void watch_peer(int fd)
{
	static const int on = 1, idle_s = SILENCE_S / 2, interval_s = SILENCE_S / 6,
			 silence_ms = SILENCE_S * 1000;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
}

static int start_connecting(const struct nbd_library *lib, struct nbd_handle *handle,
			    const char *uri, int fd)
{
	int rc;

	if (lib->set_uri_allow_local_file(handle, true) ||
	    lib->add_meta_context(handle, ALLOCATION)) {
		rc = -1;
		if (fd >= 0)
			close(fd);
	} else {
		rc = fd >= 0 ? lib->aio_connect_socket(handle, fd)
			     : lib->aio_connect_uri(handle, uri);
	}
	return !rc ? 0 : lib->get_errno() ? -lib->get_errno() : -EIO;
}

int nbd_link_connect(struct nbd_link *link, const char *uri, int fd, uint64_t patience_ns,
		     struct err *err)
{
	const struct nbd_library *lib = link->lib;
	struct nbd_handle *handle = lib->create();
	int rc;

	if (!handle) {
		if (fd >= 0)
			close(fd);
		return err_errno(err, ENOMEM, "cannot open disk '%s'", uri);
	}
	rc = start_connecting(lib, handle, uri, fd);
	if (!rc)
		rc = wait_connected(lib, handle, patience_ns);
	if (rc) {
		const char *why = rc == -ETIMEDOUT ? "no answer" : lib->get_error();

		err_set(err, rc, "cannot open disk '%s': %s", uri, why ? why : strerror(-rc));
		lib->close(handle);
		return rc;
	}
	if (fd < 0)
		watch_peer(lib->aio_get_fd(handle));
	link->handle = handle;
	return 0;
}

void nbd_link_disconnect(struct nbd_link *link)
{
	if (!link->handle)
		return;
	if (link->lib->aio_is_ready(link->handle) > 0)
		link->lib->aio_disconnect(link->handle, 0);
	link->lib->close(take_ptr(&link->handle));
}

/* ---- calls ---- */

static int call_ended(void *ctx, int *error)
{
	struct nbd_call *call = ctx;

	call->ended = true;
	call->rc = -*error;
	pthread_cond_signal(&call->changed);
	/* The library may forget it. */
	return 1;
}

/* The library tells the extents from where it was asked on, in pairs of bytes and state. */
static int take_extents(void *ctx, const char *context, uint64_t offset, uint32_t *entries,
			size_t count, int *error)
{
	struct nbd_call *call = ctx;
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

static int64_t issue_locked(struct nbd_link *link, struct nbd_call *call)
{
	const struct nbd_library *lib = link->lib;
	struct nbd_handle *handle = link->handle;
	nbd_completion_callback end = { .callback = call_ended, .user_data = call };
	nbd_extent_callback extents = { .callback = take_extents, .user_data = call };

	switch (call->kind) {
	case NBD_CALL_READ:
		return lib->aio_pread(handle, call->data, call->bytes, call->offset, end, 0);
	case NBD_CALL_WRITE:
		return lib->aio_pwrite(handle, call->data, call->bytes, call->offset, end,
				       call->flags);
	case NBD_CALL_FLUSH:
		return lib->aio_flush(handle, end, 0);
	case NBD_CALL_TRIM:
		return lib->aio_trim(handle, call->bytes, call->offset, end, 0);
	case NBD_CALL_ZERO:
		return lib->aio_zero(handle, call->bytes, call->offset, end, call->flags);
	default:
		return lib->aio_block_status(handle, call->bytes, call->offset, extents, end, 0);
	}
}

static short events_of(unsigned direction)
{
	return (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
		       (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

/* Waits for the socket, for all, and lets the library go on. */
static void watch_locked(struct nbd_link *link)
{
	const struct nbd_library *lib = link->lib;
	unsigned direction = lib->aio_get_direction(link->handle);
	struct pollfd fds[] = {
		{ .fd = lib->aio_get_fd(link->handle), .events = events_of(direction) },
		{ .fd = link->wake_fd, .events = POLLIN },
	};
	uint64_t count;

	link->watched = true;
	link->watched_for = direction;
	pthread_mutex_unlock(&link->lock);
	poll(fds, ARRAY_SIZE(fds), -1);
	pthread_mutex_lock(&link->lock);
	link->watched = false;
	if (fds[1].revents)
		fd_read_all(link->wake_fd, &count, sizeof(count));
	/* Others may have changed what it waits for. */
	direction = lib->aio_get_direction(link->handle);
	if (direction & LIBNBD_AIO_DIRECTION_READ && fds[0].revents & ~POLLOUT)
		lib->aio_notify_read(link->handle);
	else if (direction & LIBNBD_AIO_DIRECTION_WRITE && fds[0].revents & ~POLLIN)
		lib->aio_notify_write(link->handle);
}

static void wait_locked(struct nbd_link *link, struct nbd_call *call)
{
	static const uint64_t one = 1;
	struct nbd_call *next;

	list_append(&link->calls, &call->node);
	if (link->watched && link->watched_for != link->lib->aio_get_direction(link->handle))
		fd_write_all(link->wake_fd, &one, sizeof(one));
	while (!call->ended) {
		if (link->watched)
			pthread_cond_wait(&call->changed, &link->lock);
		else
			watch_locked(link);
	}
	list_remove(&call->node);
	next = list_first(&link->calls, struct nbd_call, node);
	if (next && !link->watched)
		pthread_cond_signal(&next->changed);
}

static bool is_lost_locked(struct nbd_link *link)
{
	return link->lib->aio_is_dead(link->handle) > 0 ||
	       link->lib->aio_is_closed(link->handle) > 0;
}

int nbd_link_call(struct nbd_link *link, struct nbd_call *call)
{
	LOCK_SCOPE(&link->lock);
	if (!link->handle)
		return NBD_LINK_LOST;
	call->ended = false;
	pthread_cond_init(&call->changed, NULL);
	if (issue_locked(link, call) < 0)
		call->rc = link->lib->get_errno() ? -link->lib->get_errno() : -EIO;
	else
		wait_locked(link, call);
	pthread_cond_destroy(&call->changed);
	/* A server that is about to end says so, and no more than that. */
	if (call->rc && (call->rc == -ESHUTDOWN || is_lost_locked(link)))
		return NBD_LINK_LOST;
	return call->rc;
}
