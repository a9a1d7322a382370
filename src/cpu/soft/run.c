/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run loop of a vCPU: block after block, and between them everything that is not an
 * instruction.
 *
 * Blocks chain to each other without coming here; they come back when `attention` is set, when an
 * instruction changed what this loop watches (flags, mode, shadow), or by a raise function's
 * longjmp.
 *
 * Spec: Intel SDM volume 3, sections 6.9 (priority), 6.15 (#DF, triple fault), 17.3.
 */
#include "cpu/soft/run_priv.h"

#include <errno.h>

#include "base/log.h"
#include "cpu/soft/access_priv.h"
#include "cpu/soft/block_priv.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/debug_priv.h"
#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/jit/jit_priv.h"
#include "cpu/soft/lapic_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/tier_priv.h"
#include "host/clock.h"

static _Noreturn void raise_any(struct soft_cpu *cpu, const struct insn *insn)
{
	if (insn) {
		cpu->rip += insn->offset;
		if (!cpu_code64(cpu))
			cpu->rip = (uint32_t)cpu->rip;
	}
	cpu->events.fault = true;
	longjmp(cpu->unwind, UNWIND_RAISED);
}

void raise_fault(struct soft_cpu *cpu, const struct insn *insn, unsigned vector)
{
	cpu->exception.vector = (uint8_t)vector;
	cpu->exception.has_error = false;
	cpu->exception.error = 0;
	raise_any(cpu, insn);
}

void raise_error(struct soft_cpu *cpu, const struct insn *insn, unsigned vector, uint32_t error)
{
	cpu->exception.vector = (uint8_t)vector;
	cpu->exception.has_error = cpu_protected(cpu);
	cpu->exception.error = error;
	raise_any(cpu, insn);
}

void raise_page_fault(struct soft_cpu *cpu, const struct insn *insn, uint64_t linear,
		      uint32_t error)
{
	cpu->exception.payload = linear;
	raise_error(cpu, insn, EXCEPTION_PF, error);
}

void cpu_attention(struct soft_cpu *cpu, unsigned reason)
{
	atomic_fetch_or(&cpu->attention, reason);
	/* The sleeper says so first and then looks at the flag, with the lock held. */
	if (!atomic_load(&cpu->asleep))
		return;
	pthread_mutex_lock(&cpu->sleep_lock);
	pthread_cond_signal(&cpu->wake);
	pthread_mutex_unlock(&cpu->sleep_lock);
}

void cpu_registers_changed(struct soft_cpu *cpu)
{
	mmu_flush_all(cpu);
	mmu_update_rights(cpu);
	native_units_update(cpu);
}

void cpu_init(struct soft_cpu *cpu)
{
	struct vcpu_state fresh;
	uint64_t keep_cd = cpu->cr0 & (CR0_CD | CR0_NW);

	vcpu_state_reset(&fresh, cpu->vcpu.index, cpuid_query(&cpu->engine->cpuid, 1, 0).eax,
			 cpu->engine->xsave_size);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		cpu->gpr[i] = fresh.gpr[i];
	cpu->rip = fresh.rip;
	status_set(cpu, 0);
	cpu->flags = (uint32_t)RFLAGS_FIXED;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		cpu->segments[i] = fresh.segments[i];
	cpu->tr = fresh.tr;
	cpu->ldtr = fresh.ldtr;
	cpu->gdtr = fresh.gdtr;
	cpu->idtr = fresh.idtr;
	cpu->cr0 = CR0_ET | keep_cd;
	cpu->cr2 = cpu->cr3 = cpu->cr4 = cpu->efer = 0;
	cpu->dr6 = DR6_FIXED;
	cpu->dr7 = DR7_FIXED;
	cpu->cpl = 0;
	cpu->shadow = cpu->shadow_debug = false;
	cpu->events.nmi_masked = false;
	cpu->events.fault = false;
	cpu->events.delivering = -1;
	lapic_reset(cpu);
	cpu_registers_changed(cpu);
}

/* INIT and SIPI. */
static void take_startup(struct soft_cpu *cpu, unsigned pending)
{
	if (pending & PENDING_INIT) {
		atomic_fetch_and(&cpu->events.pending, ~(unsigned)PENDING_INIT);
		cpu_init(cpu);
		cpu->events.activity = cpu->vcpu.index ? VCPU_WAIT_FOR_SIPI : VCPU_RUNNING;
	}
	if (atomic_load(&cpu->events.pending) & PENDING_SIPI) {
		uint8_t vector = (uint8_t)atomic_load(&cpu->events.sipi_vector);

		atomic_fetch_and(&cpu->events.pending, ~(unsigned)PENDING_SIPI);
		if (cpu->events.activity == VCPU_WAIT_FOR_SIPI) {
			cpu->events.activity = VCPU_RUNNING;
			cpu->rip = 0;
			cpu->segments[SEG_CS].selector = (uint16_t)(vector << 8);
			cpu->segments[SEG_CS].base = (uint64_t)vector << 12;
		}
	}
}

/* Two exceptions in a row. Spec: SDM volume 3, table 6-5. */
static bool makes_double_fault(unsigned first, unsigned second)
{
	if (first == EXCEPTION_PF)
		return second == EXCEPTION_PF || exception_is_contributory(second);
	return exception_is_contributory(first) && exception_is_contributory(second);
}

/* Delivers what a raise function left. False: triple fault. */
static bool deliver_fault(struct soft_cpu *cpu)
{
	unsigned vector = cpu->exception.vector;
	int first = cpu->events.delivering;

	cpu->events.fault = false;
	cpu->events.debug = 0;
	if (first >= 0) {
		if (first == EXCEPTION_DF)
			return false;
		if (makes_double_fault((unsigned)first, vector)) {
			cpu->exception.vector = EXCEPTION_DF;
			cpu->exception.has_error = cpu_protected(cpu);
			cpu->exception.error = 0;
			vector = EXCEPTION_DF;
		}
	}
	if (vector == EXCEPTION_PF)
		cpu->cr2 = cpu->exception.payload;
	cpu->stats.exceptions++;
	cpu->events.delivering = (int)vector;
	event_deliver(cpu, NULL, vector, EVENT_EXCEPTION, cpu->rip, cpu->exception.has_error,
		      cpu->exception.error);
	cpu->events.delivering = -1;
	return true;
}

static void deliver_debug(struct soft_cpu *cpu, uint32_t dr6)
{
	debug_note(cpu, dr6);
	cpu->stats.exceptions++;
	cpu->events.activity = VCPU_RUNNING; /* of a step over HLT */
	cpu->events.delivering = EXCEPTION_DB;
	event_deliver(cpu, NULL, EXCEPTION_DB, EVENT_EXCEPTION, cpu->rip, false, 0);
	cpu->events.delivering = -1;
}

static void take_nmi(struct soft_cpu *cpu)
{
	atomic_fetch_and(&cpu->events.pending, ~(unsigned)PENDING_NMI);
	cpu->events.nmi_masked = true;
	cpu->stats.interrupts++;
	/* An external event that fails is no exception of a pair; its own faults are. */
	event_deliver(cpu, NULL, EXCEPTION_NMI, EVENT_EXTERNAL, cpu->rip, false, 0);
}

static void take_interrupt(struct soft_cpu *cpu)
{
	int vector = cpu->events.injected;

	if (vector != VCPU_NO_VECTOR) {
		cpu->events.injected = VCPU_NO_VECTOR;
	} else {
		atomic_fetch_and(&cpu->events.pending, ~(unsigned)PENDING_INTERRUPT);
		code_leave_guest(cpu);
		vector = lapic_take_interrupt(cpu);
		code_enter_guest(cpu);
	}
	if (lapic_has_interrupt(cpu))
		atomic_fetch_or(&cpu->events.pending, PENDING_INTERRUPT);
	if (vector < 0)
		return;
	cpu->events.activity = VCPU_RUNNING;
	cpu->stats.interrupts++;
	event_deliver(cpu, NULL, (unsigned)vector, EVENT_EXTERNAL, cpu->rip, false, 0);
}

static bool can_interrupt(const struct soft_cpu *cpu)
{
	return cpu->flags & RFLAGS_IF && !cpu->shadow;
}

/* Whether something ends HLT. */
static bool has_event(struct soft_cpu *cpu)
{
	unsigned pending = atomic_load(&cpu->events.pending);

	if (pending & (PENDING_INIT | PENDING_SIPI))
		return true;
	if (cpu->events.activity != VCPU_HALTED)
		return false;
	if (pending & PENDING_NMI && !cpu->events.nmi_masked)
		return true;
	return pending & PENDING_INTERRUPT && can_interrupt(cpu) &&
	       (cpu->events.injected != VCPU_NO_VECTOR || lapic_has_interrupt(cpu));
}

/* Until attention is called for or the timer is due; the guest does not run. */
static void sleep_halted(struct soft_cpu *cpu)
{
	uint64_t deadline = lapic_timer_check(cpu);

	if (has_event(cpu))
		return;
	cpu->stats.halts++;
	code_leave_guest(cpu);
	if (cpu->jit)
		jit_park(cpu->jit);
	pthread_mutex_lock(&cpu->sleep_lock);
	atomic_store(&cpu->asleep, true);
	while (!(atomic_load(&cpu->attention) & ~(unsigned)(ATTENTION_SINGLE | ATTENTION_TRACE))) {
		struct timespec at = { .tv_sec = (time_t)(deadline / NS_PER_SEC),
				       .tv_nsec = (long)(deadline % NS_PER_SEC) };

		if (deadline == UINT64_MAX)
			pthread_cond_wait(&cpu->wake, &cpu->sleep_lock);
		else if (pthread_cond_timedwait(&cpu->wake, &cpu->sleep_lock, &at) == ETIMEDOUT)
			break;
	}
	atomic_store(&cpu->asleep, false);
	pthread_mutex_unlock(&cpu->sleep_lock);
	if (cpu->jit)
		jit_unpark(cpu);
	code_enter_guest(cpu);
}

/* Whether a data segment lets everything through but what its base adds. */
static bool is_flat(const struct vcpu_segment *s)
{
	const uint16_t bits = SEGMENT_P | SEGMENT_S | SEGMENT_CODE | SEGMENT_DOWN;

	return (s->attributes & (bits | SEGMENT_WRITABLE)) ==
		       (SEGMENT_P | SEGMENT_S | SEGMENT_WRITABLE) &&
	       s->limit == UINT32_MAX;
}

static uint8_t flat_mode(const struct soft_cpu *cpu)
{
	static const uint8_t data[] = { SEG_DS, SEG_ES, SEG_SS };
	const uint16_t readable = SEGMENT_P | SEGMENT_CODE | SEGMENT_READABLE;
	const struct vcpu_segment *cs = &cpu->segments[SEG_CS];

	if (!cpu_protected(cpu) || cs->base || cs->limit != UINT32_MAX ||
	    (cs->attributes & readable) != readable)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
		if (cpu->segments[data[i]].base || !is_flat(&cpu->segments[data[i]]))
			return 0;
	return MODE_FLAT | (is_flat(&cpu->segments[SEG_FS]) ? MODE_FLAT_FS : 0) |
	       (is_flat(&cpu->segments[SEG_GS]) ? MODE_FLAT_GS : 0);
}

static uint8_t mode_now(const struct soft_cpu *cpu)
{
	const struct vcpu_segment *cs = &cpu->segments[SEG_CS];
	uint8_t mode = 0;

	if (cpu_long_mode(cpu) && cs->attributes & SEGMENT_L)
		mode |= MODE_CODE64;
	else if (cs->attributes & SEGMENT_DB && !cpu_vm86(cpu))
		mode |= MODE_CODE32;
	if (cpu->segments[SEG_SS].attributes & SEGMENT_DB && !(mode & MODE_CODE64))
		mode |= MODE_STACK32;
	if ((mode & (MODE_CODE32 | MODE_STACK32)) == (MODE_CODE32 | MODE_STACK32))
		mode |= flat_mode(cpu);
	if (unlikely(cpu->shadow || debug_is_active(cpu)))
		mode |= MODE_SINGLE;
	return mode;
}

static void update_mode(struct soft_cpu *cpu)
{
	uint8_t mode = mode_now(cpu);

	if (mode == cpu->mode)
		return;
	cpu->mode = mode;
	mmu_update_links(cpu);
	if (mode & MODE_SINGLE)
		atomic_fetch_or(&cpu->attention, ATTENTION_SINGLE);
	else
		atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_SINGLE);
}

static void update_code_base(struct soft_cpu *cpu)
{
	uint64_t base = 0;

	if (!cpu_code64(cpu)) {
		base = cpu->segments[SEG_CS].base;
		cpu->rip = (uint32_t)cpu->rip;
	}
	if (unlikely(base != cpu->code_base)) {
		cpu->code_base = base;
		mmu_code_moved(cpu);
	}
}

static bool traces(struct soft_cpu *cpu)
{
	return atomic_load(&cpu->attention) & ATTENTION_TRACE && !(cpu->mode & MODE_SINGLE);
}

static void run_blocks(struct soft_cpu *cpu)
{
	const struct insn *insn;

	if (unlikely(attention_needed(cpu) && traces(cpu)))
		insn = trace_step(cpu);
	else if (cpu_code64(cpu))
		insn = jump_target(cpu);
	else /* the code segment's limit may be another one now */
		insn = block_find(cpu);
	tier_change(cpu, TIER_INTERPRETER);
	while (insn)
		insn = insn->exec(cpu, insn);
	tier_change(cpu, TIER_LOOP);
}

/* One instruction, with what debugging and the interrupt shadow want around it. */
static void run_single(struct soft_cpu *cpu)
{
	bool stepped = cpu->flags & RFLAGS_TF;
	/* On AMD processors the shadow of MOV SS does not cover instruction breakpoints. */
	bool ignores = cpu->flags & RFLAGS_RF || (cpu->shadow_debug && !cpu->engine->vendor_amd);
	uint32_t hit = ignores ? 0 : debug_breakpoints(cpu);

	if (unlikely(cpu->debugger) && debugger_breaks(cpu))
		return;
	if (hit) {
		debug_note(cpu, hit);
		raise_fault(cpu, NULL, EXCEPTION_DB);
	}
	cpu->flags &= ~(uint32_t)RFLAGS_RF;
	cpu->shadow = cpu->shadow_debug = cpu->unstepped = false;
	run_blocks(cpu);
	if (unlikely(cpu->debugger))
		debugger_stepped(cpu);
	/* Behind MOV SS a single step is lost, and watchpoints wait. Spec: SDM vol. 3, 6.8.3. */
	if (cpu->shadow_debug)
		return;
	stepped &= !cpu->unstepped;
	hit = cpu->events.debug | (stepped ? (uint32_t)DR6_BS : 0);
	cpu->events.debug = 0;
	if (hit)
		deliver_debug(cpu, hit);
}

/* One turn of the loop. False: shut down. */
static bool run_once(struct soft_cpu *cpu)
{
	unsigned attention = atomic_load_explicit(&cpu->attention, memory_order_relaxed);
	unsigned pending;

	if (unlikely(cpu->events.fault)) {
		if (!deliver_fault(cpu))
			return false;
		if (unlikely(cpu->debugger)) {
			debugger_stepped(cpu);
			return true;
		}
		/* The first instruction behind it may fault as well, and so on for ever. */
		if (attention & ATTENTION_KICK)
			return true;
	}
	if (attention & ATTENTION_REQUEST)
		code_serve_requests(cpu);
	if (attention & ATTENTION_CACHE)
		block_renew(cpu);
	if (attention & ATTENTION_SAMPLE)
		trace_sample(cpu);
	if (attention & ATTENTION_INTERRUPT) {
		atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_INTERRUPT);
		lapic_timer_check(cpu);
	}
	pending = atomic_load_explicit(&cpu->events.pending, memory_order_relaxed);
	if (unlikely(pending) && likely(!debugger_masks(cpu))) {
		enum vcpu_activity before = cpu->events.activity;

		if (pending & (PENDING_INIT | PENDING_SIPI))
			take_startup(cpu, pending);
		if (pending & PENDING_NMI && !cpu->events.nmi_masked && !cpu->shadow &&
		    cpu->events.activity <= VCPU_HALTED) {
			cpu->events.activity = VCPU_RUNNING;
			take_nmi(cpu);
		} else if (pending & PENDING_INTERRUPT && can_interrupt(cpu) &&
			   cpu->events.activity <= VCPU_HALTED) {
			take_interrupt(cpu);
		}
		if (unlikely(cpu->debugger) && before != cpu->events.activity) {
			debugger_stepped(cpu);
			return true;
		}
	}
	if (unlikely(cpu->events.activity != VCPU_RUNNING)) {
		sleep_halted(cpu);
		return true;
	}
	update_mode(cpu);
	update_code_base(cpu);
	if (unlikely(cpu->mode & MODE_SINGLE)) {
		run_single(cpu);
	} else {
		cpu->flags &= ~(uint32_t)RFLAGS_RF;
		run_blocks(cpu);
	}
	return true;
}

static enum vcpu_exit run(struct soft_cpu *cpu)
{
	enum vcpu_exit exit = VCPU_EXIT_KICKED;

	if (cpu->events.activity == VCPU_SHUTDOWN_STATE)
		exit = VCPU_EXIT_SHUTDOWN;
	debugger_forget(cpu);
	code_enter_guest(cpu);
	switch (setjmp(cpu->unwind)) {
	case 0:
		break;
	case UNWIND_ERROR:
		code_leave_guest(cpu);
		return VCPU_EXIT_ERROR;
	default:
		/* Out of a handler: what it held is given back, what it was delivering is known. */
		tier_change(cpu, TIER_LOOP);
		scratch_unlock(cpu);
		debugger_forget(cpu);
		code_enter_guest(cpu);
	}
	for (;;) {
		if (cpu->events.activity == VCPU_SHUTDOWN_STATE) {
			exit = VCPU_EXIT_SHUTDOWN;
			break;
		}
		if (atomic_load_explicit(&cpu->attention, memory_order_relaxed) & ATTENTION_KICK &&
		    !cpu->events.fault) {
			atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_KICK);
			exit = VCPU_EXIT_KICKED;
			break;
		}
		if (unlikely(cpu->debugger) && debugger_stops(cpu) && !cpu->events.fault) {
			exit = VCPU_EXIT_DEBUG;
			break;
		}
		if (!run_once(cpu)) {
			log_debug("vCPU %u: triple fault at 0x%llx", cpu->vcpu.index,
				  (unsigned long long)cpu->rip);
			cpu->events.activity = VCPU_SHUTDOWN_STATE;
		}
	}
	code_leave_guest(cpu);
	return exit;
}

enum vcpu_exit cpu_run(struct soft_cpu *cpu)
{
	enum vcpu_exit exit;

	tier_clock_start(cpu);
	if (cpu->jit)
		jit_thread_begin(cpu);
	exit = run(cpu);
	if (cpu->jit)
		jit_thread_end(cpu);
	tier_clock_stop(cpu);
	return exit;
}
