/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left of an image when the power goes, or a write fails, while it gets another backing file,
 * loses the one that it has, or is emptied: it stands on the old one or on the new, and shows each
 * sector of its own, or of that.
 */
#include "fixture.h"

#include "block/format.h"
#include "block/opener_priv.h"
#include "recorder.h"

#define SECTORS  (8u << 10)
#define BYTES    (SECTORS * (uint64_t)BLOCK_SECTOR)
#define VARIANTS 6

enum { OLD, NEW, IMAGES };
enum change { RELINK, STAND_ALONE, EMPTY, CHANGES };

/* What sectors hold: of the two images that are stood on, and of the image itself. */
enum { VALUE_OLD = 1, VALUE_NEW, VALUE_OWN };

static const struct kind {
	const char *format, *settings;
	unsigned granule; /* sectors that get their place together */
} kinds[] = {
	{ "qcow2", "cluster-size=4K", 8 },  { "vhd", "block-size=512K", 1 },
	{ "vhdx", "block-size=1M", 1 },     { "vmdk", NULL, 128 },
	{ "vmdk", "zeroed-grain=on", 128 },
};

static const char *const names[IMAGES] = { "old", "new" };

struct rig {
	const struct kind *kind;
	const struct block_format *format;
	char folder[64], path[96];
	struct block_node *images[IMAGES];
	struct content first; /* the image as it was made */
	bool own[SECTORS];
	struct recorded file;
	size_t start; /* of the change, all before it is durable */
	uint32_t random;
	uint8_t *buffer;
};

static const char *path_of(struct rig *rig, const char *name)
{
	snprintf(rig->path, sizeof(rig->path), "%s/%s", rig->folder, name);
	return rig->path;
}

/* Each sector names itself and who has written it. */
static void fill(uint8_t *buffer, uint64_t sector, uint64_t count, uint32_t value)
{
	for (uint64_t i = 0; i < count * BLOCK_SECTOR / 8; i++) {
		uint64_t word = (uint64_t)value << 32 | (sector + i / (BLOCK_SECTOR / 8));

		memcpy(buffer + 8 * i, &word, 8);
	}
}

static void make(struct rig *rig, const char *name, const char *backing)
{
	json_t *settings = json_object();
	struct block_create_options create = {
		.path = path_of(rig, name),
		.format = rig->kind->format,
		.bytes = BYTES,
		.backing = backing,
		.backing_format = backing ? rig->kind->format : NULL,
		.settings = settings,
	};
	struct err err = ERR_INIT;

	if (rig->kind->settings)
		assert_int_equal(block_settings_parse(settings, rig->kind->settings, NULL), 0);
	if (block_create(&create, &err))
		fail_msg("%s", err.text);
	json_decref(settings);
}

static void make_images(struct rig *rig)
{
	for (unsigned i = 0; i < IMAGES; i++) {
		struct block_open_options open = { .format = rig->kind->format,
						   .cache = BLOCK_CACHE_UNSAFE };

		make(rig, names[i], NULL);
		open.path = rig->path;
		assert_int_equal(block_open(&open, NULL, &rig->images[i], NULL), 0);
		fill(rig->buffer, 0, SECTORS, VALUE_OLD + i);
		assert_int_equal(block_write(rig->images[i], 0, rig->buffer, BYTES), 0);
		assert_int_equal(block_flush(rig->images[i]), 0);
	}
}

static void rig_init(struct rig *rig, const struct kind *kind)
{
	struct block_open_options plain = { .format = "raw", .read_only = true };
	struct block_node *file;

	*rig = (struct rig){ .kind = kind, .random = 5, .folder = "/var/tmp/cella-relink-XXXXXX" };
	rig->format = block_format_find(kind->format);
	assert_non_null(mkdtemp(rig->folder));
	rig->buffer = malloc(BYTES);
	assert_non_null(rig->buffer);
	make(rig, names[OLD], NULL);
	make(rig, "image", names[OLD]);
	plain.path = rig->path;
	assert_int_equal(block_open(&plain, NULL, &file, NULL), 0);
	content_resize(&rig->first, block_size_bytes(file));
	assert_int_equal(block_read(file, 0, rig->first.bytes, rig->first.size), 0);
	block_close(file);
	assert_int_equal(unlink(path_of(rig, names[OLD])), 0);
	make_images(rig);
	for (unsigned i = 0; i < 30; i++) {
		unsigned granule = kind->granule, granules = SECTORS / granule;
		unsigned at = recorder_random(&rig->random) % granules;
		unsigned count =
			1 + recorder_random(&rig->random) % MIN(granules - at, 100 / granule + 2);

		memset(rig->own + at * granule, true, count * granule);
	}
}

static void rig_fini(struct rig *rig)
{
	char command[128];

	for (unsigned i = 0; i < IMAGES; i++)
		block_close(rig->images[i]);
	recorded_fini(&rig->file);
	free(rig->first.bytes);
	free(rig->buffer);
	snprintf(command, sizeof(command), "rm -r '%s'", rig->folder);
	assert_int_equal(system(command), 0);
}

/* Which image the open one says that it stands on; IMAGES: none. */
static unsigned named(struct block_node *node)
{
	json_t *facts = block_describe(node);
	const char *name = json_string_value(json_object_get(facts, "backing-file"));
	unsigned i = 0;

	while (name && i < IMAGES && strcmp(name, names[i]))
		i++;
	assert_true(!name || i < IMAGES);
	json_decref(facts);
	return name ? i : IMAGES;
}

/* The image in the file, on what it says. */
static struct block_node *open_image(struct rig *rig, struct recorded *file, unsigned *ret_named)
{
	const struct block_open_options options = { .path = "image" };
	struct chain chain = { .options = &options };
	struct block_opener opener = { .chain = &chain, .path = options.path };
	json_auto_t *settings = NULL;
	struct block_format_open open = { .opener = &opener, .cache_bytes = 1 << 20 };
	struct block_node *node = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(block_settings_complete(rig->format->open_options, NULL, &settings, &err),
			 0);
	open.file = recorder_open(file);
	open.settings = settings;
	open.no_backing = true;
	if (rig->format->open(&open, &node, &err))
		fail_msg("%s: %s", rig->kind->format, err.text);
	node->format = rig->format;
	*ret_named = named(node);
	if (*ret_named < IMAGES)
		assert_int_equal(block_node_set_backing(node, rig->images[*ret_named]), 0);
	return node;
}

/* What it stood on stays. */
static void close_image(struct block_node *node)
{
	if (block_backing(node))
		assert_int_equal(block_node_set_backing(node, NULL), 0);
	block_close(node);
}

static void write_own(struct rig *rig, struct block_node *node)
{
	for (unsigned at = 0, count; at < SECTORS; at += count) {
		count = 1;
		while (at + count < SECTORS && rig->own[at + count] == rig->own[at])
			count++;
		fill(rig->buffer, at, count, VALUE_OWN);
		if (rig->own[at])
			assert_int_equal(block_write(node, at * (uint64_t)BLOCK_SECTOR, rig->buffer,
						     count * (uint64_t)BLOCK_SECTOR),
					 0);
	}
}

/* It needs no other image any more. */
static void write_rest(struct rig *rig, struct block_node *node)
{
	assert_int_equal(block_read(node, 0, rig->buffer, BYTES), 0);
	assert_int_equal(block_write(node, 0, rig->buffer, BYTES), 0);
}

/* The change on a new recording, in which one event may fail; its result. */
static int run(struct rig *rig, enum change change, uint64_t fail_after, int error)
{
	struct block_node *node;
	unsigned was;
	int rc;

	recorded_fini(&rig->file);
	rig->file = (struct recorded){ .fail_at = UINT64_MAX };
	content_copy(&rig->file.now, &rig->first);
	node = open_image(rig, &rig->file, &was);
	assert_int_equal(was, OLD);
	write_own(rig, node);
	if (change == STAND_ALONE)
		write_rest(rig, node);
	assert_int_equal(block_flush(node), 0);
	rig->start = rig->file.events.count;
	if (fail_after != UINT64_MAX) {
		rig->file.fail_at = rig->start + fail_after;
		rig->file.error = error;
	}
	if (change == EMPTY)
		rc = (rig->format->empty)(node, NULL);
	else if (change == RELINK)
		rc = rig->format->set_backing(node, names[NEW], rig->images[NEW], NULL);
	else
		rc = rig->format->set_backing(node, NULL, NULL, NULL);
	if (block_flush(node))
		assert_int_equal(block_flush(node), 0);
	close_image(node);
	return rc;
}

static void tell(void *ctx, enum block_finding finding, bool repaired, const char *text)
{
	(void)repaired;
	if (finding == BLOCK_FINDING_ERROR)
		print_message("%s: %s\n", (const char *)ctx, text);
}

static void expect_sectors(struct rig *rig, enum change change, unsigned stands_on, size_t cut)
{
	for (unsigned i = 0; i < SECTORS; i++) {
		uint32_t behind = stands_on == NEW ? VALUE_NEW : VALUE_OLD, value;
		uint8_t expected[BLOCK_SECTOR];
		uint64_t word;

		memcpy(&word, rig->buffer + i * (uint64_t)BLOCK_SECTOR, 8);
		value = (uint32_t)(word >> 32);
		fill(expected, i, 1, value);
		assert_memory_equal(expected, rig->buffer + i * (uint64_t)BLOCK_SECTOR,
				    BLOCK_SECTOR);
		if (value != (rig->own[i] ? VALUE_OWN : behind) &&
		    !(change == EMPTY && value == behind))
			fail_msg("%s %s: change %u cut at %zu: sector %u holds %u",
				 rig->kind->format, rig->kind->settings, change, cut, i, value);
	}
}

/* Whatever was kept; `done`: the change must be in it. */
static void expect_kept(struct rig *rig, enum change change, const struct content *kept, size_t cut,
			bool done)
{
	static const unsigned after[CHANGES] = { NEW, IMAGES, OLD };
	struct recorded file = { .fail_at = UINT64_MAX };
	struct block_check check = { .told = tell, .ctx = (void *)(uintptr_t)rig->kind->format };
	struct block_node *node;
	unsigned stands_on;

	content_copy(&file.now, kept);
	node = open_image(rig, &file, &stands_on);
	if (stands_on != after[change] && (done || stands_on != OLD))
		fail_msg("%s: change %u cut at %zu: stands on %u", rig->kind->format, change, cut,
			 stands_on);
	assert_int_equal(block_read(node, 0, rig->buffer, BYTES), 0);
	expect_sectors(rig, change, stands_on, cut);
	assert_int_equal((rig->format->check)(node, &check, NULL), 0);
	assert_int_equal(check.found[BLOCK_FINDING_ERROR], 0);
	fill(rig->buffer, 0, SECTORS, VALUE_OWN);
	assert_int_equal(block_write(node, 0, rig->buffer, BYTES), 0);
	assert_int_equal(block_flush(node), 0);
	close_image(node);
	recorded_fini(&file);
}

static void cut_everywhere(struct rig *rig, enum change change)
{
	const struct event *events = rig->file.events.items;
	size_t count = rig->file.events.count, flushed = 0;
	struct content durable = { 0 }, kept = { 0 };

	content_copy(&durable, &rig->first);
	for (size_t cut = 1; cut <= count; cut++) {
		if (events[cut - 1].kind == EVENT_FLUSH)
			for (; flushed < cut; flushed++)
				content_apply(&durable, &events[flushed], 0, events[flushed].bytes);
		for (unsigned variant = 0; cut >= rig->start && variant <= VARIANTS; variant++) {
			content_copy(&kept, &durable);
			if (variant)
				recorded_keep_some(&rig->file, &kept, flushed, cut, &rig->random);
			for (size_t i = flushed; !variant && i < cut; i++)
				content_apply(&kept, &events[i], 0, events[i].bytes);
			expect_kept(rig, change, &kept, cut, cut == count && !variant);
		}
	}
	free(durable.bytes);
	free(kept.bytes);
}

/* The rows of one format, its name is the state; or of all. */
static bool is_wanted(const struct kind *kind, const char *format)
{
	return !format || !strcmp(kind->format, format);
}

static void powercut_leaves_the_old_or_the_new(void **state)
{
	for (unsigned i = 0; i < CHANGES * ARRAY_SIZE(kinds); i++) {
		struct rig rig;

		if (!is_wanted(&kinds[i / CHANGES], *state))
			continue;
		rig_init(&rig, &kinds[i / CHANGES]);
		assert_int_equal(run(&rig, (enum change)(i % CHANGES), UINT64_MAX, 0), 0);
		cut_everywhere(&rig, (enum change)(i % CHANGES));
		rig_fini(&rig);
	}
}

static void failed_write_leaves_the_old_or_the_new(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC };

	for (unsigned i = 0; i < CHANGES * ARRAY_SIZE(kinds); i++) {
		enum change change = (enum change)(i % CHANGES);
		struct rig rig;
		size_t count;

		if (!is_wanted(&kinds[i / CHANGES], *state))
			continue;
		rig_init(&rig, &kinds[i / CHANGES]);
		assert_int_equal(run(&rig, change, UINT64_MAX, 0), 0);
		count = rig.file.events.count - rig.start;
		for (size_t at = 0; at < count; at++) {
			int rc = run(&rig, change, at, errors[at % ARRAY_SIZE(errors)]);

			expect_kept(&rig, change, &rig.file.now, at, !rc);
		}
		rig_fini(&rig);
	}
}

/* With the name of a format: only that one. */
int main(int argc, char **argv)
{
	void *format = argc > 1 ? argv[1] : NULL;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(powercut_leaves_the_old_or_the_new, format),
		cmocka_unit_test_prestate(failed_write_leaves_the_old_or_the_new, format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
