/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commonest vector instructions, moves and clearing of a register, without a thunk.
 *
 * They are copies between guest memory and the saved state, which the compiler turns into a few
 * host instructions. Only forms that need nothing else are here: no EVEX, no MMX.
 */
#include <errno.h>
#include <string.h>

#include "cpu/soft/native_exec_priv.h"

/* What VEX encodings clear above their 16 or 32 bytes. */
static inline void clear_above_16(struct soft_cpu *cpu, unsigned number)
{
	memset(ymm_high(cpu, number), 0, 16);
	if (native_host(cpu->native)->opmask)
		memset(zmm_high(cpu, number), 0, 32);
}

static inline void clear_above_32(struct soft_cpu *cpu, unsigned number)
{
	if (native_host(cpu->native)->opmask)
		memset(zmm_high(cpu, number), 0, 32);
}

/* A register loaded from memory; the rest of its 16 bytes, and with VEX of all, is cleared. */
#define LOAD_DEFINE(bytes)                                                                         \
	static const struct insn *load_##bytes(struct soft_cpu *cpu, const struct insn *insn)      \
	{                                                                                          \
		uint64_t linear = native_address(cpu, insn, false);                                \
		const void *p = load_in_place(cpu, insn, linear, bytes);                           \
		uint64_t v[2] = { 0, 0 };                                                          \
                                                                                                   \
		memcpy(v, p, bytes);                                                               \
		memcpy(xmm(cpu, insn->dst), v, 16);                                                \
		return NEXT(cpu, insn);                                                            \
	}                                                                                          \
	static const struct insn *load_vex_##bytes(struct soft_cpu *cpu, const struct insn *insn)  \
	{                                                                                          \
		uint64_t linear = native_address(cpu, insn, false);                                \
		const void *p = load_in_place(cpu, insn, linear, bytes);                           \
		uint64_t v[2] = { 0, 0 };                                                          \
                                                                                                   \
		memcpy(v, p, bytes);                                                               \
		memcpy(xmm(cpu, insn->dst), v, 16);                                                \
		clear_above_16(cpu, insn->dst);                                                    \
		return NEXT(cpu, insn);                                                            \
	}

LOAD_DEFINE(4)
LOAD_DEFINE(8)
LOAD_DEFINE(16)

#undef LOAD_DEFINE

static const struct insn *load_vex_32(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear = native_address(cpu, insn, false);
	const uint8_t *p = load_in_place(cpu, insn, linear, 32);

	memcpy(xmm(cpu, insn->dst), p, 16);
	memcpy(ymm_high(cpu, insn->dst), p + 16, 16);
	cpu->upper_in_use[insn->dst] = 1;
	clear_above_32(cpu, insn->dst);
	return NEXT(cpu, insn);
}

#define STORE_DEFINE(bytes)                                                                        \
	static const struct insn *store_##bytes(struct soft_cpu *cpu, const struct insn *insn)     \
	{                                                                                          \
		uint64_t linear = native_address(cpu, insn, true);                                 \
		void *p = tlb_write(cpu, linear, bytes);                                           \
                                                                                                   \
		if (likely(p))                                                                     \
			memcpy(p, xmm(cpu, insn->dst), bytes);                                     \
		else                                                                               \
			store_bytes(cpu, insn, linear, xmm(cpu, insn->dst), bytes);                \
		return NEXT(cpu, insn);                                                            \
	}

STORE_DEFINE(4)
STORE_DEFINE(8)
STORE_DEFINE(16)

#undef STORE_DEFINE

static __attribute__((noinline)) void store_32_copied(struct soft_cpu *cpu, const struct insn *insn,
						      uint64_t linear)
{
	uint8_t bytes[32];

	memcpy(bytes, xmm(cpu, insn->dst), 16);
	memcpy(bytes + 16, ymm_high(cpu, insn->dst), 16);
	store_bytes(cpu, insn, linear, bytes, 32);
}

static const struct insn *store_32(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t linear = native_address(cpu, insn, true);
	uint8_t *p = tlb_write(cpu, linear, 32);

	if (likely(p)) {
		memcpy(p, xmm(cpu, insn->dst), 16);
		memcpy(p + 16, ymm_high(cpu, insn->dst), 16);
	} else {
		store_32_copied(cpu, insn, linear);
	}
	return NEXT(cpu, insn);
}

static const struct insn *copy_16(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	memmove(xmm(cpu, insn->dst), xmm(cpu, insn->src), 16);
	return NEXT(cpu, insn);
}

static const struct insn *copy_vex_16(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	memmove(xmm(cpu, insn->dst), xmm(cpu, insn->src), 16);
	clear_above_16(cpu, insn->dst);
	return NEXT(cpu, insn);
}

static const struct insn *copy_vex_32(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	memmove(xmm(cpu, insn->dst), xmm(cpu, insn->src), 16);
	memmove(ymm_high(cpu, insn->dst), ymm_high(cpu, insn->src), 16);
	cpu->upper_in_use[insn->dst] = 1;
	clear_above_32(cpu, insn->dst);
	return NEXT(cpu, insn);
}

static const struct insn *clear(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	memset(xmm(cpu, insn->dst), 0, 16);
	return NEXT(cpu, insn);
}

static const struct insn *clear_vex(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	memset(xmm(cpu, insn->dst), 0, 16);
	clear_above_16(cpu, insn->dst);
	return NEXT(cpu, insn);
}

static const struct insn *to_gpr_32(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	*reg64(cpu, insn->dst) = *(const uint32_t *)xmm(cpu, insn->src);
	return NEXT(cpu, insn);
}

static const struct insn *to_gpr_64(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	*reg64(cpu, insn->dst) = *(const uint64_t *)xmm(cpu, insn->src);
	return NEXT(cpu, insn);
}

static inline void from_gpr(struct soft_cpu *cpu, const struct insn *insn, uint64_t value)
{
	const uint64_t v[2] = { value, 0 };

	memcpy(xmm(cpu, insn->dst), v, 16);
}

static const struct insn *from_gpr_32(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	from_gpr(cpu, insn, *reg32(cpu, insn->src));
	return NEXT(cpu, insn);
}

static const struct insn *from_gpr_64(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	from_gpr(cpu, insn, *reg64(cpu, insn->src));
	return NEXT(cpu, insn);
}

static const struct insn *from_gpr_vex_32(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	from_gpr(cpu, insn, *reg32(cpu, insn->src));
	clear_above_16(cpu, insn->dst);
	return NEXT(cpu, insn);
}

static const struct insn *from_gpr_vex_64(struct soft_cpu *cpu, const struct insn *insn)
{
	native_check(cpu, insn);
	from_gpr(cpu, insn, *reg64(cpu, insn->src));
	clear_above_16(cpu, insn->dst);
	return NEXT(cpu, insn);
}

/* What a mnemonic's two-operand forms may be. */
enum move_flags {
	MOVE_ALIGNED = 1u << 0, /* its memory operand must be aligned */
	MOVE_WHOLE = 1u << 1,   /* copies whole registers */
	MOVE_CLEARS = 1u << 2,  /* with both sources the same register it gives zero */
};

struct move_row {
	uint16_t mnemonic;
	uint8_t flags;
};

static const struct move_row move_rows[] = {
	{ ZYDIS_MNEMONIC_MOVUPS, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_MOVUPD, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_MOVDQU, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_LDDQU, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_MOVAPS, MOVE_WHOLE | MOVE_ALIGNED },
	{ ZYDIS_MNEMONIC_MOVAPD, MOVE_WHOLE | MOVE_ALIGNED },
	{ ZYDIS_MNEMONIC_MOVDQA, MOVE_WHOLE | MOVE_ALIGNED },
	{ ZYDIS_MNEMONIC_VMOVUPS, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_VMOVUPD, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_VMOVDQU, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_VLDDQU, MOVE_WHOLE },
	{ ZYDIS_MNEMONIC_VMOVAPS, MOVE_WHOLE | MOVE_ALIGNED },
	{ ZYDIS_MNEMONIC_VMOVAPD, MOVE_WHOLE | MOVE_ALIGNED },
	{ ZYDIS_MNEMONIC_VMOVDQA, MOVE_WHOLE | MOVE_ALIGNED },
	{ ZYDIS_MNEMONIC_MOVSS, 0 },
	{ ZYDIS_MNEMONIC_VMOVSS, 0 },
	{ ZYDIS_MNEMONIC_MOVSD, 0 },
	{ ZYDIS_MNEMONIC_VMOVSD, 0 },
	{ ZYDIS_MNEMONIC_MOVD, 0 },
	{ ZYDIS_MNEMONIC_VMOVD, 0 },
	{ ZYDIS_MNEMONIC_MOVQ, 0 },
	{ ZYDIS_MNEMONIC_VMOVQ, 0 },
	{ ZYDIS_MNEMONIC_PXOR, MOVE_CLEARS },
	{ ZYDIS_MNEMONIC_XORPS, MOVE_CLEARS },
	{ ZYDIS_MNEMONIC_XORPD, MOVE_CLEARS },
	{ ZYDIS_MNEMONIC_VPXOR, MOVE_CLEARS },
	{ ZYDIS_MNEMONIC_VXORPS, MOVE_CLEARS },
	{ ZYDIS_MNEMONIC_VXORPD, MOVE_CLEARS },
};

/* The shape of an operand: 16 or 32 for a vector register, 4 or 8 for a general one, 0: neither. */
static unsigned register_bytes(const ZydisDecodedOperand *operand)
{
	if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return 0;
	switch (ZydisRegisterGetClass(operand->reg.value)) {
	case ZYDIS_REGCLASS_XMM:
		return 16;
	case ZYDIS_REGCLASS_YMM:
		return 32;
	case ZYDIS_REGCLASS_GPR32:
		return 4;
	case ZYDIS_REGCLASS_GPR64:
		return 8;
	default:
		return 0;
	}
}

static uint8_t register_number(const ZydisDecodedOperand *operand)
{
	return (uint8_t)ZydisRegisterGetId(operand->reg.value);
}

static insn_exec *pick_load(unsigned size, bool vex)
{
	switch (size) {
	case 4:
		return vex ? load_vex_4 : load_4;
	case 8:
		return vex ? load_vex_8 : load_8;
	case 16:
		return vex ? load_vex_16 : load_16;
	default:
		return load_vex_32;
	}
}

static insn_exec *pick_store(unsigned size)
{
	return size == 4 ? store_4 : size == 8 ? store_8 : size == 16 ? store_16 : store_32;
}

static insn_exec *pick_copy(const struct move_row *row, unsigned to, unsigned from, bool vex)
{
	if (row->flags & MOVE_WHOLE && to == from && to >= 16)
		return !vex ? copy_16 : to == 16 ? copy_vex_16 : copy_vex_32;
	if (to >= 16 && from == 4)
		return vex ? from_gpr_vex_32 : from_gpr_32;
	if (to >= 16 && from == 8)
		return vex ? from_gpr_vex_64 : from_gpr_64;
	if (to == 4 && from >= 16)
		return to_gpr_32;
	if (to == 8 && from >= 16)
		return to_gpr_64;
	return NULL;
}

static int decode_clear(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
			struct insn *out)
{
	bool vex = z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	const ZydisDecodedOperand *sources = vex ? &operands[1] : &operands[0];

	if (register_bytes(&sources[0]) < 16 || register_bytes(&sources[1]) < 16 ||
	    sources[0].reg.value != sources[1].reg.value)
		return -ENOENT;
	out->dst = register_number(&operands[0]);
	out->exec = vex ? clear_vex : clear;
	return 0;
}

static int decode_copy(const struct move_row *row, const ZydisDecodedOperand *operands, bool vex,
		       struct insn *out)
{
	unsigned to = register_bytes(&operands[0]), from = register_bytes(&operands[1]);

	out->exec = to && from ? pick_copy(row, to, from, vex) : NULL;
	if (!out->exec)
		return -ENOENT;
	out->dst = register_number(&operands[0]);
	out->src = register_number(&operands[1]);
	if (to < 16)
		out->dst = REG_OFFSET(out->dst);
	if (from < 16)
		out->src = REG_OFFSET(out->src);
	return 0;
}

int native_decode_move(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *operands,
		       struct insn *out)
{
	struct native_operand *operand = (struct native_operand *)&out->imm;
	bool vex = z->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
	const ZydisDecodedOperand *vector;
	const struct move_row *row = NULL;
	bool store;

	for (size_t i = 0; i < ARRAY_SIZE(move_rows) && !row; i++)
		if (move_rows[i].mnemonic == z->mnemonic)
			row = &move_rows[i];
	if (!row || (!vex && z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY))
		return -ENOENT;
	if (row->flags & MOVE_CLEARS)
		return decode_clear(z, operands, out);
	if (z->operand_count_visible != 2)
		return -ENOENT;
	store = operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
	if (!store && operands[1].type != ZYDIS_OPERAND_TYPE_MEMORY)
		return decode_copy(row, operands, vex, out);
	vector = &operands[store ? 1 : 0];
	if (register_bytes(vector) < 16)
		return -ENOENT;
	/* MOVD of 64 bits is MOVQ by another name. */
	operand->size = (uint8_t)(operands[store ? 0 : 1].size / 8);
	if (row->flags & MOVE_ALIGNED)
		operand->align = (uint8_t)(operand->size - 1);
	out->dst = register_number(vector);
	out->exec = store ? pick_store(operand->size) : pick_load(operand->size, vex);
	return 0;
}
