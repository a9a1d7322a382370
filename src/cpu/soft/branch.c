/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Near branches: JMP, Jcc, CALL, RET, LOOPcc, JCXZ. Far ones are in far.c and share the mnemonics.
 *
 * In 64-bit code the target is 64 bits wide and has handlers of its own; in 16 and 32-bit code it
 * is cut to the operand size and checked against the code segment's limit. Spec: Intel SDM volume
 * 2; volume 3, section 5.3.
 */
#include <errno.h>

#include "cpu/soft/condition_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/segment_priv.h"
#include "cpu/soft/stack_priv.h"
#include "cpu/soft/width_priv.h"

#define RCX REG_OFFSET(GPR_RCX)

/* Which bits of the target count, in 16 and 32-bit code. */
static uint64_t target_legacy(struct soft_cpu *cpu, const struct insn *insn, uint64_t target,
			      unsigned bits)
{
	target &= bits == 16 ? 0xffff : UINT32_MAX;
	if (target > cpu->segments[SEG_CS].limit)
		raise_gp(cpu, insn);
	return target;
}

static inline void check_target(struct soft_cpu *cpu, const struct insn *insn, uint64_t target)
{
	if (unlikely(!linear_is_canonical(cpu, target)))
		raise_gp(cpu, insn);
}

HANDLER(jmp_i64)
{
	return leave_by_link(cpu, insn, 0, cpu->rip + insn->imm);
}

HANDLER(jmp_r64)
{
	uint64_t target = *reg64(cpu, insn->dst);

	check_target(cpu, insn, target);
	return leave_by_jump(cpu, insn, target);
}

HANDLER(jmp_m64)
{
	uint64_t target = LOAD_EA(64);

	check_target(cpu, insn, target);
	return leave_by_jump(cpu, insn, target);
}

HANDLER(call_i64)
{
	stack_push64(cpu, insn, rip_next(cpu, insn));
	return leave_by_link(cpu, insn, 0, cpu->rip + insn->imm);
}

HANDLER(call_r64)
{
	uint64_t target = *reg64(cpu, insn->dst);

	check_target(cpu, insn, target);
	stack_push64(cpu, insn, rip_next(cpu, insn));
	return leave_by_jump(cpu, insn, target);
}

HANDLER(call_m64)
{
	uint64_t target = LOAD_EA(64);

	check_target(cpu, insn, target);
	stack_push64(cpu, insn, rip_next(cpu, insn));
	return leave_by_jump(cpu, insn, target);
}

HANDLER(ret64)
{
	uint64_t target = stack_top64(cpu, insn);

	check_target(cpu, insn, target);
	cpu->gpr[GPR_RSP] += 8;
	return leave_by_jump(cpu, insn, target);
}

HANDLER(ret64_i)
{
	uint64_t target = stack_top64(cpu, insn);

	check_target(cpu, insn, target);
	cpu->gpr[GPR_RSP] += 8 + (insn->imm & 0xffff);
	return leave_by_jump(cpu, insn, target);
}

#define BRANCH_LEGACY(bits)                                                                        \
	HANDLER(jmp_i##bits)                                                                       \
	{                                                                                          \
		return leave_by_link(cpu, insn, 0,                                                 \
				     target_legacy(cpu, insn, cpu->rip + insn->imm, bits));        \
	}                                                                                          \
	HANDLER(jmp_r##bits)                                                                       \
	{                                                                                          \
		return leave_by_jump(cpu, insn,                                                    \
				     target_legacy(cpu, insn, *reg##bits(cpu, insn->dst), bits));  \
	}                                                                                          \
	HANDLER(jmp_m##bits)                                                                       \
	{                                                                                          \
		return leave_by_jump(cpu, insn, target_legacy(cpu, insn, LOAD_EA(bits), bits));    \
	}                                                                                          \
	HANDLER(call_i##bits)                                                                      \
	{                                                                                          \
		uint64_t target = target_legacy(cpu, insn, cpu->rip + insn->imm, bits);            \
                                                                                                   \
		stack_push(cpu, insn, rip_next(cpu, insn), bits / 8);                              \
		return leave_by_link(cpu, insn, 0, target);                                        \
	}                                                                                          \
	HANDLER(call_r##bits)                                                                      \
	{                                                                                          \
		uint64_t target = target_legacy(cpu, insn, *reg##bits(cpu, insn->dst), bits);      \
                                                                                                   \
		stack_push(cpu, insn, rip_next(cpu, insn), bits / 8);                              \
		return leave_by_jump(cpu, insn, target);                                           \
	}                                                                                          \
	HANDLER(call_m##bits)                                                                      \
	{                                                                                          \
		uint64_t target = target_legacy(cpu, insn, LOAD_EA(bits), bits);                   \
                                                                                                   \
		stack_push(cpu, insn, rip_next(cpu, insn), bits / 8);                              \
		return leave_by_jump(cpu, insn, target);                                           \
	}                                                                                          \
	/* With or without an immediate: it is zero when there is none. */                         \
	HANDLER(ret##bits)                                                                         \
	{                                                                                          \
		uint64_t target = stack_load(cpu, insn, 0, bits / 8);                              \
                                                                                                   \
		if (cpu_code64(cpu))                                                               \
			target &= bits_mask(bits);                                                 \
		else                                                                               \
			target = target_legacy(cpu, insn, target, bits);                           \
		stack_move(cpu, bits / 8 + (int64_t)(insn->imm & 0xffff));                         \
		return leave_by_jump(cpu, insn, target);                                           \
	}

BRANCH_LEGACY(16)
BRANCH_LEGACY(32)

/* A branch on anything: link 1 is the way to the target, link 0 the way on. */
static inline const struct insn *branch64(struct soft_cpu *cpu, const struct insn *insn, bool taken)
{
	if (taken)
		return leave_by_link(cpu, insn, 1, cpu->rip + insn->imm);
	return leave_by_link(cpu, insn, 0, rip_next(cpu, insn));
}

/* `seg` is free in branches and holds the operand's width. */
static inline const struct insn *branch_legacy(struct soft_cpu *cpu, const struct insn *insn,
					       bool taken)
{
	uint64_t mask = cpu_code64(cpu) ? UINT64_MAX : UINT32_MAX;

	if (!taken)
		return leave_by_link(cpu, insn, 0, rip_next(cpu, insn) & mask);
	if (cpu_code64(cpu)) /* a 16-bit branch there */
		return leave_by_link(cpu, insn, 1, (cpu->rip + insn->imm) & 0xffff);
	return leave_by_link(cpu, insn, 1,
			     target_legacy(cpu, insn, cpu->rip + insn->imm, insn->seg));
}

#define JCC_DEFINE(name, test)                                                                     \
	HANDLER(j##name##_64)                                                                      \
	{                                                                                          \
		return branch64(cpu, insn, condition_##name(cpu));                                 \
	}                                                                                          \
	HANDLER(j##name##_legacy)                                                                  \
	{                                                                                          \
		return branch_legacy(cpu, insn, condition_##name(cpu));                            \
	}

FOR_CONDITIONS(JCC_DEFINE)

/* LOOP and JCXZ count with CX, ECX or RCX by the address size, which is kept in `scale` as its
 * bytes. */
static inline uint64_t counter(const struct soft_cpu *cpu, const struct insn *insn)
{
	return cpu->gpr[GPR_RCX] & bits_mask(insn->scale * 8u);
}

static const struct insn *loop_if(struct soft_cpu *cpu, const struct insn *insn, bool condition)
{
	uint64_t count = (counter(cpu, insn) - 1) & bits_mask(insn->scale * 8u);
	bool taken = count && condition;

	if (taken && !cpu_code64(cpu)) /* a target out of bounds must leave the counter alone */
		target_legacy(cpu, insn, cpu->rip + insn->imm, insn->seg);
	if (insn->scale == 2)
		set_reg16(cpu, RCX, (uint16_t)count);
	else
		cpu->gpr[GPR_RCX] = count;
	if (insn->seg == 64)
		return branch64(cpu, insn, taken);
	return branch_legacy(cpu, insn, taken);
}

HANDLER(loop)
{
	return loop_if(cpu, insn, true);
}

HANDLER(loope)
{
	return loop_if(cpu, insn, condition_Z(cpu));
}

HANDLER(loopne)
{
	return loop_if(cpu, insn, condition_NZ(cpu));
}

HANDLER(jcxz)
{
	if (insn->seg == 64)
		return branch64(cpu, insn, !counter(cpu, insn));
	return branch_legacy(cpu, insn, !counter(cpu, insn));
}

static int set_widths(const struct decoding *d, struct insn *insn)
{
	insn->seg = d->z->operand_width;
	insn->scale = d->z->address_width / 8;
	return 0;
}

static int choose_ret(const struct decoding *d, struct insn *insn)
{
	static insn_exec *const near[] = { NULL, ret16, ret32, ret64 };

	if (d->z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return far_choose(d, insn);
	insn->exec = near[width_index(d->z->operand_width)];
	if (d->z->operand_width == 64 && insn->imm)
		insn->exec = ret64_i;
	return insn->exec ? 0 : -ENOENT;
}

/* JMP and CALL: near rows by form; everything else is far. */
static int choose_far(const struct decoding *d, struct insn *insn)
{
	if (d->z->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return -ENOENT;
	return far_choose(d, insn);
}

static int near_only(const struct decoding *d, struct insn *insn)
{
	if (d->z->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return far_choose(d, insn);
	return 0;
}

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}

#define NEAR_ROWS(mnemonic, name)                                                                  \
	ROW(mnemonic, FORM_I, OP_END | OP_LINK, { NULL, name##_i16, name##_i32, name##_i64 }),     \
		ROW(mnemonic, FORM_R, OP_END, { NULL, name##_r16, name##_r32, name##_r64 }),       \
		{ ZYDIS_MNEMONIC_##mnemonic,                                                       \
		  FORM_M,                                                                          \
		  OP_END,                                                                          \
		  { NULL, name##_m16, name##_m32, name##_m64 },                                    \
		  near_only },                                                                     \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_ANY, OP_END, ANY_WIDTH(op_undefined), choose_far   \
	}

#define JCC_ROWS(name, test)                                                                       \
	{ ZYDIS_MNEMONIC_J##name,                                                                  \
	  FORM_I,                                                                                  \
	  OP_END | OP_LINK2,                                                                       \
	  { NULL, j##name##_legacy, j##name##_legacy, j##name##_64 },                              \
	  set_widths },

#define COUNTER_ROW(mnemonic, name)                                                                \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, FORM_I, OP_END | OP_LINK2, ANY_WIDTH(name), set_widths  \
	}

const struct op_row branch_rows[] = {
	NEAR_ROWS(JMP, jmp),
	NEAR_ROWS(CALL, call),
	{ ZYDIS_MNEMONIC_RET, FORM_ANY, OP_END, ANY_WIDTH(op_undefined), choose_ret },
	FOR_CONDITIONS(JCC_ROWS) COUNTER_ROW(LOOP, loop),
	COUNTER_ROW(LOOPE, loope),
	COUNTER_ROW(LOOPNE, loopne),
	COUNTER_ROW(JCXZ, jcxz),
	COUNTER_ROW(JECXZ, jcxz),
	COUNTER_ROW(JRCXZ, jcxz),
};
const unsigned branch_row_count = ARRAY_SIZE(branch_rows);
