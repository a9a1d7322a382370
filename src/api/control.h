/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket of a VM process: its methods and events.
 *
 * Newline-delimited JSON-RPC 2.0 over a Unix socket. Events are notifications, sent to connections
 * that subscribed. After the reply to console.attach the connection carries the console's raw bytes
 * in both directions, until it is closed.
 */
#pragma once

#include "api/schema.h"

#define CONTROL_LINE_MAX 65536 /* bytes of a request */

enum control_method {
	CONTROL_STATUS,
	CONTROL_PAUSE,
	CONTROL_RESUME,
	CONTROL_POWER_BUTTON,
	CONTROL_NMI,
	CONTROL_RESET,
	CONTROL_QUIT,
	CONTROL_CONSOLE_LIST,
	CONTROL_CONSOLE_ATTACH,
	CONTROL_DEVICE_LIST,
	CONTROL_DEVICE_DUMP,
	CONTROL_DISK_LIST,
	CONTROL_DISK_ATTACH,
	CONTROL_DISK_DETACH,
	CONTROL_DISK_CHANGE,
	CONTROL_DISK_LEASE,
	CONTROL_DISK_LIMITS,
	CONTROL_DISK_RESIZE,
	CONTROL_BITMAP_LIST,
	CONTROL_BITMAP_ADD,
	CONTROL_BITMAP_REMOVE,
	CONTROL_BITMAP_CLEAR,
	CONTROL_BITMAP_ENABLE,
	CONTROL_BITMAP_DISABLE,
	CONTROL_BITMAP_MERGE,
	CONTROL_DISK_BACKUP,
	CONTROL_DISK_COMMIT,
	CONTROL_DISK_MIRROR,
	CONTROL_DISK_SNAPSHOT,
	CONTROL_DISK_STREAM,
	CONTROL_JOB_LIST,
	CONTROL_JOB_PAUSE,
	CONTROL_JOB_RESUME,
	CONTROL_JOB_SPEED,
	CONTROL_JOB_CANCEL,
	CONTROL_JOB_COMPLETE,
	CONTROL_NET_LIST,
	CONTROL_NET_ATTACH,
	CONTROL_NET_DETACH,
	CONTROL_NET_FORWARDS,
	CONTROL_NET_LIMITS,
	CONTROL_NET_RULES,
	CONTROL_STATS,
	CONTROL_SUBSCRIBE,
	CONTROL_METHODS
};

enum control_event {
	CONTROL_EVENT_PAUSED,
	CONTROL_EVENT_RESUMED,
	CONTROL_EVENT_RESET,
	CONTROL_EVENT_PANICKED,
	CONTROL_EVENT_POWER_BUTTON,
	CONTROL_EVENT_DISK_DETACHED,
	CONTROL_EVENT_DISK_KEPT,
	CONTROL_EVENT_NET_DETACHED,
	CONTROL_EVENT_NET_KEPT,
	CONTROL_EVENT_JOB_PROGRESS,
	CONTROL_EVENT_JOB_READY,
	CONTROL_EVENT_JOB_ENDED,
	CONTROL_EVENT_ENDED,
	CONTROL_EVENTS
};

struct control_method_row {
	const char *name;
	const struct schema_field *params; /* NULL: takes none */
	const struct schema_field *result; /* NULL: null, or what help says */
	const char *help;
};

struct control_event_row {
	const char *name;
	const struct schema_field *params; /* NULL: none */
	const char *help;
};

extern const struct control_method_row control_methods[CONTROL_METHODS];
extern const struct control_event_row control_events[CONTROL_EVENTS];

/* The method of that name, or -ENOENT with the closest one as the hint. */
int control_find_method(const char *name, struct err *err);
