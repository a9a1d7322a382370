/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From bytes to an insn: Zydis finds operation and operands, the families' tables the handler.
 *
 * Spec: Intel SDM volume 2, chapter 2; the tables of the families name their own.
 */
#include "cpu/soft/decode_priv.h"

#include <string.h>

#include "base/check.h"
#include "cpu/soft/block_priv.h"

#define ZYDIS_REP_ANY (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE)

static const struct op_table {
	const struct op_row *rows;
	const unsigned *count;
} tables[] = {
	{ alu_rows, &alu_row_count },
	{ unary_rows, &unary_row_count },
	{ mov_rows, &mov_row_count },
	{ extend_rows, &extend_row_count },
	{ condition_rows, &condition_row_count },
	{ shift_rows, &shift_row_count },
	{ muldiv_rows, &muldiv_row_count },
	{ bit_rows, &bit_row_count },
	{ atomic_rows, &atomic_row_count },
	{ stack_rows, &stack_row_count },
	{ branch_rows, &branch_row_count },
	{ flag_rows, &flag_row_count },
	{ decimal_rows, &decimal_row_count },
	{ string_rows, &string_row_count },
	{ io_rows, &io_row_count },
	{ segment_rows, &segment_row_count },
	{ far_rows, &far_row_count },
	{ control_rows, &control_row_count },
	{ system_rows, &system_row_count },
	{ misc_rows, &misc_row_count },
};

static void init_decoder(struct soft_engine *engine, enum decoder_kind kind, ZydisMachineMode mode,
			 ZydisStackWidth stack)
{
	ZydisDecoder *decoder = &engine->decoders[kind];

	ZydisDecoderInit(decoder, mode, stack);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_KNC, ZYAN_FALSE);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_CLDEMOTE, ZYAN_FALSE);
	ZydisDecoderEnableMode(decoder, ZYDIS_DECODER_MODE_AMD_BRANCHES,
			       engine->vendor_amd ? ZYAN_TRUE : ZYAN_FALSE);
}

void decode_init(struct soft_engine *engine)
{
	init_decoder(engine, DECODER_16_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	init_decoder(engine, DECODER_16_32, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_32);
	init_decoder(engine, DECODER_32_16, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_16);
	init_decoder(engine, DECODER_32_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	init_decoder(engine, DECODER_64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned t = 0; t < ARRAY_SIZE(tables); t++) {
		for (unsigned i = 0; i < *tables[t].count; i++) {
			const struct op_row *row = &tables[t].rows[i];
			struct op_range *range = &engine->ops[row->mnemonic];

			if (!range->rows)
				range->rows = row;
			check(range->rows + range->count == row);
			range->count++;
		}
	}
}

const ZydisDecoder *decoder_of(const struct soft_cpu *cpu)
{
	bool stack32 = cpu->mode & MODE_STACK32;

	if (cpu->mode & MODE_CODE64)
		return &cpu->engine->decoders[DECODER_64];
	if (cpu->mode & MODE_CODE32)
		return &cpu->engine->decoders[stack32 ? DECODER_32_32 : DECODER_32_16];
	return &cpu->engine->decoders[stack32 ? DECODER_16_32 : DECODER_16_16];
}

/* The byte offset of a general register; other registers give their number. */
static uint8_t register_name(ZydisRegister r)
{
	ZyanI8 id = ZydisRegisterGetId(r);

	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return REG_OFFSET_HIGH(r - ZYDIS_REGISTER_AH);
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return REG_OFFSET(r - ZYDIS_REGISTER_SPL + 4);
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR8:
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
		return REG_OFFSET(id);
	default:
		return (uint8_t)id;
	}
}

static uint8_t segment_number(ZydisRegister r)
{
	return r == ZYDIS_REGISTER_NONE ? SEG_DS : (uint8_t)(r - ZYDIS_REGISTER_ES);
}

static uint8_t address_register(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return REG_OFFSET_ZERO;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return REG_OFFSET_RIP;
	if (ZydisRegisterGetClass(r) != ZYDIS_REGCLASS_GPR64 &&
	    ZydisRegisterGetClass(r) != ZYDIS_REGCLASS_GPR32 &&
	    ZydisRegisterGetClass(r) != ZYDIS_REGCLASS_GPR16)
		return REG_OFFSET_ZERO; /* VSIB */
	return REG_OFFSET(ZydisRegisterGetId(r));
}

static enum insn_ea address_kind(const ZydisDecodedInstruction *z, uint8_t seg)
{
	if (z->machine_mode != ZYDIS_MACHINE_MODE_LONG_64)
		return z->address_width == 16 ? EA_16 : EA_32;
	if (z->address_width == 32)
		return EA_LONG32;
	return seg >= SEG_FS ? EA_BASED : EA_FLAT;
}

/* No base but a displacement, whatever REX.B says; Zydis 4.0 names R13 with 32-bit addresses. */
static bool is_baseless(const ZydisDecodedInstruction *z)
{
	return z->raw.modrm.mod == 0 && z->raw.modrm.rm == 4 && z->raw.sib.base == 5 &&
	       z->address_width != 16 && z->attributes & ZYDIS_ATTRIB_HAS_SIB;
}

static void set_address(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o,
			struct insn *insn)
{
	int64_t disp = o->mem.disp.has_displacement ? o->mem.disp.value : 0;

	insn->seg = segment_number(o->mem.segment);
	insn->base = address_register(o->mem.base);
	if (o->encoding == ZYDIS_OPERAND_ENCODING_MODRM_RM && is_baseless(z)) {
		insn->base = REG_OFFSET_ZERO;
		disp = z->raw.disp.value;
	}
	insn->index = address_register(o->mem.index);
	insn->scale = o->mem.scale ? (uint8_t)__builtin_ctz(o->mem.scale) : 0;
	insn->ea = address_kind(z, insn->seg);
	if (insn->base == REG_OFFSET_RIP) {
		int64_t folded = disp + insn->offset + insn->length;

		if (folded == (int32_t)folded)
			disp = folded;
		else
			insn->ea = EA_RIP_FAR;
	}
	insn->disp = (int32_t)disp;
	if (disp != (int32_t)disp && o->mem.base == ZYDIS_REGISTER_NONE) {
		/* The moffs forms, the only ones with a 64-bit address. */
		insn->imm = (uint64_t)disp;
		insn->disp = 0;
	}
}

/* The letters of the operands' kinds, as an enum op_form. */
static enum op_form form_of(const char *kinds)
{
	static const struct {
		const char *kinds;
		enum op_form form;
	} forms[] = {
		{ "", FORM_NONE },   { "R", FORM_R },     { "M", FORM_M },     { "I", FORM_I },
		{ "RR", FORM_RR },   { "RM", FORM_RM },   { "RI", FORM_RI },   { "IR", FORM_IR },
		{ "MR", FORM_MR },   { "MI", FORM_MI },   { "RRI", FORM_RRI }, { "RRR", FORM_RRR },
		{ "RMI", FORM_RMI }, { "MRI", FORM_MRI }, { "MRR", FORM_MRR },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		if (!strcmp(forms[i].kinds, kinds))
			return forms[i].form;
	}
	return FORM_ANY;
}

static enum op_form set_operands(const ZydisDecodedInstruction *z,
				 const ZydisDecodedOperand *operands, struct insn *insn)
{
	char kinds[ZYDIS_MAX_OPERAND_COUNT + 1] = "";
	unsigned registers = 0;
	unsigned shown = z->operand_count_visible;

	insn->base = insn->index = REG_OFFSET_ZERO;
	for (unsigned i = 0; i < z->operand_count; i++) {
		const ZydisDecodedOperand *o = &operands[i];
		char kind = 'X';

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && (i < shown || insn->ea == EA_NONE)) {
			set_address(z, o, insn);
			kind = 'M';
		} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && i < shown) {
			uint8_t name = register_name(o->reg.value);

			if (registers == 0 && (i == 0 || kinds[0] != 'M'))
				insn->dst = name;
			else if (registers == 2 || (registers == 1 && kinds[0] == 'M'))
				insn->op = name;
			else
				insn->src = name;
			registers++;
			kind = 'R';
		} else if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && i < shown) {
			insn->imm = o->imm.value.u;
			if (o->imm.is_relative)
				insn->imm += insn->offset + insn->length;
			kind = 'I';
		}
		if (i < shown)
			kinds[i] = kind;
		kinds[i + 1] = '\0';
	}
	kinds[MIN(shown, (unsigned)ZYDIS_MAX_OPERAND_COUNT)] = '\0';
	return form_of(kinds);
}

static unsigned operand_bits(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			     const struct op_row *row)
{
	unsigned which = row->flags & OP_WIDTH1 ? 1 : 0;

	if (z->operand_count_visible > which &&
	    operands[which].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return operands[which].size;
	return z->operand_width;
}

static const struct op_row *find_row(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
				     const ZydisDecodedOperand *operands, enum op_form form,
				     insn_exec **ret_exec)
{
	const struct op_range *range = &cpu->engine->ops[z->mnemonic];
	bool locked = z->attributes & ZYDIS_ATTRIB_HAS_LOCK;
	bool repeated = z->attributes & (ZYDIS_REP_ANY | ZYDIS_ATTRIB_HAS_REPNE);

	for (unsigned i = 0; i < range->count; i++) {
		const struct op_row *row = &range->rows[i];
		unsigned bits;

		if (row->form != FORM_ANY && row->form != form)
			continue;
		if (locked != !!(row->flags & OP_LOCK))
			continue;
		if (row->flags & OP_CODE64 && !cpu_code64(cpu))
			continue;
		if (row->flags & OP_LEGACY && cpu_code64(cpu))
			continue;
		if (row->flags & OP_REP && !repeated)
			continue;
		bits = operand_bits(z, operands, row);
		if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
			bits = 8;
		if (row->form == FORM_ANY)
			bits = z->operand_width >= 8 && z->operand_width <= 64 ? z->operand_width
									       : 8;
		*ret_exec = row->exec[width_index(bits)];
		if (*ret_exec)
			return row;
	}
	return NULL;
}

static bool decode_known(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
			 const ZydisDecodedOperand *operands, struct insn *insn,
			 unsigned *ret_links, bool *ret_end)
{
	enum op_form form = set_operands(z, operands, insn);
	const struct op_row *row = find_row(cpu, z, operands, form, &insn->exec);
	const struct decoding decoding = { cpu, z, operands };

	if (!row)
		return false;
	if (row->adjust && row->adjust(&decoding, insn))
		return false;
	*ret_links = row->flags & OP_LINK2 ? 2 : row->flags & OP_LINK ? 1 : 0;
	*ret_end = row->flags & OP_END || insn->flags & INSN_LAST;
	return true;
}

enum decode_result decode_insn(struct soft_cpu *cpu, const uint8_t *bytes, unsigned count,
			       struct insn *insn, unsigned *ret_links)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZyanStatus status = ZydisDecoderDecodeFull(decoder_of(cpu), bytes, count, &z, operands);
	bool end = false;

	*ret_links = 0;
	if (status == ZYDIS_STATUS_NO_MORE_DATA && count < ZYDIS_MAX_INSTRUCTION_LENGTH)
		return DECODE_MORE;
	if (ZYAN_SUCCESS(status)) {
		insn->length = z.length;
		if (z.attributes & ZYDIS_ATTRIB_HAS_LOCK)
			insn->flags |= INSN_LOCK;
		if (z.attributes & ZYDIS_REP_ANY)
			insn->flags |= INSN_REP;
		if (z.attributes & ZYDIS_ATTRIB_HAS_REPNE)
			insn->flags |= INSN_REPNE;
		if (decode_known(cpu, &z, operands, insn, ret_links, &end))
			goto done;
		/* Some names are shared: MOVSD is a string and a vector instruction. There is room:
		 * see block.c. */
		if (!(insn->flags & INSN_LOCK) && !native_decode(cpu, &z, operands, insn))
			goto done;
	}
	insn->length = 1;
	insn->exec =
		status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || status == ZYDIS_STATUS_NO_MORE_DATA
			? op_too_long
			: op_undefined;
	end = true;
done:
	if (end)
		insn->flags |= INSN_LAST;
	return end ? DECODE_LAST : DECODE_OK;
}

const struct insn *op_undefined(struct soft_cpu *cpu, const struct insn *insn)
{
	raise_ud(cpu, insn);
}

const struct insn *op_too_long(struct soft_cpu *cpu, const struct insn *insn)
{
	raise_gp(cpu, insn);
}
