/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of a machine: disks, networks, serial ports and consoles, opened as the
 * configuration says.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "block/connector.h"
#include "block/lease.h"
#include "host/loop.h"
#include "machine/config.h"
#include "vmm/console.h"
#include "vmm/iothreads.h"
#include "vmm/limits.h"

struct disk_lease {
	bool needed;
	struct block_lease lease;
};

struct backends {
	struct machine_disk *disks;
	struct disk_lease *leases;  /* one a disk */
	size_t disk_count;          /* of which some may be detached: no node, and the id "" */
	size_t disk_capacity;       /* with those that can be attached: none of them moves */
	struct iothreads iothreads; /* on which some of them are served */
	struct block_connector *connector; /* for those of the network */
	struct limits_book limits;         /* of the disks */
	struct machine_nic *nics;
	size_t nic_count;    /* of which some may be detached: no back-end, and the id "" */
	size_t nic_capacity; /* with those that can be attached: none of them moves */
	struct machine_console *consoles;
	size_t console_count;
	struct chardev *serials[MACHINE_SERIALS];
	size_t serial_count;
	struct consoles attachable; /* all of the last two, for the control socket */
};

/*
 * Opens everything; strings of `config` (resolved) are borrowed until backends_close(), which is
 * also due after a failure. `escape` is called when the user leaves the terminal. Loop thread.
 */
int backends_open(struct backends *backends, const json_t *config, struct loop *loop,
		  void (*escape)(void *ctx), void *ctx, struct err *err);

/*
 * The same for one more disk of that (checked) configuration, which has an id; -ENOSPC: there are as
 * many as there can be. `ret_index` is its place, free before; after a failure nothing is open.
 */
int backends_open_disk(struct backends *backends, const json_t *config, struct loop *loop,
		       size_t *ret_index, struct err *err);
/* Closes one that no device uses. Loop thread. */
void backends_close_disk(struct backends *backends, size_t index);

/* The place of the disk of that id. -ENOENT. */
int backends_find_disk(const struct backends *backends, const char *id, size_t *ret_index,
		       struct err *err);

/* Opens an image as a disk of that configuration has it, without filters in front. Loop thread. */
int backends_open_image(struct backends *backends, size_t index, const json_t *config,
			struct block_node **ret_node, struct err *err);

/* The lease of a disk runs so long from now on; 0: it ends. -ENOENT: no such disk has one. Any
 * thread. */
int backends_set_lease(struct backends *backends, const char *id, uint64_t ms, struct err *err);

/* Hands them to the description of a machine. */
void backends_describe(const struct backends *backends, struct machine_config *config);

/* Waits until the guest's last output is where it goes, or `deadline_ns` (see clock_now_ns()) has
 * passed. Loop thread, while the machine's devices are there and its vCPUs no more. */
void backends_flush(struct backends *backends, uint64_t deadline_ns);

/* Loop thread, after the machine is gone. */
void backends_close(struct backends *backends);
