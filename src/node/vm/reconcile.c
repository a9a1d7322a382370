/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One step of a machine towards what its spec wants.
 *
 * What ends by itself is settled first: the status says how, then the spec says whether it shall run
 * again (its restart policy decides), then what the process left is cleared away. The daemon may be
 * killed between any two of these: the next one finds the rest and does it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/macros.h"
#include "host/clock.h"
#include "node/network/network.h"
#include "node/vm/priv.h"
#include "node/vm/vmm_link.h"

#define PAUSE_MIN_MS  1000
#define PAUSE_MAX_MS  60000
#define HEALTHY_MS    60000 /* who ran so long has no failures behind it */
#define HOUR_NS       (3600 * NS_PER_SEC)
#define PRESS_NS      (20 * NS_PER_SEC) /* a guest that boots may have missed the power button */
#define QUIT_NS       (5 * NS_PER_SEC)  /* for a process that was told to end */
#define LOOK_AGAIN_MS 500

/* ASKED: it was told to end, by us; or it never began, because the daemon ended. */
enum outcome { ASKED, CLEAN, CRASHED, FAILED };

static const char *const outcome_states[] = { "stopped", "stopped", "crashed", "failed" };

static bool is_wanted(const struct object *object)
{
	return schema_boolean(object_spec(object), "running") && !object->deleting;
}

/* ---- after its end ---- */

static enum outcome outcome_of(const struct vm_view *view)
{
	static const char *const clean[] = { "power-off", "terminal", "debug-exit", "reset",
					     "host-restart" };

	if (view->end.asked || !strcmp(view->end.reason, "quit") ||
	    !strcmp(view->end.reason, "interrupted"))
		return ASKED;
	for (unsigned i = 0; i < ARRAY_SIZE(clean); i++) {
		if (!strcmp(view->end.reason, clean[i]))
			return CLEAN;
	}
	/* It did not get so far as to be a machine. */
	return !strcmp(view->end.reason, "exit") && view->end.status == 1 ? FAILED : CRASHED;
}

/* Whether the policy starts it again now; then `not_before_ns` says when. */
static bool may_restart(struct vm *vm, const struct object *object, enum outcome outcome,
			uint64_t ran_ms)
{
	const char *policy = schema_string(object_spec(object), "restart");
	uint64_t max = schema_integer(object_spec(object), "restart-max");
	uint64_t now_ns = clock_now_ns(), pause_ms = PAUSE_MIN_MS;

	/* Whoever wants it again has said so since. */
	if (outcome == ASKED)
		return true;
	if (!strcmp(policy, "never") || (!strcmp(policy, "on-failure") && outcome == CLEAN))
		return false;
	/* Who asked for the start is told of the failure. */
	if (outcome != CLEAN && atomic_load(&vm->starters))
		return false;
	if (!vm->window_ns || now_ns - vm->window_ns > HOUR_NS) {
		vm->window_ns = now_ns;
		vm->in_window = 0;
	}
	if (max && vm->in_window >= max)
		return false;
	vm->failures = ran_ms >= HEALTHY_MS ? 0 : MIN(vm->failures + 1, 16u);
	if (vm->failures)
		pause_ms =
			MIN((uint64_t)PAUSE_MAX_MS, (uint64_t)PAUSE_MIN_MS << (vm->failures - 1));
	vm->not_before_ns = now_ns + pause_ms * NS_PER_MS;
	vm->in_window++;
	vm->restarts++;
	return true;
}

static void tell_console(struct vm *vm, const char *reason)
{
	char run[VM_LOG_SOURCE_MAX];

	vm_run_name(vm, run);
	vm_console_ended(vm->console, run, reason);
}

/* A stop that was asked for is none of the policy's business, nor is one that was settled before. */
static const char *settled_state(struct vm *vm, const struct object *object, enum outcome outcome)
{
	json_t *status = object_status(vm->vms->node, object);
	const char *state = schema_string(status, "state");
	const char *settled = "stopped";

	if (state && !strcmp(state, "crashed"))
		settled = outcome_states[CRASHED];
	else if (state && !strcmp(state, "failed"))
		settled = outcome_states[FAILED];
	json_decref(status);
	return is_wanted(object) ? outcome_states[outcome] : settled;
}

static int settle(struct vm *vm, const struct object *object, const struct vm_view *view,
		  struct problem *problem)
{
	enum outcome outcome = outcome_of(view);
	uint64_t now_ms = node_now_ms();
	bool restart = is_wanted(object) &&
		       may_restart(vm, object, outcome,
				   now_ms > view->started_ms ? now_ms - view->started_ms : 0);
	int rc = 0;

	log_info("machine '%s' ended: %s%s", object->name, view->end.reason,
		 restart ? ", and is started again" : "");
	vm_let_go(vm, object);
	vm_write_status(vm, object, view, settled_state(vm, object, outcome), NULL);
	if (is_wanted(object) && !restart)
		rc = vm_want(vm->vms->node, vm->uid, false, NULL, problem);
	if (rc)
		return rc;
	vm->stop_since_ns = 0;
	vm->quit_sent = false;
	{
		LOOP_HOLD_SCOPE(vm->vms->node->loop);
		tell_console(vm, view->end.reason);
		vm_process_clear(&vm->process);
	}
	return 1;
}

/* ---- on its way down ---- */

static uint64_t patience_ns(struct vm *vm, const struct object *object)
{
	uint64_t seconds = atomic_load(&vm->stop_seconds);

	if (atomic_load(&vm->force) || object->deleting)
		return 0;
	return (seconds ? seconds : schema_integer(object_spec(object), "stop-timeout")) *
	       NS_PER_SEC;
}

static void press(struct vm *vm, const struct vm_view *view)
{
	uint64_t now_ns = clock_now_ns();

	if (view->phase != VM_LIVES || (vm->pressed_ns && now_ns - vm->pressed_ns < PRESS_NS))
		return;
	/* A machine that stands still hears nothing. */
	if (!strcmp(view->state, "paused"))
		vmm_call(vm->folder_fd, CONTROL_RESUME, NULL, VM_CALL_MS, NULL, NULL);
	vmm_call(vm->folder_fd, CONTROL_POWER_BUTTON, NULL, VM_CALL_MS, NULL, NULL);
	vm->pressed_ns = now_ns;
}

static void end_process(struct vm *vm, int signal)
{
	LOOP_HOLD_SCOPE(vm->vms->node->loop);
	vm_process_kill(&vm->process, signal);
}

/* The power button, then the process' own way to end, then the kernel's. */
static int stop_step(struct vm *vm, const struct object *object, const struct vm_view *view)
{
	uint64_t now_ns = clock_now_ns(), quit_ns;

	if (!vm->stop_since_ns) {
		vm->stop_since_ns = now_ns;
		vm->pressed_ns = 0;
		vm->quit_sent = false;
		LOOP_HOLD_SCOPE(vm->vms->node->loop);
		vm_process_asked(&vm->process);
	}
	vm_write_status(vm, object, view, "stopping", NULL);
	quit_ns = vm->stop_since_ns + patience_ns(vm, object);
	if (now_ns < quit_ns) {
		press(vm, view);
		return (int)MIN((quit_ns - now_ns) / NS_PER_MS + 1, PRESS_NS / NS_PER_MS);
	}
	if (!vm->quit_sent) {
		vm->quit_sent = true;
		vm->stop_since_ns = now_ns - patience_ns(vm, object);
		if (vmm_call(vm->folder_fd, CONTROL_QUIT, NULL, 2000, NULL, NULL))
			end_process(vm, SIGTERM);
		return (int)(QUIT_NS / NS_PER_MS);
	}
	if (now_ns >= quit_ns + QUIT_NS) {
		log_warn("machine '%s': its process does not end and is killed", object->name);
		end_process(vm, SIGKILL);
	}
	return LOOK_AGAIN_MS;
}

/* ---- on its way up ---- */

/* Nothing was started: as if the process had failed. */
static int could_not(struct vm *vm, const struct object *object, struct problem *problem)
{
	struct vm_view none = { .phase = VM_ENDED, .end = { .status = -1 } };
	struct problem later = PROBLEM_INIT;

	snprintf(none.end.reason, sizeof(none.end.reason), "not-started");
	snprintf(none.end.words, sizeof(none.end.words), "%s%s%s", problem->err.text,
		 *problem->err.hint ? "; " : "", problem->err.hint);
	vm_write_status(vm, object, &none, "failed", NULL);
	if (may_restart(vm, object, FAILED, 0))
		return problem->err.code;
	vm_want(vm->vms->node, vm->uid, false, NULL, &later);
	return problem->err.code;
}

/* One that is being made will be there soon: that is no reason to fail. */
static bool awaits_disks(struct vm *vm, const struct object *object)
{
	const json_t *items = json_object_get(object_spec(object), "disks");
	struct node *node = vm->vms->node;
	bool awaits = false;
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)items, index, item)
	{
		struct object disk;
		const char *state;
		json_t *status;

		if (object_resolve(node, &api_disk, object->project, schema_string(item, "disk"),
				   &disk, NULL))
			continue;
		status = object_status(node, &disk);
		state = schema_string(status, "state");
		awaits |= !state || !strcmp(state, "creating");
		json_decref(status);
		object_fini(&disk);
	}
	return awaits;
}

static int start_step(struct vm *vm, const struct object *object, struct problem *problem)
{
	uint64_t now_ns = clock_now_ns();
	struct vm_view view;

	if (now_ns < vm->not_before_ns && !atomic_load(&vm->starters))
		return (int)((vm->not_before_ns - now_ns) / NS_PER_MS + 1);
	if (awaits_disks(vm, object)) {
		vm_see(vm, &view);
		vm_write_status(vm, object, &view, "starting", NULL);
		return LOOK_AGAIN_MS / 2;
	}
	if (!vm->not_before_ns)
		vm->restarts = vm->failures = vm->in_window = 0;
	atomic_store(&vm->force, false);
	atomic_store(&vm->stop_seconds, 0);
	if (vm_start(vm, object, problem))
		return could_not(vm, object, problem);
	vm_see(vm, &view);
	if (view.phase != VM_ENDED)
		vm_write_status(vm, object, &view, "starting", NULL);
	return 0;
}

static int live_step(struct vm *vm, const struct object *object, const struct vm_view *view,
		     struct problem *problem)
{
	json_t *pending = NULL;
	int rc = 0;

	vm->stop_since_ns = 0;
	if (view->phase == VM_LIVES)
		rc = vm_live_change(vm, object, &pending, problem);
	vm_write_status(vm, object, view,
			view->phase == VM_BEGINS || !strcmp(view->state, "created") ? "starting"
			: !strcmp(view->state, "paused")                            ? "paused"
										    : "running",
			pending);
	return rc;
}

/* ---- without a process ---- */

static void remove_files(struct vm *vm)
{
	static const char *const names[] = { "pid",         VM_END_FILE,
					     VM_LOG_FILE,   "console.log",
					     VM_SEED_FILE,  VM_APPLIED_FILE,
					     "control",     VM_APPLIED_FILE ".new",
					     VM_ASKED_FILE, "history" };

	unlinkat(vm->folder_fd, VM_DISKS_FOLDER, AT_REMOVEDIR);
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		unlinkat(vm->folder_fd, names[i], 0);
	if (unlinkat(vm->vms->node->run_fd, vm->uid, AT_REMOVEDIR) && errno != ENOENT)
		log_warn("machine %s: its folder stays: %s", vm->uid, strerrordesc_np(errno));
}

/* Whether a disk stays when its machine goes: made apart from it, or protected meanwhile. */
static bool disk_stays(const struct object *disk)
{
	return schema_boolean(object_spec(disk), "keep") ||
	       schema_boolean(disk->document, "protected");
}

/* Disks that were made for it go with it. */
static int delete_disks(struct vm *vm, const struct object *object, struct problem *problem)
{
	const json_t *items = json_object_get(object_spec(object), "disks");
	struct node *node = vm->vms->node;
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)items, index, item)
	{
		struct object disk;
		struct change change;
		int rc = object_resolve(node, &api_disk, object->project,
					schema_string(item, "disk"), &disk, problem);

		if (rc) {
			*problem = PROBLEM_INIT;
			continue;
		}
		change_begin(&change, node, NULL);
		if (!disk.deleting && !disk_stays(&disk)) {
			rc = change_delete(&change, &disk, problem);
			rc = rc ? rc : change_commit(&change, problem);
		}
		change_fini(&change);
		object_fini(&disk);
		if (rc)
			return rc;
	}
	return 0;
}

static int delete_step(struct vm *vm, const struct object *object, struct problem *problem)
{
	int rc = delete_disks(vm, object, problem);

	if (rc)
		return rc;
	vm_let_go(vm, object);
	network_forget(vm->vms->node, vm->uid);
	remove_files(vm);
	return object_gone(vm->vms->node, object);
}

/* Of a machine that does not run there is little to do, and nothing in memory. */
static bool is_at_rest(struct node *node, const struct object *object)
{
	char path[UID_SIZE + 8];

	if (is_wanted(object) || object->deleting)
		return false;
	snprintf(path, sizeof(path), "%s/pid", object->uid);
	return faccessat(node->run_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
}

/* After a restart of the daemon the status may tell of a process that is no more, and nothing of it is
 * left: only what is so is said. */
static void rest(struct node *node, const struct object *object)
{
	static const char *const resting[] = { "stopped", "crashed", "failed" };
	json_t *status = object_status(node, object);
	const char *state = schema_string(status, "state");
	char now[TIME_SIZE];
	bool said = false;

	for (unsigned i = 0; state && i < ARRAY_SIZE(resting); i++)
		said |= !strcmp(state, resting[i]);
	json_decref(status);
	if (said)
		return;
	node_time_text(node_now_ms(), now);
	object_patch_status(node, object,
			    json_pack("{s:s, s:s, s:n}", "state", "stopped", "since", now, "pid"));
}

/* ---- all of it ---- */

static int step(struct vm *vm, const struct object *object, struct problem *problem)
{
	struct vm_view view;

	vm_see(vm, &view);
	if (view.phase == VM_ENDED)
		return settle(vm, object, &view, problem);
	if (view.phase != VM_ABSENT)
		return is_wanted(object) ? live_step(vm, object, &view, problem)
					 : stop_step(vm, object, &view);
	if (is_wanted(object))
		return start_step(vm, object, problem);
	vm->not_before_ns = 0;
	if (object->deleting)
		return delete_step(vm, object, problem);
	rest(vm->vms->node, object);
	return 0;
}

static bool has_process(struct vm *vm)
{
	struct vm_view view;

	vm_see(vm, &view);
	return view.phase != VM_ABSENT;
}

int vm_reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	struct vm *vm = vms_find(node->vms, object->uid);
	bool keep;
	int rc;

	if (!vm && is_at_rest(node, object)) {
		rest(node, object);
		return 0;
	}
	if (!vm) {
		rc = vms_get(node->vms, object->uid, &vm, &problem->err);
		if (rc)
			return problem_from_err(problem, rc);
	}
	rc = step(vm, object, problem);
	if (!is_wanted(object) && !has_process(vm))
		atomic_store(&vm->rested_at, object->revision);
	/* Who runs, or is to be started again, stays in memory. */
	keep = has_process(vm) || (is_wanted(object) && rc);
	if (keep && !vm->kept) {
		vm->kept = true;
		return rc;
	}
	if (!keep && vm->kept) {
		vm->kept = false;
		vms_put(vm);
	}
	vms_put(vm);
	return rc;
}
