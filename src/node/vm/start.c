/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's process comes to be, with all that it has of the host. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/macros.h"
#include "host/fd.h"
#include "host/thread.h"
#include "node/node_kind.h"
#include "node/vm/priv.h"

/* What a process takes beside its guest's memory, at the most: devices, translated code, page cache. */
#define OVERHEAD_BYTES (512 * MIB)
#define OVERHEAD_PART  8 /* of the memory, for tables */

#define LOG_BYTES_MAX  (1024 * KIB)
#define LOG_BYTES_KEPT (64 * KIB)

static struct cgroup_limits limits_of(const json_t *spec)
{
	uint64_t memory = schema_integer(spec, "memory");

	return (struct cgroup_limits){
		.cpu_weight = (unsigned)schema_integer(spec, "cpu-shares"),
		.cpu_percent = (unsigned)schema_integer(spec, "cpu-max"),
		.memory_max = memory + memory / OVERHEAD_PART + OVERHEAD_BYTES,
		.memory_reserved = schema_integer(spec, "memory-reserved"),
	};
}

int vm_cgroup_limit(struct vm *vm, const json_t *spec, struct err *err)
{
	const struct cgroup_limits limits = limits_of(spec);

	return cgroup_limit(vm->vms->cgroups, vm->uid, &limits, err);
}

/* The process appends to it; what is long is cut before a new one starts. */
static int open_log(const struct vm *vm, struct problem *problem)
{
	int fd = openat(vm->folder_fd, VM_LOG_FILE,
			O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	AUTO_FREE char *kept = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st)) {
		problem_set(problem, API_CODE_INTERNAL, "cannot open the log of the VM process: %s",
			    strerrordesc_np(errno));
		return fd;
	}
	if (st.st_size <= (off_t)LOG_BYTES_MAX)
		return fd;
	kept = malloc(LOG_BYTES_KEPT);
	n = kept ? pread(fd, kept, LOG_BYTES_KEPT, st.st_size - (off_t)LOG_BYTES_KEPT) : 0;
	if (n > 0 && !ftruncate(fd, 0))
		fd_write_all(fd, kept, (size_t)n);
	return fd;
}

static int config_fd(const json_t *config, struct problem *problem)
{
	AUTO_FREE char *text = json_dumps(config, JSON_COMPACT);
	AUTO_CLOSE int fd = memfd_create("cella-config", MFD_CLOEXEC);

	if (!text || fd < 0 || fd_write_all(fd, text, strlen(text)) || lseek(fd, 0, SEEK_SET))
		return problem_set(problem, API_CODE_INTERNAL, "cannot write the configuration");
	return take_fd(&fd);
}

static int spawn(struct vm *vm, const struct vm_config *config, struct problem *problem)
{
	static const char *const argv[] = { "cella-vmm", "--config-fd", "3", NULL };
	struct cgroup_limits limits = limits_of(json_object_get(config->applied, "spec"));
	AUTO_CLOSE int config_file = config_fd(config->json, problem);
	AUTO_CLOSE int log_fd = open_log(vm, problem);
	int groups[CGROUP_FDS_MAX], pidfd, rc;
	struct err err = ERR_INIT;
	char program[PATH_MAX];
	VEC(int) fds = { 0 };
	struct vm_spawn how;
	struct vm_pid pid;

	snprintf(program, sizeof(program), "%s/cella-vmm", vm->vms->node->config.libexec);
	if (config_file < 0 || log_fd < 0)
		return -EIO;
	if (vec_push(&fds, config_file) || vec_reserve(&fds, config->fds.count)) {
		vec_fini(&fds);
		return problem_set(problem, API_CODE_INTERNAL, "no memory for the machine");
	}
	for (size_t i = 0; i < config->fds.count; i++)
		fds.items[fds.count++] = config->fds.items[i];
	how = (struct vm_spawn){
		.program = program,
		.argv = argv,
		.folder_fd = vm->folder_fd,
		.log_fd = log_fd,
		.fds = fds.items,
		.fd_count = (unsigned)fds.count,
		.cgroup_fds = groups,
	};
	/* A limit that cannot be set is worth a word, and no reason to refuse. */
	if (cgroup_enter(vm->vms->cgroups, vm->uid, &limits, groups, &how.cgroup_count, &err))
		log_warn("machine %s: %s", vm->uid, err.text);
	err = ERR_INIT;
	rc = vm_spawn(&how, &pid, &pidfd, &err);
	if (!rc) {
		LOOP_HOLD_SCOPE(vm->vms->node->loop);
		rc = vm_process_watch(&vm->process, &pid, pidfd, &err);
	}
	while (how.cgroup_count)
		close(groups[--how.cgroup_count]);
	vec_fini(&fds);
	return rc ? problem_set(problem, API_CODE_INTERNAL, "%s", err.text) : 0;
}

void vm_let_go(struct vm *vm, const struct object *object)
{
	vm_detach_nets(vm, object);
	vm_unlink_disks(vm, NULL);
	cgroup_remove(vm->vms->cgroups, vm->uid);
}

/* Those that are started at the same time do not get the same memory. */
static int claim_memory(struct vm *vm, const struct object *object, struct problem *problem)
{
	uint64_t bytes = schema_integer(object_spec(object), "memory");
	LOCK_SCOPE(&vm->vms->claims);
	int rc = node_check_memory(vm->vms->node, bytes, problem);

	if (!rc)
		atomic_store(&vm->claimed, bytes);
	return rc;
}

static int start_claimed(struct vm *vm, const struct object *object, struct problem *problem)
{
	struct vm_config config;
	int rc;

	if (mkdirat(vm->folder_fd, VM_DISKS_FOLDER, 0700) && errno != EEXIST)
		return problem_set(problem, API_CODE_INTERNAL, "cannot make a folder: %s",
				   strerrordesc_np(errno));
	rc = vm_config_make(vm, object, &config, problem);
	if (rc) {
		vm_let_go(vm, object);
		return rc;
	}
	rc = vm_applied_set(vm, json_incref(config.applied));
	if (rc)
		problem_set(problem, rc == -ENOSPC ? API_CODE_NO_SPACE : API_CODE_INTERNAL,
			    "cannot write what the machine runs with: %s", strerrordesc_np(-rc));
	else
		rc = spawn(vm, &config, problem);
	vm_config_fini(&config);
	if (rc)
		vm_let_go(vm, object);
	return rc;
}

int vm_start(struct vm *vm, const struct object *object, struct problem *problem)
{
	int rc = claim_memory(vm, object, problem);

	if (rc)
		return rc;
	rc = start_claimed(vm, object, problem);
	atomic_store(&vm->claimed, 0);
	return rc;
}
