/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine code for translated blocks: which guest register lives where, and the few encodings that
 * the translator writes of its own.
 *
 * The guest's general registers live in the host registers of the same number, RSP included, so
 * that instructions are copied as they are. Two that compilers use least stay in memory, and their
 * host registers are the translator's scratch registers. `struct soft_cpu` is reached through GS.
 * Signals of the host are taken on a stack of their own.
 */
#pragma once

#include "cpu/soft/native_emit_priv.h"

#define HOST_RAX  0
#define HOST_RCX  1
#define HOST_RDX  2
#define HOST_RSP  4
#define HOST_RBP  5
#define HOST_RSI  6
#define HOST_RDI  7
#define SCRATCH_0 10
#define SCRATCH_1 11
#define NO_REG    0xff

static inline bool in_memory(unsigned guest)
{
	return guest == SCRATCH_0 || guest == SCRATCH_1;
}

/* The scratch register that `scratch` is not. */
static inline unsigned other_scratch(unsigned scratch)
{
	return scratch ^ SCRATCH_0 ^ SCRATCH_1;
}

/* A memory operand of the host: [base + index << scale + disp], in GS or not. */
struct place {
	uint8_t base, index, scale; /* base, index: NO_REG for none */
	bool gs;
	int32_t disp;
};

/* Opcodes with an operand size of 64 or 16 bits; 0F in front as 0x0fxx. */
#define WIDE   0x10000
#define SIZE16 0x20000

#define MOV_LOAD  (0x8b | WIDE)
#define MOV_STORE (0x89 | WIDE)
#define LEA       (0x8d | WIDE)

/* `opcode` with a register (or extension) and a register, or a place. */
void emit_rr(struct code *code, unsigned opcode, unsigned reg, unsigned rm);
void emit_rm(struct code *code, unsigned opcode, unsigned reg, struct place place);

static inline struct place at(unsigned base, int64_t disp)
{
	return (struct place){ (uint8_t)base, NO_REG, 0, false, (int32_t)disp };
}

/*
 * GS points to the TLB in struct soft_cpu, whose entries are accessed most often and have the
 * shortest encodings then.
 */
int32_t gs_displacement(size_t offset);

/* The field of struct soft_cpu at `offset` (plus a register), and a guest register there. */
struct place in_cpu(size_t offset);
struct place in_cpu_at(unsigned reg, size_t offset);
struct place in_gpr(unsigned guest);

/* The field at `field` of the jump entry whose offset is in a register. */
struct place in_jump(unsigned reg, size_t field);

#define FIELD(member) in_cpu(offsetof(struct soft_cpu, member))

/* 81 /extension on a 64-bit register. */
enum alu { ALU_ADD, ALU_OR, ALU_AND = 4, ALU_SUB, ALU_XOR, ALU_CMP };
void emit_alu_i(struct code *code, enum alu alu, unsigned reg, int32_t imm);

/* AND of 32 bits, which clears the upper half. */
void emit_mask32(struct code *code, unsigned reg, uint32_t mask);
void emit_shift(struct code *code, bool right, unsigned reg, unsigned count);
/* Of 32 bits, the upper half is 0; and of 64. */
void emit_load_imm32(struct code *code, unsigned reg, uint32_t value);
void emit_load_imm(struct code *code, unsigned reg, uint64_t value);
void emit_u64(struct code *code, uint64_t value);

/*
 * JMP, or Jcc by its condition number, with 32 bits to be filled in; returns where they are, counted
 * from the start of `code`.
 */
#define ALWAYS 16u
#define IF_E   4u
#define IF_NE  5u
#define IF_S   8u
unsigned emit_jump(struct code *code, unsigned condition);

/* The same behind as many bytes of NOP as let code_replace() have the 32 bits. */
unsigned emit_jump_to_join(struct code *code, unsigned condition);

/* LEA of a place in `code`, to be filled in the same way. */
unsigned emit_lea_code(struct code *code, unsigned reg);

/* The jump, to be filled in, of when a way does not lead on where its code does. Destroys flags and SCRATCH_0. */
unsigned emit_way_check(struct code *code, uint32_t way, unsigned scope);

/* Points the jump or LEA at `from` to `to`. */
void jump_fill(struct code *code, unsigned from, unsigned to);

/* To and from code outside of `code`, in the same mapping: `base` is where `code` starts in it. */
void emit_jump_out(struct code *code, uint64_t base, uint64_t target);

/* The arithmetic flags to soft_cpu.status, through `scratch`; they stay. */
void emit_flags_save(struct code *code, unsigned scratch);

/* And back. `scratch` NO_REG: through memory. */
void emit_flags_load(struct code *code, unsigned scratch);
