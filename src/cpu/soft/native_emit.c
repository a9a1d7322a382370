/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encoding of instructions.
 *
 * Spec: Intel SDM volume 2, chapter 2: "Instruction Format", sections 2.1 (legacy and REX), 2.3
 * (VEX), 2.7 (EVEX).
 */
#include "cpu/soft/native_emit_priv.h"

#include <string.h>

void code_bytes(struct code *code, const void *bytes, unsigned count)
{
	check(count <= code->size - code->used);
	memcpy(code->bytes + code->used, bytes, count);
	code->used += count;
}

void code_u32(struct code *code, uint32_t value)
{
	code_bytes(code, &value, sizeof(value));
}

/* Bit `bit` of a register number as the inverted prefixes have it: 1 when it is clear. */
static unsigned inverted(unsigned number, unsigned bit)
{
	return ~number >> bit & 1;
}

static void legacy_prefixes(struct code *code, const struct operation *o)
{
	static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
	uint8_t rex = 0x40;

	if (o->lock)
		code_byte(code, 0xf0);
	if (o->size16 && o->prefix != PREFIX_66)
		code_byte(code, 0x66);
	if (o->prefix)
		code_byte(code, prefixes[o->prefix]);
	if (o->w)
		rex |= 8;
	if (o->has_modrm)
		rex |= (o->reg >> 3 & 1) << 2;
	if (o->has_modrm || o->opcode_register)
		rex |= o->rm >> 3 & 1;
	if (o->indexed)
		rex |= (o->index >> 3 & 1) << 1;
	if (rex != 0x40 || o->rex)
		code_byte(code, rex);
	if (o->map != MAP_ONE_BYTE)
		code_byte(code, 0x0f);
	if (o->map == MAP_0F38)
		code_byte(code, 0x38);
	if (o->map == MAP_0F3A)
		code_byte(code, 0x3a);
}

static void vex_prefix(struct code *code, const struct operation *o)
{
	unsigned x = o->indexed ? inverted(o->index, 3) : 1;

	code_byte(code, 0xc4);
	code_byte(code,
		  (uint8_t)(inverted(o->reg, 3) << 7 | x << 6 | inverted(o->rm, 3) << 5 | o->map));
	code_byte(code,
		  (uint8_t)(o->w << 7 | (~o->vvvv & 15) << 3 | (o->length & 1) << 2 | o->prefix));
}

static void evex_prefix(struct code *code, const struct operation *o)
{
	/* X extends a register in r/m by a fifth bit. */
	unsigned x = !o->memory ? inverted(o->rm, 4) : o->indexed ? inverted(o->index, 3) : 1;

	code_byte(code, 0x62);
	code_byte(code, (uint8_t)(inverted(o->reg, 3) << 7 | x << 6 | inverted(o->rm, 3) << 5 |
				  inverted(o->reg, 4) << 4 | o->map));
	code_byte(code, (uint8_t)(o->w << 7 | (~o->vvvv & 15) << 3 | 1 << 2 | o->prefix));
	code_byte(code, (uint8_t)(o->zeroing << 7 | (o->length & 3) << 5 | o->extra << 4 |
				  inverted(o->vvvv, 4) << 3 | o->mask));
}

/* Displacements of EVEX count in operand sizes if they have 8 bits. */
static unsigned modrm_mod(const struct operation *o)
{
	if (!o->memory)
		return 3;
	if (!o->disp && (o->rm & 7) != 5)
		return 0;
	return o->disp == (int8_t)o->disp && o->encoding != OPERATION_EVEX ? 1 : 2;
}

static void modrm(struct code *code, const struct operation *o)
{
	unsigned mod = modrm_mod(o);
	bool sib = o->memory && (o->indexed || (o->rm & 7) == 4);

	check(!o->indexed || o->index != 4);
	code_byte(code, (uint8_t)(mod << 6 | (o->reg & 7) << 3 | (sib ? 4 : o->rm & 7)));
	if (sib)
		code_byte(code, (uint8_t)(o->scale << 6 | (o->indexed ? o->index & 7 : 4) << 3 |
					  (o->rm & 7)));
	if (mod == 1)
		code_byte(code, (uint8_t)o->disp);
	else if (mod == 2)
		code_u32(code, (uint32_t)o->disp);
}

void code_operation(struct code *code, const struct operation *o)
{
	if (o->encoding == OPERATION_VEX)
		vex_prefix(code, o);
	else if (o->encoding == OPERATION_EVEX)
		evex_prefix(code, o);
	else
		legacy_prefixes(code, o);
	code_byte(code, o->opcode_register ? (uint8_t)(o->opcode | (o->rm & 7)) : o->opcode);
	if (o->has_modrm)
		modrm(code, o);
	code_bytes(code, o->imm, o->imm_bytes);
}
