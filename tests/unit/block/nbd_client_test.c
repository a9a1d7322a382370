/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NBD client on sockets that lead to our own server: any pieces of memory, many threads, and a server
 * that ends. Servers of others, and those that come back: tests/system/test_image_nbd.py. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "nbd_fixture.h"

#include "block/file/nbd.h"

#define LINKS 3

struct rig {
	struct nbd_fixture fixture;
	struct nbd_visit visits[LINKS];
	struct block_node *client;
};

static int open_client(struct rig *rig, bool read_only, struct err *err)
{
	struct block_open_options options = { .path = "nbd://server", .read_only = read_only };
	int sockets[LINKS];

	for (unsigned i = 0; i < LINKS; i++) {
		nbd_visit_start(&rig->visits[i], rig->fixture.server);
		sockets[i] = rig->visits[i].ends[0];
		/* The client's now. */
		rig->visits[i].ends[0] = -1;
	}
	return nbd_open_sockets(&options, sockets, LINKS, NULL, &rig->client, err);
}

static void end_visits(struct rig *rig)
{
	for (unsigned i = 0; i < LINKS; i++)
		nbd_visit_end(&rig->visits[i]);
	nbd_fixture_fini(&rig->fixture);
}

static void rig_init(struct rig *rig)
{
	struct err err = ERR_INIT;

	nbd_fixture_init(&rig->fixture, false);
	if (open_client(rig, false, &err))
		fail_msg("%s", err.text);
}

static void rig_fini(struct rig *rig)
{
	block_close(rig->client);
	end_visits(rig);
}

static void nbd_client_opened_has_the_disk_of_the_server(void **state)
{
	struct rig rig;
	struct block_extent extent;

	(void)state;
	rig_init(&rig);
	assert_true(block_size_bytes(rig.client) == NBD_DISK_BYTES);
	assert_true(block_can_write(rig.client) && block_can_discard(rig.client));
	assert_int_equal(block_extent_joined(rig.client, 0, NBD_DISK_BYTES, &extent), 0);
	assert_true(extent.bytes == NBD_PART_BYTES && extent.flags == BLOCK_EXTENT_HERE);
	assert_int_equal(block_extent_joined(rig.client, NBD_PART_BYTES, NBD_PART_BYTES, &extent),
			 0);
	assert_true(extent.bytes == NBD_PART_BYTES && extent.flags & BLOCK_EXTENT_ZERO);
	rig_fini(&rig);
}

/* Memory in many pieces of odd lengths, from the middle of the first one on. */
static void nbd_client_scattered_memory_is_read_and_written(void **state)
{
	enum { PIECES = 200, PIECE = 1001, SKIP = 7, BYTES = PIECES * PIECE - SKIP };
	static const uint64_t offsets[] = { 0, 512, 1, 4095, NBD_PART_BYTES - 3 };
	uint8_t *memory = malloc(PIECES * PIECE), *content = malloc(BYTES);
	struct iovec iov[PIECES];
	struct block_buffer buffer = { iov, PIECES, SKIP };
	struct rig rig;

	(void)state;
	rig_init(&rig);
	/* Backwards, so that neighbours in memory are none on the disk. */
	for (unsigned i = 0; i < PIECES; i++)
		iov[i] = (struct iovec){ memory + (PIECES - 1 - i) * PIECE, PIECE };
	for (size_t n = 0; n < ARRAY_SIZE(offsets); n++) {
		for (size_t i = 0; i < PIECES * PIECE; i++)
			memory[i] = (uint8_t)(i * 7 + n);
		assert_int_equal(block_writev(rig.client, offsets[n], BYTES, buffer, 0), 0);
		memset(memory, 0, PIECES * PIECE);
		assert_int_equal(block_readv(rig.client, offsets[n], BYTES, buffer), 0);
		for (size_t i = 0; i < PIECES * PIECE; i++) {
			bool skipped = i / PIECE == PIECES - 1 && i % PIECE < SKIP;

			assert_int_equal(memory[i], skipped ? 0 : (uint8_t)(i * 7 + n));
		}
		assert_int_equal(block_read(rig.client, offsets[n], content, BYTES), 0);
		assert_memory_equal(content, (uint8_t *)iov[0].iov_base + SKIP, PIECE - SKIP);
	}
	rig_fini(&rig);
	free(content);
	free(memory);
}

#define THREADS 8

struct user {
	struct block_node *client;
	uint64_t from;
	_Atomic bool *failed;
};

/* In a part of its own: writes, zeroes, flushes, and reads what it wrote. */
static void *use(void *ctx)
{
	enum { PART = NBD_DISK_BYTES / THREADS, STEPS = 200 };
	struct user *user = ctx;
	uint8_t *want = malloc(PART), *got = malloc(PART);
	unsigned seed = (unsigned)user->from + 1;

	nbd_fill(want, user->from, PART);
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t at = (uint64_t)rand_r(&seed) % PART;
		uint64_t bytes = 1 + (uint64_t)rand_r(&seed) % MIN(PART - at, UINT64_C(20000));
		int rc = 0;

		switch (rand_r(&seed) % 4) {
		case 0:
			memset(want + at, rand_r(&seed), bytes);
			rc = block_write(user->client, user->from + at, want + at, bytes);
			break;
		case 1:
			memset(want + at, 0, bytes);
			rc = block_write_zeroes(user->client, user->from + at, bytes,
						BLOCK_MAY_UNMAP);
			break;
		case 2:
			rc = block_flush(user->client);
			break;
		default:
			rc = block_read(user->client, user->from + at, got, bytes);
			if (memcmp(got, want + at, bytes) != 0)
				*user->failed = true;
			break;
		}
		if (rc)
			*user->failed = true;
	}
	free(got);
	free(want);
	return NULL;
}

static void nbd_client_used_by_threads_keeps_apart_what_they_do(void **state)
{
	struct user users[THREADS];
	pthread_t threads[THREADS];
	_Atomic bool failed = false;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	for (unsigned i = 0; i < THREADS; i++) {
		users[i] = (struct user){ rig.client, i * (NBD_DISK_BYTES / THREADS), &failed };
		pthread_create(&threads[i], NULL, use, &users[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_false(failed);
	rig_fini(&rig);
}

static void nbd_client_of_a_read_only_disk_cannot_write(void **state)
{
	struct err err = ERR_INIT;
	uint8_t sector[512] = { 0 };
	struct rig rig;

	(void)state;
	nbd_fixture_init(&rig.fixture, true);
	assert_int_equal(open_client(&rig, false, &err), -EROFS);
	assert_non_null(strstr(err.text, "so says the server"));
	end_visits(&rig);

	nbd_fixture_init(&rig.fixture, true);
	assert_int_equal(open_client(&rig, true, NULL), 0);
	assert_int_equal(block_write(rig.client, 0, sector, sizeof(sector)), -EROFS);
	rig_fini(&rig);
}

/* Sockets that somebody else has connected cannot be connected again. */
static void nbd_client_whose_server_has_gone_fails_and_does_not_wait(void **state)
{
	uint8_t sector[512];
	struct rig rig;

	(void)state;
	rig_init(&rig);
	for (unsigned i = 0; i < LINKS; i++)
		shutdown(rig.visits[i].ends[1], SHUT_RDWR);
	for (unsigned i = 0; i < 2 * LINKS; i++)
		assert_int_equal(block_read(rig.client, 0, sector, sizeof(sector)), -EIO);
	assert_int_equal(block_flush(rig.client), -EIO);
	rig_fini(&rig);
}

static void nbd_client_of_no_server_says_so(void **state)
{
	struct block_open_options options = { .path = "nbd://server" };
	struct err err = ERR_INIT;
	struct block_node *node;
	int ends[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(fd_write_all(ends[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 0);
	assert_true(nbd_open_sockets(&options, ends, 1, NULL, &node, &err) < 0);
	assert_non_null(strstr(err.text, "cannot open disk 'nbd://server'"));
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nbd_client_opened_has_the_disk_of_the_server),
		cmocka_unit_test(nbd_client_scattered_memory_is_read_and_written),
		cmocka_unit_test(nbd_client_used_by_threads_keeps_apart_what_they_do),
		cmocka_unit_test(nbd_client_of_a_read_only_disk_cannot_write),
		cmocka_unit_test(nbd_client_whose_server_has_gone_fails_and_does_not_wait),
		cmocka_unit_test(nbd_client_of_no_server_says_so),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
