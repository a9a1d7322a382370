/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks that several accesses share.
 *
 * Accesses through the same value of a register, at constant distances (a stack frame, a structure),
 * lie in the same page most of the time. Where a block has such groups there is one check a group,
 * over all that it accesses. What a check has found is not used after anything that could change it:
 * behind the last access of a group handlers may be called and the code goes on, but in front of it
 * the rest of the block is left to the interpreter (a group that crosses a page, a device). A block
 * of which that happens often is translated again without groups.
 */
#include "cpu/soft/jit/translate_priv.h"

/* The longest reach of a group: longer ones cross pages more often. */
#define SPAN_MAX 256

/* Beyond that a register counts as another value. */
#define OFFSET_MAX (1 << 24)

/* What a register holds: `offset` more than a value that has a number. */
struct value {
	unsigned id;
	int32_t offset;
};

struct values {
	struct value of[16];
	unsigned next;
};

static void forget(struct values *v, unsigned reg)
{
	v->of[reg] = (struct value){ v->next++, 0 };
}

static void move_by(struct values *v, unsigned reg, int64_t by)
{
	int64_t offset = v->of[reg].offset + by;

	if (offset > OFFSET_MAX || offset < -OFFSET_MAX)
		forget(v, reg);
	else
		v->of[reg].offset = (int32_t)offset;
}

static bool names_gpr(const ZydisDecodedOperand *o)
{
	return o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	       is_gpr(ZydisRegisterGetClass(o->reg.value));
}

static bool is_gpr64(const ZydisDecodedOperand *o)
{
	return names_gpr(o) && o->size == 64;
}

/* MOV between registers, and additions of constants. */
static bool follow_copy(struct values *v, const struct unit *u)
{
	const ZydisDecodedOperand *to = &u->operands[0], *from = &u->operands[1];
	bool imm = from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;

	if (u->memory || !is_gpr64(to))
		return false;
	switch (u->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (!is_gpr64(from))
			return false;
		v->of[guest_number(to->reg.value)] = v->of[guest_number(from->reg.value)];
		return true;
	case ZYDIS_MNEMONIC_ADD:
		if (imm)
			move_by(v, guest_number(to->reg.value), from->imm.value.s);
		return imm;
	case ZYDIS_MNEMONIC_SUB:
		if (imm)
			move_by(v, guest_number(to->reg.value), -from->imm.value.s);
		return imm;
	case ZYDIS_MNEMONIC_INC:
		move_by(v, guest_number(to->reg.value), 1);
		return true;
	case ZYDIS_MNEMONIC_DEC:
		move_by(v, guest_number(to->reg.value), -1);
		return true;
	default:
		return false;
	}
}

static bool follow_lea(struct values *v, const struct unit *u)
{
	const struct insn *insn = u->insn;
	unsigned to = u->operation.reg;

	if (u->operands[0].size != 64 || insn->index != REG_OFFSET_ZERO ||
	    insn->base == REG_OFFSET_ZERO || insn->base == REG_OFFSET_RIP)
		return false;
	v->of[to] = v->of[gpr_number(insn->base)];
	move_by(v, to, insn->disp);
	return true;
}

static void follow(struct values *v, const struct unit *u)
{
	const unsigned rbp = 5;

	switch (u->kind) {
	case KIND_PUSH:
	case KIND_PUSH_MEMORY:
	case KIND_CALL_NEAR:
		move_by(v, HOST_RSP, -8);
		return;
	case KIND_POP:
		move_by(v, HOST_RSP, 8);
		forget(v, gpr_number(u->insn->dst));
		return;
	case KIND_LEAVE_FRAME:
		v->of[HOST_RSP] = v->of[rbp];
		move_by(v, HOST_RSP, 8);
		forget(v, rbp);
		return;
	case KIND_LEA:
		if (follow_lea(v, u))
			return;
		break;
	case KIND_COPY:
		if (follow_copy(v, u))
			return;
		break;
	case KIND_MOVS:
	case KIND_STOS:
	case KIND_LODS:
		forget(v, HOST_RSI);
		forget(v, HOST_RDI);
		break;
	default:
		break;
	}
	for (unsigned i = 0; i < u->z.operand_count; i++)
		if (names_gpr(&u->operands[i]) &&
		    u->operands[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE)
			forget(v, guest_number(u->operands[i].reg.value));
}

/* The access as a register and a displacement; false: it is none, or another kind of address. */
static bool simple_access(struct unit *u)
{
	const struct insn *insn = u->insn;
	const unsigned rbp = 5;

	u->access_write = false;
	u->access_size = 8;
	switch (u->kind) {
	case KIND_PUSH:
	case KIND_CALL_NEAR:
		u->access = at(HOST_RSP, -8);
		u->access_write = true;
		return true;
	case KIND_POP:
	case KIND_RET:
		u->access = at(HOST_RSP, 0);
		return true;
	case KIND_LEAVE_FRAME:
		u->access = at(rbp, 0);
		return true;
	case KIND_COPY:
		if (!u->memory || insn->ea != EA_FLAT || insn->index != REG_OFFSET_ZERO ||
		    insn->base == REG_OFFSET_ZERO || insn->base == REG_OFFSET_RIP ||
		    in_memory(gpr_number(insn->base)))
			return false;
		u->access = at(gpr_number(insn->base), insn->disp);
		u->access_size = u->size;
		u->access_write = u->write;
		return true;
	default:
		return false;
	}
}

/* The group of this value that has room for the access, or a new one. */
static struct group *group_for(struct translator *t, unsigned id, int32_t low, int32_t high)
{
	struct group *g;

	for (unsigned i = t->group_count; i-- > 0;) {
		g = &t->groups[i];
		if (g->id != id)
			continue;
		if (MAX(g->high, high) - MIN(g->low, low) <= SPAN_MAX)
			return g;
		break;
	}
	if (t->group_count == GROUPS_MAX)
		return NULL;
	g = &t->groups[t->group_count++];
	*g = (struct group){ .id = id, .low = low, .high = high };
	return g;
}

static void join(struct translator *t, struct unit *u, const struct values *v)
{
	const struct value *value = &v->of[u->access.base];
	int64_t low = (int64_t)value->offset + u->access.disp;
	struct group *g;

	if (low > OFFSET_MAX || low < -OFFSET_MAX)
		return;
	g = group_for(t, value->id, (int32_t)low, (int32_t)low + u->access_size);
	if (!g)
		return;
	u->group = (uint8_t)(g - t->groups);
	u->leads = !g->count++;
	u->distance = (int32_t)low;
	g->low = MIN(g->low, (int32_t)low);
	g->high = MAX(g->high, (int32_t)low + u->access_size);
	g->write |= u->access_write;
}

unsigned share_checks(struct translator *t)
{
	struct values values = { .next = 16 };
	unsigned shared = 0;

	t->group_count = 0;
	for (unsigned i = 0; i < 16; i++)
		values.of[i].id = i;
	for (unsigned i = 0; i < t->block->count; i++) {
		struct unit *u = &t->units[i];

		if (u->kind == KIND_CALL || u->kind == KIND_END)
			break;
		if (simple_access(u))
			join(t, u, &values);
		follow(&values, u);
	}
	for (unsigned i = 0; i < t->block->count; i++) {
		struct unit *u = &t->units[i];

		if (u->group != NO_GROUP && t->groups[u->group].count < 2)
			u->group = NO_GROUP;
		if (u->group != NO_GROUP)
			shared = i + 1;
	}
	return shared;
}
