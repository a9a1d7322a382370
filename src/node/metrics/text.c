/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics as Prometheus reads them. Spec: Prometheus exposition format 0.0.4. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/macros.h"
#include "base/str.h"
#include "node/access/access.h"
#include "node/metrics/priv.h"
#include "node/route/route.h"

enum scope { OF_NODE, OF_VM, OF_DISK, OF_NIC };

static const struct metric {
	const char *name, *type, *help;
	enum scope scope;
	const char *value;  /* in the sample */
	const char *labels; /* further ones, "mode=\"user\""; NULL: none */
} metrics[] = {
	{ "cella_node_cpus", "gauge", "Processors of the host.", OF_NODE, "cpus" },
	{ "cella_node_cpu_seconds_total", "counter", "Time that the host's processors spent.",
	  OF_NODE, "cpu-user", "mode=\"user\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-nice", "mode=\"nice\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-system", "mode=\"system\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-idle", "mode=\"idle\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-iowait", "mode=\"iowait\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-irq", "mode=\"irq\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-softirq", "mode=\"softirq\"" },
	{ "cella_node_cpu_seconds_total", NULL, NULL, OF_NODE, "cpu-steal", "mode=\"steal\"" },
	{ "cella_node_load1", "gauge", "Load of the host, over a minute.", OF_NODE, "load" },
	{ "cella_node_memory_bytes", "gauge", "Memory of the host.", OF_NODE, "memory" },
	{ "cella_node_memory_available_bytes", "gauge", "Memory of the host that is free.", OF_NODE,
	  "memory-available" },
	{ "cella_node_data_size_bytes", "gauge", "Size of the file system with the data folder.",
	  OF_NODE, "data-size" },
	{ "cella_node_data_available_bytes", "gauge", "Free space of that file system.", OF_NODE,
	  "data-available" },
	{ "cella_node_vms", "gauge", "Machines.", OF_NODE, "vms" },
	{ "cella_node_vms_running", "gauge", "Machines that run.", OF_NODE, "vms-running" },
	{ "cella_node_vms_memory_bytes", "gauge", "Memory that running machines were given.",
	  OF_NODE, "vms-memory" },
	{ "process_cpu_seconds_total", "counter", "Processor time of the daemon.", OF_NODE,
	  "cpu-seconds" },
	{ "process_resident_memory_bytes", "gauge", "Memory of the daemon.", OF_NODE, "resident" },

	{ "cella_vm_vcpus", "gauge", "Processors of the machine.", OF_VM, "vcpus" },
	{ "cella_vm_memory_bytes", "gauge", "Memory that the running machine was given.", OF_VM,
	  "memory" },
	{ "cella_vm_resident_memory_bytes", "gauge", "Memory of the host that its process takes.",
	  OF_VM, "resident" },
	{ "cella_vm_cpu_seconds_total", "counter", "Processor time of its process.", OF_VM,
	  "cpu-seconds" },
	{ "cella_vm_restarts", "gauge", "Restarts by policy since somebody started it.", OF_VM,
	  "restarts" },
	{ "cella_vm_panicked", "gauge", "The guest's kernel has reported a panic.", OF_VM,
	  "panicked" },

	{ "cella_disk_read_requests_total", "counter", "Reads of the guest.", OF_DISK, "reads" },
	{ "cella_disk_write_requests_total", "counter", "Writes of the guest.", OF_DISK, "writes" },
	{ "cella_disk_flush_requests_total", "counter", "Flushes of the guest.", OF_DISK,
	  "flushes" },
	{ "cella_disk_read_bytes_total", "counter", "Bytes that the guest read.", OF_DISK,
	  "read-bytes" },
	{ "cella_disk_written_bytes_total", "counter", "Bytes that the guest wrote.", OF_DISK,
	  "written-bytes" },
	{ "cella_disk_errors_total", "counter", "Requests that failed.", OF_DISK, "errors" },

	{ "cella_nic_received_bytes_total", "counter", "Bytes to the guest.", OF_NIC,
	  "received-bytes" },
	{ "cella_nic_sent_bytes_total", "counter", "Bytes from the guest.", OF_NIC, "sent-bytes" },
	{ "cella_nic_received_frames_total", "counter", "Frames to the guest.", OF_NIC,
	  "received-frames" },
	{ "cella_nic_sent_frames_total", "counter", "Frames from the guest.", OF_NIC,
	  "sent-frames" },
	{ "cella_nic_dropped_frames_total", "counter", "Frames to the guest that were dropped.",
	  OF_NIC, "dropped-frames" },
};

/* Spec: label values escape backslash, quote and line feed. */
static void add_label(struct str *labels, const char *name, const char *value)
{
	str_printf(labels, "%s%s=\"", labels->length ? "," : "", name);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			str_add(labels, "\\");
		if (*value == '\n')
			str_add(labels, "\\n");
		else
			str_add_bytes(labels, value, 1);
	}
	str_add(labels, "\"");
}

static void add_value(struct str *out, const char *name, const char *labels, const char *more,
		      const json_t *value)
{
	bool both = labels && *labels && more;

	if (!json_is_number(value))
		return;
	str_add(out, name);
	if ((labels && *labels) || more)
		str_printf(out, "{%s%s%s}", labels ? labels : "", both ? "," : "",
			   more ? more : "");
	if (json_is_integer(value))
		str_printf(out, " %lld\n", (long long)json_integer_value(value));
	else
		str_printf(out, " %.6g\n", json_real_value(value));
}

static void add_help(struct str *out, const char *name, const char *type, const char *help)
{
	str_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static char *vm_labels(const json_t *vm)
{
	struct str labels = { 0 };

	add_label(&labels, "project", schema_string(vm, "project"));
	add_label(&labels, "vm", schema_string(vm, "name"));
	return str_take(&labels);
}

/* A metric of the parts of a machine: "disk", "nic". */
static void add_parts(struct str *out, const struct metric *metric, const json_t *parts,
		      const char *kind, const char *labels)
{
	size_t index;
	json_t *part;

	json_array_foreach((json_t *)(uintptr_t)parts, index, part)
	{
		struct str all = { 0 };

		str_add(&all, labels);
		add_label(&all, kind, schema_string(part, kind));
		add_value(out, metric->name, all.text, NULL,
			  json_object_get(json_object_get(part, "values"), metric->value));
		str_fini(&all);
	}
}

static void add_of_vm(struct str *out, const struct metric *metric, const json_t *vm)
{
	const char *part = metric->scope == OF_VM     ? "values"
			   : metric->scope == OF_DISK ? "disks"
						      : "nics";
	char *labels;

	/* Of thousands that do not run there is nothing to tell. */
	if (!json_object_get(vm, part))
		return;
	labels = vm_labels(vm);
	if (!labels) {
		out->failed = true;
		return;
	}
	if (metric->scope == OF_VM)
		add_value(out, metric->name, labels, NULL,
			  json_object_get(json_object_get(vm, "values"), metric->value));
	else if (metric->scope == OF_DISK)
		add_parts(out, metric, json_object_get(vm, "disks"), "disk", labels);
	else
		add_parts(out, metric, json_object_get(vm, "nics"), "nic", labels);
	free(labels);
}

/* Each machine has the value 1 for the state that it is in. */
static void add_states(struct str *out, const json_t *vms)
{
	size_t index;
	json_t *vm;

	add_help(out, "cella_vm_state", "gauge",
		 "The state that the machine is in has the value 1.");
	json_array_foreach((json_t *)(uintptr_t)vms, index, vm)
	{
		char *labels = vm_labels(vm);
		struct str state = { 0 };

		add_label(&state, "state", schema_string(vm, "state"));
		str_printf(out, "cella_vm_state{%s,%s} 1\n", labels ? labels : "",
			   state.text ? state.text : "");
		str_fini(&state);
		free(labels);
	}
}

/* The machines that may be read; new reference. */
static json_t *allowed(const json_t *vms, const struct identity *who)
{
	json_t *some = json_array(), *vm;
	size_t index;

	json_array_foreach((json_t *)(uintptr_t)vms, index, vm)
	{
		if (!who || access_allows(who, API_READ, &api_vm, schema_string(vm, "project"),
					  json_object_get(vm, "labels")))
			json_array_append(some, vm);
	}
	return some;
}

static void add_metric(struct str *out, const struct metric *metric, const json_t *node,
		       const json_t *vms)
{
	size_t index;
	json_t *vm;

	if (metric->scope == OF_NODE && !node)
		return;
	if (metric->type)
		add_help(out, metric->name, metric->type, metric->help);
	if (metric->scope == OF_NODE) {
		add_value(out, metric->name, NULL, metric->labels,
			  json_object_get(node, metric->value));
		return;
	}
	json_array_foreach((json_t *)(uintptr_t)vms, index, vm) add_of_vm(out, metric, vm);
}

char *metrics_text(struct node *node, const struct identity *who)
{
	json_t *sample = metrics_latest(node);
	json_t *vms = allowed(json_object_get(sample, "vms"), who);
	const json_t *host = !who || access_allows(who, API_READ, &api_node, "", NULL)
				     ? json_object_get(sample, "node")
				     : NULL;
	struct str out = { 0 };

	add_help(&out, "cella_build_info", "gauge", "The version of the daemon.");
	str_add(&out, "cella_build_info{version=\"" CELLA_VERSION "\"} 1\n");
	add_help(&out, "cella_sample_timestamp_seconds", "gauge",
		 "When the daemon has measured what is told here.");
	if (sample)
		str_printf(&out, "cella_sample_timestamp_seconds %.3f\n",
			   json_real_value(json_object_get(sample, "measured")));
	for (unsigned i = 0; i < ARRAY_SIZE(metrics); i++)
		add_metric(&out, &metrics[i], host, vms);
	add_states(&out, vms);
	json_decref(vms);
	json_decref(sample);
	return str_take(&out);
}

static int show(struct asked *asked, struct problem *problem)
{
	struct web_response response = { .status = 200,
					 .type = "text/plain; version=0.0.4; charset=utf-8" };

	response.body = metrics_text(asked->node, &asked->who);
	if (!response.body)
		return problem_set(problem, API_CODE_UNAVAILABLE, "out of memory");
	response.bytes = strlen(response.body);
	web_answer(asked->web->exchange, &response);
	return 0;
}

static const struct route_method methods[] = { { WEB_GET, show, NULL }, { 0 } };

const struct route_fixed route_metrics[] = { { .path = "/metrics", .methods = methods }, { 0 } };
