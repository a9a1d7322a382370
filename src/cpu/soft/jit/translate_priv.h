/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A translation in the making, for the files of this folder. */
#pragma once

#include "cpu/soft/jit/cache_priv.h"
#include "cpu/soft/jit/emit_priv.h"

/* Where the arithmetic flags of the guest are. */
enum flags_place { FLAGS_STATE = 1, FLAGS_HOST = 2, FLAGS_BOTH = 3 };

enum kind {
	KIND_CALL, /* the interpreter's handler does it */
	KIND_NOTHING,
	KIND_COPY, /* the instruction itself, with another memory operand */
	KIND_LEA,
	KIND_PUSH,
	KIND_PUSH_MEMORY,
	KIND_POP,
	KIND_LEAVE_FRAME, /* LEAVE */
	KIND_LOAD_MXCSR,
	KIND_DIRECTION, /* CLD, STD */
	KIND_MOVS,      /* these without a repeat prefix */
	KIND_STOS,
	KIND_LODS,
	KIND_JUMP,
	KIND_JCC,
	KIND_CALL_NEAR,
	KIND_JUMP_INDIRECT,
	KIND_CALL_INDIRECT,
	KIND_RET,
	KIND_CONTINUE, /* end of a block that is not a branch */
	KIND_END,      /* ends the block: the interpreter's handler does it */
};

/* One instruction, as the translator sees it. */
struct unit {
	struct insn *insn;
	uint8_t kind;
	bool memory, write;  /* has a memory operand; writes it */
	bool traps;          /* the processor itself may refuse it: #DE, #XM, alignment */
	uint8_t size;        /* of the memory operand, bytes */
	uint8_t native_unit; /* enum native_unit */
	uint8_t followed;    /* enum followed */
	bool begins;         /* a block of a trace */
	bool x87_pointers;   /* sets FOP and FIP, and FDP if it has a memory operand */
	uint8_t scratch_read, scratch_written; /* which of the registers in memory: bit 0, bit 1 */
	uint16_t reads, writes, merges; /* arithmetic flags; merges: may keep what they were */
	uint16_t live;                  /* flags whose value before this instruction matters */
	uint16_t side_live;             /* and at the side exit here */
	/* share.c: the group of accesses that this one is of, or NO_GROUP; and */
	uint8_t group;
	bool leads; /* is the first of it */
	bool access_write;
	uint8_t access_size;
	struct place access;
	int32_t distance; /* of the access from where the group's `low` and `high` count */
	struct operation operation;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* Whether the unit behind a branch is where it leads, in a trace. */
enum followed {
	FOLLOWED_NOT,
	FOLLOWED_NEXT,   /* that is behind it in memory too */
	FOLLOWED_TARGET, /* it is what it branches to */
};

/* A way out in the middle of a trace. Its code comes behind the trace's. */
struct side {
	unsigned from; /* the jump to it */
	const struct unit *unit;
	enum flags_place flags; /* there */
};

/* Accesses with one check. */
struct group {
	unsigned id;
	int32_t low, high; /* all that is accessed: from, to */
	uint8_t count;
	bool write;
};

#define GROUPS_MAX JIT_DELTAS
#define NO_GROUP   0xff

enum access_kind {
	ACCESS_OPERAND,
	ACCESS_PUSH,
	ACCESS_POP,
	ACCESS_FRAME,
	ACCESS_SOURCE,      /* of a string instruction: at RSI */
	ACCESS_DESTINATION, /* at RDI */
};

/* Code that is reached by a jump and stands apart from the block's; see stub.c. */
struct stub {
	enum { STUB_INSN, STUB_START, STUB_SECOND, STUB_LINK, STUB_VECTOR } kind;
	unsigned from[4]; /* jumps to it */
	unsigned count;
	unsigned back;           /* STUB_INSN, STUB_VECTOR: where it goes on */
	const struct unit *unit; /* the instruction; else the one that the code begins with */
	/* STUB_INSN: */
	bool handled;   /* the translator leaves the instruction to its handler */
	bool rest;      /* and what is behind it to the interpreter */
	unsigned miss;  /* the jump of an access that missed the TLB; 0: none */
	unsigned retry; /* where to try again */
	unsigned tag;   /* the register that has the tag which was not there */
	bool write;
	/*
	 * The first two of `from` are there because the target (in SCRATCH_0), or its key, is not
	 * in the jump entry (at SCRATCH_1). Tried again with the target in SCRATCH_0.
	 */
	bool jump;
	unsigned jump_retry;
	unsigned mark;   /* behind the mark for traps; 0: none */
	bool save_flags; /* a trap comes with the flags in the host */
	/* The last one that set x87 pointers, if they are not in soft_cpu yet. */
	const struct unit *x87_last;
	/* STUB_VECTOR: bit in soft_cpu.vector_live */
	uint8_t vector_unit;
	/* STUB_LINK: the jump to be joined, and where it leads from the start of the page. To another
	 * page: its index in soft_cpu.ways. */
	unsigned site, way;
	int64_t delta;
};

#define STUBS_MAX (2 * TRACE_INSNS + 16 + TRACE_BLOCKS)

static_assert(TRACE_INSNS >= BLOCK_INSNS + 2, "room for a block with its pseudo instructions");

#define TRACE_BYTES (sizeof(struct block) + TRACE_INSNS * sizeof(struct insn))

/* Offsets of code in it count from the start of the cache. */
struct translator {
	struct soft_cpu *cpu;
	struct jit *jit;
	struct block *block;
	const uint8_t *head; /* where it begins: the block, or the first one of a trace */
	uint64_t rip;        /* there */
	struct code code;
	uint64_t base;   /* where the cache runs */
	uint32_t start;  /* of the block's code */
	uint32_t end;    /* of it, stubs left out */
	uint32_t number; /* of the translation */
	uint32_t second_way;
	enum flags_place flags;
	uint16_t live_out[2]; /* by link */
	unsigned offset;      /* of the block in its page; of a trace 0 */
	bool code32;          /* 32-bit code with flat segments; else 64-bit code */
	enum link_scope scope;
	unsigned stop;               /* jit=verify: the instruction at which translated code ends */
	uint8_t vector_unit;         /* the bit that must be in soft_cpu.vector_live; 0: none */
	uint8_t x87_unit;            /* another one */
	const struct unit *x87_last; /* see struct stub */
	/* share.c */
	unsigned shared; /* instructions in front of which results of checks may still be used */
	uint8_t holds;   /* the group whose check left its result in SCRATCH_1 */
	unsigned group_count;
	struct group groups[GROUPS_MAX];
	unsigned stub_count, side_count;
	struct stub stubs[STUBS_MAX];
	struct side sides[TRACE_BLOCKS];
	struct unit units[TRACE_INSNS];
};

#define FLAGS_ALL UINT16_C(0x8d5)

/* What PUSH, CALL and their kin move, bytes. */
static inline unsigned word_size(const struct translator *t)
{
	return t->code32 ? 4 : 8;
}

/* Where an instruction ends; where a branch leads; and where it leads that a trace does not follow, all from the
 * start of the page. */
static inline int64_t unit_next(const struct translator *t, const struct unit *u)
{
	return (int64_t)t->offset + u->insn->offset + u->insn->length;
}

static inline int64_t unit_target(const struct translator *t, const struct unit *u)
{
	int64_t target = (int64_t)(u->insn->imm + t->offset);

	return t->code32 ? (int32_t)target : target;
}

static inline int64_t unit_side(const struct translator *t, const struct unit *u)
{
	return u->followed == FOLLOWED_TARGET ? unit_next(t, u) : unit_target(t, u);
}

/* An opcode for a word: one of 32 bits clears the upper half of its register. */
static inline unsigned word(const struct translator *t, unsigned opcode)
{
	return t->code32 ? opcode : opcode | WIDE;
}

/* classify.c: fills in kind, flags and memory operand from z and operands. */
void unit_classify(const struct soft_cpu *cpu, struct unit *u);

/* Whether the code at `bytes` writes all arithmetic flags before it reads any. `ret_bytes`: how much
 * of it the answer depends on. */
bool flags_are_dead(const struct soft_cpu *cpu, const uint8_t *bytes, unsigned count,
		    unsigned *ret_bytes);

/* Whether a general register of any width; and the number of one: AH is of 0. */
bool is_gpr(ZydisRegisterClass class);
unsigned guest_number(ZydisRegister r);

/* share.c: finds the accesses that can share checks; translator.shared. */
unsigned share_checks(struct translator *t);

/* operand.c */

/* The number of a guest register that insns name by its offset. */
unsigned gpr_number(uint8_t name);
bool address_is_known(const struct soft_cpu *cpu, const struct unit *u);

/* The memory operand's address without the segment, for LEA: scratch registers are loaded. */
struct place emit_address(struct translator *t, const struct insn *insn);

/*
 * Checks an access of `size` bytes to the operand of `u`, or to where the register of `kind` points
 * (PUSH: below it); misses jump to `stub`, or to the full form. Returns the host's place for it, good
 * until a register in it changes. `free`: the scratch register that the place must leave alone. Takes
 * the flags out of the host, unless there is nothing to check.
 */
struct place emit_check(struct translator *t, const struct unit *u, enum access_kind kind,
			unsigned size, bool write, unsigned free, struct stub *stub);

/* leave.c: the end of a block; and if a trace goes on behind it, and the sides of that, at its end. */
void emit_end(struct translator *t, const struct unit *u);
void emit_followed(struct translator *t, const struct unit *u);
void emit_sides(struct translator *t);

/* stub.c */
struct stub *stub_new(struct translator *t, const struct unit *unit, unsigned kind);
void stub_from(struct stub *stub, unsigned from);
bool emit_stubs(struct translator *t); /* false: there is no room for them */

/* unit.c: one instruction. `live_after`: flags whose value behind it matters. */
void emit_unit(struct translator *t, const struct unit *u, uint16_t live_after);
struct stub *insn_stub(struct translator *t, const struct unit *u);
void flags_out_of_host(struct translator *t, uint16_t live);
unsigned unit_index(const struct translator *t, const struct unit *u);
void flags_into_host(struct translator *t, unsigned scratch);

/* FOP and FIP of `u` (NULL: nothing) to soft_cpu. Leaves flags alone. */
void emit_x87_last(struct translator *t, const struct unit *u);

/* Lets a decoded block lead to its code; false: it has none. */
bool jit_lead(struct soft_cpu *cpu, struct block *block);

/* False: not now; the block may be dead. */
bool jit_translate(struct soft_cpu *cpu, struct block *block);

/*
 * In place of what begins at `head`, `rip` in the guest: instructions of blocks that follow each other, with
 * offsets in the page, which is jit.trace's block. `begins`: of them, those that `count` blocks begin with.
 * `served`: soft_cpu.acknowledged before they were decoded. False: not now, or there is nothing to gain.
 */
bool jit_translate_trace(struct soft_cpu *cpu, const uint8_t *head, uint64_t rip,
			 const uint8_t *begins, unsigned count, uint64_t served);

/* trace.c: counts that the block there, in the present mode, was found running; whether that is why the run
 * loop is to note the way from there. */
bool trace_count(struct soft_cpu *cpu, const uint8_t *host);

/* common.c */
void common_emit(struct code_cache *cache);

/*
 * What translated code calls, in this order. soft_cpu.call says what for.
 *
 * resolve.c: where to go on if what was missing could be found, or 0. The guest's vector registers may
 * be in the host's.
 */
uint64_t jit_retry(struct soft_cpu *cpu);

/* glue.c: one instruction, in the middle of a block. Goes on at soft_cpu.call_return; if that is 0,
 * what is returned is for the run loop. */
const struct insn *jit_handler(struct soft_cpu *cpu);

/* Everything else: the last thing that code does. */
const struct insn *jit_leave(struct soft_cpu *cpu);
const struct insn *jit_leave_jump(struct soft_cpu *cpu);

insn_exec jit_stop;
