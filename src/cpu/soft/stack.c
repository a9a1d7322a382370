/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PUSH, POP, PUSHA, POPA, ENTER, LEAVE. Spec: Intel SDM volume 2; volume 1, section 6.2. */
#include "cpu/soft/stack_priv.h"

#include <errno.h>

#include "cpu/soft/segment_priv.h"
#include "cpu/soft/width_priv.h"

#define RBP REG_OFFSET(GPR_RBP)
#define RSP REG_OFFSET(GPR_RSP)

void stack_store(struct soft_cpu *cpu, const struct insn *insn, int64_t offset, uint64_t value,
		 unsigned size)
{
	uint64_t sp = (cpu->gpr[GPR_RSP] + (uint64_t)offset) & stack_mask(cpu);

	store_slow(cpu, insn, segment_linear(cpu, insn, SEG_SS, sp, size, true), value, size);
}

uint64_t stack_load(struct soft_cpu *cpu, const struct insn *insn, int64_t offset, unsigned size)
{
	uint64_t sp = (cpu->gpr[GPR_RSP] + (uint64_t)offset) & stack_mask(cpu);

	return load_slow(cpu, insn, segment_linear(cpu, insn, SEG_SS, sp, size, false), size);
}

HANDLER(push64_r)
{
	stack_push64(cpu, insn, *reg64(cpu, insn->dst));
	return NEXT(cpu, insn);
}

HANDLER(push64_i)
{
	stack_push64(cpu, insn, insn->imm);
	return NEXT(cpu, insn);
}

HANDLER(push64_m)
{
	uint64_t value = LOAD_EA(64);

	stack_push64(cpu, insn, value);
	return NEXT(cpu, insn);
}

HANDLER(pop64_r)
{
	uint64_t value = stack_top64(cpu, insn);

	cpu->gpr[GPR_RSP] += 8;
	*reg64(cpu, insn->dst) = value;
	return NEXT(cpu, insn);
}

#define PUSH_POP(bits, suffix, mod, name)                                                          \
	HANDLER(push_r##bits)                                                                      \
	{                                                                                          \
		stack_push(cpu, insn, *reg##bits(cpu, insn->dst), bits / 8);                       \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(push_i##bits)                                                                      \
	{                                                                                          \
		stack_push(cpu, insn, (uint##bits##_t)insn->imm, bits / 8);                        \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(push_m##bits)                                                                      \
	{                                                                                          \
		uint##bits##_t value = LOAD_EA(bits);                                              \
                                                                                                   \
		stack_push(cpu, insn, value, bits / 8);                                            \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(pop_r##bits)                                                                       \
	{                                                                                          \
		uint##bits##_t value = (uint##bits##_t)stack_load(cpu, insn, 0, bits / 8);         \
                                                                                                   \
		stack_move(cpu, bits / 8);                                                         \
		set_reg##bits(cpu, insn->dst, value);                                              \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	/* With RSP as base the address counts after the pop. */                                   \
	HANDLER(pop_m##bits)                                                                       \
	{                                                                                          \
		uint##bits##_t value = (uint##bits##_t)stack_load(cpu, insn, 0, bits / 8);         \
		uint64_t plus = insn->base == RSP ? bits / 8 : 0;                                  \
                                                                                                   \
		store##bits(cpu, insn, ea_linear_plus(cpu, insn, plus, bits / 8, true), value);    \
		stack_move(cpu, bits / 8);                                                         \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(leave##bits)                                                                       \
	{                                                                                          \
		uint64_t frame = cpu->gpr[GPR_RBP] & stack_mask(cpu);                              \
		uint64_t linear = segment_linear(cpu, insn, SEG_SS, frame, bits / 8, false);       \
		uint##bits##_t value = load##bits(cpu, insn, linear);                              \
                                                                                                   \
		cpu->gpr[GPR_RSP] = stack_merge(cpu, frame + bits / 8);                            \
		set_reg##bits(cpu, RBP, value);                                                    \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDE_WIDTHS(PUSH_POP, push)

HANDLER(push_segment)
{
	stack_push(cpu, insn, cpu->segments[insn->dst].selector, (unsigned)insn->imm);
	return NEXT(cpu, insn);
}

/* Only 16 bits of the stack need to be there. */
HANDLER(pop_segment)
{
	uint16_t selector = (uint16_t)stack_load(cpu, insn, 0, 2);

	segment_load(cpu, insn, insn->dst, selector);
	stack_move(cpu, (int64_t)insn->imm);
	if (insn->dst == SEG_SS)
		cpu->shadow = cpu->shadow_debug = true;
	return segment_loaded(cpu, insn);
}

static int choose_push(const struct decoding *d, struct insn *insn)
{
	bool segment = d->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		       ZydisRegisterGetClass(d->operands[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
	bool pop = d->z->mnemonic == ZYDIS_MNEMONIC_POP;

	if (segment) {
		insn->exec = pop ? pop_segment : push_segment;
		insn->imm = d->z->operand_width / 8;
		if (pop)
			segment_ends_block(d, insn, insn->dst);
	}
	return 0;
}

/* 64-bit code's usual forms, whose operand is 64 bits wide. */
static int choose_push64(const struct decoding *d, struct insn *insn)
{
	static insn_exec *const immediate[] = { NULL, push_i16, push_i32, push_i64 };

	if (d->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		insn->exec = d->z->operand_width == 64
				     ? push64_i
				     : immediate[width_index(d->z->operand_width)];
		return 0;
	}
	return choose_push(d, insn);
}

static const uint8_t all_order[8] = { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX,
				      GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };

static void push_all(struct soft_cpu *cpu, const struct insn *insn, unsigned size)
{
	for (unsigned i = 0; i < 8; i++)
		stack_store(cpu, insn, -(int64_t)(size * (i + 1)), cpu->gpr[all_order[i]], size);
	stack_move(cpu, -(int64_t)(8 * size));
}

static void pop_all(struct soft_cpu *cpu, const struct insn *insn, unsigned size)
{
	uint64_t values[8];

	for (unsigned i = 8; i-- > 0;)
		values[i] = stack_load(cpu, insn, size * (7 - i), size);
	for (unsigned i = 0; i < 8; i++) {
		if (all_order[i] == GPR_RSP)
			continue;
		if (size == 2)
			set_reg16(cpu, REG_OFFSET(all_order[i]), (uint16_t)values[i]);
		else
			set_reg32(cpu, REG_OFFSET(all_order[i]), (uint32_t)values[i]);
	}
	stack_move(cpu, 8 * size);
}

HANDLER(pusha16)
{
	push_all(cpu, insn, 2);
	return NEXT(cpu, insn);
}

HANDLER(pusha32)
{
	push_all(cpu, insn, 4);
	return NEXT(cpu, insn);
}

HANDLER(popa16)
{
	pop_all(cpu, insn, 2);
	return insn + 1;
}

HANDLER(popa32)
{
	pop_all(cpu, insn, 4);
	return insn + 1;
}

/* `imm` is the frame's size, `aux` the nesting level, `op` the operand's bytes. */
HANDLER(enter)
{
	unsigned size = insn->op, level = (unsigned)(uintptr_t)insn->aux & 31;
	uint64_t frame = cpu->gpr[GPR_RSP] - size, at = cpu->gpr[GPR_RBP];
	int64_t down = -(int64_t)size;

	stack_store(cpu, insn, down, cpu->gpr[GPR_RBP], size);
	for (unsigned i = 1; i < level; i++) {
		uint64_t linear;

		at -= size;
		linear = segment_linear(cpu, insn, SEG_SS, at & stack_mask(cpu), size, false);
		down -= size;
		stack_store(cpu, insn, down, load_slow(cpu, insn, linear, size), size);
	}
	if (level) {
		down -= size;
		stack_store(cpu, insn, down, frame, size);
	}
	down -= (int64_t)(insn->imm & 0xffff);
	/* The new top must be writable too. */
	store_probe(cpu, insn,
		    segment_linear(cpu, insn, SEG_SS,
				   (cpu->gpr[GPR_RSP] + (uint64_t)down) & stack_mask(cpu), 1, true),
		    1);
	stack_move(cpu, down);
	if (size == 2)
		set_reg16(cpu, RBP, (uint16_t)frame);
	else if (size == 4)
		set_reg32(cpu, RBP, (uint32_t)frame);
	else
		set_reg64(cpu, RBP, frame);
	return NEXT(cpu, insn);
}

static int choose_enter(const struct decoding *d, struct insn *insn)
{
	insn->imm = d->operands[0].imm.value.u;
	insn->aux = (const void *)(uintptr_t)(d->operands[1].imm.value.u & 0xff);
	insn->op = d->z->operand_width / 8;
	return 0;
}

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}

const struct op_row stack_rows[] = {
	{ ZYDIS_MNEMONIC_PUSH,
	  FORM_R,
	  OP_CODE64,
	  { push_r16, push_r16, push_r32, push64_r },
	  choose_push },
	{ ZYDIS_MNEMONIC_PUSH, FORM_M, OP_CODE64, { NULL, push_m16, NULL, push64_m }, NULL },
	{ ZYDIS_MNEMONIC_PUSH, FORM_I, 0, ANY_WIDTH(push_i16), choose_push64 },
	{ ZYDIS_MNEMONIC_PUSH, FORM_R, 0, { NULL, push_r16, push_r32, push_r64 }, choose_push },
	{ ZYDIS_MNEMONIC_PUSH, FORM_M, 0, { NULL, push_m16, push_m32, push_m64 }, NULL },
	{ ZYDIS_MNEMONIC_POP, FORM_R, OP_CODE64, { NULL, pop_r16, NULL, pop64_r }, choose_push },
	{ ZYDIS_MNEMONIC_POP, FORM_R, 0, { NULL, pop_r16, pop_r32, pop_r64 }, choose_push },
	{ ZYDIS_MNEMONIC_POP, FORM_M, 0, { NULL, pop_m16, pop_m32, pop_m64 }, NULL },
	ROW(LEAVE, FORM_ANY, 0, { NULL, leave16, leave32, leave64 }),
	ROW(PUSHA, FORM_ANY, OP_LEGACY, ANY_WIDTH(pusha16)),
	ROW(PUSHAD, FORM_ANY, OP_LEGACY, ANY_WIDTH(pusha32)),
	ROW(POPA, FORM_ANY, OP_LEGACY, ANY_WIDTH(popa16)),
	ROW(POPAD, FORM_ANY, OP_LEGACY, ANY_WIDTH(popa32)),
	{ ZYDIS_MNEMONIC_ENTER, FORM_ANY, 0, ANY_WIDTH(enter), choose_enter },
};
const unsigned stack_row_count = ARRAY_SIZE(stack_rows);
