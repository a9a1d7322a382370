/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MUL, IMUL, DIV, IDIV.
 *
 * Division is checked before the host's instruction runs, so that it never faults. Spec: Intel SDM
 * volume 2.
 */
#include "cpu/soft/width_priv.h"

#define RAX REG_OFFSET(GPR_RAX)
#define RDX REG_OFFSET(GPR_RDX)

/*
 * One-operand multiplication into the register pair. The flags go in before and come out after,
 * because some keep their value; MOV and XCHG in between do not touch them.
 */
#define MUL_PAIR(bits, suffix, mod, name, mnemonic)                                                \
	static inline void name##_pair##bits(struct soft_cpu *cpu, uint##bits##_t b)               \
	{                                                                                          \
		uint64_t low = *reg##bits(cpu, RAX), high, status = cpu->status;                   \
                                                                                                   \
		asm("movq %2, %%rax\n\t" FLAGS_IN "\n\t"                                           \
		    "movq %0, %%rax\n\t" mnemonic suffix " %" mod "3\n\t"                          \
		    "movq %%rax, %0\n\t" FLAGS_OUT "\n\t"                                          \
		    "movq %%rax, %2"                                                               \
		    : "+&r"(low), "=&d"(high), "+&r"(status)                                       \
		    : "r"(b)                                                                       \
		    : "rax", "cc");                                                                \
		cpu->status = (uint16_t)status;                                                    \
		set_reg##bits(cpu, RAX, (uint##bits##_t)low);                                      \
		set_reg##bits(cpu, RDX, (uint##bits##_t)high);                                     \
	}

/* The 8-bit form's product is all in AX. */
#define MUL_BYTE(name, mnemonic)                                                                   \
	static inline void name##_pair8(struct soft_cpu *cpu, uint8_t b)                           \
	{                                                                                          \
		uint64_t low = *reg8(cpu, RAX), status = cpu->status;                              \
                                                                                                   \
		asm("movq %1, %%rax\n\t" FLAGS_IN "\n\t"                                           \
		    "movq %0, %%rax\n\t" mnemonic "b %b2\n\t"                                      \
		    "movq %%rax, %0\n\t" FLAGS_OUT "\n\t"                                          \
		    "movq %%rax, %1"                                                               \
		    : "+&r"(low), "+&r"(status)                                                    \
		    : "r"(b)                                                                       \
		    : "rax", "cc");                                                                \
		cpu->status = (uint16_t)status;                                                    \
		set_reg16(cpu, RAX, (uint16_t)low);                                                \
	}

#define PAIR_HANDLERS(bits, suffix, mod, name)                                                     \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		name##_pair##bits(cpu, *reg##bits(cpu, insn->dst));                                \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_m##bits)                                                                    \
	{                                                                                          \
		name##_pair##bits(cpu, LOAD_EA(bits));                                             \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDE_WIDTHS(MUL_PAIR, mul, "mul")
FOR_WIDE_WIDTHS(MUL_PAIR, imul, "imul")
MUL_BYTE(mul, "mul")
MUL_BYTE(imul, "imul")
FOR_WIDTHS(PAIR_HANDLERS, mul)
FOR_WIDTHS(PAIR_HANDLERS, imul)

#define IMUL_DEFINE(bits, suffix, mod, name)                                                       \
	static inline uint##bits##_t imul_value##bits(struct soft_cpu *cpu, uint##bits##_t a,      \
						      uint##bits##_t b)                            \
	{                                                                                          \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(FLAGS_IN "\n\timul" suffix " %" mod "2, %" mod "0\n\t" FLAGS_OUT               \
		    : "+r"(a), "+&a"(status)                                                       \
		    : "r"(b)                                                                       \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		return a;                                                                          \
	}                                                                                          \
	HANDLER(imul_rr##bits)                                                                     \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst,                                                      \
			      imul_value##bits(cpu, *reg##bits(cpu, insn->dst),                    \
					       *reg##bits(cpu, insn->src)));                       \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(imul_rm##bits)                                                                     \
	{                                                                                          \
		uint##bits##_t b = LOAD_EA(bits);                                                  \
                                                                                                   \
		set_reg##bits(cpu, insn->dst,                                                      \
			      imul_value##bits(cpu, *reg##bits(cpu, insn->dst), b));               \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(imul_rri##bits)                                                                    \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst,                                                      \
			      imul_value##bits(cpu, *reg##bits(cpu, insn->src),                    \
					       (uint##bits##_t)insn->imm));                        \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(imul_rmi##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t a = LOAD_EA(bits);                                                  \
                                                                                                   \
		set_reg##bits(cpu, insn->dst,                                                      \
			      imul_value##bits(cpu, a, (uint##bits##_t)insn->imm));                \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDE_WIDTHS(IMUL_DEFINE, imul)

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

/*
 * Division by way of a C type twice as wide; what the quotient does not fit is #DE. Flags are
 * undefined afterwards; this family of processors keeps them.
 */
#define DIV_DEFINE(bits, name, type, wide, is_signed)                                              \
	static inline void name##_pair##bits(struct soft_cpu *cpu, const struct insn *insn,        \
					     type by)                                              \
	{                                                                                          \
		const wide most_negative = (wide)((u128)1 << (2 * bits - 1));                      \
		wide a = (wide)dividend##bits(cpu), quotient;                                      \
                                                                                                   \
		/* The most negative number by -1 would trap on the host. */                       \
		if (!by || (is_signed && a == most_negative && by == (type)-1))                    \
			raise_fault(cpu, insn, EXCEPTION_DE);                                      \
		quotient = a / by;                                                                 \
		if (quotient != (type)quotient)                                                    \
			raise_fault(cpu, insn, EXCEPTION_DE);                                      \
		set_divided##bits(cpu, (uint##bits##_t)quotient, (uint##bits##_t)(a % by));        \
	}                                                                                          \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		name##_pair##bits(cpu, insn, (type)*reg##bits(cpu, insn->dst));                    \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_m##bits)                                                                    \
	{                                                                                          \
		name##_pair##bits(cpu, insn, (type)LOAD_EA(bits));                                 \
		return NEXT(cpu, insn);                                                            \
	}

#define DIVIDEND_DEFINE(bits, wide)                                                                \
	static inline wide dividend##bits(struct soft_cpu *cpu)                                    \
	{                                                                                          \
		return (wide)*reg##bits(cpu, RDX) << bits | *reg##bits(cpu, RAX);                  \
	}                                                                                          \
	static inline void set_divided##bits(struct soft_cpu *cpu, uint##bits##_t quotient,        \
					     uint##bits##_t rest)                                  \
	{                                                                                          \
		set_reg##bits(cpu, RAX, quotient);                                                 \
		set_reg##bits(cpu, RDX, rest);                                                     \
	}

static inline uint16_t dividend8(struct soft_cpu *cpu)
{
	return *reg16(cpu, RAX);
}

static inline void set_divided8(struct soft_cpu *cpu, uint8_t quotient, uint8_t rest)
{
	set_reg16(cpu, RAX, (uint16_t)(rest << 8 | quotient));
}

DIVIDEND_DEFINE(16, uint32_t)
DIVIDEND_DEFINE(32, uint64_t)
DIVIDEND_DEFINE(64, u128)

DIV_DEFINE(8, div, uint8_t, uint16_t, false)
DIV_DEFINE(16, div, uint16_t, uint32_t, false)
DIV_DEFINE(32, div, uint32_t, uint64_t, false)
DIV_DEFINE(64, div, uint64_t, u128, false)
DIV_DEFINE(8, idiv, int8_t, int16_t, true)
DIV_DEFINE(16, idiv, int16_t, int32_t, true)
DIV_DEFINE(32, idiv, int32_t, int64_t, true)
DIV_DEFINE(64, idiv, int64_t, s128, true)

#define PAIR_ROWS(mnemonic, name)                                                                  \
	ROW(mnemonic, FORM_R, 0, EXEC_WIDTHS(name##_r)),                                           \
		ROW(mnemonic, FORM_M, 0, EXEC_WIDTHS(name##_m))

const struct op_row muldiv_rows[] = {
	PAIR_ROWS(MUL, mul),
	PAIR_ROWS(IMUL, imul),
	ROW(IMUL, FORM_RR, 0, EXEC_WIDE_WIDTHS(imul_rr)),
	ROW(IMUL, FORM_RM, 0, EXEC_WIDE_WIDTHS(imul_rm)),
	ROW(IMUL, FORM_RRI, 0, EXEC_WIDE_WIDTHS(imul_rri)),
	ROW(IMUL, FORM_RMI, 0, EXEC_WIDE_WIDTHS(imul_rmi)),
	PAIR_ROWS(DIV, div),
	PAIR_ROWS(IDIV, idiv),
};
const unsigned muldiv_row_count = ARRAY_SIZE(muldiv_rows);
