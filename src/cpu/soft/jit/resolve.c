/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What translated code calls first, without giving up the guest's vector registers (see tlb.c): an
 * access that missed the TLB, a way out that is not joined, and a jump to what is not in the table end
 * here, most of the time. What cannot be done has changed nothing yet, and is done by glue.c.
 */
#include <string.h>

#include "cpu/soft/access_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/mmu_priv.h"

/*
 * Fills the TLB with the page of the last byte, whose tag the code looked for. If that is there, the
 * access begins in another page, and is for the handler.
 */
static bool fill(struct soft_cpu *cpu, struct call call)
{
	uint64_t tag = cpu->call_value, linear = tag & ~PAGE_MASK;
	bool write = call.type & CALL_MISS_WRITE;
	const struct tlb_entry *e = tlb_slot(cpu, linear);

	if ((write ? e->write : e->read) == tag)
		return false;
	/* 32-bit code: an access may reach beyond the last byte. */
	if (!cpu_code64(cpu) && linear >> 32)
		return false;
	return tlb_fill(cpu, linear, 1, write);
}

/* The translated block at `rip`, if that can be said without walking page tables. */
static struct translation *translated_at(struct soft_cpu *cpu, uint64_t rip)
{
	const uint8_t *host = code_host(cpu, rip);

	if (!host || attention_needed(cpu) || !mmu_has_room_for_linked(cpu))
		return NULL;
	return translation_find(cpu->jit, host, cpu->mode);
}

static void put_distance(uint8_t *site, const uint8_t *to)
{
	int32_t distance = (int32_t)(to - (site + 4));

	memcpy(site, &distance, sizeof(distance));
}

/* Joins a way out in its page. */
static void join_near(struct soft_cpu *cpu, struct call call, const struct translation *from,
		      const struct translation *to)
{
	struct jit *jit = cpu->jit;
	/* Forwards, attention can wait. */
	bool inner = call.back > translation_offset(from);

	put_distance(jit->write + from->code + call.retry,
		     jit->write + to->code + (inner ? ATTENTION_BYTES : 0));
	jit->stats.links++;
}

/* To another page, for as long as the link key is what it is. */
static void join_far(struct soft_cpu *cpu, struct call call, struct far_way *way,
		     const struct translation *from, const struct translation *to)
{
	struct jit *jit = cpu->jit;
	enum link_scope scope;
	int32_t disp;

	if (!way->key_disp)
		return;
	scope = link_note(cpu, cpu->rip);
	disp = gs_displacement(offsetof(struct soft_cpu, link_key) +
			       scope * sizeof(cpu->link_key[0]));
	memcpy(jit->write + way->key_disp, &disp, sizeof(disp));
	way->key = cpu->link_key[scope];
	put_distance(jit->write + from->code + call.retry, jit->write + to->code);
	jit->stats.links++;
}

static uint64_t link_rip(const struct soft_cpu *cpu, struct call call)
{
	uint64_t rip = cpu->code_page + call.back;

	if (call.type == CALL_FAR_LINK) {
		const struct far_way *way = (const void *)(uintptr_t)cpu->call_value;

		rip += (uint64_t)((int64_t)way->pages * (int64_t)PAGE_SIZE);
	}
	return cpu_code64(cpu) ? rip : (uint32_t)rip;
}

const uint8_t *link_follow(struct soft_cpu *cpu, struct call call, const struct translation *from)
{
	struct jit *jit = cpu->jit;
	const struct translation *to;

	cpu->rip = link_rip(cpu, call);
	to = translated_at(cpu, cpu->rip);
	if (!to)
		return NULL;
	if (call.type == CALL_LINK)
		join_near(cpu, call, from, to);
	else
		join_far(cpu, call, (void *)(jit->write + (cpu->call_value - (uintptr_t)jit->run)),
			 from, to);
	cpu->code_page = cpu->rip & ~PAGE_MASK;
	return translation_code(jit, to);
}

/*
 * Gives the target of a jump an entry under the key of that scope: to its code, or if it has none to
 * what goes on from there. False: that is for the handler to say.
 */
static bool enter_jump(struct soft_cpu *cpu, uint64_t rip, enum link_scope scope)
{
	const struct translation *target = translated_at(cpu, rip);
	struct jump_entry entry = {
		.rip = rip,
		.code = (const void *)(uintptr_t)cpu->jit->common.no_body,
	};

	if (cpu_code64(cpu) && !linear_is_canonical(cpu, rip))
		return false;
	cpu->jit->stats.jumps++;
	if (target && (link_note(cpu, rip) == LINK_GLOBAL || scope == LINK_LOCAL)) {
		entry.code = translation_code(cpu->jit, target);
		/* To be compared, it is entered in another way. */
		entry.target = cpu->verify ? NULL : &cpu->gate;
	}
	entry.key = cpu->link_key[scope];
	*jump_slot(cpu, rip) = entry;
	return true;
}

/* In front of a block: if it was dropped, what took its place is where code goes on from now on. */
static uint64_t follow_dropped(struct soft_cpu *cpu, const struct translation *t)
{
	const struct translation *to = translation_is_dead(t) ? translated_at(cpu, cpu->rip) : NULL;

	if (!to || to->key != (t->key & ~TRANSLATION_DEAD))
		return 0;
	translation_divert(cpu->jit, t, to);
	return (uintptr_t)translation_code(cpu->jit, to);
}

uint64_t jit_retry(struct soft_cpu *cpu)
{
	struct jit *jit = cpu->jit;
	const struct call call = call_now(cpu);
	const struct translation *t = &jit->translations[call.block];
	bool again;

	cpu->rip = cpu->code_page + translation_base(t);
	if (call.type <= CALL_UNITS)
		cpu->rip += call.insn;
	cpu->call_leaves = !call_comes_back(call);
	switch ((enum call_type)call.type) {
	case CALL_START:
		return follow_dropped(cpu, t);
	case CALL_LINK:
	case CALL_FAR_LINK:
		return (uintptr_t)link_follow(cpu, call, t);
	case CALL_JUMP_LOCAL:
		again = enter_jump(cpu, cpu->call_value, LINK_LOCAL);
		break;
	case CALL_JUMP_GLOBAL:
		again = enter_jump(cpu, cpu->call_value, LINK_GLOBAL);
		break;
	default:
		again = call_is_miss(call) && fill(cpu, call);
	}
	return again && !translation_is_dead(t) ? (uintptr_t)jit->run + t->code + call.retry : 0;
}
