/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A character back-end: the other end of a serial port or console.
 *
 * Bytes from the guest are never lost while someone listens: a back-end that cannot take them says
 * so, and calls `write_ready` when it can. With nobody at the other end it swallows them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "host/loop.h"

struct chardev;

/* The device's side. Called on the back-end's loop thread, without back-end locks; an empty one
 * detaches. */
struct chardev_receiver {
	/* Bytes from outside; returns how many were taken. For the rest the back-end waits for
	 * chardev_receive_ready(). */
	size_t (*receive)(void *ctx, const uint8_t *bytes, size_t count);
	/* Optional: chardev_write() has room again. */
	void (*write_ready)(void *ctx);
	/* Optional: someone connected or left. */
	void (*connected)(void *ctx, bool connected);
	/* Optional: chardev_size() says something new. */
	void (*resized)(void *ctx);
	void *ctx;
};

struct chardev_ops {
	const char *name; /* "stdio", "pty", "file", "unix" */

	/* Required. Takes bytes from the guest, returns how many (0: full). Never blocks. Any
	 * thread. */
	size_t (*write)(struct chardev *chardev, const uint8_t *bytes, size_t count);
	/* Required. The device has room for input again. Any thread. */
	void (*receive_ready)(struct chardev *chardev);
	/* Optional. See chardev_flush(). */
	void (*flush)(struct chardev *chardev, uint64_t deadline_ns);
	/* Required. Flushes what it can without blocking and closes. Loop thread. */
	void (*close)(struct chardev *chardev);
	/* Optional. Where the other end is: the pty's or socket's path. */
	const char *(*path)(struct chardev *chardev);
	/* Optional. The terminal's size in characters; false if it has none. */
	bool (*size)(struct chardev *chardev, uint16_t *ret_columns, uint16_t *ret_rows);
};

struct chardev {
	const struct chardev_ops *ops;
	struct loop *loop;
	struct chardev_receiver receiver;
	bool connected; /* somebody is at the other end; loop thread */
};

/*
 * Opens what `spec` names; bytes flow once the loop runs. "none" gives a NULL chardev.
 *
 *	stdio		the terminal, raw; Ctrl-] three times within a second calls `escape`
 *	pty		a new pseudo-terminal, see chardev_path()
 *	file=PATH	output only; the file is emptied first
 *	unix=PATH	a listening socket for one client at a time
 *
 * A pty and a socket keep the latest 64 KiB for whoever connects later. The process must ignore
 * SIGPIPE. Errors: -EINVAL for a bad specification, -EBUSY when stdio is in use already, and the
 * system's, explained. Loop thread.
 */
int chardev_open(const char *spec, struct loop *loop, struct chardev **ret_chardev,
		 struct err *err);

/* Calls `escape` on the loop's thread when the user wants to leave; does nothing unless `chardev`
 * is stdio. */
void chardev_set_escape(struct chardev *chardev, void (*escape)(void *ctx), void *ctx);

/* Gives the terminal back as it was found, if stdio made it raw. Any thread, also from a signal
 * handler; exit(3) calls it. */
void chardev_restore_terminal(void);

/* Wrappers: the only callers of the slots. chardev_attach comes before the loop runs; NULL chardevs
 * swallow and give nothing. */
void chardev_attach(struct chardev *chardev, struct chardev_receiver receiver);
size_t chardev_write(struct chardev *chardev, const uint8_t *bytes, size_t count);
void chardev_receive_ready(struct chardev *chardev);
/* Waits until the other end has taken what was written, and what the device still had to write; with
 * nobody there, or from `deadline_ns` (see clock_now_ns()) on, it waits no more. Loop thread. */
void chardev_flush(struct chardev *chardev, uint64_t deadline_ns);
const char *chardev_path(struct chardev *chardev); /* NULL: it has none */
bool chardev_size(struct chardev *chardev, uint16_t *ret_columns, uint16_t *ret_rows);
void chardev_close(struct chardev *chardev);
