/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B.
 *
 * In memory always with the host's LOCK: XCHG has it anyway, and for the others it does no harm
 * where the guest left it out. Spec: Intel SDM volume 2; volume 3, section 8.1.
 */
#include "cpu/soft/width_priv.h"

#define RAX REG_OFFSET(GPR_RAX)
#define RBX REG_OFFSET(GPR_RBX)
#define RCX REG_OFFSET(GPR_RCX)
#define RDX REG_OFFSET(GPR_RDX)

#define XCHG_DEFINE(bits, suffix, mod, name)                                                       \
	HANDLER(xchg_rr##bits)                                                                     \
	{                                                                                          \
		uint##bits##_t a = *reg##bits(cpu, insn->dst);                                     \
                                                                                                   \
		set_reg##bits(cpu, insn->dst, *reg##bits(cpu, insn->src));                         \
		set_reg##bits(cpu, insn->src, a);                                                  \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(xchg_mr##bits)                                                                     \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, true);                     \
		uint##bits##_t value = *reg##bits(cpu, insn->src);                                 \
                                                                                                   \
		asm volatile("xchg" suffix " %" mod "0, %1" : "+r"(value), "+m"(*p) : : "memory"); \
		rmw_end(cpu, insn, p);                                                             \
		set_reg##bits(cpu, insn->src, value);                                              \
		return NEXT(cpu, insn);                                                            \
	}

#define XADD_DEFINE(bits, suffix, mod, name)                                                       \
	HANDLER(xadd_rr##bits)                                                                     \
	{                                                                                          \
		uint##bits##_t a = *reg##bits(cpu, insn->dst), b = *reg##bits(cpu, insn->src);     \
		uint16_t status;                                                                   \
                                                                                                   \
		asm("xadd" suffix " %" mod "1, %" mod "0\n\t" FLAGS_OUT                            \
		    : "+r"(a), "+r"(b), "=&a"(status)                                              \
		    :                                                                              \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		set_reg##bits(cpu, insn->src, b);                                                  \
		set_reg##bits(cpu, insn->dst, a);                                                  \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(xadd_mr##bits)                                                                     \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, true);                     \
		uint##bits##_t b = *reg##bits(cpu, insn->src);                                     \
		uint16_t status;                                                                   \
                                                                                                   \
		asm volatile("lock xadd" suffix " %" mod "1, %0\n\t" FLAGS_OUT                     \
			     : "+m"(*p), "+r"(b), "=&a"(status)                                    \
			     :                                                                     \
			     : "cc", "memory");                                                    \
		rmw_end(cpu, insn, p);                                                             \
		cpu->status = status;                                                              \
		set_reg##bits(cpu, insn->src, b);                                                  \
		return NEXT(cpu, insn);                                                            \
	}

/*
 * The accumulator is written only when the comparison fails, a register as destination only when it
 * succeeds: else not even its upper half is cleared.
 */
#define CMPXCHG_DEFINE(bits, suffix, mod, name)                                                    \
	HANDLER(cmpxchg_rr##bits)                                                                  \
	{                                                                                          \
		uint##bits##_t a = *reg##bits(cpu, insn->dst), old = *reg##bits(cpu, RAX);         \
		uint16_t status;                                                                   \
                                                                                                   \
		asm("cmp" suffix " %" mod "1, %" mod "2\n\t" FLAGS_OUT                             \
		    : "=&a"(status)                                                                \
		    : "r"(a), "r"(old)                                                             \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		if (a == old)                                                                      \
			set_reg##bits(cpu, insn->dst, *reg##bits(cpu, insn->src));                 \
		else                                                                               \
			set_reg##bits(cpu, RAX, a);                                                \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(cmpxchg_mr##bits)                                                                  \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, true);                     \
		uint64_t old = *reg64(cpu, RAX), seen;                                             \
                                                                                                   \
		asm volatile("lock cmpxchg" suffix " %" mod "3, %1\n\t"                            \
			     "movq %%rax, %2\n\t" FLAGS_OUT                                        \
			     : "+a"(old), "+m"(*p), "=&r"(seen)                                    \
			     : "r"(*reg##bits(cpu, insn->src))                                     \
			     : "cc", "memory");                                                    \
		rmw_end(cpu, insn, p);                                                             \
		cpu->status = (uint16_t)old;                                                       \
		if (!(cpu->status & STATUS_ZF))                                                    \
			set_reg##bits(cpu, RAX, (uint##bits##_t)seen);                             \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDTHS(XCHG_DEFINE, xchg)
FOR_WIDTHS(XADD_DEFINE, xadd)
FOR_WIDTHS(CMPXCHG_DEFINE, cmpxchg)

/* CMPXCHG8B and CMPXCHG16B. The pair is written only when the comparison fails. */
#define PAIR_DEFINE(name, bytes, bits)                                                             \
	HANDLER(name)                                                                              \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bytes, true);                               \
		uint64_t low = *reg##bits(cpu, RAX), high = *reg##bits(cpu, RDX);                  \
		guest##bits(*p)[2];                                                                \
		bool equal;                                                                        \
                                                                                                   \
		if (bytes == 16 && linear & 15)                                                    \
			raise_gp(cpu, insn);                                                       \
		p = rmw_begin(cpu, insn, linear, bytes, true);                                     \
		asm volatile("lock " #name " %1"                                                   \
			     : "=@ccz"(equal), "+m"(*p), "+a"(low), "+d"(high)                     \
			     : "b"(*reg##bits(cpu, RBX)), "c"(*reg##bits(cpu, RCX))                \
			     : "memory");                                                          \
		rmw_end(cpu, insn, p);                                                             \
		cpu->status &= (uint16_t)~STATUS_ZF;                                               \
		if (equal) {                                                                       \
			cpu->status |= STATUS_ZF;                                                  \
		} else {                                                                           \
			set_reg##bits(cpu, RAX, (uint##bits##_t)low);                              \
			set_reg##bits(cpu, RDX, (uint##bits##_t)high);                             \
		}                                                                                  \
		return NEXT(cpu, insn);                                                            \
	}

PAIR_DEFINE(cmpxchg8b, 8, 32)
PAIR_DEFINE(cmpxchg16b, 16, 64)

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}

const struct op_row atomic_rows[] = {
	ROW(XCHG, FORM_RR, 0, EXEC_WIDTHS(xchg_rr)),
	ROW(XCHG, FORM_MR, 0, EXEC_WIDTHS(xchg_mr)),
	ROW(XCHG, FORM_MR, OP_LOCK, EXEC_WIDTHS(xchg_mr)),
	ROW(XADD, FORM_RR, 0, EXEC_WIDTHS(xadd_rr)),
	ROW(XADD, FORM_MR, 0, EXEC_WIDTHS(xadd_mr)),
	ROW(XADD, FORM_MR, OP_LOCK, EXEC_WIDTHS(xadd_mr)),
	ROW(CMPXCHG, FORM_RR, 0, EXEC_WIDTHS(cmpxchg_rr)),
	ROW(CMPXCHG, FORM_MR, 0, EXEC_WIDTHS(cmpxchg_mr)),
	ROW(CMPXCHG, FORM_MR, OP_LOCK, EXEC_WIDTHS(cmpxchg_mr)),
	ROW(CMPXCHG8B, FORM_M, 0, ANY_WIDTH(cmpxchg8b)),
	ROW(CMPXCHG8B, FORM_M, OP_LOCK, ANY_WIDTH(cmpxchg8b)),
	ROW(CMPXCHG16B, FORM_M, 0, ANY_WIDTH(cmpxchg16b)),
	ROW(CMPXCHG16B, FORM_M, OP_LOCK, ANY_WIDTH(cmpxchg16b)),
};
const unsigned atomic_row_count = ARRAY_SIZE(atomic_rows);
