/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wrappers, and the choice of a kind by its specification. */
#include "chardev/chardev.h"

#include <errno.h>
#include <string.h>

#include "base/macros.h"
#include "chardev/stream_priv.h"

static int open_none(const char *argument, struct loop *loop, struct chardev **ret_chardev,
		     struct err *err)
{
	(void)argument;
	(void)loop;
	(void)err;
	*ret_chardev = NULL;
	return 0;
}

static int open_stdio(const char *argument, struct loop *loop, struct chardev **ret_chardev,
		      struct err *err)
{
	(void)argument;
	return stdio_open(loop, ret_chardev, err);
}

static int open_pty(const char *argument, struct loop *loop, struct chardev **ret_chardev,
		    struct err *err)
{
	(void)argument;
	return pty_open(loop, ret_chardev, err);
}

static const struct kind {
	const char *name;
	bool wants_path;
	int (*open)(const char *argument, struct loop *loop, struct chardev **ret_chardev,
		    struct err *err);
} kinds[] = {
	{ "none", false, open_none }, { "stdio", false, open_stdio }, { "pty", false, open_pty },
	{ "file", true, file_open },  { "unix", true, unix_open },
};

int chardev_open(const char *spec, struct loop *loop, struct chardev **ret_chardev, struct err *err)
{
	size_t length = strcspn(spec, "=");
	const char *path = spec[length] ? spec + length + 1 : NULL;

	for (const struct kind *kind = kinds; kind < kinds + ARRAY_SIZE(kinds); kind++) {
		if (strlen(kind->name) != length || strncmp(spec, kind->name, length))
			continue;
		if (kind->wants_path && (!path || !*path))
			return err_set(err, EINVAL, "cannot open '%s': the path is missing", spec);
		if (!kind->wants_path && path)
			return err_set(err, EINVAL, "cannot open '%s': '%s' takes no path", spec,
				       kind->name);
		return kind->open(path, loop, ret_chardev, err);
	}
	err_set(err, EINVAL, "cannot open '%s': no such kind of port", spec);
	err_hint(err, "use stdio, pty, none, file=PATH or unix=PATH");
	return -EINVAL;
}

void chardev_set_escape(struct chardev *chardev, void (*escape)(void *ctx), void *ctx)
{
	if (chardev)
		stdio_set_escape(chardev, escape, ctx);
}

void chardev_attach(struct chardev *chardev, struct chardev_receiver receiver)
{
	if (!chardev)
		return;
	chardev->receiver = receiver;
	if (chardev->connected && receiver.connected)
		receiver.connected(receiver.ctx, true);
	chardev->ops->receive_ready(chardev);
}

size_t chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	return chardev ? chardev->ops->write(chardev, bytes, count) : count;
}

void chardev_receive_ready(struct chardev *chardev)
{
	if (chardev)
		chardev->ops->receive_ready(chardev);
}

void chardev_flush(struct chardev *chardev, uint64_t deadline_ns)
{
	if (chardev && chardev->ops->flush)
		chardev->ops->flush(chardev, deadline_ns);
}

const char *chardev_path(struct chardev *chardev)
{
	return chardev && chardev->ops->path ? chardev->ops->path(chardev) : NULL;
}

bool chardev_size(struct chardev *chardev, uint16_t *ret_columns, uint16_t *ret_rows)
{
	return chardev && chardev->ops->size && chardev->ops->size(chardev, ret_columns, ret_rows);
}

void chardev_close(struct chardev *chardev)
{
	if (chardev)
		chardev->ops->close(chardev);
}
