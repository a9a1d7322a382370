/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port or console of the machine that viewers on the control socket can attach to, besides
 * the back-end that it is configured with.
 *
 * It is a chardev for the device and the device of the back-end: output goes to the back-end and to
 * all viewers, input comes from all of them. The latest output is kept for who comes later and says
 * from which byte on. Viewers belong to the loop's thread; the device writes on any thread.
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "chardev/chardev.h"

#define CONSOLE_ID_MAX     24
#define CONSOLE_RING_BYTES 65536

struct console_viewer {
	struct list node;
	uint64_t at; /* the next byte of the guest's for it */
	/* Output of the guest, copied by the viewer. Loop thread; may detach the viewer. */
	void (*output)(struct console_viewer *viewer, const uint8_t *bytes, size_t count);
	/* The device has room for input again. Loop thread. */
	void (*input_ready)(struct console_viewer *viewer);
};

struct console {
	struct chardev chardev; /* first */
	struct chardev *inner;  /* NULL: nobody but viewers */
	char id[CONSOLE_ID_MAX];
	struct list node;    /* in struct consoles */
	struct list viewers; /* loop thread */
	struct loop_task task;

	pthread_mutex_t lock;
	uint8_t ring[CONSOLE_RING_BYTES]; /* guarded by lock: the latest output */
	uint64_t written;                 /* guarded by lock, free-running */
	uint64_t read;                    /* guarded by lock: all viewers have what is before it */
	bool viewed;                      /* guarded by lock: there are viewers */
	bool refused;                     /* guarded by lock: a write found no room */
	bool room_for_input;              /* guarded by lock: the viewers have to be told */
};

struct consoles {
	struct list list;
};

/* Takes `inner` (NULL: none) when it succeeds. Closed by chardev_close(). Loop thread. */
int console_new(struct console **ret_console, const char *id, struct chardev *inner,
		struct loop *loop, struct err *err);

/* NULL if there is none. */
struct console *console_find(const struct consoles *consoles, const char *id);

/*
 * The viewer hears what the guest has written from its byte `from` on, or the oldest behind it that is
 * kept; UINT64_MAX: what comes from now on. Returns the first one. Nothing is called before it
 * returns. Loop thread.
 */
uint64_t console_attach(struct console *console, struct console_viewer *viewer, uint64_t from);
void console_detach(struct console *console, struct console_viewer *viewer);

/* Input from a viewer: how many bytes the device took; for the rest the viewer waits for
 * `input_ready`. Loop thread. */
size_t console_input(struct console *console, const uint8_t *bytes, size_t count);

/* Copies the latest output, whose first byte has the number `ret_from`; how many bytes. Any thread. */
size_t console_kept(struct console *console, uint8_t ret_bytes[CONSOLE_RING_BYTES],
		    uint64_t *ret_from);
