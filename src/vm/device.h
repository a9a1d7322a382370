/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every device model has: a name, a lock, described state, reset and free.
 *
 * A device embeds `struct device` as its first member. Its constructor takes what it needs (bus,
 * lines, clock, back-end) as parameters, maps its regions and returns it; the machine keeps the
 * list of devices in one array and walks it for reset, save, load, dump and free.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "base/log.h"
#include "state/fields.h"

struct device;

struct device_ops {
	const char *type; /* "pit", "virtio-blk": names the model */

	/* Required. Power-on state, guest-visible. Lock held; vCPUs do not run. */
	void (*reset)(struct device *device);
	/* Required. Unmaps, stops and frees; accepts half-built objects. vCPUs do not run; loop
	 * thread. */
	void (*free)(struct device *device);
	/* Optional. State that a dump, snapshot or migration needs; `object` is the device. Lock
	 * held. */
	const struct state_desc *state;
	/*
	 * Optional, for devices whose state is more than one table (virtqueues, config space):
	 * further described objects in a fixed order, until NULL. Lock held.
	 */
	const struct state_desc *(*state_part)(struct device *device, unsigned index,
					       void **ret_object);
	/*
	 * Optional. Called before a pause is reported: finish or park work in flight (block
	 * requests) so that state is complete and memory quiet. Loop thread, vCPUs stopped, lock
	 * not held.
	 */
	void (*quiesce)(struct device *device);
	/* Optional. Goes on after quiesce (or load). Loop thread, lock not held. */
	void (*resume)(struct device *device);
	/* Optional. Counters for `stats` (new reference). Lock held. */
	json_t *(*stats)(struct device *device);
	/* Optional. Whether the model's invariants hold, whatever the guest did; tests ask after each step. Lock held. */
	bool (*ok)(const struct device *device);
};

struct device {
	const struct device_ops *ops;
	char id[48];          /* unique in the machine: "pit", "disk0" */
	pthread_mutex_t lock; /* recursive: a handler may reach its own regions through DMA */
	struct log_once error_said;
};

void device_init(struct device *device, const struct device_ops *ops, const char *id);
void device_fini(struct device *device);

/* Wrappers that lock; the only callers of the slots. `device_free` accepts NULL. */
void device_reset(struct device *device);
void device_free(struct device *device);
int device_save(struct device *device, struct state_stream *stream);
int device_load(struct device *device, struct state_stream *stream, struct err *err);
json_t *device_dump(struct device *device);
json_t *device_stats(struct device *device);
bool device_ok(struct device *device);
