/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VM process of one machine: started, or found again in the machine's folder, and watched until it
 * ends. It does not notice whether the daemon is there.
 *
 * The folder has `pid` (see vm_spawn.h), `control` (its socket), `end` (what it says at its end), `asked`
 * (if it was told to end) and `vmm.log`. While one of `pid` and `end` is there, an end has not been dealt with.
 *
 * Functions are for the loop's thread, or who holds the loop.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/control.h"
#include "host/loop.h"
#include "node/vm/spawn.h"

#define VM_END_FILE   "end"
#define VM_LOG_FILE   "vmm.log"
#define VM_ASKED_FILE "asked"

enum vm_phase {
	VM_ABSENT,
	VM_BEGINS, /* it is there, and does not answer yet */
	VM_LIVES,  /* the machine's state is known */
	VM_ENDED,  /* it is gone, and `end` says how */
};

#define VM_WORDS_MAX 1024

struct vm_end {
	/* Of the event "ended"; "signal", "exit", "host-restart"; "interrupted": with the daemon, as it
	 * was started; "lost": it is gone without a word. */
	char reason[32];
	int status;               /* exit status; -1: not known */
	int signal;               /* that ended it; 0: none that is known */
	bool asked;               /* vm_process_asked() came before */
	char words[VM_WORDS_MAX]; /* the end of its log */
};

struct vm_process;

struct vm_process_ops {
	/* The phase or the machine's state is another one. */
	void (*changed)(void *ctx);
	/* What the VM process tells beside that. */
	void (*event)(void *ctx, enum control_event event, const json_t *params);
};

struct vm_process {
	struct loop *loop;
	const struct vm_process_ops *ops;
	void *ctx;
	int folder_fd; /* borrowed */
	char uuid[37];

	enum vm_phase phase;
	char state[16];      /* the machine's, while it lives: "running", "paused" … */
	char engine[16];     /* while it lives */
	bool panicked;       /* its guest said so */
	uint64_t started_ms; /* unix time */
	struct vm_pid pid;
	struct vm_end end;

	struct loop_fd source; /* the pidfd */
	struct vmm_link *link; /* NULL: not connected */
	struct loop_timer retry;
	uint64_t retry_ns;
};

/* Watches nothing yet. */
void vm_process_init(struct vm_process *process, const char *uuid, int folder_fd, struct loop *loop,
		     const struct vm_process_ops *ops, void *ctx);
/* The VM process goes on. */
void vm_process_fini(struct vm_process *process);

/* Looks into the folder: the phase is what is found there. `boot` is vm_boot_id(). */
int vm_process_find(struct vm_process *process, const char *boot, struct err *err);

/* It was started just now; takes the descriptor. */
int vm_process_watch(struct vm_process *process, const struct vm_pid *pid, int pidfd,
		     struct err *err);

/* It is going to be told to end; also a later daemon shall know. */
void vm_process_asked(struct vm_process *process);

void vm_process_kill(struct vm_process *process, int signal);

/* After VM_ENDED: what it left in the folder goes, except its log. */
void vm_process_clear(struct vm_process *process);

/* The latest bytes of a console that `end` has: caller frees; NULL: it has none. */
uint8_t *vm_end_console(int folder_fd, const char *console, uint64_t *ret_from, size_t *ret_count);
