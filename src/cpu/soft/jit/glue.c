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

static const struct call *call_of(const struct soft_cpu *cpu)
{
	return &cpu->jit->calls[cpu->call];
}

static struct call_block *call_block_of(const struct soft_cpu *cpu)
{
	return (void *)&cpu->jit->calls[cpu->call_block];
}

static insn_exec *handler_of(const struct block *block, const struct insn *insn)
{
	return insn == block->insns ? block->first : insn->exec;
}

const struct insn *jit_handler(struct soft_cpu *cpu)
{
	const struct call *call = call_of(cpu);
	const struct call_block *of = call_block_of(cpu);
	struct block *block = of->block;
	const struct insn *insn = &block->insns[call->insn], *next;
	/* So that it does not go on to the next one. */
	struct insn *alone = cpu->jit->alone;

	cpu->jit->stats.slow[call->cause]++;
	cpu->call_return = 0;
	alone[0] = *insn;
	next = handler_of(block, insn)(cpu, alone);
	if (unlikely(next != alone + 1))
		return next == alone ? insn : next;
	if (likely(!block->dead)) {
		cpu->call_units = block->units;
		cpu->call_return = (uintptr_t)cpu->jit->run + of->code + call->back;
		return NULL;
	}
	cpu->rip = rip_next(cpu, insn);
	return NULL;
}

/* Translates a block again, without shared checks, if they are not good too often. */
static void count_refusal(struct soft_cpu *cpu, struct block *block)
{
	if (block->unshared || cpu->verify || ++block->refusals < REFUSALS_MAX)
		return;
	block->unshared = true;
	jit_replace(cpu, block);
}

/* From an instruction on. */
static const struct insn *leave_rest(struct soft_cpu *cpu, const struct call *call,
				     struct block *block)
{
	const struct insn *insn = &block->insns[call->insn];

	cpu->jit->stats.leaves++;
	cpu->jit->stats.jumps += call->jump && !call->fill;
	if (call->fill && call->insn + 1 < block->count)
		count_refusal(cpu, block);
	return handler_of(block, insn)(cpu, insn);
}

/* A block that reaches into a second page: the link key is not what it was. */
static const struct insn *leave_second(struct soft_cpu *cpu, struct block *block)
{
	uint64_t next = (cpu->rip | PAGE_MASK) + 1, epoch;

	if (attention_needed(cpu))
		return NULL;
	if (!block_has_second(cpu, block)) {
		block_drop_page(cpu, block->second);
		return NULL;
	}
	/* It goes by the key of all pages, so that either of the two may be any. */
	do {
		epoch = cpu->link_epoch;
		link_note(cpu, cpu->rip);
		link_note(cpu, next);
	} while (epoch != cpu->link_epoch);
	block->second_key = cpu->link_key[LINK_LOCAL];
	return ENTER(cpu, block->insns);
}

/* A way out that is not joined. */
static const struct insn *leave_link(struct soft_cpu *cpu, struct exit *exit)
{
	struct link *link = exit->link;
	uint64_t generation = cpu->jit->generation;
	const struct insn *target = link->target;

	cpu->rip = cpu->code_page + (uint64_t)exit->delta;
	if (!cpu_code64(cpu))
		cpu->rip = (uint32_t)cpu->rip;
	if (attention_needed(cpu))
		return NULL;
	if (!target || link->rip != cpu->rip || !is_alive(target) ||
	    !leads_to(cpu, cpu->rip, link->host))
		target = link_resolve(cpu, link);
	if (generation == cpu->jit->generation)
		exit_join(cpu, exit, block_of(target));
	return ENTER(cpu, target);
}

const struct insn *jit_leave(struct soft_cpu *cpu)
{
	const struct call *call = call_of(cpu);
	const struct call_block *of = call_block_of(cpu);

	switch ((enum call_type)call->type) {
	case CALL_REST:
		return leave_rest(cpu, call, of->block);
	case CALL_SECOND:
		return leave_second(cpu, of->block);
	case CALL_UNITS:
		/* The interpreter will say so. */
		block_drop_page(cpu, (const uint8_t *)((uintptr_t)of->block->host & ~PAGE_MASK));
		return NULL;
	case CALL_LINK:
		return leave_link(cpu, &cpu->jit->exits[of->exits + call->insn]);
	default:
		return NULL;
	}
}

/* A jump entry whose block had no code when it was made. */
const struct insn *jit_leave_jump(struct soft_cpu *cpu)
{
	struct jump_entry *entry = (struct jump_entry *)((uint8_t *)cpu->jumps + cpu->call_entry);
	const struct insn *target = entry->target;

	cpu->rip = entry->rip;
	if (attention_needed(cpu) || !is_alive(target))
		return NULL;
	entry->code = jit_code_of(cpu, block_of(target));
	return ENTER(cpu, target);
}
