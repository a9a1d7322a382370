/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/control.h"

#include <errno.h>
#include <string.h>

#include "api/config.h"
#include "api/limits.h"
#include "api/net_rules.h"
#include "base/suggest.h"

static const struct schema_field status_result[] = {
	{ .name = "name", .type = SCHEMA_STRING, .help = "of the machine" },
	{ .name = "uuid", .type = SCHEMA_STRING, .help = "of its configuration; missing: none" },
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
	{ .name = "from",
	  .type = SCHEMA_INTEGER,
	  .help = "number of the byte to start with, which may be one of the past; missing: what comes" },
	{ 0 },
};

static const struct schema_field console_result[] = {
	{ .name = "from",
	  .type = SCHEMA_INTEGER,
	  .help = "number of the first byte that follows, higher than asked for if some are lost; "
		  "only with the parameter" },
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

#define BITMAP_NAME_MAX 1000 /* bytes */

#define DISK_ID_FIELD                                                                              \
	{                                                                                          \
		.name = "id", .type = SCHEMA_STRING, .required = true, .min = 1, .max = 64,        \
		.help = "of the disk"                                                              \
	}

static const struct schema_field lease_params[] = {
	DISK_ID_FIELD,
	{ .name = "ms",
	  .type = SCHEMA_INTEGER,
	  .required = true,
	  .max = 24 * 3600 * 1000,
	  .help = "milliseconds from now on; 0: it ends now" },
	{ 0 },
};

static const struct schema_field resize_params[] = {
	DISK_ID_FIELD,
	{ .name = "size",
	  .type = SCHEMA_SIZE,
	  .required = true,
	  .min = 512,
	  .multiple = 512,
	  .help = "new size in bytes" },
	{ 0 },
};

static const struct schema_field disk_result[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "of the disk" },
	{ .name = "path", .type = SCHEMA_STRING, .help = "of its image, as it was given" },
	{ .name = "size", .type = SCHEMA_SIZE, .help = "bytes" },
	{ .name = "readonly", .type = SCHEMA_BOOLEAN, .help = "the guest cannot write" },
	{ .name = "port",
	  .type = SCHEMA_STRING,
	  .help = "hotplug port that it is in; missing: it cannot be detached" },
	{ .name = "detaching",
	  .type = SCHEMA_BOOLEAN,
	  .help = "the guest was asked to let go of it" },
	{ .name = "driver", .type = SCHEMA_BOOLEAN, .help = "a driver of the guest runs it" },
	{ 0 },
};

#define TIMEOUT_FIELD                                                                              \
	{                                                                                          \
		.name = "timeout", .type = SCHEMA_INTEGER, .min = 10, .max = 24 * 3600,            \
		.preset = "60", .help = "seconds after which the guest keeps it"                   \
	}

static const struct schema_field detach_params[] = {
	DISK_ID_FIELD,
	{ .name = "force",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "pull it out, which may cost what the guest has not written" },
	TIMEOUT_FIELD,
	{ 0 },
};

#define NET_ID_FIELD                                                                               \
	{                                                                                          \
		.name = "id", .type = SCHEMA_STRING, .required = true, .min = 1, .max = 64,        \
		.help = "of the network device"                                                    \
	}

static const struct schema_field net_result[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "of the network device" },
	{ .name = "kind", .type = SCHEMA_STRING, .help = "its back-end" },
	{ .name = "mac", .type = SCHEMA_STRING, .help = "hardware address" },
	{ .name = "port",
	  .type = SCHEMA_STRING,
	  .help = "hotplug port that it is in; missing: it cannot be detached" },
	{ .name = "detaching",
	  .type = SCHEMA_BOOLEAN,
	  .help = "the guest was asked to let go of it" },
	{ .name = "driver", .type = SCHEMA_BOOLEAN, .help = "a driver of the guest runs it" },
	{ 0 },
};

static const struct schema_field net_detach_params[] = {
	NET_ID_FIELD,
	{ .name = "force",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "pull it out without asking" },
	TIMEOUT_FIELD,
	{ 0 },
};

static const struct schema_field net_forwards_params[] = {
	NET_ID_FIELD,
	{ .name = "hostfwd",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .preset = "[]",
	  .help = "all ports of the host that lead to the guest: tcp:ADDR:PORT-ADDR:PORT" },
	{ 0 },
};

static const struct schema_field net_rules_params[] = {
	NET_ID_FIELD,
	NET_RULES_FIELDS,
	{ 0 },
};

static const struct schema_field net_limits_params[] = {
	NET_ID_FIELD,
	NET_LIMIT_FIELDS,
	{ 0 },
};

static const struct schema_field net_detached_params[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "of the network device" },
	{ 0 },
};

static const struct schema_field change_params[] = {
	DISK_ID_FIELD,
	{ .name = "path",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .help = "image, in a job folder" },
	{ .name = "format", .type = SCHEMA_STRING, .min = 1, .max = 32, .help = "of the image" },
	{ .name = "settings", .type = SCHEMA_STRING, .help = "name=value words for the format" },
	{ .name = "allow",
	  .type = SCHEMA_STRING,
	  .list = true,
	  .min = 1,
	  .help = "folder of further files that the image may name" },
	{ .name = "force",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "also where the guest may write: it has unmounted the disk" },
	{ 0 },
};

static const struct schema_field detached_params[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "of the disk" },
	{ 0 },
};

#define SPEED_FIELD                                                                                \
	{                                                                                          \
		.name = "speed", .type = SCHEMA_SIZE, .preset = "0",                               \
		.help = "at most so many bytes a second; 0: no limit"                              \
	}
#define TARGET_FIELDS                                                                              \
	{ .name = "target",                                                                        \
	  .type = SCHEMA_STRING,                                                                   \
	  .required = true,                                                                        \
	  .min = 1,                                                                                \
	  .help = "path of the image, in a folder for jobs; or a URI allowed for them" },          \
		{ .name = "format",                                                                \
		  .type = SCHEMA_STRING,                                                           \
		  .preset = "\"qcow2\"",                                                           \
		  .help = "its format" },                                                          \
	{                                                                                          \
		.name = "existing", .type = SCHEMA_BOOLEAN, .preset = "false",                     \
		.help = "it is there already, and as large as the disk"                            \
	}

static const struct schema_field job_params[] = { DISK_ID_FIELD, { 0 } };

static const struct schema_field job_speed_params[] = { DISK_ID_FIELD, SPEED_FIELD, { 0 } };

static const struct schema_field chain_params[] = {
	DISK_ID_FIELD,
	{ .name = "base",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .help = "path of an image that the disk stands on" },
	SPEED_FIELD,
	{ 0 },
};

static const struct schema_field mirror_params[] = {
	DISK_ID_FIELD,
	TARGET_FIELDS,
	SPEED_FIELD,
	{ 0 },
};

static const struct schema_field backup_params[] = {
	DISK_ID_FIELD,
	TARGET_FIELDS,
	{ .name = "bitmap",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .max = BITMAP_NAME_MAX,
	  .help = "only what is dirty in this bitmap, which then records for the next backup" },
	{ .name = "full",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "all of the disk, also with a bitmap" },
	{ .name = "backing",
	  .type = SCHEMA_STRING,
	  .min = 1,
	  .help = "path of the backup before, on which the new image stands" },
	SPEED_FIELD,
	{ 0 },
};

#define BITMAP_FIELD                                                                               \
	{                                                                                          \
		.name = "name", .type = SCHEMA_STRING, .required = true, .min = 1,                 \
		.max = BITMAP_NAME_MAX, .help = "of the bitmap"                                    \
	}

static const struct schema_field bitmap_params[] = { DISK_ID_FIELD, BITMAP_FIELD, { 0 } };

static const struct schema_field bitmap_add_params[] = {
	DISK_ID_FIELD,
	BITMAP_FIELD,
	{ .name = "granularity",
	  .type = SCHEMA_SIZE,
	  .preset = "65536",
	  .min = 512,
	  .max = 1 << 30,
	  .help = "bytes that become dirty together, a power of two" },
	{ .name = "persistent",
	  .type = SCHEMA_BOOLEAN,
	  .preset = "false",
	  .help = "kept by the disk's image, which must be qcow2" },
	{ 0 },
};

static const struct schema_field bitmap_merge_params[] = {
	DISK_ID_FIELD,
	BITMAP_FIELD,
	{ .name = "from",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .max = BITMAP_NAME_MAX,
	  .help = "bitmap of the disk whose dirty parts become dirty in it too" },
	{ 0 },
};

static const struct schema_field bitmap_result[] = {
	{ .name = "name", .type = SCHEMA_STRING, .help = "of the bitmap" },
	{ .name = "granularity", .type = SCHEMA_SIZE, .help = "bytes a bit" },
	{ .name = "dirty", .type = SCHEMA_SIZE, .help = "bytes" },
	{ .name = "enabled", .type = SCHEMA_BOOLEAN, .help = "writes are recorded" },
	{ .name = "persistent", .type = SCHEMA_BOOLEAN, .help = "kept by the image" },
	{ .name = "busy", .type = SCHEMA_BOOLEAN, .help = "was not closed cleanly: of no use" },
	{ .name = "in-use", .type = SCHEMA_BOOLEAN, .help = "a backup has its bits" },
	{ 0 },
};

static const struct schema_field snapshot_params[] = {
	DISK_ID_FIELD,
	{ .name = "target",
	  .type = SCHEMA_STRING,
	  .required = true,
	  .min = 1,
	  .help = "path of the new qcow2 image, in a folder for jobs" },
	{ 0 },
};

static const struct schema_field job_event_params[] = {
	{ .name = "id", .type = SCHEMA_STRING, .help = "of the disk" },
	{ .name = "kind", .type = SCHEMA_STRING, .help = "commit, stream, mirror or backup" },
	{ .name = "state", .type = SCHEMA_STRING, .help = "running, ready or ended" },
	{ .name = "paused", .type = SCHEMA_BOOLEAN, .help = "it waits for job.resume" },
	{ .name = "done", .type = SCHEMA_SIZE, .help = "bytes" },
	{ .name = "total", .type = SCHEMA_SIZE, .help = "bytes; grows with what is written" },
	{ .name = "rate", .type = SCHEMA_SIZE, .help = "bytes a second" },
	{ .name = "speed", .type = SCHEMA_SIZE, .help = "limit of that; 0: none" },
	{ .name = "error", .type = SCHEMA_STRING, .help = "ended: why it failed" },
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
	[CONTROL_CONSOLE_ATTACH] = { "console.attach", console_params, console_result,
				     "turn this connection into the console's byte stream" },
	[CONTROL_DEVICE_LIST] = { "device.list", NULL, NULL, "ids and types of all devices" },
	[CONTROL_DEVICE_DUMP] = { "device.dump", dump_params, NULL, "the state of one device" },
	[CONTROL_BITMAP_LIST] = { "bitmap.list", job_params, bitmap_result,
				  "dirty bitmaps of a disk: what was written since" },
	[CONTROL_BITMAP_ADD] = { "bitmap.add", bitmap_add_params, NULL,
				 "record what is written to a disk from now on" },
	[CONTROL_BITMAP_REMOVE] = { "bitmap.remove", bitmap_params, NULL, "forget a bitmap" },
	[CONTROL_BITMAP_CLEAR] = { "bitmap.clear", bitmap_params, NULL, "nothing is dirty in it" },
	[CONTROL_BITMAP_ENABLE] = { "bitmap.enable", bitmap_params, NULL,
				    "let it record writes from now on" },
	[CONTROL_BITMAP_DISABLE] = { "bitmap.disable", bitmap_params, NULL,
				     "let it stay as it is" },
	[CONTROL_BITMAP_MERGE] = { "bitmap.merge", bitmap_merge_params, NULL,
				   "add to a bitmap what is dirty in another" },
	[CONTROL_DISK_LIST] = { "disk.list", NULL, disk_result, "all disks, as an array" },
	[CONTROL_DISK_ATTACH] = { "disk.attach", config_disk_fields, detached_params,
				  "add a disk in a free hotplug port" },
	[CONTROL_DISK_DETACH] = { "disk.detach", detach_params, NULL,
				  "ask the guest to let go of a disk; an event tells the answer" },
	[CONTROL_DISK_CHANGE] = { "disk.change", change_params, NULL,
				  "put another image into a disk that stays" },
	[CONTROL_DISK_LEASE] = { "disk.lease", lease_params, NULL,
				 "let a disk with lease=on be written for so long" },
	[CONTROL_DISK_LIMITS] = { "disk.limits", limits_params, NULL,
				  "change limits of a disk or a group; returns all of them" },
	[CONTROL_DISK_RESIZE] = { "disk.resize", resize_params, NULL,
				  "make a disk larger, and tell the guest" },
	[CONTROL_DISK_BACKUP] = { "disk.backup", backup_params, NULL,
				  "start a job that copies a disk as it is now" },
	[CONTROL_DISK_COMMIT] = { "disk.commit", chain_params, NULL,
				  "start a job that writes a disk's image into one it stands on" },
	[CONTROL_DISK_MIRROR] = { "disk.mirror", mirror_params, NULL,
				  "start a job that moves a disk into another image" },
	[CONTROL_DISK_SNAPSHOT] = { "disk.snapshot", snapshot_params, NULL,
				    "put a new image on a disk's, which stays as it is" },
	[CONTROL_DISK_STREAM] = { "disk.stream", chain_params, NULL,
				  "start a job after which a disk's image stands only on 'base', or alone" },
	[CONTROL_JOB_LIST] = { "job.list", NULL, NULL, "jobs of disks, and how far they are" },
	[CONTROL_JOB_PAUSE] = { "job.pause", job_params, NULL, "let a disk's job wait" },
	[CONTROL_JOB_RESUME] = { "job.resume", job_params, NULL, "let it go on" },
	[CONTROL_JOB_SPEED] = { "job.speed", job_speed_params, NULL, "limit its speed" },
	[CONTROL_JOB_CANCEL] = { "job.cancel", job_params, NULL,
				 "end it; the disk stays what it is" },
	[CONTROL_JOB_COMPLETE] = { "job.complete", job_params, NULL,
				   "end a mirror or commit that is ready: the disk moves" },
	[CONTROL_NET_LIST] = { "net.list", NULL, net_result, "all network devices, as an array" },
	[CONTROL_NET_ATTACH] = { "net.attach", config_attached_net_fields, net_detached_params,
				 "add a network device in a free hotplug port" },
	[CONTROL_NET_DETACH] = { "net.detach", net_detach_params, NULL,
				 "ask the guest to let go of one; an event tells the answer" },
	[CONTROL_NET_FORWARDS] = { "net.forwards", net_forwards_params, NULL,
				   "forward these ports to a user network, and no others" },
	[CONTROL_NET_LIMITS] = { "net.limits", net_limits_params, NULL,
				 "change limits of a network device; returns all of them" },
	[CONTROL_NET_RULES] = { "net.rules", net_rules_params, NULL,
				"let only these connections of a user network begin" },
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
	[CONTROL_EVENT_DISK_DETACHED] = { "disk.detached", detached_params,
					  "a disk is gone and its image is closed" },
	[CONTROL_EVENT_DISK_KEPT] = { "disk.kept", detached_params,
				      "the guest has not let go of a disk in time" },
	[CONTROL_EVENT_NET_DETACHED] = { "net.detached", net_detached_params,
					 "a network device is gone and its back-end is closed" },
	[CONTROL_EVENT_NET_KEPT] = { "net.kept", net_detached_params,
				     "the guest has not let go of a network device in time" },
	[CONTROL_EVENT_JOB_PROGRESS] = { "job.progress", job_event_params,
					 "how far a disk's job is, every second" },
	[CONTROL_EVENT_JOB_READY] = { "job.ready", job_event_params,
				      "a mirror or commit can be completed" },
	[CONTROL_EVENT_JOB_ENDED] = { "job.ended", job_event_params, "a disk's job has ended" },
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
