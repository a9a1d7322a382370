/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways from a block's code to C, which stand apart from it: they hardly ever run, and the room
 * next to code that does is for other code.
 *
 *	stub:	[flags saved] [x87 pointers saved]
 *		mov r11, struct call
 *		jmp common code
 *
 * What is to be done is all in the operand, and what goes with it in r10: nothing else is kept of a
 * block's instructions and ways out.
 */
#include <string.h>

#include "base/check.h"
#include "cpu/soft/jit/translate_priv.h"

/* The longest one. */
#define STUB_BYTES_MAX 256u

static_assert(STUBS_MAX * STUB_BYTES_MAX <= ROOM_BYTES_MIN, "room for those of a block");

struct stub *stub_new(struct translator *t, const struct unit *unit, unsigned kind)
{
	struct stub *stub = &t->stubs[t->stub_count++];

	check(t->stub_count <= STUBS_MAX);
	*stub = (struct stub){ .kind = kind, .unit = unit, .x87_last = t->x87_last };
	return stub;
}

void stub_from(struct stub *stub, unsigned from)
{
	check(stub->count < ARRAY_SIZE(stub->from));
	stub->from[stub->count++] = from;
}

static void fill_from(struct translator *t, const struct stub *stub)
{
	for (unsigned i = 0; i < stub->count; i++)
		jump_fill(&t->code, stub->from[i], t->code.used);
}

/* From the block's start; 0 stays 0. */
static unsigned in_block(const struct translator *t, unsigned at)
{
	check(!at || at - t->start < CALL_CODE_MAX);
	return at ? at - t->start : 0;
}

/* Ends a stub. */
static void emit_call(struct translator *t, struct call call)
{
	struct code *c = &t->code;
	uint64_t operand;

	call.block = t->number;
	memcpy(&operand, &call, sizeof(operand));
	code_byte(c, 0x49); /* mov r11, imm64 */
	code_byte(c, 0xb8 | (SCRATCH_1 & 7));
	emit_u64(c, operand);
	emit_jump_out(c, t->base, t->jit->cache->common.call);
}

/* In front of the instruction. */
static void emit_plain_call(struct translator *t, const struct stub *stub, enum call_type type)
{
	emit_call(t, (struct call){ .type = type, .insn = stub->unit->insn->offset });
}

/* The instruction, or the rest of the block from it on. */
static void emit_insn_call(struct translator *t, const struct stub *stub, struct call call)
{
	call.insn = stub->unit->insn->offset;
	call.back = in_block(t, stub->back);
	emit_call(t, call);
}

static void emit_miss(struct translator *t, const struct stub *stub)
{
	unsigned type =
		CALL_MISS | (stub->write ? CALL_MISS_WRITE : 0) | (stub->rest ? CALL_MISS_REST : 0);
	struct code *c = &t->code;

	jump_fill(c, stub->miss, c->used);
	if (stub->x87_last && stub->tag == SCRATCH_0)
		emit_rr(c, MOV_LOAD, SCRATCH_1, SCRATCH_0);
	emit_x87_last(t, stub->x87_last);
	if (stub->x87_last || stub->tag == SCRATCH_1)
		emit_rr(c, MOV_LOAD, SCRATCH_0, SCRATCH_1);
	emit_insn_call(t, stub, (struct call){ .type = type, .retry = in_block(t, stub->retry) });
}

static void emit_jump_stub(struct translator *t, const struct stub *stub)
{
	unsigned type = t->scope == LINK_GLOBAL ? CALL_JUMP_GLOBAL : CALL_JUMP_LOCAL;
	struct code *c = &t->code;

	jump_fill(c, stub->from[1], c->used);
	emit_rm(c, MOV_LOAD, SCRATCH_0, in_jump(SCRATCH_1, offsetof(struct jump_entry, rip)));
	jump_fill(c, stub->from[0], c->used);
	emit_insn_call(t, stub,
		       (struct call){ .type = type, .retry = in_block(t, stub->jump_retry) });
}

static void emit_insn_stub(struct translator *t, const struct stub *stub)
{
	unsigned type = stub->rest ? CALL_REST : stub->handled ? CALL_HANDLER : CALL_TRAP;
	struct code *c = &t->code;

	if (stub->miss)
		emit_miss(t, stub);
	if (stub->mark) {
		jump_fill(c, stub->mark - 4, c->used);
		if (stub->save_flags)
			emit_flags_save(c, SCRATCH_0);
	}
	if (stub->jump) {
		emit_jump_stub(t, stub);
	} else if (stub->mark || stub->count) {
		fill_from(t, stub);
		emit_x87_last(t, stub->x87_last);
		emit_insn_call(t, stub, (struct call){ .type = type });
	}
}

/* Loads the registers of a unit; see emit_load(). */
static void emit_vector_stub(struct translator *t, const struct stub *stub)
{
	const struct jit_common *common = &t->jit->cache->common;
	struct code *c = &t->code;
	unsigned data = emit_lea_code(c, SCRATCH_1);

	emit_jump_out(c, t->base,
		      stub->vector_unit == 1u << UNIT_X87 ? common->x87_load : common->vector_load);
	jump_fill(c, data, c->used);
	code_u32(c, stub->back - c->used);
	code_byte(c, stub->vector_unit);
	emit_plain_call(t, stub, CALL_UNITS);
}

static void emit_link_stub(struct translator *t, const struct stub *stub)
{
	bool far = stub->delta & ~(int64_t)PAGE_MASK;
	struct code *c = &t->code;
	const struct far_way way = { .pages = (int32_t)(stub->delta >> PAGE_SHIFT),
				     .global = t->scope == LINK_GLOBAL,
				     .way = stub->way };
	unsigned data = far ? emit_lea_code(c, SCRATCH_0) : 0;

	emit_call(t, (struct call){ .type = far ? CALL_FAR_LINK : CALL_LINK,
				    .retry = in_block(t, stub->site),
				    .back = stub->delta & PAGE_MASK });
	if (!far)
		return;
	while (c->used % alignof(struct far_way))
		code_byte(c, 0);
	jump_fill(c, data, c->used);
	code_bytes(c, &way, sizeof(way));
}

static void emit_stub(struct translator *t, const struct stub *stub)
{
	if (stub->kind == STUB_INSN) {
		emit_insn_stub(t, stub);
		return;
	}
	fill_from(t, stub);
	switch (stub->kind) {
	case STUB_START:
		emit_plain_call(t, stub, CALL_START);
		break;
	case STUB_SECOND:
		emit_plain_call(t, stub, CALL_SECOND);
		break;
	case STUB_LINK:
		emit_link_stub(t, stub);
		break;
	default:
		emit_vector_stub(t, stub);
	}
}

bool emit_stubs(struct translator *t)
{
	struct room *room = &t->jit->stubs;

	if (room->end - room->used < t->stub_count * STUB_BYTES_MAX &&
	    !cache_new_room(t->jit, room))
		return false;
	t->code.used = room->used;
	t->code.size = room->end;
	for (unsigned i = 0; i < t->stub_count; i++)
		emit_stub(t, &t->stubs[i]);
	return true;
}
