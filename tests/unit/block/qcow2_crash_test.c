/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power cuts. An image is worked on in a file that remembers each write and flush. Then that file is
 * made again as it may be after a cut: all before the last flush, and of what came behind it any
 * sectors. In each of them every sector must be what was flushed, or what was on its way, and the
 * check may find nothing but leaks.
 */
#include "qcow2_fixture.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/log.h"
#include "block/format/formats.h"
#include "block/opener_priv.h"

#define DISK_BYTES (MIB + 512)
#define SECTORS    (DISK_BYTES / 512)
#define FILE_MAX   (8 * MIB)
#define STEPS      60
#define CUTS       40
#define FAILURES   25

static const struct variant {
	const char *settings;
	uint64_t backing_bytes;
} variants[] = {
	{ "cluster_size=4K" },
	{ "cluster_size=4K", .backing_bytes = DISK_BYTES },
	{ "cluster_size=512,refcount_bits=64" },
	{ "cluster_size=64K", .backing_bytes = DISK_BYTES },
	{ "cluster_size=16K,extended_l2=on", .backing_bytes = DISK_BYTES },
	{ "cluster_size=4K,lazy_refcounts=on", .backing_bytes = DISK_BYTES },
	{ "cluster_size=4K,compat=0.10" },
};

/* ---- the file ---- */

struct event {
	bool flush;
	uint64_t offset, bytes;
	uint8_t *data;
};

struct tape {
	struct block_node node;
	uint8_t *content, *start;
	uint64_t size, start_size;
	VEC(struct event) events;
	size_t fail_at; /* the event that fails, instead of happening; 0: none */
	size_t calls;
};

static bool fails(struct tape *tape)
{
	return ++tape->calls == tape->fail_at;
}

static struct tape *tape_of(struct block_node *node)
{
	return container_of(node, struct tape, node);
}

static int tape_read(struct block_node *node, uint64_t offset, uint64_t bytes,
		     struct block_buffer to)
{
	struct tape *tape = tape_of(node);

	for (unsigned i = 0; i < to.iov_count && bytes; i++) {
		uint64_t skip = MIN(to.skip, to.iov[i].iov_len);
		uint64_t part = MIN(to.iov[i].iov_len - skip, bytes);
		uint8_t *memory = (uint8_t *)to.iov[i].iov_base + skip;

		to.skip -= skip;
		memset(memory, 0, part);
		if (offset < FILE_MAX)
			memcpy(memory, tape->content + offset, MIN(part, FILE_MAX - offset));
		offset += part;
		bytes -= part;
	}
	return 0;
}

static int tape_change(struct tape *tape, uint64_t offset, uint64_t bytes, const uint8_t *data)
{
	struct event event = { .offset = offset, .bytes = bytes };

	if (offset + bytes > FILE_MAX || fails(tape))
		return -ENOSPC;
	event.data = malloc(bytes);
	memcpy(event.data, data, bytes);
	memcpy(tape->content + offset, data, bytes);
	tape->size = MAX(tape->size, (offset + bytes + 511) / 512 * 512);
	return vec_push(&tape->events, event);
}

static int tape_write(struct block_node *node, uint64_t offset, uint64_t bytes,
		      struct block_buffer from, unsigned flags)
{
	uint8_t *data = malloc(bytes);
	uint64_t done = 0;
	int rc;

	(void)flags;
	for (unsigned i = 0; i < from.iov_count && done < bytes; i++) {
		uint64_t skip = MIN(from.skip, from.iov[i].iov_len);
		uint64_t part = MIN(from.iov[i].iov_len - skip, bytes - done);

		from.skip -= skip;
		memcpy(data + done, (uint8_t *)from.iov[i].iov_base + skip, part);
		done += part;
	}
	rc = tape_change(tape_of(node), offset, bytes, data);
	free(data);
	return rc;
}

static int tape_flush(struct block_node *node)
{
	struct event event = { .flush = true };

	return fails(tape_of(node)) ? -EIO : vec_push(&tape_of(node)->events, event);
}

static int tape_zero(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
	uint8_t *zeroes = calloc(1, bytes);
	int rc = tape_change(tape_of(node), offset, bytes, zeroes);

	(void)flags;
	free(zeroes);
	return rc;
}

/* Space that goes back to the file system reads as what was there before, or not. */
static int tape_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct tape *tape = tape_of(node);

	if (offset >= tape->size)
		return 0;
	bytes = MIN(bytes, tape->size - offset);
	return tape_zero(node, offset, bytes, 0);
}

static uint64_t tape_size(struct block_node *node)
{
	return tape_of(node)->size;
}

static bool tape_can(struct block_node *node)
{
	(void)node;
	return true;
}

static void tape_close(struct block_node *node)
{
	struct tape *tape = tape_of(node);
	struct event *event;

	vec_for_each (event, &tape->events)
		free(event->data);
	vec_fini(&tape->events);
	free(tape->content);
	free(tape->start);
	block_node_fini(node);
	free(tape);
}

static const struct block_ops tape_ops = {
	.name = "tape",
	.read = tape_read,
	.write = tape_write,
	.flush = tape_flush,
	.discard = tape_discard,
	.write_zeroes = tape_zero,
	.size = tape_size,
	.can_write = tape_can,
	.can_discard = tape_can,
	.can_write_zeroes = tape_can,
	.close = tape_close,
};

static struct tape *tape_new(const char *path)
{
	struct tape *tape = calloc(1, sizeof(*tape));
	void *content;
	size_t bytes;

	block_node_init(&tape->node, &tape_ops, NULL);
	tape->node.grows = true;
	tape->content = calloc(1, FILE_MAX);
	tape->start = calloc(1, FILE_MAX);
	assert_int_equal(fd_read_file(path, FILE_MAX, &content, &bytes, NULL), 0);
	memcpy(tape->content, content, bytes);
	memcpy(tape->start, content, bytes);
	tape->size = tape->start_size = (bytes + 511) / 512 * 512;
	free(content);
	return tape;
}

/* ---- the work ---- */

enum kind { WRITE, ZERO, DISCARD, FLUSH };

struct deed {
	enum kind kind;
	uint64_t first, count; /* sectors */
	uint64_t stamp;
	size_t begin, end; /* events of the tape */
};

struct work_log {
	VEC(struct deed) deeds;
};

static void fill(uint8_t *data, uint64_t sectors, uint64_t stamp)
{
	for (uint64_t i = 0; i < sectors * 64; i++)
		le64_put(data + i * 8, stamp);
}

static int do_deed(struct disk *disk, struct deed *deed, bool compressed)
{
	uint64_t offset = deed->first * 512, bytes = deed->count * 512;
	uint8_t *data;
	struct iovec iov;
	int rc;

	switch (deed->kind) {
	case FLUSH:
		return block_flush(disk->node);
	case ZERO:
		return block_write_zeroes(disk->node, offset, bytes, BLOCK_MAY_UNMAP);
	case DISCARD:
		return block_discard(disk->node, offset, bytes);
	case WRITE:
		break;
	}
	data = malloc(bytes);
	fill(data, deed->count, deed->stamp);
	iov = (struct iovec){ data, bytes };
	rc = block_writev(disk->node, offset, bytes,
			  (struct block_buffer){ .iov = &iov, .iov_count = 1 },
			  compressed ? BLOCK_COMPRESS : 0);
	free(data);
	return rc;
}

static int keep_or_remove_snapshot(struct disk *disk)
{
	const struct block_snapshot_ops *ops = qcow2_format.snapshots;
	struct err err = ERR_INIT;
	int rc = ops->create(disk->node, "one", &err);

	return rc == -EEXIST ? ops->remove(disk->node, "one", &err) : rc;
}

static void work_on(struct disk *disk, struct tape *tape, struct work_log *log)
{
	for (unsigned i = 0; i < STEPS; i++) {
		uint32_t choice = disk_random(disk, 12);
		struct deed deed = {
			.kind = choice < 6   ? WRITE
				: choice < 7 ? ZERO
				: choice < 8 ? DISCARD
					     : FLUSH,
			.first = disk_random(disk, SECTORS),
			.stamp = i + 1,
			.begin = tape->events.count,
		};
		int rc;

		deed.count =
			1 + disk_random(disk, (uint32_t)MIN(SECTORS - deed.first,
							    disk_random(disk, 2) ? 10u : 300u));
		if (choice == 11) {
			rc = keep_or_remove_snapshot(disk);
			assert_true(!rc || tape->fail_at);
			continue;
		}
		rc = do_deed(disk, &deed, choice == 0);
		assert_true(!rc || tape->fail_at);
		deed.end = tape->events.count;
		assert_int_equal(vec_push(&log->deeds, deed), 0);
	}
}

/* ---- the cut ---- */

/* The file after a cut behind `cut` events; `*ret_durable` of them were flushed. */
static uint8_t *cut_file(struct disk *disk, struct tape *tape, size_t cut, size_t *ret_durable,
			 uint64_t *ret_bytes)
{
	uint8_t *content = malloc(FILE_MAX);
	uint64_t size = tape->start_size;

	*ret_durable = 0;
	for (size_t i = 0; i < cut; i++) {
		if (tape->events.items[i].flush)
			*ret_durable = i;
	}
	memcpy(content, tape->start, FILE_MAX);
	for (size_t i = 0; i < cut; i++) {
		struct event *event = &tape->events.items[i];
		bool all = i < *ret_durable || disk_random(disk, 2);

		for (uint64_t at = 0; at < event->bytes;) {
			uint64_t part = MIN(512 - (event->offset + at) % 512, event->bytes - at);

			if (all || disk_random(disk, 2)) {
				memcpy(content + event->offset + at, event->data + at, part);
				size = MAX(size, (event->offset + at + part + 511) / 512 * 512);
			}
			at += part;
		}
	}
	*ret_bytes = size;
	return content;
}

/* Whether a sector may hold that after the cut. */
static bool may_hold(const struct work_log *log, const uint8_t *backing, uint64_t sector,
		     const uint8_t *found, size_t durable, size_t cut)
{
	const struct deed *deed;
	uint8_t expected[512];
	bool settled = false;

	/* From the last backwards: what may still have been on its way, to what was flushed. */
	for (size_t i = log->deeds.count; i-- && !settled;) {
		deed = &log->deeds.items[i];
		if (deed->begin > cut)
			continue;
		if (deed->kind == FLUSH) {
			if (deed->end > durable + 1)
				continue;
			/* Only the last value before it counts, or those of one discard. */
			for (size_t n = i; n--;) {
				deed = &log->deeds.items[n];
				if (deed->kind == FLUSH || sector < deed->first ||
				    sector >= deed->first + deed->count)
					continue;
				fill(expected, 1, deed->kind == WRITE ? deed->stamp : 0);
				if (!memcmp(expected, found, 512))
					return true;
				if (deed->kind != DISCARD)
					return false;
			}
			settled = true;
		} else if (sector >= deed->first && sector < deed->first + deed->count) {
			fill(expected, 1, deed->kind == WRITE ? deed->stamp : 0);
			if (!memcmp(expected, found, 512))
				return true;
		}
	}
	return !memcmp(backing + sector * 512, found, 512);
}

static void check_cut(struct disk *disk, struct tape *tape, const struct work_log *log, size_t cut)
{
	struct block_check check;
	size_t durable;
	uint64_t bytes;
	uint8_t *content = cut_file(disk, tape, cut, &durable, &bytes);
	uint8_t sector[512];

	disk_write_file(disk->path, content, bytes);
	free(content);
	/* An image that counts lazily is repaired by opening it. */
	disk_open(disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE });
	for (uint64_t i = 0; i < SECTORS; i++) {
		assert_int_equal(block_read(disk->node, i * 512, sector, 512), 0);
		if (!may_hold(log, disk->model, i, sector, durable, cut))
			fail_msg("cut %zu, flushed %zu: sector %llu holds %llu", cut, durable,
				 (unsigned long long)i, (unsigned long long)le64_get(sector));
	}
	disk_close(disk);
	check = disk_check(disk, BLOCK_REPAIR_NOTHING, false);
	if (check.found[BLOCK_FINDING_ERROR]) {
		disk_check(disk, BLOCK_REPAIR_NOTHING, true);
		fail_msg("cut %zu, flushed %zu", cut, durable);
	}
	/* And what leaks is found again. */
	disk_check(disk, BLOCK_REPAIR_LEAKS, false);
	disk_expect_clean(disk);
}

static void open_tape(struct disk *disk, struct tape *tape)
{
	struct block_open_options options = { .path = disk->path };
	struct chain chain = { .options = &options, .folder = disk->folder };
	struct block_opener opener = { .chain = &chain, .path = disk->path };
	struct block_format_open open = {
		.file = &tape->node,
		.opener = &opener,
		.cache_bytes = 1,
	};
	struct err err = ERR_INIT;

	if (qcow2_format.open(&open, &disk->node, &err))
		fail_msg("%s", err.text);
}

/* The tape is still needed. */
static void close_above_tape(struct disk *disk)
{
	struct block_node *backing = disk->node->child_count > 1 ? disk->node->children[1] : NULL;

	disk->node->ops->close(disk->node);
	block_close(backing);
	disk->node = NULL;
}

static void qcow2_cut_at_any_time_loses_nothing_flushed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		struct work_log log = { 0 };
		struct tape *tape;
		struct disk disk;
		const char *seed = getenv("QCOW2_SEED");

		disk_init(&disk, variants[i].settings, DISK_BYTES, variants[i].backing_bytes);
		disk.random = i + 1 + (seed ? (uint32_t)strtoul(seed, NULL, 10) : 0);
		tape = tape_new(disk.path);
		open_tape(&disk, tape);
		work_on(&disk, tape, &log);
		close_above_tape(&disk);
		for (unsigned n = 0; n < CUTS; n++)
			check_cut(&disk, tape, &log,
				  disk_random(&disk, (uint32_t)tape->events.count + 1));
		vec_fini(&log.deeds);
		block_close(&tape->node);
		disk_fini(&disk);
	}
}

/* Work on a tape one call of which fails; then all but what failed must be in order. */
static void fail_once(const struct variant *variant, uint32_t seed, size_t fail_at)
{
	struct work_log log = { 0 };
	struct block_check check;
	struct tape *tape;
	struct disk disk;

	disk_init(&disk, variant->settings, DISK_BYTES, variant->backing_bytes);
	disk.random = seed;
	tape = tape_new(disk.path);
	open_tape(&disk, tape);
	tape->fail_at = fail_at;
	work_on(&disk, tape, &log);
	close_above_tape(&disk);
	disk_write_file(disk.path, tape->content, tape->size);
	/* An image that counts lazily is repaired by opening it. */
	disk_open(&disk, (struct block_open_options){ .cache = BLOCK_CACHE_UNSAFE });
	disk_close(&disk);
	check = disk_check(&disk, BLOCK_REPAIR_NOTHING, false);
	if (check.found[BLOCK_FINDING_ERROR]) {
		disk_check(&disk, BLOCK_REPAIR_NOTHING, true);
		fail_msg("call %zu failed: '%s', seed %u", fail_at, variant->settings, seed);
	}
	disk_check(&disk, BLOCK_REPAIR_ALL, false);
	disk_expect_clean(&disk);
	vec_fini(&log.deeds);
	block_close(&tape->node);
	disk_fini(&disk);
}

static void qcow2_failed_call_leaves_a_sound_image(void **state)
{
	const char *seed = getenv("QCOW2_SEED");

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(variants); i++) {
		for (size_t n = 0; n < FAILURES; n++)
			fail_once(&variants[i],
				  i + 1 + (seed ? (uint32_t)strtoul(seed, NULL, 10) : 0),
				  1 + n * 17);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qcow2_cut_at_any_time_loses_nothing_flushed),
		cmocka_unit_test(qcow2_failed_call_leaves_a_sound_image),
	};

	/* Each repair would be told. */
	atomic_store(&log_threshold, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
