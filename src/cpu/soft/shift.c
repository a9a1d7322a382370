/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shifts and rotates: ROL, ROR, RCL, RCR, SHL, SHR, SAR, SHLD, SHRD.
 *
 * The guest's flags are loaded before the host's instruction runs: a count of zero leaves them
 * alone, and rotates leave most of them. Spec: Intel SDM volume 2.
 */
#include "cpu/soft/native_priv.h"
#include "cpu/soft/width_priv.h"

#define SHIFT_VALUE(bits, suffix, mod, name, mnemonic)                                             \
	static inline uint##bits##_t name##_value##bits(struct soft_cpu *cpu, uint##bits##_t a,    \
							uint8_t count)                             \
	{                                                                                          \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(FLAGS_IN "\n\t" mnemonic suffix " %%cl, %" mod "0\n\t" FLAGS_OUT               \
		    : "+r"(a), "+&a"(status)                                                       \
		    : "c"(count)                                                                   \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		return a;                                                                          \
	}

#define SHIFT_REGISTER(bits, suffix, mod, name, variant, count)                                    \
	HANDLER(name##_r##variant##bits)                                                           \
	{                                                                                          \
		set_reg##bits(                                                                     \
			cpu, insn->dst,                                                            \
			name##_value##bits(cpu, *reg##bits(cpu, insn->dst), (uint8_t)(count)));    \
		return NEXT(cpu, insn);                                                            \
	}

#define SHIFT_MEMORY(bits, suffix, mod, name, variant, count)                                      \
	HANDLER(name##_m##variant##bits)                                                           \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, false);                    \
                                                                                                   \
		*p = name##_value##bits(cpu, *p, (uint8_t)(count));                                \
		rmw_end(cpu, insn, p);                                                             \
		return NEXT(cpu, insn);                                                            \
	}

/* All but a register by an immediate count. */
#define SHIFT_VARIANTS(name, mnemonic)                                                             \
	FOR_WIDTHS(SHIFT_VALUE, name, mnemonic)                                                    \
	FOR_WIDTHS(SHIFT_REGISTER, name, r, *reg8(cpu, REG_OFFSET(GPR_RCX)))                       \
	FOR_WIDTHS(SHIFT_MEMORY, name, i, insn->imm)                                               \
	FOR_WIDTHS(SHIFT_MEMORY, name, r, *reg8(cpu, REG_OFFSET(GPR_RCX)))

#define SHIFT_DEFINE(name, mnemonic)                                                               \
	SHIFT_VARIANTS(name, mnemonic)                                                             \
	FOR_WIDTHS(SHIFT_REGISTER, name, i, insn->imm)

SHIFT_VARIANTS(rol, "rol")
SHIFT_VARIANTS(ror, "ror")

/*
 * OF is undefined behind a rotation by more than 1. Intel's processors leave it alone where a register is
 * rotated by an immediate count, and compute it elsewhere, as for the host's instruction above.
 */
static inline void keep_overflow(struct soft_cpu *cpu, uint16_t before, unsigned count)
{
	if (count != 1 && !native_host(cpu->native)->amd)
		cpu->status = (cpu->status & ~STATUS_OF) | (before & STATUS_OF);
}

#define ROTATE_VALUE(bits, suffix, mod, name, rotate)                                              \
	static inline uint##bits##_t name##_value##bits(struct soft_cpu *cpu, uint##bits##_t a,    \
							uint8_t count)                             \
	{                                                                                          \
		uint16_t before = cpu->status;                                                     \
                                                                                                   \
		a = rotate##_value##bits(cpu, a, count);                                           \
		keep_overflow(cpu, before, count &(bits == 64 ? 63 : 31));                         \
		return a;                                                                          \
	}

#define ROTATE_DEFINE(name, rotate)                                                                \
	FOR_WIDTHS(ROTATE_VALUE, name, rotate)                                                     \
	FOR_WIDTHS(SHIFT_REGISTER, name, i, insn->imm)

ROTATE_DEFINE(rol_by, rol)
ROTATE_DEFINE(ror_by, ror)
SHIFT_DEFINE(rcl, "rcl")
SHIFT_DEFINE(rcr, "rcr")
SHIFT_DEFINE(shl, "shl")
SHIFT_DEFINE(shr, "shr")
SHIFT_DEFINE(sar, "sar")

/* SHLD, SHRD: bits come from a second register, in dst/src order of the manual. */
#define DOUBLE_VALUE(bits, suffix, mod, name, mnemonic)                                            \
	static inline uint##bits##_t name##_value##bits(struct soft_cpu *cpu, uint##bits##_t a,    \
							uint##bits##_t b, uint8_t count)           \
	{                                                                                          \
		uint16_t status = cpu->status;                                                     \
                                                                                                   \
		asm(FLAGS_IN "\n\t" mnemonic suffix " %%cl, %" mod "2, %" mod "0\n\t" FLAGS_OUT    \
		    : "+r"(a), "+&a"(status)                                                       \
		    : "r"(b), "c"(count)                                                           \
		    : "cc");                                                                       \
		cpu->status = status;                                                              \
		return a;                                                                          \
	}

#define DOUBLE_HANDLERS(bits, suffix, mod, name, variant, count)                                   \
	HANDLER(name##_rr##variant##bits)                                                          \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst,                                                      \
			      name##_value##bits(cpu, *reg##bits(cpu, insn->dst),                  \
						 *reg##bits(cpu, insn->src), (uint8_t)(count)));   \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_mr##variant##bits)                                                          \
	{                                                                                          \
		uint64_t linear = ea_linear(cpu, insn, bits / 8, true);                            \
		guest##bits *p = rmw_begin(cpu, insn, linear, bits / 8, false);                    \
                                                                                                   \
		*p = name##_value##bits(cpu, *p, *reg##bits(cpu, insn->src), (uint8_t)(count));    \
		rmw_end(cpu, insn, p);                                                             \
		return NEXT(cpu, insn);                                                            \
	}

#define DOUBLE_DEFINE(name, mnemonic)                                                              \
	FOR_WIDE_WIDTHS(DOUBLE_VALUE, name, mnemonic)                                              \
	FOR_WIDE_WIDTHS(DOUBLE_HANDLERS, name, i, insn->imm)                                       \
	FOR_WIDE_WIDTHS(DOUBLE_HANDLERS, name, c, *reg8(cpu, REG_OFFSET(GPR_RCX)))

DOUBLE_DEFINE(shld, "shld")
DOUBLE_DEFINE(shrd, "shrd")

#define SHIFT_ROWS(mnemonic, name)                                                                 \
	ROW(mnemonic, FORM_RI, 0, EXEC_WIDTHS(name##_ri)),                                         \
		ROW(mnemonic, FORM_RR, 0, EXEC_WIDTHS(name##_rr)),                                 \
		ROW(mnemonic, FORM_MI, 0, EXEC_WIDTHS(name##_mi)),                                 \
		ROW(mnemonic, FORM_MR, 0, EXEC_WIDTHS(name##_mr))

#define ROTATE_ROWS(mnemonic, name)                                                                \
	ROW(mnemonic, FORM_RI, 0, EXEC_WIDTHS(name##_by_ri)),                                      \
		ROW(mnemonic, FORM_RR, 0, EXEC_WIDTHS(name##_rr)),                                 \
		ROW(mnemonic, FORM_MI, 0, EXEC_WIDTHS(name##_mi)),                                 \
		ROW(mnemonic, FORM_MR, 0, EXEC_WIDTHS(name##_mr))

#define DOUBLE_ROWS(mnemonic, name)                                                                \
	ROW(mnemonic, FORM_RRI, 0, EXEC_WIDE_WIDTHS(name##_rri)),                                  \
		ROW(mnemonic, FORM_RRR, 0, EXEC_WIDE_WIDTHS(name##_rrc)),                          \
		ROW(mnemonic, FORM_MRI, 0, EXEC_WIDE_WIDTHS(name##_mri)),                          \
		ROW(mnemonic, FORM_MRR, 0, EXEC_WIDE_WIDTHS(name##_mrc))

const struct op_row shift_rows[] = {
	ROTATE_ROWS(ROL, rol), ROTATE_ROWS(ROR, ror),   SHIFT_ROWS(RCL, rcl),
	SHIFT_ROWS(RCR, rcr),  SHIFT_ROWS(SHL, shl),    SHIFT_ROWS(SHR, shr),
	SHIFT_ROWS(SAR, sar),  DOUBLE_ROWS(SHLD, shld), DOUBLE_ROWS(SHRD, shrd),
};
const unsigned shift_row_count = ARRAY_SIZE(shift_rows);
