/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hardware task switches, by jump, call, interrupt or IRET, between 16 and 32-bit TSSs.
 *
 * Spec: Intel SDM volume 3, chapter 7.
 */
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/flags_priv.h"

#define DESCRIPTOR_BUSY 41

/* Where things are in a TSS: 32-bit, 16-bit. */
struct tss_layout {
	unsigned size;    /* bytes of a register */
	unsigned minimum; /* limit */
	unsigned eip, eflags, gpr, segments, ldt;
	unsigned segment_count;
};

static const struct tss_layout layout32 = { 4, 0x67, 32, 36, 40, 72, 96, 6 };
static const struct tss_layout layout16 = { 2, 0x2b, 14, 16, 18, 34, 42, 4 };

static const struct tss_layout *layout_of(uint16_t attributes)
{
	return (attributes & SEGMENT_TYPE) >= SYSTEM_TSS_AVAILABLE ? &layout32 : &layout16;
}

/* What a task's TSS holds. */
struct task {
	uint64_t rip, flags, cr3;
	uint64_t gpr[8];
	uint16_t segments[SEG_COUNT], ldt;
};

static void save_task(struct soft_cpu *cpu, const struct insn *insn, uint64_t rip, uint64_t flags)
{
	const struct tss_layout *l = layout_of(cpu->tr.attributes);
	uint64_t base = cpu->tr.base;

	system_store(cpu, insn, base + l->eip, rip, l->size);
	system_store(cpu, insn, base + l->eflags, flags, l->size);
	for (unsigned i = 0; i < 8; i++)
		system_store(cpu, insn, base + l->gpr + i * l->size, cpu->gpr[i], l->size);
	for (unsigned i = 0; i < l->segment_count; i++)
		system_store(cpu, insn, base + l->segments + i * l->size, cpu->segments[i].selector,
			     2);
}

static struct task read_task(struct soft_cpu *cpu, const struct insn *insn,
			     const struct vcpu_segment *tss)
{
	const struct tss_layout *l = layout_of(tss->attributes);
	struct task t = { 0 };

	if (l == &layout32)
		t.cr3 = system_load(cpu, insn, tss->base + 28, 4);
	t.rip = system_load(cpu, insn, tss->base + l->eip, l->size);
	t.flags = system_load(cpu, insn, tss->base + l->eflags, l->size);
	for (unsigned i = 0; i < 8; i++)
		t.gpr[i] = system_load(cpu, insn, tss->base + l->gpr + i * l->size, l->size);
	for (unsigned i = 0; i < l->segment_count; i++)
		t.segments[i] =
			(uint16_t)system_load(cpu, insn, tss->base + l->segments + i * l->size, 2);
	t.ldt = (uint16_t)system_load(cpu, insn, tss->base + l->ldt, 2);
	return t;
}

/* From here on the new task runs: what fails is its own fault, raised between instructions. */
static void load_ldt(struct soft_cpu *cpu, uint16_t selector)
{
	uint64_t linear, d;

	cpu->ldtr = (struct vcpu_segment){ .selector = selector };
	if (selector_is_null(selector))
		return;
	if (selector & SELECTOR_TI || !descriptor_read(cpu, NULL, selector, &d, &linear) ||
	    (descriptor_attributes(d) & (SEGMENT_S | SEGMENT_TYPE | SEGMENT_P)) !=
		    (SYSTEM_LDT | SEGMENT_P))
		raise_error(cpu, NULL, EXCEPTION_TS, selector & SELECTOR_ERROR);
	cpu->ldtr = segment_of(selector, d);
}

static void load_code(struct soft_cpu *cpu, uint16_t selector)
{
	uint64_t linear, d = descriptor_need(cpu, NULL, selector, EXCEPTION_TS, &linear);
	uint16_t a = descriptor_attributes(d);
	unsigned rpl = selector & SELECTOR_RPL;

	if (!(a & SEGMENT_S) || !(a & SEGMENT_CODE) ||
	    (a & SEGMENT_CONFORMS ? segment_dpl(a) > rpl : segment_dpl(a) != rpl))
		raise_error(cpu, NULL, EXCEPTION_TS, selector & SELECTOR_ERROR);
	if (!(a & SEGMENT_P))
		raise_error(cpu, NULL, EXCEPTION_NP, selector & SELECTOR_ERROR);
	descriptor_set_bit(cpu, NULL, linear, d, 40, true);
	cpu->segments[SEG_CS] = segment_of(selector, d | BIT(40));
}

static void load_segments(struct soft_cpu *cpu, const struct task *t)
{
	for (unsigned i = 0; i < SEG_COUNT; i++)
		cpu->segments[i] = (struct vcpu_segment){ .selector = t->segments[i] };
	if (cpu_vm86(cpu)) {
		for (unsigned i = 0; i < SEG_COUNT; i++)
			segment_load_real(cpu, i, t->segments[i]);
		cpl_set(cpu, 3);
		return;
	}
	load_ldt(cpu, t->ldt);
	cpl_set(cpu, t->segments[SEG_CS] & SELECTOR_RPL);
	load_code(cpu, t->segments[SEG_CS]);
	cpu->segments[SEG_SS] =
		stack_segment_need(cpu, NULL, t->segments[SEG_SS], cpu->cpl, EXCEPTION_TS);
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		if (i != SEG_CS && i != SEG_SS)
			segment_load(cpu, NULL, i, t->segments[i]);
	}
}

/* The descriptor of the task to go to; IRET wants a busy one, others one that is available. */
static uint64_t need_tss(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
			 enum task_reason reason, uint64_t *ret_linear)
{
	bool back = reason == TASK_IRET;
	unsigned vector = back || reason == TASK_GATE ? EXCEPTION_TS : EXCEPTION_GP;
	uint64_t d;
	uint16_t a;
	unsigned type;

	if (selector & SELECTOR_TI)
		raise_error(cpu, insn, vector, selector & SELECTOR_ERROR);
	d = descriptor_need(cpu, insn, selector, vector, ret_linear);
	a = descriptor_attributes(d);
	type = a & (SEGMENT_S | SEGMENT_TYPE);
	if (back ? type != SYSTEM_TSS_BUSY && type != SYSTEM_TSS16_BUSY
		 : type != SYSTEM_TSS_AVAILABLE && type != SYSTEM_TSS16_AVAILABLE)
		raise_error(cpu, insn, vector, selector & SELECTOR_ERROR);
	if (!(a & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_NP, selector & SELECTOR_ERROR);
	if (descriptor_limit(d) < layout_of(a)->minimum)
		raise_error(cpu, insn, EXCEPTION_TS, selector & SELECTOR_ERROR);
	return d;
}

static void clear_busy(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t d, linear;

	if (descriptor_read(cpu, insn, cpu->tr.selector, &d, &linear))
		descriptor_set_bit(cpu, insn, linear, d, DESCRIPTOR_BUSY, false);
}

void task_switch(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
		 enum task_reason reason, uint64_t rip, bool has_error, uint32_t error)
{
	uint64_t linear, d = need_tss(cpu, insn, selector, reason, &linear);
	struct vcpu_segment tss = segment_of(selector, d);
	bool nests = reason == TASK_CALL || reason == TASK_GATE;
	uint64_t flags = rflags_get(cpu);
	struct task task;

	if (cpu_long_mode(cpu))
		raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	if (reason == TASK_IRET)
		flags &= ~RFLAGS_NT;
	task = read_task(cpu, insn, &tss);
	save_task(cpu, insn, rip, flags);
	if (nests) {
		system_store(cpu, insn, tss.base, cpu->tr.selector, 2);
		task.flags |= RFLAGS_NT;
	} else {
		clear_busy(cpu, insn);
	}
	if (reason != TASK_IRET)
		descriptor_set_bit(cpu, insn, linear, d, DESCRIPTOR_BUSY, true);
	tss.attributes |= 2;
	cpu->tr = tss;
	if (layout_of(tss.attributes) == &layout32 && cpu->cr0 & CR0_PG)
		control_write_cr3(cpu, task.cr3);
	cpu->cr0 |= CR0_TS;
	native_units_update(cpu);
	cpu->dr7 &= ~UINT64_C(0x155); /* local breakpoints */
	cpu->rip = task.rip;
	for (unsigned i = 0; i < 8; i++)
		cpu->gpr[i] = layout_of(tss.attributes)->size == 4
				      ? task.gpr[i]
				      : (cpu->gpr[i] & ~UINT64_C(0xffff)) | task.gpr[i];
	status_set(cpu, task.flags);
	cpu->flags = (uint32_t)((task.flags & RFLAGS_VALID & ~RFLAGS_ARITHMETIC) | RFLAGS_FIXED);
	cpu->events.nmi_masked = reason == TASK_IRET ? false : cpu->events.nmi_masked;
	mmu_update_rights(cpu);
	load_segments(cpu, &task);
	if (has_error) {
		uint64_t mask = cpu->segments[SEG_SS].attributes & SEGMENT_DB ? UINT32_MAX : 0xffff;
		unsigned size = layout_of(tss.attributes)->size;
		uint64_t sp = (cpu->gpr[GPR_RSP] - size) & mask;

		system_store(cpu, NULL, (uint32_t)(cpu->segments[SEG_SS].base + sp), error, size);
		cpu->gpr[GPR_RSP] = (cpu->gpr[GPR_RSP] & ~mask) | sp;
	}
}
