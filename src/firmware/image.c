/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files for guest memory (see image.h).
 *
 * Threads: an image belongs to one thread at a time.
 */
#include "firmware/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/fd.h"

static int check_kind(const char *path, const struct stat *st, struct err *err)
{
	if (S_ISDIR(st->st_mode))
		return err_set(err, EISDIR, "'%s' is a directory", path);
	if (!S_ISREG(st->st_mode))
		return err_set(err, EINVAL, "'%s' is not a regular file", path);
	if (!st->st_size)
		return err_set(err, ENODATA, "'%s' is empty", path);
	return 0;
}

int image_open(struct image *ret_image, const char *path, struct err *err)
{
	struct stat st;
	int rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_errno(err, errno, "cannot open '%s'", path);
	if (fstat(fd, &st) < 0)
		rc = err_errno(err, errno, "cannot open '%s'", path);
	else
		rc = check_kind(path, &st, err);
	if (!rc)
		rc = image_from_bytes(ret_image, path, NULL, (uint64_t)st.st_size);
	if (rc) {
		close(fd);
		return rc;
	}
	ret_image->fd = fd;
	return 0;
}

int image_from_bytes(struct image *ret_image, const char *name, const void *bytes, uint64_t size)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	*ret_image = (struct image){ .name = copy, .fd = -1, .bytes = bytes, .size = size };
	return 0;
}

void image_close(struct image *image)
{
	if (image->name && image->fd >= 0)
		close(image->fd);
	free(image->name);
	free(image->args);
	*image = (struct image){ .fd = -1 };
}

int image_read(const struct image *image, uint64_t offset, void *buffer, uint64_t count,
	       struct err *err)
{
	int rc;

	if (offset > image->size || count > image->size - offset)
		return err_set(err, ENODATA, "'%s' is truncated: it ends before byte %llu",
			       image->name, (unsigned long long)(offset + count));
	if (image->fd < 0) {
		memcpy(buffer, image->bytes + offset, count);
		return 0;
	}
	rc = fd_pread_all(image->fd, buffer, count, offset);
	return rc ? err_errno(err, rc, "cannot read '%s'", image->name) : 0;
}

int image_to_guest(const struct image *image, uint64_t offset, struct memory *memory,
		   struct gpa gpa, uint64_t count, struct err *err)
{
	void *host = memory_map(memory, gpa, count);
	int rc;

	if (!host)
		return err_set(err, EFAULT, "cannot load '%s' at 0x%llx: no memory there",
			       image->name, (unsigned long long)gpa.v);
	rc = image_read(image, offset, host, count, err);
	memory_dirty(memory, gpa, count);
	return rc;
}
