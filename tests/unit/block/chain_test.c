/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Chains of images of every format that has them: streamed, committed, emptied, and put on other
 * images. A plain copy of the disk says what must be read.
 */
#include "model.h"

#include "block/filter/detect_zeroes.h"
#include "block/job/job.h"
#include "host/clock.h"

#define DISK_BYTES  (8 * MIB + 3 * BLOCK_SECTOR)
#define SHORT_BYTES (3 * MIB)

#define KEY "key=env:CELLA_TEST_KEY"

static const struct {
	const char *format, *settings;
} kinds[] = {
	{ "qcow2", "cluster-size=4K" },
	{ "vhd", "block-size=512K" },
	{ "vhdx", "block-size=1M" },
	{ "vmdk", NULL },
	{ "vmdk", "zeroed-grain=on" },
	{ "vmdk", "subformat=twoGbMaxExtentSparse" },
	{ "qcow2", "cluster-size=4K,encryption=luks,kdf-iterations=1000," KEY },
};

enum { BASE, MIDDLE, TOP, LINKS };

static const char *const links[LINKS] = { "base", "middle", "top" };

/* Keys of so many images, one on the other. */
static const char *const keys[] = {
	"",
	KEY,
	KEY ",backing." KEY,
	KEY ",backing." KEY ",backing.backing." KEY,
};

struct chain {
	struct model model;
	const char *format;
	bool encrypted;
	uint8_t *contents[LINKS]; /* what each shows */
	uint64_t bytes[LINKS];
};

/* Keys for images that are not there would be refused. */
static void open_link(struct chain *chain, unsigned number)
{
	unsigned count = chain->encrypted ? ARRAY_SIZE(keys) : 1;
	int rc = -EINVAL;

	while (count-- && rc == -EINVAL) {
		json_t *settings = json_object();

		assert_int_equal(block_settings_parse(settings, keys[count], NULL), 0);
		rc = model_open(&chain->model, links[number], chain->format,
				(struct block_open_options){ .settings = settings });
		json_decref(settings);
	}
	assert_int_equal(rc, 0);
}

static void link_add(struct chain *chain, unsigned kind, unsigned number)
{
	struct model *model = &chain->model;
	const struct model_image image = {
		.format = chain->format,
		.settings = kinds[kind].settings,
		.bytes = chain->bytes[number],
		.backing = number ? links[number - 1] : NULL,
		.backing_format = number ? chain->format : NULL,
	};

	assert_int_equal(model_create(model, links[number], &image), 0);
	open_link(chain, number);
	/* What is behind the end of the image below is zero. */
	model_set_bytes(model, chain->bytes[number]);
	model_scatter(model, 8, 1200);
	model_expect(model);
	model_close(model);
	chain->contents[number] = malloc(model->bytes);
	assert_non_null(chain->contents[number]);
	memcpy(chain->contents[number], model->disk, model->bytes);
}

/* `step`: the size of the image in the middle is another one with each. */
static void chain_init(struct chain *chain, unsigned kind, unsigned step)
{
	*chain = (struct chain){ .format = kinds[kind].format };
	chain->encrypted = kinds[kind].settings && strstr(kinds[kind].settings, KEY);
	setenv("CELLA_TEST_KEY", "the words", 1);
	for (unsigned i = 0; i < LINKS; i++)
		chain->bytes[i] = i == MIDDLE && step % 2 ? SHORT_BYTES : DISK_BYTES;
	model_init(&chain->model);
	for (unsigned i = 0; i < LINKS; i++)
		link_add(chain, kind, i);
}

static void chain_fini(struct chain *chain)
{
	for (unsigned i = 0; i < LINKS; i++)
		free(chain->contents[i]);
	model_fini(&chain->model);
}

/* The closed image shows what the model has. */
static void expect_link(struct chain *chain, unsigned number)
{
	open_link(chain, number);
	model_expect(&chain->model);
	model_close(&chain->model);
	model_expect_clean(&chain->model, links[number]);
}

/* Whether the closed image says that it stands on `backing` (NULL: nothing). */
static void expect_backing(struct chain *chain, unsigned number, const char *backing)
{
	const char *name;
	json_t *facts;

	open_link(chain, number);
	facts = block_describe(chain->model.node);
	name = json_string_value(json_object_get(facts, "backing-file"));
	assert_int_equal(!name, !backing);
	if (name)
		assert_string_equal(name, backing);
	json_decref(facts);
	model_close(&chain->model);
}

static void remove_link(struct chain *chain, unsigned number)
{
	struct model *model = &chain->model;

	assert_int_equal(unlink(model_path(model, links[number])), 0);
}

/* The first filter is what a device holds. */
static void open_live(struct chain *chain)
{
	struct block_node *disk;

	open_link(chain, TOP);
	disk = chain->model.node;
	assert_int_equal(
		detect_zeroes_open(disk, true, chain->model.loop, &chain->model.node, NULL), 0);
}

/* The job, slow at first, under writes, to its end. */
static void run(struct chain *chain, struct block_job *job)
{
	struct err err = ERR_INIT;

	model_scatter(&chain->model, 6, 1200);
	block_job_set_speed(job, 0);
	while (!block_job_wait(job, NS_PER_MS)) {
		if (block_job_progress(job).state == BLOCK_JOB_READY) {
			model_scatter(&chain->model, 2, 1200);
			assert_int_equal(block_job_complete(job, NULL), 0);
		}
	}
	if (block_job_free(job, &err))
		fail_msg("%s", err.text);
	model_scatter(&chain->model, 2, 1200);
	model_expect(&chain->model);
	model_close(&chain->model);
}

#define FOR_EACH_CHAIN(chain)                                                                      \
	for (unsigned i_ = 0;                                                                      \
	     i_ < 2 * ARRAY_SIZE(kinds) && (chain_init((chain), i_ / 2, i_), true);                \
	     chain_fini(chain), i_++)

static struct block_job_options options_of(struct chain *chain)
{
	return (struct block_job_options){ .root = chain->model.node,
					   .loop = chain->model.loop,
					   .speed = 1 };
}

static void stream_lets_an_image_stand_alone(void **state)
{
	struct chain chain;

	FOR_EACH_CHAIN(&chain)
	{
		struct block_job_options options;
		struct err err = ERR_INIT;
		struct block_job *job;

		open_live(&chain);
		options = options_of(&chain);
		if (block_stream_start(&job, &options, NULL, NULL, &err))
			fail_msg("%s: %s", chain.format, err.text);
		run(&chain, job);
		remove_link(&chain, BASE);
		remove_link(&chain, MIDDLE);
		expect_backing(&chain, TOP, NULL);
		expect_link(&chain, TOP);
	}
}

static void stream_leaves_out_what_is_between(void **state)
{
	struct chain chain;

	FOR_EACH_CHAIN(&chain)
	{
		struct block_job_options options;
		struct err err = ERR_INIT;
		struct block_node *base;
		struct block_job *job;

		open_live(&chain);
		options = options_of(&chain);
		base = block_backing(block_backing(chain.model.node->next));
		if (block_stream_start(&job, &options, base, links[BASE], &err))
			fail_msg("%s: %s", chain.format, err.text);
		run(&chain, job);
		remove_link(&chain, MIDDLE);
		expect_backing(&chain, TOP, links[BASE]);
		expect_link(&chain, TOP);
	}
}

static void commit_makes_the_base_the_disk(void **state)
{
	struct chain chain;

	FOR_EACH_CHAIN(&chain)
	{
		struct block_job_options options;
		struct err err = ERR_INIT;
		struct block_job *job;

		open_live(&chain);
		options = options_of(&chain);
		if (block_commit_start(&job, &options,
				       block_backing(block_backing(chain.model.node->next)), &err))
			fail_msg("%s: %s", chain.format, err.text);
		run(&chain, job);
		expect_link(&chain, BASE);
	}
}

/* As the image tool commits: the image stays on what it was committed to. */
static void emptied_image_shows_what_it_was_committed_to(void **state)
{
	struct chain chain;

	FOR_EACH_CHAIN(&chain)
	{
		struct block_job_options options = { 0 };
		const struct block_format *format;
		struct err err = ERR_INIT;
		struct block_job *job;
		struct block_extent extent;
		struct block_open_options open = { .path = model_path(&chain.model, links[TOP]),
						   .format = chain.format,
						   .cache = BLOCK_CACHE_UNSAFE };
		struct block_node *node;
		json_auto_t *settings = json_object();

		assert_int_equal(
			block_settings_parse(settings, keys[chain.encrypted ? LINKS : 0], NULL), 0);
		open.settings = settings;
		assert_int_equal(block_open(&open, NULL, &node, NULL), 0);
		format = node->format;
		options.root = node;
		if (block_commit_start(&job, &options, NULL, &err))
			fail_msg("%s: %s", chain.format, err.text);
		while (!block_job_wait(job, NS_PER_SEC))
			;
		assert_int_equal(block_job_free(job, NULL), 0);
		assert_int_equal(
			format->set_backing(node, links[MIDDLE], block_backing(node), NULL), 0);
		assert_int_equal((format->empty)(node, NULL), 0);
		assert_int_equal(block_flush(node), 0);
		for (uint64_t at = 0; at < DISK_BYTES; at += extent.bytes) {
			assert_int_equal(block_extent(node, at, DISK_BYTES - at, &extent), 0);
			assert_int_equal(extent.depth != 0, true);
		}
		block_close(node);
		chain.model.format = chain.format;
		expect_link(&chain, TOP);
		expect_link(&chain, MIDDLE);
		open_link(&chain, TOP);
		model_scatter(&chain.model, 8, 1200);
		model_expect(&chain.model);
		model_close(&chain.model);
		expect_link(&chain, TOP);
	}
}

static void image_on_an_image_of_another_format_is_refused(void **state)
{
	const struct model_image image = { .format = "qcow2", .bytes = DISK_BYTES };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct err err = ERR_INIT;
		struct block_node *other;
		struct chain chain;

		if (!strcmp(kinds[i].format, image.format))
			continue;
		chain_init(&chain, i, 0);
		assert_int_equal(model_create(&chain.model, "other", &image), 0);
		assert_int_equal(model_open(&chain.model, "other", "qcow2",
					    (struct block_open_options){ 0 }),
				 0);
		other = chain.model.node;
		open_link(&chain, TOP);
		assert_int_equal(chain.model.node->format->set_backing(chain.model.node, "other",
								       other, &err),
				 -EINVAL);
		assert_true(err.text[0]);
		block_close(other);
		model_expect(&chain.model);
		model_close(&chain.model);
		expect_link(&chain, TOP);
		chain_fini(&chain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream_lets_an_image_stand_alone),
		cmocka_unit_test(stream_leaves_out_what_is_between),
		cmocka_unit_test(commit_makes_the_base_the_disk),
		cmocka_unit_test(emptied_image_shows_what_it_was_committed_to),
		cmocka_unit_test(image_on_an_image_of_another_format_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
