/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Encodings. Spec: Intel SDM volume 2, chapter 2. */
#include "cpu/soft/jit/emit_priv.h"

#include <string.h>

#include "cpu/soft/cpu_priv.h"

static void emit_opcode(struct code *code, unsigned opcode, unsigned reg, unsigned index,
			unsigned base)
{
	unsigned rex = 0x40 | (opcode & WIDE ? 8 : 0) | (reg >> 3 & 1) << 2 |
		       (index >> 3 & 1) << 1 | (base >> 3 & 1);

	if (opcode & SIZE16)
		code_byte(code, 0x66);
	if (rex != 0x40)
		code_byte(code, (uint8_t)rex);
	if (opcode & 0xff00)
		code_byte(code, 0x0f);
	code_byte(code, (uint8_t)opcode);
}

void emit_rr(struct code *code, unsigned opcode, unsigned reg, unsigned rm)
{
	emit_opcode(code, opcode, reg, 0, rm);
	code_byte(code, (uint8_t)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

void emit_rm(struct code *code, unsigned opcode, unsigned reg, struct place p)
{
	bool no_base = p.base == NO_REG;
	bool sib = no_base || p.index != NO_REG || (p.base & 7) == 4;
	bool small = p.disp == (int8_t)p.disp;
	unsigned mod = no_base ? 0 : !p.disp && (p.base & 7) != 5 ? 0 : small ? 1 : 2;

	if (p.gs)
		code_byte(code, 0x65);
	emit_opcode(code, opcode, reg, p.index == NO_REG ? 0 : p.index, no_base ? 0 : p.base);
	code_byte(code, (uint8_t)(mod << 6 | (reg & 7) << 3 | (sib ? 4 : p.base & 7)));
	if (sib)
		code_byte(code,
			  (uint8_t)(p.scale << 6 | (p.index == NO_REG ? 4 : p.index & 7) << 3 |
				    (no_base ? 5 : p.base & 7)));
	if (mod == 1)
		code_byte(code, (uint8_t)p.disp);
	else if (mod == 2 || no_base)
		code_u32(code, (uint32_t)p.disp);
}

int32_t gs_displacement(size_t offset)
{
	return (int32_t)offset - (int32_t)offsetof(struct soft_cpu, tlb);
}

struct place in_cpu(size_t offset)
{
	return (struct place){ NO_REG, NO_REG, 0, true, gs_displacement(offset) };
}

struct place in_cpu_at(unsigned reg, size_t offset)
{
	return (struct place){ (uint8_t)reg, NO_REG, 0, true, gs_displacement(offset) };
}

struct place in_jump(unsigned reg, size_t field)
{
	return in_cpu_at(reg, offsetof(struct soft_cpu, jumps) + field);
}

struct place in_gpr(unsigned guest)
{
	return in_cpu(offsetof(struct soft_cpu, gpr) + 8ul * guest);
}

void emit_alu_i(struct code *code, enum alu alu, unsigned reg, int32_t imm)
{
	bool small = imm == (int8_t)imm;

	emit_rr(code, (small ? 0x83 : 0x81) | WIDE, alu, reg);
	if (small)
		code_byte(code, (uint8_t)imm);
	else
		code_u32(code, (uint32_t)imm);
}

void emit_mask32(struct code *code, unsigned reg, uint32_t mask)
{
	emit_rr(code, 0x81, ALU_AND, reg);
	code_u32(code, mask);
}

void emit_shift(struct code *code, bool right, unsigned reg, unsigned count)
{
	emit_rr(code, 0xc1 | WIDE, right ? 5 : 4, reg);
	code_byte(code, (uint8_t)count);
}

void emit_load_imm32(struct code *code, unsigned reg, uint32_t value)
{
	if (reg > 7)
		code_byte(code, 0x41);
	code_byte(code, (uint8_t)(0xb8 | (reg & 7)));
	code_u32(code, value);
}

void emit_load_imm(struct code *code, unsigned reg, uint64_t value)
{
	if (value == (uint64_t)(int64_t)(int32_t)value) {
		emit_rr(code, 0xc7 | WIDE, 0, reg);
		code_u32(code, (uint32_t)value);
		return;
	}
	code_byte(code, (uint8_t)(0x48 | (reg >> 3 & 1)));
	code_byte(code, (uint8_t)(0xb8 | (reg & 7)));
	emit_u64(code, value);
}

void emit_u64(struct code *code, uint64_t value)
{
	code_bytes(code, &value, sizeof(value));
}

unsigned emit_jump(struct code *code, unsigned condition)
{
	if (condition == ALWAYS) {
		code_byte(code, 0xe9);
	} else {
		code_byte(code, 0x0f);
		code_byte(code, (uint8_t)(0x80 | condition));
	}
	code_u32(code, 0);
	return code->used - 4;
}

unsigned emit_way_check(struct code *code, uint32_t way, unsigned scope)
{
	const unsigned size = sizeof(uint64_t);

	emit_rm(code, MOV_LOAD, SCRATCH_0,
		in_cpu(offsetof(struct soft_cpu, link_key) + size * scope));
	emit_rm(code, 0x03 | WIDE, SCRATCH_0, FIELD(code_page)); /* add */
	emit_rm(code, 0x3b | WIDE, SCRATCH_0,
		in_cpu(offsetof(struct soft_cpu, ways) + (size_t)size * way));
	return emit_jump(code, IF_NE);
}

unsigned emit_jump_to_join(struct code *code, unsigned condition)
{
	static const uint8_t nops[3][3] = { { 0x90 }, { 0x66, 0x90 }, { 0x0f, 0x1f, 0x00 } };
	unsigned word = sizeof(uint64_t), opcode = condition == ALWAYS ? 1 : 2;
	unsigned disp = (code->used + opcode) % word;

	if (disp > word - sizeof(uint32_t))
		code_bytes(code, nops[word - disp - 1], word - disp);
	return emit_jump(code, condition);
}

unsigned emit_lea_code(struct code *code, unsigned reg)
{
	code_byte(code, (uint8_t)(0x48 | (reg >> 3 & 1) << 2));
	code_byte(code, 0x8d);
	code_byte(code, (uint8_t)((reg & 7) << 3 | 5));
	code_u32(code, 0);
	return code->used - 4;
}

void jump_fill(struct code *code, unsigned from, unsigned to)
{
	int32_t distance = (int32_t)(to - (from + 4));

	memcpy(code->bytes + from, &distance, sizeof(distance));
}

void emit_jump_out(struct code *code, uint64_t base, uint64_t target)
{
	code_byte(code, 0xe9);
	code_u32(code, (uint32_t)(target - (base + code->used + 4)));
}

void emit_flags_save(struct code *code, unsigned scratch)
{
	emit_rr(code, MOV_LOAD, scratch, HOST_RAX);
	code_byte(code, 0x9f);              /* lahf */
	emit_rr(code, 0x0f90, 0, HOST_RAX); /* seto al */
	emit_rm(code, 0x89 | SIZE16, HOST_RAX, FIELD(status));
	emit_rr(code, MOV_LOAD, HOST_RAX, scratch);
}

void emit_flags_load(struct code *code, unsigned scratch)
{
	if (scratch == NO_REG)
		emit_rm(code, MOV_STORE, HOST_RAX, in_gpr(HOST_RAX));
	else
		emit_rr(code, MOV_LOAD, scratch, HOST_RAX);
	emit_rm(code, 0x0fb7, HOST_RAX, FIELD(status));
	code_byte(code, 0x04); /* add al, 127 */
	code_byte(code, 0x7f);
	code_byte(code, 0x9e); /* sahf */
	if (scratch == NO_REG)
		emit_rm(code, MOV_LOAD, HOST_RAX, in_gpr(HOST_RAX));
	else
		emit_rr(code, MOV_LOAD, HOST_RAX, scratch);
}
