/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Both ring layouts under a well-behaved driver. Spec: Virtio 1.2 2.7, 2.8 */
#include <errno.h>

#include "rig.h"

static void pop_chain_gives_its_pieces(void **state)
{
	static const struct piece pieces[] = {
		{ BUFFERS, 3, false },
		{ BUFFERS + 0x100, 5, false },
		{ BUFFERS + 0x200, 8, true },
		{ BUFFERS + 0x300, 2, true },
	};

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct virtqueue_chain *chain;
		struct used used;
		struct rig rig;
		char text[9] = "";

		rig_init(&rig);
		rig_start(&rig, features, 8);
		assert_null(virtqueue_pop(rig.queue));
		memcpy(rig.ram + BUFFERS, "abc", 3);
		memcpy(rig.ram + BUFFERS + 0x100, "defgh", 5);
		offer(&rig, 3, pieces, ARRAY_SIZE(pieces));
		assert_true(virtqueue_has_available(rig.queue));
		chain = virtqueue_pop(rig.queue);
		assert_non_null(chain);
		assert_false(virtqueue_has_available(rig.queue));
		assert_int_equal(chain->readable.bytes, 8);
		assert_int_equal(chain->readable.count, 2);
		assert_int_equal(chain->writable.bytes, 10);
		assert_int_equal(chain->writable.count, 2);
		assert_int_equal(span_read(&chain->readable, text, 100), 8);
		assert_string_equal(text, "abcdefgh");
		assert_int_equal(span_write(&chain->writable, "0123456789", 9), 9);
		virtqueue_push(chain, 9);
		assert_false(used_take(&rig, 4, &used));
		virtqueue_publish(rig.queue);
		assert_true(used_take(&rig, 4, &used));
		assert_int_equal(used.id, 3);
		assert_int_equal(used.bytes, 9);
		assert_memory_equal(rig.ram + BUFFERS + 0x200, "01234567", 8);
		assert_memory_equal(rig.ram + BUFFERS + 0x300, "8\0", 2);
		assert_int_equal(rig.interrupts, 1);
		assert_false(broken(&rig));
		rig_fini(&rig);
	}
}

/* Three passes through the 16-bit indices; every wrap position of the packed ring. */
static void ring_wraps_without_loss(void **state)
{
	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features, 8);
		for (unsigned i = 0; i < 200000; i++) {
			struct piece pieces[3] = { { BUFFERS + i % 64, 1, false },
						   { BUFFERS, 4, true },
						   { BUFFERS, 2, true } };
			uint16_t count = (uint16_t)(1 + i % 3), id = (uint16_t)(i % 5);
			struct virtqueue_chain *chain;
			struct used used;

			offer(&rig, id, pieces, count);
			chain = virtqueue_pop(rig.queue);
			assert_non_null(chain);
			assert_ptr_equal(chain->readable.iov->iov_base, rig.ram + BUFFERS + i % 64);
			virtqueue_push(chain, count > 1 ? 4 : 0);
			virtqueue_publish(rig.queue);
			assert_true(used_take(&rig, count, &used));
			assert_int_equal(used.id, id);
			assert_int_equal(used.bytes, count > 1 ? 4 : 0);
		}
		assert_false(broken(&rig));
		rig_fini(&rig);
	}
}

/* A packed queue's size need not be a power of two. Spec: Virtio 1.2 2.8.10.1 */
static void packed_ring_of_odd_size_wraps(void **state)
{
	const struct piece pieces[2] = { { BUFFERS, 1, false }, { BUFFERS, 1, true } };
	struct used used;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, BIT(VIRTIO_F_RING_PACKED), 7);
	assert_int_equal(rig.queue->size, 7);
	for (unsigned i = 0; i < 100; i++) {
		struct virtqueue_chain *chain;

		offer(&rig, (uint16_t)i, pieces, 2);
		chain = virtqueue_pop(rig.queue);
		assert_non_null(chain);
		virtqueue_push(chain, 1);
		virtqueue_publish(rig.queue);
		assert_true(used_take(&rig, 2, &used));
		assert_int_equal(used.id, i);
	}
	rig_fini(&rig);
}

static void chains_used_out_of_order_keep_their_ids(void **state)
{
	static const uint16_t order[] = { 2, 0, 3, 1 };
	const struct piece piece = { BUFFERS, 16, true };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct virtqueue_chain *chains[4];
		struct used used;
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features, 4);
		for (uint16_t i = 0; i < 4; i++)
			offer(&rig, i, &piece, 1);
		for (unsigned i = 0; i < 4; i++)
			assert_non_null(chains[i] = virtqueue_pop(rig.queue));
		for (unsigned i = 0; i < 4; i++)
			virtqueue_push(chains[order[i]], order[i] + 1u);
		assert_false(used_take(&rig, 1, &used));
		virtqueue_publish(rig.queue);
		for (unsigned i = 0; i < 4; i++) {
			assert_true(used_take(&rig, 1, &used));
			assert_int_equal(used.id, order[i]);
			assert_int_equal(used.bytes, order[i] + 1);
		}
		assert_false(used_take(&rig, 1, &used));
		assert_int_equal(rig.interrupts, 1);
		rig_fini(&rig);
	}
}

static void unpop_gives_the_same_chains_again(void **state)
{
	const struct piece pieces[2] = { { BUFFERS, 16, false }, { BUFFERS, 16, true } };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features, 4);
		for (uint16_t i = 0; i < 40; i++) {
			struct virtqueue_chain *first, *second;
			struct used used;

			offer(&rig, 0, pieces, 2);
			offer(&rig, 2, pieces, 2);
			first = virtqueue_pop(rig.queue);
			second = virtqueue_pop(rig.queue);
			virtqueue_unpop(second);
			virtqueue_unpop(first);
			for (uint16_t id = 0; id <= 2; id += 2) {
				first = virtqueue_pop(rig.queue);
				assert_non_null(first);
				assert_int_equal(first->id, id);
				virtqueue_push(first, 0);
			}
			virtqueue_publish(rig.queue);
			assert_true(used_take(&rig, 2, &used));
			assert_true(used_take(&rig, 2, &used));
			assert_int_equal(used.id, 2);
			if (i % 2) { /* move on by an odd number */
				offer(&rig, 1, pieces + 1, 1);
				virtqueue_push(virtqueue_pop(rig.queue), 0);
				virtqueue_publish(rig.queue);
				assert_true(used_take(&rig, 1, &used));
			}
		}
		assert_int_equal(rig.queue->in_flight, 0);
		rig_fini(&rig);
	}
}

static void table_fill(struct rig *rig, unsigned count, unsigned readable)
{
	for (unsigned i = 0; i < count; i++)
		table_put(rig, TABLE, i, BUFFERS + 16 * i, 16,
			  (uint16_t)((i + 1 < count ? VRING_DESC_F_NEXT : 0) |
				     (i < readable ? 0 : VRING_DESC_F_WRITE)),
			  (uint16_t)(i + 1));
}

/* Spec: Virtio 1.2 2.7.5.3, 2.8.7. The write flag of the descriptor itself means nothing. */
static void indirect_table_is_one_chain(void **state)
{
	static const unsigned counts[] = { 1, 2, 100, VIRTQUEUE_CHAIN_MAX };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
			struct virtqueue_chain *chain;
			struct used used;
			struct rig rig;

			rig_init(&rig);
			rig_start(&rig, features | BIT(VIRTIO_RING_F_INDIRECT_DESC), 8);
			table_fill(&rig, counts[i], counts[i] / 2);
			offer_table(&rig, 1, TABLE, 16 * counts[i], i % 2 ? VRING_DESC_F_WRITE : 0);
			chain = virtqueue_pop(rig.queue);
			assert_non_null(chain);
			assert_int_equal(chain->readable.count, counts[i] / 2);
			assert_int_equal(chain->writable.count, counts[i] - counts[i] / 2);
			virtqueue_push(chain, 16);
			virtqueue_publish(rig.queue);
			assert_true(used_take(&rig, 1, &used));
			assert_int_equal(used.id, 1);
			assert_null(virtqueue_pop(rig.queue));
			assert_false(broken(&rig));
			rig_fini(&rig);
		}
	}
}

/* Spec: Virtio 1.2 2.7.5.3.2: the last of a chain may be indirect. */
static void split_chain_may_end_indirect(void **state)
{
	struct virtqueue_chain *chain;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, BIT(VIRTIO_RING_F_INDIRECT_DESC), 8);
	table_fill(&rig, 3, 1);
	table_put(&rig, DESC_AREA, 0, BUFFERS, 8, VRING_DESC_F_NEXT, 5);
	table_put(&rig, DESC_AREA, 5, TABLE, 48, VRING_DESC_F_INDIRECT, 0);
	split_offer(&rig, 0);
	chain = virtqueue_pop(rig.queue);
	assert_non_null(chain);
	assert_int_equal(chain->readable.count, 2);
	assert_int_equal(chain->writable.count, 2);
	virtqueue_push(chain, 0);
	virtqueue_publish(rig.queue);
	rig_fini(&rig);
}

/* Uses `count` chains in one batch; whether that interrupted. */
static bool batch_interrupts(struct rig *rig, unsigned count)
{
	const struct piece piece = { BUFFERS, 16, true };
	unsigned before = rig->interrupts;
	struct used used;

	for (unsigned i = 0; i < count; i++) {
		offer(rig, (uint16_t)i, &piece, 1);
		virtqueue_push(virtqueue_pop(rig->queue), 0);
	}
	virtqueue_publish(rig->queue);
	for (unsigned i = 0; i < count; i++)
		assert_true(used_take(rig, 1, &used));
	return rig->interrupts > before;
}

/* Spec: Virtio 1.2 2.7.7, 2.8.10 */
static void interrupts_follow_the_drivers_flags(void **state)
{
	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct rig rig;
		uint8_t *flags;

		rig_init(&rig);
		rig_start(&rig, features, 8);
		flags = rig.ram + DRIVER_AREA + (rig.packed ? 2 : 0);
		assert_true(batch_interrupts(&rig, 1));
		le16_put(flags, 1);
		assert_false(batch_interrupts(&rig, 3));
		le16_put(flags, 0);
		assert_true(batch_interrupts(&rig, 3));
		virtqueue_publish(rig.queue);
		assert_int_equal(rig.interrupts, 2);
		rig_fini(&rig);
	}
}

/* Where the driver wants its next interrupt: `ahead` entries behind what it has seen. */
static void used_event_set(struct rig *rig, unsigned ahead)
{
	unsigned slot = rig->used + ahead;
	bool wrap = rig->used_wrap;

	if (!rig->packed) {
		le16_put(rig->ram + DRIVER_AREA + 4 + 2 * rig->size, (uint16_t)slot);
		return;
	}
	if (slot >= rig->size) {
		slot -= rig->size;
		wrap = !wrap;
	}
	le16_put(rig->ram + DRIVER_AREA, (uint16_t)(slot | wrap << 15));
	le16_put(rig->ram + DRIVER_AREA + 2, 2);
}

/*
 * Exactly the batch that passes the event interrupts, wherever the ring is. Spec: Virtio 1.2
 * 2.7.7.2, 2.8.10.2
 */
static void interrupts_follow_the_used_event(void **state)
{
	static const struct {
		unsigned ahead, batch;
		bool interrupts;
	} rows[] = {
		{ 0, 1, true }, { 0, 3, true },  { 1, 1, false }, { 1, 2, true },
		{ 2, 3, true }, { 3, 3, false }, { 4, 5, true },  { 5, 5, false },
	};

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
			for (unsigned position = 0; position < 20; position++) {
				struct rig rig;

				rig_init(&rig);
				rig_start(&rig, features | BIT(VIRTIO_RING_F_EVENT_IDX), 8);
				for (unsigned p = 0; p < position; p++)
					batch_interrupts(&rig, 1);
				used_event_set(&rig, rows[i].ahead);
				assert_int_equal(batch_interrupts(&rig, rows[i].batch),
						 rows[i].interrupts);
				rig_fini(&rig);
			}
		}
	}
}

/*
 * Whether a driver that goes by the rules kicks for the chain it just offered (the only new one).
 */
static bool driver_kicks(const struct rig *rig, bool event_idx)
{
	const uint8_t *area = rig->ram + DEVICE_AREA;
	uint16_t event;

	if (!rig->packed && !event_idx)
		return !(le16_get(area) & VRING_USED_F_NO_NOTIFY);
	if (!rig->packed)
		return vring_need_event(le16_get(area + 4 + 8 * rig->size), rig->avail,
					(uint16_t)(rig->avail - 1));
	event = le16_get(area);
	switch (le16_get(area + 2)) {
	case 0:
		return true;
	case 2:
		if (event >> 15 == rig->avail_wrap)
			event &= 0x7fff;
		else
			event = (uint16_t)((event & 0x7fff) - rig->size);
		return vring_need_event(event, rig->avail, (uint16_t)(rig->avail - 1));
	default:
		return false;
	}
}

static void kicks_come_only_when_asked(void **state)
{
	static const uint64_t event_features[] = { 0, BIT(VIRTIO_RING_F_EVENT_IDX) };
	const struct piece piece = { BUFFERS, 16, true };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		for (unsigned e = 0; e < ARRAY_SIZE(event_features); e++) {
			struct rig rig;

			rig_init(&rig);
			rig_start(&rig, features | event_features[e], 8);
			for (unsigned i = 0; i < 50; i++) {
				struct used used;

				offer(&rig, 0, &piece, 1);
				assert_true(driver_kicks(&rig, e));
				virtqueue_kicks_disable(rig.queue);
				offer(&rig, 1, &piece, 1);
				assert_false(driver_kicks(&rig, e));
				assert_true(virtqueue_kicks_enable(rig.queue));
				for (unsigned c = 0; c < 2; c++)
					virtqueue_push(virtqueue_pop(rig.queue), 0);
				virtqueue_publish(rig.queue);
				assert_false(virtqueue_kicks_enable(rig.queue));
				assert_true(used_take(&rig, 1, &used) && used_take(&rig, 1, &used));
			}
			rig_fini(&rig);
		}
	}
}

static void push_logs_what_was_written(void **state)
{
	const struct piece pieces[] = { { BUFFERS, 0x1000, false },
					{ BUFFERS + 0x3000, 0x1000, true },
					{ BUFFERS + 0x8000, 0x3000, true } };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		uint64_t bitmap[RAM_BYTES / PAGE_SIZE / 64] = { 0 };
		struct rig rig;
		uint64_t rings;

		rig_init(&rig);
		rig_start(&rig, features, 8);
		memory_dirty_log_set(rig.memory, true);
		offer(&rig, 0, pieces, ARRAY_SIZE(pieces));
		virtqueue_push(virtqueue_pop(rig.queue), 0x2001);
		virtqueue_publish(rig.queue);
		memory_dirty_log_take(rig.memory, 0, bitmap);
		rings = BIT((rig.packed ? DESC_AREA : DEVICE_AREA) / PAGE_SIZE);
		assert_true(bitmap[0] == rings);
		assert_true(bitmap[1] == (BIT(3) | BIT(8) | BIT(9)));
		rig_fini(&rig);
	}
}

static void push_never_tells_more_than_was_offered(void **state)
{
	const struct piece pieces[] = { { BUFFERS, 16, false }, { BUFFERS, 16, true } };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct used used;
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features, 8);
		offer(&rig, 0, pieces, 2);
		virtqueue_push(virtqueue_pop(rig.queue), UINT64_MAX);
		virtqueue_publish(rig.queue);
		assert_true(used_take(&rig, 2, &used));
		assert_int_equal(used.bytes, 16);
		rig_fini(&rig);
	}
}

static void notify_endless_driver_takes_turns(void **state)
{
	const struct piece piece = { BUFFERS, 16, true };
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	rig.probe->greedy = rig.probe->endless = true;
	offer(&rig, 0, &piece, 1);
	virtio_queue_notify(rig.virtio, 0);
	assert_int_equal(le16_get(rig.ram + DEVICE_AREA + 2), 8);
	assert_int_equal(rig.again, 1);
	rig.probe->endless = false;
	virtio_notify_all(rig.virtio);
	assert_int_equal(le16_get(rig.ram + DEVICE_AREA + 2), 9);
	assert_int_equal(rig.again, 1);
	assert_false(broken(&rig));
	rig_fini(&rig);
}

static void span_consumes_from_both_ends(void **state)
{
	char first[] = "abc", second[] = "defg";
	struct iovec iov[] = { { first, 3 }, { second, 4 } };
	struct span span = { iov, 2, 7 };
	char text[8] = "";

	(void)state;
	assert_ptr_equal(span_take_last(&span), second + 3);
	assert_int_equal(span_skip(&span, 2), 2);
	assert_int_equal(span_read(&span, text, 2), 2);
	assert_string_equal(text, "cd");
	assert_int_equal(span.bytes, 2);
	assert_int_equal(span_write(&span, "XYZ", 3), 2);
	assert_string_equal(second, "dXYg");
	assert_null(span_take_last(&span));
	assert_int_equal(span_read(&span, text, 1), 0);
	assert_int_equal(span.count, 0);
}

static void span_truncate_cuts_whole_pieces(void **state)
{
	char bytes[12];
	struct iovec iov[] = { { bytes, 4 }, { bytes + 4, 4 }, { bytes + 8, 4 } };
	struct span span = { iov, 3, 12 };

	(void)state;
	span_truncate(&span, 20);
	assert_int_equal(span.bytes, 12);
	span_truncate(&span, 4);
	assert_int_equal(span.bytes, 4);
	assert_int_equal(span.count, 1);
	span_truncate(&span, 0);
	assert_int_equal(span.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pop_chain_gives_its_pieces),
		cmocka_unit_test(ring_wraps_without_loss),
		cmocka_unit_test(packed_ring_of_odd_size_wraps),
		cmocka_unit_test(chains_used_out_of_order_keep_their_ids),
		cmocka_unit_test(unpop_gives_the_same_chains_again),
		cmocka_unit_test(indirect_table_is_one_chain),
		cmocka_unit_test(split_chain_may_end_indirect),
		cmocka_unit_test(interrupts_follow_the_drivers_flags),
		cmocka_unit_test(interrupts_follow_the_used_event),
		cmocka_unit_test(kicks_come_only_when_asked),
		cmocka_unit_test(push_logs_what_was_written),
		cmocka_unit_test(push_never_tells_more_than_was_offered),
		cmocka_unit_test(notify_endless_driver_takes_turns),
		cmocka_unit_test(span_consumes_from_both_ends),
		cmocka_unit_test(span_truncate_cuts_whole_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
