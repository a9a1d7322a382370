/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running and stopping. All vCPUs stop together ("all-stop"), one is told as the reason. Of others
 * that met something at the same time, a breakpoint is met again when its vCPU resumes; a
 * watchpoint is kept and told before anything runs.
 */
#include <errno.h>

#include "gdb/stub_priv.h"

#define SIGNAL_INT  2
#define SIGNAL_TRAP 5

/* "T05…thread:ID;" */
static void tell_stop(struct gdb_stub *stub, unsigned vcpu, unsigned signal,
		      const struct debug_stop *stop)
{
	static const char *const watches[] = { [2] = "watch", [3] = "rwatch", [4] = "awatch" };
	int type = stop && stop->kind == DEBUG_POINT ? gdb_point_type(stub, &stop->point) : -1;

	stub->general = stub->last_stopped = vcpu;
	str_printf(&stub->reply, "T%02x", signal);
	if (type >= 2)
		str_printf(&stub->reply, "%s:%llx;", watches[type],
			   (unsigned long long)stop->point.linear);
	else if (type == 0 && stub->tells_swbreak)
		str_add(&stub->reply, "swbreak:;");
	else if (type == 1 && stub->tells_hwbreak)
		str_add(&stub->reply, "hwbreak:;");
	str_printf(&stub->reply, "thread:%x;", vcpu + 1);
}

/* The vCPU to tell next of those that stopped: a point before a step, and in turn. */
static bool choose(struct gdb_stub *stub, unsigned *ret_vcpu, struct debug_stop *ret_stop)
{
	bool found = false;

	for (unsigned n = 1; n <= gdb_vcpus(stub); n++) {
		unsigned i = (stub->last_stopped + n) % gdb_vcpus(stub);
		struct vcpu *vcpu = gdb_vcpu(stub, i);
		struct debug_stop stop = vcpu->ops->vcpu_debug_stop
						 ? vcpu->ops->vcpu_debug_stop(vcpu)
						 : (struct debug_stop){ 0 };

		if (stop.kind == DEBUG_NO_STOP || (found && stop.kind == DEBUG_STEPPED))
			continue;
		if (found && ret_stop->kind == DEBUG_POINT) {
			if (stop.point.kind != DEBUG_EXECUTE)
				stub->threads[i].unreported = stop;
			continue;
		}
		*ret_vcpu = i;
		*ret_stop = stop;
		found = true;
	}
	return found;
}

static int run(struct gdb_stub *stub)
{
	int rc = gdb_points_apply(stub, true);

	if (rc)
		return rc;
	for (unsigned i = 0; i < gdb_vcpus(stub); i++)
		processors_hold(stub->machine.processors, i, stub->threads[i].action == GDB_HOLD);
	stub->running = true;
	rc = stub->machine.ops->resume(stub->machine.ctx, NULL);
	if (rc)
		stub->running = false;
	return rc;
}

/* Whether a step ended within the range that it shall leave. */
static bool steps_on(struct gdb_stub *stub, unsigned vcpu, const struct debug_stop *stop)
{
	const struct gdb_thread *thread = &stub->threads[vcpu];
	const struct vcpu_state *state;

	if (stop->kind != DEBUG_STEPPED || thread->action != GDB_STEP_RANGE)
		return false;
	state = gdb_state(stub, vcpu);
	return state && state->rip >= thread->from && state->rip < thread->to;
}

void gdb_stub_paused(struct gdb_stub *stub)
{
	struct debug_stop stop = { 0 };
	unsigned vcpu = stub->last_stopped;

	if (!stub->connected || !stub->running)
		return;
	stub->running = false;
	stub->state_known = false;
	if (!choose(stub, &vcpu, &stop))
		tell_stop(stub, vcpu, SIGNAL_INT, NULL);
	else if (steps_on(stub, vcpu, &stop) && !run(stub))
		return;
	else
		tell_stop(stub, vcpu, SIGNAL_TRAP, &stop);
	gdb_stub_send(stub);
}

void gdb_stub_ended(struct gdb_stub *stub, int status)
{
	if (!stub->connected)
		return;
	if (stub->running) {
		str_printf(&stub->reply, "W%02x", (unsigned)status & 0xff);
		gdb_stub_send(stub);
	}
	stub->connected = false;
	stub->output.finish(stub->output.ctx);
}

void gdb_interrupt(struct gdb_stub *stub)
{
	/* gdb_stub_paused() tells. */
	if (stub->running)
		stub->machine.ops->pause(stub->machine.ctx, NULL);
}

int gdb_why(struct gdb_stub *stub, struct gdb_text text)
{
	tell_stop(stub, stub->last_stopped, SIGNAL_TRAP, NULL);
	return 0;
}

/* Resumes as `threads` says, unless there is a stop to tell first. */
static int resume(struct gdb_stub *stub)
{
	int rc;

	for (unsigned i = 0; i < gdb_vcpus(stub); i++) {
		struct debug_stop stop = stub->threads[i].unreported;

		if (stop.kind == DEBUG_NO_STOP || stub->threads[i].action == GDB_HOLD)
			continue;
		stub->threads[i].unreported = (struct debug_stop){ 0 };
		if (gdb_point_type(stub, &stop.point) < 0)
			continue;
		tell_stop(stub, i, SIGNAL_TRAP, &stop);
		return 0;
	}
	rc = run(stub);
	return rc ? rc : GDB_NO_REPLY;
}

/* `c`: everyone, or the thread of Hc. From another address is for who sets rip first. */
int gdb_continue(struct gdb_stub *stub, struct gdb_text text)
{
	if (gdb_text_left(&text))
		return -EINVAL;
	for (unsigned i = 0; i < gdb_vcpus(stub); i++)
		stub->threads[i].action =
			stub->resumes_all || i == stub->resumed ? GDB_CONTINUE : GDB_HOLD;
	return resume(stub);
}

/* `s`: the thread of Hc, or the chosen one while the others run. */
int gdb_step(struct gdb_stub *stub, struct gdb_text text)
{
	unsigned vcpu = stub->resumes_all ? stub->general : stub->resumed;

	if (gdb_text_left(&text))
		return -EINVAL;
	for (unsigned i = 0; i < gdb_vcpus(stub); i++)
		stub->threads[i].action = stub->resumes_all ? GDB_CONTINUE : GDB_HOLD;
	stub->threads[vcpu].action = GDB_STEP;
	return resume(stub);
}

/* `C SIGNAL`, `S SIGNAL`: a machine takes no signals. */
int gdb_continue_signal(struct gdb_stub *stub, struct gdb_text text)
{
	uint64_t signal;

	return gdb_take_hex(&text, &signal) ? gdb_continue(stub, text) : -EINVAL;
}

int gdb_step_signal(struct gdb_stub *stub, struct gdb_text text)
{
	uint64_t signal;

	return gdb_take_hex(&text, &signal) ? gdb_step(stub, text) : -EINVAL;
}

/* "ACTION[:THREAD]" with the action's own parts. */
static int take_action(struct gdb_text *text, const struct gdb_stub *stub,
		       struct gdb_thread *ret_action, unsigned *ret_vcpu, bool *ret_all)
{
	uint64_t signal;

	*ret_action = (struct gdb_thread){ .action = GDB_HOLD };
	if (gdb_take(text, 'c') || gdb_take(text, 'C'))
		ret_action->action = GDB_CONTINUE;
	else if (gdb_take(text, 's') || gdb_take(text, 'S'))
		ret_action->action = GDB_STEP;
	else if (gdb_take(text, 'r'))
		ret_action->action = GDB_STEP_RANGE;
	else if (!gdb_take(text, 't'))
		return -EINVAL;
	if (ret_action->action == GDB_STEP_RANGE) {
		if (!gdb_take_hex(text, &ret_action->from) || !gdb_take(text, ',') ||
		    !gdb_take_hex(text, &ret_action->to))
			return -EINVAL;
	} else {
		gdb_take_hex(text, &signal); /* a machine takes none */
	}
	*ret_all = !gdb_take(text, ':');
	return *ret_all ? 0 : gdb_take_thread(text, stub, ret_vcpu, ret_all);
}

/* The first action that names a thread, or all, is the thread's; without one it stays. */
static int take_actions(struct gdb_stub *stub, struct gdb_text text)
{
	struct gdb_text rest = text;

	if (!gdb_text_left(&text))
		return -EINVAL;
	for (unsigned i = 0; i < gdb_vcpus(stub); i++) {
		bool found = false;

		stub->threads[i].action = GDB_HOLD;
		for (rest = text; gdb_take(&rest, ';');) {
			struct gdb_thread action;
			unsigned vcpu = 0;
			bool all;
			int rc = take_action(&rest, stub, &action, &vcpu, &all);

			if (rc)
				return rc;
			if (found || !(all || vcpu == i))
				continue;
			found = true;
			stub->threads[i].action = action.action;
			stub->threads[i].from = action.from;
			stub->threads[i].to = action.to;
		}
		if (gdb_text_left(&rest))
			return -EINVAL;
	}
	return 0;
}

int gdb_vcont(struct gdb_stub *stub, struct gdb_text text)
{
	int rc;

	if (gdb_take(&text, '?')) {
		str_add(&stub->reply, "vCont;c;C;s;S;t;r");
		return 0;
	}
	if (stub->running)
		return -EBUSY;
	rc = take_actions(stub, text);
	return rc ? rc : resume(stub);
}

void gdb_release(struct gdb_stub *stub)
{
	bool was_running = stub->running;

	stub->running = false; /* nothing is told about the pause */
	if (was_running)
		stub->machine.ops->pause(stub->machine.ctx, NULL);
	stub->point_count = 0;
	for (unsigned i = 0; i < gdb_vcpus(stub); i++) {
		struct vcpu *vcpu = gdb_vcpu(stub, i);

		stub->threads[i] = (struct gdb_thread){ 0 };
		processors_hold(stub->machine.processors, i, false);
		if (vcpu->ops->vcpu_debug)
			vcpu->ops->vcpu_debug(vcpu, NULL);
	}
	stub->machine.ops->resume(stub->machine.ctx, NULL);
}

int gdb_detach(struct gdb_stub *stub, struct gdb_text text)
{
	gdb_ok(stub);
	gdb_stub_send(stub);
	gdb_stub_disconnect(stub);
	stub->output.finish(stub->output.ctx);
	return GDB_NO_REPLY;
}

int gdb_kill(struct gdb_stub *stub, struct gdb_text text)
{
	stub->machine.ops->quit(stub->machine.ctx);
	return GDB_NO_REPLY;
}

int gdb_vkill(struct gdb_stub *stub, struct gdb_text text)
{
	stub->machine.ops->quit(stub->machine.ctx);
	return gdb_ok(stub);
}
