/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Width variants from one definition.
 *
 * A family's macro takes (bits, suffix, modifier, …): the operand width, the letter of the host's
 * mnemonic and the asm operand modifier; FOR_WIDTHS instantiates it for 8, 16, 32 and 64 bits.
 */
#pragma once

#include "cpu/soft/access_priv.h"
#include "cpu/soft/block_priv.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/flags_priv.h"

#define FOR_WIDTHS(macro, ...)                                                                     \
	macro(8, "b", "b", __VA_ARGS__) macro(16, "w", "w", __VA_ARGS__)                           \
		macro(32, "l", "k", __VA_ARGS__) macro(64, "q", "q", __VA_ARGS__)

#define FOR_WIDE_WIDTHS(macro, ...)                                                                \
	macro(16, "w", "w", __VA_ARGS__) macro(32, "l", "k", __VA_ARGS__)                          \
		macro(64, "q", "q", __VA_ARGS__)

/* A handler for each width, as an op_row has them. */
#define EXEC_WIDTHS(name)                                                                          \
	{                                                                                          \
		name##8, name##16, name##32, name##64                                              \
	}
#define EXEC_WIDE_WIDTHS(name)                                                                     \
	{                                                                                          \
		NULL, name##16, name##32, name##64                                                 \
	}

#define ROW(mnemonic, form, flags, ...)                                                            \
	{                                                                                          \
		ZYDIS_MNEMONIC_##mnemonic, form, flags, __VA_ARGS__, NULL                          \
	}

/* Writing a general register: 32 bits clear the upper half, less leave the rest. */
static inline void set_reg8(struct soft_cpu *cpu, uint8_t name, uint8_t value)
{
	*reg8(cpu, name) = value;
}

static inline void set_reg16(struct soft_cpu *cpu, uint8_t name, uint16_t value)
{
	*reg16(cpu, name) = value;
}

static inline void set_reg32(struct soft_cpu *cpu, uint8_t name, uint32_t value)
{
	*reg64(cpu, name) = value;
}

static inline void set_reg64(struct soft_cpu *cpu, uint8_t name, uint64_t value)
{
	*reg64(cpu, name) = value;
}

#define HANDLER(name) static const struct insn *name(struct soft_cpu *cpu, const struct insn *insn)

/* The memory operand, for reading and writing. */
#define LOAD_EA(bits)         load##bits(cpu, insn, ea_linear(cpu, insn, (bits) / 8, false))
#define STORE_EA(bits, value) store##bits(cpu, insn, ea_linear(cpu, insn, (bits) / 8, true), value)
