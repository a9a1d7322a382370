/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random instructions and random states for them: what the interpreter and this processor are
 * compared on.
 *
 * Everything follows from the seed.
 */
#pragma once

#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/soft/native_priv.h"
#include "sandbox.h"

/* xorshift64*: enough for tests. */
struct random {
	uint64_t state; /* not 0 */
};

uint64_t random_next(struct random *random);

/* 0 … limit - 1. */
static inline uint32_t random_below(struct random *random, uint32_t limit)
{
	return (uint32_t)(random_next(random) >> 16) % limit;
}

/* A piece of the opcode space. */
struct form_space {
	const char *name;
	enum { SPACE_LEGACY, SPACE_VEX, SPACE_EVEX } encoding;
	uint8_t map;         /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
	uint8_t first, last; /* opcodes */
	uint16_t variants;   /* tries an opcode */
};

extern const struct form_space form_spaces[];
extern const unsigned form_space_count;

struct random_case {
	uint8_t code[16];
	unsigned length;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/*
 * A random instruction of this opcode, with a state in which its memory operand, if any, is mostly
 * in the sandbox's data. False: what came out is no instruction, or none that can be compared.
 */
bool random_case_make(struct random *random, const struct form_space *space, uint8_t opcode,
		      const ZydisDecoder *decoder, const struct native_host *host,
		      struct random_case *c, struct sandbox_state *state);
