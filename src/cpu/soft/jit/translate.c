/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a block, or the blocks of a trace, to host code.
 *
 *	attention? -> stub
 *	[vector registers in the host? -> stub]
 *	instructions, each: [flags saved] [TLB check, miss -> stub] [flags loaded] instruction
 *	[flags saved] way out
 *	stubs
 *
 * The arithmetic flags are the host's own between instructions that use them. At a block's start
 * they are in soft_cpu.status, and wherever the translator's own arithmetic or C code would destroy
 * them they are put there first, unless the guest writes all of them before it reads any: so an
 * exception in between may show flags that nothing in the guest's program can depend on.
 *
 * Vector registers are loaded from soft_cpu.xsave by the first block that uses them, and stay in
 * the host until C code is called. The same holds for x87 and MMX registers, on their own.
 */
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/debugger_priv.h"
#include "cpu/soft/decode_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/perf_priv.h"
#include "cpu/soft/jit/verify_priv.h"
#include "cpu/soft/native_exec_priv.h"

/* The most that an instruction takes, before stubs; all ways out of a trace's middle; where blocks begin; and how
 * much of a room they are begun in at least. */
#define UNIT_BYTES_MAX  1024u
#define SIDES_BYTES_MAX (TRACE_BLOCKS * 64u)
#define CODE_ALIGN      16u
#define CODE_BYTES_MIN  (2 * (UNIT_BYTES_MAX + SIDES_BYTES_MAX))

static insn_exec *handler_of(const struct translator *t, const struct insn *insn)
{
	return insn == t->block->insns ? t->block->first : insn->exec;
}

/* Decodes what the block was decoded from; false: it is not the same any more. */
static bool read_unit(const struct translator *t, struct unit *u)
{
	const struct block *b = t->block;
	unsigned offset = u->insn->offset, first = (unsigned)PAGE_SIZE - t->offset - offset;
	unsigned length = u->insn->length;
	uint8_t bytes[ZYDIS_MAX_INSTRUCTION_LENGTH];

	first = MIN(first, length);
	memcpy(bytes, b->host + offset, first);
	if (first < length)
		memcpy(bytes + first, b->second, length - first);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(t->cpu), bytes, length, &u->z,
						   u->operands)) &&
	       u->z.length == length;
}

static bool read_units(struct translator *t)
{
	struct block *b = t->block;

	for (unsigned i = 0; i < b->count; i++) {
		struct unit *u = &t->units[i];
		insn_exec *exec = handler_of(t, &b->insns[i]);

		*u = (struct unit){ .insn = &b->insns[i], .group = NO_GROUP };
		if (exec == op_continue) {
			u->kind = KIND_CONTINUE;
		} else if (exec == op_undefined || exec == op_too_long) {
			u->kind = KIND_END;
			u->reads = FLAGS_ALL;
		} else if (exec == op_check_second) {
			u->kind = KIND_NOTHING; /* emit_start() does it */
		} else if (!read_unit(t, u)) {
			return false;
		} else {
			unit_classify(t->cpu, u);
		}
	}
	return true;
}

/* The bit of a unit in soft_cpu.vector_units. */
static uint8_t unit_bit(unsigned unit)
{
	switch (unit) {
	case UNIT_INTEGER:
		return 0;
	case UNIT_WAIT:
	case UNIT_MMX:
		return 1u << UNIT_X87;
	default:
		return (uint8_t)(1u << unit);
	}
}

static void find_vector_units(struct translator *t)
{
	for (unsigned i = 0; i < t->block->count; i++) {
		struct unit *u = &t->units[i];
		uint8_t bit = unit_bit(u->native_unit);

		if (bit && !native_host(t->cpu->native)->mask) {
			u->kind = KIND_CALL;
			u->memory = u->traps = u->x87_pointers = false;
			u->reads = FLAGS_ALL;
		} else if (bit == 1u << UNIT_X87) {
			t->x87_unit = bit;
		} else {
			t->vector_unit = MAX(t->vector_unit, bit);
		}
	}
}

/*
 * The flags that matter at the target of a link in the same page: it is decoded ahead. What the
 * answer depends on is marked as code: a write to it drops the page's blocks.
 */
static uint16_t live_at(struct translator *t, int64_t delta)
{
	const uint8_t *page = t->block->host - t->offset;
	unsigned bytes, first, last;

	/* At a breakpoint a debugger looks at them. */
	if (delta < 0 || delta >= (int64_t)PAGE_SIZE || debugger_cuts(t->cpu, (unsigned)delta))
		return FLAGS_ALL;
	if (!flags_are_dead(t->cpu, page + delta, (unsigned)(PAGE_SIZE - (uint64_t)delta), &bytes))
		return FLAGS_ALL;
	first = (unsigned)delta / 64;
	last = ((unsigned)delta + bytes - 1) / 64;
	code_claim(t->cpu, page, bits_mask(last - first + 1) << first);
	/* It may have changed before it was claimed. */
	return flags_are_dead(t->cpu, page + delta, (unsigned)(PAGE_SIZE - (uint64_t)delta), &bytes)
		       ? 0
		       : FLAGS_ALL;
}

static void find_live_out(struct translator *t)
{
	const struct unit *last = &t->units[t->block->count - 1];
	int64_t next = unit_next(t, last), target = unit_target(t, last);

	t->live_out[0] = t->live_out[1] = FLAGS_ALL;
	switch (last->kind) {
	case KIND_JUMP:
		t->live_out[0] = t->live_out[1] = live_at(t, target);
		break;
	case KIND_CONTINUE:
		t->live_out[0] = t->live_out[1] = live_at(t, next);
		break;
	case KIND_JCC:
		t->live_out[0] = live_at(t, next);
		t->live_out[1] = live_at(t, target);
		break;
	default:
		break;
	}
}

static void find_live(struct translator *t)
{
	uint16_t live = t->live_out[0] | t->live_out[1];

	for (unsigned i = t->block->count; i-- > 0;) {
		struct unit *u = &t->units[i];

		if (u->followed && u->kind == KIND_JCC)
			u->side_live = live_at(t, unit_side(t, u));
		live = (uint16_t)((live & ~u->writes) | u->reads | u->side_live);
		/* To be compared they are all there where a block begins. */
		if (unlikely(t->cpu->verify) && u->begins)
			live = FLAGS_ALL;
		u->live = live;
	}
}

/* Makes certain that the registers of a unit are in the host. */
static void emit_start_unit(struct translator *t, uint8_t unit)
{
	struct stub *stub;

	if (!unit)
		return;
	stub = stub_new(t, &t->units[0], STUB_VECTOR);
	stub->vector_unit = unit;
	emit_rm(&t->code, 0xf6, 0, FIELD(vector_live)); /* test byte */
	code_byte(&t->code, unit);
	stub_from(stub, emit_jump(&t->code, IF_E));
	stub->back = t->code.used;
}

/* Whether the second page still follows the first one. */
static void emit_check_second(struct translator *t)
{
	stub_from(stub_new(t, &t->units[0], STUB_SECOND),
		  emit_way_check(&t->code, t->second_way, LINK_LOCAL));
}

static void emit_start(struct translator *t)
{
	struct stub *stub = stub_new(t, &t->units[0], STUB_START);

	emit_rm(&t->code, 0x83, ALU_CMP, FIELD(attention));
	code_byte(&t->code, 0);
	stub_from(stub, emit_jump(&t->code, IF_NE));
	check(t->code.used - t->start == ATTENTION_BYTES);
	if (t->block->second)
		emit_check_second(t);
	if (unlikely(t->cpu->verify))
		verify_emit_start(t, &t->units[0], stub);
	emit_start_unit(t, t->vector_unit);
	emit_start_unit(t, t->x87_unit);
}

/* Where a trace comes to its next block, with `jit=verify`: as between blocks. */
static void emit_next_start(struct translator *t, const struct unit *u)
{
	emit_x87_last(t, t->x87_last);
	t->x87_last = NULL;
	flags_out_of_host(t, FLAGS_ALL);
	t->holds = NO_GROUP;
	verify_emit_start(t, u, stub_new(t, u, STUB_START));
}

/* Too much code: the interpreter does the rest. */
static void emit_rest(struct translator *t, const struct unit *u)
{
	struct stub *stub = insn_stub(t, u);

	emit_x87_last(t, t->x87_last);
	flags_out_of_host(t, FLAGS_ALL);
	stub->rest = true;
	stub_from(stub, emit_jump(&t->code, ALWAYS));
}

/* False: the room ends. */
static bool emit_units(struct translator *t)
{
	unsigned count = t->block->count;

	t->flags = FLAGS_STATE;
	t->holds = NO_GROUP;
	for (unsigned i = 0; i < count; i++) {
		if (t->code.size - t->code.used < UNIT_BYTES_MAX + SIDES_BYTES_MAX) {
			if (t->code.size - t->start < CALL_CODE_MAX)
				return false;
			emit_rest(t, &t->units[i]);
			return true;
		}
		if (unlikely(t->cpu->verify) && i && t->units[i].begins)
			emit_next_start(t, &t->units[i]);
		emit_unit(t, &t->units[i],
			  i + 1 < count ? t->units[i + 1].live : t->live_out[0] | t->live_out[1]);
	}
	return true;
}

/* All but the stubs, where the room for code begins. False: that is too small. */
static bool emit_code(struct translator *t)
{
	const struct room *room = &t->jit->code;

	if (room->end - room->used < CODE_BYTES_MIN)
		return false;
	t->start = room->used;
	t->code = (struct code){ t->jit->cache->write, t->start,
				 MIN(t->start + CALL_CODE_MAX, room->end) };
	t->x87_last = NULL;
	t->stub_count = t->side_count = 0;
	emit_start(t);
	if (!emit_units(t))
		return false;
	emit_sides(t);
	t->end = (uint32_t)round_up(t->code.used, CODE_ALIGN);
	return true;
}

/* False: there is no room. */
static bool emit_block(struct translator *t)
{
	bool second = t->block->second;

	t->number = cache_new_number(t->jit, second ? 2 : 1);
	t->second_way = second ? cache_new_way(t->jit) : 0;
	if (!t->number || (second && !t->second_way))
		return false;
	if (!emit_code(t) && (!cache_new_room(t->jit, &t->jit->code) || !emit_code(t)))
		return false;
	return emit_stubs(t);
}

static void begin(struct translator *t, struct soft_cpu *cpu, struct block *block,
		  const uint8_t *head, uint64_t rip)
{
	t->cpu = cpu;
	t->jit = cpu->jit;
	t->block = block;
	t->head = head;
	t->rip = rip;
	t->base = (uintptr_t)t->jit->cache->run;
	t->offset = (unsigned)((uintptr_t)block->host & PAGE_MASK);
	t->code32 = !(block->mode & MODE_CODE64);
	t->scope = link_note(cpu, rip);
	t->vector_unit = t->x87_unit = 0;
}

/* False: what is switched off is for the interpreter to refuse. */
static bool find_all(struct translator *t)
{
	find_vector_units(t);
	if ((t->vector_unit | t->x87_unit) & ~t->cpu->vector_units)
		return false;
	find_live_out(t);
	find_live(t);
	t->shared = t->code32 || jit_is_unshared(t->jit->cache, t->head, t->block->mode)
			    ? 0
			    : share_checks(t);
	return true;
}

static void name_for_perf(const struct translator *t, const char *what)
{
	if (unlikely(t->cpu->engine->perf >= 0))
		perf_add(t->cpu->engine->perf, t->jit->cache->run + t->start, t->end - t->start,
			 what, t->rip);
}

/*
 * Whether what was read is what is there. Whoever changes code says so first to all vCPUs, then drops what is made of
 * it, then writes: so if nobody has told this one yet, with the lock held, what is entered now is dropped then.
 */
static bool is_as_read(const struct translator *t)
{
	atomic_thread_fence(memory_order_seq_cst);
	return cache_is_current(t->jit) && !(atomic_load(&t->cpu->attention) & ATTENTION_REQUEST);
}

/* What was emitted counts from now on, in place of `before` (NULL: of nothing). `bytes`: as in struct translation.
 * False: not any more. */
static bool install(struct translator *t, unsigned bytes)
{
	struct code_cache *cache = t->jit->cache;
	struct translation *entry = &cache->translations[t->number], *before;
	const uint8_t *second = t->block->second;
	CACHE_LOCK_SCOPE(cache);

	if (!is_as_read(t))
		return false;
	before = translation_find(cache, t->head, t->block->mode);
	if (before && bytes && likely(!t->cpu->verify))
		return false; /* another vCPU was faster */
	if (before)
		translation_drop(cache, before);
	*entry = (struct translation){
		.key = translation_key(t->head, t->block->mode),
		.code = t->start,
		.bytes = (uint16_t)bytes,
		.units = t->vector_unit | t->x87_unit,
	};
	if (second)
		entry[1] = (struct translation){ .key = (uintptr_t)second | TRANSLATION_SECOND,
						 .second_way = t->second_way };
	translation_add(cache, t->number, second);
	t->jit->code.used = t->end;
	t->jit->stubs.used = t->code.used;
	return true;
}

static void lead_to(const struct jit *jit, struct block *block, const uint8_t *code)
{
	block->body = code;
	block->insns[0].exec = (insn_exec *)jit->cache->common.enter_block;
}

/* To what was made just now. */
static void lead(const struct translator *t, struct block *block)
{
	if (unlikely(t->cpu->verify))
		verify_lead(t, block);
	else
		lead_to(t->jit, block, t->jit->cache->run + t->start);
}

bool jit_lead(struct soft_cpu *cpu, struct block *block)
{
	const struct translation *to = NULL;

	if (likely(!cpu->verify))
		to = translation_find(cpu->jit->cache, block->host, block->mode);
	if (to)
		lead_to(cpu->jit, block, translation_code(cpu->jit->cache, to));
	return to;
}

bool jit_translate(struct soft_cpu *cpu, struct block *block)
{
	struct translator *t = cpu->jit->translator;

	begin(t, cpu, block, block->host, cpu->rip);
	if (!read_units(t))
		return false;
	t->stop = cpu->verify ? verify_count(t) : 0;
	if ((cpu->verify && !t->stop) || !find_all(t) || !emit_block(t))
		return false;
	/* Looking ahead may have answered those who change code. */
	if (block->dead)
		return false;
	if (unlikely(cpu->verify))
		verify_append(t);
	if (!install(t, block->bytes))
		return jit_lead(cpu, block);
	name_for_perf(t, "block");
	lead(t, block);
	t->jit->stats.blocks++;
	return true;
}

static enum followed followed(const struct translator *t, const struct unit *u, int64_t to)
{
	bool branches = u->kind == KIND_JUMP || u->kind == KIND_JCC || u->kind == KIND_CALL_NEAR;

	if (branches && unit_target(t, u) == to)
		return FOLLOWED_TARGET;
	return u->kind == KIND_JCC && unit_next(t, u) == to ? FOLLOWED_NEXT : FOLLOWED_NOT;
}

/* Cuts the trace where a block does not lead to the next one as it is now; false: behind the first. */
static bool follow_blocks(struct translator *t, const uint8_t *begins, unsigned count)
{
	unsigned blocks = 1;

	t->units[0].begins = true;
	for (; blocks < count; blocks++) {
		struct unit *next = &t->units[begins[blocks]], *last = next - 1;

		if (unlikely(t->cpu->verify) && !verify_knows(t->cpu, t->block->host, next->insn))
			break;
		last->followed = followed(t, last, next->insn->offset);
		if (!last->followed)
			break;
		next->begins = true;
	}
	if (blocks < count)
		t->block->count = begins[blocks];
	return blocks > 1;
}

bool jit_translate_trace(struct soft_cpu *cpu, const uint8_t *head, uint64_t rip,
			 const uint8_t *begins, unsigned count, uint64_t served)
{
	struct jit *jit = cpu->jit;
	struct translator *t = jit->translator;
	struct block *decoded;

	begin(t, cpu, jit->trace, head, rip);
	if (!read_units(t) || !follow_blocks(t, begins, count) || !find_all(t) || !emit_block(t))
		return false;
	/* As above. */
	if (served != atomic_load(&cpu->acknowledged) || !install(t, 0))
		return false;
	name_for_perf(t, "trace");
	decoded = block_lookup(cpu, head, cpu->mode);
	if (decoded)
		lead(t, decoded);
	jit->stats.traces++;
	return true;
}
