/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cache of tables on a small file: what is found, what is given up, and the order of writing. */
#include "fixture.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "base/bytes.h"
#include "block/format/table_cache.h"
#include "host/thread.h"

#define TABLE_BYTES 512
#define TABLES      100

struct rig {
	struct image image;
	struct block_node *file;
	struct table_cache *cache;
	_Atomic unsigned barriers; /* calls of before_write */
	int barrier_rc;
};

static int barrier(void *ctx)
{
	struct rig *rig = ctx;

	rig->barriers++;
	return rig->barrier_rc;
}

static int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct table_cache_config config = {
		.table_bytes = TABLE_BYTES,
		.before_write = barrier,
		.ctx = rig,
	};

	image_init(&rig->image, TABLES * TABLE_BYTES);
	rig->file = image_open(&rig->image, (struct block_open_options){ 0 });
	config.file = rig->file;
	assert_int_equal(table_cache_new(&rig->cache, &config), 0);
	*state = rig;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *rig = *state;

	table_cache_free(rig->cache);
	block_close(rig->file);
	image_fini(&rig->image);
	free(rig);
	return 0;
}

static void change(struct rig *rig, unsigned index, uint8_t byte)
{
	struct table *table;

	assert_int_equal(table_cache_get(rig->cache, index * TABLE_BYTES, &table), 0);
	table_cache_lock(rig->cache);
	table->bytes[0] = byte;
	table_set_dirty(table);
	table_cache_unlock(rig->cache);
	table_cache_put(table);
}

static uint8_t in_file(struct rig *rig, unsigned index)
{
	uint8_t byte;

	assert_int_equal(block_read(rig->file, index * TABLE_BYTES, &byte, 1), 0);
	return byte;
}

static void table_cache_changed_is_written_by_write_back(void **state)
{
	struct rig *rig = *state;

	change(rig, 3, 0xee);
	assert_int_not_equal(in_file(rig, 3), 0xee);
	assert_true(table_cache_is_dirty(rig->cache));
	assert_int_equal(table_cache_write_back(rig->cache), 0);
	assert_int_equal(in_file(rig, 3), 0xee);
	assert_int_equal(rig->barriers, 1);
	assert_false(table_cache_is_dirty(rig->cache));
}

static void table_cache_full_writes_the_oldest(void **state)
{
	struct rig *rig = *state;

	for (unsigned i = 0; i < TABLES; i++)
		change(rig, i, (uint8_t)(0x80 + i));
	assert_true(rig->barriers >= 1 && rig->barriers < TABLES);
	for (unsigned i = 0; i < TABLES; i++) {
		struct table *table;

		assert_int_equal(table_cache_get(rig->cache, i * TABLE_BYTES, &table), 0);
		assert_int_equal(table->bytes[0], 0x80 + i);
		assert_int_equal(table->bytes[1], image_byte(i * TABLE_BYTES + 1));
		table_cache_put(table);
	}
	assert_int_equal(in_file(rig, 0), 0x80);
}

static void table_cache_refused_write_stays_dirty(void **state)
{
	struct rig *rig = *state;

	change(rig, 1, 0xee);
	rig->barrier_rc = -EIO;
	assert_int_equal(table_cache_write_back(rig->cache), -EIO);
	assert_int_not_equal(in_file(rig, 1), 0xee);
	rig->barrier_rc = 0;
	assert_int_equal(table_cache_write_back(rig->cache), 0);
	assert_int_equal(in_file(rig, 1), 0xee);
}

static void table_cache_peek_finds_only_what_is_there(void **state)
{
	struct rig *rig = *state;
	struct table *table;

	assert_null(table_cache_peek(rig->cache, 0));
	change(rig, 0, 1);
	table = table_cache_peek(rig->cache, 0);
	assert_non_null(table);
	table_cache_put(table);
}

static void table_cache_forgotten_is_never_written(void **state)
{
	struct rig *rig = *state;

	change(rig, 5, 0xee);
	table_cache_forget(rig->cache, 5 * TABLE_BYTES, TABLE_BYTES);
	assert_int_equal(table_cache_write_back(rig->cache), 0);
	assert_int_equal(in_file(rig, 5), image_byte(5 * TABLE_BYTES));
}

static void table_cache_new_table_is_zero(void **state)
{
	struct rig *rig = *state;
	struct table *table;

	assert_int_equal(table_cache_get_new(rig->cache, 7 * TABLE_BYTES, &table), 0);
	assert_int_equal(table->bytes[1], 0);
	table_cache_put(table);
	assert_int_equal(table_cache_write_back(rig->cache), 0);
	assert_int_equal(in_file(rig, 7), 0);
}

static void *count_up(void *ctx)
{
	struct rig *rig = ctx;

	for (unsigned i = 0; i < 2000; i++) {
		unsigned index = i * 37 % TABLES;
		struct table *table;

		assert_int_equal(table_cache_get(rig->cache, index * TABLE_BYTES, &table), 0);
		table_cache_lock(rig->cache);
		le32_put(table->bytes + 4, le32_get(table->bytes + 4) + 1);
		table_set_dirty(table);
		table_cache_unlock(rig->cache);
		table_cache_put(table);
		if (i % 100 == 0)
			assert_int_equal(table_cache_write_back(rig->cache), 0);
	}
	return NULL;
}

static void table_cache_many_threads_lose_no_change(void **state)
{
	struct rig *rig = *state;
	uint8_t zeroes[TABLE_BYTES] = { 0 };
	pthread_t threads[4];
	uint32_t sum = 0;

	for (unsigned i = 0; i < TABLES; i++)
		assert_int_equal(block_write(rig->file, i * TABLE_BYTES, zeroes, TABLE_BYTES), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(thread_start(&threads[i], "count", count_up, rig, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(table_cache_write_back(rig->cache), 0);
	for (unsigned i = 0; i < TABLES; i++) {
		uint8_t bytes[4];

		assert_int_equal(block_read(rig->file, i * TABLE_BYTES + 4, bytes, 4), 0);
		sum += le32_get(bytes);
	}
	assert_int_equal(sum, ARRAY_SIZE(threads) * 2000);
}

/* Tables so large that each is written by itself. */
struct race {
	struct image image;
	struct table_cache *cache;
	pthread_t other;
	_Atomic unsigned writes; /* that were begun */
};

static void change_large(struct race *race, unsigned index)
{
	struct table *table;

	assert_int_equal(table_cache_get(race->cache, index * MIB, &table), 0);
	table_cache_lock(race->cache);
	table->bytes[0] = 0xee;
	table_set_dirty(table);
	table_cache_unlock(race->cache);
	table_cache_put(table);
}

static void *write_back(void *ctx)
{
	struct race *race = ctx;

	assert_int_equal(table_cache_write_back(race->cache), 0);
	return NULL;
}

/* While the first table is written, a third one changes, and then another thread begins to write the second. */
static int write_in_between(void *ctx)
{
	static const struct timespec long_while = { .tv_nsec = 100 * 1000 * 1000 };
	struct race *race = ctx;

	switch (race->writes++) {
	case 0:
		change_large(race, 2);
		assert_int_equal(pthread_create(&race->other, NULL, write_back, race), 0);
		while (race->writes < 2)
			sched_yield();
		break;
	case 1:
		nanosleep(&long_while, NULL);
		break;
	default:
		break;
	}
	return 0;
}

static void table_cache_write_back_waits_for_what_others_write(void **state)
{
	struct race race = { 0 };
	struct table_cache_config config = {
		.table_bytes = MIB,
		.before_write = write_in_between,
		.ctx = &race,
	};
	uint8_t byte;

	(void)state;
	image_init(&race.image, 3 * MIB);
	config.file = image_open(&race.image, (struct block_open_options){ 0 });
	assert_int_equal(table_cache_new(&race.cache, &config), 0);
	change_large(&race, 0);
	change_large(&race, 1);
	assert_int_equal(table_cache_write_back(race.cache), 0);
	assert_int_equal(block_read(config.file, MIB, &byte, 1), 0);
	assert_int_equal(byte, 0xee);
	pthread_join(race.other, NULL);
	table_cache_free(race.cache);
	block_close(config.file);
	image_fini(&race.image);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(table_cache_changed_is_written_by_write_back),
		TEST(table_cache_full_writes_the_oldest),
		TEST(table_cache_refused_write_stays_dirty),
		TEST(table_cache_peek_finds_only_what_is_there),
		TEST(table_cache_forgotten_is_never_written),
		TEST(table_cache_new_table_is_zero),
		TEST(table_cache_many_threads_lose_no_change),
		cmocka_unit_test(table_cache_write_back_waits_for_what_others_write),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
