/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/console.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "host/thread.h"

static struct console *console_of(struct chardev *chardev)
{
	return container_of(chardev, struct console, chardev);
}

static void ring_put_locked(struct console *console, const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		console->ring[console->written++ % CONSOLE_RING_BYTES] = bytes[i];
}

/* The guest's bytes: as many as back-end and ring both take. */
static size_t console_write(struct chardev *chardev, const uint8_t *bytes, size_t count)
{
	struct console *console = console_of(chardev);

	LOCK_SCOPE(&console->lock);
	if (console->viewed) {
		size_t room = CONSOLE_RING_BYTES - (size_t)(console->written - console->read);

		if (room < count) {
			console->refused = true;
			count = room;
		}
	}
	if (console->inner)
		count = chardev_write(console->inner, bytes, count);
	ring_put_locked(console, bytes, count);
	if (!console->viewed)
		console->read = console->written;
	else if (count)
		loop_post(chardev->loop, &console->task);
	return count;
}

static void console_receive_ready(struct chardev *chardev)
{
	struct console *console = console_of(chardev);

	if (console->inner)
		chardev_receive_ready(console->inner);
	LOCK_SCOPE(&console->lock);
	if (!console->viewed)
		return;
	console->room_for_input = true;
	loop_post(chardev->loop, &console->task);
}

static void console_flush(struct chardev *chardev, uint64_t deadline_ns)
{
	chardev_flush(console_of(chardev)->inner, deadline_ns);
}

static void console_close(struct chardev *chardev)
{
	struct console *console = console_of(chardev);

	loop_task_cancel(chardev->loop, &console->task);
	chardev_close(console->inner);
	list_remove(&console->node);
	pthread_mutex_destroy(&console->lock);
	free(console);
}

static const char *console_path(struct chardev *chardev)
{
	return chardev_path(console_of(chardev)->inner);
}

static bool console_size(struct chardev *chardev, uint16_t *ret_columns, uint16_t *ret_rows)
{
	return chardev_size(console_of(chardev)->inner, ret_columns, ret_rows);
}

static const struct chardev_ops console_ops = {
	.name = "console",
	.write = console_write,
	.receive_ready = console_receive_ready,
	.flush = console_flush,
	.close = console_close,
	.path = console_path,
	.size = console_size,
};

/* The next stretch of output for a viewer, copied out of the ring. */
static size_t take_output(struct console *console, struct console_viewer *viewer, uint8_t *bytes,
			  size_t max)
{
	size_t count = 0;

	LOCK_SCOPE(&console->lock);
	while (count < max && viewer->at < console->written)
		bytes[count++] = console->ring[viewer->at++ % CONSOLE_RING_BYTES];
	return count;
}

/* One stretch for each viewer; false: they have all. */
static bool tell_output(struct console *console)
{
	struct console_viewer *viewer, *next;
	uint8_t bytes[4096];
	bool told = false;

	list_for_each_safe (viewer, next, &console->viewers, node) {
		size_t count = take_output(console, viewer, bytes, sizeof(bytes));

		if (count)
			viewer->output(viewer, bytes, count);
		told |= count != 0;
	}
	return told;
}

/* Whether there are viewers, and what all of them have: what is behind it may not be overwritten. */
static void set_viewed(struct console *console)
{
	struct console_viewer *viewer;

	LOCK_SCOPE(&console->lock);
	console->viewed = !list_empty(&console->viewers);
	console->read = console->written;
	list_for_each (viewer, &console->viewers, node)
		console->read = MIN(console->read, viewer->at);
}

static void tell_viewers(struct console *console)
{
	struct console_viewer *viewer, *next;
	bool room;

	while (tell_output(console))
		set_viewed(console);
	pthread_mutex_lock(&console->lock);
	room = console->room_for_input;
	console->room_for_input = false;
	pthread_mutex_unlock(&console->lock);
	if (!room)
		return;
	list_for_each_safe (viewer, next, &console->viewers, node)
		viewer->input_ready(viewer);
}

static void run(struct loop_task *task)
{
	struct console *console = container_of(task, struct console, task);
	const struct chardev_receiver *receiver = &console->chardev.receiver;
	bool refused;

	tell_viewers(console);
	pthread_mutex_lock(&console->lock);
	refused = console->refused;
	console->refused = false;
	pthread_mutex_unlock(&console->lock);
	if (refused && receiver->write_ready)
		receiver->write_ready(receiver->ctx);
}

/* The back-end's side: passed on to the device. */

static size_t inner_receive(void *ctx, const uint8_t *bytes, size_t count)
{
	return console_input(ctx, bytes, count);
}

static void inner_write_ready(void *ctx)
{
	struct console *console = ctx;

	if (console->chardev.receiver.write_ready)
		console->chardev.receiver.write_ready(console->chardev.receiver.ctx);
}

static void inner_connected(void *ctx, bool connected)
{
	struct console *console = ctx;

	console->chardev.connected = connected;
	if (console->chardev.receiver.connected)
		console->chardev.receiver.connected(console->chardev.receiver.ctx, connected);
}

static void inner_resized(void *ctx)
{
	struct console *console = ctx;

	if (console->chardev.receiver.resized)
		console->chardev.receiver.resized(console->chardev.receiver.ctx);
}

int console_new(struct console **ret_console, const char *id, struct chardev *inner,
		struct loop *loop, struct err *err)
{
	struct console *console = calloc(1, sizeof(*console));

	if (!console)
		return err_errno(err, ENOMEM, "cannot open '%s'", id);
	console->chardev.ops = &console_ops;
	console->chardev.loop = loop;
	console->inner = inner;
	console->chardev.connected = !inner;
	console->task.run = run;
	snprintf(console->id, sizeof(console->id), "%s", id);
	list_init(&console->node);
	list_init(&console->viewers);
	pthread_mutex_init(&console->lock, NULL);
	if (inner)
		chardev_attach(inner, (struct chardev_receiver){ .receive = inner_receive,
								 .write_ready = inner_write_ready,
								 .connected = inner_connected,
								 .resized = inner_resized,
								 .ctx = console });
	*ret_console = console;
	return 0;
}

struct console *console_find(const struct consoles *consoles, const char *id)
{
	struct console *console;

	list_for_each (console, &consoles->list, node) {
		if (!strcmp(console->id, id))
			return console;
	}
	return NULL;
}

uint64_t console_attach(struct console *console, struct console_viewer *viewer, uint64_t from)
{
	/* Under the lock, because the guest writes over the oldest of it meanwhile. */
	pthread_mutex_lock(&console->lock);
	viewer->at = MIN(from, console->written);
	if (console->written - viewer->at > CONSOLE_RING_BYTES)
		viewer->at = console->written - CONSOLE_RING_BYTES;
	console->read = MIN(console->read, viewer->at);
	console->viewed = true;
	pthread_mutex_unlock(&console->lock);
	list_append(&console->viewers, &viewer->node);
	loop_post(console->chardev.loop, &console->task);
	return viewer->at;
}

void console_detach(struct console *console, struct console_viewer *viewer)
{
	list_remove(&viewer->node);
	set_viewed(console);
	/* The device may have waited for the ring. */
	loop_post(console->chardev.loop, &console->task);
}

size_t console_input(struct console *console, const uint8_t *bytes, size_t count)
{
	const struct chardev_receiver *receiver = &console->chardev.receiver;

	return receiver->receive ? receiver->receive(receiver->ctx, bytes, count) : 0;
}

size_t console_kept(struct console *console, uint8_t ret_bytes[CONSOLE_RING_BYTES],
		    uint64_t *ret_from)
{
	size_t count = 0;

	LOCK_SCOPE(&console->lock);
	*ret_from = console->written - MIN(console->written, (uint64_t)CONSOLE_RING_BYTES);
	for (uint64_t at = *ret_from; at < console->written; at++)
		ret_bytes[count++] = console->ring[at % CONSOLE_RING_BYTES];
	return count;
}
