/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Saved state of every device: what is saved loads to the same, and hostile streams change nothing. */
#include "device_test.h"

#include "base/bytes.h"

#define STEPS 400

/* Numbers that are the same in every run. */
struct dice {
	uint64_t state;
};

static uint32_t dice_roll(struct dice *dice)
{
	dice->state = dice->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(dice->state >> 33);
}

static void random_access(struct board *board, const struct board_regions *regions,
			  struct dice *dice)
{
	const struct bus_region *region = regions->items[dice_roll(dice) % regions->count];
	uint64_t address = region->base + dice_roll(dice) % region->size;
	unsigned size = 1u << dice_roll(dice) % 4;

	if (dice_roll(dice) % 3)
		bus_write(region->bus, address, dice_roll(dice) | (uint64_t)dice_roll(dice) << 32,
			  size);
	else
		bus_read(region->bus, address, size);
	(void)board;
}

/* A life of accesses, events and time. */
static void exercise(struct board *board, const struct board_device *row, struct dice *dice)
{
	struct board_regions regions = board_regions(board);

	for (unsigned i = 0; i < STEPS; i++) {
		random_access(board, &regions, dice);
		if (row->poke)
			row->poke(board, dice_roll(dice));
		if (board->input_count)
			irq_set(&board->inputs[dice_roll(dice) % board->input_count],
				dice_roll(dice) & 1);
		if (i % 16 == 0)
			board_advance(board, dice_roll(dice) % NS_PER_MS);
		board_check(board);
	}
}

static struct state_stream save(struct board *board)
{
	struct state_stream stream = { 0 };

	assert_int_equal(device_save(board->device, &stream), 0);
	return stream;
}

static void assert_state(struct board *board, const struct state_stream *expected)
{
	struct state_stream now = save(board);

	assert_int_equal(now.count, expected->count);
	assert_memory_equal(now.bytes, expected->bytes, now.count);
	state_stream_fini(&now);
}

static void state_of_a_used_device_loads_to_the_same(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct dice dice = { i };
		struct board used, fresh;
		struct state_stream saved, reader;
		struct err err = ERR_INIT;

		board_init_with(&used, &board_devices[i]);
		board_init_with(&fresh, &board_devices[i]);
		exercise(&used, &board_devices[i], &dice);
		machine_clock_set(&fresh.clock, machine_clock_now_ns(&used.clock));
		saved = save(&used);
		assert_state(&used, &saved);
		if (!used.device->ops->state) {
			assert_int_equal(saved.count, 0);
		} else {
			assert_true(saved.count > 0);
			reader = state_stream_reader(saved.bytes, saved.count);
			if (device_load(fresh.device, &reader, &err))
				fail_msg("%s: %s", board_devices[i].name, err.text);
			assert_int_equal(reader.at, saved.count);
			assert_state(&fresh, &saved);
		}
		state_stream_fini(&saved);
		board_fini(&used);
		board_fini(&fresh);
	}
}

static void state_dump_has_every_device(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct board board;
		json_t *dump;

		board_init_with(&board, &board_devices[i]);
		dump = device_dump(board.device);
		assert_string_equal(json_string_value(json_object_get(dump, "type")),
				    board.device->ops->type);
		if (board.device->ops->state)
			assert_true(json_is_object(
				json_object_get(dump, board.device->ops->state->name)));
		json_decref(dump);
		board_fini(&board);
	}
}

static void assert_refused(struct board *board, const void *bytes, size_t count,
			   const struct state_stream *before)
{
	struct state_stream reader = state_stream_reader(bytes, count);
	struct err err = ERR_INIT;

	assert_true(device_load(board->device, &reader, &err) < 0);
	assert_true(err.text[0]);
	assert_state(board, before);
}

static void state_cut_off_is_refused(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct board board;
		struct state_stream saved;

		board_init_with(&board, &board_devices[i]);
		saved = save(&board);
		for (size_t count = 0; count < saved.count; count += saved.count / 64 + 1)
			assert_refused(&board, saved.bytes, count, &saved);
		state_stream_fini(&saved);
		board_fini(&board);
	}
}

static void state_with_a_longer_payload_is_refused(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct board board;
		struct state_stream saved;
		uint8_t *longer;
		size_t length_at;

		board_init_with(&board, &board_devices[i]);
		saved = save(&board);
		if (saved.count) {
			longer = calloc(1, saved.count + 1);
			assert_non_null(longer);
			memcpy(longer, saved.bytes, saved.count);
			length_at = 2 + le16_get(longer) + 4;
			le32_put(longer + length_at, le32_get(longer + length_at) + 1);
			assert_refused(&board, longer, saved.count + 1, &saved);
			free(longer);
		}
		state_stream_fini(&saved);
		board_fini(&board);
	}
}

/* Half of the time near the start, where header and registers are. */
static void spoil_byte(struct state_stream *saved, struct dice *dice)
{
	size_t range = dice_roll(dice) & 1 ? saved->count : MIN(saved->count, (size_t)64);

	saved->bytes[dice_roll(dice) % range] = (uint8_t)dice_roll(dice);
}

/* Whatever loads must keep the device's invariants, whatever is done to it later. */
static void state_with_random_bytes_never_breaks_a_device(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct dice dice = { 1000 + i };
		struct board board;
		struct state_stream saved, reader;
		unsigned refused = 0;

		board_init_with(&board, &board_devices[i]);
		for (unsigned round = 0; round < 100 && board.device->ops->state; round++) {
			saved = save(&board);
			for (unsigned n = dice_roll(&dice) % 8 + 1; n; n--)
				spoil_byte(&saved, &dice);
			reader = state_stream_reader(saved.bytes, saved.count);
			refused += device_load(board.device, &reader, NULL) < 0;
			board_check(&board);
			if (round % 10 == 0)
				exercise(&board, &board_devices[i], &dice);
			state_stream_fini(&saved);
		}
		assert_true(refused > 0 || !board.device->ops->state);
		board_fini(&board);
	}
}

static void reset_of_a_used_device_equals_a_new_one(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct dice dice = { 2000 + i };
		struct board used, fresh;
		struct state_stream expected;

		/* Levels and batteries outlive a reset; a PIT's state names the time of it. */
		if (!strcmp(board_devices[i].name, "rtc") ||
		    !strcmp(board_devices[i].name, "gsi") || !strcmp(board_devices[i].name, "pit"))
			continue;
		board_init_with(&used, &board_devices[i]);
		board_init_with(&fresh, &board_devices[i]);
		exercise(&used, &board_devices[i], &dice);
		for (unsigned n = 0; n < used.input_count; n++)
			irq_set(&used.inputs[n], false);
		machine_clock_set(&fresh.clock, machine_clock_now_ns(&used.clock));
		device_reset(used.device);
		device_reset(fresh.device);
		expected = save(&fresh);
		assert_state(&used, &expected);
		state_stream_fini(&expected);
		board_fini(&used);
		board_fini(&fresh);
	}
}

/* A failed constructor takes back what it mapped, and says what was in the way. */
static void device_that_finds_its_place_taken_is_refused(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < ARRAY_SIZE(board_devices); i++) {
		struct board board;
		struct device *first;
		struct err err = ERR_INIT;

		if (!strcmp(board_devices[i].name, "gsi"))
			continue;
		board_init_with(&board, &board_devices[i]);
		first = board.device;
		assert_int_equal(board_devices[i].create(&board, &err), -EEXIST);
		assert_true(err.text[0]);
		board.device = first;
		board_check(&board);
		board_fini(&board);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_of_a_used_device_loads_to_the_same),
		cmocka_unit_test(state_dump_has_every_device),
		cmocka_unit_test(state_cut_off_is_refused),
		cmocka_unit_test(state_with_a_longer_payload_is_refused),
		cmocka_unit_test(state_with_random_bytes_never_breaks_a_device),
		cmocka_unit_test(reset_of_a_used_device_equals_a_new_one),
		cmocka_unit_test(device_that_finds_its_place_taken_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
