/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kind vm: its table, and the machines in memory. */
#include "node/vm/vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/thread.h"
#include "node/access/access.h"
#include "node/image/cloud_init.h"
#include "node/disk/disk.h"
#include "node/image/image.h"
#include "node/metrics/metrics.h"
#include "node/network/network.h"
#include "node/vm/priv.h"
#include "node/vm/vmm_link.h"

/* ---- entries ---- */

static void process_changed(void *ctx)
{
	struct vm *vm = ctx;
	char run[VM_LOG_SOURCE_MAX];

	vm_run_name(vm, run);
	if (vm->process.phase == VM_LIVES && vm->console)
		vm_console_attach(vm->console, run);
	reconcile_poke(vm->vms->node, &api_vm, vm->uid);
}

static void process_event(void *ctx, enum control_event event, const json_t *params)
{
	struct vm *vm = ctx;

	(void)params;
	if (event == CONTROL_EVENT_DISK_DETACHED || event == CONTROL_EVENT_DISK_KEPT ||
	    event == CONTROL_EVENT_NET_DETACHED || event == CONTROL_EVENT_NET_KEPT)
		reconcile_poke(vm->vms->node, &api_vm, vm->uid);
}

static const struct vm_process_ops process_ops = {
	.changed = process_changed,
	.event = process_event,
};

void vm_run_name(const struct vm *vm, char ret_name[VM_LOG_SOURCE_MAX])
{
	snprintf(ret_name, VM_LOG_SOURCE_MAX, "%d:%s", vm->process.pid.pid, vm->process.pid.start);
}

static void vm_free(struct vm *vm)
{
	{
		LOOP_HOLD_SCOPE(vm->vms->node->loop);
		vm_process_fini(&vm->process);
		vm_console_free(vm->console);
	}
	if (vm->folder_fd >= 0)
		close(vm->folder_fd);
	json_decref(vm->applied);
	free(vm);
}

static int open_folder(struct vm *vm, struct err *err)
{
	int run_fd = vm->vms->node->run_fd;

	if (mkdirat(run_fd, vm->uid, 0700) && errno != EEXIST)
		return err_errno(err, errno, "cannot make the folder of machine '%s'", vm->uid);
	vm->folder_fd = openat(run_fd, vm->uid, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return vm->folder_fd < 0
		       ? err_errno(err, errno, "cannot open the folder of machine '%s'", vm->uid)
		       : 0;
}

/* Under vms->lock, so that there are never two of one machine. */
static int vm_new_locked(struct vms *vms, const char *uid, struct vm **ret_vm, struct err *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc;

	if (!vm)
		return err_errno(err, ENOMEM, "machine '%s'", uid);
	vm->vms = vms;
	vm->folder_fd = -1;
	snprintf(vm->uid, sizeof(vm->uid), "%s", uid);
	vm_process_init(&vm->process, uid, -1, vms->node->loop, &process_ops, vm);
	rc = open_folder(vm, err);
	vm->process.folder_fd = vm->folder_fd;
	if (!rc)
		rc = vm_console_new(&vm->console, vm->folder_fd, vms->node->loop, err);
	if (rc) {
		vm_free(vm);
		return rc;
	}
	*ret_vm = vm;
	return 0;
}

static struct vm *find_locked(struct vms *vms, const char *uid)
{
	struct vm *vm;

	list_for_each (vm, &vms->list, node) {
		if (!strcmp(vm->uid, uid))
			return vm;
	}
	return NULL;
}

int vms_get(struct vms *vms, const char *uid, struct vm **ret_vm, struct err *err)
{
	struct vm *vm;
	bool found;
	int rc = 0;

	{
		LOCK_SCOPE(&vms->lock);
		vm = find_locked(vms, uid);
		found = vm != NULL;
		if (!vm)
			rc = vm_new_locked(vms, uid, &vm, err);
		if (rc)
			return rc;
		vm->users++;
		if (!found)
			list_append(&vms->list, &vm->node);
	}
	if (!found) {
		LOOP_HOLD_SCOPE(vms->node->loop);
		rc = vm_process_find(&vm->process, vms->boot, err);
	}
	if (rc) {
		vms_put(vm);
		return rc;
	}
	*ret_vm = vm;
	return 0;
}

struct vm *vms_find(struct vms *vms, const char *uid)
{
	struct vm *vm;

	LOCK_SCOPE(&vms->lock);
	vm = find_locked(vms, uid);
	if (vm)
		vm->users++;
	return vm;
}

void vms_put(struct vm *vm)
{
	struct vms *vms = vm->vms;
	bool last;

	{
		LOCK_SCOPE(&vms->lock);
		last = !--vm->users;
		if (last)
			list_remove(&vm->node);
	}
	if (last)
		vm_free(vm);
}

void vm_see(struct vm *vm, struct vm_view *ret_view)
{
	const struct vm_process *process = &vm->process;
	LOOP_HOLD_SCOPE(vm->vms->node->loop);

	*ret_view = (struct vm_view){
		.phase = process->phase,
		.panicked = process->panicked,
		.started_ms = process->started_ms,
		.pid = process->pid.pid,
		.end = process->end,
	};
	snprintf(ret_view->state, sizeof(ret_view->state), "%s", process->state);
	snprintf(ret_view->engine, sizeof(ret_view->engine), "%s", process->engine);
}

/* ---- for the rest of the daemon ---- */

static bool runs(struct vm *vm)
{
	struct vm_view view;

	vm_see(vm, &view);
	return view.phase == VM_BEGINS || view.phase == VM_LIVES;
}

/* Claims are looked at first: one ends when the process is there, and counts. */
static void add_load(struct vms_load *load, struct vm *vm)
{
	uint64_t claimed = atomic_load(&vm->claimed);
	json_t *applied;

	if (runs(vm)) {
		applied = vm_applied(vm);
		load->running++;
		load->memory += schema_integer(applied, "memory");
		json_decref(applied);
	} else {
		load->memory += claimed;
	}
}

struct vms_load vms_load(struct vms *vms)
{
	struct vms_load load = { 0 };
	VEC(struct vm *) all = { 0 };
	struct vm *vm, **each;

	{
		LOCK_SCOPE(&vms->lock);
		list_for_each (vm, &vms->list, node) {
			if (!vec_push(&all, vm))
				vm->users++;
		}
	}
	vec_for_each (each, &all) {
		add_load(&load, *each);
		vms_put(*each);
	}
	vec_fini(&all);
	return load;
}

json_t *vm_running_applied(struct vms *vms, const char *uid)
{
	struct vm *vm = vms_find(vms, uid);
	json_t *applied = NULL;

	if (!vm)
		return NULL;
	if (runs(vm))
		applied = vm_applied(vm);
	vms_put(vm);
	return applied;
}

int vm_stats(struct vms *vms, const char *uid, json_t **ret_stats, struct err *err)
{
	struct vm *vm = vms_find(vms, uid);
	int rc;

	if (!vm)
		return err_set(err, ESRCH, "the machine does not run");
	rc = vmm_call(vm->folder_fd, CONTROL_STATS, NULL, 1000, ret_stats, err);
	vms_put(vm);
	return rc;
}

/* How the process calls the disk, or NULL; owned by `applied`. */
static const char *disk_id(const json_t *applied, const char *uid)
{
	json_t *row;
	size_t index;

	json_array_foreach(json_object_get(applied, "disks"), index, row)
	{
		if (!strcmp(schema_string(row, "uid"), uid))
			return schema_string(row, "id");
	}
	return NULL;
}

int vm_resize_disk(struct vms *vms, const char *uid, const char *disk_uid, uint64_t bytes,
		   struct err *err)
{
	json_t *applied = vm_running_applied(vms, uid);
	const char *id = disk_id(applied, disk_uid);
	struct vm *vm = id ? vms_find(vms, uid) : NULL;
	int rc;

	if (vm)
		rc = vmm_call(vm->folder_fd, CONTROL_DISK_RESIZE,
			      json_pack("{s:s, s:I}", "id", id, "size", (json_int_t)bytes),
			      VM_CALL_MS, NULL, err);
	else
		rc = err_set(err, ESRCH, "the machine does not run with the disk");
	if (vm)
		vms_put(vm);
	json_decref(applied);
	return rc;
}

const char *vms_cgroups(const struct vms *vms)
{
	return cgroups_version(vms->cgroups);
}

int vm_want(struct node *node, const char *uid, bool running, const struct identity *who,
	    struct problem *problem)
{
	int rc;

	do {
		struct object object;
		struct change change;
		json_t *spec;

		*problem = PROBLEM_INIT;
		rc = object_get_by_uid(node, &api_vm, uid, &object, problem);
		if (rc)
			return rc;
		spec = json_object_get(object.document, "spec");
		if (object.deleting || schema_boolean(spec, "running") == running) {
			object_fini(&object);
			return 0;
		}
		json_object_set_new(spec, "running", json_boolean(running));
		change_begin(&change, node, who);
		rc = change_put(&change, &object, problem);
		if (!rc)
			rc = change_commit(&change, problem);
		change_fini(&change);
		object_fini(&object);
	} while (rc == -ESTALE);
	return rc;
}

/* ---- the table ---- */

/* Five descriptors for each running machine. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Whether something of a run may be there. */
static bool has_run(struct node *node, const char *uid)
{
	char path[UID_SIZE + 8];

	snprintf(path, sizeof(path), "%s/pid", uid);
	return !faccessat(node->run_fd, path, F_OK, AT_SYMLINK_NOFOLLOW);
}

/* Who runs is watched from the start; the rest comes when it is reconciled. */
static void adopt(struct vms *vms, const struct object *object)
{
	struct err err = ERR_INIT;
	struct vm *vm;

	if (vms_get(vms, object->uid, &vm, &err)) {
		log_error("machine '%s': %s", object->name, err.text);
		return;
	}
	/* Until reconcile puts it. */
	vm->kept = true;
	if (runs(vm))
		log_info("machine '%s' runs as process %d", object->name, vm->process.pid.pid);
}

/* By the folders of runs: those that do not run are many. */
static int adopt_all(struct vms *vms, struct err *err)
{
	int fd = openat(vms->node->run_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct object object;

	if (!folder) {
		int rc = err_errno(err, errno, "cannot look for machines that run");

		if (fd >= 0)
			close(fd);
		return rc;
	}
	while ((entry = readdir(folder))) {
		if (strlen(entry->d_name) != UID_SIZE - 1 || !has_run(vms->node, entry->d_name) ||
		    object_get_by_uid(vms->node, &api_vm, entry->d_name, &object, NULL))
			continue;
		adopt(vms, &object);
		object_fini(&object);
	}
	closedir(folder);
	return 0;
}

static void vms_free(struct vms *vms)
{
	struct vm *vm, *next;

	list_for_each_safe (vm, next, &vms->list, node) {
		list_remove(&vm->node);
		vm_free(vm);
	}
	cgroups_close(vms->cgroups);
	pthread_mutex_destroy(&vms->claims);
	pthread_mutex_destroy(&vms->lock);
	free(vms);
}

static int start(struct node *node, struct err *err)
{
	struct vms *vms = calloc(1, sizeof(*vms));
	int rc;

	if (!vms)
		return err_errno(err, ENOMEM, "cannot start");
	vms->node = node;
	list_init(&vms->list);
	pthread_mutex_init(&vms->lock, NULL);
	pthread_mutex_init(&vms->claims, NULL);
	node->vms = vms;
	raise_descriptors();
	rc = vm_boot_id(vms->boot);
	if (rc)
		rc = err_errno(err, rc, "cannot find out when the host was started");
	if (!rc)
		rc = cgroups_open(&vms->cgroups, "/proc/self", node->config.cgroup, err);
	if (!rc)
		rc = adopt_all(vms, err);
	if (!rc)
		rc = vm_boot_begin(vms, err);
	if (!rc)
		return 0;
	node->vms = NULL;
	vms_free(vms);
	return rc;
}

static void stop(struct node *node)
{
	if (!node->vms)
		return;
	vm_boot_end(node->vms);
	vms_free(node->vms);
	node->vms = NULL;
}

/* ---- before a machine is stored ---- */

static bool same(const json_t *before, const json_t *after, const char *object, const char *name)
{
	const json_t *a = json_object_get(json_object_get(before, object), name);
	const json_t *b = json_object_get(json_object_get(after, object), name);

	return a == b || (a && b && json_equal(a, b));
}

/* Files of the host are named only by who may read them all. */
static int check_boot(const struct change *change, const json_t *before, const json_t *after,
		      struct problem *problem)
{
	static const char *const paths[] = { "kernel", "initrd" };

	for (unsigned i = 0; i < ARRAY_SIZE(paths); i++) {
		const char *path = schema_string(json_object_get(after, "boot"), paths[i]);

		if (!path || same(before, after, "boot", paths[i]))
			continue;
		if (path[0] == '/' && (!change->who || change->who->root))
			continue;
		if (path[0] == '/')
			problem_set(problem, API_CODE_FORBIDDEN,
				    "only root may name files of the host");
		else
			problem_set(problem, API_CODE_INVALID, "'%s' must be an absolute path",
				    path);
		problem_field(problem, "spec.boot.%s", paths[i]);
		return path[0] == '/' ? -EPERM : -EINVAL;
	}
	return 0;
}

/* A disk belongs to one machine, which has it once. `vm` may be new, with a disk of the same change. */
static int check_disk(struct change *change, const struct object *vm, const json_t *disks,
		      size_t index, struct problem *problem)
{
	const char *ref = schema_string(json_array_get(disks, index), "disk");
	bool of_image = !vm->revision && !index && schema_string(object_spec(vm), "image");
	char user[API_NAME_MAX + 1] = "";
	struct object disk;
	int rc;

	for (size_t other = 0; other < index; other++) {
		if (!strcmp(schema_string(json_array_get(disks, other), "disk"), ref))
			return problem_set(problem, API_CODE_INVALID, "disk '%s' is there twice",
					   ref);
	}
	rc = object_resolve(change->node, &api_disk, vm->project, ref, &disk, problem);
	if (rc == -ENOENT && of_image) {
		*problem = PROBLEM_INIT;
		return 0;
	}
	if (rc == -ENOENT)
		return problem_set(problem, API_CODE_INVALID, "there is no disk '%s'", ref);
	if (rc)
		return rc;
	rc = disk_user(change->node, &disk, vm, user, problem);
	object_fini(&disk);
	if (!rc && *user)
		rc = problem_set(problem, API_CODE_IN_USE, "disk '%s' belongs to machine '%s'", ref,
				 user);
	return rc;
}

static int check_disks(struct change *change, const struct object *vm, struct problem *problem)
{
	const json_t *disks = json_object_get(object_spec(vm), "disks");

	for (size_t i = 0; i < json_array_size(disks); i++) {
		int rc = check_disk(change, vm, disks, i, problem);

		if (rc) {
			problem_field(problem, "spec.disks[%zu].disk", i);
			return rc;
		}
	}
	return 0;
}

int vm_check(struct change *change, struct object *object, struct problem *problem)
{
	int rc = cloud_init_prepare(object, problem);

	if (!rc)
		rc = network_check(change->node, object, problem);
	return rc ? rc : check_disks(change, object, problem);
}

static int prepare(struct change *change, const struct object *before, struct object *after,
		   struct problem *problem)
{
	const json_t *spec_before = before ? object_spec(before) : NULL;
	int rc = check_boot(change, spec_before, object_spec(after), problem);

	if (!rc)
		rc = image_prepare_vm(change, before, after, problem);
	return rc ? rc : vm_check(change, after, problem);
}

static int release(struct change *change, const struct object *object, struct problem *problem)
{
	struct vm *vm = vms_find(change->node->vms, object->uid);
	bool running = schema_boolean(object_spec(object), "running") || (vm && runs(vm));

	if (vm)
		vms_put(vm);
	if (!running)
		return 0;
	problem_set(problem, API_CODE_CONFLICT, "machine '%s' runs", object->name);
	problem_hint(problem, "stop it first");
	return -EBUSY;
}

static const char *const console_queries[] = { "bytes", NULL };
static const char *const log_queries[] = { "bytes", "follow", "lines", "source", NULL };

static const struct resource_ops resources[] = {
	{ "console", WEB_GET, API_CONSOLE, console_queries, .answer = vm_show_console },
	{ "log", WEB_GET, API_READ, log_queries, .answer = vm_show_log },
	{ "metrics", WEB_GET, API_READ, metrics_queries, .answer = metrics_show_vm },
	{ 0 },
};

const struct kind_ops vm_ops = {
	.kind = &api_vm,
	.start = start,
	.stop = stop,
	.prepare = prepare,
	.release = release,
	.reconcile = vm_reconcile,
	.actions = vm_actions,
	.resources = resources,
};
