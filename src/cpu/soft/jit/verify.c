/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See verify_priv.h. */
#include "cpu/soft/jit/verify_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cpu/soft/access_priv.h"
#include "cpu/soft/code_priv.h"
#include "cpu/soft/engine_priv.h"
#include "cpu/soft/flags_priv.h"
#include "cpu/soft/jit/verify_access_priv.h"
#include "cpu/soft/mmu_priv.h"
#include "cpu/soft/native_exec_priv.h"
#include "cpu/soft/run_priv.h"

#define WRITES_MAX  256u
#define WRITE_BYTES 64u
#define TRIES       4
#define SHOWN_BYTES 256u

/* Bytes that the interpreter's run has written, or was about to write. */
struct write {
	uint8_t *host;
	uint64_t linear;
	unsigned size;
	uint8_t before[WRITE_BYTES], wanted[WRITE_BYTES];
};

/* What instructions that may run twice can change, memory aside. */
struct snapshot {
	uint64_t gpr[GPR_COUNT];
	uint64_t rip, instructions;
	const struct insn *next; /* what the run returned */
	uint32_t flags;
	uint16_t status;
	bool faulted;
	uint8_t upper_in_use[16];
	uint8_t xsave[VCPU_XSAVE_MAX];
};

/* Behind the code of a block; block->heat says where, counted from the cache's start. */
struct verified {
	uint32_t entry;   /* of its code, counted in the same way */
	uint32_t stop;    /* the first instruction that is not compared */
	uint16_t live[2]; /* flags that matter where the block is followed, and elsewhere */
	bool vectors;     /* the x87 or vector registers may change */
};

struct verify {
	struct snapshot before, wanted, got;
	struct verified block;
	jmp_buf outer;
	insn_exec *handler; /* of the instruction at which both runs stop */
	uint64_t tlb_key;
	struct write writes[WRITES_MAX];
	unsigned count;    /* of writes */
	bool done;         /* the interpreter's run came to its end */
	bool interpreting; /* accesses are to be kept */
	uint64_t compared, interpreted, retried;
};

int verify_new(struct verify **ret_verify)
{
	struct verify *v = calloc(1, sizeof(*v));

	if (!v)
		return -ENOMEM;
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

static bool may_change_vectors(const struct translator *t)
{
	for (unsigned i = 0; i < t->block->count; i++)
		if (t->units[i].native_unit || t->units[i].kind == KIND_CALL)
			return true;
	return false;
}

static uint32_t in_cache(const struct jit *jit, const uint8_t *at)
{
	return (uint32_t)(at - jit->write);
}

static void snapshot_take(const struct soft_cpu *cpu, bool vectors, struct snapshot *s)
{
	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->rip = cpu->rip;
	s->instructions = cpu->instructions;
	s->flags = cpu->flags;
	s->status = cpu->status;
	if (vectors) {
		memcpy(s->upper_in_use, cpu->upper_in_use, sizeof(s->upper_in_use));
		memcpy(s->xsave, cpu->xsave, cpu->engine->xsave_size);
	}
}

static void snapshot_restore(struct soft_cpu *cpu, bool vectors, const struct snapshot *s)
{
	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	cpu->rip = s->rip;
	cpu->instructions = s->instructions;
	cpu->flags = s->flags;
	cpu->status = s->status;
	if (vectors) {
		memcpy(cpu->upper_in_use, s->upper_in_use, sizeof(s->upper_in_use));
		memcpy(cpu->xsave, s->xsave, cpu->engine->xsave_size);
	}
}

/* The run that goes on is not to be compared: back to interpret(). */
static _Noreturn void give_up(struct soft_cpu *cpu)
{
	longjmp(cpu->unwind, 1);
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

static void writes_undo(struct verify *v)
{
	for (unsigned i = v->count; i-- > 0;)
		memcpy(v->writes[i].host, v->writes[i].before, v->writes[i].size);
}

static void verified_read(const struct soft_cpu *cpu, const struct block *block)
{
	memcpy(&cpu->verify->block, cpu->jit->write + block->heat, sizeof(cpu->verify->block));
}

static void run_begin(struct soft_cpu *cpu)
{
	memcpy(&cpu->verify->outer, &cpu->unwind, sizeof(cpu->unwind));
	/* Blocks end in C code, which goes no further. */
	atomic_fetch_or(&cpu->attention, ATTENTION_VERIFY);
}

static void run_end(struct soft_cpu *cpu)
{
	memcpy(&cpu->unwind, &cpu->verify->outer, sizeof(cpu->unwind));
	atomic_fetch_and(&cpu->attention, ~(unsigned)ATTENTION_VERIFY);
}

/* The interpreter's run. False: it is not to be compared, and what is changed must be undone. */
static bool interpret(struct soft_cpu *cpu, struct block *block)
{
	struct verify *v = cpu->verify;
	struct insn *stop = &block->insns[v->block.stop];
	bool stops = v->block.stop < block->count;

	v->count = 0;
	v->done = false;
	v->tlb_key = cpu->tlb_key;
	if (stops)
		v->handler = stop->exec;
	run_begin(cpu);
	if (!setjmp(cpu->unwind)) {
		const struct insn *next;

		cpu->tlb_key |= RIGHTS_SLOW;
		v->interpreting = true;
		if (stops)
			stop->exec = jit_stop;
		next = block->first(cpu, block->insns);
		while (next && next != stop)
			next = next->exec(cpu, next);
		v->wanted.next = next;
		v->done = !block->dead;
	}
	v->interpreting = false;
	scratch_unlock(cpu);
	cpu->events.fault = false;
	if (stops && !block->dead)
		stop->exec = v->handler;
	cpu->tlb_key = v->tlb_key;
	run_end(cpu);
	return v->done;
}

static void run_translated(struct soft_cpu *cpu, struct block *block)
{
	struct verify *v = cpu->verify;
	insn_exec *entry = (insn_exec *)(cpu->jit->run + v->block.entry);
	struct insn *stop = &block->insns[v->block.stop];
	bool stops = v->block.stop < block->count;

	if (stops) {
		v->handler = stop->exec;
		stop->exec = jit_stop;
	}
	v->got.faulted = true;
	run_begin(cpu);
	if (!setjmp(cpu->unwind)) {
		const struct insn *next = entry(cpu, block->insns);

		while (next && next != stop)
			next = next->exec(cpu, next);
		v->got.next = next;
		v->got.faulted = false;
	}
	run_end(cpu);
	scratch_unlock(cpu);
	cpu->events.fault = false;
	if (stops && !block->dead)
		stop->exec = v->handler;
}

/* The bytes of an XSAVE image that must be equal: not the header. */
static const struct {
	const char *name;
	unsigned offset, size;
} xsave_parts[] = {
	{ "fcw, fsw, ftw, fop, fip, fdp", 0, XSAVE_MXCSR },
	{ "mxcsr", XSAVE_MXCSR, 4 },
	{ "st", 32, 128 },
	{ "xmm", XSAVE_XMM, 256 },
	{ "upper", XSAVE_YMM_HIGH, VCPU_XSAVE_MAX - XSAVE_YMM_HIGH },
};

static unsigned part_bytes(const struct soft_cpu *cpu, unsigned part)
{
	unsigned size = cpu->engine->xsave_size;

	if (xsave_parts[part].offset >= size)
		return 0;
	return MIN(xsave_parts[part].size, size - xsave_parts[part].offset);
}

static bool vectors_differ(const struct soft_cpu *cpu, unsigned part)
{
	const struct verify *v = cpu->verify;
	unsigned at = xsave_parts[part].offset;

	return v->block.vectors &&
	       memcmp(v->wanted.xsave + at, v->got.xsave + at, part_bytes(cpu, part));
}

static uint64_t live_flags(const struct verify *v, const struct block *block)
{
	bool follows = v->wanted.rip == v->before.rip + block->bytes;

	return v->wanted.next ? FLAGS_ALL : v->block.live[!follows];
}

static bool flags_differ(const struct verify *v, const struct block *block)
{
	uint64_t flags = rflags_of_status(v->wanted.status) ^ rflags_of_status(v->got.status);

	return v->wanted.flags != v->got.flags || flags & live_flags(v, block);
}

static bool write_differs(const struct write *w)
{
	return memcmp(w->host, w->wanted, w->size);
}

static bool differs(const struct soft_cpu *cpu, const struct block *block)
{
	const struct verify *v = cpu->verify;

	if (v->got.faulted || v->wanted.next != v->got.next || v->wanted.rip != v->got.rip ||
	    memcmp(v->wanted.gpr, v->got.gpr, sizeof(v->got.gpr)) || flags_differ(v, block))
		return true;
	for (unsigned i = 0; i < ARRAY_SIZE(xsave_parts); i++)
		if (vectors_differ(cpu, i))
			return true;
	for (unsigned i = 0; i < v->count; i++)
		if (write_differs(&v->writes[i]))
			return true;
	return false;
}

static void hex(char *text, const uint8_t *bytes, unsigned count)
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < count; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}

static void show_bytes(const char *name, uint64_t at, const uint8_t *wanted, const uint8_t *got,
		       unsigned count)
{
	char one[2 * WRITE_BYTES + 1], two[2 * WRITE_BYTES + 1];

	for (unsigned i = 0; i < count; i += WRITE_BYTES) {
		unsigned part = MIN(count - i, WRITE_BYTES);

		if (!memcmp(wanted + i, got + i, part))
			continue;
		hex(one, wanted + i, part);
		hex(two, got + i, part);
		log_error("  %s at 0x%llx: %s, translated %s", name, (unsigned long long)(at + i),
			  one, two);
	}
}

static void show_state(const struct verify *v, const struct block *block)
{
	if (v->got.faulted)
		log_error("  translated code faults");
	if (v->wanted.next != v->got.next)
		log_error("  ends at instruction %d, translated %d",
			  v->wanted.next ? (int)(v->wanted.next - block->insns) : -1,
			  v->got.next ? (int)(v->got.next - block->insns) : -1);
	if (v->wanted.rip != v->got.rip)
		log_error("  rip: 0x%llx, translated 0x%llx", (unsigned long long)v->wanted.rip,
			  (unsigned long long)v->got.rip);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		if (v->wanted.gpr[i] != v->got.gpr[i])
			log_error("  register %u: was 0x%llx, now 0x%llx, translated 0x%llx", i,
				  (unsigned long long)v->before.gpr[i],
				  (unsigned long long)v->wanted.gpr[i],
				  (unsigned long long)v->got.gpr[i]);
	if (flags_differ(v, block))
		log_error(
			"  flags: 0x%llx, translated 0x%llx, live 0x%llx",
			(unsigned long long)(v->wanted.flags | rflags_of_status(v->wanted.status)),
			(unsigned long long)(v->got.flags | rflags_of_status(v->got.status)),
			(unsigned long long)live_flags(v, block));
}

static void report(const struct soft_cpu *cpu, const struct block *block)
{
	const struct verify *v = cpu->verify;
	char bytes[2 * SHOWN_BYTES + 1];

	hex(bytes, block->host, MIN(block->bytes, SHOWN_BYTES));
	log_error("vCPU %u: translated block differs at rip 0x%llx, %u instructions: %s",
		  cpu->vcpu.index, (unsigned long long)v->before.rip, v->block.stop, bytes);
	show_state(v, block);
	for (unsigned i = 0; i < ARRAY_SIZE(xsave_parts); i++)
		if (vectors_differ(cpu, i))
			show_bytes(xsave_parts[i].name, xsave_parts[i].offset,
				   v->wanted.xsave + xsave_parts[i].offset,
				   v->got.xsave + xsave_parts[i].offset, part_bytes(cpu, i));
	for (unsigned i = 0; i < v->count; i++) {
		const struct write *w = &v->writes[i];

		show_bytes("memory", w->linear, w->wanted, w->host, w->size);
	}
}

/* Both runs. False: the block is for the interpreter alone, and nothing has changed. */
static bool run_both(struct soft_cpu *cpu, struct block *block)
{
	struct verify *v = cpu->verify;

	snapshot_take(cpu, v->block.vectors, &v->before);
	if (!interpret(cpu, block)) {
		writes_undo(v);
		snapshot_restore(cpu, v->block.vectors, &v->before);
		return false;
	}
	snapshot_take(cpu, v->block.vectors, &v->wanted);
	for (unsigned i = 0; i < v->count; i++)
		memcpy(v->writes[i].wanted, v->writes[i].host, v->writes[i].size);
	writes_undo(v);
	snapshot_restore(cpu, v->block.vectors, &v->before);
	run_translated(cpu, block);
	snapshot_take(cpu, v->block.vectors, &v->got);
	return true;
}

/* Something else looks at each access. */
static bool is_watched(const struct soft_cpu *cpu)
{
	return cpu->debugger || (cpu->tlb_key & 3) == RIGHTS_SLOW;
}

/* In place of a translated block's first handler. */
static const struct insn *verify_block(struct soft_cpu *cpu, const struct insn *insn)
{
	struct block *block = block_of(insn);
	struct verify *v = cpu->verify;

	verified_read(cpu, block);
	for (unsigned i = 0; i < TRIES; i++) {
		if (is_watched(cpu) || !run_both(cpu, block)) {
			v->interpreted++;
			return block->first(cpu, insn);
		}
		if (!block->dead && !differs(cpu, block)) {
			v->compared++;
			return v->got.next;
		}
		if (i + 1 == TRIES && !block->dead)
			report(cpu, block);
		writes_undo(v);
		snapshot_restore(cpu, v->block.vectors, &v->before);
		/* The guest has switched off what later instructions of the block need. */
		if (block->dead)
			return NULL;
		v->retried++;
	}
	longjmp(cpu->unwind, UNWIND_ERROR);
}

void verify_install(struct translator *t, unsigned entry)
{
	const struct verified v = {
		.entry = in_cache(t->jit, t->code.bytes + entry),
		.stop = t->stop,
		.live = { t->live_out[0], t->live_out[1] },
		.vectors = may_change_vectors(t),
	};

	t->block->heat = in_cache(t->jit, t->code.bytes + t->code.used);
	code_bytes(&t->code, &v, sizeof(v));
	/* Without a body nothing but verify_block() leads to the code. */
	t->block->insns[0].exec = verify_block;
}

void verify_stats(const struct verify *verify, json_t *all)
{
	json_object_set_new(all, "verified", json_integer((json_int_t)verify->compared));
	json_object_set_new(all, "verified_not", json_integer((json_int_t)verify->interpreted));
	json_object_set_new(all, "verified_again", json_integer((json_int_t)verify->retried));
}
