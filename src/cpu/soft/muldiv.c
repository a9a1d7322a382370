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
 * Division of the register pair. What the quotient does not fit is #DE, which is found first; then
 * the host's instruction divides and makes of the flags what it does.
 */
#define DIVIDE(bits, suffix, mod, name)                                                            \
	static inline void name##_host##bits(struct soft_cpu *cpu, uint##bits##_t by)              \
	{                                                                                          \
		uint64_t low = *reg64(cpu, RAX), high = *reg64(cpu, RDX), status = cpu->status;    \
                                                                                                   \
		asm("movq %2, %%rax\n\t" FLAGS_IN "\n\t"                                           \
		    "movq %0, %%rax\n\t" #name suffix " %" mod "3\n\t"                             \
		    "movq %%rax, %0\n\t" FLAGS_OUT "\n\t"                                          \
		    "movq %%rax, %2"                                                               \
		    : "+&r"(low), "+&d"(high), "+&r"(status)                                       \
		    : "r"(by)                                                                      \
		    : "rax", "cc");                                                                \
		cpu->status = (uint16_t)status;                                                    \
		*reg64(cpu, RAX) = low;                                                            \
		*reg64(cpu, RDX) = high;                                                           \
	}

#define DIV_OVERFLOWS(bits)                                                                        \
	static inline bool div_overflows##bits(struct soft_cpu *cpu, uint##bits##_t by)            \
	{                                                                                          \
		return by <= (uint##bits##_t)(dividend##bits(cpu) >> bits);                        \
	}

/* A dividend that is only sign-extended, the usual case, is quick to judge. */
#define IDIV_OVERFLOWS(bits, wide)                                                                 \
	static inline bool idiv_overflows##bits(struct soft_cpu *cpu, uint##bits##_t divisor)      \
	{                                                                                          \
		const wide most_negative = (wide)((u128)1 << (2 * bits - 1));                      \
		int##bits##_t by = (int##bits##_t)divisor;                                         \
		wide a = (wide)dividend##bits(cpu), quotient;                                      \
                                                                                                   \
		if (!by)                                                                           \
			return true;                                                               \
		if (a == (int##bits##_t)a)                                                         \
			return by == -1 && a == INT##bits##_MIN;                                   \
		if (by == -1 && a == most_negative)                                                \
			return true;                                                               \
		quotient = a / by;                                                                 \
		return quotient != (int##bits##_t)quotient;                                        \
	}

#define DIV_HANDLERS(bits, suffix, mod, name)                                                      \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t by = *reg##bits(cpu, insn->dst);                                    \
                                                                                                   \
		if (name##_overflows##bits(cpu, by))                                               \
			raise_fault(cpu, insn, EXCEPTION_DE);                                      \
		name##_host##bits(cpu, by);                                                        \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_m##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t by = LOAD_EA(bits);                                                 \
                                                                                                   \
		if (name##_overflows##bits(cpu, by))                                               \
			raise_fault(cpu, insn, EXCEPTION_DE);                                      \
		name##_host##bits(cpu, by);                                                        \
		return NEXT(cpu, insn);                                                            \
	}

#define DIVIDEND_DEFINE(bits, wide)                                                                \
	static inline wide dividend##bits(struct soft_cpu *cpu)                                    \
	{                                                                                          \
		return (wide)*reg##bits(cpu, RDX) << bits | *reg##bits(cpu, RAX);                  \
	}

static inline uint16_t dividend8(struct soft_cpu *cpu)
{
	return *reg16(cpu, RAX);
}

DIVIDEND_DEFINE(16, uint32_t)
DIVIDEND_DEFINE(32, uint64_t)
DIVIDEND_DEFINE(64, u128)

DIV_OVERFLOWS(8)
DIV_OVERFLOWS(16)
DIV_OVERFLOWS(32)
DIV_OVERFLOWS(64)
IDIV_OVERFLOWS(8, int16_t)
IDIV_OVERFLOWS(16, int32_t)
IDIV_OVERFLOWS(32, int64_t)
IDIV_OVERFLOWS(64, s128)
FOR_WIDTHS(DIVIDE, div)
FOR_WIDTHS(DIVIDE, idiv)
FOR_WIDTHS(DIV_HANDLERS, div)
FOR_WIDTHS(DIV_HANDLERS, idiv)

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
