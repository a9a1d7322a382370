/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a machine's spec to the configuration of its process (see api/config.h).
 *
 * Paths of the process' own files are relative: it runs in the machine's folder. Its disks are known by
 * "disk-" and eight digits of the disk's uid, so that they stay the same when others come and go.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/config.h"
#include "api/limits.h"
#include "base/macros.h"
#include "node/image/cloud_init.h"
#include "node/disk/disk.h"
#include "node/image/image.h"
#include "node/network/network.h"
#include "node/vm/priv.h"

/* Ports for what is there from the start. */
#define PORTS_TAKEN (CONFIG_HOTPLUG_PORTS_MAX - PORTS_FREE)

#define FIRST_FD   4 /* behind the configuration's */
#define PORTS_FREE 8 /* for what comes while it runs */

static int no_memory(struct problem *problem)
{
	return problem_set(problem, API_CODE_INTERNAL, "no memory for the configuration");
}

/* ---- disks ---- */

static const struct schema_field limit_rows[] = { LIMIT_FIELDS, { 0 } };

int vm_config_disk(struct vm *vm, const struct object *object, const json_t *item, json_t **ret_row,
		   json_t **ret_applied, struct problem *problem)
{
	const char *ref = schema_string(item, "disk"), *serial = schema_string(item, "serial");
	struct object disk;
	char id[16];
	json_t *row;
	int rc;

	rc = object_resolve(vm->vms->node, &api_disk, object->project, ref, &disk, problem);
	if (rc)
		return rc;
	snprintf(id, sizeof(id), "disk-%.8s", disk.uid);
	rc = disk_config(vm->vms->node, &disk, &row, problem);
	if (!rc) {
		*ret_applied = json_pack("{s:s, s:s, s:s, s:s}", "id", id, "disk", ref, "uid",
					 disk.uid, "name", disk.name);
		json_object_set_new(row, "id", json_string(id));
		if (schema_boolean(item, "readonly"))
			json_object_set_new(row, "readonly", json_true());
		if (serial)
			json_object_set_new(row, "serial", json_string(serial));
		for (const struct schema_field *limit = limit_rows; limit->name; limit++) {
			json_t *value = json_object_get(item, limit->name);

			if (json_integer_value(value))
				json_object_set(row, limit->name, value);
		}
		*ret_row = row;
	}
	object_fini(&disk);
	return rc;
}

/* Network cards come first. */
static unsigned removable_nets(const struct object *object)
{
	size_t count = json_array_size(json_object_get(object_spec(object), "nets"));

	return (unsigned)MIN(count, (size_t)PORTS_TAKEN);
}

/* All but the first can be taken out again while it runs. */
static int add_disks(struct vm *vm, const struct object *object, struct vm_config *config,
		     struct problem *problem)
{
	unsigned taken = removable_nets(object);
	const json_t *items = json_object_get(object_spec(object), "disks");
	json_t *rows = json_object_get(config->json, "disks");
	json_t *applied = json_object_get(config->applied, "disks");
	size_t index;
	json_t *item;

	json_array_foreach((json_t *)(uintptr_t)items, index, item)
	{
		json_t *row, *one;
		int rc = vm_config_disk(vm, object, item, &row, &one, problem);

		if (rc) {
			problem_field(problem, "spec.disks[%zu]", index);
			return rc;
		}
		if (index && taken < PORTS_TAKEN) {
			json_object_set_new(row, "removable", json_true());
			taken++;
		}
		json_array_append_new(rows, row);
		json_array_append_new(applied, one);
	}
	json_object_set_new(config->json, "hotplug-ports", json_integer(PORTS_FREE + taken));
	return 0;
}

/* ---- networks ---- */

static int add_net(struct vm *vm, const struct object *object, unsigned index,
		   struct vm_config *config, struct problem *problem)
{
	unsigned cpus = (unsigned)schema_integer(object_spec(object), "cpus");
	struct network_port port;
	json_t *fds;
	int rc = network_attach(vm->vms->node, object, index,
				MIN(cpus, (unsigned)NETWORK_QUEUES_MAX), &port, problem);

	if (rc)
		return rc;
	fds = json_array();
	for (unsigned i = 0; i < port.fd_count && !rc; i++) {
		json_array_append_new(fds, json_integer(FIRST_FD + (json_int_t)config->fds.count));
		if (vec_push(&config->fds, port.fds[i]))
			rc = no_memory(problem);
		else
			port.fds[i] = -1; /* the configuration's now */
	}
	if (port.fd_count)
		json_object_set(port.net, "fds", fds);
	if (index < removable_nets(object))
		json_object_set_new(port.net, "removable", json_true());
	json_decref(fds);
	json_array_append(json_object_get(config->json, "nets"), port.net);
	network_port_fini(&port);
	return rc;
}

static int add_nets(struct vm *vm, const struct object *object, struct vm_config *config,
		    struct problem *problem)
{
	size_t count = json_array_size(json_object_get(object_spec(object), "nets"));
	int rc = 0;

	for (unsigned i = 0; i < count && !rc; i++) {
		rc = add_net(vm, object, i, config, problem);
		if (rc)
			problem_field(problem, "spec.nets[%u]", i);
	}
	return rc;
}

/* The last disk, which guests look for by its label. */
static int add_seed(struct vm *vm, const struct object *object, struct vm_config *config,
		    struct problem *problem)
{
	int rc;

	if (!cloud_init_wanted(object))
		return 0;
	rc = cloud_init_write(vm->vms->node, object, vm->folder_fd, VM_SEED_FILE, problem);
	if (!rc)
		json_array_append_new(json_object_get(config->json, "disks"),
				      json_pack("{s:s, s:s, s:b, s:s}", "path", VM_SEED_FILE,
						"format", "raw", "readonly", 1, "id", "seed"));
	return rc;
}

/* ---- all of it ---- */

static json_t *base_of(const struct vm *vm, const struct object *object)
{
	const json_t *spec = object_spec(object);
	const char *options = schema_string(spec, "engine-options");
	const char *engine = schema_string(spec, "engine");

	/* Descriptors and sockets apart, what has a preset there has the same here. */
	return json_pack(
		"{s:s, s:s, s:{s:s, s:s*}, s:{s:I, s:s}, s:{s:I, s:I}, s:[s], s:s, s:s, s:[], s:[], "
		"s:[s]}",
		"name", object->name, "uuid", vm->uid, "engine", "name", engine ? engine : "auto",
		"options", options, "cpu", "count", (json_int_t)schema_integer(spec, "cpus"),
		"model", schema_string(spec, "cpu-model"), "memory", "size",
		(json_int_t)schema_integer(spec, "memory"), "hugepages",
		(json_int_t)schema_integer(spec, "hugepages"), "serials", "none", "control",
		"control", "end-file", VM_END_FILE, "disks", "nets", "job-folders",
		VM_DISKS_FOLDER);
}

int vm_config_make(struct vm *vm, const struct object *object, struct vm_config *ret_config,
		   struct problem *problem)
{
	const json_t *spec = object_spec(object);
	struct vm_config config = { 0 };
	json_t *shown = json_deep_copy(spec);
	int rc;

	api_hide_secrets(&api_vm, shown);
	config.json = base_of(vm, object);
	config.applied = json_pack(
		"{s:o, s:[], s:O*, s:o*, s:I, s:s}", "spec", shown, "disks", "nets",
		json_object_get(spec, "nets"), "rules", network_user_rules(vm->vms->node, object),
		"memory", (json_int_t)schema_integer(spec, "memory"), "name", object->name);
	rc = config.json && config.applied
		     ? image_boot_config(vm->vms->node, object, config.json, problem)
		     : no_memory(problem);
	if (!rc)
		rc = add_disks(vm, object, &config, problem);
	if (!rc)
		rc = add_seed(vm, object, &config, problem);
	/* The last: it changes the host. */
	if (!rc)
		rc = add_nets(vm, object, &config, problem);
	if (rc) {
		vm_config_fini(&config);
		return rc;
	}
	*ret_config = config;
	return 0;
}

void vm_config_fini(struct vm_config *config)
{
	int *fd;

	vec_for_each (fd, &config->fds)
		close(*fd);
	vec_fini(&config->fds);
	json_decref(config->json);
	json_decref(config->applied);
}
