/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of the instructions: one row an operation and form, its handlers by operand width.
 *
 * decode.c fills registers, memory operand and immediate of the insn the same way for all; a row
 * only says which handler takes that shape. Rows of one mnemonic stand together, the first that
 * fits wins.
 */
#pragma once

#include "cpu/soft/engine_priv.h"

/* The shape of the explicit operands: register, memory, immediate; in the order of the manuals
 * (destination first). */
enum op_form {
	FORM_NONE,
	FORM_R,
	FORM_M,
	FORM_I,
	FORM_RR,
	FORM_RM,
	FORM_RI,
	FORM_IR,
	FORM_MR,
	FORM_MI,
	FORM_RRI,
	FORM_RRR,
	FORM_RMI,
	FORM_MRI,
	FORM_MRR,
	FORM_ANY /* the handler looks itself */
};

enum op_flags {
	OP_END = 1u << 0,    /* leaves the block */
	OP_LOCK = 1u << 1,   /* the row is for the LOCK prefix; others refuse it */
	OP_CODE64 = 1u << 2, /* the row is for 64-bit code only */
	OP_LEGACY = 1u << 3, /* for 16 and 32-bit code only */
	OP_REP = 1u << 4,    /* the row is for REP or REPNE */
	OP_LINK = 1u << 5,   /* wants a link in aux */
	OP_LINK2 = 1u << 6,  /* wants two */
	OP_WIDTH1 = 1u << 7, /* the width is that of the second operand */
};

/* What the decoder knows of an instruction, for op_row.adjust. */
struct decoding {
	struct soft_cpu *cpu;
	const ZydisDecodedInstruction *z;
	const ZydisDecodedOperand *operands;
};

struct op_row {
	uint16_t mnemonic;
	uint8_t form;
	uint8_t flags;
	insn_exec *exec[4]; /* for operands of 8, 16, 32, 64 bits; NULL: the row is not for it */
	/* Optional: a last word on the insn. 0, or -ENOENT: #UD. */
	int (*adjust)(const struct decoding *d, struct insn *insn);
};

/* All families; rows of a mnemonic are in one family. */
extern const struct op_row alu_rows[], unary_rows[], mov_rows[], extend_rows[], shift_rows[],
	muldiv_rows[], bit_rows[], atomic_rows[], stack_rows[], branch_rows[], flag_rows[],
	string_rows[], io_rows[], segment_rows[], far_rows[], control_rows[], system_rows[],
	misc_rows[], decimal_rows[], condition_rows[];
extern const unsigned alu_row_count, unary_row_count, mov_row_count, extend_row_count,
	shift_row_count, muldiv_row_count, bit_row_count, atomic_row_count, stack_row_count,
	branch_row_count, flag_row_count, string_row_count, io_row_count, segment_row_count,
	far_row_count, control_row_count, system_row_count, misc_row_count, decimal_row_count,
	condition_row_count;

/* Fills engine->ops and the decoders. */
void decode_init(struct soft_engine *engine);

/* That of the present mode. */
const ZydisDecoder *decoder_of(const struct soft_cpu *cpu);

/* What decoding of one instruction may say. */
enum decode_result {
	DECODE_OK,
	DECODE_LAST, /* and it ends the block */
	DECODE_MORE, /* the bytes end inside the instruction */
};

/*
 * Decodes the instruction at `bytes` into `insn`, whose `offset` is set. An undefined one becomes
 * an insn that raises #UD. `ret_links` says how many links it wants.
 */
enum decode_result decode_insn(struct soft_cpu *cpu, const uint8_t *bytes, unsigned count,
			       struct insn *insn, unsigned *ret_links);

/* Pseudo instructions. */
insn_exec op_undefined, op_too_long, op_continue, op_resync, op_check_second, op_breakpoint;

/* 8, 16, 32, 64 bits: 0 … 3. */
static inline unsigned width_index(unsigned bits)
{
	return (unsigned)__builtin_ctz(bits / 8);
}
