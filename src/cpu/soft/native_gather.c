/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Gathers and scatters: one element after the other, each with its own address.
 *
 * An element that is done has its mask bit cleared, so that a fault in the middle leaves a state
 * from which the instruction goes on.
 *
 * Spec: Intel SDM volume 2, VGATHERDPS/VGATHERDPD and kin (VEX and EVEX), VSCATTERDPS and kin.
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/native_exec_priv.h"

/* insn->dst is the data register, insn->src the index; operand->size and ->lane their elements. */

static bool element_wanted(struct soft_cpu *cpu, const struct native_operand *operand, unsigned i)
{
	uint8_t sign;

	if (operand->kind == MASK_EACH)
		return *opmask(cpu, operand->mask) >> i & 1;
	vector_get(cpu, operand->mask, (i + 1) * operand->size - 1, &sign, 1);
	return sign >> 7;
}

static void element_done(struct soft_cpu *cpu, const struct native_operand *operand, unsigned i)
{
	static const uint8_t zero[8];

	if (operand->kind == MASK_EACH)
		*opmask(cpu, operand->mask) &= ~BIT(i);
	else
		vector_set(cpu, operand->mask, i * operand->size, zero, operand->size);
}

static uint64_t element_address(struct soft_cpu *cpu, const struct insn *insn, unsigned i,
				bool write)
{
	const struct native_operand *operand = native_operand(insn);
	uint64_t index = 0;

	vector_get(cpu, insn->src, i * operand->lane, &index, operand->lane);
	if (operand->lane == 4)
		index = (uint64_t)(int32_t)index;
	return ea_linear_plus(cpu, insn, index << insn->scale, operand->size, write);
}

/* Also where the data end in the middle of the first 16 bytes. */
static void register_clear_above(struct soft_cpu *cpu, unsigned number, unsigned from)
{
	static const uint8_t zero[8];

	if (from == 8)
		vector_set(cpu, number, 8, zero, 8);
	vector_clear_above(cpu, number, from == 8 ? 16 : from);
}

static void all_done(struct soft_cpu *cpu, const struct native_operand *operand)
{
	if (operand->kind == MASK_EACH)
		*opmask(cpu, operand->mask) = 0;
	else
		vector_clear_above(cpu, operand->mask, 0);
}

static const struct insn *gather(struct soft_cpu *cpu, const struct insn *insn)
{
	const struct native_operand *operand = native_operand(insn);
	uint8_t value[8];

	native_check(cpu, insn);
	for (unsigned i = 0; i < operand->lanes; i++) {
		if (element_wanted(cpu, operand, i)) {
			load_bytes(cpu, insn, element_address(cpu, insn, i, false), value,
				   operand->size);
			vector_set(cpu, insn->dst, i * operand->size, value, operand->size);
		}
		element_done(cpu, operand, i);
	}
	all_done(cpu, operand);
	register_clear_above(cpu, insn->dst, operand->lanes * operand->size);
	return insn + 1;
}

static const struct insn *scatter(struct soft_cpu *cpu, const struct insn *insn)
{
	const struct native_operand *operand = native_operand(insn);
	uint8_t value[8];

	native_check(cpu, insn);
	for (unsigned i = 0; i < operand->lanes; i++) {
		if (!element_wanted(cpu, operand, i))
			continue;
		vector_get(cpu, insn->dst, i * operand->size, value, operand->size);
		store_bytes(cpu, insn, element_address(cpu, insn, i, true), value, operand->size);
		element_done(cpu, operand, i);
	}
	all_done(cpu, operand);
	return insn + 1;
}

struct gather_row {
	uint16_t mnemonic;
	uint8_t index, data; /* bytes of an element */
	bool scatter;
};

static const struct gather_row gather_rows[] = {
	{ ZYDIS_MNEMONIC_VPGATHERDD, 4, 4, false }, { ZYDIS_MNEMONIC_VPGATHERDQ, 4, 8, false },
	{ ZYDIS_MNEMONIC_VPGATHERQD, 8, 4, false }, { ZYDIS_MNEMONIC_VPGATHERQQ, 8, 8, false },
	{ ZYDIS_MNEMONIC_VGATHERDPS, 4, 4, false }, { ZYDIS_MNEMONIC_VGATHERDPD, 4, 8, false },
	{ ZYDIS_MNEMONIC_VGATHERQPS, 8, 4, false }, { ZYDIS_MNEMONIC_VGATHERQPD, 8, 8, false },
	{ ZYDIS_MNEMONIC_VPSCATTERDD, 4, 4, true }, { ZYDIS_MNEMONIC_VPSCATTERDQ, 4, 8, true },
	{ ZYDIS_MNEMONIC_VPSCATTERQD, 8, 4, true }, { ZYDIS_MNEMONIC_VPSCATTERQQ, 8, 8, true },
	{ ZYDIS_MNEMONIC_VSCATTERDPS, 4, 4, true }, { ZYDIS_MNEMONIC_VSCATTERDPD, 4, 8, true },
	{ ZYDIS_MNEMONIC_VSCATTERQPS, 8, 4, true }, { ZYDIS_MNEMONIC_VSCATTERQPD, 8, 8, true },
};

static unsigned vector_bytes(ZydisRegister reg)
{
	return ZydisRegisterGetWidth(ZYDIS_MACHINE_MODE_LONG_64, reg) / 8;
}

int native_decode_gather(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			 struct insn *out)
{
	struct native_operand *operand = (struct native_operand *)&out->imm;
	bool evex = z->encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
	const ZydisDecodedOperand *data, *mask, *memory;
	const struct gather_row *row = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(gather_rows) && !row; i++)
		if (gather_rows[i].mnemonic == z->mnemonic)
			row = &gather_rows[i];
	if (!row)
		return -ENOENT;
	/* VEX: data, memory, mask. EVEX: data, mask, memory; or memory, mask, data. */
	data = &operands[row->scatter ? 2 : 0];
	mask = &operands[evex ? 1 : 2];
	memory = &operands[row->scatter ? 0 : evex ? 2 : 1];
	operand->kind = evex ? MASK_EACH : MASK_VECTOR;
	operand->mask = (uint8_t)ZydisRegisterGetId(mask->reg.value);
	operand->size = row->data;
	operand->lane = row->index;
	operand->lanes = (uint8_t)MIN(vector_bytes(data->reg.value) / row->data,
				      vector_bytes(memory->mem.index) / row->index);
	out->dst = (uint8_t)ZydisRegisterGetId(data->reg.value);
	out->src = (uint8_t)ZydisRegisterGetId(memory->mem.index);
	out->scale = (uint8_t)__builtin_ctz(memory->mem.scale ? memory->mem.scale : 1);
	out->exec = row->scatter ? scatter : gather;
	return 0;
}
