/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests by calls that block: the whole meaning of a raw file in one place.
 *
 * io_uring only shortens the plain cases; partial transfers, reads over the end, misaligned
 * O_DIRECT, and everything that changes allocation end here. `progress` bytes of the request are
 * done already.
 */
#include "block/file/raw_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/thread.h"

bool raw_range_aligned(const struct raw *raw, const struct block_request *request)
{
	uint64_t from = request->offset + request->progress;

	return !((from | (request->bytes - request->progress)) & (raw->align - 1));
}

bool raw_memory_aligned(const struct raw *raw, const struct block_request *request)
{
	uintptr_t bits = 0;

	for (unsigned i = 0; i < request->iov_count && raw->align > 1; i++)
		bits |= (uintptr_t)request->iov[i].iov_base | request->iov[i].iov_len;
	return !(bits & (raw->align - 1));
}

/* One call's worth, straight between the file and the request's memory: bytes, 0 at the end of the
 * file, or errno. */
static ssize_t transfer(struct raw *raw, const struct block_request *request)
{
	uint64_t offset = request->offset + request->progress;
	struct iovec iov[BLOCK_IOV_MAX];
	unsigned count;
	ssize_t n;

	count = iov_slice(iov, request->iov, request->iov_count, request->progress,
			  request->bytes - request->progress);
	do {
		if (request->op == BLOCK_READ)
			n = preadv(raw->fd, iov, (int)count, (off_t)offset);
		else
			n = pwritev2(raw->fd, iov, (int)count, (off_t)offset,
				     request->flags & BLOCK_FUA ? RWF_DSYNC : 0);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Reads up to `bytes`; what lies behind the end of the file is zero. */
static int read_window(struct raw *raw, uint8_t *buffer, uint64_t offset, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t n = pread(raw->fd, buffer + done, bytes - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
		/* O_DIRECT comes back misaligned only at the end of the file. */
		if (!n || done & (raw->align - 1))
			break;
	}
	memset(buffer + done, 0, bytes - done);
	return 0;
}

static int write_window(struct raw *raw, const uint8_t *buffer, uint64_t offset, size_t bytes)
{
	uint64_t end = offset + bytes;

	while (bytes) {
		ssize_t n = pwrite(raw->fd, buffer, bytes, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buffer += n;
		offset += (uint64_t)n;
		bytes -= (size_t)n;
	}
	/* The last aligned block may reach over the end of the disk; the file shall not. */
	if (end > raw->size && !raw->block_device && ftruncate(raw->fd, (off_t)raw->size))
		return -errno;
	return 0;
}

/* One step through the bounce buffer: bytes done or a negative errno. */
static ssize_t transfer_bounced(struct raw *raw, const struct block_request *request)
{
	uint64_t from = request->offset + request->progress;
	uint64_t low = round_down(from, raw->align);
	uint64_t bytes = MIN(request->bytes - request->progress, RAW_BOUNCE_BYTES - (from - low));
	uint64_t high = round_up(from + bytes, raw->align);
	int rc = 0;

	LOCK_SCOPE(&raw->bounce_lock);
	if (request->op == BLOCK_READ) {
		rc = read_window(raw, raw->bounce, low, high - low);
		if (!rc)
			iov_scatter(request->iov, request->iov_count, request->progress,
				    raw->bounce + (from - low), bytes);
		return rc ? rc : (ssize_t)bytes;
	}
	if (low != from || high != from + bytes)
		rc = read_window(raw, raw->bounce, low, high - low);
	if (rc)
		return rc;
	iov_gather(raw->bounce + (from - low), request->iov, request->iov_count, request->progress,
		   bytes);
	rc = write_window(raw, raw->bounce, low, high - low);
	return rc ? rc : (ssize_t)bytes;
}

static int sync_file(struct raw *raw)
{
	int rc;

	if (raw->cache == BLOCK_CACHE_UNSAFE)
		return 0;
	do
		rc = fdatasync(raw->fd);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int perform_transfer(struct raw *raw, struct block_request *request)
{
	bool memory_aligned = raw_memory_aligned(raw, request);
	bool bounced = false;

	while (request->progress < request->bytes) {
		ssize_t n;

		if (memory_aligned && raw_range_aligned(raw, request)) {
			n = transfer(raw, request);
		} else {
			n = transfer_bounced(raw, request);
			bounced = true;
		}
		if (n < 0)
			return (int)n;
		if (!n && request->op == BLOCK_WRITE)
			return -EIO;
		if (!n)
			n = (ssize_t)iov_fill(request->iov, request->iov_count, request->progress,
					      0, request->bytes - request->progress);
		request->progress += (uint64_t)n;
	}
	return bounced && request->flags & BLOCK_FUA ? sync_file(raw) : 0;
}

static int allocate(struct raw *raw, const struct block_request *request, int mode)
{
	int rc;

	do
		rc = fallocate(raw->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)request->offset,
			       (off_t)request->bytes);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int perform_discard(struct raw *raw, const struct block_request *request)
{
	uint64_t range[2] = { request->offset, request->bytes };
	int rc;

	if (raw->block_device)
		rc = ioctl(raw->fd, BLKDISCARD, range) ? -errno : 0;
	else
		rc = allocate(raw, request, FALLOC_FL_PUNCH_HOLE);
	/* A discard is advice: storage that cannot follow it, or not in units this small, is no
	 * error. */
	return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL ? 0 : rc;
}

static int write_zero_bytes(struct raw *raw, struct block_request *request)
{
	LOCK_SCOPE(&raw->bounce_lock);
	memset(raw->bounce, 0, RAW_BOUNCE_BYTES);
	while (request->progress < request->bytes) {
		size_t bytes = MIN(request->bytes - request->progress, RAW_BOUNCE_BYTES);
		int rc = write_window(raw, raw->bounce, request->offset + request->progress, bytes);

		if (rc)
			return rc;
		request->progress += bytes;
	}
	return 0;
}

static int perform_write_zeroes(struct raw *raw, struct block_request *request)
{
	int mode = request->flags & BLOCK_MAY_UNMAP ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	int rc = allocate(raw, request, mode);

	/* EINVAL: a block device with larger blocks. */
	if (rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL)
		rc = write_zero_bytes(raw, request);
	if (!rc && request->flags & BLOCK_FUA)
		rc = sync_file(raw);
	return rc;
}

int raw_perform(struct raw *raw, struct block_request *request)
{
	switch (request->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		return perform_transfer(raw, request);
	case BLOCK_FLUSH:
		return sync_file(raw);
	case BLOCK_DISCARD:
		return perform_discard(raw, request);
	case BLOCK_WRITE_ZEROES:
		return perform_write_zeroes(raw, request);
	}
	return -ENOTSUP;
}
