/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's side of a machine: disks, networks, serial ports and consoles, opened as the
 * configuration says.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "host/loop.h"
#include "machine/config.h"
#include "vmm/console.h"
#include "vmm/limits.h"

struct backends {
	struct machine_disk *disks;
	size_t disk_count;
	struct limits_book limits; /* of the disks */
	struct machine_nic *nics;
	size_t nic_count;
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

/* Hands them to the description of a machine. */
void backends_describe(const struct backends *backends, struct machine_config *config);

/* Waits until the guest's last output is where it goes, or `deadline_ns` (see clock_now_ns()) has
 * passed. Loop thread, while the machine's devices are there and its vCPUs no more. */
void backends_flush(struct backends *backends, uint64_t deadline_ns);

/* Loop thread, after the machine is gone. */
void backends_close(struct backends *backends);
