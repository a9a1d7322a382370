/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two-operand arithmetic and logic: ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST.
 *
 * The host's own instruction computes result and flags, on the guest's memory in place where it is
 * the destination. Spec: Intel SDM volume 2.
 */
#include "cpu/soft/width_priv.h"

/* The operation on values. `before` sets flags that it reads, and then wants the guest's in AX. */
#define ALU_VALUE(bits, suffix, mod, name, mnemonic, before, ax)                                   \
	static inline uint##bits##_t name##_value##bits(struct soft_cpu *cpu, uint##bits##_t a,    \
							uint##bits##_t b)                          \
	{                                                                                          \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(before mnemonic suffix " %" mod "2, %" mod "0\n\t" FLAGS_OUT                   \
		    : "+r"(a), ax(status)                                                          \
		    : "r"(b)                                                                       \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		return a;                                                                          \
	}

#define ALU_RMW(bits, suffix, mod, name, mnemonic, before, ax, lock, variant, operand)             \
	HANDLER(name##_##variant##bits)                                                            \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, sizeof(lock) > 1);         \
		uint##bits##_t b = (uint##bits##_t)(operand);                                      \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm volatile(before lock mnemonic suffix " %" mod "2, %0\n\t" FLAGS_OUT            \
			     : "+m"(*p), ax(status)                                                \
			     : "r"(b)                                                              \
			     : "cc", "memory");                                                    \
		rmw_end(cpu, insn, p);                                                             \
		cpu->status = status;                                                              \
		return NEXT(cpu, insn);                                                            \
	}

#define ALU_TO_REGISTER(bits, suffix, mod, name)                                                   \
	HANDLER(name##_rr##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst,                                                      \
			      name##_value##bits(cpu, *reg##bits(cpu, insn->dst),                  \
						 *reg##bits(cpu, insn->src)));                     \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_ri##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst,                                                      \
			      name##_value##bits(cpu, *reg##bits(cpu, insn->dst),                  \
						 (uint##bits##_t)insn->imm));                      \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_rm##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t b = LOAD_EA(bits);                                                  \
                                                                                                   \
		set_reg##bits(cpu, insn->dst,                                                      \
			      name##_value##bits(cpu, *reg##bits(cpu, insn->dst), b));             \
		return NEXT(cpu, insn);                                                            \
	}

/* CMP and TEST: flags only. */
#define ALU_TO_FLAGS(bits, suffix, mod, name)                                                      \
	HANDLER(name##_rr##bits)                                                                   \
	{                                                                                          \
		name##_value##bits(cpu, *reg##bits(cpu, insn->dst), *reg##bits(cpu, insn->src));   \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_ri##bits)                                                                   \
	{                                                                                          \
		name##_value##bits(cpu, *reg##bits(cpu, insn->dst), (uint##bits##_t)insn->imm);    \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_rm##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t b = LOAD_EA(bits);                                                  \
                                                                                                   \
		name##_value##bits(cpu, *reg##bits(cpu, insn->dst), b);                            \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_mr##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t a = LOAD_EA(bits);                                                  \
                                                                                                   \
		name##_value##bits(cpu, a, *reg##bits(cpu, insn->src));                            \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_mi##bits)                                                                   \
	{                                                                                          \
		uint##bits##_t a = LOAD_EA(bits);                                                  \
                                                                                                   \
		name##_value##bits(cpu, a, (uint##bits##_t)insn->imm);                             \
		return NEXT(cpu, insn);                                                            \
	}

#define ALU_DEFINE(name, mnemonic, before, ax)                                                     \
	FOR_WIDTHS(ALU_VALUE, name, mnemonic, before, ax)                                          \
	FOR_WIDTHS(ALU_TO_REGISTER, name)                                                          \
	FOR_WIDTHS(ALU_RMW, name, mnemonic, before, ax, "", mr, *reg64(cpu, insn->src))            \
	FOR_WIDTHS(ALU_RMW, name, mnemonic, before, ax, "", mi, insn->imm)                         \
	FOR_WIDTHS(ALU_RMW, name, mnemonic, before, ax, "lock ", lock_mr, *reg64(cpu, insn->src))  \
	FOR_WIDTHS(ALU_RMW, name, mnemonic, before, ax, "lock ", lock_mi, insn->imm)

#define COMPARE_DEFINE(name, mnemonic)                                                             \
	FOR_WIDTHS(ALU_VALUE, name, mnemonic, "", "=&a")                                           \
	FOR_WIDTHS(ALU_TO_FLAGS, name)

#define CARRY_IN "sahf\n\t"

ALU_DEFINE(add, "add", "", "=&a")
ALU_DEFINE(or, "or", "", "=&a")
ALU_DEFINE(adc, "adc", CARRY_IN, "+&a")
ALU_DEFINE(sbb, "sbb", CARRY_IN, "+&a")
ALU_DEFINE(and, "and", "", "=&a")
ALU_DEFINE(sub, "sub", "", "=&a")
ALU_DEFINE(xor, "xor", "", "=&a")
COMPARE_DEFINE(cmp, "cmp")
COMPARE_DEFINE(test, "test")

#define COMPARE_ROWS(mnemonic, name)                                                               \
	ROW(mnemonic, FORM_RR, 0, EXEC_WIDTHS(name##_rr)),                                         \
		ROW(mnemonic, FORM_RI, 0, EXEC_WIDTHS(name##_ri)),                                 \
		ROW(mnemonic, FORM_RM, 0, EXEC_WIDTHS(name##_rm)),                                 \
		ROW(mnemonic, FORM_MR, 0, EXEC_WIDTHS(name##_mr)),                                 \
		ROW(mnemonic, FORM_MI, 0, EXEC_WIDTHS(name##_mi))

#define ALU_ROWS(mnemonic, name)                                                                   \
	COMPARE_ROWS(mnemonic, name),                                                              \
		ROW(mnemonic, FORM_MR, OP_LOCK, EXEC_WIDTHS(name##_lock_mr)),                      \
		ROW(mnemonic, FORM_MI, OP_LOCK, EXEC_WIDTHS(name##_lock_mi))

const struct op_row alu_rows[] = {
	ALU_ROWS(ADD, add), ALU_ROWS(OR, or),       ALU_ROWS(ADC, adc),
	ALU_ROWS(SBB, sbb), ALU_ROWS(AND, and),     ALU_ROWS(SUB, sub),
	ALU_ROWS(XOR, xor), COMPARE_ROWS(CMP, cmp), COMPARE_ROWS(TEST, test),
};
const unsigned alu_row_count = ARRAY_SIZE(alu_rows);
