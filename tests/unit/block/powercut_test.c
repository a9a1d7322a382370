/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left of an image when the power goes, or a write fails, at any instant.
 *
 * Random operations run on an image in memory that remembers what each of them wrote and flushed.
 * A power cut keeps everything up to the last flush of the file that had ended, and of the writes
 * behind it any, in any order, torn between sectors. Whatever was kept must open, hold each sector
 * that the disk had flushed (or something written to it since), have no damage but lost space, and
 * go on working.
 */
#include "fixture.h"

#include "base/cleanup.h"
#include "block/format.h"
#include "block/opener_priv.h"
#include "recorder.h"

#define SECTOR      BLOCK_SECTOR
#define SECTORS_MAX (24u << 10)
#define OPS         48
#define VARIANTS    3 /* of what was kept behind the last flush, besides all of it */

struct op {
	enum { OP_WRITE, OP_ZERO, OP_DISCARD, OP_FLUSH } kind;
	uint32_t value; /* of the sectors written; 0: zeroes */
	uint64_t sector, count;
	size_t first, end; /* events that happened meanwhile */
	int rc;
};

#define KEY   "key=env:CELLA_TEST_KEY,kdf_iterations=1000"
#define CRYPT "encryption=luks," KEY

/* A row of formats. */
struct kind {
	const char *format, *settings;
	uint64_t sectors; /* of the disk */
	uint64_t longest; /* operation, sectors */
	uint32_t unit;    /* of sectors; 0: 1 */
	bool noise;       /* what was never written is no zeroes */
};

static const struct kind kinds[] = {
	{ "qcow2", "cluster_size=512", 512, 24 },
	{ "qcow2", "cluster_size=4K", 2048, 64 },
	{ "qcow2", "cluster_size=16K,extended_l2=on", 4096, 96 },
	{ "qcow2", "cluster_size=4K,lazy_refcounts=on", 2048, 64 },
	{ "qcow2", "cluster_size=2K,refcount_bits=1", 2048, 64 },
	{ "qcow2", "cluster_size=4K," CRYPT, 2048, 64 },
	{ "luks", "version=1," KEY, 256, 24, .noise = true },
	{ "luks", "version=2,kdf=pbkdf2,sector_size=4096," KEY, 256, 24, .unit = 8, .noise = true },
	{ "vdi", NULL, 16 << 10, 2500 },
	{ "vhd", "block-size=512K", 8 << 10, 1500 },
	{ "vhdx", "block_size=1M", 16 << 10, 2500 },
	{ "vmdk", NULL, 2 << 10, 350 },
	{ "vmdk", "zeroed-grain=on", 2 << 10, 350 },
};

struct rig {
	const struct kind *kind;
	const struct block_format *format;
	struct content empty; /* a new image */
	struct recorded file;
	struct op ops[OPS];
	uint32_t random;
	uint8_t *buffer; /* of the whole disk */
};

/* What a sector may hold. */
struct sector {
	uint32_t value;
	bool zero;    /* or zeroes: it was discarded */
	bool unknown; /* or anything: an operation on it failed */
};

static uint32_t next_random(struct rig *rig)
{
	return recorder_random(&rig->random);
}

/* ---- images ---- */

static void make_empty(struct rig *rig)
{
	char path[] = "/var/tmp/cella-cut-XXXXXX";
	struct block_create_options options = { .path = path,
						.format = rig->kind->format,
						.bytes = rig->kind->sectors * SECTOR,
						.overwrite = true };
	json_auto_t *settings = json_object();
	AUTO_CLOSE int fd = mkstemp(path);
	struct err err = ERR_INIT;
	struct stat st;

	assert_true(fd >= 0);
	if (rig->kind->settings)
		assert_int_equal(block_settings_parse(settings, rig->kind->settings, &err), 0);
	options.settings = settings;
	if (block_create(&options, &err))
		fail_msg("%s", err.text);
	assert_int_equal(fstat(fd, &st), 0);
	content_resize(&rig->empty, (uint64_t)st.st_size);
	assert_int_equal(pread(fd, rig->empty.bytes, rig->empty.size, 0), st.st_size);
	unlink(path);
}

/* Those of the image's settings that opening it takes. */
static json_t *open_settings(const struct rig *rig)
{
	const struct block_option *row = rig->format->open_options;
	json_auto_t *made = json_object(), *given = json_object();
	struct err err = ERR_INIT;
	json_t *settings = NULL;

	if (rig->kind->settings)
		assert_int_equal(block_settings_parse(made, rig->kind->settings, &err), 0);
	for (; row && row->name; row++) {
		json_t *value = json_object_get(made, row->name);

		if (value)
			json_object_set(given, row->name, value);
	}
	assert_int_equal(block_settings_complete(rig->format->open_options, given, &settings, &err),
			 0);
	return settings;
}

static struct block_node *open_image(struct rig *rig, struct recorded *file)
{
	const struct block_open_options options = { .path = "disk" };
	struct chain chain = { .options = &options };
	struct block_opener opener = { .chain = &chain, .path = options.path };
	json_auto_t *settings = open_settings(rig);
	struct block_format_open open = { .opener = &opener, .cache_bytes = 1 << 20 };
	struct block_node *node = NULL;
	struct err err = ERR_INIT;

	open.file = recorder_open(file);
	open.settings = settings;
	if (rig->format->open(&open, &node, &err))
		fail_msg("%s %s: %s", rig->kind->format, rig->kind->settings, err.text);
	node->format = rig->format;
	return node;
}

/* `empty`: a new image of the kind, if there is one already. */
static void rig_init(struct rig *rig, const struct kind *kind, uint32_t seed,
		     const struct content *empty)
{
	*rig = (struct rig){ .kind = kind, .random = seed };
	rig->format = block_format_find(kind->format);
	assert_non_null(rig->format);
	assert_true(kind->sectors <= SECTORS_MAX);
	if (empty)
		content_copy(&rig->empty, empty);
	else
		make_empty(rig);
	rig->buffer = malloc(kind->sectors * SECTOR);
	assert_non_null(rig->buffer);
}

static void rig_fini(struct rig *rig)
{
	recorded_fini(&rig->file);
	free(rig->empty.bytes);
	free(rig->buffer);
}

/* ---- operations ---- */

/* Each sector names itself and the operation that wrote it. */
static void fill(uint8_t *buffer, uint64_t sector, uint64_t count, uint32_t value)
{
	for (uint64_t i = 0; i < count * SECTOR / 8; i++) {
		uint64_t word = value ? (uint64_t)value << 32 | (sector + i / (SECTOR / 8)) : 0;

		memcpy(buffer + 8 * i, &word, 8);
	}
}

/* False: the sector is torn or another one. */
static bool value_of(const uint8_t *bytes, uint64_t sector, uint32_t *ret_value)
{
	uint8_t expected[SECTOR];
	uint64_t word;

	memcpy(&word, bytes, 8);
	*ret_value = (uint32_t)(word >> 32);
	fill(expected, sector, 1, *ret_value);
	return !memcmp(bytes, expected, SECTOR);
}

static void op_choose(struct rig *rig, struct op *op, unsigned number)
{
	static const uint8_t kinds_of[] = { OP_WRITE, OP_WRITE, OP_WRITE,   OP_WRITE,
					    OP_WRITE, OP_ZERO,  OP_DISCARD, OP_FLUSH };
	uint64_t sectors = rig->kind->sectors;

	*op = (struct op){ .kind = kinds_of[next_random(rig) % ARRAY_SIZE(kinds_of)] };
	op->count = 1 + next_random(rig) % rig->kind->longest;
	op->sector = next_random(rig) % (sectors - op->count + 1);
	if (rig->kind->unit) {
		op->sector -= op->sector % rig->kind->unit;
		op->count += rig->kind->unit - 1;
		op->count -= op->count % rig->kind->unit;
	}
	op->value = op->kind == OP_WRITE ? number + 1 : 0;
}

static int op_run(struct rig *rig, struct block_node *node, const struct op *op)
{
	uint64_t offset = op->sector * SECTOR, bytes = op->count * SECTOR;

	switch (op->kind) {
	case OP_WRITE:
		fill(rig->buffer, op->sector, op->count, op->value);
		return block_write(node, offset, rig->buffer, bytes);
	case OP_ZERO:
		return block_write_zeroes(node, offset, bytes, op->value ? 0 : BLOCK_MAY_UNMAP);
	case OP_DISCARD:
		return block_discard(node, offset, bytes);
	default:
		return block_flush(node);
	}
}

static void ops_run(struct rig *rig)
{
	struct block_node *node;

	content_copy(&rig->file.now, &rig->empty);
	node = open_image(rig, &rig->file);
	for (unsigned i = 0; i < OPS; i++) {
		struct op *op = &rig->ops[i];

		op_choose(rig, op, i);
		op->first = rig->file.events.count;
		op->rc = op_run(rig, node, op);
		op->end = rig->file.events.count;
	}
	/* What failed once can be done again. */
	if (block_flush(node) && block_flush(node))
		fail_msg("%s %s: event %llu failed, and flushing since", rig->kind->format,
			 rig->kind->settings, (unsigned long long)rig->file.fail_at);
	block_close(node);
}

/* ---- what must be there ---- */

static struct sector *sectors_new(const struct kind *kind)
{
	struct sector *sectors = calloc(kind->sectors, sizeof(*sectors));

	assert_non_null(sectors);
	for (uint64_t i = 0; i < kind->sectors; i++)
		sectors[i].unknown = kind->noise;
	return sectors;
}

static void sectors_apply(struct sector *sectors, const struct op *op)
{
	for (uint64_t i = op->sector; op->kind != OP_FLUSH && i < op->sector + op->count; i++) {
		if (op->rc)
			sectors[i].unknown = true;
		else if (op->kind == OP_DISCARD)
			sectors[i].zero = true;
		else
			sectors[i] = (struct sector){ .value = op->value };
	}
}

static bool may_be(const struct sector *sector, uint32_t value)
{
	return sector->unknown || value == sector->value || (sector->zero && !value);
}

/* Operations that had begun after the flush may have come to anything. */
static bool may_be_since(const struct rig *rig, unsigned from, size_t cut, uint64_t sector,
			 uint32_t value)
{
	for (unsigned i = from; i < OPS && rig->ops[i].first <= cut; i++) {
		const struct op *op = &rig->ops[i];

		if (op->kind != OP_FLUSH && sector - op->sector < op->count && op->value == value)
			return true;
	}
	return false;
}

static void expect_disk(struct rig *rig, struct block_node *node, const struct sector *sectors,
			unsigned from, size_t cut)
{
	uint64_t count = rig->kind->sectors;

	assert_int_equal(block_read(node, 0, rig->buffer, count * SECTOR), 0);
	for (uint64_t i = 0; i < count; i++) {
		uint32_t value;

		if (!value_of(rig->buffer + i * SECTOR, i, &value) && !sectors[i].unknown)
			fail_msg("%s %s: cut at %zu: sector %llu is torn", rig->kind->format,
				 rig->kind->settings, cut, (unsigned long long)i);
		if (!may_be(&sectors[i], value) && !may_be_since(rig, from, cut, i, value))
			fail_msg("%s %s: cut at %zu: sector %llu holds %u, not %u",
				 rig->kind->format, rig->kind->settings, cut, (unsigned long long)i,
				 value, sectors[i].value);
	}
}

static void tell(void *ctx, enum block_finding finding, bool repaired, const char *text)
{
	(void)repaired;
	if (finding == BLOCK_FINDING_ERROR)
		print_message("%s: %s\n", (const char *)ctx, text);
}

static void expect_sound(struct rig *rig, struct block_node *node, size_t cut)
{
	struct block_check check = { .told = tell, .ctx = (void *)(uintptr_t)rig->kind->format };
	struct err err = ERR_INIT;

	if ((rig->format->check)(node, &check, &err))
		fail_msg("%s", err.text);
	if (check.found[BLOCK_FINDING_ERROR])
		fail_msg("%s %s: cut at %zu: damaged", rig->kind->format, rig->kind->settings, cut);
}

/* All of it written anew and read again. */
static void expect_usable(struct rig *rig, struct block_node *node)
{
	const uint64_t count = rig->kind->sectors, bytes = count * SECTOR;
	uint8_t *again = malloc(bytes);

	assert_non_null(again);
	fill(again, 0, count, UINT32_MAX);
	assert_int_equal(block_write(node, 0, again, bytes), 0);
	assert_int_equal(block_flush(node), 0);
	assert_int_equal(block_read(node, 0, rig->buffer, bytes), 0);
	assert_memory_equal(again, rig->buffer, bytes);
	free(again);
}

/* ---- power cuts ---- */

static void expect_after_cut(struct rig *rig, const struct content *kept,
			     const struct sector *sectors, unsigned from, size_t cut, bool usable)
{
	struct recorded file = { .fail_at = UINT64_MAX };
	struct block_node *node;

	content_copy(&file.now, kept);
	node = open_image(rig, &file);
	expect_disk(rig, node, sectors, from, cut);
	expect_sound(rig, node, cut);
	if (usable)
		expect_usable(rig, node);
	block_close(node);
	recorded_fini(&file);
}

static void cut_everywhere(struct rig *rig)
{
	struct sector *sectors = sectors_new(rig->kind);
	struct content durable = { 0 }, kept = { 0 };
	size_t flushed = 0;   /* events that the file had flushed */
	unsigned settled = 0; /* operations that the disk had */

	content_copy(&durable, &rig->empty);
	for (size_t cut = 0; cut <= rig->file.events.count; cut++) {
		if (cut && rig->file.events.items[cut - 1].kind == EVENT_FLUSH)
			for (; flushed < cut; flushed++)
				content_apply(&durable, &rig->file.events.items[flushed], 0,
					      rig->file.events.items[flushed].bytes);
		for (unsigned i = OPS; i-- > settled;) {
			if (rig->ops[i].kind != OP_FLUSH || rig->ops[i].end > cut)
				continue;
			for (; settled <= i; settled++)
				sectors_apply(sectors, &rig->ops[settled]);
			break;
		}
		for (unsigned variant = 0; variant <= VARIANTS; variant++) {
			content_copy(&kept, &durable);
			if (variant)
				recorded_keep_some(&rig->file, &kept, flushed, cut, &rig->random);
			for (size_t i = flushed; !variant && i < cut; i++)
				content_apply(&kept, &rig->file.events.items[i], 0,
					      rig->file.events.items[i].bytes);
			expect_after_cut(rig, &kept, sectors, settled, cut,
					 (cut + variant) % 16 == 0);
		}
	}
	free(durable.bytes);
	free(kept.bytes);
	free(sectors);
}

/* The rows of one format, its name is the state; or of all. */
static bool is_wanted(const struct kind *kind, const char *format)
{
	return !format || !strcmp(kind->format, format);
}

static void powercut_keeps_what_was_flushed(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rig rig;

		if (!is_wanted(&kinds[i], *state))
			continue;
		rig_init(&rig, &kinds[i], i + 1, NULL);
		rig.file.fail_at = UINT64_MAX;
		ops_run(&rig);
		cut_everywhere(&rig);
		rig_fini(&rig);
	}
}

/* ---- writes that fail ---- */

static void fail_once(const struct kind *kind, uint32_t seed, const struct content *empty,
		      uint64_t at, int error)
{
	struct sector *sectors = sectors_new(kind);
	struct recorded file = { .fail_at = UINT64_MAX };
	struct block_node *node;
	struct rig rig;

	rig_init(&rig, kind, seed, empty);
	rig.file.fail_at = at;
	rig.file.error = error;
	ops_run(&rig);
	for (unsigned i = 0; i < OPS; i++)
		sectors_apply(sectors, &rig.ops[i]);
	content_copy(&file.now, &rig.file.now);
	node = open_image(&rig, &file);
	expect_disk(&rig, node, sectors, OPS, at);
	expect_sound(&rig, node, at);
	expect_usable(&rig, node);
	block_close(node);
	recorded_fini(&file);
	rig_fini(&rig);
	free(sectors);
}

static void failed_write_loses_nothing_else(void **state)
{
	static const int errors[] = { -EIO, -ENOSPC };

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct rig rig;
		size_t events;

		if (!is_wanted(&kinds[i], *state))
			continue;
		rig_init(&rig, &kinds[i], i + 1, NULL);
		rig.file.fail_at = UINT64_MAX;
		ops_run(&rig);
		events = rig.file.events.count;
		for (size_t at = 0; at < events; at++)
			fail_once(&kinds[i], i + 1, &rig.empty, at,
				  errors[at % ARRAY_SIZE(errors)]);
		rig_fini(&rig);
	}
}

/* With the name of a format: only that one. */
int main(int argc, char **argv)
{
	void *format = argc > 1 ? argv[1] : NULL;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(powercut_keeps_what_was_flushed, format),
		cmocka_unit_test_prestate(failed_write_loses_nothing_else, format),
	};

	setenv("CELLA_TEST_KEY", "the words", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
