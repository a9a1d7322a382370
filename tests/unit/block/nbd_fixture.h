/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An NBD server of a disk of data, a hole and data, on one end of a socket pair; a test has the other. */
#pragma once

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/macros.h"
#include "block/block.h"
#include "block/export/nbd.h"
#include "host/fd.h"

#define NBD_PART_BYTES (256 * KIB)
#define NBD_DISK_BYTES (3 * NBD_PART_BYTES) /* data, a hole, data */

struct nbd_fixture {
	char path[64];
	struct block_node *node;
	struct nbd_server *server;
};

static inline uint8_t nbd_byte(uint64_t at)
{
	return at / NBD_PART_BYTES == 1 ? 0 : (uint8_t)(at % 251 + at / 4096 + 1) | 1;
}

static inline void nbd_fill(uint8_t *bytes, uint64_t from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = nbd_byte(from + i);
}

static inline void nbd_fixture_init(struct nbd_fixture *fixture, bool read_only)
{
	uint8_t *part = malloc(NBD_PART_BYTES);
	struct block_open_options options = { .path = fixture->path,
					      .format = "raw",
					      .cache = BLOCK_CACHE_UNSAFE };
	struct nbd_export export = { .name = "disk", .description = "three parts" };
	struct nbd_server_options server = { .exports = &export, .export_count = 1 };
	int fd;

	strcpy(fixture->path, "/var/tmp/cella-disk-XXXXXX");
	fd = mkstemp(fixture->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, NBD_DISK_BYTES), 0);
	for (uint64_t at = 0; at < NBD_DISK_BYTES; at += 2 * NBD_PART_BYTES) {
		nbd_fill(part, at, NBD_PART_BYTES);
		assert_int_equal(pwrite(fd, part, NBD_PART_BYTES, (off_t)at), NBD_PART_BYTES);
	}
	free(part);
	close(fd);
	assert_int_equal(block_open(&options, NULL, &fixture->node, NULL), 0);
	export.node = fixture->node;
	export.read_only = read_only;
	assert_int_equal(nbd_server_new(&fixture->server, &server, NULL), 0);
}

static inline void nbd_fixture_fini(struct nbd_fixture *fixture)
{
	nbd_server_free(fixture->server);
	block_close(fixture->node);
	unlink(fixture->path);
}

struct nbd_visit {
	struct nbd_server *server;
	int ends[2]; /* the test's, the server's */
	pthread_t thread;
};

static inline void *nbd_attend(void *ctx)
{
	struct nbd_visit *visit = ctx;

	nbd_server_attend(visit->server, visit->ends[1], visit->ends[1]);
	shutdown(visit->ends[1], SHUT_RDWR);
	return NULL;
}

/* The server attends to `ends[0]`, on a thread of its own. */
static inline void nbd_visit_start(struct nbd_visit *visit, struct nbd_server *server)
{
	visit->server = server;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, visit->ends), 0);
	assert_int_equal(fd_set_nonblocking(visit->ends[1], true), 0);
	assert_int_equal(pthread_create(&visit->thread, NULL, nbd_attend, visit), 0);
}

/* The server has let go of the client, whatever that has said. Closes both ends; the test's unless it is
 * -1. */
static inline void nbd_visit_end(struct nbd_visit *visit)
{
	if (visit->ends[0] >= 0)
		close(visit->ends[0]);
	pthread_join(visit->thread, NULL);
	close(visit->ends[1]);
}
