/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stub with two vCPUs of an engine that only holds state, 1 MiB of memory and no paging; included
 * by the one program that uses it. Nothing runs: what a vCPU met is put into `vcpus[n].stop`.
 */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gdb/stub_priv.h"

#define RIG_VCPUS      2
#define RIG_POINTS_MAX 8 /* what its engine can watch */
#define RIG_XSAVE      832

struct rig_vcpu {
	struct vcpu vcpu; /* first */
	struct vcpu_state state;
	struct debug_stop stop;
	bool step;
	unsigned point_count;
	struct debug_point points[RIG_POINTS_MAX];
};

struct rig {
	struct engine engine;
	struct memory *memory;
	struct processors *processors;
	struct gdb_stub stub;
	struct str output;
	unsigned pauses, resumes, resets, quits;
	bool finished;
};

static int rig_vcpu_new(struct vcpu **ret_vcpu, struct engine *engine, unsigned index,
			struct err *err)
{
	struct rig_vcpu *v = calloc(1, sizeof(*v));

	check(v);
	v->vcpu = (struct vcpu){ .ops = engine->ops, .index = index };
	vcpu_state_reset(&v->state, index, 0, RIG_XSAVE);
	*ret_vcpu = &v->vcpu;
	return 0;
}

static void rig_vcpu_free(struct vcpu *vcpu)
{
	free(vcpu);
}

static enum vcpu_exit rig_vcpu_run(struct vcpu *vcpu)
{
	return VCPU_EXIT_ERROR;
}

static void rig_vcpu_kick(struct vcpu *vcpu)
{
}

static int rig_vcpu_get(struct vcpu *vcpu, struct vcpu_state *ret_state, struct err *err)
{
	*ret_state = ((struct rig_vcpu *)vcpu)->state;
	return 0;
}

static int rig_vcpu_set(struct vcpu *vcpu, const struct vcpu_state *state, struct err *err)
{
	if (state->cr8 > 15)
		return -EINVAL;
	((struct rig_vcpu *)vcpu)->state = *state;
	return 0;
}

static int rig_vcpu_debug(struct vcpu *vcpu, const struct vcpu_debug *debug)
{
	struct rig_vcpu *v = (struct rig_vcpu *)vcpu;
	static const struct vcpu_debug nothing = { 0 };

	if (!debug)
		debug = &nothing;
	if (debug->count > RIG_POINTS_MAX)
		return -ENOSPC;
	for (unsigned i = 0; i < debug->count; i++) {
		if (debug->points[i].kind == DEBUG_READ)
			return -ENOTSUP;
	}
	for (unsigned i = 0; i < debug->count; i++)
		v->points[i] = debug->points[i];
	v->step = debug->step;
	v->point_count = debug->count;
	v->stop = (struct debug_stop){ 0 };
	return 0;
}

static struct debug_stop rig_vcpu_debug_stop(struct vcpu *vcpu)
{
	return ((struct rig_vcpu *)vcpu)->stop;
}

static const struct engine_ops rig_engine_ops = {
	.name = "rig",
	.vcpu_new = rig_vcpu_new,
	.vcpu_free = rig_vcpu_free,
	.vcpu_run = rig_vcpu_run,
	.vcpu_kick = rig_vcpu_kick,
	.vcpu_get = rig_vcpu_get,
	.vcpu_set = rig_vcpu_set,
	.vcpu_debug = rig_vcpu_debug,
	.vcpu_debug_stop = rig_vcpu_debug_stop,
};

static int rig_pause(void *ctx, struct err *err)
{
	struct rig *rig = ctx;

	rig->pauses++;
	gdb_stub_paused(&rig->stub);
	return 0;
}

static int rig_resume(void *ctx, struct err *err)
{
	((struct rig *)ctx)->resumes++;
	return 0;
}

static int rig_reset(void *ctx, struct err *err)
{
	((struct rig *)ctx)->resets++;
	return 0;
}

static void rig_quit(void *ctx)
{
	((struct rig *)ctx)->quits++;
}

static void rig_list_devices(void *ctx, struct str *out)
{
	str_add(out, "rtc: rtc\n");
}

static const struct gdb_machine_ops rig_machine_ops = {
	.pause = rig_pause,
	.resume = rig_resume,
	.reset = rig_reset,
	.quit = rig_quit,
	.list_devices = rig_list_devices,
};

static void rig_send(void *ctx, const void *bytes, size_t count)
{
	str_add_bytes(&((struct rig *)ctx)->output, bytes, count);
}

static void rig_finish(void *ctx)
{
	((struct rig *)ctx)->finished = true;
}

static void rig_stopped(void *ctx, unsigned vcpu, enum vcpu_exit reason)
{
}

static inline struct rig_vcpu *rig_vcpu(struct rig *rig, unsigned index)
{
	return (struct rig_vcpu *)processors_vcpu(rig->processors, index);
}

static inline void rig_init(struct rig *rig)
{
	const struct memory_config memory = { .size = 1 << 20 };
	const struct processors_listener listener = { .stopped = rig_stopped };
	const struct gdb_output output = { rig_send, rig_finish, rig };
	struct gdb_machine machine = { .ops = &rig_machine_ops, .ctx = rig };

	*rig = (struct rig){ .engine.ops = &rig_engine_ops };
	check(!memory_new(&rig->memory, &memory, NULL));
	check(!processors_new(&rig->processors, &rig->engine, RIG_VCPUS, listener, NULL));
	machine.memory = rig->memory;
	machine.processors = rig->processors;
	check(!gdb_stub_init(&rig->stub, &machine, &output));
	gdb_stub_connect(&rig->stub);
}

static inline void rig_fini(struct rig *rig)
{
	gdb_stub_fini(&rig->stub);
	processors_free(rig->processors);
	memory_free(rig->memory);
	str_fini(&rig->output);
}
