/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/hotplug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/control.h"
#include "api/schema.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "vmm/control.h"
#include "vmm/vmm.h"

struct hotplug_kind {
	enum control_event detached, kept;
	int (*close)(struct vmm *vmm, const char *id); /* -ENOENT: it is another kind's */
};

const struct hotplug_kind hotplug_disk = {
	.detached = CONTROL_EVENT_DISK_DETACHED,
	.kept = CONTROL_EVENT_DISK_KEPT,
	.close = disks_close,
};

const struct hotplug_kind hotplug_net = {
	.detached = CONTROL_EVENT_NET_DETACHED,
	.kept = CONTROL_EVENT_NET_KEPT,
	.close = nets_close_card,
};

static const struct hotplug_kind *const kinds[] = { &hotplug_disk, &hotplug_net };

/* What the guest was asked for, and how long it may take. */
struct leaving {
	struct list node;
	struct vmm *vmm;
	const struct hotplug_kind *kind;
	const char *id;
	unsigned seconds;
	struct loop_timer timer;
};

void hotplug_init(struct hotplug *hotplug)
{
	list_init(&hotplug->leaving);
}

static void forget(struct leaving *leaving)
{
	list_remove(&leaving->node);
	loop_timer_cancel(leaving->vmm->loop, &leaving->timer);
	free(leaving);
}

void hotplug_fini(struct vmm *vmm)
{
	struct leaving *leaving, *next;

	list_for_each_safe (leaving, next, &vmm->hotplug.leaving, node)
		forget(leaving);
}

static struct leaving *find_leaving(const struct vmm *vmm, const char *id)
{
	struct leaving *leaving;

	list_for_each (leaving, &vmm->hotplug.leaving, node) {
		if (!strcmp(leaving->id, id))
			return leaving;
	}
	return NULL;
}

int hotplug_check_stays(const struct vmm *vmm, const char *id, struct err *err)
{
	return find_leaving(vmm, id)
		       ? err_set(err, EBUSY, "the guest was asked to let go of '%s'", id)
		       : 0;
}

static void tell(struct vmm *vmm, enum control_event event, const char *id)
{
	control_tell(vmm->control, event, json_pack("{s:s}", "id", id));
}

static void patience_ended(struct loop_timer *timer)
{
	struct leaving *leaving = container_of(timer, struct leaving, timer);
	const struct hotplug_kind *kind = leaving->kind;
	struct vmm *vmm = leaving->vmm;
	const char *id = leaving->id;

	log_warn("the guest did not let go of '%s' in %u s", id, leaving->seconds);
	machine_keep_card(vmm->machine, id);
	forget(leaving);
	tell(vmm, kind->kept, id);
}

static int wait_for(struct vmm *vmm, const struct hotplug_kind *kind, const char *id,
		    unsigned seconds, struct err *err)
{
	struct leaving *leaving = calloc(1, sizeof(*leaving));

	if (!leaving)
		return err_errno(err, ENOMEM, "cannot wait for the guest");
	*leaving = (struct leaving){
		.vmm = vmm,
		.kind = kind,
		.id = id,
		.seconds = seconds,
		.timer.expired = patience_ended,
	};
	list_append(&vmm->hotplug.leaving, &leaving->node);
	loop_timer_arm(vmm->loop, &leaving->timer, clock_now_ns() + seconds * NS_PER_SEC);
	return 0;
}

int hotplug_detach(struct vmm *vmm, const struct hotplug_kind *kind, const char *id,
		   const json_t *params, struct err *err)
{
	bool force = schema_boolean(params, "force");
	int rc = machine_detach_card(vmm->machine, id, force, err);

	if (rc || force)
		return rc;
	rc = wait_for(vmm, kind, id, (unsigned)schema_integer(params, "timeout"), err);
	if (rc)
		machine_keep_card(vmm->machine, id);
	return rc;
}

void hotplug_detached(struct vmm *vmm, const char *id)
{
	struct leaving *leaving = find_leaving(vmm, id);

	if (leaving)
		forget(leaving);
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (!kinds[i]->close(vmm, id)) {
			tell(vmm, kinds[i]->detached, id);
			return;
		}
	}
}
