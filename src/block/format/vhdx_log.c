/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing tables through the log of a VHDX image.
 *
 * An entry takes less than half of the log, and is a sequence of its own: before it is written, the
 * file is flushed, so what the entry before it holds is in its place. The entry before it stays
 * whole until this one is. The header names the log only after the first entry is in it, so that
 * whoever replays always finds one.
 *
 * Spec: 2.3.2
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/bits.h"
#include "base/cleanup.h"
#include "block/format/vhdx_log.h"
#include "codec/crc32c.h"
#include "host/thread.h"

/* What one sector of header and descriptors describes; with it less than half of 1 MiB. */
#define ENTRY_TABLES_MAX ((VHDX_LOG_SECTOR - VHDX_LOG_HEADER_BYTES) / VHDX_LOG_DESCRIPTOR_BYTES)

static int flush_file(struct vhdx *vhdx)
{
	uint64_t number = atomic_fetch_add(&vhdx->log.flush_begun, 1) + 1;
	int rc = block_flush(vhdx->node.next);

	/* Only with the log's lock, so the numbers rise. */
	if (!rc)
		atomic_store(&vhdx->log.flush_ended, number);
	return rc;
}

static void put_descriptor(uint8_t *descriptor, const struct table_write *write, uint64_t sequence)
{
	memcpy(descriptor, "desc", 4);
	memcpy(descriptor + 4, write->bytes + VHDX_LOG_SECTOR - 4, 4);
	memcpy(descriptor + 8, write->bytes, 8);
	le64_put(descriptor + 16, write->offset);
	le64_put(descriptor + 24, sequence);
}

static void put_data(uint8_t *sector, const struct table_write *write, uint64_t sequence)
{
	memcpy(sector, write->bytes, VHDX_LOG_SECTOR);
	memcpy(sector, "data", 4);
	le32_put(sector + 4, (uint32_t)(sequence >> 32));
	le32_put(sector + VHDX_LOG_SECTOR - 4, (uint32_t)sequence);
}

static void entry_build(const struct vhdx *vhdx, uint8_t *entry, uint32_t bytes,
			const struct table_write *writes, unsigned count)
{
	const struct vhdx_log *log = &vhdx->log;
	uint64_t file_bytes = block_size_bytes(vhdx->node.next);

	memset(entry, 0, VHDX_LOG_SECTOR);
	memcpy(entry, "loge", 4);
	le32_put(entry + 8, bytes);
	le32_put(entry + 12, log->head);
	le64_put(entry + 16, log->sequence);
	le32_put(entry + 24, count);
	memcpy(entry + 32, &log->guid, 16);
	le64_put(entry + 48, round_down(file_bytes, VHDX_ALIGN));
	le64_put(entry + 56, round_up(file_bytes, VHDX_ALIGN));
	for (unsigned i = 0; i < count; i++) {
		put_descriptor(entry + VHDX_LOG_HEADER_BYTES + i * VHDX_LOG_DESCRIPTOR_BYTES,
			       &writes[i], log->sequence);
		put_data(entry + (i + 1) * VHDX_LOG_SECTOR, &writes[i], log->sequence);
	}
	le32_put(entry + 4, crc32c(0, entry, bytes));
}

static int entry_write(struct vhdx *vhdx, const struct table_write *writes, unsigned count)
{
	uint32_t bytes = (count + 1) * VHDX_LOG_SECTOR;
	AUTO_FREE uint8_t *entry = malloc(bytes);
	struct vhdx_log *log = &vhdx->log;
	uint32_t first = MIN(bytes, log->bytes - log->head);
	int rc;

	if (!entry)
		return -ENOMEM;
	log->sequence++;
	entry_build(vhdx, entry, bytes, writes, count);
	rc = block_write(vhdx->node.next, log->offset + log->head, entry, first);
	if (!rc && first < bytes)
		rc = block_write(vhdx->node.next, log->offset, entry + first, bytes - first);
	if (!rc)
		rc = flush_file(vhdx);
	if (!rc)
		log->head = (log->head + bytes) % log->bytes;
	return rc;
}

/* With the log's lock. */
static int name_log(struct vhdx *vhdx, const struct vhdx_guid *guid)
{
	struct vhdx_header header;
	int rc;

	LOCK_SCOPE(&vhdx->header_lock);
	header = vhdx->header;
	header.log = *guid;
	rc = vhdx_header_write(vhdx->node.next, &header);
	if (!rc) {
		vhdx->header = header;
		vhdx->log.named = !vhdx_guid_is_null(guid);
	}
	return rc;
}

/* With the log's lock, as all below. */
static void forget_late(struct vhdx_log *log)
{
	for (unsigned i = 0; i < log->late_count; i++)
		free((void *)(uintptr_t)log->late[i].bytes);
	free(log->late);
	log->late = NULL;
	log->late_count = 0;
}

static void keep_late(struct vhdx_log *log, const struct table_write *writes, unsigned count)
{
	log->late = calloc(count, sizeof(*log->late));
	log->lost = !log->late;
	for (unsigned i = 0; i < count && !log->lost; i++) {
		uint8_t *bytes = malloc(VHDX_LOG_SECTOR);

		log->lost = !bytes;
		if (bytes) {
			memcpy(bytes, writes[i].bytes, VHDX_LOG_SECTOR);
			log->late[log->late_count++] =
				(struct table_write){ writes[i].offset, bytes };
		}
	}
}

static int put_in_place(struct vhdx *vhdx, const struct table_write *writes, unsigned count)
{
	int rc = 0;

	for (unsigned i = 0; i < count && !rc; i++)
		rc = block_write(vhdx->node.next, writes[i].offset, writes[i].bytes,
				 VHDX_LOG_SECTOR);
	return rc;
}

/* What an earlier write left to do. */
static int finish_late(struct vhdx *vhdx)
{
	struct vhdx_log *log = &vhdx->log;
	int rc = log->lost ? -EIO : put_in_place(vhdx, log->late, log->late_count);

	if (!rc)
		forget_late(log);
	return rc;
}

static int write_some(struct vhdx *vhdx, const struct table_write *writes, unsigned count)
{
	struct vhdx_log *log = &vhdx->log;
	int rc = flush_file(vhdx);

	if (!rc)
		rc = entry_write(vhdx, writes, count);
	if (!rc && !log->named)
		rc = name_log(vhdx, &log->guid);
	if (rc)
		return rc;
	rc = put_in_place(vhdx, writes, count);
	if (rc)
		keep_late(log, writes, count);
	return rc;
}

int vhdx_log_write(void *ctx, const struct table_write *writes, unsigned count)
{
	struct vhdx *vhdx = ctx;
	int rc;

	LOCK_SCOPE(&vhdx->log.lock);
	rc = finish_late(vhdx);
	while (count && !rc) {
		unsigned now = MIN(count, (unsigned)ENTRY_TABLES_MAX);

		rc = write_some(vhdx, writes, now);
		writes += now;
		count -= now;
	}
	return rc;
}

int vhdx_log_end(struct vhdx *vhdx)
{
	static const struct vhdx_guid null;
	int rc;

	LOCK_SCOPE(&vhdx->log.lock);
	rc = finish_late(vhdx);
	if (rc || !vhdx->log.named)
		return rc;
	rc = flush_file(vhdx);
	return rc ? rc : name_log(vhdx, &null);
}

void vhdx_log_fini(struct vhdx *vhdx)
{
	forget_late(&vhdx->log);
	pthread_mutex_destroy(&vhdx->log.lock);
}
