/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed grains: a marker (the grain's first sector, the count of bytes) and a zlib stream. Several
 * are compressed at the same time. Spec: "Compressed Grains"; RFC 1950
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libdeflate.h>

#include "base/bits.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/macros.h"
#include "block/format/vmdk_pack.h"
#include "block/zero.h"
#include "host/thread.h"

#define MARKER_BYTES 12
#define THREADS_MAX  8
#define LEVEL        6

/* ---- out of the image ---- */

/* The last grain of a disk may be short. What does not fit is no grain. */
static int inflate_grain(const uint8_t *from, uint32_t from_bytes, uint8_t *to, uint32_t to_bytes)
{
	struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
	size_t bytes = 0;
	int rc = inflater ? 0 : -ENOMEM;

	if (!rc && libdeflate_zlib_decompress(inflater, from, from_bytes, to, to_bytes, &bytes) !=
			   LIBDEFLATE_SUCCESS)
		rc = -EIO;
	libdeflate_free_decompressor(inflater);
	if (!rc)
		memset(to + bytes, 0, to_bytes - bytes);
	return rc;
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

	pthread_mutex_t lock; /* guards all that follows */
	pthread_cond_t changed;
	unsigned busy; /* grains that are being compressed */
	struct libdeflate_compressor *idle[THREADS_MAX];
	unsigned idle_count; /* there is one for each thread */
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

static void pack_grain(struct packed *grain, struct libdeflate_compressor *deflater)
{
	struct packer *packer = grain->packer;
	size_t bytes, end;

	if (is_zero(grain->plain, packer->grain_bytes))
		return;
	bytes = libdeflate_zlib_compress(deflater, grain->plain, packer->grain_bytes,
					 grain->out + MARKER_BYTES, packer->room - MARKER_BYTES);
	if (!bytes) {
		grain->rc = -EIO;
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
	struct libdeflate_compressor *deflater;

	pthread_mutex_lock(&packer->lock);
	deflater = packer->idle[--packer->idle_count];
	pthread_mutex_unlock(&packer->lock);
	pack_grain(grain, deflater);
	LOCK_SCOPE(&packer->lock);
	packer->idle[packer->idle_count++] = deflater;
	if (!--packer->busy)
		pthread_cond_signal(&packer->changed);
}

static int new_deflaters(struct packer *packer, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		packer->idle[i] = libdeflate_alloc_compressor(LEVEL);
		if (!packer->idle[i])
			return -ENOMEM;
		packer->idle_count++;
	}
	return 0;
}

int packer_new(struct packer **ret_packer, uint32_t grain_bytes, struct err *err)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned threads = (unsigned)MIN(MAX(processors, 1L), (long)THREADS_MAX);
	struct packer *packer = calloc(1, sizeof(*packer));
	int rc;

	if (!packer)
		return err_errno(err, ENOMEM, "cannot compress");
	packer->grain_bytes = grain_bytes;
	packer->room = round_up(MARKER_BYTES + libdeflate_zlib_compress_bound(NULL, grain_bytes),
				BLOCK_SECTOR);
	packer->grains = calloc(PACKER_GRAINS, sizeof(*packer->grains));
	packer->plain = malloc((size_t)PACKER_GRAINS * grain_bytes);
	packer->out = malloc(PACKER_GRAINS * packer->room);
	pthread_mutex_init(&packer->lock, NULL);
	pthread_cond_init(&packer->changed, NULL);
	rc = packer->grains && packer->plain && packer->out ? new_deflaters(packer, threads)
							    : -ENOMEM;
	if (rc)
		err_errno(err, rc, "cannot compress");
	else
		rc = workers_new(&packer->workers, "pack", threads, err);
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
	while (packer->idle_count)
		libdeflate_free_compressor(packer->idle[--packer->idle_count]);
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
