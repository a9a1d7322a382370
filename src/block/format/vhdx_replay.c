/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the log of a VHDX image holds, and bringing it to its places.
 *
 * An entry is a number of sectors of 4 KiB: a header, descriptors (of data, one sector each, or of
 * zeroes), then the data. Entries that follow one another by place and number are a sequence; the
 * last entry of one says where it begins. The sequence with the highest number is what must be
 * replayed. All of it is hostile: the log is read into memory once, and the work is bounded by its
 * size.
 *
 * Spec: 2.3
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "block/format/vhdx.h"
#include "block/format/vhdx_log.h"
#include "codec/crc32c.h"

/* Sums are computed over this many times the log at most: pieces of old entries overlap. */
#define EFFORT_MAX 16

/* Zeroes that one log may write: all of the largest table. */
#define ZEROES_MAX GIB

/* A log in memory, and what of it is to be replayed. */
struct reader {
	const struct vhdx_header *header;
	uint64_t file_bytes;
	uint8_t *log;
	uint8_t *entry; /* one without the wrap of the log; as large as the log */
	uint64_t effort;
	uint32_t tail, count; /* entries of the best sequence */
	uint64_t sequence;    /* number of its last entry */
};

/* The fields of an entry's header. */
struct entry {
	uint32_t bytes, tail, descriptors;
	uint64_t sequence, flushed_bytes, file_bytes;
};

static void copy_wrapped(const struct reader *reader, uint8_t *to, uint32_t offset, uint32_t bytes)
{
	uint32_t first = MIN(bytes, reader->header->log_bytes - offset);

	memcpy(to, reader->log + offset, first);
	memcpy(to + first, reader->log, bytes - first);
}

static bool sum_is_good(struct reader *reader, uint32_t bytes)
{
	uint32_t sum = le32_get(reader->entry + 4);

	reader->effort += bytes;
	le32_put(reader->entry + 4, 0);
	return crc32c(0, reader->entry, bytes) == sum;
}

/* Whether a whole entry is at `offset`; then it is in reader->entry, its sum set to 0. */
static bool entry_read(struct reader *reader, uint32_t offset, struct entry *ret_entry)
{
	const uint8_t *at = reader->log + offset;
	struct entry entry = {
		.bytes = le32_get(at + 8),
		.tail = le32_get(at + 12),
		.sequence = le64_get(at + 16),
		.descriptors = le32_get(at + 24),
		.flushed_bytes = le64_get(at + 48),
		.file_bytes = le64_get(at + 56),
	};

	if (memcmp(at, "loge", 4) || memcmp(at + 32, &reader->header->log, 16))
		return false;
	if (!entry.sequence || !entry.bytes || entry.bytes % VHDX_LOG_SECTOR ||
	    entry.bytes > reader->header->log_bytes || entry.tail % VHDX_LOG_SECTOR ||
	    entry.tail >= reader->header->log_bytes ||
	    entry.descriptors > entry.bytes / VHDX_LOG_DESCRIPTOR_BYTES)
		return false;
	copy_wrapped(reader, reader->entry, offset, entry.bytes);
	if (!sum_is_good(reader, entry.bytes))
		return false;
	*ret_entry = entry;
	return true;
}

static uint32_t after(const struct reader *reader, uint32_t offset, uint32_t bytes)
{
	return (uint32_t)(((uint64_t)offset + bytes) % reader->header->log_bytes);
}

/* The entry that says so begins the sequence, unless it is before `offset`: what comes before it is
 * done. */
static void remember(struct reader *reader, uint32_t offset, uint32_t count,
		     const struct entry *last)
{
	if (last->sequence <= reader->sequence)
		return;
	while (count && offset != last->tail) {
		offset = after(reader, offset, le32_get(reader->log + offset + 8));
		count--;
	}
	if (!count)
		return;
	reader->tail = offset;
	reader->count = count;
	reader->sequence = last->sequence;
}

/* Remembers the sequence that begins at `offset`, if there is one and it is the best so far. Returns
 * where to look for the next one: always further on. */
static uint64_t look_at(struct reader *reader, uint32_t offset)
{
	struct entry entry, last = { 0 };
	uint32_t count = 0, at = offset;
	uint64_t moved = 0;

	while (moved < reader->header->log_bytes && entry_read(reader, at, &entry) &&
	       (!count || entry.sequence == last.sequence + 1) &&
	       moved + entry.bytes <= reader->header->log_bytes) {
		last = entry;
		count++;
		moved += entry.bytes;
		at = after(reader, at, entry.bytes);
	}
	if (!count)
		return (uint64_t)offset + VHDX_LOG_SECTOR;
	remember(reader, offset, count, &last);
	return offset + moved;
}

static int reader_init(struct reader *reader, struct block_node *file,
		       const struct vhdx_header *header, struct err *err)
{
	int rc;

	*reader = (struct reader){ .header = header, .file_bytes = block_size_bytes(file) };
	if (header->log_bytes > VHDX_LOG_MAX)
		return err_set(err, EFBIG, "cannot replay the log of VHDX: it has %u bytes",
			       header->log_bytes);
	reader->log = malloc(header->log_bytes);
	reader->entry = malloc(header->log_bytes);
	if (!reader->log || !reader->entry)
		return err_errno(err, ENOMEM, "cannot replay the log of VHDX");
	rc = block_read(file, header->log_offset, reader->log, header->log_bytes);
	if (rc)
		return err_errno(err, rc, "cannot read the log of VHDX");
	for (uint64_t at = 0; at < header->log_bytes;) {
		at = look_at(reader, (uint32_t)at);
		if (reader->effort > (uint64_t)header->log_bytes * EFFORT_MAX)
			return err_set(err, EINVAL,
				       "cannot replay the log of VHDX: its entries overlap");
	}
	return 0;
}

static void reader_fini(struct reader *reader)
{
	free(reader->log);
	free(reader->entry);
}

/* ---- patches ---- */

static int wrong_descriptor(uint32_t number, const char *what, struct err *err)
{
	return err_set(err, EINVAL, "cannot replay the log of VHDX: descriptor %u: %s", number,
		       what);
}

static bool may_be_patched(const struct reader *reader, uint64_t offset, uint64_t bytes,
			   uint64_t file_bytes)
{
	const struct vhdx_header *header = reader->header;

	if (offset < VHDX_REGION_TABLE_1 || offset % VHDX_LOG_SECTOR || bytes % VHDX_LOG_SECTOR ||
	    offset > file_bytes || bytes > file_bytes - offset)
		return false;
	return offset >= header->log_offset + header->log_bytes ||
	       offset + bytes <= header->log_offset;
}

static int add_zeroes(struct vhdx_patches *patches, const struct reader *reader,
		      const uint8_t *descriptor, uint32_t number, struct err *err)
{
	struct vhdx_patch patch = {
		.bytes = le64_get(descriptor + 8),
		.offset = le64_get(descriptor + 16),
	};

	if (!may_be_patched(reader, patch.offset, patch.bytes, patches->file_bytes))
		return wrong_descriptor(number, "a place that has no tables", err);
	patches->zeroes += patch.bytes;
	if (patch.bytes > ZEROES_MAX || patches->zeroes > ZEROES_MAX)
		return wrong_descriptor(number, "too many zeroes", err);
	return vec_push(&patches->items, patch) ? err_errno(err, ENOMEM, "cannot replay the log")
						: 0;
}

static int add_data(struct vhdx_patches *patches, const struct reader *reader,
		    const uint8_t *descriptor, const uint8_t *sector, uint32_t number,
		    struct err *err)
{
	struct vhdx_patch patch = {
		.bytes = VHDX_LOG_SECTOR,
		.offset = le64_get(descriptor + 16),
	};
	uint64_t sequence = le64_get(descriptor + 24);

	if (!may_be_patched(reader, patch.offset, patch.bytes, patches->file_bytes))
		return wrong_descriptor(number, "a place that has no tables", err);
	if (memcmp(sector, "data", 4) || le32_get(sector + 4) != (uint32_t)(sequence >> 32) ||
	    le32_get(sector + VHDX_LOG_SECTOR - 4) != (uint32_t)sequence)
		return wrong_descriptor(number, "its data is not there", err);
	patch.data = malloc(VHDX_LOG_SECTOR);
	if (!patch.data)
		return err_errno(err, ENOMEM, "cannot replay the log");
	memcpy(patch.data, sector, VHDX_LOG_SECTOR);
	/* The signature and the number stand where the sector's first and last bytes were. */
	memcpy(patch.data, descriptor + 8, 8);
	memcpy(patch.data + VHDX_LOG_SECTOR - 4, descriptor + 4, 4);
	if (vec_push(&patches->items, patch)) {
		free(patch.data);
		return err_errno(err, ENOMEM, "cannot replay the log");
	}
	return 0;
}

static int add_entry(struct vhdx_patches *patches, struct reader *reader, const struct entry *entry,
		     struct err *err)
{
	uint64_t data = round_up(VHDX_LOG_HEADER_BYTES +
					 (uint64_t)entry->descriptors * VHDX_LOG_DESCRIPTOR_BYTES,
				 VHDX_LOG_SECTOR);
	int rc = 0;

	if (entry->flushed_bytes > reader->file_bytes)
		return err_set(err, EINVAL,
			       "cannot replay the log of VHDX: the file of %llu bytes is cut, it "
			       "had %llu",
			       (unsigned long long)reader->file_bytes,
			       (unsigned long long)entry->flushed_bytes);
	if (entry->file_bytes > VHDX_FILE_MAX)
		return err_set(err, EINVAL, "cannot replay the log of VHDX: a file of %llu bytes",
			       (unsigned long long)entry->file_bytes);
	patches->file_bytes = MAX(patches->file_bytes, entry->file_bytes);
	for (uint32_t i = 0; i < entry->descriptors && !rc; i++) {
		const uint8_t *descriptor = reader->entry + VHDX_LOG_HEADER_BYTES +
					    (size_t)i * VHDX_LOG_DESCRIPTOR_BYTES;
		bool is_data = !memcmp(descriptor, "desc", 4);

		if (le64_get(descriptor + 24) != entry->sequence ||
		    (!is_data && memcmp(descriptor, "zero", 4)))
			return wrong_descriptor(i, "not of this entry", err);
		if (!is_data) {
			rc = add_zeroes(patches, reader, descriptor, i, err);
			continue;
		}
		if (data + VHDX_LOG_SECTOR > entry->bytes)
			return wrong_descriptor(i, "its data is not there", err);
		rc = add_data(patches, reader, descriptor, reader->entry + data, i, err);
		data += VHDX_LOG_SECTOR;
	}
	return rc;
}

int vhdx_patches_read(struct vhdx_patches *ret_patches, struct block_node *file,
		      const struct vhdx_header *header, struct err *err)
{
	struct reader reader;
	uint32_t at;
	int rc;

	*ret_patches = (struct vhdx_patches){ .file_bytes = block_size_bytes(file) };
	if (vhdx_guid_is_null(&header->log))
		return 0;
	rc = reader_init(&reader, file, header, err);
	at = reader.tail;
	for (uint32_t i = 0; i < reader.count && !rc; i++) {
		struct entry entry;
		/* It was whole a moment ago, and is in memory. */
		bool whole = entry_read(&reader, at, &entry);

		check(whole);
		rc = add_entry(ret_patches, &reader, &entry, err);
		at = after(&reader, at, entry.bytes);
	}
	reader_fini(&reader);
	return rc;
}

void vhdx_patches_fini(struct vhdx_patches *patches)
{
	struct vhdx_patch *patch;

	vec_for_each (patch, &patches->items)
		free(patch->data);
	vec_fini(&patches->items);
}

/* ---- replaying ---- */

static int patches_write(const struct vhdx_patches *patches, struct block_node *file)
{
	struct vhdx_patch *patch;
	int rc = 0;

	if (patches->file_bytes > block_size_bytes(file))
		rc = block_resize(file, patches->file_bytes, NULL);
	vec_for_each (patch, &patches->items) {
		if (!rc && patch->data)
			rc = block_write(file, patch->offset, patch->data, patch->bytes);
		else if (!rc)
			rc = block_write_zeroes(file, patch->offset, patch->bytes, 0);
	}
	return rc ? rc : block_flush(file);
}

int vhdx_log_replay(struct block_node *file, struct vhdx_header *header, bool *ret_replayed,
		    struct err *err)
{
	struct vhdx_patches patches;
	int rc;

	*ret_replayed = false;
	if (vhdx_guid_is_null(&header->log))
		return 0;
	rc = vhdx_patches_read(&patches, file, header, err);
	if (!rc) {
		*ret_replayed = patches.items.count;
		rc = patches_write(&patches, file);
		if (!rc) {
			header->log = (struct vhdx_guid){ 0 };
			rc = vhdx_header_write(file, header);
		}
		if (rc)
			err_errno(err, rc, "cannot replay the log of VHDX");
	}
	vhdx_patches_fini(&patches);
	return rc;
}
