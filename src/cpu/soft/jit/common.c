/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways between C and translated code, once per code cache.
 *
 * In translated code all general registers but the scratch ones are the guest's; the C stack waits
 * in soft_cpu.host_stack. Vector registers come along only when a block wants them, and go back to
 * soft_cpu.xsave before C code runs. So do the x87 registers, on their own; C code finds that unit
 * as the ABI wants it, empty and without a pending exception.
 *
 * XSAVE writes x87 pointers of the host or none, as the processor likes: the guest's, which
 * translated code keeps in soft_cpu, take their place.
 *
 * Spec: System V ABI for x86-64, section 3.2; Intel SDM volume 1, sections 13.7 (XSAVE), 13.8
 * (XRSTOR).
 */
#include <stddef.h>
#include <string.h>

#include "cpu/soft/jit/translate_priv.h"

static const uint8_t callee_saved[] = { 3, 5, 12, 13, 14, 15 };

static void move_registers(struct code *c, bool save)
{
	for (unsigned guest = 0; guest < GPR_COUNT; guest++)
		if (!in_memory(guest))
			emit_rm(c, save ? MOV_STORE : MOV_LOAD, guest, in_gpr(guest));
}

static void push_pop(struct code *c, bool push, unsigned reg)
{
	if (reg > 7)
		code_byte(c, 0x41);
	code_byte(c, (uint8_t)((push ? 0x50 : 0x58) | (reg & 7)));
}

static void epilogue(struct code *c)
{
	emit_alu_i(c, ALU_ADD, HOST_RSP, 8);
	for (unsigned i = ARRAY_SIZE(callee_saved); i-- > 0;)
		push_pop(c, false, callee_saved[i]);
}

/* A C function (cpu, insn) whose RDX is the code to go to; the block starts at soft_cpu.rip. */
static void emit_enter(struct code *c)
{
	for (unsigned i = 0; i < ARRAY_SIZE(callee_saved); i++)
		push_pop(c, true, callee_saved[i]);
	emit_alu_i(c, ALU_SUB, HOST_RSP, 8);
	emit_rm(c, MOV_STORE, HOST_RSP, FIELD(host_stack));
	emit_rm(c, 0xff | WIDE, 0, FIELD(translated_runs)); /* inc */
	emit_rr(c, MOV_LOAD, SCRATCH_1, HOST_RDX);
	emit_rm(c, MOV_LOAD, HOST_RAX, FIELD(rip));
	emit_alu_i(c, ALU_AND, HOST_RAX, ~(int32_t)PAGE_MASK);
	emit_rm(c, MOV_STORE, HOST_RAX, FIELD(code_page));
	move_registers(c, false);
	emit_rr(c, 0xff, 4, SCRATCH_1); /* jmp */
}

static void code_call(struct code *c, unsigned to)
{
	code_byte(c, 0xe8);
	code_u32(c, (uint32_t)(to - (c->used + 4)));
}

/* All guest state to memory, and the C stack; the scratch registers stay. `spill`: see there. */
static void emit_to_c(struct code *c, unsigned spill)
{
	unsigned skip;

	move_registers(c, true);
	emit_rm(c, MOV_LOAD, HOST_RSP, FIELD(host_stack));
	emit_rm(c, 0x80, ALU_CMP, FIELD(vector_live));
	code_byte(c, 0);
	skip = emit_jump(c, IF_E);
	code_call(c, spill);
	jump_fill(c, skip, c->used);
	emit_rm(c, MOV_LOAD, HOST_RDI, FIELD(self));
}

/* 0F AE /extension, or with REX.W. */
static void emit_0fae(struct code *c, unsigned extension, bool wide, size_t offset)
{
	emit_rm(c, 0x0fae | (wide ? WIDE : 0), extension, in_cpu(offset));
}

/* FOP, FIP and FDP from soft_cpu.xsave to where translated code has them, or back. */
static void move_pointers(struct code *c, bool save)
{
	const size_t image = offsetof(struct soft_cpu, xsave);
	const struct {
		struct place live, saved;
		unsigned size;
	} pointers[] = {
		{ FIELD(x87_fop), in_cpu(image + XSAVE_FOP), SIZE16 },
		{ FIELD(x87_fip), in_cpu(image + XSAVE_FIP), WIDE },
		{ FIELD(x87_fdp), in_cpu(image + XSAVE_FDP), WIDE },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(pointers); i++) {
		emit_rm(c, 0x8b | pointers[i].size, HOST_RAX,
			save ? pointers[i].live : pointers[i].saved);
		emit_rm(c, 0x89 | pointers[i].size, HOST_RAX,
			save ? pointers[i].saved : pointers[i].live);
	}
}

/* Gives the x87 unit back, if the guest's registers are in it. */
static void emit_spill_x87(struct code *c)
{
	static const uint8_t fninit[] = { 0xdb, 0xe3 };
	unsigned skip;

	emit_rm(c, 0xf6, 0, FIELD(vector_live)); /* test byte */
	code_byte(c, 1u << UNIT_X87);
	skip = emit_jump(c, IF_E);
	code_bytes(c, fninit, sizeof(fninit));
	move_pointers(c, true);
	jump_fill(c, skip, c->used);
}

/* A subroutine: what is live, and MXCSR, to soft_cpu.xsave. Destroys RAX and RDX. */
static void emit_spill(struct code *c, bool avx)
{
	static const uint8_t vzeroupper[] = { 0xc5, 0xf8, 0x77 };

	emit_rm(c, 0x8b, HOST_RAX, FIELD(live_mask));
	emit_rr(c, 0x33, HOST_RDX, HOST_RDX);
	emit_0fae(c, 4, true, offsetof(struct soft_cpu, xsave));
	emit_spill_x87(c);
	emit_rm(c, 0xc7, 0, FIELD(live_mask));
	code_u32(c, 0);
	emit_rm(c, 0xc6, 0, FIELD(vector_live));
	code_byte(c, 0);
	emit_load_imm(c, HOST_RAX, UINT64_C(0x0101010101010101));
	emit_rm(c, MOV_STORE, HOST_RAX, FIELD(upper_in_use));
	emit_rm(c, MOV_STORE, HOST_RAX, in_cpu(offsetof(struct soft_cpu, upper_in_use) + 8));
	emit_0fae(c, 2, false, offsetof(struct soft_cpu, host_mxcsr));
	if (avx)
		code_bytes(c, vzeroupper, sizeof(vzeroupper));
	code_byte(c, 0xc3);
}

/* From translated code, which goes on where SCRATCH_1 says. Destroys flags and SCRATCH_0. */
static void emit_load(struct code *c, bool x87)
{
	static const uint8_t and_al = 0x24;

	emit_rm(c, MOV_STORE, HOST_RAX, in_gpr(HOST_RAX));
	emit_rm(c, MOV_STORE, HOST_RDX, in_gpr(HOST_RDX));
	emit_rm(c, 0xff | WIDE, 0, FIELD(vector_loads)); /* inc */
	if (x87)
		emit_load_imm(c, HOST_RAX, XCR0_X87);
	else
		emit_rm(c, 0x8b, HOST_RAX, FIELD(vector_mask));
	emit_rr(c, 0x33, HOST_RDX, HOST_RDX);
	emit_rm(c, MOV_STORE, HOST_RAX, in_cpu(offsetof(struct soft_cpu, xsave) + XSAVE_HEADER));
	emit_rm(c, 0x09, HOST_RAX, FIELD(live_mask)); /* or */
	emit_0fae(c, 5, true, offsetof(struct soft_cpu, xsave));
	emit_rm(c, 0x8a, HOST_RAX, FIELD(vector_units));
	code_byte(c, and_al);
	code_byte(c, x87 ? 1u << UNIT_X87 : (uint8_t) ~(1u << UNIT_X87));
	emit_rm(c, 0x08, HOST_RAX, FIELD(vector_live)); /* or byte */
	if (x87)
		move_pointers(c, false);
	emit_rm(c, MOV_LOAD, HOST_RAX, in_gpr(HOST_RAX));
	emit_rm(c, MOV_LOAD, HOST_RDX, in_gpr(HOST_RDX));
	emit_rr(c, 0xff, 4, SCRATCH_1);
}

/* Calls the function in SCRATCH_1 with (cpu, SCRATCH_0) as the last thing. */
static void emit_leave(struct code *c, unsigned spill)
{
	emit_to_c(c, spill);
	emit_rr(c, MOV_LOAD, HOST_RSI, SCRATCH_0);
	epilogue(c);
	emit_rr(c, 0xff, 4, SCRATCH_1);
}

/* SCRATCH_1: a struct slow_call, behind which the code goes on. */
static void emit_slow(struct code *c, unsigned spill)
{
	unsigned out;

	emit_rm(c, MOV_STORE, SCRATCH_1, FIELD(call_return));
	emit_to_c(c, spill);
	emit_rr(c, MOV_LOAD, HOST_RSI, SCRATCH_1);
	emit_load_imm(c, SCRATCH_0, (uintptr_t)jit_slow);
	emit_rr(c, 0xff, 2, SCRATCH_0); /* call */
	emit_alu_i(c, ALU_CMP, HOST_RAX, (int32_t)(intptr_t)JIT_GO_ON);
	out = emit_jump(c, IF_NE);
	emit_rm(c, MOV_LOAD, SCRATCH_1, FIELD(call_return));
	move_registers(c, false);
	emit_alu_i(c, ALU_ADD, SCRATCH_1, sizeof(struct slow_call));
	emit_rr(c, 0xff, 4, SCRATCH_1);
	jump_fill(c, out, c->used);
	epilogue(c);
	code_byte(c, 0xc3);
}

/* What C code may destroy. */
static void move_caller_saved(struct code *c, bool save)
{
	static const uint8_t caller_saved[] = { 0, 1, 2, 6, 7, 8, 9, HOST_RSP };

	for (unsigned i = 0; i < ARRAY_SIZE(caller_saved); i++)
		emit_rm(c, save ? MOV_STORE : MOV_LOAD, caller_saved[i], in_gpr(caller_saved[i]));
}

/*
 * SCRATCH_0: the linear address of an access that missed the TLB, SCRATCH_1: a struct fill_call.
 * Vector registers and those that C code preserves stay where they are.
 */
static void emit_common_fill(struct code *c)
{
	unsigned failed;

	emit_rm(c, MOV_STORE, SCRATCH_1, FIELD(call_return));
	move_caller_saved(c, true);
	emit_rm(c, MOV_LOAD, HOST_RSP, FIELD(host_stack));
	emit_rm(c, MOV_LOAD, HOST_RDI, FIELD(self));
	emit_rr(c, MOV_LOAD, HOST_RSI, SCRATCH_0);
	emit_rr(c, MOV_LOAD, HOST_RDX, SCRATCH_1);
	emit_load_imm(c, HOST_RAX, (uintptr_t)jit_fill);
	emit_rr(c, 0xff, 2, HOST_RAX);        /* call */
	emit_rr(c, 0x84, HOST_RAX, HOST_RAX); /* test al, al */
	emit_rm(c, MOV_LOAD, SCRATCH_1, FIELD(call_return));
	move_caller_saved(c, false);
	failed = emit_jump(c, IF_E);
	emit_rm(c, 0x63 | WIDE, SCRATCH_0, at(SCRATCH_1, 0)); /* movsxd */
	emit_rr(c, 0x03 | WIDE, SCRATCH_1, SCRATCH_0);
	emit_rr(c, 0xff, 4, SCRATCH_1);
	jump_fill(c, failed, c->used);
	emit_alu_i(c, ALU_ADD, SCRATCH_1, sizeof(struct fill_call));
	emit_rr(c, 0xff, 4, SCRATCH_1);
}

/* The code of a jump entry, whose offset is in SCRATCH_1, if the block has none. */
static void emit_no_body(struct code *c, unsigned leave)
{
	emit_rr(c, MOV_LOAD, SCRATCH_0, SCRATCH_1);
	emit_load_imm(c, SCRATCH_1, (uintptr_t)jit_leave_jump);
	jump_fill(c, emit_jump(c, ALWAYS), leave);
}

void common_emit(struct jit *jit, struct soft_cpu *cpu)
{
	struct code code = { jit->write, 0, (unsigned)jit->size };
	uint64_t run = (uintptr_t)jit->run;
	unsigned spill = 0, leave;

	emit_spill(&code, native_host(cpu->native)->avx);
	jit->common.enter = run + code.used;
	emit_enter(&code);
	leave = code.used;
	jit->common.leave = run + leave;
	emit_leave(&code, spill);
	jit->common.slow = run + code.used;
	emit_slow(&code, spill);
	jit->common.fill = run + code.used;
	emit_common_fill(&code);
	jit->common.no_body = run + code.used;
	emit_no_body(&code, leave);
	jit->common.vector_load = run + code.used;
	emit_load(&code, false);
	jit->common.x87_load = run + code.used;
	emit_load(&code, true);
	jit->common.end = (code.used + 63) & ~63u;
}
