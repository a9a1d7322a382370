/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encrypted disks against a model, their key slots, and headers that are damaged or ask too much. */
#include "model.h"

#include "base/bytes.h"
#include "block/luks.h"
#include "codec/kdf.h"

#define QUICK "key=env:CELLA_TEST_KEY,kdf_iterations=1000"

static const struct model_image images[] = {
	{ .format = "luks", .bytes = 3 * MIB + 512, .settings = "version=1," QUICK },
	{ .format = "luks",
	  .bytes = MIB,
	  .settings = "version=1,cipher=aes-cbc-essiv:sha256,hash=sha512," QUICK },
	{ .format = "luks", .bytes = 3 * MIB + 512, .settings = "kdf=pbkdf2," QUICK },
	{ .format = "luks",
	  .bytes = MIB,
	  .settings = "key_bits=256,key=env:CELLA_TEST_KEY,kdf_time=1,kdf_memory=8M" },
};

static void choose_key(const char *key)
{
	setenv("CELLA_TEST_KEY", key, 1);
}

static int open_with(struct model *model, const char *settings_text)
{
	json_t *settings = json_object();
	struct err err = ERR_INIT;
	int rc;

	assert_int_equal(block_settings_parse(settings, settings_text, &err), 0);
	rc = model_open(model, "disk.luks", "luks",
			(struct block_open_options){ .settings = settings });
	json_decref(settings);
	return rc;
}

static int open_disk(struct model *model)
{
	return open_with(model, "key=env:CELLA_TEST_KEY");
}

/* An image whose disk is what the model has; what nobody wrote is noise. */
static void make(struct model *model, unsigned image)
{
	model_init(model);
	choose_key("the words");
	model_set_bytes(model, images[image].bytes);
	assert_int_equal(model_create(model, "disk.luks", &images[image]), 0);
	assert_int_equal(open_disk(model), 0);
	assert_int_equal(block_write_zeroes(model->node, 0, model->bytes, 0), 0);
	model_close(model);
}

static void luks_random_requests_match_model(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		struct model model;

		make(&model, i);
		for (unsigned round = 0; round < 3; round++) {
			assert_int_equal(open_disk(&model), 0);
			model_expect(&model);
			for (unsigned step = 0; step < 60; step++)
				model_step(&model);
			model_expect(&model);
			model_close(&model);
			model_expect_clean(&model, "disk.luks");
		}
		model_fini(&model);
	}
}

static void luks_file_holds_nothing_plain(void **state)
{
	struct model model;
	uint8_t *file;
	size_t count;

	(void)state;
	make(&model, 0);
	assert_int_equal(open_disk(&model), 0);
	memset(model.disk, 'x', model.bytes);
	assert_int_equal(block_write(model.node, 0, model.disk, model.bytes), 0);
	model_close(&model);
	assert_int_equal(fd_read_file(model_path(&model, "disk.luks"), 64 * MIB, (void **)&file,
				      &count, NULL),
			 0);
	assert_null(memmem(file, count, "xxxxxxxx", 8));
	assert_null(memmem(file, count, "the words", 9));
	free(file);
	model_fini(&model);
}

static void luks_without_the_right_words_stays_shut(void **state)
{
	uint8_t sector[512];
	struct model model;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		make(&model, i);
		choose_key("other words");
		assert_int_equal(open_disk(&model), -EKEYREJECTED);
		assert_int_equal(open_with(&model, ""), -ENOKEY);
		assert_int_equal(model_open(&model, "disk.luks", "luks",
					    (struct block_open_options){ .locked = true }),
				 0);
		assert_int_equal(block_read(model.node, 0, sector, 512), -ENOKEY);
		assert_int_equal(block_write(model.node, 0, sector, 512), -ENOKEY);
		model_close(&model);
		model_fini(&model);
	}
}

static unsigned add_slot(struct model *model, const char *words)
{
	const struct block_key_ops *keys = model->node->format->keys;
	json_t *given = json_object(), *settings;
	struct err err = ERR_INIT;
	unsigned slot = 99;

	choose_key(words);
	assert_int_equal(block_settings_parse(given, "kdf=pbkdf2," QUICK, &err), 0);
	assert_int_equal(block_settings_complete(keys->slot_options, given, &settings, &err), 0);
	if (keys->add(model->node, settings, &slot, &err))
		fail_msg("%s", err.text);
	json_decref(settings);
	json_decref(given);
	return slot;
}

static void luks_key_slots_come_and_go(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		const struct block_key_ops *keys;
		struct err err = ERR_INIT;
		struct model model;

		make(&model, i);
		assert_int_equal(open_disk(&model), 0);
		keys = model.node->format->keys;
		model_write(&model, 0, 4096);
		assert_int_equal(add_slot(&model, "second words"), 1);
		assert_int_equal(add_slot(&model, "third words"), 2);
		assert_int_equal(keys->remove(model.node, 1, false, &err), 0);
		assert_int_equal(keys->remove(model.node, 1, false, &err), -ENOENT);
		assert_int_equal(keys->remove(model.node, 77, false, &err), -ENOENT);
		model_close(&model);
		choose_key("second words");
		assert_int_equal(open_disk(&model), -EKEYREJECTED);
		choose_key("third words");
		assert_int_equal(open_disk(&model), 0);
		model_expect(&model);
		assert_int_equal(keys->remove(model.node, 0, false, &err), 0);
		assert_int_equal(keys->remove(model.node, 2, false, &err), -EBUSY);
		model_close(&model);
		assert_int_equal(open_with(&model, "key=env:CELLA_TEST_KEY,key_slot=2"), 0);
		model_close(&model);
		assert_int_equal(open_with(&model, "key=env:CELLA_TEST_KEY,key_slot=0"),
				 -EKEYREJECTED);
		model_expect_clean(&model, "disk.luks");
		model_fini(&model);
	}
}

static void luks_resized_keeps_its_bytes(void **state)
{
	struct err err = ERR_INIT;
	struct model model;

	(void)state;
	make(&model, 2);
	assert_int_equal(open_disk(&model), 0);
	model_write(&model, 0, model.bytes);
	assert_int_equal(block_resize(model.node, MIB, &err), 0);
	model_set_bytes(&model, MIB);
	model_close(&model);
	assert_int_equal(open_disk(&model), 0);
	model_expect(&model);
	model_close(&model);
	model_fini(&model);
}

static void luks_read_by_threads_is_right(void **state)
{
	struct model_thread threads[MODEL_THREADS];
	struct model model;

	(void)state;
	make(&model, 0);
	assert_int_equal(open_disk(&model), 0);
	for (unsigned i = 0; i < MODEL_THREADS; i++) {
		threads[i] = (struct model_thread){ .model = &model, .random = 7 + i, .index = i };
		assert_int_equal(thread_start(&threads[i].thread, "writer", model_thread_main,
					      &threads[i], NULL),
				 0);
	}
	for (unsigned i = 0; i < MODEL_THREADS; i++) {
		pthread_join(threads[i].thread, NULL);
		assert_int_equal(threads[i].rc, 0);
	}
	model_expect(&model);
	model_close(&model);
	model_fini(&model);
}

/* ---- hostile headers ---- */

/* One field of a good header of version 1, and what opening it says. */
static const struct damage {
	uint64_t offset;
	uint32_t value;
	unsigned size;
	int rc;
} damages[] = {
	{ 0, 0, 4, -EINVAL },            /* magic */
	{ 6, 3, 2, -ENOTSUP },           /* version */
	{ 8, 0x61656261, 4, -ENOTSUP },  /* cipher */
	{ 72, 0x61656261, 4, -ENOTSUP }, /* hash */
	{ 104, 0, 4, -EINVAL },          /* place of data */
	{ 104, UINT32_MAX, 4, -EINVAL }, /* same */
	{ 108, 63, 4, -ENOTSUP },        /* key bytes */
	{ 108, UINT32_MAX, 4, -ENOTSUP },
	{ 164, 0, 4, -EINVAL },                /* iterations of the digest */
	{ 164, UINT32_MAX, 4, -EINVAL },       /* same */
	{ 208, 0x0000dead, 4, -EKEYREJECTED }, /* the only slot is not used */
	{ 212, UINT32_MAX, 4, -EKEYREJECTED }, /* its iterations */
	{ 212, 0, 4, -EKEYREJECTED },
	{ 248, UINT32_MAX, 4, -EKEYREJECTED }, /* its place */
	{ 252, UINT32_MAX, 4, -EKEYREJECTED }, /* its stripes */
	{ 252, 0, 4, -EKEYREJECTED },
};

static void luks_damaged_is_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		struct model model;
		uint8_t bytes[4];

		make(&model, 0);
		be32_put(bytes, damages[i].value << (8 * (4 - damages[i].size)));
		model_patch(&model, "disk.luks", damages[i].offset, bytes, damages[i].size);
		assert_int_equal(open_disk(&model), damages[i].rc);
		model_fini(&model);
	}
}

/* Replaces text in the JSON of both copies of a header of version 2, with good sums. */
static void edit_json(struct model *model, const char *from, const char *to)
{
	enum { HEADER_BYTES = 16384, JSON = 4096, SUM = 448 };
	static uint8_t header[HEADER_BYTES];
	int fd = open(model_path(model, "disk.luks"), O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0 && strlen(from) == strlen(to));
	for (unsigned i = 0; i < 2; i++) {
		uint8_t digest[HASH_BYTES_MAX];
		char *at;

		assert_int_equal(pread(fd, header, HEADER_BYTES, i * HEADER_BYTES), HEADER_BYTES);
		at = strstr((char *)header + JSON, from);
		assert_non_null(at);
		memcpy(at, to, strlen(to));
		memset(header + SUM, 0, 64);
		assert_int_equal(hash_of("sha256", header, HEADER_BYTES, "", 0, digest), 0);
		memcpy(header + SUM, digest, 32);
		assert_int_equal(pwrite(fd, header, HEADER_BYTES, i * HEADER_BYTES), HEADER_BYTES);
	}
	close(fd);
}

static const struct {
	const char *from, *to;
	int rc;
} edits[] = {
	{ "\"memory\":8192", "\"memory\":9192", -EKEYREJECTED },
	{ "\"cpus\":4", "\"cpus\":0", -EKEYREJECTED },
	{ "\"offset\":\"32768\"", "\"offset\":\"92768\"", -EKEYREJECTED },
	{ "\"offset\":\"32768\"", "\"offset\":\"-2768\"", -EKEYREJECTED },
	{ "\"argon2id\"", "\"argon2xx\"", -EKEYREJECTED },
	{ "\"crypt\"", "\"crapt\"", -ENOTSUP },
	{ "\"sector_size\":512", "\"sector_size\":513", -ENOTSUP },
	{ "\"16777216\"", "\"16777217\"", -EINVAL },
	{ "\"16777216\"", "\"96777216\"", -EINVAL },
	{ "\"digest\"", "\"digesd\"", -EINVAL },
	{ "\"segments\"", "\"segmentz\"", -ENOTSUP },
	{ "\"keyslots_size\"", "\"keyslots_sizf\"", -EINVAL },
	{ "\"config\":{", "\"config\":[", -EINVAL },
	{ "{", "[", -EINVAL },
};

static void luks2_with_wrong_json_is_refused_with_words(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(edits); i++) {
		struct model model;

		make(&model, 3);
		edit_json(&model, edits[i].from, edits[i].to);
		assert_int_equal(open_disk(&model), edits[i].rc);
		model_fini(&model);
	}
}

static void luks2_that_wants_too_much_memory_is_refused(void **state)
{
	struct model model;

	(void)state;
	make(&model, 3);
	assert_int_equal(open_with(&model, "key=env:CELLA_TEST_KEY,unlock_memory=4M"),
			 -EKEYREJECTED);
	edit_json(&model, "\"cpus\":4,", "\"cpus\" :4");
	assert_int_equal(open_disk(&model), -EINVAL);
	model_fini(&model);
}

static void luks2_header_is_repaired_from_the_other_copy(void **state)
{
	static const uint64_t copies[] = { 0, 16384 };
	static const uint8_t damage[16] = { 1, 2, 3 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(copies); i++) {
		struct block_check check;
		struct model model;

		make(&model, 2);
		model_patch(&model, "disk.luks", copies[i], damage, sizeof(damage));
		assert_int_equal(open_disk(&model), 0);
		model_expect(&model);
		model_close(&model);
		check = model_check(&model, "disk.luks", BLOCK_REPAIR_NOTHING);
		assert_int_equal(check.found[BLOCK_FINDING_ERROR], 1);
		check = model_check(&model, "disk.luks", BLOCK_REPAIR_LEAKS);
		assert_int_equal(check.repaired[BLOCK_FINDING_ERROR], 1);
		model_expect_clean(&model, "disk.luks");
		model_fini(&model);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(luks_random_requests_match_model),
		cmocka_unit_test(luks_file_holds_nothing_plain),
		cmocka_unit_test(luks_without_the_right_words_stays_shut),
		cmocka_unit_test(luks_key_slots_come_and_go),
		cmocka_unit_test(luks_resized_keeps_its_bytes),
		cmocka_unit_test(luks_read_by_threads_is_right),
		cmocka_unit_test(luks_damaged_is_refused_with_words),
		cmocka_unit_test(luks2_with_wrong_json_is_refused_with_words),
		cmocka_unit_test(luks2_that_wants_too_much_memory_is_refused),
		cmocka_unit_test(luks2_header_is_repaired_from_the_other_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
