/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory in translated code: all that the translator knows of it.
 *
 *	lea  b, [operand]              slot of the first byte's page
 *	shr  b, 7; and b, mask
 *	lea  a, [operand + size - 1]   tag of the last byte's page
 *	and  a, -4096; or a, key
 *	cmp  a, [tlb + b].read
 *	jne  miss
 *	mov  b, [tlb + b].host
 *
 * and the place is [operand + b]: where the slot's page is on the host, less where it is in the
 * guest. Nothing else in translated code makes a host address from guest values.
 */
#include <stddef.h>

#include "cpu/soft/jit/translate_priv.h"

#define TLB_BYTE_SHIFT 5

static_assert(sizeof(struct tlb_entry) == 1u << TLB_BYTE_SHIFT, "slot address by one shift");

unsigned gpr_number(uint8_t name)
{
	return (unsigned)(name - REG_OFFSET(0)) / 8;
}

/* Whether what the mode says of the segments holds for this access. */
static bool segment_is_flat(const struct soft_cpu *cpu, const struct unit *u)
{
	switch (u->insn->seg) {
	case SEG_CS:
		return !u->write;
	case SEG_FS:
		return cpu->mode & MODE_FLAT_FS;
	case SEG_GS:
		return cpu->mode & MODE_FLAT_GS;
	default:
		return true;
	}
}

bool address_is_known(const struct soft_cpu *cpu, const struct unit *u)
{
	const int32_t room = (int32_t)PAGE_SIZE;
	const struct insn *insn = u->insn;

	if (insn->ea == EA_32)
		return segment_is_flat(cpu, u);
	if (insn->ea != EA_FLAT && insn->ea != EA_BASED)
		return false;
	if (insn->base == REG_OFFSET_RIP && insn->index != REG_OFFSET_ZERO)
		return false;
	return insn->disp < INT32_MAX - room && insn->disp > INT32_MIN + room;
}

static bool is_gpr_in_memory(uint8_t name)
{
	return name != REG_OFFSET_ZERO && name != REG_OFFSET_RIP && in_memory(gpr_number(name));
}

static uint8_t register_of(uint8_t name)
{
	return name == REG_OFFSET_ZERO ? NO_REG : (uint8_t)gpr_number(name);
}

/*
 * The offset of the operand as a place of registers, of which `a` is loaded with what is in memory.
 * May destroy flags.
 */
static struct place offset_place(struct translator *t, const struct insn *insn, unsigned a)
{
	struct code *c = &t->code;
	struct place p = { .scale = insn->scale, .disp = insn->disp };

	if (insn->base == REG_OFFSET_RIP) {
		emit_rm(c, MOV_LOAD, a, FIELD(code_page));
		return at(a, insn->disp + (int32_t)t->offset);
	}
	p.base = register_of(insn->base);
	p.index = register_of(insn->index);
	if (is_gpr_in_memory(insn->index)) {
		emit_rm(c, MOV_LOAD, a, in_gpr(p.index));
		if (is_gpr_in_memory(insn->base)) {
			if (insn->scale)
				emit_shift(c, false, a, insn->scale);
			emit_rm(c, 0x03 | WIDE, a, in_gpr(p.base));
			return at(a, insn->disp);
		}
		p.index = (uint8_t)a;
	} else if (is_gpr_in_memory(insn->base)) {
		emit_rm(c, MOV_LOAD, a, in_gpr(p.base));
		p.base = (uint8_t)a;
	}
	return p;
}

/* A place cut to 32 bits in `a`. */
static struct place cut_place(struct translator *t, struct place p, unsigned a)
{
	emit_rm(&t->code, LEA & ~WIDE, a, p);
	return at(a, 0);
}

static struct place linear32_place(struct translator *t, const struct insn *insn, unsigned a,
				   struct place base)
{
	struct place p = { .base = register_of(insn->base),
			   .index = register_of(insn->index),
			   .scale = insn->scale,
			   .disp = insn->disp };

	p = cut_place(t, p, a);
	if (insn->seg >= SEG_FS)
		emit_rm(&t->code, 0x03, a, base);
	return p;
}

/* The same with the segment's base. */
static struct place linear_place(struct translator *t, const struct insn *insn, unsigned a)
{
	struct code *c = &t->code;
	struct place base = in_cpu(offsetof(struct soft_cpu, segments) +
				   insn->seg * sizeof(struct vcpu_segment) +
				   offsetof(struct vcpu_segment, base));
	struct place p;

	if (insn->ea == EA_32)
		return linear32_place(t, insn, a, base);
	if (insn->ea != EA_BASED)
		return offset_place(t, insn, a);
	if (insn->base == REG_OFFSET_ZERO && insn->index == REG_OFFSET_ZERO) {
		emit_rm(c, MOV_LOAD, a, base);
		return at(a, insn->disp);
	}
	p = offset_place(t, insn, a);
	if (insn->base == REG_OFFSET_RIP) {
		emit_rm(c, 0x03 | WIDE, a, base);
		return p;
	}
	emit_rm(c, LEA, a, p);
	emit_rm(c, 0x03 | WIDE, a, base);
	return at(a, 0);
}

struct place emit_address(struct translator *t, const struct insn *insn)
{
	struct place p = { .scale = insn->scale, .disp = insn->disp };

	if (insn->base == REG_OFFSET_RIP)
		return offset_place(t, insn, SCRATCH_0);
	p.base = register_of(insn->base);
	p.index = register_of(insn->index);
	/* Each has its own number to be loaded into: flags are left alone. */
	if (is_gpr_in_memory(insn->base))
		emit_rm(&t->code, MOV_LOAD, p.base, in_gpr(p.base));
	if (is_gpr_in_memory(insn->index))
		emit_rm(&t->code, MOV_LOAD, p.index, in_gpr(p.index));
	return p;
}

static struct place place_of(struct translator *t, const struct insn *insn, enum access_kind kind,
			     unsigned a)
{
	struct place p;

	switch (kind) {
	case ACCESS_PUSH:
		p = at(HOST_RSP, -(int64_t)word_size(t));
		break;
	case ACCESS_POP:
		p = at(HOST_RSP, 0);
		break;
	case ACCESS_FRAME:
		p = at(HOST_RBP, 0);
		break;
	case ACCESS_SOURCE:
		p = at(HOST_RSI, 0);
		break;
	case ACCESS_DESTINATION:
		p = at(HOST_RDI, 0);
		break;
	default:
		return linear_place(t, insn, a);
	}
	return t->code32 ? cut_place(t, p, a) : p;
}

static struct place in_tlb(unsigned slot, size_t field)
{
	return in_cpu_at(slot, offsetof(struct soft_cpu, tlb) + field);
}

/*
 * Whether `low` is in the TLB and the last byte, `to_high` further, in the same page; SCRATCH `b`
 * becomes the distance to the host. If not, `stub` follows.
 */
static void emit_lookup(struct translator *t, struct place low, int64_t to_high, bool write,
			unsigned a, unsigned b, struct stub *stub)
{
	size_t tag = write ? offsetof(struct tlb_entry, write) : offsetof(struct tlb_entry, read);
	struct code *c = &t->code;

	emit_rm(c, LEA, b, low);
	emit_shift(c, true, b, PAGE_SHIFT - TLB_BYTE_SHIFT);
	emit_mask32(c, b, (TLB_ENTRIES - 1) << TLB_BYTE_SHIFT);
	low.disp += (int32_t)to_high;
	emit_rm(c, LEA, a, low);
	emit_alu_i(c, ALU_AND, a, ~(int32_t)PAGE_MASK);
	emit_rm(c, 0x0b | WIDE, a, FIELD(tlb_key));
	emit_rm(c, 0x3b | WIDE, a, in_tlb(b, tag));
	stub->miss = emit_jump(c, IF_NE);
	stub->tag = a;
	stub->write = write;
	emit_rm(c, MOV_LOAD, b, in_tlb(b, offsetof(struct tlb_entry, host)));
}

static struct place in_deltas(unsigned group)
{
	return in_cpu(offsetof(struct soft_cpu, deltas) + sizeof(uint64_t) * group);
}

/* An access whose group has one check: made here if it is the first. */
static struct place shared_place(struct translator *t, const struct unit *u, unsigned free,
				 struct stub *stub)
{
	const struct group *g = &t->groups[u->group];
	unsigned a = free == NO_REG ? SCRATCH_0 : free, b = other_scratch(a);
	struct place p = u->access;

	if (u->leads) {
		struct place low = p;
		unsigned span = (unsigned)(g->high - g->low);

		flags_out_of_host(t, u->live);
		stub->rest = true;
		stub->retry = t->code.used;
		low.disp -= u->distance - g->low;
		emit_lookup(t, low, span - 1, g->write, a, b, stub);
		emit_rm(&t->code, MOV_STORE, b, in_deltas(u->group));
	} else if (t->holds != u->group) {
		emit_rm(&t->code, MOV_LOAD, b, in_deltas(u->group));
	} else if (b != SCRATCH_1) {
		emit_rr(&t->code, MOV_LOAD, b, SCRATCH_1);
	}
	t->holds = b == SCRATCH_1 ? u->group : NO_GROUP;
	p.index = (uint8_t)b;
	return p;
}

struct place emit_check(struct translator *t, const struct unit *u, enum access_kind kind,
			unsigned size, bool write, unsigned free, struct stub *stub)
{
	unsigned a = free == NO_REG ? SCRATCH_0 : free, b = other_scratch(a);
	struct code *c = &t->code;
	struct place p;

	if (u->group != NO_GROUP)
		return shared_place(t, u, free, stub);
	flags_out_of_host(t, u->live);
	t->holds = NO_GROUP;
	stub->retry = c->used;
	p = place_of(t, u->insn, kind, a);
	emit_lookup(t, p, size - 1, write, a, b, stub);
	p = place_of(t, u->insn, kind, a);
	if (p.index != NO_REG) {
		emit_rm(c, LEA, a, p);
		p = at(a, 0);
	}
	if (p.base == NO_REG)
		return at(b, p.disp);
	p.index = (uint8_t)b;
	p.scale = 0;
	if (free != NO_REG && p.base == a) {
		emit_rm(c, LEA, b, p);
		return at(b, 0);
	}
	return p;
}
