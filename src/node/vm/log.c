/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file: a header, then `capacity` bytes through which the log goes round and round.
 *
 * Bytes are written before the header counts them. Who is killed in between has written where nothing
 * was, or over the oldest bytes, which then may be read wrong once; the stream gives them again.
 */
#include "node/vm/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "host/thread.h"

#define DATA_AT 4096

static const char magic[8] = "CellaLog";

/* In the byte order of the host, which is the only one to read it. */
struct header {
	char magic[8];
	uint32_t capacity, reserved;
	uint64_t written;   /* bytes of the log */
	uint64_t source_at; /* the next byte of the stream */
	char source[VM_LOG_SOURCE_MAX];
};

struct vm_log {
	int fd;
	pthread_mutex_t lock;
	struct header header; /* guarded by lock */
};

static bool is_good(const struct header *header, uint32_t capacity)
{
	return !memcmp(header->magic, magic, sizeof(magic)) && header->capacity == capacity &&
	       !header->source[VM_LOG_SOURCE_MAX - 1];
}

static int write_all_at(int fd, const void *bytes, size_t count, uint64_t offset)
{
	while (count) {
		ssize_t n = pwrite(fd, bytes, count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes = (const char *)bytes + n;
		count -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int write_header_locked(struct vm_log *log)
{
	return write_all_at(log->fd, &log->header, sizeof(log->header), 0);
}

static int read_or_make(struct vm_log *log, uint32_t capacity)
{
	ssize_t n = pread(log->fd, &log->header, sizeof(log->header), 0);

	if (n < 0)
		return -errno;
	if (n == sizeof(log->header) && is_good(&log->header, capacity))
		return 0;
	log->header = (struct header){ .capacity = capacity };
	memcpy(log->header.magic, magic, sizeof(magic));
	if (ftruncate(log->fd, 0))
		return -errno;
	return write_header_locked(log);
}

int vm_log_open(struct vm_log **ret_log, int folder_fd, const char *name, uint32_t capacity,
		struct err *err)
{
	struct vm_log *log = calloc(1, sizeof(*log));
	int rc;

	if (!log)
		return err_errno(err, ENOMEM, "cannot open log '%s'", name);
	pthread_mutex_init(&log->lock, NULL);
	log->fd = openat(folder_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	rc = log->fd < 0 ? -errno : read_or_make(log, capacity);
	if (rc) {
		vm_log_close(log);
		return err_errno(err, rc, "cannot open log '%s'", name);
	}
	*ret_log = log;
	return 0;
}

void vm_log_close(struct vm_log *log)
{
	if (!log)
		return;
	if (log->fd >= 0)
		close(log->fd);
	pthread_mutex_destroy(&log->lock);
	free(log);
}

uint64_t vm_log_source(struct vm_log *log, const char *source)
{
	LOCK_SCOPE(&log->lock);
	if (strncmp(log->header.source, source, VM_LOG_SOURCE_MAX - 1)) {
		memset(log->header.source, 0, VM_LOG_SOURCE_MAX);
		snprintf(log->header.source, VM_LOG_SOURCE_MAX, "%s", source);
		log->header.source_at = 0;
		write_header_locked(log);
	}
	return log->header.source_at;
}

void vm_log_skip(struct vm_log *log, uint64_t at)
{
	LOCK_SCOPE(&log->lock);
	log->header.source_at = at;
}

/* Of more than the capacity only the end is written. */
static int put_locked(struct vm_log *log, const char *bytes, size_t count)
{
	uint32_t capacity = log->header.capacity;
	size_t lost = count > capacity ? count - capacity : 0;
	uint64_t place = (log->header.written + lost) % capacity;
	size_t first = MIN(count - lost, (size_t)(capacity - place));
	int rc = write_all_at(log->fd, bytes + lost, first, DATA_AT + place);

	if (!rc)
		rc = write_all_at(log->fd, bytes + lost + first, count - lost - first, DATA_AT);
	if (!rc)
		log->header.written += count;
	return rc;
}

int vm_log_write(struct vm_log *log, const void *bytes, size_t count)
{
	int rc;

	LOCK_SCOPE(&log->lock);
	rc = put_locked(log, bytes, count);
	if (rc)
		return rc;
	log->header.source_at += count;
	return write_header_locked(log);
}

int vm_log_note(struct vm_log *log, const void *bytes, size_t count)
{
	int rc;

	LOCK_SCOPE(&log->lock);
	rc = put_locked(log, bytes, count);
	return rc ? rc : write_header_locked(log);
}

static uint64_t first_locked(const struct vm_log *log)
{
	uint64_t written = log->header.written;

	return written > log->header.capacity ? written - log->header.capacity : 0;
}

void vm_log_range(struct vm_log *log, uint64_t *ret_first, uint64_t *ret_next)
{
	LOCK_SCOPE(&log->lock);
	*ret_first = first_locked(log);
	*ret_next = log->header.written;
}

ssize_t vm_log_read(struct vm_log *log, uint64_t *at, void *bytes, size_t max)
{
	uint64_t from, place;
	ssize_t n;

	LOCK_SCOPE(&log->lock);
	from = MAX(*at, first_locked(log));
	if (from >= log->header.written)
		return 0;
	place = from % log->header.capacity;
	max = MIN(max, (size_t)(log->header.written - from));
	max = MIN(max, (size_t)(log->header.capacity - place));
	n = pread(log->fd, bytes, max, (off_t)(DATA_AT + place));
	if (n < 0)
		return -errno;
	*at = from + (uint64_t)n;
	return n;
}
