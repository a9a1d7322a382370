/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MOV, MOVBE, MOVNTI, LEA, XLAT, BSWAP. Spec: Intel SDM volume 2. */
#include <errno.h>

#include "cpu/soft/segment_priv.h"
#include "cpu/soft/system_priv.h"
#include "cpu/soft/width_priv.h"

#define MOV_DEFINE(bits, suffix, mod, name)                                                        \
	HANDLER(name##_rr##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, *reg##bits(cpu, insn->src));                         \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_ri##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)insn->imm);                          \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_rm##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, LOAD_EA(bits));                                      \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_mr##bits)                                                                   \
	{                                                                                          \
		STORE_EA(bits, *reg##bits(cpu, insn->src));                                        \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_mi##bits)                                                                   \
	{                                                                                          \
		STORE_EA(bits, (uint##bits##_t)insn->imm);                                         \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	/* The forms with a 64-bit absolute address. */                                            \
	HANDLER(name##_far_rm##bits)                                                               \
	{                                                                                          \
		uint64_t linear =                                                                  \
			segment_linear(cpu, insn, insn->seg, insn->imm, bits / 8, false);          \
                                                                                                   \
		set_reg##bits(cpu, insn->dst, load##bits(cpu, insn, linear));                      \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_far_mr##bits)                                                               \
	{                                                                                          \
		uint64_t linear = segment_linear(cpu, insn, insn->seg, insn->imm, bits / 8, true); \
                                                                                                   \
		store##bits(cpu, insn, linear, *reg##bits(cpu, insn->src));                        \
		return NEXT(cpu, insn);                                                            \
	}

#define SWAP_DEFINE(bits, suffix, mod, name)                                                       \
	HANDLER(name##_rm##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, __builtin_bswap##bits(LOAD_EA(bits)));               \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##_mr##bits)                                                                   \
	{                                                                                          \
		STORE_EA(bits, __builtin_bswap##bits(*reg##bits(cpu, insn->src)));                 \
		return NEXT(cpu, insn);                                                            \
	}

#define BSWAP_DEFINE(bits, suffix, mod, name)                                                      \
	HANDLER(name##_r##bits)                                                                    \
	{                                                                                          \
		uint##bits##_t value = *reg##bits(cpu, insn->dst);                                 \
                                                                                                   \
		/* With 16 bits undefined; processors clear the register. */                       \
		set_reg##bits(cpu, insn->dst, bits == 16 ? 0 : __builtin_bswap##bits(value));      \
		return NEXT(cpu, insn);                                                            \
	}

#define LEA_DEFINE(bits, suffix, mod, name)                                                        \
	HANDLER(name##_rm##bits)                                                                   \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)ea_offset(cpu, insn));               \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	/* Address sizes below 64 bits, and far RIP-relative. */                                   \
	HANDLER(name##_cut_rm##bits)                                                               \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)ea_cut(cpu, insn));                  \
		return NEXT(cpu, insn);                                                            \
	}

FOR_WIDTHS(MOV_DEFINE, mov)
FOR_WIDE_WIDTHS(SWAP_DEFINE, movbe)
FOR_WIDE_WIDTHS(BSWAP_DEFINE, bswap)
FOR_WIDE_WIDTHS(LEA_DEFINE, lea)

HANDLER(xlat)
{
	static const uint8_t bx = REG_OFFSET(GPR_RBX);
	uint64_t offset = *reg64(cpu, bx) + *reg8(cpu, REG_OFFSET(GPR_RAX));
	uint64_t linear;

	if (insn->ea == EA_16)
		offset = (uint16_t)offset;
	else if (insn->ea == EA_32 || insn->ea == EA_LONG32)
		offset = (uint32_t)offset;
	linear = segment_linear(cpu, insn, insn->seg, offset, 1, false);
	*reg8(cpu, REG_OFFSET(GPR_RAX)) = load8(cpu, insn, linear);
	return NEXT(cpu, insn);
}

static int choose_lea(const struct decoding *d, struct insn *insn)
{
	static insn_exec *const cut[] = EXEC_WIDE_WIDTHS(lea_cut_rm);

	if (insn->ea != EA_FLAT && insn->ea != EA_BASED)
		insn->exec = cut[width_index(d->operands[0].size)];
	return 0;
}

/* MOV between a general register or memory and a segment, control or debug register; and 64-bit
 * addresses. */
static int choose_mov(const struct decoding *d, struct insn *insn)
{
	static insn_exec *const far_rm[] = EXEC_WIDTHS(mov_far_rm);
	static insn_exec *const far_mr[] = EXEC_WIDTHS(mov_far_mr);

	for (unsigned i = 0; i < 2; i++) {
		if (d->operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(d->operands[i].reg.value)) {
		case ZYDIS_REGCLASS_SEGMENT:
			return segment_choose_mov(d, insn, i == 0);
		case ZYDIS_REGCLASS_CONTROL:
			return control_choose_mov(insn, i == 0);
		case ZYDIS_REGCLASS_DEBUG:
			return debug_choose_mov(insn, i == 0);
		default:
			break;
		}
	}
	if (d->z->opcode >= 0xa0 && d->z->opcode <= 0xa3 &&
	    d->z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
		bool load = d->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER;
		const ZydisDecodedOperand *memory = &d->operands[load ? 1 : 0];

		insn->imm = (uint64_t)memory->mem.disp.value;
		if (d->z->address_width == 32)
			insn->imm = (uint32_t)insn->imm;
		if (d->z->address_width == 16)
			insn->imm = (uint16_t)insn->imm;
		insn->exec = (load ? far_rm : far_mr)[width_index(memory->size)];
	}
	return 0;
}

const struct op_row mov_rows[] = {
	{ ZYDIS_MNEMONIC_MOV, FORM_RR, 0, EXEC_WIDTHS(mov_rr), choose_mov },
	{ ZYDIS_MNEMONIC_MOV, FORM_RI, 0, EXEC_WIDTHS(mov_ri), NULL },
	{ ZYDIS_MNEMONIC_MOV, FORM_RM, 0, EXEC_WIDTHS(mov_rm), choose_mov },
	{ ZYDIS_MNEMONIC_MOV, FORM_MR, 0, EXEC_WIDTHS(mov_mr), choose_mov },
	{ ZYDIS_MNEMONIC_MOV, FORM_MI, 0, EXEC_WIDTHS(mov_mi), NULL },
	ROW(MOVBE, FORM_RM, 0, EXEC_WIDE_WIDTHS(movbe_rm)),
	ROW(MOVBE, FORM_MR, 0, EXEC_WIDE_WIDTHS(movbe_mr)),
	ROW(MOVNTI, FORM_MR, 0, EXEC_WIDE_WIDTHS(mov_mr)),
	ROW(BSWAP, FORM_R, 0, EXEC_WIDE_WIDTHS(bswap_r)),
	{ ZYDIS_MNEMONIC_LEA, FORM_RM, 0, EXEC_WIDE_WIDTHS(lea_rm), choose_lea },
	ROW(XLAT, FORM_ANY, 0, { xlat, xlat, xlat, xlat }),
};
const unsigned mov_row_count = ARRAY_SIZE(mov_rows);
