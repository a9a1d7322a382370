/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cards that the guest was asked to let go of: disks (disks.h) and network cards (nets.h). Loop thread.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/list.h"

struct vmm;

struct hotplug {
	struct list leaving;
};

/* What is told of a card, and by whom it is closed. */
struct hotplug_kind;
extern const struct hotplug_kind hotplug_disk, hotplug_net;

void hotplug_init(struct hotplug *hotplug);
void hotplug_fini(struct vmm *vmm);

/*
 * Asks the guest for the card, and waits for the answer; or pulls it out: "timeout" and "force" of `params`,
 * by rows of api/control.c. `id` is borrowed until the card is gone. -EALREADY and what
 * machine_detach_card() says.
 */
int hotplug_detach(struct vmm *vmm, const struct hotplug_kind *kind, const char *id,
		   const json_t *params, struct err *err);

/* -EBUSY: the guest was asked to let go of the card. */
int hotplug_check_stays(const struct vmm *vmm, const char *id, struct err *err);

/* The machine's listener: the device of that card is gone. */
void hotplug_detached(struct vmm *vmm, const char *id);
