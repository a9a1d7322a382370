/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw files and block devices: opening, locking, and the choice of who does a request.
 *
 * Reads of what is in the page cache are done at once, other plain reads, writes and flushes go to the ring; what it cannot take, and what comes back
 * unfinished, goes to a worker thread (raw_sync.c). Where the kernel or a sandbox refuses io_uring
 * the workers do everything.
 */
#include "block/file/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "block/file/raw_priv.h"

#define WORKERS_BESIDE_RING 1
#define WORKERS_ALONE       4

#define READS_AFTER_MISS 64 /* that are not tried at once */

static const struct block_ops raw_ops;

struct raw *raw_of(struct block_node *node)
{
	check(node->ops == &raw_ops);
	return container_of(node, struct raw, node);
}

static struct block_buffer buffer_of(const struct block_request *request)
{
	return (struct block_buffer){ .iov = request->iov, .iov_count = request->iov_count };
}

static bool fits_ring(const struct raw *raw, const struct block_request *request)
{
	if (request->op == BLOCK_FLUSH)
		return true;
	if (request->op != BLOCK_READ && request->op != BLOCK_WRITE)
		return false;
	return raw_aligned(raw, request->position, request->bytes) &&
	       raw_memory_aligned(raw, buffer_of(request));
}

/* What lies in the page cache is there sooner than the ring could tell of it. A failed try costs a
 * call, so a file of which little is there is tried now and then only. */
static bool read_at_once(struct raw *raw, const struct block_request *request)
{
	unsigned off = atomic_load_explicit(&raw->tries_off, memory_order_relaxed);
	ssize_t n;

	if (request->op != BLOCK_READ || raw->cache == BLOCK_CACHE_NONE)
		return false;
	if (off) {
		atomic_store_explicit(&raw->tries_off, off - 1, memory_order_relaxed);
		return false;
	}
	n = preadv2(raw->fd, request->iov, (int)request->iov_count, (off_t)request->position,
		    RWF_NOWAIT);
	if (n >= 0 && (uint64_t)n == request->bytes)
		return true;
	atomic_store_explicit(&raw->tries_off, READS_AFTER_MISS, memory_order_relaxed);
	return false;
}

static void raw_queue(struct block_node *node, struct block_request *request)
{
	struct raw *raw = raw_of(node);

	if (raw->cache == BLOCK_CACHE_UNSAFE)
		request->flags &= ~(unsigned)BLOCK_FUA;
	if ((request->op == BLOCK_FLUSH && raw->cache == BLOCK_CACHE_UNSAFE) ||
	    read_at_once(raw, request))
		block_complete_at_once(request, 0);
	else if (request->op != BLOCK_READ && request->op != BLOCK_FLUSH &&
		 !block_lease_runs(raw->lease))
		block_complete_at_once(request, -ESTALE);
	else if (!raw->ring || !fits_ring(raw, request) ||
		 (raw_holds_ranges(raw) &&
		  !block_request_hold(request, &node->ranges, request->position, request->bytes)) ||
		 !ring_queue(raw->ring, request))
		block_hand_to_worker(request);
}

static void ring_done(void *ctx, struct block_request *request, int result)
{
	(void)ctx;
	if (result > 0)
		request->progress += (uint64_t)result;
	/* The kernel cancels what a thread that ends has submitted. */
	if (result == -EINTR || result == -EAGAIN || result == -ECANCELED ||
	    (result >= 0 && request->op != BLOCK_FLUSH && request->progress < request->bytes))
		block_hand_to_worker(request);
	else
		block_complete_batched(request, MIN(result, 0));
}

static void ring_batch_done(void *ctx)
{
	struct raw *raw = ctx;

	block_complete_now(&raw->node);
}

static const struct ring_ops ring_ops = { .done = ring_done, .batch_done = ring_batch_done };

static void raw_kick(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	if (raw->ring)
		ring_kick(raw->ring);
}

static bool raw_wait(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	return raw->ring && ring_wait(raw->ring);
}

static void raw_close(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	ring_free(raw->ring);
	if (raw->fd >= 0)
		close(raw->fd);
	if (raw->lock_fd >= 0)
		close(raw->lock_fd);
	pthread_mutex_destroy(&raw->bounce_lock);
	pthread_mutex_destroy(&raw->size_lock);
	block_node_fini(node);
	free(raw->bounce);
	free(raw->path);
	free(raw);
}

static uint64_t raw_size(struct block_node *node)
{
	return atomic_load(&raw_of(node)->size);
}

static uint32_t raw_unit(struct block_node *node)
{
	(void)node;
	return BLOCK_SECTOR;
}

static bool raw_can_write(struct block_node *node)
{
	return !raw_of(node)->read_only;
}

static bool raw_can_fua(struct block_node *node)
{
	(void)node;
	return true;
}

static json_t *raw_describe(struct block_node *node)
{
	struct raw *raw = raw_of(node);

	return json_pack("{s:s, s:s, s:I, s:s, s:b, s:s}", "format", raw_ops.name, "file",
			 raw->path, "size", (json_int_t)atomic_load(&raw->size), "cache",
			 block_cache_name(raw->cache), "read-only", raw->read_only, "io",
			 raw->ring        ? "io_uring"
			 : raw->node.loop ? "threads"
					  : "calls");
}

static const struct block_ops raw_ops = {
	.name = "raw",
	.read = raw_read,
	.write = raw_write,
	.flush = raw_flush,
	.discard = raw_discard,
	.write_zeroes = raw_write_zeroes,
	.extent = raw_extent,
	.resize = raw_resize,
	.queue = raw_queue,
	.kick = raw_kick,
	.wait = raw_wait,
	.close = raw_close,
	.size = raw_size,
	.unit = raw_unit,
	.can_write = raw_can_write,
	.can_discard = raw_can_write,
	.can_write_zeroes = raw_can_write,
	.can_fua = raw_can_fua,
	.describe = raw_describe,
};

int raw_open_flags(const struct block_open_options *options)
{
	bool read_only = options->read_only || options->snapshot;

	return O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (read_only ? O_RDONLY : O_RDWR) |
	       (options->cache == BLOCK_CACHE_NONE ? O_DIRECT : 0);
}

static int open_file(struct raw *raw, const struct block_open_options *options, struct err *err)
{
	int code;

	raw->fd = open(raw->path, raw_open_flags(options));
	if (raw->fd >= 0)
		return 0;
	code = errno;
	err_errno(err, code, "cannot open disk '%s'", raw->path);
	if (code == EINVAL && raw->cache == BLOCK_CACHE_NONE)
		err_hint(err, "the filesystem has no direct I/O: use cache=writeback");
	else if (code == EACCES || code == EROFS || code == EPERM)
		err_hint(err, "give the file the rights, or use readonly=on or snapshot=on");
	return -code;
}

/* Open file description locks end with the descriptor and are shared by nobody who opens the file
 * anew. */
static int lock_file(struct raw *raw, struct err *err)
{
	struct flock lock = {
		.l_type = raw->read_only ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", raw->fd);
	raw->lock_fd = open(path, O_CLOEXEC | O_NONBLOCK | (raw->read_only ? O_RDONLY : O_RDWR));
	if (raw->lock_fd >= 0 && !fcntl(raw->lock_fd, F_OFD_SETLK, &lock))
		return 0;
	if (errno != EAGAIN && errno != EACCES) {
		log_warn("cannot lock disk '%s': %s", raw->path, strerrordesc_np(errno));
		return 0;
	}
	err_set(err, EAGAIN, "cannot lock disk '%s': another machine uses it", raw->path);
	err_hint(err, "stop the other machine%s",
		 raw->read_only ? ""
				: ", or open the disk in both with snapshot=on or readonly=on");
	return -EAGAIN;
}

int raw_lock(struct block_node *node, struct err *err)
{
	return node->ops == &raw_ops ? lock_file(raw_of(node), err) : 0;
}

void raw_unlock(struct block_node *node)
{
	int fd;

	if (node->ops != &raw_ops)
		return;
	fd = take_fd(&raw_of(node)->lock_fd);
	if (fd >= 0)
		close(fd);
}

enum raw_use raw_use(struct block_node *node)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (node->ops != &raw_ops || fcntl(raw_of(node)->fd, F_OFD_GETLK, &lock) ||
	    lock.l_type == F_UNLCK)
		return RAW_FREE;
	return lock.l_type == F_RDLCK ? RAW_READ : RAW_WRITTEN;
}

static int measure(struct raw *raw, struct err *err)
{
	uint64_t bytes;
	struct stat st;

	if (fstat(raw->fd, &st))
		return err_errno(err, errno, "cannot look at disk '%s'", raw->path);
	raw->block_device = S_ISBLK(st.st_mode);
	if (raw->block_device) {
		if (ioctl(raw->fd, BLKGETSIZE64, &bytes))
			return err_errno(err, errno, "cannot size disk '%s'", raw->path);
	} else if (S_ISREG(st.st_mode)) {
		bytes = (uint64_t)st.st_size;
	} else {
		return err_set(err, EINVAL,
			       "cannot use disk '%s': neither a regular file nor a block device",
			       raw->path);
	}
	atomic_store(&raw->size, round_up(bytes, BLOCK_SECTOR));
	return 0;
}

/* Nothing tells portably what O_DIRECT asks for, so the smallest read that works does. */
static int probe_alignment(struct raw *raw, struct err *err)
{
	raw->align = 1;
	if (raw->cache != BLOCK_CACHE_NONE)
		return 0;
	for (raw->align = BLOCK_SECTOR; raw->align <= PAGE_BYTES; raw->align *= 2) {
		if (pread(raw->fd, raw->bounce, raw->align, 0) >= 0)
			return 0;
		if (errno != EINVAL)
			break;
	}
	return err_errno(err, errno, "cannot read disk '%s'", raw->path);
}

static int start_engine(struct raw *raw, bool no_io_uring, struct err *err)
{
	struct err ring_err = ERR_INIT;

	if (!raw->node.loop)
		return 0;
	if (!no_io_uring &&
	    ring_new(&raw->ring, raw->node.loop, raw->fd, &ring_ops, raw, &ring_err))
		log_info("disk '%s' uses threads: %s", raw->path, ring_err.text);
	return block_node_start_workers(&raw->node, raw->ring ? WORKERS_BESIDE_RING : WORKERS_ALONE,
					err);
}

static int raw_new(struct raw **ret_raw, const char *path, struct loop *loop, struct err *err)
{
	struct raw *raw = calloc(1, sizeof(*raw));

	if (!raw)
		return err_errno(err, ENOMEM, "cannot open disk '%s'", path);
	raw->fd = raw->lock_fd = -1;
	raw->align = 1;
	block_node_init(&raw->node, &raw_ops, loop);
	pthread_mutex_init(&raw->bounce_lock, NULL);
	pthread_mutex_init(&raw->size_lock, NULL);
	raw->path = strdup(path);
	raw->bounce = aligned_alloc(PAGE_BYTES, RAW_BOUNCE_BYTES);
	if (!raw->path || !raw->bounce) {
		raw_close(&raw->node);
		return err_errno(err, ENOMEM, "cannot open disk '%s'", path);
	}
	*ret_raw = raw;
	return 0;
}

int raw_open(const struct block_open_options *options, int fd, struct loop *loop,
	     struct block_node **ret_node, struct err *err)
{
	struct raw *raw;
	int rc = raw_new(&raw, options->path, loop, err);

	if (rc) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	raw->fd = fd;
	raw->read_only = options->read_only || options->snapshot;
	raw->cache = options->cache;
	raw->lease = options->lease;
	if (fd < 0)
		rc = open_file(raw, options, err);
	if (!rc)
		rc = measure(raw, err);
	if (!rc && !options->no_lock)
		rc = lock_file(raw, err);
	if (!rc)
		rc = probe_alignment(raw, err);
	if (!rc)
		rc = start_engine(raw, options->no_io_uring, err);
	if (rc) {
		raw_close(&raw->node);
		return rc;
	}
	*ret_node = &raw->node;
	return 0;
}

int raw_open_scratch(int fd, uint64_t bytes, const struct block_open_options *options,
		     struct loop *loop, struct block_node **ret_node, struct err *err)
{
	struct raw *raw;
	int rc = raw_new(&raw, options->path, loop, err);

	if (rc) {
		close(fd);
		return rc;
	}
	raw->fd = fd;
	atomic_store(&raw->size, bytes);
	raw->cache = BLOCK_CACHE_UNSAFE;
	rc = start_engine(raw, options->no_io_uring, err);
	if (rc) {
		raw_close(&raw->node);
		return rc;
	}
	*ret_node = &raw->node;
	return 0;
}

bool raw_identity(struct block_node *node, struct stat *ret_stat)
{
	return node->ops == &raw_ops && !fstat(raw_of(node)->fd, ret_stat);
}
