/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What translated code calls, with all guest state in struct soft_cpu. */
#include <string.h>

#include "cpu/soft/jit/translate_priv.h"

const struct insn *jit_stop(struct soft_cpu *cpu, const struct insn *insn)
{
	(void)cpu;
	return insn;
}

/* One instruction, in the middle of a block. What is returned is for the run loop. */
const struct insn *jit_slow(struct soft_cpu *cpu, const struct insn *argument)
{
	const struct slow_call *call = (const void *)argument;
	const struct insn *insn = call->insn, *next;

	cpu->jit->stats.slow[call->cause]++;
	cpu->rip = cpu->code_page + call->offset;
	next = call->exec(cpu, insn);
	if (unlikely(next != insn + 1))
		return next;
	if (likely(next->exec == jit_stop))
		return JIT_GO_ON;
	/* The block has been dropped. */
	cpu->rip = rip_next(cpu, insn);
	return NULL;
}

/* The last instruction of a block. */
const struct insn *jit_leave_insn(struct soft_cpu *cpu, const struct insn *argument)
{
	const struct slow_call *call = (const void *)argument;

	cpu->jit->stats.leaves++;
	cpu->rip = cpu->code_page + call->offset;
	return call->exec(cpu, call->insn);
}

/* Before the first instruction of a block: attention is needed, or the block has been dropped. */
const struct insn *jit_leave_start(struct soft_cpu *cpu, const struct insn *argument)
{
	const struct block *block = (const void *)argument;

	cpu->rip = cpu->code_page + ((uintptr_t)block->host & PAGE_MASK);
	return NULL;
}

/* The same, of a block that reaches into a second page: the link key is not what it was. */
const struct insn *jit_leave_second(struct soft_cpu *cpu, const struct insn *argument)
{
	struct block *block = (struct block *)(uintptr_t)argument;
	uint64_t next, epoch;

	jit_leave_start(cpu, argument);
	next = (cpu->rip | PAGE_MASK) + 1;
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

/* The same: the guest has switched off what the block needs. The interpreter will say so. */
const struct insn *jit_leave_units(struct soft_cpu *cpu, const struct insn *argument)
{
	const struct block *block = (const void *)argument;

	block_drop_page(cpu, (const uint8_t *)((uintptr_t)block->host & ~PAGE_MASK));
	return jit_leave_start(cpu, argument);
}

void exit_part(struct exit *exit)
{
	int32_t distance = (int32_t)(exit->stub - (exit->site + 4));

	if (exit->next)
		exit->next->previous = exit->previous;
	*exit->previous = exit->next;
	exit->next = NULL;
	exit->previous = NULL;
	memcpy(exit->site, &distance, sizeof(distance));
	if (exit->key)
		memset(exit->key, 0, sizeof(uint64_t));
}

static void exit_join(struct soft_cpu *cpu, struct exit *exit, struct block *target)
{
	struct jit *jit = cpu->jit;
	/* Forwards in a page, attention can wait. */
	bool inner = !exit->key && exit->delta > (int64_t)((uintptr_t)exit->from->host & PAGE_MASK);
	uint8_t *to = jit->write + (target->body - jit->run) + (inner ? target->inner : 0);
	int32_t distance = (int32_t)(to - (exit->site + 4));

	if (exit->previous)
		exit_part(exit);
	exit->next = target->incoming;
	exit->previous = &target->incoming;
	if (exit->next)
		exit->next->previous = &exit->next;
	target->incoming = exit;
	jit->stats.links++;
	memcpy(exit->site, &distance, sizeof(distance));
	if (exit->key) {
		enum link_scope scope = link_note(cpu, cpu->rip);
		int32_t disp = gs_displacement(offsetof(struct soft_cpu, link_key) +
					       scope * sizeof(cpu->link_key[0]));

		memcpy(exit->key_disp, &disp, sizeof(disp));
		memcpy(exit->key, &cpu->link_key[scope], sizeof(uint64_t));
	}
}

static bool can_join(const struct exit *exit, const struct block *target)
{
	return exit->site && target->body && !target->dead && target->mode == exit->from->mode;
}

/* A way out that is not joined. */
const struct insn *jit_leave_link(struct soft_cpu *cpu, const struct insn *argument)
{
	struct exit *exit = (struct exit *)(uintptr_t)argument;
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
	if (generation == cpu->jit->generation) {
		struct block *block = block_of(target);

		if (can_join(exit, block))
			exit_join(cpu, exit, block);
	}
	return ENTER(cpu, target);
}

/* A jump entry whose block had no code when it was made; `argument`: its offset among them. */
const struct insn *jit_leave_jump(struct soft_cpu *cpu, const struct insn *argument)
{
	struct jump_entry *entry =
		(struct jump_entry *)((uint8_t *)cpu->jumps + (uintptr_t)argument);
	const struct insn *target = entry->target;

	cpu->rip = entry->rip;
	if (attention_needed(cpu) || !is_alive(target))
		return NULL;
	entry->code = jit_code_of(cpu, block_of(target));
	return ENTER(cpu, target);
}
