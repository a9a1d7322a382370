/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/control.h"

#include <errno.h>
#include <string.h>

#include "api/limits.h"
#include "base/suggest.h"

static const struct schema_field status_result[] = {
	{ .name = "name", .type = SCHEMA_STRING, .help = "of the machine" },
	{ .name = "version", .type = SCHEMA_STRING, .help = "of Cella" },
	{ .name = "pid", .type = SCHEMA_INTEGER, .help = "of the VM process" },
	{ .name = "state", .type = SCHEMA_STRING, .help = "created, running, paused or ended" },
	{ .name = "engine", .type = SCHEMA_STRING, .help = "kvm or soft" },
	{ .name = "cpus", .type = SCHEMA_INTEGER, .help = "number of processors" },
	{ .name = "memory", .type = SCHEMA_SIZE, .help = "RAM in bytes" },
	{ 0 },
};

static const struct schema_field console_params[] = {
	{ .name = "console",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = 64,
	  .preset = "\"serial0\"",
	  .help = "id from console.list" },
	{ 0 },
};

static const struct schema_field dump_params[] = {
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .max = 64,
	  .help = "from device.list, or memory-map, or cpu0 ... (those only while paused)" },
	{ 0 },
};

static const struct schema_field limits_params[] = {
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .max = 64,
	  .help = "of the disk, or name of the group" },
	{ .name = "group",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "it is a group's name" },
	LIMIT_FIELDS,
	{ 0 },
};

static const struct schema_field lease_params[] = {
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .max = 64,
	  .help = "of the disk" },
	{ .name = "ms",
	  .type = SCHEMA_INTEGER,
	  .required = true,
	  .max = 24 * 3600 * 1000,
	  .help = "milliseconds from now on; 0: it ends now" },
	{ 0 },
};

static const struct schema_field resize_params[] = {
	{ .name = "id",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .max = 64,
	  .help = "of the disk" },
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .required = true,
	  .min = 512,
	  .multiple = 512,
	  .help = "new size in bytes" },
	{ 0 },
};

static const struct schema_field ended_params[] = {
	{ .name = "reason",
	  .type = SCHEMA_STRING,
	  .help = "power-off, reset, panic, debug-exit, triple-fault, engine-error, signal, terminal or quit" },
	{ .name = "status", .type = SCHEMA_INTEGER, .help = "exit status of the VM process" },
	{ 0 },
};

const struct control_method_row control_methods[CONTROL_METHODS] = {
	[CONTROL_STATUS] = { "status", NULL, status_result, "what the machine is and does" },
	[CONTROL_PAUSE] = { "pause", NULL, NULL,
			    "stop the processors; returns when the machine stands still" },
	[CONTROL_RESUME] = { "resume", NULL, NULL, "go on after a pause" },
	[CONTROL_POWER_BUTTON] = { "power-button", NULL, NULL, "ask the guest to power off" },
	[CONTROL_NMI] = { "nmi", NULL, NULL, "send a non-maskable interrupt to all processors" },
	[CONTROL_RESET] = { "reset", NULL, NULL, "press the reset button" },
	[CONTROL_QUIT] = { "quit", NULL, NULL, "end the VM process at once, exit status 0" },
	[CONTROL_CONSOLE_LIST] = { "console.list", NULL, NULL, "ids of serial ports and consoles" },
	[CONTROL_CONSOLE_ATTACH] = { "console.attach", console_params, NULL,
				     "turn this connection into the console's byte stream" },
	[CONTROL_DEVICE_LIST] = { "device.list", NULL, NULL, "ids and types of all devices" },
	[CONTROL_DEVICE_DUMP] = { "device.dump", dump_params, NULL, "the state of one device" },
	[CONTROL_DISK_LEASE] = { "disk.lease", lease_params, NULL,
				 "let a disk with lease=on be written for so long" },
	[CONTROL_DISK_LIMITS] = { "disk.limits", limits_params, NULL,
				  "change limits of a disk or a group; returns all of them" },
	[CONTROL_DISK_RESIZE] = { "disk.resize", resize_params, NULL,
				  "make a disk larger, and tell the guest" },
	[CONTROL_STATS] = { "stats", NULL, NULL, "counters of engine and devices" },
	[CONTROL_SUBSCRIBE] = { "subscribe", NULL, NULL,
				"send events to this connection from now on" },
};

const struct control_event_row control_events[CONTROL_EVENTS] = {
	[CONTROL_EVENT_PAUSED] = { "paused", NULL, "the processors stand still" },
	[CONTROL_EVENT_RESUMED] = { "resumed", NULL,
				    "the machine started, or goes on after a pause" },
	[CONTROL_EVENT_RESET] = { "reset", NULL, "the machine was reset and goes on" },
	[CONTROL_EVENT_PANICKED] = { "panicked", NULL, "the guest's kernel reported a panic" },
	[CONTROL_EVENT_POWER_BUTTON] = { "power-button", NULL, "the guest was asked to power off" },
	[CONTROL_EVENT_ENDED] = { "ended", ended_params, "the machine ended; the process follows" },
};

int control_find_method(const char *name, struct err *err)
{
	struct suggestion suggestion = suggestion_for(name);

	for (int i = 0; i < CONTROL_METHODS; i++) {
		if (!strcmp(control_methods[i].name, name))
			return i;
		suggestion_offer(&suggestion, control_methods[i].name);
	}
	err_set(err, ENOENT, "unknown method '%.64s'", name);
	if (suggestion.best)
		err_hint(err, "did you mean '%s'?", suggestion.best);
	return -ENOENT;
}
