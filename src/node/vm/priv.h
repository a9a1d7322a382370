/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the vm kind share.
 *
 * A `struct vm` is what the daemon has in memory of a machine: while its process lives, while it is
 * reconciled, while somebody looks at its console. All of it is found again in RUN/<uid>/:
 *
 *	pid, control, end, vmm.log	the VM process (see vm_process.h)
 *	console.log			what its serial port said (see vm_log.h)
 *	applied.json			what its process runs with (see vm_live.c)
 *	seed.img			what its cloud-init reads
 *	disks/				links to the disks that were attached while it ran
 *
 * `process` and the console's attachment belong to the loop's thread, or who holds the loop; the rest is
 * for reconcile, which runs once at a time for a machine, but what is atomic.
 */
#pragma once

#include <stdatomic.h>

#include "node/vm/cgroup.h"
#include "node/object/kind_ops.h"
#include "node/vm/vm.h"
#include "node/vm/console.h"
#include "node/vm/process.h"

#define VM_APPLIED_FILE "applied.json"
#define VM_SEED_FILE    "seed.img"
#define VM_DISKS_FOLDER "disks"

#define VM_CALL_MS 5000 /* for what a VM process does at once */

struct vms {
	struct node *node;
	struct cgroups *cgroups;
	char boot[BOOT_ID_SIZE];
	struct vm_boot *boots; /* machines that start with the host; NULL: all did */
	pthread_mutex_t lock;
	struct list list;       /* guarded by lock: struct vm */
	pthread_mutex_t claims; /* of memory: one after another. Taken before `lock` */
};

struct vm {
	struct list node;
	struct vms *vms;
	unsigned users; /* guarded by vms->lock */
	char uid[UID_SIZE];
	int folder_fd;
	struct vm_process process;
	struct vm_console *console;
	bool kept; /* one of the users is reconcile, between its calls */

	json_t *applied; /* guarded by vms->lock: {"spec", "disks", "memory"}; NULL: not loaded */
	uint64_t not_before_ns; /* of the next start */
	unsigned failures;      /* one after another */
	uint64_t window_ns;     /* when the hour began in which … */
	unsigned in_window;     /* … it was restarted so often */
	unsigned restarts;

	uint64_t stop_since_ns; /* 0: it is not asked to stop */
	uint64_t pressed_ns;    /* when the power button was */
	bool quit_sent;

	/* Of operations in progress. */
	atomic_uint starters;     /* who waits for it to run: the first failure is told */
	atomic_bool force;        /* stop it without asking the guest */
	atomic_uint stop_seconds; /* instead of spec.stop-timeout; 0: that */

	_Atomic uint64_t claimed;   /* bytes that it starts with, until its process is there */
	_Atomic uint64_t rested_at; /* the object's revision at which reconcile found it at rest */
};

/* What the process is now. */
struct vm_view {
	enum vm_phase phase;
	char state[16], engine[16];
	bool panicked;
	uint64_t started_ms;
	pid_t pid;
	struct vm_end end;
};

/* ---- vm.c ---- */

/* The machine's entry, with its folder, which is made; vms_put() is due. */
int vms_get(struct vms *vms, const char *uid, struct vm **ret_vm, struct err *err);
/* NULL: it is not in memory, so it does not run. */
struct vm *vms_find(struct vms *vms, const char *uid);
void vms_put(struct vm *vm);
void vm_see(struct vm *vm, struct vm_view *ret_view);
/* One run of it: "PID:START". */
void vm_run_name(const struct vm *vm, char ret_name[VM_LOG_SOURCE_MAX]);

/* Wants it to run, or not; does nothing if that is so. `who` NULL: the server. */
int vm_want(struct node *node, const char *uid, bool running, const struct identity *who,
	    struct problem *problem);

/* What every machine has to be before it is stored, new ones and changed ones. */
int vm_check(struct change *change, struct object *object, struct problem *problem);

/* ---- start.c ---- */

/* Starts the process. After a failure nothing of it is left. */
int vm_start(struct vm *vm, const struct object *object, struct problem *problem);
/* Control group, networks and disks' names of a process that is gone. */
void vm_let_go(struct vm *vm, const struct object *object);
int vm_cgroup_limit(struct vm *vm, const json_t *spec, struct err *err);

/* ---- config.c ---- */

struct vm_config {
	json_t *json;    /* for cella-vmm; descriptors count from 4 */
	json_t *applied; /* for VM_APPLIED_FILE */
	VEC(int) fds;    /* owned */
};

int vm_config_make(struct vm *vm, const struct object *object, struct vm_config *ret_config,
		   struct problem *problem);
void vm_config_fini(struct vm_config *config);
/* The row of a disk as the VM process gets it, with id and limits; new reference. */
int vm_config_disk(struct vm *vm, const struct object *object, const json_t *item, json_t **ret_row,
		   json_t **ret_applied, struct problem *problem);
/* ---- live.c ---- */

/* What it runs with, which is replaced and never changed; new reference, NULL: nothing is known. */
json_t *vm_applied(struct vm *vm);
/* Replaces it, also in its file; takes the reference. */
int vm_applied_set(struct vm *vm, json_t *applied);
/* Changes of a running machine that it takes; `ret_pending`: the fields that wait for a start. */
int vm_live_change(struct vm *vm, const struct object *object, json_t **ret_pending,
		   struct problem *problem);

/* The object of the list whose member is that text; NULL: there is none. */
const json_t *vm_find_by(const json_t *list, const char *member, const char *text);

/* ---- live_nets.c ---- */

/* Brings the machine's network cards closer to the spec; `applied` is changed with what was done.
 * `ret_pending`: there is more to do, now or at the next start. */
int vm_live_nets(struct vm *vm, const struct object *object, json_t *applied, bool *ret_pending,
		 struct problem *problem);
/* The same for what security groups say of those on networks of the type user; what is applied is
 * replaced if that changed. */
int vm_live_rules(struct vm *vm, const struct object *object, struct problem *problem);
/* Nothing of the host belongs to the machine's cards any more. */
void vm_detach_nets(struct vm *vm, const struct object *object);

/* Names in the machine's folder of disks that were attached go: of that id, NULL: all. */
void vm_unlink_disks(struct vm *vm, const char *id);

/* ---- status.c ---- */

/* Writes the status as the view says, `state` NULL: what it was. */
void vm_write_status(struct vm *vm, const struct object *object, const struct vm_view *view,
		     const char *state, json_t *pending);

/* ---- reconcile.c ---- */

int vm_reconcile(struct node *node, const struct object *object, struct problem *problem);

/* ---- boot.c ---- */

/* The first start of the daemon since the host's: machines of autostart begin in their order. */
int vm_boot_begin(struct vms *vms, struct err *err);
void vm_boot_end(struct vms *vms);

/* ---- actions.c, clone.c, show.c ---- */

extern const struct action_ops vm_actions[];
int vm_run_clone(struct operation *operation, struct problem *problem);
int vm_logs(struct call *call, struct problem *problem);
int vm_show_console(struct call *call, struct problem *problem);
int vm_show_log(struct call *call, struct problem *problem);
