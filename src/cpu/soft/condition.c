/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SETcc and CMOVcc. Spec: Intel SDM volume 2. */
#include "cpu/soft/condition_priv.h"

#include "cpu/soft/width_priv.h"

#define SET_DEFINE(name, test)                                                                     \
	HANDLER(set##name##_r)                                                                     \
	{                                                                                          \
		*reg8(cpu, insn->dst) = condition_##name(cpu);                                     \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(set##name##_m)                                                                     \
	{                                                                                          \
		STORE_EA(8, condition_##name(cpu));                                                \
		return NEXT(cpu, insn);                                                            \
	}

/* Memory is read, and a 32-bit register's upper half cleared, whether the condition holds or not. */
#define CMOV_WIDTH(bits, suffix, mod, name)                                                        \
	HANDLER(cmov##name##_rr##bits)                                                             \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst,                                                      \
			      *reg##bits(cpu, condition_##name(cpu) ? insn->src : insn->dst));     \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(cmov##name##_rm##bits)                                                             \
	{                                                                                          \
		uint##bits##_t value = LOAD_EA(bits);                                              \
                                                                                                   \
		set_reg##bits(cpu, insn->dst,                                                      \
			      condition_##name(cpu) ? value : *reg##bits(cpu, insn->dst));         \
		return NEXT(cpu, insn);                                                            \
	}

#define CMOV_DEFINE(name, test) FOR_WIDE_WIDTHS(CMOV_WIDTH, name)

FOR_CONDITIONS(SET_DEFINE)
FOR_CONDITIONS(CMOV_DEFINE)

#define CONDITION_ROWS(name, test)                                                                 \
	ROW(SET##name, FORM_R, 0, { set##name##_r }),                                              \
		ROW(SET##name, FORM_M, 0, { set##name##_m }),                                      \
		ROW(CMOV##name, FORM_RR, 0, EXEC_WIDE_WIDTHS(cmov##name##_rr)),                    \
		ROW(CMOV##name, FORM_RM, 0, EXEC_WIDE_WIDTHS(cmov##name##_rm)),

const struct op_row condition_rows[] = { FOR_CONDITIONS(CONDITION_ROWS) };
const unsigned condition_row_count = ARRAY_SIZE(condition_rows);
