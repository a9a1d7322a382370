/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed grains: a marker (the grain's first sector, the count of bytes) and a zlib stream. Several
 * are compressed at the same time. Spec: "Compressed Grains"; RFC 1950
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vmdk_pack.h"
#include "block/zero.h"
#include "host/thread.h"

#define MARKER_BYTES 12
#define THREADS_MAX  8

/* ---- out of the image ---- */

static int inflate_grain(const uint8_t *from, uint32_t from_bytes, uint8_t *to, uint32_t to_bytes)
{
	z_stream stream = {
		.next_in = (Bytef *)(uintptr_t)from,
		.avail_in = from_bytes,
		.next_out = to,
		.avail_out = to_bytes,
	};
	int rc;

	if (inflateInit(&stream) != Z_OK)
		return -ENOMEM;
	rc = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	/* The last grain of a disk may be short. What does not fit is no grain. */
	if (rc != Z_STREAM_END)
		return -EIO;
	memset(to + (to_bytes - stream.avail_out), 0, stream.avail_out);
	return 0;
}

int vmdk_unpack(struct block_node *file, uint64_t at, uint64_t first_sector, uint8_t *to,
		uint32_t to_bytes)
{
	AUTO_FREE uint8_t *packed = NULL;
	uint8_t marker[MARKER_BYTES];
	uint64_t file_bytes = block_size_bytes(file);
	uint32_t bytes;
	int rc;

	if (at > file_bytes || file_bytes - at < MARKER_BYTES)
		return -EIO;
	rc = block_read(file, at, marker, sizeof(marker));
	if (rc)
		return rc;
	bytes = le32_get(marker + 8);
	if (le64_get(marker) != first_sector || bytes > 2 * to_bytes ||
	    bytes > file_bytes - at - MARKER_BYTES)
		return -EIO;
	packed = malloc(bytes + 1);
	rc = packed ? block_read(file, at + MARKER_BYTES, packed, bytes) : -ENOMEM;
	return rc ? rc : inflate_grain(packed, bytes, to, to_bytes);
}

/* ---- into the image ---- */

struct packer {
	struct workers *workers;
	uint32_t grain_bytes;
	size_t room; /* for one packed grain with its marker */
	struct packed *grains;
	uint8_t *plain, *out;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned busy; /* grains that are being compressed; guarded by lock */
};

struct packed {
	struct work work;
	struct packer *packer;
	const uint8_t *plain;
	uint64_t first_sector;
	uint8_t *out;
	size_t bytes; /* whole sectors; 0: nothing but zeroes */
	int rc;
};

static void pack_grain(struct packed *grain)
{
	uint32_t plain_bytes = grain->packer->grain_bytes;
	uLongf bytes = grain->packer->room - MARKER_BYTES;
	size_t end;

	grain->bytes = 0;
	grain->rc = 0;
	if (is_zero(grain->plain, plain_bytes))
		return;
	if (compress(grain->out + MARKER_BYTES, &bytes, grain->plain, plain_bytes) != Z_OK) {
		grain->rc = -ENOMEM;
		return;
	}
	le64_put(grain->out, grain->first_sector);
	le32_put(grain->out + 8, (uint32_t)bytes);
	end = MARKER_BYTES + bytes;
	grain->bytes = round_up(end, BLOCK_SECTOR);
	memset(grain->out + end, 0, grain->bytes - end);
}

static void run(struct work *work)
{
	struct packed *grain = container_of(work, struct packed, work);
	struct packer *packer = grain->packer;

	pack_grain(grain);
	LOCK_SCOPE(&packer->lock);
	if (!--packer->busy)
		pthread_cond_signal(&packer->changed);
}

int packer_new(struct packer **ret_packer, uint32_t grain_bytes, struct err *err)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct packer *packer = calloc(1, sizeof(*packer));
	int rc = packer ? 0 : -ENOMEM;

	if (rc)
		return err_errno(err, rc, "cannot compress");
	packer->grain_bytes = grain_bytes;
	packer->room = round_up(MARKER_BYTES + compressBound(grain_bytes), BLOCK_SECTOR);
	packer->grains = calloc(PACKER_GRAINS, sizeof(*packer->grains));
	packer->plain = malloc((size_t)PACKER_GRAINS * grain_bytes);
	packer->out = malloc(PACKER_GRAINS * packer->room);
	pthread_mutex_init(&packer->lock, NULL);
	pthread_cond_init(&packer->changed, NULL);
	if (!packer->grains || !packer->plain || !packer->out)
		rc = err_errno(err, ENOMEM, "cannot compress");
	if (!rc)
		rc = workers_new(&packer->workers, "pack",
				 (unsigned)MIN(MAX(processors, 1L), (long)THREADS_MAX), err);
	if (rc) {
		packer_free(packer);
		return rc;
	}
	*ret_packer = packer;
	return 0;
}

void packer_free(struct packer *packer)
{
	if (!packer)
		return;
	workers_free(packer->workers);
	pthread_cond_destroy(&packer->changed);
	pthread_mutex_destroy(&packer->lock);
	free(packer->grains);
	free(packer->plain);
	free(packer->out);
	free(packer);
}

uint8_t *packer_plain(struct packer *packer)
{
	return packer->plain;
}

int packer_pack(struct packer *packer, uint64_t first_sector, unsigned count)
{
	packer->busy = count;
	for (unsigned i = 0; i < count; i++) {
		struct packed *grain = &packer->grains[i];

		*grain = (struct packed){
			.work.run = run,
			.packer = packer,
			.plain = packer->plain + (size_t)i * packer->grain_bytes,
			.first_sector =
				first_sector + (uint64_t)i * (packer->grain_bytes / BLOCK_SECTOR),
			.out = packer->out + i * packer->room,
		};
		workers_submit(packer->workers, &grain->work);
	}
	pthread_mutex_lock(&packer->lock);
	while (packer->busy)
		pthread_cond_wait(&packer->changed, &packer->lock);
	pthread_mutex_unlock(&packer->lock);
	for (unsigned i = 0; i < count; i++) {
		if (packer->grains[i].rc)
			return packer->grains[i].rc;
	}
	return 0;
}

const uint8_t *packer_grain(struct packer *packer, unsigned index, size_t *ret_bytes)
{
	*ret_bytes = packer->grains[index].bytes;
	return packer->grains[index].out;
}
