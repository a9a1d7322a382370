/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BT, BTS, BTR, BTC, BSF, BSR. Spec: Intel SDM volume 2. */
#include "cpu/soft/width_priv.h"

/* With a register as index the bit string reaches beyond the operand: bytes to add to the address. */
#define STRING_OFFSET(bits)                                                                        \
	static inline uint64_t string_offset##bits(struct soft_cpu *cpu, const struct insn *insn)  \
	{                                                                                          \
		int64_t index = (int##bits##_t) * reg##bits(cpu, insn->src);                       \
                                                                                                   \
		return (uint64_t)(index >> __builtin_ctz(bits)) * (bits / 8);                      \
	}

STRING_OFFSET(16)
STRING_OFFSET(32)
STRING_OFFSET(64)

#define BIT_VALUE(bits, suffix, mod, name)                                                         \
	static inline uint##bits##_t name##_value##bits(struct soft_cpu *cpu, uint##bits##_t a,    \
							uint##bits##_t index)                      \
	{                                                                                          \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(FLAGS_IN "\n\t" #name suffix " %" mod "2, %" mod "0\n\t" FLAGS_OUT             \
		    : "+r"(a), "+&a"(status)                                                       \
		    : "r"(index)                                                                   \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		return a;                                                                          \
	}

#define BIT_REGISTER(bits, suffix, mod, name)                                                      \
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
	}

#define BIT_MEMORY(bits, suffix, mod, name, lock, variant, offset, index)                          \
	HANDLER(name##_##variant##bits)                                                            \
	{                                                                                          \
		uint64_t linear = ea_linear_plus(cpu, insn, offset, bits / 8, true);               \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, sizeof(lock) > 1);         \
		uint##bits##_t at = (uint##bits##_t)(index) & (bits - 1);                          \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm volatile(FLAGS_IN "\n\t" lock #name suffix " %" mod "2, %0\n\t" FLAGS_OUT      \
			     : "+m"(*p), "+&a"(status)                                             \
			     : "r"(at)                                                             \
			     : "cc", "memory");                                                    \
		rmw_end(cpu, insn, p);                                                             \
		cpu->status = status;                                                              \
		return NEXT(cpu, insn);                                                            \
	}

#define BIT_TEST_MEMORY(bits, suffix, mod)                                                         \
	HANDLER(bt_mr##bits)                                                                       \
	{                                                                                          \
		uint64_t linear = ea_linear_plus(cpu, insn, string_offset##bits(cpu, insn),        \
						 bits / 8, false);                                 \
                                                                                                   \
		bt_value##bits(cpu, load##bits(cpu, insn, linear), *reg##bits(cpu, insn->src));    \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(bt_mi##bits)                                                                       \
	{                                                                                          \
		bt_value##bits(cpu, LOAD_EA(bits), (uint##bits##_t)insn->imm);                     \
		return NEXT(cpu, insn);                                                            \
	}

#define BIT_MEMORY_WIDTH(bits, suffix, mod, name)                                                  \
	BIT_MEMORY(bits, suffix, mod, name, "", mr, string_offset##bits(cpu, insn),                \
		   *reg##bits(cpu, insn->src))                                                     \
	BIT_MEMORY(bits, suffix, mod, name, "", mi, 0, insn->imm)                                  \
	BIT_MEMORY(bits, suffix, mod, name, "lock ", lock_mr, string_offset##bits(cpu, insn),      \
		   *reg##bits(cpu, insn->src))                                                     \
	BIT_MEMORY(bits, suffix, mod, name, "lock ", lock_mi, 0, insn->imm)

#define BIT_DEFINE(name)                                                                           \
	FOR_WIDE_WIDTHS(BIT_VALUE, name)                                                           \
	FOR_WIDE_WIDTHS(BIT_REGISTER, name)                                                        \
	FOR_WIDE_WIDTHS(BIT_MEMORY_WIDTH, name)

#define BIT_TEST_REGISTER(bits, suffix, mod, name)                                                 \
	HANDLER(name##_rr##bits)                                                                   \
	{                                                                                          \
		name##_value##bits(cpu, *reg##bits(cpu, insn->dst), *reg##bits(cpu, insn->src));   \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_ri##bits)                                                                   \
	{                                                                                          \
		name##_value##bits(cpu, *reg##bits(cpu, insn->dst), (uint##bits##_t)insn->imm);    \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDE_WIDTHS(BIT_VALUE, bt)
FOR_WIDE_WIDTHS(BIT_TEST_REGISTER, bt)
BIT_TEST_MEMORY(16, "w", "w")
BIT_TEST_MEMORY(32, "l", "k")
BIT_TEST_MEMORY(64, "q", "q")
BIT_DEFINE(bts)
BIT_DEFINE(btr)
BIT_DEFINE(btc)

/* A source of zero leaves the destination as it is, on this family of processors and in today's
 * manuals. */
#define SCAN_DEFINE(bits, suffix, mod, name)                                                       \
	static inline void name##_value##bits(struct soft_cpu *cpu, const struct insn *insn,       \
					      uint##bits##_t source)                               \
	{                                                                                          \
		uint64_t a = *reg64(cpu, insn->dst);                                               \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(FLAGS_IN "\n\t" #name suffix " %" mod "2, %" mod "0\n\t" FLAGS_OUT             \
		    : "+r"(a), "+&a"(status)                                                       \
		    : "r"(source)                                                                  \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		*reg64(cpu, insn->dst) = a;                                                        \
	}                                                                                          \
	HANDLER(name##_rr##bits)                                                                   \
	{                                                                                          \
		name##_value##bits(cpu, insn, *reg##bits(cpu, insn->src));                         \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_rm##bits)                                                                   \
	{                                                                                          \
		name##_value##bits(cpu, insn, LOAD_EA(bits));                                      \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDE_WIDTHS(SCAN_DEFINE, bsf)
FOR_WIDE_WIDTHS(SCAN_DEFINE, bsr)

#define TEST_ROWS(mnemonic, name)                                                                  \
	ROW(mnemonic, FORM_RR, 0, EXEC_WIDE_WIDTHS(name##_rr)),                                    \
		ROW(mnemonic, FORM_RI, 0, EXEC_WIDE_WIDTHS(name##_ri)),                            \
		ROW(mnemonic, FORM_MR, 0, EXEC_WIDE_WIDTHS(name##_mr)),                            \
		ROW(mnemonic, FORM_MI, 0, EXEC_WIDE_WIDTHS(name##_mi))

#define CHANGE_ROWS(mnemonic, name)                                                                \
	TEST_ROWS(mnemonic, name),                                                                 \
		ROW(mnemonic, FORM_MR, OP_LOCK, EXEC_WIDE_WIDTHS(name##_lock_mr)),                 \
		ROW(mnemonic, FORM_MI, OP_LOCK, EXEC_WIDE_WIDTHS(name##_lock_mi))

const struct op_row bit_rows[] = {
	TEST_ROWS(BT, bt),
	CHANGE_ROWS(BTS, bts),
	CHANGE_ROWS(BTR, btr),
	CHANGE_ROWS(BTC, btc),
	ROW(BSF, FORM_RR, 0, EXEC_WIDE_WIDTHS(bsf_rr)),
	ROW(BSF, FORM_RM, 0, EXEC_WIDE_WIDTHS(bsf_rm)),
	ROW(BSR, FORM_RR, 0, EXEC_WIDE_WIDTHS(bsr_rr)),
	ROW(BSR, FORM_RM, 0, EXEC_WIDE_WIDTHS(bsr_rm)),
};
const unsigned bit_row_count = ARRAY_SIZE(bit_rows);
