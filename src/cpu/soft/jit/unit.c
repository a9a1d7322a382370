/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code of one instruction.
 *
 * A pending x87 exception is the host's: the next instruction that waits traps, and its handler
 * raises #MF. FOP, FIP and FDP are those that the handlers keep (see native_x87.c), to the bit: FDP
 * is stored behind each instruction that has a memory operand, and the other two, which are known
 * here, where somebody could see them: before handlers are called, and at the end of the block.
 */
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "cpu/soft/native_thunk_priv.h"

/* Before something that destroys the host's flags; `live`: those whose value still matters. */
void flags_out_of_host(struct translator *t, uint16_t live)
{
	if (t->flags == FLAGS_HOST && live)
		emit_flags_save(&t->code, SCRATCH_0);
	t->flags = FLAGS_STATE;
}

void flags_into_host(struct translator *t, unsigned scratch)
{
	if (t->flags == FLAGS_STATE) {
		emit_flags_load(&t->code, scratch);
		t->flags = FLAGS_BOTH;
	}
}

unsigned unit_index(const struct translator *t, const struct unit *u)
{
	return (unsigned)(u - t->units);
}

/*
 * What takes the place of an instruction that cannot be done here. While results of checks may be
 * used afterwards, translated code does not go on behind it.
 */
struct stub *insn_stub(struct translator *t, const struct unit *u)
{
	struct stub *stub = stub_new(t, u, STUB_INSN);

	stub->rest = unit_index(t, u) + 1 < t->shared;
	return stub;
}

/* See native_traps.c: a NOP that says where to go on if the next instruction traps. */
static void emit_mark(struct translator *t, const struct unit *u, struct stub *stub)
{
	code_u32(&t->code, JIT_MARK);
	code_u32(&t->code, 0);
	stub->mark = t->code.used;
	stub->save_flags = t->flags == FLAGS_HOST && u->live;
}

static void move_scratch(struct translator *t, unsigned which, unsigned opcode)
{
	if (which & 1)
		emit_rm(&t->code, opcode, SCRATCH_0, in_gpr(SCRATCH_0));
	if (which & 2) {
		emit_rm(&t->code, opcode, SCRATCH_1, in_gpr(SCRATCH_1));
		t->holds = NO_GROUP;
	}
}

static void operation_at(struct operation *o, struct place p)
{
	o->memory = true;
	o->rm = p.base;
	o->indexed = p.index != NO_REG;
	o->index = p.index;
	o->scale = p.scale;
	o->disp = p.disp;
}

/* In 32-bit code the upper half of a pointer is a selector. Leaves flags alone. */
static void emit_selector(struct translator *t, struct place pointer, unsigned seg)
{
	if (!t->code32)
		return;
	emit_rm(&t->code, 0x0fb7, SCRATCH_0, /* movzx */
		in_cpu(offsetof(struct soft_cpu, segments) + seg * sizeof(struct vcpu_segment) +
		       offsetof(struct vcpu_segment, selector)));
	pointer.disp += 4;
	emit_rm(&t->code, 0x89, SCRATCH_0, pointer);
}

void emit_x87_last(struct translator *t, const struct unit *u)
{
	struct code *c = &t->code;
	uint16_t fop;

	if (!u)
		return;
	fop = native_operand(u->insn)->fop;
	emit_rm(c, MOV_LOAD, SCRATCH_0, FIELD(code_page));
	emit_rm(c, LEA, SCRATCH_0, at(SCRATCH_0, (int64_t)t->offset + u->insn->offset));
	emit_rm(c, MOV_STORE, SCRATCH_0, FIELD(x87_fip));
	emit_selector(t, FIELD(x87_fip), SEG_CS);
	emit_rm(c, 0xc7 | SIZE16, 0, FIELD(x87_fop));
	code_byte(c, (uint8_t)fop);
	code_byte(c, (uint8_t)(fop >> 8));
}

/* Behind an instruction that sets the x87 pointers. */
static void note_x87(struct translator *t, const struct unit *u)
{
	if (!u->x87_pointers)
		return;
	t->x87_last = u;
	if (!u->memory)
		return;
	emit_rm(&t->code, t->code32 ? 0x8d : LEA, SCRATCH_0, emit_address(t, u->insn));
	emit_rm(&t->code, MOV_STORE, SCRATCH_0, FIELD(x87_fdp));
	emit_selector(t, FIELD(x87_fdp), u->insn->seg);
}

/* The scratch register that must be free for the instruction's own use. */
static unsigned scratch_wanted(const struct unit *u)
{
	unsigned used = u->scratch_read | u->scratch_written;

	return used & 1 ? SCRATCH_0 : used & 2 ? SCRATCH_1 : NO_REG;
}

static void emit_copy(struct translator *t, const struct unit *u, uint16_t live_after)
{
	struct operation o = u->operation;
	unsigned scratch = SCRATCH_0;
	struct stub *stub = NULL;

	if (u->memory || u->traps)
		stub = insn_stub(t, u);
	if (u->memory) {
		unsigned free = scratch_wanted(u);
		struct place p;

		p = emit_check(t, u, ACCESS_OPERAND, u->size, u->write, free, stub);
		operation_at(&o, p);
		scratch = free != NO_REG ? free : p.base == SCRATCH_0 ? NO_REG : SCRATCH_0;
	}
	if (u->reads || (live_after & ~u->writes && (u->writes || u->merges)))
		flags_into_host(t, scratch);
	move_scratch(t, u->scratch_read, MOV_LOAD);
	if (u->traps)
		emit_mark(t, u, stub);
	code_operation(&t->code, &o);
	move_scratch(t, u->scratch_written, MOV_STORE);
	note_x87(t, u);
	if (u->writes || u->merges)
		t->flags = FLAGS_HOST;
	if (stub)
		stub->back = t->code.used;
}

static void emit_lea(struct translator *t, const struct unit *u)
{
	unsigned reg = u->operation.reg;
	unsigned size = u->operands[0].size;

	if (in_memory(reg) && size == 16)
		emit_rm(&t->code, MOV_LOAD, reg, in_gpr(reg));
	emit_rm(&t->code,
		size == 64   ? LEA
		: size == 16 ? 0x8d | SIZE16
			     : 0x8d,
		reg, emit_address(t, u->insn));
	t->holds = NO_GROUP;
	if (in_memory(reg))
		emit_rm(&t->code, MOV_STORE, reg, in_gpr(reg));
}

static unsigned stack_register(const struct unit *u)
{
	return gpr_number(u->insn->dst);
}

static void emit_push(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);
	struct place top;

	top = emit_check(t, u, ACCESS_PUSH, word_size(t), true, NO_REG, stub);
	if (u->operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		emit_rm(&t->code, word(t, 0xc7), 0, top);
		code_u32(&t->code, (uint32_t)u->insn->imm);
	} else {
		unsigned reg = stack_register(u);

		if (in_memory(reg)) {
			emit_rm(&t->code, MOV_LOAD, SCRATCH_0, in_gpr(reg));
			reg = SCRATCH_0;
		}
		emit_rm(&t->code, word(t, 0x89), reg, top);
	}
	emit_rm(&t->code, word(t, 0x8d), HOST_RSP, at(HOST_RSP, -(int64_t)word_size(t)));
	stub->back = t->code.used;
}

static void emit_push_memory(struct translator *t, const struct unit *u)
{
	struct stub *load = insn_stub(t, u), *push = insn_stub(t, u);
	struct place p;

	flags_out_of_host(t, u->live);
	p = emit_check(t, u, ACCESS_OPERAND, word_size(t), false, NO_REG, load);
	emit_rm(&t->code, word(t, 0x8b), SCRATCH_0, p);
	emit_rm(&t->code, MOV_STORE, SCRATCH_0, FIELD(carried));
	p = emit_check(t, u, ACCESS_PUSH, word_size(t), true, SCRATCH_0, push);
	emit_rm(&t->code, MOV_LOAD, SCRATCH_0, FIELD(carried));
	emit_rm(&t->code, word(t, 0x89), SCRATCH_0, p);
	emit_rm(&t->code, word(t, 0x8d), HOST_RSP, at(HOST_RSP, -(int64_t)word_size(t)));
	load->back = t->code.used;
	push->back = t->code.used;
}

static void emit_direction(struct translator *t, const struct unit *u)
{
	bool set = u->z.mnemonic == ZYDIS_MNEMONIC_STD;
	uint32_t flag = (uint32_t)RFLAGS_DF;

	flags_out_of_host(t, u->live);
	emit_rm(&t->code, 0x81, set ? ALU_OR : ALU_AND, FIELD(flags));
	code_u32(&t->code, set ? flag : ~flag);
}

/* Between `reg` and memory, `size` bytes. */
static void emit_sized(struct translator *t, bool store, unsigned size, unsigned reg,
		       struct place p)
{
	unsigned opcode = store ? 0x88 : 0x8a;

	if (size > 1)
		opcode |= 1;
	if (size == 2)
		opcode |= SIZE16;
	if (size == 8)
		opcode |= WIDE;
	emit_rm(&t->code, opcode, reg, p);
}

/* A string instruction without repeat prefix; descending ones are left to the handler. */
static void emit_string(struct translator *t, const struct unit *u)
{
	struct stub *read = insn_stub(t, u);
	struct stub *write = u->kind == KIND_LODS ? NULL : insn_stub(t, u);
	unsigned value = u->kind == KIND_MOVS ? SCRATCH_0 : HOST_RAX, descends;
	struct place p;

	flags_out_of_host(t, u->live);
	emit_rm(&t->code, 0xf7, 0, FIELD(flags)); /* test */
	code_u32(&t->code, (uint32_t)RFLAGS_DF);
	descends = emit_jump(&t->code, IF_NE);
	stub_from(read, descends);
	if (u->kind != KIND_STOS) {
		p = emit_check(t, u, ACCESS_SOURCE, u->size, false, NO_REG, read);
		emit_sized(t, false, u->size, value, p);
	}
	if (u->kind == KIND_MOVS)
		emit_rm(&t->code, MOV_STORE, value, FIELD(carried));
	if (write) {
		p = emit_check(t, u, ACCESS_DESTINATION, u->size, true, SCRATCH_0, write);
		if (u->kind == KIND_MOVS)
			emit_rm(&t->code, MOV_LOAD, value, FIELD(carried));
		emit_sized(t, true, u->size, value, p);
		emit_rm(&t->code, word(t, 0x8d), HOST_RDI, at(HOST_RDI, u->size));
	}
	if (u->kind != KIND_STOS)
		emit_rm(&t->code, word(t, 0x8d), HOST_RSI, at(HOST_RSI, u->size));
	read->back = t->code.used;
	if (write)
		write->back = t->code.used;
}

static void emit_pop(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);
	unsigned reg = stack_register(u);
	struct place top;

	top = emit_check(t, u, ACCESS_POP, word_size(t), false, NO_REG, stub);
	emit_rm(&t->code, word(t, 0x8b), in_memory(reg) ? SCRATCH_0 : reg, top);
	if (reg != HOST_RSP)
		emit_rm(&t->code, word(t, 0x8d), HOST_RSP, at(HOST_RSP, word_size(t)));
	if (in_memory(reg))
		emit_rm(&t->code, MOV_STORE, SCRATCH_0, in_gpr(reg));
	stub->back = t->code.used;
}

static void emit_leave_frame(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);
	struct place top;

	top = emit_check(t, u, ACCESS_FRAME, word_size(t), false, NO_REG, stub);
	emit_rm(&t->code, word(t, 0x8b), SCRATCH_0, top);
	emit_rm(&t->code, word(t, 0x8d), HOST_RSP, at(HOST_RBP, word_size(t)));
	emit_rr(&t->code, MOV_LOAD, HOST_RBP, SCRATCH_0);
	stub->back = t->code.used;
}

/* Some processors have a bit in MXCSR that the guest must not set. */
static void emit_load_mxcsr(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);
	struct code *c = &t->code;

	flags_out_of_host(t, u->live);
	emit_rm(c, 0x8b, SCRATCH_0, emit_check(t, u, ACCESS_OPERAND, 4, false, NO_REG, stub));
	emit_rm(c, 0x89, SCRATCH_0, FIELD(mxcsr));
	emit_rr(c, 0xf7, 0, SCRATCH_0); /* test */
	code_u32(c, ~MXCSR_VALID);
	stub_from(stub, emit_jump(c, IF_NE));
	emit_rm(c, 0x0fae, 2, FIELD(mxcsr)); /* ldmxcsr */
	stub->back = t->code.used;
}

/* The whole instruction by its handler. */
static void emit_call(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);

	flags_out_of_host(t, u->live);
	stub->handled = true;
	stub_from(stub, emit_jump(&t->code, ALWAYS));
	stub->back = t->code.used;
	t->x87_last = NULL; /* it is in memory by then */
}

void emit_unit(struct translator *t, const struct unit *u, uint16_t live_after)
{
	switch (u->kind) {
	case KIND_NOTHING:
		break;
	case KIND_COPY:
		emit_copy(t, u, live_after);
		break;
	case KIND_LEA:
		emit_lea(t, u);
		break;
	case KIND_PUSH:
		emit_push(t, u);
		break;
	case KIND_PUSH_MEMORY:
		emit_push_memory(t, u);
		break;
	case KIND_DIRECTION:
		emit_direction(t, u);
		break;
	case KIND_MOVS:
	case KIND_STOS:
	case KIND_LODS:
		emit_string(t, u);
		break;
	case KIND_POP:
		emit_pop(t, u);
		break;
	case KIND_LEAVE_FRAME:
		emit_leave_frame(t, u);
		break;
	case KIND_LOAD_MXCSR:
		emit_load_mxcsr(t, u);
		break;
	case KIND_CALL:
		emit_call(t, u);
		break;
	default:
		emit_x87_last(t, t->x87_last);
		t->x87_last = NULL;
		if (u->followed)
			emit_followed(t, u);
		else
			emit_end(t, u);
	}
}
