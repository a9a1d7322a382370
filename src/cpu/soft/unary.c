/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One-operand arithmetic: INC, DEC, NEG, NOT. Spec: Intel SDM volume 2. */
#include "cpu/soft/width_priv.h"

#define UNARY_DEFINE(bits, suffix, mod, name, mnemonic)                                            \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t a = *reg##bits(cpu, insn->dst);                                     \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(FLAGS_IN "\n\t" mnemonic suffix " %" mod "0\n\t" FLAGS_OUT                     \
		    : "+r"(a), "+&a"(status)                                                       \
		    :                                                                              \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		set_reg##bits(cpu, insn->dst, a);                                                  \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	UNARY_RMW(bits, suffix, mod, name, mnemonic, "", m)                                        \
	UNARY_RMW(bits, suffix, mod, name, mnemonic, "lock ", lock_m)

#define UNARY_RMW(bits, suffix, mod, name, mnemonic, lock, variant)                                \
	HANDLER(name##_##variant##bits)                                                            \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, sizeof(lock) > 1);         \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm volatile(FLAGS_IN "\n\t" lock mnemonic suffix " %0\n\t" FLAGS_OUT              \
			     : "+m"(*p), "+&a"(status)                                             \
			     :                                                                     \
			     : "cc", "memory");                                                    \
		rmw_end(cpu, insn, p);                                                             \
		cpu->status = status;                                                              \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDTHS(UNARY_DEFINE, inc, "inc")
FOR_WIDTHS(UNARY_DEFINE, dec, "dec")
FOR_WIDTHS(UNARY_DEFINE, neg, "neg")
FOR_WIDTHS(UNARY_DEFINE, not, "not")

#define UNARY_ROWS(mnemonic, name)                                                                 \
	ROW(mnemonic, FORM_R, 0, EXEC_WIDTHS(name##_r)),                                           \
		ROW(mnemonic, FORM_M, 0, EXEC_WIDTHS(name##_m)),                                   \
		ROW(mnemonic, FORM_M, OP_LOCK, EXEC_WIDTHS(name##_lock_m))

const struct op_row unary_rows[] = {
	UNARY_ROWS(INC, inc),
	UNARY_ROWS(DEC, dec),
	UNARY_ROWS(NEG, neg),
	UNARY_ROWS(NOT, not ),
};
const unsigned unary_row_count = ARRAY_SIZE(unary_rows);
