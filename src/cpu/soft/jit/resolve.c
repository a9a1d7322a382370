/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What translated code calls first, without giving up the guest's vector registers (see tlb.c): an
 * access that missed the TLB, a way out that is not joined, and a jump to what is not in the table end
 * here, most of the time. What cannot be done has changed nothing yet, and is done by glue.c.
 */
#include <string.h>

#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/mmu_priv.h"

/* The linear address of the access that missed; rip is the block's start. */
static uint64_t access_linear(struct soft_cpu *cpu, const struct call *call)
{
	uint64_t linear = *reg64(cpu, call->base) + (*reg64(cpu, call->index) << call->scale) +
			  (uint64_t)(int64_t)call->disp;

	if (call->based)
		linear += cpu->segments[call->seg].base;
	return call->cut ? (uint32_t)linear : linear;
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

static bool can_join(const struct exit *exit, const struct block *target)
{
	return exit->site && target->body && !target->dead && target->mode == exit->from->mode;
}

void exit_join(struct soft_cpu *cpu, struct exit *exit, struct block *target)
{
	struct jit *jit = cpu->jit;
	/* Forwards in a page, attention can wait. */
	bool inner = !exit->key && exit->delta > (int64_t)((uintptr_t)exit->from->host & PAGE_MASK);
	uint8_t *to = jit->write + (target->body - jit->run) + (inner ? target->inner : 0);
	int32_t distance = (int32_t)(to - (exit->site + 4));

	if (!can_join(exit, target))
		return;
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

/* The block at `rip` that has code, if that can be said without walking page tables. */
static struct block *translated_at(struct soft_cpu *cpu, uint64_t rip)
{
	uint64_t linear = rip + cpu->code_base;
	const struct code_tlb_entry *e = code_tlb_slot(cpu, linear);
	struct block *block;

	if (e->tag != ((linear & ~PAGE_MASK) | cpu->fetch_key) || attention_needed(cpu) ||
	    !mmu_has_room_for_linked(cpu))
		return NULL;
	block = block_lookup(cpu, (const uint8_t *)(e->host + linear), cpu->mode);
	return block && block->body ? block : NULL;
}

/* Where code goes on instead of by the way out, or 0. */
static uint64_t follow_link(struct soft_cpu *cpu, struct exit *exit)
{
	uint64_t rip = cpu->code_page + (uint64_t)exit->delta;
	struct block *target;

	if (!cpu_code64(cpu))
		rip = (uint32_t)rip;
	target = translated_at(cpu, rip);
	if (!target)
		return 0;
	cpu->rip = rip;
	exit_join(cpu, exit, target);
	cpu->code_page = rip & ~PAGE_MASK;
	return (uintptr_t)target->body;
}

/* Whether the jump entry of the target now leads to its code, under the key of that scope. */
static bool enter_jump(struct soft_cpu *cpu, uint64_t rip, enum link_scope scope)
{
	struct block *target = translated_at(cpu, rip);

	if (!target || (link_note(cpu, rip) == LINK_LOCAL && scope == LINK_GLOBAL))
		return false;
	*jump_slot(cpu, rip) = (struct jump_entry){ .rip = rip,
						    .key = cpu->link_key[scope],
						    .target = target->insns,
						    .code = target->body };
	return true;
}

uint64_t jit_retry(struct soft_cpu *cpu)
{
	struct jit *jit = cpu->jit;
	const struct call *call = &jit->calls[cpu->call];
	const struct call_block *of = (const void *)&jit->calls[cpu->call_block];
	bool again;

	cpu->rip = cpu->code_page + of->offset;
	cpu->call_leaves = call->type != CALL_HANDLER;
	if (call->type == CALL_LINK)
		return follow_link(cpu, &jit->exits[of->exits + call->insn]);
	again = call->fill ? tlb_fill(cpu, access_linear(cpu, call), call->last + 1u, call->write)
			   : call->jump && enter_jump(cpu, cpu->call_target, call->scope);
	return again ? (uintptr_t)jit->run + of->code + call->retry : 0;
}
