/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a kind's function asks of its operation, and what others do to it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/clock.h"
#include "host/thread.h"
#include "node/operation/priv.h"

#define PROGRESS_NS (250 * NS_PER_MS)

/* ---- from inside ---- */

int operation_object(struct operation *operation, struct object *ret_object,
		     struct problem *problem)
{
	return object_get_by_uid(operation->node, operation->kind, operation->uid, ret_object,
				 problem);
}

bool operation_cancelled(const struct operation *operation)
{
	struct run *run = run_of(operation);

	LOCK_SCOPE(&run->all->lock);
	return run->cancelled || run->all->stopping;
}

static struct timespec deadline_after(unsigned ms)
{
	uint64_t ns = clock_now_ns() + ms * NS_PER_MS;

	return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_SEC),
				  .tv_nsec = (long)(ns % NS_PER_SEC) };
}

void operation_wait(struct operation *operation, unsigned ms)
{
	struct run *run = run_of(operation);
	struct timespec deadline = deadline_after(ms);

	LOCK_SCOPE(&run->all->lock);
	operations_leave_locked(run->all);
	while (!run->poked && !run->cancelled && !run->all->stopping &&
	       !pthread_cond_timedwait(&run->changed, &run->all->lock, &deadline))
		;
	run->poked = false;
	operations_enter_locked(run->all);
}

/* Whether it has to be written now. */
static bool note_progress(struct run *run, const char *phase, uint64_t done, uint64_t total)
{
	json_t *status = json_object_get(run->document, "status");
	uint64_t now = clock_now_ns(), ms;
	bool next = strncmp(run->phase, phase, sizeof(run->phase) - 1);
	json_t *progress;

	LOCK_SCOPE(&run->all->lock);
	if (next) {
		snprintf(run->phase, sizeof(run->phase), "%s", phase);
		run->phase_ns = now;
		run->phase_done = done;
	}
	if (!next && now - run->written_ns < PROGRESS_NS && done != total)
		return false;
	ms = (now - run->phase_ns) / NS_PER_MS;
	progress = json_pack("{s:s, s:I, s:I}", "phase", run->phase, "done", (json_int_t)done,
			     "total", (json_int_t)total);
	if (total)
		json_object_set_new(
			progress, "percent",
			json_integer((json_int_t)(100.0 * (double)done / (double)total)));
	if (ms && done >= run->phase_done)
		json_object_set_new(
			progress, "rate",
			json_integer((json_int_t)((done - run->phase_done) * 1000 / ms)));
	json_object_set_new(status, "progress", progress);
	run->written_ns = now;
	return true;
}

void operation_progress(struct operation *operation, const char *phase, uint64_t done,
			uint64_t total)
{
	struct run *run = run_of(operation);

	/* One that cannot be written is followed by others. */
	if (note_progress(run, phase, done, total))
		run_save(run);
}

/* ---- parts ---- */

/* 1: it has ended, well; 0: not yet. */
static int read_end(struct node *node, const char *id, struct problem *problem)
{
	struct store_item item;
	const json_t *status, *error;
	char key[KEY_SIZE];
	json_t *document;
	int rc;

	operation_key(id, key);
	rc = store_get(node->store, key, &item, &problem->err);
	if (rc)
		return problem_from_err(problem, rc);
	document = json_loadb(item.value, item.bytes, 0, NULL);
	store_item_fini(&item);
	status = json_object_get(document, "status");
	error = json_object_get(status, "error");
	rc = operation_has_ended(document);
	if (rc && error) {
		rc = problem_set(problem, API_CODE_INTERNAL, "%s", schema_string(error, "message"));
		if (schema_string(error, "hint"))
			problem_hint(problem, "%s", schema_string(error, "hint"));
	} else if (rc && strcmp(schema_string(status, "state"), "done")) {
		rc = problem_set(problem, API_CODE_CONFLICT, "a part of it was cancelled");
	}
	json_decref(document);
	return rc;
}

int operation_join(struct operation *operation, const char *id, struct problem *problem)
{
	int rc;

	while (!(rc = read_end(operation->node, id, problem))) {
		if (operation_cancelled(operation)) {
			operations_cancel(operation->node, id, NULL);
			return -ECANCELED;
		}
		operation_wait(operation, 1000);
	}
	return rc < 0 ? rc : 0;
}

/* ---- from outside ---- */

void operations_poke(struct node *node, const char *uid)
{
	struct operations *all = node->operations;
	struct run *run;

	if (!all)
		return;
	LOCK_SCOPE(&all->lock);
	list_for_each (run, &all->runs, node) {
		if (strcmp(run->object_uid, uid))
			continue;
		run->poked = true;
		pthread_cond_broadcast(&run->changed);
	}
}

/* What waits for a thread ends at once; what runs is told. NULL: there is none such, or it has ended, which
 * the store need not know yet. */
static struct run *cancel(struct operations *all, const char *id)
{
	struct run *run;

	LOCK_SCOPE(&all->lock);
	run = operations_find_locked(all, id);
	if (!run || operation_has_ended(run->document))
		return NULL;
	run->refs++;
	while (!run->begun)
		pthread_cond_wait(&run->changed, &all->lock);
	if (run->cancelled)
		return run;
	run->cancelled = true;
	json_object_set_new(run->document, "cancel", json_true());
	json_object_set_new(json_object_get(run->document, "status"), "cancellable", json_false());
	pthread_cond_broadcast(&run->changed);
	pthread_cond_broadcast(&all->room);
	return run;
}

int operations_cancel(struct node *node, const char *id, struct problem *problem)
{
	struct operations *all = node->operations;
	struct store_item item;
	char key[KEY_SIZE];
	struct run *run = cancel(all, id);
	int rc;

	if (run) {
		rc = run_save(run);
		pthread_mutex_lock(&all->lock);
		run_put_locked(run);
		pthread_mutex_unlock(&all->lock);
		if (rc)
			problem_set(problem, API_CODE_INTERNAL, "cannot store the cancellation");
		return rc;
	}
	operation_key(id, key);
	if (store_get(node->store, key, &item, NULL)) {
		problem_set(problem, API_CODE_NOT_FOUND, "there is no operation '%.40s'", id);
		return -ENOENT;
	}
	store_item_fini(&item);
	problem_set(problem, API_CODE_CONFLICT, "the operation has ended");
	return -EALREADY;
}
