/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the decoder of the core does not know by its tables: instructions that run natively.
 *
 * Most become a thunk with one of three handlers: no memory operand, one that is read, one that is
 * written. Masked memory operands, gathers, x87, and the instructions that move whole state have
 * handlers of their own.
 *
 * Spec: Intel SDM volume 2, section 2.4 (exception classes of VEX instructions), 2.7.11 (of EVEX,
 * and fault suppression).
 */
#include <errno.h>

#include "cpu/soft/code_priv.h"
#include "cpu/soft/native_exec_priv.h"

/* Instructions of the aligned classes that take any address. */
static bool is_unaligned(const struct soft_cpu *cpu, const ZydisDecodedInstruction *z)
{
	/* The manuals want SHA aligned; AMD's processors do not. */
	if (z->meta.isa_set == ZYDIS_ISA_SET_SHA)
		return native_host(cpu->native)->amd;
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_PCMPESTRI:
	case ZYDIS_MNEMONIC_PCMPESTRM:
	case ZYDIS_MNEMONIC_PCMPISTRI:
	case ZYDIS_MNEMONIC_PCMPISTRM:
		return true;
	default:
		return false;
	}
}

uint8_t native_alignment(const struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
			 unsigned size)
{
	if (z->mnemonic == ZYDIS_MNEMONIC_CVTPD2PI || z->mnemonic == ZYDIS_MNEMONIC_CVTTPD2PI)
		return (uint8_t)(size - 1);
	switch (z->meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_SSE1:
	case ZYDIS_EXCEPTION_CLASS_AVX1:
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E1NF:
		return (uint8_t)(size - 1);
	case ZYDIS_EXCEPTION_CLASS_SSE2:
	case ZYDIS_EXCEPTION_CLASS_SSE4:
		return size == 16 && !is_unaligned(cpu, z) ? 15 : 0;
	default:
		return 0;
	}
}

/* Classes whose masked-off elements may lie on pages that cannot be accessed. */
static bool suppresses_faults(const ZydisDecodedInstruction *z)
{
	/* Elements of the result are not made of single elements in memory. */
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_VGF2P8AFFINEQB:
	case ZYDIS_MNEMONIC_VGF2P8AFFINEINVQB:
	case ZYDIS_MNEMONIC_VDBPSADBW:
	case ZYDIS_MNEMONIC_VCVTNE2PS2BF16:
		return false;
	default:
		break;
	}
	switch (z->meta.exception_class) {
	case ZYDIS_EXCEPTION_CLASS_E1:
	case ZYDIS_EXCEPTION_CLASS_E2:
	case ZYDIS_EXCEPTION_CLASS_E3:
	case ZYDIS_EXCEPTION_CLASS_E4:
	case ZYDIS_EXCEPTION_CLASS_E5:
	case ZYDIS_EXCEPTION_CLASS_E6:
	case ZYDIS_EXCEPTION_CLASS_E10:
	case ZYDIS_EXCEPTION_CLASS_E11:
		return true;
	default:
		return false;
	}
}

static bool is_packed(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VCOMPRESSPS:
	case ZYDIS_MNEMONIC_VCOMPRESSPD:
	case ZYDIS_MNEMONIC_VPCOMPRESSB:
	case ZYDIS_MNEMONIC_VPCOMPRESSW:
	case ZYDIS_MNEMONIC_VPCOMPRESSD:
	case ZYDIS_MNEMONIC_VPCOMPRESSQ:
	case ZYDIS_MNEMONIC_VEXPANDPS:
	case ZYDIS_MNEMONIC_VEXPANDPD:
	case ZYDIS_MNEMONIC_VPEXPANDB:
	case ZYDIS_MNEMONIC_VPEXPANDW:
	case ZYDIS_MNEMONIC_VPEXPANDD:
	case ZYDIS_MNEMONIC_VPEXPANDQ:
		return true;
	default:
		return false;
	}
}

/* VMASKMOVPS and kin: bytes of an element, 0 for all others. */
static uint8_t vector_mask_lane(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_VMASKMOVPS:
	case ZYDIS_MNEMONIC_VPMASKMOVD:
		return 4;
	case ZYDIS_MNEMONIC_VMASKMOVPD:
	case ZYDIS_MNEMONIC_VPMASKMOVQ:
		return 8;
	default:
		return 0;
	}
}

/* How many elements the mask bits stand for. */
static unsigned mask_lanes(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			   const ZydisDecodedOperand *memory)
{
	bool broadcast = z->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID;
	bool to_mask = operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		       ZydisRegisterGetClass(operands[0].reg.value) == ZYDIS_REGCLASS_MASK;
	unsigned lanes =
		broadcast ? z->avx.vector_length / memory->element_size : memory->element_count;

	/* The result's elements count too, unless it is a mask: of 64 bits, always. */
	return to_mask ? lanes : MIN(lanes, operands[0].element_count);
}

/* Fills in the mask of a masked memory operand; false: it has none. */
static bool decode_mask(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			const ZydisDecodedOperand *memory, struct native_operand *operand)
{
	bool store = memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;

	operand->lane = vector_mask_lane(z->mnemonic);
	if (operand->lane) {
		operand->kind = MASK_VECTOR;
		operand->lanes = operand->size / operand->lane;
		operand->mask = (uint8_t)ZydisRegisterGetId(operands[1].reg.value);
		return true;
	}
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_EVEX || !z->raw.evex.aaa)
		return false;
	if (!store && !suppresses_faults(z))
		return false;
	operand->mask = z->raw.evex.aaa;
	operand->lanes = (uint8_t)mask_lanes(z, operands, memory);
	if (!operand->lanes)
		return false;
	if (is_packed(z->mnemonic)) {
		operand->kind = MASK_PACKED;
		operand->lane = operand->size / operand->lanes;
	} else if (z->avx.broadcast.mode != ZYDIS_BROADCAST_MODE_INVALID) {
		operand->kind = MASK_FOLDED;
		operand->lane = (uint8_t)(operand->size / memory->element_count);
	} else {
		operand->kind = MASK_EACH;
		operand->lane = operand->size / operand->lanes;
	}
	return true;
}

int native_decode_thunk(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
			const ZydisDecodedOperand *operands, struct insn *out)
{
	struct native_operand *operand = (struct native_operand *)&out->imm;
	const ZydisDecodedOperand *memory = NULL;
	native_thunk *thunk;
	bool store, masked;
	int r;

	for (unsigned i = 0; i < z->operand_count_visible; i++)
		if (operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			memory = &operands[i];
	r = native_thunk_get(cpu->native, z, operands, &thunk);
	if (r)
		return r;
	out->aux = (const void *)(uintptr_t)thunk;
	out->exec = native_register;
	if (!memory)
		return 0;
	if (memory->size > 512)
		return -ENOENT;
	operand->size = (uint8_t)(memory->size / 8);
	operand->align = native_alignment(cpu, z, operand->size);
	store = memory->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	masked = decode_mask(z, operands, memory, operand);
	if (store && masked)
		out->exec = operand->kind == MASK_VECTOR || suppresses_faults(z)
				    ? native_masked_store
				    : native_masked_store_whole;
	else if (store)
		out->exec = native_store;
	else
		out->exec = masked ? native_masked_load : native_load;
	return 0;
}

/* Before any vCPU can come to the instruction in what this one translates, it is out of the code that it runs. */
static void announce_avx512(struct soft_cpu *cpu)
{
	atomic_store(&cpu->engine->avx512, true);
	native_update_mask(cpu);
	code_visit_others(cpu);
}

int native_decode(struct soft_cpu *cpu, const ZydisDecodedInstruction *z,
		  const ZydisDecodedOperand *operands, struct insn *out)
{
	int unit = native_unit(native_host(cpu->native), z, operands);
	int r;

	if (unit < 0)
		return unit;
	out->op = (uint8_t)unit;
	if (unit == UNIT_AVX512 && unlikely(!atomic_load(&cpu->engine->avx512)))
		announce_avx512(cpu);
	out->imm = 0;
	r = native_decode_state(z, out);
	if (r == -ENOENT)
		r = native_decode_maskmov(z, operands, out);
	if (r == -ENOENT)
		r = native_decode_move(z, operands, out);
	if (r == -ENOENT)
		r = native_decode_gather(z, operands, out);
	if (r == -ENOENT)
		r = native_decode_x87(cpu, z, operands, out);
	if (r == -ENOENT)
		r = native_decode_thunk(cpu, z, operands, out);
	return r;
}
