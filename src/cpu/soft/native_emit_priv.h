/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An instruction taken apart, and its encoding for 64-bit mode. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

enum operation_encoding { OPERATION_LEGACY, OPERATION_VEX, OPERATION_EVEX };
enum operation_prefix { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 }; /* as VEX.pp */
enum operation_map { MAP_ONE_BYTE, MAP_0F, MAP_0F38, MAP_0F3A };

struct operation {
	uint8_t encoding; /* enum operation_encoding */
	uint8_t map;      /* enum operation_map */
	uint8_t prefix;   /* enum operation_prefix */
	uint8_t opcode;
	bool w;
	bool size16; /* legacy: 66 in front of PREFIX_F2 or PREFIX_F3 */
	bool rex;    /* legacy: a REX prefix even if no bit of it is set */
	bool lock;
	bool has_modrm;       /* else reg, rm and memory mean nothing */
	bool memory;          /* rm is the base of a memory operand: disp(rm, index << scale) */
	bool indexed;         /* there is an index */
	bool opcode_register; /* legacy: rm is in the low bits of the opcode */
	uint8_t index, scale;
	uint8_t reg, rm, vvvv;
	uint8_t length;      /* VEX.L or EVEX.L'L */
	uint8_t mask;        /* EVEX.aaa */
	bool zeroing, extra; /* EVEX.z, EVEX.b */
	int32_t disp;
	uint8_t imm[8], imm_bytes;
};

/* Machine code in the making. */
struct code {
	uint8_t *bytes;
	unsigned used, size;
};

static inline void code_byte(struct code *code, uint8_t byte)
{
	check(code->used < code->size);
	code->bytes[code->used++] = byte;
}

void code_bytes(struct code *code, const void *bytes, unsigned count);
void code_u32(struct code *code, uint32_t value);
void code_operation(struct code *code, const struct operation *operation);
