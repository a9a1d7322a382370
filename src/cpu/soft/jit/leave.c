/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ends of translated blocks.
 *
 * A branch to a fixed target in the same page is a jump that gets joined to the target's code. To
 * another page, it is joined for as long as the link key is what it was then. Targets that vary go
 * through the table of jump entries, which has such a key too. What does not succeed here has
 * changed nothing yet, and the interpreter's handler does the branch.
 */
#include <stddef.h>

#include "cpu/soft/jit/translate_priv.h"

#define JUMP_SHIFT 5

static_assert(sizeof(struct jump_entry) == 1u << JUMP_SHIFT, "entry address by one shift");

/* Page by page: `distance` to the target's page. */
static void emit_other_page(struct translator *t, int32_t distance, struct stub *stub)
{
	struct code *c = &t->code;

	stub->way = cache_new_way(t->jit);
	stub_from(stub, emit_way_check(c, stub->way, t->scope));
	emit_rm(c, word(t, 0x81), ALU_ADD, FIELD(code_page));
	code_u32(c, (uint32_t)distance);
	stub->site = emit_jump(c, ALWAYS);
	stub_from(stub, stub->site);
}

/*
 * The way to `delta` from the start of the page. `from`: a jump that is to lead there, or 0 if the
 * code before does.
 */
static void emit_link(struct translator *t, const struct unit *u, uint16_t live, int64_t delta,
		      unsigned from)
{
	struct stub *stub = stub_new(t, u, STUB_LINK);
	bool save = t->flags == FLAGS_HOST && live;
	int64_t distance;

	if (t->code32)
		delta = (int32_t)delta;
	distance = delta & ~(int64_t)PAGE_MASK;
	stub->delta = delta;
	if (from && !save && !distance) {
		stub->site = from;
		stub_from(stub, from);
		return;
	}
	if (from)
		jump_fill(&t->code, from, t->code.used);
	if (save)
		emit_flags_save(&t->code, SCRATCH_0);
	if (!distance) {
		stub->site = emit_jump_to_join(&t->code, ALWAYS);
		stub_from(stub, stub->site);
	} else if (distance == (int32_t)distance) {
		emit_other_page(t, (int32_t)distance, stub);
	} else {
		stub_from(stub, emit_jump(&t->code, ALWAYS));
	}
}

/* The interpreter's handler ends the block. */
static struct stub *leave_stub(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);

	stub->rest = true;
	return stub;
}

/* From the target in SCRATCH_0 to the offset of its entry in SCRATCH_1. */
static void emit_jump_entry(struct translator *t, struct stub *stub)
{
	struct code *c = &t->code;

	stub->jump = true;
	stub->jump_retry = c->used;
	emit_rr(c, MOV_LOAD, SCRATCH_1, SCRATCH_0);
	emit_shift(c, true, SCRATCH_1, 12);
	emit_rr(c, 0x33 | WIDE, SCRATCH_1, SCRATCH_0);
	emit_mask32(c, SCRATCH_1, JUMP_ENTRIES - 1);
	emit_shift(c, false, SCRATCH_1, JUMP_SHIFT);
	emit_rm(c, 0x3b | WIDE, SCRATCH_0, in_jump(SCRATCH_1, offsetof(struct jump_entry, rip)));
	stub_from(stub, emit_jump(c, IF_NE));
	emit_rm(c, MOV_LOAD, SCRATCH_0,
		in_cpu(offsetof(struct soft_cpu, link_key) + sizeof(uint64_t) * t->scope));
	emit_rm(c, 0x3b | WIDE, SCRATCH_0, in_jump(SCRATCH_1, offsetof(struct jump_entry, key)));
	stub_from(stub, emit_jump(c, IF_NE));
}

/* To the code of the entry at SCRATCH_1. */
static void emit_go(struct translator *t)
{
	struct code *c = &t->code;

	emit_rm(c, MOV_LOAD, SCRATCH_0, in_jump(SCRATCH_1, offsetof(struct jump_entry, rip)));
	emit_alu_i(c, ALU_AND, SCRATCH_0, ~(int32_t)PAGE_MASK);
	emit_rm(c, MOV_STORE, SCRATCH_0, FIELD(code_page));
	emit_rm(c, 0xff, 4, in_jump(SCRATCH_1, offsetof(struct jump_entry, code)));
}

/* Pushes the address behind the instruction. */
static void emit_push_return(struct translator *t, const struct unit *u, struct stub *stub)
{
	const struct insn *insn = u->insn;
	struct code *c = &t->code;
	struct place top = emit_check(t, u, ACCESS_PUSH, word_size(t), true, SCRATCH_0, stub);

	emit_rm(c, MOV_LOAD, SCRATCH_0, FIELD(code_page));
	emit_rm(c, LEA, SCRATCH_0, at(SCRATCH_0, (int64_t)t->offset + insn->offset + insn->length));
	emit_rm(c, word(t, 0x89), SCRATCH_0, top);
	emit_rm(c, word(t, 0x8d), HOST_RSP, at(HOST_RSP, -(int64_t)word_size(t)));
}

static void emit_target(struct translator *t, const struct unit *u, struct stub *stub)
{
	unsigned guest = gpr_number(u->insn->dst);

	if (u->memory)
		emit_rm(&t->code, word(t, 0x8b), SCRATCH_0,
			emit_check(t, u, ACCESS_OPERAND, word_size(t), false, NO_REG, stub));
	else if (in_memory(guest))
		emit_rm(&t->code, MOV_LOAD, SCRATCH_0, in_gpr(guest));
	else
		emit_rr(&t->code, word(t, 0x8b), SCRATCH_0, guest);
}

static void emit_jcc(struct translator *t, const struct unit *u)
{
	unsigned taken;

	flags_into_host(t, SCRATCH_0);
	taken = emit_jump_to_join(&t->code, u->z.opcode & 15);
	emit_link(t, u, t->live_out[0], unit_next(t, u), 0);
	emit_link(t, u, t->live_out[1], unit_target(t, u), taken);
}

static void emit_ret(struct translator *t, const struct unit *u)
{
	struct stub *stub = leave_stub(t, u);

	emit_rm(&t->code, word(t, 0x8b), SCRATCH_0,
		emit_check(t, u, ACCESS_POP, word_size(t), false, NO_REG, stub));
	emit_jump_entry(t, stub);
	emit_rm(&t->code, word(t, 0x8d), HOST_RSP,
		at(HOST_RSP, word_size(t) + (int64_t)(u->insn->imm & 0xffff)));
	emit_go(t);
}

static void emit_call_indirect(struct translator *t, const struct unit *u)
{
	struct stub *stub = leave_stub(t, u), *no_push = leave_stub(t, u);

	emit_target(t, u, stub);
	emit_jump_entry(t, stub);
	emit_rm(&t->code, MOV_STORE, SCRATCH_1, FIELD(call_entry));
	emit_push_return(t, u, no_push);
	emit_rm(&t->code, MOV_LOAD, SCRATCH_1, FIELD(call_entry));
	emit_go(t);
}

/* On to the unit behind. */
void emit_followed(struct translator *t, const struct unit *u)
{
	unsigned condition = u->z.opcode & 15;

	switch (u->kind) {
	case KIND_JCC:
		flags_into_host(t, SCRATCH_0);
		if (u->followed == FOLLOWED_TARGET)
			condition ^= 1;
		t->sides[t->side_count++] =
			(struct side){ emit_jump_to_join(&t->code, condition), u, t->flags };
		break;
	case KIND_CALL_NEAR:
		emit_push_return(t, u, leave_stub(t, u));
		break;
	default:
		break;
	}
}

void emit_sides(struct translator *t)
{
	for (unsigned i = 0; i < t->side_count; i++) {
		const struct side *side = &t->sides[i];
		const struct unit *u = side->unit;

		t->flags = side->flags;
		emit_link(t, u, u->side_live, unit_side(t, u), side->from);
	}
}

void emit_end(struct translator *t, const struct unit *u)
{
	struct stub *stub;

	switch (u->kind) {
	case KIND_JCC:
		emit_jcc(t, u);
		return;
	case KIND_CONTINUE:
		emit_link(t, u, t->live_out[0], unit_next(t, u), 0);
		return;
	case KIND_JUMP:
		emit_link(t, u, t->live_out[0], unit_target(t, u), 0);
		return;
	default:
		break;
	}
	flags_out_of_host(t, FLAGS_ALL);
	switch (u->kind) {
	case KIND_CALL_NEAR:
		emit_push_return(t, u, leave_stub(t, u));
		emit_link(t, u, FLAGS_ALL, unit_target(t, u), 0);
		break;
	case KIND_JUMP_INDIRECT:
		stub = leave_stub(t, u);
		emit_target(t, u, stub);
		emit_jump_entry(t, stub);
		emit_go(t);
		break;
	case KIND_CALL_INDIRECT:
		emit_call_indirect(t, u);
		break;
	case KIND_RET:
		emit_ret(t, u);
		break;
	default:
		stub = leave_stub(t, u);
		stub_from(stub, emit_jump(&t->code, ALWAYS));
		break;
	}
}
