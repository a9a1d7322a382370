/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The contract of nodes: requests and calls on a format that moves data about give what a copy in
 * memory says, whoever runs at the same time; and extents, joins and checks of the wrappers. */
#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/iov.h"
#include "paged.h"

#define DISK_BYTES ((uint64_t)PAGED_COUNT * PAGED_GRANULE)
#define SECTORS    (DISK_BYTES / 512)

struct rig {
	struct image image;
	struct block_node *node;
};

static void rig_init(struct rig *rig, unsigned engine)
{
	image_init(&rig->image, 0);
	rig->node = paged_open(image_open(&rig->image, image_engines[engine]));
}

static void rig_fini(struct rig *rig)
{
	block_close(rig->node);
	image_fini(&rig->image);
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* One of several that share the disk: granules go round, so all meet in the same table. */
struct player {
	struct block_node *node;
	unsigned index, count;
	uint32_t random;
	bool wrong; /* a thread of its own may not assert */
	uint8_t model[DISK_BYTES];
	uint8_t buffer[PAGED_GRANULE];
};

static void player_choose(struct player *player, uint64_t *ret_offset, uint64_t *ret_bytes)
{
	uint64_t granule = next_random(&player->random) % (PAGED_COUNT / player->count);
	uint64_t from = next_random(&player->random) % 8, count;

	count = 1 + next_random(&player->random) % (8 - from);
	*ret_offset = (granule * player->count + player->index) * PAGED_GRANULE + from * 512;
	*ret_bytes = count * 512;
}

typedef int transfer_fn(struct block_node *node, enum block_op op, uint64_t offset, void *buffer,
			uint64_t bytes);

static int by_call(struct block_node *node, enum block_op op, uint64_t offset, void *buffer,
		   uint64_t bytes)
{
	switch (op) {
	case BLOCK_READ:
		return block_read(node, offset, buffer, bytes);
	case BLOCK_WRITE:
		return block_write(node, offset, buffer, bytes);
	case BLOCK_DISCARD:
		return block_discard(node, offset, bytes);
	case BLOCK_WRITE_ZEROES:
		return block_write_zeroes(node, offset, bytes, 0);
	default:
		return block_flush(node);
	}
}

static int by_request(struct block_node *node, enum block_op op, uint64_t offset, void *buffer,
		      uint64_t bytes)
{
	if (op == BLOCK_WRITE_ZEROES && !block_can_write_zeroes(node))
		return block_write_zeroes(node, offset, bytes, 0);
	if (op == BLOCK_READ || op == BLOCK_WRITE)
		return request_io(node, op, offset, buffer, bytes);
	return request_range(node, op, offset, op == BLOCK_FLUSH ? 0 : bytes, 0);
}

static void player_step(struct player *player, transfer_fn *transfer)
{
	static const enum block_op ops[] = { BLOCK_READ,    BLOCK_READ,  BLOCK_WRITE,
					     BLOCK_WRITE,   BLOCK_WRITE, BLOCK_WRITE_ZEROES,
					     BLOCK_DISCARD, BLOCK_FLUSH };
	enum block_op op = ops[next_random(&player->random) % ARRAY_SIZE(ops)];
	uint64_t offset, bytes;

	player_choose(player, &offset, &bytes);
	if (op == BLOCK_DISCARD) {
		offset = round_down(offset, PAGED_GRANULE);
		bytes = PAGED_GRANULE;
	}
	if (op == BLOCK_WRITE) {
		memset(player->buffer, (int)next_random(&player->random) | 1, bytes);
		memcpy(player->model + offset, player->buffer, bytes);
	} else if (op == BLOCK_DISCARD || op == BLOCK_WRITE_ZEROES) {
		memset(player->model + offset, 0, bytes);
	}
	player->wrong |= transfer(player->node, op, offset, player->buffer, bytes) != 0;
	if (op == BLOCK_READ)
		player->wrong |= memcmp(player->buffer, player->model + offset, bytes) != 0;
}

static void *play_by_calls(void *ctx)
{
	struct player *player = ctx;

	for (unsigned i = 0; i < 1500 && !player->wrong; i++)
		player_step(player, by_call);
	return NULL;
}

enum { PLAYERS = 4, BURST = 8 };

/* Discards and writes what the loop's thread writes too, so that places are freed with requests for
 * them on the way. */
static void *discard_shared(void *ctx)
{
	struct player *player = ctx;

	for (unsigned i = 0; i < 4000; i++) {
		uint64_t offset = i % BURST * PLAYERS * PAGED_GRANULE;

		player->wrong |= block_write(player->node, offset, player->buffer, 512) != 0;
		player->wrong |= block_discard(player->node, offset, PAGED_GRANULE) != 0;
	}
	return NULL;
}

static void write_shared(struct block_node *node)
{
	static uint8_t data[PAGED_GRANULE];
	struct iovec iov = { data, sizeof(data) };
	struct waited waited[BURST];

	memset(data, 0xbd, sizeof(data));
	for (unsigned i = 0; i < BURST; i++) {
		waited[i] = (struct waited){ .request = { .op = BLOCK_WRITE,
							  .offset = i * PLAYERS * PAGED_GRANULE,
							  .bytes = PAGED_GRANULE,
							  .iov = &iov,
							  .iov_count = 1,
							  .done = waited_done } };
		block_queue(node, &waited[i].request);
	}
	block_drain(node);
	for (unsigned i = 0; i < BURST; i++)
		assert_int_equal(waited[i].rc, 0);
}

static void graph_calls_and_requests_at_once_keep_their_data(void **state)
{
	(void)state;
	for (unsigned engine = 0; engine < 2; engine++) {
		struct player *players = calloc(PLAYERS, sizeof(*players));
		pthread_t threads[PLAYERS];
		struct rig rig;

		rig_init(&rig, engine);
		for (unsigned i = 0; i < PLAYERS; i++) {
			players[i] = (struct player){
				.node = rig.node, .index = i, .count = PLAYERS, .random = i + 7
			};
			/* The first one has no place of its own; what it does must not be seen. */
			assert_int_equal(thread_start(&threads[i], "player",
						      i ? play_by_calls : discard_shared,
						      &players[i], NULL),
					 0);
		}
		for (unsigned i = 0; i < 1000; i++)
			write_shared(rig.node);
		for (unsigned i = 0; i < PLAYERS; i++) {
			pthread_join(threads[i], NULL);
			assert_false(players[i].wrong);
		}
		rig_fini(&rig);
		free(players);
	}
}

static void graph_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned engine = 0; engine < 4; engine++) {
		struct player *player = calloc(1, sizeof(*player));
		struct rig rig;

		rig_init(&rig, engine);
		*player = (struct player){ .node = rig.node, .count = 1, .random = engine };
		for (unsigned i = 0; i < 500; i++) {
			player_step(player, by_request);
			assert_false(player->wrong);
		}
		rig_fini(&rig);
		free(player);
	}
}

static void graph_request_across_granules_matches_model(void **state)
{
	uint8_t *data = malloc(DISK_BYTES), *back = malloc(DISK_BYTES);
	struct rig rig;

	(void)state;
	for (unsigned engine = 0; engine < 4; engine++) {
		rig_init(&rig, engine);
		for (uint64_t i = 0; i < DISK_BYTES; i++)
			data[i] = image_byte(i);
		/* From the end, so that no two granules lie in order. */
		for (uint64_t at = DISK_BYTES; at; at -= PAGED_GRANULE)
			assert_int_equal(request_io(rig.node, BLOCK_WRITE, at - PAGED_GRANULE,
						    data + at - PAGED_GRANULE, PAGED_GRANULE),
					 0);
		assert_int_equal(request_io(rig.node, BLOCK_READ, 512, back, DISK_BYTES - 512), 0);
		assert_memory_equal(back, data + 512, DISK_BYTES - 512);
		rig_fini(&rig);
	}
	free(back);
	free(data);
}

static void graph_unallocated_reads_zero_and_says_so(void **state)
{
	struct block_extent extent;
	uint8_t sector[512];
	struct rig rig;

	(void)state;
	rig_init(&rig, 0);
	memset(sector, 0xff, sizeof(sector));
	assert_int_equal(request_io(rig.node, BLOCK_READ, 0, sector, 512), 0);
	for (unsigned i = 0; i < sizeof(sector); i++)
		assert_int_equal(sector[i], 0);
	assert_int_equal(block_extent_joined(rig.node, 0, DISK_BYTES, &extent), 0);
	assert_int_equal(extent.bytes, DISK_BYTES);
	assert_int_equal(extent.flags, BLOCK_EXTENT_ZERO);
	rig_fini(&rig);
}

static void graph_extents_join_only_what_lies_together(void **state)
{
	uint8_t data[4 * PAGED_GRANULE] = { 1 };
	struct block_extent extent;
	struct rig rig;

	(void)state;
	rig_init(&rig, 0);
	assert_int_equal(block_write(rig.node, 0, data, 2 * PAGED_GRANULE), 0);
	assert_int_equal(block_write(rig.node, 3 * PAGED_GRANULE, data, PAGED_GRANULE), 0);
	assert_int_equal(block_write(rig.node, 2 * PAGED_GRANULE, data, PAGED_GRANULE), 0);
	assert_int_equal(block_extent_joined(rig.node, 512, DISK_BYTES - 512, &extent), 0);
	assert_int_equal(extent.at, 512);
	assert_int_equal(extent.bytes, 2 * PAGED_GRANULE - 512);
	assert_int_equal(block_extent_joined(rig.node, 2 * PAGED_GRANULE, PAGED_GRANULE, &extent),
			 0);
	assert_int_equal(extent.at, 3 * PAGED_GRANULE);
	rig_fini(&rig);
}

static void graph_file_grows_by_writes_and_reads_zero_behind(void **state)
{
	struct block_node *file;
	uint8_t bytes[100];
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	file = rig.node->next;
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(block_write(file, 5000, bytes, sizeof(bytes)), 0);
	assert_int_equal(block_size_bytes(file), 5120);
	assert_int_equal(block_read(file, 4950, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[49], 0);
	assert_int_equal(bytes[50], 0x5a);
	assert_int_equal(block_read(file, 1 << 20, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[99], 0);
	assert_int_equal(block_write_zeroes(file, 5050, 4000, 0), 0);
	assert_int_equal(block_read(file, 5000, bytes, sizeof(bytes)), 0);
	assert_int_equal(bytes[49], 0x5a);
	assert_int_equal(bytes[50], 0);
	assert_true(block_size_bytes(file) >= 9050);
	rig_fini(&rig);
}

static void graph_call_outside_the_disk_is_refused(void **state)
{
	uint8_t sector[512] = { 0 };
	struct rig rig;

	(void)state;
	rig_init(&rig, 0);
	assert_int_equal(block_read(rig.node, DISK_BYTES, sector, 512), -EINVAL);
	assert_int_equal(block_read(rig.node, 1, sector, 512), -EINVAL);
	assert_int_equal(block_write(rig.node, DISK_BYTES - 512, sector, 1024), -EINVAL);
	assert_int_equal(block_write(rig.node, UINT64_MAX - 511, sector, 512), -EINVAL);
	assert_int_equal(block_discard(rig.node, 0, UINT64_MAX - 511), -EINVAL);
	assert_int_equal(block_write_zeroes(rig.node, DISK_BYTES, 512, 0), -EINVAL);
	rig_fini(&rig);
}

static void graph_durable_write_ends_after_flush(void **state)
{
	uint8_t sector[512] = { 1 };
	struct iovec iov = { sector, sizeof(sector) };
	struct rig rig;

	(void)state;
	rig_init(&rig, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(request_run(rig.node, (struct block_request){ .op = BLOCK_WRITE,
									       .flags = BLOCK_FUA,
									       .bytes = 512,
									       .iov = &iov,
									       .iov_count = 1 }),
				 0);
	rig_fini(&rig);
}

/* A node that only wait() gives back, what another thread queued after the first wait() had found
 * nothing: as a ring that completes to the loop's thread alone. */
struct gate {
	struct block_node node;
	sem_t asked;
	struct block_request request;
	_Atomic(struct block_request *) held;
	atomic_bool done;
};

static void gate_queue(struct block_node *node, struct block_request *request)
{
	struct gate *gate = container_of(node, struct gate, node);

	sem_wait(&gate->asked);
	atomic_store(&gate->held, request);
}

static bool gate_wait(struct block_node *node)
{
	struct gate *gate = container_of(node, struct gate, node);
	struct block_request *held = atomic_exchange(&gate->held, NULL);

	sem_post(&gate->asked);
	if (held)
		block_complete(held, 0);
	return held;
}

static uint64_t gate_size(struct block_node *node)
{
	(void)node;
	return DISK_BYTES;
}

static void gate_close(struct block_node *node)
{
	block_node_fini(node);
}

static const struct block_ops gate_ops = {
	.name = "gate",
	.queue = gate_queue,
	.wait = gate_wait,
	.size = gate_size,
	.close = gate_close,
};

static void gate_done(struct block_request *request, int rc)
{
	(void)rc;
	atomic_store(&container_of(request, struct gate, request)->done, true);
}

static void *gate_submit(void *ctx)
{
	struct gate *gate = ctx;

	block_submit(&gate->node, &gate->request);
	return NULL;
}

static void graph_drain_waits_for_who_is_on_the_way_in(void **state)
{
	struct gate gate = { .request = { .op = BLOCK_FLUSH, .done = gate_done } };
	struct loop *loop;
	pthread_t thread;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	sem_init(&gate.asked, 0, 0);
	block_node_init(&gate.node, &gate_ops, loop);
	assert_int_equal(thread_start(&thread, "submit", gate_submit, &gate, NULL), 0);
	while (!atomic_load(&gate.node.in_flight))
		sched_yield();
	block_drain(&gate.node);
	pthread_join(thread, NULL);
	assert_true(gate.done);
	block_close(&gate.node);
	loop_free(loop);
}

/* Nothing was ever written, so that is known without the file. */
static void graph_request_that_ends_at_once_is_taken_or_told_behind_the_kick(void **state)
{
	uint8_t buffer[2][512];
	struct iovec iov[2] = { { buffer[0], 512 }, { buffer[1], 512 } };
	struct waited waited[2];
	struct rig rig;
	int rc = -1;

	(void)state;
	rig_init(&rig, 0);
	memset(buffer, 0xee, sizeof(buffer));
	assert_null(block_take_ended(rig.node, &rc));
	for (unsigned i = 0; i < 2; i++) {
		waited[i] = (struct waited){ .request = {
						     .op = BLOCK_READ,
						     .offset = 512 * i,
						     .bytes = 512,
						     .iov = &iov[i],
						     .iov_count = 1,
						     .done = waited_done,
					     } };
		block_queue(rig.node, &waited[i].request);
	}
	assert_ptr_equal(block_take_ended(rig.node, &rc), &waited[0].request);
	assert_int_equal(rc, 0);
	block_kick(rig.node);
	assert_int_equal(waited[1].calls, 0);
	block_drain(rig.node);
	assert_int_equal(waited[0].calls, 0);
	assert_int_equal(waited[1].calls, 1);
	assert_null(block_take_ended(rig.node, &rc));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(buffer[i][0], 0);
	rig_fini(&rig);
}

/* The first request stays as with a worker; others are found by wait(). */
static void gate_queue_second(struct block_node *node, struct block_request *request)
{
	struct gate *gate = container_of(node, struct gate, node);

	if (request != &gate->request)
		atomic_store(&gate->held, request);
}

static const struct block_ops second_gate_ops = {
	.name = "gate",
	.queue = gate_queue_second,
	.wait = gate_wait,
	.size = gate_size,
	.close = gate_close,
};

static void nothing_done(struct block_request *request, int rc)
{
	(void)request;
	(void)rc;
}

/* When the drain has found nothing to wait for: another request comes, and the first one goes. */
static void *gate_replace(void *ctx)
{
	struct gate *gate = ctx;
	struct block_request second = { .op = BLOCK_FLUSH, .done = nothing_done };
	struct block_request *taken;
	int rc;

	sem_wait(&gate->asked);
	block_queue(&gate->node, &second);
	block_complete_at_once(&gate->request, 0);
	taken = block_take_ended(&gate->node, &rc);
	while (atomic_load(&gate->node.in_flight))
		sched_yield();
	return taken;
}

static void graph_drain_looks_again_when_one_was_taken(void **state)
{
	struct gate gate = { .request = { .op = BLOCK_FLUSH, .done = gate_done } };
	struct loop *loop;
	pthread_t thread;
	void *taken;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	sem_init(&gate.asked, 0, 0);
	block_node_init(&gate.node, &second_gate_ops, loop);
	block_queue(&gate.node, &gate.request);
	assert_int_equal(thread_start(&thread, "replace", gate_replace, &gate, NULL), 0);
	block_drain(&gate.node);
	pthread_join(thread, &taken);
	/* The drain itself may have been faster. */
	assert_true(taken ? taken == &gate.request : gate.done);
	block_close(&gate.node);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(graph_calls_and_requests_at_once_keep_their_data),
		cmocka_unit_test(graph_random_requests_match_model),
		cmocka_unit_test(graph_request_across_granules_matches_model),
		cmocka_unit_test(graph_unallocated_reads_zero_and_says_so),
		cmocka_unit_test(graph_extents_join_only_what_lies_together),
		cmocka_unit_test(graph_file_grows_by_writes_and_reads_zero_behind),
		cmocka_unit_test(graph_call_outside_the_disk_is_refused),
		cmocka_unit_test(graph_durable_write_ends_after_flush),
		cmocka_unit_test(graph_request_that_ends_at_once_is_taken_or_told_behind_the_kick),
		cmocka_unit_test(graph_drain_waits_for_who_is_on_the_way_in),
		cmocka_unit_test(graph_drain_looks_again_when_one_was_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
