/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Widening: MOVZX, MOVSX, MOVSXD, CBW … CDQE, CWD … CQO. Spec: Intel SDM volume 2. */
#include <errno.h>

#include "cpu/soft/width_priv.h"

/* From `from` bits to `bits`, by way of the C type `type`. */
#define EXTEND_DEFINE(name, from, type, bits)                                                      \
	HANDLER(name##from##_rr##bits)                                                             \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)(type)*reg##from(cpu, insn->src));   \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	HANDLER(name##from##_rm##bits)                                                             \
	{                                                                                          \
		set_reg##bits(cpu, insn->dst, (uint##bits##_t)(type)LOAD_EA(from));                \
		return NEXT(cpu, insn);                                                            \
	}

#define EXTEND_WIDTHS(name, from, type)                                                            \
	EXTEND_DEFINE(name, from, type, 16)                                                        \
	EXTEND_DEFINE(name, from, type, 32)                                                        \
	EXTEND_DEFINE(name, from, type, 64)

EXTEND_WIDTHS(zero, 8, uint8_t)
EXTEND_WIDTHS(zero, 16, uint16_t)
EXTEND_WIDTHS(sign, 8, int8_t)
EXTEND_WIDTHS(sign, 16, int16_t)
EXTEND_WIDTHS(sign, 32, int32_t)

/* The source's width decides between rows of one destination width. */
static int source_is(const ZydisDecodedOperand *operands, unsigned bits)
{
	return operands[1].size == bits ? 0 : -ENOENT;
}

struct extend {
	insn_exec *from8[4], *from16[4], *from32[4];
};

static const struct extend zero_rr = { EXEC_WIDE_WIDTHS(zero8_rr), EXEC_WIDE_WIDTHS(zero16_rr) };
static const struct extend zero_rm = { EXEC_WIDE_WIDTHS(zero8_rm), EXEC_WIDE_WIDTHS(zero16_rm) };
static const struct extend sign_rr = { EXEC_WIDE_WIDTHS(sign8_rr), EXEC_WIDE_WIDTHS(sign16_rr),
				       EXEC_WIDE_WIDTHS(sign32_rr) };
static const struct extend sign_rm = { EXEC_WIDE_WIDTHS(sign8_rm), EXEC_WIDE_WIDTHS(sign16_rm),
				       EXEC_WIDE_WIDTHS(sign32_rm) };

static int choose(const struct extend *register_form, const struct extend *memory_form,
		  const ZydisDecodedOperand *operands, struct insn *insn)
{
	const struct extend *e =
		operands[1].type == ZYDIS_OPERAND_TYPE_MEMORY ? memory_form : register_form;
	unsigned to = width_index(operands[0].size);

	if (!source_is(operands, 8))
		insn->exec = e->from8[to];
	else if (!source_is(operands, 16))
		insn->exec = e->from16[to];
	else
		insn->exec = e->from32[to];
	return insn->exec ? 0 : -ENOENT;
}

static int choose_zero(const struct decoding *d, struct insn *insn)
{
	return choose(&zero_rr, &zero_rm, d->operands, insn);
}

static int choose_sign(const struct decoding *d, struct insn *insn)
{
	return choose(&sign_rr, &sign_rm, d->operands, insn);
}

#define RAX REG_OFFSET(GPR_RAX)
#define RDX REG_OFFSET(GPR_RDX)

HANDLER(cbw)
{
	set_reg16(cpu, RAX, (uint16_t)(int8_t)*reg8(cpu, RAX));
	return NEXT(cpu, insn);
}

HANDLER(cwde)
{
	set_reg32(cpu, RAX, (uint32_t)(int16_t)*reg16(cpu, RAX));
	return NEXT(cpu, insn);
}

HANDLER(cdqe)
{
	set_reg64(cpu, RAX, (uint64_t)(int32_t)*reg32(cpu, RAX));
	return NEXT(cpu, insn);
}

HANDLER(cwd)
{
	set_reg16(cpu, RDX, (uint16_t)((int16_t)*reg16(cpu, RAX) >> 15));
	return NEXT(cpu, insn);
}

HANDLER(cdq)
{
	set_reg32(cpu, RDX, (uint32_t)((int32_t)*reg32(cpu, RAX) >> 31));
	return NEXT(cpu, insn);
}

HANDLER(cqo)
{
	set_reg64(cpu, RDX, (uint64_t)((int64_t)*reg64(cpu, RAX) >> 63));
	return NEXT(cpu, insn);
}

#define ANY_WIDTH(name)                                                                            \
	{                                                                                          \
		name, name, name, name                                                             \
	}

const struct op_row extend_rows[] = {
	{ ZYDIS_MNEMONIC_MOVZX, FORM_RR, 0, EXEC_WIDE_WIDTHS(zero8_rr), choose_zero },
	{ ZYDIS_MNEMONIC_MOVZX, FORM_RM, 0, EXEC_WIDE_WIDTHS(zero8_rm), choose_zero },
	{ ZYDIS_MNEMONIC_MOVSX, FORM_RR, 0, EXEC_WIDE_WIDTHS(sign8_rr), choose_sign },
	{ ZYDIS_MNEMONIC_MOVSX, FORM_RM, 0, EXEC_WIDE_WIDTHS(sign8_rm), choose_sign },
	{ ZYDIS_MNEMONIC_MOVSXD, FORM_RR, 0, EXEC_WIDE_WIDTHS(sign32_rr), choose_sign },
	{ ZYDIS_MNEMONIC_MOVSXD, FORM_RM, 0, EXEC_WIDE_WIDTHS(sign32_rm), choose_sign },
	ROW(CBW, FORM_ANY, 0, ANY_WIDTH(cbw)),
	ROW(CWDE, FORM_ANY, 0, ANY_WIDTH(cwde)),
	ROW(CDQE, FORM_ANY, 0, ANY_WIDTH(cdqe)),
	ROW(CWD, FORM_ANY, 0, ANY_WIDTH(cwd)),
	ROW(CDQ, FORM_ANY, 0, ANY_WIDTH(cdq)),
	ROW(CQO, FORM_ANY, 0, ANY_WIDTH(cqo)),
};
const unsigned extend_row_count = ARRAY_SIZE(extend_rows);
