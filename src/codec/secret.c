/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Secrets are read straight into the memory that is wiped later: no buffered I/O in between. */
#include "codec/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

int secret_new(struct secret *ret_secret, size_t count)
{
	ret_secret->bytes = calloc(1, count ? count : 1);
	ret_secret->count = ret_secret->bytes ? count : 0;
	return ret_secret->bytes ? 0 : -ENOMEM;
}

void secret_fini(struct secret *secret)
{
	if (secret->bytes)
		explicit_bzero(secret->bytes, secret->count);
	free(secret->bytes);
	*secret = (struct secret){ 0 };
}

/* To the end of the file; -E2BIG if that is further away than the secret has room. What can be read
 * again stays where it is. */
static int read_all(int fd, struct secret *secret, size_t *ret_count)
{
	off_t start = lseek(fd, 0, SEEK_CUR);
	size_t done = 0;

	for (;;) {
		uint8_t *to = secret->bytes + done;
		size_t room = secret->count - done;
		ssize_t n =
			start < 0 ? read(fd, to, room) : pread(fd, to, room, start + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
		if (done == secret->count)
			return -E2BIG;
	}
	*ret_count = done;
	return 0;
}

static int load_fd(struct secret *ret_secret, int fd)
{
	struct secret whole;
	size_t count = 0;
	int rc = secret_new(&whole, SECRET_BYTES_MAX + 1);

	if (rc)
		return rc;
	rc = read_all(fd, &whole, &count);
	if (!rc)
		rc = secret_new(ret_secret, count);
	if (!rc)
		memcpy(ret_secret->bytes, whole.bytes, count);
	secret_fini(&whole);
	return rc;
}

static int load_file(struct secret *ret_secret, const char *path)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : load_fd(ret_secret, fd);
}

static int load_variable(struct secret *ret_secret, const char *name)
{
	const char *value = secure_getenv(name);
	int rc;

	if (!value)
		return -ENOENT;
	if (strlen(value) > SECRET_BYTES_MAX)
		return -E2BIG;
	rc = secret_new(ret_secret, strlen(value));
	if (!rc)
		memcpy(ret_secret->bytes, value, ret_secret->count);
	return rc;
}

int secret_load(struct secret *ret_secret, const char *source, struct err *err)
{
	struct secret secret = { 0 };
	uint64_t fd;
	int rc;

	if (!strncmp(source, "file:", 5)) {
		rc = load_file(&secret, source + 5);
	} else if (!strncmp(source, "env:", 4)) {
		rc = load_variable(&secret, source + 4);
	} else if (!strncmp(source, "fd:", 3)) {
		rc = parse_u64(source + 3, 0, INT32_MAX, &fd);
		rc = rc ? rc : load_fd(&secret, (int)fd);
	} else {
		/* The words may be the secret itself: they are not repeated. */
		err_set(err, EINVAL, "cannot read a secret: its source is not understood");
		err_hint(err, "say file:PATH, env:NAME or fd:NUMBER");
		return -EINVAL;
	}
	if (!rc && !secret.count)
		rc = -EINVAL;
	if (rc) {
		secret_fini(&secret);
		return err_errno(err, rc, "cannot read the secret in '%s'", source);
	}
	*ret_secret = secret;
	return 0;
}
