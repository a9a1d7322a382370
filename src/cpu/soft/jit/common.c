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

/* What the thread does from now on: see cpu/soft/tier_priv.h. Leaves flags alone. */
static void emit_tier(struct code *c, enum tier tier)
{
	emit_rm(c, 0xc6, 0, FIELD(tier));
	code_byte(c, (uint8_t)tier);
}

/* A C function (cpu, insn): enters the code of the block that begins with `insn`. */
static void emit_enter_block(struct code *c)
{
	int64_t body =
		(int64_t)offsetof(struct block, body) - (int64_t)offsetof(struct block, insns);

	emit_rm(c, MOV_LOAD, HOST_RDX, at(HOST_RSI, body));
}

/* One whose RDX is the code to go to. The block starts at soft_cpu.rip. */
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
	emit_tier(c, TIER_TRANSLATED);
	move_registers(c, false);
	emit_rr(c, 0xff, 4, SCRATCH_1); /* jmp */
}

static void code_call(struct code *c, unsigned to)
{
	code_byte(c, 0xe8);
	code_u32(c, (uint32_t)(to - (c->used + 4)));
}

/* What is live to memory: before C code that may use these registers. */
static void emit_spill_live(struct code *c, unsigned spill)
{
	unsigned skip;

	emit_rm(c, 0x80, ALU_CMP, FIELD(vector_live));
	code_byte(c, 0);
	skip = emit_jump(c, IF_E);
	code_call(c, spill);
	jump_fill(c, skip, c->used);
	emit_rm(c, MOV_LOAD, HOST_RDI, FIELD(self));
}

/* General registers to memory, and the C stack. */
static void emit_to_c(struct code *c)
{
	emit_tier(c, TIER_HANDLERS);
	move_registers(c, true);
	emit_rm(c, MOV_LOAD, HOST_RSP, FIELD(host_stack));
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

/*
 * From a stub, at whose data SCRATCH_1 points: 32 bits, how far from there to where code goes on; the
 * bit of the unit; code that says so if that is switched off. Or entered behind this, where code goes
 * on at SCRATCH_1; where that is is returned. Destroys flags and SCRATCH_0.
 */
static unsigned emit_load(struct code *c, bool x87)
{
	static const uint8_t and_al = 0x24;
	unsigned off, load;

	emit_rm(c, 0x0fb6, SCRATCH_0, at(SCRATCH_1, 4));  /* movzx */
	emit_rm(c, 0x84, SCRATCH_0, FIELD(vector_units)); /* test */
	off = emit_jump(c, IF_E);
	emit_rm(c, 0x63 | WIDE, SCRATCH_0, at(SCRATCH_1, 0)); /* movsxd */
	emit_rr(c, 0x03 | WIDE, SCRATCH_1, SCRATCH_0);
	load = c->used;
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
	jump_fill(c, off, c->used);
	emit_alu_i(c, ALU_ADD, SCRATCH_1, 5);
	emit_rr(c, 0xff, 4, SCRATCH_1);
	return load;
}

/* Calls a C function of (cpu). */
static void emit_function(struct code *c, const void *function)
{
	emit_load_imm(c, HOST_RAX, (uintptr_t)function);
	emit_rr(c, 0xff, 2, HOST_RAX);
}

/* Calls it as the last thing. */
static void emit_last(struct code *c, const void *function)
{
	emit_tier(c, TIER_INTERPRETER);
	epilogue(c);
	emit_load_imm(c, HOST_RAX, (uintptr_t)function);
	emit_rr(c, 0xff, 4, HOST_RAX);
}

/* If the block that goes on uses them. */
static void emit_reload(struct code *c, uint8_t units, unsigned load)
{
	unsigned skip, back;

	emit_rm(c, 0xf6, 0, FIELD(call_units)); /* test byte */
	code_byte(c, units);
	skip = emit_jump(c, IF_E);
	back = emit_lea_code(c, SCRATCH_1);
	jump_fill(c, emit_jump(c, ALWAYS), load);
	jump_fill(c, back, c->used);
	jump_fill(c, skip, c->used);
}

/* From a stub. SCRATCH_1: its struct call, SCRATCH_0: what goes with it. */
static void emit_call(struct code *c, unsigned spill, unsigned vector_load, unsigned x87_load)
{
	const uint8_t x87 = 1u << UNIT_X87;
	unsigned slow, leaves, out;

	emit_rm(c, MOV_STORE, SCRATCH_1, FIELD(call));
	emit_rm(c, MOV_STORE, SCRATCH_0, FIELD(call_value));
	emit_to_c(c);
	emit_function(c, jit_retry);
	emit_rr(c, 0x85 | WIDE, HOST_RAX, HOST_RAX); /* test */
	slow = emit_jump(c, IF_E);
	emit_rr(c, MOV_LOAD, SCRATCH_1, HOST_RAX);
	emit_rm(c, MOV_LOAD, SCRATCH_0, FIELD(call_value));
	emit_tier(c, TIER_TRANSLATED);
	move_registers(c, false);
	emit_rr(c, 0xff, 4, SCRATCH_1);

	jump_fill(c, slow, c->used);
	emit_spill_live(c, spill);
	emit_rm(c, 0x80, ALU_CMP, FIELD(call_leaves));
	code_byte(c, 0);
	leaves = emit_jump(c, IF_NE);
	emit_function(c, jit_handler);
	emit_rm(c, 0x83 | WIDE, ALU_CMP, FIELD(call_return));
	code_byte(c, 0);
	out = emit_jump(c, IF_E);
	emit_tier(c, TIER_TRANSLATED);
	move_registers(c, false);
	emit_reload(c, (uint8_t)~x87, vector_load);
	emit_reload(c, x87, x87_load);
	emit_flags_load(c, SCRATCH_0);
	emit_rm(c, 0xff, 4, FIELD(call_return)); /* jmp */

	jump_fill(c, leaves, c->used);
	emit_last(c, jit_leave);

	jump_fill(c, out, c->used);
	emit_tier(c, TIER_INTERPRETER);
	epilogue(c);
	code_byte(c, 0xc3);
}

/* The code of a jump entry, whose offset is in SCRATCH_1, if the block has none. */
static void emit_no_body(struct code *c, unsigned spill)
{
	emit_rm(c, MOV_STORE, SCRATCH_1, FIELD(call_entry));
	emit_to_c(c);
	emit_spill_live(c, spill);
	emit_last(c, jit_leave_jump);
}

void common_emit(struct code_cache *cache)
{
	struct jit_common *common = &cache->common;
	struct code code = { cache->write, 0, (unsigned)cache->size };
	uint64_t run = (uintptr_t)cache->run;
	struct native_host host;
	unsigned spill = 0, vector_load, x87_load;

	native_host_detect(&host);
	emit_spill(&code, host.avx);
	common->gate = run + code.used;
	emit_rm(&code, MOV_LOAD, HOST_RDX, FIELD(gate_code));
	emit_enter(&code);
	common->enter_block = run + code.used;
	emit_enter_block(&code);
	emit_enter(&code);
	common->vector_load = run + code.used;
	vector_load = emit_load(&code, false);
	common->x87_load = run + code.used;
	x87_load = emit_load(&code, true);
	common->call = run + code.used;
	emit_call(&code, spill, vector_load, x87_load);
	common->no_body = run + code.used;
	emit_no_body(&code, spill);
	common->end = (code.used + 63) & ~63u;
}
