/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery of exceptions and interrupts through the IDT, in real, protected, vm86 and long mode.
 *
 * Everything that can fail happens before a register changes. What is written to the new stack
 * before a fault there stays written, as on a processor. Spec: Intel SDM volume 3, chapter 6 and
 * section 20.1.4.
 */
#include <string.h>

#include "cpu/soft/flags_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"

/* One delivery in progress. */
struct delivery {
	const struct insn *insn;
	unsigned vector;
	enum event_kind kind;
	uint64_t rip;
	bool has_error;
	uint32_t error;
	uint64_t flags; /* the image to push */
};

/* A gate of the IDT. */
struct gate {
	uint64_t offset;
	uint16_t selector;
	uint16_t attributes;
	unsigned ist;
	unsigned width; /* bytes pushed each time */
	bool clears_if;
};

/* Where the frame goes: the address of the next push, and what SS and RSP will be. */
struct frame {
	struct vcpu_segment ss;
	uint64_t sp, mask;
	unsigned cpl, width;
};

static bool is_soft(const struct delivery *d)
{
	return d->kind == EVENT_SOFT || d->kind == EVENT_TRAP3;
}

static _Noreturn void fail(struct soft_cpu *cpu, const struct delivery *d, unsigned vector,
			   uint32_t error)
{
	bool external = d->kind != EVENT_SOFT && d->kind != EVENT_TRAP3;

	raise_error(cpu, d->insn, vector, error | (external ? ERROR_EXTERNAL : 0));
}

static _Noreturn void fail_gate(struct soft_cpu *cpu, const struct delivery *d, unsigned vector)
{
	fail(cpu, d, vector, d->vector * 8 | ERROR_IDT);
}

static void deliver_real(struct soft_cpu *cpu, const struct delivery *d)
{
	uint64_t sp = cpu->gpr[GPR_RSP];
	uint16_t words[3] = { (uint16_t)d->flags, cpu->segments[SEG_CS].selector,
			      (uint16_t)d->rip };
	uint32_t vector;

	if (d->vector * 4 + 3 > cpu->idtr.limit)
		fail_gate(cpu, d, EXCEPTION_GP);
	vector = (uint32_t)system_load(cpu, d->insn, cpu->idtr.base + d->vector * 4, 4);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t linear;

		sp -= 2;
		linear = segment_linear(cpu, d->insn, SEG_SS, sp & 0xffff, 2, true);
		store16(cpu, d->insn, linear, words[i]);
	}
	*reg16(cpu, REG_OFFSET(GPR_RSP)) = (uint16_t)sp;
	segment_load_real(cpu, SEG_CS, (uint16_t)(vector >> 16));
	cpu->rip = vector & 0xffff;
	cpu->flags &= ~(uint32_t)(RFLAGS_IF | RFLAGS_TF | RFLAGS_AC | RFLAGS_RF);
}

static struct gate read_gate(struct soft_cpu *cpu, const struct delivery *d)
{
	bool wide = cpu_long_mode(cpu);
	uint64_t bytes = wide ? 16 : 8, low;
	struct gate g = { 0 };

	if (d->vector * bytes + bytes - 1 > cpu->idtr.limit)
		fail_gate(cpu, d, EXCEPTION_GP);
	low = system_load(cpu, d->insn, cpu->idtr.base + d->vector * bytes, 8);
	g.attributes = (uint16_t)bits_get(low, 40, 8);
	g.selector = (uint16_t)bits_get(low, 16, 16);
	g.offset = bits_get(low, 0, 16) | bits_get(low, 48, 16) << 16;
	g.width = 4;
	switch (g.attributes & (SEGMENT_S | SEGMENT_TYPE)) {
	case SYSTEM_INTERRUPT_GATE:
		g.clears_if = true;
		break;
	case SYSTEM_TRAP_GATE:
		break;
	case SYSTEM_INTERRUPT_GATE16:
		g.clears_if = true;
		g.width = 2;
		break;
	case SYSTEM_TRAP_GATE16:
		g.width = 2;
		break;
	case SYSTEM_TASK_GATE:
		g.width = 0;
		break;
	default:
		fail_gate(cpu, d, EXCEPTION_GP);
	}
	if (wide) {
		uint64_t high = system_load(cpu, d->insn, cpu->idtr.base + d->vector * 16 + 8, 8);

		if (g.width != 4)
			fail_gate(cpu, d, EXCEPTION_GP);
		g.offset |= high << 32;
		g.ist = (unsigned)bits_get(low, 32, 3);
		g.width = 8;
	} else if (g.width == 2) {
		g.offset &= 0xffff;
	}
	if (is_soft(d) && segment_dpl(g.attributes) < cpu->cpl)
		fail_gate(cpu, d, EXCEPTION_GP);
	if (!(g.attributes & SEGMENT_P))
		fail_gate(cpu, d, EXCEPTION_NP);
	return g;
}

/* The handler's code segment, and the privilege level it runs at. */
static struct vcpu_segment handler_segment(struct soft_cpu *cpu, const struct delivery *d,
					   uint16_t selector, unsigned *ret_cpl)
{
	uint64_t descriptor, linear;
	uint32_t error = selector & SELECTOR_ERROR;
	struct vcpu_segment cs;

	if (selector_is_null(selector))
		fail(cpu, d, EXCEPTION_GP, 0);
	if (!descriptor_read(cpu, d->insn, selector, &descriptor, &linear))
		fail(cpu, d, EXCEPTION_GP, error);
	cs = segment_of(selector, descriptor);
	if (!(cs.attributes & SEGMENT_S) || !(cs.attributes & SEGMENT_CODE) ||
	    segment_dpl(cs.attributes) > cpu->cpl)
		fail(cpu, d, EXCEPTION_GP, error);
	if (cpu_long_mode(cpu) && (cs.attributes & (SEGMENT_L | SEGMENT_DB)) != SEGMENT_L)
		fail(cpu, d, EXCEPTION_GP, error);
	if (!(cs.attributes & SEGMENT_P))
		fail(cpu, d, EXCEPTION_NP, error);
	descriptor_set_bit(cpu, d->insn, linear, descriptor, 40, true);
	cs.attributes |= SEGMENT_ACCESSED;
	*ret_cpl = cs.attributes & SEGMENT_CONFORMS ? cpu->cpl : segment_dpl(cs.attributes);
	if (cpu_vm86(cpu) && *ret_cpl)
		fail(cpu, d, EXCEPTION_GP, error);
	cs.selector = (uint16_t)((selector & ~SELECTOR_RPL) | *ret_cpl);
	return cs;
}

/* A stack pointer of the long-mode TSS: RSP0 to RSP2 at 4, IST1 to IST7 at 36. */
static uint64_t tss_pointer(struct soft_cpu *cpu, const struct delivery *d, unsigned offset)
{
	if (offset + 7 > cpu->tr.limit)
		fail(cpu, d, EXCEPTION_TS, cpu->tr.selector & SELECTOR_ERROR);
	return system_load(cpu, d->insn, cpu->tr.base + offset, 8);
}

static struct frame frame_long(struct soft_cpu *cpu, const struct delivery *d, const struct gate *g,
			       unsigned cpl)
{
	struct frame f = { .ss = cpu->segments[SEG_SS],
			   .sp = cpu->gpr[GPR_RSP],
			   .mask = UINT64_MAX,
			   .cpl = cpl,
			   .width = 8 };

	if (g->ist)
		f.sp = tss_pointer(cpu, d, 36 + 8 * (g->ist - 1));
	else if (cpl != cpu->cpl)
		f.sp = tss_pointer(cpu, d, 4 + 8 * cpl);
	if (!linear_is_canonical(cpu, f.sp))
		fail(cpu, d, EXCEPTION_SS, 0);
	f.sp &= ~UINT64_C(15);
	if (cpl != cpu->cpl)
		f.ss = (struct vcpu_segment){ .selector = (uint16_t)cpl,
					      .attributes = (uint16_t)(cpl << SEGMENT_DPL_SHIFT) };
	return f;
}

static struct frame frame_legacy(struct soft_cpu *cpu, const struct delivery *d,
				 const struct gate *g, unsigned cpl)
{
	struct frame f = {
		.ss = cpu->segments[SEG_SS], .sp = cpu->gpr[GPR_RSP], .cpl = cpl, .width = g->width
	};

	if (cpl != cpu->cpl) {
		bool tss32 = (cpu->tr.attributes & SEGMENT_TYPE) >= SYSTEM_TSS_AVAILABLE;
		unsigned size = tss32 ? 4 : 2;
		unsigned offset = tss32 ? 4 + 8 * cpl : 2 + 4 * cpl;
		uint16_t ss;

		if (offset + size + 1 > cpu->tr.limit)
			fail(cpu, d, EXCEPTION_TS, cpu->tr.selector & SELECTOR_ERROR);
		f.sp = system_load(cpu, d->insn, cpu->tr.base + offset, size);
		ss = (uint16_t)system_load(cpu, d->insn, cpu->tr.base + offset + size, 2);
		f.ss = stack_segment_need(cpu, d->insn, ss, cpl, EXCEPTION_TS);
	}
	f.mask = f.ss.attributes & SEGMENT_DB ? UINT32_MAX : 0xffff;
	return f;
}

static void push(struct soft_cpu *cpu, const struct delivery *d, struct frame *f, uint64_t value)
{
	uint64_t sp = (f->sp - f->width) & f->mask, linear = sp;

	if (f->width != 8) {
		if (sp + f->width - 1 > f->ss.limit && !(f->ss.attributes & SEGMENT_DOWN))
			fail(cpu, d, EXCEPTION_SS,
			     f->cpl != cpu->cpl ? f->ss.selector & SELECTOR_ERROR : 0);
		linear = (uint32_t)(f->ss.base + sp);
	}
	if (f->cpl == 3)
		store_slow(cpu, d->insn, linear, value, f->width);
	else
		system_store(cpu, d->insn, linear, value, f->width);
	f->sp = (f->sp & ~f->mask) | sp;
}

static void push_frame(struct soft_cpu *cpu, const struct delivery *d, struct frame *f)
{
	bool outer = f->width == 8 || f->cpl != cpu->cpl;

	if (cpu_vm86(cpu)) {
		push(cpu, d, f, cpu->segments[SEG_GS].selector);
		push(cpu, d, f, cpu->segments[SEG_FS].selector);
		push(cpu, d, f, cpu->segments[SEG_DS].selector);
		push(cpu, d, f, cpu->segments[SEG_ES].selector);
	}
	if (outer) {
		push(cpu, d, f, cpu->segments[SEG_SS].selector);
		push(cpu, d, f, cpu->gpr[GPR_RSP]);
	}
	push(cpu, d, f, d->flags);
	push(cpu, d, f, cpu->segments[SEG_CS].selector);
	push(cpu, d, f, d->rip);
	if (d->has_error)
		push(cpu, d, f, d->error);
}

static void deliver_protected(struct soft_cpu *cpu, const struct delivery *d)
{
	struct gate g = read_gate(cpu, d);
	struct vcpu_segment cs;
	struct frame f;
	bool left_vm86;
	unsigned cpl;

	if (!g.width) {
		task_switch(cpu, d->insn, g.selector, TASK_GATE, d->rip, d->has_error, d->error);
		return;
	}
	cs = handler_segment(cpu, d, g.selector, &cpl);
	f = g.width == 8 ? frame_long(cpu, d, &g, cpl) : frame_legacy(cpu, d, &g, cpl);
	push_frame(cpu, d, &f);
	if (g.width == 8 ? !linear_is_canonical(cpu, g.offset) : g.offset > cs.limit)
		fail(cpu, d, EXCEPTION_GP, 0);
	/* Nothing fails from here on. */
	left_vm86 = cpu_vm86(cpu);
	if (left_vm86) {
		for (unsigned seg = 0; seg < SEG_COUNT; seg++) {
			if (seg != SEG_CS && seg != SEG_SS)
				cpu->segments[seg] = (struct vcpu_segment){ 0 };
		}
	}
	cpu->flags &= ~(uint32_t)(RFLAGS_TF | RFLAGS_NT | RFLAGS_RF | RFLAGS_VM |
				  (g.clears_if ? RFLAGS_IF : 0));
	cpu->segments[SEG_SS] = f.ss;
	cpu->gpr[GPR_RSP] = f.sp;
	code_segment_set(cpu, cs, cpl);
	cpu->rip = g.offset;
	if (left_vm86)
		native_units_update(cpu);
}

/* Faults are restarted without hitting the same instruction breakpoint again. */
static bool sets_rf(const struct delivery *d)
{
	return d->kind == EVENT_EXCEPTION && d->vector != EXCEPTION_DB &&
	       d->vector != EXCEPTION_BP && d->vector != EXCEPTION_OF && d->vector != EXCEPTION_DF;
}

void event_deliver(struct soft_cpu *cpu, const struct insn *insn, unsigned vector,
		   enum event_kind kind, uint64_t rip, bool has_error, uint32_t error)
{
	struct delivery d = { insn, vector, kind, rip, has_error, error, rflags_get(cpu) };

	if (sets_rf(&d))
		d.flags |= RFLAGS_RF;
	if (cpu_protected(cpu))
		deliver_protected(cpu, &d);
	else
		deliver_real(cpu, &d);
}
