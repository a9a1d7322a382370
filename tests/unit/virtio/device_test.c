/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Status, features, frozen registers, resets, saved state. Spec: Virtio 1.2 2.1, 2.2, 2.4, 2.6.1,
 * 3.1
 */
#include <errno.h>

#include "rig.h"

#define ACK   VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRV   VIRTIO_CONFIG_S_DRIVER
#define FEAT  VIRTIO_CONFIG_S_FEATURES_OK
#define OK    VIRTIO_CONFIG_S_DRIVER_OK
#define RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define FAIL  VIRTIO_CONFIG_S_FAILED

static void status_refuses_what_is_out_of_order(void **state)
{
	static const struct {
		uint8_t writes[2], status;
	} rows[] = {
		{ { ACK }, ACK },
		{ { ACK, ACK | DRV }, ACK | DRV },
		{ { ACK | DRV }, ACK | DRV },
		{ { DRV }, 0 },
		{ { OK }, 0 },
		{ { FEAT }, 0 },
		{ { ACK, ACK | FEAT }, ACK },
		{ { ACK, ACK | OK }, ACK },
		{ { ACK | DRV, ACK | DRV | OK }, ACK | DRV },
		{ { ACK | DRV, ACK }, ACK | DRV },
		{ { ACK | DRV, DRV }, ACK | DRV },
		{ { ACK | DRV, ACK | DRV | FEAT }, ACK | DRV }, /* without VERSION_1 */
		{ { ACK | DRV, ACK | DRV | FEAT | OK }, ACK | DRV },
		{ { ACK, ACK | FAIL }, ACK | FAIL },
		{ { ACK | FAIL, ACK }, ACK | FAIL },
		{ { ACK, ACK | RESET }, ACK },
		{ { ACK, ACK | 0x30 }, ACK },
		{ { ACK | DRV, 0 }, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig rig;

		rig_init(&rig);
		for (unsigned w = 0; w < 2; w++) {
			if (w == 0 || rows[i].writes[w] || rows[i].status == 0)
				virtio_status_write(rig.virtio, rows[i].writes[w]);
		}
		assert_int_equal(virtio_status_read(rig.virtio), rows[i].status);
		rig_fini(&rig);
	}
}

static void features_are_checked_at_features_ok(void **state)
{
	const uint64_t v1 = BIT(VIRTIO_F_VERSION_1);
	const struct {
		uint64_t features;
		bool ok;
	} rows[] = {
		{ v1, true },
		{ v1 | BIT(0) | BIT(5) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_RING_RESET),
		  true },
		{ v1 | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC), true },
		{ BIT(0), false },
		{ 0, false },
		{ v1 | BIT(1), false },
		{ v1 | BIT(VIRTIO_F_IN_ORDER), false },
		{ v1 | BIT(63), false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rig rig;

		rig_init(&rig);
		virtio_status_write(rig.virtio, ACK | DRV);
		virtio_features_accept(rig.virtio, 0, (uint32_t)rows[i].features);
		virtio_features_accept(rig.virtio, 1, (uint32_t)(rows[i].features >> 32));
		virtio_features_accept(rig.virtio, 2, UINT32_MAX);
		status_add(&rig, FEAT);
		assert_int_equal(!!(virtio_status_read(rig.virtio) & FEAT), rows[i].ok);
		assert_int_equal(virtio_features_accepted(rig.virtio, 1), rows[i].features >> 32);
		assert_int_equal(virtio_features_accepted(rig.virtio, 2), 0);
		assert_int_equal(virtio_features_offered(rig.virtio, 2), 0);
		rig_fini(&rig);
	}
}

static void features_stay_out_of_order_writes(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	virtio_features_accept(rig.virtio, 0, 1);
	assert_int_equal(virtio_features_accepted(rig.virtio, 0), 0);
	rig_negotiate(&rig, 0);
	virtio_features_accept(rig.virtio, 0, 1);
	assert_int_equal(virtio_features_accepted(rig.virtio, 0), 0);
	rig.probe->features_refused = true;
	rig_negotiate(&rig, 0);
	assert_int_equal(virtio_status_read(rig.virtio), ACK | DRV);
	rig_fini(&rig);
}

static void driver_ok_activates_and_looks_at_queues(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_negotiate(&rig, 0);
	rig_queue_set(&rig, 8);
	virtio_queue_notify(rig.virtio, 0);
	assert_int_equal(rig.probe->notified, 0);
	assert_false(virtqueue_ready(rig.queue));
	status_add(&rig, OK);
	assert_int_equal(rig.probe->activated, 1);
	assert_int_equal(rig.probe->notified, 1); /* only queue 0 is enabled */
	virtio_queue_notify(rig.virtio, 1);
	virtio_queue_notify(rig.virtio, 2);
	virtio_queue_notify(rig.virtio, UINT32_MAX);
	assert_int_equal(rig.probe->notified, 1);
	virtio_queue_notify(rig.virtio, 0);
	assert_int_equal(rig.probe->notified, 2);
	status_add(&rig, OK);
	assert_int_equal(rig.probe->activated, 1);
	rig_fini(&rig);
}

static void registers_set_everywhere(struct rig *rig, unsigned queue)
{
	virtio_queue_size_write(rig->virtio, queue, 16);
	for (unsigned area = VIRTIO_QUEUE_DESC; area <= VIRTIO_QUEUE_DEVICE; area++) {
		virtio_queue_address_write(rig->virtio, queue, area, false, 0x5000);
		virtio_queue_address_write(rig->virtio, queue, area, true, 1);
	}
}

static bool registers_changed(struct rig *rig, unsigned queue)
{
	return virtio_queue(rig->virtio, queue)->size == 16 ||
	       virtio_queue_address_read(rig->virtio, queue, VIRTIO_QUEUE_DESC) == 0x100005000 ||
	       virtio_queue_address_read(rig->virtio, queue, VIRTIO_QUEUE_DRIVER) == 0x100005000 ||
	       virtio_queue_address_read(rig->virtio, queue, VIRTIO_QUEUE_DEVICE) == 0x100005000;
}

static void queue_registers_are_frozen_but_in_their_time(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	registers_set_everywhere(&rig, 0);
	assert_false(registers_changed(&rig, 0));
	virtio_status_write(rig.virtio, ACK | DRV);
	registers_set_everywhere(&rig, 0);
	assert_false(registers_changed(&rig, 0));
	rig_negotiate(&rig, 0);
	registers_set_everywhere(&rig, 1);
	assert_true(registers_changed(&rig, 1));
	registers_set_everywhere(&rig, QUEUES);
	rig_queue_set(&rig, 8);
	registers_set_everywhere(&rig, 0); /* enabled */
	assert_false(registers_changed(&rig, 0));
	status_add(&rig, OK);
	virtio_queue_enable(rig.virtio, 1); /* after DRIVER_OK */
	assert_false(virtio_queue(rig.virtio, 1)->enabled);
	rig_fini(&rig);
}

static void queue_size_must_fit(void **state)
{
	static const struct {
		uint16_t size;
		bool split, packed;
	} rows[] = {
		{ 0, false, false },      { 1, true, true },     { 3, false, true },
		{ 256, true, true },      { 257, false, false }, { 512, false, false },
		{ 0x8000, false, false },
	};

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
			bool valid = features ? rows[i].packed : rows[i].split;
			struct rig rig;

			rig_init(&rig);
			rig_negotiate(&rig, features);
			virtio_queue_size_write(rig.virtio, 0, 4);
			virtio_queue_size_write(rig.virtio, 0, rows[i].size);
			assert_int_equal(rig.queue->size, valid ? rows[i].size : 4);
			rig_fini(&rig);
		}
	}
}

static void hold(struct rig *rig, unsigned count)
{
	const struct piece piece = { BUFFERS, 16, true };

	for (unsigned i = 0; i < count; i++) {
		struct probe *probe = rig->probe;

		offer(rig, (uint16_t)i, &piece, 1);
		assert_non_null(probe->held[probe->held_count++] = virtqueue_pop(rig->queue));
	}
}

static void reset_gives_power_on_state(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, BIT(0), 8);
	hold(&rig, 3);
	virtio_status_write(rig.virtio, 0);
	assert_int_equal(virtio_status_read(rig.virtio), 0);
	assert_int_equal(virtio_features_accepted(rig.virtio, 0), 0);
	assert_int_equal(virtio_features_accepted(rig.virtio, 1), 0);
	assert_int_equal(rig.queue->size, QUEUE_SIZE_MAX);
	assert_int_equal(virtio_queue_address_read(rig.virtio, 0, VIRTIO_QUEUE_DESC), 0);
	assert_false(rig.queue->enabled);
	assert_int_equal(rig.interrupts, 0);
	rig_fini(&rig);
}

static void reset_with_work_in_flight_waits_for_it(void **state)
{
	struct rig rig;
	struct used used;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	hold(&rig, 2);
	rig.probe->keep_on_reset = true;
	virtio_status_write(rig.virtio, 0);
	assert_int_not_equal(virtio_status_read(rig.virtio), 0);
	assert_null(virtqueue_pop(rig.queue));
	status_add(&rig, ACK);
	virtqueue_push(rig.probe->held[--rig.probe->held_count], 16);
	virtqueue_publish(rig.queue);
	assert_int_not_equal(virtio_status_read(rig.virtio), 0);
	virtqueue_push(rig.probe->held[--rig.probe->held_count], 16);
	assert_int_equal(virtio_status_read(rig.virtio), 0);
	assert_false(used_take(&rig, 1, &used));
	assert_int_equal(rig.interrupts, 0);
	rig_start(&rig, 0, 8);
	hold(&rig, 1);
	rig_fini(&rig);
}

/* Spec: Virtio 1.2 2.6.1 */
static void queue_reset_waits_and_lets_enable_again(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, BIT(VIRTIO_F_RING_RESET), 8);
	hold(&rig, 1);
	rig.probe->keep_on_reset = true;
	virtio_queue_reset(rig.virtio, 0);
	assert_true(rig.queue->resetting);
	virtio_queue_enable(rig.virtio, 0);
	registers_set_everywhere(&rig, 0);
	assert_false(registers_changed(&rig, 0));
	virtqueue_push(rig.probe->held[--rig.probe->held_count], 16);
	assert_false(rig.queue->resetting);
	assert_false(rig.queue->enabled);
	rig_queue_set(&rig, 16);
	assert_true(virtqueue_ready(rig.queue));
	assert_int_equal(rig.probe->readied, 1);
	hold(&rig, 2);
	rig.probe->keep_on_reset = false;
	virtio_queue_reset(rig.virtio, 0);
	assert_false(rig.queue->enabled);
	rig_fini(&rig);
}

static void queue_reset_not_negotiated_is_refused(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	virtio_queue_reset(rig.virtio, 0);
	assert_true(virtqueue_ready(rig.queue));
	rig_fini(&rig);
}

static void config_change_interrupts_a_running_driver(void **state)
{
	struct rig rig;
	uint8_t generation;

	(void)state;
	rig_init(&rig);
	virtio_config_changed(rig.virtio);
	assert_int_equal(rig.config_interrupts, 0);
	rig_start(&rig, 0, 8);
	generation = rig.virtio->config_generation;
	virtio_config_changed(rig.virtio);
	assert_int_equal(rig.config_interrupts, 1);
	assert_int_not_equal(rig.virtio->config_generation, generation);
	rig_fini(&rig);
}

static void config_accesses_stay_inside(void **state)
{
	uint8_t bytes[4];
	struct rig rig;

	(void)state;
	rig_init(&rig);
	virtio_config_write(rig.virtio, 4, "abcd", 4);
	virtio_config_write(rig.virtio, 6, "ABCD", 4);
	virtio_config_write(rig.virtio, UINT32_MAX, "ABCD", 4);
	virtio_config_read(rig.virtio, 4, bytes, 4);
	assert_memory_equal(bytes, "abcd", 4);
	virtio_config_read(rig.virtio, 6, bytes, 4);
	assert_memory_equal(bytes, "cd\0", 4);
	virtio_config_read(rig.virtio, UINT32_MAX - 1, bytes, 4);
	assert_memory_equal(bytes, "\0\0\0", 4);
	rig_fini(&rig);
}

static void dump_shows_every_queue(void **state)
{
	const json_t *queues;
	struct rig rig;
	json_t *dump;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	dump = device_dump(&rig.virtio->device);
	queues = json_object_get(dump, "virtqueue");
	assert_int_equal(json_array_size(queues), QUEUES);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(queues, 0), "size")), 8);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(queues, 1), "size")),
			 QUEUE_SIZE_MAX);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(dump, "virtio"), "status")),
		ACK | DRV | FEAT | OK);
	json_decref(dump);
	rig_fini(&rig);
}

static void stats_count_by_queue(void **state)
{
	const struct piece piece = { BUFFERS, 16, true };
	json_t *stats, *queue;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	rig.probe->greedy = true;
	offer(&rig, 0, &piece, 1);
	offer(&rig, 1, &piece, 1);
	virtio_queue_notify(rig.virtio, 0);
	stats = device_stats(&rig.virtio->device);
	assert_int_equal(json_array_size(json_object_get(stats, "queues")), QUEUES);
	queue = json_array_get(json_object_get(stats, "queues"), 0);
	assert_int_equal(json_integer_value(json_object_get(queue, "kicks")), 2);
	assert_int_equal(json_integer_value(json_object_get(queue, "chains")), 2);
	assert_int_equal(json_integer_value(json_object_get(queue, "interrupts")), 2);
	json_decref(stats);
	rig_fini(&rig);
}

static void dma_blocked_queues_rest(void **state)
{
	const struct piece piece = { BUFFERS, 16, true };
	struct used used;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	rig.probe->greedy = true;
	virtio_dma_allow(rig.virtio, false);
	offer(&rig, 0, &piece, 1);
	virtio_queue_notify(rig.virtio, 0);
	assert_false(used_take(&rig, 1, &used));
	virtio_dma_allow(rig.virtio, true);
	assert_true(used_take(&rig, 1, &used));
	rig_fini(&rig);
}

static void state_loads_what_was_saved(void **state)
{
	const struct piece piece = { BUFFERS, 16, true };

	(void)state;
	FOR_EACH_LAYOUT(features)
	{
		struct state_stream out = { 0 }, again = { 0 }, in;
		struct rig rig, other;
		struct used used;

		rig_init(&rig);
		rig_init(&other);
		rig_start(&rig, features, 8);
		for (unsigned i = 0; i < 11; i++) {
			offer(&rig, 0, &piece, 1);
			virtqueue_push(virtqueue_pop(rig.queue), 4);
			virtqueue_publish(rig.queue);
			assert_true(used_take(&rig, 1, &used));
		}
		offer(&rig, 1, &piece, 1);
		assert_int_equal(device_save(&rig.virtio->device, &out), 0);

		memcpy(other.ram, rig.ram, RAM_BYTES);
		other.packed = rig.packed;
		other.size = rig.size;
		other.used = rig.used;
		other.used_wrap = rig.used_wrap;
		in = state_stream_reader(out.bytes, out.count);
		assert_int_equal(device_load(&other.virtio->device, &in, NULL), 0);
		assert_int_equal(device_save(&other.virtio->device, &again), 0);
		assert_int_equal(again.count, out.count);
		assert_memory_equal(again.bytes, out.bytes, out.count);
		other.probe->greedy = true;
		virtio_device_resume(&other.virtio->device);
		assert_true(used_take(&other, 1, &used));
		assert_int_equal(used.id, 1);
		state_stream_fini(&out);
		state_stream_fini(&again);
		rig_fini(&rig);
		rig_fini(&other);
	}
}

static void state_load_bad_position_needs_reset(void **state)
{
	struct state_stream out = { 0 }, in;
	struct rig rig, other;

	(void)state;
	rig_init(&rig);
	rig_init(&other);
	rig_start(&rig, BIT(VIRTIO_F_RING_PACKED), 8);
	rig.queue->avail_next = 8;
	assert_int_equal(device_save(&rig.virtio->device, &out), 0);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&other.virtio->device, &in, NULL), 0);
	assert_true(broken(&other));
	rig.queue->avail_next = 0;
	rig.queue->desc_gpa = RAM_BYTES;
	state_stream_fini(&out);
	out = (struct state_stream){ 0 };
	assert_int_equal(device_save(&rig.virtio->device, &out), 0);
	device_reset(&other.virtio->device);
	in = state_stream_reader(out.bytes, out.count);
	assert_int_equal(device_load(&other.virtio->device, &in, NULL), 0);
	assert_true(broken(&other));
	state_stream_fini(&out);
	rig_fini(&rig);
	rig_fini(&other);
}

static void state_load_refuses_bad_status_and_cuts(void **state)
{
	static const uint8_t statuses[] = { OK, ACK | FEAT, ACK | DRV | OK };
	struct state_stream out = { 0 }, in;
	struct rig rig;

	(void)state;
	rig_init(&rig);
	rig_start(&rig, 0, 8);
	for (unsigned i = 0; i < ARRAY_SIZE(statuses); i++) {
		rig.virtio->status = statuses[i];
		assert_int_equal(device_save(&rig.virtio->device, &out), 0);
		in = state_stream_reader(out.bytes, out.count);
		assert_int_equal(device_load(&rig.virtio->device, &in, NULL), -EINVAL);
		for (size_t cut = 0; cut < out.count; cut++) {
			in = state_stream_reader(out.bytes, cut);
			assert_true(device_load(&rig.virtio->device, &in, NULL) < 0);
		}
		state_stream_fini(&out);
		out = (struct state_stream){ 0 };
	}
	virtio_status_write(rig.virtio, 0);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_refuses_what_is_out_of_order),
		cmocka_unit_test(features_are_checked_at_features_ok),
		cmocka_unit_test(features_stay_out_of_order_writes),
		cmocka_unit_test(driver_ok_activates_and_looks_at_queues),
		cmocka_unit_test(queue_registers_are_frozen_but_in_their_time),
		cmocka_unit_test(queue_size_must_fit),
		cmocka_unit_test(reset_gives_power_on_state),
		cmocka_unit_test(reset_with_work_in_flight_waits_for_it),
		cmocka_unit_test(queue_reset_waits_and_lets_enable_again),
		cmocka_unit_test(queue_reset_not_negotiated_is_refused),
		cmocka_unit_test(config_change_interrupts_a_running_driver),
		cmocka_unit_test(config_accesses_stay_inside),
		cmocka_unit_test(dump_shows_every_queue),
		cmocka_unit_test(stats_count_by_queue),
		cmocka_unit_test(dma_blocked_queues_rest),
		cmocka_unit_test(state_loads_what_was_saved),
		cmocka_unit_test(state_load_bad_position_needs_reset),
		cmocka_unit_test(state_load_refuses_bad_status_and_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
