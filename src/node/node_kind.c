/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kind node: this host, what it is and what it has. */
#include "node/node_kind.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/str.h"
#include "host/fd.h"
#include "node/object/kind_ops.h"
#include "node/metrics/metrics.h"
#include "node/vm/vm.h"

#define LOOK_MS  30000
#define FILE_MAX (4u << 20)
#define NUMA_MAX 64
#define ROUND_BYTES                                                                                \
	(64 * MIB) /* of what changes all the time: not every change is worth an event */
#define PROBE_BYTES 65536

void node_own_name(char ret_name[API_NAME_MAX + 1])
{
	char name[API_NAME_MAX + 1] = "";

	if (gethostname(name, API_NAME_MAX))
		name[0] = '\0';
	for (char *at = name; *at; at++) {
		*at = (char)tolower((unsigned char)*at);
		if (!isalnum((unsigned char)*at) && *at != '.')
			*at = '-';
	}
	if (api_check_name(name, NULL))
		snprintf(name, sizeof(name), "node");
	memcpy(ret_name, name, sizeof(name));
}

/* ---- facts ---- */

/* The number behind `label` at the start of a line of the file, in the file's unit. 0: none. */
static uint64_t number_in(const char *path, const char *label)
{
	AUTO_FREE void *text = NULL;
	const char *at;
	size_t count;

	if (fd_read_file(path, FILE_MAX, &text, &count, NULL))
		return 0;
	at = strstr(text, label);
	return at ? strtoull(at + strlen(label) + strspn(at + strlen(label), " :\t"), NULL, 10) : 0;
}

/* The words behind `label` and a separator, up to the end of the line, without quotes. */
static json_t *words_in(const char *path, const char *label, const char *separators)
{
	AUTO_FREE void *text = NULL;
	size_t count;
	char *at;

	if (fd_read_file(path, FILE_MAX, &text, &count, NULL))
		return json_null();
	at = strstr(text, label);
	if (!at)
		return json_null();
	at += strlen(label);
	at += strspn(at, separators);
	return json_stringn(at, strcspn(at, "\"\n"));
}

static uint64_t host_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static json_t *numa(void)
{
	json_t *nodes = json_array();

	for (unsigned i = 0; i < NUMA_MAX; i++) {
		char path[64], label[32];
		json_t *cpus;

		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", i);
		if (access(path, R_OK))
			continue;
		cpus = words_in(path, "", "");
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", i);
		snprintf(label, sizeof(label), "MemTotal:");
		json_array_append_new(nodes, json_pack("{s:o, s:I}", "cpus", cpus, "memory",
						       (json_int_t)(number_in(path, label) * KIB)));
	}
	return nodes;
}

/* ---- which engine "auto" is: cella-vmm says ---- */

_Noreturn static void become_probe(const char *program, int config, int out)
{
	static const char *const argv[] = { "cella-vmm", "--config-fd", "3", "--dry-run", NULL };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(out, STDOUT_FILENO) >= 0 && dup2(config, 3) >= 0)
		execv(program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static char *read_probe(const char *program, int config)
{
	char *text = calloc(1, PROBE_BYTES);
	size_t count = 0;
	int out[2];
	ssize_t n;
	pid_t pid;

	if (!text || pipe2(out, O_CLOEXEC))
		return text;
	pid = fork();
	if (!pid)
		become_probe(program, config, out[1]);
	close(out[1]);
	while (pid > 0 && count + 1 < PROBE_BYTES &&
	       (n = read(out[0], text + count, PROBE_BYTES - 1 - count)) > 0)
		count += (size_t)n;
	close(out[0]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return text;
}

static void add_engine(struct node *node, json_t *patch)
{
	AUTO_CLOSE int config = memfd_create("cella-config", MFD_CLOEXEC);
	AUTO_FREE char *text = NULL;
	json_t *shown, *engine;
	char program[PATH_MAX];

	snprintf(program, sizeof(program), "%s/cella-vmm", node->config.libexec);
	if (config < 0 || fd_write_all(config, "{}", 2) || lseek(config, 0, SEEK_SET))
		return;
	text = read_probe(program, config);
	shown = text ? json_loads(text, 0, NULL) : NULL;
	engine = json_object_get(shown, "engine");
	if (schema_string(engine, "name")) {
		json_object_set(patch, "engine", json_object_get(engine, "name"));
		json_object_set(patch, "engine-reason", json_object_get(engine, "reason"));
	} else {
		log_warn("'%s' does not say which engine it would use", program);
	}
	json_decref(shown);
}

/* ---- machines ---- */

static int add_one(void *ctx, const struct object *object)
{
	unsigned *count = ctx;

	(void)object;
	++*count;
	return 0;
}

/* What the host's policy gives to machines. */
static uint64_t memory_limit(const json_t *spec)
{
	uint64_t memory = host_memory(), reserved = schema_integer(spec, "memory-reserved");

	return memory > reserved
		       ? (memory - reserved) / 100 * schema_integer(spec, "memory-overcommit")
		       : 0;
}

int node_check_memory(struct node *node, uint64_t bytes, struct problem *problem)
{
	char name[API_NAME_MAX + 1];
	struct object object;
	struct vms_load load;
	uint64_t limit;
	int rc;

	node_own_name(name);
	rc = object_get(node, &api_node, "", name, &object, problem);
	if (rc)
		return rc;
	limit = memory_limit(object_spec(&object));
	object_fini(&object);
	load = vms_load(node->vms);
	if (bytes <= limit && load.memory <= limit - bytes)
		return 0;
	problem_set(
		problem, API_CODE_CONFLICT,
		"the host has no memory for it: %llu MiB of %llu MiB are taken, %llu MiB needed",
		(unsigned long long)(load.memory / MIB), (unsigned long long)(limit / MIB),
		(unsigned long long)(bytes / MIB));
	problem_hint(problem, "stop other machines, or change the node's memory-overcommit");
	return -ENOMEM;
}

/* ---- the kind ---- */

static json_t *warnings(struct node *node, const struct vms_load *load, const json_t *spec)
{
	json_t *all = json_array();

	if (!strcmp(vms_cgroups(node->vms), "none"))
		json_array_append_new(all, json_string("no control groups: shares and limits of "
						       "machines do not hold"));
	if (load->memory > memory_limit(spec))
		json_array_append_new(all, json_string("running machines have more memory than "
						       "the policy gives them"));
	return all;
}

static json_t *facts(void)
{
	struct utsname name;

	uname(&name);
	return json_pack("{s:s, s:s, s:o, s:o, s:i, s:I, s:o}", "version", CELLA_VERSION, "kernel",
			 name.release, "os", words_in("/etc/os-release", "PRETTY_NAME", "=\""),
			 "cpu-model", words_in("/proc/cpuinfo", "model name", " :\t"), "cpus",
			 (int)sysconf(_SC_NPROCESSORS_ONLN), "memory", (json_int_t)host_memory(),
			 "numa", numa());
}

static int reconcile(struct node *node, const struct object *object, struct problem *problem)
{
	json_t *status = object_status(node, object), *patch = facts();
	uint64_t available = number_in("/proc/meminfo", "MemAvailable") * KIB;
	struct vms_load load = vms_load(node->vms);
	unsigned all = 0;

	(void)problem;
	object_each(node, &api_vm, NULL, add_one, &all);
	json_object_set_new(patch, "memory-available",
			    json_integer((json_int_t)(available / ROUND_BYTES * ROUND_BYTES)));
	json_object_set_new(patch, "memory-used", json_integer((json_int_t)load.memory));
	json_object_set_new(patch, "vms", json_integer(all));
	json_object_set_new(patch, "vms-running", json_integer(load.running));
	json_object_set_new(patch, "cgroups", json_string(vms_cgroups(node->vms)));
	json_object_set_new(patch, "warnings", warnings(node, &load, object_spec(object)));
	if (!schema_string(status, "engine"))
		add_engine(node, patch);
	json_decref(status);
	object_patch_status(node, object, patch);
	return LOOK_MS;
}

/* The host may have another kernel, or rights, than when the daemon ran the last time. */
static int forget_engine(struct node *node, const struct object *object)
{
	char now[TIME_SIZE];

	node_time_text(node_now_ms(), now);
	return object_patch_status(
		node, object,
		json_pack("{s:n, s:n, s:s}", "engine", "engine-reason", "started", now));
}

static int start(struct node *node, struct err *err)
{
	struct problem problem = PROBLEM_INIT;
	struct object object = { .kind = &api_node };
	struct change change;
	int rc;

	node_own_name(object.name);
	rc = object_get(node, &api_node, "", object.name, &object, &problem);
	if (rc == -ENOENT) {
		problem = PROBLEM_INIT;
		rc = object_create(node, &object, json_object(), &change, &problem);
		if (!rc)
			rc = change_commit(&change, &problem);
		change_fini(&change);
	}
	if (!rc)
		rc = forget_engine(node, &object);
	object_fini(&object);
	if (rc)
		return err_set(err, rc, "cannot store the node: %s", problem.err.text);
	return metrics_open(node, err);
}

/* What is not given stays as it is. */
static int configure(struct call *call, struct problem *problem)
{
	json_t *spec = json_object_get(call->object->document, "spec");
	struct change change;
	int rc;

	json_object_update(spec, (json_t *)(uintptr_t)call->params);
	change_begin(&change, call->node, call->who);
	rc = change_put(&change, call->object, problem);
	if (!rc)
		rc = change_commit(&change, problem);
	change_fini(&change);
	if (!rc)
		call->result = json_incref(spec);
	return rc;
}

static const struct action_ops actions[] = {
	{ "configure", .answer = configure },
	{ 0 },
};

static const struct resource_ops resources[] = {
	{ "metrics", WEB_GET, API_READ, metrics_queries, .answer = metrics_show_node },
	{ 0 },
};

const struct kind_ops node_ops = {
	.kind = &api_node,
	.start = start,
	.stop = metrics_close,
	.reconcile = reconcile,
	.actions = actions,
	.resources = resources,
};
