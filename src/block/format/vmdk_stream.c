/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing streamOptimized images: compressed grains in the order of the disk, each table behind its
 * grains, then the directory, the footer and the end of the stream. Spec: "Stream-Optimized
 * Compressed Sparse Extents"
 *
 * What stands behind the last grain is the tail: the table that is not full yet, and all that
 * follows. A flush writes it, the next grain overwrites it. So an image is whole after each flush,
 * and while grains are written it is not.
 *
 * Only a stream without grains can be written: what is finished is for reading.
 */
#include "block/format/vmdk_stream.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/iov.h"
#include "base/macros.h"
#include "block/format/vmdk_pack.h"
#include "host/thread.h"

#define NO_TABLE UINT64_MAX

/* Types of markers. */
enum { MARKER_END = 0, MARKER_TABLE = 1, MARKER_DIRECTORY = 2, MARKER_FOOTER = 3 };

struct vmdk_stream {
	struct vmdk_extent *extent;
	struct packer *packer;

	pthread_mutex_t lock; /* one writer at a time; held across I/O; guards what follows */
	uint64_t end;         /* behind the last grain or finished table, bytes */
	uint64_t next;        /* the first grain that may still be written */
	uint64_t table;       /* that the grains go to now; NO_TABLE: none yet */
	uint8_t entries[VMDK_TABLE_BYTES];
	bool tail_is_there;
};

static void put_marker(uint8_t *sector, uint64_t sectors, uint32_t type)
{
	memset(sector, 0, BLOCK_SECTOR);
	le64_put(sector, sectors);
	le32_put(sector + 12, type);
}

static uint64_t directory_sectors(const struct vmdk_extent *extent)
{
	return (extent->table_count * 4 + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
}

/* ---- the tail ---- */

/* The table in hand, with its marker, at `at`. */
static uint8_t *put_table(struct vmdk_stream *stream, uint8_t *at)
{
	put_marker(at, VMDK_TABLE_BYTES / BLOCK_SECTOR, MARKER_TABLE);
	memcpy(at + BLOCK_SECTOR, stream->entries, VMDK_TABLE_BYTES);
	return at + BLOCK_SECTOR + VMDK_TABLE_BYTES;
}

static uint8_t *put_directory(struct vmdk_stream *stream, uint8_t *at, uint64_t table_at)
{
	struct vmdk_extent *extent = stream->extent;
	uint64_t sectors = directory_sectors(extent);

	put_marker(at, sectors, MARKER_DIRECTORY);
	at += BLOCK_SECTOR;
	for (uint64_t i = 0; i < extent->table_count; i++)
		le32_put(at + i * 4, i == stream->table
					     ? (uint32_t)(table_at / BLOCK_SECTOR)
					     : atomic_load(&extent->directory.tables[i]));
	return at + sectors * BLOCK_SECTOR;
}

static uint8_t *put_footer(struct vmdk_stream *stream, uint8_t *at, uint64_t directory_at)
{
	struct vmdk_header footer = stream->extent->header;

	put_marker(at, 1, MARKER_FOOTER);
	footer.directory_at = directory_at / BLOCK_SECTOR;
	vmdk_header_encode(&footer, at + BLOCK_SECTOR);
	at += BLOCK_SECTOR + (size_t)VMDK_HEADER_BYTES;
	put_marker(at, 0, MARKER_END);
	return at + BLOCK_SECTOR;
}

static int write_tail(struct vmdk_stream *stream)
{
	struct vmdk_extent *extent = stream->extent;
	uint64_t most = VMDK_TABLE_BYTES + (directory_sectors(extent) + 8) * BLOCK_SECTOR;
	AUTO_FREE uint8_t *tail = calloc(1, most);
	uint8_t *at = tail;
	uint64_t directory_at;
	int rc;

	if (!tail)
		return -ENOMEM;
	if (stream->table != NO_TABLE)
		at = put_table(stream, at);
	directory_at = stream->end + (uint64_t)(at - tail) + BLOCK_SECTOR;
	at = put_directory(stream, at, stream->end + BLOCK_SECTOR);
	at = put_footer(stream, at, directory_at);
	rc = block_write(extent->file, stream->end, tail, (uint64_t)(at - tail));
	if (!rc && block_size_bytes(extent->file) > stream->end + (uint64_t)(at - tail))
		rc = block_resize(extent->file, stream->end + (uint64_t)(at - tail), NULL);
	stream->tail_is_there = !rc;
	return rc;
}

int vmdk_stream_flush(struct vmdk_stream *stream)
{
	LOCK_SCOPE(&stream->lock);
	return stream->tail_is_there ? 0 : write_tail(stream);
}

/* ---- grains ---- */

/* Grains of another table come: the one in hand is finished. */
static int turn_to_table(struct vmdk_stream *stream, uint64_t table)
{
	uint8_t bytes[BLOCK_SECTOR + VMDK_TABLE_BYTES];
	int rc = 0;

	if (stream->table == table)
		return 0;
	if (stream->table != NO_TABLE) {
		put_table(stream, bytes);
		rc = block_write(stream->extent->file, stream->end, bytes, sizeof(bytes));
		if (rc)
			return rc;
		atomic_store(&stream->extent->directory.tables[stream->table],
			     (uint32_t)((stream->end + BLOCK_SECTOR) / BLOCK_SECTOR));
		stream->end += sizeof(bytes);
	}
	stream->table = table;
	memset(stream->entries, 0, sizeof(stream->entries));
	return 0;
}

static int append(struct vmdk_stream *stream, uint64_t grain, const uint8_t *bytes, size_t count)
{
	int rc = turn_to_table(stream, grain / VMDK_TABLE_ENTRIES);

	if (!rc && stream->end / BLOCK_SECTOR > UINT32_MAX - VMDK_SPARSE_MAX / GIB)
		rc = -EFBIG;
	if (!rc)
		rc = block_write(stream->extent->file, stream->end, bytes, count);
	if (rc)
		return rc;
	le32_put(stream->entries + grain % VMDK_TABLE_ENTRIES * 4,
		 (uint32_t)(stream->end / BLOCK_SECTOR));
	stream->end += count;
	return 0;
}

/* As many grains as a packer takes at once. */
static int write_some(struct vmdk_stream *stream, uint64_t grain, uint64_t bytes,
		      struct block_buffer from)
{
	uint32_t grain_bytes = stream->extent->granules.granule_bytes;
	unsigned count = (unsigned)((bytes + grain_bytes - 1) / grain_bytes);
	uint8_t *plain = packer_plain(stream->packer);
	int rc;

	iov_gather(plain, from.iov, from.iov_count, from.skip, bytes);
	memset(plain + bytes, 0, (size_t)count * grain_bytes - bytes);
	rc = packer_pack(stream->packer, grain * (grain_bytes / BLOCK_SECTOR), count);
	for (unsigned i = 0; i < count && !rc; i++) {
		size_t packed;
		const uint8_t *out = packer_grain(stream->packer, i, &packed);

		if (packed)
			rc = append(stream, grain + i, out, packed);
	}
	return rc;
}

int vmdk_stream_write(struct vmdk_stream *stream, uint64_t offset, uint64_t bytes,
		      struct block_buffer from)
{
	uint32_t grain_bytes = stream->extent->granules.granule_bytes;
	uint64_t most = (uint64_t)PACKER_GRAINS * grain_bytes;
	int rc = 0;

	LOCK_SCOPE(&stream->lock);
	if (offset % grain_bytes || offset / grain_bytes < stream->next ||
	    (bytes % grain_bytes && offset + bytes != stream->extent->bytes))
		return -ENOTSUP;
	stream->tail_is_there = false;
	while (bytes && !rc) {
		uint64_t part = MIN(bytes, most);

		rc = write_some(stream, offset / grain_bytes, part, from);
		offset += part;
		bytes -= part;
		from.skip += part;
		stream->next = (offset + grain_bytes - 1) / grain_bytes;
	}
	return rc;
}

int vmdk_stream_write_zeroes(struct vmdk_stream *stream, uint64_t offset)
{
	LOCK_SCOPE(&stream->lock);
	/* Behind the last grain everything is zero still. */
	return offset / stream->extent->granules.granule_bytes < stream->next ? -ENOTSUP : 0;
}

bool vmdk_stream_entry(struct vmdk_stream *stream, uint64_t grain, uint32_t *ret_value)
{
	LOCK_SCOPE(&stream->lock);
	if (grain / VMDK_TABLE_ENTRIES != stream->table)
		return false;
	*ret_value = le32_get(stream->entries + grain % VMDK_TABLE_ENTRIES * 4);
	return true;
}

/* ---- life ---- */

int vmdk_stream_open(struct vmdk_extent *extent, struct err *err)
{
	struct vmdk_stream *stream;
	int rc;

	for (uint64_t i = 0; i < extent->table_count; i++) {
		if (atomic_load(&extent->directory.tables[i])) {
			err_set(err, EROFS, "a finished stream is only read");
			err_hint(err, "convert it to write to it");
			return -EROFS;
		}
	}
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return err_errno(err, ENOMEM, "cannot write a stream");
	rc = packer_new(&stream->packer, extent->granules.granule_bytes, err);
	if (rc) {
		free(stream);
		return rc;
	}
	pthread_mutex_init(&stream->lock, NULL);
	stream->extent = extent;
	stream->end = extent->header.overhead * BLOCK_SECTOR;
	stream->table = NO_TABLE;
	stream->tail_is_there = true;
	extent->header.directory_at = VMDK_AT_END;
	extent->stream = stream;
	return 0;
}

void vmdk_stream_close(struct vmdk_stream *stream)
{
	if (!stream)
		return;
	vmdk_stream_flush(stream);
	packer_free(stream->packer);
	pthread_mutex_destroy(&stream->lock);
	free(stream);
}

int vmdk_stream_create(struct block_node *file, uint64_t sectors)
{
	struct vmdk_extent extent = {
		.file = file,
		.header = {
			.version = 3,
			.flags = VMDK_FLAG_NEWLINES | VMDK_FLAG_PACKED | VMDK_FLAG_MARKERS,
			.sectors = sectors,
			.grain_sectors = VMDK_GRAIN_SECTORS,
			.descriptor_at = 1,
			.descriptor_sectors = VMDK_DESCRIPTOR_PLACE,
			.directory_at = VMDK_AT_END,
			.overhead = VMDK_GRAIN_SECTORS,
		},
	};
	struct vmdk_stream stream = {
		.extent = &extent,
		.table = NO_TABLE,
		.end = extent.header.overhead * BLOCK_SECTOR,
	};
	uint8_t bytes[VMDK_HEADER_BYTES];
	int rc;

	extent.table_count = vmdk_tables(&extent.header);
	extent.directory.tables = calloc(extent.table_count + 1, sizeof(uint32_t));
	rc = extent.directory.tables ? 0 : -ENOMEM;
	if (!rc)
		rc = block_write_zeroes(file, 0, stream.end, BLOCK_MAY_UNMAP);
	vmdk_header_encode(&extent.header, bytes);
	if (!rc)
		rc = block_write(file, 0, bytes, sizeof(bytes));
	if (!rc)
		rc = write_tail(&stream);
	free((void *)extent.directory.tables);
	return rc;
}
