/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines that start with the host: one after another by their order, each with its delay before the
 * next.
 *
 * The file `boot` in the folder of runs has the host's boot for which that was done. It is written at the
 * end: who is killed before begins again, and leaves alone what runs already.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "node/vm/priv.h"

#define BOOT_FILE "boot"

struct entry {
	char uid[UID_SIZE], name[API_NAME_MAX + 1];
	uint64_t order, delay_s;
};

struct vm_boot {
	struct vms *vms;
	VEC(struct entry) entries;
	size_t next;
	struct loop_timer timer;
	struct work work;
};

static bool was_done(const struct vms *vms)
{
	AUTO_CLOSE int fd = openat(vms->node->run_fd, BOOT_FILE, O_RDONLY | O_CLOEXEC);
	char text[BOOT_ID_SIZE] = "";

	return fd >= 0 && read(fd, text, BOOT_ID_SIZE - 1) == BOOT_ID_SIZE - 1 &&
	       !strcmp(text, vms->boot);
}

static void write_done(const struct vms *vms)
{
	AUTO_CLOSE int fd = openat(vms->node->run_fd, BOOT_FILE,
				   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || write(fd, vms->boot, BOOT_ID_SIZE - 1) != BOOT_ID_SIZE - 1)
		log_warn("cannot note that the host's machines were started: %s",
			 strerrordesc_np(errno));
}

/* On a worker: the next one, and a time for the one behind it. */
static void start_next(struct work *work)
{
	struct vm_boot *boot = container_of(work, struct vm_boot, work);
	const struct entry *entry = &boot->entries.items[boot->next++];
	struct problem problem = PROBLEM_INIT;

	log_info("machine '%s' starts with the host", entry->name);
	if (vm_want(boot->vms->node, entry->uid, true, NULL, &problem) &&
	    problem.code != API_CODE_NOT_FOUND)
		log_warn("machine '%s': %s", entry->name, problem.err.text);
	if (boot->next == boot->entries.count)
		write_done(boot->vms);
	else
		loop_timer_arm(boot->vms->node->loop, &boot->timer,
			       clock_now_ns() + entry->delay_s * NS_PER_SEC);
}

static void expired(struct loop_timer *timer)
{
	struct vm_boot *boot = container_of(timer, struct vm_boot, timer);

	workers_submit(boot->vms->node->workers, &boot->work);
}

/* The machine of this boot is running already. */
static bool runs_since_boot(struct vms *vms, const char *uid)
{
	struct vm *vm = vms_find(vms, uid);
	struct vm_view view = { 0 };

	if (!vm)
		return false;
	vm_see(vm, &view);
	vms_put(vm);
	return view.phase == VM_BEGINS || view.phase == VM_LIVES;
}

/* What ran when the host went down runs again only by its autostart. */
static int take(void *ctx, const struct object *object)
{
	struct vm_boot *boot = ctx;
	const json_t *spec = object_spec(object);
	struct entry entry = { .order = schema_integer(spec, "boot-order"),
			       .delay_s = schema_integer(spec, "boot-delay") };
	struct problem problem = PROBLEM_INIT;

	if (object->deleting || runs_since_boot(boot->vms, object->uid))
		return 0;
	snprintf(entry.uid, sizeof(entry.uid), "%s", object->uid);
	snprintf(entry.name, sizeof(entry.name), "%s", object->name);
	if (schema_boolean(spec, "running") &&
	    vm_want(boot->vms->node, object->uid, false, NULL, &problem))
		log_warn("machine '%s': %s", object->name, problem.err.text);
	return schema_boolean(spec, "autostart") ? vec_push(&boot->entries, entry) : 0;
}

static int by_order(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	if (left->order != right->order)
		return left->order < right->order ? -1 : 1;
	return strcmp(left->name, right->name);
}

int vm_boot_begin(struct vms *vms, struct err *err)
{
	struct vm_boot *boot;
	int rc;

	if (was_done(vms))
		return 0;
	boot = calloc(1, sizeof(*boot));
	if (!boot)
		return err_errno(err, ENOMEM, "cannot start the host's machines");
	boot->vms = vms;
	boot->timer.expired = expired;
	boot->work.run = start_next;
	vms->boots = boot;
	rc = object_each(vms->node, &api_vm, NULL, take, boot);
	if (rc)
		return err_errno(err, rc, "cannot read the machines");
	if (!boot->entries.count) {
		write_done(vms);
		return 0;
	}
	qsort(boot->entries.items, boot->entries.count, sizeof(boot->entries.items[0]), by_order);
	return loop_timer_arm(vms->node->loop, &boot->timer, clock_now_ns())
		       ? err_errno(err, ENOMEM, "cannot start the host's machines")
		       : 0;
}

void vm_boot_end(struct vms *vms)
{
	if (!vms->boots)
		return;
	loop_timer_cancel(vms->node->loop, &vms->boots->timer);
	vec_fini(&vms->boots->entries);
	free(vms->boots);
	vms->boots = NULL;
}
