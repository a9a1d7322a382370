/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a running machine takes of a change: disks and network cards (live_nets.c) that come and go, their
 * limits, shares and limits of its control group. Everything else waits for its next start, and is named as
 * pending.
 *
 * `applied` is what the process runs with: {"spec": …, "disks": [{"id", "disk", "uid", "name"}], "nets": […],
 * "leaving": whether the guest was asked for something, …}, also in a file, for after the daemon's restart. A
 * disk that comes is linked into a folder of the machine's own: that is all its process may open.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/limits.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/fd.h"
#include "host/thread.h"
#include "node/vm/priv.h"
#include "node/vm/vmm_link.h"

#define APPLIED_MAX (4 * MIB)

/* ---- what it runs with ---- */

static json_t *load_applied(const struct vm *vm)
{
	AUTO_FREE void *text = NULL;
	char path[64];
	size_t count;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/" VM_APPLIED_FILE, vm->folder_fd);
	if (fd_read_file(path, APPLIED_MAX, &text, &count, NULL))
		return NULL;
	return json_loadb(text, count, 0, NULL);
}

json_t *vm_applied(struct vm *vm)
{
	LOCK_SCOPE(&vm->vms->lock);
	if (!vm->applied)
		vm->applied = load_applied(vm);
	return json_incref(vm->applied);
}

/* Whole or not at all. */
static int save(const struct vm *vm, const json_t *applied)
{
	static const char temporary[] = VM_APPLIED_FILE ".new";
	AUTO_FREE char *text = json_dumps(applied, JSON_COMPACT);
	AUTO_CLOSE int fd = openat(vm->folder_fd, temporary,
				   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc;

	if (!text)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	rc = fd_write_all(fd, text, strlen(text));
	if (!rc && renameat(vm->folder_fd, temporary, vm->folder_fd, VM_APPLIED_FILE))
		rc = -errno;
	return rc;
}

int vm_applied_set(struct vm *vm, json_t *applied)
{
	json_t *old;
	int rc = save(vm, applied);

	{
		LOCK_SCOPE(&vm->vms->lock);
		old = vm->applied;
		vm->applied = applied;
	}
	json_decref(old);
	return rc;
}

/* ---- disks ---- */

const json_t *vm_find_by(const json_t *list, const char *member, const char *text)
{
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)list, index, item)
	{
		const char *value = schema_string(item, member);

		if (value && !strcmp(value, text))
			return item;
	}
	return NULL;
}

static const struct schema_field limit_rows[] = { LIMIT_FIELDS, { 0 } };

/* Limits of the item as parameters of disk.limits: all of them, so that old ones go. */
static json_t *limits_params(const json_t *item, const char *id)
{
	json_t *params = json_pack("{s:s}", "id", id);

	for (const struct schema_field *row = limit_rows; row->name; row++)
		json_object_set_new(params, row->name,
				    json_integer((json_int_t)schema_integer(item, row->name)));
	return params;
}

static bool same_limits(const json_t *a, const json_t *b)
{
	for (const struct schema_field *row = limit_rows; row->name; row++) {
		if (schema_integer(a, row->name) != schema_integer(b, row->name))
			return false;
	}
	return true;
}

/* Everything but limits: that is what a running disk cannot change. */
static bool same_but_limits(const json_t *a, const json_t *b)
{
	json_t *left = json_copy((json_t *)(uintptr_t)a),
	       *right = json_copy((json_t *)(uintptr_t)b);
	bool same;

	for (const struct schema_field *row = limit_rows; row->name; row++) {
		json_object_del(left, row->name);
		json_object_del(right, row->name);
	}
	same = json_equal(left, right);
	json_decref(left);
	json_decref(right);
	return same;
}

/* The file under another name that the process may open; the name in `row`. */
static int link_disk(const struct vm *vm, json_t *row, const char *id, struct err *err)
{
	const char *path = schema_string(row, "path"), *dot = strrchr(path, '.');
	char name[PATH_MAX];

	snprintf(name, sizeof(name), VM_DISKS_FOLDER "/%s%s", id,
		 dot && !strchr(dot, '/') ? dot : "");
	unlinkat(vm->folder_fd, name, 0);
	if (linkat(AT_FDCWD, path, vm->folder_fd, name, 0))
		return err_errno(err, errno, "cannot link '%s' to the machine", path);
	json_object_set_new(row, "path", json_string(name));
	return 0;
}

void vm_unlink_disks(struct vm *vm, const char *id)
{
	int fd = openat(vm->folder_fd, VM_DISKS_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	size_t length = id ? strlen(id) : 0;

	if (!folder) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] != '.' && (!id || !strncmp(entry->d_name, id, length)))
			unlinkat(dirfd(folder), entry->d_name, 0);
	}
	closedir(folder);
}

static int attach(struct vm *vm, const struct object *object, const json_t *item, json_t *disks,
		  struct problem *problem)
{
	struct err err = ERR_INIT;
	json_t *row, *one;
	int rc = vm_config_disk(vm, object, item, &row, &one, problem);

	if (rc)
		return rc;
	rc = link_disk(vm, row, schema_string(one, "id"), &err);
	if (rc)
		json_decref(row);
	else
		rc = vmm_call(vm->folder_fd, CONTROL_DISK_ATTACH, row, VM_CALL_MS, NULL, &err);
	if (rc) {
		json_decref(one);
		return problem_set(problem, API_CODE_CONFLICT, "disk '%s' waits for a restart: %s",
				   schema_string(item, "disk"), err.text);
	}
	json_array_append_new(disks, one);
	return 0;
}

/* What the VM process has: its "disk.list". */
static bool process_has(const json_t *list, const char *id, bool *ret_detaching)
{
	const json_t *disk = vm_find_by(list, "id", id);

	*ret_detaching = schema_boolean(disk, "detaching");
	return disk != NULL;
}

/* Asks for those that shall go; forgets those that went, also those that are wanted again by now.
 * `ret_left`: some are still on their way. */
static int detach_gone(struct vm *vm, const json_t *items, const json_t *list, json_t *disks,
		       bool *ret_left, struct problem *problem)
{
	int rc = 0;

	for (size_t i = json_array_size(disks); i-- > 0;) {
		const json_t *one = json_array_get(disks, i);
		const char *id = schema_string(one, "id"), *ref = schema_string(one, "disk");
		struct err err = ERR_INIT;
		bool detaching;

		if (!process_has(list, id, &detaching)) {
			vm_unlink_disks(vm, id);
			json_array_remove(disks, i);
			continue;
		}
		if (vm_find_by(items, "disk", ref)) {
			*ret_left |= detaching;
			continue;
		}
		*ret_left = true;
		if (!detaching && vmm_call(vm->folder_fd, CONTROL_DISK_DETACH,
					   json_pack("{s:s}", "id", id), VM_CALL_MS, NULL, &err))
			rc = problem_set(problem, API_CODE_CONFLICT,
					 "disk '%s' stays until a restart: %s", ref, err.text);
	}
	return rc;
}

/* `applied` is changed with what was done. */
static int change_disks(struct vm *vm, const struct object *object, json_t *applied,
			bool *ret_pending, struct problem *problem)
{
	const json_t *items = json_object_get(object_spec(object), "disks");
	const json_t *before = json_object_get(json_object_get(applied, "spec"), "disks");
	json_t *disks = json_object_get(applied, "disks"), *list = NULL, *item;
	struct err err = ERR_INIT;
	size_t index;
	int rc;

	if (vmm_call(vm->folder_fd, CONTROL_DISK_LIST, NULL, VM_CALL_MS, &list, &err))
		return problem_set(problem, API_CODE_UNAVAILABLE, "%s", err.text);
	rc = detach_gone(vm, items, list, disks, ret_pending, problem);
	json_array_foreach((json_t *)(uintptr_t)items, index, item)
	{
		const char *ref = schema_string(item, "disk");
		const json_t *old = vm_find_by(before, "disk", ref);
		const json_t *one = vm_find_by(disks, "disk", ref);
		int one_rc = 0;

		if (!one)
			one_rc = attach(vm, object, item, disks, problem);
		else if (old && !same_limits(old, item))
			one_rc = vmm_call(vm->folder_fd, CONTROL_DISK_LIMITS,
					  limits_params(item, schema_string(one, "id")), VM_CALL_MS,
					  NULL, &problem->err);
		*ret_pending |= one_rc || (one && old && !same_but_limits(old, item));
		rc = rc ? rc : one_rc;
	}
	json_decref(list);
	return rc;
}

/* ---- all of it ---- */

/* The fields that only a start brings. */
static void add_pending(json_t *pending, const json_t *before, const json_t *after)
{
	for (const struct schema_field *row = api_vm.spec; row->name; row++) {
		const json_t *old = json_object_get(before, row->name);
		const json_t *new = json_object_get(after, row->name);

		if ((row->flags & SCHEMA_LIVE) || old == new || (old && new &&json_equal(old, new)))
			continue;
		json_array_append_new(pending, json_string(row->name));
	}
}

int vm_live_change(struct vm *vm, const struct object *object, json_t **ret_pending,
		   struct problem *problem)
{
	int rules_rc = vm_live_rules(vm, object, problem);
	json_t *now = vm_applied(vm), *applied, *spec = json_deep_copy(object_spec(object));
	json_t *pending = json_array();
	const json_t *before = json_object_get(now, "spec");
	struct err err = ERR_INIT;
	bool disks_pending = false, nets_pending = false;
	int rc = 0, nets_rc;

	*ret_pending = pending;
	api_hide_secrets(&api_vm, spec);
	/* Of a process that is older than the file nothing is known; then all is as it should be. */
	if (!before || (json_equal(before, spec) && !schema_boolean(now, "leaving"))) {
		json_decref(now);
		json_decref(spec);
		return rules_rc;
	}
	applied = json_deep_copy(now);
	add_pending(pending, before, spec);
	if (vm_cgroup_limit(vm, spec, &err))
		log_warn("machine '%s': %s", object->name, err.text);
	rc = change_disks(vm, object, applied, &disks_pending, problem);
	if (disks_pending)
		json_array_append_new(pending, json_string("disks"));
	nets_rc = vm_live_nets(vm, object, applied, &nets_pending, problem);
	if (nets_pending)
		json_array_append_new(pending, json_string("nets"));
	json_object_set_new(applied, "leaving", json_boolean(disks_pending || nets_pending));
	/* What waits is compared again, and again, until a start. */
	for (const struct schema_field *row = api_vm.spec; row->name; row++) {
		json_t *new = json_object_get(spec, row->name);
		bool taken = row->flags & SCHEMA_LIVE;

		if (!strcmp(row->name, "disks"))
			taken = !disks_pending && !rc;
		if (!strcmp(row->name, "nets"))
			taken = !nets_pending && !nets_rc;
		if (taken && new)
			json_object_set(json_object_get(applied, "spec"), row->name, new);
		else if (taken)
			json_object_del(json_object_get(applied, "spec"), row->name);
	}
	if (!json_equal(now, applied))
		vm_applied_set(vm, json_incref(applied));
	json_decref(applied);
	json_decref(spec);
	json_decref(now);
	rc = rc ? rc : nets_rc;
	return rc ? rc : rules_rc;
}
