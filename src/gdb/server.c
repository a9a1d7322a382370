/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The stub's socket: one debugger at a time; who comes meanwhile waits in the kernel's queue. A peer
 * that does not read what it asked for is dropped.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "gdb/stub_priv.h"

#define INPUT_CHUNK 4096
#define OUTPUT_MAX  (1u << 20) /* bytes that the peer may leave unread */

struct gdb {
	struct loop *loop;
	struct loop_fd listener, peer; /* peer.fd -1: nobody */
	struct str output;             /* what the peer has not taken yet, from `taken` on */
	size_t taken;
	bool finishing; /* the peer goes when it has all */
	bool lost;      /* the peer is gone or to be dropped */
	struct gdb_stub stub;
};

static void flush(struct gdb *gdb)
{
	while (!gdb->lost && gdb->taken < gdb->output.length) {
		ssize_t n = send(gdb->peer.fd, gdb->output.text + gdb->taken,
				 gdb->output.length - gdb->taken, MSG_NOSIGNAL);

		if (n >= 0)
			gdb->taken += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			gdb->lost = true;
	}
	str_fini(&gdb->output);
	gdb->taken = 0;
}

static void send_bytes(void *ctx, const void *bytes, size_t count)
{
	struct gdb *gdb = ctx;

	if (gdb->peer.fd < 0)
		return;
	str_add_bytes(&gdb->output, bytes, count);
	if (gdb->output.failed || gdb->output.length - gdb->taken > OUTPUT_MAX)
		gdb->lost = true;
	flush(gdb);
	if (gdb->output.length)
		loop_fd_change(gdb->loop, &gdb->peer, EPOLLIN | EPOLLOUT);
}

static void finish(void *ctx)
{
	((struct gdb *)ctx)->finishing = true;
}

static void drop_peer(struct gdb *gdb)
{
	loop_fd_remove(gdb->loop, &gdb->peer);
	close(gdb->peer.fd);
	gdb->peer.fd = -1;
	str_fini(&gdb->output);
	gdb->taken = 0;
	gdb_stub_disconnect(&gdb->stub);
	log_info("gdb: the debugger left");
	loop_fd_add(gdb->loop, &gdb->listener, EPOLLIN);
}

static void receive(struct gdb *gdb)
{
	uint8_t bytes[INPUT_CHUNK];
	ssize_t n = recv(gdb->peer.fd, bytes, sizeof(bytes), 0);

	if (n > 0)
		gdb_stub_receive(&gdb->stub, bytes, (size_t)n);
	else if (!n || (errno != EAGAIN && errno != EINTR))
		gdb->lost = true;
}

static void peer_ready(struct loop_fd *source, uint32_t events)
{
	struct gdb *gdb = container_of(source, struct gdb, peer);

	/* No further requests while the answers to the last ones are not taken. */
	flush(gdb);
	if (!gdb->output.length && !gdb->finishing && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(gdb);
	else if (events & (EPOLLHUP | EPOLLERR))
		gdb->lost = true;
	if (gdb->lost || (gdb->finishing && !gdb->output.length))
		drop_peer(gdb);
	else
		loop_fd_change(gdb->loop, &gdb->peer, gdb->output.length ? EPOLLOUT : EPOLLIN);
}

static void accept_ready(struct loop_fd *source, uint32_t events)
{
	struct gdb *gdb = container_of(source, struct gdb, listener);
	int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

	if (fd < 0)
		return;
	/* A Unix socket refuses, and needs it not. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	gdb->peer.fd = fd;
	gdb->finishing = gdb->lost = false;
	if (loop_fd_add(gdb->loop, &gdb->peer, EPOLLIN)) {
		close(fd);
		gdb->peer.fd = -1;
		return;
	}
	loop_fd_remove(gdb->loop, source);
	log_info("gdb: a debugger came, the machine stops");
	gdb_stub_connect(&gdb->stub);
}

int gdb_open(struct gdb **ret_gdb, int fd, const struct gdb_machine *machine, struct loop *loop,
	     struct err *err)
{
	struct gdb *gdb = calloc(1, sizeof(*gdb));
	const struct gdb_output output = { send_bytes, finish, gdb };
	int rc;

	if (!gdb) {
		close(fd);
		return err_errno(err, ENOMEM, "cannot serve debuggers");
	}
	gdb->loop = loop;
	gdb->listener = (struct loop_fd){ .fd = fd, .ready = accept_ready };
	gdb->peer = (struct loop_fd){ .fd = -1, .ready = peer_ready };
	rc = gdb_stub_init(&gdb->stub, machine, &output);
	if (!rc)
		rc = loop_fd_add(loop, &gdb->listener, EPOLLIN);
	if (rc) {
		gdb_close(gdb);
		return err_errno(err, rc, "cannot serve debuggers");
	}
	*ret_gdb = gdb;
	return 0;
}

void gdb_close(struct gdb *gdb)
{
	if (!gdb)
		return;
	if (gdb->peer.fd >= 0) {
		flush(gdb);
		loop_fd_remove(gdb->loop, &gdb->peer);
		close(gdb->peer.fd);
	}
	loop_fd_remove(gdb->loop, &gdb->listener);
	close(gdb->listener.fd);
	str_fini(&gdb->output);
	gdb_stub_fini(&gdb->stub);
	free(gdb);
}

void gdb_paused(struct gdb *gdb)
{
	if (gdb)
		gdb_stub_paused(&gdb->stub);
}

void gdb_ended(struct gdb *gdb, int status)
{
	if (gdb)
		gdb_stub_ended(&gdb->stub, status);
}

bool gdb_holds(const struct gdb *gdb)
{
	return gdb && gdb->stub.connected && !gdb->stub.running;
}
