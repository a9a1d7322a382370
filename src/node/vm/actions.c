/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Actions on machines. The long ones say what is wanted and wait until it is so; after a restart of the
 * daemon they are called again, and do the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/limits.h"
#include "base/macros.h"
#include "node/access/access.h"
#include "node/image/cloud_init.h"
#include "node/vm/priv.h"
#include "node/vm/vmm_link.h"

#define LOOK_MS 1000 /* between two looks when nothing is told */

/* ---- waiting ---- */

struct state {
	char state[16];
	bool wanted;
	uint64_t revision; /* of what is wanted */
	char words[VM_WORDS_MAX];
	char started[TIME_SIZE];
	char restarted[128];
};

/* What is wanted and what is observed, as it is now. */
static int look(struct operation *operation, struct state *ret_state, struct problem *problem)
{
	struct object object;
	json_t *status;
	const char *text;
	int rc = operation_object(operation, &object, problem);

	if (rc)
		return rc;
	status = object_status(operation->node, &object);
	*ret_state = (struct state){
		.wanted = schema_boolean(object_spec(&object), "running"),
		.revision = object.revision,
	};
	text = schema_string(status, "state");
	snprintf(ret_state->state, sizeof(ret_state->state), "%s", text ? text : "stopped");
	text = schema_string(status, "last-words");
	snprintf(ret_state->words, sizeof(ret_state->words), "%s", text ? text : "");
	text = schema_string(status, "started");
	snprintf(ret_state->started, sizeof(ret_state->started), "%s", text ? text : "");
	text = schema_string(status, "restarted");
	snprintf(ret_state->restarted, sizeof(ret_state->restarted), "%s", text ? text : "");
	json_decref(status);
	object_fini(&object);
	return 0;
}

static bool is(const struct state *state, const char *name)
{
	return !strcmp(state->state, name);
}

static int cancelled(struct problem *problem)
{
	problem_set(problem, API_CODE_CONFLICT, "it was cancelled");
	return -ECANCELED;
}

/* The last line is what the process ended with. */
static const char *last_line(const char *words)
{
	const char *line = strrchr(words, '\n');

	return line ? line + 1 : words;
}

static int has_failed(const struct operation *operation, const struct state *state,
		      struct problem *problem)
{
	if (!is(state, "crashed") && !is(state, "failed"))
		return problem_set(problem, API_CODE_CONFLICT, "it was stopped meanwhile");
	problem_set(problem, API_CODE_CONFLICT, "the machine %s: %s",
		    is(state, "failed") ? "could not start" : "crashed",
		    *state->words ? last_line(state->words) : "without a word");
	problem_hint(problem, "its logs may tell more: cella vm logs %s --source vmm",
		     operation->name);
	return -EIO;
}

/* `not_started`: the run with that time of start does not count. */
static int await_running(struct operation *operation, const char *not_started,
			 struct problem *problem)
{
	struct state state;
	int rc;

	for (;;) {
		rc = look(operation, &state, problem);
		if (rc)
			return rc;
		if ((is(&state, "running") || is(&state, "paused")) &&
		    strcmp(state.started, not_started))
			return 0;
		/* It is told off before it is given up: both have to be seen. */
		if (!state.wanted)
			return has_failed(operation, &state, problem);
		if (operation_cancelled(operation))
			return cancelled(problem);
		operation_progress(operation, "starting", 0, 0);
		operation_wait(operation, LOOK_MS);
	}
}

static int start_and_wait(struct operation *operation, const char *not_started,
			  struct problem *problem)
{
	struct vm *vm;
	int rc = vms_get(operation->node->vms, operation->uid, &vm, &problem->err);

	if (rc)
		return problem_from_err(problem, rc);
	atomic_fetch_add(&vm->starters, 1);
	rc = vm_want(operation->node, operation->uid, true, NULL, problem);
	reconcile_poke(operation->node, &api_vm, operation->uid);
	if (!rc)
		rc = await_running(operation, not_started, problem);
	atomic_fetch_sub(&vm->starters, 1);
	vms_put(vm);
	return rc;
}

static int run_start(struct operation *operation, struct problem *problem)
{
	return start_and_wait(operation, "", problem);
}

/* Until nothing of it runs, or it was started anew. A start may be under way that the status does not tell of
 * yet: it is over when reconcile has seen what is wanted now. */
static int await_stopped(struct operation *operation, struct vm *vm, struct problem *problem)
{
	struct state state;
	int rc;

	for (;;) {
		rc = look(operation, &state, problem);
		if (rc)
			return rc;
		if ((is(&state, "stopped") || is(&state, "crashed") || is(&state, "failed")) &&
		    atomic_load(&vm->rested_at) >= state.revision)
			return 0;
		if (state.wanted)
			return problem_set(problem, API_CODE_CONFLICT, "it was started meanwhile");
		if (operation_cancelled(operation))
			return cancelled(problem);
		operation_progress(operation, "stopping", 0, 0);
		operation_wait(operation, LOOK_MS);
	}
}

static int stop_and_wait(struct operation *operation, struct problem *problem)
{
	struct vm *vm;
	int rc = vms_get(operation->node->vms, operation->uid, &vm, &problem->err);

	if (rc)
		return problem_from_err(problem, rc);
	atomic_store(&vm->stop_seconds, (unsigned)schema_integer(operation->params, "timeout"));
	if (schema_boolean(operation->params, "force"))
		atomic_store(&vm->force, true);
	rc = vm_want(operation->node, operation->uid, false, NULL, problem);
	reconcile_poke(operation->node, &api_vm, operation->uid);
	if (!rc)
		rc = await_stopped(operation, vm, problem);
	vms_put(vm);
	return rc;
}

static int run_stop(struct operation *operation, struct problem *problem)
{
	return stop_and_wait(operation, problem);
}

/* "OPERATION STARTED": which run the operation found, and is to end. */
static int note_run(struct operation *operation, const char *started, struct problem *problem)
{
	char text[128];
	struct object object;
	int rc = operation_object(operation, &object, problem);

	if (rc)
		return rc;
	snprintf(text, sizeof(text), "%s %s", operation->id, started);
	rc = object_patch_status(operation->node, &object, json_pack("{s:s}", "restarted", text));
	object_fini(&object);
	return rc ? problem_set(problem, API_CODE_INTERNAL, "cannot store the status") : 0;
}

/* The note tells, after a restart of the daemon, whether the machine that runs is the old one. */
static int run_restart(struct operation *operation, struct problem *problem)
{
	char old[TIME_SIZE] = "";
	struct state state;
	int rc = look(operation, &state, problem);

	if (rc)
		return rc;
	if (!strncmp(state.restarted, operation->id, strlen(operation->id))) {
		snprintf(old, sizeof(old), "%s", strrchr(state.restarted, ' ') + 1);
	} else {
		/* Seconds are all that the time has: who runs a new second is another one. */
		snprintf(old, sizeof(old), "%s", state.started);
		rc = note_run(operation, old, problem);
	}
	if (!rc && (!strcmp(state.started, old) || !state.wanted)) {
		rc = stop_and_wait(operation, problem);
		if (!rc)
			rc = start_and_wait(operation, "", problem);
		return rc;
	}
	return rc ? rc : start_and_wait(operation, "", problem);
}

/* ---- what a VM process does at once ---- */

static int call_process(struct node *node, const char *uid, enum control_method method,
			json_t *params, json_t **ret_result, struct problem *problem)
{
	struct vm *vm = vms_find(node->vms, uid);
	struct vm_view view = { 0 };
	int rc;

	if (vm)
		vm_see(vm, &view);
	if (!vm || view.phase != VM_LIVES) {
		json_decref(params);
		problem_set(problem, API_CODE_CONFLICT, "the machine does not run");
		problem_hint(problem, "start it first");
		rc = -EBUSY;
	} else {
		rc = vmm_call(vm->folder_fd, method, params, VM_CALL_MS, ret_result, &problem->err);
		if (rc)
			problem->code = rc == -ETIMEDOUT ? API_CODE_UNAVAILABLE : API_CODE_CONFLICT;
	}
	if (vm)
		vms_put(vm);
	return rc;
}

static int call_and_wait(struct operation *operation, enum control_method method,
			 const char *awaited, struct problem *problem)
{
	struct state state;
	int rc = call_process(operation->node, operation->uid, method, NULL, NULL, problem);

	while (!rc) {
		rc = look(operation, &state, problem);
		if (rc || is(&state, awaited))
			break;
		if (!is(&state, "running") && !is(&state, "paused") && !is(&state, "starting"))
			return problem_set(problem, API_CODE_CONFLICT, "it ended meanwhile");
		if (operation_cancelled(operation))
			return cancelled(problem);
		operation_wait(operation, LOOK_MS);
	}
	return rc;
}

static int run_pause(struct operation *operation, struct problem *problem)
{
	return call_and_wait(operation, CONTROL_PAUSE, "paused", problem);
}

static int run_resume(struct operation *operation, struct problem *problem)
{
	return call_and_wait(operation, CONTROL_RESUME, "running", problem);
}

static int reset(struct call *call, struct problem *problem)
{
	return call_process(call->node, call->object->uid, CONTROL_RESET, NULL, NULL, problem);
}

static int nmi(struct call *call, struct problem *problem)
{
	return call_process(call->node, call->object->uid, CONTROL_NMI, NULL, NULL, problem);
}

/* ---- changes of the object ---- */

static int commit(struct call *call, struct object *object, struct problem *problem)
{
	struct change change;
	int rc;

	change_begin(&change, call->node, call->who);
	rc = change_put(&change, object, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

/* Limits that are not given stay as they are. The reconciler tells the machine. */
static int limits(struct call *call, struct problem *problem)
{
	static const struct schema_field rows[] = { LIMIT_FIELDS, { 0 } };
	const char *disk = schema_string(call->params, "disk");
	json_t *spec = json_deep_copy(object_spec(call->object)), *item;
	bool found = false;
	size_t index;
	int rc;

	json_array_foreach(json_object_get(spec, "disks"), index, item)
	{
		if (strcmp(schema_string(item, "disk"), disk))
			continue;
		found = true;
		for (const struct schema_field *row = rows; row->name; row++) {
			json_t *value = json_object_get(call->params, row->name);

			if (value)
				json_object_set(item, row->name, value);
		}
		call->result = json_deep_copy(item);
	}
	if (!found) {
		json_decref(spec);
		return problem_set(problem, API_CODE_NOT_FOUND, "the machine has no disk '%s'",
				   disk);
	}
	json_object_set_new(call->object->document, "spec", spec);
	rc = commit(call, call->object, problem);
	return rc;
}

static int rename_vm(struct call *call, struct problem *problem)
{
	struct change change;
	int rc;

	change_begin(&change, call->node, call->who);
	rc = change_rename(&change, call->object, schema_string(call->params, "name"), problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	return rc;
}

const struct action_ops vm_actions[] = {
	{ "start", .run = run_start },
	{ "stop", .run = run_stop },
	{ "restart", .run = run_restart },
	{ "pause", .run = run_pause },
	{ "resume", .run = run_resume },
	{ "reset", .answer = reset },
	{ "nmi", .answer = nmi },
	{ "limits", .answer = limits },
	{ "clone", .run = vm_run_clone },
	{ "rename", .answer = rename_vm },
	{ "logs", .answer = vm_logs },
	{ "cloud-init", .answer = cloud_init_show },
	{ 0 },
};
