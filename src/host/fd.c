/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int fd_read_all(int fd, void *buffer, size_t count)
{
	char *p = buffer;

	while (count) {
		ssize_t n = read(fd, p, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		p += n;
		count -= (size_t)n;
	}
	return 0;
}

int fd_pread_all(int fd, void *buffer, size_t count, uint64_t offset)
{
	char *p = buffer;

	while (count) {
		ssize_t n = pread(fd, p, count, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		p += n;
		offset += (size_t)n;
		count -= (size_t)n;
	}
	return 0;
}

int fd_write_all(int fd, const void *buffer, size_t count)
{
	const char *p = buffer;

	while (count) {
		ssize_t n = write(fd, p, count);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		count -= (size_t)n;
	}
	return 0;
}

int fd_set_nonblocking(int fd, bool nonblocking)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) ? -errno : 0;
}

int fd_read_file(const char *path, size_t max_bytes, void **ret_bytes, size_t *ret_count,
		 struct err *err)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	AUTO_FREE char *bytes = NULL;
	size_t capacity = 0, count = 0;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return err_errno(err, errno, "cannot open '%s'", path);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EISDIR, "cannot read '%s': it is a directory", path);
	for (;;) {
		ssize_t n;

		if (count + 1 >= capacity) {
			char *moved;

			/* The size is a hint only: pipes and /proc files have none. */
			capacity = capacity ? capacity * 2 : (size_t)st.st_size + 2;
			moved = realloc(bytes, capacity);
			if (!moved)
				return err_errno(err, ENOMEM, "cannot read '%s'", path);
			bytes = moved;
		}
		n = read(fd, bytes + count, capacity - count - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, errno, "cannot read '%s'", path);
		if (!n)
			break;
		count += (size_t)n;
		if (count > max_bytes)
			return err_set(err, EFBIG, "cannot read '%s': larger than %zu bytes", path,
				       max_bytes);
	}
	bytes[count] = '\0';
	*ret_bytes = take_ptr(&bytes);
	*ret_count = count;
	return 0;
}
