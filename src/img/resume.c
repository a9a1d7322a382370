/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "img/resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/macros.h"

/* One sector, so that it is written whole or not at all. */
#define RECORD_BYTES 512

static json_t *record_of(const struct resume *resume, uint64_t position)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "source-inode", (json_int_t)resume->source.st_ino,
			 "source-size", (json_int_t)resume->source.st_size, "source-changed",
			 (json_int_t)resume->source.st_mtim.tv_sec, "position",
			 (json_int_t)position);
}

static bool is_same_source(const json_t *record, const struct resume *resume)
{
	json_t *own = record_of(resume, 0);
	const char *name;
	json_t *value;
	bool same = true;

	json_object_foreach(own, name, value)
	{
		if (strcmp(name, "position"))
			same &= json_equal(value, json_object_get(record, name)) != 0;
	}
	json_decref(own);
	return same;
}

static int read_record(struct resume *resume, struct err *err)
{
	char text[RECORD_BYTES];
	ssize_t count = pread(resume->fd, text, sizeof(text), 0);
	json_t *record;
	int rc = 0;

	if (count < 0)
		return err_errno(err, errno, "cannot read '%s'", resume->path);
	if (!count)
		return 0;
	record = json_loadb(text, strnlen(text, (size_t)count), 0, NULL);
	if (!record || !is_same_source(record, resume)) {
		err_set(err, ESTALE, "'%s' belongs to another conversion", resume->path);
		err_hint(err, "remove it to begin anew");
		resume->keep = true;
		rc = -ESTALE;
	} else {
		resume->continues = resume->keep = true;
		resume->position =
			(uint64_t)json_integer_value(json_object_get(record, "position"));
	}
	json_decref(record);
	return rc;
}

int resume_open(struct resume *resume, const char *source, const char *target, struct err *err)
{
	*resume = (struct resume){ .fd = -1 };
	if (stat(source, &resume->source))
		return err_errno(err, errno, "cannot look at '%s'", source);
	if (asprintf(&resume->path, "%s.resume", target) < 0) {
		resume->path = NULL;
		return err_errno(err, ENOMEM, "cannot convert");
	}
	resume->fd = open(resume->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (resume->fd < 0)
		return err_errno(err, errno, "cannot create '%s'", resume->path);
	return read_record(resume, err);
}

void resume_fini(struct resume *resume)
{
	if (resume->path && resume->fd >= 0) {
		if (!resume->keep)
			unlink(resume->path);
		close(resume->fd);
	}
	free(resume->path);
}

int resume_save(struct resume *resume, struct block_node *target, uint64_t position,
		struct err *err)
{
	json_t *record = record_of(resume, position);
	char text[RECORD_BYTES] = { 0 };
	int rc = block_flush(target);

	if (!rc && (!record || json_dumpb(record, text, sizeof(text), 0) > sizeof(text)))
		rc = -ENOMEM;
	json_decref(record);
	if (!rc && (pwrite(resume->fd, text, sizeof(text), 0) != (ssize_t)sizeof(text) ||
		    fdatasync(resume->fd)))
		rc = -EIO;
	resume->keep |= !rc;
	return rc ? err_errno(err, rc, "cannot keep how far the conversion has come") : 0;
}

void resume_forget(struct resume *resume)
{
	resume->keep = false;
}
