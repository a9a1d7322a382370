/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What translated code calls, with all guest state in struct soft_cpu. */
#include <string.h>

#include "cpu/soft/jit/translate_priv.h"

#define REFUSALS_MAX 64

const struct insn *jit_stop(struct soft_cpu *cpu, const struct insn *insn)
{
	(void)cpu;
	return insn;
}

static struct translation *running(const struct soft_cpu *cpu)
{
	return &cpu->jit->cache->translations[call_now(cpu).block];
}

/* Between instructions, `offset` bytes from translation_base(): to the run loop. */
static const struct insn *leave_at(struct soft_cpu *cpu, unsigned offset)
{
	cpu->rip += offset;
	if (!cpu_code64(cpu))
		cpu->rip = (uint32_t)cpu->rip;
	return NULL;
}

/* Does one that does not end the block. If that is all, `insn` + 1; else what is for the run loop. */
static const struct insn *do_insn(struct soft_cpu *cpu, const struct translation *t,
				  const struct insn *insn)
{
	unsigned behind = insn->offset + insn->length;
	const struct insn *next = insn->exec(cpu, insn);

	if (likely(next != insn + 1 || translation_may_go_on(cpu->jit, t)))
		return next;
	return leave_at(cpu, behind);
}

const struct insn *jit_handler(struct soft_cpu *cpu)
{
	const struct call call = call_now(cpu);
	const struct translation *t = running(cpu);
	const struct insn *insn = single_find(cpu, t, call.insn), *next;

	cpu->jit->stats.handlers += call.type == CALL_HANDLER;
	cpu->jit->stats.misses += call.type != CALL_HANDLER;
	cpu->call_return = 0;
	/* It was none that ends a block. */
	if (unlikely(!insn || insn->flags & INSN_LAST))
		return leave_at(cpu, call.insn);
	next = do_insn(cpu, t, insn);
	if (unlikely(next != insn + 1))
		return next;
	cpu->call_units = t->units;
	cpu->call_return = (uintptr_t)translation_code(cpu->jit->cache, t) + call.back;
	return NULL;
}

/* Has a block translated again, without shared checks, if they are not good too often. */
static void count_refusal(struct soft_cpu *cpu, struct translation *t)
{
	if (!cpu->verify && __atomic_add_fetch(&t->refusals, 1, __ATOMIC_RELAXED) == REFUSALS_MAX)
		jit_unshare(cpu, t);
}

/* From an instruction on, up to the next that ends a block. */
static const struct insn *leave_rest(struct soft_cpu *cpu, struct call call)
{
	struct translation *t = running(cpu);
	unsigned end = translation_is_trace(t) ? (unsigned)PAGE_SIZE : t->bytes;

	cpu->jit->stats.leaves++;
	for (unsigned offset = call.insn; offset < end;) {
		const struct insn *insn = single_find(cpu, t, offset), *next;

		if (unlikely(!insn))
			return leave_at(cpu, offset);
		if (insn->flags & INSN_LAST) {
			memset(cpu->jit->links, 0, sizeof(cpu->jit->links));
			return insn->exec(cpu, insn);
		}
		if (offset == call.insn && call_is_miss(call))
			count_refusal(cpu, t);
		offset += insn->length;
		next = do_insn(cpu, t, insn);
		if (next != insn + 1)
			return next;
	}
	leave_at(cpu, end);
	return attention_needed(cpu) ? NULL : jump_target(cpu);
}

/* A block that reaches into a second page: the link key is not what it was. */
static const struct insn *leave_second(struct soft_cpu *cpu, struct translation *t)
{
	const uint8_t *second = translation_host(t + 1);
	uint64_t next = (cpu->rip | PAGE_MASK) + 1, epoch;

	if (attention_needed(cpu))
		return NULL;
	if (!block_has_second(cpu, second)) {
		jit_drop(cpu, t);
		block_drop(cpu, translation_host(t), translation_mode(t));
		return NULL;
	}
	/* It goes by the key of all pages, so that either of the two may be any. */
	do {
		epoch = cpu->link_epoch;
		link_note(cpu, cpu->rip);
		link_note(cpu, next);
	} while (epoch != cpu->link_epoch);
	way_enter(cpu, t[1].second_way, LINK_LOCAL);
	return gate_to(cpu, translation_code(cpu->jit->cache, t));
}

/* A way out that could not be joined. Its target's page is known once the block there was looked for;
 * rip is the target. */
static const struct insn *leave_link(struct soft_cpu *cpu, struct call call, struct translation *t)
{
	uint64_t generation = cpu->jit->generation;
	const struct insn *target;
	const uint8_t *code = NULL;

	if (attention_needed(cpu))
		return NULL;
	target = block_find(cpu);
	if (generation == cpu->jit->generation && !translation_is_dead(t))
		code = link_follow(cpu, call, t);
	return code ? gate_to(cpu, code) : target;
}

/* If it was dropped, not by a jump entry or a decoded block that leads here again. */
static const struct insn *leave_start(struct soft_cpu *cpu, const struct translation *t)
{
	if (!translation_is_dead(t) || attention_needed(cpu))
		return NULL;
	block_drop(cpu, translation_host(t), translation_mode(t));
	return jump_resolve(cpu);
}

/* The interpreter refuses what the guest has switched off. */
static const struct insn *leave_units(struct soft_cpu *cpu)
{
	struct block *block = attention_needed(cpu) ? NULL : block_decoded(cpu);

	return block ? block->first(cpu, block->insns) : NULL;
}

const struct insn *jit_leave(struct soft_cpu *cpu)
{
	const struct call call = call_now(cpu);
	struct translation *t = running(cpu);

	switch ((enum call_type)call.type) {
	case CALL_START:
		return leave_start(cpu, t);
	case CALL_SECOND:
		return leave_second(cpu, t);
	case CALL_UNITS:
		return leave_units(cpu);
	case CALL_LINK:
	case CALL_FAR_LINK:
		return leave_link(cpu, call, t);
	default:
		return leave_rest(cpu, call);
	}
}

/* A jump entry whose block had no code when it was made. */
const struct insn *jit_leave_jump(struct soft_cpu *cpu)
{
	struct jump_entry *entry = (struct jump_entry *)((uint8_t *)cpu->jumps + cpu->call_entry);
	const struct insn *target = entry->target;

	cpu->rip = entry->rip;
	if (attention_needed(cpu))
		return NULL;
	if (!target || !is_alive(target))
		return jump_resolve(cpu);
	entry->code = jit_code_of(cpu, block_of(target));
	return ENTER(cpu, target);
}
