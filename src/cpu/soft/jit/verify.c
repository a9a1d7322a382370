/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See verify_priv.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/soft/access_priv.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/jit/verify_access_priv.h"
#include "cpu/soft/jit/verify_run_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/native_exec_priv.h"

#define TRIES 4

/* Behind the stubs of a block; block->verified says where, counted from the cache's start. */
struct verified {
	uint32_t stop;    /* the first instruction that is not compared */
	uint16_t writes;  /* flags, up to there */
	uint16_t live[2]; /* flags that matter where the block is followed, and elsewhere */
};

int verify_new(struct verify **ret_verify)
{
	struct verify *v = aligned_alloc(alignof(struct verify), sizeof(*v));

	if (!v)
		return -ENOMEM;
	memset(v, 0, sizeof(*v));
	*ret_verify = v;
	return 0;
}

void verify_free(struct verify *verify)
{
	free(verify);
}

static bool names_special_register(const struct unit *u)
{
	for (unsigned i = 0; i < u->z.operand_count; i++) {
		if (u->operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		switch (ZydisRegisterGetClass(u->operands[i].reg.value)) {
		case ZYDIS_REGCLASS_SEGMENT:
		case ZYDIS_REGCLASS_CONTROL:
		case ZYDIS_REGCLASS_DEBUG:
		case ZYDIS_REGCLASS_TABLE:
			return true;
		default:
			break;
		}
	}
	return false;
}

/* Of the instructions that are left to their handlers, those that only change what is kept. */
static bool handler_may_run_twice(const struct translator *t, const struct unit *u)
{
	if (u->z.meta.category == ZYDIS_CATEGORY_XSAVE ||
	    u->z.meta.category == ZYDIS_CATEGORY_XSAVEOPT ||
	    u->z.meta.category == ZYDIS_CATEGORY_STRINGOP ||
	    u->z.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED || names_special_register(u))
		return false;
	if (native_unit(native_host(t->cpu->native), &u->z, u->operands) >= 0)
		return true;
	switch (u->z.mnemonic) {
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		return false;
	case ZYDIS_MNEMONIC_LEA:
	case ZYDIS_MNEMONIC_LEAVE:
		return true;
	default:
		break;
	}
	switch (u->z.meta.category) {
	case ZYDIS_CATEGORY_BINARY:
	case ZYDIS_CATEGORY_LOGICAL:
	case ZYDIS_CATEGORY_SHIFT:
	case ZYDIS_CATEGORY_ROTATE:
	case ZYDIS_CATEGORY_BITBYTE:
	case ZYDIS_CATEGORY_CMOV:
	case ZYDIS_CATEGORY_SETCC:
	case ZYDIS_CATEGORY_CONVERT:
	case ZYDIS_CATEGORY_DATAXFER:
	case ZYDIS_CATEGORY_PUSH:
	case ZYDIS_CATEGORY_POP:
	case ZYDIS_CATEGORY_SEMAPHORE:
	case ZYDIS_CATEGORY_NOP:
	case ZYDIS_CATEGORY_WIDENOP:
		return true;
	default:
		return false;
	}
}

unsigned verify_count(const struct translator *t)
{
	unsigned i = 0;

	for (; i < t->block->count; i++) {
		const struct unit *u = &t->units[i];

		if (u->kind == KIND_END || (u->kind == KIND_CALL && !handler_may_run_twice(t, u)))
			break;
	}
	return i;
}

static uint16_t writes_flags(const struct translator *t)
{
	uint16_t flags = 0;

	for (unsigned i = 0; i < t->stop; i++)
		flags |= t->units[i].writes;
	return flags;
}

static void snapshot_take(const struct soft_cpu *cpu, struct snapshot *s)
{
	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->rip = cpu->rip;
	s->instructions = cpu->instructions;
	s->flags = cpu->flags;
	s->status = cpu->status;
	memcpy(s->upper_in_use, cpu->upper_in_use, sizeof(s->upper_in_use));
	memcpy(s->xsave, cpu->xsave, cpu->engine->xsave_size);
}

static void snapshot_restore(struct soft_cpu *cpu, const struct snapshot *s)
{
	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	cpu->rip = s->rip;
	cpu->instructions = s->instructions;
	cpu->flags = s->flags;
	cpu->status = s->status;
	memcpy(cpu->upper_in_use, s->upper_in_use, sizeof(s->upper_in_use));
	memcpy(cpu->xsave, s->xsave, cpu->engine->xsave_size);
}

static insn_exec verify_block;

/* The run that goes on is not to be compared: back to interpret(). */
static _Noreturn void give_up(struct soft_cpu *cpu)
{
	longjmp(cpu->unwind, 1);
}

/* NULL: there is none. */
static struct copy *copy_find(struct verify *v, const uint8_t *page)
{
	for (unsigned i = 0; i < v->copy_count; i++)
		if (v->copies[i].host == page)
			return &v->copies[i];
	return NULL;
}

static struct copy *copy_make(struct soft_cpu *cpu, uint8_t *page)
{
	struct verify *v = cpu->verify;
	struct copy *copy = copy_find(v, page);

	if (copy)
		return copy;
	if (v->copy_count == COPIES_MAX)
		give_up(cpu);
	copy = &v->copies[v->copy_count++];
	copy->host = page;
	memcpy(copy->bytes, page, PAGE_SIZE);
	return copy;
}

uint8_t *verify_page(struct soft_cpu *cpu, uint8_t *page, unsigned kind)
{
	struct verify *v = cpu->verify;
	struct copy *copy;

	if (!v->interpreting || kind & MMU_FETCH)
		return page;
	copy = kind & MMU_WRITE ? copy_make(cpu, page) : copy_find(v, page);
	return copy ? copy->bytes : page;
}

void verify_table(struct soft_cpu *cpu, const void *host)
{
	const uint8_t *page = (const uint8_t *)((uintptr_t)host & ~PAGE_MASK);

	if (cpu->verify->interpreting && copy_find(cpu->verify, page))
		give_up(cpu);
}

/* One page's part of an access. */
static void keep_part(struct soft_cpu *cpu, uint64_t linear, unsigned size, unsigned kind)
{
	struct verify *v = cpu->verify;
	struct mmu_page page;
	struct write *w;
	uint32_t error;
	uint8_t *host;

	if (!mmu_walk(cpu, linear, kind, mmu_rights(cpu), &page, &error))
		return; /* the access itself will raise */
	host = memory_map(cpu->memory, GPA(page.gpa), PAGE_SIZE);
	if (!host)
		give_up(cpu);
	if (!(kind & MMU_WRITE))
		return;
	if (code_in_page(cpu, host) || v->count == WRITES_MAX)
		give_up(cpu);
	w = &v->writes[v->count++];
	w->wanted = copy_make(cpu, host)->bytes + (linear & PAGE_MASK);
	w->host = host + (linear & PAGE_MASK);
	w->linear = linear;
	w->size = size;
	memcpy(w->before, w->host, size);
}

void verify_access(struct soft_cpu *cpu, uint64_t linear, unsigned size, unsigned kind)
{
	if (!cpu->verify->interpreting)
		return;
	while (size) {
		unsigned part = MIN(size, (unsigned)(PAGE_SIZE - (linear & PAGE_MASK)));

		part = MIN(part, WRITE_BYTES);
		keep_part(cpu, linear, part, kind);
		linear += part;
		size -= part;
	}
}

static struct verified verified_read(const struct soft_cpu *cpu, const struct block *block)
{
	struct verified b;

	memcpy(&b, cpu->jit->cache->write + block->verified, sizeof(b));
	return b;
}

/* Runs end at this instruction, until stop_clear(). */
static void stop_set(struct verify *v, struct insn *insn)
{
	v->stop = insn;
	v->stop_handler = insn->exec;
	insn->exec = jit_stop;
}

static void stop_clear(struct verify *v)
{
	/* It may have been dropped. */
	if (v->stop && v->stop->exec == jit_stop)
		v->stop->exec = v->stop_handler;
	v->stop = NULL;
}

static void run_begin(struct soft_cpu *cpu)
{
	memcpy(&cpu->verify->outer, &cpu->unwind, sizeof(cpu->unwind));
	cpu->verify->attention = 0;
}

static void run_end(struct soft_cpu *cpu)
{
	memcpy(&cpu->unwind, &cpu->verify->outer, sizeof(cpu->unwind));
	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_VERIFY);
	atomic_fetch_or(&cpu->attention, cpu->verify->attention);
	scratch_unlock(cpu);
	cpu->events.fault = false;
	stop_clear(cpu->verify);
}

/* Until where runs end, or NULL: at rip. */
static const struct insn *run_on(struct soft_cpu *cpu, const struct insn *insn)
{
	while (insn && insn->exec != jit_stop)
		insn = insn->exec(cpu, insn);
	return insn;
}

static const struct insn *interpret_block(struct soft_cpu *cpu, struct block *block)
{
	const struct verified b = verified_read(cpu, block);
	struct verify *v = cpu->verify;
	uint64_t rip = cpu->rip;
	const struct insn *next;

	/* Its handler would drop it. */
	if (block->second && !block_has_second(cpu, block->second))
		give_up(cpu);
	if (b.stop < block->count)
		stop_set(v, &block->insns[b.stop]);
	cpu->tlb_key |= RIGHTS_SLOW;
	v->interpreting = true;
	next = run_on(cpu, block->first(cpu, block->insns));
	v->interpreting = false;
	cpu->tlb_key = v->tlb_key;
	stop_clear(v);
	if (block->dead)
		give_up(cpu);
	v->steps[v->length++] = (struct step){ block, rip };
	v->dead &= (uint16_t)~b.writes;
	if (!next)
		v->dead |= FLAGS_ALL & ~b.live[cpu->rip != rip + block->bytes];
	return next;
}

/* The block at rip, if both may go on with it. */
static struct block *next_block(struct soft_cpu *cpu)
{
	struct block *block = block_here(cpu);

	return block && block->insns[0].exec == verify_block ? block : NULL;
}

static void interpret_chain(struct soft_cpu *cpu, struct block *block, unsigned limit)
{
	struct verify *v = cpu->verify;

	do
		v->wanted.next = interpret_block(cpu, block);
	while (!v->wanted.next && v->length < limit && (block = next_block(cpu)));
}

/*
 * The interpreter's run of up to `limit` blocks, which leaves memory as it is. False: what comes
 * behind the first `length` is not to be compared.
 */
static bool interpret(struct soft_cpu *cpu, struct block *block, unsigned limit)
{
	struct verify *v = cpu->verify;

	v->count = v->copy_count = v->length = v->dead = 0;
	v->done = false;
	v->tlb_key = cpu->tlb_key;
	run_begin(cpu);
	/* So that blocks return where they end. */
	atomic_fetch_or(&cpu->attention, ATTENTION_VERIFY);
	if (!setjmp(cpu->unwind)) {
		interpret_chain(cpu, block, limit);
		v->done = true;
	}
	v->interpreting = false;
	cpu->tlb_key = v->tlb_key;
	run_end(cpu);
	return v->done;
}

static const struct insn *enter_code(struct soft_cpu *cpu, const struct insn *first)
{
	insn_exec *enter = (insn_exec *)cpu->jit->cache->common.enter_block;

	return enter(cpu, first);
}

/*
 * Its own way from block to block; where it leaves for the run loop, that would find the next. What
 * others write to memory when they see what it writes must not be undone, so it comes to its end
 * even if there is something else to do.
 */
static void run_chain(struct soft_cpu *cpu)
{
	struct verify *v = cpu->verify;
	struct block *block = v->steps[0].block;

	do {
		v->attention |= atomic_exchange(&cpu->attention, 0);
		v->got.next = run_on(cpu, enter_code(cpu, block->insns));
	} while (!v->got.next && v->visits.left > 0 && (block = next_block(cpu)));
}

static void run_translated(struct soft_cpu *cpu)
{
	struct verify *v = cpu->verify;
	struct block *last = v->steps[v->length - 1].block;

	memset(&v->visits, 0, sizeof(v->visits));
	v->visits.left = (int32_t)v->length;
	for (unsigned i = 0; i < v->length; i++)
		v->visits.wanted[v->length - 1 - i] = v->steps[i].block;
	v->got.faulted = true;
	run_begin(cpu);
	if (v->wanted.next)
		stop_set(v, &last->insns[v->wanted.next - last->insns]);
	v->translated = true;
	if (!setjmp(cpu->unwind)) {
		run_chain(cpu);
		v->got.faulted = false;
	}
	v->translated = false;
	run_end(cpu);
}

/*
 * Both runs, of up to `limit` blocks. False: the first block is for the interpreter alone, and
 * nothing has changed.
 */
static bool run_both(struct soft_cpu *cpu, struct block *block, unsigned limit)
{
	struct verify *v = cpu->verify;

	snapshot_take(cpu, &v->before);
	while (!interpret(cpu, block, limit)) {
		snapshot_restore(cpu, &v->before);
		limit = v->length;
		if (!limit)
			return false;
	}
	snapshot_take(cpu, &v->wanted);
	snapshot_restore(cpu, &v->before);
	run_translated(cpu);
	snapshot_take(cpu, &v->got);
	return true;
}

/* Something else looks at each access. */
static bool is_watched(const struct soft_cpu *cpu)
{
	return cpu->debugger || (cpu->tlb_key & 3) == RIGHTS_SLOW;
}

/* Back to where both runs begin. */
static void undo(struct soft_cpu *cpu)
{
	struct verify *v = cpu->verify;

	for (unsigned i = 0; i < v->count; i++)
		memcpy(v->writes[i].host, v->writes[i].before, v->writes[i].size);
	snapshot_restore(cpu, &v->before);
}

/* Whether blocks are not what they were. */
static bool blocks_changed(const struct soft_cpu *cpu, uint64_t generation)
{
	const struct verify *v = cpu->verify;

	if (generation != cpu->jit->generation)
		return true;
	for (unsigned i = 0; i < v->length; i++)
		if (v->steps[i].block->dead)
			return true;
	return false;
}

/* Says where the runs begin to differ. */
static void blame(struct soft_cpu *cpu, struct block *block)
{
	struct verify *v = cpu->verify;
	unsigned length = v->length;

	for (unsigned limit = 1; limit <= length; limit++) {
		undo(cpu);
		if (!run_both(cpu, block, limit) || runs_differ(cpu))
			break;
	}
	difference_log(cpu);
	undo(cpu);
}

/* In place of a translated block's first handler. */
static const struct insn *verify_block(struct soft_cpu *cpu, const struct insn *insn)
{
	uint64_t generation = cpu->jit->generation;
	struct block *block = block_of(insn);
	struct verify *v = cpu->verify;

	if (v->translated)
		return enter_code(cpu, insn);
	if (attention_needed(cpu) || trace_count(cpu, block->host))
		return NULL;
	for (unsigned i = 0; i < TRIES; i++) {
		if (is_watched(cpu) || !run_both(cpu, block, CHAIN_MAX)) {
			v->interpreted++;
			return block->dead ? NULL : block->first(cpu, insn);
		}
		if (blocks_changed(cpu, generation)) {
			undo(cpu);
			return NULL;
		}
		if (!runs_differ(cpu)) {
			v->compared += v->length;
			v->joined += v->length - 1;
			return v->got.next;
		}
		if (i + 1 < TRIES)
			undo(cpu);
		v->retried++;
	}
	blame(cpu, block);
	longjmp(cpu->unwind, UNWIND_ERROR);
}

const struct insn *verify_stop(struct soft_cpu *cpu, const uint8_t *host)
{
	const struct verify *v = cpu->verify;
	const struct step *last = &v->steps[v->length - 1];

	if (!v->stop || last->block->host + v->stop->offset != host)
		return NULL;
	/* As the interpreter leaves it there, which counts from the block's start. */
	cpu->rip = last->rip;
	return v->stop;
}

bool verify_runs(const struct soft_cpu *cpu)
{
	return cpu->verify->translated;
}

/* The decoded block that begins with an instruction of `from`, which is that block or a page. */
static struct block *block_at(struct soft_cpu *cpu, const struct block *from,
			      const struct insn *insn)
{
	return block_lookup(cpu, from->host + insn->offset, cpu->mode);
}

bool verify_knows(struct soft_cpu *cpu, const uint8_t *page, const struct insn *insn)
{
	const struct block *block = block_lookup(cpu, page + insn->offset, cpu->mode);

	return block && block->insns[0].exec == verify_block;
}

/*
 * Counts the block, and leaves if it is one too many or not the one that is wanted. The last one
 * calls for attention, so that all ways out of it lead to the run loop.
 */
void verify_emit_start(struct translator *t, const struct unit *u, struct stub *leave)
{
	const struct block *block = block_at(t->cpu, t->block, u->insn);
	struct visits *visits = &t->cpu->verify->visits;
	const int begun = (int)offsetof(struct visits, begun);
	const int wanted = (int)offsetof(struct visits, wanted);
	struct code *c = &t->code;
	unsigned more;

	emit_load_imm(c, SCRATCH_0, (uintptr_t)visits);
	emit_rm(c, 0xff, 1, at(SCRATCH_0, offsetof(struct visits, left))); /* dec */
	stub_from(leave, emit_jump(c, IF_S));
	more = emit_jump(c, IF_NE);
	code_byte(c, 0xf0); /* lock */
	emit_rm(c, 0x83, ALU_OR, FIELD(attention));
	code_byte(c, ATTENTION_VERIFY);
	jump_fill(c, more, c->used);
	emit_rm(c, 0x8b, SCRATCH_1, at(SCRATCH_0, offsetof(struct visits, left)));
	emit_rm(c, LEA, SCRATCH_1, (struct place){ SCRATCH_0, SCRATCH_1, 3, false, begun });
	emit_load_imm(c, SCRATCH_0, (uintptr_t)block);
	emit_rm(c, MOV_STORE, SCRATCH_0, at(SCRATCH_1, 0));
	emit_rm(c, 0x3b | WIDE, SCRATCH_0, at(SCRATCH_1, wanted - begun)); /* cmp */
	stub_from(leave, emit_jump(c, IF_NE));
}

void verify_append(struct translator *t)
{
	const struct verified v = {
		.stop = t->stop,
		.writes = writes_flags(t),
		.live = { t->live_out[0], t->live_out[1] },
	};

	t->block->verified = t->code.used;
	code_bytes(&t->code, &v, sizeof(v));
}

void verify_lead(const struct translator *t, struct block *block)
{
	block->body = t->jit->cache->run + t->start;
	if (block == t->block)
		block->insns[0].exec = verify_block;
}

void verify_stats(const struct verify *verify, json_t *all)
{
	json_object_set_new(all, "verified", json_integer((json_int_t)verify->compared));
	json_object_set_new(all, "verified_joined", json_integer((json_int_t)verify->joined));
	json_object_set_new(all, "verified_not", json_integer((json_int_t)verify->interpreted));
	json_object_set_new(all, "verified_again", json_integer((json_int_t)verify->retried));
}
