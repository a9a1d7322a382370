/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands behind the code of a block: the ways from it to C.
 *
 *	stub:	[flags saved] [x87 pointers saved]
 *		mov r11b, number of the call
 *		jmp end				2 bytes, while that reaches
 *	...
 *	end:	mov r10d, index of the block's calls
 *		jmp common code
 *
 * What is to be done lies in jit.calls: code that hardly ever runs stays small, because the cache's
 * and the processor's room is for the rest.
 */
#include <string.h>

#include "base/check.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "cpu/soft/native_thunk_priv.h"

/* How far the jumps reach, and the longest way from one to the next, without and with x87 pointers. */
#define SHORT_REACH    127u
#define STUB_BYTES     48u
#define STUB_X87_BYTES 112u

struct stub *stub_new(struct translator *t, unsigned kind)
{
	struct stub *stub = &t->stubs[t->stub_count++];

	check(t->stub_count <= STUBS_MAX);
	*stub = (struct stub){ .kind = kind, .x87_last = t->x87_last };
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

/* The end that stubs share. */
static void emit_shared_end(struct translator *t)
{
	struct code *c = &t->code;

	for (unsigned i = 0; i < t->short_count; i++)
		c->bytes[t->short_jumps[i]] = (uint8_t)(c->used - (t->short_jumps[i] + 1));
	t->short_count = 0;
	emit_load_imm32(c, SCRATCH_0, t->calls);
	emit_jump_out(c, t->base, t->jit->common.call);
}

/* In front of a stub. */
static void keep_reach(struct translator *t, const struct stub *stub)
{
	unsigned longest = stub->x87_last ? STUB_X87_BYTES : STUB_BYTES;

	if (t->short_count && t->code.used - t->short_jumps[0] + longest > SHORT_REACH)
		emit_shared_end(t);
}

/* Ends a stub. */
static void emit_call(struct translator *t, struct call call)
{
	unsigned number = t->call_count++;
	struct code *c = &t->code;

	check(number <= UINT8_MAX && t->short_count < ARRAY_SIZE(t->short_jumps));
	t->jit->calls[t->calls + number] = call;
	code_byte(c, 0x41); /* mov r11b, imm8 */
	code_byte(c, 0xb0 | (SCRATCH_1 & 7));
	code_byte(c, (uint8_t)number);
	code_byte(c, 0xeb); /* jmp */
	t->short_jumps[t->short_count++] = (uint16_t)c->used;
	code_byte(c, 0);
}

static void emit_plain_call(struct translator *t, enum call_type type)
{
	emit_call(t, (struct call){ .type = (uint8_t)type });
}

static struct call call_of(const struct translator *t, const struct stub *stub)
{
	return (struct call){
		.type = stub->rest ? CALL_REST : CALL_HANDLER,
		.insn = (uint8_t)(stub->unit->insn - t->block->insns),
		.back = (uint16_t)stub->back,
		.cause = stub->cause,
	};
}

/* Where an access begins. */
static void call_address(const struct translator *t, const struct stub *stub, struct call *call)
{
	static const uint8_t registers[] = {
		[ACCESS_PUSH] = HOST_RSP,        [ACCESS_POP] = HOST_RSP,
		[ACCESS_FRAME] = HOST_RBP,       [ACCESS_SOURCE] = HOST_RSI,
		[ACCESS_DESTINATION] = HOST_RDI,
	};
	const struct insn *insn = stub->unit->insn;

	call->cut = t->code32;
	call->disp = -stub->before;
	if (stub->access == ACCESS_OPERAND) {
		call->base = insn->base;
		call->index = insn->index;
		call->scale = insn->scale & 3;
		call->seg = insn->seg & 15;
		call->based = insn->ea == EA_BASED || (t->code32 && insn->seg >= SEG_FS);
		call->disp += insn->disp;
		return;
	}
	call->base = REG_OFFSET(registers[stub->access]);
	call->index = REG_OFFSET_ZERO;
	if (stub->access == ACCESS_PUSH)
		call->disp -= (int)word_size(t);
}

static void emit_miss(struct translator *t, const struct stub *stub)
{
	struct call call = call_of(t, stub);

	call.fill = true;
	call.retry = (uint16_t)stub->retry;
	call.last = (uint8_t)stub->last;
	call.write = stub->write;
	call_address(t, stub, &call);
	keep_reach(t, stub);
	jump_fill(&t->code, stub->miss, t->code.used);
	emit_x87_last(t, stub->x87_last);
	emit_call(t, call);
}

static void emit_jump_stub(struct translator *t, const struct stub *stub)
{
	struct code *c = &t->code;
	struct call call = call_of(t, stub);

	call.jump = true;
	call.scope = t->scope;
	call.retry = (uint16_t)stub->jump_retry;
	jump_fill(c, stub->from[1], c->used);
	emit_rm(c, MOV_LOAD, SCRATCH_0, in_jump(SCRATCH_1, offsetof(struct jump_entry, rip)));
	jump_fill(c, stub->from[0], c->used);
	emit_rm(c, MOV_STORE, SCRATCH_0, FIELD(call_target));
	emit_call(t, call);
}

static void emit_insn_stub(struct translator *t, const struct stub *stub)
{
	struct code *c = &t->code;

	if (stub->miss)
		emit_miss(t, stub);
	keep_reach(t, stub);
	if (stub->mark) {
		uint32_t mark = JIT_MARK | (c->used - stub->mark) << 16;

		memcpy(c->bytes + stub->mark - sizeof(mark), &mark, sizeof(mark));
		if (stub->save_flags)
			emit_flags_save(c, SCRATCH_0);
	}
	if (stub->jump) {
		emit_jump_stub(t, stub);
	} else if (stub->mark || stub->count) {
		fill_from(t, stub);
		emit_x87_last(t, stub->x87_last);
		emit_call(t, call_of(t, stub));
	}
}

/* Loads the registers of a unit; see emit_load(). */
static void emit_vector_stub(struct translator *t, const struct stub *stub)
{
	const struct jit_common *common = &t->jit->common;
	struct code *c = &t->code;
	unsigned data = emit_lea_code(c, SCRATCH_1);

	emit_jump_out(c, t->base,
		      stub->vector_unit == 1u << UNIT_X87 ? common->x87_load : common->vector_load);
	jump_fill(c, data, c->used);
	code_u32(c, stub->back - c->used);
	code_byte(c, stub->vector_unit);
	emit_plain_call(t, CALL_UNITS);
}

static void emit_link_stub(struct translator *t, const struct stub *stub)
{
	const struct call_block *of = (const void *)&t->jit->calls[t->calls];
	struct exit *exit = stub->exit;
	uint8_t *code = t->code.bytes;

	exit->stub = code + t->code.used;
	exit->site = stub->site ? code + stub->site : NULL;
	emit_call(t, (struct call){ .type = CALL_LINK,
				    .insn = (uint8_t)(exit - (t->jit->exits + of->exits)) });
	exit->key_disp = stub->key ? code + stub->key_disp : NULL;
}

static void emit_stub(struct translator *t, const struct stub *stub)
{
	if (stub->kind == STUB_INSN) {
		emit_insn_stub(t, stub);
		return;
	}
	keep_reach(t, stub);
	fill_from(t, stub);
	switch (stub->kind) {
	case STUB_START:
		t->start_stub = t->code.used;
		emit_plain_call(t, CALL_START);
		break;
	case STUB_SECOND:
		emit_plain_call(t, CALL_SECOND);
		break;
	case STUB_LINK:
		emit_link_stub(t, stub);
		break;
	default:
		emit_vector_stub(t, stub);
	}
}

/* The keys of the ways to other pages: data, behind all code. */
static void emit_keys(struct translator *t)
{
	for (unsigned i = 0; i < t->stub_count; i++) {
		const struct stub *stub = &t->stubs[i];

		if (stub->kind != STUB_LINK || !stub->key)
			continue;
		stub->exit->key = t->code.bytes + t->code.used;
		jump_fill(&t->code, stub->key, t->code.used);
		emit_u64(&t->code, 0);
	}
}

void emit_stubs(struct translator *t)
{
	t->call_count = CALL_BLOCK_SLOTS; /* the first of them are struct call_block */
	t->short_count = 0;
	for (unsigned i = 0; i < t->stub_count; i++)
		emit_stub(t, &t->stubs[i]);
	emit_shared_end(t);
	emit_keys(t);
	t->jit->calls_used = t->calls + t->call_count;
}
