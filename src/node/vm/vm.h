/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines, for the rest of the daemon: which of them run, and what they count.
 *
 * Any thread that may wait.
 */
#pragma once

#include "node/object/object.h"

struct vm;
struct vms;

struct vms_load {
	unsigned running;
	uint64_t memory; /* of their configurations, and of those that are being started */
};

/* What all of them take from the host. */
struct vms_load vms_load(struct vms *vms);

/* What it runs with: {"spec", "disks": [{"id", "disk"}], "memory"}; new reference. NULL: it does not. */
json_t *vm_running_applied(struct vms *vms, const char *uid);

/* The result of the VM process' "stats", new reference. -ESRCH: it does not run. */
int vm_stats(struct vms *vms, const char *uid, json_t **ret_stats, struct err *err);

/* Its disk becomes larger, for the guest too. -ESRCH: the machine does not run, or not with that disk. */
int vm_resize_disk(struct vms *vms, const char *uid, const char *disk_uid, uint64_t bytes,
		   struct err *err);

/* "v2", "v1" or "none". */
const char *vms_cgroups(const struct vms *vms);
