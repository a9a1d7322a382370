/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hot traces: translations that go on where the guest usually does.
 *
 * A vCPU in translated code is asked about a hundred times a second to look up (tier.c). The block
 * that it stands before then is hot, and when that has been so `trace` times it gets a trace: the
 * interpreter goes on from there, and which blocks it comes to is noted, for as long as they are in
 * the page and none comes again. They are translated as one: what was a branch to the next is none,
 * or a way out in the other direction; accesses of all of them share checks; flags stay in the host;
 * attention is looked at once. That takes the place of the first block's translation.
 *
 * So the choice costs nothing while code runs. Blocks are followed through fixed targets only, all of
 * which is looked at again in the bytes when the trace is made: what was noted need not be true any
 * more, or be a way at all (an interrupt).
 */
#include <string.h>

#include "cpu/soft/code_priv.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/jit/translate_priv.h"
#include "cpu/soft/tier_priv.h"

/* Of a sample, when there is a trace or there was nothing to gain. */
#define DONE UINT32_MAX

/* The most of its neighbours' samples take the place of one that is found rarely. */
static struct sample *sample_of(struct jit *jit, const uint8_t *host, uint8_t mode)
{
	struct sample *s = &jit->samples[block_hash(host, mode) % SAMPLES];
	uint64_t key = translation_key(host, mode);

	if (s->key == key)
		return s;
	if (s->count && s->count != DONE) {
		s->count--;
		return NULL;
	}
	*s = (struct sample){ .key = key };
	return s;
}

bool trace_count(struct soft_cpu *cpu, const uint8_t *host)
{
	struct jit *jit = cpu->jit;
	struct sample *s = sample_of(jit, host, cpu->mode);

	if (!s || s->count == DONE || cpu->debugger)
		return false;
	if (++s->count < cpu->engine->options.trace)
		return false;
	s->count = DONE;
	jit->path = (struct path){ .head = host, .page = cpu->rip & ~PAGE_MASK, .mode = cpu->mode };
	atomic_fetch_or(&cpu->attention, ATTENTION_TRACE);
	return true;
}

void trace_sample(struct soft_cpu *cpu)
{
	const struct translation *t = NULL;
	const uint8_t *host = code_host(cpu, cpu->rip);

	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_SAMPLE);
	if (atomic_load(&cpu->attention) & ATTENTION_TRACE)
		return;
	if (host)
		t = translation_find(cpu->jit->cache, host, cpu->mode);
	if (t && !translation_is_trace(t))
		trace_count(cpu, host);
}

/* ---- the way ---- */

static bool is_on_path(const struct path *path, unsigned offset)
{
	for (unsigned i = 0; i < path->count; i++)
		if (path->offsets[i] == offset)
			return true;
	return false;
}

static bool goes_on(const struct soft_cpu *cpu, const struct path *path)
{
	unsigned offset = cpu->rip & PAGE_MASK;

	if (path->count == TRACE_BLOCKS || cpu->mode != path->mode || cpu->debugger ||
	    (cpu->rip & ~PAGE_MASK) != path->page)
		return false;
	return path->count ? !is_on_path(path, offset)
			   : offset == ((uintptr_t)path->head & PAGE_MASK);
}

/* ---- its instructions ---- */

/* Of jit.trace; there is room. False: the page ends within it. */
static bool append(struct soft_cpu *cpu, unsigned offset)
{
	struct block *b = cpu->jit->trace;
	struct insn *insn = &b->insns[b->count];
	unsigned rest = (unsigned)PAGE_SIZE - offset, count = MIN(rest, (unsigned)INSN_BYTES_MAX);
	unsigned line = offset / 64, last = (offset + count - 1) / 64, links;
	uint8_t bytes[INSN_BYTES_MAX] = { 0 };

	code_claim(cpu, b->host, bits_mask(last - line + 1) << line);
	memcpy(bytes, b->host + offset, count);
	*insn = (struct insn){ .offset = (uint16_t)offset };
	if (decode_insn(cpu, bytes, count, insn, &links) == DECODE_MORE)
		return false;
	b->count++;
	return true;
}

/*
 * The instructions of a block, all or none: up to a branch, because only that shows those who leave in the
 * middle where it ends.
 */
static bool append_block(struct soft_cpu *cpu, unsigned offset)
{
	struct block *b = cpu->jit->trace;
	unsigned first = b->count;

	while (offset < PAGE_SIZE && b->count < TRACE_INSNS && b->count - first < BLOCK_INSNS &&
	       append(cpu, offset)) {
		const struct insn *last = &b->insns[b->count - 1];

		offset += last->length;
		if (last->flags & INSN_LAST)
			return true;
	}
	b->count = (uint8_t)first;
	return false;
}

/* Those of all blocks; how many, and with which instructions they begin. */
static unsigned append_all(struct soft_cpu *cpu, uint8_t begins[TRACE_BLOCKS])
{
	const struct path *path = &cpu->jit->path;
	struct block *b = cpu->jit->trace;
	unsigned count = 0;

	*b = (struct block){ .host = path->head - ((uintptr_t)path->head & PAGE_MASK),
			     .mode = path->mode };
	for (; count < path->count; count++) {
		begins[count] = b->count;
		if (!append_block(cpu, path->offsets[count]))
			break;
	}
	return count;
}

static void make(struct soft_cpu *cpu)
{
	const struct path *path = &cpu->jit->path;
	uint64_t rip = path->page | ((uintptr_t)path->head & PAGE_MASK);
	uint64_t served = atomic_load(&cpu->acknowledged);
	uint8_t begins[TRACE_BLOCKS];
	unsigned count;

	if (path->count < 2 || cpu->mode != path->mode || code_host(cpu, rip) != path->head ||
	    !jit_has_room(cpu->jit) || !native_has_room(cpu->native, TRACE_INSNS))
		return;
	count = append_all(cpu, begins);
	if (count < 2)
		return;
	cpu->jit->trace->first = cpu->jit->trace->insns[0].exec;
	jit_translate_trace(cpu, path->head, rip, begins, count, served);
}

const struct insn *trace_step(struct soft_cpu *cpu)
{
	struct path *path = &cpu->jit->path;
	struct block *block = goes_on(cpu, path) ? block_decoded(cpu) : NULL;
	enum tier before;

	/* Decoding may have emptied the cache, and ended this. */
	if (block && !block->second && atomic_load(&cpu->attention) & ATTENTION_TRACE) {
		path->offsets[path->count++] = (uint16_t)(cpu->rip & PAGE_MASK);
		return block->first(cpu, block->insns);
	}
	before = tier_change(cpu, TIER_TRANSLATION);
	if (atomic_load(&cpu->attention) & ATTENTION_TRACE)
		make(cpu);
	tier_change(cpu, before);
	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_TRACE);
	return NULL;
}
