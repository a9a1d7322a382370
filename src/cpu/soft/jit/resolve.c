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

/* So often going the slow way is as dear as translating a block. */
#define ELSEWHERE_MAX 64u

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
	return translation_find(cpu->jit->cache, host, cpu->mode);
}

static int32_t distance(const uint8_t *site, const uint8_t *to)
{
	return (int32_t)(to - (site + sizeof(int32_t)));
}

static uint64_t page_of(const struct translation *t)
{
	return (uintptr_t)translation_host(t) & ~PAGE_MASK;
}

/* With the lock. */
static bool can_join(const struct soft_cpu *cpu, const struct translation *from,
		     const struct translation *to)
{
	return cache_is_current(cpu->jit) && !translation_is_dead(from) && !translation_is_dead(to);
}

/* Joins a way out in its page. Others may be about to take it. */
static void join_near(struct soft_cpu *cpu, struct call call, const struct translation *from,
		      const struct translation *to)
{
	struct code_cache *cache = cpu->jit->cache;
	uint8_t *site = cache->write + from->code + call.retry;
	uint32_t way = (uint32_t)distance(site, cache->write + to->code);
	CACHE_LOCK_SCOPE(cache);

	if (!can_join(cpu, from, to) || page_of(from) != page_of(to))
		return;
	code_replace(site, way, sizeof(way));
	cpu->jit->stats.links++;
}

/*
 * To another page, for as long as the link key is what it is. Nobody takes the way before the first one has joined
 * it, and it leads to the same place ever after: if a vCPU has something else there often, `from` is dropped, to be
 * translated with a new way.
 */
static void join_far(struct soft_cpu *cpu, struct call call, struct far_way *way,
		     struct translation *from, const struct translation *to)
{
	struct code_cache *cache = cpu->jit->cache;
	uint8_t *site = cache->write + from->code + call.retry;
	enum link_scope scope = way->global ? LINK_GLOBAL : LINK_LOCAL;
	int32_t far = distance(site, cache->write + to->code);

	if (!way->way || (link_note(cpu, cpu->rip) != LINK_GLOBAL && scope == LINK_GLOBAL))
		return;
	CACHE_LOCK_SCOPE(cache);
	if (!can_join(cpu, from, to))
		return;
	if (!way->to) {
		memcpy(site, &far, sizeof(far));
		way->to = (uint32_t)(to - cache->translations);
	} else if ((cache->translations[way->to].key & ~TRANSLATION_DEAD) != to->key) {
		if (++way->elsewhere == ELSEWHERE_MAX)
			translation_drop(cache, from);
		return;
	}
	way_enter(cpu, way->way, scope);
	cpu->jit->stats.links++;
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

const uint8_t *link_follow(struct soft_cpu *cpu, struct call call, struct translation *from)
{
	struct code_cache *cache = cpu->jit->cache;
	const struct translation *to;

	cpu->rip = link_rip(cpu, call);
	to = translated_at(cpu, cpu->rip);
	if (!to)
		return NULL;
	if (call.type == CALL_LINK)
		join_near(cpu, call, from, to);
	else
		join_far(cpu, call,
			 (void *)(cache->write + (cpu->call_value - (uintptr_t)cache->run)), from,
			 to);
	cpu->code_page = cpu->rip & ~PAGE_MASK;
	return translation_code(cache, to);
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
		.code = (const void *)(uintptr_t)cpu->jit->cache->common.no_body,
	};

	if (cpu_code64(cpu) && !linear_is_canonical(cpu, rip))
		return false;
	cpu->jit->stats.jumps++;
	if (target && (link_note(cpu, rip) == LINK_GLOBAL || scope == LINK_LOCAL)) {
		entry.code = translation_code(cpu->jit->cache, target);
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
	struct code_cache *cache = cpu->jit->cache;

	if (!to)
		return 0;
	CACHE_LOCK_SCOPE(cache);
	if (to->key != (t->key & ~TRANSLATION_DEAD) || !cache_is_current(cpu->jit))
		return 0;
	translation_divert(cache, t, to);
	return (uintptr_t)translation_code(cache, to);
}

uint64_t jit_retry(struct soft_cpu *cpu)
{
	struct code_cache *cache = cpu->jit->cache;
	const struct call call = call_now(cpu);
	struct translation *t = &cache->translations[call.block];
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
	return again && translation_may_go_on(cpu->jit, t)
		       ? (uintptr_t)translation_code(cache, t) + call.retry
		       : 0;
}
