/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a driver must not put into its rings, and what it gets for it: a device that needs a reset.
 */
#include <errno.h>

#include "rig.h"

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT

struct item {
	uint64_t gpa;
	uint32_t bytes;
	uint16_t flags, next;
};

/* Descriptors from slot 0 on; those of `table` at TABLE. `size` 8. */
struct hostile_row {
	const char *name;
	struct item ring[9], table[5];
};

static const struct hostile_row both_rows[] = {
	{ "empty descriptor", { { BUFFERS, 0 } } },
	{ "empty last descriptor", { { BUFFERS, 4, NEXT, 1 }, { BUFFERS, 0, WRITE } } },
	{ "outside RAM", { { RAM_BYTES, 1 } } },
	{ "across the end of RAM", { { RAM_BYTES - 4, 5 } } },
	{ "wraps the address space", { { UINT64_MAX - 3, 8 } } },
	{ "in the PCI hole", { { 0xe0000000, 4096, WRITE } } },
	{ "length of 4 GiB less one", { { BUFFERS, UINT32_MAX } } },
	{ "readable behind writable", { { BUFFERS, 4, NEXT | WRITE, 1 }, { BUFFERS, 4 } } },
	{ "indirect table empty", { { TABLE, 0, INDIRECT } } },
	{ "indirect table of odd size", { { TABLE, 24, INDIRECT } }, { { BUFFERS, 4 } } },
	{ "indirect table outside RAM", { { RAM_BYTES, 16, INDIRECT } } },
	{ "indirect table across the end", { { RAM_BYTES - 16, 32, INDIRECT } } },
	{ "indirect with next",
	  { { TABLE, 16, INDIRECT | NEXT, 1 }, { BUFFERS, 4 } },
	  { { BUFFERS, 4 } } },
	{ "indirect in indirect", { { TABLE, 16, INDIRECT } }, { { TABLE, 16, INDIRECT } } },
	{ "bad address in table", { { TABLE, 16, INDIRECT } }, { { RAM_BYTES, 4 } } },
	{ "empty item in table",
	  { { TABLE, 32, INDIRECT } },
	  { { BUFFERS, 4, NEXT, 1 }, { BUFFERS, 0 } } },
	{ "order in table",
	  { { TABLE, 32, INDIRECT } },
	  { { BUFFERS, 4, NEXT | WRITE, 1 }, { BUFFERS, 4 } } },
};

static const struct hostile_row split_rows[] = {
	{ "loop of one", { { BUFFERS, 4, NEXT, 0 } } },
	{ "loop of two", { { BUFFERS, 4, NEXT, 1 }, { BUFFERS, 4, NEXT, 0 } } },
	{ "next outside", { { BUFFERS, 4, NEXT, 8 } } },
	{ "next far outside", { { BUFFERS, 4, NEXT, 0xffff } } },
	{ "loop in table",
	  { { TABLE, 32, INDIRECT } },
	  { { BUFFERS, 4, NEXT, 1 }, { BUFFERS, 4, NEXT, 0 } } },
	{ "next outside table", { { TABLE, 32, INDIRECT } }, { { BUFFERS, 4, NEXT, 2 } } },
	{ "table ends without an end",
	  { { TABLE, 32, INDIRECT } },
	  { { BUFFERS, 4, NEXT, 1 }, { BUFFERS, 4, NEXT, 2 } } },
};

static void expect_broken(struct rig *rig, const char *name)
{
	unsigned config_interrupts = rig->config_interrupts;
	struct virtqueue_chain *chain = virtqueue_pop(rig->queue);

	if (chain || !broken(rig))
		fail_msg("%s: %s accepted", rig->packed ? "packed" : "split", name);
	assert_int_equal(rig->config_interrupts, config_interrupts + 1);
	assert_false(virtqueue_ready(rig->queue));
	assert_false(virtqueue_has_available(rig->queue));
	assert_null(virtqueue_pop(rig->queue));
	virtio_queue_notify(rig->virtio, 0);
	assert_int_equal(rig->config_interrupts, config_interrupts + 1);
	/* A reset heals it. */
	rig_start(rig, 0, 8);
	assert_false(broken(rig));
}

static void ring_put(struct rig *rig, const struct hostile_row *row)
{
	for (unsigned i = 0; i < ARRAY_SIZE(row->table); i++)
		table_put(rig, TABLE, i, row->table[i].gpa, row->table[i].bytes,
			  row->table[i].flags, row->table[i].next);
	for (unsigned i = 0; i < 8; i++) {
		const struct item *item = &row->ring[i];

		if (!rig->packed)
			table_put(rig, DESC_AREA, i, item->gpa, item->bytes, item->flags,
				  item->next);
		else if (item->gpa || item->bytes)
			packed_offer(rig, item->gpa, item->bytes, item->flags, 0);
	}
	if (!rig->packed)
		split_offer(rig, 0);
}

static void rows_break(const struct hostile_row *rows, unsigned count, uint64_t features)
{
	for (unsigned i = 0; i < count; i++) {
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features | BIT(VIRTIO_RING_F_INDIRECT_DESC), 8);
		ring_put(&rig, &rows[i]);
		expect_broken(&rig, rows[i].name);
		rig_fini(&rig);
	}
}

/* Spec: Virtio 1.2 2.7.4 to 2.7.6, 2.8.5 to 2.8.8 */
static void malformed_chains_break_the_device(void **state)
{
	(void)state;
	FOR_EACH_LAYOUT(features)
	rows_break(both_rows, ARRAY_SIZE(both_rows), features);
	rows_break(split_rows, ARRAY_SIZE(split_rows), 0);
}

static void indirect_not_negotiated_breaks(void **state)
{
	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features, 8);
		table_put(&rig, TABLE, 0, BUFFERS, 4, 0, 0);
		offer_table(&rig, 0, TABLE, 16, 0);
		expect_broken(&rig, "indirect without the feature");
		rig_fini(&rig);
	}
}

static void table_longer_than_the_limit_breaks(void **state)
{
	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		const unsigned count = VIRTQUEUE_CHAIN_MAX + 1;
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features | BIT(VIRTIO_RING_F_INDIRECT_DESC), 8);
		for (unsigned i = 0; i < count; i++)
			table_put(&rig, TABLE, i, BUFFERS, 1, i + 1 < count ? NEXT : 0,
				  (uint16_t)(i + 1));
		offer_table(&rig, 0, TABLE, 16 * count, 0);
		expect_broken(&rig, "long table");
		rig_fini(&rig);
	}
}

/* 1024 pieces of 4 MiB would be 4 GiB, which the used length cannot say. */
static void chain_of_4_gib_breaks(void **state)
{
	const struct memory_config config = { .size = 8 * MIB };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct memory *large;
		struct rig rig;

		rig_init(&rig);
		assert_int_equal(memory_new(&large, &config, NULL), 0);
		memory_free(rig.memory);
		rig.memory = rig.virtio->memory = large;
		rig.ram = memory_map(large, GPA(0), 8 * MIB);
		rig_start(&rig, features | BIT(VIRTIO_RING_F_INDIRECT_DESC), 8);
		for (unsigned i = 0; i < VIRTQUEUE_CHAIN_MAX; i++)
			table_put(&rig, TABLE, i, MIB, 4 * MIB,
				  WRITE | (i + 1 < VIRTQUEUE_CHAIN_MAX ? NEXT : 0),
				  (uint16_t)(i + 1));
		offer_table(&rig, 0, TABLE, 16 * VIRTQUEUE_CHAIN_MAX, 0);
		expect_broken(&rig, "4 GiB");
		rig_fini(&rig);
	}
}

static void split_head_outside_breaks(void **state)
{
	static const uint16_t heads[] = { 8, 9, 0x7fff, 0xffff };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, 0, 8);
		split_offer(&rig, heads[i]);
		expect_broken(&rig, "head outside");
		rig_fini(&rig);
	}
}

static void split_index_jump_breaks(void **state)
{
	static const uint16_t jumps[] = { 9, 0x8000, 0xffff };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(jumps); i++) {
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, 0, 8);
		table_put(&rig, DESC_AREA, 0, BUFFERS, 4, 0, 0);
		le16_put(rig.ram + DRIVER_AREA + 2, jumps[i]);
		expect_broken(&rig, "jump");
		rig_fini(&rig);
	}
}

static void packed_chain_around_the_ring_breaks(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, BIT(VIRTIO_F_RING_PACKED), 8);
	for (unsigned i = 0; i < 8; i++)
		packed_offer(&rig, BUFFERS, 4, NEXT, 0);
	expect_broken(&rig, "no end");
	rig_fini(&rig);
}

/* The same head again and again without waiting for it to be used. */
static void more_chains_than_descriptors_break(void **state)
{
	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		const struct piece piece = { BUFFERS, 16, true };
		struct virtqueue_chain *chains[8];
		struct rig rig;

		rig_init(&rig);
		rig_start(&rig, features, 8);
		for (unsigned i = 0; i < 8; i++) {
			offer(&rig, 0, &piece, 1);
			assert_non_null(chains[i] = virtqueue_pop(rig.queue));
		}
		offer(&rig, 0, &piece, 1);
		assert_null(virtqueue_pop(rig.queue));
		assert_true(broken(&rig));
		for (unsigned i = 0; i < 8; i++)
			virtqueue_push(chains[i], 16);
		virtqueue_publish(rig.queue);
		assert_int_equal(rig.interrupts, 0);
		rig_fini(&rig);
	}
}

/* Spec: Virtio 1.2 2.7 (alignment), 4.1.4.3.2 */
static void areas_misaligned_or_outside_break_at_enable(void **state)
{
	static const struct {
		enum virtio_queue_area area;
		uint64_t gpa;
	} rows[] = {
		{ VIRTIO_QUEUE_DESC, DESC_AREA + 8 },
		{ VIRTIO_QUEUE_DESC, RAM_BYTES },
		{ VIRTIO_QUEUE_DESC, RAM_BYTES - 64 },
		{ VIRTIO_QUEUE_DESC, UINT64_MAX & ~15ull },
		{ VIRTIO_QUEUE_DRIVER, DRIVER_AREA + 1 },
		{ VIRTIO_QUEUE_DRIVER, RAM_BYTES },
		{ VIRTIO_QUEUE_DEVICE, DEVICE_AREA + 2 },
		{ VIRTIO_QUEUE_DEVICE, RAM_BYTES },
		{ VIRTIO_QUEUE_DEVICE, 0xfee00000 },
	};

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
			struct rig rig;

			rig_init(&rig);
			rig_negotiate(&rig, features);
			address_set(&rig, VIRTIO_QUEUE_DESC, DESC_AREA);
			address_set(&rig, VIRTIO_QUEUE_DRIVER, DRIVER_AREA);
			address_set(&rig, VIRTIO_QUEUE_DEVICE, DEVICE_AREA);
			address_set(&rig, rows[i].area, rows[i].gpa);
			virtio_queue_enable(rig.virtio, 0);
			assert_true(broken(&rig));
			assert_false(rig.queue->enabled);
			rig_fini(&rig);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_chains_break_the_device),
		cmocka_unit_test(indirect_not_negotiated_breaks),
		cmocka_unit_test(table_longer_than_the_limit_breaks),
		cmocka_unit_test(chain_of_4_gib_breaks),
		cmocka_unit_test(split_head_outside_breaks),
		cmocka_unit_test(split_index_jump_breaks),
		cmocka_unit_test(packed_chain_around_the_ring_breaks),
		cmocka_unit_test(more_chains_than_descriptors_break),
		cmocka_unit_test(areas_misaligned_or_outside_break_at_enable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
