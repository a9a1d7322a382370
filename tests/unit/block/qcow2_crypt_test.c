/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encrypted qcow2 images against a model: alone, in chains of several keys, and damaged. */
#include "model.h"

#include "base/bytes.h"

#define QUICK "encryption=luks,key=env:CELLA_TEST_KEY,kdf_iterations=1000"
#define KEY   "key=env:CELLA_TEST_KEY"

static const struct model_image images[] = {
	{ .format = "qcow2", .bytes = 3 * MIB + 512, .settings = QUICK },
	{ .format = "qcow2",
	  .bytes = MIB,
	  .settings =
		  "cluster_size=512,refcount_bits=64,cipher=aes-cbc-essiv:sha256,hash=sha512," QUICK },
	{ .format = "qcow2",
	  .bytes = 3 * MIB,
	  .settings = "cluster_size=16K,extended_l2=on," QUICK },
	{ .format = "qcow2", .bytes = 3 * MIB, .settings = "compat=0.10,cluster_size=4K," QUICK },
	{ .format = "qcow2",
	  .bytes = 3 * MIB,
	  .settings = "lazy_refcounts=on,cluster_size=4K,key_bits=256," QUICK },
	{ .format = "qcow2", .bytes = 3 * MIB, .settings = "data_file=data," QUICK },
	{ .format = "qcow2", .bytes = 3 * MIB, .settings = "preallocation=metadata," QUICK },
	{ .format = "qcow2", .bytes = 3 * MIB, .settings = "preallocation=falloc," QUICK },
	{ .format = "qcow2", .bytes = 3 * MIB + 512, .settings = "preallocation=full," QUICK },
};

static void choose_key(const char *variable, const char *key)
{
	setenv(variable, key, 1);
}

static int open_with(struct model *model, const char *name, const char *settings_text,
		     struct block_open_options options)
{
	json_t *settings = json_object();
	struct err err = ERR_INIT;
	int rc;

	assert_int_equal(block_settings_parse(settings, settings_text, &err), 0);
	options.settings = settings;
	rc = model_open(model, name, "qcow2", options);
	json_decref(settings);
	return rc;
}

static int open_disk(struct model *model)
{
	return open_with(model, "disk", KEY, (struct block_open_options){ .cache_bytes = 1 });
}

static void make(struct model *model, unsigned image)
{
	model_init(model);
	choose_key("CELLA_TEST_KEY", "the words");
	model_set_bytes(model, images[image].bytes);
	assert_int_equal(model_create(model, "disk", &images[image]), 0);
}

static void crypt_random_requests_match_model(void **state)
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
			model_expect_clean(&model, "disk");
		}
		model_fini(&model);
	}
}

static void expect_nothing_plain(struct model *model, const char *name)
{
	uint8_t *file;
	size_t count;

	assert_int_equal(
		fd_read_file(model_path(model, name), 64 * MIB, (void **)&file, &count, NULL), 0);
	assert_null(memmem(file, count, "xxxxxxxx", 8));
	assert_null(memmem(file, count, "the words", 9));
	free(file);
}

static void crypt_file_holds_nothing_plain(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(images); i++) {
		uint64_t granularity;
		struct model model;

		make(&model, i);
		assert_int_equal(open_disk(&model), 0);
		granularity = MIN((uint64_t)block_granularity_bytes(model.node), model.bytes);
		memset(model.disk, 'x', model.bytes);
		assert_int_equal(block_write(model.node, 512, model.disk, model.bytes - 512), 0);
		/* What could be packed is encrypted instead. */
		assert_int_equal(
			block_writev(model.node, 0, granularity,
				     (struct block_buffer){
					     .iov = &(struct iovec){ model.disk, granularity },
					     .iov_count = 1 },
				     BLOCK_COMPRESS),
			0);
		model_expect(&model);
		model_close(&model);
		expect_nothing_plain(&model, "disk");
		if (strstr(images[i].settings, "data_file"))
			expect_nothing_plain(&model, "data");
		model_fini(&model);
	}
}

static void crypt_without_the_right_words_stays_shut(void **state)
{
	uint8_t sector[512] = { 1 };
	struct model model;

	(void)state;
	make(&model, 0);
	assert_int_equal(open_disk(&model), 0);
	model_write(&model, 0, 4096);
	model_close(&model);
	choose_key("CELLA_TEST_KEY", "other words");
	assert_int_equal(open_disk(&model), -EKEYREJECTED);
	assert_int_equal(open_with(&model, "disk", "", (struct block_open_options){ 0 }), -ENOKEY);
	assert_int_equal(
		open_with(&model, "disk", "", (struct block_open_options){ .locked = true }), 0);
	assert_int_equal(block_read(model.node, 0, sector, 512), -ENOKEY);
	assert_int_equal(block_write(model.node, 0, sector, 512), -ENOKEY);
	assert_int_equal(block_write(model.node, MIB, sector, 512), -ENOKEY);
	assert_int_equal(request_io(model.node, BLOCK_READ, 0, sector, 512), -ENOKEY);
	model_close(&model);
	model_expect_clean(&model, "disk");
	model_fini(&model);
}

static void add_slot(struct model *model, const char *words, unsigned expected)
{
	const struct block_key_ops *keys = model->node->format->keys;
	json_t *given = json_object(), *settings;
	struct err err = ERR_INIT;
	unsigned slot = 99;

	choose_key("CELLA_TEST_KEY", words);
	assert_int_equal(block_settings_parse(given, KEY ",kdf_iterations=1000", &err), 0);
	assert_int_equal(block_settings_complete(keys->slot_options, given, &settings, &err), 0);
	if (keys->add(model->node, settings, &slot, &err))
		fail_msg("%s", err.text);
	assert_int_equal(slot, expected);
	json_decref(settings);
	json_decref(given);
}

static void crypt_key_slots_come_and_go(void **state)
{
	const struct block_key_ops *keys;
	struct err err = ERR_INIT;
	struct model model;
	json_t *list;

	(void)state;
	make(&model, 2);
	assert_int_equal(open_disk(&model), 0);
	keys = model.node->format->keys;
	model_write(&model, 0, 4096);
	add_slot(&model, "second words", 1);
	assert_int_equal(keys->remove(model.node, 0, false, &err), 0);
	assert_int_equal(keys->remove(model.node, 1, false, &err), -EBUSY);
	assert_int_equal(keys->list(model.node, &list, &err), 0);
	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	model_close(&model);
	assert_int_equal(open_disk(&model), 0);
	model_expect(&model);
	model_close(&model);
	choose_key("CELLA_TEST_KEY", "the words");
	assert_int_equal(open_disk(&model), -EKEYREJECTED);
	model_expect_clean(&model, "disk");
	model_fini(&model);
}

static void crypt_snapshot_and_size_keep_the_content(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const struct block_snapshot_ops *snapshots;
		uint8_t *before;
		struct model model;

		make(&model, i);
		assert_int_equal(open_disk(&model), 0);
		snapshots = model.node->format->snapshots;
		for (unsigned step = 0; step < 20; step++)
			model_step(&model);
		before = malloc(model.bytes);
		assert_non_null(before);
		memcpy(before, model.disk, model.bytes);
		assert_int_equal(snapshots->create(model.node, "one", &err), 0);
		for (unsigned step = 0; step < 20; step++)
			model_step(&model);
		assert_int_equal(block_resize(model.node, model.bytes + 3 * MIB, &err), 0);
		model_set_bytes(&model, model.bytes + 3 * MIB);
		model_expect(&model);
		assert_int_equal(snapshots->apply(model.node, "one", &err), 0);
		model.bytes = images[i].bytes;
		memcpy(model.disk, before, model.bytes);
		model_expect(&model);
		model_close(&model);
		model_expect_clean(&model, "disk");
		free(before);
		model_fini(&model);
	}
}

/* ---- chains ---- */

/* Two images, each with a key of its own, and the model of the upper one. */
static void make_chain(struct model *model)
{
	static const struct model_image top = {
		.format = "qcow2",
		.bytes = UINT64_MAX,
		.settings =
			"cluster_size=4K,encryption=luks,key=env:CELLA_TEST_TOP,kdf_iterations=1000",
		.backing = "disk",
		.backing_format = "qcow2",
	};

	make(model, 0);
	assert_int_equal(open_disk(model), 0);
	for (unsigned step = 0; step < 20; step++)
		model_step(model);
	model_close(model);
	choose_key("CELLA_TEST_TOP", "words of the upper one");
	/* Size and format of the lower one need no key. */
	assert_int_equal(model_create(model, "top", &top), 0);
}

static void chain_takes_a_key_for_each_image(void **state)
{
	static const struct {
		const char *settings;
		int rc;
	} cases[] = {
		{ "key=env:CELLA_TEST_TOP", -ENOKEY },
		{ "key=env:CELLA_TEST_TOP,backing.key=env:CELLA_TEST_TOP", -EKEYREJECTED },
		{ "backing.key=env:CELLA_TEST_KEY", -ENOKEY },
		{ "key=env:CELLA_TEST_TOP,backing.kye=env:CELLA_TEST_KEY", -EINVAL },
		{ "key=env:CELLA_TEST_TOP,backing.key=env:CELLA_TEST_KEY,"
		  "backing.backing.key=env:CELLA_TEST_KEY",
		  -EINVAL },
		{ "key=env:CELLA_TEST_TOP,backing.key=env:CELLA_TEST_KEY", 0 },
	};
	struct model model;

	(void)state;
	make_chain(&model);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc = open_with(&model, "top", cases[i].settings,
				   (struct block_open_options){ 0 });

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].settings, rc);
	}
	model_expect(&model);
	for (unsigned step = 0; step < 40; step++)
		model_step(&model);
	model_expect(&model);
	model_close(&model);
	model_expect_clean(&model, "top");
	model_fini(&model);
}

/* ---- damage ---- */

enum { IN_HEADER, IN_EXTENSION, IN_LUKS };

static const struct {
	unsigned where;
	uint64_t offset;
	uint64_t value;
	unsigned size;
	int rc;
} damages[] = {
	{ IN_HEADER, 32, 1, 4, -EINVAL },            /* method: AES, with a LUKS header */
	{ IN_HEADER, 32, 3, 4, -ENOTSUP },           /* method: unknown */
	{ IN_HEADER, 32, 0, 4, -EINVAL },            /* method: none, with a LUKS header */
	{ IN_EXTENSION, 0, 0x12345678, 4, -EINVAL }, /* no LUKS header */
	{ IN_EXTENSION, 4, 8, 4, -EINVAL },          /* its length */
	{ IN_EXTENSION, 8, 512, 8, -EINVAL },        /* place of the LUKS header */
	{ IN_EXTENSION, 8, UINT64_MAX << 16, 8, -EINVAL },
	{ IN_EXTENSION, 16, UINT64_MAX, 8, -EINVAL }, /* its bytes */
	{ IN_EXTENSION, 16, 1000, 8, -EINVAL },
	{ IN_LUKS, 0, 0, 4, -EINVAL },
	{ IN_LUKS, 6, 3, 2, -ENOTSUP }, /* version */
	{ IN_LUKS, 212, UINT32_MAX, 4, -EKEYREJECTED },
};

static uint64_t find(struct model *model, const void *bytes, size_t count)
{
	uint8_t *file;
	const uint8_t *at;
	size_t size;
	uint64_t offset;

	assert_int_equal(
		fd_read_file(model_path(model, "disk"), 64 * MIB, (void **)&file, &size, NULL), 0);
	at = memmem(file, size, bytes, count);
	assert_non_null(at);
	offset = (uint64_t)(at - file);
	free(file);
	return offset;
}

static void crypt_damaged_is_refused_with_words(void **state)
{
	static const uint8_t extension[] = { 0x05, 0x37, 0xbe, 0x77 };
	uint64_t places[3] = { 0 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
		struct model model;
		uint8_t bytes[8];
		int rc;

		make(&model, 0);
		places[IN_EXTENSION] = find(&model, extension, sizeof(extension));
		places[IN_LUKS] = find(&model, "LUKS\xba\xbe", 6);
		be64_put(bytes, damages[i].value << (8 * (8 - damages[i].size)));
		model_patch(&model, "disk", places[damages[i].where] + damages[i].offset, bytes,
			    damages[i].size);
		rc = open_disk(&model);
		if (rc != damages[i].rc)
			fail_msg("damage %u: %d", i, rc);
		model_fini(&model);
	}
}

static void crypt_check_finds_a_broken_luks_header(void **state)
{
	struct block_check check;
	struct model model;
	uint8_t zero[8] = { 0 };

	(void)state;
	make(&model, 0);
	model.format = "qcow2";
	model_patch(&model, "disk", find(&model, "LUKS\xba\xbe", 6), zero, sizeof(zero));
	check = model_check(&model, "disk", BLOCK_REPAIR_NOTHING);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 1);
	model_fini(&model);
}

static void crypt_options_that_cannot_be_are_refused(void **state)
{
	static const struct {
		const char *settings;
		int rc;
	} cases[] = {
		{ KEY, -EINVAL },
		{ "encryption=luks", -ENOKEY },
		{ "encryption=luks,key=words", -EINVAL },
		{ "data_file=data,data_file_raw=on," QUICK, -EINVAL },
		{ "compat=0.10,preallocation=metadata," QUICK, -ENOTSUP },
		{ "key_bits=100," QUICK, -EINVAL },
	};
	struct model model;

	(void)state;
	model_init(&model);
	choose_key("CELLA_TEST_KEY", "the words");
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct model_image image = { "qcow2", cases[i].settings, MIB, NULL, NULL };
		int rc = model_create(&model, "disk", &image);

		if (rc != cases[i].rc)
			fail_msg("%s: %d", cases[i].settings, rc);
		assert_int_equal(access(model_path(&model, "disk"), F_OK), -1);
		assert_int_equal(access(model_path(&model, "data"), F_OK), -1);
	}
	model_fini(&model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crypt_random_requests_match_model),
		cmocka_unit_test(crypt_file_holds_nothing_plain),
		cmocka_unit_test(crypt_without_the_right_words_stays_shut),
		cmocka_unit_test(crypt_key_slots_come_and_go),
		cmocka_unit_test(crypt_snapshot_and_size_keep_the_content),
		cmocka_unit_test(chain_takes_a_key_for_each_image),
		cmocka_unit_test(crypt_damaged_is_refused_with_words),
		cmocka_unit_test(crypt_check_finds_a_broken_luks_header),
		cmocka_unit_test(crypt_options_that_cannot_be_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
