/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that block: the whole meaning of a raw file in one place.
 *
 * io_uring only shortens the plain cases; partial transfers, reads over the end, misaligned
 * O_DIRECT, and everything that changes allocation end here.
 */
#include "block/file/raw_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/iov.h"
#include "base/macros.h"
#include "host/thread.h"

/* A read or write on its way. */
struct transfer {
	bool write;
	bool durable;
	uint64_t offset, bytes; /* of what is left */
	struct block_buffer buffer;
};

static void advance(struct transfer *transfer, uint64_t bytes)
{
	transfer->offset += bytes;
	transfer->bytes -= bytes;
	transfer->buffer.skip += bytes;
}

bool raw_memory_aligned(const struct raw *raw, struct block_buffer buffer)
{
	uintptr_t bits = buffer.skip;

	for (unsigned i = 0; i < buffer.iov_count && raw->align > 1; i++)
		bits |= (uintptr_t)buffer.iov[i].iov_base | buffer.iov[i].iov_len;
	return !(bits & (raw->align - 1));
}

/* One call's worth, straight between the file and the caller's memory: bytes, 0 at the end of the
 * file, or errno. */
static ssize_t transfer_direct(struct raw *raw, const struct transfer *transfer)
{
	struct iovec iov[BLOCK_IOV_MAX];
	unsigned count = iov_slice(iov, transfer->buffer.iov, transfer->buffer.iov_count,
				   transfer->buffer.skip, transfer->bytes);
	ssize_t n;

	do {
		if (!transfer->write)
			n = preadv(raw->fd, iov, (int)count, (off_t)transfer->offset);
		else
			n = pwritev2(raw->fd, iov, (int)count, (off_t)transfer->offset,
				     transfer->durable ? RWF_DSYNC : 0);
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

/* Puts the end of the file where the size says. */
static int settle_size(struct raw *raw)
{
	LOCK_SCOPE(&raw->size_lock);
	return ftruncate(raw->fd, (off_t)atomic_load(&raw->size)) ? -errno : 0;
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
	return end > atomic_load(&raw->size) && !raw->block_device ? settle_size(raw) : 0;
}

/* One step through the bounce buffer: bytes done or a negative errno. */
static ssize_t transfer_bounced(struct raw *raw, const struct transfer *transfer)
{
	const struct block_buffer *buffer = &transfer->buffer;
	uint64_t from = transfer->offset;
	uint64_t low = round_down(from, raw->align);
	uint64_t bytes = MIN(transfer->bytes, RAW_BOUNCE_BYTES - (from - low));
	uint64_t high = round_up(from + bytes, raw->align);
	int rc = 0;

	LOCK_SCOPE(&raw->bounce_lock);
	if (!transfer->write) {
		rc = read_window(raw, raw->bounce, low, high - low);
		if (!rc)
			iov_scatter(buffer->iov, buffer->iov_count, buffer->skip,
				    raw->bounce + (from - low), bytes);
		return rc ? rc : (ssize_t)bytes;
	}
	if (low != from || high != from + bytes)
		rc = read_window(raw, raw->bounce, low, high - low);
	if (rc)
		return rc;
	iov_gather(raw->bounce + (from - low), buffer->iov, buffer->iov_count, buffer->skip, bytes);
	rc = write_window(raw, raw->bounce, low, high - low);
	return rc ? rc : (ssize_t)bytes;
}

int raw_flush(struct block_node *node)
{
	struct raw *raw = raw_of(node);
	int rc;

	if (raw->cache == BLOCK_CACHE_UNSAFE)
		return 0;
	do
		rc = fdatasync(raw->fd);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

static int run_transfer(struct raw *raw, struct transfer *transfer)
{
	bool memory_aligned = raw_memory_aligned(raw, transfer->buffer);
	bool bounced = false;

	while (transfer->bytes) {
		ssize_t n;

		if (memory_aligned && raw_aligned(raw, transfer->offset, transfer->bytes)) {
			n = transfer_direct(raw, transfer);
		} else {
			n = transfer_bounced(raw, transfer);
			bounced = true;
		}
		if (n < 0)
			return (int)n;
		if (!n && transfer->write)
			return -EIO;
		if (!n)
			n = (ssize_t)iov_fill(transfer->buffer.iov, transfer->buffer.iov_count,
					      transfer->buffer.skip, 0, transfer->bytes);
		advance(transfer, (uint64_t)n);
	}
	return bounced && transfer->durable ? raw_flush(&raw->node) : 0;
}

int raw_read(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer to)
{
	struct transfer transfer = { .offset = offset, .bytes = bytes, .buffer = to };
	struct raw *raw = raw_of(node);

	if (!raw_holds_ranges(raw))
		return run_transfer(raw, &transfer);
	RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
	return run_transfer(raw, &transfer);
}

/* A write behind the end begins. */
static void raise_size(struct raw *raw, uint64_t end)
{
	if (end <= atomic_load(&raw->size))
		return;
	LOCK_SCOPE(&raw->size_lock);
	if (end > atomic_load(&raw->size))
		atomic_store(&raw->size, round_up(end, BLOCK_SECTOR));
}

int raw_write(struct block_node *node, uint64_t offset, uint64_t bytes, struct block_buffer from,
	      unsigned flags)
{
	struct raw *raw = raw_of(node);
	struct transfer transfer = {
		.write = true,
		.durable = flags & BLOCK_FUA && raw->cache != BLOCK_CACHE_UNSAFE,
		.offset = offset,
		.bytes = bytes,
		.buffer = from,
	};

	if (!block_lease_runs(raw->lease))
		return -ESTALE;
	raise_size(raw, offset + bytes);
	if (!raw_holds_ranges(raw))
		return run_transfer(raw, &transfer);
	if (!raw_aligned(raw, offset, bytes)) {
		uint64_t low = round_down(offset, raw->align);
		uint64_t high = round_up(offset + bytes, raw->align);

		RANGE_EXCLUSIVE_SCOPE(range, &node->ranges, low, high - low);
		return run_transfer(raw, &transfer);
	}
	RANGE_SHARED_SCOPE(range, &node->ranges, offset, bytes);
	return run_transfer(raw, &transfer);
}

static int allocate(struct raw *raw, uint64_t offset, uint64_t bytes, int mode)
{
	int rc;

	do
		rc = fallocate(raw->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
	while (rc && errno == EINTR);
	return rc ? -errno : 0;
}

/* Storage that cannot do it, or not in units this small. */
static bool is_unsupported(int rc)
{
	return rc == -EOPNOTSUPP || rc == -ENOSYS || rc == -EINVAL || rc == -ENOTTY;
}

int raw_discard(struct block_node *node, uint64_t offset, uint64_t bytes)
{
	struct raw *raw = raw_of(node);
	uint64_t range[2] = { offset, bytes };
	int rc;

	if (!block_lease_runs(raw->lease))
		return -ESTALE;
	if (raw->block_device)
		rc = ioctl(raw->fd, BLKDISCARD, range) ? -errno : 0;
	else
		rc = allocate(raw, offset, bytes, FALLOC_FL_PUNCH_HOLE);
	/* A discard is advice. */
	return is_unsupported(rc) ? 0 : rc;
}

int raw_write_zeroes(struct block_node *node, uint64_t offset, uint64_t bytes, unsigned flags)
{
	int mode = flags & BLOCK_MAY_UNMAP ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
	struct raw *raw = raw_of(node);
	int rc = 0;

	if (!block_lease_runs(raw->lease))
		return -ESTALE;
	if (offset + bytes > atomic_load(&raw->size)) {
		raise_size(raw, offset + bytes);
		rc = settle_size(raw);
	}
	if (!rc)
		rc = allocate(raw, offset, bytes, mode);
	return is_unsupported(rc) ? -ENOTSUP : rc;
}

/* Where data (or a hole) begins from `offset` on, at most `end`. */
static uint64_t seek(struct raw *raw, uint64_t offset, uint64_t end, int whence)
{
	off_t at = lseek(raw->fd, (off_t)offset, whence);

	/* Behind the last data there is only hole; a host that knows no holes has only data. */
	if (at < 0)
		return whence == SEEK_DATA && errno != ENXIO ? offset : end;
	return MIN((uint64_t)at, end);
}

int raw_extent(struct block_node *node, struct block_extent *extent)
{
	struct raw *raw = raw_of(node);
	uint64_t end = extent->offset + extent->bytes;
	uint64_t data = seek(raw, extent->offset, end, SEEK_DATA);

	extent->flags = BLOCK_EXTENT_AT;
	extent->file = node;
	extent->at = extent->offset;
	if (data < end)
		data = round_down(data, BLOCK_SECTOR);
	if (data > extent->offset) {
		extent->flags |= BLOCK_EXTENT_ZERO;
		extent->bytes = data - extent->offset;
		return 0;
	}
	extent->flags |= BLOCK_EXTENT_HERE;
	data = round_up(seek(raw, extent->offset, end, SEEK_HOLE), BLOCK_SECTOR);
	/* A file that is cut meanwhile may have the hole at once. */
	if (data > extent->offset)
		extent->bytes = MIN(data, end) - extent->offset;
	return 0;
}

int raw_resize(struct block_node *node, uint64_t bytes, struct err *err)
{
	struct raw *raw = raw_of(node);
	int rc;

	if (!block_lease_runs(raw->lease))
		return err_set(err, ESTALE, "cannot resize '%s': its lease has run out", raw->path);
	if (raw->block_device && bytes > atomic_load(&raw->size))
		return err_set(err, ENOSPC, "cannot resize '%s': a device has the size it has",
			       raw->path);
	if (raw->block_device)
		return 0;
	pthread_mutex_lock(&raw->size_lock);
	rc = ftruncate(raw->fd, (off_t)bytes) ? -errno : 0;
	if (!rc)
		atomic_store(&raw->size, round_up(bytes, BLOCK_SECTOR));
	pthread_mutex_unlock(&raw->size_lock);
	return rc ? err_errno(err, rc, "cannot resize '%s'", raw->path) : 0;
}
