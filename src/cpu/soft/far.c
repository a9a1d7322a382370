/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far JMP, CALL and RET with gates and privilege changes, and IRET.
 *
 * Spec: Intel SDM volume 2 (the pseudo code of each); volume 3, section 5.8.
 */
#include <errno.h>

#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/stack_priv.h"
#include "cpu/soft/width_priv.h"

#define SIZE(insn) ((insn)->scale) /* bytes of the operand: 2, 4 or 8 */

static bool has_descriptors(const struct soft_cpu *cpu)
{
	return cpu_protected(cpu) && !cpu_vm86(cpu);
}

static uint64_t cut(uint64_t value, unsigned size)
{
	return value & bits_mask(size * 8);
}

/* The target must lie in its segment, or be canonical in 64-bit code. */
static void check_offset(struct soft_cpu *cpu, const struct insn *insn,
			 const struct vcpu_segment *cs, uint64_t offset)
{
	bool code64 = cpu_long_mode(cpu) && cs->attributes & SEGMENT_L;

	if (code64 ? !linear_is_canonical(cpu, offset) : offset > cs->limit)
		raise_gp(cpu, insn);
}

/* A code segment for JMP or CALL (without gate: level stays), or RET and IRET (level as the
 * selector says). */
static struct vcpu_segment code_need(struct soft_cpu *cpu, const struct insn *insn,
				     uint16_t selector, uint64_t d, uint64_t linear, bool back)
{
	uint16_t a = descriptor_attributes(d);
	unsigned rpl = selector & SELECTOR_RPL, dpl = segment_dpl(a);
	bool conforms = a & SEGMENT_CONFORMS, bad;

	if (back)
		bad = rpl < cpu->cpl || (conforms ? dpl > rpl : dpl != rpl);
	else
		bad = conforms ? dpl > cpu->cpl : rpl > cpu->cpl || dpl != cpu->cpl;
	if (!(a & SEGMENT_S) || !(a & SEGMENT_CODE) || bad ||
	    (cpu_long_mode(cpu) && a & SEGMENT_L && a & SEGMENT_DB))
		raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	if (!(a & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_NP, selector & SELECTOR_ERROR);
	descriptor_set_bit(cpu, insn, linear, d, 40, true);
	if (!back)
		selector = (uint16_t)((selector & ~SELECTOR_RPL) | cpu->cpl);
	return segment_of(selector, d | BIT(40));
}

static const struct insn *enter(struct soft_cpu *cpu, const struct insn *insn,
				struct vcpu_segment cs, unsigned cpl, uint64_t rip)
{
	code_segment_set(cpu, cs, cpl);
	return leave_to_loop(cpu, insn, rip);
}

static const struct insn *far_real(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
				   uint64_t offset, bool call)
{
	unsigned size = SIZE(insn);

	if (offset > cpu->segments[SEG_CS].limit)
		raise_gp(cpu, insn);
	if (call) {
		stack_store(cpu, insn, -(int64_t)size, cpu->segments[SEG_CS].selector, size);
		stack_store(cpu, insn, -2 * (int64_t)size, rip_next(cpu, insn), size);
		stack_move(cpu, -2 * (int64_t)size);
	}
	segment_load_real(cpu, SEG_CS, selector);
	return leave_to_loop(cpu, insn, offset);
}

/* A call gate's content. */
struct call_gate {
	uint16_t selector, attributes;
	uint64_t offset;
	unsigned parameters, size;
};

static struct call_gate read_call_gate(struct soft_cpu *cpu, const struct insn *insn,
				       uint16_t selector, uint64_t d, uint64_t linear)
{
	struct call_gate g = {
		.selector = (uint16_t)bits_get(d, 16, 16),
		.attributes = descriptor_attributes(d),
		.offset = bits_get(d, 0, 16) | bits_get(d, 48, 16) << 16,
		.parameters = (unsigned)bits_get(d, 32, 5),
		.size = 4,
	};

	if (cpu_long_mode(cpu)) {
		uint64_t high = system_load(cpu, insn, linear + 8, 8);

		if (high >> 40 & 0x1f)
			raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
		g.offset |= high << 32;
		g.size = 8;
		g.parameters = 0;
	} else if ((g.attributes & SEGMENT_TYPE) == SYSTEM_CALL_GATE16) {
		g.offset &= 0xffff;
		g.size = 2;
	}
	return g;
}

/* Stack of an inner level from the TSS, for a call through a gate. */
static struct vcpu_segment inner_stack(struct soft_cpu *cpu, const struct insn *insn, unsigned cpl,
				       uint64_t *ret_sp)
{
	bool tss32 = (cpu->tr.attributes & SEGMENT_TYPE) >= SYSTEM_TSS_AVAILABLE;
	unsigned size = tss32 ? 4 : 2;
	unsigned offset = tss32 ? 4 + 8 * cpl : 2 + 4 * cpl;
	uint16_t ss;

	if (cpu_long_mode(cpu)) {
		if (4 + 8 * cpl + 7 > cpu->tr.limit)
			raise_error(cpu, insn, EXCEPTION_TS, cpu->tr.selector & SELECTOR_ERROR);
		*ret_sp = system_load(cpu, insn, cpu->tr.base + 4 + 8 * cpl, 8);
		return (struct vcpu_segment){ .selector = (uint16_t)cpl,
					      .attributes = (uint16_t)(cpl << SEGMENT_DPL_SHIFT) };
	}
	if (offset + size + 1 > cpu->tr.limit)
		raise_error(cpu, insn, EXCEPTION_TS, cpu->tr.selector & SELECTOR_ERROR);
	*ret_sp = system_load(cpu, insn, cpu->tr.base + offset, size);
	ss = (uint16_t)system_load(cpu, insn, cpu->tr.base + offset + size, 2);
	return stack_segment_need(cpu, insn, ss, cpl, EXCEPTION_TS);
}

static void push_at(struct soft_cpu *cpu, const struct insn *insn, const struct vcpu_segment *ss,
		    uint64_t *sp, uint64_t value, unsigned size)
{
	uint64_t mask = size == 8 ? UINT64_MAX : ss->attributes & SEGMENT_DB ? UINT32_MAX : 0xffff;
	uint64_t at = (*sp - size) & mask;

	if (size != 8 && at + size - 1 > ss->limit && !(ss->attributes & SEGMENT_DOWN))
		raise_error(cpu, insn, EXCEPTION_SS, ss->selector & SELECTOR_ERROR);
	system_store(cpu, insn, size == 8 ? at : (uint32_t)(ss->base + at), value, size);
	*sp = (*sp & ~mask) | at;
}

static const struct insn *call_inward(struct soft_cpu *cpu, const struct insn *insn,
				      const struct call_gate *g, struct vcpu_segment cs)
{
	unsigned cpl = segment_dpl(cs.attributes);
	uint64_t parameters[31], sp;
	struct vcpu_segment ss = inner_stack(cpu, insn, cpl, &sp);

	for (unsigned i = 0; i < g->parameters; i++)
		parameters[i] = stack_load(cpu, insn, (int64_t)i * g->size, g->size);
	push_at(cpu, insn, &ss, &sp, cpu->segments[SEG_SS].selector, g->size);
	push_at(cpu, insn, &ss, &sp, cpu->gpr[GPR_RSP], g->size);
	for (unsigned i = g->parameters; i-- > 0;)
		push_at(cpu, insn, &ss, &sp, parameters[i], g->size);
	push_at(cpu, insn, &ss, &sp, cpu->segments[SEG_CS].selector, g->size);
	push_at(cpu, insn, &ss, &sp, rip_next(cpu, insn), g->size);
	check_offset(cpu, insn, &cs, g->offset);
	cpu->segments[SEG_SS] = ss;
	cpu->gpr[GPR_RSP] = sp;
	cs.selector = (uint16_t)((cs.selector & ~SELECTOR_RPL) | cpl);
	enter(cpu, insn, cs, cpl, g->offset);
	return NULL;
}

static void push_return(struct soft_cpu *cpu, const struct insn *insn, unsigned size)
{
	stack_store(cpu, insn, -(int64_t)size, cpu->segments[SEG_CS].selector, size);
	stack_store(cpu, insn, -2 * (int64_t)size, rip_next(cpu, insn), size);
}

static const struct insn *through_gate(struct soft_cpu *cpu, const struct insn *insn,
				       uint16_t selector, uint64_t d, uint64_t linear, bool call)
{
	struct call_gate g = read_call_gate(cpu, insn, selector, d, linear);
	uint64_t code, code_linear;
	struct vcpu_segment cs;
	uint16_t a;

	if (!(g.attributes & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_NP, selector & SELECTOR_ERROR);
	code = descriptor_need(cpu, insn, g.selector, EXCEPTION_GP, &code_linear);
	a = descriptor_attributes(code);
	if (!(a & SEGMENT_S) || !(a & SEGMENT_CODE) || segment_dpl(a) > cpu->cpl ||
	    (cpu_long_mode(cpu) && (a & (SEGMENT_L | SEGMENT_DB)) != SEGMENT_L) ||
	    (!call && !(a & SEGMENT_CONFORMS) && segment_dpl(a) != cpu->cpl))
		raise_error(cpu, insn, EXCEPTION_GP, g.selector & SELECTOR_ERROR);
	if (!(a & SEGMENT_P))
		raise_error(cpu, insn, EXCEPTION_NP, g.selector & SELECTOR_ERROR);
	descriptor_set_bit(cpu, insn, code_linear, code, 40, true);
	cs = segment_of((uint16_t)((g.selector & ~SELECTOR_RPL) | cpu->cpl), code | BIT(40));
	if (call && !(a & SEGMENT_CONFORMS) && segment_dpl(a) < cpu->cpl)
		return call_inward(cpu, insn, &g, cs);
	check_offset(cpu, insn, &cs, g.offset);
	if (call) {
		push_return(cpu, insn, g.size);
		stack_move(cpu, -2 * (int64_t)g.size);
	}
	return enter(cpu, insn, cs, cpu->cpl, g.offset);
}

static const struct insn *far_system(struct soft_cpu *cpu, const struct insn *insn,
				     uint16_t selector, uint64_t d, uint64_t linear, bool call)
{
	uint16_t a = descriptor_attributes(d);
	enum task_reason reason = call ? TASK_CALL : TASK_JUMP;

	if (segment_dpl(a) < MAX((unsigned)cpu->cpl, (unsigned)(selector & SELECTOR_RPL)))
		raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
	switch (a & SEGMENT_TYPE) {
	case SYSTEM_CALL_GATE16:
		if (cpu_long_mode(cpu))
			break;
		return through_gate(cpu, insn, selector, d, linear, call);
	case SYSTEM_CALL_GATE:
		return through_gate(cpu, insn, selector, d, linear, call);
	case SYSTEM_TASK_GATE:
		if (cpu_long_mode(cpu))
			break;
		if (!(a & SEGMENT_P))
			raise_error(cpu, insn, EXCEPTION_NP, selector & SELECTOR_ERROR);
		task_switch(cpu, insn, (uint16_t)bits_get(d, 16, 16), reason, rip_next(cpu, insn),
			    false, 0);
		return NULL;
	case SYSTEM_TSS16_AVAILABLE:
	case SYSTEM_TSS_AVAILABLE:
		if (cpu_long_mode(cpu))
			break;
		task_switch(cpu, insn, selector, reason, rip_next(cpu, insn), false, 0);
		return NULL;
	default:
		break;
	}
	raise_error(cpu, insn, EXCEPTION_GP, selector & SELECTOR_ERROR);
}

static const struct insn *far_go(struct soft_cpu *cpu, const struct insn *insn, uint16_t selector,
				 uint64_t offset, bool call)
{
	uint64_t d, linear;
	struct vcpu_segment cs;

	if (!has_descriptors(cpu))
		return far_real(cpu, insn, selector, offset, call);
	d = descriptor_need(cpu, insn, selector, EXCEPTION_GP, &linear);
	if (!(descriptor_attributes(d) & SEGMENT_S))
		return far_system(cpu, insn, selector, d, linear, call);
	cs = code_need(cpu, insn, selector, d, linear, false);
	check_offset(cpu, insn, &cs, offset);
	if (call) {
		push_return(cpu, insn, SIZE(insn));
		stack_move(cpu, -2 * (int64_t)SIZE(insn));
	}
	return enter(cpu, insn, cs, cpu->cpl, offset);
}

/* Direct: `imm` has the offset in bits 0 to 31 and the selector above. Indirect: offset, then
 * selector in memory. */
static const struct insn *far_direct(struct soft_cpu *cpu, const struct insn *insn, bool call)
{
	return far_go(cpu, insn, (uint16_t)(insn->imm >> 32),
		      cut(insn->imm & UINT32_MAX, SIZE(insn)), call);
}

static const struct insn *far_indirect(struct soft_cpu *cpu, const struct insn *insn, bool call)
{
	unsigned size = SIZE(insn);
	struct insn operand = *insn; /* `scale` is taken by the size */
	uint64_t linear, offset;
	uint16_t selector;

	operand.scale = insn->src;
	linear = ea_linear(cpu, &operand, size + 2, false);
	offset = load_slow(cpu, insn, linear, size);
	selector = load16(cpu, insn, linear + size);
	return far_go(cpu, insn, selector, offset, call);
}

HANDLER(far_jump_direct)
{
	return far_direct(cpu, insn, false);
}

HANDLER(far_call_direct)
{
	return far_direct(cpu, insn, true);
}

HANDLER(far_jump_indirect)
{
	return far_indirect(cpu, insn, false);
}

HANDLER(far_call_indirect)
{
	return far_indirect(cpu, insn, true);
}

/*
 * A return to an outer level leaves no segment register pointing to what that level must not see.
 * What 64-bit code sees of the base stays.
 */
static void drop_inner_segments(struct soft_cpu *cpu)
{
	static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };

	for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
		struct vcpu_segment *s = &cpu->segments[data[i]];
		uint16_t a = s->attributes;
		bool conforms = a & SEGMENT_CODE && a & SEGMENT_CONFORMS;

		if (a & SEGMENT_P && !conforms && segment_dpl(a) < cpu->cpl)
			*s = (struct vcpu_segment){ .base = s->base };
	}
}

/* The outer SS for a return to `cpl`. */
static struct vcpu_segment outer_stack(struct soft_cpu *cpu, const struct insn *insn,
				       uint16_t selector, const struct vcpu_segment *cs,
				       unsigned cpl)
{
	if (selector_is_null(selector) && cpu_long_mode(cpu) && cs->attributes & SEGMENT_L &&
	    cpl != 3 && (selector & SELECTOR_RPL) == cpl)
		return (struct vcpu_segment){ .selector = selector,
					      .attributes = (uint16_t)(cpl << SEGMENT_DPL_SHIFT) };
	return stack_segment_need(cpu, insn, selector, cpl, EXCEPTION_GP);
}

static void set_stack(struct soft_cpu *cpu, const struct vcpu_segment *ss, uint64_t sp,
		      const struct vcpu_segment *cs)
{
	cpu->segments[SEG_SS] = *ss;
	if (cpu_long_mode(cpu) && cs->attributes & SEGMENT_L)
		cpu->gpr[GPR_RSP] = sp;
	else if (ss->attributes & SEGMENT_DB)
		cpu->gpr[GPR_RSP] = (uint32_t)sp;
	else
		*reg16(cpu, REG_OFFSET(GPR_RSP)) = (uint16_t)sp;
}

HANDLER(far_return)
{
	unsigned size = SIZE(insn), release = (unsigned)(insn->imm & 0xffff);
	uint64_t rip = stack_load(cpu, insn, 0, size), d, linear, sp;
	uint16_t selector = (uint16_t)stack_load(cpu, insn, size, size);
	struct vcpu_segment cs, ss;
	unsigned cpl;

	if (!has_descriptors(cpu)) {
		if (rip > cpu->segments[SEG_CS].limit)
			raise_gp(cpu, insn);
		stack_move(cpu, 2 * size + release);
		segment_load_real(cpu, SEG_CS, selector);
		return leave_to_loop(cpu, insn, rip);
	}
	d = descriptor_need(cpu, insn, selector, EXCEPTION_GP, &linear);
	cs = code_need(cpu, insn, selector, d, linear, true);
	check_offset(cpu, insn, &cs, rip);
	cpl = selector & SELECTOR_RPL;
	if (cpl == cpu->cpl) {
		stack_move(cpu, 2 * size + release);
		return enter(cpu, insn, cs, cpl, rip);
	}
	sp = stack_load(cpu, insn, 2 * size + release, size);
	ss = outer_stack(cpu, insn, (uint16_t)stack_load(cpu, insn, 3 * size + release, size), &cs,
			 cpl);
	set_stack(cpu, &ss, sp + release, &cs);
	enter(cpu, insn, cs, cpl, rip);
	drop_inner_segments(cpu);
	return NULL;
}

/* What IRET and POPF may change at a privilege level. */
static uint64_t flags_mask(const struct soft_cpu *cpu, unsigned size)
{
	uint64_t mask = RFLAGS_ARITHMETIC | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT;

	if (size > 2)
		mask |= RFLAGS_RF | RFLAGS_AC | RFLAGS_ID;
	if (cpu->cpl <= (cpu->flags >> RFLAGS_IOPL_SHIFT & 3))
		mask |= RFLAGS_IF;
	if (!cpu->cpl) {
		mask |= RFLAGS_IOPL;
		if (size > 2)
			mask |= RFLAGS_VIF | RFLAGS_VIP;
	}
	return mask;
}

static const struct insn *iret_real(struct soft_cpu *cpu, const struct insn *insn)
{
	unsigned size = SIZE(insn);
	uint64_t rip = stack_load(cpu, insn, 0, size);
	uint16_t selector = (uint16_t)stack_load(cpu, insn, size, size);
	uint64_t flags = stack_load(cpu, insn, 2 * size, size);
	uint64_t mask = flags_mask(cpu, size);

	if (cpu_vm86(cpu)) {
		if ((cpu->flags & RFLAGS_IOPL) != RFLAGS_IOPL)
			raise_gp(cpu, insn);
		mask &= ~RFLAGS_IOPL;
	}
	if (rip > cpu->segments[SEG_CS].limit)
		raise_gp(cpu, insn);
	stack_move(cpu, 3 * size);
	segment_load_real(cpu, SEG_CS, selector);
	flags_write(cpu, flags, mask);
	cpu->events.nmi_masked = false;
	return leave_to_loop(cpu, insn, rip);
}

static const struct insn *iret_to_vm86(struct soft_cpu *cpu, const struct insn *insn, uint64_t rip,
				       uint16_t cs, uint64_t flags)
{
	static const uint8_t order[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
	uint64_t sp = stack_load(cpu, insn, 12, 4);
	uint16_t ss = (uint16_t)stack_load(cpu, insn, 16, 4);
	uint16_t selectors[ARRAY_SIZE(order)];

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		selectors[i] = (uint16_t)stack_load(cpu, insn, 20 + 4 * i, 4);
	flags_write(cpu, flags, flags_mask(cpu, 4) | RFLAGS_VM);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		segment_load_real(cpu, order[i], selectors[i]);
	segment_load_real(cpu, SEG_SS, ss);
	segment_load_real(cpu, SEG_CS, cs);
	cpu->gpr[GPR_RSP] = (uint32_t)sp;
	cpl_set(cpu, 3);
	cpu->events.nmi_masked = false;
	return leave_to_loop(cpu, insn, rip & 0xffff);
}

HANDLER(iret)
{
	unsigned size = SIZE(insn);
	uint64_t rip, flags, d, linear, sp = 0;
	struct vcpu_segment cs, ss = { 0 };
	uint16_t selector;
	unsigned cpl;
	bool outer;

	if (!has_descriptors(cpu))
		return iret_real(cpu, insn);
	if (cpu->flags & RFLAGS_NT) {
		if (cpu_long_mode(cpu))
			raise_gp(cpu, insn);
		task_switch(cpu, insn, (uint16_t)system_load(cpu, insn, cpu->tr.base, 2), TASK_IRET,
			    rip_next(cpu, insn), false, 0);
		return NULL;
	}
	rip = stack_load(cpu, insn, 0, size);
	selector = (uint16_t)stack_load(cpu, insn, size, size);
	flags = stack_load(cpu, insn, 2 * size, size);
	if (size == 4 && flags & RFLAGS_VM && !cpu->cpl && !cpu_long_mode(cpu))
		return iret_to_vm86(cpu, insn, rip, selector, flags);
	d = descriptor_need(cpu, insn, selector, EXCEPTION_GP, &linear);
	cs = code_need(cpu, insn, selector, d, linear, true);
	check_offset(cpu, insn, &cs, rip);
	cpl = selector & SELECTOR_RPL;
	outer = cpl != cpu->cpl || cpu_code64(cpu);
	if (outer) {
		sp = stack_load(cpu, insn, 3 * size, size);
		ss = outer_stack(cpu, insn, (uint16_t)stack_load(cpu, insn, 4 * size, size), &cs,
				 cpl);
		set_stack(cpu, &ss, sp, &cs);
	} else {
		stack_move(cpu, 3 * size);
	}
	flags_write(cpu, flags, flags_mask(cpu, size));
	cpu->events.nmi_masked = false;
	enter(cpu, insn, cs, cpl, rip);
	if (outer)
		drop_inner_segments(cpu);
	return NULL;
}

int far_choose(const struct decoding *d, struct insn *insn)
{
	bool call = d->z->mnemonic == ZYDIS_MNEMONIC_CALL;

	insn->src = insn->scale;
	insn->scale = d->z->operand_width / 8;
	if (d->z->mnemonic == ZYDIS_MNEMONIC_RET) {
		insn->exec = far_return;
	} else if (d->operands[0].type == ZYDIS_OPERAND_TYPE_POINTER) {
		insn->imm = d->operands[0].ptr.offset | (uint64_t)d->operands[0].ptr.segment << 32;
		insn->exec = call ? far_call_direct : far_jump_direct;
	} else if (d->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY) {
		insn->exec = call ? far_call_indirect : far_jump_indirect;
	} else {
		return -ENOENT;
	}
	return 0;
}

static int set_size(const struct decoding *d, struct insn *insn)
{
	insn->scale = d->z->operand_width / 8;
	return 0;
}

#define IRET_ROW(mnemonic)                                                                         \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, OP_END, { iret, iret, iret, iret }, set_size  \
	}

const struct op_row far_rows[] = { IRET_ROW(IRET), IRET_ROW(IRETD), IRET_ROW(IRETQ) };
const unsigned far_row_count = ARRAY_SIZE(far_rows);
