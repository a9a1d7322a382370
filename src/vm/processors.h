/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's processors: one thread a vCPU, started, paused and resumed together.
 */
#pragma once

#include "base/err.h"
#include "vm/engine.h"

struct processors;

/* Called on a vCPU's thread. */
struct processors_listener {
	/* Required. vcpu_run() came back for another reason than a kick; the thread then parks as
	 * if paused. */
	void (*stopped)(void *ctx, unsigned vcpu, enum vcpu_exit reason);
	/* Optional. Once, before the vCPU first runs: the place to give up rights of the thread. */
	void (*starting)(void *ctx, unsigned vcpu);
	void *ctx;
};

/* Creates `count` vCPUs and their threads, all paused. `engine` is borrowed; the listener is
 * copied. */
int processors_new(struct processors **ret, struct engine *engine, unsigned count,
		   struct processors_listener listener, struct err *err);

/* Ends all threads, for good; returns when they have ended, however long that takes. Not on a vCPU
 * thread. */
void processors_stop(struct processors *all);

/* Stops them if that was not done, and frees the vCPUs. Accepts NULL. Not on a vCPU thread. */
void processors_free(struct processors *all);

/* Lets all vCPUs run. Loop thread. */
void processors_resume(struct processors *all);

/* Returns when no vCPU runs any more; their state may be read and set until resume. Loop thread. */
void processors_pause(struct processors *all);

/* Whether this vCPU has not yet done what a pause or stop in progress asks. Any thread. */
bool processors_awaited(struct processors *all, unsigned index);

/* Keeps a vCPU from running when the others resume, or lets it run with them. Only while paused. */
void processors_hold(struct processors *all, unsigned index, bool hold);

unsigned processors_count(const struct processors *all);
struct vcpu *processors_vcpu(struct processors *all, unsigned index);

/* Kernel thread ids, for pinning and statistics. */
int processors_tid(const struct processors *all, unsigned index);
