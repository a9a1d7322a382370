/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One round: what /proc says of the host and the VM processes, and what these say of themselves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/macros.h"
#include "host/fd.h"
#include "node/metrics/priv.h"
#include "node/vm/vm.h"

#define FILE_MAX (4u << 20)

static char *read_proc(const char *path)
{
	void *text = NULL;
	size_t count;

	return fd_read_file(path, FILE_MAX, &text, &count, NULL) ? NULL : text;
}

static double ticks(unsigned long long count)
{
	return (double)count / (double)sysconf(_SC_CLK_TCK);
}

/* Seconds of processor time and bytes in memory of a process. */
static void add_process(json_t *values, const char *pid)
{
	unsigned long long user, system, pages;
	char path[48];
	AUTO_FREE char *stat = NULL, *statm = NULL;
	const char *fields;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	stat = read_proc(path);
	fields = stat ? strrchr(stat, ')') : NULL;
	if (fields && sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
			     &user, &system) == 2)
		json_object_set_new(values, "cpu-seconds", json_real(ticks(user + system)));
	snprintf(path, sizeof(path), "/proc/%s/statm", pid);
	statm = read_proc(path);
	if (statm && sscanf(statm, "%*u %llu", &pages) == 1)
		json_object_set_new(values, "resident",
				    json_integer((json_int_t)(pages * (unsigned long long)sysconf(
									      _SC_PAGESIZE))));
}

/* ---- the host ---- */

static void add_memory(json_t *values)
{
	static const struct {
		const char *label, *value;
	} rows[] = { { "MemTotal:", "memory" }, { "MemAvailable:", "memory-available" } };
	AUTO_FREE char *text = read_proc("/proc/meminfo");

	for (unsigned i = 0; text && i < ARRAY_SIZE(rows); i++) {
		const char *at = strstr(text, rows[i].label);

		if (at)
			json_object_set_new(
				values, rows[i].value,
				json_integer((
					json_int_t)(strtoull(at + strlen(rows[i].label), NULL, 10) *
						    KIB)));
	}
}

/* Spec: proc_stat(5). */
static void add_processors(json_t *values)
{
	static const char *const modes[] = { "cpu-user",   "cpu-nice", "cpu-system",  "cpu-idle",
					     "cpu-iowait", "cpu-irq",  "cpu-softirq", "cpu-steal" };
	AUTO_FREE char *text = read_proc("/proc/stat"), *load = read_proc("/proc/loadavg");
	char *at = text ? text + strcspn(text, " ") : NULL;

	for (unsigned i = 0; at && i < ARRAY_SIZE(modes); i++)
		json_object_set_new(values, modes[i], json_real(ticks(strtoull(at, &at, 10))));
	if (load)
		json_object_set_new(values, "load", json_real(strtod(load, NULL)));
	json_object_set_new(values, "cpus", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
}

static void add_space(struct node *node, json_t *values)
{
	struct statvfs st;

	if (fstatvfs(node->data_fd, &st))
		return;
	json_object_set_new(values, "data-size",
			    json_integer((json_int_t)(st.f_blocks * st.f_frsize)));
	json_object_set_new(values, "data-available",
			    json_integer((json_int_t)(st.f_bavail * st.f_frsize)));
}

static json_t *sample_node(struct node *node)
{
	json_t *values = json_object();

	add_memory(values);
	add_processors(values);
	add_space(node, values);
	add_process(values, "self");
	return values;
}

/* ---- machines ---- */

struct round {
	struct node *node;
	json_t *vms;
	unsigned running;
	uint64_t memory;
};

/* The numbers among what a device says. */
static json_t *numbers(const json_t *stats)
{
	json_t *values = json_object(), *value;
	const char *name;

	json_object_foreach((json_t *)(uintptr_t)stats, name, value)
	{
		if (json_is_number(value))
			json_object_set(values, name, value);
	}
	return values;
}

static const char *disk_of(const json_t *applied, const char *id)
{
	size_t index;
	json_t *disk;

	json_array_foreach(json_object_get(applied, "disks"), index, disk)
	{
		const char *its = schema_string(disk, "id");

		if (its && !strcmp(its, id))
			return schema_string(disk, "disk");
	}
	return id;
}

static void add_devices(json_t *vm, const json_t *applied, const json_t *stats)
{
	json_t *disks = json_array(), *nics = json_array(), *device;
	const char *id;

	json_object_foreach(json_object_get(stats, "devices"), id, device)
	{
		if (json_object_get(device, "read-bytes"))
			json_array_append_new(disks,
					      json_pack("{s:s, s:o}", "disk", disk_of(applied, id),
							"values", numbers(device)));
		else if (json_object_get(device, "received-frames"))
			json_array_append_new(nics, json_pack("{s:s, s:o}", "nic", id, "values",
							      numbers(device)));
	}
	json_object_set_new(vm, "disks", disks);
	json_object_set_new(vm, "nics", nics);
}

static void add_running(struct round *round, const struct object *object, json_t *vm,
			json_t *values, const json_t *applied)
{
	json_t *status = object_status(round->node, object), *stats = NULL;
	char pid[16];

	snprintf(pid, sizeof(pid), "%llu", (unsigned long long)schema_integer(status, "pid"));
	json_decref(status);
	round->running++;
	round->memory += schema_integer(applied, "memory");
	json_object_set(values, "memory", json_object_get(applied, "memory"));
	add_process(values, pid);
	if (vm_stats(round->node->vms, object->uid, &stats, NULL))
		return;
	add_devices(vm, applied, stats);
	json_decref(stats);
}

/* Of one that does not run only the state is known: there may be thousands. */
static int sample_vm(void *ctx, const struct object *object)
{
	struct round *round = ctx;
	json_t *applied = vm_running_applied(round->node->vms, object->uid);
	json_t *status = object_status(round->node, object);
	const char *state = schema_string(status, "state");
	json_t *vm = json_pack("{s:s, s:s, s:s, s:O*, s:s}", "uid", object->uid, "project",
			       object->project, "name", object->name, "labels",
			       object_labels(object), "state", state ? state : "stopped");

	if (applied && schema_integer(status, "pid")) {
		json_t *values =
			json_pack("{s:I, s:I, s:i}", "vcpus",
				  (json_int_t)schema_integer(object_spec(object), "cpus"),
				  "restarts", (json_int_t)schema_integer(status, "restarts"),
				  "panicked", schema_boolean(status, "panicked"));

		json_object_set_new(vm, "values", values);
		add_running(round, object, vm, values, applied);
	}
	json_array_append_new(round->vms, vm);
	json_decref(applied);
	json_decref(status);
	return 0;
}

json_t *metrics_sample(struct node *node)
{
	struct round round = { .node = node, .vms = json_array() };
	json_t *values = sample_node(node);
	uint64_t now_ms;

	object_each(node, &api_vm, NULL, sample_vm, &round);
	json_object_set_new(values, "vms", json_integer((json_int_t)json_array_size(round.vms)));
	json_object_set_new(values, "vms-running", json_integer(round.running));
	json_object_set_new(values, "vms-memory", json_integer((json_int_t)round.memory));
	now_ms = node_now_ms();
	return json_pack("{s:I, s:f, s:o, s:o}", "time", (json_int_t)(now_ms / 1000), "measured",
			 (double)now_ms / 1000, "node", values, "vms", round.vms);
}
