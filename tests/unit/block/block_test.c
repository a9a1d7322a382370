/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Raw files and snapshots, each with io_uring and with threads, against a copy of the disk in
 * memory. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "block/file/raw_priv.h"

#define DISK_BYTES (64 * KIB)

/* Each engine, and the first two once more as if direct I/O asked for more than a sector. */
#define VARIANTS (ARRAY_SIZE(image_engines) + 2)

static struct block_node *open_variant(struct image *image, unsigned variant)
{
	struct block_node *node;

	if (variant < ARRAY_SIZE(image_engines))
		return image_open(image, image_engines[variant]);
	node = image_open(image, image_engines[variant - ARRAY_SIZE(image_engines)]);
	container_of(node, struct raw, node)->align = 4096;
	return node;
}

static void expect_bytes(struct block_node *node, uint64_t offset, const uint8_t *expected,
			 uint64_t bytes)
{
	uint8_t *buffer = malloc(bytes + 4096);

	/* One byte off, so that direct I/O cannot use the memory as it is. */
	assert_int_equal(request_io(node, BLOCK_READ, offset, buffer + 1, bytes), 0);
	assert_memory_equal(buffer + 1, expected, bytes);
	free(buffer);
}

/* A pseudo-random number that is the same in every run. */
static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void random_step(struct block_node *node, uint8_t *model, uint32_t *random)
{
	uint64_t from = next_random(random) % (DISK_BYTES / 512);
	uint64_t count = 1 + next_random(random) % (DISK_BYTES / 512 - from);
	uint64_t offset = from * 512, bytes = count * 512;
	_Alignas(4096) static uint8_t buffer[DISK_BYTES + 4096];
	uint8_t *data = buffer + (next_random(random) % 2 ? 4 : 0);

	switch (next_random(random) % 5) {
	case 0:
		expect_bytes(node, offset, model + offset, bytes);
		break;
	case 1:
		memset(data, (int)next_random(random), bytes);
		memcpy(model + offset, data, bytes);
		assert_int_equal(request_io(node, BLOCK_WRITE, offset, data, bytes), 0);
		break;
	case 2:
		if (!block_can_write_zeroes(node))
			break;
		memset(model + offset, 0, bytes);
		assert_int_equal(request_range(node, BLOCK_WRITE_ZEROES, offset, bytes,
					       next_random(random) % 2 ? BLOCK_MAY_UNMAP : 0),
				 0);
		break;
	case 3:
		assert_int_equal(request_range(node, BLOCK_DISCARD, offset, bytes, 0), 0);
		assert_int_equal(request_io(node, BLOCK_READ, offset, model + offset, bytes), 0);
		break;
	default:
		assert_int_equal(request_range(node, BLOCK_FLUSH, 0, 0, 0), 0);
		break;
	}
}

static void block_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VARIANTS; i++) {
		uint8_t *model = malloc(DISK_BYTES);
		uint32_t random = 1 + i;
		struct block_node *node;
		struct image image;

		image_init(&image, DISK_BYTES);
		node = open_variant(&image, i);
		assert_int_equal(block_size_bytes(node), DISK_BYTES);
		for (uint64_t at = 0; at < DISK_BYTES; at++)
			model[at] = image_byte(at);
		expect_bytes(node, 0, model, DISK_BYTES);
		for (unsigned step = 0; step < 200; step++)
			random_step(node, model, &random);
		expect_bytes(node, 0, model, DISK_BYTES);
		block_close(node);
		image_fini(&image);
		free(model);
	}
}

static void snapshot_written_leaves_file_alone(void **state)
{
	struct block_node *node;
	struct image image;
	uint8_t sector[512];
	void *content;
	size_t count;

	(void)state;
	image_init(&image, DISK_BYTES);
	node = image_open(&image, (struct block_open_options){ .snapshot = true });
	memset(sector, 0xaa, sizeof(sector));
	assert_int_equal(request_io(node, BLOCK_WRITE, 1024, sector, sizeof(sector)), 0);
	block_close(node);
	assert_int_equal(fd_read_file(image.path, DISK_BYTES, &content, &count, NULL), 0);
	assert_int_equal(count, DISK_BYTES);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(((uint8_t *)content)[i], image_byte(i));
	free(content);
	image_fini(&image);
}

static void raw_odd_size_reads_zero_tail_and_grows_on_write(void **state)
{
	uint8_t sector[512], expected[512] = { 0 };
	struct block_node *node;
	struct image image;
	struct stat st;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		image_init(&image, 1000);
		node = image_open(&image, image_engines[i]);
		assert_int_equal(block_size_bytes(node), 1024);
		for (unsigned at = 0; at < 488; at++)
			expected[at] = image_byte(512 + at);
		memset(sector, 0xff, sizeof(sector));
		assert_int_equal(request_io(node, BLOCK_READ, 512, sector, 512), 0);
		assert_memory_equal(sector, expected, 512);
		assert_int_equal(request_io(node, BLOCK_WRITE, 512, sector, 512), 0);
		assert_int_equal(stat(image.path, &st), 0);
		assert_int_equal(st.st_size, 1024);
		block_close(node);
		image_fini(&image);
	}
}

static void raw_file_truncated_behind_us_reads_zeroes(void **state)
{
	uint8_t buffer[4096], zeroes[2048] = { 0 };
	struct block_node *node;
	struct image image;

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		image_init(&image, 8192);
		node = image_open(&image, image_engines[i]);
		assert_int_equal(truncate(image.path, 2048), 0);
		assert_int_equal(request_io(node, BLOCK_READ, 0, buffer, sizeof(buffer)), 0);
		assert_int_equal(buffer[2047], image_byte(2047));
		assert_memory_equal(buffer + 2048, zeroes, sizeof(zeroes));
		block_close(node);
		image_fini(&image);
	}
}

static const struct bad_request {
	enum block_op op;
	uint64_t offset, bytes, iov_bytes;
	int rc;
} bad_requests[] = {
	{ BLOCK_READ, DISK_BYTES, 512, 512, -EINVAL },
	{ BLOCK_READ, DISK_BYTES - 512, 1024, 1024, -EINVAL },
	{ BLOCK_READ, UINT64_MAX - 511, 512, 512, -EINVAL },
	{ BLOCK_READ, 0, UINT64_MAX - 511, 512, -EINVAL },
	{ BLOCK_READ, 1, 512, 512, -EINVAL },
	{ BLOCK_READ, 0, 511, 511, -EINVAL },
	{ BLOCK_READ, 0, 1024, 512, -EINVAL },
	{ BLOCK_WRITE, 0, 512, 1024, -EINVAL },
	{ BLOCK_DISCARD, 512, DISK_BYTES, 0, -EINVAL },
	{ BLOCK_WRITE_ZEROES, 0, DISK_BYTES + 512, 0, -EINVAL },
	{ BLOCK_READ, DISK_BYTES, 0, 0, 0 },
};

static void block_bad_request_completes_with_error(void **state)
{
	static uint8_t buffer[2048];

	(void)state;
	for (unsigned engine = 0; engine < ARRAY_SIZE(image_engines); engine++) {
		struct block_node *node;
		struct image image;

		image_init(&image, DISK_BYTES);
		node = image_open(&image, image_engines[engine]);
		for (unsigned i = 0; i < ARRAY_SIZE(bad_requests); i++) {
			const struct bad_request *bad = &bad_requests[i];
			struct iovec iov = { buffer, bad->iov_bytes };
			struct block_request request = {
				.op = bad->op,
				.offset = bad->offset,
				.bytes = bad->bytes,
				.iov = &iov,
				.iov_count = 1,
			};

			assert_int_equal(request_run(node, request), bad->rc);
		}
		block_close(node);
		image_fini(&image);
	}
}

static void raw_read_only_refuses_changes(void **state)
{
	struct block_node *node;
	struct image image;
	uint8_t sector[512] = { 0 };

	(void)state;
	image_init(&image, DISK_BYTES);
	assert_int_equal(chmod(image.path, 0444), 0);
	node = image_open(&image, (struct block_open_options){ .read_only = true });
	assert_false(block_can_write(node));
	assert_int_equal(request_io(node, BLOCK_WRITE, 0, sector, 512), -EROFS);
	assert_int_equal(request_range(node, BLOCK_DISCARD, 0, 512, 0), -EROFS);
	assert_int_equal(request_range(node, BLOCK_FLUSH, 0, 0, 0), 0);
	assert_int_equal(request_io(node, BLOCK_READ, 0, sector, 512), 0);
	block_close(node);
	image_fini(&image);
}

static const struct sharing {
	struct block_open_options first, second;
	bool allowed;
} sharings[] = {
	{ { 0 }, { 0 }, false },
	{ { 0 }, { .read_only = true }, false },
	{ { .read_only = true }, { 0 }, false },
	{ { .snapshot = true }, { 0 }, false },
	{ { .read_only = true }, { .read_only = true }, true },
	{ { .snapshot = true }, { .snapshot = true }, true },
	{ { .snapshot = true }, { .read_only = true }, true },
};

static void raw_opened_twice_admits_only_readers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sharings); i++) {
		struct block_open_options second = sharings[i].second;
		struct block_node *node, *other = NULL;
		struct err err = ERR_INIT;
		struct image image;
		int rc;

		image_init(&image, DISK_BYTES);
		node = image_open(&image, sharings[i].first);
		second.path = image.path;
		rc = block_open(&second, image.loop, &other, &err);
		assert_int_equal(rc, sharings[i].allowed ? 0 : -EAGAIN);
		if (rc) {
			assert_non_null(strstr(err.text, image.path));
			assert_non_null(strstr(err.text, "another machine uses it"));
		}
		block_close(other);
		block_close(node);
		/* The lock ends with the node. */
		block_close(image_open(&image, (struct block_open_options){ 0 }));
		image_fini(&image);
	}
}

static const struct bad_path {
	const char *path;
	int rc;
} bad_paths[] = {
	{ "/nonexistent/disk.img", -ENOENT },
	{ "/tmp", -EISDIR },
	{ "/dev/null", -EINVAL },
};

static void block_open_bad_path_names_it(void **state)
{
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(bad_paths); i++) {
		struct block_open_options options = { .path = bad_paths[i].path };
		struct block_node *node = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(block_open(&options, loop, &node, &err), bad_paths[i].rc);
		assert_non_null(strstr(err.text, bad_paths[i].path));
		assert_null(node);
	}
	loop_free(loop);
}

/* The kernel takes a part of the write and then refuses the rest: an error, and what was not meant stays. */
static void raw_write_that_is_cut_short_fails(void **state)
{
	_Alignas(4096) static uint8_t old[DISK_BYTES], new[DISK_BYTES];
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	const struct rlimit short_of = { 40 * KIB, RLIM_INFINITY };

	(void)state;
	memset(old, 1, sizeof(old));
	memset(new, 2, sizeof(new));
	for (unsigned engine = 0; engine < ARRAY_SIZE(image_engines); engine++) {
		struct block_node *node;
		struct image image;

		if (image_engines[engine].snapshot)
			continue; /* keeps its writes elsewhere */
		image_init(&image, DISK_BYTES);
		node = image_open(&image, image_engines[engine]);
		assert_int_equal(request_io(node, BLOCK_WRITE, 0, old, DISK_BYTES), 0);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &short_of), 0);
		assert_int_equal(request_io(node, BLOCK_WRITE, 24 * KIB, new, 32 * KIB), -EFBIG);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
		expect_bytes(node, 0, old, 24 * KIB);
		expect_bytes(node, 40 * KIB, old, 24 * KIB);
		assert_int_equal(request_io(node, BLOCK_WRITE, 24 * KIB, new, 32 * KIB), 0);
		expect_bytes(node, 24 * KIB, new, 32 * KIB);
		block_close(node);
		image_fini(&image);
	}
}

/* More at once than ring and workers have places for. */
static void block_many_in_flight_all_complete_once(void **state)
{
	enum { COUNT = 1000 };

	(void)state;
	for (unsigned engine = 0; engine < VARIANTS; engine++) {
		struct waited *waited = calloc(COUNT, sizeof(*waited));
		struct iovec *iov = calloc(COUNT, sizeof(*iov));
		uint8_t *buffers = aligned_alloc(4096, COUNT * 512);
		struct block_node *node;
		struct image image;

		image_init(&image, COUNT * 512);
		node = open_variant(&image, engine);
		for (unsigned i = 0; i < COUNT; i++) {
			iov[i] = (struct iovec){ buffers + i * 512, 512 };
			waited[i].request = (struct block_request){
				.op = i % 3 ? BLOCK_READ : BLOCK_WRITE,
				.offset = i * 512,
				.bytes = 512,
				.iov = &iov[i],
				.iov_count = 1,
				.done = waited_done,
			};
			memset(iov[i].iov_base, (int)i, 512);
			block_queue(node, &waited[i].request);
		}
		block_kick(node);
		block_drain(node);
		for (unsigned i = 0; i < COUNT; i++) {
			assert_int_equal(waited[i].calls, 1);
			assert_int_equal(waited[i].rc, 0);
			assert_int_equal(buffers[i * 512],
					 i % 3 ? image_byte(i * 512) : (uint8_t)i);
		}
		/* No write took a neighbour's bytes back. */
		assert_int_equal(request_io(node, BLOCK_READ, 0, buffers, COUNT * 512), 0);
		for (unsigned i = 0; i < COUNT * 512; i++)
			assert_int_equal(buffers[i],
					 i / 512 % 3 ? image_byte(i) : (uint8_t)(i / 512));
		block_close(node);
		image_fini(&image);
		free(buffers);
		free(iov);
		free(waited);
	}
}

static void stop_loop(struct block_request *request, int rc)
{
	waited_done(request, rc);
	loop_stop(request->node->loop);
}

static void block_completion_comes_on_the_loop(void **state)
{
	(void)state;
	for (unsigned engine = 0; engine < ARRAY_SIZE(image_engines); engine++) {
		uint8_t sector[512];
		struct iovec iov = { sector, sizeof(sector) };
		struct waited waited = { .request = { .op = BLOCK_READ,
						      .bytes = 512,
						      .iov = &iov,
						      .iov_count = 1,
						      .done = stop_loop } };
		struct block_node *node;
		struct image image;

		image_init(&image, DISK_BYTES);
		node = image_open(&image, image_engines[engine]);
		block_submit(node, &waited.request);
		assert_int_equal(loop_run(image.loop), 0);
		assert_int_equal(waited.calls, 1);
		assert_int_equal(waited.rc, 0);
		assert_int_equal(sector[1], image_byte(1));
		block_close(node);
		image_fini(&image);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(block_random_requests_match_model),
		cmocka_unit_test(snapshot_written_leaves_file_alone),
		cmocka_unit_test(raw_odd_size_reads_zero_tail_and_grows_on_write),
		cmocka_unit_test(raw_file_truncated_behind_us_reads_zeroes),
		cmocka_unit_test(block_bad_request_completes_with_error),
		cmocka_unit_test(raw_read_only_refuses_changes),
		cmocka_unit_test(raw_opened_twice_admits_only_readers),
		cmocka_unit_test(block_open_bad_path_names_it),
		cmocka_unit_test(raw_write_that_is_cut_short_fails),
		cmocka_unit_test(block_many_in_flight_all_complete_once),
		cmocka_unit_test(block_completion_comes_on_the_loop),
	};

	/* Of a file's size limit: the call is to fail, not the process. */
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
