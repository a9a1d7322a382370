/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compressed clusters: raw deflate streams with a window of 4 KiB, or zstd frames.
 *
 * A stream has no length of its own in the image: it ends when the cluster is full. So at most a
 * cluster comes out of any stream.
 *
 * Spec: QEMU docs/interop/qcow2.txt, "Compressed Clusters Descriptor"; RFC 1951; RFC 8878
 */
#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#include "block/format/qcow2_priv.h"

#define DEFLATE_WINDOW_BITS (-12) /* without the frame of zlib */
/* A third faster than zlib's presets (6, 9), for images that are half a percent larger: what it works
 * in stays in the processor's caches. */
#define DEFLATE_LEVEL  5
#define DEFLATE_MEMORY 8

static int inflate_cluster(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
	z_stream stream = {
		.next_in = (Bytef *)(uintptr_t)from,
		.avail_in = (uInt)from_bytes,
		.next_out = to,
		.avail_out = (uInt)to_bytes,
	};
	int rc;

	if (inflateInit2(&stream, DEFLATE_WINDOW_BITS) != Z_OK)
		return -ENOMEM;
	rc = inflate(&stream, Z_FINISH);
	inflateEnd(&stream);
	/* Full without the end of the stream is what a few writers leave behind. */
	return !stream.avail_out && (rc == Z_STREAM_END || rc == Z_BUF_ERROR) ? 0 : -EIO;
}

static int unzstd_cluster(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	ZSTD_outBuffer out = { to, to_bytes, 0 };
	ZSTD_inBuffer in = { from, from_bytes, 0 };
	int rc = context ? 0 : -ENOMEM;

	while (!rc && out.pos < out.size) {
		size_t in_before = in.pos, out_before = out.pos;
		size_t left = ZSTD_decompressStream(context, &out, &in);

		if (ZSTD_isError(left) || (in.pos == in_before && out.pos == out_before))
			rc = -EIO;
	}
	ZSTD_freeDCtx(context);
	return rc;
}

int qcow2_decompress(enum qcow2_compression type, void *to, size_t to_bytes, const void *from,
		     size_t from_bytes)
{
	return type == QCOW2_ZSTD ? unzstd_cluster(to, to_bytes, from, from_bytes)
				  : inflate_cluster(to, to_bytes, from, from_bytes);
}

static ssize_t deflate_cluster(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
	z_stream stream = {
		.next_in = (Bytef *)(uintptr_t)from,
		.avail_in = (uInt)from_bytes,
		.next_out = to,
		.avail_out = (uInt)to_bytes,
	};
	int rc;

	if (deflateInit2(&stream, DEFLATE_LEVEL, Z_DEFLATED, DEFLATE_WINDOW_BITS, DEFLATE_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	rc = deflate(&stream, Z_FINISH);
	deflateEnd(&stream);
	return rc == Z_STREAM_END ? (ssize_t)(to_bytes - stream.avail_out) : -ENOSPC;
}

ssize_t qcow2_compress(enum qcow2_compression type, void *to, size_t to_bytes, const void *from,
		       size_t from_bytes)
{
	size_t bytes;

	if (type == QCOW2_ZLIB)
		return deflate_cluster(to, to_bytes, from, from_bytes);
	bytes = ZSTD_compress(to, to_bytes, from, from_bytes, ZSTD_CLEVEL_DEFAULT);
	return ZSTD_isError(bytes) ? -ENOSPC : (ssize_t)bytes;
}
